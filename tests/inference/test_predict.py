"""Passes over images: clean, corrupted and attacked, against closed forms on linear networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lthbench import corruptions
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.inference import attacks, corrupted, predict
from lthbench.kinds import Images
from lthbench.networks.normalize import Normalize
from lthbench.spec import Data, Inputs

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Linear(nn.Module):
    """Logits ``scale * weight . normalised pixels + bias``; keeps the batches that it was shown."""

    def __init__(self, weight, bias=None, scale=1.0):
        super().__init__()
        self.normalize = Normalize(MEAN, STD)
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float32).flatten(1))
        self.bias = nn.Parameter(torch.zeros(len(self.weight)) if bias is None else torch.as_tensor(bias))
        self.scale = scale
        self.shown = []

    def forward(self, x):
        """The logits of a batch."""
        self.shown.append(x.detach().clone())
        return self.scale * (self.normalize(x).flatten(1) @ self.weight.T) + self.bias


@pytest.fixture
def images(monkeypatch):
    """600 random images of 4 x 4 in three classes, found as the data set "made"."""
    rng = np.random.default_rng(0)
    made = Images(rng.integers(0, 256, (600, 3, 4, 4), dtype=np.uint8), rng.integers(0, 3, 600))
    monkeypatch.setattr(loading, "load", lambda name, split, places: made)
    return made


def inputs(view="clean", count=0, strengths=()):
    return Inputs(Data("made", 1, "made"), "test", count, view, 1, strengths)


def weights(classes=3, seed=1):
    return torch.randn((classes, 48), generator=generator(seed))


def ready(model):
    return predict.ready(model, torch.device("cpu"))


def alone(model, asked, places):
    """The logits of one network."""
    (found,) = predict.predict([model], asked, places)
    return found


def normalised(pixels):
    """Images ``[N, 3, 4, 4]`` in [0, 1] as float64 rows, normalised."""
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (MEAN, STD))
    return ((pixels - mean) / std).reshape(len(pixels), -1)


# ------------------------------------------------------------------------------------------------ clean


def test_clean_logits_are_those_of_every_image_in_order(images):
    weight = weights()
    found = alone(ready(Linear(weight)), inputs(), ())
    expected = normalised(images.pixels / 255.0) @ weight.double().numpy().T
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    np.testing.assert_array_equal(found.labels, images.labels)
    assert not found.notes


def test_a_share_of_the_images_keeps_images_and_labels_together(images):
    found = alone(ready(Linear(weights())), inputs(count=100), ())
    chosen = loading.subset(images, 100)
    whole = alone(ready(Linear(weights())), inputs(), ())
    pixels = np.asarray(images.pixels)
    rows = [np.flatnonzero((pixels == p).all((1, 2, 3))).item() for p in np.asarray(chosen.pixels)]
    np.testing.assert_allclose(found.values, whole.values[rows], atol=1e-5)
    np.testing.assert_array_equal(found.labels, images.labels[rows])


def test_a_network_is_scored_in_evaluation_mode_and_without_weight_gradients():
    model = ready(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout()))
    assert not any(m.training for m in model.modules())
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("view", ["clean", "fgsm"])
def test_scoring_changes_neither_weights_nor_batch_statistics(images, view):
    model = ready(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    alone(model, inputs(view, strengths=(8,) if view == "fgsm" else ()), ())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# ------------------------------------------------------------------------------------------------- FGSM


def attacked(model, made):
    """The logits under FGSM at 8/255, and the number of images with zero gradient."""
    return predict._attacked(model, made, inputs("fgsm", strengths=(8,)), 8, torch.device("cpu"))


def test_fgsm_moves_each_pixel_by_epsilon_along_the_known_gradient_and_clips(images):
    """Two classes: the loss grows along (wrong - right) weights, whatever the logits and the normaliser."""
    labels = images.labels % 2
    weight = weights(classes=2)
    model = Linear(weight)
    made = images._replace(labels=labels)
    logits, zeros = attacked(ready(model), made)
    clean = images.pixels / 255.0
    towards = np.sign((weight[1 - labels] - weight[labels]).numpy()).reshape(clean.shape)
    expected = np.clip(clean + 8 / 255 * towards, 0.0, 1.0)
    shown = torch.cat(model.shown[1::2]).numpy()
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    np.testing.assert_allclose(logits, normalised(expected) @ weight.double().numpy().T, atol=1e-4)
    assert zeros == 0
    clipped = np.abs(shown - clean).reshape(-1) < 8 / 255 - 1e-4
    assert 0.01 < clipped.mean() < 0.05, "the case does not tell clipping"


def test_fgsm_steps_are_in_255ths_and_a_longer_one_costs_more(images):
    model = ready(Linear(weights(), scale=0.1))
    found = alone(model, inputs("fgsm", strengths=(2, 8)), ())
    steps = [
        (attacked - clean).abs().amax()
        for clean, attacked in zip(model.shown[0::2], model.shown[1::2], strict=True)
    ]
    np.testing.assert_allclose(steps, [2 / 255] * 3 + [8 / 255] * 3, rtol=1e-5)
    losses = [
        float(nn.functional.cross_entropy(torch.from_numpy(v), torch.from_numpy(images.labels)))
        for v in found.values
    ]
    assert found.values.shape == (2, 600, 3)
    assert losses[0] < losses[1]
    weak = alone(ready(Linear(weights(), scale=0.1)), inputs("fgsm", strengths=(2,)), ())
    np.testing.assert_array_equal(found.values[0], weak.values[0])


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e6])
def test_a_sure_network_is_attacked_like_a_doubtful_one(images, scale):
    """The float32 gradient of the loss is zero from a gap of about 104 on: its sign would attack nothing."""
    model = ready(Linear(weights(classes=2), scale=scale))
    made = images._replace(labels=images.labels % 2)
    attacked(model, made)
    clean, moved = torch.cat(model.shown[0::2]), torch.cat(model.shown[1::2])
    doubtful = ready(Linear(weights(classes=2), scale=1e-3))
    attacked(doubtful, made)
    assert ((moved != clean).flatten(1).sum(1) > 40).all()
    assert torch.equal(moved, torch.cat(doubtful.shown[1::2]))


def test_the_naive_attack_would_leave_a_sure_network_alone(images):
    """The premise of the test above."""
    made = images._replace(labels=images.labels % 2)
    model = Linear(weights(classes=2), scale=1e4).requires_grad_(False)
    x = torch.from_numpy(made.pixels).float().div(255).requires_grad_(True)
    nn.functional.cross_entropy(model(x), torch.from_numpy(made.labels)).backward()
    assert (x.grad.flatten(1).abs().amax(1) == 0).any()


def test_images_without_a_gradient_are_counted_and_left_as_they_are(images):
    class Dead(Linear):
        """Blind to images whose first pixel is dark."""

        def forward(self, x):
            """Logits, or zero."""
            return super().forward(x) * (x.detach()[:, 0, 0, :1] > 0.5)

    model = ready(Dead(weights()))
    found = alone(model, inputs("fgsm", strengths=(8,)), ())
    dark = images.pixels[:, 0, 0, 0] / 255.0 <= 0.5
    clean, attacked = torch.cat(model.shown[0::2]), torch.cat(model.shown[1::2])
    assert found.notes["zero_gradients"] == dark.sum() > 0
    assert torch.equal(attacked[dark], clean[dark])
    assert (attacked[~dark] != clean[~dark]).flatten(1).any(1).all()


# ------------------------------------------------------------------------------------ direction of the loss


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_direction_is_the_gradient_of_torchs_float64_cross_entropy_scaled_to_one(scale):
    logits = scale * torch.randn((200, 5), generator=generator("logits"))
    labels = torch.randint(0, 5, (200,), generator=generator("labels"))
    wide = logits.double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(wide, labels, reduction="sum"), wide)
    found = attacks.loss_direction(logits, labels)
    assert found.dtype == torch.float64
    assert torch.equal(found.sign(), gradient.sign())
    torch.testing.assert_close(found, gradient / gradient.abs().amax(1, keepdim=True), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("gap", [0.0, 10.0, 30.0, 36.0, 37.0, 50.0, 104.0, 700.0, 744.0, 1e4, 1e30])
def test_the_direction_between_two_classes_is_from_right_to_wrong_at_any_gap(gap):
    found = attacks.loss_direction(torch.tensor([[gap, 0.0], [0.0, gap]]), torch.tensor([0, 0]))
    assert found.tolist() == [[-1.0, 1.0], [-1.0, 1.0]]


@pytest.mark.parametrize("gap", [5.0, 50.0, 5000.0])
def test_the_direction_weighs_wrong_classes_by_their_odds_at_any_gap(gap):
    """Closed form: (q - label), q the softmax over the wrong classes; here their odds are 3 to 1."""
    logits = torch.tensor([[gap, math.log(3.0), 0.0]])
    found = attacks.loss_direction(logits, torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 0.75, 0.25]]).double(), rtol=1e-6, atol=1e-6)


# -------------------------------------------------------------------------------------------- corruption


@pytest.mark.parametrize("kind", sorted(corruptions.every()))
@pytest.mark.parametrize("count", [0, 300])
def test_corrupted_sets_are_whole_grey_levels_the_same_each_time(images, kind, count):
    wanted = inputs(kind, count, (1, 5))
    first = np.concatenate(list(corrupted.corrupted(wanted, 5, ())))
    again = np.concatenate(list(corrupted.corrupted(wanted, 5, ())))
    assert first.dtype == np.uint8
    assert first.shape == (count or 600, 3, 4, 4)
    np.testing.assert_array_equal(first, again)
    assert (first != loading.subset(images, count).pixels).any()


def test_a_corrupted_set_does_not_depend_on_which_severities_are_asked_for(images):
    alone = np.concatenate(list(corrupted.corrupted(inputs("shot_noise", 50, (3,)), 3, ())))
    among = np.concatenate(list(corrupted.corrupted(inputs("shot_noise", 50, (1, 2, 3)), 3, ())))
    np.testing.assert_array_equal(alone, among)


def test_noise_differs_between_batches_severities_and_kinds(monkeypatch):
    even = Images(np.full((500, 3, 4, 4), 128, np.uint8), np.zeros(500, np.int64))
    monkeypatch.setattr(loading, "load", lambda name, split, places: even)
    first, second = corrupted.corrupted(inputs("gaussian_noise"), 1, ())
    assert (first != second).any()
    weak, strong = (
        next(corrupted.corrupted(inputs("gaussian_noise"), s, ())).astype(float) - 128 for s in (1, 5)
    )
    assert abs(np.corrcoef(weak.ravel(), strong.ravel())[0, 1]) < 0.05


def test_values_are_clipped_and_cut_down_to_whole_levels(images, monkeypatch):
    """As in the published arrays: 0.999 of 255 is 254, not 255; what was whole stays whole."""
    shift = corruptions.Corruption("shift", 1, "noise", lambda x, s, g: x + (0.9 / 255 if s == 1 else 10.0))
    monkeypatch.setattr(corruptions, "get", lambda name: shift)
    cut = np.concatenate(list(corrupted.corrupted(inputs("shift"), 1, ())))
    np.testing.assert_array_equal(cut, images.pixels)
    assert (np.concatenate(list(corrupted.corrupted(inputs("shift"), 2, ()))) == 255).all()


@pytest.mark.parametrize("kind", ["contrast", "gaussian_blur", "defocus_blur", "pixelate"])
def test_what_leaves_an_even_image_even_does_not_darken_it_by_a_level(monkeypatch, kind):
    levels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 3, 8, 8), np.uint8)
    monkeypatch.setattr(loading, "load", lambda name, split, places: Images(levels, np.zeros(256, np.int64)))
    for severity in (1, 5):
        found = np.concatenate(list(corrupted.corrupted(inputs(kind), severity, ())))
        np.testing.assert_array_equal(found, levels)


def test_corrupted_logits_are_those_of_the_corrupted_images(images):
    weight = weights()
    found = alone(ready(Linear(weight)), inputs("contrast", 120, (2, 4)), ())
    assert found.values.shape == (2, 120, 3)
    for values, severity in zip(found.values, (2, 4), strict=True):
        shown = np.concatenate(list(corrupted.corrupted(inputs("contrast", 120, (2, 4)), severity, ())))
        expected = normalised(shown / 255.0) @ weight.double().numpy().T
        np.testing.assert_allclose(values, expected, atol=1e-4)


# ------------------------------------------------------------------------------------- many at one time


VIEWS = {"clean": (), "contrast": (2, 4), "fgsm": (2, 8)}


def trio():
    """Networks of their own weights, one of which sees no difference between images."""
    return [ready(Linear(weights(seed=s), scale=0.0 if s == 2 else 0.1)) for s in (1, 2, 3)]


@pytest.mark.parametrize("view", VIEWS)
def test_networks_that_pass_together_give_the_bits_that_each_gives_alone(images, view):
    asked = inputs(view, 300, VIEWS[view])
    found = predict.predict(trio(), asked, ())
    assert len(found) == 3
    for one, model in zip(found, trio(), strict=True):
        own = alone(model, asked, ())
        np.testing.assert_array_equal(one.values, own.values)
        np.testing.assert_array_equal(one.labels, own.labels)
        assert one.notes == own.notes
    assert np.ptp(found[0].values) > 0 == np.ptp(found[1].values)


def test_networks_that_pass_together_have_their_images_made_once(images, monkeypatch):
    asked, made = corrupted.corrupted, []
    monkeypatch.setattr(predict, "corrupted", lambda *given: made.append(given[1]) or asked(*given))
    predict.predict(trio(), inputs("contrast", 120, (2, 4)), ())
    assert made == [2, 4]
