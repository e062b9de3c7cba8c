"""What a metric fills in, and what it sees of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lthbench.errors import BadInput
from lthbench.kinds.filled_in import cells, count, finite, plain, texts, version
from lthbench.kinds.image_sets import ImageSet
from lthbench.kinds.images import Annotated, Images

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


#: A file of crops of the images ``pictured`` that a metric attaches; reports draw it. As JSON: ``side``, the
#: width of a crop in pixels, and ``concepts``, a list of ``{"dense": CROPS, "own": CROPS}``, where CROPS is a
#: list of ``[image, top, left]``: what speaks most for a concept of the dense network and of its own.
CROPS = "crops.json"

#: A file that a metric attaches of the images of ``concepts`` that excite units most; reports draw it. As
#: JSON: ``units``, a list of ``{"layer", "unit", "grid": [h, w], "images": [k, ...], "on": [BITS, ...]}``,
#: units counted from 1, where BITS are the cells of the grid in which the unit is on in that image, row by
#: row, as hexadecimal digits.
STRONGEST = "strongest.json"


#: The groups of scores, in the order in which they are shown.
GROUPS = ("generalization", "uncertainty", "interpretability", "geometry", "efficiency")
#: So much beyond the ends of its range a score may be: sums of many shares round.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Score:
    """One number that a metric yields, and how to read it.

    It lies from ``low`` to ``high``. ``group`` is one of ``GROUPS``. No other metric has a score of this
    ``name``. ``verdict`` says whether LTH-PASS asks for it. ``slack`` is how much worse than dense the rule
    ``paper`` lets it be. ``margin`` is how much worse the rule ``noninferior`` lets it be: in the score's
    unit, or where ``relative_margin`` as a share of the dense mean; ``margin_reason`` says why so much, and
    by whom. ``spread_of`` names the score whose relative spread over dense seeds stands for this one's, where
    this one is relative to the dense parent and so has no spread of its own. Such a score is compared by
    logarithms, so its margin is a share: it is a ``ratio``, which is 1 for the dense parent, or else says
    ``relative_margin``. ``fewest_classes``: LTH-PASS asks for it on tasks with so many classes or more.
    ``short`` heads its column where the title is too long, and ``shortest`` (five letters) in a terminal.

    Raises BadInput where it is not filled in like this.
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
    fewest_classes: int = 0
    short: str = ""
    shortest: str = ""

    def __post_init__(self) -> None:
        written = ("name", "title", "unit", "group", "margin_reason", "spread_of", "short", "shortest")
        texts(f"score {self.name}", self, *written)
        cells("score", self, "name")
        cells(f"score {self.name}", self, *written[1:])
        wrong = _unreadable(self) or _misjudged(self)
        if wrong:
            raise BadInput(f"score {self.name}: {wrong}.")
        for name in ("low", "high", "margin", "slack"):
            object.__setattr__(self, name, plain(getattr(self, name)))


def _unreadable(score: Score) -> str:
    """What is wrong with how a score says it is read, or ""."""
    for name in ("higher_is_better", "verdict", "relative_margin"):
        if not isinstance(getattr(score, name), bool):
            return f"{name} is True or False, not {getattr(score, name)!r}"
    if not all(isinstance(end, Real) for end in (score.low, score.high)) or not score.low < score.high:
        return f"low must be a number below high, not {score.low!r} with high={score.high!r}"
    if score.group not in GROUPS:
        return f"group {score.group!r} is none of {', '.join(GROUPS)}"
    return ""


def _misjudged(score: Score) -> str:
    """What is wrong with how a score says it is judged, or ""."""
    for name in ("margin", "slack"):
        if not finite(getattr(score, name)) or getattr(score, name) < 0:
            return f"{name} must be a number, 0 or more, not {getattr(score, name)!r}"
    share = score.relative_margin or bool(score.spread_of)
    if share and score.higher_is_better and score.margin >= 1.0:
        return f"its margin is a share of the dense mean and must be below 1, not {score.margin!r}"
    if score.spread_of and not score.relative_margin and score.unit != "ratio":
        return (
            f"with spread_of its margin is a share of the dense mean: say relative_margin=True, or leave "
            f"spread_of={score.spread_of!r} out"
        )
    if not count(score.fewest_classes):
        return f"fewest_classes must be a whole number, 0 or more, not {score.fewest_classes!r}"
    return ""


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
    strengths; ``labels`` is int64 ``[images]``; ``notes`` holds what was counted on the way. Images out of
    distribution that were collected against some of the network's classes only have these in ``against``.
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
        """Whether the network is the dense parent itself; only for a metric with ``relative``."""
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

    def numbers(self, name: str) -> NDArray[np.int64]:
        """Which images of their split those of one set of logits are: places in file order, from 0."""
        ...

    def images(self, name: str) -> Images:
        """The images of a set that the metric looks at itself."""
        ...

    def maps(self, name: str, of: str = "labels") -> Maps:
        """The saliency maps of a set of images for its ``labels``, or for what the ``reference`` predicts."""
        ...

    def concepts(self) -> Annotated:
        """The images of the task's bank of concepts, which cannot be written to."""
        ...

    def layers(self) -> tuple[str, ...]:
        """The modules of the network whose units concept metrics look at."""
        ...

    def attach(self, name: str, content: bytes) -> None:
        """Keep a file beside the scores: what stands behind them.

        A name has up to 100 letters, digits, ``_``, ``.`` and ``-``. Raises StepFailed for another.
        """
        ...

    def network(self) -> torch.nn.Module:
        """The network: on the device, in evaluation mode, its weights without gradients."""
        ...

    def stored(self) -> dict[str, tuple[int, int]]:
        """For weights that were quantised, the bits of a value and the bytes of scales, by name."""
        ...

    def held(self) -> dict[str, torch.Tensor] | None:
        """The network's mask: bool by parameter, True where it is kept; None for a dense network."""
        ...

    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's images."""
        ...


class UnitRow(NamedTuple):
    """What a metric tells of one unit of a layer, or of one class: a number of its own, and what it is of.

    ``unit`` counts from 1 within ``layer``. ``concept`` and ``category`` are names, or "". ``accuracy`` is
    that of a class where the layer is the softmax, from 0 to 1, or NaN.
    """

    layer: str
    unit: int
    concept: str
    category: str
    value: float
    accuracy: float = math.nan


@dataclass(frozen=True)
class UnitFile:
    """The CSV file that a metric attaches with rows for single units, which reports gather in ``units.csv``.

    ``read(rows)`` makes units of the file's rows, each a mapping by column; it may raise ValueError, KeyError
    or TypeError for rows that the metric did not write. Values lie from ``low`` to ``high``; NaN only where
    they may be ``unknown``.
    """

    name: str
    read: Callable[[Sequence[Mapping[Any, Any]]], Iterable[UnitRow]]
    low: float = -1e12
    high: float = 1e12
    unknown: bool = False


@dataclass(frozen=True)
class Metric:
    """A measurement of a network.

    ``needs`` are sets of images whose logits it reads: test, train, val, ood, fgsm, corrupted, geometry and
    others of ``inference.image_sets``. ``looks`` are those it shows the network itself, ``maps`` those whose
    saliency maps it reads: sets of images as they are, neither attacked nor corrupted. ``passes`` is what it
    does with each image it looks at, in forward passes; where that depends on the network or on how many
    images there are, ``passes_of(family, images)`` says it of all of them.
    ``relative`` means that it compares with the dense parent. One with ``nulls`` is also measured of an
    untrained network of each seed; with ``rival``, the value of a dense network is that of the dense network
    of the next seed, beside it: what agreement two trainings have without any pruning. One that is not
    ``usual`` is measured only where it is asked for by name. ``package`` is a module that it imports and that
    lthbench does not depend on, ``extra`` the extra of lthbench that installs it, if any. ``sets`` are image
    sets of its own, which ``needs`` may name beside the others; ``looks`` and ``maps`` may, too, where they
    have no ``perturb``. ``values_since`` is the first
    version that gave the same values, where later ones changed standard errors or attached files alone (0:
    this version): published tables and calibrations of these versions stay valid. ``units`` is the file that
    it attaches with rows for single units.

    Raises BadInput where it is not filled in like this.
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
    sets: tuple[ImageSet, ...] = ()
    passes_of: Callable[[str, int], float] | None = None
    values_since: int = 0
    units: UnitFile | None = None

    def __post_init__(self) -> None:
        who = f"metric {self.name}"
        texts(who, self, "name", "title", "formula", "source", "package", "extra")
        cells("metric", self, "name")
        version(who, self.version)
        if not isinstance(self.scores, tuple) or not all(isinstance(s, Score) for s in self.scores):
            raise BadInput(f"{who}: scores must be a tuple of Score, such as (Score(...),): mind the comma.")
        if not self.scores:
            raise BadInput(f"{who}: scores is empty; a metric has one Score or more.")
        names = [s.name for s in self.scores]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise BadInput(f"{who}: has two scores called {twice}; give one another name.")
        if not isinstance(self.sets, tuple) or not all(isinstance(s, ImageSet) for s in self.sets):
            raise BadInput(
                f"{who}: sets must be a tuple of ImageSet, such as (ImageSet(...),): mind the comma."
            )
        called = [s.name for s in self.sets]
        twice = next((n for n in called if called.count(n) > 1), None)
        if twice is not None:
            raise BadInput(f"{who}: has two image sets called {twice}; give one another name.")
        for name in ("needs", "looks", "maps"):
            if isinstance(getattr(self, name), str):
                raise BadInput(f'{who}: {name} must be a tuple, such as ("test",): mind the comma.')
        if not count(self.values_since) or self.values_since > self.version:
            wanted = f"a whole number from 0 to {self.version}"
            raise BadInput(f"{who}: values_since must be {wanted}, not {self.values_since!r}.")


def left_out(metric: Metric, given: Collection[tuple[str, str]]) -> list[str]:
    """The scores of a metric that are not among those given, each with a variant.

    What a verdict asks for must have its headline; other scores may have variants alone, as curves have.
    """
    names = {score for score, _ in given}
    return [s.name for s in metric.scores if s.name not in names or (s.verdict and (s.name, "") not in given)]


def apart(
    metric: Metric, where: str, others: Iterable[tuple[Metric, str]], offered: Callable[[], Collection[str]]
) -> None:
    """Raise BadInput for a metric of another's score, or one that takes its spread of a score of none.

    ``where`` is its file or package; ``others`` are those known, each with whose it is; ``offered`` gives the
    names of scores of packages' metrics, known or not.
    """
    names = {s.name for s in metric.scores}
    known = set(names)
    for other, whose in others:
        both = sorted(names & {s.name for s in other.scores})
        if both:
            raise BadInput(
                f"{where}: metric {metric.name} has a score {both[0]!r}, as has metric {other.name} "
                f"({whose}); rows of a table tell scores apart by name. Give it another."
            )
        known |= {s.name for s in other.scores}
    for score in metric.scores:
        if score.spread_of and score.spread_of not in known and score.spread_of not in offered():
            raise BadInput(
                f"{where}: score {score.name}: spread_of={score.spread_of!r} is a score of no metric known "
                "here. One of another file: name that file first (--plugin FILE)."
            )
