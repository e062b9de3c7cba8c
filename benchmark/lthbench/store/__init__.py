"""Where results are kept: in a folder, or on an object store."""

from __future__ import annotations

from pathlib import Path

from lthbench.store.base import ResultReader, Store
from lthbench.store.local import LocalStore
from lthbench.store.remote import RemoteStore, is_url
from lthbench.store.snapshot import Snapshot

__all__ = ["LocalStore", "RemoteStore", "ResultReader", "Snapshot", "Store", "open_store"]


def open_store(where: Store | Path | str) -> Store:
    """The store in a folder, or at a URL. Raises BadInput where what reaches that is not installed."""
    if isinstance(where, Store):
        return where
    return RemoteStore(str(where)) if is_url(where) else LocalStore(where)
