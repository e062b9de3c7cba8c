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
import warnings
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lthbench.errors import BadInput, LthbenchError, PluginWarning, unknown
from lthbench.formatting import folded
from lthbench.global_state import kept
from lthbench.kinds import Architecture, Bank, Criterion, Dataset, Method, Metric, packages
from lthbench.kinds.beside import warn_of_imports
from lthbench.kinds.origins import Origin, OwnFile, module_name, said
from lthbench.kinds.scores import apart

K = TypeVar("K", Architecture, Bank, Dataset, Method, Metric)

_FOLDERS: dict[type, tuple[str, str]] = {
    Architecture: ("architectures", "ARCHITECTURE"),
    Bank: ("banks", "BANK"),
    Dataset: ("datasets", "DATASET"),
    Method: ("methods", "METHOD"),
    Metric: ("metrics", "METRIC"),
}
#: Networks of other packages, ``family:name``: the module whose ``architecture`` makes a record of each.
FAMILIES = {"robustbench": "lthbench.architectures._robustbench"}
_paths: dict[tuple[type, str], Path] = {}
_digests: dict[Path, str] = {}  # of users' own files, as they were imported
_imported: dict[tuple[type, str], object] = {}
_unusable: dict[str, str] = {}


def names(kind: type[Any]) -> list[str]:
    """The names of all plug-ins of a kind, sorted. Imports none of them."""
    folder, _ = _FOLDERS[kind]
    return sorted(_shipped(folder) | _offered(folder) | {n for k, n in _paths if k is kind})


def called(kind: type[Any], name: str) -> str | None:
    """Which plug-in a name stands for: one of just this name, or of one that compares equal, or an alias."""
    own = names(kind)
    if name in own or name.startswith("-"):
        return name if name in own else None
    found = next((n for n in own if folded(n) == folded(name)), None)
    return _aliases().get(folded(name)) if found is None and kind is Method else found


def is_path(name: str) -> bool:
    """Whether a name, with or without a variant, is that of a file of code."""
    code = name.endswith(".py") or name.partition(":")[0].endswith(".py")
    return code or "/" in name or os.sep in name


def take(path: Path | str) -> None:
    """Take in a file of plug-ins that the user named, of whichever kinds it defines. Raises BadInput."""
    path = Path(path).resolve()
    if _at_home(path) is not None:
        return
    for kind in kinds_in(path):
        get(kind, str(path))


def get(kind: type[K], name: str) -> K:
    """The plug-in of this name, or in the file of this path: see ``is_path``."""
    folder, attribute = _FOLDERS[kind]
    noun = folder.removesuffix("s")
    if (kind, name) in _imported:
        return _imported[kind, name]  # type: ignore[return-value]
    if is_path(name):
        at_home = _at_home(Path(name))
        if at_home is None:
            return _from_path(kind, noun, attribute, Path(name))
        name = at_home[1]
    family, colon, _ = name.partition(":")
    if kind is Architecture and colon and family in FAMILIES:
        module = importlib.import_module(FAMILIES[family])
        _imported[kind, name] = module.architecture(name)
        return _imported[kind, name]  # type: ignore[return-value]
    found = called(kind, name)
    if found is None:
        where = f"lthbench {folder}; one in a file of your own: --plugin FILE"
        raise unknown(noun, name, names(kind), where)
    if (kind, found) in _paths:
        return _own(kind, found)
    if found in _shipped(folder):
        module = importlib.import_module(f"lthbench.{folder}.{found.replace('-', '_')}")
        record = _record(kind, attribute, found, module, f"lthbench.{folder}")
    else:
        record = _from_package(kind, attribute, found)
    _imported[kind, found] = record
    return record


def known(kind: type[K], name: str) -> K | None:
    """The plug-in of a name that stands in a file that others may have written; None for one not known here.

    It ships, is of an installed package, or was named on this command line: no path is imported.
    """
    try:
        return None if is_path(name) else get(kind, name)
    except LthbenchError:
        return None


def every(kind: type[K]) -> list[K]:
    """All plug-ins of a kind, imported, by name; those of packages that cannot be used are passed over.

    ``unusable`` says which and why.
    """
    folder, _ = _FOLDERS[kind]
    found = []
    for name in names(kind):
        try:
            found.append(get(kind, name))
        except BadInput as error:
            if name not in packages.entry_points(folder):
                raise
            _unusable[f"{folder.removesuffix('s')} {name}"] = str(error)
    return found


def unusable() -> dict[str, str]:
    """Why plug-ins of other packages cannot be used, by kind and name: of those that were tried."""
    for kind, (folder, _) in _FOLDERS.items():
        for name in sorted(packages.entry_points(folder).keys() - _offered(folder)):
            where, noun = packages.named(packages.entry_points(folder)[name]), folder.removesuffix("s")
            _unusable[f"{noun} {name}"] = f"{where}: {name} is the name of one that ships; give it another."
        if packages.entry_points(folder):
            every(kind)
    return dict(_unusable)


def packaged(kind: type[Any]) -> dict[str, str]:
    """The plug-ins of a kind that other packages offer, and which package, with its version. Imports none."""
    return {name: packages.named(point) for name, point in packages.entry_points(_FOLDERS[kind][0]).items()}


def kinds_in(path: Path) -> list[type[Any]]:
    """The kinds of plug-in that a user's own file defines. Raises BadInput for one that defines none."""
    at_home = _at_home(path)
    if at_home is not None:
        return [at_home[0]]
    module = _module(path, "plug-in")
    found = [kind for kind, (_, attribute) in _FOLDERS.items() if hasattr(module, attribute)]
    if not found:
        wanted = ", ".join(attribute for _, attribute in _FOLDERS.values())
        raise BadInput(f"{path}: defines no plug-in: none of {wanted}.")
    return found


def criterion(name: str) -> Criterion:
    """The pruning criterion of this name, from whichever method defines it."""
    known = _criteria(_own_files())
    if name not in known:
        raise unknown("pruning criterion", name, known, "one of your own: criterion= of its Method")
    return known[name][0]


def _own_files() -> frozenset[object]:
    """What the criteria depend on: the users' own files, as they were imported."""
    return frozenset((kind, name, path, _digests[path]) for (kind, name), path in _paths.items())


@lru_cache(maxsize=1)
def _criteria(own_files: frozenset[object]) -> dict[str, tuple[Criterion, str]]:
    """All criteria with the methods that define them; made anew when a user's own file was taken in.

    Raises BadInput for a name that stands for two.
    """
    found: dict[str, tuple[Criterion, str]] = {}
    own = {name for kind, name in _paths if kind is Method} | set(packages.entry_points("methods"))
    for method in sorted(every(Method), key=lambda m: m.name in own):
        for criterion in method.prunes_by():
            known, owner = found.setdefault(criterion.name, (criterion, method.name))
            if known != criterion:
                raise BadInput(
                    f"method {method.name}: its criterion is called {known.name}, as that of {owner}; they "
                    "would be taken for one another. Give it a name of its own."
                )
    return found


def version(kind: type[Any], name: str) -> str:
    """The version that stands in keys: the plug-in's number, and a hash of a user's own or package's file.

    The hash is that of the file as it was imported: a result belongs to the code that made it. Of networks of
    other packages it is that of the packages' versions.
    """
    owner = _criteria(_own_files())[name][1] if kind is Method else name
    if kind is Architecture and (family := owner.partition(":")[0]) in FAMILIES:
        return f"{_version_number(kind, name)}+{importlib.import_module(FAMILIES[family]).source()[:12]}"
    found = origin(kind, owner)
    return f"{_version_number(kind, name)}+{found.digest[:12]}" if found else str(_version_number(kind, name))


def origin(kind: type[Any], name: str) -> Origin | None:
    """The file or package of a plug-in that does not ship, with a hash of the file as it was imported."""
    if (kind, name) in _paths:
        return Origin(str(_paths[kind, name]), _digests[_paths[kind, name]])
    point = None if ships(kind, name) else packages.entry_points(_FOLDERS[kind][0]).get(name)
    if point is None:
        return None
    get(kind, name)  # a new process, such as a worker, has not imported it yet
    return Origin(packages.named(point), packages.digest(point))


def ships(kind: type[Any], name: str) -> bool:
    """Whether the plug-in of this name is one of lthbench itself."""
    return (kind, name) not in _paths and name in _shipped(_FOLDERS[kind][0])


def record_version(kind: type[Any], name: str) -> int | str:
    """The version of a data set, bank or architecture in keys: a number where it ships, else ``version``."""
    found = version(kind, name)
    return int(found) if found.isdecimal() else found


def path_of(kind: type[Any], name: str) -> Path | None:
    """The user's own file that a plug-in came from."""
    return _paths.get((kind, name))


def taken(path: Path) -> bool:
    """Whether the user named this file of plug-ins, so that it has been taken in."""
    return path.resolve() in _paths.values()


def user_files() -> tuple[OwnFile, ...]:
    """The users' own files that were named: what a worker process must be told."""
    return tuple(OwnFile(kind.__name__, str(path), _digests[path]) for (kind, _), path in _paths.items())


def use_files(files: Iterable[OwnFile]) -> None:
    """Take in the users' own files that another process was given. Raises BadInput for one that differs."""
    kinds: dict[str, type[Any]] = {k.__name__: k for k in _FOLDERS}
    for kind, name, digest in files:
        path = Path(name)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise BadInput(
                f"{path}: is not there, or is another file than when the run was planned. What it gives "
                "would be kept as a result of that file: run the command again."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PluginWarning)  # the other process told of it
            get(kinds[kind], name)
        if _digests[path.resolve()] != digest:
            raise BadInput(f"{path}: changed while it was read. Run the command again.")


def _version_number(kind: type[Any], name: str) -> int:
    return criterion(name).version if kind is Method else get(kind, name).version


@cache
def _shipped(folder: str) -> frozenset[str]:
    return frozenset(p.stem.replace("_", "-") for p in (Path(__file__).parent / folder).glob("[!_]*.py"))


def _offered(folder: str) -> set[str]:
    """The names of what other packages offer, but for those that would be taken for one that ships."""
    taken = {folded(name) for name in _shipped(folder)}
    return {name for name in packages.entry_points(folder) if folded(name) not in taken}


def _aliases() -> dict[str, str]:
    """The names of methods by what else they are called; what ships keeps its own. Imports all of them."""
    methods = sorted(every(Method), key=lambda m: ships(Method, m.name))
    return {folded(alias): m.name for m in methods for alias in m.aliases}


def _from_package(kind: type[K], attribute: str, name: str) -> K:
    """The plug-in that another package offers. Raises BadInput, naming the package, for one of no use."""
    folder, _ = _FOLDERS[kind]
    point = packages.entry_points(folder)[name]
    where = packages.offering(folder, name)
    try:
        with kept(where):
            loaded = point.load()
        packages.digest(point)
    except Exception as error:
        raise BadInput(f"{where}: {point.value} cannot be imported: {said(error)}") from error
    record = _record(kind, attribute, name, loaded, f"{where}: {point.value}")
    if isinstance(record, Metric):
        apart(record, where, _metrics(name), packages.scores)
    return record


def _at_home(path: Path) -> tuple[type[Any], str] | None:
    """The kind and name of a plug-in that ships, by the path of its file; None for any other file."""
    path = path.resolve()
    for kind, (folder, _) in _FOLDERS.items():
        name = path.stem.replace("_", "-")
        if path.parent == Path(__file__).parent.resolve() / folder and name in _shipped(folder):
            return kind, name
    return None


def _from_path(kind: type[K], noun: str, attribute: str, path: Path) -> K:
    module, path = _module(path, noun), path.resolve()
    found = getattr(module, attribute, None)
    if not isinstance(found, kind):
        raise BadInput(f"{path}: must define {attribute} = {kind.__name__}(...).")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", found.name):
        raise BadInput(f"{path}: name: letters, digits, '-', '_' and '.' only, got {found.name!r}.")
    taken = set(names(kind)) - {n for (k, n), p in _paths.items() if k is kind and p == path}
    for name in (n for n in sorted(taken) if folded(n) == folded(found.name)):
        whose = _whose(kind, name) + ("" if name == found.name else f" and is called {name!r}")
        raise BadInput(f"{path}: the name {found.name!r} is taken, by {whose}; give the {noun} another.")
    if isinstance(found, Metric):
        apart(found, str(path), _metrics(path), packages.scores)
    _paths[kind, found.name] = path
    return found


def _whose(kind: type[Any], name: str) -> str:
    """Where a plug-in of this name comes from, for a message."""
    folder, _ = _FOLDERS[kind]
    if (kind, name) in _paths:
        return str(_paths[kind, name])
    return (
        "one that ships" if name in _shipped(folder) else packages.named(packages.entry_points(folder)[name])
    )


def _metrics(but: Path | str) -> Iterator[tuple[Metric, str]]:
    """The metrics that ship, and those taken in, but for one file's or name; and whose each is."""
    for name in _shipped("metrics"):
        get(Metric, name)
    own = [(_own(Metric, n), str(path)) for (k, n), path in _paths.items() if k is Metric and path != but]
    others = [(m, _whose(Metric, n)) for (_, n), m in _imported.items() if isinstance(m, Metric) and n != but]
    yield from (*own, *others)


def _own(kind: type[K], name: str) -> K:
    """A plug-in of a user's own file as it was imported, whatever the file holds by now."""
    found: K = getattr(sys.modules[module_name(_paths[kind, name])], _FOLDERS[kind][1])
    return found


def _module(path: Path, noun: str) -> ModuleType:
    """A user's own file, imported once, and again where it was named again and has changed."""
    path = path.resolve()
    if not path.is_file():
        raise BadInput(f"no {noun} file {path}.")
    name, before = module_name(path), sys.modules.get(module_name(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if before is not None and _digests.get(path) == digest:
        return before
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not isinstance(spec.loader, SourceLoader):
        raise BadInput(f"{path}: not a file of Python code, which ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # The bytes that were hashed, and no others: not a cache, and not the file as it may be by now.
        with kept(str(path)):
            exec(spec.loader.source_to_code(content, str(path)), module.__dict__)
    except Exception as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise BadInput(f"{path}: cannot be imported: {said(error)}") from error
    _digests[path] = digest
    warn_of_imports(path, content)
    places = list(_paths.values())
    for kind, old in [key for key, own in _paths.items() if own == path]:
        del _paths[kind, old]  # it may go by another name now, or define none
        if hasattr(module, _FOLDERS[kind][1]):
            _from_path(kind, noun, _FOLDERS[kind][1], path)
    for key in sorted(_paths, key=lambda key: places.index(_paths[key])):
        _paths[key] = _paths.pop(key)  # in its old place: later files may take the spread of its scores
    return module


def _record(kind: type[K], attribute: str, name: str, module: ModuleType | object, where: str) -> K:
    found = module if isinstance(module, kind) else getattr(module, attribute, None)
    if not isinstance(found, kind) or found.name != name:
        raise BadInput(f"{where}: plug-in {name!r} must define {attribute} with name={name!r}.")
    return found
