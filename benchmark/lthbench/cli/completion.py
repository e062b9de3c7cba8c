"""What a shell completes: names of tasks, methods and others, of which none is imported to be named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from lthbench.cli.option_types import Words

if TYPE_CHECKING:
    Items = list[CompletionItem[Any]]  # generic for type checkers only, in click before 8.4

#: Kinds of which a file of one's own may be named by its path.
_OF_FILES = ("task", "method", "metric")


def names(kind: str) -> Callable[[click.Context, click.Parameter, str], Items]:
    """Complete a name of a kind, or the last of several with commas between; else a path, as of a file."""

    def completed(context: click.Context, option: click.Parameter, typed: str) -> Items:
        several = isinstance(option.type, Words)
        before, comma, last = typed.rpartition(",") if several else ("", "", typed)
        there = [name for name in _named(kind, context) if name not in before.split(",")]
        found = [CompletionItem(f"{before}{comma}{name}") for name in there if name.startswith(last)]
        path = not found and not comma and kind in _OF_FILES
        return [CompletionItem(typed, type="file")] if path else found

    return completed


def _named(kind: str, context: click.Context) -> Iterable[str]:
    """The names of a kind: those that ship, and those of packages and of files that were named."""
    from lthbench import kinds, registry
    from lthbench.planning import task
    from lthbench.verdict.rules import RULES

    if kind == "budget":
        return _budgets(context.params.get("task"))
    fixed: dict[str, Iterable[str]] = {"task": task.names(), "rule": RULES, "corruptions": task.SOURCES}
    return fixed[kind] if kind in fixed else registry.names(getattr(kinds, kind.capitalize()))


def _budgets(typed: str | None) -> Iterable[str]:
    """The budgets of a task, or of all where that cannot be read."""
    from lthbench.errors import LthbenchError
    from lthbench.planning import task

    try:
        return task.load(typed).budgets() if typed else task.BUDGETS
    except LthbenchError:
        return task.BUDGETS
