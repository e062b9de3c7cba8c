"""Several tables of one task and budget as one: methods of several runs, held to the same dense parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lthbench.errors import BadInput
from lthbench.planning import request_record

if TYPE_CHECKING:
    import pandas as pd

#: What must be the same for tables to be one.
SAME = ("schema", "task", "budget", "data", "seeds", "aspects", "scores")
_KEY = ["method", "sparsity", "seed", "score", "variant"]


def grouped(
    read: Sequence[tuple[pd.DataFrame, dict[str, Any]]],
) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """Tables with those of the same task and budget put together, in the order in which they came."""
    groups: dict[tuple[str, str], list[tuple[pd.DataFrame, dict[str, Any]]]] = {}
    for one in read:
        groups.setdefault((one[1]["task"]["name"], one[1]["budget"]["name"]), []).append(one)
    return [merged(group) for group in groups.values()]


def merged(group: Sequence[tuple[pd.DataFrame, dict[str, Any]]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One table of several. Raises BadInput where they were not asked for alike, or contradict each other."""
    import pandas as pd

    if len(group) == 1:
        return group[0]
    first = group[0][1]
    for _, facts in group[1:]:
        for part in SAME:
            if facts[part] != first[part]:
                where = f"task {first['task']['name']}, budget {first['budget']['name']}"
                raise BadInput(
                    f"two tables of {where} cannot be put together: their {part} differ. Give one of them, "
                    "or run both alike."
                )
    table = pd.concat([t for t, _ in group], ignore_index=True).drop_duplicates([*_KEY, "step", "value"])
    twice = table[table.duplicated(_KEY, keep=False)]
    if len(twice):
        row = twice.iloc[0]
        raise BadInput(
            f"two tables of task {first['task']['name']} give {row['method']} at {row['sparsity']:g}, seed "
            f"{row['seed']}, another {row['score']} each. Give one of them."
        )
    combined = dict(first)
    for part in ("methods", "sparsities"):
        combined[part] = list(dict.fromkeys(v for _, facts in group for v in facts[part]))
    for part in ("masks", "networks"):
        combined[part] = {k: v for _, facts in group for k, v in facts[part].items()}
    pictures = [p for _, facts in group for p in facts.get("pictures", ())]
    if pictures:
        combined["pictures"] = pictures
    unlike = [e for _, facts in group for e in facts["environments"]]
    combined["environments"] = [e for i, e in enumerate(unlike) if e not in unlike[:i]]
    spent: dict[str, float] = {}
    for _, facts in group:
        for verb, seconds in facts["seconds"].items():
            spent[verb] = round(spent.get(verb, 0.0) + seconds, 3)
    combined["seconds"] = spent
    try:
        combined["requests"] = [r.to_json() for _, facts in group for r in request_record.records(facts)]
    except BadInput:  # of a command that was written by hand
        combined.pop("requests", None)
    combined["command"] = "\n".join(facts["command"] for _, facts in group)
    return table.reset_index(drop=True), combined
