"""Everything on a transformer: each method runs or says what fits, each score is there or says why not."""

from pathlib import Path

import numpy as np
import pytest

import lthbench
from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Method, Metric
from lthbench.planning import plan
from lthbench.planning import task as tasks
from lthbench.planning.request import ask

TESTS = Path(__file__).parents[1]
TASK = str(TESTS / "tiny_vit.toml")

#: Methods and variants that are for other networks, and what they say fits.
UNFIT = {
    "connection": "use omp",
    "connection:iterative": "use omp",
    "connection:oneshot": "use omp",
    "connection:untrained": "use omp",
    "filter:bn": "filter has other norms",
    "filter:coupled": "use filter",
    "filter:coupled-bn": "no more channels can go together than alone",
    "filter:coupled-l2": "use filter",
    "filter:coupled-random": "use filter",
    "filter:coupled-taylor": "no more channels can go together than alone",
    "rigl:itop": "use rigl",
    "slimming": "use filter",
    "synflow": "use snip, grasp or force",
    "synflow:reinit": "use snip, grasp or force",
    "synflow:shuffled": "use snip, grasp or force",
}
#: One of each kind of the others.
DIFFERENT = (
    *(
        "filter",
        "filter:fpgm",
        "filter:taylor",
        "finetune:oneshot",
        "force",
        "gmp",
        "grasp",
        "imp:nm",
        "lamp",
    ),
    *("omp", "omp:erk", "random", "rigl", "set", "small", "snip"),
)
EVERY = [
    f"{name}:{variant}".rstrip(":")
    for name in registry.names(Method)
    for variant in ("", *registry.get(Method, name).variants)
]


@pytest.fixture(autouse=True)
def _transformer():
    registry.get(Architecture, str(TESTS / "vit_digits.py"))


def test_methods_that_do_not_fit_say_so_before_anything_is_trained():
    task = tasks.load(TASK)
    for name, fits in UNFIT.items():
        with pytest.raises(BadInput, match=fits):
            plan.plan(ask(task, [name], [0.5], seeds=1, metrics=["accuracy"]), ())
    others = [name for name in EVERY if name not in UNFIT]
    plan.plan(ask(task, others, [0.5], seeds=1, metrics=["accuracy"]), ())


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_every_method_that_fits_makes_a_network_of_the_sparsity_asked_for(tmp_path):
    fitting = [n for n in EVERY if n in DIFFERENT]
    table = lthbench.run(
        TASK, fitting, [0.5], seeds=1, metrics=["accuracy", "efficiency"], store=tmp_path / "store", workers=0
    )
    accuracy = table[table["score"] == "accuracy"].set_index("method")["value"]
    assert set(accuracy.index) == {*fitting, "dense"}
    assert accuracy["dense"] > 0.5
    assert accuracy["omp"] > 0.4
    density = table[table["score"] == "density_prunable"].set_index("method")["value"]
    assert density["dense"] == 1.0
    for name in fitting:
        if name == "small":
            assert density[name] == 1.0
        else:
            assert density[name] == pytest.approx(0.5, abs=0.05 if name.startswith("filter") else 1e-3), name


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_every_score_is_there_or_says_why_not(tmp_path):
    table = lthbench.run(TASK, ["omp"], [0.5], seeds=1, store=tmp_path / "store", workers=0)
    pruned = table[(table["method"] != "dense") & (table["variant"] == "")]
    assert set(pruned["metric"]) == {m for m in registry.names(Metric) if m in set(table["metric"])}
    lacking = pruned[~np.isfinite(pruned["value"])]
    assert not lacking["reason"].str.contains("Error").any()
    assert (lacking["reason"] != "").all()
    # The concepts of the bank are too rare in so few small images.
    assert set(lacking["metric"]) <= {"bottleneck", "concept-weights", "drift"}
    traces = table[(table["score"] == "hessian_trace") & (table["variant"] == "")]
    assert np.isfinite(traces["value"]).all()
    maps = table[(table["score"] == "gradcam_gini") & (table["variant"] == "")]
    assert (maps["value"] > 0.0).all()
