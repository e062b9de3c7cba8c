"""What five papers claim of interpretability under pruning, held to a table.

Scores are named in ``SCORES``, by what they measure; where a table lacks them, the claim is not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import fmean

from lthbench import formatting
from lthbench.report.cells import Cell
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
    any_of,
    at_least,
    combined,
    compared,
    difference,
    estimate,
    gaps,
    null_of,
    reaches,
    rounds,
    sound,
    within,
)
from lthbench.report.controls import UNTRAINED
from lthbench.report.summary import Summary

GHOSH = "Ghosh & Batmanghelich"
SUWAL = "Suwal et al."
ADEBAYO = "Adebayo et al. 2018, Sanity Checks for Saliency Maps"
MU = "Mu & Andreas 2020, Compositional Explanations of Neurons"
CIFAR = (
    *("c10-r20s", "c10-r18", "c10-wrn28-10", "c10-vgg11"),
    *("c100-r20s", "c100-r18", "c100-wrn28-10", "c100-vgg11"),
)
#: What is measured, and the score that holds it.
SCORES = {
    "fidelity": "lime_fidelity",
    "stability": "lime_stability",
    "units": "interpretable_units",
    "retained": "retained_units",
    "same": "same_concept_units",
    "composition": "composition_iou",
    "concept": "composition_iou_1",
    "mis": "mis",
    "agreement": "gradcam_iou",
    "gini": "gradient_gini",
    "aopc": "ig_road_aopc",
    "redundancy": "concept_redundancy",
    "coherence": "concept_coherence",
    "bottleneck": "concept_overlap",
}
#: A step between neighbouring sparsities is of few rounds up to so many.
STEP = 4.0 + 1e-3
OTHERS = ("random", "omp", "snip", "grasp", "synflow")


def _at(summary: Summary, method: str, low: float, high: float, name: str) -> list[tuple[float, Cell]]:
    """Sparsities from ``low`` to ``high`` and a score there."""
    pairs = [(s, sound(summary, method, s, SCORES[name])) for s in summary.sparsities if low <= s <= high]
    return [(s, cell) for s, cell in pairs if cell is not None]


def _dense(summary: Summary, name: str) -> Cell | None:
    return sound(summary, "dense", 0.0, SCORES[name])


def _to(found: list[tuple[float, Cell]], dense: Cell, share: float = 1.0) -> list[Interval]:
    """The differences to dense at each sparsity."""
    return [gap for _, cell in found if (gap := difference(cell, dense, share)) is not None]


def _units_hold(summary: Summary) -> Shown:
    """Counts of interpretable units within a tenth of dense up to 83.2 % removed."""
    dense, found = _dense(summary, "units"), _at(summary, TICKETS, 0.0, 0.8325, "units")
    if dense is None or not found or dense.mean <= 0:
        return NOT_MEASURED
    level, least = min(found, key=lambda pair: pair[1].mean)
    shown = f"{100 * least.mean / dense.mean:.0f} % of dense at {formatting.sparsity(level)}, the least"
    finding = all_of(_to(found, dense, 0.9), 0.0)
    if finding == "agrees" and not reaches([s for s, _ in found], 0.832):
        finding = "cannot say"
    return shown, finding


def _never_more_units(summary: Summary) -> Shown:
    """At no sparsity a tenth more interpretable units than dense; it differs where one surely has more."""
    dense, found = _dense(summary, "units"), _at(summary, TICKETS, 0.0, 1.0, "units")
    if dense is None or not found:
        return NOT_MEASURED
    level, most = max(found, key=lambda pair: pair[1].mean)
    if most.mean <= 0.0 and dense.mean <= 0.0:  # the concepts, or the training, are not enough to tell
        return NOT_MEASURED
    shown = f"at most {most.mean:.0f} (dense {dense.mean:.0f}), at {formatting.sparsity(level)}"
    above = _to(found, dense)
    if any(gap.low > 0.0 for gap in any_of(above)):
        return shown, "differs"
    return shown, "agrees" if all(gap.high <= 0.1 * dense.mean for gap in above) else "cannot say"


def _share(name: str, published: float) -> Callable[[Summary], Shown]:
    """A share of units at about 89 % removed, within ten points of the published one."""

    def check(summary: Summary) -> Shown:
        found = _at(summary, TICKETS, 0.87, 0.91, name)
        if not found:
            return NOT_MEASURED
        level, cell = found[-1]
        share = estimate(cell)
        assert share is not None
        shown = f"{100 * cell.mean:.0f} % at {formatting.sparsity(level)}"
        return shown, within([share.minus(published)], 0.1)

    return check


def _composition(summary: Summary) -> Shown:
    """At about 59 %: tickets at most a tenth below dense, dense above random."""
    tickets, others = (dict(_at(summary, m, 0.55, 0.63, "composition")) for m in (TICKETS, "random"))
    level = min(tickets.keys() & others.keys(), default=None)
    dense = _dense(summary, "composition")
    if dense is None or level is None:
        return NOT_MEASURED
    ticket, random = tickets[level], others[level]
    shown = (
        f"imp {ticket.mean:.3f}, dense {dense.mean:.3f}, random {random.mean:.3f} at "
        f"{formatting.sparsity(level)}"
    )
    parts = [difference(ticket, dense, 0.9), difference(dense, random)]
    return shown, all_of([gap for gap in parts if gap is not None], 0.0)


def _others_more_faithful(summary: Summary) -> Shown:
    """Most pairs of another method and a sparsity surely have a lower (better) raw fidelity than tickets."""
    name = SCORES["fidelity"]
    there = [gap for m in OTHERS for _, gap in gaps(summary, TICKETS, m, name, cell=sound)]
    if not there:
        return NOT_MEASURED
    known = at_least(there, len(there) // 2 + 1)
    lower, higher = sum(gap.low > 0 for gap in known), sum(gap.high < 0 for gap in known)
    shown = f"raw LIME fidelity (lower is more faithful), beside imp: {compared(lower, higher, len(known))}"
    if 2 * lower > len(known):
        return shown, "agrees"
    return shown, "differs" if 2 * higher > len(known) else "cannot say"


def _linear(summary: Summary) -> Shown:
    """At about 79 % removed, every method has lower (better) raw fidelity and stability than dense."""
    cells = [
        (f"{method} in {name}", dense, cell)
        for name in ("fidelity", "stability")
        if (dense := _dense(summary, name)) is not None
        for method in summary.methods
        for _, cell in _at(summary, method, 0.76, 0.82, name)[:1]
    ]
    known = {what: gap for what, dense, cell in cells if (gap := difference(dense, cell)) is not None}
    if not known:
        return NOT_MEASURED
    worse = [what for what, gap in known.items() if gap.mean <= 0.0]
    shown = f"not so for {formatting.listed(worse)}" if worse else f"so in all {len(known)} comparisons"
    return shown, all_of(list(known.values()), 0.0)


def _mis_unrelated(summary: Summary) -> Shown:
    """Spearman's rank correlation of MIS with sparsity over all networks is surely between -0.3 and 0.3."""
    from scipy import stats

    found = [(s, c.mean) for m in summary.methods for s, c in _at(summary, m, 0.0, 1.0, "mis")]
    if len(found) < 5 or len({s for s, _ in found}) < 3 or len({v for _, v in found}) < 2:
        return NOT_MEASURED
    result = stats.spearmanr([s for s, _ in found], [v for _, v in found])
    low, high = _correlation(float(result.statistic), len(found))
    shown = (
        f"rank correlation {result.statistic:+.2f} (95 %: {low:+.2f} to {high:+.2f}), {len(found)} networks"
    )
    if result.pvalue <= 0.05:
        return shown, "differs"
    return shown, "agrees" if low >= -0.3 and high <= 0.3 else "cannot say"


def _correlation(rho: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a rank correlation by Fisher's z, with Bonett & Wright's variance (2000)."""
    if n < 4 or abs(rho) >= 1.0:
        return rho, rho
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _falls(name: str, sign: int) -> Callable[[Summary], Shown]:
    """A score falls (-1) or rises (+1) with sparsity: the slope of a line, with its interval over seeds.

    Ranks of four means would not tell: no order of four is rarer than one in twelve.
    """

    def check(summary: Summary) -> Shown:
        found = _at(summary, TICKETS, 0.0, 1.0, name)
        if len(found) < 3:
            return NOT_MEASURED
        middle = fmean(s for s, _ in found)
        whole = math.fsum((s - middle) ** 2 for s, _ in found)
        slope = combined([(sign * (s - middle) / whole, cell) for s, cell in found])
        mean, low, high = (sign * end / 10 for end in (slope.mean, slope.low, slope.high))
        interval = "one seed" if math.isinf(low) else f"95 %: {min(low, high):+.2g} to {max(low, high):+.2g}"
        shown = f"{mean:+.2g} for each 10 points of sparsity, over {len(found)} sparsities ({interval})"
        return shown, all_of([slope], 0.0)

    return check


def _sparser_maps(summary: Summary) -> Shown:
    """The Gini index of saliency maps is above that of dense at every sparsity."""
    dense, found = _dense(summary, "gini"), _at(summary, TICKETS, 0.0, 1.0, "gini")
    if dense is None or not found:
        return NOT_MEASURED
    below = [formatting.sparsity(s) for s, cell in found if cell.mean <= dense.mean]
    above = f"above dense ({dense.mean:.3f}) at every sparsity"
    return f"not above dense at {formatting.listed(below)}" if below else above, all_of(
        _to(found, dense), 0.0
    )


def _mis_untrained(summary: Summary) -> Shown:
    """The untrained network's MIS is at most five points below that of dense."""
    dense, fresh = _dense(summary, "mis"), null_of(summary, SCORES["mis"], UNTRAINED)
    gap = difference(fresh, dense)
    if dense is None or fresh is None or gap is None:
        return NOT_MEASURED
    return f"untrained {fresh.mean:.3f}, dense {dense.mean:.3f}", all_of([gap], -0.05)


def _gradual(summary: Summary) -> Shown:
    """No step between neighbouring sparsities takes more than half of the whole fall of the agreement.

    A step that takes more shows a jump only where it is of few rounds.
    """
    found = sorted(_at(summary, TICKETS, 0.0, 1.0, "agreement"), key=lambda pair: pair[0])
    if len(found) < 4:
        return NOT_MEASURED
    first, last = found[0][1], found[-1][1]
    steps = [(after[0], before[1].mean - after[1].mean) for before, after in itertools.pairwise(found)]
    whole, (level, most) = first.mean - last.mean, max(steps, key=lambda step: step[1])
    fall = difference(first, last)
    if fall is None or fall.low <= 0.0:
        shown = f"from {first.mean:.2f} to {last.mean:.2f}"
        return shown, "differs" if fall is not None and fall.high < 0.0 else "cannot say"
    shown = f"the largest step, at {formatting.sparsity(level)}, is {100 * most / whole:.0f} % of the fall"
    half = [(-0.5, first), (0.5, last)]
    pairs = list(itertools.pairwise(found))
    beyond = [combined([(1.0, before), (-1.0, after), *half]) for (_, before), (_, after) in pairs]
    if all(gap.high <= 0.0 for gap in beyond):
        return shown, "agrees"
    few = [gap for gap, ((t, _), (s, _)) in zip(beyond, pairs, strict=True) if rounds(s) - rounds(t) <= STEP]
    return shown, "differs" if any(gap.low > 0.0 for gap in any_of(few)) else "cannot say"


def _depend_on_weights(summary: Summary) -> Shown:
    """Between a network with fresh weights and the trained one, the overlap of Grad-CAM is near chance."""
    fresh = null_of(summary, SCORES["agreement"], UNTRAINED)
    chance = null_of(summary, SCORES["agreement"], ("chance",))
    gap = difference(chance, fresh)
    if fresh is None or chance is None or gap is None:
        return NOT_MEASURED
    shown = f"overlap with an untrained network {fresh.mean:.2f}, by chance {chance.mean:.2f}"
    return shown, all_of([gap], -0.1)


def _compose(summary: Summary) -> Shown:
    """In dense and in every method, formulas match units better than single concepts do."""
    pairs = [
        tuple(sound(summary, *network, SCORES[n]) for n in ("composition", "concept"))
        for network in summary.networks
    ]
    known = [(a, b) for a, b in pairs if a and b]
    if not known:
        return NOT_MEASURED
    less = sum(long.mean <= short.mean for long, short in known)
    ratio = sum(long.mean for long, _ in known) / max(sum(short.mean for _, short in known), 1e-12)
    shown = f"{ratio:.2f} times the IoU, in {len(known) - less} of {len(known)} networks"
    return shown, all_of([gap for a, b in known if (gap := difference(a, b)) is not None], 0.0)


CLAIMS = (
    Claim(
        "Interpretable units are as many as in the dense network until 83 % is removed.", FRANKLE, _units_hold
    ),
    Claim("Pruning never adds interpretable units.", FRANKLE, _never_more_units),
    Claim("With 89 % removed, about 80 % of the units stay interpretable.", FRANKLE, _share("retained", 0.8)),
    Claim("With 89 % removed, about 70 % keep their concept.", FRANKLE, _share("same", 0.7)),
    Claim(
        "At 59 %, compositions explain tickets as well as dense (IoU 0.111, 0.103), not random (0.074).",
        f"{CHEN}, figure 7",
        _composition,
    ),
    Claim(
        "Random, one-shot and early pruning are more faithful to linear explanations than tickets.",
        f"{CHEN}, section 4.3",
        _others_more_faithful,
    ),
    Claim(
        "At 79 %, every sparse network is easier to explain linearly than dense.",
        f"{CHEN}, section 4.3",
        _linear,
        CIFAR,
    ),
    Claim("How interpretable units are (MIS) does not depend on the share pruned.", RAD, _mis_unrelated),
    Claim(
        "What Grad-CAM shows drifts from the dense network as sparsity grows.", GHOSH, _falls("agreement", -1)
    ),
    Claim(
        "Saliency maps of pruned networks are sparser (Gini) than those of dense ones.", SUWAL, _sparser_maps
    ),
    Claim("Integrated gradients become more faithful (AOPC) with pruning.", SUWAL, _falls("aopc", 1)),
    Claim("Concepts merge under heavy pruning: redundancy rises.", SUWAL, _falls("redundancy", 1)),
    Claim("Concepts lose their coherence with pruning.", SUWAL, _falls("coherence", -1)),
    Claim(
        "The concepts that matter most to a bottleneck drift from the dense network's as sparsity grows.",
        GHOSH,
        _falls("bottleneck", -1),
    ),
    Claim("MIS stays high where a network knows nothing.", RAD, _mis_untrained),
    Claim("What Grad-CAM shows drifts little by little, not at once.", GHOSH, _gradual),
    Claim("Grad-CAM of a network with fresh weights shows something else.", ADEBAYO, _depend_on_weights),
    Claim("Formulas of three concepts match units better than single concepts.", MU, _compose),
)
