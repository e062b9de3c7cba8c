"""Figures of a report: one file each, found by listing. A new one is one file with a ``KIND`` and a test."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from lthbench.report.figures.drawing import Kind


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of figures, in the order in which a page shows them."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    there = [module.KIND for module in modules if hasattr(module, "KIND")]
    return tuple(sorted(there, key=lambda kind: kind.place))
