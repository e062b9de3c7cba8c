"""Several tables of one task and budget as one: methods beside the same dense parents, or more seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from lthbench import formatting
from lthbench.errors import BadInput
from lthbench.results import dense_parents
from lthbench.results.plugin_facts import other_code
from lthbench.results.run_facts import RunFacts

if TYPE_CHECKING:
    import pandas as pd

#: What must be the same for tables to be one.
SAME = ("schema", "task", "budget", "data", "aspects", "scores")
_NETWORK = ["method", "sparsity", "seed"]
_KEY = [*_NETWORK, "score", "variant"]
#: Two machines may round one network's score otherwise: by so much of its standard error, or of itself.
_OF_ERROR, _OF_VALUE = 0.05, 1e-6


def stated(value: Any) -> Any:
    """A part of run.json without what is None: a field that came later is not there, and means the same."""
    if isinstance(value, Mapping):
        return {name: stated(found) for name, found in value.items() if found is not None}
    return value


def meant(part: str, value: Any) -> Any:
    """A part of run.json without what is None, and without the words about a task or budget."""
    if part not in ("task", "budget"):
        return stated(value)
    return {name: found for name, found in stated(value).items() if name not in ("about", "source")}


def grouped(
    read: Sequence[tuple[pd.DataFrame, RunFacts]],
) -> list[tuple[pd.DataFrame, RunFacts]]:
    """Tables with those of the same task and budget put together, in the order in which they came."""
    groups: dict[tuple[str, str], list[tuple[pd.DataFrame, RunFacts]]] = {}
    for one in read:
        groups.setdefault((one[1].task_name, one[1].budget_name), []).append(one)
    return [merged(group) for group in groups.values()]


def merged(group: Sequence[tuple[pd.DataFrame, RunFacts]]) -> tuple[pd.DataFrame, RunFacts]:
    """One table of several, that of most networks first, and of as many by their commands.

    In whatever order they come, they give the same table, and so the same verdicts.
    They have the same seeds, or each the same networks for seeds of its own, and dense parents of one kind.
    A network that was made twice, such as a dense parent on two machines, has the scores of the first table.
    Times are those of the first table that has any. The calibration is the one that some of them have.
    Raises BadInput where they were not asked for alike, or contradict each other.
    """
    import pandas as pd

    if len(group) == 1:
        return group[0]
    group = sorted(group, key=_place)  # what was added stands last
    first = group[0][1]
    cannot = f"two tables of task {first.task_name}, budget {first.budget_name} cannot be put together"
    apart = _seeds_apart(group)
    for _, facts in group[1:]:
        code = other_code([facts.plugins, first.plugins])
        for part in SAME:
            if meant(part, getattr(facts, part)) != meant(part, getattr(first, part)):
                alike = " with the same --metrics" if part in ("aspects", "scores") else ""
                raise BadInput(
                    f"{cannot}: their {part} differ. Give one of them, or run both alike{alike}.{code}"
                )
        if facts.seeds != first.seeds and not apart:
            raise BadInput(
                f"{cannot}: their seeds differ. Give one of them, or run both alike; tables of the same "
                f"methods and sparsities, each with other seeds, are put together.{code}"
            )
        if _other_digests(facts, first):
            raise BadInput(f"{cannot}.{code} Give one of them, or run both alike.")
        if _levels(facts) != _levels(first):
            raise BadInput(
                f"{cannot}: their results were looked at {_said(first)} and {_said(facts)}, at other levels. "
                "Give one of them, or run both alike (--until-decided)."
            )
    for (_, one), (_, other) in combinations(group, 2):
        if differ := dense_parents.unlike(one, other):
            raise BadInput(f"{cannot}: {differ}. Give one of them, or run both alike.")
    several = [facts for _, facts in group]
    table = pd.concat([t for t, _ in group], ignore_index=True)
    _check_made_twice(table, several)
    table = table.drop_duplicates(_KEY)
    spent: dict[str, float] = {}
    for facts in several:
        for verb, seconds in facts.seconds.items():
            spent[verb] = round(spent.get(verb, 0.0) + seconds, 3)
    unlike = [e for facts in several for e in facts.environments]
    known = {(n.method, n.sparsity, n.seed): n for facts in several for n in facts.networks}
    requests = tuple(r for facts in several for r in facts.requests)
    combined = dataclasses.replace(
        first,
        seeds=tuple(sorted({s for facts in several for s in facts.seeds})) if apart else first.seeds,
        command="\n".join(facts.command for facts in several),
        requests=requests if all(facts.requests for facts in several) else (),
        methods=tuple(dict.fromkeys(m for facts in several for m in facts.methods)),
        sparsities=tuple(dict.fromkeys(s for facts in several for s in facts.sparsities)),
        plugins=tuple(dict.fromkeys(p for facts in several for p in facts.plugins)),
        environments=tuple(e for i, e in enumerate(unlike) if e not in unlike[:i]),
        seconds=spent,
        masks={key: mask for facts in several for key, mask in facts.masks.items()},
        networks=tuple(known.values()),
        pictures=tuple(p for facts in several for p in facts.pictures),
        checkpoints=dense_parents.accounts(several),
        units=tuple({u[:7]: u for facts in several for u in facts.units}.values()),
        calibration=_calibration(several, cannot),
        # Times of one session alone: a machine is not as fast at another moment, and dense is in each.
        latencies=next((facts.latencies for facts in several if facts.latencies), ()),
    )
    return table.reset_index(drop=True), combined


def _place(one: tuple[pd.DataFrame, RunFacts]) -> tuple[int, str, str, bytes]:
    """Where a table stands among those that it is put together with: a function of what is in it alone."""
    table, facts = one
    told = json.dumps(facts.to_json(), sort_keys=True, default=str)
    return -len(table.drop_duplicates(_NETWORK)), facts.command, told, table["value"].to_numpy().tobytes()


def _seeds_apart(group: Sequence[tuple[pd.DataFrame, RunFacts]]) -> bool:
    """Whether tables have the same networks, each for seeds of its own, and none had seeds added to it."""
    seeds = [seed for _, facts in group for seed in facts.seeds]
    networks = [set(zip(table["method"], table["sparsity"], strict=True)) for table, _ in group]
    alike = all(found == networks[0] for found in networks)
    return alike and len(seeds) == len(set(seeds)) and not any(_levels(facts) for _, facts in group)


def _calibration(several: Sequence[RunFacts], cannot: str) -> dict[str, Any] | None:
    """The calibration that stands beside some of the tables. Raises BadInput for two that differ."""
    there = [facts.calibration for facts in several if facts.calibration is not None]
    values = [{name: part for name, part in one.items() if name != "command"} for one in there]
    if any(other != values[0] for other in values[1:]):
        raise BadInput(
            f"{cannot}: they are judged by calibrations that differ. Run both again beside one of them: what "
            "is stored is not done again."
        )
    return there[0] if there else None


def _check_made_twice(table: pd.DataFrame, several: Sequence[RunFacts]) -> None:
    """Raise BadInput where a score stands twice and is not that of one network but for rounding."""
    again = table[table.duplicated(_KEY)].drop_duplicates([*_KEY, "step", "value"])
    both = again.merge(table.drop_duplicates(_KEY), on=_KEY, suffixes=("", "_first"))
    alike = near(both["value"], both["value_first"], both[["se", "se_first"]].min(axis=1))
    weights: dict[tuple[str, float, int], set[str]] = {}
    for facts in several:
        for n in facts.networks:
            weights.setdefault((n.method, n.sparsity, n.seed), set()).add(n.network)
    places = zip(both["method"], both["sparsity"], both["seed"], strict=True)
    both["one"] = [len(weights.get((m, float(s), int(n)), ())) == 1 for m, s, n in places]
    odd = both[~(alike & ((both["step"] == both["step_first"]) | both["one"]))]
    if len(odd):
        row = odd.iloc[0]
        raise BadInput(
            f"two tables of task {several[0].task_name} give {row['method']} at {row['sparsity']:g}, seed "
            f"{row['seed']}, another {row['score']} each. Give one of them."
            f"{other_code([facts.plugins for facts in several])}"
        )


def _other_digests(a: RunFacts, b: RunFacts) -> bool:
    """Whether a plug-in of both is of other code in each: methods of one name would be taken for one."""
    known = {(p.kind, p.name): p.digest for p in a.plugins}
    return any(known.get((p.kind, p.name), p.digest) != p.digest for p in b.plugins)


def near(value: pd.Series, other: pd.Series, error: pd.Series) -> pd.Series:
    """Where two values of one network's score are alike but for rounding, or both are not there."""
    away = (value - other).abs()
    return (away <= _OF_ERROR * error.fillna(0.0) + _OF_VALUE * other.abs()) | (value.isna() & other.isna())


def _levels(facts: RunFacts) -> tuple[int, ...]:
    """The numbers of seeds at which results are looked at: what the level of each look follows from."""
    return facts.looks.counts if facts.looks else ()


def _said(facts: RunFacts) -> str:
    counts = _levels(facts)
    return f"with {formatting.listed([str(c) for c in counts])} seeds" if counts else "once"
