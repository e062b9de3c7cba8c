"""Motion blur against ImageMagick itself: see tests/oracles/imagemagick.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from lthbench.corruptions import _filters

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("oracle_inputs", HERE / "inputs.py")
inputs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(inputs)


@pytest.fixture(scope="module")
def kept():
    with np.load(HERE / "imagemagick.npz") as values:
        return dict(values)


def smeared(picture, radius, sigma, degrees):
    """Ours, in float32 as in a run: the grey levels of a picture ``[H, W]`` or ``[H, W, 3]``."""
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(picture))).permute(2, 0, 1)
    done = _filters.smeared(planes[None].float() / 255, radius, sigma, torch.tensor([degrees]))
    return (done[0].permute(1, 2, 0) * 255).numpy().reshape(picture.shape)


@pytest.mark.parametrize(("name", "radius", "sigma", "degrees"), inputs.MOTIONS)
def test_every_level_is_that_of_imagemagick(name, radius, sigma, degrees, kept):
    """All levels, but for one in a thousand that lies at the edge of the next and may be one off."""
    expected = kept[f"{name}/{radius} {sigma} {degrees}"].astype(float)
    off = np.abs(smeared(inputs.motion_pictures()[name], radius, sigma, degrees) - expected)
    assert off.max() < 1.001
    assert (off > 1e-3).mean() <= 1e-3


def test_the_levels_are_those_below_not_the_nearest(kept):
    """The reason for the version: rounding to the nearest makes images half a level brighter."""
    means = []
    for name, radius, sigma, degrees in inputs.MOTIONS:
        if name in ("noise", "waves"):
            expected = kept[f"{name}/{radius} {sigma} {degrees}"].astype(float)
            means.append((smeared(inputs.motion_pictures()[name], radius, sigma, degrees) - expected).mean())
    assert abs(np.mean(means)) < 1e-3
