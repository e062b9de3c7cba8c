"""What programs read: the verdict and all means as JSON, and a badge for a README as SVG."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from lthbench.report import answer
from lthbench.report.summary import Summary, sentence
from lthbench.report.templates import parted, render
from lthbench.textfiles import known
from lthbench.verdict.rules import Match

if TYPE_CHECKING:
    import pandas as pd


def as_json(summary: Summary) -> str:
    """What ``record`` has, as text."""
    return json.dumps(record(summary), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def record(summary: Summary) -> dict[str, Any]:
    """The verdict by each rule, what networks cost, means and deviations over seeds. No number is null."""
    facts = summary.facts
    return {
        "task": facts.task_name,
        "budget": facts.budget_name,
        "command": facts.command,
        "seeds": facts.seeds,
        "finished": summary.so_far is None,
        "so_far": summary.so_far and dataclasses.asdict(summary.so_far),
        "rule": summary.rule,
        "calibration": summary.calibration
        and {
            "seeds": len(summary.calibration.seeds),
            "scores": list(summary.calibration.scores),
            "outdated": list(summary.outdated),
        },
        "unlike": list(summary.unlike),
        "verdicts": {rule: [_verdict(v) for v in found] for rule, found in summary.verdicts.items()},
        "sentences": [sentence(summary, v) for v in summary.headline],
        "costs": [
            {"method": method, "sparsity": sparsity, **dataclasses.asdict(cost)}
            for (method, sparsity), cost in summary.costs.items()
        ],
        "scores": [
            {
                "method": method,
                "sparsity": sparsity,
                "score": score,
                "mean": known(cell.mean),
                "std": known(cell.spread),
                "seeds": cell.seeds,
                "status": cell.status,
                "reason": cell.reason,
            }
            for (method, sparsity, score), cell in summary.cells.items()
        ],
    }


def _verdict(verdict: Any) -> dict[str, Any]:
    return {
        "method": verdict.method,
        "joint": verdict.joint,
        "smallest_extreme": verdict.paper_pass,
        "binding": list(verdict.binding),
        "held_back": list(verdict.held_back),
        "extremes": verdict.extremes,
        "region": verdict.region,
        "monotone": verdict.monotone,
        "undecided": verdict.undecided,
        "scope": verdict.scope,
        "holds": verdict.holds,
        "worse_from": verdict.worse_from,
        "short_from": verdict.short_from,
        "findings": [_finding(m) for m in verdict.matches],
    }


#: What a finding says beside its place: numbers in the score's unit, or shares where it is relative.
_FACTS = (
    "sparsity",
    "score",
    "finding",
    "reason",
    "relative",
    "reference",
    "images",
    "seeds",
    "seeds_needed",
)
_NUMBERS = ("mean", "dense", "shortfall", "lower", "bound", "allowed", "practical", "level")
_CHANCES = ("p", "p_better", "p_worse", "better_than", "as_bad")


def _finding(match: Match) -> dict[str, Any]:
    numbers = {name: known(getattr(match, name)) for name in (*_NUMBERS, *_CHANCES)}
    return {name: getattr(match, name) for name in _FACTS} | numbers


def as_table(summary: Summary) -> pd.DataFrame:
    """The findings by the rule that heads the report: a row for each method, sparsity and score."""
    import pandas as pd

    names = (*_FACTS, *_NUMBERS, *_CHANCES)
    found = [m for verdict in summary.headline for m in verdict.matches]
    columns = {name: [getattr(m, name) for m in found] for name in ("method", *names)}
    table = pd.DataFrame(columns)
    table.insert(3, "unit", [summary.unit_of(m.score) for m in found])
    return table


def badge(summary: Summary) -> str:
    """The methods that get furthest, as a badge: an image for a README that needs no server."""
    found = answer.of_table(summary)
    good = any(result.joint is not None for result in summary.headline)
    (who, _), (far, _) = parted(found.furthest), parted(found.up_to)
    value = f"{who} {far}" if good else who
    measured, every = len(summary.facts.aspects), len(summary.facts.aspects) + len(summary.lacking)
    what = f"{measured} of {every} scores," if summary.lacking else "LTH-PASS"
    what = f"unfinished, {what}" if summary.so_far else what
    label = f"{what} {summary.named}"
    # Digits and letters of 11 px are about 6.6 px wide; a little more leaves room for other fonts.
    widths = [round(6.8 * len(text)) + 14 for text in (label, value)]
    return render(
        "badge.svg.j2",
        label=label,
        value=value,
        left=widths[0],
        right=widths[1],
        colour="#06714a" if good else "#5a6475",
    )
