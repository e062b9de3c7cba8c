"""One network out of a checkpoint: its weights and mask, checked, as a step that a store can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lthbench import masks, registry
from lthbench.checkpoints import (
    activations,
    choice,
    googlenet,
    mask_reading,
    modules,
    other_formats,
    precision,
    quantised,
    skeletons,
    smaller,
    tensor_names,
)
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.quantised import Stored
from lthbench.checkpoints.tensor_names import Part
from lthbench.errors import BadInput
from lthbench.global_state import kept
from lthbench.inference.folding import normalised
from lthbench.kinds import Architecture
from lthbench.masks.expansion import Narrower, narrower
from lthbench.planning.digests import digest
from lthbench.spec import Given, Network, as_sparsity, round_density

#: A dense network has a smaller share of zeros than this.
DENSE = 0.1
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
        read += f", {a['pixels']}"
        note = f"; {a['zeroed']:,} weights set to zero by the mask" if a["zeroed"] else ""
        if a.get("passed"):
            note += f"; passed over: {', '.join(a['passed'])}"
            if any(map(choice.scales, a["passed"])):
                note += " (logits are not scaled by it: ECE and NLL are those of the network without it)"
        return f"{a['file']}: {removed}{read}{note}"


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
    fit = _fit(found, network, skeleton, key, dense)
    if isinstance(fit, Network):
        return _of_full_size(take(fit, found, given_mask, normalization, key=key), skeleton)
    matched = fit.chosen.matched
    held = googlenet.pixels(network, found, matched.normalization, told=normalization is not None)
    own = _normalized(network, held, normalization, where)
    pixels = _pixels(own, network)
    network = own
    parts = smaller.wide(matched.parts, target, fit.narrower)
    model = skeletons.skeleton(architecture, network)
    kinds = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    weights = {name: _weights(parts[name], name, kinds[name], where) for name in target if name in parts}
    prunable = tuple(n for n in masks.prunable(model) if n in weights)
    stored = precision.stored(found, matched.parts, made)
    mask, source = mask_reading.mask_of(parts, weights, list(prunable), found, fit.chosen.key, given_mask)
    mask, source = _meant(mask, source, fit, prunable, stored)
    own_weights = dict(weights)
    mask, zeroed = _set_to_zero(weights, mask, skeletons.names(model))
    mask, density = _removed(mask, weights, prunable, dense, where)
    homes = activations.layers(found.tensors, matched.parts, made)
    rounded, told = activations.placed(
        found.activations, homes, model, normalised=bool(matched.normalization)
    )
    account = {
        "file": where,
        "sha256": found.sha256,
        "names": matched.names,
        "prefix": matched.prefix,
        "key": fit.chosen.key,
        "others": fit.others[:8],
        "aside": list(found.aside[:8]),
        **({"passed": list(fit.chosen.passed[:8])} if fit.chosen.passed else {}),
        "mask": source if mask is not None else "",
        "sparsity": as_sparsity(density),
        "zeros": sum(int((weights[n] == 0).sum()) for n in prunable),
        "zeroed": zeroed if given_mask is not None else 0,
        "pixels": pixels,
        **_bits(stored),
        **({"activations": told} if told else {}),
    }
    ways = tuple((name, stored[name].bits, stored[name].beside) for name in sorted(stored)) or None
    kept_share = round_density(density) if mask is not None else None
    step = Given(network, digest(weights, mask), kept_share, stored=ways, activations=rounded)
    rest = _not_stored(model, network, weights)
    if found.module is not None and not any(map(choice.scales, fit.chosen.passed)):
        compared = _compared(found.module, fit, key)
        shown = weights if given_mask is None else own_weights  # which its output lacks
        takes = googlenet.OF_IMAGENET if found.pixels else {}
        modules.hold_to_its_output(compared, network, {**rest, **shown}, takes, where)
    return Taken(step, {**rest, **weights}, mask, account, dense, prunable)


@dataclass(frozen=True)
class _Fit:
    """The network of a checkpoint that is meant, the keys of the ``others`` in it, and how narrow it is."""

    chosen: choice.Candidate
    others: list[str]
    narrower: Narrower | None


def _compared(module: torch.nn.Module, fit: _Fit, key: str | None) -> torch.nn.Module:
    """The part of a module whose output is that of the network that is meant.

    All of it, unless ``key`` names a part, or it holds several networks.
    """
    asked = None if key is None else key.rstrip(".")
    if asked is not None and f"{fit.chosen.key}.".startswith(f"{asked}." if asked else ""):
        places = [asked, fit.chosen.key]
    else:  # the only network of a dense parent, which the key does not mean
        places = [fit.chosen.key] if fit.others else []
    named = list(module.named_modules(remove_duplicate=False))
    parts = {tensor_names.inner(name): part for name, part in reversed(named)} | dict(named)
    return next((parts[place] for place in places if place in parts), module)


def _fit(
    found: Checkpoint, network: Network, skeleton: torch.nn.Module, key: str | None, dense: bool
) -> _Fit | Network:
    """How a checkpoint fits a network, or the network of other widths that it fits. Raises BadInput."""
    target = skeletons.shapes(skeleton)
    wanted = (
        f"a {network.architecture} for {network.classes} classes of "
        f"{network.channels} x {network.size} x {network.size} images"
    )
    try:
        return _Fit(*choice.choose(found, target, wanted, key, lenient=dense), None)
    except choice.Misfit as error:
        said, unread = str(error), error.parts  # the error itself would keep all tensors in memory
    if not dense:
        shapes = {n: p.tensor.shape for n, p in tensor_names.nearest(unread, target).parts.items()}
        other = smaller.of_other_widths(registry.get(Architecture, network.architecture), network, shapes)
        if other is not None:
            return other
        left = narrower(skeleton, shapes)
        if left is not None:
            return _Fit(*choice.choose(found, left.shapes(target), wanted, key), left)
    more = skeletons.others(unread, network) or _own_architecture(unread, target)
    more += other_formats.of_a_shard(found.where)
    passed = f"\n  Not read: {'; '.join(found.aside[:4])}" if found.aside else ""
    raise BadInput(f"{said}{more}{passed}") from None


def _own_architecture(parts: Mapping[str, Part], target: Mapping[str, torch.Size]) -> str:
    """How a network of no architecture here is scored; "" where most tensors are those of the task's."""
    there = tensor_names.nearest(parts, target).parts
    fitting = sum(n in there and there[n].tensor.shape == shape for n, shape in target.items())
    if 2 * fitting >= len(target):
        return ""
    return (
        "\n  An architecture that lthbench lacks is a file of your own, which a task names: --plugin FILE "
        "(docs/plugins.md)"
    )


def _meant(
    mask: masks.Mask | None,
    source: str,
    fit: _Fit,
    prunable: Iterable[str],
    stored: Mapping[str, Stored],
) -> tuple[masks.Mask | None, str]:
    """The mask without zeros that rounding made, and with the units that narrower layers lack; its source."""
    own_size = (fit.chosen.matched.parts[n].tensor for n in prunable)  # without zeros around narrower ones
    coarse = any(0 < how.bits <= 8 for how in stored.values())
    if source == mask_reading.ZEROS and precision.rounded_to_zero(own_size, coarse):
        mask, source = None, ""
    if fit.narrower is None:
        return mask, source
    own = mask or {}
    both = {name: held & own.get(name, held) for name, held in fit.narrower.mask.items()}
    return both, f"narrower layers{f' and {source}' if own else ''}"


def _set_to_zero(
    weights: dict[str, torch.Tensor], mask: masks.Mask | None, names: Mapping[str, Sequence[str]]
) -> tuple[masks.Mask | None, int]:
    """Apply a mask to the weights, by all their ``names``.

    Returns it by the first of these, and how many of those it removes were not zero.
    """
    count, found = 0, masks.Mask()
    for name, held in (mask or {}).items():
        first = names.get(name, [name])[0]
        found[first] = found[first] & held if first in found else held
    for first, held in found.items():
        count += int(((weights[first] != 0) & ~held).sum())
        for name in names.get(first, [first]):
            weights[name] = weights[name].masked_fill(~held, 0.0)
    return found if mask is not None else None, count


def _removed(
    mask: masks.Mask | None,
    weights: Mapping[str, torch.Tensor],
    prunable: Sequence[str],
    dense: bool,
    where: str,
) -> tuple[masks.Mask | None, float]:
    """The mask, None where it removes nothing, and the density. Raises BadInput for one that cannot be."""
    total = sum(weights[n].numel() for n in prunable)
    kept = total if mask is None else sum(int(mask[n].sum()) for n in prunable)
    if dense and kept < (1 - DENSE) * total:
        raise BadInput(f"{where}: is not dense: {100 - 100 * kept / total:.1f} % of its weights are pruned.")
    if not dense and kept == 0:
        raise BadInput(f"{where}: its mask keeps nothing of the prunable weights.")
    if dense or all(bool(held.all()) for held in (mask or {}).values()):  # a second training, or a control
        return None, 1.0
    return mask, kept / total


def _bits(stored: Mapping[str, Stored]) -> dict[str, list[int]]:
    """Of how many bits numbers were stored, for the account: of integers, and of floats."""
    found = {}
    for what, floats in (("quantised", False), ("floats", True)):
        bits = {how.bits for how in stored.values() if how.bits and how.floats == floats}
        if bits:
            found[what] = sorted(bits)
    return found


def _not_stored(model: torch.nn.Module, network: Network, weights: Container[str]) -> dict[str, torch.Tensor]:
    """The tensors of a network that no checkpoint needs to hold: how pixels are normalised, and counters."""
    numbers = {"mean": network.mean, "std": network.std}
    pixels, tensors = skeletons.pixels(model), {}
    for name, value in model.state_dict().items():
        if name in pixels:
            tensor = torch.tensor(numbers[pixels[name]], dtype=value.dtype, device="cpu")
            tensors[name] = tensor.reshape(value.shape)
        elif name not in weights:  # counters, which older files lack
            tensors[name] = torch.zeros(value.shape, dtype=value.dtype, device="cpu")
    return tensors


def _of_full_size(taken: Taken, full: torch.nn.Module) -> Taken:
    """A network of smaller widths, with the share of the ``full`` one's prunable weights that it lacks."""
    total = sum(weight.numel() for weight in masks.prunable(full).values())
    held = taken.mask or {}
    kept = sum(int(held[n].sum()) if n in held else taken.weights[n].numel() for n in taken.prunable)
    account = {"sparsity": as_sparsity(kept / total), "widths": list(taken.step.network.widths or ())}
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


def _pixels(network: Network, of_task: Network) -> str:
    """How a network normalises pixels, for the account."""
    shown = []
    for values in (network.mean, network.std):
        alike = len(set(values)) == 1
        shown.append(", ".join(f"{v:g}" for v in (values[:1] if alike else values)))
    like = "as the task does" if network == of_task else "not as the task does"
    return f"pixels normalised by mean {shown[0]} and standard deviation {shown[1]}, {like}"


def _weights(part: Part, name: str, kind: torch.dtype, where: str) -> torch.Tensor:
    """A tensor of the checkpoint as it is computed with. Its shape has been checked.

    ``kind`` is that of the network's own: buffers of integers or truth values (an order, a window) stay so.
    """
    tensor = part.tensor.detach()
    if not kind.is_floating_point and tensor.dtype == kind:
        return tensor.to("cpu").contiguous().clone()
    if not kind.is_floating_point and not name.endswith("num_batches_tracked"):
        raise BadInput(f"{where}: {name} is {tensor.dtype}; the network has {kind}.")
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
