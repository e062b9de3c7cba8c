"""What a run will be able to decide: said by ``plan``, and before a run begins."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lthbench.planning.plan import Plan
    from lthbench.planning.request import Request
    from lthbench.verdict.foresight import Foresight


def of_plan(made: Plan) -> Foresight | None:
    """What a plan's seeds can decide; None where there is no score of the verdict or no pruned network."""
    from lthbench.results.run_facts import dense_keys
    from lthbench.results.score_order import aspects
    from lthbench.verdict import calibration
    from lthbench.verdict.foresight import foresee

    request = made.request
    asked = aspects(request.metrics, request.classes)
    scores = [a.score for a in asked]
    if not scores or not request.methods:
        return None
    found = calibration.beside(request.task.name, request.budget, request.task_as_typed)
    found = found or calibration.shipped(request.task.name, request.budget)
    fitting, _ = calibration.fitting(found, dense_keys(made), asked, request.seeds)
    return foresee(fitting, scores, len(request.seeds), _unfit(made) if found and fitting is None else "")


def _unfit(made: Plan) -> str:
    """Why a calibration that there is does not count for this plan."""
    from lthbench.data.loading import MISSING

    if any(data.digest == MISSING for data in made.sources):
        return (
            "a calibration is there, and counts if it is of the same images, which shows when they are here; "
            "without it, "
        )
    return "the calibration that is there is of other images, another start or other versions; "


def in_words(made: Plan, found: Foresight, data: Path | str | None = None) -> str:
    """The same in a sentence; ``data`` is the folder that the command names."""
    from lthbench.report import heads
    from lthbench.results.score_order import aspects
    from lthbench.verdict.foresight import text

    request = made.request
    titles = {a.score: heads.plain(a.title) for a in aspects(request.metrics, request.classes)}
    return text(found, lambda s: titles.get(s, s), _calibrate(request, data))


def _calibrate(request: Request, data: Path | str | None) -> str:
    """The command that calibrates the task; "" for pretrained weights, which no calibration begins with."""
    if request.pretrained is not None:
        return ""
    record = request.record()
    parts: dict[str, str | None] = {
        "task": request.task_as_typed or request.task.name,
        "budget": request.budget,
        "ood": ",".join(record.ood) if record.ood else None,
        "concepts": record.concepts,
        "corruptions": record.corruptions,
        "data": None if data is None else str(data),
    }
    files = sorted({plugin.file for plugin in record.plugins if plugin.kind != "method"})
    said = "".join(f" --{option} {shlex.quote(value)}" for option, value in parts.items() if value)
    return f"lthbench calibrate{said}{''.join(f' --plugin {shlex.quote(file)}' for file in files)}"
