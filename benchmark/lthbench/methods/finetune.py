"""Magnitude pruning with fine-tuning: what is left trains on, without rewinding."""

from __future__ import annotations

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.omp import MAGNITUDE
from lthbench.spec import Weights


def finetuned(cell: Cell, criterion: Criterion) -> Weights:
    """Prune a share of what remains and train on, again and again; or, as ``oneshot``, all at once."""
    network: Weights = cell.dense
    for density in (cell.density,) if cell.variant == "oneshot" else cell.levels:
        network = cell.train(network, cell.prune(network, criterion, density), cell.finetune)
    return network


def ticket(cell: Cell) -> Weights:
    """Prune the smallest weights and train on."""
    return finetuned(cell, MAGNITUDE)


def unfit(cell: Cell) -> str:
    """Needs a recipe to fine-tune with."""
    if cell.finetune is not None:
        return ""
    return "the budget has no [finetune] recipe; add the table to the task file, or use imp or omp."


METHOD = Method(
    name="finetune",
    title="magnitude pruning with fine-tuning (no rewinding)",
    formula="repeat: keep the largest |w| of what remains, all layers together; train on",
    source="Han et al. 2015; as in Suwal et al. and in von Rad & Seuffert 2024",
    cost="one fine-tuning for each round down to the largest sparsity, and seed, beside the dense training",
    ticket=ticket,
    criterion=MAGNITUDE,
    variants={"oneshot": "prune once, to the sparsity asked for, and fine-tune once"},
    unfit=unfit,
    family="after",
)
