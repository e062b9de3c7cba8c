"""How often the verdict decides, on a calibrated task: by simulation, and on the trainings themselves.

``simulated`` draws networks from normal distributions with the covariance of the dense trainings' scores.
``recorded`` takes the trainings as they are: some stand for the networks that are judged, all others for the
calibration. Both yield, for each trial and score, by how much the estimate is off and how far its bound
reaches; all questions about power and level are answered from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lthbench.verdict.comparison import APART, EXPECTED, PRIOR, WILD, wild_freedom
from lthbench.verdict.noninferiority import ALPHA, hommel, least_common

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lthbench.verdict.calibration import Calibration

    Floats = NDArray[np.float64]

#: Numbers of seeds that a calibration is asked about, and trials of a simulation.
SEEDS, TRIALS = (1, 3, 5, 10), 4000
#: How many numbers are drawn at once: blocks of trials give the same numbers in less memory.
BLOCK = 2_000_000
#: How often a difference must be found to count as found.
POWER = 0.8
#: Degrees of freedom of a variance that is known.
CERTAIN = 1e9


@dataclass(frozen=True)
class Trials:
    """``off`` [trials, scores] is the estimate less the truth; ``own`` by how much the networks judged are
    themselves off (one network's own place; 0 for the mean of a method). ``reach`` is how far the bound lies
    beyond the estimate, ``corrected`` the same at the level of one of all scores; ``p_worse`` are p-values of
    being no worse. ``limit`` [scores] are the margins. All on the scales of the scores.
    """

    scores: tuple[str, ...]
    seeds: int
    off: Floats
    own: Floats
    reach: Floats
    corrected: Floats
    p_worse: Floats
    limit: Floats

    def matches(self) -> Floats:
        """How often dense networks match, by score."""
        found: Floats = self._match().mean(0)
        return found

    def passes(self) -> float:
        """How often dense networks pass on all scores at once."""
        return float(self._match().all(1).mean())

    def _match(self) -> Any:
        return self.own + self.off + self.reach <= self.limit

    def level(self) -> Floats:
        """How often a score matches that is worse by exactly its margin."""
        found: Floats = (self.off + self.reach <= 0.0).mean(0)
        return found

    def joint_level(self) -> Floats:
        """How often networks pass that are dense but for one score, worse by its margin: by score."""
        import numpy as np

        good, at_margin = self._match(), self.off + self.reach <= 0.0
        return np.array(
            [(np.delete(good, k, 1).all(1) & at_margin[:, k]).mean() for k in range(len(self.scores))]
        )

    def false_worse(self) -> float:
        """How often methods whose mean is dense's are called worse on some score, after the correction."""
        import numpy as np

        worse = np.array([hommel(row) for row in self.p_worse.tolist()]) <= ALPHA
        return float((~self._match() & worse).any(1).mean())

    def smallest(self) -> Floats:
        """The smallest difference that is called worse in ``POWER`` of trials, by score, on its scale."""
        import numpy as np

        needed = np.maximum(self.limit - self.off - self.reach, self.corrected - self.off)
        found: Floats = np.quantile(needed, POWER, axis=0)
        return found


def simulated(
    calibration: Calibration, seeds: int, *, trials: int = TRIALS, widened: float = 1.0, seed: int = 0
) -> Trials:
    """Networks whose scores vary as those of dense trainings do, or ``widened`` times as much: normal."""
    import numpy as np

    places, limit, images = _arrays(calibration)
    count = len(places)
    centred = (places - places.mean(0)) / np.sqrt(count - 1)
    rng = np.random.default_rng([seed, seeds])
    drawn = [
        _spread(rng.standard_normal((min(block, trials - done), seeds, count)) @ centred * widened)
        for block in (max(1, BLOCK // (seeds * count)),)
        for done in range(0, trials, block)
    ]
    mean, between = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    center = rng.standard_normal((trials, count)) @ centred / np.sqrt(count)
    picture = rng.standard_normal((trials, len(limit))) * images / np.sqrt(2.0)
    variance = np.broadcast_to((centred**2).sum(0), center.shape)
    return _trials(calibration, seeds, mean, between, center, variance, count, picture, images, limit)


def recorded(calibration: Calibration, seeds: int, *, trials: int = TRIALS, seed: int = 0) -> Trials:
    """Some of the trainings judged by a calibration of all others, as they are. Needs twice as many."""
    import numpy as np

    places, limit, images = _arrays(calibration)
    count, scores = places.shape
    rng = np.random.default_rng([seed, seeds])
    order = rng.permuted(np.tile(np.arange(count), (trials, 1)), axis=1)
    drawn, others = places[order[:, :seeds]], places[order[:, seeds:]]
    mean = places.mean(0)
    picture = np.zeros((trials, scores))
    return _trials(
        calibration,
        seeds,
        *_spread(drawn - mean),
        others.mean(1) - mean,
        others.var(1, ddof=1),
        count - seeds,
        picture,
        images,
        limit,
    )


def _arrays(calibration: Calibration) -> tuple[Floats, Floats, Floats]:
    """Places [trainings, scores], margins, and errors over images of the difference of two networks."""
    import numpy as np

    known = list(calibration.scores.values())
    places = np.array([s.places for s in known]).T
    limit = np.array([s.limit for s in known])
    images = np.array([s.scale.error(s.pair_error or 0.0, s.scale.value(s.mean)) for s in known])
    return places, limit, images


def _spread(drawn: Floats) -> tuple[Floats, Floats]:
    """Means over seeds, and variances between them, of networks ``[trials, seeds, scores]``."""
    import numpy as np

    mean = drawn.mean(1)
    return mean, drawn.var(1, ddof=1) if drawn.shape[1] > 1 else np.zeros_like(mean)


def _trials(
    calibration: Calibration,
    seeds: int,
    mean: Floats,
    between: Floats,
    center: Floats,
    variance: Floats,
    count: int,
    picture: Floats,
    images: Floats,
    limit: Floats,
) -> Trials:
    """What ``comparison.compare`` makes of networks, for many at once: arrays are [trials, scores]."""
    import numpy as np
    from scipy.special import stdtr, stdtrit

    scores = mean.shape[1]
    reference = variance / count
    shared: Any = 0.0
    freedom: Any = 1.0
    if seeds > 1:
        varies = variance > 0.0
        ratios = np.divide(between, variance, out=np.full_like(between, np.nan), where=varies)
        expected = EXPECTED * _whole(ratios, seeds, count) * variance
        prior: Any = np.where(_apart(ratios, seeds, count) | ~varies, 0.0, PRIOR)
        part = (prior * expected + (seeds - 1) * between) / (prior + seeds - 1) / seeds
        freedom, own, off = prior + seeds - 1, np.zeros_like(mean), mean - center
        shared = images**2 * [least_common(score) for score in calibration.scores]
    else:
        # of its difference to its parent, and half as much of the parent's to all: ``comparison`` adds both
        part, shared = np.zeros_like(mean), 1.5 * images**2
        own, off = mean, picture - center
    total = part + reference + shared
    lost = part**2 / freedom + reference**2 / (count - 1)
    # A score in which no two trainings differ has no variance, and any number of degrees of freedom.
    degrees = np.divide(total**2, lost, out=np.full_like(total, CERTAIN), where=lost > 0.0)
    deviation, away = np.sqrt(total), own + off
    steps = np.divide(-away, deviation, out=np.where(away > 0.0, -np.inf, np.inf), where=deviation > 0.0)
    return Trials(
        tuple(calibration.scores),
        seeds,
        off,
        own,
        stdtrit(degrees, 1.0 - ALPHA) * deviation,
        stdtrit(degrees, 1.0 - ALPHA / scores) * deviation,
        stdtr(degrees, steps),
        limit,
    )


def _whole(ratios: Floats, seeds: int, trainings: int) -> Any:
    """How much more all scores scatter than those of dense networks: ``comparison.Scatter.whole``."""
    import numpy as np
    from scipy.special import fdtri

    known = ~np.isnan(ratios)
    scores = int(known.sum(1).min())
    freedom = wild_freedom(seeds, trainings, scores)
    limit = fdtri(seeds - 1, freedom, WILD) if scores > 1 else np.inf
    kept = known & (ratios <= limit * _rest(ratios))
    total = np.where(kept, ratios, 0.0).sum(1, keepdims=True)
    return np.maximum(1.0, total / np.maximum(1, kept.sum(1, keepdims=True)))


def _apart(ratios: Floats, seeds: int, trainings: int) -> Any:
    """Which scores scatter more than the others and chance explain: ``comparison.Scatter.apart``."""
    from scipy.special import fdtri

    return ratios > fdtri(seeds - 1, trainings - 1, APART) * _rest(ratios)


def _rest(ratios: Floats) -> Any:
    """The ratio that is expected of each score by all others that have one."""
    import numpy as np

    known = ~np.isnan(ratios)
    total = np.where(known, ratios, 0.0).sum(1, keepdims=True)
    others = np.maximum(1, known.sum(1, keepdims=True) - 1)
    return EXPECTED * np.maximum(1.0, (total - ratios) / others)
