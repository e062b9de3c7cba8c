"""Letters, symbols and mirrored digits in equal parts: the area under the ROC curve is the mean of theirs."""

from __future__ import annotations

from pathlib import Path

from lthbench.datasets import glyph_letters, glyph_symbols, mirrored_digits
from lthbench.kinds import Dataset, Images, Source

_PARTS = (glyph_letters.DATASET, glyph_symbols.DATASET, mirrored_digits.DATASET)


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The files of the three."""
    found = [part.locate(folders) for part in _PARTS]
    sources = [source for source in found if source is not None]
    if len(sources) < len(_PARTS):
        return None
    files = dict.fromkeys(path for source in sources for path in source.files)
    return Source("Matplotlib and scikit-learn", sources[0].root, tuple(files))


def load(source: Source, split: str) -> Images:
    """The images of the three, one after the other. Labels are which of them."""
    import numpy as np

    del source
    parts = []
    for label, part in enumerate(_PARTS):
        its_own = part.locate(())
        assert its_own is not None  # ``locate`` found it
        pixels = part.load(its_own, split).pixels[:]
        parts.append((pixels, np.full(len(pixels), label, dtype=np.int64)))
    return Images(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


DATASET = Dataset(
    name="near-digits",
    version=1,
    title="Letters, symbols and mirrored digits, 448 of each (near out of distribution for digits)",
    source="glyph-letters, glyph-symbols and mirrored-digits",
    licence="theirs",
    classes=tuple(part.name for part in _PARTS),
    channels=1,
    size=8,
    mean=(0.29,),
    std=(0.37,),
    splits={"test": sum(part.splits["test"] for part in _PARTS)},
    locate=locate,
    load=load,
    obtain="It comes with Matplotlib and scikit-learn: pip install matplotlib scikit-learn",
)
