"""What a command is doing, on one line of the terminal, once it takes longer than a moment."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click

from lthbench.formatting import printable

#: Seconds before anything is said, and between lines where there is no terminal.
PATIENCE, BETWEEN = 2.0, 10.0


class ProgressLine:
    """Call it with what is done next: it says so on stderr, on one line, or seldom where that is a file.

    One that is ``silent`` says nothing.
    """

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent
        self._start = self._said = time.monotonic()
        self._shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, as before others are printed."""
        if self._shown and sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
            self._shown = False

    def __call__(self, doing: str) -> None:
        """Say what is done next."""
        now = time.monotonic()
        if self._silent or now - self._start < PATIENCE:
            return
        terminal = sys.stderr.isatty()
        if self._shown and now - self._said < (0.1 if terminal else BETWEEN):
            return
        self._said, self._shown = now, True
        said = f"{now - self._start:.0f} s: {printable(doing)}"
        click.echo(f"\r\x1b[K{said[:79]}" if terminal else said, err=True, nl=not terminal)
