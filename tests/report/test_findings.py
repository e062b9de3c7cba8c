"""Signs and numbers of what is found, and what of a method breaks first."""

import dataclasses

from lthbench.report import findings, leaderboard
from lthbench.report.findings import SIGNS, broken, first_break, matrix
from lthbench.verdict.rules import FINDINGS


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
        "accuracy worse by 0.4 points, at most 0.8 worse, margin 1.0, p = 0.020: matches"
    )
    share = dataclasses.replace(
        match, score="nll", shortfall=-0.2, bound=-0.1, allowed=0.5, relative=True, p=1e-5, finding="better"
    )
    assert findings.words(found, share) == (
        "NLL better by 20 %, at least 10 % better, margin 50 %, p < 0.001: better"
    )


def test_the_matrix_has_a_sign_for_every_finding_and_explains_those_that_it_has(judged_as):
    assert SIGNS.keys() == findings.MEANINGS.keys() == set(FINDINGS)
    assert len({sign for _, sign in SIGNS.values()}) == len(SIGNS), "colour is never all"
    found = judged_as(imp=("+?x", "y0!"))
    drawn = matrix(found, found.headline[0])
    assert drawn.levels == ("50.0", "80.0", "90.0")
    assert [(title, " ".join(sign for _, sign in cells)) for title, cells in drawn.rows] == [
        ("accuracy", "★ open ✗"),
        ("NLL", "✓ ∅ !"),
    ]
    assert [sign for _, sign, _ in findings.signs(found)] == ["★", "✓", "open", "✗", "!", "∅"]


def test_pages_of_methods_tell_open_from_none(judged_as):
    found = judged_as(imp=("yyx", "yyy"), omp=("???", "yyy"), snip=("xxx", "yyy"))
    both = ["accuracy", "nll"]
    assert [leaderboard.reach(r, both) for r in found.headline] == ["80.0", "open", "none"]
    assert [leaderboard.reach(r, ["nll"]) for r in found.headline] == ["90.0"] * 3
