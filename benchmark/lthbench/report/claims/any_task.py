"""What papers claim, held to a table: claims about any task, and all of them together."""

from __future__ import annotations

import math

from lthbench import formatting
from lthbench.report.claims import interpretability, lth_pass
from lthbench.report.claims.base import CHEN, NOT_MEASURED, Claim, Shown, mean_of, paper_verdict
from lthbench.report.summary import Summary

AT_INIT = ("snip", "grasp", "synflow")


def held(summary: Summary) -> list[dict[str, str]]:
    """Every claim that is about any task or about this one, held to a summary."""
    name = str(summary.facts["task"]["name"])
    return [claim.held(summary) for claim in every() if not claim.tasks or name in claim.tasks]


def elsewhere(names: set[str]) -> list[Claim]:
    """The claims about tasks of which there is no table."""
    return [claim for claim in every() if claim.tasks and not names & set(claim.tasks)]


def every() -> tuple[Claim, ...]:
    """All claims."""
    return CLAIMS + lth_pass.CLAIMS + interpretability.CLAIMS


def _tickets(summary: Summary) -> Shown:
    """By the paper's own rule: the smallest of the extremes."""
    found = paper_verdict(summary, "imp")
    if found is None or found.undecided:
        return NOT_MEASURED
    if found.paper_pass is None:
        never = [s for s, extreme in found.extremes.items() if extreme is None]
        return f"at no sparsity: {summary.titles(tuple(never))} never match", "differs"
    return f"up to {formatting.sparsity(found.paper_pass)}", "agrees"


def _one_number(summary: Summary) -> Shown:
    """Accuracy holds further than everything."""
    found = paper_verdict(summary, "imp")
    accuracy = None if found is None else found.extremes.get("accuracy")
    if found is None or found.undecided or accuracy is None or len(found.extremes) < 2:
        return NOT_MEASURED
    joint = found.paper_pass or 0.0
    everything = f"up to {formatting.sparsity(joint)}" if joint else "at no sparsity"
    shown = f"accuracy up to {formatting.sparsity(accuracy)}, all scores {everything}"
    return shown, "agrees" if joint < accuracy else "differs"


def _one_shot(summary: Summary) -> Shown:
    """OMP within one percentage point of IMP, at sparsities up to 48.8 %."""
    levels = [s for s in summary.sparsities if s <= 0.4885]
    gaps = [mean_of(summary, "imp", s, "accuracy") - mean_of(summary, "omp", s, "accuracy") for s in levels]
    gaps = [g for g in gaps if not math.isnan(g)]
    if not gaps:
        return NOT_MEASURED
    worst = max(gaps, key=abs)
    return f"imp is ahead by at most {100 * worst:.1f} points", "agrees" if abs(worst) <= 0.01 else "differs"


def _at_init(summary: Summary) -> Shown:
    """Pruning at initialisation within one percentage point of random pruning at the lowest sparsity."""
    there = [m for m in AT_INIT if m in summary.methods]
    if "random" not in summary.methods or not there:
        return NOT_MEASURED
    level = min(summary.sparsities)
    if level > 0.5:
        return NOT_MEASURED
    random = mean_of(summary, "random", level, "accuracy")
    ahead = {m: mean_of(summary, m, level, "accuracy") - random for m in there}
    ahead = {m: a for m, a in ahead.items() if not math.isnan(a)}
    if not ahead:
        return NOT_MEASURED
    best = max(ahead, key=lambda m: ahead[m])
    shown = (
        f"at {formatting.sparsity(level)} the best, {best}, is {100 * ahead[best]:+.1f} points from random"
    )
    return shown, "agrees" if ahead[best] <= 0.01 else "differs"


def _calibration(summary: Summary) -> Shown:
    """From 67.23 % on, some method that prunes before training has a lower ECE than IMP."""
    levels = [s for s in summary.sparsities if s >= 0.672]
    others = [m for m in ("random", *AT_INIT) if m in summary.methods]
    pairs = [
        (level, m, mean_of(summary, m, level, "ece") - mean_of(summary, "imp", level, "ece"))
        for level in levels
        for m in others
    ]
    pairs = [p for p in pairs if not math.isnan(p[2])]
    if not pairs:
        return NOT_MEASURED
    level, method, gap = min(pairs, key=lambda p: p[2])
    shown = f"most for {method} at {formatting.sparsity(level)}: {100 * gap:+.1f} points of ECE against imp"
    return shown, "agrees" if gap < 0 else "differs"


def _beyond(summary: Summary) -> Shown:
    """Weights go beyond channels: unstructured magnitude pruning keeps accuracy further than filters."""
    if "omp" not in summary.methods or "filter" not in summary.methods:
        return NOT_MEASURED
    region = {v.method: v.region for v in summary.verdicts["paper"]}
    far = {m: region.get(m) or 0.0 for m in ("omp", "filter")}
    shown = "accuracy holds up to " + ", ".join(f"{formatting.sparsity(s)} ({m})" for m, s in far.items())
    return shown, "agrees" if far["omp"] > far["filter"] else "differs"


def _connection(summary: Summary) -> Shown:
    """Connection sparsity at about 80 % keeps accuracy."""
    levels = [s for s in summary.sparsities if 0.75 <= s <= 0.85]
    dense = mean_of(summary, "dense", 0.0, "accuracy")
    gaps = [(s, mean_of(summary, "connection", s, "accuracy") - dense) for s in levels]
    gaps = [g for g in gaps if not math.isnan(g[1])]
    if not gaps:
        return NOT_MEASURED
    level, gap = gaps[-1]
    shown = f"{100 * gap:+.1f} points at {formatting.sparsity(level)}"
    return shown, "agrees" if gap >= -0.01 else "differs"


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
    ),
    Claim("Single weights can be pruned further than whole filters.", "Li et al. 2017", _beyond),
    Claim(
        "Removing 80 % of the connections between channels costs no accuracy.",
        "von Rad & Seuffert 2024",
        _connection,
    ),
)
