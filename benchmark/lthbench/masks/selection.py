"""Masks: exact global top-k with stable ties, how to apply and count them, and when a layer is empty.

A mask is ``{parameter name: bool tensor of the parameter's shape}``, True where it is kept. Where filters
are removed whole it also holds the parameters, beside convolutions' weights, that go with them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from lthbench.errors import BadInput, StepFailed, unknown

Mask = dict[str, torch.Tensor]


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that can be pruned: those that the network names itself, by ``prunable_weights()``.

    Else of all convolutions, the first one included; not BN, not the head. A weight that layers share is one,
    by its first name. Raises BadInput for what is no parameter.
    """
    own = getattr(model, "prunable_weights", None)
    names = [f"{n}.weight" for n, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    named = dict(model.named_parameters())
    first = {id(parameter): name for name, parameter in named.items()}
    found: dict[str, nn.Parameter] = {}
    for name in names if own is None else own():
        weight = named.get(name)
        if weight is None:
            try:
                weight = model.get_parameter(name)
            except AttributeError as error:
                raise BadInput(
                    f"{name} is to be pruned, and is no parameter of the network. What layers compute "
                    "(weight_norm, spectral_norm, parametrize) cannot be pruned: name those that can by a "
                    "method of the network's module, prunable_weights()."
                ) from error
        found[first[id(weight)]] = weight
    return found


def top(
    scores: Mapping[str, torch.Tensor],
    density: float,
    within: Mapping[str, torch.Tensor] | None = None,
    allocation: str | Mapping[str, int] | None = None,
) -> Mask:
    """Keep the round(density * N) highest of all N scores together, or of each layer with ``allocation``.

    An allocation such as ``2:4`` keeps so many of each group, whatever the density: see ``top_grouped``. It
    may also say itself how many weights each layer keeps. Raises BadInput for a density outside of [0, 1],
    and for more weights than a layer has.

    Ties go to the earlier weight (parameters in the order given, row-major within one), so the count is
    exact and the mask does not depend on the device. With ``within``, only weights that it keeps can be
    kept, so masks nest; asking for more than it holds is an error.
    """
    bad = [name for name, s in scores.items() if not bool(torch.isfinite(s).all())]
    if bad:
        raise StepFailed(f"scores are not finite in {', '.join(bad)}")
    if isinstance(allocation, str) and ":" in allocation:
        return top_grouped(scores, allocation, within)
    if allocation is None:
        return _highest(scores, round(_share(density) * sum(s.numel() for s in scores.values())), within)
    if isinstance(allocation, str):
        allocation = allocated({n: tuple(s.shape) for n, s in scores.items()}, density, allocation)
    for name, s in scores.items():
        if not 0 <= allocation[name] <= s.numel():
            raise BadInput(f"allocation: {name} has {s.numel()} weights and cannot keep {allocation[name]}.")
    return {n: _highest({n: s}, allocation[n], within)[n] for n, s in scores.items()}


def _share(density: float) -> float:
    """A density that a mask can have. Raises BadInput for any other."""
    if not 0.0 <= density <= 1.0:
        raise BadInput(f"density {density:g}: a mask keeps a share of the weights from 0 to 1.")
    return density


def _highest(
    scores: Mapping[str, torch.Tensor], keep: int, within: Mapping[str, torch.Tensor] | None
) -> Mask:
    flat = torch.cat([s.detach().reshape(-1).double().cpu() for s in scores.values()]).numpy()
    if within is not None:
        allowed = torch.cat([within[name].reshape(-1).cpu() for name in scores]).numpy()
        if keep > allowed.sum():
            raise StepFailed(f"cannot keep {keep} weights: the mask pruned within holds {allowed.sum()}")
        flat = np.where(allowed, flat, -np.inf)
    kept = np.zeros(len(flat), dtype=bool)
    if keep:
        # The lowest score that is kept; a partition costs a few passes where sorting costs dozens.
        threshold = np.partition(flat, len(flat) - keep)[len(flat) - keep]
        kept = flat > threshold
        kept[np.flatnonzero(flat == threshold)[: keep - int(kept.sum())]] = True
    parts = torch.split(torch.from_numpy(kept), [s.numel() for s in scores.values()])
    return {name: part.reshape(s.shape) for (name, s), part in zip(scores.items(), parts, strict=True)}


def allocated(shapes: Mapping[str, tuple[int, ...]], density: float, allocation: str) -> dict[str, int]:
    """How many weights each layer keeps; together exactly round(density * N).

    ``uniform``: each layer keeps the same share. ``erk``: the share is in proportion to
    (out + in + height + width) / (out * in * height * width), at most 1, the Erdos-Renyi-Kernel rule of
    Evci et al. 2020, Rigging the Lottery, section 3. Fractions are rounded by largest remainder. Raises
    BadInput for another allocation, and for a density outside of [0, 1].
    """
    if allocation not in ("uniform", "erk"):
        raise unknown("allocation", allocation, ("uniform", "erk"))
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = round(_share(density) * sum(sizes.values()))
    raw = {n: sum(s) / sizes[n] if allocation == "erk" else 1.0 for n, s in shapes.items()}
    full: set[str] = set()
    while True:  # layers that would keep more than all are full, and the others share what is left
        rest = {n: sizes[n] for n in sizes if n not in full}
        scale = (total - sum(sizes[n] for n in full)) / max(
            sum(raw[n] * size for n, size in rest.items()), 1e-300
        )
        over = {n for n in rest if raw[n] * scale > 1.0}
        if not over:
            break
        full |= over
    wanted = {n: float(sizes[n]) if n in full else raw[n] * scale * sizes[n] for n in sizes}
    kept = {n: min(math.floor(w + 1e-9), sizes[n]) for n, w in wanted.items()}
    by_remainder = sorted((n for n in sizes if kept[n] < sizes[n]), key=lambda n: kept[n] - wanted[n])
    for name in by_remainder[: total - sum(kept.values())]:
        kept[name] += 1
    return kept


def top_kernels(scores: Mapping[str, torch.Tensor], density: float) -> Mask:
    """Keep the kernels (one input channel of one filter) whose weights score highest on average.

    The average makes kernels of different sizes comparable. As many are kept as have at most
    round(density * N) weights together, the best first; ties go to the earlier one. Raises BadInput for a
    density outside of [0, 1].
    """
    _share(density)
    if any(s.dim() != 4 for s in scores.values()):
        raise StepFailed("only convolutions have kernels, and not all prunable weights are of convolutions")
    average = torch.cat([s.detach().double().cpu().mean((2, 3)).reshape(-1) for s in scores.values()])
    weights = torch.cat(
        [torch.full((s.shape[0] * s.shape[1],), math.prod(s.shape[2:])) for s in scores.values()]
    )
    best = torch.sort(average, descending=True, stable=True).indices
    fits = weights[best].cumsum(0) <= round(density * int(weights.sum()))
    kept = torch.zeros(len(average), dtype=torch.bool)
    kept[best[fits]] = True
    mask, start = {}, 0
    for name, s in scores.items():
        count = s.shape[0] * s.shape[1]
        mask[name] = kept[start : start + count].reshape(*s.shape[:2], 1, 1).expand(s.shape).clone()
        start += count
    return mask


def top_grouped(
    scores: Mapping[str, torch.Tensor], pattern: str, within: Mapping[str, torch.Tensor] | None = None
) -> Mask:
    """Keep the N highest of each M weights of neighbouring input channels: N:M sparsity, ``pattern`` "N:M".

    Mishra et al. 2021, Accelerating Sparse Deep Neural Networks, section 3: groups lie along the axis that is
    summed over. As there, layers whose input channels are no multiple of M stay dense. Ties go to the earlier
    channel. Raises StepFailed where all stay dense, or where ``within`` holds fewer than N of a group.
    """
    n, m = (int(part) for part in pattern.split(":"))
    mask = {}
    for name, s in scores.items():
        held = torch.ones(s.shape, dtype=torch.bool) if within is None else within[name].cpu()
        if s.shape[1] % m:
            mask[name] = held.clone()
            continue
        both = (t.movedim(1, -1) for t in (s.detach().double().cpu(), held))
        groups, allowed = (t.reshape(*t.shape[:-1], -1, m) for t in both)
        if bool((allowed.sum(-1) < n).any()):
            raise StepFailed(f"{name}: the mask pruned within holds fewer than {n} weights of a group of {m}")
        best = torch.sort(groups.masked_fill(~allowed, -math.inf), descending=True, stable=True).indices
        kept = torch.zeros(groups.shape, dtype=torch.bool).scatter_(-1, best[..., :n], True)
        mask[name] = kept.flatten(-2).movedim(-1, 1).contiguous()
    if all(s.shape[1] % m for s in scores.values()):
        raise StepFailed(f"no layer has input channels in groups of {m}, so {pattern} prunes none")
    return mask


def full(model: nn.Module) -> Mask:
    """The mask that keeps every prunable weight; on the CPU."""
    return {n: torch.ones_like(w, dtype=torch.bool, device="cpu") for n, w in prunable(model).items()}


def smallest_first(values: torch.Tensor) -> torch.Tensor:
    """The places of values ``[n]`` in the order in which they go: of equals, the later one first."""
    return len(values) - 1 - torch.sort(values.flip(0), stable=True).indices


def whole(model: nn.Module) -> dict[str, torch.Tensor]:
    """The prunable weights as they were before ``apply_anew`` pruned any; without that, as they are."""
    before: dict[str, torch.Tensor] | None = model.__dict__.get("_whole")
    return before if before is not None else {n: w.detach() for n, w in prunable(model).items()}


@torch.no_grad()
def apply_anew(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Set the pruned weights to zero, and the others to what they were before the first call."""
    before = whole(model)
    if "_whole" not in model.__dict__:
        model.__dict__["_whole"] = before = {n: w.clone() for n, w in before.items()}
    for name, weight in prunable(model).items():
        weight.copy_(before[name])
    apply(model, mask)


def check(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Raise StepFailed where a mask is not one of a network's parameters, of their shapes."""
    named = dict(model.named_parameters())
    for name, keep in mask.items():
        if name not in named:
            raise StepFailed(f"its mask is that of another network: it has {name}")
        if keep.shape != named[name].shape:
            shapes = f"{list(keep.shape)}, and the weights {list(named[name].shape)}"
            raise StepFailed(f"its mask does not fit: in {name} it has shape {shapes}")


@torch.no_grad()
def apply(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Set the pruned weights to zero, and what else the mask leaves out."""
    for name, weight in model.named_parameters():
        if name in mask:
            weight.masked_fill_(~mask[name].to(weight.device), 0.0)


def count(
    mask: Mapping[str, torch.Tensor], weights: Iterable[str] | None = None
) -> dict[str, tuple[int, int]]:
    """For each layer, how many weights are kept and how many there are.

    ``weights`` are the names of those that can be pruned. None: those of convolutions, or of linear layers
    where the mask has none.
    """
    if weights is None:
        axes = 4 if any(m.dim() == 4 for m in mask.values()) else 2
        weights = [name for name, m in mask.items() if m.dim() == axes]
    return {name: (int(mask[name].sum()), mask[name].numel()) for name in weights if name in mask}


def collapsed(mask: Mapping[str, torch.Tensor], weights: Iterable[str] | None = None) -> list[str]:
    """The layers of which nothing is left."""
    return [name for name, (kept, _) in count(mask, weights).items() if kept == 0]


def counted(mask: Mapping[str, torch.Tensor], weights: Iterable[str] | None = None) -> dict[str, Any]:
    """What is recorded with a mask: weights kept and there, in all and by layer, and the empty layers."""
    found = count(mask, list(weights) if weights is not None else None)
    return {
        "kept": sum(k for k, _ in found.values()),
        "total": sum(n for _, n in found.values()),
        "layers": {name: [k, n] for name, (k, n) in found.items()},
        "collapsed": [name for name, (kept, _) in found.items() if kept == 0],
    }


def packed(mask: Mapping[str, torch.Tensor]) -> bytes:
    """A mask as a safetensors file, one bit for each weight."""
    bits = {name: torch.from_numpy(np.packbits(m.numpy().reshape(-1))) for name, m in mask.items()}
    shapes = json.dumps({name: list(m.shape) for name, m in mask.items()})
    return safetensors.torch.save(bits, metadata={"shapes": shapes})


def unpacked(content: bytes) -> Mask:
    """The mask in a file that ``packed`` made. Raises ValueError where shapes are not those of its bytes."""
    bits = safetensors.torch.load(content)
    size = int.from_bytes(content[:8], "little")
    shapes = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["shapes"])
    mask = {}
    for name, shape in shapes.items():
        whole = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**40 for n in shape)
        if not whole or len(shape) > 8 or -(-math.prod(shape) // 8) != bits[name].numel():
            raise ValueError(f"{name}: its bytes are not those of a mask of shape {shape}")
        flat = np.unpackbits(bits[name].numpy(), count=math.prod(shape)).astype(bool)
        mask[name] = torch.from_numpy(flat).reshape(shape)
    return mask
