"""RigL: sparse from start to end, with a mask that moves to where gradients are."""

from __future__ import annotations

import dataclasses

from lthbench.kinds import Cell, Method
from lthbench.methods.random import RANDOM
from lthbench.spec import Rewire, Train

#: Evci et al. 2020, appendix: fraction 0.3 falling along a cosine, every 100 steps, until 75 % of training.
RIGL = Rewire(fraction=0.3, final=0.0, every=100, until=0.75)

#: Liu et al. 2021: their training has 250 epochs of 352 steps, with an update every 4,000.
ITOP_EPOCHS, ITOP_STEPS, ITOP_EVERY = 250, 88_000, 4_000
#: On ImageNet it has 100 epochs where the usual recipe has 90, a learning rate of 0.1 for batches of 64, and
#: label smoothing; drops at 30, 60 and 90 epochs are lthbench's choice.
ITOP_IMAGENET, ITOP_DROPS, ITOP_RATE, ITOP_SMOOTHING = 100, (0.3, 0.6, 0.9), 0.1 / 64, 0.1


def unfit(cell: Cell) -> str:
    """The recipe of the variant is one of SGD with momentum."""
    if cell.variant != "itop":
        return ""
    if cell.recipe.optimizer is not None:
        return f"its recipe is one of SGD, and this task trains with {cell.recipe.optimizer}; use rigl."
    if not cell.recipe.momentum and not _on_imagenet(cell):
        return "its recipe has Nesterov momentum, and this task trains with momentum 0; use rigl."
    return ""


def ticket(cell: Cell) -> Train:
    """Train from initialisation under a random ERK mask that is rewired on the way."""
    mask = cell.prune(cell.init, RANDOM, allocation="erk")
    if cell.variant == "itop":
        return _itop(cell)
    return cell.train(cell.init, mask, rewire=RIGL)


def _on_imagenet(cell: Cell) -> bool:
    return cell.data.name == "imagenet"


def _itop(cell: Cell) -> Train:
    """The in-time over-parametrisation recipe, at the budget's scale: 250 epochs where the paper has 182.

    On ImageNet, 100 where it has 90.
    """
    if _on_imagenet(cell):
        epochs = max(1, round(cell.recipe.epochs * ITOP_IMAGENET / 90))
        recipe = dataclasses.replace(
            cell.recipe,
            epochs=epochs,
            lr=ITOP_RATE * cell.recipe.batch_size,
            weight_decay=1e-4,
            schedule="step",
            milestones=tuple(max(1, round(share * epochs)) for share in ITOP_DROPS),
            gamma=0.1,
            label_smoothing=ITOP_SMOOTHING,
        )
        every = max(1, round(ITOP_EVERY * 64 / cell.recipe.batch_size))
    else:
        epochs = max(1, round(cell.recipe.epochs * ITOP_EPOCHS / 182))
        recipe = dataclasses.replace(
            cell.recipe,
            epochs=epochs,
            nesterov=True,
            weight_decay=5e-4,
            schedule="step",
            milestones=(max(1, epochs // 2), max(1, epochs * 3 // 4)),
            gamma=0.1,
        )
        every = max(1, round(epochs * cell.steps_per_epoch * ITOP_EVERY / ITOP_STEPS))
    rewire = Rewire(fraction=0.5, final=0.005, every=every, until=1.0)
    return cell.train(cell.init, cell.prune(cell.init, RANDOM, allocation="erk"), recipe, rewire)


METHOD = Method(
    name="rigl",
    title="RigL (dynamic sparse training)",
    formula="ERK mask; every 100 steps drop each layer's smallest |w|, grow its largest |dL/dw| from zero",
    source="Evci et al. 2020, Rigging the Lottery: Making All Tickets Winners, algorithm 1",
    cost="one training for each sparsity and seed, with a dense gradient every 100 steps",
    ticket=ticket,
    criterion=RANDOM,
    variants={
        "itop": "recipe of Liu et al. 2021, Do We Actually Need Dense Over-Parameterization?: 37 % more "
        "epochs, Nesterov momentum, weight decay 5e-4, half of the weights dropped, 21 updates; on ImageNet "
        "11 % more epochs, with label smoothing"
    },
    unfit=unfit,
    family="during",
)
