"""Structured pruning: whole filters go, and all that reads their channels.

In transformers it is the neurons of MLPs and the heads of attention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.errors import StepFailed
from lthbench.kinds import Cell, Counts, Criterion, Method
from lthbench.methods import finetune
from lthbench.methods.omp import magnitude
from lthbench.methods.random import uniform
from lthbench.spec import Weights

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores
    from lthbench.masks.structured import Cut

#: Images of each class that first-order importance is averaged over, in batches of one of each class.
TAYLOR_IMAGES = 10


def squares(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w^2, so that filters are ranked by their L2 norm. Looks at no data."""
    from lthbench.masks import prunable

    del batches, generator
    return {name: weight.detach().double().square() for name, weight in prunable(model).items()}


def distances(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score a filter by the sum of its Euclidean distances to the filters of its layer.

    He et al. 2019, Filter Pruning via Geometric Median, section 3: what lies nearest to the geometric median
    of its layer is what the others can stand in for. Looks at no data.
    """
    import torch

    from lthbench.masks.structured import cuts

    del batches, generator
    found = {}
    for cut in cuts(model):
        weight = model.get_parameter(f"{cut.producer}.weight").detach().double()
        rows = cut.unit_of(len(weight)).to(weight.device).argsort(stable=True)
        flat = weight[rows].reshape(cut.units(len(weight)), -1)
        found[cut] = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
    return _shared(model, found)


def scales(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score a filter by |gamma|, the scale that batch normalisation gives its channel.

    Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming. The network is
    trained as all others are: without their L1 penalty on gamma, and each layer loses the same share, where
    they rank all layers together. Looks at no data.
    """
    import torch

    from lthbench.masks.structured import cuts

    del batches, generator
    named = dict(model.named_parameters())
    found = {}
    for cut in cuts(model):
        gammas = [named[f"{norm}.weight"].detach() for norm in cut.norms if f"{norm}.weight" in named]
        if not gammas:
            raise StepFailed(
                f"{cut.producer} has no batch normalisation with a scale; filter has another norm"
            )
        found[cut] = torch.stack(gammas).double().abs().sum(0)
    return _shared(model, found)


def importance(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score a filter by (dL/dz)^2, z = 1 a gate on its channel: the effect of removing it, to first order.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, section 3, with the gate behind
    batch normalisation (their Taylor-FO-BN): dL/dz = gamma * dL/dgamma + beta * dL/dbeta, squared for each
    batch of one image of each class, and averaged over ten. Batch normalisation is in evaluation mode. Where
    there is none, the gate is on what the layer makes: dL/dz = w . dL/dw + b * dL/db, for heads by
    the rows of their values.
    """
    import torch
    from torch.nn import functional as F

    from lthbench.masks.structured import cuts

    del generator
    model.eval()
    named = dict(model.named_parameters())
    gates = {
        cut: [
            named[full]
            for gated in cut.norms or (cut.producer,)
            for full in (f"{gated}.weight", f"{gated}.bias")
            if full in named
        ]
        for cut in cuts(model)
    }
    shown = list(batches)
    images, labels = (torch.cat([batch[i] for batch in shown]) for i in (0, 1))
    found = {
        cut: torch.zeros(cut.units(len(p[0])), dtype=torch.float64, device=images.device)
        for cut, p in gates.items()
    }
    for start in range(TAYLOR_IMAGES):
        part = slice(start, None, TAYLOR_IMAGES)
        loss = F.cross_entropy(model(images[part]), labels[part])
        learnt = [p for parameters in gates.values() for p in parameters]
        slopes = iter(torch.autograd.grad(loss, learnt) if learnt else ())
        for cut, parameters in gates.items():
            pulls = [(p.detach() * next(slopes)).double().reshape(len(p), -1).sum(1) for p in parameters]
            pull = torch.stack(pulls).sum(0)
            if cut.heads:
                pull = pull.reshape(3, cut.heads, -1)[2].sum(1)
            found[cut] += pull.square() / TAYLOR_IMAGES
    return _shared(model, found)


def _shared(model: torch.nn.Module, found: dict[Cut, torch.Tensor]) -> Scores:
    """Scores of units ``[units]`` as scores of weights, in equal parts; zero where there are none."""
    import torch

    from lthbench.masks import prunable

    weights = prunable(model)
    scores = {n: torch.zeros(w.shape, dtype=torch.float64, device=w.device) for n, w in weights.items()}
    for cut, values in found.items():
        score = scores[f"{cut.producer}.weight"]
        units = cut.unit_of(len(score)).to(score.device)
        share = values[units] / (score.numel() / len(values))
        score += share.reshape(-1, *[1] * (score.dim() - 1))
    return scores


FILTERS = Criterion("filter-magnitude", 1, magnitude, unit="filter")
CRITERIA = {
    "l2": Criterion("filter-l2", 1, squares, unit="filter"),
    "fpgm": Criterion("filter-fpgm", 1, distances, unit="filter"),
    "bn": Criterion("filter-bn", 1, scales, unit="filter"),
    "taylor": Criterion("filter-taylor", 1, importance, TAYLOR_IMAGES, unit="filter", passes=3.0),
    "random": Criterion("filter-random", 1, uniform, unit="filter"),
    "coupled": Criterion("filter-coupled", 1, magnitude, unit="coupled"),
}


def ticket(cell: Cell) -> Weights:
    """Remove filters of the trained dense network once, rewind what is left, and train it again."""
    if cell.variant in ("iterative", "oneshot"):
        return finetune.finetuned(cell, FILTERS)
    mask = cell.prune(cell.dense, CRITERIA.get(cell.variant, FILTERS))
    return cell.untrained(cell.dense, mask) if cell.variant == "untrained" else cell.train(cell.rewound, mask)


def unfit(cell: Cell) -> str:
    """A network can lose only filters whose channels are not added to others."""
    if cell.variant == "bn" and cell.architecture.family == "transformer":
        return f"{cell.architecture.name} has no batch normalisation; filter has other norms."
    counts = cell.size(cell.network)
    if cell.variant == "coupled":
        return _unfit_coupled(cell, counts)
    floor = counts.floor / counts.prunable
    if floor >= 1.0:
        return f"no filter of {cell.architecture.name} can be removed; connection removes kernels instead."
    if cell.density < floor:
        other = "omp" if cell.architecture.family == "transformer" else "connection"
        return (
            f"in {cell.architecture.name}, channels that are added to or put beside others stay, so filters "
            f"can go up to sparsity {1 - floor:.4f} at most; {_beyond(cell, counts)}{other} has no such "
            "limit."
        )
    return finetune.unfit(cell) if cell.variant in ("iterative", "oneshot") else ""


def _beyond(cell: Cell, counts: Counts) -> str:
    """What goes further, where that is far enough."""
    if counts.coupled is None or cell.density < counts.coupled / counts.prunable:
        return ""
    return "filter:coupled goes further, and "


def _unfit_coupled(cell: Cell, counts: Counts) -> str:
    name = cell.architecture.name
    if counts.coupled is None or counts.coupled == counts.floor:
        return f"in {name} no more channels can go together than alone; use filter."
    floor = counts.coupled / counts.prunable
    if cell.density < floor:
        return f"in {name}, coupled filters can go up to sparsity {1 - floor:.6f} at most."
    return ""


METHOD = Method(
    name="filter",
    title="filter pruning (structured)",
    formula="remove the filters (in transformers: neurons and heads) with the smallest sum of |w|, the same "
    "share of each layer; rewind; train",
    source="Li et al. 2017, Pruning Filters for Efficient ConvNets",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=FILTERS,
    variants={
        "l2": "by their L2 norm",
        "fpgm": "those nearest to the geometric median of their layer, He et al. 2019",
        "bn": "by the scale of their batch normalisation, Liu et al. 2017, without their penalty in training",
        "taylor": "by the effect on the loss, to first order, Molchanov et al. 2019",
        "random": "drawn at random: the control",
        "coupled": "also those whose channels are added to or put beside others, in groups that go together, "
        "Fang et al. 2023, DepGraph",
        "iterative": "in steps, with fine-tuning after each, without rewinding",
        "oneshot": "at once, with one fine-tuning, without rewinding",
        "untrained": "the trained network with its mask, without training after it",
    },
    unfit=unfit,
    family="structured",
    criteria=CRITERIA,
)
