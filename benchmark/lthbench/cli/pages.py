"""What ``lthbench metrics NAME``, ``methods NAME`` and ``tasks NAME`` print: a page for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lthbench import formatting

#: A page is no wider, and its left column is so wide.
WIDEST, LEFT = 100, 14


def page(plural: str, found: dict[str, Any], width: int) -> str:
    """The page of one plug-in or task, out of what ``listing.describe`` says of it; wrapped to ``width``."""
    width = max(min(width, WIDEST), 40)
    parts = {"metrics": _metric, "methods": _method, "tasks": _task}[plural](found)
    lines = [*textwrap.wrap(f"{found['name']}: {found['title']}", width), ""]
    for name, text in parts:
        if text:
            lines += textwrap.wrap(
                text,
                width,
                initial_indent=f"{name:<{LEFT}}",
                subsequent_indent=" " * LEFT,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _metric(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    sets = [*found["needs"], *found["looks"], *(f"{name} (saliency maps)" for name in found["maps"])]
    yield "looks at", formatting.listed(sets) or "the network alone"
    yield "formula", found["formula"]
    yield "source", found["source"]
    yield "version", str(found["version"])
    for place, score in enumerate(found["scores"]):
        yield "scores" if place == 0 else "", _score(score)
        yield "", f"margin of {score['name']}: {margin(score)}" if score["verdict"] else ""
    notes = ["compared with the dense parent"] if found["relative"] else []
    notes += ["what stands for dense is another dense network"] if found["rival"] else []
    notes += ["also measured of an untrained network"] if found["nulls"] else []
    notes += [] if found["usual"] else ["measured only where it is asked for by name"]
    yield "notes", "; ".join(notes)
    passes = f"{found['passes']:g} forward passes of each image it looks at" if found["passes"] else ""
    yield "cost", passes or "the passes that make the logits, which metrics share"
    if found["package"]:
        extra = found["extra"]
        yield "needs", f"pip install 'lthbench[{extra}]'" if extra else f"the package {found['package']}"


def _score(score: dict[str, Any]) -> str:
    better = "higher is better" if score["higher_is_better"] else "lower is better"
    low, high = (
        str(score[end]) if isinstance(score[end], str) else f"{score[end]:g}" for end in ("low", "high")
    )
    fewest = score["fewest_classes"]
    verdict = f", in the verdict{f' from {fewest} classes' if fewest else ''}" if score["verdict"] else ""
    return f"{score['name']}: {score['title']}; {score['unit']}, {low} to {high}, {better}{verdict}"


def margin(score: dict[str, Any]) -> str:
    """How much worse than dense the verdict lets a score be, and why so much."""
    size = f"{100 * score['margin']:g} % of dense" if score["relative_margin"] else f"{score['margin']:g}"
    return f"{size}: {score['margin_reason']}"


def _method(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "formula", found["formula"]
    yield "source", found["source"]
    yield "cost", found["cost"]
    for place, criterion in enumerate(filter(None, [found.get("criterion"), *found["criteria"].values()])):
        images, name = criterion["training images of each class"], criterion["name"]
        said = f"{name}: {criterion['definition'] or 'a score of each weight'}"
        yield "prunes by" if place == 0 else "or by", said
        yield "", f"of {images} training images of each class" if images else ""
    yield "also called", ", ".join(found["aliases"])
    for place, (name, about) in enumerate(found["variants"].items()):
        yield "variants" if place == 0 else "", f"{found['name']}:{name}: {about}"


def _task(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    data, grid = found["data"], found["grid"]
    yield "about", found["about"]
    yield "source", found["source"]
    yield "network", found["architecture"]
    yield "data", f"{data['dataset']}; out of distribution: {formatting.listed(list(data['ood'])) or 'none'}"
    yield "concepts", data.get("concepts", "")
    yield "data found", found["data found"]
    yield "methods", formatting.listed(list(grid["methods"]))
    yield "rounds", _rounds(grid["rounds"], grid["rate"])
    yield "seeds", str(grid["seeds"])
    for place, (name, budget) in enumerate(found["budget"].items()):
        usual = " (the default)" if name == grid["budget"] else ""
        yield "budgets" if place == 0 else "", f"{name}{usual}: {budget['about']}"
    if found["in bfloat16"]:
        yield "in bfloat16", f"{formatting.listed(found['in bfloat16'])}: the same recipes"
    yield "calibrated", calibrated(found["calibrated"])


def calibrated(trainings: Mapping[str, int]) -> str:
    """By how many dense trainings the verdict of each budget is calibrated."""
    known = [f"{name} ({count} dense trainings)" for name, count in trainings.items()]
    return formatting.listed(known) or "no budget"


def _rounds(rounds: Sequence[int], rate: float) -> str:
    """The default rounds, and the sparsities that they come to."""
    levels = [formatting.sparsity(1 - (1 - rate) ** n) for n in rounds]
    return f"{', '.join(map(str, rounds))}: sparsities {formatting.listed(levels)}"
