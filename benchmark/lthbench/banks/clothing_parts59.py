"""Photographs of people with the piece of clothing at each pixel."""

from lthbench.banks._arrays import bank

BANK = bank(
    name="clothing-parts59",
    title="Clothing Co-Parsing, photographs with 58 pieces of clothing and parts",
    source="Yang, Luo & Lin 2014, Clothing Co-Parsing by Joint Image Segmentation and Labeling",
    licence="Apache-2.0 for the annotations",
    category="part",
    nothing="null",
)
