"""How much work a pickle asks for, told from its operations before any of them is done.

A few hundred bytes may name a tuple that holds itself twice over at each of sixty depths: no memory is needed
for it, but to look it up in a mapping takes for ever. So what each operation would go through is counted.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import IO, Any

#: A container as those in it; what else there is, is None.
_Held = list[Any] | None

#: Keys and what functions are given lie in no more containers than this, and so few in them are not counted:
#: each tensor is made by a function that is given a dozen.
DEPTH, FEW = 500, 30
_MAPPINGS = ("SETITEM", "SETITEMS", "DICT")
_SETS = ("ADDITEMS", "FROZENSET")
_CALLS = ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ")
_MAKES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "LIST", "DICT", "FROZENSET")
_EMPTY = ("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")
_FILLS = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


def counted(file: IO[bytes], count: int, most: int) -> int:
    """``count``, and what one more pickle asks for: a number above ``most`` where that is more.

    Raises what ``pickletools`` raises, or IndexError, for a pickle that is broken; torch refuses such.
    """
    stack: list[_Held] = []
    marks: list[int] = []
    memo: dict[Any, _Held] = {}
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        count += 1
        if name == "MARK":
            marks.append(len(stack))
        elif name in _GETS:
            stack.append(memo[argument])
        elif name in _PUTS:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            first = _start(operation, stack, marks)
            taken = stack[first:]
            del stack[first:]
            count += _gone_through(name, taken, most - count)
            stack += _left(operation, taken)
        if count > most:
            break
    return count


def _start(operation: pickletools.OpcodeInfo, stack: list[_Held], marks: list[int]) -> int:
    """Where on the stack that begins which an operation takes from it."""
    before = operation.stack_before
    if pickletools.markobject in before:
        return marks.pop() - before.index(pickletools.markobject)
    return len(stack) - len(before)


def _left(operation: pickletools.OpcodeInfo, taken: list[_Held]) -> list[_Held]:
    """What an operation puts in place of what it took."""
    name = operation.name
    if name in _FILLS:
        if taken[0] is not None:
            taken[0] += taken[1:]
        return taken[:1]
    if name in _MAKES:
        return [taken]
    if name in _EMPTY:
        return [[]]
    return [None] * len(operation.stack_after)


def _gone_through(name: str, taken: list[_Held], most: int) -> int:
    """How much an operation looks at beside its own: in keys, and in what functions are given."""
    if name in _MAPPINGS:
        size = _size(taken[name != "DICT" :: 2], most)
    elif name in _SETS or name in _CALLS:
        size = _size(taken, most)
    else:
        size = 0
    return size if size > FEW else 0


def _size(held: Iterable[_Held], most: int) -> int:
    """How many are held at all depths, what is held twice counted twice; more than ``most`` is not counted.

    What lies too deep counts as more.
    """
    count, todo = 0, [(one, 1) for one in held if one]
    while todo and count <= most:
        inner, depth = todo.pop()
        if depth > DEPTH:
            return most + 1
        count += len(inner)
        todo += [(one, depth + 1) for one in inner if one]
    return count
