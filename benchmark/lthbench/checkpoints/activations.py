"""How a quantised checkpoint rounds activations, and which layers of a network do the same.

Read are the scales of torch.ao's static quantisation (one a layer, for what it puts out; of graphs also those
of a module's last operation, such as the sum of a residual block), those of its fake quantisation, and that
torchao rounds what linear layers read, by token. What torch.ao quantises anew for each batch (dynamic
quantisation) depends on which images are shown together, and is left in float32, as is what has no module to
round it: operations within one, and pooling.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from lthbench.checkpoints.tensor_names import Part
from lthbench.compute.tracing import traceable, traced
from lthbench.errors import BadInput
from lthbench.inference.rounding import OUTPUT, TOKENS

#: Where a layer's output is rounded: under fake quantisation, and in a converted network.
_SCALE = re.compile(r"(?:(.*?)\.)?(?P<fake>activation_post_process\.)?scale")
#: The same of an operation between layers, of a network quantised as a graph: the module's name, a number.
_IN_GRAPH = re.compile(r"(.*)_scale_(\d{1,4})")
_OBSERVER = "activation_post_process."
#: The unsigned integers that torch.ao's converted networks round to.
_LEVELS = 255
#: How many places a message lists.
_SHOWN = 4


class Rounded(NamedTuple):
    """How the activations of a place are rounded: ``way`` is one of ``inference.rounding``'s.

    For outputs to the integers from 0 to ``levels``, each ``scale`` apart, ``zero`` standing for zero.
    """

    way: str
    scale: float = 0.0
    zero: int = 0
    levels: int = 0


@dataclass(frozen=True)
class Found:
    """What a file says of activations: how they are rounded, by place, in its order, and what it cannot say.

    ``unread`` are places whose scales are by channel, ``first`` is the place that the file's first tensor is
    of; ``quantised`` says that there is anything quantised.
    """

    places: Mapping[str, Rounded] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    first: str = ""
    quantised: bool = False


def found(tensors: Mapping[str, Any], where: str, quantised: Iterable[str]) -> Found:
    """What tensors say of activations; ``quantised`` are the names of those that are quantised weights.

    Raises BadInput for a scale that is no positive number.
    """
    weights = list(quantised)
    if not weights and not any("fake_quant_enabled" in name for name in tensors):
        return Found()
    places: dict[str, Rounded] = _in_graph(tensors, where)
    unread = []
    for name, tensor in tensors.items():
        if _by_token(tensor):
            places[name.rpartition(".")[0]] = Rounded(TOKENS)
        matched = _SCALE.fullmatch(name)
        if matched is None or f"{name.removesuffix('scale')}zero_point" not in tensors:
            continue
        place, before = matched[1] or "", name.removesuffix("scale")
        if before.endswith("_fake_quant."):  # of a weight
            continue
        enabled = tensors.get(f"{before}fake_quant_enabled")
        if enabled is not None and enabled.numel() == 1 and not _number(enabled, name, where):
            continue
        zero = tensors[f"{before}zero_point"]
        if tensor.numel() != 1 or zero.numel() != 1:
            unread.append(place)
            continue
        scale, at = _number(tensor, name, where), _number(zero, f"{before}zero_point", where)
        if matched["fake"] is None and (scale, at) == (1.0, 0.0):
            continue  # what dynamic quantisation leaves there
        places[place] = _rounded(name, scale, at, _levels(tensors, before, scale), where)
    first = next(iter(tensors)).partition(_OBSERVER)[0].rpartition(".")[0]
    return Found(places, tuple(unread), first, True)


def _in_graph(tensors: Mapping[str, Any], where: str) -> dict[str, Rounded]:
    """How the last operation of each module is rounded, by the module's name with "_" for "."."""
    last: dict[str, int] = {}
    places = {}
    for name, tensor in tensors.items():
        matched = _IN_GRAPH.fullmatch(name)
        zero = tensors.get(f"{matched[1]}_zero_point_{matched[2]}") if matched else None
        if matched is None or zero is None or tensor.numel() != 1 or zero.numel() != 1:
            continue
        if int(matched[2]) >= last.get(matched[1], 0):
            last[matched[1]] = int(matched[2])
            scale, at = _number(tensor, name, where), _number(zero, name, where)
            places[matched[1]] = _rounded(name, scale, at, _LEVELS, where)
    return places


def _by_token(tensor: Any) -> bool:
    """Whether torchao rounds what the layer of a weight reads: each token to 8 bits by its largest number."""
    how = getattr(tensor, "act_quant_kwargs", None)
    others = (getattr(tensor, name, None) for name in ("act_pre_scale", "act_quant_scale"))
    return (
        how is not None
        and all(other is None for other in others)
        and type(getattr(how, "granularity", None)).__name__ == "PerRow"
        and getattr(getattr(how, "mapping_type", None), "name", "") == "SYMMETRIC"
        and not getattr(how, "reduce_range", False)
    )


def _levels(tensors: Mapping[str, Any], before: str, scale: float) -> int:
    """How many steps fake quantisation has, by the range that it observed; 7 bits are usual on x86."""
    ends = [tensors.get(f"{before}{_OBSERVER}{end}") for end in ("min_val", "max_val")]
    told = [end for end in ends if end is not None and end.numel() == 1 and end.dtype == torch.float32]
    found = [_number(end, before, "") for end in told if end.device.type != "meta"]
    if len(found) < 2 or not all(map(math.isfinite, found)):
        return _LEVELS
    least, most = found
    near = (max(most, 0.0) - min(least, 0.0)) / scale if scale > 0 else 0.0
    return min((3, 7, 15, 31, 63, 127, 255), key=lambda levels: abs(levels - near))


def _rounded(name: str, scale: float, zero: float, levels: int, where: str) -> Rounded:
    whole = math.isfinite(zero) and zero == int(zero) and -128 <= zero <= 255
    if not (whole and math.isfinite(scale) and scale > 0):
        raise BadInput(f"{where}: {name[:100]} is {scale:g} with zero at {zero:g}; no scale of 8 bits.")
    at = int(zero) if zero >= 0 else int(zero) + (levels + 1) // 2  # of signed integers
    return Rounded(OUTPUT, scale, at, levels)


def _number(tensor: torch.Tensor, name: str, where: str) -> float:
    """The number that a tensor of one element holds. Raises BadInput for what holds none."""
    if tensor.is_complex() or tensor.is_quantized or tensor.device.type == "meta":
        raise BadInput(f"{where}: {name[:100]} holds no number.")
    return float(tensor.to_dense() if tensor.layout != torch.strided else tensor)


Placed = tuple[tuple[str, str, float, int, int], ...]


def layers(
    tensors: Mapping[str, torch.Tensor], parts: Mapping[str, Part], made: Mapping[str, str]
) -> dict[str, str]:
    """For each layer of a file, by its name there, the network's layer that puts out what it puts out.

    ``parts`` are the tensors by the network's names; ``made`` has, for each tensor of a normalisation that
    was fused into a convolution, the name of the convolution's bias: the file's convolution puts out what the
    normalisation does.
    """
    names = {id(tensor): name for name, tensor in tensors.items()}
    found = {}
    for own, part in parts.items():
        name = names.get(id(part.tensor), "")
        if name.endswith(".weight") and own.endswith(".weight"):
            found[name.removesuffix(".weight")] = own.removesuffix(".weight")
    fused = {
        re.sub(r"\.bias$|\.bn\.weight$", "", made[f"{place}.weight"]): own
        for place, own in found.items()
        if f"{place}.weight" in made
    }
    return found | fused


def placed(
    said: Found, homes: Mapping[str, str], model: nn.Module, *, normalised: bool
) -> tuple[Placed | None, dict[str, Any] | None]:
    """The layers of a network that round their activations, and the account; None where nothing is quantised.

    ``homes`` are ``layers``. What is rounded first of all, by a layer without weights, are the pixels: as
    ``model.normalize`` puts them out, unless the file has a normalisation of its own (``normalised``).
    """
    if not said.quantised:
        return None, None
    modules = dict(model.named_modules())
    starts = Counter(place.removesuffix(own) for place, own in homes.items() if place.endswith(own))
    start = starts.most_common(1)[0][0] if starts else ""
    ends = _ending_with_operations(model)
    flat = {name.replace(".", "_"): name for name in ends}
    # What the first layer reads, by its name in the file and here, where a fused one is called as its norm.
    inputs = {"", *(f"{n.replace('.', '_')}_input" for pair in list(homes.items())[:1] for n in pair)}
    rounded: dict[str, Rounded] = {}
    left = list(said.unread)
    for place, how in said.places.items():
        own = homes.get(place) or place.removeprefix(start)
        above = own.rpartition(".")[0]
        if own in modules and own:
            rounded[own] = how
        elif own in flat:
            rounded[flat[own]] = how
        elif (place == said.first or {own, place} & inputs) and not normalised and "normalize" in modules:
            rounded["normalize"] = how
        elif above in ends:  # a module of the file alone, that adds
            rounded[above] = how
        else:
            left.append(place)
    account = {"rounded": sorted(rounded), "left": left, "said": _said(rounded, left)}
    return tuple((name, *rounded[name]) for name in sorted(rounded)) or None, account


def _ending_with_operations(model: nn.Module) -> list[str]:
    """The modules whose last operation is their own, such as a sum, and none of a layer in them."""
    if not traceable(model):
        return []
    last: dict[str, bool] = {}
    for node in traced(model).graph.nodes:
        names = [name for name, _ in (node.meta.get("nn_module_stack") or {}).values()]
        for name in names:
            last[name] = node.op == "call_function" and name == names[-1]
    return [name for name, own in last.items() if own and name]


def _said(rounded: Sized, left: Sequence[str]) -> str:
    """The account in words."""
    if not rounded and not left:
        return "activations in float32 (the file has no scales for them)"
    said = f"activations of {len(rounded)} layers rounded, too" if rounded else "activations in float32"
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        said += f"; not those of {', '.join(left[:_SHOWN])}{more}, which are no layers here"
    return said
