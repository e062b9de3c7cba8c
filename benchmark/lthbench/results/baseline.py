"""Holding a score table to a baseline: what got worse by more than it may. Pure functions.

A baseline is a JSON file of the scores of each method and sparsity, seed by seed, each with its tolerance:
the amount, in the score's unit, by which the mean over seeds may be worse. It is written from a table, and
meant to be read and changed by people. Another processor, or version of PyTorch, rounds otherwise and trains
as another seed would: where a table was made so, each score has a wider tolerance, ``elsewhere``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lthbench.compute.libraries import LIBRARIES
from lthbench.errors import BadInput, unknown
from lthbench.results import baseline_file, so_far, validation
from lthbench.results.baseline_file import SCHEMA
from lthbench.results.run_facts import RunFacts, ScoreFacts
from lthbench.verdict.calibration import RATIO, DenseScore
from lthbench.verdict.noninferiority import ALPHA, MOST_SEEDS, corrected, difference, spread

if TYPE_CHECKING:
    import pandas as pd

RULES = ("tolerance", "noninferior")
#: What is found of a score that has values in both. The last is what a test alone can find: neither is shown.
HOLDS, WORSE, OPEN = "holds", "worse", "not enough data"
#: By so many standard deviations of the difference of two means over seeds a score may be worse elsewhere. On
#: the calibrations that ship, one network with ten scores is then worse by chance in less than 1 % of cases.
DEVIATIONS = 3.0
#: How far a typed sparsity may be from one in the table.
NEAR = 0.005
ELSEWHERE = (
    "The baseline is of another kind of device or version of PyTorch, or these networks are of a GPU: they "
    "train as another seed would. Each score may be worse by its tolerance elsewhere."
)
CHANGED = (
    "Dense networks, which no method changes, have other scores than in the baseline, though device and "
    "PyTorch have the same names. Either what trains and measures them was changed, or these are two "
    "processors of one name: then hold to the tolerances elsewhere (--elsewhere)."
)

#: What identifies a mean over seeds.
_CELL = ["method", "sparsity", "score"]


@dataclass(frozen=True)
class Held:
    """One score held to its baseline: ``worse_by`` is positive where it is worse, NaN where not there.

    ``finding`` is "holds", "worse" or "not enough data"; of what has no value to compare it is the status, or
    "missing". Means are over the ``seeds`` in both, of the ``baseline_seeds``. The rule noninferior alone has
    ``p``, of the hypothesis that it is worse by the tolerance or more, ``p_worse``, of the hypothesis that it
    is no worse, corrected for the scores of the network, and ``seeds_needed``: so many in both would show
    that it holds if these are typical (None where it holds, or where no number would do or is known).
    """

    method: str
    sparsity: float
    score: str
    unit: str
    baseline: float
    now: float
    worse_by: float
    tolerance: float
    finding: str
    reason: str
    seeds: int
    baseline_seeds: int
    p: float = math.nan
    p_worse: float = math.nan
    seeds_needed: int | None = None

    @property
    def good(self) -> bool:
        """Whether it holds; what has not enough data does not."""
        return self.finding == HOLDS


def baseline(
    table: pd.DataFrame,
    facts: RunFacts,
    scores: Sequence[str] = (),
    methods: Sequence[str] = (),
    sparsities: Sequence[float] = (),
    trainings: Mapping[str, DenseScore] | None = None,
) -> dict[str, Any]:
    """A baseline of the verdict's scores, or of those named; of all methods and sparsities, or of some.

    Dense is always there; what failed, is degenerate or gated is not. The tolerance is a score's margin, or
    twice its standard deviation over seeds where that is more. That ``elsewhere`` is at least three standard
    deviations of the difference of two means over as many seeds, by the ``trainings`` that calibrate the
    task, or else by these seeds; mCE, a ratio to a parent that is another one elsewhere, varies by both.
    Raises BadInput for a score, method or sparsity that is not in the table, where one of these scores is not
    measured yet, and for a table that cannot be reported.
    """
    validation.check(table, facts)
    known = {s.name: s for s in facts.scores}
    chosen = _chosen(table, facts, scores, methods, sparsities)
    _check_finished(chosen, facts.command)
    entries = []
    for (method, sparsity, name), rows in chosen.groupby(_CELL, sort=False):
        values = {str(seed): value for seed, value in zip(rows["seed"], rows["value"], strict=True)}
        # What is degenerate, gated or failed does not hold against any baseline, its own included.
        if len(values) and all(map(math.isfinite, values.values())) and set(rows["status"]) == {"ok"}:
            tolerance = _tolerance(known[name], list(values.values()))
            apart = _elsewhere((trainings or {}).get(name), list(values.values()))
            entries.append(
                {
                    "method": method,
                    "sparsity": sparsity,
                    "score": name,
                    "unit": rows["unit"].iloc[0],
                    "direction": "higher" if known[name].higher_is_better else "lower",
                    "tolerance": tolerance,
                    "elsewhere": max(tolerance, apart),
                    "values": values,
                }
            )
    return {
        "schema": SCHEMA,
        "what": "lthbench baseline",
        "task": facts.task_name,
        "budget": facts.budget_name,
        "command": facts.command,
        "environments": _environments(facts),
        "libraries": libraries(facts),
        "scores": entries,
    }


def left_out(
    base: dict[str, Any],
    table: pd.DataFrame,
    facts: RunFacts,
    scores: Sequence[str] = (),
    methods: Sequence[str] = (),
    sparsities: Sequence[float] = (),
) -> dict[str, int]:
    """How many scores a baseline was asked to hold and does not, by status; see ``baseline``."""
    held = {(e["method"], e["sparsity"], e["score"]) for e in base["scores"]}
    chosen = _chosen(table, facts, scores, methods, sparsities)
    found: dict[str, int] = {}
    for cell, rows in chosen.groupby(_CELL, sort=False):
        if cell not in held:
            statuses = set(rows["status"])
            status = next((s for s in ("failed", "degenerate", "gated") if s in statuses), "without a value")
            found[status] = found.get(status, 0) + 1
    return found


def _chosen(
    table: pd.DataFrame,
    facts: RunFacts,
    scores: Sequence[str],
    methods: Sequence[str],
    sparsities: Sequence[float],
) -> pd.DataFrame:
    """The headline rows of what is asked for: see ``baseline``."""
    known = {s.name: s for s in facts.scores}
    for name in scores:
        if name not in known:
            raise unknown("score", name, known, "in this table")
    wanted = tuple(scores) or tuple(n for n, s in known.items() if s.verdict)
    rows = _headline(table)
    there = rows["method"].isin(_methods(table, methods)) & rows["sparsity"].isin(
        _sparsities(table, sparsities)
    )
    return rows[there & rows["score"].isin(wanted)]


def _check_finished(chosen: pd.DataFrame, command: str) -> None:
    """Raise BadInput for scores that are not measured yet: what a baseline lacks, a gate lets through."""
    found = so_far.of_table(chosen)
    if found is None:
        return
    raise BadInput(
        f"the table is not finished: {found.scores:,} of the {found.of_scores:,} scores that the baseline "
        f"would hold are there. Networks that lack some: {found.lacking_in_words}. Run its command to the "
        f"end ({command}), or choose what is there with --methods, --sparsity and --scores."
    )


def _methods(table: pd.DataFrame, asked: Sequence[str]) -> set[str]:
    """The methods asked for, dense with them; all if none is named."""
    there = set(table["method"])
    for name in asked:
        if name not in there:
            raise unknown("method", name, there, "in this table")
    return {*asked, "dense"} if asked else there


def _sparsities(table: pd.DataFrame, asked: Sequence[float]) -> set[float]:
    """The sparsities of the table that are meant by those asked for, and 0; all if none is named."""
    there = {float(s) for s in table["sparsity"]}
    found = {0.0} if asked else there
    for typed in asked:
        level = min(there, key=lambda s: abs(s - typed))
        if abs(level - typed) > NEAR:
            valid = ", ".join(f"{s:.4g}" for s in sorted(there))
            raise BadInput(f"no sparsity {typed:g} in this table. Valid: {valid}")
        found.add(level)
    return found


def _tolerance(score: ScoreFacts, values: Sequence[float]) -> float:
    mean = fmean(values)
    margin = score.margin * (abs(mean) if score.relative_margin else 1.0)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1))
    return float(f"{max(margin, 2 * spread):.3g}")


def _elsewhere(trainings: DenseScore | None, values: Sequence[float]) -> float:
    """By how much another training of these networks may be worse by chance, in the score's unit."""
    wide = DEVIATIONS * math.sqrt(2.0 / len(values))
    mean = fmean(values)
    if trainings is None or (trainings.relative and min(values) <= 0.0):
        found = wide * spread(values)[1] ** 0.5
    else:
        variance = trainings.variance
        if trainings.score == RATIO:  # here it is one to the parent, which is trained elsewhere as well
            own = spread([trainings.scale.place(v) for v in values])[1]
            variance = max(2.0 * variance, 0.0 if math.isnan(own) else own)
        found = trainings.scale.shown(wide * variance**0.5)
        found *= abs(mean) if trainings.relative else 1.0
    return float(f"{0.0 if math.isnan(found) else found:.3g}")


def _environments(facts: RunFacts) -> list[dict[str, Any]]:
    """The devices and versions of PyTorch that a table was made with."""
    return [{key: each.get(key) for key in ("device", "torch")} for each in facts.environments]


def libraries(facts: RunFacts) -> dict[str, list[str]]:
    """The versions of libraries that a table was made with, as far as they were recorded."""
    told = {n: sorted({str(e[n]) for e in facts.environments if n in e}) for n in ("numpy", *LIBRARIES)}
    return {name: versions for name, versions in told.items() if versions}


def made_alike(facts: RunFacts, base: dict[str, Any]) -> bool:
    """Whether a table was made on the kind of device, and with the version of PyTorch, of the baseline.

    A GPU is never alike: its kernels may add in another order each time, and then it trains otherwise. A
    baseline of before these were kept has one tolerance, and counts as made alike.
    """
    there, here = base.get("environments"), _environments(facts)
    return there is None or all(e in there and not str(e["device"]).startswith("cuda") for e in here)


def dense_alike(table: pd.DataFrame, base: dict[str, Any]) -> bool:
    """Whether the dense networks of a table have the scores that they have in the baseline."""
    return all(
        math.isclose(now, before, rel_tol=1e-6, abs_tol=1e-12)
        for entry in base["scores"]
        if entry["method"] == "dense"
        for before, now in _both(table, entry)
    )


def _both(table: pd.DataFrame, entry: dict[str, Any]) -> list[tuple[float, float]]:
    """The values of the seeds that the baseline and the table have."""
    rows = _rows(table, entry["method"], entry["sparsity"], entry["score"])
    now = {int(s): float(v) for s, v in zip(rows["seed"], rows["value"], strict=True)}
    known = {int(seed): float(value) for seed, value in entry["values"].items()}
    return [(known[s], now[s]) for s in known if s in now and not math.isnan(now[s])]


def _headline(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["variant"] == ""]


def _rows(table: pd.DataFrame, method: str, sparsity: float, score: str) -> pd.DataFrame:
    rows = _headline(table)
    here = (
        (rows["method"] == method) & ((rows["sparsity"] - sparsity).abs() < 1e-9) & (rows["score"] == score)
    )
    return rows[here]


def hold(
    table: pd.DataFrame, facts: RunFacts, base: dict[str, Any], rule: str = "tolerance", wide: bool = False
) -> list[Held]:
    """Hold a table to a baseline, score by score.

    Raises BadInput where the task or the budget differs, and for a table that cannot be reported. By
    ``tolerance`` a mean over the seeds in both may be worse by the tolerance; by ``noninferior`` a test over
    these seeds must show, at 5 %, that it is worse by less; a score that does not hold is then worse where
    that is shown, at 5 % for all scores of a network together, and has not enough data where it is not. The
    tolerance is that ``elsewhere`` where it is ``wide``: where the table was not ``made_alike``.
    """
    for part, own in (("task", facts.task_name), ("budget", facts.budget_name)):
        if own != base[part]:
            raise BadInput(f"the baseline is of {part} {base[part]}, the table of {part} {own}.")
    validation.check(table, facts)
    baseline_file.check_read_alike(base, facts)
    found = [_held(table, entry, rule, wide) for entry in base["scores"]]
    return _corrected(found) if rule == "noninferior" else found


def _held(table: pd.DataFrame, entry: dict[str, Any], rule: str, wide: bool) -> Held:
    rows = _rows(table, entry["method"], entry["sparsity"], entry["score"])
    known = [float(value) for value in entry["values"].values()]
    both = _both(table, entry)
    tolerance = float(entry["tolerance"])
    widened = wide and entry.get("elsewhere", 0.0) > tolerance
    if widened:  # means of fewer seeds scatter more
        tolerance = float(entry["elsewhere"]) * math.sqrt(len(known) / max(len(both), 1))
    place = entry["method"], float(entry["sparsity"]), entry["score"], entry["unit"]
    none = Held(*place, fmean(known), math.nan, math.nan, tolerance, "missing", "", 0, len(known))
    bad = rows[~rows["status"].isin(["ok", "missing"])]
    if len(bad):
        status = str(bad["status"].iloc[0])
        return replace(none, finding=status, reason=f"{status}: {bad['reason'].iloc[0]}")
    awaited = _awaited(entry, rows)
    if awaited or not both:
        return replace(none, reason=awaited or _absent(table, entry, rows))
    before, after = (fmean(values) for values in zip(*both, strict=True))
    sign = 1.0 if entry["direction"] == "higher" else -1.0
    gaps = [sign * (old - new) for old, new in both]
    found = replace(none, baseline=before, now=after, worse_by=fmean(gaps), seeds=len(both))
    if rule == "noninferior":
        return _tested(found, gaps, widened)
    # A tolerance of zero is for equal numbers, whose means may differ in the last bit.
    if fmean(gaps) <= tolerance + 1e-12 * max(1.0, abs(before)):
        return replace(found, finding=HOLDS)
    return replace(found, finding=WORSE, reason="worse by more than its tolerance")


def _tested(found: Held, gaps: Sequence[float], widened: bool) -> Held:
    """What a test over seeds shows of one score: that it holds, or nothing yet."""
    if len(gaps) < 2:
        return replace(found, finding=OPEN, reason=f"{OPEN}: one seed in both, and a test needs two or more")
    shown = difference(gaps, 0.0)
    p, p_worse = shown.p_value(found.tolerance), shown.p_above(0.0)
    if p <= ALPHA or (found.tolerance == 0.0 and max(gaps) <= 0.0):  # equal numbers have no p-value
        return replace(found, finding=HOLDS, p=p, p_worse=p_worse)
    # A wide tolerance shrinks with more seeds as the error does: how many would do is not known.
    needed = None if widened else shown.seeds_needed(found.tolerance)
    if needed:
        more = f"; {would_do(needed)}"
    elif shown.mean >= found.tolerance:
        more = "; beyond its tolerance, and it may be chance"
    else:
        more = "" if widened else f"; not with {MOST_SEEDS} seeds either"
    reason = f"{OPEN}: p = {p:.3f}{more}"
    return replace(found, finding=OPEN, reason=reason, p=p, p_worse=p_worse, seeds_needed=needed)


def would_do(seeds: int) -> str:
    """How many seeds would show that a score holds, in words."""
    return f"about {seeds} seeds would do, if these are typical"


def _corrected(found: Sequence[Held]) -> list[Held]:
    """Findings in which a score is worse where that is shown, at 5 % for all scores of a network together.

    As in the verdict, a score that could not be tested counts as one that shows nothing.
    """
    networks: dict[tuple[str, float], list[int]] = {}
    for place, one in enumerate(found):
        networks.setdefault((one.method, one.sparsity), []).append(place)
    told = list(found)
    for places in networks.values():
        for i, p_worse in zip(places, corrected([found[i].p_worse for i in places]), strict=True):
            told[i] = replace(found[i], p_worse=p_worse)
            if found[i].finding == OPEN and p_worse <= ALPHA:
                reason = f"worse than the baseline (p = {p_worse:.2g})"
                told[i] = replace(told[i], finding=WORSE, reason=reason, seeds_needed=None)
    return told


def _awaited(entry: dict[str, Any], rows: pd.DataFrame) -> str:
    """For how many seeds of the baseline a score is measured while others are still to come; or ""."""
    ours = rows[rows["seed"].isin([int(seed) for seed in entry["values"]])]
    there = int((ours["status"] != so_far.MISSING).sum())
    if there == len(ours):
        return ""
    return f"measured for {there} of {len(ours)} seeds so far" if there else "not measured yet"


def _absent(table: pd.DataFrame, entry: dict[str, Any], rows: pd.DataFrame) -> str:
    """Why a score of the baseline has no value in the table."""
    if len(rows):
        alike = {int(seed) for seed in entry["values"]} & {int(seed) for seed in rows["seed"]}
        return "it has no value" if alike else "of other seeds"
    if entry["score"] not in set(table["score"]):
        return "not measured"
    if entry["method"] not in set(table["method"]):
        return "no such method in the table"
    return "not in the table"
