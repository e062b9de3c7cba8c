"""Doing ``Given``: nothing can make a network again that was made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench.errors import StepFailed
from lthbench.execution.verbs import Course, do
from lthbench.execution.workspace import Workspace
from lthbench.spec import Given, Step


@do.register
def _(step: Given, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    del step, together, space, course
    raise StepFailed("a network made elsewhere is no longer in the store: score it again")
