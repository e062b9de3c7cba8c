"""Networks of a bundle run again, and what then differs."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from lthbench import api, formatting, registry
from lthbench.errors import BadInput, unknown
from lthbench.files import publish
from lthbench.kinds import Metric, Score
from lthbench.planning.plan import Entry
from lthbench.results.run_facts import RunFacts
from lthbench.store import LocalStore
from lthbench.submission.bundle import planned
from lthbench.verdict.calibration import shipped

if TYPE_CHECKING:
    import pandas as pd


def drawn(facts: RunFacts, count: int, draw: int, methods: Sequence[str] | None = None) -> list[Entry]:
    """Networks to run again: ``count`` of the pruned ones, or of those of ``methods``, at random by a seed.

    Whoever made the bundle must not know which they will be. Raises BadInput for a method that it has not.
    """
    entries = planned(facts).entries
    there = list(dict.fromkeys(e.method for e in entries))
    for name in methods or ():
        if name not in there:
            raise unknown("method", name, there, "in the bundle")
    chosen = [e for e in entries if (e.method in methods if methods else e.method != "dense")]
    chosen = chosen or list(entries)
    return random.Random(draw).sample(chosen, min(count, len(chosen)))


def place_for(bundle: Path, store: Path) -> None:
    """Make a store in which nothing is but what was run again for a bundle. Raises BadInput for another.

    With artefacts of whoever made the bundle in it, nothing would be run again.
    """
    digest, marker = hashlib.sha256(bundle.read_bytes()).hexdigest(), store / "rerun.json"
    opened = LocalStore(store)
    opened.check()
    try:
        own = json.loads(marker.read_bytes()).get("bundle") == digest
    except (OSError, ValueError, AttributeError):
        own = False
    if not own and any((store / "steps").glob("*/*")):
        raise BadInput(f"store {store}: holds more than was run again for this bundle; give an empty folder.")
    opened.open()
    publish(marker, (json.dumps({"bundle": digest}) + "\n").encode())


def named(entry: Entry) -> str:
    """A network as it is told: "omp 67.2 % seed 1"."""
    sparsity = "" if entry.method == "dense" else f" {formatting.sparsity(entry.sparsity)}"
    return f"{entry.method}{sparsity} seed {entry.seed}"


def rerun(
    scores: pd.DataFrame, facts: RunFacts, chosen: Sequence[Entry], store: Path | str, **options: Any
) -> list[str]:
    """Run networks again from nothing and compare their scores. Returns what differs beyond its noise.

    What may differ is said by ``band``: by this run and the task's calibration, never by the bundle. What
    ``store`` holds is not done again.
    """
    request = planned(facts).request
    known = {s.name: s for name in request.metrics for s in registry.get(Metric, name).scores}
    calibrated = shipped(request.task.name, request.budget)
    spreads = {n: stdev(s.values) for n, s in calibrated.scores.items()} if calibrated else {}
    if request.pretrained is not None:  # what a bundle names is not read
        raise BadInput(
            f"these networks begin with the weights of {request.pretrained}, which a bundle does not hold: "
            "run its command with that file, and compare the tables with lthbench compare."
        )
    wrong = []
    for entry in chosen:
        again = api.run(
            request.task_as_typed or request.task.name,
            [] if entry.method == "dense" else [entry.method],
            [1.0 - request.densities[0]] if entry.method == "dense" else [entry.sparsity],
            seeds=[entry.seed],
            metrics=list(request.metrics),
            budget=request.budget,
            store=store,
            ood=list(request.task.data.ood) if request.ood_replaced else None,
            concepts=request.task.data.concepts if request.concepts_replaced else None,
            corruptions=request.spec.evaluate.corruption_source if request.corruptions_replaced else None,
            **options,
        )
        key = ["method", "sparsity", "seed", "score", "variant"]
        both = scores.merge(again, on=key, suffixes=("", "_again"))
        beside = {m.name for m in map(partial(registry.get, Metric), request.metrics) if m.rival}
        # What stands for dense there is another seed's network, which is not run again.
        both = both[(both["variant"] == "") & ~((both["method"] == "dense") & both["metric"].isin(beside))]
        if both.empty:
            wrong.append(f"{named(entry)}: the run has none of its scores")
        for row in both.itertuples():
            score = known[row.score]
            allowed = band(score, row.value_again, row.se_again, spreads.get(row.score, math.nan))
            if not alike(row.value, row.value_again, allowed):
                network = f"{row.method} {row.sparsity:g} seed {row.seed}"
                wrong.append(f"{network}: {row.score} is {row.value:.4g}, run again {row.value_again:.4g}")
    return wrong


def band(score: Score, again: float, error: float, spread: float = math.nan) -> float:
    """How far a score may lie from what running it ``again`` gave, in the score's unit.

    Another processor rounds otherwise and then trains as another seed would. So it is four times the
    standard error of the difference of two trainings: over images, by this run's own ``error``, and over
    seeds, by the ``spread`` of the task's calibration (both NaN where not known; then the tenth of the value
    that is usual). It is never more than the score's practical margin, nor than a tenth of the value where
    the score has none: what differs by more is another finding.
    """
    tenth = 0.1 * abs(again)
    margin = score.margin * (abs(again) if score.relative_margin else 1.0)
    known = [part for part in (error, spread) if math.isfinite(part)]
    noise = 4.0 * math.sqrt(2.0 * sum(part**2 for part in known)) if known else tenth
    return min(noise, margin or tenth) + 1e-9 * abs(again)


def alike(claimed: float, again: float, allowed: float) -> bool:
    """Whether a claimed value is what came of running it again, within what is allowed."""
    if math.isnan(claimed) or math.isnan(again):
        return math.isnan(claimed) and math.isnan(again)
    return claimed == again or abs(claimed - again) <= allowed
