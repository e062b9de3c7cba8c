"""A request as data: what run.json and a plan as JSON keep, beside the command line for people. Pure."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Bank, Dataset, Method, Metric
from lthbench.planning import record_reader
from lthbench.planning.looks import Look
from lthbench.planning.start import Start

KINDS: dict[str, type[Any]] = {
    "method": Method,
    "metric": Metric,
    "dataset": Dataset,
    "architecture": Architecture,
    "bank": Bank,
}
#: Seeds are below this.
LARGEST = 2**63
#: The options of a command that name what is asked for; each has one value.
_OPTIONS = ("--task", "--methods", "--sparsity", "--seeds", "--metrics", "--budget", "--ood", "--concepts")


def from_here(path: str) -> str:
    """A path, relative where it lies in the working folder: files with results are read on other machines."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):  # it lies elsewhere, or there is no working folder
        return path


@dataclass(frozen=True)
class Plugin:
    """A plug-in in a file of the user's own: a key of ``KINDS`` ("" where it is not known), name and file."""

    kind: str
    name: str
    file: str


@dataclass(frozen=True)
class RequestRecord:
    """What was asked for, in names and numbers, all defaults filled in.

    ``task`` is a name or the path of a task file. ``ood``, ``concepts`` and ``corruptions`` (where corrupted
    images come from) are None where they are the task's. ``elsewhere`` says that networks made elsewhere were
    scored, which no record can ask for again. Seeds are added until all is decided, up to ``most_seeds`` (0:
    none are), and ``looks`` is what each look added so far, from the first one. ``pretrained`` is the file of
    weights that networks begin with, ``start`` what was read of it, ``normalization`` the mean and standard
    deviation of pixels that were named for it.
    """

    task: str
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    budget: str
    ood: tuple[str, ...] | None = None
    concepts: str | None = None
    plugins: tuple[Plugin, ...] = ()
    elsewhere: bool = False
    most_seeds: int = 0
    looks: tuple[Look, ...] = ()
    corruptions: str | None = None
    pretrained: str | None = None
    start: Start | None = None
    normalization: tuple[tuple[float, ...], ...] = ()

    @property
    def networks(self) -> int:
        """How many networks it asks for at least, beside dense ones."""
        return max(len(self.methods), 1) * max(len(self.sparsities), 1) * max(len(self.seeds), 1)

    def to_json(self) -> dict[str, Any]:
        """As JSON data; what is as by default is left out."""
        fields = {f.name: f.default for f in dataclasses.fields(self)}
        found = dataclasses.asdict(self)
        kept = {k: v for k, v in found.items() if getattr(self, k) != fields[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}

    def command(self) -> str:
        """The command line of ``run`` that asks for just this."""
        files = {(p.kind, p.name): p.file for p in self.plugins}
        by_path = {("method", m.partition(":")[0]) for m in self.methods}
        by_path |= {("metric", name) for name in self.metrics} | {("bank", self.concepts or "")}
        by_path |= {("dataset", name) for name in self.ood or ()}

        def typed(kind: str, name: str) -> str:
            base, colon, variant = name.partition(":")
            return shlex.quote(f"{files.get((kind, base), base)}{colon}{variant}")

        named = sorted({p.file for p in self.plugins if (p.kind, p.name) not in by_path})
        # No list on a command line is empty: networks of no method, or at no sparsity, are dense ones alone.
        methods = self.methods if self.sparsities else ()
        seeds = self.looks[0].seeds if self.looks else self.seeds
        parts = {
            "task": shlex.quote(self.task),
            "methods": ",".join(typed("method", m) for m in methods) or "dense",
            "sparsity": ",".join(f"{s:.12g}" for s in self.sparsities),
            "seeds": ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else ""),
            "metrics": ",".join(typed("metric", m) for m in self.metrics),
            "budget": self.budget,
        }
        if self.ood is not None:
            parts["ood"] = ",".join(typed("dataset", name) for name in self.ood) or "''"
        if self.most_seeds:
            parts["until-decided"] = str(self.most_seeds)
        if self.concepts is not None:
            parts["concepts"] = typed("bank", self.concepts)
        if self.corruptions is not None:
            parts["corruptions"] = self.corruptions
        if self.pretrained is not None:
            parts["pretrained"] = shlex.quote(self.pretrained)
        for option, values in zip(("mean", "std"), self.normalization, strict=False):
            parts[option] = ",".join(f"{v!r}" for v in values)
        said = "".join(f" --{option} {value}" for option, value in parts.items() if value)
        return f"lthbench run{said}{''.join(f' --plugin {shlex.quote(file)}' for file in named)}"

    def check_plugins(self, where: str) -> None:
        """Raise BadInput for a plug-in that was not named on this command line: what is read runs no code."""
        names = (*self.methods, *self.metrics, *(self.ood or ()), self.concepts or "")
        paths = [name for name in names if registry.is_path(name)]
        files = {n if "/" in n or n.endswith(".py") else n.partition(":")[0] for n in paths}
        unnamed = [Plugin("", "", file) for file in sorted(files)] + list(self.plugins)
        for plugin in unnamed:
            known = plugin.kind in KINDS and registry.path_of(KINDS[plugin.kind], plugin.name) is not None
            if not known and not registry.taken(Path(plugin.file)):
                what = f"the {plugin.kind} {plugin.name} of {plugin.file}" if plugin.kind else plugin.file
                raise BadInput(
                    f"{where}: asks for {what}, and no code is run that only a file names. If you trust it, "
                    f"name it on this command line: --plugin {shlex.quote(plugin.file)}"
                )


def read(record: Any, where: str) -> RequestRecord:
    """The record in JSON data. Raises BadInput, naming the key, for what is none."""
    return record_reader.read(RequestRecord, record, f"{where}: request", largest=LARGEST)


def of_commands(command: str, methods: Sequence[str], where: str) -> tuple[RequestRecord, ...]:
    """The requests of the command lines that a version before records kept alone, one each. Raises BadInput.

    ``methods`` are the methods behind them, by name.
    """
    lines = command.splitlines()
    return tuple(_from_command(line, methods if len(lines) == 1 else (), where) for line in lines)


def _from_command(line: str, methods: Sequence[str], where: str) -> RequestRecord:
    """The request of a command as ``RequestRecord.command`` makes it; ``methods`` are its methods by name."""
    if line.startswith(("lthbench score", "lthbench.score")):
        return RequestRecord("", tuple(methods), (), (), (), "", elsewhere=True)
    try:
        words = shlex.split(line)
        pairs = list(zip(words[2::2], words[3::2], strict=True))
        options = {option: value for option, value in pairs if option != "--plugin"}
        if words[:2] != ["lthbench", "run"] or not set(options) <= set(_OPTIONS):
            raise ValueError(line)
        lists: dict[str, list[str]] = {"--sparsity": []}
        lists |= {option: [v for v in value.split(",") if v] for option, value in options.items()}
        plugins = [Plugin("", "", value) for option, value in pairs if option == "--plugin"]
        typed = [m for m in lists["--methods"] if m != "dense"]
        if len(typed) == len(methods):
            for place, name in enumerate(methods):
                if registry.is_path(typed[place]):  # by name, as in records
                    file = typed[place].removesuffix(f":{name.partition(':')[2]}")
                    plugins.append(Plugin("method", name.partition(":")[0], file))
                    typed[place] = name
        return RequestRecord(
            options["--task"],
            tuple(typed),
            tuple(map(float, lists["--sparsity"])),
            tuple(map(int, lists["--seeds"])),
            tuple(lists["--metrics"]),
            options["--budget"],
            tuple(lists["--ood"]) if "--ood" in lists else None,
            options.get("--concepts"),
            tuple(plugins),
        )
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise BadInput(f"{where}: its command cannot be read.") from error
