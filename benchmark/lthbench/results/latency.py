"""What a forward pass takes, beside a table: measured on one machine at one moment, and part of no verdict.

``latency.csv`` lies beside ``scores.csv``. It has a row for each network and number of images; networks of a
seed took turns, so that their ratios are those of the networks and not of what else the machine did.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lthbench.errors import Damaged
from lthbench.formatting import counted, is_formula, one_line
from lthbench.textfiles import csv_bytes

#: The file beside a table that holds them.
FILE = "latency.csv"
#: It has so many rows and bytes at most.
MOST = 20_000
BYTES = MOST * 500
#: No pass has more images, takes more seconds, or more operations.
_IMAGES, _SECONDS, _FLOPS = 10**6, 1e5, 10**18


class Latency(NamedTuple):
    """The median seconds of a forward pass of one network over ``images`` images.

    ``network`` is the key of its weights, ``flops`` what was counted of one image (2 for a multiply-add) of
    the network that was timed: dense, or without the channels that its mask removes whole. ``device`` is
    what ran it, with ``threads`` (0 where the device has none).
    """

    method: str
    sparsity: float
    seed: int
    network: str
    images: int
    seconds: float
    flops: int
    device: str
    threads: int

    @property
    def score(self) -> str:
        """What its column is called."""
        return f"latency_{self.images}"

    @property
    def title(self) -> str:
        """Its column's head."""
        return f"time of {counted(self.images, 'image', 'images')}"


def as_csv(timed: Iterable[Latency]) -> bytes:
    """The table as its canonical CSV."""
    rows = ((*t[:1], repr(float(t.sparsity)), *t[2:5], f"{t.seconds:.6g}", *t[6:]) for t in timed)
    return csv_bytes(Latency._fields, rows)


def from_csv(content: bytes, where: str) -> tuple[Latency, ...]:
    """The rows of such a table. Raises Damaged, saying ``where``, for what is none."""
    if len(content) > BYTES:
        raise Damaged(f"{where}: has more than {BYTES:,} bytes; times of networks do not.")
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if tuple(next(rows, ())) != Latency._fields:
            raise ValueError("another header")
        found = tuple(_row(row) for row in itertools.islice(rows, MOST + 1))
    except (ValueError, csv.Error) as error:
        raise Damaged(f"{where}: cannot be read as times of networks.") from error
    if len(found) > MOST:
        raise Damaged(f"{where}: has more than {MOST:,} times, which is the most that are read.")
    for timed in found:
        names = (timed.method, timed.network, timed.device)
        if not all(one_line(name) and not is_formula(name) and len(name) <= 500 for name in names):
            raise Damaged(f"{where}: a time has a name that is no line of at most 500 letters.")
        if not _possible(timed):
            raise Damaged(f"{where}: a time has a number that cannot be: {timed[1:3] + timed[4:7]}.")
    return found


def _row(fields: list[str]) -> Latency:
    """A row of the table. Raises ValueError."""
    method, sparsity, seed, network, images, seconds, flops, device, threads = fields
    numbers = int(images), float(seconds), int(flops)
    return Latency(method, float(sparsity), int(seed), network, *numbers, device, int(threads))


def _possible(timed: Latency) -> bool:
    return (
        0.0 <= timed.sparsity < 1.0
        and 1 <= timed.images <= _IMAGES
        and math.isfinite(timed.seconds)
        and 0.0 < timed.seconds <= _SECONDS
        and 0 < timed.flops <= _FLOPS
        and 0 <= timed.threads <= _IMAGES
    )


def stray(timed: Iterable[Latency], networks: Mapping[tuple[str, float, int], str]) -> str:
    """The first timed network that is not among these, keys by method, sparsity and seed, or "".

    It is named as "omp at 0.5, seed 0".
    """
    for one in timed:
        if networks.get(one[:3]) != one.network:
            return f"{one.method} at {one.sparsity:g}, seed {one.seed}"
    return ""


def said(timed: Iterable[Latency]) -> list[str]:
    """On what networks were timed, a line for each device."""
    where = dict.fromkeys((t.device, t.threads) for t in timed)
    return [
        f"passes timed on {device}{f', {threads_of(threads)}' if threads else ''}: medians, networks of a "
        "seed in turns, without the channels that their masks remove whole"
        for device, threads in where
    ]


def threads_of(threads: int) -> str:
    """A number of threads in words."""
    return counted(threads, "thread", "threads")
