"""How torchvision's GoogLeNet has its pixels normalised, which none of its tensors says.

With ``transform_input``, which comes with its published weights, it takes pixels normalised by mean and
standard deviation of ImageNet, and turns them into those normalised by 0.5. A state dict that was pruned or
fine-tuned from these weights looks like any other, so whoever gives one has to say.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from lthbench.checkpoints.contents import Checkpoint
from lthbench.errors import BadInput
from lthbench.spec import Network

#: How the names of the published weights begin, and the hash of their file.
NAMES, HASH = "GoogLeNet_Weights.", "1378be20"
#: The pixels that the layers of these weights are made for, and those that the module takes.
PIXELS: dict[str, tuple[float, ...]] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
OF_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class PixelsUnknown(BadInput):
    """The network fits, and nobody knows how its pixels are normalised."""


def of_module(model: nn.Module) -> Mapping[str, tuple[float, ...]] | None:
    """The pixels that a module says it is made for: {} for those it is given, None where it is silent."""
    every = [getattr(module, "transform_input", None) for module in model.modules()]
    said = [own for own in every if isinstance(own, bool)]
    return PIXELS if any(said) else {} if said else None


def pixels(
    network: Network, found: Checkpoint, held: Mapping[str, tuple[float, ...]], *, told: bool
) -> Mapping[str, tuple[float, ...]]:
    """The mean and std that a checkpoint has its pixels normalised by, as far as it says.

    ``held`` are those among its tensors; ``told`` says that the user gives others. Raises BadInput for a
    GoogLeNet of which nobody says.
    """
    if told:
        return held
    if found.pixels and any(not np.allclose(held[k], OF_IMAGENET[k], rtol=0, atol=1e-6) for k in held):
        raise PixelsUnknown(
            f"{found.where}: normalises its pixels by the mean and standard deviation among its tensors, and "
            "then again (transform_input). Say what both come to: --mean and --std (normalization= in "
            "Python)."
        )
    if found.pixels is None and not held and network.architecture == "googlenet":
        raise PixelsUnknown(
            f"{found.where}: does not say how its pixels are normalised. Say which (normalization= in "
            "Python):\n"
            f"  {_options(PIXELS['mean'], PIXELS['std'])}: torchvision's published weights (transform_input="
            "True), and what is pruned or fine-tuned from them\n"
            f"  {_options(network.mean, network.std)}: trained without transform_input on pixels normalised "
            "as the task does"
        )
    return {**held, **(found.pixels or {})}


def _options(*values: tuple[float, ...]) -> str:
    mean, std = (",".join(f"{v:g}" for v in channel) for channel in values)
    return f"--mean {mean} --std {std}"
