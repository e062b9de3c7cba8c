"""What of a plan is still to do, and whether the images that it needs are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lthbench import registry
from lthbench.data import concepts, download, loading
from lthbench.errors import BadInput, Damaged
from lthbench.kinds import Dataset
from lthbench.planning import contents
from lthbench.planning.plan import Plan
from lthbench.planning.reads import reads
from lthbench.planning.request import Request
from lthbench.spec import (
    Explain,
    Measure,
    Step,
    Train,
    mask_keeper,
    network_of,
)
from lthbench.store import Store
from lthbench.store.artifacts import DRAWS, MASK, SCORES, WEIGHTS
from lthbench.store.seen import Seen

#: The share of images out of distribution that may be training images: published sets share a few.
MAX_OVERLAP = 0.01
#: The files that are compared with their hashes once more by whatever needs them, and made again if damaged.
_CHECKED_WHEN_USED = {"step.json", "meta.json", SCORES.name, DRAWS.name, MASK.name, WEIGHTS.name}


def missing(
    made: Plan, store: Store, told: dict[str, dict[str, Any]] | None = None, *, untouched: bool = False
) -> list[Step]:
    """The steps to do, in order: measures that the store does not hold whole, and what they need.

    What is read is compared with its hashes, and with what its step makes; what is damaged, or does not fit,
    is put aside and its step done again; where the store is to stay ``untouched``, it is left where it is.
    What was whole before and has not been written to since is not read (``store.seen``). The facts of steps
    that are not measures are read in any case, as reports tell them, and put into ``told``, by key.
    """
    wanted: dict[str, bool] = {}
    told = {} if told is None else told
    seen = Seen(store.root)

    def ask(steps: Iterable[Step]) -> None:
        stack = list(steps)
        while stack:
            step = stack.pop()
            if step.key not in wanted:
                wanted[step.key] = not _is_whole(step, store, seen, untouched)
                if wanted[step.key]:
                    stack.extend(step.needs())

    ask(m for e in made.entries for m in e.scored())
    first = made.request.seeds[0]  # whose maps a report shows
    shown = (m for e in made.entries if e.seed == first for m in e.measures if m.maps)
    ask(n for m in shown for n in m.needs() if isinstance(n, Explain) and n.subject == m.subject)
    ask(keeper for e in made.entries if (keeper := mask_keeper(e.network)) is not None)
    ask(s for s in made.steps if s.key not in wanted and not _facts_readable(s, store, told))
    seen.save()
    return [s for s in made.steps if wanted.get(s.key)]


def check_some(made: Plan, todo: Sequence[Step], store: Store) -> None:
    """Raise BadInput where no score of a plan is stored, whose steps ``todo`` are missing."""
    absent = {step.key for step in todo}
    if all(m.key in absent for e in made.entries for m in e.measures):
        trainings = [s for s in made.steps if isinstance(s, Train)]
        there = f"{sum(s.key not in absent for s in trainings):,} of {len(trainings):,} trainings"
        raise BadInput(
            f"store {store.address}: holds no score of this table yet ({there} are there): there is nothing "
            "to collect. Give the same command without --collect, or wait for the run that is at work."
        )


def _is_whole(step: Step, store: Store, seen: Seen, untouched: bool) -> bool:
    """Whether an artefact is there whole, and holds what its step makes."""
    stamp = seen.stamp(store.path_of(step.key), "whole")
    if stamp in seen and store.shared(step):
        return True
    held = _read(step, store) if untouched else store.whole(step)
    if held is None or not _fits(step, held, store, untouched):
        return False
    if held.keys() <= _CHECKED_WHEN_USED:
        seen.add(stamp)
    return True


def _read(step: Step, store: Store) -> dict[str, bytes] | None:
    """The files of an artefact; None where it is not there, or damaged."""
    if not (store.lists(step) and store.has(step)):
        return None
    try:
        return store.verified(step)
    except Damaged:
        return None


def _fits(step: Step, held: Mapping[str, bytes], store: Store, untouched: bool) -> bool:
    """Whether an artefact holds what its step makes; one that does not is put aside."""
    if not contents.misfit(step, held):
        return True
    if not untouched:
        store.put_aside(step)
        store.delete(step.key)  # elsewhere, too
    return False


def _facts_readable(step: Step, store: Store, told: dict[str, dict[str, Any]]) -> bool:
    """False where a step is stored and its facts, which reports tell, are damaged."""
    if not store.shared(step):
        return True
    for _ in range(2):
        try:
            told[step.key] = store.meta(step)
            return bool(told[step.key])
        except Damaged:
            if not store.has(step):  # or else it may be here only now
                return True
    return False


def check_data(todo: Sequence[Step], places: tuple[Path, ...]) -> None:
    """Read all images and banks that the steps will look at. Raises BadInput, naming a file that is broken.

    Of a set too large for memory only some are decoded: see ``data.loading.check``. An out-of-distribution
    set must not have been trained on: more than one image in a hundred in common is refused.
    """
    looks = ((n, m) for m in todo if isinstance(m, Measure) for _, n in m.looks or ())
    held = [(inputs, network_of(m)) for inputs, m in looks if inputs.view.startswith(concepts.PREFIX)]
    banks = dict.fromkeys((inputs, network.size, network.channels) for inputs, network in held)
    splits = {(read.data.name, read.split) for step in todo for read in reads(step)}
    try:
        for name, split in sorted(splits):
            loading.check(name, split, places)
        for inputs, size, channels in banks:
            concepts.load(inputs, size, channels, places)
        trained_on = {name for name, split in splits if split == "train"}
        for known in trained_on:
            for other in sorted({name for name, _ in splits} - trained_on):
                share = loading.overlap(known, other, places)
                if share > MAX_OVERLAP:
                    raise BadInput(
                        f"{100 * share:.0f} % of the images of {other} are training images of {known}: "
                        "what was trained on is not out of distribution. Give another data set for ood."
                    )
    finally:
        loading.load.cache_clear()
        concepts.load.cache_clear()


def download_missing(
    asked: Request, places: tuple[Path, ...], told: download.Told = lambda name, done, total: None
) -> list[str]:
    """Fetch the data sets of a request that are not there into the user's cache. Returns their names."""
    fetched = []
    for name in (asked.task.data.dataset, *asked.task.data.ood):
        dataset = registry.get(Dataset, name)
        if loading.located(dataset, places) is None:
            download.obtain(dataset, loading.default_folder(), told)
            fetched.append(name)
    return fetched


def shares_done(todo: Sequence[Step], store: Store) -> dict[str, float]:
    """What share of trainings is done that were left on their way, by key."""
    if not store.saved():
        return {}
    from lthbench.training.savepoints import shares  # imports torch

    return shares(todo, store)
