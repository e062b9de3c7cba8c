"""How sharp the loss is: traces and the largest eigenvalue of its Hessian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lthbench.errors import StepFailed
from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from lthbench.masks import Mask

#: Images behind the eigenvalue: it takes many products with the Hessian of their mean loss.
EIGENVALUE_IMAGES = 100


#: Forward passes for each image, and for each of those behind the eigenvalue, as measured (vit-tiny, a CPU):
#: Hutchinson's directions are shown in float64, and an eigenvalue of a smooth loss takes more products.
TRANSFORMER_PASSES = (110.0, 145.0)


def passes(family: str, images: int) -> float:
    """Forward passes for so many images in all, by the kind of network."""
    if family != "transformer":
        return 45.0 * images
    each, few = TRANSFORMER_PASSES
    return each * images + few * min(images, EIGENVALUE_IMAGES)


def measure(context: Context) -> list[Value]:
    """Traces over surviving weights and over pixels for each image, and the largest eigenvalue."""
    import torch

    from lthbench.functional.curvature import no_exact_trace, traces
    from lthbench.functional.directional_curvature import BATCH

    model, mask = context.network(), context.held()
    device = next(model.parameters()).device
    shown = context.images("geometry")
    pixels = torch.from_numpy(shown.pixels[:]).to(device, torch.float32).div_(255.0)
    labels = torch.from_numpy(shown.labels).to(device)
    found = traces(model, pixels, mask, labels)
    alive = sum(
        int(mask[name].sum()) if mask and name in mask else p.numel() for name, p in model.named_parameters()
    )
    few, inexact = EIGENVALUE_IMAGES, no_exact_trace(model, pixels[:1])
    why = f"estimated: {inexact}" if inexact else ""
    size = BATCH if inexact else 1  # images that share directions over weights; pixels have their own
    return [
        _trace("hessian_trace", found.weights, why, size, draws=True),
        _trace("hessian_trace_per_parameter", found.weights / max(alive, 1), why, size),
        _trace("hessian_trace_scaled", found.scaled, why, size),
        _trace("input_hessian_trace", found.pixels, why),
        _top(model, pixels[:few], labels[:few], mask),
    ]


def _trace(score: str, values: NDArray[np.float64], why: str, size: int = 1, *, draws: bool = False) -> Value:
    """The mean of a trace over images; no value where it was estimated, as ``why`` says, and is not above 0.

    What is estimated may be below 0 by chance, or because the loss bends down. Each ``size`` images in a row
    are estimated from the same directions.
    """
    from lthbench.scoring import batched_value, mean_value, none_of

    found = mean_value(score, values, reason=why)
    if size > 1:
        found = batched_value(score, values, size, reason=why)
    if why and found.value <= 0.0 and values.any():
        spread = "" if math.isnan(found.se) else f" ± {found.se:.2g}"
        return none_of(score, len(values), f"{why}; the estimate, {found.value:.2g}{spread}, is not above 0")
    return found if draws else found._replace(draws=None)


def _top(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, mask: Mask | None) -> Value:
    """The largest eigenvalue and its error; no value where it cannot be found."""
    from lthbench.functional.curvature import top_eigenvalue
    from lthbench.functional.directional_curvature import along
    from lthbench.scoring import mean_and_error, none_of

    n = len(labels)
    try:
        top, vector = top_eigenvalue(model, pixels, labels, mask)
    except StepFailed as why:
        return none_of("hessian_top", n, str(why))
    try:
        error = mean_and_error(along(model, pixels, labels, vector).cpu().numpy())[1]
    except NotImplementedError:  # a network does something that PyTorch cannot differentiate forwards
        error = math.nan
    return Value("hessian_top", top, error, n)


def _score(name: str, title: str, low: float = 0.0, **verdict: Any) -> Score:
    return Score(name, title, "nats", False, low, math.inf, "geometry", **verdict)


METRIC = Metric(
    name="hessian",
    version=5,
    # Version 4 estimates traces of curved networks of plug-ins that were taken for linear; version 5 gives
    # estimates an error of directions, too.
    values_since=2,
    title="loss geometry",
    formula="trace of the Hessian of the mean cross-entropy, exact: sum_k |J' b_k|^2; top eigenvalue",
    source=(
        "Yao et al. 2020, PyHessian; Chen et al. 2022, section 3.4. Over surviving parameters, on training "
        "images without augmentation; the trace is that of the Gauss-Newton matrix, equal to the Hessian's "
        "for piecewise linear networks whose layers are each used once; of others, such as transformers, it "
        "is Hutchinson's estimate from five directions for every 16 images, with the error over these "
        "batches, and its reason says so; one that is not above 0 is no value. The error of the eigenvalue "
        "is that of the mean, over images, of second derivatives along its vector. Of more than 20 classes "
        "the columns b_k are ten combinations of them with random signs: right in the mean, and not exact. "
        "Scaled: each term times the squared parameter"
    ),
    scores=(
        _score(
            "hessian_trace",
            "Hessian trace",
            verdict=True,
            margin=0.2,
            relative_margin=True,
            margin_reason="a fifth of the dense parent's: it has no natural scale (lthbench's choice)",
            short="Hessian",
            shortest="Hess",
        ),
        _score("hessian_trace_per_parameter", "Hessian trace / parameter"),
        _score("hessian_trace_scaled", "scaled Hessian trace"),
        _score("input_hessian_trace", "input Hessian trace"),
        _score("hessian_top", "top Hessian eigenvalue", -math.inf),
    ),
    needs=(),
    looks=("geometry",),
    passes=45.0,
    passes_of=passes,
    measure=measure,
)
