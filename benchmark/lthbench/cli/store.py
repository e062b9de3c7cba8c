"""``lthbench store``: what is kept, whether it is whole, and how to make it smaller or take it elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench import formatting, textfiles
from lthbench.cli.options import CONTEXT, Place, force_option, plugin_option
from lthbench.cli.targets import check_file, check_folder
from lthbench.cli.terminal import echo
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from lthbench.store import Store
    from lthbench.store.archive import Carried
    from lthbench.store.inventory import Stock

_PATH = click.Path(path_type=Path)
_OPTION = click.option("--store", type=Place(), help="The store.  [default: lthbench-store]")


@click.group(context_settings=CONTEXT, invoke_without_command=True)
@_OPTION
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def store(context: click.Context, store: Path | str | None, as_json: bool) -> None:
    """Say how large a store is, and what it holds: artefacts by kind, and leftovers.

    \b
    Example: lthbench store --store lthbench-store
    """
    if context.invoked_subcommand is not None:
        return
    from lthbench.store.disk import free_bytes
    from lthbench.store.inventory import stock

    opened = _opened(context, store)
    found = stock(opened)
    account = {
        "store": str(opened.root),
        "bytes": found.size(),
        "free": free_bytes(opened.root),
        "kinds": {kind: {"artefacts": n, "bytes": size} for kind, (n, size) in found.by_kind().items()},
        "sets": {"files": found.set_files, "bytes": found.sets},
        "savepoints": {"trainings": len(opened.saved()), "bytes": sum(opened.saved().values())},
        "unfinished": {"entries": len(found.half), "bytes": sum(found.half.values())},
        "damaged": {"entries": len(found.damaged), "bytes": sum(found.damaged.values())},
        "in use by": sorted({f"{f.get('host')} {f.get('pid')}" for f in opened.leases().others()}),
    }
    if (there := opened.elsewhere()) is not None:
        account["objects"] = {"url": opened.address, "artefacts": len(there), "bytes": sum(there.values())}
    echo(json.dumps(account, indent=1) if as_json else _text(account, found))


def _text(account: dict[str, Any], found: Stock) -> str:
    from tabulate import tabulate

    rows = [(kind.lower(), f"{n:,}", formatting.size(size)) for kind, (n, size) in found.by_kind().items()]
    for name, what in (
        ("sets", "files"),
        ("savepoints", "trainings"),
        ("unfinished", "entries"),
        ("damaged", "entries"),
    ):
        if account[name][what]:
            rows.append((name, f"{account[name][what]:,}", formatting.size(account[name]["bytes"])))
    lines = [tabulate(rows, ("kind", "number", "size"), "simple", colalign=("left", "right", "right"))]
    lines = lines if rows else ["empty"]
    lines.append(
        f"\n{formatting.size(account['bytes'])} in {account['store']}; "
        f"{formatting.size(account['free'])} free on its disk"
    )
    if there := account.get("objects"):
        lines.append(
            f"These are the copies here of {there['artefacts']:,} artefacts, "
            f"{formatting.size(there['bytes'])}, in {there['url']}"
        )
    if account["savepoints"]["trainings"]:
        lines.append(
            "Savepoints are of long trainings that were stopped: asked for again, they go on from there."
        )
    if account["unfinished"]["entries"] or account["damaged"]["entries"]:
        lines.append("What is unfinished or damaged is never read; lthbench store prune removes it.")
    if account["in use by"]:
        lines.append(f"In use by {', '.join(account['in use by'])} (host and process).")
    return "\n".join(lines)


@store.command("verify", context_settings=CONTEXT)
@_OPTION
@click.option("--aside", is_flag=True, help="Move what is damaged aside, so that a run makes it again.")
@click.pass_context
def verify_store(context: click.Context, store: Path | str | None, aside: bool) -> None:
    """Compare every file with its hash. Names what is damaged, and exits with 1 where anything is.

    \b
    Example: lthbench store verify
    """
    from lthbench.planning.contents import misfit_by_key
    from lthbench.store import inventory
    from lthbench.store.seen import Seen

    opened = _opened(context, store)
    whole, copies, wrong, unread = 0, 0, 0, 0
    for found in opened.audit(misfit_by_key):
        if not found.reason:
            copies += found.copy
            whole += not found.copy
            continue
        if found.put_aside is None:
            unread += 1
            echo(f"unread: {found.what}: {found.reason}")
            continue
        wrong += 1
        echo(f"damaged: {found.what}: {found.reason}")
        if aside:
            found.put_aside()
    for path, reason in inventory.set_faults(opened):
        wrong += 1
        echo(f"damaged: {path.relative_to(opened.root)}: {reason}; it may be deleted")
    here = f", and {copies:,} copies here" if opened.elsewhere() is not None else ""
    left = f", {unread:,} could not be read" if unread else ""
    echo(f"{whole:,} artefacts{here} are whole" + (f", {wrong:,} things are not" if wrong else "") + left)
    if wrong or unread:
        Seen(opened.root).forget()  # a run must find it, too
        if wrong and not aside:
            echo("A run makes again what it needs of them (--aside moves them away now).", err=True)
        sys.exit(1)


@store.command("prune", context_settings=CONTEXT)
@_OPTION
@click.option(
    "--keep",
    "kept",
    type=_PATH,
    multiple=True,
    help="The folder of a report, or what lthbench plan --json printed; may be given often.",
)
@plugin_option
@click.option("--sets", is_flag=True, help="Delete the kept sets of corrupted images, too.")
@click.option("--savepoints", is_flag=True, help="Delete savepoints of trainings that were stopped, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(
    context: click.Context,
    store: Path | str | None,
    kept: tuple[Path, ...],
    sets: bool,
    savepoints: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete what is unfinished or damaged and, with --keep, all that no kept report or plan needs.

    \b
    Example: lthbench store prune --keep lthbench-report --keep other-report --dry-run
    """
    from contextlib import nullcontext

    from lthbench.store import pruning

    opened = _opened(context, store)
    with nullcontext() if dry_run else opened.leases().alone(opened.address, _tell_on_stderr):
        wanted = set().union(*(_wanted(source, opened) for source in kept)) if kept else None
        found = pruning.unneeded(opened, wanted, sets, savepoints)
        if not found.parts():
            echo("There is nothing to delete.")
            return
        size = formatting.size(found.size())
        echo(f"To delete: {', '.join(found.parts())}; {size}. {found.left:,} artefacts stay.")
        if dry_run:
            for key, (kind, bytes_) in sorted(found.artefacts.items()):
                echo(f"{kind.lower()}\t{key}\t{bytes_}")
            for path, bytes_ in found.rubbish.items():
                echo(f"spare\t{path.relative_to(opened.root)}\t{bytes_}")
            for key, bytes_ in found.savepoints.items():
                echo(f"savepoint\t{key}\t{bytes_}")
            return
        if not (yes or _agreed()):
            echo("Nothing was deleted (--yes does not ask).", err=True)
            sys.exit(1)
        pruning.delete(opened, found)
    echo(f"Deleted {size}.")


def _agreed() -> bool:
    """Whether to delete; not where nobody answers."""
    try:
        return bool(click.confirm("Delete them?", err=True))
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise
        echo(err=True)  # nobody is there to answer
        return False


def _tell_on_stderr(said: str) -> None:
    echo(f"{said} ...", err=True)


@store.command("export", context_settings=CONTEXT)
@click.argument("target", type=_PATH)
@_OPTION
@click.option(
    "--for",
    "sources",
    type=_PATH,
    multiple=True,
    help="Only what the report in this folder, or what lthbench plan --json printed, needs.",
)
@force_option
@plugin_option
@click.pass_context
def export(
    context: click.Context, target: Path, store: Path | str | None, sources: tuple[Path, ...], force: bool
) -> None:
    """Copy artefacts into TARGET: a zip file, or a folder that is then a store of its own.

    \b
    Example: lthbench store export half.zip --for lthbench-report
    """
    from lthbench.results import overwriting
    from lthbench.store import archive, layout

    if target.suffix == ".zip":
        check_folder("TARGET", target.parent)
        check_file("TARGET", target)
        overwriting.check_one(target, "store", force)
    opened = _opened(context, store)
    with opened.in_use("export", _tell_on_stderr):
        asked = set().union(*(_wanted(s, opened) for s in sources))
        there = opened.elsewhere() or {}
        lost = [key for key in sorted(there) if (key in asked or not sources) and not opened.hold(key)]
        held = {key for key, _ in layout.places(opened.root) if layout.holds(opened.root, key)}
        wanted = held & asked if sources else held
        carried = archive.export(opened, wanted, target)
        carried.refused |= dict.fromkeys(lost, f"its object in {opened.address} is damaged")
    if not _tell(carried, f"to {target}"):
        sys.exit(1)


@store.command("import", context_settings=CONTEXT)
@click.argument("sources", type=_PATH, nargs=-1, required=True, metavar="SOURCE...")
@_OPTION
@click.pass_context
def take_in(context: click.Context, sources: tuple[Path, ...], store: Path | str | None) -> None:
    """Copy the artefacts in each SOURCE, which export or another run made, into a store.

    Every file is compared with its hash, and nothing is written elsewhere. Hashes show damage; whether
    numbers are honest only running them again shows.

    \b
    Example: lthbench store import half.zip other-half.zip
    """
    from lthbench.planning.contents import misfit_by_key
    from lthbench.store import archive, open_store

    for source in sources:  # before the first is taken in
        if not source.exists():
            raise BadInput(f"{source}: no such file.")
        archive.check(source)
    into = open_store(_root(context, store))
    into.check()
    whole = True
    with into.in_use("import", _tell_on_stderr):
        for source in sources:
            whole &= _tell(archive.take_in(into, source, misfit_by_key), f"from {source}")
    if not whole:
        sys.exit(1)


def _tell(carried: Carried, where: str) -> bool:
    """Print what was carried, and say whether that was all."""
    for key, reason in carried.refused.items():
        echo(f"refused: {key}: {reason}")
    there = f", {carried.there:,} were there" if carried.there else ""
    echo(f"{len(carried.new):,} artefacts {where}, {formatting.size(carried.size)}{there}")
    return not carried.refused


def _wanted(source: Path, opened: Store) -> set[str]:
    """The keys that a report or a plan needs. Raises BadInput."""
    from lthbench.store import inventory, layout

    if source.is_dir() or source.suffix == ".csv":
        from lthbench.results import table

        scores, facts = table.read(source if source.is_dir() else source.parent)
        asked = set(scores["step"])
        for network in facts.networks:
            asked |= {network.network, network.mask or network.network}
        asked = {key for key in asked if layout.KEY.fullmatch(key)}
        objects = opened.elsewhere() or {}
        there = {k for k in asked if opened.hold(k) or opened.place(k).is_dir() or k in objects}
        if not there:
            raise BadInput(
                f"{source}: store {opened.address} holds nothing of it; give the store that made it."
            )
        for key in there:
            if key not in layout.history_of(opened.place(key)):
                raise BadInput(
                    f"store {opened.address}: {key} is damaged, so that what it needs is not known. Run the "
                    "report's command again first."
                )
        return inventory.needed(opened, there)
    return _planned(source)


def _planned(source: Path) -> set[str]:
    """The keys of all steps of a plan that ``lthbench plan --json`` printed into a file.

    Where seeds are added until all is decided, they are those of the last look: what a run needs at most.
    """
    from lthbench.data import loading
    from lthbench.planning import request
    from lthbench.planning.plan import plan

    try:
        if not source.exists():
            raise FileNotFoundError
        account = textfiles.values(textfiles.read(source))
        record, folder = account["request"], account["data_folder"]
        if not isinstance(folder, str | None):
            raise TypeError("data_folder")
    except FileNotFoundError as error:
        raise BadInput(f"{source}: no such file; give a report's folder, or a plan as JSON.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{source}: is neither a report's folder nor what lthbench plan --json prints."
        ) from error
    asked = request.from_json(record, str(source))
    if asked.looks:
        asked = asked.to_the_last_look()
        if asked.start is not None and not asked.start.covers(asked.seeds):
            raise BadInput(
                f"{source}: adds seeds to networks that begin with {asked.pretrained}, and does not say what "
                "those need. Give the folder of the report instead."
            )
    return {step.key for step in plan(asked, loading.checked_folders(folder)).steps}


def _root(context: click.Context, where: Path | str | None) -> Path | str:
    outer: Path | str | None = context.parent.params.get("store") if context.parent is not None else None
    return where or outer or Path("lthbench-store")


def _opened(context: click.Context, where: Path | str | None) -> Store:
    """The store, which must be there. Raises BadInput."""
    from lthbench.store import open_store

    opened = open_store(_root(context, where))
    opened.check()
    if not opened.made():
        raise BadInput(f"store {opened.address}: is not there; give the place of a store with --store.")
    return opened
