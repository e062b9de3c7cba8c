"""Handwritten digits as a mirror shows them: the writing of the digits, but none of their shapes."""

from __future__ import annotations

from lthbench.datasets import digits
from lthbench.kinds import Dataset, Images, Source

#: Digits that a mirror makes into none; 0, 1 and 8 stay what they are.
DIGITS = (2, 3, 4, 5, 6, 7, 9)
#: Images of each.
EACH = 64


def load(source: Source, split: str) -> Images:
    """64 images of each of the seven digits, test images first and then val images; none was trained on."""
    import numpy as np

    del split
    parts = [digits.load(source, part) for part in ("test", "val")]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:EACH] for digit in DIGITS])
    mirrored = np.ascontiguousarray(pixels[chosen][..., ::-1])
    return Images(mirrored, np.repeat(np.arange(len(DIGITS)), EACH))


DATASET = Dataset(
    name="mirrored-digits",
    version=1,
    title="Handwritten digits mirrored, without 0, 1 and 8 (near out of distribution for digits)",
    source="lthbench; from Alpaydin & Kaynak 1998, UCI Machine Learning Repository, test part",
    licence="CC BY 4.0",
    classes=tuple(f"mirrored {digit}" for digit in DIGITS),
    channels=1,
    size=8,
    mean=(0.3057,),
    std=(0.3764,),
    splits={"test": EACH * len(DIGITS)},
    locate=digits.locate,
    load=load,
    obtain=digits.DATASET.obtain,
)
