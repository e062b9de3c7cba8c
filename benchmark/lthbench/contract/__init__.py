"""What every plug-in promises, as checks that anybody can run on their own (``lthbench check``).

A check is a function whose docstring says what is promised; it raises ``Broken`` with what was found instead.
lthbench's own tests run the same checks on everything that ships.
"""

from __future__ import annotations

import linecache
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lthbench import registry
from lthbench.contract.broken import Broken, Skipped
from lthbench.errors import BadInput, LthbenchError, PluginWarning
from lthbench.global_state import kept
from lthbench.kinds import Architecture, Bank, Dataset, Method, Metric

KINDS: dict[type[Any], str] = {
    Architecture: "architecture",
    Bank: "bank of concepts",
    Dataset: "data set",
    Method: "method",
    Metric: "metric",
}


@dataclass(frozen=True)
class Finding:
    """What came of one check: ``state`` is ok, FAILED or skipped, ``text`` why."""

    kind: str
    name: str
    promise: str
    state: str
    text: str = ""


Check = Callable[[], None]


def check(target: str, scratch: Path, places: tuple[Path, ...] | None = None) -> Iterator[Finding]:
    """Check a plug-in's file, or one that is installed, by name. Raises BadInput where there is none.

    ``scratch`` is an empty folder; what is trained to try a method or a metric goes there. ``places`` are
    where data is looked for (None: in the usual folders).
    """
    try:
        targets = _targets(target)
    except BadInput as error:
        if not Path(target).is_file():
            raise
        yield Finding("file", target, "can be imported, and defines a plug-in", "FAILED", str(error))
        return
    for kind, name in targets:
        noun = KINDS[kind]
        try:
            record = registry.get(kind, name)
        except LthbenchError as error:
            yield Finding(noun, name, "can be imported, and is called as it says", "FAILED", str(error))
            continue
        yield Finding(noun, record.name, "can be imported, and is called as it says", "ok")
        for promise, one in _checks(kind, record, name, scratch, places):
            yield _finding(noun, record.name, promise, one)


def _targets(target: str) -> list[tuple[type[Any], str]]:
    """The kinds of plug-in that a file defines, or that have a name."""
    if registry.is_path(target):
        found = registry.kinds_in(Path(target))
        return [(kind, target) for kind in KINDS if kind in found]
    named = [(kind, target) for kind in KINDS if target in registry.names(kind)]
    if not named:
        raise BadInput(f'no plug-in "{target}": give the path of a file, such as ./{target}.py, or a name.')
    return named


def _checks(
    kind: type[Any], record: Any, name: str, scratch: Path, places: tuple[Path, ...] | None
) -> Iterator[tuple[str, Check]]:
    """The checks of a plug-in, each with what it promises."""
    from lthbench.contract import architectures, banks, datasets, records, trials

    def promised(check: Callable[..., None], *given: Any) -> tuple[str, Check]:
        return _promise(check), partial(check, *given)

    yield promised(records.says_what_it_is, kind, record)
    yield promised(records.imports_nothing_heavy, kind, name)
    if kind is Architecture:
        yield from (promised(c, record) for c in architectures.CHECKS)
    elif kind is Dataset:
        yield from (promised(c, record, places) for c in datasets.CHECKS)
    elif kind is Bank:
        yield from (promised(c, record, places) for c in banks.CHECKS)
    elif kind is Method:
        for criterion in record.prunes_by():
            yield promised(trials.criterion_scores_every_prunable_weight, criterion)
        trial = trials.Trial(scratch, (name,), ("accuracy",))
        yield from (promised(c, trial, record.name) for c in trials.METHOD_CHECKS)
    else:
        trial = trials.Trial(scratch, ("omp",), tuple(dict.fromkeys((name, "accuracy"))))
        checks = (*trials.METRIC_CHECKS, *(trials.UNIT_CHECKS if record.units else ()))
        yield from (promised(c, trial, record.name) for c in checks)


def _promise(check: Callable[..., None]) -> str:
    """The first paragraph of a check's docstring, as it reads after the plug-in's name."""
    line = " ".join((check.__doc__ or check.__name__).split("\n\n")[0].split()).rstrip(".")
    return line[0].lower() + line[1:]


def _finding(noun: str, name: str, promise: str, one: Check) -> Finding:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PluginWarning)
            with kept(f"{noun} {name}"):
                one()
    except Skipped as reason:
        return Finding(noun, name, promise, "skipped", str(reason))
    except (Broken, LthbenchError, PluginWarning) as error:
        return Finding(noun, name, promise, "FAILED", str(error))
    except Exception as error:  # a plug-in may raise anything
        return Finding(noun, name, promise, "FAILED", _told(error))
    return Finding(noun, name, promise, "ok")


def _told(error: Exception) -> str:
    """An exception with the last line of the plug-in that it came through."""
    ours = Path(__file__).resolve().parents[1]
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if ours not in Path(f.filename).resolve().parents
    ]
    text = f"{type(error).__name__}: {error}"
    if frames:
        own = next((f for f in frames if "site-packages" not in f.filename), frames[0])
        line = linecache.getline(own.filename, own.lineno or 0).strip()
        text += f"\n{own.filename}:{own.lineno}: {line}"
    return text
