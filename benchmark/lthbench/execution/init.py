"""Doing ``Init``: weights drawn from a seed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lthbench.execution.verbs import Course, do
from lthbench.execution.workspace import Workspace
from lthbench.spec import Init, Step


@do.register
def _(step: Init, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    del together, course
    started = time.monotonic()
    space.publish_weights(step, space.built(step), started)
    return {}
