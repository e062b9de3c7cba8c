"""Gaussian noise, 32 x 32 pixels: the out-of-distribution set of Chen et al.'s released evaluation."""

from __future__ import annotations

from pathlib import Path

from lthbench.kinds import Dataset, Images, Source

SPLITS = {"test": 10_000}


def locate(folders: tuple[Path, ...]) -> Source | None:
    """Always there: it is drawn, not read."""
    del folders
    return Source("drawn", Path(), ())


def load(source: Source, split: str) -> Images:
    """10,000 images of grey values 255 * (clip(N(0, 0.5), -1, 1) / 2 + 0.5), each channel by itself.

    0.5 is the standard deviation. The released code draws anew in each evaluation; here a fixed seed does.
    """
    import numpy as np

    del source
    draw = np.random.Generator(np.random.PCG64(0))
    noise = draw.standard_normal((SPLITS[split], 3, 32, 32), dtype=np.float32)
    noise *= 0.5
    pixels = np.rint((noise.clip(-1.0, 1.0) * 0.5 + 0.5) * 255.0).astype(np.uint8)
    return Images(pixels, np.zeros(len(pixels), dtype=np.int64))


DATASET = Dataset(
    name="gaussian-noise",
    version=1,
    title="Gaussian noise, 32 x 32 pixels (out of distribution for anything)",
    source="Chen et al. 2022, released evaluation: clip(N(0, 0.5), -1, 1) / 2 + 0.5",
    licence="none needed",
    classes=("noise",),
    channels=3,
    size=32,
    mean=(0.5, 0.5, 0.5),
    std=(0.24, 0.24, 0.24),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="It is drawn where it is needed.",
)
