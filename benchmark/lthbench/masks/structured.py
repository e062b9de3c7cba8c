"""Which units of a network can be removed whole, found from its graph: filters, neurons, heads.

The channels that a convolution makes can go when all that reads them, through normalisation, activations,
pooling and the like, are convolutions or linear layers: then their input weights go too. Channels that are
added to or put beside others are bound to them, and stay. So with the neurons of a prunable linear layer,
which other linear layers read through activations. Heads of attention are those that a network says itself.
Layers that a forward pass calls more than once keep all of theirs, as each call would have to lose the same.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from lthbench.compute.tracing import traced
from lthbench.masks.selection import Mask, full, prunable, smallest_first

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
#: What leaves the neurons of linear layers where they are, and zeros at zero.
_SAME_NEURONS = (nn.ReLU, nn.GELU, nn.Dropout, nn.Identity)
_SAME_NEURONS_CALLS = {F.relu, torch.relu, F.gelu, F.dropout}


@dataclass(frozen=True)
class Cut:
    """A layer whose units can be removed, the norms on its channels, and what reads it.

    Units are the filters of a convolution, the neurons of a linear layer or, where there are any, the
    ``heads`` whose queries, keys and values the layer makes, in this order.
    """

    producer: str
    norms: tuple[str, ...]
    consumers: tuple[str, ...]
    heads: int = 0

    def units(self, channels: int) -> int:
        """How many units make so many channels."""
        return self.heads or channels

    def unit_of(self, channels: int) -> torch.Tensor:
        """The unit that each channel which the producer makes belongs to, int64 ``[channels]``."""
        if not self.heads:
            return torch.arange(channels)
        return torch.arange(self.heads).repeat_interleave(channels // (3 * self.heads)).repeat(3)

    def read_of(self, channels: int, features: int) -> torch.Tensor:
        """The unit that each of a consumer's input features comes from, int64 ``[features]``.

        Of flattened maps there are several features for each channel.
        """
        units = self.units(channels)
        return torch.arange(units).repeat_interleave(features // units)


def cuts(model: nn.Module) -> list[Cut]:
    """The layers of which units can be removed, in the order of the forward pass."""
    graph = traced(model).graph
    modules = dict(model.named_modules())
    own = getattr(model, "attention_heads", None)
    heads = {} if own is None else {producer: (reader, count) for producer, reader, count in own()}
    weights, again = prunable(model), called_again(graph, model)
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or f"{node.target}.weight" not in weights or node.target in again:
            continue
        module = modules[node.target]
        if node.target in heads:
            reader, count = heads[node.target]
            found.append(Cut(str(node.target), (), (reader,), count))
        elif isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            cut = _followed(node, modules)
            if cut is not None and again.intersection((*cut.norms, *cut.consumers)):
                continue
            if cut is not None and cut.consumers:
                found.append(cut)
    return found


def _followed(start: fx.Node, modules: dict[str, nn.Module]) -> Cut | None:
    """Where the channels of a layer go; None if they meet other channels on the way."""
    linear = isinstance(modules[str(start.target)], nn.Linear)
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
                if isinstance(module, nn.Conv2d) and (linear or module.groups != 1):
                    return None
                consumers.append(str(node.target))
                continue
            if not (isinstance(module, _SAME_NEURONS) if linear else leaves_channels(module)):
                return None
            if isinstance(module, nn.BatchNorm2d):
                norms.append(str(node.target))
        elif not (node.target in _SAME_NEURONS_CALLS if linear else keeps_channels(node)):
            return None
        open_nodes += list(node.users)
    return Cut(str(start.target), tuple(norms), tuple(consumers))


def called_again(graph: fx.Graph, model: nn.Module) -> set[str]:
    """The modules that a forward pass calls more than once, or whose weight it uses in another one, too."""
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    weights = {name: getattr(model.get_submodule(name), "weight", None) for name in calls}
    uses = {name: name if weight is None else id(weight) for name, weight in weights.items()}
    counts = Counter(uses[name] for name in calls)
    return {name for name in calls if counts[uses[name]] > 1}


def leaves_channels(module: nn.Module) -> bool:
    """Whether a module of maps ``[N, C, H, W]`` leaves the channels where they are, and apart."""
    return isinstance(module, _SAME_CHANNELS) or (isinstance(module, nn.Flatten) and module.start_dim == 1)


def keeps_channels(node: fx.Node) -> bool:
    """Whether a function or method of maps ``[N, C, H, W]`` leaves the channels where they are, and apart."""
    if node.target in ("mean", torch.mean):
        dims = _argument(node, "dim", ())
        dims = dims if isinstance(dims, list | tuple) else (dims,)
        return bool(dims) and set(dims) <= {2, 3, -1, -2}
    if node.target in ("flatten", torch.flatten):
        return _argument(node, "start_dim", 0) == 1
    return node.target == "relu" or node.target in _SAME_CHANNELS_CALLS


def flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether maps come out of a node as a row of features, those of each channel side by side."""
    return isinstance(module, nn.Flatten) or node.target in ("flatten", torch.flatten)


def leaves_one_pixel(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether maps come out of a node with one number for each channel, however large they were."""
    if node.target in ("mean", torch.mean):
        dims = _argument(node, "dim", ())
        return isinstance(dims, list | tuple) and {d % 4 for d in dims} == {2, 3}
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return module.output_size in (1, (1, 1))
    return node.target is F.adaptive_avg_pool2d and _argument(node, "output_size", None) in (
        1,
        (1, 1),
        [1, 1],
    )


def _argument(node: fx.Node, name: str, default: object) -> object:
    """The first argument after the maps."""
    return node.kwargs.get(name, node.args[1] if len(node.args) > 1 else default)


def mask_without(model: nn.Module, found: list[Cut], kept: Mapping[str, torch.Tensor]) -> Mask:
    """The mask of a network without the units that ``kept`` (bool, by producer) leaves out.

    Beside each unit's own weights go its bias, its normalisation's weight and bias, and what reads it in
    the next layers, so that the masked network computes what one without these channels would.
    """
    named = dict(model.named_parameters())
    mask = full(model)

    def remove(name: str, left: torch.Tensor, axis: int) -> None:
        if name in named:
            part = mask.setdefault(name, torch.ones_like(named[name], dtype=torch.bool, device="cpu"))
            part.index_fill_(axis, (~left).nonzero()[:, 0], False)

    for one in found:
        channels = len(named[f"{one.producer}.weight"])
        left = kept[one.producer].cpu()[one.unit_of(channels)]
        remove(f"{one.producer}.weight", left, 0)
        remove(f"{one.producer}.bias", left, 0)
        for norm in one.norms:
            remove(f"{norm}.weight", left, 0)
            remove(f"{norm}.bias", left, 0)
        for consumer in one.consumers:
            features = named[f"{consumer}.weight"].shape[1]
            remove(f"{consumer}.weight", kept[one.producer].cpu()[one.read_of(channels, features)], 1)
    return mask


def top_filters(
    model: nn.Module, scores: Mapping[str, torch.Tensor], density: float, allocation: str | None = None
) -> Mask:
    """Remove the units with the smallest sums of scores, the same share of each layer that can lose any.

    With the allocation ``pooled`` the units of all layers are ranked together. As many go as bring the
    prunable weights nearest to density * N; each layer keeps one unit at least.
    """
    found = cuts(model)
    shapes = {name.removesuffix(".weight"): tuple(w.shape) for name, w in prunable(model).items()}
    sums = {c.producer: _sums(c, scores[f"{c.producer}.weight"]) for c in found}
    order = {producer: smallest_first(values) for producer, values in sums.items()}
    # Units in the order of removal: in step, so that all layers lose the same share, or by their scores.
    steps = sorted(
        (
            float(sums[producer][ranked[i]]) if allocation == "pooled" else (i + 1) / len(ranked),
            place,
            producer,
        )
        for place, (producer, ranked) in enumerate(order.items())
        for i in range(len(ranked) - 1)
    )

    def left(count: int) -> tuple[dict[str, int], int]:
        units = {producer: len(ranked) for producer, ranked in order.items()}
        for _, _, producer in steps[:count]:
            units[producer] -= 1
        return units, kept_weights(found, units, shapes)

    target = density * sum(math.prod(shape) for shape in shapes.values())
    enough = bisect.bisect_left(range(len(steps)), -target, key=lambda count: -left(count)[1])
    best = min((enough - 1, enough), key=lambda count: abs(left(max(count, 0))[1] - target))
    units, _ = left(max(best, 0))
    kept = {}
    for producer, ranked in order.items():
        kept[producer] = torch.ones(len(ranked), dtype=torch.bool)
        kept[producer][ranked[: len(ranked) - units[producer]]] = False
    return mask_without(model, found, kept)


def by_unit(cut: Cut, rows: torch.Tensor) -> torch.Tensor:
    """Sums over the channels of each unit, of values by channel ``[channels]``; on the CPU."""
    sums = torch.zeros(cut.units(len(rows)), dtype=rows.dtype)
    return sums.index_add_(0, cut.unit_of(len(rows)), rows.cpu())


def _sums(cut: Cut, scores: torch.Tensor) -> torch.Tensor:
    """The sum of the scores of each unit of a layer, float64 ``[units]``; on the CPU."""
    return by_unit(cut, scores.detach().double().cpu().flatten(1).sum(1))


def kept_weights(found: list[Cut], kept: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many weights are left of layers of these shapes with so many units kept of each producer."""
    units = {c.producer: c.units(shapes[c.producer][0]) for c in found}
    read = {consumer: c.producer for c in found for consumer in c.consumers}
    total = 0
    for name, (channels, features, *area) in shapes.items():
        if name in units:
            channels = channels * kept[name] // units[name]
        if name in read:
            features = features * kept[read[name]] // units[read[name]]
        total += channels * features * math.prod(area)
    return total
