"""Before a run: which scores can be decided with the seeds that are asked for, and what others would take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lthbench import formatting
from lthbench.verdict.calibration import Calibration
from lthbench.verdict.noninferiority import MOST_SEEDS
from lthbench.verdict.simulation import POWER, simulated

#: Simulated networks behind each number, and the numbers of seeds that are tried.
TRIALS = 1000
_TRIED = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, MOST_SEEDS)


@dataclass(frozen=True)
class Foresight:
    """What ``seeds`` can decide of networks that are as good as dense.

    ``joint`` is how often they pass on all scores at once; ``decided`` are scores that match in ``POWER`` of
    cases, ``needed`` how many seeds each of the others would take (None: not with 100 either). ``missing``
    are scores that the calibration does not have. Without a calibration, all are missing; ``reason`` says
    why one that there is does not count.
    """

    seeds: int
    trainings: int
    joint: float | None
    decided: tuple[str, ...]
    needed: dict[str, int | None]
    missing: tuple[str, ...]
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "seeds": self.seeds,
            "trainings": self.trainings,
            "joint": self.joint,
            "decided": list(self.decided),
            "needed": self.needed,
            "not_calibrated": list(self.missing),
            "reason": self.reason,
        }


def foresee(
    calibration: Calibration | None, scores: Iterable[str], seeds: int, reason: str = ""
) -> Foresight:
    """What can be decided of these scores, by simulation from the calibration; without one, the reason."""
    asked = list(scores)
    known = [s for s in asked if calibration is not None and s in calibration.scores]
    missing = tuple(s for s in asked if s not in known)
    if calibration is None or not known:
        return Foresight(seeds, 0, None, (), {}, missing, reason)
    trials = simulated(calibration, seeds, trials=TRIALS)
    matches = dict(zip(trials.scores, trials.matches(), strict=True))
    decided = tuple(s for s in known if matches[s] >= POWER)
    open_ones = [s for s in known if s not in decided]
    needed: dict[str, int | None] = dict.fromkeys(open_ones)
    for more in (n for n in _TRIED if n > seeds):
        still = [s for s in open_ones if needed[s] is None]
        if not still:
            break
        tried = simulated(calibration, more, trials=TRIALS)
        rates = dict(zip(tried.scores, tried.matches(), strict=True))
        needed.update({s: more for s in still if rates[s] >= POWER})
    return Foresight(seeds, len(calibration.seeds), trials.passes(), decided, needed, missing)


def text(found: Foresight, title: Callable[[str], str], calibrate: str) -> str:
    """In words; ``title`` is of scores, ``calibrate`` the command that would calibrate the task, if any."""
    number = formatting.counted(found.seeds, "seed", "seeds")
    of_one = "; networks are judged as they are, and another seed may differ" if found.seeds == 1 else ""
    if found.joint is None:
        way = f". What would decide them: {calibrate}" if calibrate else ""
        return (
            f"{number}, not calibrated{of_one}: {found.reason}each score must be told from the scatter of "
            f"these seeds alone, and most stay open{way}"
        )
    parts = [
        f"{number}, calibrated by {found.trainings} dense trainings{of_one}: a network as good as dense "
        f"passes in {100 * found.joint:.0f} % of cases"
    ]
    if found.needed:
        each = [
            f"{title(s)} ({count} seeds)" if count else f"{title(s)} (not with {MOST_SEEDS} either)"
            for s, count in found.needed.items()
        ]
        parts.append(f"likely to stay open: {formatting.listed(each)}")
    elif found.decided:
        parts.append("every calibrated score can be decided")
    if found.missing:
        parts.append(f"not calibrated: {formatting.listed([title(s) for s in found.missing])}")
    return "; ".join(parts)
