"""What values a recipe may have, whether it stands in a task's file or a method makes it."""

from __future__ import annotations

from itertools import pairwise

from lthbench.errors import BadInput, shown, unknown
from lthbench.kinds.filled_in import finite
from lthbench.spec import Recipe

SCHEDULES = ("step", "exponential", "cosine", "linear")
OPTIMIZERS = ("adamw", "muon")
WHOLE = ("epochs", "images", "batch_size", "crop_padding")
NUMBERS = ("lr", "momentum", "weight_decay", "warmup_epochs", "gamma")


def check_recipe(train: Recipe, where: str, untrained: bool = False) -> None:
    """Raise BadInput where no training follows a recipe; ``untrained`` ones may have no epochs."""
    for key in (*WHOLE, *NUMBERS):
        value = getattr(train, key)
        if not finite(value) or (key in WHOLE and not isinstance(value, int)):
            wanted = "whole" if key in WHOLE else "finite"
            raise BadInput(f"{where}.{key}: must be a {wanted} number, got {shown(value)}")
    for key in ("batch_size", "lr") if untrained else ("epochs", "batch_size", "lr"):
        if getattr(train, key) <= 0:
            raise BadInput(f"{where}.{key}: must be positive, got {getattr(train, key)}")
    for key in ("epochs", "images", "weight_decay", "warmup_epochs", "crop_padding", "gamma"):
        if getattr(train, key) < 0:
            raise BadInput(f"{where}.{key}: must not be negative, got {getattr(train, key)}")
    for key, most in (("epochs", 1_000_000), ("batch_size", 1_000_000), ("crop_padding", 256)):
        if getattr(train, key) > most:
            raise BadInput(f"{where}.{key}: must be at most {most:,}, got {getattr(train, key)}")
    if not 0 <= train.momentum < 1:
        raise BadInput(f"{where}.momentum: must lie in [0, 1), got {train.momentum}")
    if train.resized_crop is not None and not 0 < train.resized_crop <= 1:
        raise BadInput(f"{where}.resized_crop: must lie in (0, 1], got {train.resized_crop}")
    if train.resized_crop is not None and train.crop_padding:
        raise BadInput(f"{where}.crop_padding: must be 0 with resized_crop, got {train.crop_padding}")
    if train.optimizer not in (None, *OPTIMIZERS):
        said = unknown("value", str(train.optimizer), OPTIMIZERS, "without one it is SGD")
        raise BadInput(f"{where}.optimizer: {said}")
    if train.optimizer == "adamw" and train.nesterov:
        raise BadInput(f"{where}.nesterov: must be false with optimizer {train.optimizer}")
    _check_matrices(train, where)
    if train.nesterov and not train.momentum:
        raise BadInput(f"{where}.nesterov: must be false with momentum 0")
    if train.label_smoothing is not None and not 0 < train.label_smoothing < 1:
        raise BadInput(f"{where}.label_smoothing: must lie in (0, 1), got {train.label_smoothing}")
    if train.scale_penalty is not None and not train.scale_penalty > 0:
        raise BadInput(f"{where}.scale_penalty: must be positive, or left out, got {train.scale_penalty}")
    if train.alternate_flips is not None and not (train.alternate_flips and train.flip):
        raise BadInput(f"{where}.alternate_flips: is true, with flip = true, or left out")
    _check_sizes(train, where)
    for key, valid in (("schedule", SCHEDULES), ("precision", ("float32", "bfloat16"))):
        if getattr(train, key) not in valid:
            raise BadInput(f"{where}.{key}: {unknown('value', getattr(train, key), valid)}")


def _check_matrices(train: Recipe, where: str) -> None:
    """That Muon has a rate for the weights that it makes orthogonal, and no other optimiser has one."""
    for key in ("matrix_lr", "matrix_momentum", "matrix_decay"):
        value = getattr(train, key)
        if train.optimizer != "muon" and value is not None:
            raise BadInput(f"{where}.{key}: is of optimizer muon alone; leave it out")
        if value is not None and not (finite(value) and value > 0):
            raise BadInput(f"{where}.{key}: must be positive and finite, got {shown(value)}")
    if train.matrix_momentum is not None and train.matrix_momentum >= 1:
        raise BadInput(f"{where}.matrix_momentum: must be below 1, got {train.matrix_momentum}")
    if train.optimizer == "muon" and train.matrix_lr is None:
        raise BadInput(f"{where}.matrix_lr: optimizer muon needs the learning rate of its weights, e.g. 0.1")


def _check_sizes(train: Recipe, where: str) -> None:
    """That images grow: each size is larger than the one before, and lasts longer."""
    sizes, until = train.small_sizes, train.small_until
    if (sizes is None) != (until is None) or len(sizes or ()) != len(until or ()):
        raise BadInput(
            f"{where}.small_until: one share of the epochs for each of small_sizes, "
            f"got {shown(list(until or ()))} for {shown(list(sizes or ()))}"
        )
    for key, low, most in (("small_sizes", 0, 1_000_000), ("small_until", 0.0, 1.0)):
        rising = (low, *(getattr(train, key) or ()))
        if any(a >= b for a, b in pairwise(rising)) or rising[-1] > most:
            raise BadInput(f"{where}.{key}: must rise, above 0 up to {most:,}, got {shown(list(rising[1:]))}")
