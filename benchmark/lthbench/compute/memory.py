"""The memory of this machine, and what does not fit into it."""

from __future__ import annotations

import os
from pathlib import Path

from lthbench.compute import control_groups


def memory() -> tuple[float, float]:
    """The memory of this machine, or of its container where that is less, and what is free of it, in GiB."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines if line.endswith(" kB")}
        total, free = known["MemTotal"], known["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        try:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        except (AttributeError, OSError, ValueError):
            return 0.0, 0.0
        return total, total
    here = total
    for most, taken in control_groups.memory():
        if 0.0 < most / 2**30 < here:  # the first version writes a huge number for no limit
            total, free = min(total, most / 2**30), min(free, (most - taken) / 2**30)
    return total, max(free, 0.0)


def beyond(needed: float) -> str:
    """That so many bytes are more than this machine has; "" where they fit, or where that is not known."""
    if needed < 2**30:  # not worth the look
        return ""
    total = memory()[0]
    if not 0.0 < total < needed / 2**30:
        return ""
    return f"{needed / 2**30:,.0f} GiB of memory; this machine has {total:,.0f} GiB"
