"""CamVid: street scenes with the class of each pixel."""

from lthbench.banks._arrays import bank

BANK = bank(
    name="camvid11",
    title="CamVid, street scenes with 11 classes of pixels",
    source="Brostow et al. 2009, Semantic Object Classes in Video; classes and size of Badrinarayanan et al. "
    "2017",
    licence="research use",
    category="object",
    nothing="void",
)
