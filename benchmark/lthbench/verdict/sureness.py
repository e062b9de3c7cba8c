"""What a calibration says of its task: how wide the margins are, and how often the verdict decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lthbench import formatting
from lthbench.verdict.calibration import Calibration
from lthbench.verdict.simulation import SEEDS, Trials, recorded, simulated

#: A trial on the trainings themselves leaves at least this many of them for the calibration.
LEFT = 6


def account(calibration: Calibration, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """The scores with their margins; and for numbers of seeds, power and level, as simulated and recorded.

    Of one seed, level and smallest difference are of that network, over other images: None where the
    calibration has no error over images, and of the trainings themselves, which were scored on the same.
    """
    trainings = len(calibration.seeds)
    return {
        "task": calibration.task,
        "budget": calibration.budget,
        "trainings": trainings,
        "scores": [
            {
                "score": name,
                "mean": s.scale.value(s.mean),
                "sd": math.sqrt(s.variance),
                "relative": s.relative,
                "practical": s.practical,
                "margin": s.margin,
                "resolved": s.resolved,
                "pair_error": s.pair_error,
            }
            for name, s in calibration.scores.items()
        ],
        "seeds": {
            count: {
                "simulated": _rates(calibration, simulated(calibration, count)),
                "recorded": _rates(calibration, recorded(calibration, count), images=False)
                if count + LEFT <= trainings
                else None,
            }
            for count in seeds
        },
    }


def _rates(calibration: Calibration, trials: Trials, images: bool = True) -> dict[str, Any]:
    """The rates of trials. ``images``: whether they allow for other images, which one network asks for."""
    known = calibration.scores.items()
    drawn = [name for name, s in known if trials.seeds > 1 or (images and s.pair_error is not None)]

    def by_score(values: Any) -> dict[str, float | None]:
        found = zip(trials.scores, map(float, values), strict=True)
        return {name: v if name in drawn else None for name, v in found}

    smallest = [s.scale.shown(float(v)) for (_, s), v in zip(known, trials.smallest(), strict=True)]
    return {
        "passes": trials.passes(),
        "matches": dict(zip(trials.scores, map(float, trials.matches()), strict=True)),
        "level": by_score(trials.level()),
        "passes_at_margin": by_score(trials.joint_level()),
        "called_worse": trials.false_worse() if trials.seeds > 1 else None,
        "smallest": by_score(smallest),
    }


def text(
    found: Mapping[str, Any], title: Callable[[str], str], unit: Callable[[str], str] = lambda name: ""
) -> str:
    """The account for the shell; ``title`` and ``unit`` are of scores."""
    lines = [
        f"task {found['task']}, budget {found['budget']}: {found['trainings']} dense trainings",
        "",
        formatting.grid([_row(s, title, unit, found["seeds"]) for s in found["scores"]]),
        "",
        "Margin: the larger of the practical one and 2.33 standard deviations over trainings, by which one",
        "training is worse than another in 5 % of cases. Found: the smallest difference that is called",
        "worse in 80 % of cases. With %, margins and differences are shares, SD is that of logarithms.",
        "",
        "How often dense networks, as new trainings of them, are found to match, and the level:",
        "",
        formatting.grid([_counted(count, rates) for count, rates in found["seeds"].items()]),
        "",
        "Joint: on all scores at once. Level: how often a score matches that is worse by its margin,",
        "the largest of all scores (at most 5 % is asked for). Called worse: on any score, though none is.",
        "Of one seed these are of single networks: the level, and what is found, over other images; –: the",
        "calibration has no error over images; recorded ones were scored on the same; none is called worse.",
        "Recorded: on the trainings themselves, held out in turn.",
    ]
    wide = [title(s["score"]) for s in found["scores"] if not s["resolved"]]
    if wide:
        lines += ["", f"Wider than practical, by retraining alone: {formatting.listed(wide)}."]
    return "\n".join(lines)


def _row(
    score: Mapping[str, Any],
    title: Callable[[str], str],
    unit: Callable[[str], str],
    seeds: Mapping[int, Any],
) -> dict[str, str]:
    name = score["score"]

    def shown(value: float) -> str:
        return formatting.difference(value, unit(name), relative=score["relative"])

    row = {
        "score": formatting.titled(title(name), unit(name)),
        "mean": formatting.number(score["mean"], unit(name)),
        "SD": f"{score['sd']:.2f}" if score["relative"] else formatting.number(score["sd"], unit(name)),
        "practical": shown(score["practical"]),
        "margin": shown(score["margin"]),
    }
    for count, rates in seeds.items():
        found = rates["simulated"]["smallest"][name]
        row[f"found, {formatting.counted(count, 'seed', 'seeds')}"] = "–" if found is None else shown(found)
    return row


def _counted(count: int, rates: Mapping[str, Any]) -> dict[str, str]:
    row = {"seeds": str(count)}
    for how in ("simulated", "recorded"):
        found = rates[how]
        weakest = min(found["matches"], key=lambda s: found["matches"][s]) if found else ""
        row[f"joint, {how}"] = f"{found['passes']:.2f}" if found else "–"
        row[f"weakest score, {how}"] = f"{found['matches'][weakest]:.2f} {weakest}" if found else "–"
        levels = [level for level in found["level"].values() if level is not None] if found else []
        row[f"level, {how}"] = f"{max(levels):.3f}" if levels else "–"
    worse = rates["simulated"]["called_worse"]
    row["called worse"] = "–" if worse is None else f"{worse:.3f}"
    return row
