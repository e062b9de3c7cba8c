"""The command line."""

from lthbench.cli.app import main

__all__ = ["main"]
