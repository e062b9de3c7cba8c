"""What a report or a plan needs of a store: what ``store prune`` keeps and ``store export`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from lthbench.results.run_facts import RunFacts
    from lthbench.store import Store


def wanted(source: Path, opened: Store, cure: str) -> set[str]:
    """The keys that a report or a plan needs. Raises BadInput.

    ``cure`` says what to do with an unfinished report of which it is not known here what its run needs.
    """
    from lthbench.store import inventory, layout

    if source.is_dir() or source.suffix == ".csv":
        from lthbench.results import so_far, table

        scores, facts = table.read(source if source.is_dir() else source.parent)
        asked = set(scores["step"])
        ahead = _ahead(source, facts, asked, cure) if so_far.of_table(scores) else set()
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
        return inventory.needed(opened, there) | ahead
    return planned(source)


def _ahead(source: Path, facts: RunFacts, measures: set[str], cure: str) -> set[str]:
    """The keys of all steps that lead to the ``measures`` of a report that is not finished. Raises BadInput.

    Those of networks that are still to come stand neither in the report nor behind what is stored.
    """
    from lthbench.planning import request
    from lthbench.planning.plan import plan

    known = {data.name: data for data in facts.data}
    asked = [request.asked_again(record, str(source)) for record in facts.requests]
    keys = {step.key for one in asked for step in plan(one, (), data_needed=False, known=known).steps}
    if not measures <= keys:
        raise BadInput(
            f"{source}: is not finished, and what its run needs is not known here: it was made with other "
            f"versions, or edited. {cure}"
        )
    return keys


def planned(source: Path) -> set[str]:
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
