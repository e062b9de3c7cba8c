"""The page of a task: one HTML file that needs nothing else, or one page of a site."""

from __future__ import annotations

import base64
import gzip
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lthbench import formatting
from lthbench.report import (
    answer,
    caveats,
    cells,
    chart_data,
    compared,
    controls,
    costs,
    findings,
    forest,
    leaderboard,
    network_page,
    picture_panels,
    task_texts,
    templates,
)
from lthbench.report.figures import curves, drawing, kinds
from lthbench.report.figures.drawing import Kind
from lthbench.report.figures.files import as_csv as as_csv_file
from lthbench.report.markdown import provenance
from lthbench.report.summary import (
    RULE_TEXT,
    Summary,
    dense_sentence,
    far,
    held_back,
    sentence,
    standing,
    trainings_named,
    verdict_rows,
)
from lthbench.report.yardstick import yardstick_sentence
from lthbench.results.run_facts import RunFacts
from lthbench.results.table import as_csv

#: Up to so many points every score has a drawing of its own; beyond, a page of them would be too large, and
#: those beside the verdict are left to the chart that is drawn on demand.
DRAWN = 1500
#: Beyond so many points the page leaves out the kinds of figures that are details; files have them all.
DETAILED = 5000
_SHAPES = re.compile("<defs>.*?</defs>", re.DOTALL)
#: So many sparsities fit side by side.
LEVELS = 10
#: Up to so many rows the table is in the page (about 30 bytes each).
PACKED = 40_000


Figures = list[tuple[Kind, list[drawing.Figure]]]


def drawn(summary: Summary) -> Figures:
    """The figures of the page, by kind; the curves first."""
    many = len(summary.methods) * len(summary.sparsities) * len(summary.scores)
    wanted = [k for k in kinds() if k.name != curves.KIND.name and (many <= DETAILED or not k.detail)]
    found = [(kind, kind.draw(summary)) for kind in wanted]
    return [
        (curves.KIND, curves.curves(summary, all_scores=many <= DRAWN)),
        *((kind, figures) for kind, figures in found if figures),
    ]


def numbers(figures: Sequence[drawing.Figure]) -> bytes:
    """The numbers of all figures of a kind as one CSV, with the figure's title in front."""
    rows = [(figure.title, *row) for figure in figures for row in figure.rows]
    return as_csv_file(("figure", *figures[0].head), rows)


def render(summary: Summary, linked: bool = False, figures: Figures | None = None) -> str:
    """The page: one file that needs no other, or where ``linked``, the page of a task in a site."""
    facts = summary.facts
    (_, lines), *plates = drawn(summary) if figures is None else figures
    wanted = {s.title for s in summary.scores if s.verdict}
    csv_name = templates.table_name(len(summary.table)) if linked else "scores.csv.gz"
    drawings = {
        "pictures": picture_panels.grouped(facts.pictures),
        "plates": plates,
        "nulls": controls.rows(summary),
        "kinds": _kinds(summary),
    }
    legend = [(m, Markup(drawing.marker(summary, m))) for m in summary.foremost]
    where: dict[str, Any] = {"root": "../"} if linked else templates.alone()
    return templates.render(
        "report.html.j2",
        **where,
        scripts=templates.CHART_SCRIPTS,
        styles=templates.CHART_STYLES,
        closer=chart_data.data(summary),
        summary=summary,
        facts=facts,
        about=task_texts.about(facts),
        recipe=task_texts.recipe(facts),
        recipe_source=task_texts.source(facts),
        linked=linked,
        cards=[_card(summary, v) for v in summary.headline],
        board=leaderboard.board(summary, linked=linked),
        contents=_contents(drawings),
        dense_sentence=f"{dense_sentence(summary)} {yardstick_sentence(summary)}",
        answer=answer.of_table(summary),
        signs=findings.signs(summary),
        notices=caveats.of_table(summary),
        asked=summary.titles(tuple(s.name for s in summary.scores if s.verdict)),
        rule_text=RULE_TEXT[summary.rule],
        other_rules=[(r, RULE_TEXT[r], _by_rule(summary, r)) for r in summary.verdicts if r != summary.rule],
        verdict_rows=verdict_rows(summary),
        main_figures=[f for f in lines if f.title in wanted],
        more_figures=_grouped(summary, {f.title: f for f in lines}),
        verdict_scores=[s for s in summary.scores if s.verdict],
        more_scores=_grouped(summary, {s.title: s for s in summary.scores}),
        **drawings,
        legend=legend,
        seeds=cells.seeds_of(summary.cells),
        drawn_as=compared.drawn_as(summary),
        others=len(summary.methods) - len(legend),
        keys=_keys(summary, [(kind, of_kind) for kind, of_kind in plates if kind.keyed]),
        rows=_rows(summary, linked),
        trainings=costs.MEANING if summary.costs else "",
        provenance=provenance(facts),
        empty_layers=_empty_layers(facts),
        csv=csv_name if linked else _packed(summary),
        csv_name=csv_name,
    )


def _keys(summary: Summary, plates: Figures) -> dict[str, list[tuple[str, Markup]]]:
    """The legends of kinds of figures: what those of their figures have. They use the shapes of those before:
    ids stand once.
    """
    told = set(summary.foremost)
    found = {}
    for kind, figures in plates:
        labels = dict.fromkeys(str(sample.get_label()) for figure in figures for sample in figure.legend)
        coloured = {m: drawing.marker(summary, m) for m in summary.methods if m in labels}
        grey = [label for label in labels if label not in (*coloured, "dense")]
        found[kind.name] = [
            *((m, Markup(_SHAPES.sub("", s) if m in told else s)) for m, s in coloured.items()),
            *((label, Markup('<span class="others" aria-hidden="true"></span>')) for label in grey),
        ]
        told.update(coloured)
    return found


def _packed(summary: Summary) -> str:
    """The table as a data URL, compressed: as text it would be most of the page.

    None ("") for one that is large even so: it lies beside the page, and in its run's folder.
    """
    if len(summary.table) > PACKED:
        return ""
    content = gzip.compress(as_csv(summary.table), mtime=0)
    return f"data:application/gzip;base64,{base64.b64encode(content).decode()}"


def _grouped(summary: Summary, by_title: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """What belongs to the scores beside the verdict, by their group."""
    groups: dict[str, list[Any]] = {}
    for score in summary.scores:
        if not score.verdict and score.title in by_title:
            groups.setdefault(score.group, []).append(by_title[score.title])
    return list(groups.items())


def _contents(drawings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections of the page: where they are, and what they are called."""
    first = [
        ("verdict", "Leaderboard"),
        ("methods", "Methods"),
        ("curves", "Curves"),
        ("scores", "All scores"),
    ]
    first += [(kind.name, kind.short) for kind, _ in drawings["plates"]]
    first += [("controls", "Controls")] if drawings["nulls"] else []
    first += [("corruptions", "Corruptions")] if drawings["kinds"]["kinds"] else []
    first += [("pictures", "Pictures")] if drawings["pictures"] else []
    return [*first, ("made", "How it was made"), ("read", "How to read")]


def _card(summary: Summary, result: Any) -> dict[str, Any]:
    colour, _ = drawing.style(summary, result.method)
    return {
        "method": result.method,
        "colour": colour,
        "big": far(result),
        "sentence": " ".join(filter(None, (sentence(summary, result), standing(summary, result)))),
        "broken": findings.broken(summary, result),
        "forest": forest.of_method(summary, result, formatting.a_few(result.sparsities, LEVELS)),
    }


def _by_rule(summary: Summary, rule: str) -> list[dict[str, str]]:
    return [
        {
            "method": v.method,
            "joint": "undecided" if v.undecided else formatting.sparsity(v.joint),
            "extreme": "undecided" if v.undecided else formatting.sparsity(v.paper_pass),
            "held back by": v.undecided or held_back(summary, v) or "–",
        }
        for v in summary.verdicts[rule]
    ]


def _rows(summary: Summary, linked: bool = False) -> list[dict[str, Any]]:
    """The table of scores: a row for each method and sparsity, a cell for each score."""
    rows: list[dict[str, Any]] = []
    for method, sparsity in summary.networks:
        cells = []
        known = {"trainings": costs.text(summary, method, sparsity)}
        known["trainings_order"] = costs.order(summary, method, sparsity)
        for score in summary.scores:
            cell = summary.cell(method, sparsity, score.name)
            match = summary.matches.get((method, sparsity, score.name))
            verdict = None if match is None else match.matches
            reason = (match.reason if match else "") or (cell.reason if cell else "")
            finding = match.finding if match else ""
            text = cell.text if cell else "–"
            order = "" if cell is None or math.isnan(cell.mean) else f"{cell.mean:.5g}"
            shown = {"text": text, "matches": verdict, "finding": finding, "reason": reason, "order": order}
            sign, meaning = findings.SIGNS.get(finding, ("", ""))[1], findings.MEANINGS.get(finding, "")
            cells.append({"score": score, **shown, "sign": sign, "meaning": meaning})
        first = not rows or rows[-1]["method"] != method
        judged = [m.matches for place, m in summary.matches.items() if place[:2] == (method, sparsity)]
        passed = bool(judged) and all(judged)
        row = {"method": method, "sparsity": sparsity, "cells": cells, "first": first, "passed": passed}
        rows.append({**row, **known, "link": network_page.name(method, sparsity) if linked else ""})
        if method == "dense" and summary.trainings:
            rows.append(_of_trainings(summary))
    return rows


def _of_trainings(summary: Summary) -> dict[str, Any]:
    """The row of the dense trainings that pruned networks are compared with."""
    plain = {"matches": None, "finding": "", "reason": ""}
    found = [(score, summary.trainings.get(score.name)) for score in summary.scores]
    cells = [
        {"score": score, "text": c.text if c else "–", "order": f"{c.mean:.5g}" if c else "", **plain}
        for score, c in found
    ]
    name = trainings_named(summary)
    row = {"method": name, "sparsity": 0.0, "cells": cells, "first": False, "passed": False, "link": ""}
    return {**row, "trainings": "", "trainings_order": ""}


def _kinds(summary: Summary) -> dict[str, Any]:
    """Error under each corruption, mean over seeds: rows as in the table of scores."""
    table = summary.table
    rows = table[(table["score"] == "corruption_error") & (table["variant"] != "")]
    if not len(rows):
        return {"kinds": [], "rows": []}
    means = rows.groupby(["method", "sparsity", "variant"], sort=False)["value"].mean()
    kinds = list(dict.fromkeys(rows["variant"]))
    there = set(zip(rows["method"], rows["sparsity"], strict=True))
    pairs = [network for network in summary.networks if network in there]
    strengths = summary.facts.budget.get("evaluate", {}).get("severities") or ()
    return {
        "kinds": [k.replace("_", " ") for k in kinds],
        "severities": formatting.counted(len(strengths), "severity", "severities")
        if strengths
        else "severities",
        "rows": [
            (
                m,
                s,
                [
                    (formatting.number(means.get((m, s, k), float("nan")), "fraction"), _heat(means, m, s, k))
                    for k in kinds
                ],
            )
            for m, s in pairs
        ],
    }


def _heat(means: Any, method: str, sparsity: float, kind: str) -> str:
    """How strongly a cell is tinted: its error above the dense one's, full at 20 points; "" for none."""
    above = means.get((method, sparsity, kind), float("nan")) - means.get(("dense", 0.0, kind), float("nan"))
    return f"{min(above / 0.2, 1.0):.2f}" if above >= 0.001 else ""


def _empty_layers(facts: RunFacts) -> list[str]:
    found = []
    for network in facts.networks:
        if empty := facts.empty_layers(network):
            layers = formatting.listed([layer.removesuffix(".weight") for layer in empty])
            which = f"{network.method} at {formatting.sparsity(network.sparsity)}, seed {network.seed}"
            found.append(f"{which}: nothing is left of {layers}")
    return found
