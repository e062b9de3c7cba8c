"""Quantised tensors as the numbers that they stand for, and how many bytes each took.

Read are the state dicts of torch.ao (quantised tensors, packed parameters of dynamic and static modules,
fake quantisation of training) and tensors of torchao. How activations are rounded is read in ``activations``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

from lthbench.errors import BadInput

#: The last part of the name under which torch.ao keeps a layer's weight and bias together.
PACKED = "._packed_params._packed_params"
#: What fake quantisation keeps of a weight, and what is kept of activations.
_FAKE = re.compile(r"(.*\.|)(\w+)_fake_quant\.(scale|zero_point|fake_quant_enabled)")
_OBSERVED = re.compile(r"(^|\.)(\w+_fake_quant|activation_post_process)\.")
_OUTPUT = re.compile(r"(^|\.)(scale|zero_point)$|_(scale|zero_point)_\d{1,4}$")
#: The same of a weight, where it is needed when the network is known.
_BY, _AT, _COUNT = "_fake_quant.scale", "_fake_quant.zero_point", "_fake_quant.steps"
#: Where fake quantisation keeps what it observed; the steps of 8 bits, and of fewer.
_RANGE, _EIGHT_BITS = "activation_post_process.", 255
_STEP_COUNTS = (3, 7, 15, 31, 63, 127, _EIGHT_BITS)


#: Where torch keeps several values in a byte, the bits of one.
_BITS = {torch.quint4x2: 4, torch.quint2x4: 2}


class Stored(NamedTuple):
    """How a tensor was stored: the bits of a value, and the bytes of scales and zero points beside it.

    ``floats`` says that values are floats of so many bits, which are what they stand for.
    """

    bits: int
    beside: int
    floats: bool = False


def of_torchao(tensor: Any) -> bool:
    """Whether a tensor is one of torchao's own kinds."""
    return type(tensor).__module__.partition(".")[0] == "torchao"


def inside(state: Mapping[str, Any]) -> bool:
    """Whether a state dict has anything quantised."""
    return any(
        (isinstance(value, torch.Tensor) and (value.is_quantized or of_torchao(value)))
        or str(name).endswith(PACKED)
        or _FAKE.fullmatch(str(name))
        for name, value in state.items()
    )


def kind_of(name: str) -> str:
    """The key of the type that a layer's weight is read in: torch.ao keeps it beside the tensors."""
    return f"{name.removesuffix(PACKED)}._packed_params.dtype"


def unpacked(name: str, value: Iterable[Any], kind: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The weight and the bias that a layer of torch.ao keeps together.

    ``kind`` is the type that its kernels read a weight in which is no quantised tensor.
    """
    layer = name.removesuffix(PACKED)
    tensors = [v for v in value if isinstance(v, torch.Tensor)]
    if tensors and kind == torch.float16 and tensors[0].is_floating_point():
        tensors[0] = tensors[0].to(kind)
    for own, tensor in zip(("weight", "bias"), tensors, strict=False):
        yield f"{layer}.{own}", tensor


def plain(
    tensors: Mapping[str, torch.Tensor], where: str
) -> tuple[dict[str, torch.Tensor], dict[str, Stored]]:
    """The tensors with numbers in place of quantised ones, and how these were stored, by name.

    Scales of activations and what fake quantisation observed are left out. Raises BadInput for a tensor whose
    file has less of it than it says.
    """
    fakes: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        fake = _FAKE.fullmatch(name)
        if fake:
            fakes.setdefault(fake[1] + fake[2], {})[fake[3]] = tensor
    found: dict[str, torch.Tensor] = {}
    stored: dict[str, Stored] = {}
    for name, tensor in tensors.items():
        if tensor.is_quantized or of_torchao(tensor):
            stored[name] = _stored(tensor, name, where)
            found[name] = tensor.dequantize().to(torch.float32)
        elif {"scale", "zero_point"} <= fakes.get(name, {}).keys() and _enabled(fakes[name]):
            scale, zero = fakes[name]["scale"], fakes[name]["zero_point"]
            steps = _steps(tensors, f"{name}_fake_quant.", scale, zero)
            if f"{name.removesuffix('weight')}bn.running_var" in tensors:  # rounded with it: see ``unfused``
                found |= {name: tensor, f"{name}{_BY}": scale, f"{name}{_AT}": zero}
                found[f"{name}{_COUNT}"] = torch.tensor(steps)
            else:
                found[name] = _rounded(tensor, scale, zero, steps, name, where)
            beside = sum(t.numel() * t.element_size() for t in (scale, zero))
            stored[name] = Stored(steps.bit_length(), beside)
        elif not (fakes and _OBSERVED.search(name)):
            found[name] = tensor
    outputs = [name for name, tensor in found.items() if _OUTPUT.search(name) and tensor.numel() <= 1]
    if not stored:  # those of layers whose weights are halves alone
        outputs = [name for name in outputs if _pair(name) <= found.keys()]
    return {name: tensor for name, tensor in found.items() if name not in set(outputs)}, stored


def _pair(name: str) -> set[str]:
    """What stands together in a layer of torch.ao: its weight, and scale and zero point of its output."""
    layer = name.rpartition(".")[0]
    return {f"{layer}.{kind}" for kind in ("weight", "scale", "zero_point")}


def unfused(
    tensors: Mapping[str, torch.Tensor],
    norms: Mapping[str, tuple[str, float]],
    biased: Container[str] = (),
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors with batch normalisation again where it was fused into a convolution.

    ``norms`` has the normalisation after each convolution of the network, and its epsilon: it then adds the
    convolution's bias, and does nothing else; the convolution itself has a bias of zeros if it is among the
    ``biased``. Where normalisation is part of a convolution under fake quantisation (``conv.bn``), the weight
    is rounded times it. Also returns, for each new name, that of what it was.
    """
    found, origins = dict(tensors), dict[str, str]()
    for convolution in sorted(norms, key=len, reverse=True):  # "layer1.0.conv1" before "conv1"
        (norm, epsilon), end = norms[convolution], f"{convolution}.bias"
        for name in [n for n in found if n == end or n.endswith(f".{end}")]:
            before = name.removesuffix(end)
            if f"{before}{convolution}.weight" not in tensors or f"{before}{norm}.weight" in tensors:
                continue
            bias = found.pop(name)
            if convolution in biased:
                found[name] = torch.zeros_like(bias)
            made = {
                "weight": torch.ones_like(bias),
                "bias": bias,
                "running_mean": torch.zeros_like(bias),
                "running_var": torch.full_like(bias, 1.0 - epsilon),
            }
            found |= {f"{before}{norm}.{kind}": tensor for kind, tensor in made.items()}
            origins |= {f"{before}{norm}.{kind}": name for kind in made}
        end = f"{convolution}.bn.running_var"
        for name in [n for n in found if n == end or n.endswith(f".{end}")]:
            before = name.removesuffix(end)
            _round_with_norm(found, f"{before}{convolution}", epsilon)
            for old in [n for n in found if n.startswith(f"{before}{convolution}.bn.")]:
                new = f"{before}{norm}.{old.rpartition('.')[2]}"
                found[new], origins[new] = found.pop(old), old
    return found, origins


def _round_with_norm(found: dict[str, torch.Tensor], layer: str, epsilon: float) -> None:
    """Round a convolution's weight as training does: scaled by normalisation (Jacob et al. 2018, 3.2)."""
    weight = f"{layer}.weight"
    if f"{weight}{_BY}" not in found:
        return
    factor = found[f"{layer}.bn.weight"] * (found[f"{layer}.bn.running_var"] + epsilon).rsqrt()
    factor = torch.where(factor == 0, 1.0, factor).detach().reshape(-1, *[1] * (found[weight].dim() - 1))
    scale, zero, steps = (found.pop(f"{weight}{end}") for end in (_BY, _AT, _COUNT))
    found[weight] = _rounded(found[weight] * factor, scale, zero, int(steps), weight, layer) / factor


def _enabled(fake: Mapping[str, torch.Tensor]) -> bool:
    return "fake_quant_enabled" not in fake or bool(fake["fake_quant_enabled"].any())


def _steps(tensors: Mapping[str, Any], before: str, scale: torch.Tensor, zero: torch.Tensor) -> int:
    """How many steps of ``scale`` fake quantisation has, by the ranges that it observed; else 255.

    Symmetric scales, with zero at 0, are of twice the larger end of each range.
    """
    ends = [tensors.get(f"{before}{_RANGE}{end}") for end in ("min_val", "max_val")]
    told = [e for e in ends if isinstance(e, torch.Tensor) and e.dtype == torch.float32]
    readable = scale.is_floating_point() and all(
        t.device.type != "meta" and t.layout == torch.strided for t in (*told, scale, zero)
    )
    if len(told) < 2 or not readable or any(t.numel() != scale.numel() for t in (*told, zero)):
        return _EIGHT_BITS
    least, most = (end.detach().double().flatten() for end in told)
    width = most.clamp(min=0) - least.clamp(max=0)
    if not bool(zero.any()):
        width = 2 * torch.maximum(most.abs(), least.abs())
    widest = int(width.argmax()) if bool(width.isfinite().all()) and width.numel() else -1
    step = float(scale.detach().flatten()[widest]) if widest >= 0 else 0.0
    if not step > 0:
        return _EIGHT_BITS
    return min(_STEP_COUNTS, key=lambda possible: abs(possible - float(width[widest]) / step))


def _rounded(
    weight: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, steps: int, name: str, where: str
) -> torch.Tensor:
    """A weight as fake quantisation makes it, by its scale, or by that of each of its channels.

    It rounds to ``steps`` + 1 signed integers, with the reciprocal of the scale, as torch does.
    """
    channels = scale.numel()
    if channels not in (1, len(weight)) or zero.numel() != channels:
        raise BadInput(f"{where}: {name[:100]} has {channels} scales, for {len(weight)} channels.")
    shape = (-1, *[1] * (weight.dim() - 1))
    s, z = scale.float().reshape(shape), zero.float().reshape(shape)
    rounded = torch.clamp(torch.round(weight.detach().float() * (1.0 / s)) + z, -(steps + 1) // 2, steps // 2)
    return (rounded - z) * s


def _stored(tensor: torch.Tensor, name: str, where: str) -> Stored:
    """How a quantised tensor is stored. Raises BadInput where its file has less of it."""
    if of_torchao(tensor):
        inner = sorted((part.numel() * part.element_size() for part in _leaves(tensor)), reverse=True)
        _demand(4 * tensor.numel(), sum(inner), name, where)
        return Stored(max(1, round(8 * inner[0] / max(tensor.numel(), 1))), sum(inner[1:]))
    _demand(4 * tensor.numel(), tensor.untyped_storage().nbytes(), name, where)
    bits = _BITS.get(tensor.dtype, 8 * tensor.element_size())
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return Stored(bits, 16)
    scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    beside = sum(t.numel() * t.element_size() for t in (scales, zeros))
    return Stored(bits, beside)


def _demand(needed: int, there: int, name: str, where: str) -> None:
    """A value takes four bytes when it is read, and half a byte at least in a file."""
    if needed > max(1e8, 8 * there):
        raise BadInput(
            f"{where}: {name[:100]} would take {needed / 1e9:.3g} GB, and its file has less of it."
        )


def _leaves(tensor: Any) -> Iterator[torch.Tensor]:
    """The plain tensors that one of torchao's is made of."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for part in tensor.__tensor_flatten__()[0]:
        yield from _leaves(getattr(tensor, part))
