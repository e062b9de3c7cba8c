"""What a pruning method fills in: a criterion, and the expression of the pruned network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lthbench.errors import BadInput, unknown
from lthbench.kinds.filled_in import count, texts, version
from lthbench.kinds.networks import Architecture, Counts
from lthbench.kinds.recipes import check_recipe
from lthbench.spec import Data, Init, Network, Prune, Recipe, Rewind, Rewire, Train, Weights, network_of

if TYPE_CHECKING:
    import torch

    Scores = dict[str, torch.Tensor]
    Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]

#: What a criterion keeps or removes whole, with the allocations that there are for each, and what "" means.
UNITS: dict[str, tuple[tuple[str, ...], str]] = {
    "weight": (("uniform", "erk"), 'N:M such as 2:4, or "" to rank all layers together'),
    "filter": (("pooled",), 'or "" for the same share of each layer'),
    "kernel": ((), ""),
    "coupled": ((), ""),
}


@dataclass(frozen=True)
class Criterion:
    """What a pruning method thinks of each prunable weight.

    ``score(model, batches, generator)`` returns ``{parameter name: float tensor of the weight's shape}``;
    the highest are kept. ``model`` is a copy that it may use up, in training mode but for dropout, on the
    device; ``batches`` yields (images in [0, 1], labels) of at most 250 images: ``per_class`` fixed training
    images of each class but at most 1,000 in all, one of each class at least (``scored_per_class``), or one
    image of ones where ``per_class`` is 0; ``generator`` is a seeded CPU generator.

    ``unit`` is what is kept or removed whole, by the sum of its scores: ``weight``; ``kernel``, the weights
    from one input channel to one filter; or ``filter``, with all that reads its channel (in transformers, a
    neuron of an MLP or a head: see ``masks.structured``); or ``coupled``, filters that can only go together
    (see ``masks.coupled``). With ``rounds``,
    weights are removed in so many steps, each by the same factor, and scored anew before each: the same
    model comes back, with pruned weights at zero. Where it ``regrows``, these may be kept again, at the value
    that ``masks.whole(model)`` gives; else they stay pruned. ``passes`` is the cost of a round in forward
    passes of its images.
    """

    name: str
    version: int
    score: Callable[[torch.nn.Module, Batches, torch.Generator], Scores]
    per_class: int = 0
    unit: str = "weight"
    rounds: int = 1
    passes: float = 0.0
    regrows: bool = False

    def __post_init__(self) -> None:
        """Raise BadInput for a unit that there is not, or for counts that are none."""
        texts("criterion", self, "name")
        version(f"criterion {self.name}", self.version)
        if self.unit not in UNITS:
            raise BadInput(f"criterion {self.name}: {unknown('unit', str(self.unit), UNITS)}")
        for name, least in (("rounds", 1), ("per_class", 0)):
            value = getattr(self, name)
            if not count(value) or value < least:
                wanted = f"a whole number, {least} or more, not {value!r}"
                raise BadInput(f"criterion {self.name}: {name} must be {wanted}.")

    def check(self, density: float, allocation: str = "") -> None:
        """Raise BadInput unless a mask by this criterion can keep this density, shared out like this."""
        if not 0.0 < density <= 1.0:
            raise BadInput(
                f"criterion {self.name}: a mask keeps a density above 0 and up to 1, not {density:g}."
            )
        names, others = UNITS[self.unit]
        grouped = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", allocation) if self.unit == "weight" else None
        if grouped:
            n, m = (int(part) for part in grouped.groups())
            if abs(n / m - density) > 1e-9:
                raise BadInput(
                    f"criterion {self.name}: {allocation} keeps a density of {n / m:g}, not {density:g}."
                )
        elif allocation and not names:
            raise BadInput(
                f'criterion {self.name}: its unit {self.unit} has no allocation, got "{allocation}".'
            )
        elif allocation and allocation not in names:
            raise BadInput(f"criterion {self.name}: {unknown('allocation', allocation, names, others)}")

    def scored_per_class(self, classes: int) -> int:
        """How many images of each class are looked at: ``per_class``, but at most 1,000 images in all.

        Of more than 1,000 classes it is one each.
        """
        return min(self.per_class, max(1, 1000 // classes)) if self.per_class else 0


@dataclass(frozen=True)
class Cell:
    """One place of the grid, handed to a method: the density and seed asked for, and what to build on.

    ``dense`` is the trained parent, ``rewound`` its weights at the budget's rewind epoch, ``init`` what its
    training began with: drawn or pretrained weights. Where a pretrained network is the parent, all three are
    it. ``levels`` are the densities that iterative pruning passes through, ``density`` last. ``finetune`` is
    the budget's recipe for training on without rewinding (None where the task has none). ``variant`` is what
    follows the colon in ``method:variant``, or "".
    """

    density: float
    levels: tuple[float, ...]
    seed: int
    recipe: Recipe
    data: Data
    init: Weights
    dense: Weights
    rewound: Weights
    versions: Mapping[str, str] = field(repr=False)
    architecture: Architecture = field(repr=False)
    steps_per_epoch: int = 0
    finetune: Recipe | None = None
    variant: str = ""

    @property
    def network(self) -> Network:
        """The network of the cell, as it stands in its steps."""
        return network_of(self.init)

    @property
    def rewind_epoch(self) -> int:
        """The epoch that the budget rewinds to; 0 where a pretrained network is the parent."""
        return self.rewound.epoch if isinstance(self.rewound, Rewind) else 0

    @property
    def redrawn(self) -> Init:
        """Other weights to begin with, drawn anew: from a seed that no run can ask for."""
        return Init(self.network, -1 - self.seed)

    def train(
        self,
        start: Weights,
        mask: Prune | None = None,
        recipe: Recipe | None = None,
        rewire: Rewire | None = None,
        from_epoch: int = 0,
    ) -> Train:
        """Training from ``start`` with this cell's data and seed, and its recipe unless another is given.

        From weights that were rewound to epoch k it goes through the epochs of any recipe from k on, as from
        epoch 0 through all of them; with ``from_epoch`` from that one on, wherever it starts. Raises BadInput
        for the mask of another network, a recipe that no training can follow or of which nothing is left,
        an epoch that it has not, and gradual pruning (``rewire``) that would be over before it begins.
        """
        if recipe is not None and recipe not in (self.recipe, self.finetune):
            check_recipe(recipe, "recipe", untrained=True)
        if mask is not None and network_of(mask) != network_of(start):
            raise BadInput("a network is trained with the mask of another network, of other shapes.")
        epochs = (recipe or self.recipe).epochs
        if from_epoch and not (count(from_epoch) and from_epoch < epochs):
            wanted = f"a whole number from 0 to {epochs - 1}, as the recipe has {epochs} epochs"
            raise BadInput(f"from_epoch must be {wanted}; got {from_epoch!r}.")
        found = Train(start, recipe or self.recipe, self.data, self.seed, mask, rewire=rewire)
        found = replace(found, from_epoch=from_epoch) if from_epoch else found
        first = found.first_epoch
        if epochs and found.epochs < 1:
            raise BadInput(
                f"training from weights rewound to epoch {first} goes through the epochs of its recipe from "
                f"{first} on, and this one has {epochs}: start from other weights, or name from_epoch."
            )
        if (
            rewire is not None
            and rewire.density is not None
            and (found.epochs < 1 or rewire.until * epochs < first)
        ):
            raise BadInput(
                f"rewire prunes to its density up to the share {rewire.until:g} of {epochs} epochs, and "
                f"training begins at epoch {first}: the network would stay dense."
            )
        return found

    def prune(
        self,
        given: Weights,
        criterion: Criterion,
        density: float | None = None,
        allocation: str = "",
        layers_of: Prune | None = None,
    ) -> Prune:
        """The mask that keeps ``density`` (default: the cell's) of the prunable weights of ``given``.

        ``allocation`` is ``uniform`` or ``erk`` (see ``masks.allocated``), N:M such as ``2:4`` (see
        ``masks.top_grouped``; the density is then N / M), or "" to rank all layers together. With
        ``layers_of`` each layer keeps as many weights as in that mask, whose density this one has: of single
        weights, in one round. Raises BadInput for a density, an allocation or a mask that the criterion
        cannot have.
        """
        data = self.data if criterion.per_class else None
        version = self.versions.get(criterion.name, str(criterion.version))
        if layers_of is not None:
            if criterion.unit != "weight" or criterion.rounds > 1 or allocation:
                raise BadInput(
                    f"criterion {criterion.name}: layers_of is for criteria of single weights with one "
                    "round, and without an allocation."
                )
            if network_of(layers_of) != network_of(given):
                raise BadInput(f"criterion {criterion.name}: layers_of is the mask of another network.")
            density = layers_of.density
        density = self.density if density is None else density
        criterion.check(density, allocation or "")
        return Prune(
            given,
            criterion.name,
            version,
            density,
            self.seed,
            data,
            allocation=allocation or None,
            layers_of=layers_of,
        )

    def untrained(self, given: Weights, mask: Prune) -> Train:
        """``given`` with a mask, and nothing after it: a training of no epochs."""
        return self.train(given, mask, replace(self.recipe, epochs=0))

    def size(self, network: Network) -> Counts:
        """The size of a network of this cell's architecture."""
        return self.architecture.count(network)


def _fits(cell: Cell) -> str:
    return ""


@dataclass(frozen=True)
class Method:
    """A way to get a sparse network: ``ticket(cell)`` is the expression of the trained network.

    ``criterion`` is what it prunes by (None for the dense parent itself). ``variants`` are asked for as
    ``name:variant``; those among ``criteria`` prune by another criterion. ``unfit(cell)`` says why it cannot
    be used in a cell and what would work, or "".
    ``family`` says when or what it prunes, for leaderboards: ``after``, ``during`` or ``init`` (training),
    ``structured``, ``dense``, or a word of its own.
    """

    name: str
    title: str
    formula: str
    source: str
    cost: str
    ticket: Callable[[Cell], Weights]
    criterion: Criterion | None = None
    aliases: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    unfit: Callable[[Cell], str] = _fits
    family: str = ""
    criteria: Mapping[str, Criterion] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise BadInput for a text that is none, or for what is no criterion."""
        texts("method", self, "name")
        texts(f"method {self.name}", self, "title", "formula", "source", "cost", "family")
        named = [*self.criteria.values(), *([] if self.criterion is None else [self.criterion])]
        if not all(isinstance(criterion, Criterion) for criterion in named):
            raise BadInput(f"method {self.name}: criterion and criteria must be of Criterion(...).")

    def prunes_by(self) -> tuple[Criterion, ...]:
        """Its criterion, and those of its variants."""
        return (*((self.criterion,) if self.criterion else ()), *self.criteria.values())
