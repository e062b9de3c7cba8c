"""What an architecture promises of the networks that it builds."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import nn

from lthbench import masks
from lthbench.contract.broken import demand
from lthbench.functional.model_size import operations
from lthbench.kinds import Architecture
from lthbench.masks import coupled, structured, units
from lthbench.spec import Network
from lthbench.store.artifacts import WEIGHTS


def built(architecture: Architecture, seed: int = 0, **changes: Any) -> tuple[Network, nn.Module]:
    """A network for ten classes of colour images of the architecture's own size, drawn from a seed.

    Below 16 pixels images are grey.
    """
    network = Network(architecture.name, 1, 10, 3, architecture.size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    if architecture.size < 16:
        network = dataclasses.replace(network, channels=1, mean=(0.5,), std=(0.2,))
    network = dataclasses.replace(network, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network, architecture.build(network)


def _images(network: Network, count: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(count, network.channels, network.size, network.size, generator=draw)


def parameters_are_as_declared(architecture: Architecture) -> None:
    """Has as many parameters and prunable weights as count(network) says."""
    network, model = built(architecture)
    counts = architecture.count(network)
    parameters = sum(p.numel() for p in model.parameters())
    prunable = sum(w.numel() for w in masks.prunable(model).values())
    demand(parameters == counts.parameters, f"{parameters:,} parameters, declared {counts.parameters:,}")
    demand(prunable == counts.prunable, f"{prunable:,} prunable weights, declared {counts.prunable:,}")


def floor_is_as_declared(architecture: Architecture) -> None:
    """Has as many prunable weights as its floor says when one unit is left wherever units can go."""
    network, model = built(architecture)
    found = structured.cuts(model)
    widths = {c.producer: c.units(len(model.get_parameter(f"{c.producer}.weight"))) for c in found}
    first = {name: torch.arange(width) == 0 for name, width in widths.items()}
    mask = structured.mask_without(model, found, first)
    left, floor = (
        sum(int(mask[name].sum()) for name in masks.prunable(model)),
        architecture.count(network).floor,
    )
    demand(left == floor, f"{left:,} are left, declared {floor:,}")


def coupled_floor_is_as_declared(architecture: Architecture) -> None:
    """Has as many prunable weights as ``coupled`` says when one unit is left of all that go together."""
    network, model = built(architecture)
    declared = architecture.count(network).coupled
    if declared is None or architecture.family == "transformer":
        return
    found = coupled.channels(model)
    kept = torch.zeros(found.count, dtype=torch.bool)
    kept[[int(group[0]) for group in found.groups]] = True
    mask = units.mask_of(model, found, kept)
    left = sum(int(mask[name].sum()) for name in masks.prunable(model))
    demand(left == declared, f"{left:,} are left, declared {declared:,}")


def multiply_adds_are_as_declared(architecture: Architecture) -> None:
    """Does as many multiply-adds as count(network) says, by the shapes that pass through its layers."""
    network, model = built(architecture)
    counted = operations(model.eval(), _images(network, 1)) // 2
    macs = architecture.count(network).macs
    demand(counted == macs, f"{counted:,} multiply-adds, declared {macs:,}")


def logits_have_their_shape(architecture: Architecture) -> None:
    """Gives finite logits of shape [images, classes] for pixels in [0, 1], and leaves the pixels alone."""
    network, model = built(architecture)
    x = _images(network, 3)
    before = x.clone()
    with torch.no_grad():
        logits = model.eval()(x)
    wanted = (3, network.classes)
    demand(tuple(logits.shape) == wanted, f"logits have shape {tuple(logits.shape)}, not {wanted}")
    demand(bool(torch.isfinite(logits).all()), "logits are not finite")
    demand(torch.equal(x, before), "the pixels were changed")


def pixels_are_normalised_inside(architecture: Architecture) -> None:
    """Normalises pixels itself, by the network's mean and std."""
    network, model = built(architecture)
    x = _images(network, 3)
    _, shifted = built(architecture, mean=tuple(m + 0.25 for m in network.mean))
    # Normalised by the batch: freshly drawn weights alone may let through nothing but the bias.
    with torch.no_grad():
        fitted, fitted_shifted = (_by_batch(m)(y) for m, y in ((model, x), (shifted, x + 0.25)))
    spread = float(fitted.std(0).max())
    demand(spread > 1e-3, "the output hardly depends on the image")
    same = torch.allclose(fitted, fitted_shifted, rtol=0.0, atol=0.02 * spread)
    demand(same, "pixels and mean shifted alike give other logits")


def _by_batch(model: nn.Module) -> nn.Module:
    """A copy of the network whose batch normalisation looks at the batch, without dropout."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def weights_come_from_the_global_generator(architecture: Architecture) -> None:
    """Draws its weights from torch's global generator alone: the same seed gives the same, another others."""
    first, same, other = (built(architecture, seed)[1].state_dict() for seed in (0, 0, 1))
    unlike = [k for k, v in first.items() if not torch.equal(v, same[k])]
    demand(not unlike, f"the same seed gives another {', '.join(unlike[:3])}")
    demand(any(not torch.equal(v, other[k]) for k, v in first.items()), "another seed gives the same weights")


def weights_can_be_kept(architecture: Architecture) -> None:
    """Is the same network again when its weights are written into a file and read into another one."""
    network, model = built(architecture)
    _, other = built(architecture, 1)
    content = WEIGHTS.encode(model.state_dict())
    other.load_state_dict(dict(WEIGHTS.decode(content)))
    x = _images(network, 2)
    with torch.no_grad():
        same = torch.equal(model.eval()(x), other.eval()(x))
    demand(same, "with the weights of another one read in it gives other logits than that")


def layer_for_maps_has_a_grid(architecture: Architecture) -> None:
    """Names a layer for maps that is there, is passed once, and has a grid of at least 2 x 2."""
    network, model = built(architecture)
    names = [n for n, _ in model.named_modules()]
    demand(architecture.layer in names, f"has no layer {architecture.layer!r}")
    seen: list[tuple[int, ...]] = []
    model.get_submodule(architecture.layer).register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    with torch.no_grad():
        model.eval()(_images(network, 2))
    demand(len(seen) == 1, f"{architecture.layer} is passed {len(seen)} times")
    wanted = "maps [images, channels, height, width] of 2 x 2 at least"
    said = f"{architecture.layer} yields {list(seen[0])}, not {wanted}: no MLP can be an architecture"
    demand(len(seen[0]) == 4 and min(seen[0][2:]) >= 2, said)


CHECKS = (
    parameters_are_as_declared,
    floor_is_as_declared,
    coupled_floor_is_as_declared,
    multiply_adds_are_as_declared,
    logits_have_their_shape,
    pixels_are_normalised_inside,
    weights_come_from_the_global_generator,
    weights_can_be_kept,
    layer_for_maps_has_a_grid,
)
