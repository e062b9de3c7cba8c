"""The page of a network: one method at one sparsity, all seeds and scores, and how it was made."""

from __future__ import annotations

import dataclasses
from typing import Any

from lthbench import formatting
from lthbench.report import answer, beside, costs, forest, templates
from lthbench.report.explanation import account, gap, limits, number
from lthbench.report.markdown import provenance
from lthbench.report.summary import Summary
from lthbench.results.run_facts import NetworkFacts, RunFacts
from lthbench.verdict.calibration import RATIO
from lthbench.verdict.observed import plain_rows
from lthbench.verdict.rules import Match


def name(method: str, sparsity: float) -> str:
    """The file of the page."""
    return f"{templates.slug(method, f'{100 * sparsity:.10g}')}.html"


class Cards:
    """The pages of all networks of a summary; what they share is worked out once."""

    def __init__(self, summary: Summary):
        self._summary = summary
        self._provenance = provenance(summary.facts)
        self._rows: dict[tuple[str, float], list[dict[str, Any]]] = {}
        columns = ["seed", "score", "variant", "value", "se", "n", "unit", "status", "reason"]
        for method, sparsity, *values in plain_rows(summary.table[["method", "sparsity", *columns]]):
            row = dict(zip(columns, values, strict=True))
            self._rows.setdefault((method, sparsity), []).append(row)

    def render(self, method: str, sparsity: float) -> str:
        """One page."""
        summary = self._summary
        found = account(summary, method, sparsity) if method != "dense" else None
        seeds = list(summary.facts.seeds)
        rows = self._rows.get((method, sparsity), [])
        notes: dict[str, int] = {}
        return templates.render(
            "network.html.j2",
            root="../",
            facts=summary.facts,
            method=method,
            level=sparsity,
            so_far=summary.so_far,
            account=found,
            losses=answer.losses(summary, self._found(method, sparsity)),
            judged=self._judged_at(method, sparsity, found["scores"], notes) if found else [],
            against=self._against(method, sparsity),
            **self._conventions(method, sparsity),
            others=beside.lines(summary, method, sparsity) if found else [],
            seeds=seeds,
            scores=self._scores(rows, seeds, notes, headline=True),
            variants=self._scores(rows, seeds, notes, headline=False),
            notes=notes,
            made=_made(summary, method, sparsity),
            cost=costs.words(summary, method, sparsity) if (method, sparsity) in summary.costs else "",
            command=command(summary.facts, method, sparsity),
            provenance=self._provenance,
        )

    def _found(self, method: str, sparsity: float) -> tuple[Match, ...]:
        return next((v.at(sparsity) for v in self._summary.headline if v.method == method), ())

    def _against(self, method: str, sparsity: float) -> str:
        """What the mean of a method's networks is compared with, score by score where it is not the same."""
        found = self._found(method, sparsity)
        others = tuple(m.score for m in found if m.reference != "trainings")
        parents = "the mean of the dense parents of the same seeds"
        if len(others) == len(found) or self._summary.calibration is None:
            return parents
        trainings = len(self._summary.calibration.seeds)
        said = f"the mean of the {trainings} dense trainings that calibrate the task"
        return f"{said}; for {self._summary.titles(others)} {parents}" if others else said

    def _conventions(self, method: str, sparsity: float) -> dict[str, bool]:
        """Whether means are geometric, and mCE is relative to that of the calibration's trainings."""
        found = self._found(method, sparsity)
        mce = any(m.score == RATIO and m.reference == "trainings" for m in found)
        return {"geometric": any(m.relative for m in found), "ratio_of_trainings": mce}

    def _judged_at(
        self, method: str, sparsity: float, scores: list[dict[str, Any]], notes: dict[str, int]
    ) -> list[dict[str, Any]]:
        """A line for each score of the verdict, with its mark in the forest plot."""
        marks = {m.score: forest.mark(self._summary, m) for m in self._found(method, sparsity)}
        return [
            {**self._judged(s), "mark": marks[s["score"]], "note": _noted(s["reason"], notes)} for s in scores
        ]

    def _judged(self, score: dict[str, Any]) -> dict[str, str]:
        unit, shown = score["unit"], self._summary.by_name.get(score["score"])
        bound, margin = limits(score)
        return {
            "title": formatting.titled(score["title"], unit) + (f"\u00a0{shown.arrow}" if shown else ""),
            "dense": number(score["dense"], unit),
            "mean": number(score["mean"], unit),
            "worse": gap(score, "shortfall").replace("-", "−"),
            "bound": bound.replace("-", "−"),
            "margin": margin.replace("-", "−"),
            "finding": score["finding"],
            "margin_reason": score["margin_reason"],
        }

    def _scores(
        self, rows: list[dict[str, Any]], seeds: list[int], notes: dict[str, int], *, headline: bool
    ) -> list[dict[str, Any]]:
        """A line for each score: its value at each seed, with its standard error, and the most images."""
        lines: dict[tuple[str, str], dict[str, Any]] = {}
        for row in rows:
            if (row["variant"] == "") is not headline:
                continue
            line = lines.setdefault((row["score"], row["variant"]), {"values": {}, "images": 0, **row})
            if row["status"] == "ok":
                line["images"] = max(line["images"], int(row["n"]))
            text = formatting.measured(row["value"], row["se"], row["unit"])
            line["values"][int(row["seed"])] = (
                text if row["status"] == "ok" else f"{row['status']}{_noted(row['reason'], notes)}"
            )
        found = []
        for (score, variant), line in lines.items():
            shown = self._summary.by_name.get(score)
            title = shown.title if shown else score
            unit = formatting.unit(line["unit"])
            found.append(
                {
                    "title": f"{title}{', ' + variant if variant else ''}",
                    "arrow": shown.arrow if shown else "",
                    "unit": "" if unit == "ratio" else unit,
                    "verdict": shown is not None and shown.verdict,
                    "cells": [line["values"].get(seed, "–") for seed in seeds],
                    "n": line["images"] or int(line["n"]),
                }
            )
        return found


def _noted(reason: str, notes: dict[str, int]) -> str:
    """The number of a note, which says it once for all cells that have it; "" for no reason."""
    return f"\u00a0[{notes.setdefault(reason, len(notes) + 1)}]" if reason else ""


def _made(summary: Summary, method: str, sparsity: float) -> list[dict[str, str]]:
    """For each seed the expression, and the keys of the network and of its mask."""
    unknown = NetworkFacts(method, sparsity, 0, network="")
    found = {seed: summary.facts.network(method, sparsity, seed) or unknown for seed in summary.facts.seeds}
    return [
        {"seed": str(seed), "expression": e.expression, "network": e.network, "mask": e.mask or ""}
        for seed, e in found.items()
    ]


def command(facts: RunFacts, method: str, sparsity: float) -> str:
    """The command of the run, for this network alone; of several runs, of the one that has its method.

    Of runs with other seeds each it asks for all seeds; where networks came from elsewhere, all commands.
    """
    lines = facts.command.splitlines()
    if len(lines) != len(facts.requests):
        return facts.command
    apart = len({record.seeds for record in facts.requests}) > 1
    for line, record in zip(lines, facts.requests, strict=True):
        if method in record.methods and not record.elsewhere:
            alone = dataclasses.replace(record, methods=(method,), sparsities=(float(sparsity),))
            return dataclasses.replace(alone, seeds=facts.seeds).command()
        if len(lines) == 1 or method == "dense" or method in record.methods:
            if not apart:
                return line
            dense = dataclasses.replace(record, methods=(), sparsities=(), seeds=facts.seeds)
            return facts.command if record.elsewhere else dense.command()
    return facts.command
