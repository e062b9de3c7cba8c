"""What single units of networks stand for: a row for each, gathered from what metrics keep beside scores.

A table of its own beside the table of scores, ``units.csv``. It is a pure function of the plan and of the
results, so that who checks a bundle makes it again. Which files of which metrics have such rows stands in
``SOURCES``.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lthbench.errors import Damaged
from lthbench.formatting import is_formula, one_line

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.spec import Measure
    from lthbench.store import ResultReader

#: The file beside a table that holds its units.
FILE = "units.csv"
#: It has so many rows at most, and a file of one network so many bytes.
MOST, LARGEST = 200_000, 20_000_000
#: And so many rows: a line of two bytes takes hundreds of memory.
ROWS = 500_000
#: The table of them all has so many bytes at most.
BYTES = MOST * 300
#: Names in it have so many letters at most.
LETTERS = 500
#: No unit has a higher number, no weight is larger.
HIGHEST, LARGE = 10**9, 1e12
#: Where the values of a metric's units lie, and whether they may be unknown; rounding may go beyond.
RANGES = {
    "dissection": (0.0, 1.0 + 1e-6, False),
    "composition": (0.0, 1.0 + 1e-6, False),
    "composition-all": (0.0, 1.0 + 1e-6, False),
    "mis-layers": (-1e-6, 1.0 + 1e-6, True),
    "bottleneck": (-LARGE, LARGE, False),
}
#: How many concepts of each class are kept, of a bottleneck: those with the largest weights.
TOP = 5


class Unit(NamedTuple):
    """One unit of a layer of a network, or one class of a bottleneck, with a number of its own.

    ``metric`` says what ``concept`` and ``value`` are: of "dissection" the best concept and its intersection
    over union, of "composition" (and "composition-all") a formula and the same, of "mis-layers" nothing and
    the score from 0 to 1 (NaN for a constant unit), of "bottleneck" a concept and its weight for the class
    ``unit``, from 1. ``accuracy`` is that of a class where ``layer`` is the softmax, or NaN.
    """

    method: str
    sparsity: float
    seed: int
    metric: str
    layer: str
    unit: int
    concept: str
    category: str
    value: float
    accuracy: float = math.nan


class _Found(NamedTuple):
    """The part of a row that a file of one network tells."""

    layer: str
    unit: int
    concept: str
    category: str
    value: float
    accuracy: float = math.nan


_Row = Mapping[Any, Any]


def _dissected(rows: Sequence[_Row]) -> Iterator[_Found]:
    for row in rows:
        value = 0.0 if row["dead"] == "1" else float(row["iou"])
        yield _Found(row["layer"], int(row["unit"]), row["label"], row["category"], value)


def _explained(rows: Sequence[_Row]) -> Iterator[_Found]:
    longest = max((int(row["length"]) for row in rows), default=0)
    for row in rows:
        if int(row["length"]) == longest:
            yield _Found(row["layer"], int(row["unit"]), row["formula"], "", float(row["iou"]))


def _alike(rows: Sequence[_Row]) -> Iterator[_Found]:
    for row in rows:
        accuracy = float(row["accuracy"] or "nan")
        yield _Found(row["layer"], int(row["unit"]), "", "", float(row["mis"]), accuracy)


def _weighed(rows: Sequence[_Row]) -> Iterator[_Found]:
    seen: dict[int, int] = {}
    for row in sorted(rows, key=lambda r: (int(r["class"]), -float(r["weight"]))):
        number = int(row["class"])
        seen[number] = seen.get(number, 0) + 1
        if seen[number] <= TOP:
            yield _Found("", number, row["concept"], row["category"], float(row["weight"]))


#: The file that a metric keeps of a network, and how its rows are read.
SOURCES: dict[str, tuple[str, Callable[[Sequence[_Row]], Iterator[_Found]]]] = {
    "dissection": ("units.csv", _dissected),
    "composition": ("formulas.csv", _explained),
    "composition-all": ("formulas.csv", _explained),
    "mis-layers": ("mis.csv", _alike),
    "bottleneck": ("weights.csv", _weighed),
}


def file_of(store: ResultReader, measure: Measure) -> str:
    """The name of the file with rows that the result of a measure has; "" for none."""
    name = SOURCES.get(measure.metric, ("",))[0]
    return name if name and store.has(measure) and name in store.files(measure) else ""


def gather(plan: Plan, store: ResultReader) -> tuple[Unit, ...]:
    """The units of a plan's networks, in its order: of all seeds, or of as many as ``MOST`` rows hold.

    Raises Damaged for a file that its metric did not write.
    """
    found: list[Unit] = []
    for seed in plan.request.seeds:
        own = [unit for entry in plan.entries if entry.seed == seed for unit in _of_entry(entry, store)]
        if len(found) + len(own) > MOST:
            break
        found += own
    return tuple(found)


def _of_entry(entry: Entry, store: ResultReader) -> Iterator[Unit]:
    for measure in entry.measures:
        name = file_of(store, measure)
        if name:
            where = f"the result {measure.key[:12]} of {measure.metric}"
            for row in parsed(store.read(measure, name), measure.metric, where):
                yield Unit(entry.method, entry.sparsity, entry.seed, measure.metric, *row)


def parsed(content: bytes, metric: str, where: str) -> list[_Found]:
    """The rows in a file that a metric kept of one network. Raises Damaged, saying ``where``."""
    if len(content) > LARGEST:
        raise Damaged(f"{where}: its file of units has more than {LARGEST:,} bytes.")
    try:
        reader = csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True)
        rows = list(itertools.islice(reader, ROWS + 1))
        if len(rows) > ROWS:
            raise Damaged(f"{where}: its file of units has more than {ROWS:,} rows.")
        found = list(SOURCES[metric][1](rows))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise Damaged(f"{where}: its file of units cannot be read.") from error
    wrong = next(filter(None, (_misfit(metric, row) for row in found)), "")
    if wrong or len(found) > MOST:
        raise Damaged(f"{where}: {wrong or 'too many units'}.")
    return found


def _misfit(metric: str, row: _Found | Unit) -> str:
    """What is wrong with a row of a metric, or ""."""
    names = (row.layer, row.concept, row.category)
    if not all(one_line(name) and len(name) <= LETTERS for name in names):
        return f"a unit has a name that is no line of at most {LETTERS} letters"
    if not 0 <= row.unit <= HIGHEST:
        return f"a unit has a number below 0 or above {HIGHEST:,}"
    low, high, unknown = RANGES.get(metric, (-LARGE, LARGE, True))
    there = (unknown and math.isnan(row.value)) or low <= row.value <= high
    if not there or not (math.isnan(row.accuracy) or 0.0 <= row.accuracy <= 1.0):
        return "a unit has a value that cannot be"
    return ""


def as_csv(units: Iterable[Unit]) -> bytes:
    """The table of units as its canonical CSV."""
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\n")
    write.writerow(Unit._fields)
    for unit in units:
        shown = [
            "" if isinstance(v, float) and math.isnan(v) else f"{v:.6g}" for v in (unit.value, unit.accuracy)
        ]
        write.writerow([unit.method, repr(float(unit.sparsity)), unit.seed, *unit[3:8], *shown])
    return buffer.getvalue().encode()


def _unit(
    method: str,
    sparsity: str,
    seed: str,
    metric: str,
    layer: str,
    unit: str,
    concept: str,
    category: str,
    value: str,
    accuracy: str,
) -> Unit:
    """A row of the table. Raises ValueError."""
    numbers = float(value or "nan"), float(accuracy or "nan")
    return Unit(method, float(sparsity), int(seed), metric, layer, int(unit), concept, category, *numbers)


def from_csv(content: bytes, where: str) -> tuple[Unit, ...]:
    """The units in such a table. Raises Damaged, saying ``where``, for what is none."""
    if len(content) > BYTES:
        raise Damaged(f"{where}: has more bytes than {MOST:,} units take.")
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if tuple(next(rows, ())) != Unit._fields:
            raise ValueError("another header")
        found = tuple(_unit(*row) for row in itertools.islice(rows, MOST + 1))
    except (ValueError, TypeError, csv.Error) as error:
        raise Damaged(f"{where}: cannot be read as a table of units.") from error
    if len(found) > MOST:
        raise Damaged(f"{where}: has more units than {MOST:,}, which is the most that are read.")
    wrong = next(filter(None, (_misfit(unit.metric, unit) for unit in found)), "")
    odd = next(
        (u for u in found if not (0.0 <= u.sparsity < 1.0 and one_line(f"{u.method}{u.metric}"))), None
    )
    computed = next(
        (n for u in found for n in (u.method, u.layer, u.concept, u.category) if is_formula(n)), ""
    )
    if computed:
        raise Damaged(f"{where}: has a name that spreadsheets would compute: {computed[:100]!a}.")
    if wrong or odd:
        raise Damaged(f"{where}: {wrong or 'a unit is of a network that cannot be'}.")
    return found
