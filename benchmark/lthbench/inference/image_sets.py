"""The sets of images that metrics ask for by name, as they stand in keys.

Each is one record here, or one that a metric brings along (``kinds.ImageSet``). Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthbench import corruptions, registry
from lthbench.corruptions import official
from lthbench.data import concepts
from lthbench.errors import BadInput, unknown
from lthbench.kinds import Bank, Dataset, Evaluation, ImageSet, Metric
from lthbench.spec import Data, Inputs

#: Of sets that are in memory at once, or that a head is fitted to, a count of 0 means at most so many images
#: (1.5 GB at 224 pixels).
HELD = 10_000
#: Of more classes than this, sets by class hold as many images of each as they would of ten classes.
MANY_CLASSES = 20

#: Named inputs: one set may be several (each corruption, each data set out of distribution).
Named = list[tuple[str, Inputs]]


@dataclass(frozen=True)
class Asked:
    """What sets are made of: how many images of each, what networks are trained on, what is out of its
    distribution, the name of the task's bank of concepts, and where data is.

    Data sets that are ``known``, by name, are not looked for; what is missing is an error where ``needed``.
    """

    evaluate: Evaluation
    trained_on: Data
    ood: tuple[Data, ...]
    concepts: str | None
    places: tuple[Path, ...]
    known: Mapping[str, Data]
    needed: bool


@dataclass(frozen=True)
class Shipped(ImageSet):
    """A set that any metric may ask for.

    ``inputs`` are given where it is several, or other than clean images of the task's data set. ``attack``
    is what each network's own gradients do to the images (see ``attacks``). What is measured on a set
    of ``concepts`` is usual only in tasks that have a bank.
    """

    inputs: Callable[[Asked], Named] | None = None
    attack: Callable[..., Any] | None = None
    concepts: bool = False


def of(metrics: Sequence[Metric], asked: Asked) -> dict[str, dict[str, Named]]:
    """The inputs behind the names that metrics ask for, by metric and name.

    Raises BadInput for a name that there is not, for a set of a metric's own that is called as one here, and
    for a set whose images are changed where a metric looks at them itself or reads their maps.
    """
    shipped: dict[str, Named] = {}
    found: dict[str, dict[str, Named]] = {}
    for metric in metrics:
        own = {each.name: each for each in metric.sets}
        named = [(field, name) for field in ("needs", "looks", "maps") for name in getattr(metric, field)]
        for field, name in named:
            if name in own and name in SETS:
                raise BadInput(f"metric {metric.name}: its image set {name} has the name of one that ships.")
            if name in own:
                made = _brought(metric, own[name], asked)
            elif name in SETS:
                made = shipped[name] = shipped.get(name) or _shipped(SETS[name], asked)
            else:
                raise unknown("set of images", name, [*SETS, *own], f"metric {metric.name} asks for it")
            if field != "needs" and not _as_they_are(made) and (field, name) != ("looks", "concepts"):
                raise BadInput(
                    f"metric {metric.name}: {field} names {name}, whose images are changed: only its logits "
                    f"can be read. Name it in needs, or in {field} a set of images as they are, such as test."
                )
            found.setdefault(metric.name, {})[name] = made
    return found


def _as_they_are(made: Named) -> bool:
    """Whether the images of a set are those of a data set, with nothing done to them."""
    return all(inputs.view == "clean" for _, inputs in made)


def _shipped(each: Shipped, asked: Asked) -> Named:
    if each.inputs is not None:
        return each.inputs(asked)
    return _one(each, asked, "clean", each.name)


def _brought(metric: Metric, own: ImageSet, asked: Asked) -> Named:
    """The inputs of a set that a metric brings along: named by its file where it changes images."""
    view = "clean" if own.perturb is None else _view_of(metric.name, own.name)
    return _one(own, asked, view, f"metric {metric.name}: the image set {own.name}")


def _one(each: ImageSet, asked: Asked, view: str, what: str) -> Named:
    """A set of the task's data set. Raises BadInput for a count that there is not."""
    count: object = each.count
    if isinstance(count, str):  # other whole numbers of an evaluation are no numbers of images
        count = getattr(asked.evaluate, count, None) if count.endswith("_images") else None
    if not isinstance(count, int):
        raise BadInput(
            f"{what} has the count {each.count!r}; give a number, or the name of a number of images in a "
            "budget's evaluation, as test_images."
        )
    return [(each.name, Inputs(asked.trained_on, each.split, count, view, 1))]


def asked_by(metric: Metric) -> list[ImageSet]:
    """The sets that a metric asks for; names that there are not are passed over."""
    known = {**SETS, **{own.name: own for own in metric.sets}}
    return [known[name] for name in (*metric.needs, *metric.looks, *metric.maps) if name in known]


def of_concepts(metric: Metric) -> bool:
    """Whether a metric looks at images for their concepts."""
    return any(isinstance(each, Shipped) and each.concepts for each in asked_by(metric))


def by_view(view: str) -> ImageSet | None:
    """The set that does something of its own to images, by the view that stands in keys; else None."""
    shipped = SETS.get(view)
    return shipped if shipped is not None and shipped.attack is not None else _of_view(view)


#: What the views of images begin with that are made by a metric's own set.
_OWN = "own/"


def _view_of(metric: str, name: str) -> str:
    """What stands in keys for a set of images that a metric brings along: its names and its version."""
    return f"{_OWN}{metric}/{name}/{registry.version(Metric, metric)}"


def _of_view(view: str) -> ImageSet | None:
    """The set of images that a metric brings along, by its view; None for any other view."""
    if not view.startswith(_OWN):
        return None
    _, metric, name, _ = view.split("/", 3)
    return next((own for own in registry.get(Metric, metric).sets if own.name == name), None)


def bank_of(asked: Asked) -> Data:
    """The task's bank of concepts as it stands in keys; its digest is "" for one that is made."""
    assert asked.concepts is not None
    bank = registry.get(Bank, asked.concepts)
    known = asked.known.get(concepts.PREFIX + bank.name)
    return known or concepts.identify(bank, asked.places, needed=asked.needed)


def _attacked(name: str, passes: float) -> Shipped:
    """Images that the function of this name in ``attacks`` makes, at the budget's epsilon."""

    def inputs(asked: Asked) -> Named:
        looked = asked.evaluate
        epsilon = (looked.fgsm_epsilon_255,)
        return [(name, Inputs(asked.trained_on, "test", looked.attacked_images, name, 1, epsilon))]

    def attack(*given: Any) -> Any:
        from lthbench.inference import attacks  # imports torch

        return getattr(attacks, name.replace("-", "_"))(*given)

    return Shipped(name, count="attacked_images", passes=passes, inputs=inputs, attack=attack)


def _mis(asked: Asked) -> Named:
    count = max(_held(asked, "test"), 400)  # it takes 400 at least
    return [("mis", Inputs(asked.trained_on, "test", count, "clean", 1))]


def _read(asked: Asked) -> Named:
    return [("read", Inputs(asked.trained_on, "train", _held(asked, "train"), "clean", 1))]


def _held(asked: Asked, split: str) -> int:
    """How many images are looked at for their concepts; for all, as many as there are, up to ``HELD``."""
    there = registry.get(Dataset, asked.trained_on.name).splits[split]
    return asked.evaluate.concept_images or min(there, HELD)


def _by_class(asked: Asked) -> Named:
    """Images of which those of a few classes are looked at: as many a class as there would be of ten classes.

    They are called ``pictured``, since for few classes they are these, also in keys.
    """
    dataset, count = registry.get(Dataset, asked.trained_on.name), asked.evaluate.concept_images
    if len(dataset.classes) > MANY_CLASSES:
        count = count * len(dataset.classes) // 10
        count = 0 if count >= dataset.splits["test"] else count
    return [("pictured", Inputs(asked.trained_on, "test", count, "clean", 1))]


def _ood(asked: Asked) -> Named:
    images = asked.evaluate.ood_images
    return [(f"ood/{d.name}", Inputs(d, "test", images, "clean", 1)) for d in asked.ood]


def _concepts(asked: Asked) -> Named:
    bank = bank_of(asked)
    view = bank.name + (f"/{bank.digest}" if bank.digest else "")
    images = asked.evaluate.concept_images
    return [("concepts", Inputs(asked.trained_on, "test", images, view, bank.version))]


def _corrupted(asked: Asked) -> Named:
    looked, trained_on = asked.evaluate, asked.trained_on
    images, severities = looked.corrupted_images, looked.severities
    there, wanted = registry.get(Dataset, trained_on.name).splits["test"], _uncorrupted(asked)[0][1].images
    if looked.corrupted_apart and wanted >= there:
        raise BadInput(
            f"corrupted_apart: {len(looked.corruptions)} corruptions of {images:,} images each need more "
            f"than {wanted:,} test images; {trained_on.name} has {there:,}."
        )
    # Where each kind's images begin; nothing in the key of those that begin at the start.
    firsts = [i * images if looked.corrupted_apart and i else None for i in range(len(looked.corruptions))]
    if looked.corruption_source == "official":
        dataset = registry.get(Dataset, trained_on.name)
        sets = []
        for kind, first in zip(looked.corruptions, firsts, strict=True):
            found = official.identify(dataset, kind, severities, asked.places, needed=asked.needed)
            view = official.PREFIX + kind
            own = Inputs(found, "test", images, view, official.VERSION, severities, first)
            sets.append((f"corrupted/{kind}", own))
        return sets
    kinds = [corruptions.get(name) for name in looked.corruptions]
    return [
        (f"corrupted/{k.name}", Inputs(trained_on, "test", images, k.name, k.version, severities, first))
        for k, first in zip(kinds, firsts, strict=True)
    ]


def _uncorrupted(asked: Asked) -> Named:
    """The images that corruptions change, one kind's after the other's where each has its own."""
    looked = asked.evaluate
    images = looked.corrupted_images * (len(looked.corruptions) if looked.corrupted_apart else 1)
    return [("uncorrupted", Inputs(asked.trained_on, "test", images, "clean", 1))]


_EVERY = (
    Shipped("test"),
    Shipped("train", split="train", count="train_images"),
    Shipped("val", split="val", count=0),
    Shipped("ood", inputs=_ood),
    _attacked("fgsm", passes=4),  # a backward pass counts as two
    _attacked("fgsm-random", passes=4),
    _attacked("pgd", passes=61),
    _attacked("autoattack", passes=10_000),
    Shipped("corrupted", inputs=_corrupted),
    Shipped("uncorrupted", count="corrupted_images", inputs=_uncorrupted),
    Shipped("geometry", split="train", count="geometry_images"),
    Shipped("explained", count="explained_images"),
    Shipped("lime", count="lime_images"),
    Shipped("concepts", inputs=_concepts, concepts=True),
    Shipped("mis", inputs=_mis, concepts=True),
    Shipped("pictured", count="concept_images", concepts=True),
    Shipped("by-class", count="concept_images", inputs=_by_class, concepts=True),
    Shipped("read", split="train", count="concept_images", inputs=_read, concepts=True),
)

#: The sets that there are, by name.
SETS: Mapping[str, Shipped] = {each.name: each for each in _EVERY}
