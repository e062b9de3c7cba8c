"""Which network of a checkpoint is meant: the one that fits, the one asked for, or none in silence."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from lthbench.checkpoints import tensor_names
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.tensor_names import RENAMES, Matched, Part
from lthbench.errors import BadInput

Shapes = Mapping[str, torch.Size]

#: Keys of weights from before training, which stand beside those that were trained.
_INITIAL = re.compile(r"(^|[._])(init|initial|initiali[sz]ation|rewind|orig(inal)?)([._]|$)")
#: Names of running statistics, and keys of what has the shapes of weights and is none.
_STATISTICS = re.compile(r"(^|\.)running_(mean|var)$")
_OTHERS = re.compile(
    r"(^|[._])(init(ial)?|rewind|momentum|exp_avg(_sq)?|grad(ient)?s?|velocity|fisher|scores?|importance|buffers?)"
    r"([._]|$)"
)
#: Names of numbers that logits are scaled by after training.
_SCALES = re.compile(r"(^|[._])(temp|temperatures?|logits?_scale)$", re.IGNORECASE)
#: A network whose names have so many first names (a backbone, a head) is put together.
PARTS = 3


@dataclass(frozen=True)
class Candidate:
    """A network in a checkpoint: it has all tensors that are wanted.

    ``key`` is the way to it ("" for all of the file), ``used`` the names of the tensors read, ``extra``
    those that stand among them and belong to no network wanted, ``shaped`` whether all shapes are right,
    ``passed`` the floating-point tensors beside them that are passed over: see ``_beside``.
    """

    key: str
    matched: Matched
    used: frozenset[str]
    extra: tuple[str, ...]
    shaped: bool
    passed: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it can be read as it is."""
        return self.shaped and not self.extra

    @property
    def shown(self) -> str:
        """The key as messages have it."""
        return self.key or ". (the whole file)"


def choose(
    found: Checkpoint, target: Shapes, network: str, key: str | None = None, *, lenient: bool = False
) -> tuple[Candidate, list[str]]:
    """The network of a checkpoint that is wanted, and the keys of the others that it holds.

    Raises BadInput where none fits, with an account, and where several do that are not the same and ``key``
    says nothing. ``network`` says in words what was looked for; where ``lenient``, the only network of a file
    is the one that is meant, whatever ``key`` says.
    """
    parts, homes = _parts(found)
    every = _candidates(parts, homes, target)
    fitting = [c for c in every if c.fits]
    if key is not None and not (lenient and len(fitting) == 1):
        asked = _asked(every, fitting, key)
        if asked is not None:
            return asked, [c.shown for c in fitting if c.used != asked.used]
        inside = {n: p for n, p in parts.items() if key == "." or n == key or n.startswith(f"{key}.")}
        if not inside:
            raise _no_key(found.where, key, [c.key for c in every], homes)
        raise _misfit(inside, homes, target, f"{found.where}, {key}", network)
    if not fitting:
        error = _misfit(parts, homes, target, found.where, network)
        inner = [c for c in every if c.shaped and _asked([c], [], c.key or ".") is not None]
        if inner:
            error.args = (f"{error}\n  To read {inner[0].shown} by itself: --key {inner[0].key or '.'}",)
        raise error
    trained = [c for c in fitting if not _INITIAL.search(c.key)] or fitting
    first = trained[0]
    twins = _twins(found, parts, every, target)
    if twins and all(_same(first, c) for c in trained[1:]):
        raise BadInput(
            f"{found.where}: holds {first.shown} and, without running statistics or names, the parameters of "
            f"the same network again: {', '.join(twins[:8])}. If {first.shown} is what counts, say so: --key "
            f"{first.key or '.'} (key= in Python); else save the network whole."
        )
    if all(_same(first, c) for c in trained[1:]):
        return first, [c.shown for c in fitting if c is not first]
    listed = ", ".join(c.shown for c in trained[:8])
    raise BadInput(
        f"{found.where}: holds several networks that fit: {listed}. Say which with --key KEY "
        "(key= in Python); an average of weights (EMA, SWA) is what its users score."
    )


def _twins(found: Checkpoint, parts: Mapping[str, Part], every: list[Candidate], target: Shapes) -> list[str]:
    """Where a checkpoint keeps the same parameters again, without running statistics or without names.

    As averages of weights do. They cannot be read by themselves, but may be what its users score.
    """
    shapes = {n: s for n, s in target.items() if not tensor_names.idle(n) and not _STATISTICS.search(n)}
    held = [place for place, listed in found.lists.items() if listed == tuple(shapes.values())]
    known = {name for c in every for name in c.used}
    for names in RENAMES:
        renamed = {tensor_names.renamed(n, names): p for n, p in parts.items() if n not in known}
        counts = Counter(p for n in renamed for p in tensor_names.prefixes(n, shapes))
        whole = (p for p, count in counts.items() if count == len(shapes))
        alike = (p for p in whole if all(renamed[p + n].tensor.shape == s for n, s in shapes.items()))
        held += [p.rstrip(".") for p in alike]
    return [place for place in dict.fromkeys(held) if not _OTHERS.search(place)]


def _parts(found: Checkpoint) -> tuple[dict[str, Part], dict[str, str]]:
    """The parameters of a checkpoint, pruned ones as one, without wrappers' names; and where each stands."""
    grouped: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in found.tensors.items():
        home = found.homes.get(name, "")
        grouped.setdefault(home, {})[name.removeprefix(f"{home}.") if home else name] = tensor
    parts: dict[str, Part] = {}
    homes: dict[str, str] = {}
    for home, tensors in grouped.items():
        plain = tensor_names.folded(tensor_names.unwrapped(tensors), found.where)
        for name, part in tensor_names.joined(plain).items():
            full = f"{home}.{name}" if home else name
            parts[full], homes[full] = part, home
    return parts, homes


def _candidates(parts: Mapping[str, Part], homes: Mapping[str, str], target: Shapes) -> list[Candidate]:
    """All networks that a checkpoint holds whole, each once, in the order of the file."""
    wanted = {name for name in target if not tensor_names.idle(name)}
    found: dict[frozenset[str], Candidate] = {}
    for names in RENAMES:
        told = {name: tensor_names.renamed(name, names) for name in parts}
        often = Counter(told.values())  # two tensors of one name: of neither is it the name
        renamed = {new: name for name, new in told.items() if often[new] == 1}
        counts = Counter(p for n in renamed for p in tensor_names.prefixes(n, wanted))
        whole = [p for p, count in counts.items() if count == len(wanted)]
        for prefix in whole:
            _add(found, _single(parts, homes, target, names, renamed, prefix))
        if not whole:
            joined = _joined(parts, homes, target, names, renamed, wanted)
            if joined is not None:
                _add(found, joined)
    every = list(found.values())
    return [replace(c, extra=_alone(c, every)) for c in every]


def _add(found: dict[frozenset[str], Candidate], new: Candidate) -> None:
    old = found.get(new.used)
    if old is None or len(new.extra) < len(old.extra):
        found[new.used] = new


def _alone(one: Candidate, every: Iterable[Candidate]) -> tuple[str, ...]:
    """What is over in a candidate and is no part of another one."""
    others = set().union(*(c.used for c in every if c is not one))
    ways = [f"{c.key}." for c in every if c is not one and c.key and not one.key.startswith(c.key)]
    return tuple(n for n in one.extra if n not in others and not n.startswith(tuple(ways)))


def _single(
    parts: Mapping[str, Part],
    homes: Mapping[str, str],
    target: Shapes,
    names: str,
    renamed: Mapping[str, str],
    prefix: str,
) -> Candidate:
    """The network whose names all begin with ``prefix``."""
    own = {n.removeprefix(prefix): full for n, full in renamed.items() if n.startswith(prefix)}
    used = {n: full for n, full in own.items() if n in target}
    places = {homes[full] for n, full in used.items() if not tensor_names.idle(n)}
    nested = len(places) > 1
    near = {n: f for n, f in renamed.items() if (n.startswith(prefix) if nested else homes[f] in places)}
    place = "" if nested else next(iter(places))
    return _candidate(parts, target, names, (prefix,), used, near, place)


def _joined(
    parts: Mapping[str, Part],
    homes: Mapping[str, str],
    target: Shapes,
    names: str,
    renamed: Mapping[str, str],
    wanted: set[str],
) -> Candidate | None:
    """The network whose parts have first names of their own: "backbone." and "head."."""
    left, used, first = set(wanted), dict[str, str](), list[str]()
    for _ in range(PARTS):
        covers = Counter(p for n in renamed for p in tensor_names.prefixes(n, left))
        best = covers.most_common(2)
        if not best or (len(best) > 1 and best[0][1] == best[1][1]):
            return None
        prefix = best[0][0]
        first.append(prefix)
        used |= {n: renamed[prefix + n] for n in left if prefix + n in renamed}
        left -= used.keys()
        if not left:
            places = {homes[full] for full in used.values()}
            if len(places) > 1:
                return None
            near = {n: full for n, full in renamed.items() if homes[full] in places}
            return _candidate(parts, target, names, tuple(first), used, near, next(iter(places)))
    return None


def _candidate(
    parts: Mapping[str, Part],
    target: Shapes,
    names: str,
    first: tuple[str, ...],
    used: Mapping[str, str],
    near: Mapping[str, str],
    place: str,
) -> Candidate:
    """A candidate out of the tensors ``used`` by name, and those ``near``; ``first`` begins its names."""
    normalization: dict[str, tuple[float, ...]] = {}
    extra, passed = [], []
    taken = set(used.values())
    for name, full in near.items():
        prefix = next((p for p in first if name.startswith(p)), None)
        own = name.removeprefix(prefix or "")
        kind = tensor_names.normalizes(own, parts[full], target)
        if full in taken or tensor_names.idle(own):
            continue
        if _beside(own, prefix is not None, parts[full], kind):
            passed.append(full)
        elif kind:
            normalization[kind] = tuple(parts[full].tensor.detach().double().flatten().tolist())
        else:
            extra.append(full)
    shapes = ((parts[full].tensor.shape, target[n]) for n, full in used.items() if not tensor_names.idle(n))
    inner = [p.removeprefix(f"{place}.") if place else p for p in first]
    matched = Matched({n: parts[full] for n, full in used.items()}, names, " + ".join(inner), normalization)
    key = first[0].rstrip(".") if len(first) == 1 else place
    passed += [n for n, part in parts.items() if scales(n) and part.tensor.dim() < 2 and n not in taken]
    floats = [n for n in dict.fromkeys(passed) if parts[n].tensor.is_floating_point() and n not in extra]
    told = sorted(floats, key=lambda n: not scales(n))  # what is worth most comes first
    return Candidate(
        key, matched, frozenset(taken), tuple(extra), all(a == b for a, b in shapes), tuple(told)
    )


def scales(name: str) -> bool:
    """Whether a tensor is called as one is that logits are scaled by."""
    return _SCALES.search(name) is not None


def _beside(name: str, own: bool, part: Part, kind: str | None) -> bool:
    """Whether a tensor is what scripts keep beside weights: a number, a counter, a state of a generator.

    Outside of the network's first names, also a vector: the weights of classes in a loss.
    """
    plain = not part.tensor.is_floating_point() or part.tensor.numel() <= 1
    if kind:
        return False
    return plain and "." not in name if own else plain or part.tensor.dim() < 2


def _asked(every: list[Candidate], fitting: list[Candidate], key: str) -> Candidate | None:
    """The one candidate that a key means: it, or the only one below it. One that was asked for may have more
    beside it.
    """
    key = "" if key == "." else key.rstrip(".")
    for group in (fitting, [c for c in every if c.shaped]):
        exact = [c for c in group if c.key == key]
        below = [c for c in group if key and c.key.startswith(f"{key}.")]
        chosen = exact or below
        if len(chosen) == 1:
            way = f"{chosen[0].key}." if chosen[0].key else ""
            inside = [n for n in chosen[0].extra if n.startswith(way)]
            if not inside:
                return chosen[0]
    return None


def _same(first: Candidate, other: Candidate) -> bool:
    """Whether two candidates hold the same numbers."""
    mine, theirs = first.matched.parts, other.matched.parts
    return mine.keys() == theirs.keys() and all(
        torch.equal(a, b) if a is not None and b is not None else a is b
        for n in mine
        for a, b in zip(mine[n][:2], theirs[n][:2], strict=True)
    )


def _no_key(where: str, key: str, held: list[str], homes: Mapping[str, str]) -> BadInput:
    keys = list(dict.fromkeys([k or "." for k in held] + [h for h in homes.values() if h]))
    near = difflib.get_close_matches(key, keys, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return BadInput(f"{where}: has no network {key!r}.{meant} It has {', '.join(keys[:8]) or 'one alone'}.")


def _misfit(
    parts: Mapping[str, Part], homes: Mapping[str, str], target: Shapes, where: str, network: str
) -> BadInput:
    """Why nothing in a checkpoint is the network wanted: the account of what comes nearest to it."""
    places = list(dict.fromkeys(homes[n] for n in parts))
    groups = {
        p: {n.removeprefix(f"{p}.") if p else n: parts[n] for n in parts if homes[n] == p} for p in places
    }
    groups = {p: g for p, g in groups.items() if len(g) > 1 or len(groups) == 1}
    if len(places) > 1:
        groups = {"": dict(parts), **{p: g for p, g in groups.items() if p}}
    best = min(groups, key=lambda p: tensor_names.left_over(groups[p], target))
    shown = f"{where}, {best}" if best and len(groups) > 1 else where
    said = tensor_names.account(groups[best], target, shown, network) or f"{shown}: does not hold {network}."
    held = [p for p in places if p]
    more = f"\n  It has tensors at {', '.join(held[:8])}; choose with --key." if len(held) > 1 else ""
    return Misfit(said + more, groups[best])


class Misfit(BadInput):
    """A checkpoint holds another network: ``parts`` are those of what came nearest."""

    def __init__(self, said: str, parts: Mapping[str, Part]):
        super().__init__(said)
        self.parts = parts
