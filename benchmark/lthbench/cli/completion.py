"""What a shell completes: names of tasks, methods and others, of which none is imported to be named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, add_completion_class

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
        known = _with_variants(last, _named(kind, context)) if kind == "method" else _named(kind, context)
        there = [name for name in known if name not in before.split(",")]
        found = [CompletionItem(f"{before}{comma}{name}") for name in there if name.startswith(last)]
        path = not found and not comma and kind in _OF_FILES
        return [CompletionItem(typed, type="file")] if path else found

    return completed


def _with_variants(typed: str, known: Iterable[str]) -> Iterable[str]:
    """The names of methods; behind the colon of one, its variants. No other method is imported."""
    from lthbench import registry
    from lthbench.kinds import Method

    base, colon, _ = typed.partition(":")
    if not colon or base not in known:
        return known
    return [f"{base}:{variant}" for variant in registry.get(Method, base).variants]


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


class _Bash(BashComplete):
    """Bash splits words at colons, and takes what is behind the last one for the word that is typed."""

    _behind = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is typed, and that: as they were before Bash split them."""
        before, typed = super().get_completion_args()
        words = [""]
        for word in (*before, typed):
            if word.startswith(":") or words[-1].endswith(":"):
                words[-1] += word
            else:
                words.append(word)
        if words[-1] != typed:
            self._behind = words[-1].rindex(":") + 1
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """What Bash puts in place of what is behind the last colon."""
        return f"{item.type},{item.value[self._behind :]}"


class _Fish(FishComplete):
    """Fish is told values with commas whole."""

    source_template = FishComplete.source_template.replace('string split "," ', 'string split --max 1 "," ')


add_completion_class(_Bash)
add_completion_class(_Fish)
