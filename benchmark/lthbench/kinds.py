"""The records that a plug-in fills in: facts, and plain functions.

A plug-in is a file that defines one of these under the name of its kind in capitals (``METHOD``,
``METRIC``, ``DATASET``, ``ARCHITECTURE``). The file must import without torch or NumPy, so that listing
and planning answer at once: import them inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lthbench.spec import Data, Init, Inputs, Network, Prune, Recipe, Rewind, Rewire, Train, Weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from lthbench.data.streaming import Stream

    Scores = dict[str, torch.Tensor]
    Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


# ------------------------------------------------------------------------------------------------ methods


@dataclass(frozen=True)
class Criterion:
    """What a pruning method thinks of each prunable weight.

    ``score(model, batches, generator)`` returns ``{parameter name: float tensor of the weight's shape}``;
    the highest are kept. ``model`` is a copy that it may use up, in training mode, on the device;
    ``batches`` yields (images in [0, 1], labels) of at most 250 images: ``per_class`` fixed training images
    of each class, fewer where there are more than 100 classes (``scored_per_class``), or one image of ones
    where ``per_class`` is 0; ``generator`` is a seeded CPU generator.

    ``unit`` is what is kept or removed whole, by the sum of its scores: ``weight``; ``kernel``, the weights
    from one input channel to one filter; or ``filter``, with all that reads its channel. With ``rounds``,
    weights are removed in so many steps, each by the same factor, and scored anew before each: the same
    model comes back, with pruned weights at zero. ``passes`` is the cost of a round in forward passes of
    its images.
    """

    name: str
    version: int
    score: Callable[[torch.nn.Module, Batches, torch.Generator], Scores]
    per_class: int = 0
    unit: str = "weight"
    rounds: int = 1
    passes: float = 0.0

    def scored_per_class(self, classes: int) -> int:
        """How many images of each class are looked at: ``per_class``, but not above 1,000 images in all."""
        return min(self.per_class, max(1, 1000 // classes)) if self.per_class else 0


@dataclass(frozen=True)
class Cell:
    """One place of the grid, handed to a method: the density and seed asked for, and what to build on.

    ``dense`` is the trained parent, ``rewound`` its weights at the budget's rewind epoch, ``init`` its
    initialisation; ``levels`` are the densities that iterative pruning passes through, ``density`` last.
    ``finetune`` is the budget's recipe for training on without rewinding (None where the task has none).
    ``variant`` is what follows the colon in ``method:variant``, or "".
    """

    density: float
    levels: tuple[float, ...]
    seed: int
    recipe: Recipe
    data: Data
    init: Init
    dense: Train
    rewound: Rewind
    versions: Mapping[str, str] = field(repr=False)
    architecture: Architecture = field(repr=False)
    steps_per_epoch: int = 0
    finetune: Recipe | None = None
    variant: str = ""

    def train(
        self,
        start: Weights,
        mask: Prune | None = None,
        recipe: Recipe | None = None,
        rewire: Rewire | None = None,
    ) -> Train:
        """Training from ``start`` with this cell's data and seed, and its recipe unless another is given."""
        return Train(start, recipe or self.recipe, self.data, self.seed, mask, rewire=rewire)

    def prune(
        self, given: Weights, criterion: Criterion, density: float | None = None, allocation: str = ""
    ) -> Prune:
        """The mask that keeps ``density`` (default: the cell's) of the prunable weights of ``given``.

        ``allocation`` is ``uniform`` or ``erk`` (see ``masks.allocated``), or "" to rank all layers together.
        """
        data = self.data if criterion.per_class else None
        version = self.versions.get(criterion.name, str(criterion.version))
        density = self.density if density is None else density
        return Prune(given, criterion.name, version, density, self.seed, data, allocation=allocation or None)

    def size(self, network: Network) -> Counts:
        """The size of a network of this cell's architecture."""
        return self.architecture.count(network)


def _fits(cell: Cell) -> str:
    return ""


@dataclass(frozen=True)
class Method:
    """A way to get a sparse network: ``ticket(cell)`` is the expression of the trained network.

    ``criterion`` is what it prunes by (None for the dense parent itself). ``variants`` are asked for as
    ``name:variant``. ``unfit(cell)`` says why it cannot be used in a cell and what would work, or "".
    """

    name: str
    title: str
    formula: str
    source: str
    cost: str
    ticket: Callable[[Cell], Train]
    criterion: Criterion | None = None
    aliases: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    unfit: Callable[[Cell], str] = _fits


# ------------------------------------------------------------------------------------------------ metrics


@dataclass(frozen=True)
class Score:
    """One number that a metric yields, and how to read it.

    ``group`` is generalization, uncertainty, interpretability, geometry or efficiency. ``verdict`` says
    whether LTH-PASS asks for it. ``slack`` is how much worse than dense the rule ``paper`` lets it be.
    ``margin`` is how much worse the rule ``noninferior`` lets it be: in the score's unit, or where
    ``relative_margin`` as a share of the dense mean; ``margin_reason`` says why so much, and by whom.
    ``spread_of`` names the score whose relative spread over dense seeds stands for this one's, where this
    one is relative to the dense parent and so has no spread of its own.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    low: float
    high: float
    group: str
    verdict: bool = False
    slack: float = 0.0
    spread_of: str = ""
    margin: float = 0.0
    relative_margin: bool = False
    margin_reason: str = ""


class Value(NamedTuple):
    """A measured score: its value, standard error over the images, and their number.

    ``variant`` tells apart several values of one score (a corruption's name, say); "" is the headline.
    ``draws`` is the score on each of the bootstrap resamples of ``scoring.resamples``: these are the same for
    every network, so the difference of two networks' draws is a paired bootstrap over the images. Scores that
    the verdict asks for should have them.
    """

    score: str
    value: float
    se: float
    n: int
    variant: str = ""
    reason: str = ""
    draws: NDArray[np.float64] | None = None


class Logits(NamedTuple):
    """The logits of a network on a set of images.

    ``values`` is float32 ``[images, classes]``, or ``[strengths, images, classes]`` for a view with
    strengths; ``labels`` is int64 ``[images]``; ``notes`` holds what was counted on the way. Strangers that
    were collected against some of the network's classes only have these in ``against``.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    notes: Mapping[str, float]
    against: tuple[int, ...] = ()


class Maps(NamedTuple):
    """Saliency maps of a network for one class of each image, float32; NaN all over where not finite.

    ``gradient`` ``[images, H, W]`` is the largest absolute derivative of the class's logit over channels,
    ``gradient_sum`` their sum; ``ig`` the sum over channels of absolute integrated gradients, ``ig_signed``
    of signed ones; ``gradcam`` ``[images, h, w]`` is on the grid of the layer. ``gaps`` ``[images]`` is by
    what share of the change in the logit integrated gradients fall short of adding up to it.
    """

    gradient: NDArray[np.float32]
    gradient_sum: NDArray[np.float32]
    ig: NDArray[np.float32]
    ig_signed: NDArray[np.float32]
    gradcam: NDArray[np.float32]
    gaps: NDArray[np.float32]


class Context(Protocol):
    """What a metric can ask for."""

    @property
    def own(self) -> bool:
        """Whether the network is the dense parent itself."""
        ...

    @property
    def reference(self) -> Context:
        """The same for the dense parent; only for a metric with ``relative``."""
        ...

    def sets(self, prefix: str) -> dict[str, Logits]:
        """The logits of the sets of images called ``prefix`` or ``prefix/...``, by their last name."""
        ...

    def logits(self, name: str) -> Logits:
        """The logits of one set of images."""
        ...

    def images(self, name: str) -> Images:
        """The images of a set that the metric looks at itself."""
        ...

    def maps(self, name: str, of: str = "labels") -> Maps:
        """The saliency maps of a set of images for its ``labels``, or for what the ``reference`` predicts."""
        ...

    def concepts(self) -> Annotated:
        """The images of the task's bank of concepts."""
        ...

    def layers(self) -> tuple[str, ...]:
        """The modules of the network whose units concept metrics look at."""
        ...

    def attach(self, name: str, content: bytes) -> None:
        """Keep a file beside the scores: what stands behind them."""
        ...

    def network(self) -> torch.nn.Module:
        """The network: on the device, in evaluation mode, its weights without gradients."""
        ...

    def held(self) -> dict[str, torch.Tensor] | None:
        """The network's mask: bool by parameter, True where it is kept; None for a dense network."""
        ...

    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's images."""
        ...


@dataclass(frozen=True)
class Metric:
    """A measurement of a network.

    ``needs`` are sets of images whose logits it reads, ``looks`` those it shows the network itself: test,
    train, val, ood, fgsm, corrupted, geometry and others of ``plan``. ``passes`` is what it does with each
    image it looks at, in forward passes. ``maps`` are sets of images whose saliency maps it reads.
    ``relative`` means that it compares with the dense parent. One with ``nulls`` is also measured of an
    untrained network of each seed; with ``rival``, the value of a dense network is that of the dense network
    of the next seed, beside it: what agreement two trainings have without any pruning. One that is not
    ``usual`` is measured only where it is asked for by name. ``package`` is a module that it imports and that
    lthbench does not depend on, ``extra`` the extra that installs it.
    """

    name: str
    version: int
    title: str
    formula: str
    source: str
    scores: tuple[Score, ...]
    needs: tuple[str, ...]
    measure: Callable[[Context], list[Value]]
    relative: bool = False
    looks: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    nulls: bool = False
    rival: bool = False
    passes: float = 0.0
    usual: bool = True
    package: str = ""
    extra: str = ""


# ---------------------------------------------------------------------------- data sets and architectures


class Images(NamedTuple):
    """Images as uint8 ``[images, channels, height, width]`` and labels as int64 ``[images]``.

    Pixels too many to sit in memory are a ``Stream``: indexed like an array, decoded when they are.
    """

    pixels: NDArray[np.uint8] | Stream
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where a data set was found: ``layout`` says in which form, ``files`` hold the images."""

    layout: str
    root: Path
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Archive:
    """A published file: address and MD5 (hex); ``unpack`` for a tar file, ``into`` a folder of its own."""

    url: str
    md5: str
    unpack: bool = False
    into: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set. ``locate`` finds it or returns None; ``load`` reads one split, raising BadInput by file.

    ``locate(folders)`` looks through the given folders in order; ``splits`` maps each split to its number
    of images where that is fixed; ``obtain`` says how to get the data; ``archives`` are fetched to do so, or
    ``download(folder)`` does it. ``published`` are MD5 of files, by name.
    ``against`` maps data sets to those of their classes that this one, out of their distribution, was
    collected against: it is compared with test images of these classes, by these classes' logits.
    """

    name: str
    version: int
    title: str
    source: str
    licence: str
    classes: tuple[str, ...]
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: Mapping[str, int]
    locate: Callable[[tuple[Path, ...]], Source | None]
    load: Callable[[Source, str], Images]
    obtain: str = ""
    download: Callable[[Path], None] | None = None
    against: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    archives: tuple[Archive, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)


class Annotated(NamedTuple):
    """Images whose pixels are labelled with concepts.

    ``pixels`` is uint8 ``[images, channels, H, W]``; ``layers`` int16 ``[images, layers, h, w]``, in each of
    which a pixel has one concept at most: 0 for none, k for the k-th of ``names``; ``categories`` are those
    of the names (colour, texture, shape, part ...).
    """

    pixels: NDArray[np.uint8]
    layers: NDArray[np.int16]
    names: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Bank:
    """A bank of concepts: images with pixels labelled by name and category.

    ``load(source, backdrop, count, size, channels)`` gives ``count`` images (fewer where there are not so
    many; 0: all) of ``size`` pixels. ``locate(folders)`` finds its files or returns None; a bank without it
    is made on ``backdrop``, test images of the data set that the networks know.
    """

    name: str
    version: int
    title: str
    source: str
    licence: str
    load: Callable[[Source | None, Images, int, int, int], Annotated]
    locate: Callable[[tuple[Path, ...]], Source | None] | None = None
    obtain: str = ""


class Counts(NamedTuple):
    """The size of a network: all ``parameters``, the ``prunable`` ones, and ``macs``, the multiply-adds of
    its convolutions and linear layers in one forward pass on one image.

    ``floor`` is how many prunable weights are left when filters are removed as far as they can be.
    """

    parameters: int
    prunable: int
    macs: int
    floor: int


@dataclass(frozen=True)
class Architecture:
    """A network. ``build(network)`` makes it with freshly drawn weights from the global generator.

    ``count(network)`` gives its size without building it. ``widths`` are its channels, which a network may
    replace; ``small`` are published widths of small dense counterparts. ``size`` is the size of image, in
    pixels, that it was designed for; ``layer`` is the module that CAM and concept metrics look at, ``stages``
    those for concepts where it is not that one alone.
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


__all__ = [
    "Annotated",
    "Architecture",
    "Archive",
    "Bank",
    "Cell",
    "Context",
    "Counts",
    "Criterion",
    "Dataset",
    "Images",
    "Inputs",
    "Logits",
    "Maps",
    "Method",
    "Metric",
    "Score",
    "Source",
    "Value",
]
