"""The report as Markdown: for a README, a pull request, a paper's appendix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lthbench import formatting
from lthbench.compute.libraries import LIBRARIES
from lthbench.formatting import escape
from lthbench.report import answer, costs, findings, tallies
from lthbench.report.cells import Shown
from lthbench.report.summary import (
    RULE_TEXT,
    Summary,
    dense_sentence,
    lacking_sentence,
    sentence,
    trainings_named,
    verdict_rows,
)
from lthbench.report.yardstick import yardstick_sentence
from lthbench.results import latency
from lthbench.results.run_facts import RunFacts


def render(summary: Summary) -> str:
    """The whole report."""
    facts, counts = summary.facts, tallies.rows(summary)
    lines = [
        f"# {escape(facts.task_title)}",
        "",
        f"Task `{facts.task_name}`, budget `{facts.budget_name}`. {dense_sentence(summary)} "
        f"{yardstick_sentence(summary)}",
        "",
        *([f"**{summary.so_far.sentence}**", ""] if summary.so_far else []),
        "## Verdict",
        "",
        *(f"- **{name}:** {escape(what)}" for name, what in answer.of_table(summary).lines),
        "",
        *(f"- {escape(sentence(summary, result))}" for result in summary.headline),
        "",
        f"By the rule `{summary.rule}`: {RULE_TEXT[summary.rule]}.",
        "",
        *([escape(lacking_sentence(summary)), ""] if summary.lacking else []),
        "At each sparsity: of how many scores a method matches dense or is better / is open / is worse"
        f"{UNSAID if any('–)' in text for row in counts for text in row.values()) else ''}.",
        "",
        _table(counts),
        "",
        _table(verdict_rows(summary)),
        "",
        "## Scores",
        "",
        "Mean ± standard deviation over seeds. ✗ marks a score of the verdict that is worse than dense, "
        "★ one that is better; open is one that may match or be worse, ! one that was not measured; ∅ is of "
        "a degenerate network, ⊘ of one whose accuracy is too low to compare."
        f"{f' {costs.MEANING}.' if summary.costs else ''}",
        "",
        *(line for group in _score_tables(summary) for line in group),
        "## How it was made",
        "",
        *_block(facts.command),
        "",
        *(f"- {escape(line)}" for line in provenance(facts)),
        "",
    ]
    return "\n".join(lines)


#: What the first group of scores is called.
OF_VERDICT = "scores of the verdict"
#: What stands in brackets behind counts, where there are such scores.
UNSAID = " (in brackets those that cannot be said)"
#: What stands behind a score of the verdict, by what was found.
MARKS = {finding: f" {sign}" for finding, (_, sign) in findings.SIGNS.items()} | {"matches": ""}


def _score_tables(summary: Summary) -> list[list[str]]:
    """A heading and a table for the scores of the verdict, then for each group of others, as on the page."""
    groups: dict[str, list[Shown]] = {}
    for score in sorted(summary.scores, key=lambda s: not s.verdict):
        groups.setdefault(OF_VERDICT if score.verdict else score.group, []).append(score)
    return [
        [f"### {escape(f'{name[:1].upper()}{name[1:]}')}", "", _table(score_rows(summary, scores)), ""]
        for name, scores in groups.items()
    ]


def score_rows(summary: Summary, scores: Sequence[Shown] | None = None) -> list[dict[str, str]]:
    """One row for each method and sparsity, dense first; by default with all scores."""
    scores = summary.scores if scores is None else scores
    costed = bool(summary.costs) and any(s.verdict for s in scores)
    rows = []
    for method, sparsity in summary.networks:
        row = {"method": method, "sparsity": formatting.sparsity(sparsity)}
        row |= {"trainings": costs.text(summary, method, sparsity)} if costed else {}
        for score in scores:
            cell = summary.cell(method, sparsity, score.name)
            match = summary.matches.get((method, sparsity, score.name))
            mark = "" if match is None else MARKS[match.finding]
            row[score.header] = (cell.text if cell else "–") + mark
        rows.append(row)
        if method == "dense" and summary.trainings:
            row = {"method": trainings_named(summary), "sparsity": row["sparsity"]}
            row |= {"trainings": ""} if costed else {}
            row |= {s.header: c.text if (c := summary.trainings.get(s.name)) else "–" for s in scores}
            rows.append(row)
    return rows


def provenance(facts: RunFacts) -> list[str]:
    """Where the numbers come from, a line each."""
    lines = [
        f"{e['device']}, {_threads(e['threads'])} a worker, torch {e['torch']}, numpy {e['numpy']}, "
        f"Python {e['python']}, lthbench {e['lthbench']}"
        + "".join(f", {name} {e[name]}" for name in LIBRARIES if name in e)
        for e in facts.environments
    ]
    lines += latency.said(facts.latencies)
    lines.append(f"seeds {', '.join(map(str, facts.seeds))}")
    lines += [f"data {d.name} version {d.version}, files {d.digest[:12]}" for d in facts.data]
    lines += [f"{p.kind} {p.name} of {p.source}, hash {p.digest[:12]}" for p in facts.plugins]
    for taken in facts.checkpoints:
        key = f", its {taken['key']}" if taken.get("key") else ""
        who = f"{taken.get('method', 'network')} seed {taken.get('seed', '?')}"
        lines.append(
            f"{who}: {taken.get('file', '?')}{key}, file {str(taken.get('sha256', ''))[:12] or 'none'}"
            f"{_quantised(taken)}"
        )
    spent = ", ".join(f"{verb} {total:.0f} s" for verb, total in facts.seconds.items() if total >= 0.5)
    # What several commands share stands in the account of each.
    of = "worker time, the sum of the commands" if "\n" in facts.command else "worker time"
    lines.append(f"{of}: {spent or 'under a second'}")
    return lines


def _threads(threads: Any) -> str:
    """A number of threads in words; none of what no processor ran, or where a file has no number."""
    return latency.threads_of(threads) if isinstance(threads, int) and threads else "no thread"


def _block(text: str) -> list[str]:
    """Lines of code as they are, between fences that are longer than any in them."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [fence, text, fence]


def _quantised(taken: dict[str, Any]) -> str:
    """What was quantised of a network made elsewhere, in words; a file may say anything."""
    told, said = taken.get("activations"), ""
    for what, words in (("quantised", "quantised to"), ("floats", "floats of")):
        bits = taken.get(what)
        said += f", {words} {' and '.join(map(str, bits))} bits" if isinstance(bits, list) and bits else ""
    return said + (f", {told['said']}" if isinstance(told, dict) and "said" in told else "")


def _table(rows: list[dict[str, str]]) -> str:
    return formatting.grid(rows, "md") if rows else "No rows."
