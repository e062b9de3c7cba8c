"""Networks of a bundle run again, and what then differs."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
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

#: What tells a network from every other in a table.
_PLACE = ["method", "sparsity", "seed"]
#: Standard errors of two trainings alike differ by a smaller factor.
_ERRORS = 3.0


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
    if request.pretrained is not None:  # what a bundle names is not read
        raise BadInput(
            f"these networks begin with the weights of {request.pretrained}, which a bundle does not hold: "
            "run its command with that file, and compare the tables with lthbench compare."
        )
    calibrated = shipped(request.task.name, request.budget)
    spreads = {n: stdev(s.values) for n, s in calibrated.scores.items()} if calibrated else {}
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
        found = _differences(scores, again, request.metrics, spreads)
        wrong += [f"{named(entry)}: the run has none of its scores"] if found is None else found
    return wrong


def _differences(
    scores: pd.DataFrame, again: pd.DataFrame, metrics: Sequence[str], spreads: Mapping[str, float]
) -> list[str] | None:
    """What differs in the networks that were run ``again``; None where no row can be compared.

    Headlines of all scores are compared. Of what the verdict reads so are variants, statuses, and how many
    images and what errors stand behind a value.
    """
    kinds = [registry.get(Metric, name) for name in metrics]
    known = {s.name: s for m in kinds for s in m.scores}
    read = {n for s in known.values() if s.verdict for n in (s.name, s.spread_of)}
    beside = {m.name for m in kinds if m.rival}

    def compared(table: pd.DataFrame) -> pd.DataFrame:
        # What stands for dense there is another seed's network, which is not run again.
        rival = (table["method"] == "dense") & table["metric"].isin(beside)
        return table[((table["variant"] == "") | table["score"].isin(read)) & ~rival]

    again = compared(again)
    there = again[_PLACE].drop_duplicates()
    both = (
        compared(scores)
        .merge(there, on=_PLACE)
        .merge(
            again, on=[*_PLACE, "score", "variant"], how="outer", suffixes=("", "_again"), indicator="side"
        )
    )
    if not (both["side"] == "both").any():
        return None
    found = []
    for row in both.itertuples():
        score = known[row.score]
        wrong = _difference(row, score, spreads.get(row.score, math.nan), row.score in read)
        if wrong:
            what = f"{row.score} {row.variant}".rstrip()
            found.append(f"{row.method} {row.sparsity:g} seed {row.seed}: {what} {wrong}")
    return found


def _difference(row: Any, score: Score, spread: float, read: bool) -> str:
    """How a row of a bundle is not what running it again gave, within what is allowed, or ""."""
    if row.side != "both":
        return f"is only in the {'bundle' if row.side == 'left_only' else 'run'}"
    allowed = band(score, row.value_again, row.se_again, spread)
    if row.variant:
        allowed = band_of_variant(row.value_again, row.se_again)
    if not alike(row.value, row.value_again, allowed):
        return f"is {row.value:.4g}, run again {row.value_again:.4g}"
    if not read:
        return ""
    if row.status != row.status_again:
        return f"is {row.status}, run again {row.status_again}"
    if row.n != row.n_again:
        return f"is of {row.n:.0f} images, run again of {row.n_again:.0f}"
    image = (score.high - score.low) / max(row.n_again, 1)
    image = image if math.isfinite(image) else 0.0
    for name, error, own in (
        ("", row.se, row.se_again),
        (" of the difference", row.diff_se, row.diff_se_again),
    ):
        if not alike_errors(error, own, image):
            return f"has a standard error{name} of {error:.3g}, run again {own:.3g}"
    return ""


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


def band_of_variant(again: float, error: float) -> float:
    """The same of a variant, as one corruption's: a third of it, or its noise over images if that is more.

    Nothing is known of how it varies over seeds. One without a standard error may be anything.
    """
    return max(abs(again) / 3.0, 4.0 * math.sqrt(2.0) * error) if math.isfinite(error) else math.inf


def alike_errors(claimed: float, again: float, image: float) -> bool:
    """Whether a claimed standard error is what came of running it again, but for a factor.

    Where it is a matter of single images it may be off by what one ``image`` counts.
    """
    if math.isnan(claimed) or math.isnan(again):
        return math.isnan(claimed) and math.isnan(again)
    return max(claimed, again) <= _ERRORS * min(claimed, again) + image
