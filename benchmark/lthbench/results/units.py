"""What single units of networks stand for: a row for each, gathered from what metrics keep beside scores.

A table of its own beside the table of scores, ``units.csv``. It is a pure function of the plan and of the
results, so that who checks a bundle makes it again. Which file of a metric has such rows, and how they are
read, its record says (``kinds.UnitFile``).
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from lthbench import registry
from lthbench.errors import Damaged
from lthbench.formatting import is_formula, one_line
from lthbench.kinds import Metric, UnitFile, UnitRow
from lthbench.results.unit_rows import MOST, misfit, parsed
from lthbench.textfiles import csv_bytes

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.spec import Measure
    from lthbench.store import ResultReader

#: The file beside a table that holds its units.
FILE = "units.csv"
#: The table of them all has so many bytes at most.
BYTES = MOST * 300


class Unit(NamedTuple):
    """One unit of a layer of a network, or one class of a bottleneck, with a number of its own.

    ``metric`` says what ``concept`` and ``value`` are: of "dissection" the best concept and its intersection
    over union, of "composition" (and "composition-all") a formula and the same, of "mis-layers" nothing and
    the score from 0 to 1 (NaN for a constant unit), of "bottleneck" a concept and its weight for the class
    ``unit``, from 1. ``accuracy`` is that of a class where ``layer`` is the softmax, or NaN. From ``layer``
    on it is the metric's ``UnitRow``.
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


def file_of(store: ResultReader, measure: Measure) -> str:
    """The name of the file with rows that the result of a measure has; "" for none."""
    kept = registry.get(Metric, measure.metric).units
    there = kept is not None and store.has(measure) and kept.name in store.files(measure)
    return kept.name if kept is not None and there else ""


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


def _kept_by(metric: str) -> UnitFile:
    """The file of a metric that stands in a table; of one not known here, one with any values."""
    known = registry.known(Metric, metric)
    return (known and known.units) or UnitFile("", lambda rows: (), unknown=True)


def as_csv(units: Iterable[Unit]) -> bytes:
    """The table of units as its canonical CSV."""

    def shown(value: float) -> str:
        return "" if math.isnan(value) else f"{value:.6g}"

    rows = (
        (u.method, repr(float(u.sparsity)), u.seed, *u[3:8], shown(u.value), shown(u.accuracy)) for u in units
    )
    return csv_bytes(Unit._fields, rows)


def _unit(fields: list[str]) -> Unit:
    """A row of the table. Raises ValueError."""
    method, sparsity, seed, metric, layer, unit, concept, category, value, accuracy = fields
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
        found = tuple(_unit(row) for row in itertools.islice(rows, MOST + 1))
    except (ValueError, csv.Error) as error:
        raise Damaged(f"{where}: cannot be read as a table of units.") from error
    if len(found) > MOST:
        raise Damaged(f"{where}: has more units than {MOST:,}, which is the most that are read.")
    files = {name: _kept_by(name) for name in {unit.metric for unit in found}}
    wrong = next(filter(None, (misfit(files[unit.metric], UnitRow(*unit[4:])) for unit in found)), "")
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
