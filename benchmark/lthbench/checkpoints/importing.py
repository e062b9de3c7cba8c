"""Networks that were pruned elsewhere: their weights and masks, checked, as steps that a store can hold."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lthbench import masks, registry
from lthbench.checkpoints import (
    activations,
    choice,
    files,
    mask_reading,
    other_formats,
    precision,
    quantised,
    skeletons,
    smaller,
    tensor_names,
)
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.tensor_names import Part
from lthbench.compute.environment import environment
from lthbench.errors import BadInput
from lthbench.global_state import kept
from lthbench.inference.folding import normalised
from lthbench.kinds import Architecture, Method
from lthbench.masks.expansion import narrower
from lthbench.spec import Given, Network, Weights, round_density
from lthbench.store import Store
from lthbench.store.artifacts import MASK, WEIGHTS

#: By how much the sparsities of networks of one method may differ; a dense network has fewer zeros than this.
ALIKE, DENSE = 0.005, 0.1
#: What is said of a network of which no weight is exactly zero, and which has no mask.
NOTHING = "nothing removed (a mask of its own is named with --mask FILE)"


@dataclass(frozen=True)
class Taken:
    """A network as it was taken in: the step, its tensors, and the account of how it was read.

    ``parent`` says that it stands for a dense parent; ``prunable`` are the names of its prunable weights.
    """

    step: Given
    weights: dict[str, torch.Tensor]
    mask: masks.Mask | None
    account: dict[str, Any]
    parent: bool = False
    prunable: tuple[str, ...] = ()

    def text(self) -> str:
        """The account in a line."""
        a = self.account
        key = a["key"] and f"read from {a['key']}" + (
            f", not from {', '.join(a['others'])}" * bool(a["others"])
        )
        read = "".join(
            f", {part}" for part in (key, a["names"] and f"names of {a['names']}", a["mask"]) if part
        )
        nothing = "dense" if self.parent else NOTHING
        removed = f"{100 * a['sparsity']:.2f} % of prunable weights removed" if self.mask else nothing
        if a.get("widths"):
            fewer = f"{100 * a['sparsity']:.2f} % fewer prunable weights"
            removed = f"widths {'-'.join(map(str, a['widths']))}, {fewer}"
        if a.get("quantised"):
            removed += f", quantised to {' and '.join(map(str, a['quantised']))} bits"
        if a.get("floats"):
            removed += f", floats of {' and '.join(map(str, a['floats']))} bits"
        if a.get("activations"):
            removed += f", {a['activations']['said']}"
        note = f"; {a['zeroed']:,} weights set to zero by the mask" if a["zeroed"] else ""
        return f"{a['file']}: {removed}{read}{note}"


@dataclass(frozen=True)
class Brought:
    """Networks made elsewhere: ``pruned`` by seed, and their ``dense`` parents if these were given."""

    name: str
    pruned: Mapping[int, Taken]
    dense: Mapping[int, Taken]

    @property
    def sparsity(self) -> float:
        """The mean sparsity of the pruned networks, as it stands in the table."""
        found: list[float] = [t.account["sparsity"] for t in self.pruned.values()]
        return round(found[0] if len(set(found)) == 1 else sum(found) / len(found), 12)

    @property
    def networks(self) -> Mapping[str, Mapping[int, Weights]]:
        """The steps, by method and seed."""
        steps: dict[str, dict[int, Weights]] = {self.name: {s: t.step for s, t in self.pruned.items()}}
        if self.dense:
            steps["dense"] = {s: t.step for s, t in self.dense.items()}
        return steps

    def publish(self, store: Store) -> None:
        """Put into a store what it does not hold."""
        publish(store, (*self.pruned.values(), *self.dense.values()))

    def accounts(self) -> list[dict[str, Any]]:
        """The account of each network, for ``run.json``."""
        groups = ((self.name, self.pruned), ("dense", self.dense))
        return [
            {"method": n, "seed": s, "network": t.step.key, **t.account}
            for n, g in groups
            for s, t in g.items()
        ]


def publish(store: Store, networks: Iterable[Taken]) -> None:
    """Put into a store what it does not hold of networks that were taken in."""
    for taken in networks:
        if not store.has(taken.step):
            files = {WEIGHTS.name: WEIGHTS.encode(taken.weights)}
            meta: dict[str, Any] = {"seconds": 0.0, "environment": environment(torch.device("cpu"))}
            if taken.mask is not None:
                files[MASK.name] = MASK.encode(taken.mask)
                meta |= masks.counted(taken.mask, taken.prunable)
            store.put(taken.step, files, {**meta, "given": taken.account, "read": time.time()})


def brought(
    name: str,
    network: Network,
    pruned: Sequence[Any],
    dense: Sequence[Any],
    given_masks: Sequence[Any],
    seeds: Sequence[int],
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None,
    key: str | None = None,
) -> Brought:
    """Take in networks: paths, modules or state dicts, one for each seed. Raises BadInput where one is unfit.

    ``dense`` are parents of the same order, or none; ``given_masks`` as many masks as networks, or none.
    ``normalization`` is the mean and standard deviation that the networks expect their pixels normalised by;
    None: what stands in the file, or else the task's. ``key`` says which network of a file that holds
    several; of a parent's file, too, unless it holds one.
    """
    check_name(name)
    count = len(pruned)
    if not count:
        raise BadInput("give at least one network.")
    for what, found in (("dense parents", dense), ("masks", given_masks), ("seeds of parents", seeds)):
        if found and len(found) != count:
            raise BadInput(f"{count} networks need {count} {what}, one for each; got {len(found)}.")
    wanted = [None] * len(pruned) if not given_masks else list(given_masks)
    taken = [
        take(network, files.of(p, "checkpoint"), m, normalization, key=key)
        for p, m in zip(pruned, wanted, strict=True)
    ]
    parents = [take(network, files.of(d, "dense"), None, normalization, dense=True, key=key) for d in dense]
    sparsities = [t.account["sparsity"] for t in taken]
    if max(sparsities) - min(sparsities) > ALIKE:
        listed = ", ".join(f"{100 * s:.2f} %" for s in sparsities)
        raise BadInput(
            f"networks of one name must have one sparsity; these have {listed}. Score each on its own: "
            "lthbench report FIRST SECOND --out DIR puts tables together."
        )
    keys = [t.step.key for t in taken]
    if len(set(keys)) < len(keys):
        raise BadInput("the same network is given twice; give networks of different seeds.")
    return Brought(
        name,
        dict(zip(seeds, taken, strict=True)),
        dict(zip(seeds, parents, strict=True)) if parents else {},
    )


def check_name(name: str) -> None:
    """Raise BadInput for a name that cannot stand in the table."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise BadInput(f"name: letters, digits, '-', '_' and '.' only, at most 64, got {name!r}.")
    if name in registry.names(Method):
        raise BadInput(f"name: {name} is a method of lthbench; give another one with --name.")


def take(
    network: Network,
    found: Checkpoint,
    given_mask: Any = None,
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    *,
    dense: bool = False,
    key: str | None = None,
) -> Taken:
    """One network out of a checkpoint: that at ``key``. Raises BadInput, naming the file and the tensor."""
    where = found.where
    architecture = registry.get(Architecture, network.architecture)
    skeleton = skeletons.skeleton(architecture, network)
    target = skeletons.shapes(skeleton)
    if mask_reading.only_mask(found, list(masks.prunable(skeleton)), target):
        raise BadInput(f"{where}: holds a mask alone; that is for --mask, beside the weights.")
    made: dict[str, str] = {}
    if found.stored or ("running_var" in _last(target) and "running_var" not in _last(found.tensors)):
        found, made = _unfused(found, architecture, network)
    said = (
        f"a {network.architecture} for {network.classes} classes of "
        f"{network.channels} x {network.size} x {network.size} images"
    )
    left = None
    try:
        chosen, others = choice.choose(found, target, said, key, lenient=dense)
    except choice.Misfit as error:
        shapes = {n: p.tensor.shape for n, p in tensor_names.nearest(error.parts, target).parts.items()}
        other = None if dense else smaller.of_other_widths(architecture, network, shapes)
        if other is not None:
            return _of_full_size(take(other, found, given_mask, normalization, key=key), skeleton)
        left = None if dense else narrower(skeleton, shapes)
        if left is None:
            more = skeletons.others(error.parts, network) + other_formats.of_a_shard(where)
            passed = f"\n  Not read: {'; '.join(found.aside[:4])}" if found.aside else ""
            raise BadInput(f"{error}{more}{passed}") from None
        chosen, others = choice.choose(found, left.shapes(target), said, key)
    matched = chosen.matched
    network = _normalized(network, matched.normalization, normalization, where)
    parts = smaller.wide(matched.parts, target, left)
    weights = {name: _weights(parts[name], name, where) for name in target if name in parts}
    model = skeletons.skeleton(architecture, network)
    prunable = [n for n in masks.prunable(model) if n in weights]
    total = kept = sum(weights[n].numel() for n in prunable)
    mask, source = mask_reading.mask_of(parts, weights, prunable, found, chosen.key, given_mask)
    stored = precision.stored(found, matched.parts, made)
    own_size = (matched.parts[n].tensor for n in prunable)  # where narrower layers have no zeros around them
    coarse = any(0 < how.bits <= 8 for how in stored.values())
    if source == mask_reading.ZEROS and precision.rounded_to_zero(own_size, coarse):
        mask, source = None, ""
    if left is not None:
        own = mask or {}
        mask = {name: held & own.get(name, held) for name, held in left.mask.items()}
        source = f"narrower layers{f' and {source}' if own else ''}"
    zeroed = 0
    if mask is not None:
        for name, held in mask.items():
            zeroed += int(((weights[name] != 0) & ~held).sum())
            weights[name] = weights[name].masked_fill(~held, 0.0)
        kept = sum(int(mask[n].sum()) for n in prunable)
    if dense and kept < (1 - DENSE) * total:
        raise BadInput(f"{where}: is not dense: {100 - 100 * kept / total:.1f} % of its weights are pruned.")
    if dense:
        mask, source, kept = None, "", total
    elif kept == 0:
        raise BadInput(f"{where}: its mask keeps nothing of the prunable weights.")
    elif kept == total:  # a second training, say, or a control: nothing was removed
        mask, source = None, ""
    tensors = {
        f"normalize.{k}": torch.tensor(getattr(network, k)).reshape(1, -1, 1, 1) for k in ("mean", "std")
    }
    state = model.state_dict()
    for name in state:
        if name not in weights and name not in tensors:  # counters, which older files lack
            tensors[name] = torch.zeros(state[name].shape, dtype=state[name].dtype)
    density = round_density(kept / total) if mask is not None else None
    account = {
        "file": where,
        "sha256": found.sha256,
        "names": matched.names,
        "prefix": matched.prefix,
        "key": chosen.key,
        "others": others[:8],
        "aside": list(found.aside[:8]),
        "mask": source,
        "sparsity": round_density(1 - kept / total),
        "zeros": sum(int((weights[n] == 0).sum()) for n in prunable),
        "zeroed": zeroed if given_mask is not None else 0,
    }
    for what, floats in (("quantised", False), ("floats", True)):
        bits = {how.bits for how in stored.values() if how.bits and how.floats == floats}
        account |= {what: sorted(bits)} if bits else {}
    homes = activations.layers(found.tensors, matched.parts, made)
    rounded, told = activations.placed(
        found.activations, homes, model, normalised=bool(matched.normalization)
    )
    account |= {"activations": told} if told else {}
    ways = tuple((name, stored[name].bits, stored[name].beside) for name in sorted(stored)) or None
    step = Given(network, digest(weights, mask), density, stored=ways, activations=rounded)
    return Taken(step, {**tensors, **weights}, mask, account, dense, tuple(prunable))


def _of_full_size(taken: Taken, full: torch.nn.Module) -> Taken:
    """A network of smaller widths, with the share of the ``full`` one's prunable weights that it lacks."""
    total = sum(weight.numel() for weight in masks.prunable(full).values())
    held = taken.mask or {}
    kept = sum(int(held[n].sum()) if n in held else taken.weights[n].numel() for n in taken.prunable)
    account = {"sparsity": round_density(1 - kept / total), "widths": list(taken.step.network.widths or ())}
    return dataclasses.replace(taken, account=taken.account | account)


def _last(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def _unfused(
    found: Checkpoint, architecture: Architecture, network: Network
) -> tuple[Checkpoint, dict[str, str]]:
    """A checkpoint with the normalisations that were fused into its convolutions.

    Also returns, for each of their tensors, the name of the bias that it was made of.
    """
    with kept(f"architecture {architecture.name}"):
        skeleton = skeletons.skeleton(architecture, network)
        norms = normalised(skeleton)
    biased = [name for name in norms if f"{name}.bias" in skeleton.state_dict()]
    tensors, origins = quantised.unfused(found.tensors, norms, biased)
    homes = found.homes | {new: found.homes[old] for new, old in origins.items() if old in found.homes}
    return dataclasses.replace(found, tensors=tensors, homes=homes), origins


def digest(weights: Mapping[str, torch.Tensor], mask: masks.Mask | None) -> str:
    """Sha256 (hex) of names, shapes and float32 bytes of the weights, and of the mask."""
    total = hashlib.sha256()
    for name in sorted(weights):
        if weights[name].is_floating_point():
            total.update(f"\n{name} {tuple(weights[name].shape)} ".encode())
            total.update(weights[name].numpy().astype("<f4").tobytes())
    for name in sorted(mask or {}):
        total.update(f"\nmask {name} ".encode() + np.packbits((mask or {})[name].numpy()).tobytes())
    return total.hexdigest()


def _normalized(
    network: Network,
    held: Mapping[str, tuple[float, ...]],
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None,
    where: str,
) -> Network:
    """The network with the normalisation that its weights expect."""
    mean, std = normalization or (held.get("mean", network.mean), held.get("std", network.std))
    for what, values, own in (("mean", mean, network.mean), ("std", std, network.std)):
        if len(values) != network.channels:
            raise BadInput(
                f"{where}: {what} of the pixels: {network.channels} numbers are needed, got {len(values)}."
            )
        if not all(math.isfinite(v) and (v > 0 if what == "std" else v >= 0) and v <= 1 for v in values):
            shown = ", ".join(f"{v:g}" for v in values)
            raise BadInput(
                f"{where}: {what} of the pixels: for pixels from 0 to 1, not {shown}; divide by 255?"
            )
        if np.allclose(values, own, rtol=0, atol=1e-6):  # the same, but for float32
            mean, std = (own, std) if what == "mean" else (mean, own)
    return dataclasses.replace(network, mean=tuple(mean), std=tuple(std))


def _weights(part: Part, name: str, where: str) -> torch.Tensor:
    """A tensor of the checkpoint as it is computed with. Its shape has been checked."""
    tensor = part.tensor.detach()
    if tensor.is_quantized or tensor.is_complex() or tensor.dtype == torch.bool:
        raise BadInput(f"{where}: {name} is {tensor.dtype}; weights must be floating point.")
    tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
    if name.endswith("num_batches_tracked"):
        return tensor.to("cpu", torch.int64).clone()
    if not tensor.is_floating_point():
        raise BadInput(f"{where}: {name} is {tensor.dtype}; weights must be floating point.")
    wide = tensor.to("cpu", torch.float32).contiguous().clone()
    if not bool(torch.isfinite(wide).all()):
        raise BadInput(f"{where}: {name} holds values that are not finite.")
    if name.endswith("running_var") and bool((wide < 0).any()):
        raise BadInput(f"{where}: {name} holds variances below 0.")
    return wide
