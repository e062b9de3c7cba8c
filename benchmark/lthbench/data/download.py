"""Published files, fetched by HTTP: what was cut off goes on where it was, and hashes are compared.

A file is written beside its name as ``.part``, with ``.part.json`` to know the server's file again; it gets
its name when its hash is the published one. Archives are unpacked by tarfile's filter ``data``, which lets
nothing out of the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from lthbench._version import __version__
from lthbench.errors import BadInput, StepFailed
from lthbench.files import install
from lthbench.kinds import Dataset

#: Bytes read at once; tries without any progress before giving up; seconds without an answer.
CHUNK, TRIES, PATIENCE = 1 << 20, 4, 30.0

#: Told of the name of a file, the bytes that are there, and all of them (0: unknown).
Told = Callable[[str, int, int], None]


def obtain(
    dataset: Dataset, folder: Path, told: Told = lambda name, done, total: None, wait: float = 1.0
) -> None:
    """Fetch a data set into a folder. Raises BadInput where that cannot be done, StepFailed where it fails.

    ``wait`` is the seconds before the second try; it doubles with each.
    """
    if dataset.download is None and not dataset.archives:
        raise BadInput(f"data set {dataset.name} cannot be downloaded. {dataset.obtain}")
    folder.mkdir(parents=True, exist_ok=True)
    for archive in dataset.archives:
        target = folder / archive.into / archive.url.rsplit("/", 1)[1]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.is_file() and _md5(target) == archive.md5):
            fetch(archive.url, target, archive.md5, told, wait)
        if archive.unpack:
            unpack(target, folder)
            target.unlink()
    if not dataset.archives and dataset.download is not None:
        dataset.download(folder)


def fetch(url: str, target: Path, md5: str, told: Told, wait: float = 1.0) -> None:
    """Fetch one file. Where the connection breaks it is asked for the rest, a few times."""
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"{url}: only http and https are fetched.")
    part = target.with_name(f"{target.name}.part")
    idle = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        reason: object = "the connection broke"
        try:
            if _continue(url, part, told):
                break
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            if error.code < 500:
                raise StepFailed(f"{url}: {reason}") from error
        except (OSError, HTTPException) as error:  # URLError, timeouts and cut connections are among them
            if isinstance(error, OSError) and error.filename is not None:  # a file of ours
                raise
            reason = getattr(error, "reason", error)
        after = part.stat().st_size if part.is_file() else 0
        idle = 0 if after > before else idle + 1
        if idle > TRIES:
            raise StepFailed(f"{url}: {reason}. The same command goes on where this stopped.")
        time.sleep(wait * 2 ** max(idle - 1, 0))
    found = _md5(part)
    if found != md5:
        part.unlink()
        _facts(part).unlink(missing_ok=True)
        raise StepFailed(f"{url}: has MD5 {found}, published is {md5}; what was fetched is removed.")
    install(part, target)
    _facts(part).unlink(missing_ok=True)


def _continue(url: str, part: Path, told: Told) -> bool:
    """Ask for what is not there yet, and write it. False where less came than the server said."""
    have = part.stat().st_size if part.is_file() else 0
    mark = _mark(part) if have else ""
    headers = {"User-Agent": f"lthbench/{__version__}", "Accept-Encoding": "identity"}
    if have and mark:  # only of the same file as before; without a mark it cannot be known again
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        answered = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if answered == str(have):
            return True
        part.unlink()
        return False
    with contextlib.closing(answer):
        resumed = answer.status == 206
        start = have if resumed else 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = start + length if length else 0
        free = shutil.disk_usage(part.parent).free
        if length > free:
            raise StepFailed(
                f"{part.parent}: {length / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free."
            )
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not resumed:
            usable = not mark.startswith("W/")  # a weak mark says nothing of bytes
            _facts(part).write_text(json.dumps({"url": url, "mark": mark if usable else ""}))
        done = start
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                told(part.name.removesuffix(".part"), done, total)
    return not total or done == total


def _facts(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _mark(part: Path) -> str:
    """What the server called the file whose beginning is there."""
    try:
        facts: Any = json.loads(_facts(part).read_text())
        return str(facts["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar file into a folder, whole or not at all: by way of a folder beside it."""
    scratch = folder / f".{archive.name}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with tarfile.open(archive) as content:
            content.extractall(scratch, filter="data")
        for path in sorted(scratch.iterdir()):
            aside = folder / path.name
            if aside.is_dir():
                shutil.rmtree(aside)
            path.replace(aside)
    except (tarfile.TarError, EOFError) as error:
        raise StepFailed(f"{archive}: cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(dataset: Dataset, files: tuple[Path, ...]) -> tuple[int, list[str]]:
    """How many files have the published MD5, and what is wrong with those that have another."""
    good, wrong = 0, []
    for path in files:
        wanted = dataset.published.get(path.name)
        if wanted is None:
            continue
        found = _md5(path)
        if found == wanted:
            good += 1
        else:
            wrong.append(f"{path}: has MD5 {found}, published is {wanted}")
    return good, wrong
