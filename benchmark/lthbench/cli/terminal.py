"""Printing: what a file calls itself must not steer the terminal."""

from __future__ import annotations

import click

from lthbench.formatting import printable


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print as ``click.echo`` does, with characters that steer terminals written out."""
    click.echo(printable(str(message)), err=err, nl=nl)
