"""Training on smaller images at first, on a pretended GPU."""

import dataclasses

import pytest
import torch

from lthbench.data import loading
from lthbench.kinds import Architecture
from lthbench.registry import get
from lthbench.training import loop


@pytest.mark.long
def test_captured_steps_are_to_the_bit_those_that_are_launched(pretended, network, recipe, monkeypatch):
    """A graph for each size of images and batch; flips alternate."""
    images = loading.subset(loading.load("digits", "train", ()), 168)  # 5 batches of 32 and one of 8
    small = {"small_sizes": (4,), "small_until": (0.5,), "flip": True, "alternate_flips": True}
    recipe = dataclasses.replace(recipe, epochs=2, **small)
    runs = []
    for replayed in (False, True):
        with pretended.device(monkeypatch.setattr) as device:
            torch.manual_seed(0)
            model = get(Architecture, "resnet8").build(network).to(device)
            losses = loop.train(model, images, recipe, 0, replayed=replayed).losses
            runs.append((losses, [tensor.cpu() for tensor in model.state_dict().values()]))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(x, y) for x, y in zip(runs[0][1], runs[1][1], strict=True))
