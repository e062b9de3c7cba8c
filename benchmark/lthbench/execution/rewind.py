"""Doing ``Rewind``: the same training again, stopped at the epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from lthbench.errors import StepFailed
from lthbench.execution.verbs import Course, do, in_full
from lthbench.execution.workspace import Workspace
from lthbench.spec import Rewind, Step
from lthbench.training import savepoints
from lthbench.training.loop import Member
from lthbench.training.optimization import Trained
from lthbench.training.packing import in_stacks
from lthbench.training.savepoints import Keeper

in_full.register(Rewind, lambda step: False)


@do.register
def _(step: Rewind, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    """The weights are those that the training passed through. It is kept on the way as one of its own is."""
    del together
    started, whole = time.monotonic(), step.train
    if step.epoch == whole.first_epoch:
        space.publish_weights(step, space.network(whole.start), started)
        return {}
    point = savepoints.of(step, space.store)
    spent = point.seconds if point else 0.0
    keeper = Keeper(space.store, step.epoch, 1, course.stopped, course.save_every)

    def passed(epoch: int, model: nn.Module, so_far: Callable[[], Trained]) -> None:
        keeper.passed(step, epoch, model, so_far, spent)

    def make() -> Member:
        made = space.member(whole)
        if point:
            savepoints.resume(point, made.model)
        return replace(made, after_epoch=passed, so_far=point.so_far if point else None)

    images = space.training_images(whole)
    epochs = whole.recipe, whole.first_epoch, step.epoch
    for made, result, seconds in in_stacks([make], images, *epochs, pauses=keeper.pauses):
        course.took[step.key] = seconds + spent
        if isinstance(result, StepFailed):
            raise result
        assert made is not None
        facts: dict[str, Any] = {"resumed_after": len(point.so_far.losses)} if point else {}
        space.publish_weights(step, made.model, time.monotonic() - course.took[step.key], **facts)
        if point or step.key in keeper.saved:
            space.store.unsave(step.key)
    return {}
