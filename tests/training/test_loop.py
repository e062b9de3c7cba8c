"""The training loop: masks held exactly, epochs that do not depend on where one starts, schedules."""

import dataclasses
import math
from copy import deepcopy

import pytest
import torch

from lthbench import masks
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.kinds import Architecture, Images
from lthbench.masks.rewiring import Rewiring
from lthbench.registry import get
from lthbench.spec import Rewire
from lthbench.training import batches, loop, optimization


@pytest.fixture(scope="module")
def images():
    """Some digits."""
    return loading.subset(loading.load("digits", "train", ()), 160)


@pytest.fixture
def model(network):
    """A freshly drawn ResNet-8."""
    torch.manual_seed(0)
    return get(Architecture, "resnet8").build(network)


def random_mask(model, density):
    draw = torch.Generator().manual_seed(0)
    scores = {n: torch.rand(w.shape, generator=draw) for n, w in masks.prunable(model).items()}
    return masks.top(scores, density)


def plain(model, images, recipe, seed, mask, rewire):
    """The loop as a textbook has it: losses and momentum. What is drawn is taken from ``epoch_of``."""
    model.to(memory_format=torch.channels_last).train()
    named = dict(model.named_parameters())
    if mask:
        masks.apply(model, mask)
    held = [(named[n], torch.empty_like(named[n]).copy_(keep)) for n, keep in (mask or {}).items()]
    how = {"momentum": recipe.momentum, "nesterov": recipe.nesterov, "weight_decay": recipe.weight_decay}
    optimizer = torch.optim.SGD(model.parameters(), recipe.lr, foreach=False, **how)
    pixels, labels = batches.padded(images, recipe.crop_padding, torch.device("cpu"))
    steps = math.ceil(len(labels) / recipe.batch_size)
    rewiring = Rewiring(rewire, held, optimizer, steps * recipe.epochs, seed) if rewire else None
    losses = []
    for epoch in range(recipe.epochs):
        total = torch.zeros(())
        for step, (x, y) in enumerate(batches.epoch_of(pixels, labels, recipe, seed, epoch)):
            rate = optimization.learning_rate(recipe, epoch + step / steps, 1 / steps)
            optimizer.param_groups[0]["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = torch.nn.functional.cross_entropy(model(x), y)
            scales = [m.weight for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            optimizer.zero_grad()
            loss.backward()
            for scale in scales:
                scale.grad += (recipe.scale_penalty or 0.0) * scale.detach().sign()
            if rewiring and rewiring.due(epoch * steps + step):
                rewiring.change(epoch * steps + step)
            else:
                for weight, keep in held:
                    weight.grad.mul_(keep)
                optimizer.step()
            total += loss.detach() * len(y)
        losses.append(float(total) / len(labels))
    return losses, {n: optimizer.state[p]["momentum_buffer"] for n, p in named.items()}


def test_a_smoothed_label_is_spread_over_all_classes(recipe, images):
    recipe = dataclasses.replace(recipe, epochs=1, batch_size=1000, label_smoothing=0.3, precision="float32")
    images = Images(images.pixels[:64], images.labels[:64])
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    twin = deepcopy(model)
    (loss,) = loop.train(model, images, recipe, 3).losses
    pixels, labels = batches.padded(images, recipe.crop_padding, torch.device("cpu"))
    ((x, y),) = batches.epoch_of(pixels, labels, recipe, 3, 0)
    chances = twin(x).detach().double().log_softmax(1)
    expected = -0.7 * chances[torch.arange(64), y].mean() - 0.3 * chances.mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("density", "rewire", "change"),
    [
        (1.0, None, {}),
        (0.3, None, {"nesterov": True, "precision": "bfloat16", "scale_penalty": 0.01}),
        (0.3, None, {"small_sizes": (4, 6), "small_until": (0.3, 0.7)}),
        (0.2, Rewire(0.3, 0.0, 4, 0.75), {"resized_crop": 0.5, "crop_padding": 0, "flip": True}),
    ],
)
def test_it_is_to_the_bit_the_loop_of_a_textbook(model, images, recipe, density, rewire, change):
    recipe = dataclasses.replace(recipe, **change)
    mask = random_mask(model, density) if density < 1 else None
    twin = deepcopy(model)
    losses, momentum = plain(twin, images, recipe, 3, mask, rewire)
    done = loop.train(model, images, recipe, 3, mask, rewire=rewire)
    assert done.losses == losses
    assert done.momentum.keys() == momentum.keys()
    assert all(torch.equal(done.momentum[name], momentum[name]) for name in momentum)
    states = zip(model.state_dict().items(), twin.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in states)


@pytest.mark.parametrize("nesterov", [False, True])
def test_pruned_weights_and_their_momentum_stay_exactly_zero(model, images, recipe, nesterov):
    mask = random_mask(model, 0.3)
    recipe = dataclasses.replace(recipe, nesterov=nesterov)
    done = loop.train(model, images, recipe, 0, mask)
    for name, weight in masks.prunable(model).items():
        assert not weight[~mask[name]].any()
        assert not done.momentum[name][~mask[name]].any()
        assert weight[mask[name]].all()


def test_training_learns(model, images, recipe):
    losses = loop.train(model, images, recipe, 0).losses
    assert len(losses) == recipe.epochs
    assert losses[-1] < losses[0] < math.log(10) * 1.5


def test_one_step_is_that_of_sgd(model, network, images, recipe):
    """One step by hand, from the published update rule with weight decay and Nesterov momentum."""
    recipe = dataclasses.replace(recipe, epochs=1, warmup_epochs=0.0, crop_padding=0)
    images = Images(images.pixels[:32], images.labels[:32])
    weights = {n: p.detach().clone().double() for n, p in model.named_parameters()}
    twin = get(Architecture, "resnet8").build(network)
    twin.load_state_dict(model.state_dict())
    pixels, labels = batches.padded(images, 0, torch.device("cpu"))
    batch, target = next(batches.epoch_of(pixels, labels, recipe, 0, 0))
    torch.nn.functional.cross_entropy(twin.train()(batch), target).backward()
    loop.train(model, images, recipe, 0)
    for name, parameter in twin.named_parameters():
        g = parameter.grad.double() + recipe.weight_decay * weights[name]
        expected = weights[name] - recipe.lr * (g + recipe.momentum * g)
        assert torch.allclose(dict(model.named_parameters())[name].double(), expected, atol=1e-6)


ADAMW = {"optimizer": "adamw", "nesterov": False, "lr": 0.01, "weight_decay": 0.5}


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_steps_are_those_of_adamw(model, network, images, recipe, density):
    """Two steps by hand, from algorithm 2 of Loshchilov & Hutter 2019: only weights of layers decay."""
    recipe = dataclasses.replace(recipe, epochs=2, warmup_epochs=0.0, crop_padding=0, **ADAMW)
    images = Images(images.pixels[:32], images.labels[:32])
    mask = random_mask(model, density) if density < 1 else {}
    twin = deepcopy(model.double()).train()
    masks.apply(twin, mask)
    m, v = ({n: torch.zeros_like(p) for n, p in twin.named_parameters()} for _ in range(2))
    for step in range(2):
        pixels, labels = batches.padded(images, 0, torch.device("cpu"))
        batch, target = next(batches.epoch_of(pixels, labels, recipe, 0, step))
        twin.zero_grad()
        torch.nn.functional.cross_entropy(twin(batch.double()), target).backward()
        rate = optimization.learning_rate(recipe, step, 1.0)
        with torch.no_grad():
            for name, p in twin.named_parameters():
                g = p.grad * mask.get(name, True)
                m[name] = 0.9 * m[name] + 0.1 * g
                v[name] = 0.999 * v[name] + 0.001 * g**2
                high, low = m[name] / (1 - 0.9 ** (step + 1)), v[name] / (1 - 0.999 ** (step + 1))
                p -= rate * (high / (low.sqrt() + 1e-8) + 0.5 * p * (p.dim() > 1))
    done = loop.train(model, images, recipe, 0, mask)
    for name, p in model.named_parameters():
        assert torch.allclose(p, twin.get_parameter(name), atol=1e-7)
        assert torch.allclose(done.momentum[name], m[name], atol=1e-9)
        assert torch.allclose(done.squares[name], v[name], atol=1e-9)
        assert done.steps[name] == 2
        pruned = ~mask.get(name, torch.ones_like(p, dtype=torch.bool))
        assert not any(t[pruned].any() for t in (p, done.momentum[name], done.squares[name]))


def test_the_same_seed_gives_the_same_bits_and_another_does_not(model, images, recipe):
    start = {k: v.clone() for k, v in model.state_dict().items()}
    ends = []
    for seed in (0, 0, 1):
        model.load_state_dict(start)
        loop.train(model, images, recipe, seed)
        ends.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_an_epoch_does_not_depend_on_the_epochs_before(images, recipe):
    pixels, labels = batches.padded(images, recipe.crop_padding, torch.device("cpu"))
    again = list(batches.epoch_of(pixels, labels, recipe, 5, 2))
    first = list(batches.epoch_of(pixels, labels, recipe, 5, 2))
    other = list(batches.epoch_of(pixels, labels, recipe, 5, 1))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_every_crop_and_flip_occurs_and_every_image_is_seen_once(recipe):
    """A single bright pixel shows where each crop was taken."""
    recipe = dataclasses.replace(recipe, flip=True, crop_padding=1, batch_size=100)
    pixels = torch.zeros(2000, 1, 5, 5, dtype=torch.uint8)
    pixels[:, 0, 2, 1] = 255
    labels = torch.arange(2000)
    shown, seen = set(), []
    padded, target = batches.padded(Images(pixels.numpy(), labels.numpy()), 1, torch.device("cpu"))
    for batch, found in batches.epoch_of(padded, target, recipe, 0, 0):
        assert batch.min() == 0.0
        assert batch.max() == 1.0
        shown |= {tuple(i[1:]) for i in batch.nonzero()[:, 1:].tolist()}
        seen += found.tolist()
    assert sorted(seen) == list(range(2000))
    assert shown == {(row, column) for row in (1, 2, 3) for column in (0, 1, 2, 3, 4)}


@pytest.mark.parametrize("change", [{"crop_padding": 0}, {"crop_padding": 0, "resized_crop": 1.0}])
def test_flips_alternate(recipe, change):
    """Half of the images begin flipped, and each is seen the other way round in the next epoch."""
    recipe = dataclasses.replace(recipe, flip=True, alternate_flips=True, batch_size=100, **change)
    pixels = torch.zeros(400, 1, 4, 4, dtype=torch.uint8)
    pixels[..., 0] = 255
    padded, labels = batches.padded(Images(pixels.numpy(), torch.arange(400).numpy()), 0, torch.device("cpu"))

    def flipped(seed, epoch):
        found = torch.zeros(400, dtype=torch.bool)
        for batch, numbers in batches.epoch_of(padded, labels, recipe, seed, epoch):
            found[numbers] = batch[:, 0, 0, 3] > batch[:, 0, 0, 0]
        return found

    first = flipped(0, 0)
    assert 150 < first.sum() < 250
    assert torch.equal(flipped(0, 1), ~first)
    assert torch.equal(flipped(0, 2), first)
    assert not torch.equal(flipped(1, 0), first)


def test_images_are_small_at_first(recipe):
    """Half the size is the mean of four pixels; three quarters takes pixels 0 and 1, 1 and 2, 2 and 3."""
    recipe = dataclasses.replace(
        recipe, epochs=4, crop_padding=0, batch_size=1, small_sizes=(2, 3), small_until=(0.5, 0.75)
    )
    lines = torch.tensor([0, 51, 153, 255], dtype=torch.uint8)
    pixels = lines.repeat(1, 1, 4, 1)
    padded, labels = batches.padded(Images(pixels.numpy(), torch.zeros(1).numpy()), 0, torch.device("cpu"))
    expected = {0: [0.1, 0.8], 1: [0.1, 0.8], 2: [0.1, 0.4, 0.8], 3: [0.0, 0.2, 0.6, 1.0]}
    for epoch, line in expected.items():
        ((batch, _),) = batches.epoch_of(padded, labels, recipe, 0, epoch)
        assert batch.shape == (1, 1, len(line), len(line))
        assert torch.allclose(batch[0, 0], torch.tensor(line).expand(len(line), -1))


def test_learning_rates(recipe):
    step = dataclasses.replace(
        recipe, schedule="step", warmup_epochs=0.0, milestones=(91, 136), gamma=0.1, epochs=182
    )
    assert [optimization.learning_rate(step, e) for e in (0, 90.99, 91, 136)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.001]
    )
    linear = dataclasses.replace(recipe, schedule="linear", warmup_epochs=1.0, epochs=5)
    assert [optimization.learning_rate(linear, e) for e in (0.0, 0.5, 1.0, 3.0, 5.0)] == pytest.approx(
        [0.0, 0.05, 0.1, 0.05, 0.0]
    )
    cosine = dataclasses.replace(linear, schedule="cosine")
    assert optimization.learning_rate(cosine, 2.0) == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)))
    falling = dataclasses.replace(recipe, schedule="exponential", warmup_epochs=0.0, gamma=0.9)
    assert [optimization.learning_rate(falling, e) for e in (0, 0.99, 1, 2.5)] == pytest.approx(
        [0.1, 0.1, 0.09, 0.081]
    )
    assert optimization.learning_rate(linear, 0.0, 0.25) == pytest.approx(0.025), "the first of four steps"


@pytest.mark.filterwarnings("ignore")
def test_a_diverging_training_fails_by_name(model, images, recipe):
    recipe = dataclasses.replace(recipe, lr=1e30, warmup_epochs=0.0)
    with pytest.raises(StepFailed, match="training diverged: the loss is"):
        loop.train(model, images, recipe, 0)


def test_what_a_dropout_leaves_out_follows_from_the_seed(network, images, recipe):
    """Not from what was drawn before the training."""
    found = []
    for before, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(0)
        model = get(Architecture, "resnet8").build(network)
        model.fc = torch.nn.Sequential(torch.nn.Dropout(0.5), model.get_submodule("fc"))
        assert optimization.draws(model, images)
        torch.manual_seed(before)
        state = torch.get_rng_state()
        found.append(loop.train(model, images, recipe, seed).losses)
        assert torch.equal(torch.get_rng_state(), state)
    assert found[0] == found[1] != found[2]


class Noisy(torch.nn.Module):
    """A network that draws by itself, without a layer that says so."""

    def __init__(self, inner, draw):
        super().__init__()
        self.inner, self.draw = inner, draw

    def forward(self, x):
        return self.inner(x) + self.draw(x).mean()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (torch.zeros_like, False),
        (torch.rand_like, True),
        (torch.nn.functional.dropout, True),
        (torch.nn.RReLU(), True),
    ],
)
def test_what_draws_at_random_is_found_by_its_draws_and_left_as_it_was(network, images, draw, expected):
    model = Noisy(get(Architecture, "resnet8").build(network), draw)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    assert optimization.draws(model, images) == expected
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not optimization.draws(get(Architecture, "resnet8").build(network), images)


@pytest.mark.parametrize("nesterov", [False, True])
def test_many_weights_at_a_time_move_to_the_bit_as_one_after_the_other(
    model, images, recipe, monkeypatch, nesterov
):
    recipe = dataclasses.replace(recipe, nesterov=nesterov)
    mask, copy = random_mask(model, 0.5), deepcopy(model)
    together = loop.train(model, images, recipe, 1, mask)

    def one_by_one(*given):
        optimizer = make(*given)
        assert optimizer.param_groups[0]["foreach"]
        optimizer.param_groups[0]["foreach"] = False
        return optimizer

    make = optimization.sgd
    monkeypatch.setattr(optimization, "sgd", one_by_one)
    alone = loop.train(copy, images, recipe, 1, mask)
    found = zip(model.state_dict().values(), copy.state_dict().values(), strict=True)
    assert together.losses == alone.losses
    assert all(torch.equal(a, b) for a, b in found)
    assert together.momentum
    assert all(torch.equal(m, alone.momentum[name]) for name, m in together.momentum.items())
