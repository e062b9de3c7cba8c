"""What papers claim, held to a table: claims about any task, and all of them together."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report import leaderboard
from lthbench.report.claims import interpretability, lth_pass, relations
from lthbench.report.claims.base import (
    CHEN,
    NOT_MEASURED,
    Claim,
    Shown,
    all_of,
    compared,
    difference,
    headline_of,
    paper_verdict,
    points,
    within,
)
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

AT_INIT = ("snip", "grasp", "synflow")


def held(summary: Summary) -> list[dict[str, str]]:
    """Every claim that is about any task or about this one, held to a summary."""
    name = summary.facts.task_name
    return [claim.held(summary) for claim in every() if not claim.tasks or name in claim.tasks]


def elsewhere(names: set[str]) -> list[Claim]:
    """The claims about tasks of which there is no table."""
    return [claim for claim in every() if claim.tasks and not names & set(claim.tasks)]


def every() -> tuple[Claim, ...]:
    """All claims."""
    return CLAIMS + relations.CLAIMS + lth_pass.CLAIMS + interpretability.CLAIMS


def _tickets(summary: Summary) -> Shown:
    """A ticket that is shown to match on everything; or, at each sparsity, one score that is worse."""
    found = headline_of(summary)
    if found is None or not found.matches:
        return NOT_MEASURED
    scores = list(dict.fromkeys(m.score for m in found.matches))
    last, _ = leaderboard.holds(found, scores)
    if last is not None:
        return f"{_up_to(last)} by the rule {summary.rule}{_by_the_paper(summary)}", "agrees"
    worse = [s for s in found.sparsities if any(m.finding == "worse" for m in found.at(s))]
    if len(worse) == len(found.sparsities):
        return f"at each sparsity it is worse in something by the rule {summary.rule}", "differs"
    left = [m for s in found.sparsities if s not in worse for m in found.at(s)]
    why = "are open" if any(m.finding == "open" for m in left) else "lack scores"
    return f"no sparsity passes by the rule {summary.rule}; some {why}", "cannot say"


def _by_the_paper(summary: Summary) -> str:
    """Up to where tickets pass by the paper's own rule, behind what another rule says."""
    found = paper_verdict(summary)
    if summary.rule == "paper" or found is None or found.undecided:
        return ""
    return f"; by the paper's rule {_up_to(found.joint)}"


def _one_number(summary: Summary) -> Shown:
    """Accuracy holds further than everything, which is worse in something where accuracy still holds.

    It differs where accuracy is the first to be worse. Where both hold at the highest sparsity measured,
    nothing tells which ends first.
    """
    found = headline_of(summary)
    scores = [] if found is None else list(dict.fromkeys(m.score for m in found.matches))
    if found is None or "accuracy" not in scores or len(scores) < 2:
        return NOT_MEASURED
    alone, ends = leaderboard.holds(found, ["accuracy"])
    joint, _ = leaderboard.holds(found, scores)
    shown = f"{found.method}: accuracy {_up_to(alone)}, all scores {_up_to(joint)}"
    holding = [s for s in found.sparsities if alone is not None and s <= alone]
    worse = [s for s in holding if any(m.finding == "worse" for m in found.at(s))]
    if worse:
        return shown, "agrees"
    short = [m for m in found.at(ends) if m.score == "accuracy" and m.finding == "worse"] if ends else []
    return shown, "differs" if short and alone == joint else "cannot say"


def _up_to(level: float | None) -> str:
    return "at no sparsity" if level is None else f"up to {formatting.sparsity(level)}"


def _one_shot(summary: Summary) -> Shown:
    """OMP within one percentage point of IMP, at all sparsities up to 48.8 %."""
    levels = [s for s in summary.sparsities if s <= 0.4885]
    pairs = [(summary.cell("imp", s, "accuracy"), summary.cell("omp", s, "accuracy")) for s in levels]
    gaps = [g for one, other in pairs if (g := difference(one, other, tests=len(levels))) is not None]
    if not gaps:
        return NOT_MEASURED
    worst = max(gaps, key=lambda g: abs(g.mean))
    return f"where they differ the most, imp is {points(worst, 'omp')}", within(gaps, 0.01)


def _at_init(summary: Summary) -> Shown:
    """None of the methods at initialisation is more than a point ahead of random at the lowest sparsity."""
    there = [m for m in AT_INIT if m in summary.methods]
    if "random" not in summary.methods or not there or min(summary.sparsities) > 0.5:
        return NOT_MEASURED
    level = min(summary.sparsities)
    random = summary.cell("random", level, "accuracy")
    ahead = {m: difference(random, summary.cell(m, level, "accuracy"), tests=len(there)) for m in there}
    known = {m: a for m, a in ahead.items() if a is not None}
    if not known:
        return NOT_MEASURED
    best = min(known, key=lambda m: known[m].mean)
    shown = f"at {formatting.sparsity(level)} random is {points(known[best], f'the best, {best}')}"
    return shown, all_of(list(known.values()), -0.01)


def _calibration(summary: Summary) -> Shown:
    """From 67.23 % on, random pruning and each that prunes before training has a lower ECE than IMP."""
    levels = [s for s in summary.sparsities if s >= 0.672]
    others = [m for m in ("random", *AT_INIT) if m in summary.methods]
    cells = [(m, s) for s in levels for m in others]
    pairs = [
        (m, s, difference(summary.cell("imp", s, "ece"), summary.cell(m, s, "ece"), tests=len(cells)))
        for m, s in cells
    ]
    known = [(m, s, gap) for m, s, gap in pairs if gap is not None]
    if not known:
        return NOT_MEASURED
    lower = sum(gap.low > 0 for _, _, gap in known)
    higher = sum(gap.high < 0 for _, _, gap in known)
    return f"ECE, beside imp: {compared(lower, higher, len(known))}", all_of(
        [gap for _, _, gap in known], 0.0
    )


def _beyond(summary: Summary) -> Shown:
    """Weights go beyond channels: unstructured magnitude pruning keeps accuracy further than filters."""
    found = {m: headline_of(summary, m) for m in ("omp", "filter")}
    far = {m: leaderboard.holds(v, ["accuracy"]) for m, v in found.items() if v is not None and v.matches}
    if len(far) < 2:
        return NOT_MEASURED
    shown = "accuracy holds " + ", ".join(f"{_up_to(last)} ({m})" for m, (last, _) in far.items())
    (omp, _), (filters, fails) = far["omp"], far["filter"]
    if (omp or 0.0) > (filters or 0.0) and fails is not None:
        return shown, "agrees" if _worse(found["filter"], fails) else "cannot say"
    return shown, "differs" if _worse(found["omp"], far["omp"][1]) else "cannot say"


def _worse(found: Verdict | None, level: float | None) -> bool:
    """Whether accuracy is worse at a sparsity, and not merely open."""
    if found is None or level is None:
        return False
    return any(m.score == "accuracy" and m.finding == "worse" for m in found.at(level))


def _connection(summary: Summary) -> Shown:
    """Connection sparsity at about 80 % costs at most one percentage point."""
    levels = [s for s in summary.sparsities if 0.75 <= s <= 0.85]
    dense = summary.cell("dense", 0.0, "accuracy")
    pairs = [(s, difference(summary.cell("connection", s, "accuracy"), dense)) for s in levels]
    known = [(s, gap) for s, gap in pairs if gap is not None]
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
        "von Rad & Seuffert 2024",
        _connection,
    ),
)
