"""Printing: what a file calls itself must not steer the terminal."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
import shlex
import shutil
import sys
import textwrap
from typing import Any

import click

from lthbench.formatting import printable
from lthbench.textfiles import known


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print as ``click.echo`` does, with characters that steer terminals written out.

    A standard error that takes nothing, for a full disk or a pipe that was closed, ends no work.
    """
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(printable(str(message)), err=err, nl=nl)


def echo_json(value: Any) -> None:
    """Print as JSON, in ASCII where standard output is not UTF-8: what stands for its signs ends texts.

    No number is null: JSON has none that is not finite.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    plain = codecs.lookup(encoding).name != "utf-8"
    echo(json.dumps(known(value), indent=1, ensure_ascii=plain, allow_nan=False))


def columns() -> int:
    """How many letters a line of the terminal takes; 80 where there is none."""
    return shutil.get_terminal_size().columns


def pasted(command: str, width: int | None = None) -> str:
    """A command in lines that fit the terminal where options do, and that a shell takes as one."""
    room = max(40, columns() if width is None else width) - len(" \\")
    # Options stay beside their values; what is quoted stays whole.
    words = [shlex.quote(word) for word in shlex.split(command)]
    lines: list[str] = []
    for place, word in enumerate(words):
        alone = place < 2 or word.startswith("--")
        if not lines or (alone and place and len(lines[-1]) + 1 + len(_option(words[place:])) > room):
            lines.append(word if not lines else f"  {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(_folded(line, room) for line in lines)


def _folded(line: str, room: int) -> str:
    """A line with a list that is longer than the room, broken behind commas: a shell takes it as one."""
    if len(line) <= room or "'" in line:
        return line
    found = [""]
    for part in re.findall(r"[^,]+,?", line):
        if len(found[-1]) + len(part) > room and found[-1]:
            found.append("")
        found[-1] += part
    return "\\\n".join(found)


def _option(words: list[str]) -> str:
    """The first of these, and what follows up to the next option."""
    end = next((n for n, word in enumerate(words) if n and word.startswith("--")), len(words))
    return " ".join(words[:end])


def wrapped(text: str, indent: int = 0, width: int | None = None) -> str:
    """Text in lines that fit the terminal, or ``width``; those after the first begin with spaces.

    No word is broken: paths, addresses and options stay as they can be copied.
    """
    room = max(40, columns() if width is None else width)
    return textwrap.fill(
        text, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
