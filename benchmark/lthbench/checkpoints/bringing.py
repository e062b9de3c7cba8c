"""What is asked for where networks that were made elsewhere are scored, and these networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from lthbench.checkpoints import importing
from lthbench.checkpoints.importing import Brought
from lthbench.errors import BadInput
from lthbench.global_state import standard
from lthbench.planning.checks import pixels, text
from lthbench.planning.plan import network
from lthbench.planning.request import Request, ask
from lthbench.spec import round_density


@standard()
def bring(
    name: str | Path,
    method: str,
    pruned: Sequence[Any],
    dense: Sequence[Any],
    masks: Sequence[Any],
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    *,
    key: str | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    corruptions: str | None = None,
    typed: str = "",
) -> tuple[Request, Brought]:
    """The checked request for scoring networks pruned elsewhere, and these networks.

    ``dense`` holds seeds or networks; ``typed`` is the command line.
    """
    text("key", key)
    seeds = [int(d) for d in dense if _is_seed(d)] if dense else list(range(len(pruned)))
    if dense and len(seeds) not in (0, len(dense)):
        raise BadInput("dense: give networks or seeds, not both.")
    parents = [] if seeds else list(dense)
    asked = ask(name, [], None, [], seeds or max(len(pruned), 1), metrics, budget, ood, concepts, corruptions)
    both = None if normalization is None else pixels(normalization)
    found = importing.brought(
        method, network(asked.task), pruned, parents, masks, seeds or range(len(pruned)), both, key
    )
    of_task = f"task={asked.task_as_typed!r}"
    shown = typed or f"lthbench.score(..., {of_task}, name={method!r}, budget={asked.budget!r})"
    density = round_density(1.0 - found.sparsity)
    return dataclasses.replace(asked, methods=(method,), densities=(density,), typed=shown), found


def _is_seed(value: Any) -> bool:
    return (type(value) is not bool and isinstance(value, Integral)) or (
        isinstance(value, str) and value.isdecimal() and not Path(value).exists()
    )
