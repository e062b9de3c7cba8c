"""Numbers and names as people read them; shared by the shell, Markdown and pages."""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

_Value = TypeVar("_Value")

#: Units that are shown in per cent.
PERCENT = ("fraction",)
#: Units that are shown with k, M, G or T.
COUNTS = ("count", "bytes")


def sparsity(value: float | None) -> str:
    """A sparsity as "79.0 %"; a dash for none."""
    return "–" if value is None else f"{share(value)} %"


def sparsities(values: Sequence[float]) -> list[str]:
    """Sparsities as headers: those that would read alike have as many decimals as tell them apart."""
    shown = [sparsity(value) for value in values]
    for decimals in range(2, 12):
        alike = {text for text in shown if shown.count(text) > 1}
        pairs = zip(values, shown, strict=True)
        shown = [f"{100 * value:.{decimals}f} %" if text in alike else text for value, text in pairs]
    return shown


def share(value: float) -> str:
    """A sparsity in per cent without the sign: one decimal, and two figures of what is left above 99 %.

    So 99.92 and 99.94 % are told apart.
    """
    left = 100 * (1.0 - value)
    if not 0.0 < left < 1.0:
        return f"{100 * value:.1f}"
    shown = f"{100 * value:.{1 - math.floor(math.log10(left))}f}".rstrip("0")
    return f"{shown}0" if shown.endswith(".") else shown


def number(value: float, unit: str) -> str:
    """A score in its unit: fractions in per cent without the sign, others with three figures after 0.

    Counts are whole, but for means of a few.
    """
    if math.isnan(value):
        return "–"
    if unit in PERCENT:
        return f"{round(100 * value, 1) + 0.0:.1f}"  # no minus before a zero
    if unit in COUNTS:
        return _count(value, _decimals(value))
    if 1000 <= abs(value) < 100_000:
        return f"{value:,.0f}"
    if math.isinf(value) or abs(value) >= 1000:
        return f"{value:.3g}"
    if 0 < abs(value) < 0.01:
        return f"{value:#.2g}"  # with a zero at its end
    return f"{value + 0.0:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _count(value: float, decimals: int) -> str:
    """A count with k, M, G or T and one decimal, or below 1000 with so many decimals."""
    if math.isinf(value):
        return f"{value}"
    power, places = 0, decimals
    while power < 4 and round(abs(value) / 1000**power, places) >= 1000:
        power, places = power + 1, 1
    return f"{round(value / 1000**power, places) + 0.0:.{places}f}{' kMGT'[power].strip()}"


def _decimals(mean: float, spread: float = 0.0) -> int:
    """The decimals of a mean of counts: one where it is of a few, and it or its spread no whole number."""
    return int(abs(mean) < 100 and not (float(mean).is_integer() and float(spread).is_integer()))


def measured(mean: float, spread: float, unit: str) -> str:
    """A mean with its standard deviation over seeds, where there is one."""
    if math.isnan(spread):
        return number(mean, unit)
    if unit in COUNTS and not math.isnan(mean):
        decimals = _decimals(mean, spread)
        return f"{_count(mean, decimals)} ± {_count(spread, decimals)}"
    shown = number(mean, unit)
    if "e" in shown or not (math.isfinite(mean) and math.isfinite(spread)):
        return f"{shown} ± {number(spread, unit)}"
    factor = 100.0 if unit in PERCENT else 1.0
    fewest = len(shown.partition(".")[2])
    places = _places(factor * mean, factor * spread, fewest, unit in PERCENT)
    if places > fewest:
        shown = f"{factor * mean:{',' if ',' in shown else ''}.{places}f}"
    return f"{shown} ± {factor * spread:.{places}f}"


#: A mean has so many figures at most, however small its spread.
FIGURES = 6


def _places(mean: float, spread: float, fewest: int, in_percent: bool) -> int:
    """The decimals of a mean and its spread: so many that the spread has two figures.

    In per cent one decimal will do, unless the spread would then look like zero.
    """
    if not spread or (in_percent and float(f"{spread:.{fewest}f}")):
        return fewest
    most = FIGURES - 1 - math.floor(math.log10(abs(mean))) if mean else FIGURES
    places = min(1 - int(f"{spread:.1e}".partition("e")[2]), most)
    # What is still zero then is what is left of adding numbers up.
    return max(places, fewest) if float(f"{spread:.{max(places, 0)}f}") else fewest


def difference(value: float, unit: str, *, relative: bool) -> str:
    """A difference of two scores: in the unit of the score, or as a share of one in per cent."""
    if math.isnan(value):
        return "–"
    shown = number(value, unit)
    if relative:
        shown = f"{100 * value:.1f}".removesuffix(".0") if abs(value) < 1 else f"{100 * value:,.0f}"
        shown += " %"
    return shown.removeprefix("-") if not any(digit in shown for digit in "123456789∞") else shown


def told_apart(one: float, other: float, unit: str, *, relative: bool) -> tuple[str, str]:
    """Two differences as ``difference`` shows them, with the decimals that it takes to see the larger."""
    shown = difference(one, unit, relative=relative), difference(other, unit, relative=relative)
    if shown[0] != shown[1] or one == other or not (math.isfinite(one) and math.isfinite(other)):
        return shown
    factor = 100.0 if relative or unit in PERCENT else 1.0
    sign = " %" if relative else ""
    for decimals in range(len(shown[0].removesuffix(" %").partition(".")[2]) + 1, 9):
        finer = [f"{factor * value:.{decimals}f}{sign}" for value in (one, other)]
        if finer[0] != finer[1]:
            return finer[0], finer[1]
    return shown


def points(unit: str, *, relative: bool) -> str:
    """What stands behind a ``difference`` in a sentence: that it is in points, or nothing."""
    return " points" if unit in PERCENT and not relative else ""


def p_value(value: float, *, narrow: bool = False) -> str:
    """A p-value with three figures after 0; a dash for none. ``narrow``: as in tables, without the 0."""
    shown = "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
    return shown.replace("0.", ".").replace(" ", "") if narrow else shown


def unit(name: str) -> str:
    """A unit as it stands in a header."""
    return "%" if name in PERCENT else "" if name == "count" else name


def titled(title: str, unit: str) -> str:
    """A score's title with what its numbers are in, where these do not say it."""
    return f"{title}, %" if unit in PERCENT else title


def a_few(values: Sequence[_Value], most: int) -> Sequence[_Value]:
    """Of many values so many at most, evenly among them, the last one always."""
    every = max(1, -(-len(values) // most))
    return values[(len(values) - 1) % every :: every]


def listed(names: list[str]) -> str:
    """Names in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def counted(count: int, one: str, many: str) -> str:
    """A number of things: "1 seed", "3 seeds"."""
    return f"{count:,} {one if count == 1 else many}"


def escape(text: str) -> str:
    """Text in which Markdown and HTML have no meaning."""
    for character in "\\`*_[]<>|&":
        text = text.replace(character, f"\\{character}")
    return text


def grid(rows: Sequence[Mapping[str, str]], form: str = "text") -> str:
    """Rows as a table for the shell ("text"), or in Markdown ("md"), in which their texts have no meaning."""
    from tabulate import tabulate

    style, safe = ("github", escape) if form == "md" else ("simple", str)
    shown = [{safe(head): safe(cell) for head, cell in row.items()} for row in rows]
    return str(tabulate(shown, headers="keys", tablefmt=style, disable_numparse=True))


def filled(text: str, width: int, indent: str = "") -> str:
    """A sentence in lines of at most so many characters. What belongs together stays on one line."""
    kept = text.replace(" %", "\u00a0%")
    return textwrap.fill(kept, width, subsequent_indent=indent, break_long_words=False).replace("\u00a0", " ")


def printable(text: str) -> str:
    """Text that steers no terminal: control characters, and those that turn text around, as ``\\u001b``.

    Lines and tabs stay. So does JSON: what is written out is an escape there, too.
    """
    return "".join(c if c in "\n\t" or c.isprintable() or c in _SPACES else _written_out(c) for c in text)


def one_line(text: str) -> bool:
    """Whether text can stand for a name: one line, without characters that steer terminals."""
    if text.isprintable():  # which most are, and the rest takes long
        return True
    return "\n" not in text and "\t" not in text and printable(text) == text


def folded(name: str) -> str:
    """A name as names are compared: case, hyphens and underscores do not matter."""
    return name.strip().lower().replace("_", "").replace("-", "")


def is_formula(text: str) -> bool:
    """Whether spreadsheets would compute what stands in a cell, and might run programs for it."""
    return text[:1] in ("=", "@") or (text[:1] in ("+", "-") and any(c in text for c in "(|!"))


def in_line(text: str) -> str:
    """A name from elsewhere as it may stand in a line: what breaks it or steers terminals is escaped."""
    shown = printable(text)
    return "".join({"\n": "\\n", "\t": "\\t"}.get(c, c) for c in shown)


def in_lines(value: Any) -> Any:
    """The same data of dictionaries and lists, with each text as ``in_line`` has it, but for keys."""
    if isinstance(value, dict):
        return {key: in_lines(part) for key, part in value.items()}
    if isinstance(value, list):
        return [in_lines(part) for part in value]
    return in_line(value) if isinstance(value, str) else value


def reason_line(text: str) -> str:
    """Why something failed, as tables take it: one line without control characters, and no formula."""
    lines = (part.strip() for part in re.split(r"[\n\r\t]", text))
    line = in_line(" ".join(filter(None, lines)))
    return f"reason: {line}" if is_formula(line) else line


def texts_in(value: object) -> Iterator[str]:
    """All texts in data of dictionaries and lists, keys among them."""
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, str):
            yield here
        elif isinstance(here, dict):
            todo += [*here, *here.values()]
        elif isinstance(here, list):
            todo += here


#: Spaces that are no control characters, and yet not called printable.
_SPACES = "\u00a0\u2009\u202f"


def _written_out(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:  # as two halves, which is how JSON has it
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def duration(seconds: float) -> str:
    """Seconds as a person says them, in a unit of which there are few."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, days, years = (seconds / size for size in (3600, 86400, 31557600))
    count, unit = (hours, "h") if hours < 100 else (days, "days") if days < 1000 else (years, "years")
    return f"{count:.1f} {unit}" if count < 10 else f"{count:,.0f} {unit}"


def size(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def span(low: float, high: float) -> str:
    """A range with one unit where that is possible."""
    a, b = duration(low), duration(high)
    if a == b:
        return f"about {a}"
    if a.split()[1] == b.split()[1]:
        return f"{a.split()[0]}-{b}"
    return f"{a} to {b}"


#: Cells of up to so many letters are not wrapped.
SHORT = 10


def table(rows: list[dict[str, str]], width: int, ruled: bool = False) -> str:
    """Rows as a table of at most ``width`` characters, its widest columns wrapped at spaces.

    No word and no short cell is broken, so that a table of long ones is wider. ``ruled``: a line below the
    heads.
    """
    heads = list(dict.fromkeys(key for row in rows for key in row))
    columns = [[head, *(str(row.get(head, "")) for row in rows)] for head in heads]
    least = [max(_narrowest(cell) for cell in column) for column in columns]
    widths = [max(map(len, column)) for column in columns]
    room = width - 2 * (len(heads) - 1)
    while sum(widths) > room and widths != least:
        place = max(range(len(widths)), key=lambda p: (widths[p] > least[p], widths[p]))
        widths[place] -= 1
    lines = []
    for number, cells in enumerate(zip(*columns, strict=True)):
        wrapped = [_within(cell, wide) for cell, wide in zip(cells, widths, strict=True)]
        for parts in itertools.zip_longest(*wrapped, fillvalue=""):
            lines.append("  ".join(part.ljust(wide) for part, wide in zip(parts, widths, strict=True)))
        if ruled and number == 0:
            lines.append("  ".join("-" * wide for wide in widths))
    return "\n".join(line.rstrip() for line in lines)


def _narrowest(cell: str) -> int:
    return len(cell) if len(cell) <= SHORT else max(map(len, cell.split()))


def _within(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
