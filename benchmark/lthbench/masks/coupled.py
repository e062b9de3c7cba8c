"""Channels that can only go together: those that are added to each other, and those put beside others.

Each channel that a convolution makes is followed through the graph of a convolutional network. Where two are
added, they become one unit, which is made in several places; where they are put beside others, they stay
apart, at other places of what reads them (Fang et al. 2023, DepGraph). Where an operation is met that may mix
channels or move them, those stay; so do those of layers that are called more than once, and of flattened maps
that are put beside others, as they may differ in size.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import fx, nn

from lthbench.compute.tracing import traced
from lthbench.masks.selection import Mask, prunable
from lthbench.masks.structured import (
    called_again,
    flattens,
    keeps_channels,
    leaves_channels,
    leaves_one_pixel,
)
from lthbench.masks.units import Channels, highest, mask_of

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_BESIDE = {torch.cat, torch.concat}


@dataclass
class _Walk:
    """Channels as they are followed: each has a number, and those that are one point to the least."""

    parent: list[int] = field(default_factory=lambda: [0])  # 0 is what stays
    made: dict[str, list[int]] = field(default_factory=dict)
    norms: dict[str, list[int]] = field(default_factory=dict)
    reads: dict[str, list[int]] = field(default_factory=dict)
    # Layers that are called more than once.
    again: set[str] = field(default_factory=set)
    # Nodes that put out one number for each channel, and those that put out all of a map's, side by side.
    points: set[fx.Node] = field(default_factory=set)
    rows: set[fx.Node] = field(default_factory=set)

    def root(self, channel: int) -> int:
        while self.parent[channel] != channel:
            self.parent[channel] = self.parent[self.parent[channel]]
            channel = self.parent[channel]
        return channel

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low

    def stay(self, channels: Sequence[int]) -> None:
        for channel in channels:
            self.join(0, channel)

    def new(self, count: int) -> list[int]:
        first = len(self.parent)
        self.parent += range(first, first + count)
        return self.parent[first:]


def channels(model: nn.Module) -> Channels:
    """The channels of a convolutional network that can go, alone or together."""
    graph, modules = traced(model).graph, dict(model.named_modules())
    weights, walk = prunable(model), _Walk(again=called_again(graph, model))
    values: dict[fx.Node, list[int] | None] = {}
    for node in graph.nodes:
        values[node] = _passed(node, values, modules, weights, walk)
    for named in (walk.made, walk.norms, walk.reads):
        for name, met in named.items():
            named[name] = [walk.root(channel) for channel in met]
    groups = _groups(walk.made)
    numbers = {root: place for place, root in enumerate(dict.fromkeys(u for g in groups for u in g))}

    def numbered(named: Mapping[str, list[int]]) -> dict[str, torch.Tensor]:
        return {n: torch.tensor([numbers.get(root, -1) for root in met]) for n, met in named.items()}

    whole = tuple(torch.tensor([numbers[u] for u in group]) for group in groups)
    return Channels(numbered(walk.made), numbered(walk.norms), numbered(walk.reads), whole)


def _passed(
    node: fx.Node,
    values: Mapping[fx.Node, list[int] | None],
    modules: Mapping[str, nn.Module],
    weights: Mapping[str, Any],
    walk: _Walk,
) -> list[int] | None:
    """The channels of what a node puts out; None for what has none that could go."""
    inputs = node.all_input_nodes
    given = [values[n] for n in inputs]
    read = given[0] if given else None
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.Conv2d | nn.Linear):
        name = str(node.target)
        if name in walk.again or (isinstance(module, nn.Conv2d) and module.groups != 1):
            walk.stay(read or ())
            return None
        features = module.weight.shape[1]
        if read and features % len(read) == 0:
            walk.reads[name] = [c for c in read for _ in range(features // len(read))]
        elif read:
            walk.stay(read)
        if f"{name}.weight" not in weights or isinstance(module, nn.Linear):
            return None
        walk.made[name] = walk.new(len(module.weight))
        return list(walk.made[name])
    if read is not None and len(given) == 1:
        if isinstance(module, nn.BatchNorm2d):
            if str(node.target) not in walk.again:
                walk.norms[str(node.target)] = read
                return read
        elif leaves_channels(module) if module is not None else keeps_channels(node):
            if inputs[0] in walk.points or leaves_one_pixel(node, module):
                walk.points.add(node)
            elif inputs[0] in walk.rows or flattens(node, module):
                walk.rows.add(node)
            return read
    if node.target in _SUMS and len(given) == 2 and None not in given:
        one, other = (g or [] for g in given)
        if len(one) == len(other):
            for pair in zip(one, other, strict=True):
                walk.join(*pair)
            return one
    beside = _beside(node)
    if beside and None not in given and not walk.rows.intersection(beside):
        return [c for part in beside for c in values[part] or ()]
    walk.stay([c for part in given for c in part or ()])
    return None


def _beside(node: fx.Node) -> list[fx.Node]:
    """What a node puts side by side along its channels, in order; none for other nodes."""
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    parts = node.kwargs.get("tensors", node.args[0] if node.args else ())
    if node.target not in _BESIDE or axis not in (1, -3) or not isinstance(parts, list | tuple):
        return []
    return [part for part in parts if isinstance(part, fx.Node)]


def _groups(made: Mapping[str, list[int]]) -> list[list[int]]:
    """The units of layers that have any in common, in the order in which they are made."""
    walk = _Walk(parent=list(range(1 + max((u for units in made.values() for u in units), default=0))))
    for units in made.values():
        free = [u for u in units if u]
        for pair in pairwise(free):
            walk.join(*pair)
    found: dict[int, dict[int, None]] = {}
    for units in made.values():
        for unit in units:
            if unit:
                found.setdefault(walk.root(unit), {})[unit] = None
    return [list(group) for group in found.values()]


def top_coupled(model: nn.Module, scores: Mapping[str, torch.Tensor], density: float) -> Mask:
    """Remove the units with the smallest sums of scores over all layers that make them: see ``highest``."""
    found = channels(model)
    return mask_of(model, found, highest(model, found, scores, density))
