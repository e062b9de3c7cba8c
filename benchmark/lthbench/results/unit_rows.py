"""Rows for single units in the file that a metric kept of one network: read, or refused."""

from __future__ import annotations

import csv
import io
import itertools
import math

from lthbench import registry
from lthbench.errors import Damaged
from lthbench.formatting import is_formula, one_line
from lthbench.kinds import Metric, UnitFile, UnitRow

#: The units of one table are so many at most, and the file of one network has so many bytes.
MOST, LARGEST = 200_000, 20_000_000
#: And so many rows: a line of two bytes takes hundreds of memory.
ROWS = 500_000
#: Names have so many letters at most.
LETTERS = 500
#: No unit has a higher number.
HIGHEST = 10**9


def parsed(content: bytes, metric: str, where: str) -> list[UnitRow]:
    """The rows in a file that a metric kept of one network. Raises Damaged, saying ``where``."""
    kept = registry.get(Metric, metric).units
    assert kept is not None
    if len(content) > LARGEST:
        raise Damaged(f"{where}: its file of units has more than {LARGEST:,} bytes.")
    try:
        reader = csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True)
        rows = list(itertools.islice(reader, ROWS + 1))
        if len(rows) > ROWS:
            raise Damaged(f"{where}: its file of units has more than {ROWS:,} rows.")
        found = list(kept.read(rows))
        wrong = next(filter(None, (misfit(kept, row) for row in found)), "")
    except Damaged:
        raise
    except Exception as error:  # a metric of one's own may raise anything
        raise Damaged(f"{where}: its file of units cannot be read ({type(error).__name__}).") from error
    if wrong or len(found) > MOST:
        raise Damaged(f"{where}: {wrong or 'too many units'}.")
    return found


def misfit(kept: UnitFile, row: UnitRow) -> str:
    """What is wrong with a row of a metric's file, or ""."""
    names = (row.layer, row.concept, row.category)
    if not all(one_line(name) and len(name) <= LETTERS for name in names):
        return f"a unit has a name that is no line of at most {LETTERS} letters"
    if any(map(is_formula, names)):
        return "a unit has a name that spreadsheets would compute"
    if not 0 <= row.unit <= HIGHEST:
        return f"a unit has a number below 0 or above {HIGHEST:,}"
    there = (kept.unknown and math.isnan(row.value)) or kept.low <= row.value <= kept.high
    if not there or not (math.isnan(row.accuracy) or 0.0 <= row.accuracy <= 1.0):
        return "a unit has a value that cannot be"
    return ""
