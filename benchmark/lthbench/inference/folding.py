"""A network made ready for forward passes alone: fewer and cheaper operations, the same function.

In evaluation mode batch normalisation is a fixed scale and shift, which go into the weights of the
convolution before it (Jacob et al. 2018, section 3.2); sums and rectifiers then write over what nobody reads
again. Logits differ by rounding alone (1e-6 of the largest), as they do between processors.
"""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lthbench.compute.tracing import traced

#: Modules whose output is a new tensor, that may be written over.
_FRESH = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


def folded(model: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, for forward passes without gradients.

    Its parts keep no names. A network is returned as it is that cannot be traced, or whose parts have hooks,
    are called more than once, or have their weights read by others: folding would change what these get.
    """
    assert not model.training, "only a network in evaluation mode can be folded"
    try:
        graph = deepcopy(traced(model))
    except Exception:  # whatever a network of a plug-in does when it is traced or copied; as it is it works
        return model
    if _hooked(graph) or _reuses(graph) or _reads(graph):
        return model
    graph = _without_normalisation(graph)
    parts = dict(graph.named_modules())
    fresh = {n for n in graph.graph.nodes if n.op == "call_module" and isinstance(parts[n.target], _FRESH)}
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is operator.add and all(isinstance(a, fx.Node) for a in node.args):
            # The sum goes where its first term was; the terms are exchanged where only the second may go.
            node.args = tuple(sorted(node.args, key=lambda a: not _free(a, fresh)))
            if _free(node.args[0], fresh):
                node.target = _plus
                fresh.add(node)
        elif node.target in (F.relu, torch.relu):
            source = node.args[0] if node.args else node.kwargs["input"]
            if _free(source, fresh):
                node.target, node.args, node.kwargs = torch.relu_, (source,), {}
                fresh.add(node)
    graph.recompile()
    return graph.to(memory_format=torch.channels_last)


def normalised(model: nn.Module) -> dict[str, tuple[str, float]]:
    """For each convolution that a batch normalisation alone reads, its name and its epsilon.

    Nothing for a network that cannot be traced.
    """
    try:
        graph = traced(model)
    except Exception:  # whatever a network of a plug-in does when it is traced
        return {}
    parts, found = dict(graph.named_modules()), {}
    for node in graph.graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        norm = parts[str(node.target)]
        if isinstance(norm, nn.BatchNorm2d) and isinstance(parts[str(source.target)], nn.Conv2d):
            found[str(source.target)] = (str(node.target), norm.eps)
    return found


def _without_normalisation(graph: fx.GraphModule) -> fx.GraphModule:
    """The same graph, changed in place, with each normalisation in the convolution that it alone reads."""
    parts = dict(graph.named_modules())
    for node in graph.graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        norm, convolution = parts[node.target], parts[str(source.target)]
        # Subclasses may do something else. Without running statistics a normalisation depends on the batch.
        kinds = type(convolution), type(norm)
        if kinds == (nn.Conv2d, nn.BatchNorm2d) and norm.track_running_stats and not norm.training:
            parts[str(source.target)] = fuse_conv_bn_eval(convolution, norm)
            graph.set_submodule(str(source.target), parts[str(source.target)])
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    return graph


def _hooked(graph: fx.GraphModule) -> bool:
    """Whether a module has hooks, which may change its inputs, its outputs or its weights."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in graph.modules())


def _reads(graph: fx.GraphModule) -> bool:
    """Whether a weight of a convolution or a normalisation is read outside of it."""
    owners = {str(n.target).rpartition(".")[0] for n in graph.graph.nodes if n.op == "get_attr"}
    return any(isinstance(graph.get_submodule(owner), nn.Conv2d | nn.BatchNorm2d) for owner in owners)


def _reuses(graph: fx.GraphModule) -> bool:
    """Whether a module with weights is called more than once."""
    parts = dict(graph.named_modules())
    called = [parts[str(n.target)] for n in graph.graph.nodes if n.op == "call_module"]
    weighty = [id(m) for m in called if next(m.parameters(), None) is not None]
    return len(set(weighty)) < len(weighty)


def _plus(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The sum, in place of the first where it has its shape and type."""
    return a.add_(b) if a.shape == b.shape and a.dtype == b.dtype else a + b


def _free(node: Any, fresh: set[fx.Node]) -> bool:
    """Whether a value may be written over: a tensor of its own, that is read once."""
    return isinstance(node, fx.Node) and node in fresh and len(node.users) == 1
