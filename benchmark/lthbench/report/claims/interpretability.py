"""What five papers claim of interpretability under pruning, held to a table.

Scores are named in ``SCORES``, by what they measure; where a table lacks them, the claim is not measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from lthbench import formatting
from lthbench.report.claims.base import CHEN, NOT_MEASURED, TICKETS, Claim, Shown, mean_of, null_of
from lthbench.report.controls import UNTRAINED
from lthbench.report.summary import Summary

FRANKLE = "Frankle & Bau 2019"
RAD = "von Rad & Seuffert 2024"
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
}
OTHERS = ("random", "omp", "snip", "grasp", "synflow")


def _at(summary: Summary, method: str, low: float, high: float, name: str) -> list[tuple[float, float]]:
    """Sparsities from ``low`` to ``high`` and the means of a score there."""
    pairs = [(s, mean_of(summary, method, s, SCORES[name])) for s in summary.sparsities if low <= s <= high]
    return [(s, mean) for s, mean in pairs if not math.isnan(mean)]


def _dense(summary: Summary, name: str) -> float:
    return mean_of(summary, "dense", 0.0, SCORES[name])


def _units_hold(summary: Summary) -> Shown:
    """Counts of interpretable units within a tenth of dense up to 83.2 % removed."""
    dense, found = _dense(summary, "units"), _at(summary, TICKETS, 0.0, 0.8325, "units")
    if math.isnan(dense) or not found or dense <= 0:
        return NOT_MEASURED
    level, least = min(found, key=lambda pair: pair[1])
    shown = f"{100 * least / dense:.0f} % of dense at {formatting.sparsity(level)}, the least"
    return shown, "agrees" if least >= 0.9 * dense else "differs"


def _never_more_units(summary: Summary) -> Shown:
    """No sparsity has more interpretable units than dense, beyond the spread over dense seeds."""
    cell, found = summary.cell("dense", 0.0, SCORES["units"]), _at(summary, TICKETS, 0.0, 1.0, "units")
    if cell is None or math.isnan(cell.mean) or not found:
        return NOT_MEASURED
    level, most = max(found, key=lambda pair: pair[1])
    if most <= 0.0 and cell.mean <= 0.0:  # the concepts, or the training, are not enough to tell
        return NOT_MEASURED
    spread = 0.0 if math.isnan(cell.spread) else cell.spread
    return f"at most {most:.0f} (dense {cell.mean:.0f}), at {formatting.sparsity(level)}", (
        "agrees" if most <= cell.mean + spread else "differs"
    )


def _share(name: str, published: float) -> Callable[[Summary], Shown]:
    """A share of units at about 89 % removed, within ten points of the published one."""

    def check(summary: Summary) -> Shown:
        found = _at(summary, TICKETS, 0.87, 0.91, name)
        if not found:
            return NOT_MEASURED
        level, share = found[-1]
        shown = f"{100 * share:.0f} % at {formatting.sparsity(level)}"
        return shown, "agrees" if abs(share - published) <= 0.1 else "differs"

    return check


def _composition(summary: Summary) -> Shown:
    """At about 59 %: tickets at least dense, dense above random."""
    level = [s for s in summary.sparsities if 0.55 <= s <= 0.63]
    if not level:
        return NOT_MEASURED
    name = SCORES["composition"]
    ticket, random = (mean_of(summary, m, level[0], name) for m in (TICKETS, "random"))
    dense = _dense(summary, "composition")
    if any(math.isnan(v) for v in (ticket, dense, random)):
        return NOT_MEASURED
    shown = f"imp {ticket:.3f}, dense {dense:.3f}, random {random:.3f} at {formatting.sparsity(level[0])}"
    return shown, "agrees" if ticket >= dense > random else "differs"


def _others_more_faithful(summary: Summary) -> Shown:
    """Of the pairs of another method and a sparsity, most have a lower (better) raw fidelity than tickets."""
    name = SCORES["fidelity"]
    pairs = [
        mean_of(summary, m, s, name) - mean_of(summary, TICKETS, s, name)
        for m in OTHERS
        if m in summary.methods
        for s in summary.sparsities
    ]
    pairs = [p for p in pairs if not math.isnan(p)]
    if not pairs:
        return NOT_MEASURED
    lower = sum(p < 0 for p in pairs)
    return f"in {lower} of {len(pairs)} comparisons", "agrees" if 2 * lower > len(pairs) else "differs"


def _linear(summary: Summary) -> Shown:
    """At about 79 % removed, every method has lower (better) raw fidelity and stability than dense."""
    worse, compared = [], 0
    for name in ("fidelity", "stability"):
        dense = _dense(summary, name)
        for method in summary.methods:
            for _, mean in _at(summary, method, 0.76, 0.82, name)[:1]:
                if not math.isnan(dense):
                    compared += 1
                    worse += [f"{method} in {name}"] if mean >= dense else []
    if not compared:
        return NOT_MEASURED
    shown = f"not so for {formatting.listed(worse)}" if worse else f"so in all {compared} comparisons"
    return shown, "differs" if worse else "agrees"


def _mis_unrelated(summary: Summary) -> Shown:
    """Spearman's rank correlation of MIS with sparsity over all networks: not significant at 5 %."""
    from scipy import stats

    found = [pair for m in summary.methods for pair in _at(summary, m, 0.0, 1.0, "mis")]
    if len(found) < 5 or len({s for s, _ in found}) < 3 or len({v for _, v in found}) < 2:
        return NOT_MEASURED
    result = stats.spearmanr([s for s, _ in found], [v for _, v in found])
    shown = f"rank correlation {result.statistic:+.2f}, p = {result.pvalue:.2g}, {len(found)} networks"
    return shown, "agrees" if result.pvalue > 0.05 else "differs"


def _falls(name: str, sign: int) -> Callable[[Summary], Shown]:
    """A score falls (-1) or rises (+1) with sparsity: the sign of Spearman's rank correlation."""

    def check(summary: Summary) -> Shown:
        from scipy import stats

        found = _at(summary, TICKETS, 0.0, 1.0, name)
        if len(found) < 3:
            return NOT_MEASURED
        result = float(stats.spearmanr([s for s, _ in found], [v for _, v in found]).statistic)
        shown = f"rank correlation with sparsity {result:+.2f} over {len(found)} sparsities"
        return shown, "agrees" if result * sign > 0 else "differs"

    return check


def _sparser_maps(summary: Summary) -> Shown:
    """The Gini index of saliency maps is above that of dense at every sparsity."""
    dense, found = _dense(summary, "gini"), _at(summary, TICKETS, 0.0, 1.0, "gini")
    if math.isnan(dense) or not found:
        return NOT_MEASURED
    below = [formatting.sparsity(s) for s, gini in found if gini <= dense]
    shown = f"not above dense at {formatting.listed(below)}" if below else f"above dense ({dense:.3f}) at all"
    return shown, "differs" if below else "agrees"


def _mis_untrained(summary: Summary) -> Shown:
    """The untrained network's MIS is at most five points below that of dense."""
    dense, fresh = _dense(summary, "mis"), null_of(summary, SCORES["mis"], UNTRAINED)
    if math.isnan(dense) or math.isnan(fresh):
        return NOT_MEASURED
    return f"untrained {fresh:.3f}, dense {dense:.3f}", "agrees" if fresh >= dense - 0.05 else "differs"


def _gradual(summary: Summary) -> Shown:
    """No step between neighbouring sparsities takes more than half of the whole fall of the agreement."""
    found = sorted(_at(summary, TICKETS, 0.0, 1.0, "agreement"))
    if len(found) < 4:
        return NOT_MEASURED
    steps = [(after[0], before[1] - after[1]) for before, after in itertools.pairwise(found)]
    whole, (level, most) = found[0][1] - found[-1][1], max(steps, key=lambda step: step[1])
    if whole <= 0:
        return f"it does not fall: {found[0][1]:.2f} to {found[-1][1]:.2f}", "differs"
    shown = f"the largest step, at {formatting.sparsity(level)}, is {100 * most / whole:.0f} % of the fall"
    return shown, "agrees" if most <= 0.5 * whole else "differs"


def _depend_on_weights(summary: Summary) -> Shown:
    """Between a network with fresh weights and the trained one, the overlap of Grad-CAM is near chance."""
    fresh = null_of(summary, SCORES["agreement"], UNTRAINED)
    chance = null_of(summary, SCORES["agreement"], ("chance",))
    if math.isnan(fresh) or math.isnan(chance):
        return NOT_MEASURED
    shown = f"overlap with an untrained network {fresh:.2f}, by chance {chance:.2f}"
    return shown, "agrees" if fresh <= chance + 0.1 else "differs"


def _compose(summary: Summary) -> Shown:
    """In dense and in every method, formulas match units better than single concepts do."""
    cells = [("dense", 0.0), *((m, s) for m in summary.methods for s in summary.sparsities)]
    pairs = [tuple(mean_of(summary, m, s, SCORES[n]) for n in ("composition", "concept")) for m, s in cells]
    pairs = [p for p in pairs if not any(math.isnan(v) for v in p)]
    if not pairs:
        return NOT_MEASURED
    less = sum(long <= short for long, short in pairs)
    ratio = sum(long for long, _ in pairs) / max(sum(short for _, short in pairs), 1e-12)
    shown = f"{ratio:.2f} times the IoU, in {len(pairs) - less} of {len(pairs)} networks"
    return shown, "differs" if less else "agrees"


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
    Claim("MIS stays high where a network knows nothing.", RAD, _mis_untrained),
    Claim("What Grad-CAM shows drifts little by little, not at once.", GHOSH, _gradual),
    Claim("Grad-CAM of a network with fresh weights shows something else.", ADEBAYO, _depend_on_weights),
    Claim("Formulas of three concepts match units better than single concepts.", MU, _compose),
)
