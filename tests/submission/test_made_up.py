"""Results that were made up and give their table: what does not follow, and what a rerun shows."""

import json
import math
from functools import cache

import pandas as pd
import pytest

from lthbench import api
from lthbench.errors import BadInput
from lthbench.planning import plan, request
from lthbench.spec import Measure
from lthbench.submission import bundle, ratios, rerun


@cache
def planned():
    asked = request.ask("digits-r8", ["omp"], [0.59], seeds=1, metrics=["mce"], budget="quick")
    return plan.plan(asked, ())


class Results:
    """Errors under corruptions that grow by kind, those of omp twice those of dense."""

    def __init__(self, change=lambda values: None):
        self.held = {}
        for entry in planned().entries:
            (measure,) = entry.measures
            kinds = [n.partition("/")[2] for n, _ in measure.inputs if n.startswith("corrupted/")]
            times = 1.0 if entry.method == "dense" else 2.0
            values = {("corruption_error", k): 0.01 * i * times for i, k in enumerate(kinds, 1)}
            values["corruption_error", ""] = sum(values.values()) / len(kinds)
            values["mce", ""] = times
            if entry.method != "dense":
                change(values)
            self.held[measure.key] = values

    def has(self, step):
        return step.key in self.held

    def files(self, step):
        return ["scores.json"]

    def read(self, step, name):
        assert isinstance(step, Measure)
        assert name == "scores.json"
        values = self.held[step.key].items()
        found = [{"score": s, "variant": v, "value": value} for (s, v), value in values]
        return json.dumps({"values": found}).encode()


def test_a_mean_corruption_error_follows_from_its_corruptions():
    ratios.check(planned(), Results())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda v: v.update({("mce", ""): 1.9}),
            r"the mean corruption error of omp at 0\.\d+, seed 0, does not",
        ),
        (lambda v: v.update({("mce", ""): None}), "the mean corruption error of omp"),
        (lambda v: v.update({("corruption_error", ""): 0.01}), "the corruption error of omp"),
        (lambda v: v.pop(next(iter(v))), "the error under a corruption is missing"),
        (lambda v: v.update({next(iter(v)): None}), "the error under a corruption is missing"),
    ],
)
def test_one_that_does_not_follow_is_refused(change, said):
    with pytest.raises(BadInput, match=said):
        ratios.check(planned(), Results(change))


def cells(table, score, column, value):
    return table.assign(**{column: table[column].where(table["score"] != score, value)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t, ""),
        (lambda t: t[t["score"] != "nll"], "nll is only in the run"),
        (lambda t: pd.concat([t, t.assign(variant="x")]), "accuracy x is only in the bundle"),
        (lambda t: cells(t, "accuracy", "status", "degenerate"), "accuracy is degenerate, run again ok"),
        (lambda t: cells(t, "accuracy", "n", 10_000), "accuracy is of 10000 images, run again of 540"),
        (lambda t: t.assign(se=t["se"] * 2.0), ""),
        (lambda t: cells(t, "nll", "se", 0.0), "nll has a standard error of 0, run again"),
        (lambda t: cells(t, "nll", "se", math.nan), "nll has a standard error of nan, run again"),
        (lambda t: cells(t, "nll", "diff_se", 9.0), "nll has a standard error of the difference of 9, run"),
    ],
)
def test_all_that_a_verdict_reads_is_compared_with_the_rerun(whole, tmp_path, monkeypatch, change, said):
    table, facts = bundle.verify(whole)
    (entry,) = rerun.drawn(facts, 1, 0)
    honest = table[table["seed"] == entry.seed]
    monkeypatch.setattr(api, "run", lambda *given, **how: honest)
    wrong = rerun.rerun(change(table), facts, [entry], tmp_path / "store")
    network = f"omp {entry.sparsity:g} seed {entry.seed}"
    assert any(f"{network}: {said}" in line for line in wrong) if said else wrong == []


def test_a_corruption_is_compared_by_its_noise_or_a_third_of_it():
    assert rerun.band_of_variant(0.3, 0.001) == pytest.approx(0.1)
    assert rerun.band_of_variant(0.3, 0.1) == pytest.approx(0.566, abs=1e-3)
    assert rerun.band_of_variant(0.3, math.nan) == math.inf
    # An error of one image in 540 where none is, and one of two.
    assert rerun.alike_errors(0.0, 1 / 540, 1 / 540)
    assert not rerun.alike_errors(0.0, 3 / 540, 1 / 540)
