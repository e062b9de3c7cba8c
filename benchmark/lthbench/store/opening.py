"""A store by its place: a folder or a URL."""

from __future__ import annotations

from pathlib import Path

from lthbench.store.leases import Leases
from lthbench.store.local import Store
from lthbench.store.object_leases import _Leases
from lthbench.store.remote import Mirror, is_url


def at(where: Store | Path | str) -> Store:
    """The store in a folder, or at a URL. Raises BadInput where what reaches that is not installed."""
    if isinstance(where, Store):
        return where
    return Mirror(str(where)) if is_url(where) else Store(where)


def leases(store: Store) -> Leases:
    """The leases of a store, where all who share it see them."""
    return _Leases(store) if isinstance(store, Mirror) else Leases(store)
