"""Doing ``Rewind``: the same training again, stopped at the epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from lthbench.errors import StepFailed
from lthbench.execution.verbs import Course, do, in_full
from lthbench.execution.workspace import Workspace
from lthbench.spec import Rewind, Step
from lthbench.training.packing import in_stacks

in_full.register(Rewind, lambda step: False)


@do.register
def _(step: Rewind, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    """The weights are those that the training passed through."""
    del together, course
    started, whole = time.monotonic(), step.train
    if step.epoch == whole.first_epoch:
        space.publish_weights(step, space.network(whole.start), started)
        return {}
    make, images = partial(space.member, whole), space.training_images(whole)
    for made, result, _ in in_stacks([make], images, whole.recipe, whole.first_epoch, step.epoch):
        if isinstance(result, StepFailed):
            raise result
        assert made is not None
        space.publish_weights(step, made.model, started)
    return {}
