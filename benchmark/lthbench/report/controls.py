"""Scores beside what they are of untrained networks, by chance, and of another dense network."""

from __future__ import annotations

import math

from lthbench import formatting
from lthbench.planning import plan
from lthbench.report.summary import Summary

#: The variants that are of an untrained network, and that stand for chance.
UNTRAINED = (plan.UNTRAINED,)
CHANCE = ("random attribution", "chance", "shuffled masks")


def rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Title of a score, and its means of dense, of untrained networks, and by chance.

    Of the scores of which run.json says that untrained networks were measured (``nulls``), or that what
    stands for dense is another dense network (``rival``), and of those that have a variant for chance.
    """
    table = summary.table
    known = table[(table["method"] == "dense") & table["variant"].isin(("", *UNTRAINED, *CHANCE))]
    means = known.groupby(["score", "variant"])["value"].mean().to_dict()
    facts = {s.name: s for s in summary.facts.scores}
    found = []
    for score in summary.scores:
        if score.name not in facts:  # what passes take is no score
            continue
        fact = facts[score.name]
        own = means.get((score.name, ""), math.nan)
        untrained = means.get((score.name, plan.UNTRAINED)) if fact.nulls else None
        chance = next((means[score.name, v] for v in CHANCE if (score.name, v) in means), None)
        beside = fact.rival and not math.isnan(own)
        if beside or untrained is not None or chance is not None:
            note = " (two dense networks)" if beside else ""
            dense = formatting.number(own, score.unit) + note
            found.append((score.header, dense, _shown(untrained, score.unit), _shown(chance, score.unit)))
    return found


def _shown(value: float | None, unit: str) -> str:
    return "–" if value is None else formatting.number(value, unit)
