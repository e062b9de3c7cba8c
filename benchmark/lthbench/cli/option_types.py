"""The types of options: places, names, numbers, sparsities and seeds as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # generic for type checkers only, in click before 8.4
else:
    ParamType = click.ParamType


class Place(ParamType):
    """A folder, or the URL of an object store."""

    name = "folder|url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """A path, or a URL as it is."""
        if isinstance(value, Path) or "://" in value:
            found: Path | str = value
            return found
        return Path(value)


class Words(ParamType):
    """Names separated by commas; spaces around them do not matter. ``none``: an empty text is no name."""

    name = "a,b,..."

    def __init__(self, none: bool = False):
        self.none = none

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """A list of names."""
        words = value if isinstance(value, list) else [w.strip() for w in value.split(",") if w.strip()]
        if not words and not (self.none and value in ("", [])):
            self.fail("give at least one.", param, ctx)
        return words


class Numbers(ParamType):
    """Numbers separated by commas; ``whole`` ones may be ranges such as 1-12."""

    def __init__(self, whole: bool):
        self.whole = whole
        self.name = "n,..." if whole else "x,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """A list of numbers."""
        if isinstance(value, list):
            return value
        numbers: list[Any] = []
        for word in filter(None, (w.strip() for w in value.split(","))):
            try:
                low, dash, high = word.partition("-")
                if self.whole and dash and low:
                    if not 0 <= int(high) - int(low) <= 10_000:
                        raise ValueError
                    numbers += range(int(low), int(high) + 1)
                else:
                    numbers.append(int(word) if self.whole else float(word))
            except ValueError:
                kind = "a whole number or a range such as 1-12" if self.whole else "a number"
                self.fail(f"{word!r} is not {kind}.", param, ctx)
        if not numbers:
            self.fail("give at least one.", param, ctx)
        return numbers


class Sparsity(ParamType):
    """A share of weights removed: 0.9, or in per cent as 90 or 90 %. Numbers from 2 on are per cent."""

    name = "x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share; whether it lies between 0 and 1 is for the request to say."""
        if not isinstance(value, str):
            return float(value)
        number, sign, rest = value.strip().partition("%")
        try:
            found = float(number)
        except ValueError:
            self.fail(f"{value.strip()!r} is not a sparsity such as 0.9 or 90 %.", param, ctx)
        if rest.strip():
            self.fail(f"{value.strip()!r} is not a sparsity such as 0.9 or 90 %.", param, ctx)
        # As the nearest number that one would type: 90.3 / 100 is not 0.903.
        return float(f"{found / 100:.15g}") if sign or 2 <= found < 100 else found


class Sparsities(Sparsity):
    """Several, separated by commas."""

    name = "x,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A list of shares."""
        if isinstance(value, list):
            return value
        words = [word for word in value.split(",") if word.strip()]
        if not words:
            self.fail("give at least one.", param, ctx)
        return [super(Sparsities, self).convert(word, param, ctx) for word in words]


class Seeds(Numbers):
    """One number is how many seeds; several, or one with a comma after it, are the seeds themselves."""

    def __init__(self) -> None:
        super().__init__(whole=True)
        self.name = "n|a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A count or a list."""
        numbers = super().convert(value, param, ctx)
        return numbers[0] if isinstance(value, str) and value.strip().isdigit() else numbers
