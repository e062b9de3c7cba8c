"""Two score tables side by side: what changed in what was asked for, and in the scores. Pure functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lthbench import formatting
from lthbench.compute.libraries import LIBRARIES
from lthbench.errors import BadInput
from lthbench.formatting import escape
from lthbench.results import validation
from lthbench.results.merge import near, stated
from lthbench.results.run_facts import RunFacts
from lthbench.results.score_facts import ScoreFacts

if TYPE_CHECKING:
    import pandas as pd

#: The parts of ``run.json`` that say what was asked for and what it was done with.
_SPECS = ("task", "budget", "data", "environments", "seeds", "methods", "sparsities")
#: What identifies a row of one seed, and a mean over seeds.
_CELL = ["method", "sparsity", "score"]


@dataclass(frozen=True)
class Change:
    """A score of a method and sparsity in both tables: means over the seeds in both, and their difference.

    ``difference`` is B minus A, paired by seed, ``low`` and ``high`` its 95 % t interval (NaN for one seed).
    ``finding`` is "same" (the same values, or measurements that are alike but for rounding), "better" or
    "worse" (the interval excludes 0), or "unsure". ``odd``: the same measurements have other values.
    """

    method: str
    sparsity: float
    score: str
    unit: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    seeds: int
    finding: str
    odd: bool = False


@dataclass(frozen=True)
class Uncompared:
    """A score of these seeds that stands in both tables, and not with a value to compare in each.

    ``a`` and ``b`` are its status there, such as "ok", "gated" or "failed"; ``reason`` is why.
    """

    method: str
    sparsity: float
    score: str
    seeds: tuple[int, ...]
    a: str
    b: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """``specs`` are (what, in A, in B); ``only_a`` and ``only_b`` cells that the other table lacks.

    ``untold``: one of them is of before the versions of libraries were recorded.
    """

    specs: tuple[tuple[str, str, str], ...]
    changes: tuple[Change, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    uncompared: tuple[Uncompared, ...] = ()
    untold: bool = False


Read = tuple["pd.DataFrame", RunFacts]


def compare(a: Read, b: Read, every: bool = False) -> Comparison:
    """Compare the scores that the verdict asks for, or ``every`` one, where they are "ok" in both tables.

    Raises BadInput for unlike tasks, and for a table that cannot be reported.
    """
    names = [facts.task_name for _, facts in (a, b)]
    if names[0] != names[1]:
        raise BadInput(f"A is of task {names[0]} and B of task {names[1]}: their scores cannot be compared.")
    for name, (table, facts) in (("A", a), ("B", b)):
        try:
            validation.check(table, facts)
        except BadInput as error:
            raise BadInput(f"{name}: {error}") from error
    shown = [s.name for s in a[1].scores if every or s.verdict]
    tables = [_headline(table, shown) for table, _ in (a, b)]
    both = tables[0].merge(tables[1], on=[*_CELL, "seed"], suffixes=("_a", "_b"))
    fine = (both["status_a"] == "ok") & (both["status_b"] == "ok")
    known = {s.name: s for s in a[1].scores}
    changes = [_change(key, rows, known[key[2]]) for key, rows in both[fine].groupby(_CELL, sort=False)]
    unlike = both[~fine].groupby([*_CELL, "status_a", "status_b"], sort=False)
    cells = [dict.fromkeys(zip(t["method"], t["sparsity"], strict=True)) for t in tables]
    only = [
        tuple(f"{m} {formatting.sparsity(s)}" for m, s in mine if (m, s) not in others)
        for mine, others in (cells, cells[::-1])
    ]
    left = tuple(_uncompared(key, rows) for key, rows in unlike)
    untold = any(e.keys().isdisjoint(LIBRARIES) for _, facts in (a, b) for e in facts.environments)
    return Comparison(specs(a[1], b[1]), tuple(changes), only[0], only[1], left, untold)


def _headline(table: pd.DataFrame, scores: list[str]) -> pd.DataFrame:
    rows = table[(table["variant"] == "") & table["score"].isin(scores)]
    known = rows["value"].notna() | (rows["status"] != "ok")
    rows = rows.assign(status=rows["status"].where(known, "without a value"))
    return rows[[*_CELL, "seed", "value", "se", "step", "status", "reason"]]


def _uncompared(key: Any, rows: pd.DataFrame) -> Uncompared:
    method, sparsity, score, a, b = key
    seeds = tuple(sorted(map(int, rows["seed"])))
    # A row that is ok may have a reason, too, as for images that were left out.
    told = [
        reason for side, status in (("b", b), ("a", a)) if status != "ok" for reason in rows[f"reason_{side}"]
    ]
    first, *others = list(dict.fromkeys(filter(None, told))) or [""]
    more = f" (and {len(others)} more)" if others else ""
    return Uncompared(method, float(sparsity), score, seeds, a, b, f"{first}{more}")


def _change(key: Any, rows: pd.DataFrame, told: ScoreFacts) -> Change:
    method, sparsity, score = key
    gaps = (rows["value_b"] - rows["value_a"]).to_numpy()
    mean, low, high = float(gaps.mean()), math.nan, math.nan
    if len(gaps) > 1:
        from scipy import stats

        error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
        reach = float(stats.t.ppf(0.975, len(gaps) - 1)) * error
        low, high = mean - reach, mean + reach
    one = rows["step_a"] == rows["step_b"]
    odd = one & ~near(rows["value_a"], rows["value_b"], rows[["se_a", "se_b"]].min(axis=1))
    if not gaps.any() or (one.all() and not odd.any()):
        finding = "same"
    elif low > 0 or high < 0:
        finding = "better" if (mean > 0) == told.higher_is_better else "worse"
    else:
        finding = "unsure"
    means = float(rows["value_a"].mean()), float(rows["value_b"].mean())
    numbers = *means, mean, low, high
    return Change(method, float(sparsity), score, told.unit, *numbers, len(gaps), finding, bool(odd.any()))


def specs(a: RunFacts, b: RunFacts) -> tuple[tuple[str, str, str], ...]:
    """What differs between two runs' facts: (what, in A, in B), written out.

    Of a library's version nothing is said where one of them has none: it was not recorded, or not installed.
    """
    first, second = _spec(a), _spec(b)
    mine, theirs = ({score.name for score in facts.scores} for facts in (a, b))
    for told, more in ((first, mine - theirs), (second, theirs - mine)):
        told["scores"] = f"{', '.join(sorted(more))}, too" if more else "–"
    alone = {key for key in first.keys() ^ second.keys() if key.rpartition(".")[2] in LIBRARIES}
    return tuple(
        (key, first.get(key, "–"), second.get(key, "–"))
        for key in dict.fromkeys((*first, *second))
        if key not in alone and first.get(key) != second.get(key)
    )


def _spec(facts: RunFacts) -> dict[str, str]:
    found = facts.to_json()
    found["environments"] = _fullest(found["environments"])
    told = {key: said for part in _SPECS for key, said in _flat(part, stated(found[part]))}
    told["pretrained"] = ", ".join(dict.fromkeys(str(r.pretrained) for r in facts.requests if r.pretrained))
    told["checkpoints"] = ", ".join(sorted(str(c.get("method")) for c in facts.checkpoints))
    return told | {f"{p.kind} {p.name}": p.code for p in facts.plugins}


def _fullest(environments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Environments without those that another one repeats: steps of before it recorded as much."""
    return [
        e
        for e in environments
        if not any(e != other and e.items() <= other.items() for other in environments)
    ]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    """A nested value as (dotted name, text)."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return [pair for i, inner in enumerate(value) for pair in _flat(f"{name}.{i}", inner)]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, str(value))]


def as_table(found: Comparison, units: dict[str, str]) -> pd.DataFrame:
    """A row for each score in both tables: the fields of ``Change``, ``status_a``, ``status_b``, ``reason``.

    Scores that are not compared stand last, with the ``finding`` "uncompared" and without numbers. ``units``
    are those of all scores.
    """
    import pandas as pd

    names = [field.name for field in dataclasses.fields(Change)]
    rows = [dataclasses.asdict(c) | {"status_a": "ok", "status_b": "ok", "reason": ""} for c in found.changes]
    nothing = dict.fromkeys(("a", "b", "difference", "low", "high"), math.nan)
    for one in found.uncompared:
        place = {"method": one.method, "sparsity": one.sparsity, "score": one.score, "unit": units[one.score]}
        told = {"seeds": len(one.seeds), "finding": "uncompared", "odd": False}
        rows.append({**place, **nothing, **told, "status_a": one.a, "status_b": one.b, "reason": one.reason})
    return pd.DataFrame(rows, columns=[*names, "status_a", "status_b", "reason"])


def text(found: Comparison, titles: dict[str, str], form: str = "text") -> str:
    """The comparison for the shell, or as Markdown."""
    safe = escape if form == "md" else str
    parts = []
    if found.specs:
        rows = [{"what": what, "A": a, "B": b} for what, a, b in found.specs]
        parts.append("What differs in what was asked for, and in what it was done with:")
        parts.append(formatting.grid(rows, form))
    else:
        known = ", as far as these were recorded" if found.untold else ""
        parts.append(f"Both were asked for alike and done with the same versions{known}.")
    same = sum(c.finding == "same" for c in found.changes)
    told = [c for c in found.changes if c.finding != "same"]
    if told:
        parts.append("Differences are B minus A, paired by seed, with 95 % intervals over seeds:")
        parts.append(formatting.grid([_row(c, titles) for c in told], form))
    if same:
        parts.append(f"{formatting.counted(same, 'score is', 'scores are')} the same in both.")
    odd = [c for c in found.changes if c.odd]
    if odd:
        made = any(what.startswith("environments") for what, *_ in found.specs)
        cause = "other machines or versions give other networks, or " if made else ""
        named = f"{odd[0].method} {formatting.sparsity(odd[0].sparsity)}, {odd[0].score}"
        parts.append(
            f"{formatting.counted(len(odd), 'score is', 'scores are')} of the same measurements and of other "
            f"values ({safe(named)}{' and others' if len(odd) > 1 else ''}): {cause}one table was changed."
        )
    if not found.changes:
        parts.append("No score is there to compare in both.")
    if found.uncompared:
        mark = "- " if form == "md" else "  "
        lines = [f"{mark}{safe(line)}" for line in _left_out(found.uncompared, titles)]
        parts.append("Not compared:" + ("\n\n" if form == "md" else "\n") + "\n".join(lines))
    for name, cells in (("A", found.only_a), ("B", found.only_b)):
        if cells:
            parts.append(f"Only in {name}: {safe(', '.join(cells))}.")
    return "\n\n".join(parts)


def _left_out(found: Sequence[Uncompared], titles: dict[str, str]) -> list[str]:
    """A line for each network, and each reason why scores of it were not compared."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for one in found:
        title = titles.get(one.score, one.score)
        alike.setdefault((one.method, one.sparsity, one.seeds, one.a, one.b, one.reason), []).append(title)
    lines = []
    for (method, sparsity, seeds, a, b, reason), scores in alike.items():
        status = (
            f"{a} in both"
            if a == b
            else " and ".join(
                f"{status} in {name}" for status, name in ((a, "A"), (b, "B")) if status != "ok"
            )
        )
        which = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        why = f": {reason}" if reason else ""
        network = f"{method} {formatting.sparsity(sparsity)}, {which}"
        lines.append(f"{network}: {formatting.listed(scores)} ({status}{why})")
    return lines


def _row(change: Change, titles: dict[str, str]) -> dict[str, str]:
    unit = change.unit
    interval = f"{_signed(change.low, unit)} .. {_signed(change.high, unit)}"
    return {
        "method": change.method,
        "sparsity": formatting.sparsity(change.sparsity),
        "score": formatting.titled(titles.get(change.score, change.score), unit),
        "A": formatting.number(change.a, unit),
        "B": formatting.number(change.b, unit),
        "difference": _signed(change.difference, unit),
        "95 %": "–" if change.seeds < 2 else interval,
        "seeds": str(change.seeds),
        "": change.finding,
    }


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value > 0 else ''}{formatting.number(value, unit)}"
