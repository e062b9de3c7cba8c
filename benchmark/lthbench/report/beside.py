"""One method beside another at a sparsity, in numbers and words. Pure functions of a summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lthbench import formatting
from lthbench.errors import BadInput, unknown
from lthbench.report.explanation import gap, level_of, number, prose, record
from lthbench.report.summary import Summary
from lthbench.verdict.between import Contrast


def account(summary: Summary, method: str, other: str, sparsity: float) -> dict[str, Any]:
    """How a method compares with another at a sparsity. Raises BadInput for what is not in the table."""
    for name in (method, other):
        if name == "dense":
            raise BadInput(
                "explain without --against compares with dense; --against takes a method of this table: "
                f"{', '.join(summary.methods)}."
            )
        if name not in summary.methods:
            raise unknown("method", name, summary.methods, "in this table")
    if method == other:
        raise BadInput(f"{method} would be compared with itself: give --against another method.")
    level, theirs = (level_of(summary, m, sparsity) for m in (method, other))
    if level != theirs:
        raise BadInput(
            f"{method} is at sparsity {level:.6g} and {other} at {theirs:.6g}: methods are compared at one "
            "sparsity."
        )
    found = summary.pairs.contrasts(method, other, level)
    return {
        "task": summary.facts.task_name,
        "budget": summary.facts.budget_name,
        "method": method,
        "against": other,
        "sparsity": level,
        "seeds": max((c.seeds for c in found), default=0),
        "said": sentence(summary, method, other, found),
        "looks": len(summary.facts.looks.counts) if summary.facts.looks else 1,
        "scores": [record(summary, c) for c in found],
    }


def sentence(summary: Summary, method: str, other: str, found: Sequence[Contrast]) -> str:
    """Which of the two is better, in one sentence."""
    if same := _of(found, "same"):
        once = all(c.seeds == 1 for c in same)
        networks = "the same network" if once else "the same networks, seed by seed"
        return f"{method} and {other} are {networks}: nothing is to be compared."
    tested = [c for c in found if c.finding != "untested"]
    if not tested:
        reasons = dict.fromkeys(c.reason for c in found)
        return f"{method} and {other} cannot be compared: {'; '.join(reasons) or 'no score was measured'}."
    alone = all(c.seeds == 1 for c in tested)
    who = f"{method}, this one network of it," if alone else method
    better, worse = (_names(summary, tested, finding) for finding in ("better", "worse"))
    parts = [f"better than {other} in {better}"] if better else []
    parts += [f"worse {'' if better else f'than {other} '}in {worse}"] if worse else []
    nothing = (
        f"Nothing tells {'these networks of ' if alone else ''}{method} {'and' if alone else 'from'} {other}"
    )
    said = f"{who} is {', '.join(parts)}; " if parts else f"{nothing}{' apart' if alone else ''}: "
    rest = [(f, len(_of(tested, f))) for f in ("equivalent", "open")]
    counts = [f"{finding} in {count}" for finding, count in rest if count]
    if counts:
        counts[0] += f" of {formatting.counted(len(tested), 'score', 'scores')}"
    return f"{said}{', '.join(counts) or 'so in all scores'}."


def _of(found: Sequence[Contrast], finding: str) -> list[Contrast]:
    return [c for c in found if c.finding == finding]


def _names(summary: Summary, found: Sequence[Contrast], finding: str) -> str:
    return formatting.listed([summary.title_of(c.score) for c in _of(found, finding)])


def text(found: dict[str, Any], width: int = 80) -> str:
    """The account for the shell, in lines of at most ``width`` characters (60 at least)."""
    width = max(width, 60)
    where = f"{found['method']} beside {found['against']} at {formatting.sparsity(found['sparsity'])}"
    seeds = f", {formatting.counted(found['seeds'], 'seed', 'seeds')}" if found["seeds"] else ""
    lines = [
        f"{where}, task {found['task']}, budget {found['budget']}{seeds}",
        found["said"],
        "",
        formatting.table(_table(found), width, ruled=True),
    ]
    if any(s["finding"] == "same" for s in found["scores"]):
        return prose(lines, width)
    lines += [
        "",
        f"Worse by: the mean over seeds of {found['method']}, against {found['against']}; negative: better. "
        f"With % it is a share of {found['against']}.",
        "From, to: 95 % confidence limits of the true difference, "
        + ("over images alone: one seed says nothing of others." if found["seeds"] == 1 else _over(found)),
        "Better, worse: at 5 % over all scores of the pair together (Hommel). Equivalent: the limits lie "
        "within the margin, to either side; twice as much is as far as half as much.",
    ]
    if found["looks"] > 1:
        lines.append(
            "Seeds were added: what is better or worse may be sure from an earlier look than the limits."
        )
    return prose(lines, width)


def _over(found: dict[str, Any]) -> str:
    tested = [s for s in found["scores"] if s["finding"] != "untested"]
    paired = sum(s["paired"] for s in tested)
    informed = "each method's scatter informed by the calibration"
    how = "paired by seed" if paired == len(tested) else informed
    if 0 < paired < len(tested):
        how = f"{paired} of {len(tested)} scores paired by seed, of the others {informed}"
    return f"over seeds ({how}) and images."


def _table(found: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for score in found["scores"]:
        unit = score["unit"]
        rows.append(
            {
                "score": formatting.titled(score["title"], unit),
                found["against"]: number(score["other"], unit),
                found["method"]: number(score["mean"], unit),
                "worse by": gap(score, "gap"),
                "from": gap(score, "lower"),
                "to": gap(score, "upper"),
                "margin": _margin(score),
                "finding": f"{score['finding']}{': ' + score['reason'] if score['reason'] else ''}",
            }
        )
    return rows


def _margin(score: dict[str, Any]) -> str:
    """How far the margin reaches: to either side alike, or as a share to each."""
    if score["margin"] is None:
        return "–"
    if not score["relative"]:
        return f"±{gap(score, 'margin')}"
    return f"{gap(score, 'floor')} to {gap(score, 'margin')}"


def lines(summary: Summary, method: str, sparsity: float) -> list[dict[str, Any]]:
    """A line for each other method at a sparsity: in what it is better or worse, and by how much in accuracy.

    Those that cannot be compared are left out.
    """
    found = []
    for other in summary.methods:
        if other == method or (other, sparsity) not in summary.networks:
            continue
        contrasts = summary.pairs.contrasts(method, other, sparsity)
        if all(c.finding == "untested" for c in contrasts):
            continue
        accuracy = next((c for c in contrasts if c.score == "accuracy"), None)
        found.append(
            {
                "other": other,
                **{f: _names(summary, contrasts, f) for f in ("better", "worse")},
                **{f: len(_of(contrasts, f)) for f in ("equivalent", "open")},
                "same": bool(_of(contrasts, "same")),
                "accuracy": _interval(accuracy) if accuracy else "–",
            }
        )
    return found


def _interval(accuracy: Contrast) -> str:
    """How much more accurate, in points, and the confidence limits."""
    if math.isnan(accuracy.gap):
        return "–"
    mean, low, high = (f"{-100.0 * v:+.1f}" for v in (accuracy.gap, accuracy.upper, accuracy.lower))
    return f"{mean} ({low} to {high})".replace("-", "−")
