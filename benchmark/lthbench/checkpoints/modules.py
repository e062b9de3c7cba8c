"""Networks given as modules: the weights that they compute with, and whether they compute what was read.

A state dict says neither what a layer makes of its parameters (``torch.nn.utils.parametrize``) nor what a
forward pass does beside them: an epsilon, an activation, a stride.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lthbench import registry
from lthbench.errors import BadInput, because
from lthbench.global_state import full_precision, kept
from lthbench.kinds import Architecture
from lthbench.spec import Network

#: How many images two networks are compared on, one half of them noise, the other smooth.
IMAGES = 4
#: By how much of the largest logit two passes may differ that compute the same, by the type of what layers
#: put out.
_ROUNDING = {torch.float16: 0.02, torch.bfloat16: 0.1}
_OF_FLOATS = 1e-3
#: What share of that the scale of logits may differ by: rounding is of either sign.
_OF_SCALE = 0.2


def tensors(model: nn.Module, where: str) -> dict[str, torch.Tensor]:
    """The state dict of a module, with the weights that it computes in place of what these are made of.

    A parametrization that is a mask alone stays: it says what is pruned. Raises BadInput for a weight that
    cannot be computed.
    """
    state = dict(model.state_dict())
    with _evaluated(model, where):
        for place, layer in model.named_modules(remove_duplicate=False):
            way = f"{place}." if place else ""
            for hook in layer._forward_pre_hooks.values():
                if isinstance(hook, WeightNorm | SpectralNorm):  # what was there before parametrizations
                    hook(layer, ())
                    made_of = {f"{way}{hook.name}{end}" for end in ("_g", "_v", "_orig", "_u")}
                    state = {n: t for n, t in state.items() if n not in made_of}
                    state[f"{way}{hook.name}"] = getattr(layer, hook.name).detach()
            if not parametrize.is_parametrized(layer):
                continue
            for name in layer.parametrizations:
                try:
                    weight = getattr(layer, name).detach()
                except Exception as error:  # the parametrizations of others raise anything
                    raise BadInput(f"{where}: cannot compute {way}{name}{because(error)}.") from error
                start = f"{way}parametrizations.{name}."
                if _masked(state.get(f"{start}original"), state.get(f"{start}0.mask"), weight):
                    continue
                state = {n: t for n, t in state.items() if not n.startswith(start)}
                state[f"{way}{name}"] = weight
    return state


def _masked(original: torch.Tensor | None, mask: torch.Tensor | None, weight: torch.Tensor) -> bool:
    """Whether a weight is a tensor of the state dict times the mask beside it."""
    if original is None or mask is None or original.shape != mask.shape:
        return False
    return torch.equal(original * mask, weight)


def hold_to_its_output(
    module: nn.Module,
    network: Network,
    weights: Mapping[str, torch.Tensor],
    pixels: Mapping[str, tuple[float, ...]],
    where: str,
) -> None:
    """Raise BadInput where a module gives other logits than the network that was read of it.

    It may take pixels from 0 to 1, or normalised as the network does it or by ``pixels``. Warns where its
    output cannot be compared.
    """
    architecture = registry.get(Architecture, network.architecture)
    images = _images(network)
    with kept(f"architecture {architecture.name}"), torch.no_grad(), full_precision():
        own = architecture.build(network)
        own.load_state_dict(dict(weights))
        wanted = _centred(own.eval()(images))
    scale = float(wanted.abs().max())
    inputs = [images, _normalised(images, network.mean, network.std)]
    inputs += [_normalised(images, pixels["mean"], pixels["std"])] if pixels else []
    kinds: set[torch.dtype] = set()
    least = float("inf")
    with _evaluated(module, where), full_precision(), _types_of_outputs(module, kinds):
        for given in inputs:
            try:
                logits = _logits(module, given, network.classes).detach()
                made = logits.to("cpu", torch.float64)
            except Exception as error:  # a module of others may take something else, or need a device
                warnings.warn(
                    f"{where}: its own output could not be compared with that of the network that was read"
                    f"{because(error)}.",
                    stacklevel=2,
                )
                return
            kinds |= (
                {logits.dtype} if kinds else {logits.dtype, _most(module).dtype}
            )  # no layer told its type
            rounding = max(_ROUNDING.get(kind, _OF_FLOATS) for kind in kinds)
            allowed = scale * rounding + 1e-5
            apart = _apart(made, wanted)
            least = min(least, apart)
            scaled = abs(_scale(made, wanted) - 1) > _OF_SCALE * rounding and rounding > _OF_FLOATS
            if (apart <= allowed and not scaled) or not bool(torch.isfinite(wanted).all()):
                return
            if _are_probabilities(made, rounding) and _apart(made.log(), wanted) <= allowed:
                raise BadInput(
                    f"{where}: gives probabilities, not logits. Give it without the softmax at its end, or "
                    "give model.state_dict() for its weights alone."
                )
    reduced = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds & _ROUNDING.keys()))
    explained = f"of which rounding explains {allowed:.3g}, of scale {_OF_SCALE * rounding:.1%}"
    note = f" (it computes in {reduced}, {explained})" if reduced else ""
    raise BadInput(
        f"{where}: gives other logits than {architecture.name} with its weights: they differ by up to "
        f"{least:.3g}{note}, and are up to {scale:.3g}. The module has other settings (epsilon, activation, "
        "stride), scales its logits, takes pixels of another scale (0 to 255), or normalises them in another "
        "way. Say how it normalises them (normalization=), or make it an architecture of your own "
        "(docs/plugins.md). If its weights alone are meant, give model.state_dict()."
    )


@contextlib.contextmanager
def _types_of_outputs(module: nn.Module, kinds: set[torch.dtype]) -> Iterator[None]:
    """Add the floating-point types of layers that compute, and of what they put out: autocast makes others.

    A parameter that nothing is computed with says nothing about rounding.
    """

    def look(layer: nn.Module, given: Any, made: Any) -> None:
        own = [made] if isinstance(made, torch.Tensor) else []
        kinds.update(t.dtype for t in (*own, *layer.parameters(recurse=False)) if t.is_floating_point())

    leaves = [part for part in module.modules() if next(part.children(), None) is None]
    hooks = [
        layer.register_forward_hook(look) for layer in leaves
    ]  # torch.compile warns of one for all modules
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _eagerly() -> contextlib.AbstractContextManager[Any]:
    """Compiled modules run as they are written: compiling takes long, and changes what ``kept`` looks at."""
    if "torch._dynamo" not in sys.modules:  # nothing can be compiled yet, and the import takes a second
        return contextlib.nullcontext()
    eager: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return eager


@contextlib.contextmanager
def _evaluated(model: nn.Module, where: str) -> Iterator[None]:
    """A module in evaluation mode, without gradients; its attributes and buffers are then what they were."""
    modules = list(model.modules())
    before = [(dict(vars(module)), _held(module), module.training) for module in modules]
    with kept(where), _eagerly(), torch.no_grad():
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        try:
            model.eval()
            yield
        finally:
            for module, (attributes, held, training) in zip(modules, before, strict=True):
                for name in vars(module).keys() - attributes.keys():
                    del vars(module)[name]
                vars(module).update(attributes)
                for name, own in held.items():  # the same objects, as a forward pass may assign new ones
                    attributes[name].clear()
                    attributes[name].update(own)
                module.training = training  # which modules of TorchScript keep elsewhere
            for buffer, values in buffers:
                if buffer.shape == values.shape and not torch.equal(buffer, values):
                    buffer.copy_(values)


def _held(module: nn.Module) -> dict[str, dict[str, Any]]:
    """The buffers, parameters and layers of a module, as they are now."""
    own = {name: vars(module).get(name) for name in ("_buffers", "_parameters", "_modules")}
    return {name: dict(value) for name, value in own.items() if isinstance(value, dict)}


def _images(network: Network) -> torch.Tensor:
    """Images of pixels from 0 to 1 that are the same always."""
    draw, size = torch.Generator().manual_seed(0), (network.size, network.size)
    half = IMAGES // 2
    noise = torch.rand(half, network.channels, *size, generator=draw)
    coarse = torch.rand(half, network.channels, 4, 4, generator=draw)
    return torch.cat([noise, F.interpolate(coarse, size, mode="bilinear")])


def _normalised(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    middle, spread = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (mean, std))
    return (images - middle) / spread


def _logits(module: nn.Module, images: torch.Tensor, classes: int) -> torch.Tensor:
    """What a module makes of images, on the device and in the type of most weights. Raises TypeError."""
    like = _most(module)
    made: Any = module(images.to(like.device, like.dtype))
    # those of transformers have logits; so have dicts of others
    made = made.get("logits", made) if isinstance(made, dict) else getattr(made, "logits", made)
    made = made[0] if isinstance(made, tuple | list) and made else made
    if not isinstance(made, torch.Tensor) or made.shape != (len(images), classes):
        shown = f"shape {list(made.shape)}" if isinstance(made, torch.Tensor) else type(made).__name__
        raise TypeError(f"it gives {shown}, not logits of shape {[len(images), classes]}")
    return made


def _most(module: nn.Module) -> torch.Tensor:
    """A parameter of the floating-point type that most numbers of a module have; a float for one without."""
    counts: Counter[torch.dtype] = Counter()
    first: dict[torch.dtype, torch.Tensor] = {}
    for parameter in module.parameters():
        if parameter.is_floating_point():
            counts[parameter.dtype] += parameter.numel()
            first.setdefault(parameter.dtype, parameter)
    return first[counts.most_common(1)[0][0]] if counts else torch.zeros(())


def _scale(made: torch.Tensor, wanted: torch.Tensor) -> float:
    """The factor that brings wanted logits, which are centred, nearest to those made; 1 for zeros."""
    power = float((wanted * wanted).sum())
    return float((_centred(made) * wanted).sum()) / power if power else 1.0


def _apart(made: torch.Tensor, wanted: torch.Tensor) -> float:
    """By how much logits differ at most from those that are wanted, which are centred; may be infinite."""
    return float((_centred(made) - wanted).abs().nan_to_num(float("inf")).max())


def _are_probabilities(made: torch.Tensor, rounding: float) -> bool:
    """Whether each row is of probabilities of classes."""
    return bool((made >= 0).all()) and bool(((made.sum(1) - 1).abs() <= rounding).all())


def _centred(logits: torch.Tensor) -> torch.Tensor:
    """Logits less their mean: what a softmax looks at, and the same for log-probabilities."""
    wide = logits.detach().to("cpu", torch.float64)
    return wide - wide.mean(1, keepdim=True)
