"""The argument behind the verdict on one network, in numbers and words. Pure functions of a summary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lthbench import formatting, textfiles
from lthbench.errors import BadInput, unknown
from lthbench.report import answer, findings
from lthbench.report.summary import RULE_TEXT, Summary, dense_sentence
from lthbench.report.yardstick import yardstick_sentence
from lthbench.verdict import explanation
from lthbench.verdict.between import Contrast
from lthbench.verdict.calibration import MULTIPLE
from lthbench.verdict.rules import SHORT, Match, Verdict

if TYPE_CHECKING:
    import pandas as pd

#: How far a typed sparsity may be from one in the table.
NEAR = 0.005


def only(table: pd.DataFrame, *methods: str) -> pd.DataFrame:
    """A table without the other methods, on which no verdict on these rests; whole if one is not in it."""
    wanted = {"dense", *methods}
    there = wanted <= set(table["method"].unique())
    return table[table["method"].isin(wanted)] if there else table


def account(summary: Summary, method: str, sparsity: float) -> dict[str, Any]:
    """All that the verdict on a method at a sparsity rests on. Raises BadInput for one not in the table."""
    if method == "dense":
        raise BadInput(
            "dense is what the others are compared with: it has no verdict of its own. Name a method of this "
            f"table: {', '.join(summary.methods)}."
        )
    if method not in summary.methods:
        raise unknown("method", method, summary.methods, "in this table")
    level = level_of(summary, method, sparsity)
    by_rule = {r: next(v for v in found if v.method == method) for r, found in summary.verdicts.items()}
    reasons = {a.score: a.margin_reason for a in summary.facts.aspects}
    headline = by_rule[summary.rule]
    return {
        "task": summary.facts.task_name,
        "budget": summary.facts.budget_name,
        "method": method,
        "sparsity": level,
        "seeds": max((m.seeds for m in headline.at(level)), default=0) or len(summary.facts.seeds),
        "dense": dense_sentence(summary),
        "rule": summary.rule,
        "rule_text": RULE_TEXT[summary.rule],
        "said": answer.of_network(summary, headline.at(level)),
        "up_to": _up_to(summary, headline),
        "finding": explanation.standing(headline.at(level)),
        "passes": passes(headline, level),
        "only_open": explanation.only_open(headline.at(level)),
        "scope": headline.scope,
        "compared_with": yardstick_sentence(summary),
        "why": explanation.why(headline.at(level), summary.title_of),
        "region": _region(by_rule.get("paper"), level),
        "joint": headline.joint,
        "monotone": headline.monotone,
        "scores": [
            {**record(summary, m), "margin_reason": _reason(summary, m, reasons.get(m.score, ""))}
            for m in headline.at(level)
        ],
        "other_rules": {
            rule: {
                "passes": passes(found, level),
                "why": explanation.why(found.at(level), summary.title_of),
                "joint": found.joint,
                "smallest_extreme": found.paper_pass,
            }
            for rule, found in by_rule.items()
            if rule != summary.rule
        },
    }


def _up_to(summary: Summary, result: Verdict) -> str:
    """How far the method gets, and what of it breaks first."""
    breaks = f"What breaks first: {findings.broken(summary, result)}."
    if result.joint is None:
        beyond = [s for s in result.sparsities if all(m.matches for m in result.at(s))]
        if beyond:
            said = "is not shown to be as good as dense from the lowest sparsity of this table on"
        else:
            said = "is shown to be as good as dense at no sparsity of this table"
        return f"{result.method} {said}. {breaks}"
    up_to = f" up to {formatting.sparsity(result.joint)}" if result.joint else ""
    gaps = ", though not at all sparsities below" if result.gaps else ""
    return f"{result.method} is as good as dense{up_to}{gaps}. {breaks}"


def level_of(summary: Summary, method: str, sparsity: float) -> float:
    """The sparsity in the table that is meant; 79 is as good as 0.79."""
    if 2.0 <= sparsity < 100.0:
        sparsity /= 100.0
    names = [score.name for score in summary.scores]
    every = (0.0, *summary.sparsities)
    there = [s for s in every if any((method, s, name) in summary.cells for name in names)]
    near = [s for s in there if abs(s - sparsity) <= NEAR]
    if near:
        return min(near, key=lambda s: abs(s - sparsity))
    raise BadInput(
        f"{method} is not in this table at sparsity {sparsity:g}; it is at "
        f"{', '.join(f'{s:.4g}' for s in there)}."
    )


def passes(result: Verdict, level: float) -> bool | None:
    """Whether a network passes; None where that cannot be said. One score that does not hold is enough."""
    found = result.at(level)
    if any(m.finding in (*SHORT, "failed") for m in found):
        return False
    if not found or any(m.matches is None for m in found):
        return None
    return all(m.matches for m in found)


def _region(paper: Verdict | None, level: float) -> str | None:
    """Chen et al. 2022: region I where accuracy at this sparsity is within one percentage point of dense.

    None where that cannot be said: accuracy was not measured, or not of the dense parent.
    """
    match = next((m for m in paper.at(level) if m.score == "accuracy"), None) if paper else None
    if match is None:
        return None
    if match.finding == "matches":
        return "I"
    # Of a degenerate network, which never matches, accuracy may be as good as it likes.
    return "II" if match.finding in ("worse", "degenerate") and match.shortfall > match.allowed else None


def record(summary: Summary, found: Match | Contrast) -> dict[str, Any]:
    """What is found of a score as data, with null for what is no number, and with its title and unit."""
    named = {"title": summary.title_of(found.score), "unit": summary.unit_of(found.score)}
    return {**textfiles.known(dataclasses.asdict(found)), **named}


def _reason(summary: Summary, match: Match, practical: str) -> str:
    """Why a margin is what it is: the metric's reason, or where retraining alone does more, that."""
    if not match.allowed > match.practical * (1 + 1e-9) or summary.calibration is None:
        return practical
    smaller = formatting.difference(match.practical, summary.unit_of(match.score), relative=match.relative)
    trainings = len(summary.calibration.seeds)
    return (
        f"{MULTIPLE:g} standard deviations over {trainings} trainings of the dense network, which by itself "
        f"moves it by more than the practical margin of {smaller} ({practical})"
    )


def text(found: dict[str, Any], width: int = 80) -> str:
    """The account for the shell, in lines of at most ``width`` characters (60 at least)."""
    width = max(width, 60)
    said = {True: "passes", False: "does not pass", None: "cannot be judged"}
    judged = said[found["passes"]]
    if found["passes"] is False and found["only_open"]:
        judged = "is open"
    where = f"{found['method']} at {formatting.sparsity(found['sparsity'])}"
    seeds = formatting.counted(found["seeds"], "seed", "seeds")
    paper = found["other_rules"].get("paper")
    lines = [
        f"{where}, task {found['task']}, budget {found['budget']}, {seeds}",
        found["said"],
        "",
        f"By the rule {found['rule']} it {judged}{_because(found['why'])}.",
        *((f"By the rule paper it {said[paper['passes']]}{_because(paper['why'])}.",) if paper else ()),
        f"{found['dense']} {found['compared_with']}",
        "",
        formatting.table(_table(found), width, ruled=True),
        "",
    ]
    if found["rule"] == "noninferior":
        lines += [
            "Worse by: the mean over seeds, against dense; negative: better. With % it is a share of dense.",
            "At least, at most: what the true difference is above and below, each by itself at 95 %, over "
            + ("seeds and images." if found["scope"] == "method" else "images alone."),
            "p: of being worse by the margin or more.",
            "Margins:",
            *(f"  {s['title']}: {s['margin_reason']}" for s in found["scores"] if s["margin_reason"]),
        ]
    lines.append(f"Rule {found['rule']}: {found['rule_text']}.")
    for rule, other in found["other_rules"].items():
        if rule != "paper":
            lines.append(f"By the rule {rule} it {said[other['passes']]}{_because(other['why'])}.")
    if found["region"]:
        within = "within" if found["region"] == "I" else "more than"
        side = "of" if found["region"] == "I" else "below"
        lines.append(
            f"Region {found['region']}: accuracy is {within} one percentage point {side} the dense parents "
            "of these seeds."
        )
    if found["sparsity"] == 0.0:
        lines.append(f"Nothing was removed from {found['method']}: two dense networks are compared.")
    else:
        lines.append(found["up_to"])
    return prose(lines, width)


def prose(lines: Sequence[str], width: int) -> str:
    """Lines of prose in lines of at most so many characters; tables and empty lines as they are."""

    def shown(line: str) -> str:
        return line if "\n" in line or len(line) <= width else formatting.filled(line, width, "  ")

    return "\n".join(map(shown, lines))


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _table(found: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for score in found["scores"]:
        unit = score["unit"]
        row = {
            "score": formatting.titled(score["title"], unit),
            "dense": number(score["dense"], unit),
            found["method"]: number(score["mean"], unit),
            "worse by": gap(score, "shortfall"),
        }
        if found["rule"] == "noninferior":
            row["at least"] = gap(score, "lower")
            row["at most"], row["margin"] = limits(score)
            row["p"] = formatting.p_value(_known(score["p"]), narrow=True)
        else:
            row["allowed"] = number(score["allowed"], unit)
        more = f": {score['reason']}" if score["reason"] else ""
        if score["seeds_needed"] and score["finding"] == "open":
            more = f", {score['seeds_needed']} seeds might"
        if score["better_than"] is not None and found["scope"] == "network":
            more += f"; better than {100 * score['better_than']:.0f} % of dense trainings"
            more += f" (p of one as bad: {formatting.p_value(score['as_bad'])})"
        row["finding"] = score["finding"] + more
        rows.append(row)
    return rows


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def number(value: float | None, unit: str) -> str:
    """A score of a ``record`` in its unit."""
    return formatting.number(_known(value), unit)


def gap(score: dict[str, Any], part: str) -> str:
    """A difference in a ``record``."""
    return formatting.difference(_known(score[part]), score["unit"], relative=score["relative"])


def limits(score: dict[str, Any]) -> tuple[str, str]:
    """The bound of a ``record`` and what is allowed, told apart."""
    one, other = _known(score["bound"]), _known(score["allowed"])
    return formatting.told_apart(one, other, score["unit"], relative=score["relative"])
