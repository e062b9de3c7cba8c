"""Adversarial images within epsilon of the clean ones, in pixel units, largest change of any value."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from lthbench.compute.room import no_room
from lthbench.errors import LthbenchError, StepFailed, because
from lthbench.global_state import kept
from lthbench.inference.batches import with_gradients
from lthbench.kinds import ImageSet

#: Madry et al. 2018: 20 steps of 2/255.
PGD_STEPS, PGD_STEP = 20, 2.0 / 255.0
#: Croce & Hein 2020: the classes that AutoAttack's targeted attacks try for each image, where there are as
#: many others, and the fewest that a network must have: their loss is of four logits.
TARGETS, FEWEST = 9, 4
#: So much beyond 0 and 1 may pixels be that a metric's own set has changed.
ROUNDING = 1e-5

#: ``attack(model, x, labels, epsilon, draw)`` gives images in [0, 1], and where nothing could be attacked.
Attack = Callable[
    [nn.Module, torch.Tensor, torch.Tensor, float, torch.Generator], tuple[torch.Tensor, torch.Tensor]
]


def fgsm(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, epsilon: float, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """``clip(x + epsilon * sign(gradient of the cross-entropy))``: Goodfellow et al. 2015.

    The sign does not change with the gradient's length, so the gradient at the logits is taken in float64
    and scaled to a largest entry of one: a confident network cannot hide behind underflow.
    """
    del draw
    gradient = _gradient(model, x, labels)
    return (x + epsilon * gradient.sign()).clamp(0.0, 1.0), _zero(gradient)


def fgsm_random(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, epsilon: float, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """FGSM from a random place in the box, clipped back to it: the reference code's default."""
    start = _random_start(x, epsilon, draw)
    gradient = _gradient(model, start, labels)
    return _boxed(start + epsilon * gradient.sign(), x, epsilon), _zero(gradient)


def pgd(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, epsilon: float, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Projected gradient descent from a random start, 20 steps of 2/255: Madry et al. 2018."""
    attacked = _random_start(x, epsilon, draw)
    zero = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for _ in range(PGD_STEPS):
        gradient = _gradient(model, attacked, labels)
        zero &= _zero(gradient)
        attacked = _boxed(attacked + PGD_STEP * gradient.sign(), x, epsilon)
    return attacked, zero


def autoattack(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, epsilon: float, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The standard ensemble of Croce & Hein 2020, by their package.

    Where a network has fewer than ten classes, all wrong ones are targets. Raises StepFailed for fewer than
    four classes, and for what the package raises.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError as error:
        raise StepFailed("AutoAttack is not installed: pip install 'lthbench[robust]'") from error
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    if classes < FEWEST:
        raise StepFailed(f"AutoAttack needs a network of at least {FEWEST} classes; this one has {classes}")
    seed = int(torch.randint(0, 2**31, (1,), generator=draw))
    with _foreign("AutoAttack"), torch.enable_grad():
        attack = AutoAttack(model, eps=epsilon, norm="Linf", seed=seed, version="standard", device=x.device)
        attack.verbose = False
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(TARGETS, classes - 1)
        attacked, _ = attack.run_standard_evaluation(x.contiguous(), labels, batch_size=len(x))
    return attacked.detach(), torch.zeros(len(x), dtype=torch.bool, device=x.device)


@contextlib.contextmanager
def _foreign(who: str) -> Iterator[None]:
    """What the code of others raises fails the step alone: it becomes StepFailed, which names ``who``."""
    try:
        yield
    except (LthbenchError, torch.AcceleratorError):
        raise
    except Exception as error:
        if no_room(error):
            raise
        raise StepFailed(f"{who} failed: {type(error).__name__}{because(error)}") from error


def perturbed_by(own: ImageSet) -> Attack:
    """What a metric's own set does to images, as an attack.

    Raises StepFailed for what is no images, and for what it raises itself.
    """

    def perturb(
        model: nn.Module, x: torch.Tensor, labels: torch.Tensor, epsilon: float, draw: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        del epsilon
        assert own.perturb is not None
        who = f"image set {own.name}"
        with kept(who), _foreign(who), torch.enable_grad():
            # What is changed in place are copies: on a processor the labels are those of the data set.
            changed = own.perturb(model, x.clone(), labels.clone(), draw).detach()
        wrong = _no_images(changed, x.shape)
        if wrong:
            raise StepFailed(f"the image set {own.name} gives {wrong}")
        return changed.to(x), torch.zeros(len(x), dtype=torch.bool, device=x.device)

    return perturb


def _no_images(changed: torch.Tensor, shape: torch.Size) -> str:
    """Why these are no images of a shape, floating-point numbers in [0, 1] up to rounding; "" if they are."""
    if changed.shape != shape:
        return f"images of shape {list(changed.shape)} for {list(shape)}"
    if not changed.is_floating_point():
        return f"images of {str(changed.dtype).removeprefix('torch.')}; they must be float32 in [0, 1]"
    if not bool(torch.isfinite(changed).all()):
        return "images with values that are not finite"
    low, high = float(changed.min()), float(changed.max())
    if low < -ROUNDING or high > 1.0 + ROUNDING:
        return f"values from {low:.4g} to {high:.4g}; pixels must be from 0 to 1"
    return ""


def loss_direction(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The direction, at the logits ``[N, K]``, in which each image's cross-entropy grows; float64, max 1.

    With q the softmax over the wrong classes alone, the gradient is (1 - p of the label) * (q - label): the
    factor, which underflows or is lost in rounding where the network is sure, is left out.
    """
    wide = logits.double()
    truth = torch.nn.functional.one_hot(labels, wide.shape[1]).to(wide)
    return wide.masked_fill(truth.bool(), -torch.inf).softmax(1) - truth


def _gradient(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The gradient by the images; of large ones, a few at a time."""
    size = with_gradients(*x.shape[2:])
    pairs = zip(torch.split(x, size), torch.split(labels, size), strict=True)
    return torch.cat([_gradient_at_once(model, *pair) for pair in pairs])


def _gradient_at_once(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_(True)
    logits = model(x)
    (gradient,) = torch.autograd.grad(logits, x, loss_direction(logits.detach(), labels).to(logits))
    return gradient


def _zero(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.flatten(1).abs().amax(1) == 0


def _random_start(x: torch.Tensor, epsilon: float, draw: torch.Generator) -> torch.Tensor:
    noise = torch.rand(x.shape, generator=draw).to(x) * (2.0 * epsilon) - epsilon
    return (x + noise).clamp(0.0, 1.0)


def _boxed(attacked: torch.Tensor, x: torch.Tensor, epsilon: float) -> torch.Tensor:
    return torch.minimum(torch.maximum(attacked, x - epsilon), x + epsilon).clamp(0.0, 1.0)
