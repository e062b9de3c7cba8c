"""The mask of a network made elsewhere: in a file of its own, beside its weights, or its exact zeros."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lthbench import masks
from lthbench.checkpoints import files, tensor_names
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.tensor_names import Part
from lthbench.errors import BadInput

#: Where a mask is from that stands in no file.
ZEROS = "mask from its zeros"


def mask_of(
    parts: Mapping[str, Part],
    weights: Mapping[str, torch.Tensor],
    prunable: Sequence[str],
    found: Checkpoint,
    key: str,
    supplied: Any,
) -> tuple[masks.Mask | None, str]:
    """The mask of a network, and where it is from: given, in the file, or its exact zeros.

    ``key`` is where in the file the network stands. Raises BadInput, naming the file that the mask is from.
    """
    own = {name: part.mask for name, part in parts.items() if part.mask is not None}
    where = found.where
    if supplied is not None and (own or found.masks):
        raise BadInput(f"{where}: has masks of its own; leave out --mask.")
    if supplied is not None:
        read = files.of(supplied, "mask")
        where, source = read.where, f"mask from {read.where}"
        own = _by_weight(_of_file(read), weights, where)
    elif own:
        source = "mask in the file"
    elif found.masks:
        source = "mask beside it in the file"
        own = _by_weight(_nearest(found, key), weights, where)
    else:
        zero = {n: w != 0 for n, w in weights.items() if n in prunable or w.dim() == 2}
        own = {n: m for n, m in zero.items() if not bool(m.all())}
        source = ZEROS
        if not any(n in prunable for n in own):
            return None, ""
    mask = {name: _bits(tensor, name, weights[name].shape, where) for name, tensor in own.items()}
    some = [n for n in mask if bool(mask[n].any()) and not bool(mask[n].all())]
    inverted = [n for n in some if bool(((weights[n] != 0) == ~mask[n]).all())]
    if source != "mask in the file" and some and len(inverted) == len(some):
        raise BadInput(f"{found.where}: the {source} is the wrong way round: 1 is for weights that are kept.")
    return {n: torch.ones(weights[n].shape, dtype=torch.bool) for n in prunable} | mask, source


def only_mask(found: Checkpoint, prunable: Sequence[str], weights: Mapping[str, torch.Size]) -> bool:
    """Whether a file holds nothing but a mask: zeros and ones for weights that are pruned."""
    if not found.tensors:
        return True
    named = _plain(found.tensors, weights)
    ways = (tensor_names.read(named, weights, names).parts for names in tensor_names.RENAMES)
    return any(n in prunable for parts in ways for n in parts) and all(map(_binary, found.tensors.values()))


def _of_file(read: Checkpoint) -> dict[str, torch.Tensor]:
    """The masks in a file that was given for one. Raises BadInput for a file of weights, with what to do."""
    if read.masks:
        return _nearest(read, "")
    parts = tensor_names.folded(read.tensors, read.where)
    pruned = {name: part.mask for name, part in parts.items() if part.mask is not None}
    if pruned:
        return pruned
    stray = next((n for n, t in read.tensors.items() if t.dim() > 1 and not _binary(t)), None)
    if stray is not None and any(n.endswith("running_mean") for n in read.tensors):
        raise BadInput(
            f"{read.where}: is a checkpoint, not a mask: {stray[:100]} has values other than 0 and 1. If its "
            "zeros are the mask, give it as --checkpoint, without --mask."
        )
    return read.tensors


def _nearest(found: Checkpoint, key: str) -> dict[str, torch.Tensor]:
    """The masks in a file that stand nearest to the network at ``key``. Raises BadInput for a tie."""

    def shared(place: str) -> int:
        pairs = list(zip(place.split("."), key.split("."), strict=False))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))

    best = max(map(shared, found.masks))
    near = [place for place in found.masks if shared(place) == best]
    if len(near) > 1:
        raise BadInput(
            f"{found.where}: holds several masks ({', '.join(near[:8])}); save the one that counts on "
            "its own, and give it with --mask."
        )
    return found.masks[near[0]]


def _plain(tensors: Mapping[str, torch.Tensor], weights: Mapping[str, Any]) -> dict[str, Part]:
    """Masks by the name of a weight, as far as their own names say it."""
    plain = {}
    for name, tensor in tensor_names.unwrapped(tensors).items():
        own = re.sub(r"([._]mask|_orig)$", "", name)
        if re.fullmatch(r"mask_\w+", own) and "___" in own:
            own = own.removeprefix("mask_").replace("___", ".")
        full = own in weights or own.endswith((".weight", ".bias", ".in_proj_weight", ".in_proj_bias"))
        plain[own if full else f"{own}.weight"] = Part(tensor)
    return tensor_names.joined(plain)


def _by_weight(
    tensors: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], where: str
) -> dict[str, torch.Tensor]:
    """Masks by the name of the weight, as they are called in a file of their own."""
    plain = _plain(tensors, weights)
    if not plain:
        raise BadInput(f"{where}: holds no masks.")
    target = {name: w.shape for name, w in weights.items()}
    for renames in tensor_names.RENAMES:
        matched = tensor_names.read(plain, target, renames).parts
        if matched.keys() <= weights.keys():
            return {name: part.tensor for name, part in matched.items()}
    stray = next(name for name in plain if name not in weights)
    raise BadInput(f"{where}: has a mask for {stray}, which the network does not have.")


def _binary(tensor: torch.Tensor) -> bool:
    return tensor.dtype == torch.bool or bool(((tensor == 0) | (tensor == 1)).all())


def _bits(tensor: torch.Tensor, name: str, shape: torch.Size, where: str) -> torch.Tensor:
    """A mask as bool. Raises BadInput for another shape, or for values that are not 0 or 1.

    A mask of whole channels, whose other sides are 1, holds for all of each.
    """
    plain = tensor.detach().to("cpu")
    channels = plain.dim() == len(shape) and all(a in (1, b) for a, b in zip(plain.shape, shape, strict=True))
    if not channels:
        raise BadInput(f"{where}: the mask of {name} is {list(tensor.shape)}, the weight {list(shape)}.")
    if not _binary(plain):
        raise BadInput(f"{where}: the mask of {name} has values other than 0 and 1.")
    return plain.bool().expand(shape).contiguous().clone()
