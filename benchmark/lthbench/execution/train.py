"""Doing steps of training: members out of steps, savepoints on the way, and weights published."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from lthbench import masks
from lthbench.errors import StepFailed
from lthbench.execution.verbs import Course, alike, do, in_full
from lthbench.execution.workspace import Workspace
from lthbench.spec import Rewind, Step, Train, trains_alike
from lthbench.store.artifacts import MASK
from lthbench.training import savepoints
from lthbench.training.loop import Member
from lthbench.training.optimization import Trained
from lthbench.training.packing import in_stacks
from lthbench.training.savepoints import Keeper, Savepoint

in_full.register(Train, lambda step: False)


@do.register
def _(step: Train, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    del step
    return Trainer(space, course).train([s for s in together if isinstance(s, Train)])


@alike.register
def _(step: Train, other: Step) -> bool:
    """Trainings of a stack."""
    return isinstance(other, Train) and trains_alike(step) == trains_alike(other)


class Trainer:
    """Trains on a course. A ``Rewind`` that is among the steps to do is taken from its training on the way.

    After each epoch the course is asked whether to stop.
    """

    def __init__(self, space: Workspace, course: Course):
        self._space, self._course = space, course
        self._rewinds: dict[str, list[Rewind]] = {}
        for step in course.among:
            if isinstance(step, Rewind):
                self._rewinds.setdefault(step.train.key, []).append(step)

    def train(self, steps: Sequence[Train]) -> dict[str, str]:
        """Train what is alike and publish what it passes through. Returns why some failed, by key.

        What was left on its way goes on from there, together with what was left after as many epochs.
        Raises Paused where it is stopped.
        """
        saved = {step.key: savepoints.of(step, self._space.store) for step in steps}
        done = {key: len(point.so_far.losses) if point else 0 for key, point in saved.items()}
        failed: dict[str, str] = {}
        for epochs in sorted(set(done.values())):
            alike = [step for step in steps if done[step.key] == epochs]
            failed |= self._together([(step, saved[step.key]) for step in alike])
        return failed

    def _together(self, steps: Sequence[tuple[Train, Savepoint | None]]) -> dict[str, str]:
        """Train what is alike and has done as many epochs."""
        space, course, first = self._space, self._course, steps[0][0]
        images = space.training_images(first)
        keeper = Keeper(space.store, first.recipe.epochs, len(steps), course.stopped, course.save_every)
        makers = [partial(self._member, step, point, keeper) for step, point in steps]
        trained = in_stacks(makers, images, first.recipe, first.first_epoch, pauses=keeper.pauses)
        failed: dict[str, str] = {}
        for (step, point), (made, result, seconds) in zip(steps, trained, strict=True):
            course.took[step.key] = seconds + (point.seconds if point else 0.0)
            if isinstance(result, StepFailed):
                failed[step.key] = str(result)
                continue
            assert made is not None
            facts: dict[str, Any] = {"stack": len(steps)} if len(steps) > 1 else {}
            if point:
                facts["resumed_after"] = len(point.so_far.losses)
            self._publish(step, made.model, result, course.took[step.key], facts)
            if point or step.key in keeper.saved:
                space.store.unsave(step.key)
        return failed

    def _member(self, step: Train, point: Savepoint | None, keeper: Keeper) -> Member:
        """What to train, as it was at first, or as it was left."""
        wanted = {rewind.epoch: rewind for rewind in self._rewinds.get(step.key, ())}
        spent = point.seconds if point else 0.0

        def passed(epoch: int, model: nn.Module, so_far: Callable[[], Trained]) -> None:
            if epoch in wanted:
                self._space.publish_weights(wanted[epoch], model, keeper.started)
            keeper.passed(step, epoch, model, so_far, spent)

        made = self._space.member(step)
        if point:
            savepoints.resume(point, made.model)
        elif step.first_epoch in wanted:
            self._space.publish_weights(wanted[step.first_epoch], made.model, keeper.started)
        return replace(made, after_epoch=passed, so_far=point.so_far if point else None)

    def _publish(
        self, step: Train, model: nn.Module, result: Trained, seconds: float, facts: dict[str, Any]
    ) -> None:
        files: dict[str, bytes] = {}
        if step.rewire is not None and result.mask is not None:
            files = {MASK.name: MASK.encode(result.mask)}
            facts = facts | masks.counted(result.mask, masks.prunable(model))
        began = time.monotonic() - seconds
        self._space.publish_weights(step, model, began, files, losses=result.losses, **facts)
