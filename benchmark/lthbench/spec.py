"""A result is an expression: the steps that every network and every number is built from.

A step is a frozen record that holds the steps it needs, so it is its own recipe and its own provenance.
``step.key`` is the sha256 of its canonical JSON: two steps with the same key are the same computation.
Nothing here imports more than the standard library, so that planning answers at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

from lthbench.recipe import Recipe as Recipe
from lthbench.recipe import Rewire as Rewire

#: Raise when a change to ``training/`` changes the weights that the same step yields.
TRAIN_VERSION = 1
#: Raise when a change to ``training/muon.py`` changes the weights that a training with Muon yields.
MUON_VERSION = 2
#: Raise when a change to ``inference/predict.py`` changes the logits that the same step yields.
PREDICT_VERSION = 1
#: Raise when a change to ``functional/saliency.py`` changes the maps that the same step yields.
EXPLAIN_VERSION = 1
#: Raise when a change to ``checkpoints/`` changes the weights or the mask that the same tensors yield.
GIVEN_VERSION = 1
#: Raise when a change to ``masks/`` changes the mask that the same scores yield.
MASK_VERSION = 1


@dataclass(frozen=True)
class Data:
    """A data set as found on this machine: ``digest`` is a hash of the files that hold its images.

    Where its plug-in does not ship, ``version`` ends in a hash of the plug-in's file, as for networks.
    """

    name: str
    version: int | str
    digest: str


@dataclass(frozen=True)
class Network:
    """Everything an architecture needs to be built.

    ``mean`` and ``std`` are per channel, for pixels in [0, 1]; they become part of the network, so that
    every perturbation is in pixel units. ``widths`` are channels (None: the architecture's own).
    """

    architecture: str
    version: int | str
    classes: int
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    widths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """A fixed set of images that a network is shown: which images, and what is done to them.

    ``images`` limits the set to so many of the split's fixed random order (0: all, file order), from its
    place ``first`` on (None: from its start).
    ``view`` names what is done: ``clean``, ``fgsm``, a corruption, or ``official/`` and one (the published
    images, whose digest ``data`` then has); ``strengths`` are its settings (severities for a corruption,
    epsilon in 1/255 for FGSM), and the logits get one leading axis for them.
    """

    data: Data
    split: str
    images: int
    view: str
    version: int | str
    strengths: tuple[int, ...] = ()
    first: int | None = None


class Step:
    """Base of the steps. Equality and hash are those of the key."""

    @cached_property
    def key(self) -> str:
        """Sha256 (hex) of the canonical JSON, in which the steps needed stand as their keys."""
        return hashlib.sha256(canonical(describe(self)).encode()).hexdigest()

    def needs(self) -> tuple[Step, ...]:
        """The steps whose results this one reads, in a fixed order."""
        return tuple(v for v in _values(self) if isinstance(v, Step))

    @cached_property
    def _steps(self) -> dict[tuple[object, ...], Any]:
        """What ``_made`` made of it, by the kind and the identities of the rest, which each step holds."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_steps"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class Init(Step):
    """The weights of a network at initialisation."""

    network: Network
    seed: int


@dataclass(frozen=True, eq=False)
class Given(Step):
    """Weights that were made elsewhere, and the mask they are held to where they were pruned.

    ``digest`` is a hash of both (``planning.digests.digest``), ``density`` the share of prunable weights
    that the mask keeps (None: there is no mask). Nothing can make them again: they are put into the store as
    they are read. ``stored`` are the names of tensors that were quantised, each with the bits of a value and
    the bytes of scales beside it; ``activations`` the layers whose activations are rounded, each with the
    way, the scale, what stands for zero, and the largest integer (see ``inference.rounding``).
    """

    network: Network
    digest: str
    density: float | None = None
    version: int = GIVEN_VERSION
    stored: tuple[tuple[str, int, int], ...] | None = None
    activations: tuple[tuple[str, str, float, int, int], ...] | None = None


@dataclass(frozen=True, eq=False)
class Train(Step):
    """The weights after training from ``start``, with ``mask`` held throughout, or changed by ``rewire``.

    Training that starts from a ``Rewind`` to epoch k, or whose learning rate is rewound to it
    (``from_epoch``), runs epochs k .. ``Recipe.epochs`` - 1, with the learning rates and the data order that
    those epochs have, and with fresh momentum.
    """

    start: Weights
    recipe: Recipe
    data: Data
    seed: int
    mask: Prune | None = None
    version: int = 0
    rewire: Rewire | None = None
    from_epoch: int | None = None

    def __post_init__(self) -> None:
        """The version is that of today's code, where none is given."""
        today = MUON_VERSION if self.recipe.optimizer == "muon" else TRAIN_VERSION
        object.__setattr__(self, "version", self.version or today)

    @property
    def first_epoch(self) -> int:
        """The epoch this training starts at."""
        return self.from_epoch or (self.start.epoch if isinstance(self.start, Rewind) else 0)

    @property
    def epochs(self) -> int:
        """How many epochs it runs."""
        return self.recipe.epochs - self.first_epoch


@dataclass(frozen=True, eq=False)
class Rewind(Step):
    """The weights that a training had after ``epoch`` epochs (counted from the recipe's first)."""

    train: Train
    epoch: int

    def needs(self) -> tuple[Step, ...]:
        """The training, and what it starts from: a stored one is run again up to the epoch."""
        return (self.train, *self.train.needs())


@dataclass(frozen=True, eq=False)
class Prune(Step):
    """A mask that keeps ``density`` of the prunable weights of ``given``, the best by ``criterion``.

    Where ``given`` was itself trained under a mask, only that mask's weights can be kept (nesting).
    ``data`` is there only for a criterion that looks at images. ``allocation`` says how the density is
    shared out over layers (None: all layers are ranked together), or, as ``2:4``, over groups of weights.
    For units removed whole None is the same share of each layer, and ``pooled`` ranks all layers together.
    With ``layers_of`` each layer keeps as many as in that mask.
    """

    given: Weights
    criterion: str
    criterion_version: str
    density: float
    seed: int
    data: Data | None = None
    version: int = MASK_VERSION
    allocation: str | None = None
    layers_of: Prune | None = None

    def needs(self) -> tuple[Step, ...]:
        """The network, the mask that it was trained under, and the one that says what each layer keeps."""
        other = (self.layers_of,) if self.layers_of is not None else ()
        return (self.given, *_mask_of(self.given), *other)


@dataclass(frozen=True, eq=False)
class Predict(Step):
    """The float32 logits of a network on a set of images, with the labels."""

    subject: Weights
    inputs: Inputs
    version: int = PREDICT_VERSION


@dataclass(frozen=True, eq=False)
class Explain(Step):
    """Saliency maps of a network: for the labels of images, and for what ``reference`` predicts of them.

    ``predict_version`` is that of these predictions (None: 1).
    """

    subject: Weights
    inputs: Inputs
    reference: Weights
    version: int = EXPLAIN_VERSION
    predict_version: int | None = None

    @property
    def predicted(self) -> Predict:
        """The predictions of the other network."""
        return _made(Predict, self.reference, self.inputs, self.predict_version or 1)

    def needs(self) -> tuple[Step, ...]:
        """The network, and the predictions of the other one."""
        return (self.subject, self.predicted)


@dataclass(frozen=True, eq=False)
class Measure(Step):
    """The scores that a metric gives a network, by its logits on named sets of images.

    ``reference`` is the dense parent of the same seed, for a metric that is relative to it. ``looks`` are
    sets of images that the metric shows the network itself, ``maps`` those whose saliency maps it reads.
    ``predict_version`` and ``explain_version`` are those of the logits and maps that are read (None: 1), so
    that scores are made again where these are (``read_versions``).
    """

    metric: str
    metric_version: str
    subject: Weights
    inputs: tuple[tuple[str, Inputs], ...]
    reference: Weights | None = None
    looks: tuple[tuple[str, Inputs], ...] | None = None
    maps: tuple[tuple[str, Inputs], ...] | None = None
    predict_version: int | None = None
    explain_version: int | None = None

    def predicted(self, network: Weights, inputs: Inputs) -> Predict:
        """The predictions of a network that are read."""
        return _made(Predict, network, inputs, self.predict_version or 1)

    def explained(self, network: Weights, inputs: Inputs) -> Explain:
        """The saliency maps of a network that are read: see ``Explain``; of the dense parent's classes."""
        parent = self.reference or self.subject
        return _made(Explain, network, inputs, parent, self.explain_version or 1, self.predict_version)

    def needs(self) -> tuple[Step, ...]:
        """The network, its mask, its predictions and maps, and the dense parent with those of its own."""
        networks = [n for n in (self.subject, self.reference) if n is not None]
        predictions = (self.predicted(n, i) for n in networks for _, i in self.inputs)
        explained = (self.explained(n, i) for n in networks for _, i in self.maps or ())
        return (*networks, *_mask_of(self.subject), *predictions, *explained)


def read_versions(predictions: bool, maps: bool) -> dict[str, int | None]:
    """The versions of what a measurement reads, as they stand in its key: 1 stands in none."""
    predict, explain = PREDICT_VERSION, EXPLAIN_VERSION
    return {
        "predict_version": predict if (predictions or maps) and predict > 1 else None,
        "explain_version": explain if maps and explain > 1 else None,
    }


Weights = Init | Train | Rewind | Given
_Look = TypeVar("_Look", Predict, Explain)
STEPS: tuple[type[Step], ...] = (Init, Given, Train, Rewind, Prune, Predict, Explain, Measure)


def _made(kind: type[_Look], network: Weights, *rest: Any) -> _Look:
    """A step that looks at a network, the same object each time: its key is found once."""
    place = (kind, *map(id, rest))
    if place not in network._steps:
        network._steps[place] = kind(network, *rest)
    return network._steps[place]  # type: ignore[no-any-return]


def _mask_of(step: Weights) -> tuple[Step, ...]:
    return (step.mask,) if isinstance(step, Train) and step.mask is not None else ()


#: The text of a described step that is hashed: sorted keys, no spaces, shortest exact floats, no NaN.
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def _values(record: object) -> list[Any]:
    return [getattr(record, name) for name in _fields(type(record))]  # type: ignore[arg-type]


def _plain_fields(record: object) -> dict[str, Any]:
    return {n: plain(v) for n in _fields(type(record)) if (v := getattr(record, n)) is not None}  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """A value as JSON data: records become tables, steps become their keys.

    A field whose value is None is left out, so that a field added later with the default None leaves the
    keys of all that does not use it as they were.
    """
    if type(value) in (str, int, float, bool):  # what most fields are
        return value
    if isinstance(value, Step):
        return value.key
    if dataclasses.is_dataclass(value):
        # Kept with the record, not by its value: 1 and 1.0 are equal, and another text.
        found: dict[str, Any] | None = value.__dict__.get("_plain")
        if found is None:
            found = _plain_fields(value)
            object.__setattr__(value, "_plain", found)
        return found
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def describe(step: Step) -> dict[str, Any]:
    """One step as JSON data: its verb and its fields, with needed steps as keys."""
    return {"step": type(step).__name__, **_plain_fields(step)}


def history(*steps: Step) -> Iterator[Step]:
    """The steps and all that they need, each once, needs before needers."""
    done: set[str] = set()
    stack: list[tuple[Step, bool]] = [(s, False) for s in reversed(steps)]
    while stack:
        step, expanded = stack.pop()
        if expanded:
            yield step
        elif step.key not in done:
            done.add(step.key)
            stack.append((step, True))
            stack.extend((n, False) for n in reversed(step.needs()) if n.key not in done)


def round_density(density: float) -> float:
    """A density as it stands in a key: twelve decimals, so that 0.8**3 and 0.512 are one value."""
    return round(density, 12)


def as_sparsity(density: float) -> float:
    """The share of weights that is removed where ``density`` is kept, as it stands in tables."""
    return round_density(1.0 - density)


def network_of(step: Step) -> Network:
    """The network that a step's weights belong to: that of the first step which it is made of."""
    while not isinstance(step, Init | Given):
        step = next(value for value in _values(step) if isinstance(value, Step))
    return step.network


def trains_alike(step: Train) -> tuple[Network, Recipe, Data, int]:
    """What two trainings must have in common to be done together (``training.packing``)."""
    return network_of(step), step.recipe, step.data, step.first_epoch


def mask_keeper(step: Weights) -> Prune | Train | Given | None:
    """The step whose artefact holds a network's mask: a rewired training's own, or the one it was given.

    A network made elsewhere holds its own.
    """
    if isinstance(step, Train):
        return step if step.rewire is not None else step.mask
    return step if isinstance(step, Given) and step.density is not None else None
