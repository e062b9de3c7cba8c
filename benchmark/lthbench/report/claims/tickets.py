"""What a pruned network owes to its mask, its weights and to rewinding: claims of accuracy, on any task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lthbench import formatting
from lthbench.report.claims.base import (
    AT_INIT,
    NOT_MEASURED,
    TICKETS,
    Claim,
    Shown,
    all_of,
    gaps,
    points,
    sound,
)
from lthbench.report.summary import Summary

MISSING = "Frankle et al. 2021, Pruning Neural Networks at Initialization: Why Are We Missing the Mark?"
RENDA = "Renda et al. 2020, Comparing Rewinding and Fine-tuning"
#: What is "as accurate": at most a percentage point below.
POINT = -0.01


def _above(pairs: Sequence[tuple[str, str]], least: float = 0.0) -> Callable[[Summary], Shown]:
    """Whether the first of each pair of methods is more accurate, by ``least``, at each sparsity."""

    def check(summary: Summary) -> Shown:
        found = [
            (one, other, level, gap)
            for one, other in pairs
            for level, gap in gaps(summary, one, other, cell=sound)
        ]
        if not found:
            return NOT_MEASURED
        one, other, level, worst = min(found, key=lambda f: f[3].mean)
        place = (
            f"at {formatting.sparsity(level)}, the worst of {formatting.counted(len(found), 'pair', 'pairs')}"
        )
        return f"{place}, {one} is {points(worst, other)}", all_of([f[3] for f in found], least)

    return check


CLAIMS = (
    Claim(
        "A ticket is more accurate than its mask with other initial weights.",
        "Frankle & Carbin 2019, The Lottery Ticket Hypothesis, section 2",
        _above([(TICKETS, f"{TICKETS}:reinit")]),
    ),
    Claim(
        "A mask of a trained network is more accurate than as many weights of each layer at random places.",
        MISSING,
        _above([(m, f"{m}:shuffled") for m in (TICKETS, "omp")]),
    ),
    Claim(
        "A mask from initialisation is no more accurate than as many weights of each layer at random places.",
        MISSING,
        _above([(f"{m}:shuffled", m) for m in AT_INIT], POINT),
    ),
    Claim(
        "A mask from initialisation is no less accurate with other initial weights.",
        MISSING,
        _above([(f"{m}:reinit", m) for m in AT_INIT], POINT),
    ),
    Claim(
        "Pruning at initialisation is less accurate than magnitude pruning after training.",
        MISSING,
        _above([("omp", m) for m in AT_INIT]),
    ),
    Claim(
        "Pruning at initialisation is more accurate than random pruning.",
        MISSING,
        _above([(m, "random") for m in AT_INIT]),
    ),
    Claim(
        "Rewinding the learning rate alone is as accurate as rewinding the weights, too.",
        RENDA,
        _above([("lrr", TICKETS)], POINT),
    ),
    Claim(
        "Rewinding is more accurate than fine-tuning.",
        RENDA,
        _above([(m, "finetune") for m in (TICKETS, "lrr")]),
    ),
)
