"""The scores of a table as ``run.json`` has them: how each is read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from lthbench import registry
from lthbench.kinds import Metric
from lthbench.results.score_order import scores


@dataclass(frozen=True)
class ScoreFacts:
    """A score of the table, and how to read it: the fields of ``kinds.Score``; None is no bound.

    ``rival`` and ``nulls`` are those of its metric: whether what stands for dense is another dense network,
    and whether untrained networks were measured, too.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    low: float | None
    high: float | None
    group: str
    verdict: bool = False
    slack: float = 0.0
    spread_of: str = ""
    margin: float = 0.0
    relative_margin: bool = False
    margin_reason: str = ""
    rival: bool = False
    nulls: bool = False


def score_facts(metrics: Collection[str], classes: int = 0) -> tuple[ScoreFacts, ...]:
    """The scores of metrics on a task of so many classes, in the order in which they are shown."""
    by_score = {s.name: m for m in (registry.get(Metric, name) for name in metrics) for s in m.scores}
    found = []
    for score in scores(tuple(metrics), classes):
        told = {f.name for f in dataclasses.fields(ScoreFacts)} - {"rival", "nulls"}
        parts = {name: _bounded(getattr(score, name)) for name in told}
        metric = by_score[score.name]
        found.append(ScoreFacts(**parts, rival=metric.rival, nulls=metric.nulls))
    return tuple(found)


def _bounded(value: Any) -> Any:
    return None if isinstance(value, float) and math.isinf(value) else value
