"""What the interactive chart of a page draws: any score over sparsity, its intervals and what was found."""

from __future__ import annotations

import math
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Cell, Shown
from lthbench.report.figures import curves
from lthbench.report.figures import drawing as figures
from lthbench.report.summary import Summary

#: Below this, a sparsity has a place on the axis of shares that remain.
_ALL = 1.0


def data(summary: Summary) -> dict[str, Any] | None:
    """Means and sample standard deviations over seeds, by score and method; None where there are no curves.

    Numbers stand as lists over ``sparsities``, null where there is none; ``worst`` is the value at the
    margin; ``found`` is the finding of the verdict's headline rule, a number into ``findings``.
    """
    levels = [s for s in summary.sparsities if s < _ALL]
    if not levels or not summary.methods or not summary.scores:
        return None
    findings = list(dict.fromkeys(m.finding for v in summary.headline for m in v.matches))
    found = {
        (m.method, m.score, m.sparsity): findings.index(m.finding)
        for v in summary.headline
        for m in v.matches
    }
    judged = {score for _, score, _ in found}
    scores = []
    for score in summary.scores:
        dense = summary.cell("dense", 0.0, score.name)
        record: dict[str, Any] = {
            "title": score.title,
            "group": "the verdict" if score.verdict else score.group,
            "unit": score.unit,
            "shown": score.unit_shown,
            "better": score.better,
            "dense": _pair(dense),
            "worst": _worst(summary, score, dense),
            "mean": [],
            "spread": [],
        }
        for method in summary.methods:
            pairs = [_pair(summary.cell(method, s, score.name)) for s in levels]
            record["mean"].append([p[0] for p in pairs])
            record["spread"].append([p[1] for p in pairs])
        if score.name in judged:
            record["found"] = [[found.get((m, score.name, s)) for s in levels] for m in summary.methods]
        scores.append(record)
    return {
        "percent": list(formatting.PERCENT),
        "counts": list(formatting.COUNTS),
        "sparsities": levels,
        "labels": [formatting.sparsity(s) for s in levels],
        "methods": list(summary.methods),
        "colours": [figures.style(summary, m)[0] for m in summary.methods],
        "dashed": [figures.rank(summary, m) >= len(figures.COLOURS) for m in summary.methods],
        "picked": [m in summary.foremost for m in summary.methods],
        "findings": findings,
        "scores": scores,
    }


def _worst(summary: Summary, score: Shown, dense: Cell | None) -> float | None:
    """The value that is worse than dense by the margin; None where there is none."""
    if dense is None or not math.isfinite(dense.mean):
        return None
    found = curves.worst_allowed(summary, score.name, dense.mean)
    return float(f"{found:.6g}") if found is not None and math.isfinite(found) else None


def _pair(cell: Cell | None) -> tuple[float | None, float | None]:
    """A mean and its spread, null where JSON has no number for it, with as many figures as can be seen."""
    if cell is None:
        return None, None
    mean = float(f"{cell.mean:.6g}") if math.isfinite(cell.mean) else None
    return mean, float(f"{cell.spread:.3g}") if math.isfinite(cell.spread) else None
