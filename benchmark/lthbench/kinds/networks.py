"""What an architecture fills in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from lthbench.kinds.filled_in import texts, version
from lthbench.spec import Network

if TYPE_CHECKING:
    import torch


class Counts(NamedTuple):
    """The size of a network: all ``parameters``, the ``prunable`` ones, and ``macs``, the multiply-adds of
    its convolutions, linear layers and attention in one forward pass on one image.

    ``floor`` is how many prunable weights are left when filters, or the neurons and heads of transformers,
    are removed as far as they can be; ``coupled``, when those go, too, that can only go together (None: not
    counted). ``activations`` are the numbers that a forward pass in training keeps of one image for the
    backward pass, about (0: not counted).
    """

    parameters: int
    prunable: int
    macs: int
    floor: int
    coupled: int | None = None
    activations: int = 0


@dataclass(frozen=True)
class Architecture:
    """A network. ``build(network)`` makes it with freshly drawn weights from the global generator.

    ``count(network)`` gives its size without building it. ``widths`` are its channels, which a network may
    replace; ``small`` are published widths of small dense counterparts. ``size`` is the size of image, in
    pixels, that it was designed for; ``layer`` is the module that CAM and concept metrics look at, which
    yields maps of 2 x 2 at least (an MLP has none, and cannot be an architecture), ``stages`` those for
    concepts where it is not that one alone. Images have ``smallest`` pixels on a side at least, and where it
    never ``resizes``, a network takes those of its own size alone. ``family`` is ``convolutional``
    or ``transformer``, for methods that fit only one. A network that has ``prunable_weights()``, a list of
    names, says itself what can be pruned (see ``masks.prunable``), and one that has ``attention_heads()``
    which of its heads can go (see ``masks.structured``).
    """

    name: str
    version: int
    title: str
    source: str
    widths: tuple[int, ...]
    size: int
    layer: str
    count: Callable[[Network], Counts]
    build: Callable[[Network], torch.nn.Module]
    small: tuple[tuple[int, ...], ...] = ()
    stages: tuple[str, ...] = ()
    family: str = "convolutional"
    smallest: int = 1
    resizes: bool = True

    def __post_init__(self) -> None:
        """Raise BadInput for a text or a version that is none."""
        texts("architecture", self, "name")
        texts(f"architecture {self.name}", self, "title", "source", "layer", "family")
        version(f"architecture {self.name}", self.version)
