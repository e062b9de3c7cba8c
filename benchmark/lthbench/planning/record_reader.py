"""Frozen records from TOML or JSON, read strictly: what is wrong is named by its key. Pure."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from lthbench.errors import BadInput, shown, unknown

T = TypeVar("T")
#: No number in a file that people write is larger.
LARGEST = 2**53


def read(kind: type[T], table: Any, where: str, *, largest: int = LARGEST, later_versions: bool = False) -> T:
    """A record of type ``kind`` from a table: no key unknown, none missing that has no default.

    Whole numbers are at most ``largest``. Keys that only ``later_versions`` know are passed over.
    Raises BadInput.
    """
    return typing.cast(T, _Reader(largest, later_versions).convert(kind, table, where))


def check_lengths(table: Mapping[str, Any], most: Mapping[str, int], where: str) -> None:
    """Raise BadInput for a list or table of more entries than are read, by key."""
    for name, count in most.items():
        if isinstance(table.get(name), list | dict) and len(table[name]) > count:
            raise BadInput(f"{where}: {name}: has {len(table[name]):,} entries; at most {count:,} are read.")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a record's fields."""
    return typing.get_type_hints(kind)


@dataclasses.dataclass(frozen=True)
class _Reader:
    largest: int
    later_versions: bool

    def record(self, kind: type[Any], table: dict[str, Any], where: str) -> Any:
        hints = _hints(typing.cast(Hashable, kind))
        declared = {f.name: f for f in dataclasses.fields(kind)}
        for key in table:
            if key not in declared and not self.later_versions:
                raise BadInput(f"{where}: {unknown('key', key, list(declared))}")
        required = {n for n, f in declared.items() if f.default is f.default_factory is dataclasses.MISSING}
        missing = [n for n in declared if n in required and n not in table]
        if missing:
            raise BadInput(f"{where}: missing {', '.join(missing)}")
        return kind(**{f: self.convert(hints[f], table[f], f"{where}: {f}") for f in declared if f in table})

    def convert(self, hint: Any, value: Any, where: str) -> Any:
        if hint is Any:
            return value
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise BadInput(f"{where}: expected a table, got {shown(value)}")
            return self.record(typing.cast(type, hint), value, where)
        if origin is types.UnionType:  # null where it may be left out, or one of several plain kinds
            if value is None and types.NoneType in inner:
                return None
            return self.convert(type(value) if type(value) in inner else inner[0], value, where)
        if origin is tuple:
            if not isinstance(value, list):
                raise BadInput(f"{where}: expected a list, got {shown(value)}")
            return tuple(self.convert(inner[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if origin is dict:
            if not isinstance(value, dict):
                raise BadInput(f"{where}: expected a table, got {shown(value)}")
            return {k: self.convert(inner[1], v, f"{where}.{k}") for k, v in value.items()}
        return self.plain(hint, value, where)

    def plain(self, hint: type[Any], value: Any, where: str) -> Any:
        if type(value) is int and abs(value) > self.largest:
            raise BadInput(f"{where}: no number is larger than {self.largest}, got {shown(value)}")
        if hint is float and type(value) is int:
            value = float(value)
        if type(value) is not hint:
            raise BadInput(f"{where}: expected {hint.__name__}, got {shown(value)}")
        if hint is float and not math.isfinite(value):
            raise BadInput(f"{where}: must be finite, got {value!r}")
        return value
