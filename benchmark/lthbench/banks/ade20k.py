"""The ADE20K part of Broden, which compositional explanations use."""

from lthbench.banks._broden import bank

BANK = bank(
    name="ade20k",
    title="ADE20K, as a part of Broden",
    source="Zhou et al. 2017, Scene Parsing through ADE20K; index of Mu & Andreas 2020",
    licence="research use",
    index="index_ade20k.csv",
    folders=("broden1_224", "broden1_227", "broden1_384", "broden"),
)
