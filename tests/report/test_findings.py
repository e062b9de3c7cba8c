"""The first screen says which method gets furthest, up to which sparsity, and what breaks first."""

import dataclasses

import pytest

from lthbench.report import findings, task_page
from lthbench.report.findings import SIGNS, broken, first_break, lead, matrix
from lthbench.report.summary import summarise
from lthbench.verdict.rules import FINDINGS, Match

LEVELS = (0.5, 0.8, 0.9)
#: Findings of two scores over three sparsities, written as signs.
SIGN = {"y": "matches", "?": "not shown", "x": "worse", "!": "failed", "0": "degenerate"}


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
        Match(result.method, s, score, "noninferior", 0, 0, 0, 0, sign == "y", finding=SIGN[sign])
        for score, word in zip(("accuracy", "nll"), words, strict=True)
        for s, sign in zip(LEVELS, word, strict=True)
    )
    passing = [s for s in LEVELS if all(m.matches for m in matches if m.sparsity == s)]
    return dataclasses.replace(
        result, matches=matches, joint=max(passing, default=None), held_back=(), undecided=""
    )


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (
            {"imp": ("yyx", "yxx"), "omp": ("yyy", "yyx")},
            "omp goes furthest: as good as dense on everything up to 80.0 %. "
            "What breaks first: NLL, at 90.0 %.",
        ),
        (
            {"imp": ("yy?", "yyx"), "omp": ("yyx", "yyy")},
            "imp and omp go furthest: as good as dense on everything up to 80.0 %. "
            "What breaks first: NLL, at 90.0 % (imp); accuracy, at 90.0 % (omp).",
        ),
        ({"imp": ("yyy", "yyy")}, "imp goes furthest: as good as dense on everything up to 90.0 %."),
        (
            {"imp": ("???", "y?x"), "omp": ("?xx", "yyx")},
            "No method is shown to be as good as dense on everything. imp comes closest: nothing is shown "
            "to be worse up to 80.0 %; what breaks first: NLL, at 90.0 %.",
        ),
        (
            {"imp": ("??x", "yyy"), "omp": ("???", "yyx")},
            "No method is shown to be as good as dense on everything. imp and omp come closest: nothing is "
            "shown to be worse up to 80.0 %; what breaks first: accuracy, at 90.0 % (imp); NLL, at 90.0 % "
            "(omp).",
        ),
        (
            {"imp": ("???", "y??"), "omp": ("?xx", "yyx")},
            "No method is shown to be as good as dense on everything. For imp, nothing measured is shown "
            "to be worse either.",
        ),
        (
            {"imp": ("xxx", "yyy"), "omp": ("!xx", "0yx")},
            "No method is shown to be as good as dense on everything. Already at the lowest sparsity each is "
            "worse on something.",
        ),
    ],
)
def test_the_lead_names_the_furthest_and_what_breaks_first(summary, methods, said):
    found = summary(**methods)
    assert lead(found) == said
    assert said.replace(" %", "\u00a0%") in task_page.render(found)


def test_what_is_not_shown_does_not_break_and_what_failed_does(summary):
    found = summary(imp=("???", "y??"), omp=("y!y", "y0x"))
    assert first_break(found.headline[0]) is None
    assert broken(found, found.headline[0]) == "nothing measured is shown to be worse"
    assert first_break(found.headline[1]) == findings.Break(0.8, ("accuracy", "nll"), 0.5)
    assert broken(found, found.headline[1]) == "accuracy and NLL, at 80.0 %"


def test_without_a_verdict_the_lead_says_why(made_table):
    made, facts = made_table(("imp",))
    assert lead(summarise(made[made["method"] == "dense"], facts)) == "No pruned network was measured."
    assert lead(summarise(made[made["method"] == "imp"], facts)).startswith(
        "No verdict: accuracy of the dense"
    )


def test_the_matrix_has_a_sign_for_every_finding_and_explains_those_that_it_has(summary):
    assert SIGNS.keys() == findings.MEANINGS.keys() == set(FINDINGS)
    assert len({sign for _, sign in SIGNS.values()}) == len(SIGNS), "colour is never all"
    found = summary(imp=("y?x", "y0!"))
    drawn = matrix(found, found.headline[0])
    assert drawn.levels == ("50.0", "80.0", "90.0")
    assert [(title, "".join(sign for _, sign in cells)) for title, cells in drawn.rows] == [
        ("accuracy", "✓?✗"),
        ("NLL", "✓∅!"),
    ]
    assert [sign for _, sign, _ in findings.signs(found)] == ["✓", "?", "✗", "!", "∅"]
