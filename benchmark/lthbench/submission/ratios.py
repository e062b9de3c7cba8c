"""Whether scores in a bundle follow from others there, where that can be computed.

The mean corruption error is the mean, over corruptions, of a network's error over that of its dense parent. A
verdict reads both, and calibrations the errors alone.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from lthbench.errors import BadInput
from lthbench.planning.plan import Plan
from lthbench.spec import Measure
from lthbench.store.artifacts import SCORES
from lthbench.store.base import ResultReader

#: What the names of corrupted images begin with among the inputs of a measure.
_CORRUPTED = "corrupted/"


def check(made: Plan, results: ResultReader) -> None:
    """Raise BadInput for a mean corruption error, or mean error, that is not that of its corruptions."""
    parents = {e.seed: e for e in made.entries if e.method == "dense"}
    for entry in made.entries:
        for measure, parent in zip(entry.measures, parents[entry.seed].measures, strict=True):
            if measure.metric == "mce" and results.has(measure) and results.has(parent):
                wrong = _fault(measure, _values(results, measure), _values(results, parent))
                if wrong:
                    network = f"{entry.method} at {entry.sparsity:g}, seed {entry.seed}"
                    raise BadInput(f"results: {wrong} of {network}, does not follow from its corruptions.")


def _values(results: ResultReader, measure: Measure) -> dict[tuple[str, str], Any]:
    """What a measure tells, by score and variant."""
    return {(v["score"], v["variant"]): v["value"] for v in SCORES.read(results, measure)["values"]}


def _fault(measure: Measure, own: dict[tuple[str, str], Any], dense: dict[tuple[str, str], Any]) -> str:
    """What does not follow, or ""."""
    kinds = [name.removeprefix(_CORRUPTED) for name, _ in measure.inputs if name.startswith(_CORRUPTED)]
    errors = [(own.get(("corruption_error", k)), dense.get(("corruption_error", k))) for k in kinds]
    ours, theirs = ([e for e in side if e is not None] for side in zip(*errors, strict=True))
    if min(len(ours), len(theirs)) < len(kinds):
        return "the error under a corruption is missing; the mean"
    mean = own.get(("corruption_error", ""))
    if mean is None or not math.isclose(mean, fmean(ours), rel_tol=1e-6, abs_tol=1e-9):
        return "the corruption error"
    ratio = own.get(("mce", ""))
    if min(theirs) <= 0.0:
        return "" if ratio is None else "the mean corruption error"
    found = fmean(a / b for a, b in zip(ours, theirs, strict=True))
    return (
        "" if ratio is not None and math.isclose(ratio, found, rel_tol=1e-6) else "the mean corruption error"
    )
