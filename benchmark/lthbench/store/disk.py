"""Room on disk, and the limits that the user sets."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from lthbench.errors import BadInput
from lthbench.store.base import Store
from lthbench.store.inventory import stock


def sets_limit() -> float:
    """The bytes that ``Store.sets`` may take up: ``LTHBENCH_SETS_GB``, or 4 GB. Raises BadInput."""
    return _gigabytes("LTHBENCH_SETS_GB", 4.0, "or 0 to keep no sets")


def quota() -> float:
    """The bytes that a store may take up: ``LTHBENCH_STORE_GB``, or all there are. Raises BadInput."""
    return _gigabytes("LTHBENCH_STORE_GB", float("inf"), "or nothing for all that the disk has")


def _gigabytes(variable: str, default: float, otherwise: str) -> float:
    given = os.environ.get(variable, "")
    try:
        gigabytes = float(given) if given else default
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0.0:
        raise BadInput(f"{variable}={given}: give a number of gigabytes, {otherwise}.")
    return gigabytes * 1e9


def room(store: Store, size: float, what: str) -> None:
    """Raise BadInput if the disk of a store, or its quota, has no room for so many bytes."""
    most = quota()
    taken = stock(store).size() if math.isfinite(most) else 0
    if taken + size > most:
        raise BadInput(
            f"store {store.root}: {what} needs about {size / 1e9:.2g} GB, and of {most / 1e9:g} GB "
            f"(LTHBENCH_STORE_GB) {taken / 1e9:.2g} GB are taken. Make room (lthbench store prune), or "
            "allow more."
        )
    free = free_bytes(store.root)
    if size > free:
        raise BadInput(
            f"store {store.root}: {what} needs about {size / 1e9:.2g} GB, the disk has {free / 1e9:.2g} GB "
            "free. Make room (lthbench store prune), or give another folder with --store."
        )


def free_bytes(folder: Path) -> int:
    """The bytes free where a folder is, or will be."""
    near = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    return shutil.disk_usage(near).free
