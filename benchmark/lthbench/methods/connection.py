"""Connection sparsity: each filter loses input channels."""

from __future__ import annotations

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods import finetune
from lthbench.methods.omp import magnitude
from lthbench.spec import Weights

KERNELS = Criterion("kernel-magnitude", 1, magnitude, unit="kernel")


def ticket(cell: Cell) -> Weights:
    """Remove kernels of the trained dense network once, rewind what is left, and train it again."""
    if cell.variant in ("iterative", "oneshot"):
        return finetune.finetuned(cell, KERNELS)
    mask = cell.prune(cell.dense, KERNELS)
    return cell.untrained(cell.dense, mask) if cell.variant == "untrained" else cell.train(cell.rewound, mask)


def unfit(cell: Cell) -> str:
    """Only convolutions have kernels; two variants need a recipe to fine-tune with."""
    if cell.architecture.family == "transformer":
        return f"the kernels of {cell.architecture.name}'s linear layers are single weights: use omp."
    return finetune.unfit(cell) if cell.variant in ("iterative", "oneshot") else ""


METHOD = Method(
    name="connection",
    title="connection pruning (channels of each filter)",
    formula="keep the kernels with the largest mean |w|, all layers together; rewind to epoch k; train",
    source="von Rad & Seuffert 2024, connection sparsity; the mean of |w| in place of its sum: "
    "kernels of several sizes are ranked together",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=KERNELS,
    variants={
        "iterative": "in steps, with fine-tuning after each, without rewinding",
        "oneshot": "at once, with one fine-tuning, without rewinding",
        "untrained": "the trained network with its mask, without training after it",
    },
    unfit=unfit,
    family="structured",
)
