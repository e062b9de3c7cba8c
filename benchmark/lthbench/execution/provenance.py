"""Whether code and data here are those that stand in the keys of steps: a result belongs to what made it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lthbench import registry
from lthbench.corruptions import official
from lthbench.data import concepts, loading
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Bank, Dataset, Method, Metric
from lthbench.planning.reads import Read, reads
from lthbench.spec import Measure, Prune, Step, network_of

#: Looking takes no more than this share of the time: data sets of a million files are not looked at each job.
SHARE = 0.01

_look_again: dict[tuple[Read, tuple[Path, ...]], float] = {}  # when


def check(steps: Iterable[Step], places: tuple[Path, ...]) -> None:
    """Raise BadInput where a plug-in or a data set is another one here than when the steps were planned."""
    wanted = list(steps)
    for kind, name, version in dict.fromkeys(part for step in wanted for part in _code(step)):
        here = registry.version(kind, name)
        if here != str(version):
            raise BadInput(
                f"{kind.__name__.lower()} {name}: is version {here} here, and was {version} when the run was "
                "planned: its file was changed, or this machine has another. Run the command again."
            )
    for read in {_source(read) for step in wanted for read in reads(step)}:
        _check_source(read, places)


def _code(step: Step) -> Iterator[tuple[type, str, int | str]]:
    """The plug-ins that a step runs, with the versions that stand in its key."""
    if isinstance(step, Prune):
        yield Method, step.criterion, step.criterion_version
    if isinstance(step, Measure):
        yield Metric, step.metric, step.metric_version
    network = network_of(step)  # each step builds it
    yield Architecture, network.architecture, network.version


def _source(read: Read) -> Read:
    """What is read, without what is made of it here."""
    if read.view.startswith((official.PREFIX, concepts.PREFIX)):
        return read._replace(split="")
    return Read(read.data, "")


def _check_source(read: Read, places: tuple[Path, ...]) -> None:
    at, started = (read, places), time.monotonic()
    if started < _look_again.get(at, 0.0):
        return
    _look_again.pop(at, None)
    name = read.data.name
    if read.view.startswith(official.PREFIX):
        dataset, kind = registry.get(Dataset, name), read.view.removeprefix(official.PREFIX)
        here = official.identify(dataset, kind, read.strengths, places)
        same = here == read.data
    elif read.view.startswith(concepts.PREFIX):
        name, _, digest = read.view.removeprefix(concepts.PREFIX).partition("/")
        bank = registry.get(Bank, name)
        name, same = f"of concepts {name}", concepts.identify(bank, places).digest == digest
        same = same and loading.identify(read.data.name, places) == read.data
    else:
        same = loading.identify(name, places) == read.data
    if not same:
        raise BadInput(
            f"data set {name} is another one here than when the run was planned: its files were replaced, or "
            "this machine has others. Run the command again; all machines must see the same images."
        )
    now = time.monotonic()
    _look_again[at] = now + (now - started) / SHARE
