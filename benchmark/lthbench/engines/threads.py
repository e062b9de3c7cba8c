"""One thread on a CPU: for torch, and for BLAS and OpenMP beneath numpy, scipy and scikit-learn.

More threads add up numbers in another order, and processes side by side would be in each other's way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

#: Where libraries look for the number of their threads as they are loaded.
_VARIABLES = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def keep_to_one_thread() -> None:
    """Give this process one thread from now on, also in libraries that it loads later."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))


@contextlib.contextmanager
def one_thread(device: str) -> Iterator[None]:
    """One thread on a CPU, as in the workers, so that results do not depend on where they are made."""
    import torch

    before = torch.get_num_threads()
    with _put_back(before) if device == "cpu" else contextlib.nullcontext():
        if device == "cpu":
            keep_to_one_thread()
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _put_back(threads: int) -> Iterator[None]:
    """Give libraries their threads again at the end; those that are loaded meanwhile get ``threads``."""
    from threadpoolctl import ThreadpoolController

    environment = {name: os.environ.get(name) for name in _VARIABLES}
    pools = ThreadpoolController()
    there = {pool["filepath"] for pool in pools.info()}
    try:
        with pools.limit(limits=None):
            yield
    finally:
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        now = ThreadpoolController()
        new = [pool["filepath"] for pool in now.info() if pool["filepath"] not in there]
        now.select(filepath=new).limit(limits=threads)
