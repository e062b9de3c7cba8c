"""The first screen says which method gets furthest, up to which sparsity, and what breaks first."""

import dataclasses
import itertools

import pytest

from lthbench.report import findings, leaderboard, task_page
from lthbench.report.findings import SIGNS, broken, first_break, lead, matrix
from lthbench.report.summary import summarise
from lthbench.verdict.rules import FINDINGS, Match

LEVELS = (0.5, 0.8, 0.9)
#: Findings of two scores over three sparsities, written as signs.
SIGN = {
    "+": "better",
    "y": "matches",
    "?": "open",
    "x": "worse",
    "!": "failed",
    "0": "degenerate",
}
_SHORT = ("x", "0")

#: Where no method passes.
NONE = "No method is shown to be as good as dense on everything."


@pytest.fixture
def summary(made_table):
    """Makes a summary whose headline has these findings: by method, a word for each of two scores."""

    def made(**methods):
        found = summarise(*made_table(tuple(methods), sparsities=LEVELS))
        results = tuple(verdict(result, *methods[result.method]) for result in found.headline)
        return dataclasses.replace(found, verdicts={**found.verdicts, found.rule: results})

    return made


def verdict(result, *words):
    """A verdict with these findings, put together as ``lthbench.verdict`` does."""
    matches = tuple(
        Match(result.method, s, score, "noninferior", 0, 0, 0, 0, sign in "y+", finding=SIGN[sign])
        for score, word in zip(("accuracy", "nll"), words, strict=True)
        for s, sign in zip(LEVELS, word, strict=True)
    )
    both = ["".join(word[place] for word in words) for place in range(len(LEVELS))]
    falls = [any(c in _SHORT for c in level) for level in both]
    return dataclasses.replace(
        result,
        matches=matches,
        joint=first([all(c in "y+" for c in level) for level in both], LEVELS),
        short_from=first(falls[::-1], LEVELS[::-1]),
        worse_from={
            score: first([c in _SHORT for c in word][::-1], LEVELS[::-1])
            for score, word in zip(("accuracy", "nll"), words, strict=True)
        },
        held_back=(),
        undecided="",
    )


def first(good, levels):
    """The last level of those that are good from the first on."""
    run = list(itertools.takewhile(lambda pair: pair[0], zip(good, levels, strict=True)))
    return run[-1][1] if run else None


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (
            {"imp": ("yyx", "yxx"), "omp": ("yyy", "yyx")},
            "omp goes furthest: as good as dense on everything up to 80.0 %. "
            "What breaks first: NLL, from 90.0 % on.",
        ),
        (
            {"imp": ("yy?", "yyx"), "omp": ("y+x", "yyy")},
            "imp and omp go furthest: as good as dense on everything up to 80.0 %. "
            "What breaks first: NLL, from 90.0 % on (imp); accuracy, from 90.0 % on (omp).",
        ),
        ({"imp": ("yyy", "yyy")}, "imp goes furthest: as good as dense on everything up to 90.0 %."),
        (
            {"imp": ("yyy", "yyy"), "omp": ("yyy", "yyx")},
            "imp goes furthest: as good as dense on everything up to 90.0 %. "
            "omp breaks first in NLL, from 90.0 % on.",
        ),
        (
            {"imp": ("yyy", "yyy"), "omp": ("yyx", "yxx"), "snip": ("yyx", "yyx")},
            "imp goes furthest: as good as dense on everything up to 90.0 %. "
            "Of the others, 2 of 2 break first in NLL.",
        ),
        (
            {"imp": ("???", "y?x"), "omp": ("xxx", "yyx")},
            f"{NONE} Already at 50.0 %, omp falls short in accuracy; imp is open.",
        ),
        (
            {"imp": ("!!!", "y?x"), "omp": ("xxx", "yyx")},  # what was not measured is not worse
            f"{NONE} Already at 50.0 %, omp falls short in accuracy; imp lacks scores.",
        ),
        (
            {"imp": ("??x", "yyy"), "omp": ("???", "yyx")},
            f"{NONE} Already at 50.0 %, imp and omp are open.",
        ),
        (
            {"imp": ("?yy", "yy?"), "omp": ("???", "yyx"), "snip": ("xyy", "yyy")},
            f"{NONE[:-1]}; imp comes closest, in 4 of 6 comparisons. "
            "Already at 50.0 %, snip falls short in accuracy; imp and omp are open.",
        ),
        (
            {"imp": ("xxx", "xyy"), "omp": ("!xx", "0yx")},
            f"{NONE} Already at 50.0 %, imp and omp fall short, most often in NLL.",
        ),
        (
            dict.fromkeys("abcdef", ("xxx", "yyy")),
            f"{NONE} Already at 50.0 %, 6 methods fall short, most often in accuracy.",
        ),
    ],
)
def test_the_lead_names_the_furthest_and_what_breaks_first(summary, methods, said):
    assert lead(summary(**methods)) == said


def test_the_page_of_a_task_begins_with_the_lead(summary, monkeypatch):
    monkeypatch.setattr(task_page, "kinds", tuple)  # all figures but the curves are drawn elsewhere
    found = summary(imp=("yyx", "yxx"), omp=("yyy", "yyx"))
    assert lead(found).replace(" %", "\u00a0%") in task_page.render(found)


def test_what_breaks_stays_broken(summary):
    """One network that is worse between others that match is no break: a fixed sequence from the top."""
    found = summary(imp=("xyy", "yxy"), omp=("y?x", "yxx"), snip=("y0y", "yyx"))
    assert first_break(found.headline[0]) is None
    assert broken(found, found.headline[0]) == "nothing for sure"
    assert first_break(found.headline[1]) == findings.Break(0.8, ("nll",), 0.5)
    assert broken(found, found.headline[1]) == "NLL, from 80.0 % on"
    assert first_break(found.headline[2]) == findings.Break(0.8, ("accuracy",), 0.5)


def test_a_match_in_words_has_its_bound_its_margin_and_its_p_value(summary):
    found = summary(imp=("yyy", "yyy"))
    numbers = {"shortfall": 0.004, "bound": 0.0081, "lower": -0.0001, "allowed": 0.01, "p": 0.02}
    match = dataclasses.replace(found.headline[0].matches[0], **numbers)
    assert findings.words(found, match) == (
        "accuracy worse by 0.4 points, at most 0.8 worse, margin 1.0, p = 0.020: matches"
    )
    share = dataclasses.replace(
        match, score="nll", shortfall=-0.2, bound=-0.1, allowed=0.5, relative=True, p=1e-5, finding="better"
    )
    assert findings.words(found, share) == (
        "NLL better by 20 %, at least 10 % better, margin 50 %, p < 0.001: better"
    )


def test_without_a_verdict_the_lead_says_why(made_table):
    made, facts = made_table(("imp",))
    assert lead(summarise(made[made["method"] == "dense"], facts)) == "No pruned network was measured."
    assert lead(summarise(made[made["method"] == "imp"], facts)).startswith(
        "No verdict: accuracy of the dense"
    )


def test_the_matrix_has_a_sign_for_every_finding_and_explains_those_that_it_has(summary):
    assert SIGNS.keys() == findings.MEANINGS.keys() == set(FINDINGS)
    assert len({sign for _, sign in SIGNS.values()}) == len(SIGNS), "colour is never all"
    found = summary(imp=("+?x", "y0!"))
    drawn = matrix(found, found.headline[0])
    assert drawn.levels == ("50.0", "80.0", "90.0")
    assert [(title, "".join(sign for _, sign in cells)) for title, cells in drawn.rows] == [
        ("accuracy", "★?✗"),
        ("NLL", "✓∅!"),
    ]
    assert [sign for _, sign, _ in findings.signs(found)] == ["★", "✓", "?", "✗", "!", "∅"]


def test_pages_of_methods_tell_open_from_none(summary):
    found = summary(imp=("yyx", "yyy"), omp=("???", "yyy"), snip=("xxx", "yyy"))
    both = ["accuracy", "nll"]
    assert [leaderboard.reach(r, both) for r in found.headline] == ["80.0", "open", "none"]
    assert [leaderboard.reach(r, ["nll"]) for r in found.headline] == ["90.0"] * 3
