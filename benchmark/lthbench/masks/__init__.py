"""Masks: which weights are kept. Plug-ins import from here; structured masks and rewiring lie beside it."""

from lthbench.masks.selection import (
    Mask,
    allocated,
    apply,
    apply_anew,
    check,
    collapsed,
    count,
    counted,
    full,
    packed,
    prunable,
    top,
    top_grouped,
    top_kernels,
    unpacked,
    whole,
)

__all__ = [
    "Mask",
    "allocated",
    "apply",
    "apply_anew",
    "check",
    "collapsed",
    "count",
    "counted",
    "full",
    "packed",
    "prunable",
    "top",
    "top_grouped",
    "top_kernels",
    "unpacked",
    "whole",
]
