"""What another training of the dense network gives: the yardstick that a calibrated task ships with.

A calibration holds, for each score of the verdict, the values of many dense networks trained by the task's
recipe with seeds of their own, and the margin that is frozen with them: the larger of the practical one (the
metric's) and ``MULTIPLE`` times the standard deviation over trainings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import resources, textfiles
from lthbench.errors import BadInput, because
from lthbench.verdict.noninferiority import spread
from lthbench.verdict.scale import Scale

if TYPE_CHECKING:
    from lthbench.verdict.aspect import Aspect

SCHEMA = 1
WHAT = "lthbench calibration"
#: 1.645 times the square root of 2: one training of the dense network is worse than another by more than so
#: many standard deviations in 5 % of cases.
MULTIPLE = 2.33
#: The score that is a ratio to the dense parent; here it is one to the mean of all dense trainings.
RATIO = "mce"
#: No calibration has fewer trainings: a standard deviation would be off by a third or more.
FEWEST = 6
#: Values are kept with six digits: those that differ by less are equal.
_DIGITS = 1e-6
#: A mean of a run's own dense networks this improbable among those of the calibration is of another kind.
FOREIGN = 0.001


@dataclass(frozen=True)
class DenseScore:
    """One score of the dense network over its trainings.

    ``key`` is that of the step that measures it for seed 0: it holds the versions of data, recipe, images and
    metric. ``practical`` and ``margin`` are in the score's unit, or shares where it is ``relative``.
    ``values`` has one for each seed. ``pair_error`` is the standard error, over images, of the difference
    of two trainings (None where the score has none).
    """

    score: str
    key: str
    higher_is_better: bool
    relative: bool
    practical: float
    margin: float
    values: tuple[float, ...]
    pair_error: float | None = None

    @property
    def scale(self) -> Scale:
        """The scale it is compared on."""
        return Scale(self.higher_is_better, self.relative)

    @cached_property
    def places(self) -> tuple[float, ...]:
        """The values on the scale, where larger is worse."""
        return self.on(self.scale)

    def on(self, scale: Scale) -> tuple[float, ...]:
        """The values on another scale."""
        return tuple(scale.place(v) for v in self.values)

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        return spread(self.places)[0]

    @cached_property
    def variance(self) -> float:
        """Their sample variance."""
        return spread(self.places)[1]

    @property
    def limit(self) -> float:
        """The margin on the scale."""
        return self.scale.margin(self.margin)

    @property
    def resolved(self) -> bool:
        """Whether the practical margin is wide enough: whether retraining alone does not exceed it."""
        return self.margin <= self.practical * (1 + 1e-9)

    def judges(self, aspect: Aspect) -> bool:
        """Whether this is of a score as the verdict asks for it: its direction and its practical margin."""
        mine = self.higher_is_better, self.relative, self.practical
        return mine == (aspect.higher_is_better, aspect.relative, aspect.margin)

    def better_than(self, place: float) -> float:
        """The share of dense trainings that are worse; of those as good, half."""
        same = [math.isclose(p, place, rel_tol=_DIGITS, abs_tol=1e-12) for p in self.places]
        worse = sum(p > place for p, as_good in zip(self.places, same, strict=True) if not as_good)
        return (worse + 0.5 * sum(same)) / len(self.places)

    def as_likely(self, place: float, count: int = 1) -> float:
        """How probable a mean of ``count`` dense trainings is that lies at least as far off."""
        worse = self.as_bad(place, count)
        return (
            2.0 * min(worse, 1.0 - worse)
            if 0.0 < worse < 1.0
            else float(math.isclose(place, self.mean, rel_tol=_DIGITS))
        )

    def as_bad(self, place: float, count: int = 1) -> float:
        """How probable a mean of ``count`` dense trainings is that is as bad or worse.

        By Student's distribution of a new mean: it is off by its own scatter, and by that of the known mean.
        """
        from scipy.special import stdtr

        n = len(self.places)
        error = math.sqrt(self.variance * (1.0 / count + 1.0 / n))
        if error == 0.0:
            return 1.0 if place <= self.mean + _DIGITS * abs(self.mean) else 0.0
        return float(stdtr(n - 1, (self.mean - place) / error))


@dataclass(frozen=True)
class Calibration:
    """The scores of many dense networks; ``corruptions`` are their mean errors by kind."""

    task: str
    budget: str
    seeds: tuple[int, ...]
    scores: Mapping[str, DenseScore]
    corruptions: Mapping[str, float]
    command: str = ""

    def ratio(self, errors: Mapping[str, float]) -> float:
        """The mCE of errors by kind, where the dense trainings' mean is 1; NaN where a kind is missing."""
        if not self.corruptions or not self.corruptions.keys() <= errors.keys():
            return math.nan
        shares = [errors[kind] / error for kind, error in self.corruptions.items()]
        return math.fsum(shares) / len(shares)

    def without(self, seeds: Sequence[int]) -> Calibration:
        """The same without the trainings of some seeds; without any score where too few are left."""
        kept = [k for k, seed in enumerate(self.seeds) if seed not in seeds]
        if len(kept) == len(self.seeds):
            return self
        known = self.scores.items() if len(kept) >= FEWEST else ()
        scores = {name: replace(s, values=tuple(s.values[k] for k in kept)) for name, s in known}
        return replace(self, seeds=tuple(self.seeds[k] for k in kept), scores=scores)

    def to_json(self) -> str:
        """As it is kept in a file."""
        scores = {
            name: {
                "key": s.key,
                "higher_is_better": s.higher_is_better,
                "relative": s.relative,
                "practical": s.practical,
                "margin": s.margin,
                "pair_error": s.pair_error,
                "values": list(s.values),
            }
            for name, s in self.scores.items()
        }
        record = {
            "schema": SCHEMA,
            "what": WHAT,
            "task": self.task,
            "budget": self.budget,
            "command": self.command,
            "seeds": list(self.seeds),
            "corruptions": dict(self.corruptions),
            "scores": scores,
        }
        text = json.dumps(record, indent=1)
        return _short_lists(text) + "\n"


def _short_lists(text: str) -> str:
    """JSON with each list of numbers on one line."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def margin(scale: Scale, practical: float, variance: float) -> float:
    """The larger of the practical margin and ``MULTIPLE`` standard deviations, to three figures."""
    wide = abs(scale.shown(MULTIPLE * math.sqrt(variance)))
    return practical if wide <= practical else float(f"{wide:.3g}")


def from_json(record: Any, where: str) -> Calibration:
    """A calibration out of JSON, checked. Raises BadInput that names the place."""
    if not isinstance(record, dict) or record.get("what") != WHAT:
        raise BadInput(f"{where}: is no calibration; make one with lthbench calibrate.")
    if record.get("schema") != SCHEMA:
        raise BadInput(f"{where}: has schema {record.get('schema')}, this version reads {SCHEMA}.")
    try:
        seeds = tuple(int(s) for s in record["seeds"])
        scores = {name: _score(name, found, len(seeds)) for name, found in record["scores"].items()}
        kinds = {str(kind): float(error) for kind, error in record["corruptions"].items()}
        if not all(error > 0.0 and math.isfinite(error) for error in kinds.values()):
            raise ValueError("errors under corruption must be positive")
        task, budget = str(record["task"]), str(record["budget"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{where}: cannot be read as a calibration{because(error)}.") from error
    return Calibration(task, budget, seeds, scores, kinds, str(record.get("command", "")))


def _score(name: str, found: Mapping[str, Any], seeds: int) -> DenseScore:
    values = tuple(float(v) for v in found["values"])
    error = found["pair_error"]
    record = DenseScore(
        name,
        str(found["key"]),
        bool(found["higher_is_better"]),
        bool(found["relative"]),
        float(found["practical"]),
        float(found["margin"]),
        values,
        None if error is None else float(error),
    )
    if len(values) != seeds or seeds < FEWEST:
        raise ValueError(f"{name}: needs a value for each of at least {FEWEST} seeds")
    if not all(map(math.isfinite, values)) or (record.relative and min(values) <= 0.0):
        raise ValueError(f"{name}: has a value that cannot be compared")
    if not (math.isfinite(record.margin) and record.margin > 0.0):
        raise ValueError(f"{name}: its margin must be positive")
    expected = margin(record.scale, record.practical, record.variance)
    if not math.isclose(record.margin, expected, rel_tol=0.01):
        raise ValueError(
            f"{name}: its margin, {record.margin:g}, is not the larger of the practical one and {MULTIPLE} "
            f"standard deviations of its values, {expected:g}; it follows from the trainings"
        )
    return record


def read(path: Path) -> Calibration:
    """The calibration in a file. Raises BadInput for what is none."""
    return from_json(textfiles.data(path, "calibration"), f"calibration {path}")


@lru_cache(maxsize=64)
def shipped(task: str, budget: str) -> Calibration | None:
    """The calibration that a task of this name ships with for a budget; None where there is none."""
    if not re.fullmatch(r"[\w.-]+", f"{task}-{budget}"):
        return None
    path = resources.tasks() / "calibrations" / f"{task}-{budget}.json"
    return read(path) if path.is_file() else None


def beside(task: str, budget: str, typed: str) -> Calibration | None:
    """The calibration beside the file of a task of one's own, which was ``typed`` as a path; or None."""
    if not typed.endswith(".toml"):
        return None
    path = Path(typed).parent / "calibrations" / f"{task}-{budget}.json"
    return read(path) if path.is_file() else None


def fitting(
    found: Calibration | None,
    keys: Mapping[str, str],
    aspects: Sequence[Aspect] = (),
    seeds: Sequence[int] = (),
) -> tuple[Calibration | None, tuple[str, ...]]:
    """The part of a calibration that a table may be judged by, and the scores that it is of another version.

    ``keys`` are those of the steps that measure the dense network of seed 0, by score. ``aspects`` are the
    scores that are judged: a practical margin that is not theirs is of another version. Networks with the
    ``seeds`` that are judged do not stand on both sides: they are left out; margins stay.
    """
    if found is None:
        return None, ()
    asked = {a.score: a for a in aspects}
    same = {
        name: s
        for name, s in found.scores.items()
        if keys.get(name) == s.key and (name not in asked or s.judges(asked[name]))
    }
    other = tuple(n for n in found.scores if n in keys and n not in same)
    kept = replace(found, scores=same).without(seeds)
    return (kept if kept.scores else None), other


def foreign(score: DenseScore, places: Sequence[float], scores: int) -> bool:
    """Whether a run's own dense networks are of another kind than those of the calibration.

    Held to Bonferroni over so many ``scores``: another device or another version of a program that trains
    otherwise shows here, and chance in one run of a thousand.
    """
    if not places:
        return False
    return score.as_likely(spread(places)[0], len(places)) < FOREIGN / max(scores, 1)
