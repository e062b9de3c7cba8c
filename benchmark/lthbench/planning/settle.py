"""What a task leaves to the data that is here: the published sets of its paper, where they are found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lthbench import registry
from lthbench.corruptions import official
from lthbench.data import concepts
from lthbench.errors import BadInput
from lthbench.inference import image_sets
from lthbench.kinds import Bank, Dataset, Metric
from lthbench.planning.request import Request, with_corruptions

#: The value of ``corruption_source`` that leaves it to the data.
IF_FOUND = "official-if-found"


def settled(request: Request, places: tuple[Path, ...]) -> Request:
    """The request with the sets that it will use, named in its record, and a note on each.

    So the command that a report keeps asks for the same images on a machine that has others. A folder of
    published images that is there in part raises BadInput, as it does where it was asked for by name.
    """
    asked = _asked(request)
    if image_sets.SETS["concepts"].name in asked:
        request = _bank(request, places)
    if image_sets.SETS["corrupted"].name in asked:
        request = _corrupted(request, places)
    return request


def _bank(request: Request, places: tuple[Path, ...]) -> Request:
    """The request with the paper's bank of concepts, if it is here, or else with the task's own."""
    data = request.task.data
    if request.concepts_replaced or data.published_concepts is None:
        return request
    bank = registry.get(Bank, data.published_concepts)
    here = concepts.describe(concepts.PREFIX + bank.name, places)["state"] != "missing"
    chosen = bank.name if here else data.concepts
    why = "the paper's bank is here" if here else f"the paper's bank, {bank.name}, is not here. {bank.obtain}"
    task = dataclasses.replace(request.task, data=dataclasses.replace(data, concepts=chosen))
    notes = (*request.notes, f"concepts of {chosen}: {why}")
    return dataclasses.replace(request, task=task, concepts_replaced=True, notes=notes)


def _corrupted(request: Request, places: tuple[Path, ...]) -> Request:
    """The request with published corrupted images, if all that it needs are here, or else generated ones."""
    looked, dataset = request.spec.evaluate, registry.get(Dataset, request.task.data.dataset)
    if looked.corruption_source != IF_FOUND:
        return request
    source, why = "generated", f"none are published for {dataset.name}"
    if dataset.name in official.FOLDERS:
        folder = official.FOLDERS[dataset.name]
        lacking = _lacking(request, places)
        if lacking and len(lacking) < len(looked.corruptions):
            raise BadInput(
                f"{folder} is here without {', '.join(lacking)}. Complete it, or give "
                "--corruptions generated."
            )
        source = "generated" if lacking else "official"
        why = f"{folder} is not here" if lacking else f"{folder} is here"
    notes = (*request.notes, f"corrupted images are {source}: {why}")
    task = with_corruptions(request.task, source)
    return dataclasses.replace(request, task=task, corruptions_replaced=True, notes=notes)


def published(request: Request, places: tuple[Path, ...]) -> dict[str, dict[str, str]]:
    """The published corrupted images that a request looks at: whether they are found, by their name."""
    data = request.task.data.dataset
    wanted = image_sets.SETS["corrupted"].name in _asked(request) and data in official.FOLDERS
    if not wanted or request.spec.evaluate.corruption_source != "official":
        return {}
    lacking = _lacking(request, places)
    state = "missing" if lacking else "found"
    return {official.FOLDERS[data]: {"state": state, "detail": ", ".join(lacking) or "published images"}}


def _asked(request: Request) -> set[str]:
    """The sets of images that a request's metrics ask for."""
    metrics = (registry.get(Metric, name) for name in request.metrics)
    return {name for metric in metrics for name in (*metric.looks, *metric.needs)}


def _lacking(request: Request, places: tuple[Path, ...]) -> list[str]:
    """The published kinds of corrupted images that are not here, of those that the budget looks at."""
    looked, dataset = request.spec.evaluate, registry.get(Dataset, request.task.data.dataset)
    kinds = [official.named(kind) for kind in looked.corruptions]
    return [k for k in kinds if official.locate(dataset, k, looked.severities, places) is None]
