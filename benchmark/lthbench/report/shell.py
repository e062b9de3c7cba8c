"""The verdict for a terminal: a matrix of signs that fits 80 columns, and sentences within its width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from lthbench import formatting
from lthbench.report import answer as answers
from lthbench.report import findings, heads, leaderboard
from lthbench.report.summary import (
    Summary,
    dense_sentence,
    lacking_sentence,
    sentence,
    standing,
)
from lthbench.report.yardstick import yardstick_sentence
from lthbench.verdict import explanation
from lthbench.verdict.rules import Verdict

#: Up to so many networks each has a line of signs; of more, each method has a line of how far it gets.
LINES = 15
#: Values that are not judged stand in so many lines at most; the page has all.
MOST = 60
#: No line is longer, whatever the terminal: long lines are hard to read.
WIDEST = 100


def text(summary: Summary, width: int = 80) -> str:
    """The verdict in detail, in lines of at most ``width`` characters (40 at least)."""
    width = max(40, min(width, WIDEST))
    results = [v for v in summary.headline if v.matches]
    parts = [wrapped(summary.so_far.sentence, width)] if summary.so_far else []
    parts.append(wrapped(dense_sentence(summary), width))
    if results:
        lines = sum(len(v.sparsities) for v in results)
        parts += _signs(summary, results, width) if lines <= LINES else _reach(summary, width)
    else:
        parts += _measured(summary, width)
    parts.append("\n".join(wrapped(sentence(summary, v), width, indent="  ") for v in summary.headline))
    placed = [standing(summary, v) for v in summary.headline]
    parts += [wrapped(said, width, indent="  ") for said in placed if said]
    for said in (yardstick_sentence(summary), lacking_sentence(summary) if results else ""):
        parts.append(wrapped(said, width) if said else "")
    return "\n\n".join(part for part in parts if part)


def answer(summary: Summary, width: int = 80) -> str:
    """The answer, a line for each fact: what a run says last."""
    found = answers.of_table(summary)
    if found.furthest == answers.NO_VERDICT:
        return wrapped(found.said, width)
    wide = max(len(name) for name, _ in found.lines) + 2
    lines = [wrapped(f"{name:<{wide}}{what}", width, indent=" " * wide) for name, what in found.lines]
    return "\n".join(lines)


def wrapped(said: str, width: int, indent: str = "") -> str:
    """A sentence in lines of at most so many characters."""
    return formatting.filled(said, max(40, min(width, WIDEST)), indent)


def _head(summary: Summary, score: str) -> str:
    return heads.terminal(score, summary.title_of(score))


def _signs(summary: Summary, results: Sequence[Verdict], width: int) -> list[str]:
    """A line for each network, a sign for each score; and what the signs mean."""
    rows = []
    for result in results:
        for level in result.sparsities:
            found = {m.score: m.finding for m in result.at(level)}
            signs = [findings.SIGNS[found[s]][1] if s in found else " " for s in summary.judged]
            here = result.at(level)
            joint = "pass" if all(m.matches for m in here) else "open" if explanation.only_open(here) else "–"
            rows.append([result.method, formatting.sparsity(level), *signs, joint])
    heads = ["", "", *(_head(summary, s) for s in summary.judged), "all"]
    legend = "   ".join(f"{sign} {meaning}" for _, sign, meaning in findings.signs(summary))
    return [_table(heads, rows, width), wrapped(legend, width)]


def _reach(summary: Summary, width: int) -> list[str]:
    """A line for each method: up to which sparsity each score holds, and all do."""
    made = leaderboard.board(summary, linked=False)
    if made is None:
        return []
    heads = ["", "all", *(_head(summary, s) for s in summary.judged)]
    rows = [[row.method, row.joint.text, *(cell.text for cell in row.cells)] for row in made.rows]
    said = "Each cell: the sparsity, in %, up to which it is shown to be as good as dense."
    return [_table(heads, rows, width), wrapped(said, width)]


def _measured(summary: Summary, width: int) -> list[str]:
    """Where nothing is judged: the scores that were measured, a line for each network."""
    scores = [s for s in summary.scores if summary.cell("dense", 0.0, s.name) is not None]
    rows = []
    for method, level in summary.networks:
        cells = [summary.cell(method, level, s.name) for s in scores]
        if any(cells):
            shown = [cell.text if cell else "–" for cell in cells]
            rows.append([method, formatting.sparsity(level) if level else "", *shown])
    if not scores or len(rows) > MOST:
        return []
    units = [formatting.unit(s.unit) for s in scores]
    titles = [s.title + (f", {unit}" if unit else "") for s, unit in zip(scores, units, strict=True)]
    heads = ["", "", *(textwrap.fill(title, 14, break_long_words=False) for title in titles)]
    return [_table(heads, rows, width), "Mean ± standard deviation over seeds."]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A table as wide as the terminal; columns that do not fit stand in further tables below."""
    from tabulate import tabulate

    fixed = 2 if all(not h for h in heads[:2]) else 1
    for count in range(len(heads) - fixed, 0, -1):
        blocks = []
        for start in range(fixed, len(heads), count):
            pick = [*range(fixed), *range(start, min(start + count, len(heads)))]
            cells = [[row[i] for i in pick] for row in rows]
            align = ["left", *["right"] * (fixed - 1), *["center"] * (len(pick) - fixed)]
            blocks.append(
                tabulate(
                    _once(cells),
                    headers=[heads[i] for i in pick],
                    tablefmt="plain",
                    disable_numparse=True,
                    colalign=align,
                )
            )
        if max(len(line) for block in blocks for line in block.splitlines()) <= width:
            break
    return "\n\n".join(blocks)


def _once(rows: list[list[str]]) -> list[list[str]]:
    """A name that stands in several rows below each other, in the first of them alone."""
    return [
        ["", *row[1:]] if place and rows[place - 1][0] == row[0] else row for place, row in enumerate(rows)
    ]
