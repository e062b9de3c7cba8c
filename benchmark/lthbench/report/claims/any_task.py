"""What papers claim, held to a table: claims about any task, and all of them together."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report import leaderboard
from lthbench.report.claims import interpretability, lth_pass, relations, tickets
from lthbench.report.claims.base import (
    AT_INIT,
    CHEN,
    NOT_MEASURED,
    RAD,
    Claim,
    Interval,
    Shown,
    all_of,
    compared,
    difference,
    falls_short,
    gaps,
    headline_of,
    paper_verdict,
    points,
    reaches,
    sound,
    up_to,
    within,
    worse_within,
)
from lthbench.report.summary import Summary

#: Up to here a sparsity is low.
LOW = 0.5


def held(summary: Summary) -> list[dict[str, str]]:
    """Every claim that is about any task or about this one, held to a summary."""
    name = summary.facts.task_name
    return [claim.held(summary) for claim in every() if not claim.tasks or name in claim.tasks]


def elsewhere(names: set[str]) -> list[Claim]:
    """The claims about tasks of which there is no table."""
    return [claim for claim in every() if claim.tasks and not names & set(claim.tasks)]


def every() -> tuple[Claim, ...]:
    """All claims."""
    return CLAIMS + relations.CLAIMS + tickets.CLAIMS + lth_pass.CLAIMS + interpretability.CLAIMS


def _tickets(summary: Summary) -> Shown:
    """A ticket that is shown to match on everything; or, at each sparsity, one score that is worse.

    It differs only where a low sparsity was measured, too.
    """
    found = headline_of(summary)
    if found is None or not found.matches:
        return NOT_MEASURED
    scores = found.scores
    last, _ = leaderboard.holds(found, scores)
    if last is not None:
        shown = f"{up_to(last)} by the rule {summary.rule}{_by_the_paper(summary)}"
        if summary.lacking:
            return f"{shown}, on {len(scores)} of {len(scores) + len(summary.lacking)} scores", "cannot say"
        return shown, "agrees"
    worse = [s for s in found.sparsities if any(m.finding == "worse" for m in found.at(s))]
    if len(worse) == len(found.sparsities):
        low = min(found.sparsities) <= LOW
        shown = f"at each sparsity it is worse in something by the rule {summary.rule}"
        return shown, "differs" if low else "cannot say"
    left = [m for s in found.sparsities if s not in worse for m in found.at(s)]
    why = "are open" if any(m.finding == "open" for m in left) else "lack scores"
    return f"no sparsity passes by the rule {summary.rule}; some {why}", "cannot say"


def _by_the_paper(summary: Summary) -> str:
    """Up to where tickets pass by the paper's own rule, behind what another rule says."""
    found = paper_verdict(summary)
    if summary.rule == "paper" or found is None or found.undecided:
        return ""
    return f"; by the paper's rule {up_to(found.joint)}"


def _one_number(summary: Summary) -> Shown:
    """Accuracy holds further than everything, which is worse in something where accuracy still holds.

    It differs where accuracy is worse and all else still matches. Where they end together, nothing tells
    which is the first.
    """
    found = headline_of(summary)
    if found is None or "accuracy" not in found.scores or len(found.scores) < 2:
        return NOT_MEASURED
    alone, ends = leaderboard.holds(found, ["accuracy"])
    joint, _ = leaderboard.holds(found, found.scores)
    shown = f"{found.method}: accuracy {up_to(alone)}, all scores {up_to(joint)}"
    holding = [s for s in found.sparsities if alone is not None and s <= alone]
    parts = len(found.sparsities)
    if any(m.finding == "worse" and falls_short(m, parts) for s in holding for m in found.at(s)):
        return shown, "agrees"
    there = {m.score: m.finding for m in found.at(ends)} if ends is not None else {}
    first = there.pop("accuracy", "") == "worse" and all(f in ("better", "matches") for f in there.values())
    return shown, "differs" if first else "cannot say"


def _one_shot(summary: Summary) -> Shown:
    """OMP within one percentage point of IMP, at all sparsities up to 48.8 %."""
    found = {s: gap for s, gap in gaps(summary, "imp", "omp") if s <= 0.4885}
    if not found:
        return NOT_MEASURED
    worst = max(found.values(), key=lambda g: abs(g.mean))
    finding = within(list(found.values()), 0.01)
    if finding == "agrees" and not reaches(list(found), 0.488):
        finding = "cannot say"
    return f"where they differ the most, imp is {points(worst, 'omp')}", finding


def _random_beside(summary: Summary, level: float) -> dict[str, Interval]:
    """How far random is ahead of each method at initialisation that was measured at a sparsity."""
    random = summary.cell("random", level, "accuracy")
    others = {m: c for m in AT_INIT if (c := summary.cell(m, level, "accuracy")) is not None}
    ahead = {m: difference(random, cell) for m, cell in others.items()}
    return {m: gap for m, gap in ahead.items() if gap is not None}


def _at_init(summary: Summary) -> Shown:
    """None of the methods at initialisation is more than a point ahead of random at the lowest sparsity.

    It is the lowest at which most of them were measured beside random, whatever others were measured at.
    """
    found = {s: _random_beside(summary, s) for s in summary.sparsities if s <= LOW}
    level = max(found, key=lambda s: (len(found[s]), -s), default=0.0)
    known = found.get(level)
    if not known:
        return NOT_MEASURED
    best = min(known, key=lambda m: known[m].mean)
    shown = f"at {formatting.sparsity(level)} random is {points(known[best], f'the best, {best}')}"
    return shown, all_of(list(known.values()), -0.01)


def _calibration(summary: Summary) -> Shown:
    """From 67.23 % on, random pruning and each that prunes before training has a lower ECE than IMP."""
    known = [
        gap
        for method in ("random", *AT_INIT)
        for level, gap in gaps(summary, "imp", method, "ece", cell=sound)
        if level >= 0.672
    ]
    if not known:
        return NOT_MEASURED
    lower = sum(gap.low > 0 for gap in known)
    higher = sum(gap.high < 0 for gap in known)
    return f"ECE, beside imp: {compared(lower, higher, len(known))}", all_of(known, 0.0)


def _beyond(summary: Summary) -> Shown:
    """Weights go beyond channels: unstructured magnitude pruning keeps accuracy further than filters.

    One goes further where it still holds at a sparsity at which the other is shown to be worse.
    """
    found = {m: headline_of(summary, m) for m in ("omp", "filter")}
    far = {m: leaderboard.holds(v, ["accuracy"]) for m, v in found.items() if v is not None and v.matches}
    if len(far) < 2:
        return NOT_MEASURED
    shown = "accuracy holds " + ", ".join(f"{up_to(last)} ({m})" for m, (last, _) in far.items())
    weights, filters = (v for v in found.values() if v is not None)
    (ours, we_fail), (theirs, they_fail) = far["omp"], far["filter"]
    if worse_within(filters, ["accuracy"], they_fail, ours):
        return shown, "agrees"
    return shown, "differs" if worse_within(weights, ["accuracy"], we_fail, theirs) else "cannot say"


def _connection(summary: Summary) -> Shown:
    """Connection sparsity at about 80 % costs at most one percentage point."""
    known = [(s, gap) for s, gap in gaps(summary, "connection", "dense") if 0.75 <= s <= 0.85]
    if not known:
        return NOT_MEASURED
    level, gap = known[-1]
    return f"at {formatting.sparsity(level)} {points(gap, 'dense')}", all_of([gap], -0.01)


CLAIMS = (
    Claim("Winning tickets that match on every score exist.", f"{CHEN}, abstract", _tickets),
    Claim("Accuracy alone holds further than all scores at once.", f"{CHEN}, section 4", _one_number),
    Claim(
        "One-shot magnitude pruning is as good as iterative pruning up to 48.8 %.",
        f"{CHEN}, section 4.1",
        _one_shot,
    ),
    Claim(
        "Pruning at initialisation is no better than random pruning at low sparsity.",
        f"{CHEN}, section 4.1",
        _at_init,
    ),
    Claim(
        "From 67.2 % on, random pruning or pruning at initialisation is better calibrated than tickets.",
        f"{CHEN}, section 4.2 (ResNet-20)",
        _calibration,
        ("c10-r20s", "c100-r20s"),
    ),
    Claim("Single weights can be pruned further than whole filters.", "Li et al. 2017", _beyond),
    Claim(
        "Removing 80 % of the connections between channels costs no accuracy.",
        RAD,
        _connection,
    ),
)
