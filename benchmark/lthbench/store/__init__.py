"""Where results are kept: in a folder, or on an object store."""

from __future__ import annotations

from pathlib import Path

from lthbench.store.base import ResultReader, Store
from lthbench.store.local import LocalStore
from lthbench.store.remote import RemoteStore, is_url
from lthbench.store.snapshot import Snapshot

__all__ = ["LocalStore", "RemoteStore", "ResultReader", "Snapshot", "Store", "open_store"]


def open_store(where: Store | Path | str, sends: bool = True) -> Store:
    """The store in a folder, or at a URL. Raises BadInput where what reaches that is not installed.

    Unless it ``sends``, what is only in the folder of this machine stays there: see ``RemoteStore``.
    """
    if isinstance(where, Store):
        return where
    return RemoteStore(str(where), sends) if is_url(where) else LocalStore(where)
