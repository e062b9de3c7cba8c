"""What ``baseline.hold`` found, for the shell, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lthbench import formatting
from lthbench.formatting import escape
from lthbench.results import so_far
from lthbench.results.baseline import OPEN, WORSE, Held, libraries, would_do
from lthbench.results.run_facts import RunFacts
from lthbench.textfiles import known

if TYPE_CHECKING:
    import pandas as pd


def unlike(table: pd.DataFrame, base: dict[str, Any], titles: dict[str, str]) -> str:
    """What the table lacks of the seeds and scores of a baseline, in words; "" where it has them all."""
    seeds = [sorted({int(s) for entry in base["scores"] for s in entry["values"]})]
    seeds.append(sorted({int(s) for s in table["seed"]}))
    said = []
    if not set(seeds[0]) <= set(seeds[1]):
        had, has = (", ".join(map(str, some)) for some in seeds)
        said.append(f"The baseline has seeds {had}, the table {has} (--seeds): those in both are compared.")
    there = set(table["score"])
    lacking = dict.fromkeys(e["score"] for e in base["scores"] if e["score"] not in there)
    if lacking:
        named = formatting.listed([titles.get(score, score) for score in lacking])
        said.append(f"The run did not measure {named} (--metrics).")
    return " ".join(said)


def unfinished(table: pd.DataFrame, facts: RunFacts) -> str:
    """How much of a table is there, and the command that makes the rest, in words; "" where all is there."""
    found = so_far.of_table(table)
    return f"{found.sentence} The command that goes on: {facts.command}" if found else ""


def written(base: dict[str, Any], left_out: Mapping[str, int]) -> str:
    """How many scores a new baseline holds, and how many it does not and why, in words."""
    said = formatting.counted(len(base["scores"]), "score", "scores")
    if left_out:
        reasons = ", ".join(f"{count} {status}" for status, count in left_out.items())
        few = formatting.counted(sum(left_out.values()), "score has", "scores have")
        said += f"; {few} no value to hold others to: {reasons}"
    return said


def other_libraries(facts: RunFacts, base: dict[str, Any]) -> str:
    """Which libraries have other versions than in the baseline, in words; "" where none is known to."""
    here, there = libraries(facts), base.get("libraries", {})
    said = [
        f"{name} {formatting.listed(here[name])} (the baseline {formatting.listed(there[name])})"
        for name in here
        if there.get(name) and here[name] != there[name]
    ]
    return f"Scores may differ by other versions: {formatting.listed(said)}." if said else ""


def text(found: Sequence[Held], titles: dict[str, str], form: str = "text", notes: Sequence[str] = ()) -> str:
    """What is worse, and how many scores were held, with ``notes``; for the shell, or as Markdown."""
    said = [escape(note) if form == "md" else note for note in notes]
    return "\n\n".join(filter(None, (_text(found, titles, form), *said)))


def _text(found: Sequence[Held], titles: dict[str, str], form: str) -> str:
    bad = [h for h in found if not h.good]
    rest = len(found) - len(bad)
    fewer = _fewer_seeds(found)
    if not bad:
        return f"All {formatting.counted(rest, 'score holds', 'scores hold')} against the baseline{fewer}."
    grid = formatting.grid([_row(h, titles) for h in bad], form)
    worse = formatting.counted(len(bad), "score does not hold", "scores do not hold")
    rest_does = f"{rest} {'does' if rest == 1 else 'do'}"
    return f"{worse} against the baseline, {rest_does}{fewer}.{_lacking_data(bad)}\n\n{grid}"


def _fewer_seeds(found: Sequence[Held]) -> str:
    """By how many seeds scores are held where the baseline has more: the end of a sentence, or ""."""
    counts = [(h.seeds, h.baseline_seeds) for h in found if h.seeds]
    few = sum(seeds < there for seeds, there in counts)
    if not few:
        return ""
    if len(set(counts)) == 1:
        return f", by {counts[0][0]} of its {counts[0][1]} seeds alone"
    return f", {formatting.counted(few, 'score', 'scores')} by fewer seeds than it has"


def _lacking_data(bad: Sequence[Held]) -> str:
    """How many of the scores that do not hold are worse, and how many want data; "" if none does."""
    lacking = [h for h in bad if h.finding == OPEN]
    if not lacking:
        return ""
    worse = sum(h.finding == WORSE for h in bad)
    needed = [h.seeds_needed for h in lacking]
    more = f" ({would_do(max(filter(None, needed)))})" if all(needed) else ""
    shown = f"{worse or 'None'} {'are' if worse > 1 else 'is'} shown to be worse"
    return f" {shown}; for {len(lacking)} there is not enough data{more}."


def as_json(found: Sequence[Held], wide: bool = False) -> str:
    """All that was held, with null for what is missing, and whether by the tolerances ``elsewhere``."""
    records = [known(asdict(h)) | {"good": h.good} for h in found]
    return json.dumps(
        {"good": all(h.good for h in found), "elsewhere": wide, "scores": records},
        indent=1,
        ensure_ascii=False,
    )


def _row(held: Held, titles: dict[str, str]) -> dict[str, str]:
    unit = held.unit
    return {
        "method": held.method,
        "sparsity": formatting.sparsity(held.sparsity),
        "score": formatting.titled(titles.get(held.score, held.score), unit),
        "baseline": formatting.number(held.baseline, unit),
        "now": formatting.number(held.now, unit),
        "worse by": formatting.number(held.worse_by, unit),
        "tolerance": formatting.number(held.tolerance, unit),
        "why": held.reason,
    }
