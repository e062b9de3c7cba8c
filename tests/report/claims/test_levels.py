"""At which level claims of several parts are decided: closed forms, and how often they are wrong."""

import dataclasses
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lthbench.report.claims import base, lth_pass
from lthbench.report.claims.base import Interval, all_of, any_of, at_least, within
from lthbench.report.claims.interpretability import SCORES

_PATH = Path(__file__).with_name("test_claims.py")
_SPEC = importlib.util.spec_from_file_location("made_claims", _PATH)
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)

#: Of two groups of three networks that scatter alike: Welch's degrees of freedom.
FREEDOM = 4
SPREAD = 0.001
ERROR = SPREAD * math.sqrt(2 / 3)
#: In standard errors: shown by itself, and by Bonferroni over two, three and four.
ALONE, OF_TWO, OF_THREE, OF_FOUR = (stats.t.isf(0.025 / n, FREEDOM) for n in (1, 2, 3, 4))


def parts(*means):
    return [Interval(mean, 1.0, FREEDOM) for mean in means]


def test_all_are_above_where_each_is_by_itself_and_not_where_one_is_below_by_bonferroni():
    surely, just, barely = OF_FOUR + 0.1, ALONE + 0.1, ALONE - 0.1
    assert all_of(parts(just, just, just, just), 0.0) == "agrees"
    assert all_of(parts(surely, surely, surely, barely), 0.0) == "cannot say"
    assert all_of(parts(surely, surely, surely, -OF_FOUR + 0.1), 0.0) == "cannot say"
    assert all_of(parts(surely, surely, surely, -surely), 0.0) == "differs"
    assert all_of(parts(-just), 0.0) == "differs"


def test_all_are_near_where_each_is_by_itself_and_not_where_one_is_beyond_by_bonferroni():
    for sign in (1, -1):
        near, beyond = sign * (5.0 - ALONE - 0.1), sign * (5.0 + OF_TWO + 0.1)
        assert within(parts(near, 0.0), 5.0) == "agrees"
        assert within(parts(near + sign * 0.2, 0.0), 5.0) == "cannot say"
        assert within(parts(beyond, 0.0), 5.0) == "differs"
        assert within(parts(beyond - sign * 0.2, 0.0), 5.0) == "cannot say"


def test_one_seed_shows_nothing_and_no_scatter_shows_all():
    once, sure = Interval(1.0, math.inf, 1.0), Interval(1.0, 0.0, 1.0)
    assert all_of([once, sure], 0.0) == "cannot say"
    assert all_of([sure, sure], 0.0) == "agrees"
    assert all_of([sure, sure], 2.0) == "differs"


def drawn(true, rng):
    """Intervals of parts with these true means, in standard errors: each is a t statistic's."""
    scatter = np.sqrt(rng.chisquare(FREEDOM, len(true)) / FREEDOM)
    return [
        Interval(float(m), float(s), FREEDOM) for m, s in zip(rng.normal(true, 1.0), scatter, strict=True)
    ]


@pytest.mark.parametrize(
    ("true", "wrong"),
    [
        ((0.0, 40.0, 40.0, 40.0), "agrees"),  # false in one part, as clear as can be in the others
        ((0.0, 0.0, 0.0, 0.0), "agrees"),
        ((1e-9, 1e-9, 1e-9, 1e-9), "differs"),  # true, though barely
    ],
)
def test_a_claim_of_all_is_decided_wrongly_in_at_most_a_fortieth(true, wrong):
    rng = np.random.default_rng(7)
    found = [all_of(drawn(true, rng), 0.0) for _ in range(3000)]
    share = found.count(wrong) / len(found)
    assert share <= 0.025 + 3 * math.sqrt(0.025 / len(found))
    if true != (0.0, 0.0, 0.0, 0.0):
        assert share > 0.015  # no surer than asked for


def test_without_bonferroni_a_true_claim_would_be_contradicted_too_often():
    """With each part's own interval a true claim is contradicted in far more than a twentieth of draws."""
    rng = np.random.default_rng(8)
    found = [drawn([0.0] * 4, rng) for _ in range(1000)]
    assert np.mean([any(i.high < 0.0 for i in one) for one in found]) > 0.07
    assert np.mean([any(i.high < 0.0 for i in any_of(one)) for one in found]) < 0.04


def test_most_of_several_are_shown_by_the_partial_conjunction():
    """Half of ten are clearly above and half are not: six of them are shown to be in at most a fortieth."""
    rng = np.random.default_rng(9)
    found = [drawn([40.0] * 5 + [0.0] * 5, rng) for _ in range(1000)]
    shown = np.mean([sum(i.low > 0.0 for i in at_least(one, 6)) >= 6 for one in found])
    alone = np.mean([sum(i.low > 0.0 for i in one) >= 6 for one in found])
    assert shown < 0.04 < 0.08 < alone
    one, *_ = drawn([0.0] * 5, rng)
    assert [at_least([one] * 5, count)[0].parts for count in (1, 3, 5)] == [5, 3, 1]


# ------------------------------------------------------------------------------------- in the claims


def held(text, values):
    methods = tuple(dict.fromkeys(k[0] for k in values if k[0] != "dense"))
    return made.of(text).check(made.summary(values, methods, spread=SPREAD))[1]


@pytest.mark.parametrize(
    ("text", "one", "other", "least"),
    [
        ("no more accurate than as many", "snip:shuffled", "snip", -0.01),
        ("no less accurate with other", "snip:reinit", "snip", -0.01),
        ("less accurate than magnitude", "omp", "snip", 0.0),
        ("small dense network is worse", "imp", "small", 0.0),
    ],
)
def test_claims_of_all_sparsities_agree_by_each_interval_and_differ_by_bonferronis(text, one, other, least):
    def told(*ahead):
        gaps = {
            (one, s, "accuracy"): 0.9 + least + n * ERROR for s, n in zip((0.2, 0.5, 0.8), ahead, strict=True)
        }
        return held(text, gaps | {(other, s, "accuracy"): 0.9 for s in (0.2, 0.5, 0.8)})

    just, surely = ALONE + 0.1, OF_THREE + 0.1
    assert told(just, just, just) == "agrees"
    assert told(just, just, ALONE - 0.1) == "cannot say"
    assert told(just, just, -just) == "cannot say"
    assert told(just, just, -surely) == "differs"


def test_that_one_sparsity_has_more_units_than_dense_is_shown_by_bonferroni():
    def told(*more):
        means = {s: 0.1 + n * ERROR for s, n in zip((0.2, 0.5, 0.8), more, strict=False)}
        return held("never adds interpretable units", made.series("units", 0.1, means))

    assert told(ALONE + 0.1) == "differs"
    assert told(ALONE + 0.1, 0.0, 0.0) == "agrees"  # not shown to be more, and shown to be no tenth more
    assert told(OF_THREE + 0.1, 0.0, 0.0) == "differs"


def test_the_composition_of_tickets_and_random_networks_is_a_claim_of_two_parts():
    def told(n):
        found = made.series("composition", 0.1, {0.59: 0.1})
        random = {("random", 0.59, SCORES["composition"]): 0.1 - n * ERROR}
        return held("compositions explain tickets", found | random)

    assert told(ALONE + 0.1) == "agrees"
    assert told(-ALONE - 0.1) == "cannot say"
    assert told(-OF_TWO - 0.1) == "differs"


def test_that_most_are_more_faithful_is_shown_of_more_than_half():
    """Three of four must be shown: each by Bonferroni's interval over two."""

    def told(*below):
        levels = (0.2, 0.36, 0.5, 0.8)
        other = {s: 2.0 - n * ERROR for s, n in zip(levels, below, strict=True)}
        found = made.series("fidelity", 2.0, dict.fromkeys(levels, 2.0))
        return held("more faithful to linear", found | made.series("fidelity", 2.0, other, "random"))

    just, surely = ALONE + 0.1, OF_TWO + 0.1
    assert told(surely, surely, surely, 0.0) == "agrees"
    assert told(surely, surely, just, 0.0) == "cannot say"
    assert told(just, just, just, just) == "cannot say"
    assert told(*[-surely] * 3, 0.0) == "differs"


def test_a_jump_is_one_of_several_steps():
    """Of steps of many rounds nothing is asked, and they cost nothing."""
    unit = SPREAD / math.sqrt(3)
    # A step less half of the whole fall: two networks count by a half, and where they are of the step, too.
    claim = "little by little"

    def told(levels, over):
        first, last = 1.0, 0.5
        means = dict(zip(levels, (first, 0.95, 0.0, last), strict=True))
        error = unit * math.sqrt(1 + 1 + 0.25 + 0.25)
        means[levels[2]] = means[levels[1]] - 0.25 - over * error
        return held(claim, made.series("agreement", 1.0, means))

    freedom = 2 * (1 + 1 + 0.25 + 0.25) ** 2 / (1 + 1 + 0.25**2 + 0.25**2)
    one, three = (stats.t.isf(0.025 / n, freedom) for n in (1, 3))
    assert told((0.2, 0.36, 0.488, 0.59), one + 0.1) == "cannot say"
    assert told((0.2, 0.36, 0.488, 0.59), three + 0.1) == "differs"
    assert told((0.2, 0.9, 0.92, 0.99), one + 0.1) == "differs"


def test_the_interval_of_one_part_is_wider_the_more_there_are():
    (one,) = parts(0.0)
    assert [one.of(n).high for n in (1, 2, 3, 4)] == pytest.approx([ALONE, OF_TWO, OF_THREE, OF_FOUR])
    assert base.points(Interval(0.02, 0.01, FREEDOM), "omp").startswith("2.0 points above omp (95 %: −0.8 to")


# --------------------------------------------------------- up to a sparsity, by the verdict's p-values

#: Sparsities up to the larger of those published of ResNet-20s on CIFAR-10, 83.2 and 86.6 %, and two beyond.
PUBLISHED, BEYOND = made.LEVELS[:9:2], made.LEVELS[9:11]


def up_to_published(p_values, levels=PUBLISHED, findings=()):
    """What is said where FGSM accuracy of tickets never matches, given p of being worse at each sparsity."""
    found = findings or ["worse" if p <= 0.05 else "open" for p in p_values]
    sure = made.judged({"fgsm_accuracy": (*found, *["worse"] * len(BEYOND))}, (*levels, *BEYOND))
    known = dict(zip(levels, p_values, strict=True))
    matches = [dataclasses.replace(m, p_worse=known.get(m.sparsity, 0.0)) for m in sure.matches]
    sure = dataclasses.replace(sure, matches=tuple(matches))
    verdict = made.extremes(made.NEVER, (*levels, *BEYOND))
    values = {("imp", 0.2, "accuracy"): 1.0}
    claim = made.of("CIFAR-10 with ResNet-20s, tickets match dense in accuracy")
    return claim.check(made.summary(values, verdict=verdict, headline=(sure,)))[1]


def test_that_tickets_are_worse_before_a_published_sparsity_is_shown_by_bonferroni_over_sparsities():
    several = len(PUBLISHED)
    assert several == 5
    assert up_to_published([0.04, 1.0, 1.0, 1.0, 1.0]) == "cannot say"
    assert up_to_published([0.04] * several) == "cannot say"
    assert up_to_published([1.0, 1.0, 1.0, 0.0101, 1.0]) == "cannot say"
    assert up_to_published([1.0, 1.0, 1.0, 0.0099, 1.0]) == "differs"
    assert up_to_published([0.04], PUBLISHED[:1]) == "differs"
    assert up_to_published([math.nan, 1.0, 1.0, 1.0, 1.0], findings=["gated", *["open"] * 4]) == "differs"


def test_a_published_sparsity_is_contradicted_wrongly_in_at_most_a_twentieth():
    rng = np.random.default_rng(10)
    drawn_p = rng.random((1500, len(PUBLISHED)))
    share = np.mean([up_to_published(list(p)) == "differs" for p in drawn_p])
    assert share <= 0.05 + 3 * math.sqrt(0.05 / len(drawn_p))
    assert share > 0.03  # no surer than asked for
    assert np.mean((drawn_p <= 0.05).any(axis=1)) > 0.15, "so often one sparsity by itself shows it"


def test_raw_linear_scores_are_each_one_of_the_tests_at_each_sparsity():
    levels = made.LEVELS[:3]
    of_six = stats.t.isf(0.025 / 6, FREEDOM)

    def told(ahead):
        values = {("dense", 0.0, score): 1.0 for score in lth_pass.LINEAR}
        values |= {("imp", s, score): 1.0 + 1e-9 for s in levels for score in lth_pass.LINEAR}
        values["imp", levels[1], "lime_fidelity"] = 1.0 + ahead * ERROR
        verdict = made.extremes({"accuracy": levels[-1]}, levels)
        claim = made.of("ImageNet with ResNet-50, tickets match dense in raw LIME")
        return claim.check(made.summary(values, verdict=verdict, spread=SPREAD))[1]

    assert told(of_six - 0.1) == "cannot say"
    assert told(of_six + 0.1) == "differs"


def test_that_something_is_worse_where_accuracy_holds_is_shown_by_bonferroni_over_sparsities():
    def told(p):
        sure = made.judged({"accuracy": made.ALL, "nll": ("matches", "worse", "matches")})
        matches = [dataclasses.replace(m, p_worse=p if m.finding == "worse" else 1.0) for m in sure.matches]
        sure = dataclasses.replace(sure, matches=tuple(matches))
        return made.of("Accuracy alone holds further").check(made.summary({}, headline=(sure,)))[1]

    assert told(0.04) == "cannot say"
    assert told(0.05 / 3 - 1e-4) == "agrees"
