"""Write docs/reference: commands as they help themselves, plug-ins and tasks as they are listed.

``python docs/scripts/reference.py`` writes; ``pages()`` gives what it would write.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from lthbench import registry
from lthbench.cli import listing
from lthbench.cli.app import cli
from lthbench.cli.pages import calibrated, margin
from lthbench.kinds import Bank, Dataset
from lthbench.planning import task
from lthbench.report.claims import any_task, between

FOLDER = Path(__file__).parents[1] / "reference"
NOTE = "<!-- Written by docs/scripts/reference.py: change what it is made from, and run it again. -->\n"


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_<>\[\]])", r"\\\1", text)


def block(text: str) -> str:
    """Text as it stands, wrapped, in a box."""
    return "```text\n" + "\n".join(textwrap.wrap(" ".join(text.split()), 100)) + "\n```"


# --------------------------------------------------------------------------------------------- commands


def commands() -> str:
    """Every command with its arguments and options."""
    said = ["# Commands\n", "`lthbench COMMAND --help` says the same.\n"]
    for path, command in _walk("lthbench", cli):
        said += [f"{'#' * (1 + len(path.split()))} {path}\n", _about(command)]
        rows = [_option(p) for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
        if rows:
            said.append(table(("argument or option", "what it is"), list(rows)) + "\n")
    return "\n".join(said)


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(f"{path} {name}", command.commands[name])


def _about(command: click.Command) -> str:
    """The help of a command: paragraphs, and what is set apart as it stands."""
    parts = []
    for part in textwrap.dedent(command.help or "").strip().split("\n\n"):
        if "\b" in part:  # set apart from what click wraps
            parts.append("```text\n" + part.replace("\b", "").strip() + "\n```")
        else:
            parts.append(plain(" ".join(part.split())))
    return "\n\n".join(parts) + "\n"


def _option(param: click.Parameter) -> tuple[str, str]:
    if isinstance(param, click.Argument):
        name = (param.name or "").upper()
        return f"`{name}`", "" if param.required else "may be left out"
    assert isinstance(param, click.Option)
    names = ", ".join((*param.opts, *param.secondary_opts))
    kind = "" if param.is_flag or param.count else f" {param.metavar or _metavar(param)}"
    several = " May be given more than once." if param.multiple else ""
    default = f" Default: {plain(_default(param))}." if _default(param) else ""
    return f"`{names}{kind}`", plain(param.help or "") + several + default


def _metavar(param: click.Option) -> str:
    if isinstance(param.type, click.Choice):
        return "|".join(map(str, param.type.choices))
    name = param.type.name
    return "N" if name.startswith("integer") else name.upper() if name.isalpha() else name


def _default(param: click.Option) -> str:
    """What an option is where it is not given, if it says so itself."""
    if isinstance(param.show_default, str):
        return param.show_default
    return str(param.default) if param.show_default and param.default is not None else ""


# -------------------------------------------------------------------------------------- plug-ins and tasks


def methods() -> str:
    """Every pruning method."""
    rows = [(_link(r["method"]), plain(r["what"]), plain(r["cost"])) for r in _listed("method")]
    said = ["# Methods\n", table(("method", "what it does", "cost"), rows), ""]
    for name in shipped("method"):
        found = listing.describe("method", name, None)
        said += [f"## {name}\n", f"{plain(found['title'])}. Source: {plain(found['source'])}.\n"]
        said += [block(found["formula"]), ""]
        if found.get("criterion"):
            said.append(f"Weights are scored by {criterion(found['criterion'])}")
        if found["aliases"]:
            said.append(f"Also called {', '.join(found['aliases'])}.\n")
        said += [f"- `{name}:{v}`: {plain(text)}" for v, text in found["variants"].items()]
        others = found["criteria"].items()
        said += [f"\nIn `{name}:{v}`, weights are scored by {criterion(by)}" for v, by in others]
        said.append("")
    return "\n".join(said)


def criterion(by: dict[str, Any]) -> str:
    """A criterion's name, its definition and what it looks at."""
    images = by["training images of each class"]
    looks = f"\nIt looks at {images} training images of each class.\n" if images else "\n"
    return f"*{by['name']}*: {plain(by['definition'])}{looks}"


def metrics() -> str:
    """Every metric, and the scores that it yields."""
    rows = [
        (_link(r["metric"]), r["scores"].replace("_", r"\_"), r["group"], r["in the verdict"])
        for r in _listed("metric")
    ]
    head = ("metric", "scores (↑ higher is better, ↓ lower)", "group", "in the verdict")
    said = ["# Metrics\n", table(head, rows), ""]
    for name in shipped("metric"):
        found = listing.describe("metric", name, None)
        said += [f"## {name}\n", f"{plain(found['title'])}. Source: {plain(found['source'])}.\n"]
        said += [block(found["formula"]), ""]
        scores = [
            (f"`{s['name']}`", plain(s["title"]), s["unit"], _better(s), _range(s), plain(_margin(s)))
            for s in found["scores"]
        ]
        columns = ("score", "title", "unit", "better", "range", "margin of the verdict")
        said += [table(columns, scores), ""]
        said += [f"{sentence}\n" for sentence in _needs(found)]
    return "\n".join(said)


def _better(score: dict[str, Any]) -> str:
    return "higher" if score["higher_is_better"] else "lower"


def _range(score: dict[str, Any]) -> str:
    low, high = float(score["low"]), float(score["high"])
    return f"{low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}" if math.isfinite(low) else "any"


def _margin(score: dict[str, Any]) -> str:
    return margin(score) if score["verdict"] else ""


def _needs(found: dict[str, Any]) -> Iterator[str]:
    sets = (*found["needs"], *found["looks"], *found["maps"])
    if sets:
        yield f"Image sets: {', '.join(sets)}."
    if found["nulls"]:
        yield "Also measured of an untrained network of each seed."
    if found["rival"]:
        yield "Dense networks are compared with the dense network of the next seed."
    if not found["usual"]:
        yield "Run where it is named with `--metrics`."
    if found["extra"]:
        yield f"Needs `pip install 'lthbench[{found['extra']}]'`."


def tasks() -> str:
    """Every task, with the recipes of its budgets."""
    found = [(name, listing.describe("task", name, None)) for name in task.names()]
    budgets_of = {row["task"]: listing.short(row)["budgets"] for row in listing.every("task", None)}
    rows = [
        (
            _link(name),
            plain(t["title"]),
            t["data"]["dataset"],
            t["architecture"],
            budgets_of[name],
        )
        for name, t in found
    ]
    said = ["# Tasks\n", table(("task", "title", "data", "network", "budgets"), rows), ""]
    said.append("A number behind a budget: dense trainings that calibrate its verdict.\n")
    for name, t in found:
        grid = t["grid"]
        said += [f"## {name}\n", f"{plain(t['about'])} Source: {plain(t['source'])}.\n"]
        said.append(f"{_taken(t)}\n")
        if t["data"]["ood"]:
            said.append(f"Out of distribution: {', '.join(t['data']['ood'])}.\n")
        said.append(
            f"By default: methods {', '.join(grid['methods'])}; rounds "
            f"{', '.join(map(str, grid['rounds']))} of {grid['rate']:.0%} each; {grid['seeds']} seeds; "
            f"budget {grid['budget']}.\n"
        )
        budgets = [
            (
                budget,
                plain(b["about"]),
                b["train"]["epochs"],
                b["rewind_epoch"],
                b["train"]["batch_size"],
                b["train"]["lr"],
                b["train"]["weight_decay"],
                b["train"]["schedule"],
                plain(b["source"]),
            )
            for budget, b in t["budget"].items()
        ]
        head = ("budget", "about", "epochs", "rewind", "batch", "rate", "decay", "schedule", "source")
        said += [table(head, budgets), ""]
        half = f"In bfloat16: {', '.join(t['in bfloat16'])}, the same recipes. " if t["in bfloat16"] else ""
        said.append(f"{half}Calibrated: {calibrated(t['calibrated'])}.\n")
    return "\n".join(said)


def data() -> str:
    """Every data set and bank of concepts."""
    said = ["# Data sets and banks of concepts\n"]
    for name in shipped("dataset"):
        found = listing.describe("dataset", name, None)
        sizes = ", ".join(f"{split} {count:,}" for split, count in found["splits"].items())
        said += [f"## {name}\n", f"{plain(found['title'])}. Source: {plain(found['source'])}.\n"]
        said.append(f"{len(found['classes'])} classes; {sizes or 'as many images as are there'}.")
        said += [f"Licence: {plain(found['licence'])}. {plain(found.get('obtain', ''))}\n"]
    said.append("# Banks\n")
    banks = [b for b in registry.every(Bank) if b.name not in registry.packaged(Bank)]
    rows = [(b.name, plain(b.title), plain(b.source), plain(b.obtain)) for b in banks]
    said += [table(("bank", "title", "source", "how to get it"), rows), ""]
    return "\n".join(said)


def _taken(t: dict[str, Any]) -> str:
    """What a network of one's own must be to be scored by a task."""
    data = registry.get(Dataset, t["data"]["dataset"])
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (data.mean, data.std))
    return (
        f"A network of your own: {t['architecture']} for {data.channels} x {data.size} x {data.size} pixels "
        f"from 0 to 1 and {len(data.classes)} classes. Unless it says otherwise (`--mean`, `--std`), it "
        f"takes them less the mean {mean}, over the standard deviation {std}."
    )


def architectures() -> str:
    """Every network."""
    rows = [
        (r["architecture"], plain(r["what"]), r["parameters"], r["prunable"], r["multiply-adds"])
        for r in _listed("architecture")
    ]
    head = ("network", "what it is", "parameters", "prunable", "multiply-adds")
    return "\n".join(["# Networks\n", table(head, rows), ""])


# ----------------------------------------------------------------------------------------------- claims


def claims() -> str:
    """What papers say that a report holds its table to."""
    rows = [
        (plain(claim.text), plain(claim.source), ", ".join(f"`{t}`" for t in claim.tasks) or "any")
        for claim in any_task.every()
    ]
    rows += [(plain(c.text), plain(c.source), "those of a site together") for c in between.CLAIMS]
    said = (
        "# Claims\n\nA report holds its table to each of these: it agrees, differs, cannot say, or was not "
        "measured. [How a claim is decided](../verdict.md).\n\n"
    )
    return said + table(("claim", "source", "tasks"), rows)


def shipped(kind: str) -> list[str]:
    """The names of the plug-ins of a kind that lthbench brings along."""
    record = listing.KINDS[kind]
    return [name for name in registry.names(record) if name not in registry.packaged(record)]


def _listed(kind: str) -> list[dict[str, Any]]:
    return [row for row in listing.every(kind, None) if next(iter(row.values())) in shipped(kind)]


def _link(name: str) -> str:
    """To the section of this name."""
    return f"[{name}](#{name})"


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "methods": methods,
    "metrics": metrics,
    "tasks": tasks,
    "data": data,
    "architectures": architectures,
    "claims": claims,
}


def pages() -> dict[str, str]:
    """The pages of the reference, by file name."""
    texts = {name: re.sub(r"\n{3,}", "\n\n", make()).strip() for name, make in PAGES.items()}
    return {f"{name}.md": f"{NOTE}\n{text}\n" for name, text in texts.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
