"""The tables of a report as LaTeX with booktabs, ready for ``\\input``."""

from __future__ import annotations

from typing import Any

from lthbench import formatting
from lthbench.report import answer
from lthbench.report.cells import Shown
from lthbench.report.summary import Summary, verdict_rows

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "%": r"\%",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    # After the end of a row these would be its options.
    "[": "{[}",
    "*": "{*}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "✓": r"\checkmark{}",
    "✗": r"$\times$",
}
#: Letters that pdfLaTeX knows without further packages: Latin ones up to ž, but for these.
_LATIN, _NOT_THESE = 0x17E, frozenset("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų")


def escape(text: str) -> str:
    """Text in which LaTeX has no meaning. What pdfLaTeX has no letter for stands as its code point."""
    known = (_ESCAPES.get(c, c if c.isprintable() or c == " " else " ") for c in text)
    return "".join(c if len(c) > 1 or _letter(c) else f"{{[}}U+{ord(c):04X}]" for c in known)


def _letter(character: str) -> bool:
    return ord(character) <= _LATIN and character not in _NOT_THESE


def render(summary: Summary) -> str:
    """Two tables: the verdict, and the scores that it asks for."""
    facts = summary.facts
    head = [
        r"% Needs \usepackage{booktabs} and \usepackage{amssymb}.",
        f"% {_line(facts.command)}",
        f"% rule {summary.rule}, seeds {', '.join(map(str, facts.seeds))}",
    ]
    where = f"{facts.task_title}, budget {facts.budget_name}"
    rows = verdict_rows(summary)
    parts = ["\n".join(head)]
    if rows:
        caption = f"LTH-PASS by the rule {summary.rule}: {where}. {answer.of_table(summary).said}"
        parts.append(_table([list(rows[0]), *(list(r.values()) for r in rows)], caption, "verdict", 1))
    scores = [s for s in summary.scores if s.verdict]
    caption = (
        f"Scores of the verdict, mean ± standard deviation over "
        f"{formatting.counted(len(facts.seeds), 'seed', 'seeds')}: {where}. "
        "Bold: matches dense."
    )
    parts.append(_scores(summary, scores, caption))
    return "\n\n".join(parts) + "\n"


def _line(text: Any) -> str:
    """Text in a comment: it must not go on in the next line."""
    return " ".join(str(text).split())


def _scores(summary: Summary, scores: list[Shown], caption: str) -> str:
    matches = {(m.method, m.sparsity, m.score): m.matches for v in summary.headline for m in v.matches}
    grid = [["method", "sparsity", *(s.header for s in scores)]]
    bold = set()
    for method, level in summary.networks:
        found = [summary.cell(method, level, s.name) for s in scores]
        for place, score in enumerate(scores):
            if matches.get((method, level, score.name)):
                bold.add((len(grid), place + 2))
        grid.append([method, formatting.sparsity(level), *(c.text if c else "–" for c in found)])
    return _table(grid, caption, "scores", 1, bold, summary.methods)


def _table(
    grid: list[list[str]],
    caption: str,
    label: str,
    words: int,
    bold: set[tuple[int, int]] = frozenset(),  # type: ignore[assignment]
    groups: tuple[str, ...] = (),
) -> str:
    """A table from a grid of text, its first row the header, its first ``words`` columns to the left."""
    lines = [
        r"\begin{table}",
        rf"\caption{{{escape(caption)}}}\label{{tab:lthbench-{label}}}",
        r"\centering\small",
        rf"\begin{{tabular}}{{{'l' * words}{'r' * (len(grid[0]) - words)}}}",
        r"\toprule",
    ]
    before = grid[0][0]
    for place, row in enumerate(grid):
        if place == 1 or (groups and row[0] in groups and row[0] != before):
            lines.append(r"\midrule")
        before = row[0]
        cells = [escape(text) for text in row]
        cells = [rf"\textbf{{{c}}}" if (place, i) in bold else c for i, c in enumerate(cells)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])
