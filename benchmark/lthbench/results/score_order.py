"""The scores of a set of metrics, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lthbench import registry
from lthbench.inference import image_sets
from lthbench.kinds import Dataset, Metric, Score
from lthbench.kinds.scores import GROUPS
from lthbench.verdict.aspect import Aspect


def scores_of(metric: Metric, classes: int) -> tuple[Score, ...]:
    """The scores of a metric as a task of so many classes judges them: not those that ask for more."""
    return tuple(
        s
        if classes >= s.fewest_classes
        else Score(s.name, s.title, s.unit, s.higher_is_better, s.low, s.high, s.group)
        for s in metric.scores
    )


def aspects(metrics: tuple[str, ...], classes: int = 0) -> list[Aspect]:
    """The scores that LTH-PASS asks for on a task of so many classes, among those of these metrics."""
    return [
        Aspect(
            s.name,
            s.title,
            s.higher_is_better,
            s.slack,
            s.spread_of,
            s.margin,
            s.relative_margin,
            s.margin_reason,
        )
        for s in scores(metrics, classes)
        if s.verdict
    ]


def scores(metrics: tuple[str, ...], classes: int = 0) -> list[Score]:
    """All scores of these metrics on a task of so many classes, in the order in which they are shown."""
    records = sorted((registry.get(Metric, name) for name in metrics), key=_place)
    found = [s for record in records for s in scores_of(record, classes)]
    return sorted(found, key=lambda s: not s.verdict)


def lacking(task: Mapping[str, Any], measured: Collection[str], classes: int = 0) -> tuple[str, ...]:
    """The titles of scores that LTH-PASS asks for on a task, as a file has it, and that were not measured.

    They are those of metrics that are measured without being asked for. Where the file does not say how many
    ``classes`` there are (0), it is those of the data set; none of one that is not known here. The file may
    be anybody's: what it names is looked up among names, and no path of it is read.
    """
    data = task.get("data")
    data = data if isinstance(data, Mapping) else {}
    if not classes:
        dataset = registry.known(Dataset, str(data.get("dataset")))
        if dataset is None:
            return ()
        classes = len(dataset.classes)
    usual = [m for m in registry.every(Metric) if m.usual]
    if data.get("concepts") is None:
        usual = [m for m in usual if not image_sets.of_concepts(m)]
    every = aspects(tuple(m.name for m in usual), classes)
    return tuple(a.title for a in every if a.score not in measured)


#: The metrics that come first in their group, on pages and in tables.
_FIRST = ("accuracy", "mce", "fgsm", "ood", "ece", "nll")


def _place(metric: Metric) -> tuple[int, int, str]:
    group = metric.scores[0].group
    first = _FIRST.index(metric.name) if metric.name in _FIRST else len(_FIRST)
    return (GROUPS.index(group) if group in GROUPS else len(GROUPS), first, metric.name)
