"""The headers of files of tensors, read as safetensors reads them: it must take what is taken here."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lthbench.store import layout

#: No header of a file of tensors has more bytes.
HEADER = 10_000_000
#: The bytes of a number, by kind.
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}


class Misfit(ValueError):
    """Says what of an artefact is not what its step makes."""


class Tensor(NamedTuple):
    """What a header tells of a tensor."""

    dtype: str
    shape: tuple[int, ...]


def headed(start: bytes, length: int, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file of so many bytes that begins so, and what it tells of them. Raises Misfit."""
    size = int.from_bytes(start[:8], "little")
    text = start[8 : 8 + size].decode(errors="replace")
    found = layout.parsed(text) if len(start) >= 8 + size and text.startswith("{") else None
    if found is None or "\ufffd" in text:
        raise Misfit(f"{name} is no file of tensors")
    told = found.pop("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise Misfit(f"{name} tells of its tensors what is no text")
    places = []
    for known in found.values():
        if not isinstance(known, dict) or not _is_described(known):
            raise Misfit(f"{name} does not say what its tensors are")
        places.append((*known["data_offsets"], math.prod(known["shape"]) * _BYTES[known["dtype"]]))
    end = 0
    for begin, after, taken in sorted(places):  # one behind the other, with nothing between them
        if begin != end or after - begin != taken:
            raise Misfit(f"{name} does not say where its tensors are")
        end = after
    if end != length - 8 - size:
        raise Misfit(f"{name} has not the bytes that its tensors take")
    return {n: Tensor(t["dtype"], tuple(t["shape"])) for n, t in found.items()}, told


def _is_described(known: dict[str, Any]) -> bool:
    """Whether a tensor has a kind of numbers, a shape and a place."""
    if known.keys() != {"dtype", "shape", "data_offsets"} or str(known["dtype"]) not in _BYTES:
        return False
    shape, place = known["shape"], known["data_offsets"]
    whole = isinstance(shape, list) and isinstance(place, list) and len(place) == 2
    return whole and all(type(n) is int and 0 <= n < 2**63 for n in (*shape, *place))
