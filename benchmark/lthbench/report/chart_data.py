"""What the interactive chart of a page draws: any score over sparsity, its intervals and what was found."""

from __future__ import annotations

import math
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Shown
from lthbench.report.compared import Compared
from lthbench.report.figures import drawing as figures
from lthbench.report.summary import Summary, trainings_named

#: Below this, a sparsity has a place on the axis of shares that remain.
_ALL = 1.0


def data(summary: Summary) -> dict[str, Any] | None:
    """Means and sample standard deviations over seeds, by score and method; None where there are no curves.

    Numbers stand as lists over ``sparsities``, null where there is none. Those of the verdict are as it
    compares them: ``dense`` is what networks are compared with, ``worst`` the value at the margin, and where
    ``relative``, differences are shares of dense. ``found`` is the finding of the verdict's headline rule, a
    number into ``findings``.
    """
    levels = [s for s in summary.sparsities if s < _ALL]
    if not levels or not summary.methods or not summary.scores:
        return None
    findings = list(dict.fromkeys(m.finding for m in summary.matches.values()))
    found = {place: findings.index(match.finding) for place, match in summary.matches.items()}
    scores, compared = [], Compared(summary)
    for score in summary.scores:
        reference = compared.reference(score.name)
        record: dict[str, Any] = {
            "title": score.title,
            "group": "the verdict" if score.verdict else score.group,
            "unit": score.unit,
            "shown": score.unit_shown,
            "better": score.better,
            "dense": _dense(summary, compared, score),
            "worst": None if reference is None else _number(reference.worst),
            "mean": [],
            "spread": [],
        }
        if reference is not None:
            record |= {key: True for key in ("trainings", "relative") if getattr(reference, key)}
        for method in summary.methods:
            record["mean"].append([_number(compared.mean(method, s, score.name)) for s in levels])
            record["spread"].append([_number(compared.spread(method, s, score.name), 3) for s in levels])
        if score.name in summary.judged:
            record["found"] = [[found.get((m, s, score.name)) for s in levels] for m in summary.methods]
        scores.append(record)
    return {
        "percent": list(formatting.PERCENT),
        "counts": list(formatting.COUNTS),
        "sparsities": levels,
        "labels": [formatting.sparsity(s) for s in levels],
        "compared": trainings_named(summary),
        "methods": list(summary.methods),
        "colours": [figures.style(summary, m)[0] for m in summary.methods],
        "dashed": [figures.rank(summary, m) >= len(figures.COLOURS) for m in summary.methods],
        "picked": [m in summary.foremost for m in summary.methods],
        "findings": findings,
        "scores": scores,
    }


def _dense(summary: Summary, compared: Compared, score: Shown) -> tuple[float | None, float | None]:
    """What networks are compared with, and its deviation over seeds or trainings."""
    reference, cell = compared.reference(score.name), summary.cell("dense", 0.0, score.name)
    if reference is not None and reference.trainings:
        cell = summary.trainings.get(score.name)
    return _number(compared.dense(score.name)), _number(None if cell is None else cell.spread, 3)


def _number(value: float | None, figures: int = 6) -> float | None:
    """A number with as many figures as can be seen; null where JSON has none for it."""
    return float(f"{value:.{figures}g}") if value is not None and math.isfinite(value) else None
