"""Structured pruning: whole filters go, and all that reads their channels.

In transformers it is the neurons of MLPs and the heads of attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

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
    from lthbench.masks.units import Channels

Gate = TypeVar("Gate")
Unit = TypeVar("Unit")

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

    Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming. What filter:bn prunes
    is trained as all others are, without their L1 penalty on gamma, and each layer loses the same share;
    slimming does both as they do. Looks at no data.
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
    batch of one image of each class (of up to 100 where there are more), and averaged over ten. Batch
    normalisation is in evaluation mode. Where there is none, the gate is on what the layer makes:
    dL/dz = w . dL/dw + b * dL/db, for heads by the rows of their values.
    """
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

    def by_unit(pulls: dict[Cut, torch.Tensor]) -> dict[Cut, torch.Tensor]:
        return {
            cut: pull.reshape(3, cut.heads, -1)[2].sum(1) if cut.heads else pull
            for cut, pull in pulls.items()
        }

    return _shared(model, _effects(model, batches, gates, by_unit))


def _effects(
    model: torch.nn.Module,
    batches: Batches,
    gates: Mapping[Gate, Sequence[torch.Tensor]],
    by_unit: Callable[[dict[Gate, torch.Tensor]], dict[Unit, torch.Tensor]],
) -> dict[Unit, torch.Tensor]:
    """The mean over batches of the square of what each unit's gate pulls on the loss.

    ``gates`` are parameters ``[channels, ...]`` by layer, ``by_unit`` adds up the pulls of channels
    ``[channels]`` that belong together.
    """
    import torch
    from torch.nn import functional as F

    shown = list(batches)
    images, labels = (torch.cat([batch[i] for batch in shown]) for i in (0, 1))
    found: dict[Unit, torch.Tensor] = {}
    for start in range(TAYLOR_IMAGES):
        part = slice(start, None, TAYLOR_IMAGES)
        loss = F.cross_entropy(model(images[part]), labels[part])
        learnt = [p for parameters in gates.values() for p in parameters]
        slopes = iter(torch.autograd.grad(loss, learnt) if learnt else ())
        pulls = {}
        for gate, parameters in gates.items():
            parts = [(p.detach() * next(slopes)).double().reshape(len(p), -1).sum(1) for p in parameters]
            pulls[gate] = torch.stack(parts).sum(0)
        for unit, pull in by_unit(pulls).items():
            found[unit] = found.get(unit, torch.zeros_like(pull)) + pull.square() / TAYLOR_IMAGES
    return found


def coupled_importance(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score filters that go together by (dL/dz)^2 of one gate on all their channels.

    As filter:taylor, with the gate behind each batch normalisation that the unit passes, as Molchanov et al.
    2019 share gates over what a skip connection adds up.
    """
    from lthbench.masks import coupled

    del generator
    model.eval()
    found = coupled.channels(model)
    named = dict(model.named_parameters())
    gates = {norm: (named[f"{norm}.weight"], named[f"{norm}.bias"]) for norm in _scaled(model, found)}

    def by_unit(pulls: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"all": _totals(found, {norm: pull.cpu() for norm, pull in pulls.items()})}

    return _dealt(model, found, _effects(model, batches, gates, by_unit)["all"])


def coupled_scales(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score filters that go together by the sum of |gamma| over their normalisations, as filter:bn."""
    from lthbench.masks import coupled

    del batches, generator
    found = coupled.channels(model)
    named = dict(model.named_parameters())
    gammas = {n: named[f"{n}.weight"].detach().double().abs().cpu() for n in _scaled(model, found)}
    return _dealt(model, found, _totals(found, gammas))


def _scaled(model: torch.nn.Module, found: Channels) -> list[str]:
    """The normalisations of units, which must all have scales."""
    named = dict(model.named_parameters())
    passed = {int(unit) for units in found.norms.values() for unit in units}
    bare = [norm for norm in found.norms if f"{norm}.weight" not in named]
    bare += [made for made, units in found.made.items() if not {int(u) for u in units} <= passed | {-1}]
    if bare:
        raise StepFailed(
            f"{bare[0]} has no batch normalisation with a scale; filter:coupled has another norm"
        )
    return list(found.norms)


def _totals(found: Channels, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sums over the channels of each unit, float64 ``[count]``, of values ``[channels]`` by normalisation."""
    import torch

    totals = torch.zeros(found.count, dtype=torch.float64)
    for norm, of_channels in values.items():
        moves = found.norms[norm] >= 0
        totals.index_add_(0, found.norms[norm][moves], of_channels[moves])
    return totals


def _dealt(model: torch.nn.Module, found: Channels, values: torch.Tensor) -> Scores:
    """Scores of units ``[count]`` as scores of weights, in equal parts over all channels that make a unit."""
    import torch

    from lthbench.masks import prunable

    weights = prunable(model)
    scores = {n: torch.zeros(w.shape, dtype=torch.float64, device=w.device) for n, w in weights.items()}
    made = torch.zeros(found.count)
    for units in found.made.values():
        made.index_add_(0, units[units >= 0], torch.ones(int((units >= 0).sum())))
    for layer, units in found.made.items():
        score = scores[f"{layer}.weight"]
        share = torch.where(units < 0, 0.0, (values / made.clamp(min=1))[units.clamp(min=0)])
        parts = share / (score.numel() / len(units))
        score += parts.reshape(-1, *[1] * (score.dim() - 1)).to(score.device)
    return scores


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
    "coupled-l2": Criterion("filter-coupled-l2", 1, squares, unit="coupled"),
    "coupled-bn": Criterion("filter-coupled-bn", 1, coupled_scales, unit="coupled"),
    "coupled-taylor": Criterion(
        "filter-coupled-taylor", 1, coupled_importance, TAYLOR_IMAGES, unit="coupled", passes=3.0
    ),
    "coupled-random": Criterion("filter-coupled-random", 1, uniform, unit="coupled"),
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
    if cell.variant.startswith("coupled"):
        return _unfit_coupled(cell, counts)
    floor = counts.floor / counts.prunable
    if floor >= 1.0:
        return f"no filter of {cell.architecture.name} can be removed; connection removes kernels instead."
    if cell.density < floor:
        if cell.architecture.family == "transformer":
            return (
                f"in {cell.architecture.name}, each attention keeps a head and each MLP a neuron, so others "
                f"can go up to sparsity {1 - floor:.4f} at most; omp has no such limit."
            )
        return (
            f"in {cell.architecture.name}, channels that are added to or put beside others stay, so filters "
            f"can go up to sparsity {1 - floor:.4f} at most; {_beyond(cell, counts)}connection has no such "
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
        "l2": "removes filters of smallest L2 norm; He et al. 2018, Soft Filter Pruning, rank them so",
        "fpgm": "removes filters nearest the geometric median of their layer; He et al. 2019, Filter Pruning "
        "via Geometric Median",
        "bn": "removes filters of smallest |gamma|, their scale in batch normalisation; Liu et al. 2017, "
        "Network Slimming, without their penalty in training",
        "taylor": "removes filters that matter least, by the effect on the loss to first order; Molchanov et "
        "al. 2019, Importance Estimation for Neural Network Pruning",
        "random": "removes filters drawn at random: the control",
        "coupled": "also removes coupled filters, added to or put beside others, in groups that go together; "
        "Fang et al. 2023, DepGraph",
        "coupled-l2": "removes groups of smallest L2 norm, and is otherwise filter:coupled",
        "coupled-bn": "removes groups of smallest summed |gamma|, and is otherwise filter:coupled",
        "coupled-taylor": "removes groups that matter least, by the effect on the loss to first order, and "
        "is otherwise filter:coupled",
        "coupled-random": "removes groups drawn at random, and is otherwise filter:coupled: the control",
        "iterative": "in steps, with fine-tuning after each, without rewinding",
        "oneshot": "at once, with one fine-tuning, without rewinding",
        "untrained": "the trained network with its mask, without training after it",
    },
    unfit=unfit,
    family="structured",
    criteria=CRITERIA,
)
