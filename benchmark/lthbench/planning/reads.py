"""Which images a step looks at: data sets, their splits, and what is done to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

from lthbench.spec import Data, Explain, Inputs, Measure, Predict, Prune, Rewind, Step, Train


class Read(NamedTuple):
    """A split of a data set; ``view`` is what is done to it, at ``strengths`` (see ``spec.Inputs``)."""

    data: Data
    split: str
    view: str = "clean"
    strengths: tuple[int, ...] = ()


@singledispatch
def reads(step: Step) -> Iterator[Read]:
    """What a step reads itself; not what the steps read that it needs."""
    del step
    yield from ()


@reads.register
def _(step: Train) -> Iterator[Read]:
    yield Read(step.data, "train")


@reads.register
def _(step: Rewind) -> Iterator[Read]:
    yield from reads(step.train)


@reads.register
def _(step: Prune) -> Iterator[Read]:
    if step.data is not None:
        yield Read(step.data, "train")


@reads.register(Predict)
@reads.register(Explain)
def _(step: Predict | Explain) -> Iterator[Read]:
    yield _of(step.inputs)


@reads.register
def _(step: Measure) -> Iterator[Read]:
    for _, inputs in (*step.inputs, *(step.looks or ()), *(step.maps or ())):
        yield _of(inputs)


def _of(inputs: Inputs) -> Read:
    return Read(inputs.data, inputs.split, inputs.view, inputs.strengths)
