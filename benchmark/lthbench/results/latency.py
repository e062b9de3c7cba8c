"""What a forward pass takes, beside a table: measured on one machine at one moment, and part of no verdict.

``latency.csv`` lies beside ``scores.csv``. It has a row for each network and number of images, and names the
clock: processor time on a CPU, which stands still while other work runs, or the wall clock, which counts that
too. Tables of before the clock was named, with the columns of ``FORMER``, are of the wall clock.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lthbench.errors import Damaged
from lthbench.formatting import counted, is_formula, one_line
from lthbench.textfiles import csv_bytes

#: The file beside a table that holds them.
FILE = "latency.csv"
#: It has so many rows and bytes at most.
MOST = 20_000
BYTES = MOST * 500
#: What passes can be timed by, and its column's head.
CLOCKS = {
    "thread": ("the processor time of the thread", "processor time"),
    "process": ("the processor time of all threads together", "processor time"),
    "wall": ("the wall clock, which counts other work of the machine too", "wall time"),
}
#: No pass has more images, takes more seconds, or more operations.
_IMAGES, _SECONDS, _FLOPS = 10**6, 1e5, 10**18


class Latency(NamedTuple):
    """The median seconds of a forward pass of one network over ``images`` images.

    ``network`` is the key of its weights, ``flops`` what was counted of one image (2 for a multiply-add) of
    the network that was timed: dense, or without the channels that its mask removes whole. ``device`` is
    what ran it, with ``threads`` (0 where the device has none). ``clock`` is one of ``CLOCKS``; ``lower`` and
    ``upper`` are quartiles of the seconds. ``speedup`` is how many times as fast as dense it is, the median
    over turns, ``speedup_low`` to ``speedup_high`` its 95 % interval; none for dense, and where the table has
    no dense network of the seed. Tables of before the clock was named have neither quartiles nor these.
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
    clock: str = "wall"
    lower: float | None = None
    upper: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None

    @property
    def score(self) -> str:
        """What its column is called."""
        return f"latency_{self.images}"

    @property
    def title(self) -> str:
        """Its column's head."""
        return f"{CLOCKS[self.clock][1]} of {counted(self.images, 'image', 'images')}"

    @property
    def speedup_score(self) -> str:
        """What the column of its speedup is called."""
        return f"speedup_{self.images}"

    @property
    def speedup_title(self) -> str:
        """The head of the column of its speedup."""
        return f"times as fast, {counted(self.images, 'image', 'images')}"


#: The columns of tables of before the clock was named.
FORMER = Latency._fields[: Latency._fields.index("clock")]


def as_csv(timed: Iterable[Latency]) -> bytes:
    """The table as its canonical CSV."""
    rows = (
        (*t[:1], repr(float(t.sparsity)), *t[2:5], _number(t.seconds), *t[6:10], *map(_number, t[10:]))
        for t in timed
    )
    return csv_bytes(Latency._fields, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def from_csv(content: bytes, where: str) -> tuple[Latency, ...]:
    """The rows of such a table. Raises Damaged, saying ``where``, for what is none."""
    if len(content) > BYTES:
        raise Damaged(f"{where}: has more than {BYTES:,} bytes; times of networks do not.")
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if (header := tuple(next(rows, ()))) not in (Latency._fields, FORMER):
            raise ValueError("another header")
        found = tuple(_row(row, len(header)) for row in itertools.islice(rows, MOST + 1))
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
        if timed.clock not in CLOCKS:
            raise Damaged(f'{where}: has no clock "{timed.clock[:40]}". Valid: {", ".join(CLOCKS)}.')
        if not _ordered(timed):
            raise Damaged(f"{where}: a time has an interval that cannot be: {timed[5:6] + timed[10:]}.")
    if len(clocks := {timed.clock for timed in found}) > 1:
        raise Damaged(f"{where}: has times of several clocks ({', '.join(sorted(clocks))}), not of one.")
    return found


def _row(fields: list[str], columns: int) -> Latency:
    """A row of a table with so many columns. Raises ValueError."""
    if len(fields) != columns:
        raise ValueError("a row of another length")
    method, sparsity, seed, network, images, seconds, flops, device, threads, *more = fields
    numbers = int(images), float(seconds), int(flops)
    told = Latency(method, float(sparsity), int(seed), network, *numbers, device, int(threads))
    if not more:
        return told
    clock, *values = more
    return Latency(*told[:9], clock, *(float(value) if value else None for value in values))


def _possible(timed: Latency) -> bool:
    return (
        0.0 <= timed.sparsity < 1.0
        and 1 <= timed.images <= _IMAGES
        and math.isfinite(timed.seconds)
        and 0.0 < timed.seconds <= _SECONDS
        and 0 < timed.flops <= _FLOPS
        and 0 <= timed.threads <= _IMAGES
    )


def _ordered(timed: Latency) -> bool:
    """Whether the time lies between its quartiles and the speedup in its interval, where there are any."""
    intervals = (
        (timed.lower, timed.seconds if timed.lower is not None else None, timed.upper),
        (timed.speedup_low, timed.speedup, timed.speedup_high),
    )
    for interval in intervals:
        there = [value for value in interval if value is not None]
        if there and not (len(there) == 3 and 0.0 < there[0] <= there[1] <= there[2] < math.inf):
            return False
    return True


def stray(timed: Iterable[Latency], networks: Mapping[tuple[str, float, int], str]) -> str:
    """The first timed network that is not among these, keys by method, sparsity and seed, or "".

    It is named as "omp at 0.5, seed 0".
    """
    for one in timed:
        if networks.get(one[:3]) != one.network:
            return f"{one.method} at {one.sparsity:g}, seed {one.seed}"
    return ""


def said(timed: Iterable[Latency]) -> list[str]:
    """On what networks were timed and by which clock, a line for each device."""
    timed = tuple(timed)
    where = dict.fromkeys((t.device, t.threads, t.clock) for t in timed)
    faster = "; in parentheses 95 % intervals" if any(t.speedup is not None for t in timed) else ""
    return [
        f"passes timed on {device}{f', {threads_of(threads)}' if threads else ''}, by {CLOCKS[clock][0]}: "
        f"medians, networks of a seed in turns, without the channels that their masks remove whole{faster}"
        for device, threads, clock in where
    ]


def speedup_text(speedup: float, low: float, high: float) -> str:
    """How many times as fast, with its interval; that it is not shown where the interval holds 1."""
    unsaid = "" if shown(low, high) else " not shown"
    return f"{speedup:.2f} ({low:.2f} to {high:.2f}){unsaid}"


def shown(low: float, high: float) -> bool:
    """Whether this interval of a speedup tells faster from slower: 1 lies outside."""
    return not low <= 1.0 <= high


def speedup_of(timed: Sequence[Latency]) -> tuple[float, float, float] | None:
    """The mean speedup of seeds, and the ends of the widest interval that theirs reach; None without any."""
    rows = [t[12:] for t in timed if None not in t[12:]]
    if not rows:
        return None
    middle, low, high = zip(*rows, strict=True)
    return math.fsum(middle) / len(rows), min(low), max(high)


def threads_of(threads: int) -> str:
    """A number of threads in words."""
    return counted(threads, "thread", "threads")
