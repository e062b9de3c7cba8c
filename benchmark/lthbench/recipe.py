"""How a network is trained, and how its mask may change, as they stand in a key. Pure, without torch."""

from __future__ import annotations

from dataclasses import dataclass

#: Raise when ``masks/rewiring.py`` changes the masks or weights of a rewired training. 1 stood in no key.
REWIRE_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum, or another ``optimizer``, on random crops and flips.

    ``images`` limits training to the first so many images of the training split (0: all of them).
    ``schedule`` is ``step`` (times ``gamma`` at each epoch of ``milestones``), ``exponential`` (times
    ``gamma`` at each epoch), ``cosine`` or ``linear`` (both fall to zero at the last step); each starts with
    ``warmup_epochs`` of linear rise from zero. ``crop_padding`` is in pixels on each side (0: no random
    crop); ``resized_crop`` is the smallest share of the area that a crop of random size and shape may have
    (None: crops keep their size).

    ``optimizer`` is ``adamw``, whose ``momentum`` is the first of its two rates of decay, or ``muon``, which
    makes the momentum of weights of convolutions orthogonal: Jordan et al. 2024. ``matrix_lr`` is the
    highest learning rate of these weights, on the schedule of ``lr``, ``matrix_momentum`` their momentum
    (None: ``momentum``) and ``matrix_decay`` their weight decay (None: 0); ``lr``, ``momentum`` and
    ``weight_decay`` are those of the first convolution and of all other parameters, which SGD moves.

    ``small_sizes`` are sides in pixels to which images are scaled down early in training: to each up to and
    without the share of all epochs that ``small_until`` has at its place; then they keep their size (None:
    always). It is the progressive resizing of Howard's entry to DAWNBench, 2018. With ``alternate_flips``,
    flips are drawn once for each image, which is seen the other way round in every other epoch: Jordan 2024,
    94% on CIFAR-10 in 3.29 Seconds on a Single GPU, section 3.6 (None: each is drawn anew).
    ``label_smoothing`` is the share of a label that is spread over all classes (None: none is): Szegedy et
    al. 2016, Rethinking the Inception Architecture, section 7. ``scale_penalty`` times the sum of the
    magnitudes of all scales of batch normalisation is added to the loss (None: nothing is): Liu et al. 2017,
    Learning Efficient Convolutional Networks through Network Slimming, equation 1.
    """

    epochs: int
    images: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: str
    warmup_epochs: float
    milestones: tuple[int, ...]
    gamma: float
    crop_padding: int
    flip: bool
    precision: str
    resized_crop: float | None = None
    optimizer: str | None = None
    small_sizes: tuple[int, ...] | None = None
    small_until: tuple[float, ...] | None = None
    alternate_flips: bool | None = None
    label_smoothing: float | None = None
    scale_penalty: float | None = None
    matrix_lr: float | None = None
    matrix_momentum: float | None = None
    matrix_decay: float | None = None

    def size_at(self, epoch: int) -> int | None:
        """The side in pixels to which images are scaled down in an epoch; None where they keep their size."""
        for size, until in zip(self.small_sizes or (), self.small_until or (), strict=True):
            if epoch < round(until * self.epochs):
                return size
        return None


@dataclass(frozen=True)
class Rewire:
    """How a training changes its mask: every ``every`` steps, up to the share ``until`` of all steps.

    The share ``fraction`` of each layer's weights is dropped, falling along a cosine to ``final``; as many
    grow by gradient, or, with ``grow``, at ``random``. With ``density``, a network without a mask is pruned
    to it by magnitude on the way: the same share of each layer or, ``pooled``, of ``all`` together.
    """

    fraction: float
    final: float
    every: int
    until: float
    version: int = REWIRE_VERSION
    grow: str | None = None
    density: float | None = None
    pooled: str | None = None
