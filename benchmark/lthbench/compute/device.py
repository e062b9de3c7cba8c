"""Devices and workers: what can be used here."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lthbench.errors import BadInput


def check_device(device: str) -> None:
    """Raise BadInput for what is not the name of a device. Does not import torch."""
    kind, _, index = device.partition(":")
    numbered = kind == "cuda" and index.isascii() and index.isdigit()
    if kind not in ("auto", "cpu", "cuda") or (":" in device and not numbered):
        raise BadInput(f'no device "{device}". Valid: auto, cpu, cuda, cuda:N')


def resolve(device: str) -> str:
    """The device to use: ``auto`` is a CUDA device where one is, else the CPU."""
    if device == "cpu" or (device == "auto" and not nvidia_driver()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        count, index = torch.cuda.device_count(), device.partition(":")[2]
        if index and int(index) >= count:
            valid = ", ".join(["cuda", *(f"cuda:{n}" for n in range(count))])
            raise BadInput(f"device {device}: there is none of this number. Valid here: auto, cpu, {valid}")
        return "cuda" if device == "auto" else device
    if device == "auto":
        return "cpu"
    raise BadInput(f"device {device}: torch {torch.__version__} sees no CUDA device. Valid here: auto, cpu")


def with_workers(device: str, workers: int, here: bool = True) -> tuple[str, int]:
    """The device to use, and how many worker processes share it: a GPU is for one, which trains in stacks.

    A device that is named need not be ``here`` for a plan of what another machine does.
    """
    found = resolve(device) if here or device == "auto" else device
    return found, 1 if found != "cpu" and workers else workers


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
    return cores()


def cores() -> int:
    """How many cores this process may use: those that it is bound to, and no more than its quota of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, math.ceil(quota() or bound)))


def quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """How many cores' time the control groups of this process allow; None where they set no limit.

    As containers are limited: ``cpu.max`` of the second version, or ``cpu.cfs_quota_us`` of the first, in the
    process's group or in one above it.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    found = []
    for _, controllers, group in (line for line in lines if len(line) == 3):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        here = root / group.lstrip("/")
        for folder in (here, *here.parents):
            found.append(_limit(folder, second=not controllers))
            if folder == root:
                break
    return min((limit for limit in found if limit is not None), default=None)


def _limit(folder: Path, *, second: bool) -> float | None:
    """The quota of one control group, as a number of cores."""
    try:
        if second:
            most, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            most = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        limit = float(most) / float(period)  # "max" is no number
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0.0 else None  # -1 is none
