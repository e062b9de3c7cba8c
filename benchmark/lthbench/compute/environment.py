"""What a result may depend on beside its step: versions, and the machine."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lthbench._version import __version__
from lthbench.compute import libraries


def environment(device: torch.device) -> dict[str, Any]:
    """What a result may depend on beside its step: versions and the kind of device."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "lthbench": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        **libraries.versions(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "device": f"{device.type}: {kind}",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
