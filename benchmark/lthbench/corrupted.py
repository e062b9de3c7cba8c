"""Sets of corrupted images: made once, kept on disk, shown to every network of a store.

Corrupting costs more than a fast network's pass, and is the same for all networks. A set is kept as one file
of uint8 with its hash beside it, written through and never whole in memory, as long as all of them take up no
more than ``LTHBENCH_SETS_GB`` gigabytes (4 by default; 0 keeps none) and the disk has room. Whatever is not
kept, or is not what was written, is made anew: results never depend on it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from lthbench import corruptions, data, registry
from lthbench.corruptions import official
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images
from lthbench.spec import PREDICT_VERSION, Inputs
from lthbench.store import host, sets_limit
from lthbench.stream import Stream, ahead
from lthbench.train import generator

#: Images in one draw of a corruption's noise, and in one forward pass.
BATCH = 250
#: A set is kept if the disk has so many times its size to spare.
SPARE = 4


def corrupted(
    inputs: Inputs, severity: int, places: tuple[Path, ...], kept: Path | None = None
) -> Iterator[np.ndarray]:
    """The corrupted images in batches, as uint8; the same for every network.

    ``kept`` is the folder of a store where sets are kept, or None for none.
    """
    if kept is None or inputs.view.startswith(official.PREFIX):
        return _made(inputs, severity, places)
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    path = kept / f"{_name(inputs, severity)}.u8"
    shape = tuple(images.pixels.shape)
    if not _whole(path, math.prod(shape)):
        if not _fits(kept, math.prod(shape)):
            return _made(inputs, severity, places)
        try:
            _write(path, _made(inputs, severity, places))
        except OSError:  # the disk is full or read-only: that must not stop a run
            return _made(inputs, severity, places)
    return _read(path, shape)


def batches(images: Images) -> Iterator[np.ndarray]:
    """The pixels of each batch; those of a stream are decoded while the batch before is used."""
    made = (images.pixels[start : start + BATCH] for start in starts(images))
    return ahead(made) if isinstance(images.pixels, Stream) else made


def starts(images: Images) -> range:
    """Where the batches begin."""
    return range(0, len(images.labels), BATCH)


def at_once(device: torch.device, height: int, width: int) -> int:
    """How many images go through a network together where that is free to choose.

    On a processor few, so that activations stay in its cache (a quarter faster than 250 at 32 pixels), but
    enough to be worth the calls (512 of 8 pixels are done in half the time that batches of 32 take).
    """
    pixels = height * width
    if device.type == "cuda":
        return max(1, min(1000, 1000 * 64 * 64 // pixels))
    return max(1, min(max(32, 32 * 32 * 32 // pixels), 1000 * 64 * 64 // pixels))


def as_pixels(batch: np.ndarray, device: torch.device) -> torch.Tensor:
    """A batch of uint8 as float32 in [0, 1], channels last, on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(device, torch.float32).div_(255.0)
    return tensor.contiguous(memory_format=torch.channels_last)


def _made(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Iterator[np.ndarray]:
    if inputs.view.startswith(official.PREFIX):
        yield from batches(_published(inputs, severity, places))
        return
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
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
    if not np.array_equal(images.labels, data.load(dataset.name, inputs.split, places).labels):
        raise BadInput(
            f"the published images of {kind} for {dataset.name} have other labels than its test images, or "
            "another order; use the test images in the order in which they were published."
        )
    return data.subset(images, inputs.images)


# ------------------------------------------------------------------------------------------ kept on disk


def _name(inputs: Inputs, severity: int) -> str:
    """By everything that changes the images; the other severities asked for do not."""
    facts = {**asdict(inputs), "strengths": [severity], "made by": PREDICT_VERSION}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fits(kept: Path, size: int) -> bool:
    taken = sum(f.stat().st_size for f in kept.glob("*.u8")) if kept.is_dir() else 0
    near = next(p for p in (kept, *kept.absolute().parents) if p.is_dir())
    return taken + size <= sets_limit() and shutil.disk_usage(near).free >= SPARE * size


def _whole(path: Path, size: int) -> bool:
    """Whether the set is there as it was written."""
    try:
        known = path.with_suffix(".sha256").read_text(encoding="ascii")
        facts = path.stat()
        return facts.st_size == size and _digest(path, facts.st_mtime_ns, facts.st_ino) == known
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1024)
def _digest(path: Path, changed: int, inode: int) -> str:
    """The hash of a file as it was when it was last changed; read once in a process."""
    del changed, inode
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, made: Iterator[np.ndarray]) -> None:
    """Write a set and then its hash: what was cut short has none. Two processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent.parent / "tmp" / f"{host()}-{os.getpid()}-{uuid.uuid4().hex}"
    scratch.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    try:
        with scratch.open("wb") as file:
            for batch in made:
                content = batch.tobytes()
                digest.update(content)
                file.write(content)
        scratch.replace(path)
        scratch.write_text(digest.hexdigest(), encoding="ascii")
        scratch.replace(path.with_suffix(".sha256"))
    finally:
        scratch.unlink(missing_ok=True)


def _read(path: Path, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    pixels = np.memmap(path, np.uint8, "r", shape=shape)
    return (np.array(pixels[start : start + BATCH]) for start in range(0, shape[0], BATCH))
