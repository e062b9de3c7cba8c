"""Images out of distribution must not be training images."""

from typing import Any

import numpy as np
import pytest

from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.kinds import Images
from lthbench.planning import missing, plan, request


@pytest.fixture
def ood_set(monkeypatch):
    """Lets a test say what the other data set's images are."""
    load: Any = loading.load
    made = {}

    def instead(name, split, places):
        return made["images"] if name == "photo-patches" else load(name, split, places)

    monkeypatch.setattr(instead, "cache_clear", load.cache_clear, raising=False)
    monkeypatch.setattr(loading, "load", instead)
    return made


def test_the_share_of_equal_images_is_counted(ood_set):
    train = loading.load("digits", "train", ()).pixels
    other = 255 - train[:30]
    ood_set["images"] = Images(np.concatenate([train[5:15], other]), np.zeros(40, np.int64))
    assert loading.overlap("digits", "photo-patches", ()) == 0.25


def test_a_set_that_was_trained_on_is_refused_before_anything_is_written(ood_set, tiny_task, tmp_path):
    train = loading.load("digits", "train", ())
    ood_set["images"] = Images(train.pixels[:50], np.zeros(50, np.int64))
    made = plan.plan(request.ask(tiny_task, seeds=1, metrics=["ood"]), ())
    with pytest.raises(BadInput, match="100 % of the images of photo-patches are training images of digits"):
        missing.check_data(made.steps, ())


@pytest.mark.parametrize(("shared", "refused"), [(2, False), (3, True)])
def test_one_training_image_of_a_hundred_may_be_among_others(ood_set, tiny_task, shared, refused):
    train = loading.load("digits", "train", ()).pixels
    ood_set["images"] = Images(
        np.concatenate([train[:shared], 255 - train[: 200 - shared]]), np.zeros(200, np.int64)
    )
    made = plan.plan(request.ask(tiny_task, seeds=1, metrics=["ood"]), ())
    if not refused:
        missing.check_data(made.steps, ())
        return
    with pytest.raises(BadInput, match="of the images of photo-patches are training images"):
        missing.check_data(made.steps, ())


def test_photographs_are_no_digits():
    assert loading.overlap("digits", "photo-patches", ()) == 0.0
