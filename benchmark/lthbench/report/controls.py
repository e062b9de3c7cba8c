"""Scores of interpretability beside what they are without training, without attribution, or by chance."""

from __future__ import annotations

import math

from lthbench import formatting
from lthbench.report.summary import Summary

#: The variants that are nulls: of an untrained network, and by chance.
UNTRAINED = ("untrained network",)
CHANCE = ("random attribution", "chance", "shuffled masks")
#: Metrics whose dense row is the agreement of two dense networks.
RIVAL = ("agreement", "concept-match", "concept-weights", "drift")


def rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Title of a score, and its means of dense, of untrained networks, and by chance."""
    table = summary.table
    dense = table[(table["method"] == "dense") & (table["group"] == "interpretability")]
    known = dense[dense["variant"].isin(("", *UNTRAINED, *CHANCE))]
    means = known.groupby(["score", "variant"])["value"].mean().to_dict()
    metrics = dict(zip(known["score"].tolist(), known["metric"].tolist(), strict=True))
    found = []
    for score in summary.scores:
        named = {v: means[score.name, v] for v in ("", *UNTRAINED, *CHANCE) if (score.name, v) in means}
        if set(named) <= {""}:
            continue
        cells = []
        for variants in (("",), UNTRAINED, CHANCE):
            there = [named[v] for v in variants if v in named]
            cells.append(formatting.number(there[0], score.unit) if there else "–")
        beside = metrics[score.name] in RIVAL and "" in named and not math.isnan(named[""])
        cells[0] += " (two dense networks)" if beside else ""
        found.append((score.header, cells[0], cells[1], cells[2]))
    return found
