"""Which tensor of a checkpoint is which of a network: prefixes, other projects' names, pruned parameters."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from lthbench.errors import BadInput
from lthbench.planning.digests import IDLE

#: What wrappers put into names: DataParallel, NNI, torch.compile, FSDP, activation checkpoints, Fabric.
_WRAPPERS = frozenset(
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"]
)
_NORMALIZE = {"mean": "mean", "mu": "mean", "std": "std", "sigma": "std"}
_PARAMETRIZED = "parametrizations."
#: No network's own name has more parts.
_DEEPEST = 40
#: How many names of each kind a message lists.
SHOWN = 6

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def _transformers(match: re.Match[str]) -> str:
    stage, block, part = int(match[1]) + 1, match[2], match[3]
    inner = re.fullmatch(r"layer\.(\d{1,4})\.(convolution|normalization)\.", part)
    if inner:
        return f"layer{stage}.{block}.{'conv' if inner[2] == 'convolution' else 'bn'}{int(inner[1]) + 1}."
    return f"layer{stage}.{block}.downsample.{0 if 'convolution' in part else 1}."


def _cifar100(match: re.Match[str]) -> str:
    place = int(match[3])
    return f"layer{int(match[1]) - 1}.{match[2]}.{'conv' if place % 3 == 0 else 'bn'}{place // 3 + 1}."


#: Other projects' names for the same networks, by who uses them. A pattern starts where a name's part does.
RENAMES: dict[str, tuple[Rule, ...]] = {
    "": (),
    "pytorch-cifar": ((r"shortcut\.", "downsample."), (r"linear\.", "fc.")),
    "pytorch-cifar100": (
        (r"conv1\.0\.", "conv1."),
        (r"conv1\.1\.", "bn1."),
        (r"conv(\d)_x\.(\d+)\.residual_function\.(\d)\.", _cifar100),
        (r"conv(\d)_x\.(\d+)\.shortcut\.", lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample."),
    ),
    "WideResNet-pytorch": (
        (r"block(\d)\.layer\.", r"layer\1."),
        (r"convShortcut\.", "shortcut."),
        (r"(?<!\d\.)bn1\.(?=[a-z_]+$)", "bn."),
    ),
    "torchvision": (
        (r"class_token$", "cls_token"),
        (r"conv_proj\.", "patch_embed.proj."),
        (r"encoder\.pos_embedding$", "pos_embed"),
        (r"encoder\.layers\.encoder_layer_(\d{1,4})\.", r"blocks.\1."),
        (r"encoder\.ln\.", "norm."),
        (r"ln_([12])\.", r"norm\1."),
        (r"self_attention\.in_proj_", "attn.qkv."),
        (r"self_attention\.out_proj\.", "attn.proj."),
        (r"mlp\.(?:0|linear_1)\.", "mlp.fc1."),
        (r"mlp\.(?:3|linear_2)\.", "mlp.fc2."),
        (r"heads\.head\.", "head."),
    ),
    "transformers": (
        (r"embedder\.embedder\.convolution\.", "conv1."),
        (r"embedder\.embedder\.normalization\.", "bn1."),
        (
            r"encoder\.stages\.(\d{1,4})\.layers\.(\d+)\.(layer\.\d{1,4}\.\w+\.|shortcut\.(?:convolution|normalization)\.)",
            _transformers,
        ),
        (r"classifier\.1\.", "fc."),
    ),
    "transformers (ViT)": (
        (r"embeddings\.cls_token$", "cls_token"),
        (r"embeddings\.position_embeddings$", "pos_embed"),
        (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"(?:encoder\.layer|layers)\.(\d{1,4})\.", r"blocks.\1."),  # those of version 5 are the shorter ones
        (r"layernorm_before\.", "norm1."),
        (r"layernorm_after\.", "norm2."),
        (r"attention\.(?:attention\.)?qkv\.", "attn.qkv."),
        (r"attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
        (r"intermediate\.dense\.", "mlp.fc1."),
        (r"output\.dense\.", "mlp.fc2."),
        (r"layernorm\.", "norm."),
        (r"classifier\.", "head."),
    ),
}
#: The rows of attention that some files keep apart, in the order that others have them in.
_APART = {"query": ("query", "key", "value"), "q_proj": ("q_proj", "k_proj", "v_proj")}


class Part(NamedTuple):
    """A parameter of a checkpoint: the tensor, and its own mask where it was pruned in place.

    ``rows`` are the tensors of the file that it was put together of, where there are several.
    """

    tensor: torch.Tensor
    mask: torch.Tensor | None = None
    rows: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True)
class Matched:
    """A checkpoint by a network's names, and how it got there.

    ``names`` says whose names it had ("" for the network's own), ``normalization`` the mean and standard
    deviation by channel that it holds itself, if it does.
    """

    parts: dict[str, Part]
    names: str
    prefix: str
    normalization: dict[str, tuple[float, ...]]


def folded(tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, Part]:
    """Pruned parameters as one part each.

    Those of ``torch.nn.utils.prune`` (``_orig`` and ``_mask``), of parametrisations that are masks
    (``original`` and ``0.mask``; what others compute no tensor says), plain ones with a ``_mask`` beside
    them, a layer's ``weight`` and ``mask``, and open_lth's (``model.conv.weight`` and
    ``mask_conv___weight``). Raises BadInput where a parameter stands there plain and pruned, and the two are
    not the same once pruned.
    """
    parts: dict[str, Part] = {}
    origins: dict[str, str] = {}
    used: set[str] = set()
    for name, tensor in tensors.items():
        parametrized = re.fullmatch(r"(.*?)parametrizations\.(\w+)\.original", name)
        plain, ways = name, [f"{name}_mask", f"mask_{name.partition('.')[2].replace('.', '___')}"]
        if name.endswith(".weight"):
            ways.append(f"{name.removesuffix('weight')}mask")
        if name.endswith("_orig") and f"{name[:-5]}_mask" in tensors:
            plain, ways = name[:-5], [f"{name[:-5]}_mask"]
        elif parametrized and f"{parametrized[1]}parametrizations.{parametrized[2]}.0.mask" in tensors:
            plain = parametrized[1] + parametrized[2]
            ways = [f"{parametrized[1]}parametrizations.{parametrized[2]}.0.mask"]
        mask = next((w for w in ways if w in tensors and tensors[w].shape == tensor.shape), None)
        mask = mask or next((w for w in ways[:1] if w in tensors), None)
        part = Part(tensor, None if mask is None else tensors[mask])
        if plain in parts and not _alike(parts[plain], part):
            raise BadInput(
                f"{where}: has {origins[plain]} and {name}, two tensors for one weight. Remove the one that "
                "the network does not compute with; one that is pruned with its mask."
            )
        if plain not in parts or parts[plain].mask is None:
            parts[plain], origins[plain] = part, name
        used |= set() if mask is None else {mask}
    return {name: part for name, part in parts.items() if name not in used}


def _alike(one: Part, other: Part) -> bool:
    """Whether two parts are one weight once they are pruned, as where a file has what a mask makes, too."""
    mask = other.mask if one.mask is None else one.mask
    pair = one.tensor, other.tensor
    if mask is None or any(t.shape != mask.shape or not t.is_floating_point() for t in pair):
        return False
    return torch.equal(*(t.masked_fill(mask == 0, 0.0) for t in pair))


def joined(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The parts with queries, keys and values of attention as one, ``qkv``, where they stand side by side."""
    found = dict(parts)
    for name in parts:
        split = re.fullmatch(r"(.*\.attention\.)(query|q_proj)\.(weight|bias)", name)
        three = [f"{split[1]}{one}.{split[3]}" for one in _APART[split[2]]] if split else []
        if split is None or not all(one in parts for one in three):
            continue
        rows = [found.pop(one) for one in three]
        if len({row.tensor.shape[1:] for row in rows}) > 1 or any(not row.tensor.dim() for row in rows):
            found |= dict(zip(three, rows, strict=True))
            continue
        masks = [
            torch.ones_like(r.tensor, dtype=torch.bool) if r.mask is None else r.mask.bool() for r in rows
        ]
        pruned = any(row.mask is not None for row in rows)
        own = tuple(row.tensor for row in rows)
        whole = Part(torch.cat(own), torch.cat(masks) if pruned else None, own)
        found[f"{split[1]}qkv.{split[3]}"] = whole
    return found


def unwrapped(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors without what wrappers put into the middle of their names, if they then differ still.

    Where NNI's wrapper keeps a weight and its mask, what the layer inside was last computed with is left out.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not _computed(name, tensors)}
    names = {name: inner(name) for name in tensors}
    if len(set(names.values())) < len(names):
        return dict(tensors)
    return {names[name]: tensor for name, tensor in tensors.items()}


def _computed(name: str, tensors: Container[str]) -> bool:
    layer, _, kind = name.rpartition(".module.")
    return f"{layer}.{kind}" in tensors and f"{layer}.{kind}_mask" in tensors


def inner(name: str) -> str:
    """A name without wrappers, but for those that it begins with: they are first names."""
    pieces = name.split(".")
    start = next((i for i, piece in enumerate(pieces) if piece not in _WRAPPERS), 0)
    return ".".join(pieces[:start] + [p for p in pieces[start:] if p not in _WRAPPERS])


def idle(name: str) -> bool:
    """Whether a name says nothing about a network's output in evaluation mode."""
    return IDLE.search(name) is not None


def normalizes(name: str, part: Part, target: Mapping[str, torch.Size]) -> str | None:
    """ "mean" or "std", for a tensor that a network's pixels are normalised by."""
    small = part.tensor.numel() <= 4 and part.tensor.is_floating_point()
    return _NORMALIZE.get(name.rpartition(".")[2]) if small and name not in target else None


def renamed(name: str, names: str) -> str:
    """A name of one project's networks as the network's own."""
    return _renamed(name, RENAMES[names])


def left_over(parts: Mapping[str, Part], target: Mapping[str, torch.Size]) -> int:
    """How many names are missing or unexpected, read in the way that leaves the fewest."""
    return min(_left(read(parts, target, names), target) for names in RENAMES)


def nearest(parts: Mapping[str, Part], target: Mapping[str, torch.Size]) -> Matched:
    """A checkpoint by a network's names, read in the way that leaves the least over, whatever its shapes."""
    return min((read(parts, target, names) for names in RENAMES), key=lambda m: _left(m, target))


def account(parts: Mapping[str, Part], target: Mapping[str, torch.Size], where: str, network: str) -> str:
    """What of a network is missing, unexpected or of another shape among the parts of a checkpoint, or "".

    Of all ways to read its names the one that leaves the least over is taken; ``network`` says in words what
    was looked for.
    """
    best = nearest(parts, target)
    wanted = {name for name in target if not IDLE.search(name)}
    missing = sorted(wanted - best.parts.keys())
    unexpected = sorted(n for n in best.parts if n not in target and not IDLE.search(n))
    shaped = {
        name: best.parts[name].tensor.shape
        for name in sorted(wanted & best.parts.keys())
        if best.parts[name].tensor.shape != target[name]
    }
    if missing or unexpected or shaped:
        return _account(where, network, target, best, missing, unexpected, shaped)
    return ""


def fits(parts: Mapping[str, Part], target: Mapping[str, torch.Size], classifier: str) -> bool:
    """Whether a checkpoint is of a network, whatever the number of its classes."""
    if sum(not idle(name) for name in parts) > len(target) + len(_NORMALIZE):
        return False
    for names in RENAMES:
        found = read(parts, target, names)
        if _left(found, target) == 0:
            same = (found.parts[n].tensor.shape == s for n, s in target.items() if n in found.parts)
            named = (n.startswith(classifier) for n in target if n in found.parts)
            return all(s or c for s, c in zip(same, named, strict=True))
    return False


def read(parts: Mapping[str, Part], target: Mapping[str, torch.Size], names: str) -> Matched:
    """A checkpoint read with the names of one project, without wrappers' prefixes."""
    others = {renamed(name, names): part for name, part in parts.items()}
    if len(others) < len(parts):  # two tensors of one name: these names are not the checkpoint's
        others, names = dict(parts), ""
    own_names, prefix = _unwrapped(others, target)
    counts = Counter(p for name in own_names for p in prefixes(name, target))
    more = counts.most_common(1)[0][0] if counts else ""
    found: dict[str, Part] = {}
    normalization: dict[str, tuple[float, ...]] = {}
    for name, part in own_names.items():
        own = name.removeprefix(more) if name.startswith(more) else name
        kind = normalizes(own, part, target)
        if kind:
            normalization[kind] = tuple(part.tensor.detach().double().flatten().tolist())
        else:
            found[own] = part
    return Matched(found, names, prefix + more, normalization)


def _unwrapped(parts: Mapping[str, Part], target: Iterable[str]) -> tuple[dict[str, Part], str]:
    """The parts without first names that all have in common and the network does not have."""
    own, stripped, prefix = {name.partition(".")[0] for name in target}, dict(parts), ""
    while stripped:
        first = {name.partition(".")[0] for name in stripped}
        if len(first) > 1 or first & own or not all("." in name for name in stripped):
            break
        prefix += f"{first.pop()}."
        stripped = {name.partition(".")[2]: part for name, part in stripped.items()}
    return stripped, prefix


def prefixes(name: str, target: Container[str]) -> Iterable[str]:
    """What could stand before the network's own name."""
    pieces = name.split(".")
    for i in range(max(0, len(pieces) - _DEEPEST), len(pieces)):
        if ".".join(pieces[i:]) in target:
            yield "".join(f"{p}." for p in pieces[:i])


def _renamed(name: str, rules: Iterable[Rule]) -> str:
    for pattern, other in rules:
        name = re.sub(rf"(?<![^.]){pattern}", other, name)
    return name


def _left(found: Matched, target: Mapping[str, torch.Size]) -> int:
    """How many names are missing or unexpected."""
    return sum(1 for n in set(target) ^ set(found.parts) if not IDLE.search(n))


def _integers(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized)


def _account(
    where: str,
    network: str,
    target: Mapping[str, torch.Size],
    found: Matched,
    missing: list[str],
    unexpected: list[str],
    shaped: Mapping[str, torch.Size],
) -> str:
    """What does not match, a line for each name, with the nearest one on the other side."""
    counts = (
        (len(missing), "missing"),
        (len(unexpected), "unexpected"),
        (len(shaped), "of another shape"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    lines = [f"{where}: does not hold {network}: {said}, of {len(target)} tensors."]
    for kind, names, others in (("missing", missing, unexpected), ("unexpected", unexpected, missing)):
        for name in names[:SHOWN]:
            shape = target[name] if kind == "missing" else found.parts[name].tensor.shape
            near = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
            lines.append(f"  {kind}: {name} {list(shape)}{f'; nearest: {near[0]}' if near else ''}")
        if len(names) > SHOWN:
            lines.append(f"  {kind}: and {len(names) - SHOWN} more")
    for name, shape in list(shaped.items())[:SHOWN]:
        lines.append(f"  shape: {name} is {list(shape)} in the file, {list(target[name])} in the network")
    if len(shaped) > SHOWN:
        lines.append(f"  shape: and {len(shaped) - SHOWN} more")
    whole = [n for n in target if n in found.parts and _integers(found.parts[n].tensor) and not idle(n)]
    if whole:
        lines.append(
            f"  {whole[0]} is {found.parts[whole[0]].tensor.dtype}: of integers with scales beside them, "
            "those of torch.ao and torchao are read; else save the numbers that they stand for."
        )
    layer, made, rest = next((n for n in unexpected if _PARAMETRIZED in n), "").rpartition(_PARAMETRIZED)
    if made:
        name = rest.partition(".")[0]
        lines.append(
            f"  {layer}{name} is computed by a parametrization, and no tensor says how: give the module "
            "itself (lthbench.score), or save it after torch.nn.utils.parametrize.remove_parametrizations("
            f'model.{layer.rstrip(".")}, "{name}").'
        )
    normed = next((n[:-2] for n in unexpected if n.endswith("_g") and f"{n[:-1]}v" in unexpected), "")
    if normed:
        lines.append(
            f"  {normed} is computed of {normed}_g and {normed}_v (weight_norm): give the module itself "
            "(lthbench.score), or save it after torch.nn.utils.remove_weight_norm of that layer."
        )
    narrower = [
        n for n, s in shaped.items() if len(s) == len(target[n]) and all(map(int.__le__, s, target[n]))
    ]
    if narrower and len(narrower) == len(shaped) and not missing and len(shaped) > 2:
        lines.append(
            "  Narrower layers are read where channels are gone alone or with all that they are added to, as "
            "lthbench export --compact leaves them out; else keep their shapes, with zeros."
        )
    return "\n".join(lines)
