"""Which filters of a network can be removed whole, found from its graph.

The channels that a convolution makes can go when all that reads them, through normalisation, activations,
pooling and the like, are convolutions or linear layers: then their input weights go too. Channels that are
added to or put beside others are bound to them, and stay.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from lthbench.compute.tracing import traced
from lthbench.masks import Mask

_SAME_CHANNELS = (
    nn.BatchNorm2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    nn.Identity,
)
_SAME_CHANNELS_CALLS = {
    F.relu,
    torch.relu,
    F.max_pool2d,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    F.dropout,
}


@dataclass(frozen=True)
class Cut:
    """A convolution whose filters can be removed, the norms on its channels, and what reads them."""

    producer: str
    norms: tuple[str, ...]
    consumers: tuple[str, ...]


def cuts(model: nn.Module) -> list[Cut]:
    """The convolutions of which filters can be removed, in the order of the forward pass."""
    graph = traced(model).graph
    modules = dict(model.named_modules())
    found = []
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.Conv2d):
            if modules[node.target].groups != 1:
                continue
            cut = _followed(node, modules)
            if cut is not None and cut.consumers:
                found.append(cut)
    return found


def _followed(start: fx.Node, modules: dict[str, nn.Module]) -> Cut | None:
    """Where the channels of a convolution go; None if they meet other channels on the way."""
    norms, consumers = [], []
    open_nodes, seen = list(start.users), set()
    while open_nodes:
        node = open_nodes.pop(0)
        if node in seen:
            continue
        seen.add(node)
        if node.op == "call_module":
            module = modules[node.target]  # type: ignore[index]
            if isinstance(module, nn.Conv2d | nn.Linear):
                if isinstance(module, nn.Conv2d) and module.groups != 1:
                    return None
                consumers.append(str(node.target))
                continue
            flattens = isinstance(module, nn.Flatten) and module.start_dim == 1
            if not flattens and not isinstance(module, _SAME_CHANNELS):
                return None
            if isinstance(module, nn.BatchNorm2d):
                norms.append(str(node.target))
        elif not _keeps_channels(node):
            return None
        open_nodes += list(node.users)
    return Cut(str(start.target), tuple(norms), tuple(consumers))


def _keeps_channels(node: fx.Node) -> bool:
    """Whether a function or method of maps ``[N, C, H, W]`` leaves the channels where they are, and apart."""
    if node.target in ("mean", torch.mean):
        dims = _argument(node, "dim", ())
        dims = dims if isinstance(dims, list | tuple) else (dims,)
        return bool(dims) and set(dims) <= {2, 3, -1, -2}
    if node.target in ("flatten", torch.flatten):
        return _argument(node, "start_dim", 0) == 1
    return node.target == "relu" or node.target in _SAME_CHANNELS_CALLS


def _argument(node: fx.Node, name: str, default: object) -> object:
    """The first argument after the maps."""
    return node.kwargs.get(name, node.args[1] if len(node.args) > 1 else default)


def mask_without(model: nn.Module, found: list[Cut], kept: Mapping[str, torch.Tensor]) -> Mask:
    """The mask of a network without the filters that ``kept`` (bool, by producer) leaves out.

    Beside each filter's own weights go its bias, its normalisation's weight and bias, and what reads it in
    the next layers, so that the masked network computes what one without these channels would.
    """
    named = dict(model.named_parameters())
    mask = {
        f"{n}.weight": torch.ones_like(m.weight, dtype=torch.bool, device="cpu")
        for n, m in model.named_modules()
        if isinstance(m, nn.Conv2d)
    }

    def remove(name: str, channels: torch.Tensor, axis: int) -> None:
        if name in named:
            part = mask.setdefault(name, torch.ones_like(named[name], dtype=torch.bool, device="cpu"))
            part.index_fill_(axis, channels, False)

    for one in found:
        gone = (~kept[one.producer]).nonzero()[:, 0]
        remove(f"{one.producer}.weight", gone, 0)
        remove(f"{one.producer}.bias", gone, 0)
        for norm in one.norms:
            remove(f"{norm}.weight", gone, 0)
            remove(f"{norm}.bias", gone, 0)
        for consumer in one.consumers:
            width = named[f"{consumer}.weight"].shape[1]
            spread = width // len(kept[one.producer])  # flattened maps: several features for each channel
            columns = (gone[:, None] * spread + torch.arange(spread)).reshape(-1)
            remove(f"{consumer}.weight", columns, 1)
    return mask


def top_filters(model: nn.Module, scores: Mapping[str, torch.Tensor], density: float) -> Mask:
    """Remove the filters with the smallest sums of scores, the same share of each layer that can lose any.

    As many go as bring the convolutions' weights nearest to density * N; each layer keeps one at least.
    """
    found = cuts(model)
    convolutions = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    order = {c.producer: _order(scores[f"{c.producer}.weight"]) for c in found}
    # Filters in the order of removal: in step, so that all layers lose the same share.
    steps = sorted(
        ((i + 1) / len(ranked), place, producer)
        for place, (producer, ranked) in enumerate(order.items())
        for i in range(len(ranked) - 1)
    )

    def left(count: int) -> tuple[dict[str, int], int]:
        filters = {producer: len(ranked) for producer, ranked in order.items()}
        for _, _, producer in steps[:count]:
            filters[producer] -= 1
        return filters, kept_weights(found, filters, convolutions)

    target = density * sum(c.weight.numel() for c in convolutions.values())
    enough = bisect.bisect_left(range(len(steps)), -target, key=lambda count: -left(count)[1])
    best = min((enough - 1, enough), key=lambda count: abs(left(max(count, 0))[1] - target))
    filters, _ = left(max(best, 0))
    kept = {}
    for producer, ranked in order.items():
        kept[producer] = torch.ones(len(ranked), dtype=torch.bool)
        kept[producer][ranked[: len(ranked) - filters[producer]]] = False
    return mask_without(model, found, kept)


def _order(scores: torch.Tensor) -> torch.Tensor:
    """The filters of a layer from the smallest sum of scores; of equals, the later one goes first."""
    sums = scores.detach().double().cpu().flatten(1).sum(1)
    return len(sums) - 1 - torch.sort(sums.flip(0), stable=True).indices


def kept_weights(found: list[Cut], kept: Mapping[str, int], convolutions: Mapping[str, nn.Conv2d]) -> int:
    """How many convolution weights are left with so many filters kept of each producer."""
    inputs = {c: kept[one.producer] for one in found for c in one.consumers}
    total = 0
    for name, c in convolutions.items():
        area = c.kernel_size[0] * c.kernel_size[1]
        total += kept.get(name, c.out_channels) * inputs.get(name, c.in_channels) * area
    return total
