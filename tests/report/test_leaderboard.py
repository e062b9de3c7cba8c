"""The table of methods and scores: what a cell shows, and what it says on hover."""

import dataclasses
import json

import pytest

from lthbench.report import leaderboard, machine_readable, markdown, network_page, task_page, templates
from lthbench.report.figures import curves
from lthbench.report.summary import far, summarise
from lthbench.results.training_costs import Cost
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


def test_a_method_measured_at_one_sparsity_alone_says_so_and_tint_is_explained(judged_as):
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
    assert "“Alone”: it was measured at that sparsity only, and stands last." in page
    assert "“Alone”" not in tied
    assert "no test between two methods" in page


def test_the_method_that_holds_furthest_stands_first(judged_as):
    summary = judged_as(imp=("xxx", "xxx"), omp=("yyy", "yyy"), snip=("yxx", "yxx"))
    assert [row.method for row in leaderboard.board(summary).rows] == ["omp", "snip", "imp"]
    summary = judged_as(imp=("xxx", "yyy"), omp=("???", "yyy"), snip=("yxx", "yyy"))
    assert [row.method for row in leaderboard.board(summary).rows] == ["snip", "omp", "imp"], (
        "open before none"
    )


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


def costed(summary, found):
    """The same summary, whose networks have these costs."""
    vars(summary)["costs"] = found
    return summary


def test_trainings_are_those_at_which_all_scores_hold_or_at_the_lowest_sparsity(judged_as):
    summary = judged_as(imp=("yyy", "yyx"), omp=("xxx", "yyy"), mine=("yyy", "yyy"))
    found = {("imp", s): Cost(n, n + 0.25) for n, s in enumerate(LEVELS, 2)}
    summary = costed(summary, found | {("omp", 0.5): Cost(1.0, 0.0625)})
    board = leaderboard.board(summary)
    assert {row.method: row.trainings.text for row in board.rows} == {"mine": "–", "imp": "3.0", "omp": "1.0"}
    words = {row.method: row.trainings.words for row in board.rows}
    assert words["imp"].startswith("imp at 80.0 %: to find and train the network takes 3.0 trainings")
    assert "0.062 times the operations of one dense network" in words["omp"]
    assert "not known here" in words["mine"]
    macro = vars(templates.environment().get_template("leaderboard.html.j2").module)["leaderboard"]
    page = macro(board, "board", "made")
    assert "one training of the dense network = 1; that of its dense parent" in page
    bare = macro(leaderboard.board(costed(summary, {})), "board", "made")
    assert page.count("<t") - bare.count("<t") == 1 + len(board.rows) + len(board.dense)
    assert ">trainings<" in page
    assert ">trainings<" not in bare


def test_every_form_of_a_report_has_the_trainings_of_each_network(made_table):
    summary = costed(summarise(*made_table(("imp",), sparsities=(0.5,))), {("imp", 0.5): Cost(2.5, 2.75)})
    told = json.loads(machine_readable.as_json(summary))["costs"]
    assert told == [{"method": "imp", "sparsity": 0.5, "trainings": 2.5, "operations": 2.75}]
    assert [row["trainings"] for row in markdown.score_rows(summary)] == ["–", "2.5"]
    assert markdown.render(summary).count("| trainings") == 1
    no_figures = [(curves.KIND, [])]
    page = task_page.render(summary, figures=no_figures)
    assert '<td data-order="2.5">2.5</td>' in page
    assert "takes 2.5 trainings and 2.8 times" in network_page.Cards(summary).render("imp", 0.5)
    costed(summary, {})
    assert "trainings" not in markdown.score_rows(summary)[0]
    assert ">trainings<" not in task_page.render(summary, figures=no_figures)
    assert "to find and train" not in network_page.Cards(summary).render("imp", 0.5).lower()
