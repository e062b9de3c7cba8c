"""mCE and relative mCE on hand-made logits, against closed forms."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from lthbench import corruptions, registry
from lthbench.kinds import Context, Logits, Metric

N = 100


@dataclass
class Given:
    """A context that holds the logits it is given."""

    held: dict[str, Logits]
    reference: Context | None = None

    def logits(self, name):
        """The logits held under this name."""
        return self.held[name]

    def sets(self, prefix):
        """Those held under the prefix, by last name."""
        return {n.rpartition("/")[2]: v for n, v in self.held.items() if n.split("/")[0] == prefix}


def logits(wrong):
    """Logits of two classes for label 0, ``wrong`` ``[..., images]`` where they are misclassified."""
    values = np.where(np.asarray(wrong)[..., None], [0.0, 1.0], [1.0, 0.0]).astype(np.float32)
    return Logits(values, np.zeros(values.shape[-2], np.int64), {})


def context(clean=0, **wrong):
    """How many of 100 images are misclassified as they are, and by kind at each of several severities."""
    sets = {f"corrupted/{k}": logits([np.arange(N) < c for c in counts]) for k, counts in wrong.items()}
    return Given({**sets, "uncorrupted": logits(np.arange(N) < clean)})


def measure(own, dense):
    own.reference = dense
    return {(v.score, v.variant): v for v in registry.get(Metric, "mce").measure(own)}


def test_mce_is_the_mean_over_kinds_of_the_ratios_of_summed_errors():
    own = context(noise=[20, 40, 60], blur=[10, 10, 10])
    found = measure(own, context(noise=[20, 20, 20], blur=[5, 15, 20]))
    assert found["mce", ""].value == pytest.approx((120 / 60 + 30 / 40) / 2, rel=1e-12)
    assert found["corruption_error", "noise"].value == pytest.approx(0.4, rel=1e-12)
    assert found["corruption_error", "blur"].value == pytest.approx(0.1, rel=1e-12)
    assert found["corruption_error", ""].value == pytest.approx(0.25, rel=1e-12)
    assert {v.n for v in found.values()} == {N}


def test_relative_mce_compares_what_is_lost_to_the_uncorrupted_images():
    own = context(8, noise=[20, 40, 60], blur=[10, 10, 13])
    dense = context(4, noise=[20, 20, 20], blur=[5, 15, 20])
    value = measure(own, dense)["relative_mce", ""]
    expected = ((120 - 3 * 8) / (60 - 3 * 4) + (33 - 3 * 8) / (40 - 3 * 4)) / 2
    assert value.value == pytest.approx(expected, rel=1e-12)
    assert value.se > 0


def of_their_own(rng, rates, clean, images, severities=3, kinds=None):
    """Kinds that each change images of their own: rates of error by kind, and of the images as they are."""
    labels = rng.integers(0, 10, (len(rates), images))
    sets = {}
    for kind, rate, own in zip(kinds or range(len(rates)), rates, labels, strict=True):
        wrong = rng.random((severities, images)) < rate
        sets[f"corrupted/{kind}"] = Logits(np.eye(10)[own] * ~wrong[..., None], own, {})
    wrong = rng.random(labels.size) < clean
    sets["uncorrupted"] = Logits(np.eye(10)[labels.ravel()] * ~wrong[:, None], labels.ravel(), {})
    return Given(sets)


def test_kinds_may_change_images_of_their_own():
    """The clean images stand one kind's after the other's; logits of zeros say class 0."""
    own, dense = (of_their_own(np.random.default_rng(7), r, 0.1, 50) for r in ([0.6, 0.4], [0.3, 0.2]))
    found = measure(own, dense)
    errors = {}
    for name, each in (("own", own), ("dense", dense)):
        clean = each.held["uncorrupted"]
        base = (clean.values.argmax(1) != clean.labels).reshape(2, 50).mean(1)
        sets = each.sets("corrupted").values()
        bad = np.array([(logits.values.argmax(2) != logits.labels).mean() for logits in sets])
        errors[name] = bad, bad - base
    expected = [(errors["own"][i] / errors["dense"][i]).mean() for i in (0, 1)]
    assert [found[s, ""].value for s in ("mce", "relative_mce")] == pytest.approx(expected, rel=1e-12)
    assert found["corruption_error", ""].value == pytest.approx(errors["own"][0].mean(), rel=1e-12)
    assert [found[s, ""].n for s in ("mce", "corruption_error")] == [100, 100]
    assert found["corruption_error", "1"].n == 50


def test_errors_of_images_of_their_own_are_independent():
    """Against the spread over samples: errors of kinds add in squares, also of the ratio by its bootstrap."""
    rng = np.random.default_rng(5)
    rates = [0.3, 0.5, 0.2, 0.4]
    told, values = [], []
    for _ in range(60):
        found = measure(of_their_own(rng, rates, 0.1, 80), of_their_own(rng, rates, 0.1, 80))
        told.append([found[s, ""].se for s in ("mce", "corruption_error")])
        values.append([found[s, ""].value for s in ("mce", "corruption_error")])
    assert np.std(values, axis=0, ddof=1) == pytest.approx(np.mean(told, axis=0), rel=0.25)


@pytest.mark.parametrize("score", ["mce", "relative_mce"])
def test_the_dense_parent_against_itself_is_one_without_error(score):
    value = measure(*(context(10, noise=[20, 40], blur=[30, 35]) for _ in range(2)))[score, ""]
    assert (value.value, value.se) == (1.0, 0.0)


def test_mce_is_undefined_where_the_dense_parent_makes_no_error():
    found = measure(context(noise=[5], blur=[5]), context(noise=[5], blur=[0]))
    assert math.isnan(found["mce", ""].value)
    assert math.isnan(found["mce", ""].se)
    assert found["mce", ""].reason == "undefined: the dense parent makes no error under blur"
    assert found["corruption_error", ""].value == pytest.approx(0.05, rel=1e-12)


def test_a_parent_with_a_handful_of_errors_gives_an_error_by_the_delta_method():
    """Some of 200 resamples hold none of its three: se(r) = sd(own - r dense) * root n / sum of dense."""
    value = measure(context(noise=[8]), context(noise=[3]))["mce", ""]
    own, dense = np.arange(N) < 8, np.arange(N) < 3
    gaps = own - 8 / 3 * dense
    assert value.value == pytest.approx(8 / 3)
    assert value.se == pytest.approx(gaps.std(ddof=1) * np.sqrt(N) / 3, rel=0.15)
    assert value.draws.std(ddof=1) == pytest.approx(value.se)


@pytest.mark.parametrize("corrupted", [7, 6])
def test_relative_mce_is_undefined_where_the_dense_parent_loses_nothing(corrupted):
    """Its errors are as many as without corruption, or fewer."""
    severities = [corrupted, corrupted, 7]
    found = measure(context(7, noise=[9, 9, 9]), context(7, noise=severities))
    value = found["relative_mce", ""]
    assert math.isnan(value.value)
    assert value.reason == "undefined: the dense parent loses no accuracy under noise"
    assert found["mce", ""].value == pytest.approx(27 / sum(severities), rel=1e-12)


@pytest.mark.parametrize("score", ["mce", "relative_mce"])
def test_the_error_is_near_that_of_a_ratio_of_means(score):
    """Delta method, one kind and severity: se(r) = sd(own - r * dense) / (mean dense * root n)."""
    rng = np.random.default_rng(5)
    losses, contexts = [], []
    for share in (0.5, 0.4):
        clean, corrupted = rng.random(600) < 0.1, rng.random(600) < share
        contexts.append(Given({"corrupted/noise": logits(corrupted[None]), "uncorrupted": logits(clean)}))
        losses.append(corrupted.astype(float) - (clean if score == "relative_mce" else 0))
    own, dense = losses
    ratio = own.mean() / dense.mean()
    value = measure(*contexts)[score, ""]
    assert value.value == pytest.approx(ratio, rel=1e-12)
    assert value.se == pytest.approx((own - ratio * dense).std(ddof=1) / (dense.mean() * 600**0.5), rel=0.2)


# --------------------------------------------------------------------------------- published selections


@pytest.mark.parametrize("frost", ["frost", "frost_procedural"])
def test_published_selections_are_variants_where_all_their_kinds_are_there(frost):
    fifteen = {k if k != "frost" else frost: [10 + i] for i, k in enumerate(corruptions.FIFTEEN)}
    extra = {k: [60] for k in corruptions.EXTRA}
    dense = {k: [10] for k in fifteen | extra}
    found = measure(context(**fifteen, **extra), context(**dense))
    ratios = [(10 + i) / 10 for i in range(15)]
    for score in ("mce", "relative_mce"):
        assert found[score, "15"].value == pytest.approx(np.mean(ratios), rel=1e-12)
        assert found[score, "19"].value == pytest.approx(np.mean([*ratios, 6, 6, 6, 6]), rel=1e-12)
        assert found[score, ""].value == pytest.approx(found[score, "19"].value, rel=1e-12)
    found = measure(context(**fifteen), context(**{k: [10] for k in fifteen}))
    assert ("mce", "15") in found
    assert ("mce", "19") not in found


def test_a_selection_of_kinds_with_images_of_their_own_has_the_clean_ones_of_these():
    kinds, rng = [*corruptions.EXTRA, *corruptions.FIFTEEN], np.random.default_rng(3)
    own, dense = (of_their_own(rng, [rate] * 19, 0.2, 30, kinds=kinds) for rate in (0.8, 0.6))
    found = measure(own, dense)["relative_mce", "15"]
    lost = []
    for each in (own, dense):
        clean = each.held["uncorrupted"]
        base = (clean.values.argmax(1) != clean.labels).reshape(19, 30).mean(1)
        sets = each.sets("corrupted").values()
        lost.append(np.array([(logits.values.argmax(2) != logits.labels).mean() for logits in sets]) - base)
    assert found.value == pytest.approx((lost[0] / lost[1])[4:].mean(), rel=1e-12)


def test_without_one_kind_there_is_no_published_selection():
    kinds = {k: [10] for k in (*corruptions.FIFTEEN, *corruptions.EXTRA) if k != "frost"}
    assert {v for s, v in measure(context(**kinds), context(**kinds)) if s == "mce"} == {""}


def test_only_mce_is_asked_for_by_the_verdict():
    scores = {s.name: s.verdict for s in registry.get(Metric, "mce").scores}
    assert scores == {"mce": True, "relative_mce": False, "corruption_error": False}
