"""Whether a bundle's run.json tells what its command and its results give: it says how a table is judged.

Environments, seconds, and what masks keep are taken as they come; no verdict reads them. So is the rule that
pages were drawn by: the verdict by each rule follows from the table.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from lthbench import textfiles
from lthbench._version import __version__
from lthbench.errors import BadInput, unknown
from lthbench.planning.plan import Plan
from lthbench.results import plugin_facts, run_facts
from lthbench.results.merge import meant
from lthbench.results.plugin_facts import PluginFacts
from lthbench.results.run_facts import RunFacts
from lthbench.store.artifacts import SCORES
from lthbench.store.base import ResultReader
from lthbench.verdict.rules import HEADLINE, RULES
from lthbench.verdict.until_decided import why_ended

if TYPE_CHECKING:
    import pandas as pd

#: The parts of run.json that are records, whose fields this version knows; requests are read strictly.
_RECORDS = ("data", "plugins", "aspects", "scores", "networks")


def check_known(content: bytes, facts: RunFacts) -> None:
    """Raise BadInput for a field of run.json that this version does not know, and so cannot check."""
    told, known = textfiles.values(content), facts.to_json()
    parts = (name for part in _RECORDS for name in _strange(told.get(part), known.get(part), part))
    odd = next(chain(facts.more, parts), None)
    if odd is not None:
        raise BadInput(
            f"run.json: {odd[:100]!a} is no field that lthbench {__version__} knows: it was added by hand, "
            "or by a later version, which can check it."
        )


def _strange(told: Any, known: Any, where: str) -> Iterator[str]:
    """The fields of records, in lists or by name, that were not read."""
    if isinstance(told, Mapping) and isinstance(known, Mapping):
        for name, part in told.items():
            if name in known:
                yield from _strange(part, known[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    elif isinstance(told, list) and isinstance(known, list):
        for place, (one, other) in enumerate(zip(told, known, strict=True)):
            yield from _strange(one, other, f"{where}[{place}]")


def check_judged(scores: pd.DataFrame, facts: RunFacts) -> None:
    """Raise BadInput for a rule that is none, and where the table gives another end of adding seeds."""
    from lthbench.report.summary import summarise

    if facts.rule not in ("", *RULES):
        raise BadInput(f"run.json: {unknown('rule', facts.rule, RULES)}")
    if not facts.ended:
        return
    if facts.looks is None:
        raise BadInput("run.json: ended was changed: its command adds no seeds until all is decided.")
    most = max(request.most_seeds for request in facts.requests)
    why = why_ended(summarise(scores, facts).verdicts[HEADLINE], len(facts.seeds), most)
    if facts.ended != why:
        raise BadInput(
            f"run.json: ended was changed, or is of a version that judges otherwise: its table gives: {why}"
        )


def check_asked(facts: RunFacts, made: Plan, changed: list[str]) -> None:
    """Raise BadInput for what its command does not give.

    ``changed`` is what an earlier version made otherwise; that its verdict asked for fewer scores is added.
    """
    for part, value in run_facts.asked(made).items():
        if meant(part, value) == meant(part, getattr(facts, part)):
            continue
        if not changed or not _asked_for_fewer(part, getattr(facts, part), value):
            raise BadInput(f"run.json: {part} was changed: its command asks for other ones.")
        changed.append("its verdict asks for fewer scores")
    if facts.classes not in (0, made.request.classes):
        raise BadInput("run.json: classes was changed: its task has other ones.")
    if facts.plugins and _named(facts.plugins) != _named(plugin_facts.plugins(made.request)):
        raise BadInput("run.json: plugins was changed: its command names other ones.")
    if not changed and facts.dense_keys is None:  # no table without them is judged by a calibration
        raise BadInput("run.json: dense_keys is missing: every version that makes bundles has written it.")
    if not changed and facts.dense_keys != run_facts.dense_keys(made):
        raise BadInput("run.json: dense_keys was changed: its command gives other ones.")
    if not changed and set(facts.networks) != set(run_facts.networks(made)):
        raise BadInput("run.json: networks was changed: its command gives other ones.")
    if facts.calibration is not None:
        raise BadInput("run.json: has a calibration; a task that ships is judged by the one it ships with.")
    if facts.checkpoints:
        raise BadInput("run.json: given: tells of networks made elsewhere; its command makes all of them.")


def _named(plugins: tuple[PluginFacts, ...]) -> set[tuple[str, str]]:
    """Which plug-ins these are: what they were made of stands in the keys of steps."""
    return {(p.kind, p.name) for p in plugins}


def check_collapsed(facts: RunFacts, made: Plan, results: ResultReader) -> None:
    """Raise BadInput where masks are said to leave other layers empty than the results of networks tell."""
    for entry in made.entries:
        network = facts.network(entry.method, entry.sparsity, entry.seed)
        known = [SCORES.read(results, m)["degenerate"] for m in entry.measures if results.has(m)]
        told = {why for reasons in known for why in reasons if re.fullmatch("layer .* is empty", why)}
        layers = facts.empty_layers(network) if network else ()
        # In the words of ``execution.measure``.
        if known and told != {f"layer {layer.removesuffix('.weight')} is empty" for layer in layers}:
            raise BadInput(
                f"run.json: masks: other layers of {entry.method} at {entry.sparsity:g}, seed {entry.seed}, "
                "are empty than its results tell."
            )


def _asked_for_fewer(part: str, old: Any, new: Any) -> bool:
    """Whether the verdict of an earlier version asked for fewer scores, and all else was as it is now."""
    if part == "aspects":
        return all(aspect in new for aspect in old)
    if part != "scores" or len(old) != len(new):
        return False
    judged = {"margin", "relative_margin", "margin_reason", "slack", "spread_of", "verdict"}

    def plain(score: Any) -> dict[str, Any]:
        return {k: v for k, v in dataclasses.asdict(score).items() if k not in judged}

    by_name = {score.name: score for score in old}  # those of the verdict come first, and are others
    pairs = [(by_name.get(now.name), now) for now in new]
    return all(
        was == now or (was and now.verdict and not was.verdict and plain(was) == plain(now))
        for was, now in pairs
    )
