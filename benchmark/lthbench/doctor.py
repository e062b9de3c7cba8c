"""What this machine can run, what is missing, and the command to get it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import lthbench
from lthbench import registry
from lthbench.compute import device, libraries
from lthbench.compute.memory import memory
from lthbench.data import loading, status
from lthbench.errors import LthbenchError, because

#: What the smallest run needs, in GB of memory and of disk.
MEMORY, DISK = 1.0, 0.5


class Finding(NamedTuple):
    """One line: ``state`` is ok, note (something cannot be used) or problem (nothing can be run)."""

    topic: str
    state: str
    text: str
    remedy: str = ""


def examined(folder: Path | None, store: Path | str) -> Iterator[Finding]:
    """Everything that is looked at, in order; nothing is written. Raises BadInput for a folder not there."""
    loading.checked_folders(folder)
    yield from _versions()
    if there := libraries.versions():
        yield Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in there.items()))
    yield from _device()
    yield from _machine(store)
    yield from _extras()
    for what, why in registry.unusable().items():
        yield Finding("plug-ins", "note", f"{what}: {why}")
    for row in status.listed(folder)["sets"]:
        if row["state"] == "missing":
            yield Finding("data", "note", f"{row['name']}: not here", row["command"] or row["detail"])
        else:
            yield Finding(
                "data", "ok" if row["state"] == "found" else "note", f"{row['name']}: {row['detail']}"
            )


def _versions() -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    wanted = next(iter(_metadata("Requires-Python")), "")
    enough = SpecifierSet(wanted).contains(platform.python_version().rstrip("+"), prereleases=True)
    found = f"Python {platform.python_version()}, lthbench {lthbench.__version__}"
    yield Finding("python", "ok" if enough else "problem", found, "" if enough else f"use Python {wanted}")
    for name, wanted, good in _required():
        if not good:
            yield Finding(
                "packages", "problem", f"{name} {_version(name) or 'is missing'}", f"pip install '{wanted}'"
            )


def _required(extra: str = "") -> Iterator[tuple[str, str, bool]]:
    """The packages that lthbench requires, or one of its extras: name, requirement, and whether it is met."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = metadata.requires("lthbench") or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        if extra and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            continue
        version = _version(wanted.name)
        good = version != "" and wanted.specifier.contains(version, prereleases=True)
        yield wanted.name, f"{wanted.name}{wanted.specifier}", good


def _metadata(key: str) -> list[str]:
    """What the package says of itself under a key; nothing where it is not installed."""
    try:
        return metadata.metadata("lthbench").get_all(key) or []
    except metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _device() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", "problem", f"cannot be imported: {error}", "pip install torch torchvision")
        return
    yield Finding(
        "torch", "ok", f"torch {torch.__version__}, torchvision {_version('torchvision') or 'missing'}"
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _gpu(index)
    elif device.nvidia_driver():
        why, remedy = device.unseen()
        yield Finding("device", "note", f"there is an NVIDIA driver, and {why}", remedy)
    else:
        yield Finding("device", "ok", "cpu: runs the budget quick; standard and paper want a CUDA device")


def _gpu(index: int) -> Finding:
    """A GPU, which is made to add two numbers: torch may have no kernels for one that it sees."""
    import torch

    from lthbench.compute.room import no_room

    name = f"cuda:{index}"
    try:
        facts = torch.cuda.get_device_properties(index)
        name += f" {facts.name}"
        (torch.zeros(1, device=f"cuda:{index}") + 1).item()
    except RuntimeError as error:
        remedy = (
            "end what fills its memory"
            if no_room(error)
            else f"take a build of torch for it: {device.BUILDS}"
        )
        return Finding(
            "device",
            "note",
            f"{name} cannot be used{because(error)}",
            f"{remedy}; or work without it: --device cpu",
        )
    memory = f"{facts.total_memory / 2**30:.0f} GiB"
    return Finding("device", "ok", f"{name}, {memory}: runs the budgets standard and paper")


def _machine(store: Path | str) -> Iterator[Finding]:
    cores = device.default_workers()
    threads = {n: os.environ[n] for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if n in os.environ}
    said = f" ({', '.join(f'{n}={v}' for n, v in threads.items())})" if threads else ""
    yield from _processes()
    yield Finding("cores", "ok", f"{cores} for this process{said}: lthbench run takes {cores} workers")
    total, free = memory()
    if total:
        state = "ok" if free >= MEMORY else "problem"
        text = f"{total:.1f} GiB, {free:.1f} GiB free"
        yield Finding(
            "memory", state, text, "" if state == "ok" else f"free {MEMORY:g} GiB, or use fewer --workers"
        )
    from lthbench.store import open_store
    from lthbench.store.remote import default_folder, is_url

    try:
        place = default_folder() if is_url(store) else Path(store).absolute()
    except LthbenchError as error:
        yield Finding("disk", "problem", str(error), "set XDG_CACHE_HOME to a folder")
        return
    near = next(p for p in (place, *place.parents) if p.exists())
    gigabytes = shutil.disk_usage(near).free / 1e9
    state = "ok" if gigabytes >= DISK else "problem"
    text = f"{gigabytes:.1f} GB free for {store}"
    yield Finding("disk", state, text, "" if state == "ok" else "name another folder with --store DIR")
    writable = os.access(near, os.W_OK | os.X_OK)
    if not writable:
        yield Finding("disk", "problem", f"{near} is read-only", "name another folder with --store DIR")
    try:
        open_store(store).check()
    except LthbenchError as error:
        yield Finding("store", "problem", str(error), "name another folder with --store DIR")


def _processes() -> Iterator[Finding]:
    """Whether worker processes can be started, and temporary files written."""
    import multiprocessing
    import tempfile

    try:
        context = multiprocessing.get_context("spawn")
        context.RawValue("b", 0)
        context.Lock()
    except (OSError, ImportError) as error:
        remedy = "mount /dev/shm (docker run --shm-size=1g), or work in one process: --workers 0"
        yield Finding("workers", "problem", f"no worker process can be started: {error}", remedy)
    try:
        tempfile.gettempdir()
    except OSError as error:
        yield Finding(
            "temporary files", "note", f"none can be written: {error.strerror or error}", "set TMPDIR"
        )
    try:
        loading.default_folder()
    except LthbenchError as error:
        yield Finding("home", "note", str(error), "set XDG_CACHE_HOME to a folder")


def _extras() -> Iterator[Finding]:
    """What each extra is for, where its packages are, and how to get them where they are not."""
    for extra in _metadata("Provides-Extra"):
        use, needed = EXTRAS.get(extra, "more"), list(_required(extra))
        missing = [name for name, _, good in needed if not good]
        if not needed:
            continue
        if missing:
            yield Finding(
                "extras",
                "note",
                f"{extra} ({use}): lacks {', '.join(missing)}",
                f"pip install 'lthbench[{extra}]'",
            )
        else:
            yield Finding("extras", "ok", f"{extra} ({use})")


#: What each extra of the package is for.
EXTRAS = {
    "derma": "downloads DermaMNIST",
    "docs": "makes the pages of the documentation",
    "hub": "scores networks of the Hugging Face hub",
    "mis": "the metric mis-dreamsim",
    "oracles": "the tests against other packages",
    "parquet": "scores.parquet beside scores.csv",
    "ray": "runs on a cluster",
    "remote": "keeps results on an object store",
    "robust": "the metric autoattack",
    "robustbench": "networks of RobustBench",
    "test": "the tests",
}
