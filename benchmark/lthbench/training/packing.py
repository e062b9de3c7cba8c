"""Trainings that are alike, as many at a time as the device has room for."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from lthbench.compute.cuda_graphs import LANES
from lthbench.compute.room import lacking, no_room
from lthbench.data.streaming import Stream
from lthbench.errors import StepFailed
from lthbench.kinds import Images
from lthbench.spec import Recipe
from lthbench.training.batches import Feed
from lthbench.training.loop import Member, Net, in_turn, train_together
from lthbench.training.optimization import Trained, draws

#: The share of a device's memory that a stack may fill, and what a network at work has, over what it took.
SHARE, MARGIN = 0.8, 2.0

Result = Trained | StepFailed


class _Epochs(NamedTuple):
    """From which epoch up to and without which, and whether to pause after so many."""

    first: int
    last: int | None
    pauses: Callable[[int], bool]


def in_stacks(
    make: Sequence[Callable[[], Member]],
    images: Images,
    recipe: Recipe,
    first_epoch: int = 0,
    last_epoch: int | None = None,
    pauses: Callable[[int], bool] = lambda epoch: False,
) -> Iterator[tuple[Member | None, Result, float]]:
    """Make members and train them, together as far as there is room.

    Yields each with its result and its share of the seconds, in order. A stack that runs out of memory is
    halved and begins again; a network that does so alone fails, and is None. Networks take turns where a
    stack gains nothing, as with images that are decoded as they are needed, or would change what comes out,
    as with layers that draw at random. Raises Paused where they pause after so many epochs.
    """
    epochs = _Epochs(first_epoch, last_epoch, pauses)
    waiting, size, replayed = list(make), 1, True
    if len(make) > 1 and not isinstance(images.pixels, Stream):
        size = min(_size(make[0], images, recipe), len(make))
    while waiting:
        started = time.monotonic()
        size = min(size, len(waiting))
        members, results, lack = _attempt(waiting[:size], images, recipe, epochs, replayed)
        if not results and size > 1:
            size //= 2
        elif not results and replayed:
            replayed = False  # a captured step needs memory of its own
        else:
            seconds = (time.monotonic() - started) / size
            for i in range(size):
                yield (members[i], results[i], seconds) if results else (None, StepFailed(lack), seconds)
            waiting = waiting[size:]
        members, results = [], []
        tidy()


def _size(make: Callable[[], Member], images: Images, recipe: Recipe) -> int:
    """How many may train as one."""
    try:
        member = make()
        return 1 if draws(member.model, images) else fits(member, images, recipe)
    except RuntimeError as error:
        if not no_room(error):
            raise
        return 1


def _attempt(
    make: Sequence[Callable[[], Member]],
    images: Images,
    recipe: Recipe,
    epochs: _Epochs,
    replayed: bool,
) -> tuple[list[Member], list[Result], str]:
    """The members and results; none, and why, where the device ran out of memory."""
    limited: torch.device | None = None
    try:
        members = [one() for one in make]
        device = next(members[0].model.parameters()).device
        if device.type == "cuda" and not (len(members) == 1 and draws(members[0].model, images)):
            limited = device
            torch.cuda.set_per_process_memory_fraction(SHARE, device)
        results = train_together(
            members, images, recipe, epochs.first, epochs.last, replayed=replayed, pauses=epochs.pauses
        )
        return members, results, ""
    except RuntimeError as error:
        if not no_room(error):
            raise
        return [], [], lacking(error)
    finally:
        if limited is not None:
            torch.cuda.set_per_process_memory_fraction(1.0, limited)


def tidy() -> None:
    """Give a GPU's memory back, also what only the collector finds; nothing where none is used."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def fits(member: Member, images: Images, recipe: Recipe) -> int:
    """How many such members fit on their device, measured by a step of one. At least 1; on a CPU no limit."""
    device = next(member.model.parameters()).device
    if device.type != "cuda":
        return sys.maxsize
    feed = Feed(images, recipe, [member.seed], device)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    net = Net(member, recipe, feed.steps, fused=True, fixed=True)
    batch, target = next(iter(feed.epoch(max(recipe.epochs - 1, 0))))  # whose images are largest
    in_turn([net], recipe.precision, torch.zeros(1, device=device))(batch, target)
    net.move()
    weights = sum(t.numel() * t.element_size() for t in net.model.state_dict().values())
    kept = torch.cuda.memory_allocated(device) - before + weights
    work = torch.cuda.max_memory_allocated(device) - before
    free, total = torch.cuda.mem_get_info(device)
    return members_in(free - (1.0 - SHARE) * total, kept, work)


def members_in(room: float, kept: float, work: float, lanes: int = LANES) -> int:
    """How many members have room, all in bytes: each keeps some, and those at work need more. At least 1."""

    def needed(count: int) -> float:
        return count * kept + MARGIN * min(count, lanes) * work

    return next((n for n in range(1, 4096) if needed(n + 1) > room), 4096)
