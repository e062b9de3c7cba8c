"""The tables of a report as LaTeX with booktabs and longtable, ready for ``\\input``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

from lthbench import formatting
from lthbench.report import answer, cells, heads, tallies
from lthbench.report.cells import Shown
from lthbench.report.summary import Summary, far
from lthbench.verdict.rules import SHORT

_Any = TypeVar("_Any")

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


#: So many columns of scores, or of sparsities, fit beside each other on a page of one column.
SCORES, SPARSITIES = 5, 8
#: How a score of the verdict is set, by what was found; of other findings a dagger stands behind it.
SET = {
    "better": r"\textbf{%s}",
    "matches": "%s",
    "open": r"\textit{%s}",
    **dict.fromkeys(SHORT, r"\underline{%s}"),
}
DAGGER = r"%s$^\dagger$"
LEGEND = (
    "Bold: better than dense; plain: matches it; italic: open, it may match or be worse; underlined: worse, "
    "or of a network that is degenerate or too inaccurate to compare."
)
DAGGERED = " A dagger: it was not measured, or cannot be compared."


def render(summary: Summary) -> str:
    """The verdict, methods by sparsities, and the scores that it asks for, in tables over pages."""
    facts = summary.facts
    head = [
        r"% Needs \usepackage{booktabs}, \usepackage{longtable} and \usepackage{amssymb}.",
        r"% In a document of two columns: \onecolumn before it, \twocolumn behind.",
        f"% {_line(facts.command)}",
        f"% rule {summary.rule}, seeds {', '.join(map(str, facts.seeds))}",
    ]
    return "\n\n".join(["\n".join(head), *_verdicts(summary), *_scores(summary)]) + "\n"


def _line(text: Any) -> str:
    """Text in a comment: it must not go on in the next line."""
    return " ".join(str(text).split())


def _verdicts(summary: Summary) -> list[str]:
    """Methods by sparsities: whether all scores match, and if not, how many are worse, or open."""
    if not summary.headline:
        return []
    facts = summary.facts
    caption = (
        f"LTH-PASS by the rule {summary.rule}: {facts.task_title}, budget {facts.budget_name}. "
        f"{answer.of_table(summary).said} At each sparsity, ✓: all scores match dense; else how many are "
        "worse, or where none is, how many are open; –: not measured, or no verdict."
    )
    found, read = [], _levels(summary)
    for part, levels in enumerate(_parts(summary.sparsities, SPARSITIES)):
        names = ["method", *(read[s] for s in levels), "up to"]
        rows = [
            [escape(r.method), *(_passes(tallies.of(r, s)) for s in levels), escape(far(r))]
            for r in summary.headline
        ]
        found.append(_table([_head(name) for name in names], rows, caption, _label(summary, "verdict"), part))
    return found


def _passes(tally: tallies.Tally | None) -> str:
    """The verdict on one network in a word."""
    if tally is None:
        return "--"
    if tally.worse:
        return f"{tally.worse} worse"
    if tally.unsaid:
        return "--"
    return f"{tally.open} open" if tally.open else r"\checkmark{}"


def _scores(summary: Summary) -> list[str]:
    """The scores of the verdict, a few to a table, dense first."""
    facts = summary.facts
    findings = {place: match.finding for place, match in summary.matches.items()}
    caption = (
        f"Scores of the verdict, mean ± standard deviation over {cells.seeds_of(summary.cells)}: "
        f"{facts.task_title}, budget {facts.budget_name}. {LEGEND}"
    )
    caption += f" {summary.so_far.sentence}" if summary.so_far else ""
    caption += DAGGERED if set(findings.values()) - set(SET) else ""
    trainings = f"dense ({len(summary.calibration.seeds)})" if summary.calibration is not None else ""
    used = any(m.reference == "trainings" for m in summary.matches.values())
    if trainings and summary.trainings:
        others = " that the others are compared with" if used else " that calibrate the task"
        caption += f" {trainings}: the trainings of the dense network{others}."
    found, read = [], _levels(summary)
    for part, scores in enumerate(_parts([s for s in summary.scores if s.verdict], SCORES)):
        rows = []
        for method, level in summary.networks:
            row = [escape(method), escape(read.get(level) or formatting.sparsity(level))]
            for score in scores:
                cell = summary.cell(method, level, score.name)
                form = SET.get(findings.get((method, level, score.name), "matches"), DAGGER)
                row.append(form % escape(cell.text if cell else "–"))
            rows.append(row)
            if method == "dense" and summary.trainings:
                there = [summary.trainings.get(s.name) for s in scores]
                rows.append([escape(trainings), row[1], *(escape(c.text if c else "–") for c in there)])
        names = [_head("method"), _head("sparsity"), *map(_of_score, scores)]
        found.append(_table(names, rows, caption, _label(summary, "scores"), part))
    return found


def _levels(summary: Summary) -> dict[float, str]:
    """The sparsities as they are read."""
    return dict(zip(summary.sparsities, formatting.sparsities(summary.sparsities), strict=True))


def _parts(found: Sequence[_Any], most: int) -> list[Sequence[_Any]]:
    """A sequence in parts of about as many, at most so many each."""
    parts = -(-len(found) // most)
    ends = [len(found) * k // parts for k in range(parts + 1)] if parts else []
    return [found[a:b] for a, b in itertools.pairwise(ends)]


def _of_score(score: Shown) -> str:
    """The head of a score's column: its short name, its unit, and an arrow to what is better."""
    name = heads.column(score.name, score.title)
    return _head(f"{name} {score.unit_shown}".rstrip(), score.arrow)


def _head(text: str, arrow: str = "") -> str:
    """The head of a column, a word to a line, so that it is no wider than its numbers."""
    words = [word for word in text.replace(" %", "\n%").split(" ") if word]
    lines = ["~".join(map(escape, word.split("\n"))) for word in words]
    if arrow:
        lines[-1] += f"~{escape(arrow)}"
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{{{}}}".format(r"\\".join(lines))


def _label(summary: Summary, of: str) -> str:
    """What a table is called in ``\\ref``: the tables of several tasks can stand in one document."""
    named = f"lthbench-{summary.facts.task_name}-{summary.facts.budget_name}-{of}"
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in named)


def _table(names: list[str], rows: list[list[str]], caption: str, label: str, part: int) -> str:
    """A table that goes on over pages, from cells of LaTeX, its first column to the left."""
    after = "" if part == 0 else f"-{part + 1}"
    title = escape(caption) if part == 0 else rf"Table~\ref{{tab:{label}}}, continued."
    head = " & ".join(names) + r" \\"
    lines = [
        rf"\begin{{longtable}}{{@{{}}l{'r' * (len(names) - 1)}@{{}}}}",
        rf"\caption{{{title}}}\label{{tab:{label}{after}}}\\",
        rf"\toprule {head} \midrule",
        r"\endfirsthead",
        rf"\toprule {head} \midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
    ]
    for place, row in enumerate(rows):
        # The networks of a method stand together, dense and its trainings, too.
        before = rows[place - 1][0] if place else row[0]
        if label.endswith("-scores") and row[0] != before and not (place == 1 and row[1] == rows[0][1]):
            lines.append(r"\addlinespace")
        lines.append(" & ".join(row) + r" \\")
    begin = r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}"
    return "\n".join([begin, *lines, r"\end{longtable}", r"\endgroup"])
