"""Printing: what a file calls itself must not steer the terminal."""

from __future__ import annotations

import contextlib

import click

from lthbench.formatting import printable


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print as ``click.echo`` does, with characters that steer terminals written out.

    A standard error that takes nothing, for a full disk or a pipe that was closed, ends no work.
    """
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(printable(str(message)), err=err, nl=nl)
