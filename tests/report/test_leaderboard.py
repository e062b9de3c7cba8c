"""The table of methods and scores: what a cell shows, and what it says on hover."""

import dataclasses

import pytest

from lthbench.report import leaderboard, templates
from lthbench.report.summary import far
from lthbench.verdict.rules import Match, Verdict

LEVELS = (0.5, 0.8, 0.9)


def judged(**findings: tuple[str, ...]) -> Verdict:
    """A verdict of tickets: at each of three levels the finding of each score."""
    matches = tuple(
        Match("imp", s, score, "noninferior", 0, 0, 0, 0, row[k] in ("matches", "better"), "", row[k])
        for score, row in findings.items()
        for k, s in enumerate(LEVELS)
    )
    return Verdict("imp", "noninferior", LEVELS, {}, None, (), None, (), True, None, "", matches)


@pytest.mark.parametrize(
    ("accuracy", "level", "found"),
    [
        (("open", "open", "worse"), 0.5, 0.9),
        (("open", "worse", "worse"), 0.5, 0.8),
        (("matches", "open", "worse"), 0.8, 0.9),
        (("worse", "open", "open"), 0.5, None),  # not where it already is
        (("open", "open", "open"), 0.5, None),
        (("matches", "matches", "matches"), None, None),
    ],
)
def test_what_is_open_and_worse_further_on_is_told(accuracy, level, found):
    other = ("worse", "worse", "worse")  # of another score: no matter here
    result = judged(accuracy=accuracy, mce=other)
    assert leaderboard._worse_beyond(result, ["accuracy"], level) == found


def test_a_method_measured_at_one_sparsity_alone_says_so_and_ranks_and_tint_are_explained(judged_as):
    summary = judged_as(imp=("yyy", "yyy"), omp=("yyy", "yyy"))
    imp, omp = summary.headline
    short = dataclasses.replace(
        omp, sparsities=omp.sparsities[:1], matches=tuple(m for m in omp.matches if m.sparsity == 0.5)
    )
    several = dataclasses.replace(summary, verdicts={summary.rule: (imp, short)})
    assert [(row.method, row.note) for row in leaderboard.board(several).rows] == [
        ("imp", ""),
        ("omp", "at 50.0 % alone"),
    ]
    assert [row.note for row in leaderboard.board(summary).rows] == ["", ""]
    macro = vars(templates.environment().get_template("leaderboard.html.j2").module)["leaderboard"]
    page, tied = (macro(leaderboard.board(s), "board", "made") for s in (several, summary))
    assert "The darker, the more of the sparsities at which the method was measured." in page
    assert "“Alone”: it was measured at that sparsity only." in page
    assert "Rank “–”" not in page
    assert "Rank “–”: all get as far." in tied
    assert "“Alone”" not in tied


def test_the_method_that_holds_furthest_stands_first(judged_as):
    summary = judged_as(imp=("xxx", "xxx"), omp=("yyy", "yyy"), snip=("yxx", "yxx"))
    assert [row.method for row in leaderboard.board(summary).rows] == ["omp", "snip", "imp"]


@pytest.mark.parametrize(
    ("accuracy", "nll", "found"),
    [
        ("x", "-", ["none", "none", "–"]),  # what is worse is worse, whatever cannot be compared beside it
        ("g", "!", ["none", "none", "–"]),
        ("0", "0", ["none", "none", "none"]),
        ("?", "-", ["–", "open", "–"]),
        ("?", "!", ["–", "open", "–"]),
        ("y", "!", ["–", "50.0", "–"]),
        ("?", "y", ["open", "open", "50.0"]),
    ],
)
def test_none_is_said_of_what_is_worse_and_not_of_what_was_not_measured(judged_as, accuracy, nll, found):
    summary = judged_as((0.5,), imp=(accuracy, nll))
    (row,) = leaderboard.board(summary).rows
    assert [cell.text for cell in (row.joint, *row.cells)] == found
    (result,) = summary.headline
    assert leaderboard.reach(result, ["accuracy", "nll"]) == found[0]
    assert far(result).replace("no verdict", "–") == found[0]
