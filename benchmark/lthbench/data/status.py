"""The data that is on this machine: where, and whether it is whole. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lthbench import registry
from lthbench.data import concepts, download, loading
from lthbench.errors import BadInput
from lthbench.kinds import Bank, Dataset

#: How many broken files of a split are named.
NAMED = 20


def listed(folder: Path | None) -> dict[str, Any]:
    """All data sets and banks of concepts: found, and where; missing, and how to get them; or broken."""
    places = loading.checked_folders(folder)
    sets = [_row("data set", d, dict(loading.describe(d.name, places))) for d in registry.every(Dataset)]
    sets += [_row("bank of concepts", b, concepts.of_bank(b, places)) for b in registry.every(Bank)]
    return {"folders": [str(p) for p in places], "sets": sets}


def _row(kind: str, record: Dataset | Bank, state: dict[str, str]) -> dict[str, str]:
    fetched = isinstance(record, Dataset) and (record.archives or record.download)
    command = f"lthbench data download {record.name}" if fetched else ""
    return {"name": record.name, "kind": kind, "title": record.title, "command": command, **state}


def verified(
    names: Sequence[str], folder: Path | None, told: Callable[[str], None] = lambda doing: None
) -> Iterator[dict[str, Any]]:
    """Each data set that is named, or is here, read to its end; ``faults`` are what is wrong with it.

    ``digest`` is what stands in keys, ``published`` the number of files that have their published MD5.
    ``told`` hears what is being read. Raises BadInput for a name that there is not, or whose data is not
    here.
    """
    places = loading.checked_folders(folder)
    chosen = [registry.get(Dataset, name) for name in names]
    for dataset in chosen:
        if loading.describe(dataset.name, places)["state"] == "missing":
            loading.find(dataset.name, places)
    every = chosen or [
        d for d in registry.every(Dataset) if loading.describe(d.name, places)["state"] != "missing"
    ]
    for dataset in every:
        yield _verified(dataset, places, told)


def _verified(dataset: Dataset, places: tuple[Path, ...], told: Callable[[str], None]) -> dict[str, Any]:
    faults: list[str] = []
    found: dict[str, Any] = {"name": dataset.name, "digest": "", "published": 0, "where": ""}
    splits: list[str] = []
    try:
        source = loading.find(dataset.name, places)
        digest = loading.digest(source, dataset.name)
        found |= {"digest": digest, "where": f"{source.layout} in {source.root}"}
        found["published"], faults = download.verify(dataset, source.files)
    except (BadInput, OSError) as error:
        faults.append(str(error))
    for split in dataset.splits if not faults else ():
        try:
            broken = _broken(dataset.name, split, places, told)
            faults += broken
            splits += [split] if not broken else []
        except BadInput as error:
            if "test images only" not in str(error):  # a copy may hold these alone, and says so
                faults.append(str(error))
        finally:
            loading.load.cache_clear()
    hashes = f"{found['published']} files as published" if found["published"] else "no hash is published"
    read = f"read {', '.join(splits)}" if splits else ""
    detail = "; ".join(
        part for part in (found["where"], read, hashes if read else "", found["digest"][:12]) if part
    )
    return {
        **found,
        "splits": splits,
        "state": "broken" if faults else "whole",
        "detail": detail,
        "faults": faults,
    }


def _broken(name: str, split: str, places: tuple[Path, ...], told: Callable[[str], None]) -> list[str]:
    """The files of a stream's split that cannot be decoded. Others are decoded as they are read."""
    from lthbench.data.streaming import Stream

    pixels = loading.load(name, split, places).pixels
    if not isinstance(pixels, Stream):
        return []
    found = pixels.faults(lambda done, total: told(f"{name}: {done:,} of {total:,} {split} images"))
    more = [f"and {len(found) - NAMED:,} more of its {split} images"] if len(found) > NAMED else []
    return [*map(str, found[:NAMED]), *more]
