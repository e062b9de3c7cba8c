"""What goes wrong because of what the user gave, as opposed to a fault of ours.

LthbenchError          a message for the user; no traceback is shown
├── BadInput           exit code 2: a name, value, file or folder that cannot be used
├── Damaged            an artefact whose content does not match its hashes
├── DeviceLost         a GPU failed: nothing more can be computed on it in this process
└── StepFailed         exit code 1: a step could not be done; the reason is the message
    ├── Unreadable     something may be there, and cannot be looked at: the disk fails, or forbids it
    └── Unwritable     the store cannot take it, or any other: the disk is full, or read-only
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class LthbenchError(Exception):
    """Base of every error whose text is meant for the user."""


class BadInput(LthbenchError):
    """The command cannot be carried out as given. Says what would be valid."""


class Damaged(LthbenchError):
    """An artefact of the store is not what its manifest says it is."""


class DeviceLost(LthbenchError):
    """A device failed, and does nothing more in this process. A run ends with it; others may be tried."""


class StepFailed(LthbenchError):
    """A step could not be completed."""


class PluginWarning(UserWarning):
    """A plug-in left changed what all share, which was put back; or imports code that is not in its hash."""


class Unreadable(StepFailed):
    """The store cannot be read. A run ends with it: what is there may be whole, and is left as it is."""


class Unwritable(StepFailed):
    """The store takes nothing more. A run ends with it; what was finished before is stored."""


def because(error: BaseException) -> str:
    """What a library says of a fault, for the end of a message of our own: one line in brackets."""
    said = " ".join(str(error).split())
    if "allow_pickle" in said:  # what NumPy says of any bytes that are none of its own
        said = "no array that is read without unpickling"
    said = said[:197] + "..." if len(said) > 200 else said.rstrip(".")
    return f" ({said or type(error).__name__})"


def shown(value: Any) -> str:
    """A value as it stands in a message: cut short, and without what cannot be written out."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # whole numbers of thousands of digits
        return f"a {type(value).__name__} too large to print"
    return text if len(text) <= 100 else f"{text[:100]} ..."


def cut_short(reason: str) -> str:
    """Why something failed, as a screen shows it: the beginning of what may be pages from a library."""
    return reason if len(reason) <= 300 else f"{reason[:300].rstrip()} ..."


def unknown(kind: str, name: str, valid: Iterable[str], where: str = "") -> BadInput:
    """The error for a name that does not exist, with the nearest one that does.

    ``kind`` is the singular noun ("method"); ``where`` says how to list the valid names.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    suggestion = next((n for n in names if near and n.lower() == near[0]), None)
    in_line = name.replace("\n", "\\n").replace("\t", "\\t")
    text = f'no {kind} "{in_line}".'
    if suggestion:
        text += f" Did you mean {suggestion}?"
    text += f" Valid: {', '.join(names)}" if len(names) <= 30 else f" There are {len(names)}."
    return BadInput(text + (f" ({where})" if where else ""))
