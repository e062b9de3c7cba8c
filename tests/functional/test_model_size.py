"""Size and cost against closed forms and torch's own counter."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from lthbench import masks
from lthbench.functional import model_size
from lthbench.kinds import Architecture
from lthbench.registry import get


def test_a_dense_network_costs_what_it_has(network):
    model = get(Architecture, "resnet8").build(network).eval()
    found = model_size.cost(model, None, (1, 8, 8))
    counts = get(Architecture, "resnet8").count(network)
    assert (found.parameters, found.nonzeros) == (counts.parameters, counts.parameters)
    assert found.flops_dense == found.flops_sparse == 2 * counts.macs
    assert (found.density_prunable, found.density_all) == (1.0, 1.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 8, 8))
    assert found.flops_dense == counter.get_total_flops()


def test_pruned_weights_save_their_operations_at_every_position(network):
    """Half of the first convolution (8 x 8 maps) and a quarter of one of the last stage (2 x 2 maps)."""
    model = get(Architecture, "resnet8").build(network).eval()
    mask = {n: torch.ones_like(w, dtype=torch.bool) for n, w in masks.prunable(model).items()}
    mask["conv1.weight"].view(-1)[::2] = False
    mask["layer3.0.conv2.weight"].view(-1)[::4] = False
    found = model_size.cost(model, mask, (1, 8, 8))
    first, last = 144 // 2, 64 * 64 * 9 // 4
    assert found.parameters - found.nonzeros == first + last
    assert found.flops_dense - found.flops_sparse == 2 * (64 * first + 4 * last)
    assert found.density_prunable == 1 - (first + last) / 73_872
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert found.bytes == 4 * found.nonzeros + (73_872 + 7) // 8 + buffers


def test_a_kept_weight_that_is_zero_is_not_pruned(network):
    model = get(Architecture, "resnet8").build(network).eval()
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert (
        model_size.cost(model, None, (1, 8, 8)).nonzeros == model_size.cost(model, None, (1, 8, 8)).parameters
    )
