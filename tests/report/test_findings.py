"""Signs and numbers of what is found, and what of a method breaks first."""

import dataclasses
import math
import re
from collections import Counter
from typing import Any

import pytest

from lthbench.report import findings, forest, leaderboard, markdown, tallies, templates
from lthbench.report.findings import SIGNS, broken, first_break
from lthbench.report.summary import verdict_rows
from lthbench.verdict.rules import FINDINGS, SHORT

from .conftest import ENTRIES, LEVELS

#: How the sections of reports/FINDINGS.md begin, and the tables that they are about.
SECTIONS = {
    "digits-r8:": "digits-r8-quick",
    "c10-r20s, trained to 90 %": "c10-r20s-standard-bf16",
    "c10-r20s: fourteen methods": "c10-r20s-quick",
}
COUNTS = r"\d+/\d+/\d+"


def test_what_breaks_stays_broken(judged_as):
    """One network that is worse between others that match is no break: a fixed sequence from the top."""
    found = judged_as(imp=("xyy", "yxy"), omp=("y?x", "yxx"), snip=("y0y", "yyx"))
    assert first_break(found.headline[0]) is None
    assert broken(found, found.headline[0]) == "nothing for sure"
    assert first_break(found.headline[1]) == findings.Break(0.8, ("nll",), 0.5)
    assert broken(found, found.headline[1]) == "NLL, from 80.0 %"
    assert first_break(found.headline[2]) == findings.Break(0.8, ("accuracy",), 0.5)


def test_what_breaks_first_is_all_that_is_worse_there_and_the_most_in_margins_leads(judged_as):
    """Accuracy is worse at 80 %, though not at 90 %; NLL is worse by more margins."""
    found = judged_as(imp=("yxy", "yxx"))
    (result,) = found.headline
    margins = {"accuracy": 0.02, "nll": 0.09}
    matches = tuple(dataclasses.replace(m, shortfall=margins[m.score], allowed=0.01) for m in result.matches)
    result = dataclasses.replace(result, matches=matches)
    assert first_break(result) == findings.Break(0.8, ("nll", "accuracy"), 0.5)
    assert broken(found, result) == "NLL and accuracy, from 80.0 %"


def test_a_match_in_words_has_its_bound_its_margin_and_its_p_value(judged_as):
    found = judged_as(imp=("yyy", "yyy"))
    numbers = {"shortfall": 0.004, "bound": 0.0081, "lower": -0.0001, "allowed": 0.01, "p": 0.02}
    match = dataclasses.replace(found.headline[0].matches[0], **numbers)
    assert findings.words(found, match) == (
        "accuracy worse by 0.4 points, at most 0.8 worse, margin 1.0, p = 0.020 for within the margin: "
        "matches"
    )
    share = dataclasses.replace(
        match, score="nll", shortfall=-0.2, bound=-0.1, allowed=0.5, relative=True, p=1e-5, finding="better"
    )
    assert findings.words(found, share) == (
        "NLL better by 20 %, at least 10 % better, margin 50 %, p < 0.001 for within the margin: better"
    )
    worse = dataclasses.replace(match, shortfall=0.013, bound=0.017, p=0.841, finding="worse")
    assert findings.words(found, worse) == (
        "accuracy worse by 1.3 points, at most 1.7 worse, margin 1.0: worse"
    ), "a p of 0.841 would read as if that were not shown"


def test_how_far_accuracy_holds_is_none_where_it_is_worse_at_the_lowest_sparsity(judged_as):
    """A dash is for what was not measured."""
    for row, holds, said in (("yxx", 0.5, "50.0 %"), ("xxx", None, "none"), ("???", None, "open")):
        found = judged_as(imp=(row, "yyy"))
        result = dataclasses.replace(found.headline[0], holds={"accuracy": holds})
        found = dataclasses.replace(found, verdicts={found.rule: (result,)})
        assert [told["accuracy holds up to"] for told in verdict_rows(found)] == [said]


def test_markdown_marks_what_was_found_of_a_score(judged_as):
    """A score that matches has no mark, one that is worse a cross, and one that was not measured neither."""
    found = judged_as(imp=("y+?", "x-!"))
    heads = {score.name: score.header for score in found.scores}
    rows = [row for row in markdown.score_rows(found) if row["method"] == "imp"]
    for name, marks in (("accuracy", ["", "★", "open"]), ("nll", ["✗", "–", "!"])):
        assert [row[heads[name]].lstrip("0123456789. ±") for row in rows] == marks


def test_a_mark_lies_between_its_bounds_in_units_of_the_margin(judged_as):
    numbers = {"shortfall": 0.01, "lower": 0.004, "bound": 0.015, "allowed": 0.02}
    found = judged_as(imp=("yyy", "yyy"))
    mark = forest.mark(found, dataclasses.replace(found.headline[0].matches[0], **numbers))
    assert (mark.low, mark.mean, mark.high) == (0.2, 0.5, 0.75)


def test_an_endless_bound_reaches_to_the_end_of_the_axis(judged_as):
    """It ended the page with a TypeError."""
    found = judged_as(imp=("yyy", "yyy"))
    numbers = {"shortfall": 0.01, "lower": -math.inf, "bound": math.inf, "allowed": 0.02}
    matches = tuple(dataclasses.replace(m, **numbers) for m in found.headline[0].matches)
    (row,) = {(m.low, m.mean, m.high) for m in (forest.mark(found, m) for m in matches)}
    assert row == (forest.LOW, 0.5, forest.HIGH)
    plot = forest.of_method(found, dataclasses.replace(found.headline[0], matches=matches), LEVELS)
    module: Any = templates.environment().get_template("forest.html.j2").module
    assert "--a:0.000;--z:1.000" in module.forest(plot, "m")
    lacking = dataclasses.replace(plot.rows[0][1][0], high=None)
    assert "<i" not in module.forest(dataclasses.replace(plot, rows=(("m", (lacking,)),)), "m")


def test_every_finding_has_a_sign_and_those_of_a_table_are_explained(judged_as):
    assert SIGNS.keys() == findings.MEANINGS.keys() == set(FINDINGS)
    assert len({sign for _, sign in SIGNS.values()}) == len(SIGNS), "colour is never all"
    found = judged_as(imp=("+?x", "y0!"))
    assert [sign for _, sign, _ in findings.signs(found)] == ["★", "✓", "open", "✗", "!", "∅"]


def test_pages_of_methods_tell_open_from_none(judged_as):
    found = judged_as(imp=("yyx", "yyy"), omp=("???", "yyy"), snip=("xxx", "yyy"))
    both = ["accuracy", "nll"]
    assert [leaderboard.reach(r, both) for r in found.headline] == ["80.0", "open", "none"]
    assert [leaderboard.reach(r, ["nll"]) for r in found.headline] == ["90.0"] * 3


def written():
    """The sections of reports/FINDINGS.md, by heading."""
    text = (ENTRIES.parent / "FINDINGS.md").read_text(encoding="utf-8")
    return dict(part.split("\n", 1) for part in re.split("^## ", text, flags=re.MULTILINE)[1:])


def rows(section):
    """The rows of all tables of a section, as cells."""
    lines = (line.strip() for line in section.splitlines())
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def level(summary, text):
    """The sparsity of a table that a text names, as 59.0 %."""
    (percent,) = re.findall(r"([\d.]+) %", text)
    return next(s for s in summary.sparsities if f"{100 * s:.1f}" == percent)


@pytest.mark.parametrize("begins", SECTIONS)
def test_the_counts_that_are_written_are_those_of_the_tables(published, begins):
    """Those of slimming were of an earlier verdict: 0/3/7 where the table has 1/2/7."""
    summary = published[SECTIONS[begins]]
    (section,) = (text for head, text in written().items() if head.startswith(begins))
    results, heads, seen = {r.method: r for r in summary.headline}, [], Counter()
    for row in rows(section):
        heads = row if row[0] == "method" else heads
        for head, cell in zip(heads, row, strict=False):
            if re.fullmatch(COUNTS, cell):
                method, _, where = row[0].partition(", ")
                found = tallies.of(results[method], level(summary, where if "at" in where else head))
                assert cell == found.text, (method, head)
                seen[method] += 1
    for text in re.findall(f"((?:`[a-z:]+`[^`|/]*?){{1,3}}) are ({COUNTS}) there", section):
        for method in re.findall("`([a-z:]+)`", text[0]):
            (only,) = results[method].sparsities
            assert tallies.of(results[method], only).text == text[1]
            seen[method] += 1
    assert seen == {r.method: len(r.sparsities) for r in summary.headline}


def test_the_shares_that_are_written_are_those_of_the_tables(published):
    counts = {}
    for name, summary in published.items():
        found = Counter(m.finding for r in summary.headline for m in r.matches)
        holds, worse = found["better"] + found["matches"], sum(found[f] for f in SHORT)
        counts[name] = found.total(), holds, worse, found["open"]
    digits, trained, quick = (counts[name] for name in SECTIONS.values())
    text = " ".join("\n".join(written().values()).split())
    share = f"({100 * digits[3] / digits[0]:.1f} %)"
    assert f"Of these {digits[0]} cells {digits[3]} are open {share}" in text
    assert f"Of the {trained[0]} cells {trained[3]} are open: so many match" in text
    some = [
        f"{n} {what} ({100 * n / quick[0]:.0f} %)"
        for n, what in zip(quick[1:], ("match or are better", "are worse", "are open"), strict=True)
    ]
    assert f"Of {quick[0]} cells {some[0]}, {some[1]} and {some[2]}" in text


def differences(section):
    """The cells of a section that say what a network is worse by: score, network, budget, and the cell."""
    heads = []
    for row in rows(section):
        if not row[0] or row[1:] == [name for name in row[1:] if re.fullmatch(r"[\d.]+ %|margin", name)]:
            # "worse by" is of the network to its left, "standard" of the one that is named with "quick"; a
            # sparsity alone is of the method in the first cell, or of omp.
            heads = [("", "")]
            for name in row[1:]:
                network = name if name.endswith("%") or "%, quick" in name else heads[-1][0]
                if row[0] and name.endswith("%"):
                    network = f"{row[0]} at {name}"
                heads.append((network.removesuffix(", quick"), name.rpartition(", ")[2]))
        for (network, what), cell in zip(heads, row, strict=False):
            if network and re.match(r"\*{0,2}-?[\d.]+", cell):
                yield re.sub(", (%|points)$", "", row[0]), network, what, cell


def test_the_differences_that_are_written_are_those_of_the_verdict(published):
    """The trace of omp at 67.2 % stood as -12.5 % in one place and as -12.6 % in others."""
    trained, quick = (published[f"c10-r20s-{name}"] for name in ("standard-bf16", "quick"))
    named = {trained.title_of(s.name).removeprefix("integrated gradients: "): s for s in trained.scores}
    units = {title: (s.name, s.unit) for title, s in named.items() if s.verdict}
    wrong, seen = [], 0
    for section in (
        text for head, text in written().items() if head.startswith(("c10-r20s, tr", "What a q"))
    ):
        both = "imp at 67.2 %, quick" in section
        for title, network, what, cell in differences(section):
            means = network == what and not re.match("[\\d.]+ %$", network)
            if title not in units or what == "margin" or (means and not both):
                continue
            summary, (score, unit) = quick if what == "quick" else trained, units[title]
            method = network.partition(" at ")[0] if " at " in network else "omp"
            result = next(r for r in summary.headline if r.method == method)
            (match,) = (m for m in result.at(level(summary, network)) if m.score == score)
            factor = 100.0 if match.relative or unit == "fraction" else 1.0
            values = [factor * v for v in (match.shortfall, match.lower, match.bound)]
            for text, value in zip(re.findall(r"-?\d*\.?\d+", cell), values, strict=False):
                if abs(float(text) - value) > 0.5001 * 10 ** -len(text.partition(".")[2]):
                    wrong.append((title, network, what, cell, value))
            said = "worse" if "**" in cell else "open" if "open" in cell else ""
            said = said or ("better" if re.search(r"^\*[^*]|better", cell) else "matches")
            wrong += [(title, network, what, cell, match.finding)] if said != match.finding else []
            seen += 1
    assert not wrong
    assert seen == 13 * 3 + 6 * 4 + 6 * 5 + 13 * 2 + (5 + 6) * 4 + 8 * 8 + 7 * 4


def test_the_means_that_are_written_of_controls_are_those_of_the_table(published):
    summary = published["digits-r8-quick"]
    (section,) = (text for head, text in written().items() if head.startswith("digits-r8:"))
    places = {"mce": 2, "ece": 4, "nll": 3, "hessian_trace": 0}
    scores = ("accuracy", "mce", "fgsm_accuracy", "ood_auroc", "ece", "nll", "hessian_trace")
    seen = set()
    for row in rows(section.partition("**A ticket needs its weights")[2].partition("**Which weights of")[0]):
        method, _, at = row[0].partition(", ")
        if method in summary.methods or method == "dense":
            where = level(summary, at) if at else 0.0
            means = [summary.cells[method, where, score].mean for score in scores]
            shown = [
                f"{mean:.{places[s]}f}" if s in places else f"{100 * mean:.1f}"
                for s, mean in zip(scores, means, strict=True)
            ]
            assert row[1:] == [text.removeprefix("0") if "." in text else text for text in shown]
            seen.add(row[0])
    assert len(seen) == 7 * 2 + 1
