"""The page of methods: what each does, its paper, and how far it gets on each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lthbench import registry
from lthbench.errors import LthbenchError
from lthbench.kinds import Method
from lthbench.report import findings, leaderboard, templates
from lthbench.report.summary import Summary


def render(pairs: Sequence[tuple[Summary, str]]) -> str:
    """The page, for summaries and the folders of their pages."""
    names = list(dict.fromkeys(m for summary, _ in pairs for m in summary.methods))
    return templates.render(
        "methods.html.j2", here="methods.html", methods=[_method(name, pairs) for name in names]
    )


def _method(name: str, pairs: Sequence[tuple[Summary, str]]) -> dict[str, Any]:
    base, _, variant = name.partition(":")
    try:
        record = registry.get(Method, base)
    except LthbenchError:
        record = None
    rows = []
    for summary, folder in pairs:
        for result in summary.headline:
            if result.method != name or not result.matches:
                continue
            scores = list(dict.fromkeys(m.score for m in result.matches))
            rows.append(
                {
                    "task": f"{summary.facts.task_name}, {summary.facts.budget_name}",
                    "href": f"{folder}/index.html",
                    "accuracy": leaderboard.reach(result, ["accuracy"]) if "accuracy" in scores else "–",
                    "joint": leaderboard.reach(result, scores),
                    "breaks": findings.broken(summary, result),
                }
            )
    return {
        "name": name,
        "id": templates.slug(name),
        "title": record.title if record else name,
        "family": leaderboard.family(name),
        "formula": record.formula if record else "",
        "variant": record.variants.get(variant, "") if record else "",
        "source": record.source if record else "",
        "cost": record.cost if record else "",
        "rows": rows,
    }
