"""What is computed of maps: closed forms, brute force and SciPy."""

import numpy as np
import pytest
from scipy import stats

from lthbench.functional import saliency_maps

DRAW = np.random.Generator(np.random.PCG64(1))


def test_gini_has_its_closed_forms():
    flat, one, tie = np.ones((1, 4, 4)), np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    one[0, 2, 1] = 1e-7
    tie[0, :2] = 5.0
    assert saliency_maps.gini(flat) == pytest.approx(0.0)
    assert saliency_maps.gini(one) == pytest.approx(1 - 1 / 16)
    assert saliency_maps.gini(tie) == pytest.approx(0.5)
    assert np.isnan(saliency_maps.gini(np.zeros((1, 4, 4)))).all()
    assert np.isnan(saliency_maps.gini(np.full((1, 4, 4), np.nan))).all()


def test_gini_is_the_mean_difference_and_knows_no_other_map():
    made = DRAW.normal(size=(3, 5, 5))
    values = np.abs(made).reshape(3, -1)
    apart = np.abs(values[:, :, None] - values[:, None, :]).sum((1, 2)) / (2 * 25**2 * values.mean(1))
    np.testing.assert_allclose(saliency_maps.gini(made), apart)
    np.testing.assert_allclose(saliency_maps.gini(np.concatenate([made, 1e6 * made]))[:3], apart)


def test_pixels_are_ranked_with_ties_in_an_order_of_their_own():
    made = DRAW.random((4, 6, 6))
    np.testing.assert_array_equal(saliency_maps.ranked(made), np.argsort(-made.reshape(4, -1), axis=1))
    made[:, 3:] = 0.0
    order = saliency_maps.ranked(made)
    assert (order[:, 18:] >= 18).all()
    assert not (np.diff(order[:, 18:]) > 0).all()
    np.testing.assert_array_equal(order, saliency_maps.ranked(made))
    assert (saliency_maps.ranked(made, 1)[:, 18:] != order[:, 18:]).any()
    assert (saliency_maps.ranked(made, 1)[:, :18] == order[:, :18]).all()
    assert sorted(saliency_maps.ranked(np.full((1, 6, 6), np.nan))[0]) == list(range(36))


def test_rank_agreement_is_that_of_scipy():
    ours, theirs = DRAW.random((5, 6, 6)).round(1), DRAW.random((5, 6, 6)).round(1)
    ours[4] = 0.0
    expected = [
        stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(ours[:4], theirs, strict=False)
    ]
    found = saliency_maps.spearman(ours, theirs)
    np.testing.assert_allclose(found[:4], expected)
    assert np.isnan(found[4])
    assert saliency_maps.spearman(ours[:1], ours[:1] ** 3) == pytest.approx(1.0)


def test_overlap_is_that_of_sets_of_pixels():
    ours, theirs = DRAW.random((3, 10, 10)), DRAW.random((3, 10, 10))
    tops = [[{*np.argsort(-m.ravel())[:20]} for m in some] for some in (ours, theirs)]
    expected = [len(a & b) / len(a | b) for a, b in zip(*tops, strict=True)]
    np.testing.assert_allclose(saliency_maps.overlap(ours, theirs, 0.2), expected)
    np.testing.assert_allclose(saliency_maps.overlap(ours, ours, 0.05), 1.0)
    theirs[1] = np.nan
    assert np.isnan(saliency_maps.overlap(ours, theirs, 0.2)).tolist() == [False, True, False]


def test_overlap_by_chance_is_what_random_maps_have():
    found = saliency_maps.overlap(
        saliency_maps.random_maps((4000, 8, 8), 1), saliency_maps.random_maps((4000, 8, 8), 2), 0.1
    )
    assert found.mean() == pytest.approx(
        saliency_maps.overlap_by_chance(64, 0.1), abs=4 * found.std() / 4000**0.5
    )


def test_maps_of_mostly_zeros_agree_by_chance_alone():
    """Pixels that both networks leave at zero are no agreement."""
    made = np.zeros((2000, 8, 8))
    made[:, 0, 0] = 1.0
    other = np.zeros((2000, 8, 8))
    other[:, 7, 7] = 1.0
    found = saliency_maps.overlap(made, other, 0.1)
    assert found.mean() < saliency_maps.overlap_by_chance(64, 0.1) + 0.01


def test_similarity_is_one_of_a_map_with_itself_and_undefined_where_it_cannot_be():
    made = DRAW.random((3, 9, 9))
    np.testing.assert_allclose(saliency_maps.similarity(made, 7 * made), 1.0)
    assert (np.abs(saliency_maps.similarity(made, made[::-1])[[0, 2]]) < 0.5).all()
    made[1] = 0.0
    assert np.isnan(saliency_maps.similarity(made, made)).tolist() == [False, True, False]
    assert np.isfinite(saliency_maps.similarity(DRAW.random((2, 4, 4)), DRAW.random((2, 4, 4)))).all()
    assert np.isnan(saliency_maps.similarity(DRAW.random((2, 2, 2)), DRAW.random((2, 2, 2)))).all()
