"""Which units of a network can be removed whole, found from its graph: filters, neurons, heads.

The channels that a convolution makes can go when all that reads them, through normalisation, activations,
pooling and the like, are convolutions or linear layers: then their input weights go too. Channels that are
added to or put beside others are bound to them, and stay. So with the neurons of a prunable linear layer,
which other linear layers read through activations. Heads of attention are those that a network says itself.
Layers that a forward pass calls more than once keep all of theirs, as each call would have to lose the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from lthbench.compute.tracing import traced
from lthbench.masks.selection import Mask, full, prunable
from lthbench.masks.units import Channels, highest

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


def channels_of(model: nn.Module, found: Sequence[Cut]) -> Channels:
    """Where the units of these layers are made, normalised and read; each layer's are a group."""
    made, norms, reads = ({} for _ in range(3))
    groups, first = [], 0
    for cut in found:
        channels = len(model.get_parameter(f"{cut.producer}.weight"))
        made[cut.producer] = first + cut.unit_of(channels)
        norms.update(dict.fromkeys(cut.norms, made[cut.producer]))
        for consumer in cut.consumers:
            features = model.get_parameter(f"{consumer}.weight").shape[1]
            reads[consumer] = first + cut.read_of(channels, features)
        groups.append(first + torch.arange(cut.units(channels)))
        first += len(groups[-1])
    return Channels(made, norms, reads, tuple(groups))


def by_producer(found: Sequence[Cut], units: Channels, kept: torch.Tensor) -> dict[str, torch.Tensor]:
    """The part of ``kept``, bool ``[count]``, that is of each layer's units."""
    return {c.producer: kept[group] for c, group in zip(found, units.groups, strict=True)}


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

    With the allocation ``pooled`` the units of all layers are ranked together: see ``highest``.
    """
    found = cuts(model)
    units = channels_of(model, found)
    kept = highest(model, units, scores, density, pooled=allocation == "pooled")
    return mask_without(model, found, by_producer(found, units, kept))
