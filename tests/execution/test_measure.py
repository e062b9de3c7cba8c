"""What a metric yields is checked before it is stored."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from lthbench.errors import StepFailed
from lthbench.execution.measure import as_list, check
from lthbench.kinds import Metric, Score
from lthbench.kinds import Value as Plain

#: As plug-ins call it, whatever its types.
Value: Any = Plain

SCORE = Score("rude", "rude", "fraction", True, 0.0, 1.0, "geometry")
METRIC = Metric("rude", 1, "rude", "f", "s", (SCORE,), ("test",), lambda context: [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([Value("rude", 0.5, 0.0, 10**30)], "rude is of 1000000000000000000000000000000 images; n must be"),
        ([Value("rude", 0.5, 0.0, -1)], "n must be a whole number, 0 or more"),
        ([Value("rude", 0.5, 0.0, 1.5)], "is of 1.5 images"),
        ([Value("rude", 0.5, 0.0, None)], "is of None images"),
        ([Value("rude", 0.5, 0.0, 1, 5)], "variant and reason must be texts"),
        ([Value("rude", 0.5, 0.0, 1, "", None)], "variant and reason must be texts"),
        (
            [Value("rude", np.nan, 0.0, 1, "", "-inf (log of 0)")],
            r"'-inf \(log of 0\)' is a formula",
        ),
        ([Value("rude", 0.5, 0.0, 1, "=0.5")], "'=0.5' is a formula to spreadsheets; begin it otherwise"),
        ([Value("rude", 0.5, 0.0, 1, "a\nb")], r"variant 'a\\nb' must be one line"),
        ([Value("rude", 0.5, 0.0, 1, draws=np.zeros((200, 1)))], r"they are of shape \[200, 1\]"),
        ([Value("rude", 0.5, 0.0, 1, draws=np.float64(1))], r"they are of shape \[\]"),
        ([Value("rude", 0.5, 0.0, 1, draws=np.zeros(3))], r"one list of 200 numbers.*of shape \[3\]"),
        ([Value("rude", 0.5, 0.0, 1, draws=np.full(200, np.nan))], "draws must be finite numbers"),
        ([Value("rude", 0.5, 0.0, 1, draws=np.array(["1"] * 200))], "draws must be finite numbers"),
        ([Value("rude", 1.5, 0.0, 1)], "rude is 1.5; it is declared to lie from 0 to 1"),
        ([Value("rude", 0.5, 0.0, 1), Value("rude", -0.1, 0.0, 1, "a")], "rude is -0.1; it is declared"),
        ([Value("rude", 0.5, -0.1, 1)], "rude has the standard error -0.1; it must be 0 or more"),
        ([Value("rude", "0.5", 0.0, 1)], "value and se must be numbers"),
        ([Value("rude", 0.5, None, 1)], "value and se must be numbers"),
        ([Value("rude", 0.5, 0.0, 1), Value("rude", 0.4, 0.0, 1)], "rude is yielded twice"),
        ([Value("rude", 0.5, 0.0, 1, "a")] * 2, "rude a is yielded twice"),
        ([Value("kind", 0.5, 0.0, 1)], "yields kind, which it does not declare"),
        ([], "yields no rude; one that is undefined has the value NaN"),
        ([Value("rude", 0.5, 0.0, 0)], "rude is 0.5 and of no images"),
    ],
)
def test_what_does_not_fit_into_a_table_fails_the_step(values, said):
    with pytest.raises(StepFailed, match=said):
        check(values, METRIC)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "metric rude: measure must return a list of Value, not NoneType"),
        (0.5, "not float"),
        ("rude", "a list of Value, not of str"),
        (("rude", 0.5, 0.0, 1), "a list of Value, not of str"),
        ([Value("rude", 0.5, 0.0, 1), None], "a list of Value, not of NoneType"),
    ],
)
def test_what_is_no_list_of_values_fails_the_step(made, said):
    with pytest.raises(StepFailed, match=said):
        as_list(made, METRIC)


def test_a_metric_may_be_a_generator():
    values = as_list((Value("rude", 0.5, 0.0, 1) for _ in range(1)), METRIC)
    check(values, METRIC)
    assert [v.value for v in values] == [0.5]


def test_a_score_of_the_verdict_has_a_headline_and_others_may_have_variants_alone():
    variants = [Value("rude", 0.5, 0.0, 1, "a"), Value("rude", 0.4, 0.0, 1, "b")]
    check(variants, METRIC)
    judged = dataclasses.replace(METRIC, scores=(dataclasses.replace(SCORE, verdict=True),))
    with pytest.raises(StepFailed, match="yields no rude"):
        check(variants, judged)


def test_what_fits_is_taken():
    plain = Value("rude", float("nan"), 0.0, np.int64(0), draws=np.full(200, np.nan))
    check([plain, Value("rude", 0.5, float("nan"), 2**63 - 1, "a", draws=np.zeros(200))], METRIC)


def test_a_value_may_be_a_rounding_beyond_its_range():
    check([Value("rude", 1.0 + 1e-7, 0.0, 1), Value("rude", -1e-7, 0.0, 1, "a")], METRIC)
