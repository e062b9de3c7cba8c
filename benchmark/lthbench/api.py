"""The verbs of the command line as functions: ``run`` and ``score``."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import data, fetch, registry, table, task
from lthbench.engines.local import Local
from lthbench.errors import BadInput, Damaged, unknown
from lthbench.estimate import Estimate, estimate, learned_rates
from lthbench.footprint import footprint
from lthbench.kinds import Dataset
from lthbench.plan import Plan, network, plan
from lthbench.progress import Course, listen, shares_done
from lthbench.remote import at
from lthbench.request import Request, request
from lthbench.spec import (
    Explain,
    Given,
    Measure,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    mask_keeper,
    round_density,
)
from lthbench.store import Store, sets_limit
from lthbench.transfer import room

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.engines.ray import OnRay
    from lthbench.given import Brought

DEFAULT_STORE = "lthbench-store"
ENGINES = ("local", "ray")
DEFAULT_REPORT = "lthbench-report"
#: The share of images out of distribution that may be training images: published sets share a few.
MAX_OVERLAP = 0.01


@dataclass(frozen=True)
class Outcome:
    """A run's results: the score table, the facts beside it, and why what failed did."""

    table: pd.DataFrame
    facts: dict[str, Any]
    failures: dict[str, str]


def run(
    task: str = "digits-r8",
    methods: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    rounds: Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    *,
    data: str | Path | None = None,
    store: str | Path = DEFAULT_STORE,
    device: str = "auto",
    report: str | Path | None = None,
    workers: int = 0,
    progress: str = "none",
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    engine: str = "local",
    address: str | None = None,
    stack: int = 0,
) -> pd.DataFrame:
    """Train, prune and score what is asked for, and return the score table (``lthbench.table.COLUMNS``).

    What the store already holds is not done again. ``workers`` 0 works in this process; more need a script
    that guards its start with ``if __name__ == "__main__"``. With ``report``, pages are written there.
    ``ood`` replaces the task's data sets out of distribution, ``concepts`` its bank of concepts. ``engine``
    ray runs on the Ray cluster at ``address``, or on one of this machine. Up to ``stack`` networks that are
    alike are trained as one (0: as many as pay on the device, 1: none). Raises BadInput for what cannot be
    used, before anything is written.
    """
    asked = ask(task, methods, sparsities, rounds, seeds, metrics, budget, ood, concepts)
    outcome = execute(
        asked, data, store, device, workers, progress, engine=engine, address=address, stack=stack
    )
    if report is not None:
        from lthbench.report import write

        write(outcome.table, outcome.facts, Path(report))
    return outcome.table


def score(
    model: Any,
    task: str = "digits-r8",
    *,
    dense: Any = None,
    mask: Any = None,
    name: str = "given",
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    data: str | Path | None = None,
    store: str | Path = DEFAULT_STORE,
    device: str = "auto",
    report: str | Path | None = None,
    workers: int = 0,
    progress: str = "none",
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    engine: str = "local",
    address: str | None = None,
    stack: int = 0,
) -> pd.DataFrame:
    """Score a network that was pruned elsewhere beside a dense parent, and return the score table.

    ``model`` is a module, a state dict, a path or the id of a repository of the Hugging Face hub, or a list
    of them: networks of several seeds. ``dense`` is the same for the parents; or one seed, or a list of
    seeds, whose dense networks are trained by the task's recipe (None: seeds 0, 1, ...). ``mask`` is a path
    or a mapping (or a list); None: masks in the file, or else the exact zeros. ``name`` stands for the
    method in the table. ``normalization`` is the mean and standard deviation by channel, for pixels from 0
    to 1, that the networks expect (None: what they hold themselves, or else the task's). The other arguments
    are those of ``run``. Raises BadInput, with an account of each tensor that does not match, before
    anything is written.
    """
    networks = (_several(model), _several(dense), _several(mask))
    asked, given = bring(task, name, *networks, normalization, metrics, budget, ood, concepts)
    places = (data, store, device)
    outcome = execute(
        asked, *places, workers, progress, engine=engine, address=address, brought=given, stack=stack
    )
    if report is not None:
        from lthbench.report import write

        write(outcome.table, outcome.facts, Path(report))
    return outcome.table


def bring(
    name: str,
    method: str,
    pruned: Sequence[Any],
    dense: Sequence[Any],
    masks: Sequence[Any],
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    typed: str = "",
) -> tuple[Request, Brought]:
    """The checked request for scoring networks pruned elsewhere, and these networks.

    ``dense`` holds seeds or networks; ``typed`` is the command line.
    """
    from lthbench import given

    seeds = [int(d) for d in dense if _is_seed(d)] if dense else list(range(len(pruned)))
    if dense and len(seeds) not in (0, len(dense)):
        raise BadInput("dense: give networks or seeds, not both.")
    parents = [] if seeds else list(dense)
    asked = ask(name, [], None, [], seeds or max(len(pruned), 1), metrics, budget, ood, concepts)
    given.check_name(method)
    both = None if normalization is None else (tuple(normalization[0]), tuple(normalization[1]))
    found = given.brought(
        method, network(asked.task), pruned, parents, masks, seeds or range(len(pruned)), both
    )
    shown = typed or f"lthbench.score(..., task={name!r}, name={method!r}, budget={asked.budget!r})"
    density = round_density(1.0 - found.sparsity)
    return dataclasses.replace(asked, methods=(method,), densities=(density,), typed=shown), found


def _several(given: Any) -> list[Any]:
    """One thing or a list of them as a list; none for None."""
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def _is_seed(given: Any) -> bool:
    return isinstance(given, int) or (
        isinstance(given, str) and given.isdecimal() and not Path(given).exists()
    )


def ask(
    name: str,
    methods: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    rounds: Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
) -> Request:
    """The checked request for a task by name or path."""
    return request(task.load(name), methods, sparsities, rounds, seeds, metrics, budget, name, ood, concepts)


def execute(
    asked: Request,
    folder: str | Path | None,
    store_folder: str | Path,
    device: str,
    workers: int,
    progress: str,
    announce: Callable[[Plan, list[Step], Estimate, int], None] = lambda plan, todo, estimate, workers: None,
    engine: str = "local",
    address: str | None = None,
    brought: Brought | None = None,
    stack: int = 0,
) -> Outcome:
    """Do what of a request the store does not hold. Data is read and checked before anything is written.

    Networks made elsewhere are ``brought``. ``stack`` is as for ``run``.
    """
    check_device(device)
    check_engine(engine, address, stack)
    if workers < 0:
        raise BadInput(f"workers: must not be negative, got {workers}.")
    places = checked_folders(folder)
    store = at(store_folder)
    store.check()
    sets_limit()
    made = plan(asked, places, elsewhere=brought.networks if brought else None)
    todo = missing(made, store)
    failures: dict[str, str] = {}
    if todo:
        check_data(todo, places)
        room(store, footprint(todo), "this run")
        with _connected(engine, address, workers, device, stack) as runs:
            store.open()
            if brought:
                brought.publish(store)
                todo = [s for s in todo if not isinstance(s, Given)]
            events = store.events()
            rates = learned_rates(events, runs.device)
            begun = shares_done(todo, store)
            guess = estimate(todo, events, runs.workers, runs.device, begun)
            announce(made, todo, guess, runs.workers)
            course = Course(todo, made.labels(), rates, runs.device, runs.workers, begun)
            with listen(course, progress) as listener:
                failures = runs.run(
                    todo, store, places, listener.done, listener.stopping, stepped=listener.stepped
                )
    else:
        announce(made, todo, estimate(todo, (), workers, "cpu"), workers)
    from lthbench import album

    facts = table.facts(made, store) | (brought.facts() if brought else {})
    pictures = album.saliency(made, store, places) + album.concepts(made, store, places)
    if pictures:
        facts["pictures"] = pictures
    return Outcome(table.build(made, store, failures), facts, failures)


def check_engine(engine: str, address: str | None, stack: int = 0) -> None:
    """Raise BadInput for an engine that there is not or is not installed. Imports none."""
    if stack < 0:
        raise BadInput(f"stack: must not be negative, got {stack}. 0 is as many as pay, 1 is none.")
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine != "ray" and address is not None:
        raise BadInput("--address is that of a Ray cluster: give --engine ray, too.")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise BadInput("engine ray needs the package ray: pip install 'lthbench[ray]'")


@contextmanager
def _connected(
    engine: str, address: str | None, workers: int, device: str, stack: int
) -> Iterator[Local | OnRay]:
    """What runs steps: on this machine, or on a cluster, which is left when it has done so."""
    if engine == "ray":
        from lthbench.engines.ray import connected

        with connected(address, workers or default_workers(), device, stack) as cluster:
            yield cluster
    else:
        found = resolve(device)
        yield Local(1 if found != "cpu" and workers else workers, found, stack)


def missing(made: Plan, store: Store) -> list[Step]:
    """The steps to do, in order: measures that the store does not hold whole, and what they need.

    What is read is compared with its hashes; a damaged artefact is put aside and its step done again.
    """
    wanted: dict[str, bool] = {}

    def ask(steps: Iterable[Step]) -> None:
        stack = list(steps)
        while stack:
            step = stack.pop()
            if step.key not in wanted:
                wanted[step.key] = not store.intact(step)
                if wanted[step.key]:
                    stack.extend(step.needs())

    ask(m for e in made.entries for m in e.scored())
    first = made.request.seeds[0]  # whose maps a report shows
    shown = (m for e in made.entries if e.seed == first for m in e.measures if m.maps)
    ask(n for m in shown for n in m.needs() if isinstance(n, Explain) and n.subject == m.subject)
    ask(keeper for e in made.entries if (keeper := mask_keeper(e.network)) is not None)
    ask(s for s in made.steps if s.key not in wanted and not _facts_readable(store, s))
    return [s for s in made.steps if wanted.get(s.key)]


def _facts_readable(store: Store, step: Step) -> bool:
    """False where a step is stored and its facts, which reports tell, are damaged."""
    try:
        return not store.has(step) or bool(store.meta(step))
    except Damaged:
        return False


def check_data(todo: Sequence[Step], places: tuple[Path, ...]) -> None:
    """Read all images that the steps will look at. Raises BadInput, naming the file, for a broken one.

    Of a set too large for memory only some are decoded: see ``data.check``. A set of strangers must not
    have been trained on: more than one image in a hundred in common is refused.
    """
    splits = set()
    for step in todo:
        if isinstance(step, Train):
            splits.add((step.data.name, "train"))
        elif isinstance(step, Rewind):
            splits.add((step.train.data.name, "train"))
        elif isinstance(step, Prune) and step.data is not None:
            splits.add((step.data.name, "train"))
        elif isinstance(step, Predict):
            splits.add((step.inputs.data.name, step.inputs.split))
        elif isinstance(step, Measure):
            shown = (*step.inputs, *(step.looks or ()), *(step.maps or ()))
            splits.update((i.data.name, i.split) for _, i in shown)
    try:
        for name, split in sorted(splits):
            data.check(name, split, places)
        trained_on = {name for name, split in splits if split == "train"}
        for known in trained_on:
            for stranger in sorted({name for name, _ in splits} - trained_on):
                share = data.overlap(known, stranger, places)
                if share > MAX_OVERLAP:
                    raise BadInput(
                        f"{100 * share:.0f} % of the images of {stranger} are training images of {known}: "
                        "what was trained on is not out of distribution. Give another data set for ood."
                    )
    finally:
        data.load.cache_clear()


def checked_folders(folder: str | Path | None) -> tuple[Path, ...]:
    """Where data is looked for. Raises BadInput for a folder given by the user that is not there."""
    for given, said in ((folder, "--data"), (os.environ.get("LTHBENCH_DATA"), "LTHBENCH_DATA")):
        if given and not Path(given).is_dir():
            raise BadInput(f"{said} {given}: no such folder.")
    return data.folders(folder)


def download(
    asked: Request, places: tuple[Path, ...], told: fetch.Told = lambda name, done, total: None
) -> list[str]:
    """Fetch the data sets of a request that are not there into the user's cache. Returns their names."""
    fetched = []
    for name in (asked.task.data.dataset, *asked.task.data.ood):
        dataset = registry.get(Dataset, name)
        if dataset.locate(places) is None:
            fetch.obtain(dataset, data.default_folder(), told)
            fetched.append(name)
    return fetched


def check_device(device: str) -> None:
    """Raise BadInput for what is not the name of a device. Does not import torch."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (":" in device and not (kind == "cuda" and index.isdigit())):
        raise BadInput(f'no device "{device}". Valid: auto, cpu, cuda, cuda:N')


def resolve(device: str) -> str:
    """The device to use: ``auto`` is a CUDA device where one is, else the CPU."""
    if device == "cpu" or (device == "auto" and not nvidia_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda" if device == "auto" else device
    if device == "auto":
        return "cpu"
    raise BadInput(f"device {device}: torch {torch.__version__} sees no CUDA device. Valid here: auto, cpu")


def nvidia_driver() -> bool:
    """Whether an NVIDIA driver can be loaded: cheap to ask, and spares most the import of torch."""
    import ctypes

    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def default_workers() -> int:
    """As many worker processes as there are cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
