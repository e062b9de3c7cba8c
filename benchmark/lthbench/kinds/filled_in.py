"""Whether the fields of a plug-in's record are filled in as their kinds say."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from lthbench.errors import BadInput
from lthbench.formatting import is_formula, one_line


def count(value: Any) -> bool:
    """Whether it is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def finite(value: Any) -> bool:
    """Whether it is a number that is finite; one of NumPy's is, too."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def plain(value: Any) -> int | float:
    """A number as Python's own, which can be written into a file as it is."""
    return value if isinstance(value, int | float) else float(value)


def texts(who: str, record: Any, *names: str) -> None:
    """Raise BadInput for a field that is no text, or a name that is empty."""
    for name in names:
        value = getattr(record, name)
        if not isinstance(value, str):
            raise BadInput(f"{who}: {name} must be a text, not {value!r}.")
        if name == "name" and not value:
            raise BadInput(f"{who}: name is empty.")


def cells(who: str, record: Any, *names: str) -> None:
    """Raise BadInput for a text that reports could not read again: of several lines, or a formula."""
    for name in names:
        cell(f"{who}: {name}", getattr(record, name))


def cell(what: str, value: str) -> None:
    """Raise BadInput, beginning with ``what`` it is, for such a text."""
    if not one_line(value):
        raise BadInput(f"{what} must be a line without control characters, not {value[:100]!a}.")
    if is_formula(value):
        raise BadInput(f"{what} is a formula to spreadsheets: {value[:100]!a}; begin it anew.")


def version(who: str, value: Any) -> None:
    """Raise BadInput for a version that is no whole number from 1 on."""
    if not count(value) or value < 1:
        raise BadInput(f"{who}: version must be a whole number, 1 or more, not {value!r}.")
