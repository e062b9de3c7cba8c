"""The page of methods: what each does, its paper, how far it gets on each task, and what breaks first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lthbench import registry
from lthbench.kinds import Method
from lthbench.report import findings, leaderboard, templates
from lthbench.report.families import family, sentence
from lthbench.report.leaderboard import Cell
from lthbench.report.summary import Tables

#: What a method does is said in so many words at most.
WORDS = 6
#: In the order of methods: those that pass by how far, then those that are open, then the others.
_ORDER = {"open": 0.0, "none": -1.0}


@dataclass(frozen=True)
class Place:
    """How far a method gets on a task, and what breaks first; ``reach`` is None where it was not judged."""

    reach: Cell | None
    breaks: str

    @property
    def order(self) -> float:
        """Larger for what gets further."""
        if self.reach is None:
            return -3.0
        return self.reach.order or _ORDER.get(self.reach.text, -2.0)


def render(pairs: Tables) -> str:
    """The page, for summaries and the folders of their pages; its overview leaves out those of one seed."""
    names = list(dict.fromkeys(m for summary, _ in pairs for m in summary.methods))
    several = [p for p in pairs if len(p[0].facts.seeds) > 1] or list(pairs)
    placed = {name: _places(name, several) for name in names}
    names.sort(key=lambda name: [-place.order for place in placed[name]])
    heads = [{"task": s.named, "href": f"{folder}/index.html"} for s, folder in several]
    methods = [{**_method(name, pairs), "places": placed[name]} for name in names]
    families = list(dict.fromkeys(one["family"] for one in methods if one["family"]))
    return templates.render(
        "methods.html.j2", here="methods.html", methods=methods, heads=heads, families=families
    )


def _places(name: str, pairs: Tables) -> list[Place]:
    found = []
    for summary, folder in pairs:
        board = leaderboard.board(summary, f"{folder}/")
        reach = next((row.joint for row in board.rows if row.method == name), None) if board else None
        result = next((r for r in summary.headline if r.method == name), None)
        found.append(Place(reach, findings.broken(summary, result) if reach and result else "–"))
    return found


def in_short(text: str) -> str:
    """What a method or a variant does, in a few words: the first part of what is said of it."""
    first = re.split(r"[,:;]", text)[0] if len(text.split()) > WORDS else text
    words = first.split()
    return first if len(words) <= WORDS else " ".join(words[:WORDS]) + " …"


def _method(name: str, pairs: Tables) -> dict[str, Any]:
    base, _, variant = name.partition(":")
    record = registry.known(Method, base)
    rows = []
    for summary, folder in pairs:
        for result in summary.headline:
            if result.method != name or not result.matches:
                continue
            accuracy = leaderboard.reach(result, ["accuracy"]) if "accuracy" in result.scores else "–"
            rows.append(
                {
                    "task": summary.named,
                    "href": f"{folder}/index.html",
                    "accuracy": accuracy,
                    "joint": leaderboard.reach(result, result.scores),
                    "breaks": findings.broken(summary, result),
                }
            )
    as_here = record.variants.get(variant, "") if record else ""
    return {
        "name": name,
        "id": templates.slug(name),
        "base": base,
        "title": re.split(r"[,:;]", as_here)[0] if as_here else record.title if record else name,
        "short": in_short(as_here or record.title) if record else "",
        "family": family(name),
        "when": sentence(name),
        "formula": record.formula if record else "",
        "variant": as_here,
        "source": record.source if record else "",
        "cost": record.cost if record else "",
        "rows": rows,
    }
