"""What a set of images is that a metric asks for by name, and how many images there are in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lthbench.errors import BadInput
from lthbench.kinds.filled_in import cells, count, finite, texts

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Evaluation:
    """How many images of each set are looked at (0: all), and the perturbations.

    With ``concept_images = 0``, MIS and the training images of concept bottlenecks are at most 10,000.

    ``corruption_source`` says where corrupted images come from: ``generated`` from the test images (the
    default), or ``official``, the published sets, which must be among the data. With ``corrupted_apart``,
    each kind of corruption changes ``corrupted_images`` of its own: for as many passes, errors under
    corruption come from as many times more images as there are kinds (None: all kinds change the same).
    """

    test_images: int
    train_images: int
    ood_images: int
    attacked_images: int
    corrupted_images: int
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    fgsm_epsilon_255: int
    geometry_images: int
    corruption_source: str | None = None
    explained_images: int = 200
    lime_images: int = 40
    concept_images: int = 1000
    corrupted_apart: bool | None = None


@dataclass(frozen=True)
class ImageSet:
    """A set of images of the task's data set: ``split``, the first ``count`` of its fixed random order.

    ``count`` is a number (0: all), or the field of a budget's ``Evaluation`` that says it.
    ``perturb(model, images, labels, generator)`` changes images, float32 ``[N, C, H, W]`` in [0, 1] on the
    device, for a network in evaluation mode; it returns as many of the same kind. It may ask for gradients.
    ``generator`` is seeded, on the CPU. None: the images as they are. ``passes`` is what making and showing
    an image costs, in forward passes. A metric lists sets of its own in ``sets``: what they are called is
    between it and them, and its file's hash is part of the keys of what ``perturb`` makes.

    Raises BadInput where it is not filled in like this.
    """

    name: str
    split: str = "test"
    count: int | str = "test_images"
    perturb: Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor] | None = (
        None
    )
    passes: float = 1.0

    def __post_init__(self) -> None:
        texts("image set", self, "name")
        who = f"image set {self.name}"
        texts(who, self, "split")
        cells(who, self, "name", "split")
        if "/" in self.name:
            raise BadInput(f"{who}: name must have no '/', which parts it from its metric's in keys.")
        if not isinstance(self.count, str) and not count(self.count):
            raise BadInput(
                f"{who}: count must be a whole number, 0 or more, or the name of one in a budget's "
                f"evaluation, as test_images, not {self.count!r}."
            )
        if self.perturb is not None and not callable(self.perturb):
            raise BadInput(f"{who}: perturb must be a function, or None, not {self.perturb!r}.")
        if not finite(self.passes) or self.passes < 0:
            raise BadInput(f"{who}: passes must be a number, 0 or more, not {self.passes!r}.")
