"""What the dense parents of tables are: networks are put into one table where these are of one kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lthbench.planning.request_record import RequestRecord
from lthbench.results.run_facts import RunFacts


def given(facts: RunFacts) -> bool:
    """Whether the dense networks of a table were trained elsewhere, and given as files."""
    return any(account.get("method") == "dense" for account in facts.checkpoints)


def untrained(facts: RunFacts) -> bool:
    """Whether the dense networks of a table are pretrained weights as they are: one for all seeds."""
    return any(r.start is not None and r.start.is_dense for r in facts.requests)


def unlike(one: RunFacts, other: RunFacts) -> str:
    """How the dense parents of two tables differ, in words; "" where they can stand in one table.

    Keys of measures say what networks and versions a table is of (``run_facts.dense_keys``). Those of
    networks whose last layer is drawn from a seed are compared where both are of the same seed.
    """
    kinds = sorted({_kind(facts) for facts in (one, other)})
    if len(kinds) > 1:
        return f"the dense parents of one are {kinds[0]}, those of another {kinds[1]}"
    mine, theirs = _begun(one), _begun(other)
    named = sorted({str(r.pretrained) for r in (*mine, *theirs)})
    if any(_other_weights(a, b) for a in mine for b in theirs):
        return f"their networks begin with other pretrained weights ({', '.join(named)})"
    keys = one.dense_keys, other.dense_keys
    if keys[0] is None or keys[1] is None:
        older = "one of them was written by an earlier version, which kept no dense_keys"
        return older if keys[0] != keys[1] else ""
    odd = [score for score, key in keys[0].items() if keys[1].get(score, key) != key]
    if odd and _keyed_seed(mine) == _keyed_seed(theirs):
        return (
            f"their dense_keys differ in {', '.join(odd)}: the dense network of one is trained or measured "
            "by other versions"
        )
    return ""


def accounts(several: Iterable[RunFacts]) -> tuple[dict[str, Any], ...]:
    """What is said of files of networks made elsewhere, of each network once."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for account in (account for facts in several for account in facts.checkpoints):
        found.setdefault(tuple(account.get(part) for part in ("method", "seed", "network")), account)
    return tuple(found.values())


def _kind(facts: RunFacts) -> str:
    if given(facts):
        return "given as files (--dense)"
    if untrained(facts):
        return "pretrained weights as they are (--pretrained)"
    return "trained from pretrained weights (--pretrained)" if _begun(facts) else "trained here from scratch"


def _begun(facts: RunFacts) -> tuple[RequestRecord, ...]:
    """The requests whose networks begin with pretrained weights."""
    return tuple(r for r in facts.requests if r.pretrained is not None)


def _other_weights(one: RequestRecord, other: RequestRecord) -> bool:
    """Whether networks begin with other weights. Where no seed is in both, the files' names tell."""
    mine, theirs = one.start, other.start
    if mine is None or theirs is None:
        return _file(one) != _file(other)
    both = mine.digests.keys() & theirs.digests.keys()
    if (mine.mean, mine.std) != (theirs.mean, theirs.std):
        return True
    if both:
        return any(mine.digests[seed] != theirs.digests[seed] for seed in both)
    return _file(one) != _file(other)


def _file(request: RequestRecord) -> str:
    """What pretrained weights are called, without the folder that they lie in on one machine."""
    return re.split(r"[/\\]", str(request.pretrained))[-1]


def _keyed_seed(begun: tuple[RequestRecord, ...]) -> tuple[int, ...]:
    """The seed of the network that dense_keys are of, where that is the first; none where all have one."""
    if not begun or (begun[0].start is not None and begun[0].start.is_dense):
        return ()
    return begun[0].seeds[:1]
