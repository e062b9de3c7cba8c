"""What of a store nobody needs, and deleting it."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lthbench.store.base import Store
from lthbench.store.inventory import Stock, reindex, stock


@dataclass(frozen=True)
class Unneeded:
    """Artefacts (kind and bytes, by key), other files and folders, and savepoints that may go.

    ``stay`` are the artefacts that are kept, as far as they are in the store's folder, and ``left`` how many
    are kept in all.
    """

    artefacts: dict[str, tuple[str, int]]
    rubbish: dict[Path, int]
    savepoints: dict[str, int]
    stay: dict[str, tuple[str, int]]
    left: int

    def size(self) -> int:
        """All bytes."""
        artefacts = sum(size for _, size in self.artefacts.values())
        return artefacts + sum(self.rubbish.values()) + sum(self.savepoints.values())

    def parts(self) -> list[str]:
        """What it is, counted: "12 train", "3 savepoints"."""
        said = [f"{n:,} {kind.lower()}" for kind, (n, _) in Stock(self.artefacts).by_kind().items()]
        said += [f"{len(self.rubbish):,} unfinished, damaged or spare"] if self.rubbish else []
        return said + ([f"{len(self.savepoints):,} savepoints"] if self.savepoints else [])


def unneeded(
    store: Store, wanted: Collection[str] | None, sets: bool = False, savepoints: bool = False
) -> Unneeded:
    """What of a store may go: all but the artefacts that are ``wanted`` (None: all are), by key.

    Kept ``sets`` of corrupted images, and ``savepoints``, go where that is asked for. Raises Unreadable
    where it cannot be told what something is.
    """
    found, saved = stock(store), store.saved()
    there = store.elsewhere() or {}
    held = {key: ("unknown", size) for key, size in there.items()} | found.artefacts
    gone = {} if wanted is None else {key: facts for key, facts in held.items() if key not in wanted}
    rubbish = {**found.half, **found.damaged}
    if sets and store.sets.is_dir():
        rubbish[store.sets] = found.sets
    unwanted = {key for key in saved if wanted is not None and key not in wanted}
    done = {k: size for k, size in saved.items() if savepoints or k in held or k in unwanted}
    stay = {key: facts for key, facts in found.artefacts.items() if key not in gone}
    return Unneeded(gone, rubbish, done, stay, len(held) - len(gone))


def delete(store: Store, unneeded: Unneeded) -> None:
    """Delete it. Raises Unwritable."""
    for key in unneeded.artefacts:
        store.delete(key)
    for key in unneeded.savepoints:
        store.unsave(key)
    with store.writing():
        for path in unneeded.rubbish:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    reindex(store, unneeded.stay)
