"""A site of many score tables: tasks, networks, claims and how to read them. Static, and works from disk."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lthbench import formatting, registry
from lthbench.errors import BadInput
from lthbench.files import publish
from lthbench.kinds import Metric
from lthbench.report import caveats, figures, findings, network_page, task_page, templates
from lthbench.report.claims import any_task
from lthbench.report.summary import RULE_TEXT, Summary, dense_sentence, far, held_back
from lthbench.results.table import as_csv

TITLE = "Is the pruned network still as good?"


def write(summaries: Sequence[Summary], out: Path) -> list[Path]:
    """Write the site into a folder. Returns the paths of its pages. Raises BadInput for a table twice."""
    folders = [folder_of(s) for s in summaries]
    for place, folder in enumerate(folders):
        if folder in folders[:place]:
            task, budget = (summaries[place].facts[part]["name"] for part in ("task", "budget"))
            raise BadInput(f"two tables are of task {task} and budget {budget}; give one of them.")
    written = []

    def put(name: str, text: str) -> None:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, text.encode())
        written.append(path)

    (out / "assets").mkdir(parents=True, exist_ok=True)
    for name, source in templates.assets().items():
        publish(out / "assets" / name, source.read_bytes())
    for summary, folder in zip(summaries, folders, strict=True):
        put(f"{folder}/index.html", task_page.render(summary, linked=True))
        content, name = as_csv(summary.table), templates.table_name(len(summary.table))
        publish(out / folder / name, gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        cards = network_page.Cards(summary)
        there = dict.fromkeys((m, s) for m, s, _ in summary.cells)
        for method, sparsity in there:
            put(f"{folder}/{network_page.name(method, sparsity)}", cards.render(method, sparsity))
    pairs = list(zip(summaries, folders, strict=True))
    names = {str(s.facts["task"]["name"]) for s in summaries}
    put(
        "claims.html",
        templates.render(
            "claims.html.j2",
            here="claims.html",
            tasks=[_claims(*p) for p in pairs],
            elsewhere=any_task.elsewhere(names),
        ),
    )
    put(
        "reading.html",
        templates.render(
            "reading.html.j2", here="reading.html", rules=list(RULE_TEXT.items()), scores=_scores(summaries)
        ),
    )
    put(
        "index.html",
        templates.render(
            "index.html.j2",
            here="index.html",
            title=TITLE,
            notices=caveats.of_site(summaries),
            tasks=[_task(*p) for p in pairs],
            rows=[row for p in pairs for row in _rows(*p)],
        ),
    )
    return written


def folder_of(summary: Summary) -> str:
    """The folder of a table's pages."""
    return templates.slug(str(summary.facts["task"]["name"]), str(summary.facts["budget"]["name"]))


def _task(summary: Summary, folder: str) -> dict[str, Any]:
    facts = summary.facts
    rows = []
    for result in summary.headline:
        colour = figures.style(summary, result.method)[0]
        shares = {"width": result.joint, "region": result.region}
        widths = {name: f"{100 * (share or 0.0):.1f}" for name, share in shares.items()}
        rows.append({"method": result.method, "value": far(result), "colour": colour, **widths})
        rows[-1]["broken"] = findings.broken(summary, result)
    return {
        "href": f"{folder}/index.html",
        "title": facts["task"]["title"],
        "name": facts["task"]["name"],
        "budget": facts["budget"]["name"],
        "seeds": formatting.counted(len(facts["seeds"]), "seed", "seeds"),
        "rule": summary.rule,
        "dense": dense_sentence(summary),
        "lead": findings.lead(summary),
        "methods": rows,
    }


def _rows(summary: Summary, folder: str) -> list[dict[str, Any]]:
    return [
        {
            "task": f"{summary.facts['task']['name']}, {summary.facts['budget']['name']}",
            "href": f"{folder}/index.html",
            "method": v.method,
            "region": formatting.sparsity(v.region),
            "region_order": v.region or 0.0,
            "joint": "undecided" if v.undecided else formatting.sparsity(v.joint),
            "joint_order": v.joint or 0.0,
            "held_back": v.undecided or held_back(summary, v) or "–",
            "broken": findings.broken(summary, v),
        }
        for v in summary.headline
    ]


def _claims(summary: Summary, folder: str) -> dict[str, Any]:
    facts = summary.facts
    title = f"{facts['task']['title']}, budget {facts['budget']['name']}"
    found = any_task.held(summary)
    told = [c for c in found if c["finding"] != "not measured"]
    return {
        "title": title,
        "href": f"{folder}/index.html",
        "told": told,
        "untold": [c for c in found if c not in told],
        "agree": sum(c["finding"] == "agrees" for c in told),
    }


def _scores(summaries: Sequence[Summary]) -> list[dict[str, str]]:
    """All scores of the tables, with formula and source where their metric is known here."""
    known = {s.name: m for m in registry.every(Metric) for s in m.scores}
    shown: dict[str, dict[str, Any]] = {}
    for summary in summaries:
        shown.update({s["name"]: s for s in summary.facts["scores"]})
    return [
        {
            "title": score["title"],
            "better": "higher" if score["higher_is_better"] else "lower",
            "group": score["group"],
            "margin": _margin(score),
            "formula": known[name].formula if name in known else "",
            "source": known[name].source if name in known else "",
        }
        for name, score in shown.items()
    ]


def _margin(score: dict[str, Any]) -> str:
    if not score["verdict"]:
        return ""
    if score["relative_margin"]:
        return f"{100 * score['margin']:g} % of dense: {score['margin_reason']}"
    amount = (
        f"{100 * score['margin']:g} points" if score["unit"] in formatting.PERCENT else f"{score['margin']:g}"
    )
    return f"{amount}: {score['margin_reason']}"
