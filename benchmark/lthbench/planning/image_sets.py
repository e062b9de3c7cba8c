"""The sets of images that metrics ask for by name, as they stand in keys.

Each is one record here, or one that a metric brings along (``kinds.ImageSet``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lthbench import corruptions, registry
from lthbench.corruptions import official
from lthbench.data import concepts
from lthbench.errors import BadInput, unknown
from lthbench.kinds import Bank, Dataset, ImageSet, Metric
from lthbench.planning.request import Request
from lthbench.planning.task import Evaluation
from lthbench.spec import Data, Inputs

#: Named inputs: one set may be several (each corruption, each data set out of distribution).
Named = list[tuple[str, Inputs]]


@dataclass(frozen=True)
class Asked:
    """What sets are made of: a request, its data set and those out of distribution, and where data is.

    Data sets that are ``known``, by name, are not looked for; what is missing is an error where ``needed``.
    """

    request: Request
    trained_on: Data
    ood: tuple[Data, ...]
    places: tuple[Path, ...]
    known: Mapping[str, Data]
    needed: bool

    @property
    def evaluate(self) -> Evaluation:
        """How many images of each set are looked at."""
        return self.request.spec.evaluate


def of(name: str, metrics: list[Metric], asked: Asked) -> Named:
    """The inputs behind a name that one of these metrics asks for. Raises BadInput for one unknown."""
    if name in SETS:
        return SETS[name](asked)
    for metric in metrics:
        for own in metric.sets:
            if own.name == name and name in (*metric.needs, *metric.looks, *metric.maps):
                return [(name, _own(metric, own, asked))]
    raise unknown("set of images", name, SETS, "that a metric can ask for")


def bank_of(asked: Asked) -> Data:
    """The task's bank of concepts as it stands in keys; its digest is "" for one that is made."""
    assert asked.request.task.data.concepts is not None
    bank = registry.get(Bank, asked.request.task.data.concepts)
    known = asked.known.get(concepts.PREFIX + bank.name)
    return known or concepts.identify(bank, asked.places, needed=asked.needed)


def _own(metric: Metric, own: ImageSet, asked: Asked) -> Inputs:
    """The inputs of a set that a metric brings along. Raises BadInput for a count that there is not."""
    count = own.count if isinstance(own.count, int) else getattr(asked.evaluate, own.count, None)
    if not isinstance(count, int):
        raise BadInput(
            f"metric {metric.name}: the image set {own.name} has the count {own.count!r}; give a number, or "
            "the name of a number of images in a budget's evaluation, as test_images."
        )
    view = "clean" if own.perturb is None else registry.view_of(metric.name, own.name)
    return Inputs(asked.trained_on, own.split, count, view, 1)


def _clean(name: str, split: str, count: Callable[[Evaluation], int]) -> Callable[[Asked], Named]:
    def inputs(asked: Asked) -> Named:
        return [(name, Inputs(asked.trained_on, split, count(asked.evaluate), "clean", 1))]

    return inputs


def _attacked(name: str) -> Callable[[Asked], Named]:
    def inputs(asked: Asked) -> Named:
        looked = asked.evaluate
        epsilon = (looked.fgsm_epsilon_255,)
        return [(name, Inputs(asked.trained_on, "test", looked.attacked_images, name, 1, epsilon))]

    return inputs


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
    if looked.corruption_source == "official":
        dataset = registry.get(Dataset, trained_on.name)
        sets = []
        for kind in looked.corruptions:
            found = official.identify(dataset, kind, severities, asked.places, needed=asked.needed)
            view = official.PREFIX + kind
            own = Inputs(found, "test", images, view, official.VERSION, severities)
            sets.append((f"corrupted/{kind}", own))
        return sets
    kinds = [corruptions.get(name) for name in looked.corruptions]
    return [
        (f"corrupted/{k.name}", Inputs(trained_on, "test", images, k.name, k.version, severities))
        for k in kinds
    ]


#: The sets that there are, by name.
SETS: Mapping[str, Callable[[Asked], Named]] = {
    "test": _clean("test", "test", lambda e: e.test_images),
    "train": _clean("train", "train", lambda e: e.train_images),
    "val": _clean("val", "val", lambda e: 0),
    "ood": _ood,
    "fgsm": _attacked("fgsm"),
    "fgsm-random": _attacked("fgsm-random"),
    "pgd": _attacked("pgd"),
    "autoattack": _attacked("autoattack"),
    "corrupted": _corrupted,
    "uncorrupted": _clean("uncorrupted", "test", lambda e: e.corrupted_images),
    "geometry": _clean("geometry", "train", lambda e: e.geometry_images),
    "explained": _clean("explained", "test", lambda e: e.explained_images),
    "lime": _clean("lime", "test", lambda e: e.lime_images),
    "concepts": _concepts,
    "mis": _clean("mis", "test", lambda e: max(e.concept_images, 400)),  # it takes 400 at least
    "pictured": _clean("pictured", "test", lambda e: e.concept_images),
    "read": _clean("read", "train", lambda e: e.concept_images),
}
