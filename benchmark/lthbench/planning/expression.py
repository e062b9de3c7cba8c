"""Steps written out as people read them."""

from __future__ import annotations

from collections.abc import Mapping

from lthbench.spec import Given, Init, Prune, Rewind, Step, Train


def written(step: Step, names: Mapping[str, str] | None = None) -> str:
    """A network or mask as the expression that makes it: ``train(rewind(dense seed 0, epoch 1), ...)``.

    ``names`` are what networks and masks before it are called, by key; those are not written out further.
    """
    names = names or {}

    def inner(part: Step) -> str:
        return names[part.key] if part.key in names else written(part, names)

    if isinstance(step, Init):
        return f"init({step.network.architecture}, seed {step.seed})"
    if isinstance(step, Given):
        kept = "" if step.density is None else f", density {step.density:.6g}"
        return f"given({step.network.architecture}, digest {step.digest[:12]}{kept})"
    if isinstance(step, Rewind):
        return f"rewind({inner(step.train)}, epoch {step.epoch})"
    if isinstance(step, Prune):
        shared = f", {step.allocation}" if step.allocation else ""
        return f"prune({inner(step.given)}, {step.criterion}, density {step.density:.6g}{shared})"
    if isinstance(step, Train):
        mask = f", mask {written(step.mask, names)}" if step.mask is not None else ""
        rewired = ", rewired" if step.rewire is not None else ""
        return f"train({inner(step.start)}, {step.recipe.epochs} epochs, seed {step.seed}{mask}{rewired})"
    return step.key
