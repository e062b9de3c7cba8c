"""What a checkpoint file holds, at any depth: tensors by name, masks beside them, and what was left aside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lthbench.checkpoints import activations, quantised
from lthbench.checkpoints.quantised import Stored
from lthbench.errors import BadInput
from lthbench.formatting import one_line

Tensors = dict[str, torch.Tensor]

#: Keys under which files keep masks, and those under which they keep an optimiser.
_MASKS = re.compile(r"(^|_)masks?(_|$)")
_OPTIMISERS = re.compile(r"optim(izer)?s?(_states?|_state_dicts?)?|opt(_state)?", re.IGNORECASE)
#: More places than this no checkpoint has, nor more tensors.
PLACES, TENSORS = 200_000, 20_000
#: Nor names of more letters, each and all together: each name is held to those of many projects.
LETTERS, ALL_LETTERS = 1_000, 1_000_000


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors as they were found. A name is the path to it: the keys on the way, then its own.

    ``where`` is what messages call it, ``sha256`` the hash of its file ("" for what is in memory). ``homes``
    says for each tensor in which mapping of the file it stands ("" for the outermost), ``masks`` are the
    groups of masks that the file keeps apart from weights, by the key of each, ``lists`` the shapes of
    tensors that it lists without names, by where, ``aside`` what was not read: objects, and these lists.
    ``stored`` says how the tensors were stored that were quantised, by name, ``activations`` how activations
    are rounded, ``pixels`` the ``mean`` and ``std`` that its network is known to be made for: none of its own
    where that is empty, and None where nobody knows. ``module`` is the network itself where that was given.
    """

    where: str
    tensors: Tensors
    masks: dict[str, Tensors] = field(default_factory=dict)
    sha256: str = ""
    homes: dict[str, str] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    lists: dict[str, tuple[torch.Size, ...]] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
    activations: activations.Found = field(default_factory=activations.Found)
    pixels: Mapping[str, tuple[float, ...]] | None = None
    module: torch.nn.Module | None = None


class Record:
    """Stands for an object of another program, of which nothing is made and nothing is run."""

    def __init__(self, *_: Any, **__: Any):
        """Take what the object was made of, and forget it."""

    def __setstate__(self, state: Any) -> None:
        """Take what the object held, and forget it."""


def opened(content: Any, where: str, sha256: str = "", objects: tuple[str, ...] = ()) -> Checkpoint:
    """What a file holds, by name. Raises BadInput where that is no tensor."""
    return together([content], where, sha256, objects)


def together(
    contents: Sequence[Any], where: str, sha256: str = "", objects: tuple[str, ...] = ()
) -> Checkpoint:
    """What the files of one checkpoint hold, by name. Raises BadInput where none holds a tensor."""
    for content in contents:
        if isinstance(content, torch.Tensor):
            raise BadInput(f"{where}: holds one tensor; a state dict with names is needed.")
        if not isinstance(content, Mapping | list | tuple):
            raise BadInput(f"{where}: holds a {type(content).__name__}; a state dict is needed.")
    found = Checkpoint(where, {}, {}, sha256, {}, objects)
    aside = list(objects)
    for path, name, value in (one for content in contents for one in _walk(content, where)):
        if name is None:
            aside.append(f"{path}, a list of tensors without names")
            found.lists[path] = value
            continue
        full = f"{path}.{name}" if path else name
        place, inner = _mask_group(path, name)
        tensors = found.tensors if place is None else found.masks.setdefault(place, {})
        called = full if place is None else inner
        if called in tensors:
            raise BadInput(f"{where}: has two tensors of the name {called[:100]}.")
        tensors[called] = value
        if len(tensors) > TENSORS:
            raise too_many(where)
        if place is None:
            found.homes[called] = path
    if not found.tensors and not found.masks:
        mappings = [content for content in contents if isinstance(content, Mapping)]
        if not mappings:
            raise BadInput(f"{where}: holds a {type(contents[0]).__name__}; a state dict is needed.")
        keys = [str(k) for k in list(mappings[0])[:8]]
        check_names(keys, where)
        names = ", ".join(keys) or "nothing"
        raise BadInput(f"{where}: holds no tensors by name; it has {names}.")
    check_names((*found.masks, *found.lists), where)
    for group in (found.tensors, *found.masks.values()):
        check_names(group, where)
    tensors, stored = quantised.plain(found.tensors, where)
    for group in (tensors, *found.masks.values()):
        _check(group, where)
    rounded = activations.found(found.tensors, where, stored)
    rest = (tuple(aside), found.lists, stored, rounded)
    return Checkpoint(where, tensors, found.masks, sha256, found.homes, *rest)


def too_many(where: str) -> BadInput:
    """The error for a file of more tensors than any network has."""
    return BadInput(f"{where}: holds more than {TENSORS:,} tensors; a state dict of one network is needed.")


def _walk(content: Any, where: str) -> Iterator[tuple[str, str | None, Any]]:
    """Where each tensor stands, and its name; for a list of tensors no name, and their shapes.

    Optimisers are passed over.
    """
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", content)]
    while todo:
        path, here = todo.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if len(seen) > PLACES:
            raise BadInput(f"{where}: holds more than {PLACES:,} mappings; a state dict is needed.")
        if isinstance(here, Mapping) and "param_groups" in here:
            continue
        pairs = here.items() if isinstance(here, Mapping) else enumerate(here)
        inner: list[tuple[str, Any]] = []
        unnamed: list[torch.Size] = []
        for key, value in pairs:
            name = str(key)
            if isinstance(value, torch.Tensor):
                if isinstance(here, Mapping):
                    yield path, name, value
                else:
                    unnamed.append(value.shape)
            elif name.endswith(quantised.PACKED) and isinstance(value, list | tuple):
                kind = here.get(quantised.kind_of(name)) if isinstance(here, Mapping) else None
                for own, tensor in quantised.unpacked(name, value, kind):
                    yield path, own, tensor
            elif isinstance(value, Mapping | list | tuple) and not _OPTIMISERS.fullmatch(name):
                inner.append((f"{path}.{name}" if path else name, value))
        if unnamed and path:
            yield path, None, tuple(unnamed)
        todo.extend(reversed(inner))


def _mask_group(path: str, name: str) -> tuple[str | None, str]:
    """The key of a group of masks that a tensor belongs to (None: to none), and its name in it."""
    pieces = path.split(".") if path else []
    for i, piece in enumerate(pieces):
        if _MASKS.search(piece):
            return ".".join(pieces[: i + 1]), ".".join([*pieces[i + 1 :], name])
    first, _, rest = name.partition(".")
    if rest and first in ("mask", "masks"):
        return ".".join([*pieces, first]), rest
    return None, name


def check_names(names: Iterable[str], where: str) -> None:
    """Raise BadInput for a name of several lines, one that would steer a terminal, or one too long."""
    letters = 0
    for name in names:
        letters += len(name)
        if not one_line(name[:LETTERS]):
            raise BadInput(f"{where}: has a name with control characters: {name[:100]!a}.")
        if len(name) > LETTERS:
            raise BadInput(f"{where}: has a name of more than {LETTERS:,} letters: {name[:100]!a} ...")
    if letters > ALL_LETTERS:
        raise BadInput(f"{where}: has names of more than {ALL_LETTERS:,} letters; a state dict is needed.")


def _check(tensors: Tensors, where: str) -> None:
    """Raise BadInput unless each tensor has a number in memory for each that its shape says."""
    for name, t in tensors.items():
        if t.layout != torch.strided or t.is_quantized or t.device.type == "meta":
            kind = "quantized" if t.is_quantized else "empty" if t.device.type == "meta" else "sparse"
            raise BadInput(f"{where}: {name[:100]} is {kind}; save tensors as dense ones of plain numbers.")
        size = t.numel() * t.element_size()
        if size > max(1e8, t.untyped_storage().nbytes()):
            raise BadInput(
                f"{where}: {name[:100]} would take {size / 1e9:.3g} GB, and its file has less of it."
            )
