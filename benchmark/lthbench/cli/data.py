"""``lthbench data``: which data sets are here, whether they are whole, and how to get the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from lthbench.cli import completion
from lthbench.cli.options import CONTEXT, force_option, plugin_option
from lthbench.cli.targets import check_file, check_folder
from lthbench.cli.terminal import echo, echo_json, wrapped
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from lthbench.planning.request import Request

_folder = click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")


class _OrName(click.Group):
    """Commands; the name of a data set or bank stands for the command that describes it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name. Raises BadInput for what is none and no data set."""
        return super().get_command(ctx, cmd_name) or _described(cmd_name, sorted(self.commands))


@click.group(cls=_OrName, context_settings=CONTEXT, invoke_without_command=True)
@_folder
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@plugin_option
@click.pass_context
def data(context: click.Context, data: Path | None, as_json: bool) -> None:
    """List the data sets and banks of concepts that are here, where, and how to get the others.

    \b
    Example: lthbench data
             lthbench data cifar10
             lthbench data verify cifar10 --data DIR
             lthbench data download cifar10
             lthbench data export cifar10 --split train
    """
    if context.invoked_subcommand is not None:
        given = [option for option, value in (("--data", data), ("--json", as_json)) if value]
        if given:
            raise BadInput(f"{given[0]} stands after {context.invoked_subcommand}.")
        return
    from lthbench.data import status

    found = status.listed(data)
    if as_json:
        echo_json(found)
        return
    for title, key in (("here", "found"), ("not here", "missing"), ("broken", "broken")):
        rows = [(f["name"], f["detail"]) for f in found["sets"] if f["state"] == key]
        if rows:
            left = 2 + max(len(name) for name, _ in rows)
            echo(title)
            for name, detail in rows:
                echo(wrapped(f"{name:<{left}}{detail}", left))
            echo()
    echo(wrapped(f"Looked in {', '.join(found['folders']) or 'no folder: name one with --data DIR'}", 2))
    echo("Read and compare with published hashes: lthbench data verify")
    echo("Fetch: lthbench data download NAME")


def _described(name: str, commands: list[str]) -> click.Command:
    """The command that describes a data set or a bank. Raises BadInput for what is none, and no command."""
    from lthbench import registry
    from lthbench.cli import listing
    from lthbench.errors import unknown
    from lthbench.kinds import Bank, Dataset

    kind = "dataset" if registry.known(Dataset, name) else "bank" if registry.known(Bank, name) else ""
    if not kind:
        valid = [*commands, *registry.names(Dataset), *registry.names(Bank)]
        where = "lthbench data; one in a file of your own: lthbench data --plugin FILE NAME"
        raise unknown("command, data set or bank of concepts", name, valid, where)

    @click.command(name, context_settings=CONTEXT, help=f"Describe {name}.")
    @_folder
    @click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
    @plugin_option
    def show(data: Path | None, as_json: bool) -> None:
        found = listing.describe(kind, name, data)
        if as_json:
            echo_json(found)
        else:
            echo(listing.text(found, "datasets"))

    return show


@data.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, shell_complete=completion.names("dataset"))
@_folder
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@plugin_option
def verify(names: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Read the data sets NAMES, or all that are here, and compare files with their published hashes.

    Every image is decoded, which takes a while for ImageNet's. Exits with 1 where a data set is broken, or is
    not what was published.

    \b
    Example: lthbench data verify cifar10 --data DIR
    """
    from lthbench.cli.progress_line import ProgressLine
    from lthbench.data import status

    found: list[dict[str, Any]] = []
    results = status.verified(names, data, lambda doing: line(doing))
    while True:
        with ProgressLine() as line:
            result = next(results, None)
        if result is None:
            break
        found.append(result)
        if not as_json:
            echo(": ".join(part for part in (result["name"], result["state"], result["detail"]) if part))
            for fault in result["faults"]:
                echo(f"  {fault}")
    if as_json:
        echo_json(found)
    elif not found:
        echo("no data set is here; lthbench data says how to get them")
    if any(f["faults"] for f in found):
        sys.exit(1)


@data.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, shell_complete=completion.names("dataset"))
@click.option("--to", type=click.Path(path_type=Path), help="The folder; by default lthbench's cache.")
@plugin_option
def download(names: tuple[str, ...], to: Path | None) -> None:
    """Fetch the data sets NAMES. What was stopped goes on where it was, with the same command.

    \b
    Example: lthbench data download cifar10 svhn
    """
    from lthbench import registry
    from lthbench.data import download
    from lthbench.data.loading import default_folder
    from lthbench.kinds import Dataset

    folder = default_folder() if to is None else to
    check_folder("--to", folder)
    sets = [registry.get(Dataset, name) for name in names]
    for dataset in sets:
        if not dataset.archives and dataset.download is None and dataset.locate((folder,)) is None:
            raise BadInput(f"data set {dataset.name} cannot be downloaded. {dataset.obtain}")
    for dataset in sets:
        if not _whole(dataset, folder):
            with told() as tell:
                download.obtain(dataset, folder, tell)
        source = dataset.locate((folder,))
        echo(f"{dataset.name}: {source.layout} in {source.root}" if source else f"{dataset.name}: {folder}")


@data.command(context_settings=CONTEXT)
@click.argument("name", shell_complete=completion.names("dataset"))
@click.option("--split", default="train", show_default=True, help="Which images: train, val, test.")
@_folder
@click.option("--out", type=click.Path(path_type=Path), help="A file of NumPy.  [default: NAME-SPLIT.npz]")
@plugin_option
@force_option
def export(name: str, split: str, data: Path | None, out: Path | None, force: bool) -> None:
    """Write a split of the data set NAME as arrays: what a network that is scored here may be trained on.

    images: uint8, images x channels x height x width. labels: int64. mean, std: float64 by channel, of pixels
    from 0 to 1, as tasks normalise them. A network that saw the val or test images gets scores that say
    nothing.

    \b
    Example: lthbench data export digits --split train --out digits-train.npz
    """
    import numpy as np

    from lthbench import files, registry
    from lthbench.data import loading
    from lthbench.data.streaming import Stream
    from lthbench.kinds import Dataset
    from lthbench.results import overwriting

    dataset = registry.get(Dataset, name)
    target = Path(f"{dataset.name}-{split}.npz") if out is None else out
    check_folder("--out", target.absolute().parent)
    check_file("--out", target)
    overwriting.check_one(target, "data", force)
    images = loading.load(dataset.name, split, loading.checked_folders(data))
    if isinstance(images.pixels, Stream):
        raise BadInput(
            f"data set {dataset.name}: its images are files, which are decoded when they are seen; train on "
            f"them: {loading.find(dataset.name, loading.checked_folders(data)).root}"
        )

    def write(file: IO[bytes]) -> None:
        mean, std = np.array(dataset.mean), np.array(dataset.std)
        np.savez(file, images=images.pixels[:], labels=images.labels, mean=mean, std=std)

    files.make_folder(target.absolute().parent)
    files.publish_all({target: write})
    echo(f"{target}: {len(images.labels):,} {split} images of {dataset.name}")


def fetch_missing(asked: Request, folder: Path | str | None) -> None:
    """Fetch the data sets of a request that are not here, and say so."""
    from lthbench.data import loading
    from lthbench.planning.missing import download_missing

    with told() as tell:
        fetched = download_missing(asked, loading.checked_folders(folder), tell)
    for name in fetched:
        echo(f"fetched {name}", err=True)


def _whole(dataset: Any, folder: Path) -> bool:
    """Whether a data set is in a folder with all that is published of it."""

    try:
        source = dataset.locate((folder,))
    except BadInput:  # in part: what is missing is fetched
        return False
    single = [a for a in dataset.archives if not a.unpack]
    return source is not None and all((folder / a.into / a.url.rsplit("/", 1)[1]).is_file() for a in single)


class told:
    """Shows on stderr how far a download is: a bar on a terminal, a line every ten per cent elsewhere."""

    def __enter__(self) -> Callable[[str, int, int], None]:
        """What is to be told."""
        self._bar: Any = None
        self._said: dict[str, int] = {}
        return self._tell

    def _tell(self, name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self._show(name, done, total)
        elif total and (tenth := 10 * done // total) > self._said.get(name, -1):
            self._said[name] = tenth
            echo(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)

    def _show(self, name: str, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            columns = (BarColumn(30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Progress(
                TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True
            )
            self._bar.start()
            self._tasks: dict[str, Any] = {}
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total or None)
        self._bar.update(self._tasks[name], completed=done, total=total or None)

    def __exit__(self, *error: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
