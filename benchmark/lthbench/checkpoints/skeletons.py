"""What a network's tensors are called and shaped, without memory for them; and which networks have others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache

import torch

from lthbench import registry
from lthbench.checkpoints import tensor_names
from lthbench.checkpoints.tensor_names import Part
from lthbench.global_state import kept
from lthbench.kinds import Architecture, Dataset
from lthbench.networks.normalize import Normalize
from lthbench.planning import task as tasks
from lthbench.spec import Network


def skeleton(architecture: Architecture, network: Network) -> torch.nn.Module:
    """The network without memory for its weights; drawing them leaves no trace."""
    with kept(f"architecture {architecture.name}"), torch.device("meta"):
        return architecture.build(network)


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    """The shapes of a network's parameters and buffers; normalisation is no part of what others save."""
    own = pixels(model)
    return {name: t.shape for name, t in model.state_dict().items() if name not in own}


def names(model: torch.nn.Module) -> dict[str, list[str]]:
    """All names of each parameter, the first one first, by each: layers may share one."""
    found: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), []).append(name)
    return {name: alike for alike in found.values() for name in alike}


def pixels(model: torch.nn.Module) -> dict[str, str]:
    """The names of the tensors that a network's pixels are normalised by, each with ``mean`` or ``std``.

    They are those of each ``Normalize``, whatever it is called, and of what is called ``normalize``.
    """
    places = [name for name, module in model.named_modules() if isinstance(module, Normalize)]
    found = {f"{place}.{kind}": kind for place in ("normalize", *places) for kind in ("mean", "std")}
    return {name: kind for name, kind in found.items() if name in model.state_dict()}


@lru_cache(maxsize=256)  # building all networks takes seconds
def _layout(architecture: Architecture, network: Network) -> tuple[dict[str, torch.Size], str]:
    """The shapes of a network and how the names of its last layer begin; none where a plug-in cannot make it.

    Those that ship can be built for any images.
    """
    try:
        model = skeleton(architecture, network)
    except Exception:
        if registry.ships(Architecture, architecture.name):
            raise
        return {}, "?"
    heads = [f"{n}." for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    return shapes(model), heads[-1] if heads else "?"


def others(parts: Mapping[str, Part], network: Network) -> str:
    """The architecture that a checkpoint would fit, and the tasks that have it; "" for none."""
    channels = dict.fromkeys((network.channels, 3, 1))
    for other, count in ((a, c) for a in registry.every(Architecture) for c in channels):
        own = dataclasses.replace(network, architecture=other.name, channels=count, widths=None)
        own = dataclasses.replace(own, mean=(0.5,) * count, std=(0.5,) * count)
        if (other.name, count) == (network.architecture, network.channels):
            continue
        shapes, head = _layout(other, own)
        if shapes and tensor_names.fits(parts, shapes, head):
            having = [n for n in tasks.names() if _has(tasks.load(n), other.name, count)]
            kind = "colour" if count == 3 else "grey"
            return (
                f"\n  It is a {other.name} for {kind} images; tasks with one: {', '.join(having) or 'none'}"
            )
    return ""


def _has(task: tasks.Task, architecture: str, channels: int) -> bool:
    """Whether a task has such a network, for images of so many channels."""
    return task.architecture == architecture and registry.get(Dataset, task.data.dataset).channels == channels
