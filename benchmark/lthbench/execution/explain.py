"""Doing ``Explain``: saliency maps of a network."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lthbench import registry
from lthbench.data import loading
from lthbench.execution.verbs import Course, do, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.functional import saliency
from lthbench.inference.predict import ready
from lthbench.kinds import Architecture
from lthbench.spec import Explain, Step, network_of
from lthbench.store.artifacts import LOGITS, MAPS

runs_plugins.register(Explain, lambda step: True)


@do.register
def _(step: Explain, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    """For the labels, and for what the dense parent predicts."""
    del together, course
    started = time.monotonic()
    logits = LOGITS.read(space.store, step.predicted).logits
    images = loading.shown(step.inputs, space.places)
    layer = registry.get(Architecture, network_of(step).architecture).layer
    model = ready(space.network(step.subject), space.device)
    # Not-a-number counts as the largest value: a broken parent's classes are as good as any.
    found = saliency.explain(model, layer, images, logits.argmax(1))
    space.store.put(step, {MAPS.name: MAPS.encode(found)}, space.meta(started))
    return {}
