"""Doing a step, whatever its verb: one function, with which each verb's file registers itself.

A new verb is a record in ``spec``, a file in this folder that registers ``do`` (and of the others below what
is not so by default), and its name among the imports of ``runner``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch

from lthbench import registry
from lthbench.execution.workspace import Workspace
from lthbench.kinds import Architecture
from lthbench.spec import Step, network_of
from lthbench.training.savepoints import SAVE_EVERY


@dataclass
class Course:
    """What a run's other steps, and its user, mean for the step in hand.

    ``among`` are all steps to do; ``stopped`` says whether to leave off; trainings are kept on the way each
    ``save_every`` seconds. ``took`` is written: seconds of trainings by key, those before they were left too.
    """

    among: Sequence[Step] = ()
    stopped: Callable[[], bool] = lambda: False
    save_every: float = SAVE_EVERY
    took: dict[str, float] = field(default_factory=dict)


@singledispatch
def do(step: Step, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    """Do a step, and those ``together`` with it (it is the first of them), and publish what they give.

    Returns why some failed, by key. What fails all of them is raised.
    """
    raise NotImplementedError(f"no verb {type(step).__name__}")


@singledispatch
def alike(step: Step, other: Step) -> bool:
    """Whether another step can be done together with this one."""
    del step, other
    return False


@singledispatch
def in_full(step: Step) -> bool:
    """Whether float32 is computed in full: TensorFloat-32, where a GPU has it, is for training alone."""
    del step
    return True


@singledispatch
def runs_plugins(step: Step) -> bool:
    """Whether doing a step runs the code of plug-ins: whatever that raises fails the step, not the run.

    A network's own is such code where its architecture does not ship.
    """
    return not registry.ships(Architecture, network_of(step).architecture)
