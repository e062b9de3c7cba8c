"""Scoring a network against the bare passes that its scores need."""

import time
from typing import Any

import numpy as np
import pytest
import torch

from lthbench import corruptions
from lthbench.data import loading
from lthbench.engines.threads import one_thread
from lthbench.execution.runner import Runner
from lthbench.inference.predict import ready
from lthbench.planning import plan, request
from lthbench.spec import Measure, Predict
from lthbench.store import LocalStore

METRICS = [
    "accuracy",
    "generalization-gap",
    "mce",
    "fgsm",
    "ood",
    "ece",
    "nll",
    "brier",
    "calibration",
    "shift",
]

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="scores of a ResNet-20", timer=time.process_time)]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """The steps of scoring an untrained ResNet-20 on CIFAR-10 at budget quick, and a runner."""
    places = loading.folders()
    if any(s["state"] != "found" for s in (loading.describe(n, places) for n in ("cifar10", "cifar100"))):
        pytest.skip("CIFAR-10 and CIFAR-100 are not on this machine (LTHBENCH_DATA)")
    made = plan.plan(request.ask("c10-r20s", [], seeds=1, metrics=METRICS), places)
    init = made.entries[0].network.start
    steps = [s for s in made.steps if isinstance(s, Predict | Measure)]
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.open()
    runner = Runner(store, places)
    runner.do([init])
    import dataclasses

    moved = []
    for step in steps:
        changes: dict[str, Any] = {"subject": init}
        if isinstance(step, Measure) and step.reference is not None:
            changes["reference"] = init
        moved.append(dataclasses.replace(step, **changes))
    # Both find the images in memory, and the network's kernels chosen.
    model = ready(runner.space.network(init), torch.device("cpu"))
    for inputs in {s.inputs for s in moved if isinstance(s, Predict)}:
        images = loading.subset(loading.load(inputs.data.name, inputs.split, places), inputs.images)
        with torch.no_grad(), one_thread("cpu"):
            model(torch.from_numpy(np.ascontiguousarray(images.pixels[:250])).float())
    return runner, init, moved


def test_all_scores(benchmark, setting):
    runner, _, steps = setting

    def score():
        with one_thread("cpu"):
            assert runner.do(steps) == {}

    benchmark.pedantic(score, rounds=1)
    assert all(runner.store.has(s) for s in steps)


def test_the_bare_passes(benchmark, setting):
    """Forward passes in the same batches of images that are all there; for FGSM its backward passes too."""
    runner, init, steps = setting
    model = ready(runner.space.network(init), torch.device("cpu"))
    shown = {s.inputs for s in steps if isinstance(s, Predict)}

    def passes():
        count = 0
        with one_thread("cpu"):
            for inputs in shown:
                images = loading.subset(
                    loading.load(inputs.data.name, inputs.split, runner.space.places), inputs.images
                )
                attacked = inputs.view.startswith("fgsm")
                for _ in range(max(len(inputs.strengths), 1)):
                    for start in range(0, len(images.labels), 250):
                        x = torch.from_numpy(np.ascontiguousarray(images.pixels[start : start + 250])).float()
                        x = x.contiguous(memory_format=torch.channels_last).div_(255.0)
                        if attacked:
                            x.requires_grad_(True)
                            model(x).sum().backward()
                        with torch.no_grad():
                            count += len(model(x))
        return count

    count = benchmark.pedantic(passes, rounds=1)
    kinds = [s.inputs for s in steps if isinstance(s, Predict) and s.inputs.view in corruptions.every()]
    assert count >= len({i.view for i in kinds}) * 5 * 500
