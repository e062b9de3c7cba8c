"""Each part of a request checked, and filled in with the task's defaults. Pure.

A check returns what can be used, and puts what cannot into the ``Faults`` that it is given, so that all that
is wrong with a request is told at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from os import PathLike
from typing import Any, TypeGuard

from lthbench import corruptions as generated
from lthbench import registry
from lthbench.corruptions import official
from lthbench.errors import BadInput, shown, unknown
from lthbench.inference import image_sets
from lthbench.kinds import Bank, Dataset, Method, Metric
from lthbench.planning.task import Budget, Task
from lthbench.planning.variants import no_variant
from lthbench.registry import K

#: The greatest number of seeds of one request: a slip of the finger must not fill the memory.
MAX_SEEDS = 10_000


class Faults(list[str]):
    """What is wrong with a request, a sentence each."""

    def known(self, kind: type[K], name: str) -> K | None:
        """The entry of a name; None, and a fault, where there is none."""
        try:
            return registry.get(kind, name)
        except BadInput as error:
            self.append(str(error))
            return None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the faults of what is done inside; what raises them ends there."""
        try:
            yield
        except BadInput as error:
            self += str(error).split("\n")

    def tell(self) -> None:
        """Raise BadInput with all of them, each once, if there are any."""
        if self:
            raise BadInput("\n".join(dict.fromkeys(self)))


def listed(what: str, value: Any, kind: Any, plain: type[Any], noun: str) -> list[Any] | None:
    """An argument as a list. Raises BadInput for what is none, or holds values of no type of ``kind``."""
    if value is None:
        return None
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [None]
    if not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
        raise BadInput(f"{what}: expected a list of {noun}, got {value!r}.")
    return [plain(v) for v in values]


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether an argument is one whole number, of Python or of NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def text(what: str, value: Any) -> None:
    """Raise BadInput for an argument that is neither text nor left out."""
    if not isinstance(value, str | None):
        raise BadInput(f"{what}: expected a text, got {value!r}.")


def path(what: str, value: Any, noun: str) -> None:
    """Raise BadInput for an argument that is no path; ``noun`` says what it may be."""
    if not isinstance(value, str | PathLike):
        raise BadInput(f"{what}: expected {noun}, got {shown(value)}.")


def pixels(expected: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A mean and a standard deviation for each channel: of lists, arrays or tensors. Raises BadInput."""
    try:
        mean, std = expected
    except (TypeError, ValueError) as error:
        raise BadInput(
            "normalization: a mean and a standard deviation for each channel are needed, and nothing else."
        ) from error
    plain = (v.tolist() if hasattr(v, "tolist") else v for v in (mean, std))
    mean, std = (listed(n, v, Real, float, "numbers") for n, v in zip(("mean", "std"), plain, strict=True))
    return tuple(mean or ()), tuple(std or ())


def methods(names: Iterable[str], faults: Faults) -> tuple[str, ...]:
    """The full names of methods and their variants, as asked for by name, alias or path, with ``:variant``.

    The dense network is in every table, and no method of it.
    """
    found = dict.fromkeys(_method(name, faults) for name in names)
    return tuple(name for name in found if name != "dense")


def _method(name: str, faults: Faults) -> str:
    base, _, variant = name.partition(":")
    method = faults.known(Method, base)
    if method is None:
        return name
    if variant and variant not in method.variants:
        faults.append(no_variant(method, variant))
    return f"{method.name}:{variant}" if variant else method.name


def metrics(names: Sequence[str] | None, task: Task, faults: Faults) -> tuple[str, ...]:
    """The names of the metrics asked for; of the usual ones (None) those that the task's data sets allow.

    Names that begin with a minus sign leave these out of the usual ones.
    """
    left_out = [name.removeprefix("-") for name in names or () if name.startswith("-")]
    if left_out and len(left_out) < len(names or ()):
        other = next(name for name in names or () if not name.startswith("-"))
        faults.append(
            f"metrics: -{left_out[0]} is to be left out of the usual ones, and {other} to be measured; "
            "give those to leave out, or those to measure."
        )
    usual = names is None or bool(left_out)
    out = [m.name for m in (faults.known(Metric, name) for name in left_out) if m is not None]
    named = [m.name for m in registry.every(Metric) if m.usual and m.name not in out] if usual else names
    chosen = [m for m in (faults.known(Metric, name) for name in named or ()) if m is not None]
    trained_on, *others = [faults.known(Dataset, name) for name in (task.data.dataset, *task.data.ood)]
    if trained_on is not None and any("ood" in m.needs for m in chosen):
        faults += filter(None, (_unlike(trained_on, other) for other in others if other is not None))
    unfit = {m.name: list(_unfit(m, task, trained_on)) for m in chosen}
    if usual:
        shown = [m for m in chosen if task.data.concepts is not None or not image_sets.of_concepts(m)]
        chosen = [m for m in shown if not unfit[m.name]]
    else:
        faults += [why for reasons in unfit.values() for why in reasons]
    if task.data.concepts is not None:
        faults.known(Bank, task.data.concepts)
    for metric in chosen:
        if metric.package and importlib.util.find_spec(metric.package) is None:
            how = f"pip install 'lthbench[{metric.extra}]'" if metric.extra else "install it"
            faults.append(f"metric {metric.name} needs the package {metric.package}: {how}")
    found = dict.fromkeys(m.name for m in chosen)
    if any(m.scores[0].group == "interpretability" for m in chosen) and "accuracy" not in found:
        return ("accuracy", *found)  # what gates them: see ``table``
    return tuple(found)


def _unfit(metric: Metric, task: Task, trained_on: Dataset | None) -> Iterator[str]:
    """Why a metric cannot be measured of a task's networks.

    Some that are usual only where there is a bank of concepts can be asked for without one.
    """
    if trained_on is not None:
        for split in sorted({s.split for s in image_sets.asked_by(metric)} - trained_on.splits.keys()):
            yield f"metric {metric.name} needs {split} images; {trained_on.name} has none."
    if "ood" in metric.needs and not task.data.ood:
        why = f"task {task.name} has none; name some with --ood"
        yield f"metric {metric.name} needs out-of-distribution images: {why}."
    if task.data.concepts is None and "concepts" in metric.looks:
        why = f"task {task.name} has none; name one with --concepts"
        yield f"metric {metric.name} needs a bank of concepts: {why}."


def _unlike(trained_on: Dataset, other: Dataset) -> str:
    """Why images of another data set cannot be told apart from those that a network is trained on, or ""."""
    if other.name == trained_on.name:
        return f"data set {other.name} is what is trained on: it is not out of distribution."
    if "test" not in other.splits:
        return f"data set {other.name} has no test images to tell apart."
    shapes = [f"{d.channels} x {d.size} x {d.size}" for d in (other, trained_on)]
    if shapes[0] != shapes[1]:
        return f"data set {other.name} has images of {shapes[0]}, {trained_on.name} of {shapes[1]}."
    return ""


def budget(name: str, task: Task, faults: Faults) -> None:
    """That the task has a budget, and that there are the corruptions that it names."""
    budgets: dict[str, Budget] = task.budgets()
    if name not in budgets:
        faults.append(f"task {task.name}: {unknown('budget', name, budgets)}")
        return
    shown = budgets[name].evaluate
    there = official.KINDS if shown.corruption_source == "official" else generated.every()
    for kind in shown.corruptions:
        if kind not in there:
            faults.append(f"task {task.name}: {unknown('corruption', kind, there)}")


def densities(
    sparsities: Sequence[float] | None, rounds: Sequence[int] | None, task: Task, faults: Faults
) -> tuple[float, ...]:
    """Shares of the weights that stay, the largest first: of the sparsities or the rounds asked for."""
    if sparsities is not None and rounds is not None:
        faults.append("give --sparsity or --rounds, not both.")
    found = set()
    for sparsity in sparsities or ():
        if 0.0 < sparsity < 1.0 and 0.0 < task.on_grid(sparsity) < 1.0:  # as rounded for keys, too
            found.add(task.on_grid(sparsity))
        else:
            faults.append(f"sparsity {sparsity:g} must lie between 0 and 1 (the share of weights removed).")
    for n in task.grid.rounds if rounds is None and sparsities is None else rounds or ():
        if 1 <= n <= task.grid.max_rounds:
            found.add(task.density(n))
        else:
            faults.append(f"round {n} must be 1..{task.grid.max_rounds} for task {task.name}.")
    return tuple(sorted(found, reverse=True))


def seeds(asked: Sequence[int] | int, faults: Faults) -> tuple[int, ...]:
    """The seeds asked for, each once: as many from 0 on, or those listed."""
    drawn = tuple(range(min(asked, MAX_SEEDS + 1)) if isinstance(asked, int) else dict.fromkeys(asked))
    if not drawn or min(drawn) < 0:
        faults.append("at least one seed is needed, and none below 0.")
    elif len(drawn) > MAX_SEEDS or max(drawn) >= 2**63:
        faults.append(f"at most {MAX_SEEDS:,} seeds can be used, and none above {2**63 - 1}.")
    return drawn
