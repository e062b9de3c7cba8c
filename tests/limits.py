"""Holds what is done with one input to so much processor time and memory."""

import contextlib
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path

#: What one input may take.
SECONDS, BYTES = 10.0, 1_000_000_000
#: The most that an input of each kind took so far: seconds and bytes.
WORST: dict[str, tuple[float, int]] = {}
_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _peak() -> int:
    """The most memory that this process had since the peak was reset, or since it began."""
    try:
        found = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text())
    except OSError:
        found = None
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Let this process have four times what an input may take, and not all of the machine's memory."""
    try:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = now + 4 * BYTES
    resource.setrlimit(
        resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(soft, most), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def within(kind: str, name: object = "") -> Iterator[None]:
    """Fail, with the name of the input, where what is done within takes longer or needs more."""
    with contextlib.suppress(OSError):
        _REFERENCES.write_text("5")  # the peak is what is held now
    before, began = _peak(), time.process_time()
    with _bounded():
        yield
    seconds, grown = time.process_time() - began, _peak() - before
    longest, most = WORST.get(kind, (0.0, 0))
    WORST[kind] = max(longest, seconds), max(most, grown)
    assert seconds < SECONDS, f"{kind} {name}: took {seconds:.1f} s of processor time"
    assert grown < BYTES, f"{kind} {name}: took {grown / 1e6:,.0f} MB of memory"


def told() -> str:
    """The most that an input of each kind took, in words."""
    worst = sorted(WORST.items(), key=lambda item: -item[1][0])
    return "; ".join(f"{kind}: {seconds:.1f} s, {grown / 1e6:,.0f} MB" for kind, (seconds, grown) in worst)
