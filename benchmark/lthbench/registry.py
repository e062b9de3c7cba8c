"""Plug-ins, found by the name of their file; other packages' by entry point, a user's own by path.

Listing a kind reads file names only. A plug-in is imported when it is asked for by name.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lthbench.errors import BadInput, unknown
from lthbench.kinds import Architecture, Bank, Criterion, Dataset, Method, Metric

K = TypeVar("K", Architecture, Bank, Dataset, Method, Metric)

_FOLDERS: dict[type, tuple[str, str]] = {
    Architecture: ("architectures", "ARCHITECTURE"),
    Bank: ("banks", "BANK"),
    Dataset: ("datasets", "DATASET"),
    Method: ("methods", "METHOD"),
    Metric: ("metrics", "METRIC"),
}
_paths: dict[tuple[type, str], Path] = {}
_imported: dict[tuple[type, str], object] = {}


def names(kind: type[Any]) -> list[str]:
    """The names of all plug-ins of a kind, sorted. Imports none of them."""
    folder, _ = _FOLDERS[kind]
    return sorted(_shipped(folder) | set(_entry_points(folder)) | {n for k, n in _paths if k is kind})


def is_path(name: str) -> bool:
    """Whether a name, with or without a variant, is that of a file of code."""
    base = name.partition(":")[0] if "/" not in name else name
    return "/" in name or os.sep in name or base.endswith(".py")


def take(path: Path | str) -> None:
    """Take in a file of plug-ins that the user named, of whichever kinds it defines. Raises BadInput."""
    kinds = [(kind, attribute) for kind, (_, attribute) in _FOLDERS.items()]
    found = 0
    for kind, attribute in kinds:
        try:
            get(kind, str(Path(path).resolve()))
            found += 1
        except BadInput:
            module = sys.modules.get(_module_name(Path(path).resolve()))
            if module is None or hasattr(module, attribute):
                raise
    if not found:
        names = ", ".join(attribute for _, attribute in kinds)
        raise BadInput(f"{path}: defines none of {names}.")


def get(kind: type[K], name: str) -> K:
    """The plug-in of this name, or in the file of this path (it has a slash or ends in .py)."""
    folder, attribute = _FOLDERS[kind]
    noun = folder.removesuffix("s")
    if (kind, name) in _imported:
        return _imported[kind, name]  # type: ignore[return-value]
    if "/" in name or name.endswith(".py"):
        return _from_path(kind, noun, attribute, Path(name))
    folded = {_fold(n): n for n in names(kind)}
    if attribute == "METHOD":
        folded |= {_fold(a): n for a, n in _aliases().items()}
    found = folded.get(_fold(name))
    if found is None:
        raise unknown(noun, name, names(kind), f"lthbench {folder}")
    if (kind, found) in _paths:
        return _from_path(kind, noun, attribute, _paths[kind, found])
    points = _entry_points(folder)
    if found in points:
        record = _record(kind, attribute, found, points[found].load(), points[found].value)
    else:
        module = importlib.import_module(f"lthbench.{folder}.{found.replace('-', '_')}")
        record = _record(kind, attribute, found, module, f"lthbench.{folder}")
    _imported[kind, found] = record
    return record


def every(kind: type[K]) -> list[K]:
    """All plug-ins of a kind, imported, by name."""
    return [get(kind, name) for name in names(kind)]


def criterion(name: str) -> Criterion:
    """The pruning criterion of this name, from whichever method defines it."""
    known = _criteria(frozenset(_paths.items()))
    if name not in known:
        raise unknown("pruning criterion", name, known)
    return known[name]


@lru_cache(maxsize=1)
def _criteria(own_files: frozenset[object]) -> dict[str, Criterion]:
    """All criteria; made anew when a user's own file was taken in."""
    return {m.criterion.name: m.criterion for m in every(Method) if m.criterion is not None}


def version(kind: type[Any], name: str) -> str:
    """The version that stands in keys: the plug-in's number, and a hash of a user's own file."""
    for (k, n), path in _paths.items():
        own = k is kind and (n == name or (k is Method and _criterion_name(n) == name))
        if own:
            return f"{_version_number(kind, name)}+{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    return str(_version_number(kind, name))


def path_of(kind: type[Any], name: str) -> Path | None:
    """The user's own file that a plug-in came from."""
    return _paths.get((kind, name))


def user_files() -> dict[str, list[str]]:
    """The users' own files that were named, by kind: what a worker process must be told."""
    found: dict[str, list[str]] = {}
    for (kind, _), path in _paths.items():
        found.setdefault(kind.__name__, []).append(str(path))
    return found


def use_files(files: dict[str, list[str]]) -> None:
    """Take in the users' own files that another process was given."""
    kinds: dict[str, type[Any]] = {k.__name__: k for k in _FOLDERS}
    for kind, paths in files.items():
        for path in paths:
            get(kinds[kind], path)


def _version_number(kind: type[Any], name: str) -> int:
    return criterion(name).version if kind is Method else get(kind, name).version


def _criterion_name(method: str) -> str:
    found = get(Method, method).criterion
    return found.name if found else ""


def _fold(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "")


@cache
def _shipped(folder: str) -> frozenset[str]:
    return frozenset(p.stem.replace("_", "-") for p in (Path(__file__).parent / folder).glob("[!_]*.py"))


@cache
def _aliases() -> dict[str, str]:
    shipped = [p.stem for p in (Path(__file__).parent / "methods").glob("[!_]*.py")]
    modules = [importlib.import_module(f"lthbench.methods.{s}") for s in shipped]
    return {alias: m.METHOD.name for m in modules for alias in m.METHOD.aliases}


@cache
def _entry_points(folder: str) -> dict[str, metadata.EntryPoint]:
    return {p.name: p for p in metadata.entry_points(group=f"lthbench.{folder}")}


def _from_path(kind: type[K], noun: str, attribute: str, path: Path) -> K:
    path = path.resolve()
    if not path.is_file():
        raise BadInput(f"no {noun} file {path}.")
    module_name = _module_name(path)
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise BadInput(f"{path}: not a Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            raise BadInput(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        raise BadInput(f"{path}: must define {attribute} = {kind.__name__}(...).")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", found.name):
        raise BadInput(f"{path}: name: letters, digits, '-', '_' and '.' only, got {found.name!r}.")
    taken = set(names(kind)) - {n for (k, n), p in _paths.items() if k is kind and p == path}
    if found.name in taken:
        raise BadInput(f"{path}: the name {found.name!r} is taken; give the {noun} another.")
    _paths[kind, found.name] = path
    return found


def _module_name(path: Path) -> str:
    return f"lthbench_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _record(kind: type[K], attribute: str, name: str, module: ModuleType | object, where: str) -> K:
    found = module if isinstance(module, kind) else getattr(module, attribute, None)
    if not isinstance(found, kind) or found.name != name:
        raise BadInput(f"{where}: plug-in {name!r} must define {attribute} with name={name!r}.")
    return found
