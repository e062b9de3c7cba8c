"""Which scores break first and which methods hold further: claims that compare, on any task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lthbench import formatting
from lthbench.report import leaderboard
from lthbench.report.cells import of_values
from lthbench.report.claims.base import (
    CHEN,
    FRANKLE,
    NOT_MEASURED,
    RAD,
    TICKETS,
    Claim,
    Interval,
    Shown,
    all_of,
    by_finding,
    estimate,
    gaps,
    headline_of,
    points,
    rounds,
    sound,
)
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

GENERALIZATION = ("accuracy", "fgsm_accuracy", "ood_auroc")
UNCERTAINTY = ("ece", "nll")
HOLDS = ("better", "matches")
#: Methods that prune trained networks in one step or in several.
STEPWISE = ("connection", "filter", "finetune")
#: Neighbours on the grid: one round of pruning.
NEXT = 1.0 + 1e-3
#: Categories of concepts of which Frankle & Bau say that they vanish first.
FIRST_LOST = ("object", "scene")


def _break_first(ones: Sequence[str], others: Sequence[str]) -> Callable[[Summary], Shown]:
    """Whether some of ``ones`` are worse where all ``others`` still match, and never the other way round."""

    def check(summary: Summary) -> Shown:
        found = headline_of(summary)
        there = [] if found is None else found.scores
        here, rest = [s for s in ones if s in there], [s for s in others if s in there]
        if found is None or not here or len(rest) < len(others):
            return NOT_MEASURED
        at = [{m.score: m.finding for m in found.at(s)} for s in found.sparsities]

        def before(early: list[str], late: list[str]) -> bool:
            return any(
                any(f[s] == "worse" for s in early) and all(f[s] in HOLDS for s in late)
                for f in at
                if f.keys() >= {*early, *late}
            )

        ends = {s: leaderboard.holds(found, [s])[0] for s in (*here, *rest)}
        parts = [f"{summary.title_of(s)} {_up_to(found, s, end)}" for s, end in ends.items()]
        earlier, later = before(here, rest), before(rest, here)
        finding = "cannot say" if earlier == later else ("agrees" if earlier else "differs")
        return ", ".join(parts), finding

    return check


def _up_to(found: Verdict, score: str, level: float | None) -> str:
    """Up to where a score holds; of one that does not from the first sparsity on, what is found where."""
    if level is not None:
        return f"holds to {formatting.sparsity(level)}"
    return by_finding([(m.sparsity, m.finding) for m in found.matches if m.score == score])


def _small(summary: Summary) -> Shown:
    """A small dense network is less accurate than the ticket of as many weights, at each sparsity."""
    found = [gap for _, gap in gaps(summary, TICKETS, "small")]
    if not found:
        return NOT_MEASURED
    ahead = sum(gap.low > 0.0 for gap in found)
    return f"tickets are ahead at {ahead} of {len(found)} sparsities", all_of(found, 0.0)


def _rigl_sharp(summary: Summary) -> Shown:
    """At about 79 % removed, RigL's Hessian trace is above that of the dense network."""
    name = next((m for m in ("rigl:itop", "rigl") if m in summary.methods), "rigl")  # the paper's own is ITOP
    found = gaps(summary, name, "dense", "hessian_trace", cell=sound)
    level, gap = next(((s, gap) for s, gap in found if 0.76 <= s <= 0.84), (0.0, None))
    if gap is None:
        return NOT_MEASURED
    own, dense = summary.mean(name, level, "hessian_trace"), summary.mean("dense", 0.0, "hessian_trace")
    shown = f"{name} {own:.3g} at {formatting.sparsity(level)}, dense {dense:.3g}"
    return shown, all_of([gap], 0.0)


def _iterative(summary: Summary) -> Shown:
    """Pruning in several steps is at most a point less accurate than in one, for each method and sparsity."""
    found = []
    for base in STEPWISE:
        many = next((m for m in (f"{base}:iterative", base) if m in summary.methods), None)
        once = next((m for m in (f"{base}:oneshot", base) if m in summary.methods), None)
        if many and once and many != once:
            found += [gap for _, gap in gaps(summary, many, once)]
    if not found:
        return NOT_MEASURED
    least = min(found, key=lambda gap: gap.mean)
    shown = f"at the worst of {len(found)} pairs, several steps are {points(least, 'one step')}"
    return shown, all_of(found, -0.01)


def _knee(summary: Summary) -> Shown:
    """Units fall below nine tenths of dense within a round of where accuracy falls by a point.

    It differs where one has surely fallen, and the other surely has not a round later. Either answer rests on
    where the first fall is, which any wrong one would move: all intervals of both must hold at once.
    """
    alone = {
        "accuracy": _above(summary, "accuracy", 1.0, -0.01),
        "interpretable units": _above(summary, "interpretable_units", 0.9, 0.0),
    }
    if any(len(levels) < 3 for levels in alone.values()):
        return NOT_MEASURED
    parts = sum(map(len, alone.values()))
    found = {name: [(s, gap.of(parts)) for s, gap in levels] for name, levels in alone.items()}
    falls = {name: [s for s, gap in levels if gap.high < 0.0] for name, levels in found.items()}
    ends = {name: min(fallen, default=None) for name, fallen in falls.items()}
    shown = ", ".join(
        f"{name}: {'no fall' if s is None else f'falls at {formatting.sparsity(s)}'}"
        for name, s in ends.items()
    )
    for one, other in (tuple(found), tuple(found)[::-1]):
        holds = [s for s, gap in found[other] if gap.low >= 0.0]
        first = ends[one]
        if first is not None and holds and rounds(max(holds)) + 1e-3 >= rounds(first) + 1.0:
            return shown, "differs"
    accuracy, units = ends.values()
    if accuracy is None or units is None:
        return shown, "cannot say"
    before = max((s for s in summary.sparsities if s < min(accuracy, units)), default=0.0)
    fine = rounds(min(accuracy, units)) - rounds(before) <= NEXT
    return shown, "agrees" if fine and abs(rounds(accuracy) - rounds(units)) <= NEXT else "cannot say"


def _above(summary: Summary, score: str, share: float, below: float) -> list[tuple[float, Interval]]:
    """At each sparsity, how far tickets are above what counts as fallen: a share of dense, and this below."""
    return [(s, gap.minus(below)) for s, gap in gaps(summary, TICKETS, "dense", score, share)]


def _objects_first(summary: Summary) -> Shown:
    """At the highest sparsity, units of objects and scenes have lost a larger share than all others."""
    table = summary.table
    rows = table[(table["score"] == "interpretable_units") & table["method"].isin((TICKETS, "dense"))]
    if rows.empty or not set(FIRST_LOST) & set(rows["variant"]):
        return NOT_MEASURED
    rows = rows[(rows["variant"] != "") & ~rows["variant"].str.contains(" ")]  # categories are single words
    level = rows["sparsity"].max()
    leads = []
    for _, seed in rows.groupby("seed"):
        kept = {}
        for first in (True, False):
            part = seed[seed["variant"].isin(FIRST_LOST) == first]
            dense = part.loc[part["method"] == "dense", "value"].sum()
            there = part[(part["method"] == TICKETS) & (part["sparsity"] == level)]["value"].dropna()
            kept[first] = there.sum() / dense if dense and len(there) else math.nan
        leads.append(kept[False] - kept[True])
    known = [lead for lead in leads if not math.isnan(lead)]
    if not known or level == 0.0:
        return NOT_MEASURED
    lead = estimate(of_values(known))
    assert lead is not None
    shown = f"objects and scenes lose {100 * lead.mean:+.0f} points more at {formatting.sparsity(level)}"
    return shown, all_of([lead], 0.0)


CLAIMS = (
    Claim(
        "Of the scores of generalization, mCE is the first to break.",
        f"{CHEN}, section 4.1",
        _break_first(("mce",), GENERALIZATION),
    ),
    Claim(
        "Uncertainty (ECE, NLL) breaks before generalization does.",
        f"{CHEN}, section 4.2",
        _break_first(UNCERTAINTY, (*GENERALIZATION, "mce")),
    ),
    Claim("A small dense network is worse than a ticket with as many weights.", f"{CHEN}, figure 11", _small),
    Claim("RigL's networks lie in sharper minima than dense ones (79 %).", f"{CHEN}, figure 11", _rigl_sharp),
    Claim("Pruning in several steps is at least as good as in one.", RAD, _iterative),
    Claim("Accuracy and interpretable units fall at the same sparsity.", FRANKLE, _knee),
    Claim("Units of objects and scenes vanish first.", f"{FRANKLE}, figure 3", _objects_first),
)
