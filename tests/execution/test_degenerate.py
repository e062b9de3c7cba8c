"""Networks whose output does not depend on the image are degenerate, and no others for it."""

import pytest
import torch

from lthbench import registry
from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.kinds import Metric
from lthbench.spec import Given, Inputs, Measure, Predict
from lthbench.store import LocalStore
from lthbench.store.artifacts import SCORES, WEIGHTS


@pytest.mark.parametrize(
    ("of_features", "biases", "reasons"),
    [
        (0.0, torch.arange(10.0), ["the output is the same for all images"]),
        (0.0, torch.zeros(10), ["the output is the same for all images"]),
        (0.1, torch.zeros(10), []),  # of one image all logits are equal, and another has others
    ],
)
def test_a_network_is_degenerate_where_the_output_is_the_same_for_all_images(
    tmp_path, init, of_features, biases, reasons
):
    runner = Runner(LocalStore(tmp_path), ())
    runner.store.open()
    model = runner.space.built(init)
    state = {**model.state_dict(), "fc.bias": biases}
    state["fc.weight"] = torch.full_like(state["fc.weight"], of_features)
    made = Given(init.network, "0" * 64)
    runner.store.put(made, {WEIGHTS.name: WEIGHTS.encode(state)}, runner.space.meta(0.0))
    inputs = Inputs(loading.identify("digits", ()), "test", 20, "clean", 1)
    measure = Measure("accuracy", registry.version(Metric, "accuracy"), made, (("test", inputs),))
    assert runner.do([Predict(made, inputs)]) == {}
    assert runner.do([measure]) == {}
    assert SCORES.read(runner.store, measure)["degenerate"] == reasons
