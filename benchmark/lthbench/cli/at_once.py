"""All that is wrong with a command, told at once, before anything is read at length or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lthbench.cli.options import check_rule, run_options
from lthbench.cli.targets import check_report


@contextmanager
def told_at_once(
    options: dict[str, Any], rule: str | None = None, report: Path | None = None, force: bool = False
) -> Iterator[None]:
    """Look at the rule, the report's folder and how to run, whatever is wrong with what is asked for inside.

    Raises BadInput naming every fault.
    """
    from lthbench.compute.device import check_device, resolve
    from lthbench.data.loading import checked_folders
    from lthbench.planning.checks import Faults
    from lthbench.store import open_store

    faults = Faults()
    with faults.taken():
        yield
    with faults.taken():
        check_rule(rule)
    with faults.taken():
        check_device(options["device"])
        # Where all else is right the device is looked for when there is something to do: torch is imported.
        if faults and options.get("engine") == "local":
            resolve(options["device"])
    with faults.taken():
        checked_folders(options["data"])
    with faults.taken():
        open_store(options["store"]).check()
    if "engine" in options:
        with faults.taken():
            run_options(options)
    if report is not None:
        with faults.taken():
            check_report(report, force)
    faults.tell()
