"""Devices and workers: what can be used here."""

from __future__ import annotations

import os

from lthbench.errors import BadInput


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
