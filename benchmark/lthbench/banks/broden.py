"""Broden, the bank of Network Dissection."""

from lthbench.banks._broden import bank

BANK = bank(
    name="broden",
    title="Broden: scenes, objects, parts, materials, textures and colours",
    source="Bau et al. 2017, Network Dissection; made of ADE20K, Pascal, OpenSurfaces and DTD",
    licence="those of its sources, research use",
    index="index.csv",
    folders=("broden1_224", "broden1_227", "broden1_384", "broden"),
)
