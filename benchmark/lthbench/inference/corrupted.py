"""Sets of corrupted images: made once, kept on disk, shown to every network of a store.

Corrupting costs more than a fast network's pass, and is the same for all networks. A set is kept as one file
of uint8 with its hash beside it, written as it is used and never whole in memory, as long as all of them take
up no more than ``LTHBENCH_SETS_GB`` gigabytes (4 by default; 0 keeps none) and the disk has room. Whatever is
not kept, or is not what was written, is made anew: results never depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from lthbench import corruptions, registry
from lthbench.compute.rng import generator
from lthbench.corruptions import official
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.inference.batches import BATCH, as_pixels, batches, starts
from lthbench.kinds import Dataset, Images
from lthbench.spec import PREDICT_VERSION, Inputs
from lthbench.store import sets


def corrupted(
    inputs: Inputs, severity: int, places: tuple[Path, ...], kept: Path | None = None
) -> Iterator[np.ndarray]:
    """The corrupted images in batches, as uint8; the same for every network.

    ``kept`` is the folder of a store where sets are kept, or None for none. A set that is not there is
    written as it is used.
    """
    if kept is None or inputs.view.startswith(official.PREFIX):
        return _made(inputs, severity, places)
    path = kept / f"{_name(inputs, severity)}.u8"
    shape = tuple(loading.shown(inputs, places).pixels.shape)
    if sets.whole(path, math.prod(shape)):
        return sets.read(path, shape, BATCH)
    made = _made(inputs, severity, places)
    return sets.written(path, made) if sets.fits(kept, math.prod(shape)) else made


def _made(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Iterator[np.ndarray]:
    if inputs.view.startswith(official.PREFIX):
        yield from batches(_published(inputs, severity, places))
        return
    images = loading.shown(inputs, places)
    kind = corruptions.get(inputs.view)
    for start, pixels in zip(starts(images), batches(images), strict=True):
        draw = generator("corruption", kind.name, severity, start)
        batch = as_pixels(pixels, torch.device("cpu"))
        done = kind.apply(batch, severity, draw).clamp_(0.0, 1.0)
        # Cut down, not rounded, as the published arrays are; the margin keeps whole levels whole.
        yield (done * 255.0 + 1e-3).to(torch.uint8).numpy()


def _published(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Images:
    """The published images. Raises BadInput if they are not those of the test set, in its order."""
    dataset = registry.get(Dataset, inputs.data.name)
    kind = inputs.view.removeprefix(official.PREFIX)
    images = official.load(dataset, kind, severity, places)
    if not np.array_equal(images.labels, loading.load(dataset.name, inputs.split, places).labels):
        raise BadInput(
            f"the published images of {kind} for {dataset.name} have other labels than its test images, or "
            "another order; use the test images in the order in which they were published."
        )
    return loading.subset(images, inputs.images, inputs.first)


# ------------------------------------------------------------------------------------------ kept on disk


def _name(inputs: Inputs, severity: int) -> str:
    """By everything that changes the images; the other severities asked for do not."""
    known = {name: value for name, value in asdict(inputs).items() if value is not None}
    facts = {**known, "strengths": [severity], "made by": PREDICT_VERSION}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
