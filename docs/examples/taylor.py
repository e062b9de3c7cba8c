"""After training, remove the weights that a step of the optimiser would miss the least."""

from lthbench.kinds import Criterion, Method


def scores(model, batches, generator):
    """Score (w dL/dw)**2, the loss's change to first order: one array for each prunable weight."""
    import torch
    from torch.nn.functional import cross_entropy

    from lthbench.masks import prunable

    weights = prunable(model)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for images, labels in batches:
        loss = cross_entropy(model(images), labels)
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            total[name] += gradient
    return {name: (weight.detach() * total[name]) ** 2 for name, weight in weights.items()}


TAYLOR = Criterion("taylor", version=1, score=scores, per_class=10, passes=3.0)
METHOD = Method(
    name="taylor",
    title="first-order Taylor expansion, rewound",
    formula="keep the largest (w dL/dw)**2 of the trained network, all layers together; rewind; train",
    source="Molchanov et al. 2019, Importance Estimation for Neural Network Pruning",
    cost="a forward and backward pass for each mask; one training for each sparsity and seed",
    ticket=lambda cell: cell.train(cell.rewound, cell.prune(cell.dense, TAYLOR)),
    criterion=TAYLOR,
    family="after",
)
