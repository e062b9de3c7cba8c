"""``lthbench store``: what is kept, whether it is whole, and how to make it smaller or take it elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench import formatting
from lthbench.cli import needed
from lthbench.cli.options import CONTEXT, Place, force_option, plugin_option
from lthbench.cli.progress_line import ProgressLine
from lthbench.cli.targets import check_file, check_folder
from lthbench.cli.terminal import echo, echo_json
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from lthbench.store import Store
    from lthbench.store.archive import Carried
    from lthbench.store.inventory import Stock

_PATH = click.Path(path_type=Path)
_OPTION = click.option("--store", type=Place(), help="The store.  [default: lthbench-store]")
_JSON = click.option("--json", "as_json", is_flag=True, help="The same as JSON.")


@click.group(context_settings=CONTEXT, invoke_without_command=True)
@_OPTION
@_JSON
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
    if as_json:
        echo_json(account)
    else:
        echo(_text(account, found))


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
@_JSON
@click.pass_context
def verify_store(context: click.Context, store: Path | str | None, aside: bool, as_json: bool) -> None:
    """Compare every file with its hash. Names what is damaged, and exits with 1 where anything is.

    \b
    Example: lthbench store verify
    """
    from lthbench.planning.contents import misfit_by_key
    from lthbench.store import inventory, layout
    from lthbench.store.seen import Seen

    opened, as_json = _opened(context, store), _as_json(context, as_json)
    whole, copies = 0, 0
    wrong: list[dict[str, str]] = []
    unread: list[dict[str, str]] = []

    def tell(state: str, faults: list[dict[str, str]], what: str, reason: str) -> None:
        faults.append({"what": what, "reason": reason})
        if not as_json:
            line.clear()
            echo(f"{state}: {what}: {reason}")

    there = len(opened.elsewhere() or ()) + sum(1 for _ in layout.places(opened.root))
    with ProgressLine(silent=as_json or not sys.stderr.isatty()) as line:
        for count, found in enumerate(opened.audit(misfit_by_key), 1):
            line(f"{count:,} of {there:,} artefacts")
            if not found.reason:
                copies += found.copy
                whole += not found.copy
                continue
            if found.put_aside is None:
                tell("unread", unread, found.what, found.reason)
                continue
            tell("damaged", wrong, found.what, found.reason)
            if aside:
                found.put_aside()
        line("sets of corrupted images")
        for path, reason in inventory.set_faults(opened):
            tell("damaged", wrong, str(path.relative_to(opened.root)), f"{reason}; it may be deleted")
    here = f", and {copies:,} copies here" if opened.elsewhere() is not None else ""
    left = f", {len(unread):,} could not be read" if unread else ""
    if as_json:
        counts = {"whole": whole, **({"copies": copies} if here else {})}
        echo_json({"store": opened.address, **counts, "damaged": wrong, "unread": unread})
    else:
        lost = f", {len(wrong):,} things are not" if wrong else ""
        echo(f"{whole:,} artefacts{here} are whole{lost}{left}")
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
@_JSON
@click.pass_context
def prune(
    context: click.Context,
    store: Path | str | None,
    kept: tuple[Path, ...],
    sets: bool,
    savepoints: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete what is unfinished or damaged and, with --keep, all that no kept report or plan needs.

    \b
    Example: lthbench store prune --keep lthbench-report --keep other-report --dry-run
    """
    from contextlib import nullcontext

    from lthbench.store import pruning

    opened, as_json = _opened(context, store), _as_json(context, as_json)
    with nullcontext() if dry_run else opened.leases().alone(opened.address, _tell_on_stderr):
        cure = "Run its command to the end, or give what lthbench plan --json prints of it."
        wanted = set().union(*(needed.wanted(source, opened, cure) for source in kept)) if kept else None
        found = pruning.unneeded(opened, wanted, sets, savepoints)
        listed = [(kind.lower(), key, size) for key, (kind, size) in sorted(found.artefacts.items())]
        listed += [("spare", str(p.relative_to(opened.root)), size) for p, size in found.rubbish.items()]
        listed += [("savepoint", key, size) for key, size in found.savepoints.items()]
        account = {
            "store": opened.address,
            "delete": [{"kind": kind, "what": what, "bytes": size} for kind, what, size in listed],
            "bytes": found.size(),
            "stay": found.left,
            "deleted": False,
        }
        if not found.parts():
            if as_json:
                echo_json(account)
            else:
                echo("There is nothing to delete.")
            return
        size = formatting.size(found.size())
        said = f"To delete: {', '.join(found.parts())}; {size}. {found.left:,} artefacts stay."
        echo(said, err=as_json)  # whoever is asked must know
        if dry_run:
            if as_json:
                echo_json(account)
            else:
                for row in listed:
                    echo("\t".join(map(str, row)))
            return
        if not (yes or _agreed()):
            if as_json:
                echo_json(account)
            echo("Nothing was deleted (--yes does not ask).", err=True)
            sys.exit(1)
        pruning.delete(opened, found)
    if as_json:
        echo_json({**account, "deleted": True})
    else:
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
@_JSON
@plugin_option
@click.pass_context
def export(
    context: click.Context,
    target: Path,
    store: Path | str | None,
    sources: tuple[Path, ...],
    force: bool,
    as_json: bool,
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
        cure = "Run its command to the end, or export all of the store: leave out --for."
        asked = set().union(*(needed.wanted(s, opened, cure) for s in sources))
        there = opened.elsewhere() or {}
        lost = [key for key in sorted(there) if (key in asked or not sources) and not opened.hold(key)]
        held = {key for key, _ in layout.places(opened.root) if layout.holds(opened.root, key)}
        wanted = held & asked if sources else held
        carried = archive.export(opened, wanted, target)
        carried.refused |= dict.fromkeys(lost, f"its object in {opened.address} is damaged")
    if _as_json(context, as_json):
        echo_json({"store": opened.address, "target": str(target), **_record(carried)})
    else:
        _tell(carried, f"to {target}")
    if carried.refused:
        sys.exit(1)


@store.command("import", context_settings=CONTEXT)
@click.argument("sources", type=_PATH, nargs=-1, required=True, metavar="SOURCE...")
@_OPTION
@_JSON
@click.pass_context
def take_in(
    context: click.Context, sources: tuple[Path, ...], store: Path | str | None, as_json: bool
) -> None:
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
    as_json = _as_json(context, as_json)
    taken: list[Carried] = []
    with into.in_use("import", _tell_on_stderr):
        for source in sources:
            taken.append(archive.take_in(into, source, misfit_by_key))
            if not as_json:
                _tell(taken[-1], f"from {source}")
    if as_json:
        pairs = zip(sources, taken, strict=True)
        told = [{"source": str(source), **_record(carried)} for source, carried in pairs]
        echo_json({"store": into.address, "sources": told})
    if any(carried.refused for carried in taken):
        sys.exit(1)


def _record(carried: Carried) -> dict[str, Any]:
    """What was carried, as data."""
    refused = [{"artefact": key, "reason": reason} for key, reason in carried.refused.items()]
    return {
        "artefacts": len(carried.new),
        "bytes": carried.size,
        "there": carried.there,
        "refused": refused,
    }


def _tell(carried: Carried, where: str) -> None:
    """Print what was carried."""
    for key, reason in carried.refused.items():
        echo(f"refused: {key}: {reason}")
    there = f", {carried.there:,} were there" if carried.there else ""
    echo(f"{len(carried.new):,} artefacts {where}, {formatting.size(carried.size)}{there}")


def _root(context: click.Context, where: Path | str | None) -> Path | str:
    outer: Path | str | None = context.parent.params.get("store") if context.parent is not None else None
    return where or outer or Path("lthbench-store")


def _as_json(context: click.Context, given: bool) -> bool:
    """Whether the command, or ``store`` before it, was asked for JSON."""
    return given or (context.parent is not None and bool(context.parent.params.get("as_json")))


def _opened(context: click.Context, where: Path | str | None) -> Store:
    """The store, which must be there. Raises BadInput."""
    from lthbench.store import open_store

    opened = open_store(_root(context, where))
    opened.check()
    if not opened.made():
        raise BadInput(f"store {opened.address}: is not there; give the place of a store with --store.")
    return opened
