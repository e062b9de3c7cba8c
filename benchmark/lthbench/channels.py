"""Which filters of a network can be removed whole, found from its graph.

The channels that a convolution makes can go when all that reads them, through normalisation, activations,
pooling and the like, are convolutions or linear layers: then their input weights go too. Channels that are
added to or put beside others are bound to them, and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from lthbench.masks import Mask

_SAME_CHANNELS = (
    nn.BatchNorm2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    nn.Identity,
    nn.Flatten,
)
_SAME_CHANNELS_CALLS = {
    F.relu,
    torch.relu,
    F.max_pool2d,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    torch.flatten,
}
_SAME_CHANNELS_METHODS = {"mean", "relu", "flatten"}


@dataclass(frozen=True)
class Cut:
    """A convolution whose filters can be removed, the norms on its channels, and what reads them."""

    producer: str
    norms: tuple[str, ...]
    consumers: tuple[str, ...]


def cuts(model: nn.Module) -> list[Cut]:
    """The convolutions of which filters can be removed, in the order of the forward pass."""
    graph = fx.symbolic_trace(model).graph
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
            if not isinstance(module, _SAME_CHANNELS):
                return None
            if isinstance(module, nn.BatchNorm2d):
                norms.append(str(node.target))
        elif not _keeps_channels(node):
            return None
        open_nodes += list(node.users)
    return Cut(str(start.target), tuple(norms), tuple(consumers))


def _keeps_channels(node: fx.Node) -> bool:
    if node.op == "call_function":
        return node.target in _SAME_CHANNELS_CALLS
    return node.op == "call_method" and node.target in _SAME_CHANNELS_METHODS


def mask_without(model: nn.Module, cut: list[Cut], kept: dict[str, torch.Tensor]) -> Mask:
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

    for one in cut:
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


def kept_weights(cut: list[Cut], kept: dict[str, int], convolutions: dict[str, Any]) -> int:
    """How many convolution weights are left with so many filters kept of each producer."""
    inputs = {c: kept[one.producer] for one in cut for c in one.consumers}
    total = 0
    for name, (after, before, area) in convolutions.items():
        total += kept.get(name, after) * inputs.get(name, before) * area
    return total
