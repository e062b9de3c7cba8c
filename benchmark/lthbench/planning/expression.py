"""Steps as people read them: what makes a network or mask, and what is being done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch

from lthbench.spec import Explain, Given, Init, Measure, Predict, Prune, Rewind, Step, Train

#: Writes a step that another holds.
Inner = Callable[[Step], str]


def written(step: Step, names: Mapping[str, str] | None = None) -> str:
    """A network or mask as the expression that makes it: ``train(rewind(dense seed 0, epoch 1), ...)``.

    ``names`` are what networks and masks before it are called, by key; those are not written out further.
    """
    known = names or {}

    def inner(part: Step) -> str:
        whole = part.key not in known or isinstance(part, Prune)  # a mask stands in full
        return expression(part, inner) if whole else known[part.key]

    return expression(step, inner)


@singledispatch
def expression(step: Step, inner: Inner) -> str:
    """One step, with ``inner`` for those it holds; its key for a verb that has no words."""
    del inner
    return step.key


@expression.register
def _(step: Init, inner: Inner) -> str:
    del inner
    return f"init({step.network.architecture}, seed {step.seed})"


@expression.register
def _(step: Given, inner: Inner) -> str:
    del inner
    kept = "" if step.density is None else f", density {step.density:.6g}"
    return f"given({step.network.architecture}, digest {step.digest[:12]}{kept})"


@expression.register
def _(step: Rewind, inner: Inner) -> str:
    return f"rewind({inner(step.train)}, epoch {step.epoch})"


@expression.register
def _(step: Prune, inner: Inner) -> str:
    shared = f", {step.allocation}" if step.allocation else ""
    shared += f", layers as in {inner(step.layers_of)}" if step.layers_of is not None else ""
    return f"prune({inner(step.given)}, {step.criterion}, density {step.density:.6g}{shared})"


@expression.register
def _(step: Train, inner: Inner) -> str:
    mask = f", mask {inner(step.mask)}" if step.mask is not None else ""
    rewired = ", rewired" if step.rewire is not None else ""
    if step.rewire is not None and step.rewire.density is not None:
        rewired = f", pruned on the way to density {step.rewire.density:.6g}"
    epochs = f"{step.recipe.epochs} epochs" + (f" from {step.from_epoch} on" if step.from_epoch else "")
    return f"train({inner(step.start)}, {epochs}, seed {step.seed}{mask}{rewired})"


@singledispatch
def label(step: Step, names: Mapping[str, str], share: float = 1.0) -> str:
    """What doing a step, or a ``share`` of it, is called: "prune imp 79.0 % seed 0".

    ``names`` are what networks and masks are called, by key.
    """
    del share
    return f"{type(step).__name__.lower()} {names.get(step.key, '')}".rstrip()


@label.register
def _(step: Train, names: Mapping[str, str], share: float = 1.0) -> str:
    done = step.first_epoch + round(share * step.epochs)
    part = f" (epoch {done} of {step.recipe.epochs})" if share < 1.0 else ""
    return f"train {names.get(step.key, '')}{part}".rstrip()


@label.register
def _(step: Predict, names: Mapping[str, str], share: float = 1.0) -> str:
    del share
    return f"score {names.get(step.subject.key, '')} ({step.inputs.view})"


@label.register
def _(step: Explain, names: Mapping[str, str], share: float = 1.0) -> str:
    del share
    return f"score {names.get(step.subject.key, '')} (saliency maps)"


@label.register
def _(step: Measure, names: Mapping[str, str], share: float = 1.0) -> str:
    del share
    return f"score {names.get(step.subject.key, '')} ({step.metric})"
