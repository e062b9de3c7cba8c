"""Errors over images of two dense networks' difference, out of what a store holds of many."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lthbench.results import dense_trainings


def test_the_error_of_a_difference_is_that_of_all_pairs_of_dense_networks(monkeypatch):
    random = np.random.default_rng(0)
    shared = random.random(200)
    draws = [{"accuracy": shared + wide * random.random(200)} for wide in (0.1, 0.2, 0.4)]

    def measure(draws, stored=True, reference=None):
        return SimpleNamespace(draws=draws, stored=stored, reference=reference)

    def entry(method, *measures):
        return SimpleNamespace(method=method, measures=measures)

    relative = [
        measure({"agreement": np.full(200, 0.7), "road": own["accuracy"] / 2}, reference=object())
        for own in draws
    ]
    noise = {"accuracy": 100 * random.random(200)}
    entries = [
        *(entry("dense", measure(own), other) for own, other in zip(draws, relative, strict=True)),
        entry("dense", measure(noise, stored=False), measure({"nll": shared})),
        entry("omp", measure(noise)),
    ]
    monkeypatch.setattr(dense_trainings, "draws_of", lambda store, measure: measure.draws)
    plan: Any = SimpleNamespace(entries=entries)
    store: Any = SimpleNamespace(has=lambda measure: measure.stored)
    found = dense_trainings.pair_errors(plan, store)
    assert found.keys() == {"accuracy", "road"}, "nll is of one network alone, agreement is with itself"
    assert found["road"] == pytest.approx(found["accuracy"] / 2, rel=1e-3)
    pairs = itertools.combinations([own["accuracy"] for own in draws], 2)
    expected = math.sqrt(np.mean([np.var(a - b, ddof=1) for a, b in pairs]))
    assert found["accuracy"] == pytest.approx(expected, rel=1e-3)
