"""Doing ``Predict``: networks pass over images, several over the same at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from lthbench.compute.room import no_room
from lthbench.execution.verbs import Course, alike, do
from lthbench.execution.workspace import Workspace
from lthbench.inference.predict import passed, predict, ready, shared
from lthbench.kinds import Logits
from lthbench.spec import Predict, Step, network_of
from lthbench.store.artifacts import LOGITS, Passed
from lthbench.training.packing import tidy


@do.register
def _(step: Predict, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    del step, course
    _pass([s for s in together if isinstance(s, Predict)], space)
    return {}


@alike.register
def _(step: Predict, other: Step) -> bool:
    """Networks of one shape on the same images."""
    if not isinstance(other, Predict):
        return False
    return step.inputs == other.inputs and network_of(step) == network_of(other) and shared(step.inputs)


def _pass(steps: Sequence[Predict], space: Workspace) -> None:
    """Networks on the same images. Where the device has no room for all, they pass in halves."""
    started, found = time.monotonic(), None
    try:
        found = _logits(steps, space)
    except RuntimeError as error:
        if len(steps) == 1 or not no_room(error):
            raise
    if found is None:  # not in the handler, which would keep what was in memory
        space.forget()
        tidy()
        for part in (steps[: len(steps) // 2], steps[len(steps) // 2 :]):
            _pass(part, space)
        return
    began = time.monotonic() - (time.monotonic() - started) / len(steps)
    facts = {"stack": len(steps)} if len(steps) > 1 else {}
    for step, logits in zip(steps, found, strict=True):
        flat = logits.values.reshape(-1, logits.values.shape[-1])
        notes = {**logits.notes, "constant": float(np.ptp(flat, axis=0).max() == 0.0)}
        files = {LOGITS.name: LOGITS.encode(Passed(logits.values, logits.labels))}
        space.store.put(step, files, space.meta(began, notes=notes, **facts))


def _logits(steps: Sequence[Predict], space: Workspace) -> list[Logits]:
    subjects, inputs = [step.subject for step in steps], steps[0].inputs
    if shared(inputs):
        return passed(space.forward(subjects), space.device, inputs, space.places, space.store.sets)
    models = [ready(space.network(subject), space.device) for subject in subjects]
    return predict(models, inputs, space.places)
