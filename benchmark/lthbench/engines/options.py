"""Where a run keeps things, and on what it works."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from lthbench.compute.device import check_device
from lthbench.errors import BadInput, unknown

DEFAULT_STORE = "lthbench-store"
ENGINES = ("local", "ray")
#: How progress is shown.
PROGRESS = ("auto", "plain", "none")
#: Of what types each option may be, and how that is said.
_KINDS: dict[str, tuple[tuple[type[Any], ...], str]] = {
    "data": ((str, PathLike, type(None)), "a folder"),
    "store": ((str, PathLike), "a folder or a URL"),
    "device": ((str,), '"auto", "cpu", "cuda" or "cuda:N"'),
    "workers": ((Integral,), "a whole number"),
    "progress": ((str,), '"auto", "plain" or "none"'),
    "engine": ((str,), '"local" or "ray"'),
    "address": ((str, type(None)), '"HOST:PORT" or "auto"'),
    "stack": ((Integral,), "a whole number"),
}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run keeps things and on what it works; what is asked for is a ``Request``.

    ``data`` and ``store`` are folders, ``store`` may be a URL. ``device`` is auto, cpu, cuda or cuda:N.
    ``workers`` 0 works in this process. ``progress`` is auto, plain or none. ``engine`` ray runs on the
    cluster at ``address``, or on one of this machine. ``stack`` is as for ``run``. ``collect`` reports what
    the store holds and does nothing: how steps are done has no effect then.
    """

    data: str | Path | None = None
    store: str | Path = DEFAULT_STORE
    device: str = "auto"
    workers: int = 0
    progress: str = "none"
    engine: str = "local"
    address: str | None = None
    stack: int = 0
    collect: bool = False

    def check(self) -> None:
        """Raise BadInput for what there is not, or numbers below 0. Imports no Ray."""
        for name, (kinds, said) in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise BadInput(f"{name}: expected {said}, got {value!r}.")
        if not isinstance(self.collect, bool):
            raise BadInput(f"collect: expected True or False, got {self.collect!r}.")
        check_device(self.device)
        if self.stack < 0:
            raise BadInput(f"stack: must not be negative, got {self.stack}. 0 is as many as pay, 1 is none.")
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.progress not in PROGRESS:
            raise unknown("way to show progress", self.progress, PROGRESS)
        if self.engine != "ray" and self.address is not None:
            raise BadInput("--address is that of a Ray cluster: give --engine ray, too.")
        if self.engine == "ray" and self.device.startswith("cuda:"):
            raise BadInput(
                f"device {self.device}: with --engine ray, Ray chooses the GPU of each task. "
                "Valid: auto, cpu, cuda"
            )
        if self.engine == "ray" and importlib.util.find_spec("ray") is None:
            raise BadInput("engine ray needs the package ray: pip install 'lthbench[ray]'")
        if self.workers < 0:
            raise BadInput(f"workers: must not be negative, got {self.workers}.")

    def tell(self, said: str) -> None:
        """Say on stderr what a run waits for, where it shows progress."""
        if self.progress != "none":
            print(f"{said} ...", file=sys.stderr, flush=True)
