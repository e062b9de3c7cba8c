"""The control groups of this process: how containers say what it may use of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Where groups are folders, and which of them this process is in.
GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class Group(NamedTuple):
    """A group of the process: its folder, and whether it is of the second version of control groups."""

    folder: Path
    second: bool


def of(controller: str, groups: Path = GROUPS, own: Path = OWN) -> Iterator[Group]:
    """The groups of this process that a controller ("cpu", "memory") may limit, and all above them."""
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for _, controllers, group in (line for line in lines if len(line) == 3):
        if controllers and controller not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        here = root / group.lstrip("/")
        for folder in (here, *here.parents):
            yield Group(folder, not controllers)
            if folder == root:
                break


def quota(groups: Path = GROUPS, own: Path = OWN) -> float | None:
    """How many cores' time this process may use; None where no group sets a limit.

    ``cpu.max`` of the second version says so, or ``cpu.cfs_quota_us`` of the first.
    """
    found = [_cores(group) for group in of("cpu", groups, own)]
    return min((limit for limit in found if limit is not None), default=None)


def _cores(group: Group) -> float | None:
    """The quota of one group, as a number of cores."""
    folder = group.folder
    try:
        if group.second:
            most, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            most = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        limit = float(most) / float(period)  # "max" is no number
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0.0 else None  # -1 is none


#: The files of a group that hold how much memory it may have and has, and what of it can be given back.
_SECOND = ("memory.max", "memory.current", "inactive_file")
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory(groups: Path = GROUPS, own: Path = OWN) -> Iterator[tuple[int, int]]:
    """The bytes that groups of this process may have and those they have, of each that has a limit."""
    for folder, second in of("memory", groups, own):
        limit, used, idle = _SECOND if second else _FIRST
        try:
            most, taken = int((folder / limit).read_text()), int((folder / used).read_text())
            facts = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
            yield most, taken - int(facts.get(idle, 0))
        except (OSError, ValueError):  # "max" is no number
            continue
