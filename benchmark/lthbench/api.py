"""The verbs of the command line as functions: ``run``, ``score`` and ``read``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.compute.device import default_workers, with_workers
from lthbench.compute.garbage import uncollected
from lthbench.data.loading import checked_folders
from lthbench.engines.failures import logged
from lthbench.engines.local import Local
from lthbench.engines.options import DEFAULT_STORE
from lthbench.engines.options import RunOptions as RunOptions
from lthbench.engines.progress import Course, listen
from lthbench.errors import Damaged
from lthbench.planning import checks
from lthbench.planning.disk_use import footprint
from lthbench.planning.estimate import Estimate, estimate, learned_rates
from lthbench.planning.looks import MOST
from lthbench.planning.missing import check_data, check_some, missing, shares_done
from lthbench.planning.plan import Plan, plan
from lthbench.planning.request import Request, ask
from lthbench.planning.settle import settled
from lthbench.report.outcome import Outcome as Outcome
from lthbench.results import overwriting, reading, run_facts, so_far, table
from lthbench.spec import Given, Step
from lthbench.store import Snapshot, Store, open_store
from lthbench.store.disk import room, sets_limit
from lthbench.store.seen import Seen
from lthbench.verdict.rules import HEADLINE
from lthbench.verdict.until_decided import open_networks, why_ended

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.checkpoints.importing import Brought
    from lthbench.checkpoints.pretrained import Pretrained
    from lthbench.engines.ray import OnRay
    from lthbench.verdict.rules import Verdict


def _nothing(plan: Plan, todo: list[Step], estimate: Estimate, workers: int) -> None:
    """What is announced where nobody listens."""


def run(
    task: str | Path = "digits-r8",
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
    corruptions: str | None = None,
    engine: str = "local",
    address: str | None = None,
    stack: int = 0,
    until_decided: int | bool = False,
    pretrained: str | Path | None = None,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    plugins: Sequence[str | Path] = (),
    collect: bool = False,
) -> pd.DataFrame:
    """Train, prune and score what is asked for, and return the table of scores.

    Its columns are ``lthbench.results.table.COLUMNS``.
    What the store already holds is not done again. ``workers`` 0 works in this process; more need a script
    that guards its start with ``if __name__ == "__main__"``. With ``report``, pages are written there.
    ``ood`` replaces the task's data sets out of distribution, ``concepts`` its bank of concepts, and
    ``corruptions`` where corrupted images come from (generated, official, official-if-found). ``engine``
    ray runs on the Ray cluster at ``address``; without one, on that which is connected already, or else on
    one of this machine. Up to ``stack`` networks that are alike are trained as one (0: as many as pay on the
    device, 1: none). ``until_decided`` adds seeds to networks that neither match on every score nor fall
    short on one, up to that number (True: 10).
    ``pretrained`` is a file, or a repository of the Hugging Face hub, with weights that networks begin with:
    the dense parent, if they tell the task's classes; ``normalization`` is the mean and standard deviation by
    channel, for pixels from 0 to 1, that they expect (None: what the file holds, or else the task's).
    ``plugins`` are files of your own: what they define can be named in the task, and in other arguments.
    ``collect`` does nothing of it and gives the same table of what is stored so far, also while another run
    is at work: a score that is not there has the status "missing". Raises BadInput where none is there.
    Raises BadInput before anything is written.
    """
    _take(plugins)
    if pretrained is not None:
        checks.path("pretrained", pretrained, "a file or the id of a repository of the Hugging Face hub")
    weights = None if pretrained is None else str(pretrained)
    replaced = (ood, concepts, corruptions, weights, normalization)
    asked = ask(task, methods, sparsities, rounds, seeds, metrics, budget, *replaced)
    if until_decided is not False:
        asked = asked.until_decided(MOST if until_decided is True else until_decided)
    options = RunOptions(
        data=data,
        store=store,
        device=device,
        workers=workers,
        progress=progress,
        engine=engine,
        address=address,
        stack=stack,
        collect=collect,
    )
    return _table(asked, options, report)


def score(
    model: Any,
    task: str | Path = "digits-r8",
    *,
    dense: Any = None,
    mask: Any = None,
    key: str | None = None,
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
    corruptions: str | None = None,
    engine: str = "local",
    address: str | None = None,
    stack: int = 0,
    plugins: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Score a network that was pruned elsewhere beside a dense parent, and return the score table.

    ``model`` is a module, a state dict, a path or the id of a repository of the Hugging Face hub, or a list
    of them: networks of several seeds. A module must give the logits of the task's architecture with its
    weights; a state dict is read for its weights alone. ``dense`` is the same for the parents; or one seed,
    or a list of seeds, whose dense networks are trained by the task's recipe (None: seeds 0, 1, ...).
    ``mask`` is a path or a mapping (or a list); None: masks in the file, or else the exact zeros. ``key``
    says which network of a file that holds several ("state_dict_ema"). ``name`` stands for the method in the
    table.
    ``normalization`` is the mean and standard deviation by channel, for pixels from 0 to 1, that the networks
    expect (None: what they hold themselves, or else the task's). The other arguments are those of ``run``.
    Raises BadInput, with an account of each tensor that does not match, before anything is written.
    """
    from lthbench.checkpoints.bringing import bring

    _take(plugins)
    networks = (_several(model), _several(dense), _several(mask))
    asked, brought = bring(
        task,
        name,
        *networks,
        normalization,
        key=key,
        metrics=metrics,
        budget=budget,
        ood=ood,
        concepts=concepts,
        corruptions=corruptions,
    )
    options = RunOptions(
        data=data,
        store=store,
        device=device,
        workers=workers,
        progress=progress,
        engine=engine,
        address=address,
        stack=stack,
    )
    return _table(asked, options, report, brought)


def read(path: str | Path, *, plugins: Sequence[str | Path] = ()) -> Outcome:
    """The results of a run, read from the folder of its report or from a bundle (``lthbench submit``).

    A folder holds scores.csv and run.json; a path of a file in it stands for it. ``plugins`` are as in
    ``run``: what a report says of the methods in them. See ``Outcome`` for what it has: ``table``,
    ``facts``, ``verdict``, ``compare`` and ``report``. Raises BadInput for what cannot be read, or is of
    another schema, and for a bundle ``lthbench.results.bundle_file.Refused`` where it was changed.
    """
    checks.path("path", path, "the folder of a report, or a bundle")
    _take(plugins)
    source = Path(path)
    scores, facts = reading.read(source)
    return Outcome(scores, facts, {}, source=source)


def _table(
    asked: Request, options: RunOptions, report: str | Path | None, brought: Brought | None = None
) -> pd.DataFrame:
    """The table of what is asked for, with its report where one is.

    Raises BadInput, before anything is done, for a folder in which files of others would be replaced.
    """
    if report is not None:
        checks.path("report", report, "a folder")
        overwriting.check(Path(report) / name for name in overwriting.REPORT)
    with ExitStack() as held:
        outcome = execute(asked, options, brought=brought, held=held)
        if report is not None:
            outcome.report(report)
        return outcome.table


def _take(plugins: Sequence[str | Path] | str | Path) -> None:
    """Take in files of the user's own, before the task that names what is in them is read."""
    several = [plugins] if isinstance(plugins, str | PathLike) else plugins
    for path in checks.listed("plugins", several, (str, PathLike), Path, "files") or ():
        registry.take(path)


def _several(value: Any) -> list[Any]:
    """One thing or a list of them as a list; none for None."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def execute(
    asked: Request,
    options: RunOptions,
    announce: Callable[[Plan, list[Step], Estimate, int], None] = _nothing,
    brought: Brought | None = None,
    *,
    controls: bool = True,
    held: ExitStack | None = None,
) -> Outcome:
    """Do what of a request the store does not hold. Data is read and checked before anything is written.

    Networks made elsewhere are ``brought``. ``announce`` is told the plan, what is to do, how long it takes
    and with how many workers; at each look at the results, where seeds are added until all is decided.
    ``controls``: whether untrained networks are scored beside the dense ones. What keeps others from deleting
    what is stored is ``held``, by who reads it afterwards, or given back at the end.
    """
    if held is None:
        with ExitStack() as own:
            return execute(asked, options, announce, brought, controls=controls, held=own)
    options.check()
    asked = settled(asked, checked_folders(options.data))
    while True:
        pretrained = None
        if asked.pretrained is not None:
            from lthbench.checkpoints.pretrained import begun

            asked, pretrained = begun(asked, fetch=not options.collect)
        try:
            outcome = _execute(asked, options, announce, brought, controls, pretrained, held)
        except Damaged:  # what was whole when it was last looked at has lost bits since
            Seen(open_store(options.store).root).forget()
            outcome = _execute(asked, options, announce, brought, controls, pretrained, held)
        if not asked.looks or (options.collect and so_far.of_table(outcome.table)):
            return outcome
        found = _headline(outcome)
        more = asked.looked(open_networks(found))
        if more is None:
            why = why_ended(found, len(asked.seeds), asked.most_seeds)
            return dataclasses.replace(outcome, facts=dataclasses.replace(outcome.facts, ended=why))
        asked = more


def _headline(outcome: Outcome) -> Sequence[Verdict]:
    """What the results so far show."""
    from lthbench.report.summary import summarise

    return summarise(outcome.table, outcome.facts).verdicts[HEADLINE]


def _execute(
    asked: Request,
    options: RunOptions,
    announce: Callable[[Plan, list[Step], Estimate, int], None],
    brought: Brought | None,
    controls: bool,
    pretrained: Pretrained | None,
    held: ExitStack,
) -> Outcome:
    """The same for what is asked for at one look."""
    places = checked_folders(options.data)
    store = open_store(options.store, sends=not options.collect)
    store.check()
    sets_limit()
    with uncollected():
        made = plan(asked, places, elsewhere=brought.networks if brought else None)
        made = made if controls else made.without_controls()
    known = store.made()
    if known:  # from the first look at what is there
        held.enter_context(store.in_use("run", options.tell))
    told: dict[str, dict[str, Any]] = {}
    with uncollected():
        todo = missing(made, store, told, untouched=options.collect)
    failures: dict[str, str] = {}
    results: Store | Snapshot = store
    if options.collect:
        # Leases before the log: a run that gives one back meanwhile has logged how its steps ended.
        at_work = {str(lease.get("what")) for lease in store.leases().others()} if todo and known else ()
        failures = logged(todo, store.events() if todo else (), at_work)
        check_some(made, [step for step in todo if step.key not in failures], store)
        results = Snapshot(store, todo)
        told = {key: facts for key, facts in told.items() if facts}
        announce(made, todo, estimate((), (), options.workers, "cpu"), options.workers)
    elif todo:
        check_data(todo, places)
        room(store, footprint(todo), "this run")
        with _connected(options) as runs:
            store.open()
            if not known:
                held.enter_context(store.in_use("run", options.tell))
            failures = _carried_out(made, todo, store, places, options, runs, announce, brought or pretrained)
        told.clear()  # what is stored may have been made anew
        store.look_again()
    else:
        announce(made, todo, estimate(todo, (), options.workers, "cpu"), options.workers)
    from lthbench.results import pictures, units

    facts = run_facts.facts(made, results, brought.accounts() if brought else (), told)
    gather = partial(pictures.gather, made, results, places)
    of_units = partial(units.gather, made, results)
    with uncollected():
        built = table.build(made, results, failures)
    return Outcome(built, facts, failures, gather, of_units)


def _carried_out(
    made: Plan,
    todo: list[Step],
    store: Store,
    places: tuple[Path, ...],
    options: RunOptions,
    runs: Local | OnRay,
    announce: Callable[[Plan, list[Step], Estimate, int], None],
    given: Brought | Pretrained | None,
) -> dict[str, str]:
    """Do steps. Returns why some failed, by key."""
    if given:
        given.publish(store)
        todo = [s for s in todo if not isinstance(s, Given)]
    events = store.events()
    rates = learned_rates(events, runs.device)
    begun = shares_done(todo, store)
    guess = estimate(todo, events, runs.workers, runs.device, begun)
    announce(made, todo, guess, runs.workers)
    course = Course(todo, made.labels(), rates, runs.device, runs.workers, begun)
    with listen(course, options.progress) as listener:
        return runs.run(todo, store, places, listener.done, listener.stopping, stepped=listener.stepped)


@contextmanager
def _connected(options: RunOptions) -> Iterator[Local | OnRay]:
    """What runs steps: on this machine, or on a cluster, which is left when it has done so."""
    workers = options.workers
    if options.engine == "ray":
        from lthbench.engines.ray import connected

        with connected(
            options.address, workers or default_workers(), options.device, options.stack
        ) as cluster:
            yield cluster
    else:
        found, workers = with_workers(options.device, workers)
        yield Local(workers, found, options.stack)
