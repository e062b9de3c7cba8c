"""From an older schema of the store to this version's, one number at a time.

A function for each number changes the files of one artefact. What is killed in the middle goes on with the
same command: the marker says meanwhile that the store is neither one nor the other, so that nobody works on
it, and an artefact is moved aside whole before the new one takes its place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from lthbench.errors import BadInput
from lthbench.store import local as stores
from lthbench.store.inventory import keys
from lthbench.store.local import Store, check_schema, manifest_text, marker_of

#: Makes the files of an artefact, by name and without the manifest, those of the next schema.
Change = Callable[[dict[str, bytes]], dict[str, bytes]]
#: By the number of the schema that a change starts from. There was no other schema yet.
CHANGES: dict[int, Change] = {}
#: Where artefacts of the older schema stand until those of the newer one are in their places.
_ASIDE = "migrating"


def migrate(store: Store) -> int:
    """Bring a store to this version's schema. Returns how many artefacts were changed. Raises BadInput."""
    facts = marker_of(store.root)
    changed = 0
    while (now := facts.get("migrating", facts["schema"])) != stores.SCHEMA:
        if now not in CHANGES:
            check_schema(str(store.root), facts["schema"])
            raise BadInput(f"store {store.root}: nothing leads from schema {now} to {stores.SCHEMA}.")
        facts = {**facts, "schema": now + 1, "migrating": now}
        _mark(store, facts)
        changed += _rewrite(store, now + 1, CHANGES[now])
        facts = {name: value for name, value in facts.items() if name != "migrating"}
        _mark(store, facts)
    return changed


def _mark(store: Store, facts: dict[str, object]) -> None:
    with store.writing():
        scratch = store.scratch()
        scratch.parent.mkdir(exist_ok=True)
        scratch.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        scratch.replace(store.root / "store.json")


def _rewrite(store: Store, schema: int, change: Change) -> int:
    """Change all artefacts that are not changed yet. What is damaged stays so, and is made again by a run."""
    aside = store.root / _ASIDE
    with store.writing():
        aside.mkdir(exist_ok=True)
        for old in aside.iterdir():  # was killed between the two renames, or before the end
            if (store.place(old.name) / "manifest.json").is_file():
                shutil.rmtree(old)
            else:
                old.rename(store.place(old.name))
        changed = 0
        for key, folder in list(keys(store)):
            files = _files(folder, key, schema - 1)
            if files is not None:
                content = change(files)
                hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
                scratch = store.scratch()
                scratch.mkdir()
                for name, data in (*content.items(), ("manifest.json", manifest_text(key, hashes, schema))):
                    (scratch / name).write_bytes(data)
                folder.rename(aside / key)
                scratch.rename(folder)
                changed += 1
        shutil.rmtree(aside)
    (store.root / "index.tsv").unlink(missing_ok=True)  # sizes are others now
    return changed


def _files(folder: Path, key: str, schema: int) -> dict[str, bytes] | None:
    """The files of a whole artefact of a schema; None for any other."""
    try:
        text = (folder / "manifest.json").read_bytes()
        hashes = json.loads(text)["files"]
        if text != manifest_text(key, hashes, schema):
            return None
        files = {name: (folder / name).read_bytes() for name in hashes}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    whole = all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in hashes.items())
    return files if whole else None
