"""Devices and workers: what can be used here."""

from __future__ import annotations

import math
import os

from lthbench.compute import control_groups
from lthbench.errors import BadInput

#: Without the first option pip keeps a torch that is there. Builds for CUDA 13 are for GPUs from Turing to
#: Blackwell and drivers from 580 on, those for CUDA 12.6 for GPUs up to Hopper (torch.cuda says which).
_WHEELS = "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/"
NEW, OLD = f"{_WHEELS}cu130", f"{_WHEELS}cu126"
BUILDS = f"{NEW} (cu126 where the GPU is older than Turing, or the driver than 580)"


def check_device(device: str) -> None:
    """Raise BadInput for what is not the name of a device. Does not import torch."""
    kind, _, index = device.partition(":")
    numbered = kind == "cuda" and index.isascii() and index.isdigit()
    if kind not in ("auto", "cpu", "cuda") or (":" in device and not numbered):
        raise BadInput(f'no device "{device}". Valid: auto, cpu, cuda, cuda:N')


def resolve(device: str) -> str:
    """The device to use: ``auto`` is a CUDA device where one is, else the CPU. Raises BadInput for none."""
    check_device(device)
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
    raise BadInput(f"device {device}: {unseen()[0]}. Valid here: auto, cpu")


def unseen() -> tuple[str, str]:
    """Why torch sees no CUDA device here, and what may help."""
    import torch

    said = f"torch {torch.__version__} sees no CUDA device"
    if torch.version.cuda is None:
        return f"{said}: it was built without CUDA", BUILDS
    if not nvidia_driver():
        return f"{said}: there is no NVIDIA driver", "install the driver of the GPU"
    return (
        f"{said}: the NVIDIA driver is too old for its CUDA {torch.version.cuda}, or shows none "
        "(CUDA_VISIBLE_DEVICES)",
        f"update the driver, or take a build for an older CUDA, which has nothing for Blackwell: {OLD}",
    )


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
    return max(1, min(bound, math.ceil(control_groups.quota() or bound)))
