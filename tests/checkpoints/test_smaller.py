"""Networks smaller than the task's: without units, or of other widths."""

import dataclasses

import pytest
import torch
from torch import nn

from lthbench import masks, registry
from lthbench.checkpoints import files, taking
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.masks import coupled, structured
from lthbench.masks.compaction import compact
from lthbench.spec import Network

#: Small networks, and widths that are smaller in each place.
SMALL = {
    "resnet8": ((8, 8, 12, 16), 8, (6, 6, 7, 13)),
    "resnet18": ((6, 8, 8, 12, 12), 16, (6, 5, 8, 11, 12)),
    "vgg11": ((6, 8, 8, 8, 12, 12, 12, 12), 32, (5, 8, 7, 8, 12, 3, 1, 2)),
    "vit-tiny": ((4, 24), 32, (3, 10)),
}


def built(name, widths=None):
    torch.manual_seed(0)
    network = Network(name, 1, 5, 3, SMALL[name][1], (0.5,) * 3, (0.25,) * 3, widths or SMALL[name][0])
    model = registry.get(Architecture, name).build(network)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.1, 0.2)
            nn.init.uniform_(module.bias, -0.1, 0.3)
    return network, model.eval(), torch.rand(3, 3, network.size, network.size)


def read(network, state):
    found = taking.take(network, files.of({"net": state}, "model"))
    model = registry.get(Architecture, network.architecture).build(found.step.network).eval()
    model.load_state_dict(found.weights, strict=False)
    return found, model


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("resnet8", structured.top_filters),
        ("resnet18", structured.top_filters),
        ("resnet18", coupled.top_coupled),
        pytest.param("vit-tiny", structured.top_filters, marks=pytest.mark.long),
    ],
)
def test_a_compact_network_is_the_masked_one(name, top):
    network, model, images = built(name)
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    mask = top(model, scores, 0.6)
    masks.apply(model, mask)
    found, wide = read(network, compact(model, mask).state_dict())
    assert torch.allclose(wide(images), model(images), atol=1e-6)
    kept = {n: int(m.sum()) for n, m in mask.items()}
    assert {n: int(m.sum()) for n, m in found.mask.items()} == kept
    assert found.step.network == network
    assert found.account["mask"] == "narrower layers"
    total = sum(weight.numel() for weight in scores.values())
    assert found.account["sparsity"] == pytest.approx(1 - masks.counted(mask, scores)["kept"] / total)


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_other_widths_is_one_of_its_own(name):
    network, full, images = built(name)
    widths = SMALL[name][2]
    _, model, _ = built(name, widths)
    found, ours = read(network, model.state_dict())
    assert found.step.network == dataclasses.replace(network, widths=widths)
    assert torch.equal(ours(images), model(images))
    counts = [sum(w.numel() for w in masks.prunable(m).values()) for m in (model, full)]
    assert found.account["sparsity"] == pytest.approx(1 - counts[0] / counts[1])
    assert found.mask is None
    fewer = f"{100 * (1 - counts[0] / counts[1]):.2f} % fewer prunable weights"
    assert f"widths {'-'.join(map(str, widths))}, {fewer}" in found.text()


def test_a_small_network_that_was_pruned_has_both():
    network, full, _ = built("resnet8")
    _, model, _ = built("resnet8", SMALL["resnet8"][2])
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    masks.apply(model, masks.top(scores, 0.5))
    found, _ = read(network, model.state_dict())
    small, all_ = (sum(w.numel() for w in masks.prunable(m).values()) for m in (model, full))
    assert found.step.density == pytest.approx(0.5, abs=1e-3)
    assert found.account["sparsity"] == pytest.approx(1 - 0.5 * small / all_, abs=1e-3)


def test_what_is_neither_is_refused_and_so_is_a_narrower_parent():
    network, model, _ = built("resnet8")
    state = model.state_dict()
    uneven = dict(state) | {"layer1.0.conv1.weight": state["layer1.0.conv1.weight"][:5]}
    with pytest.raises(BadInput, match=r"layer1\.0\.conv1\.weight is \[5, 8, 3, 3\] in the file"):
        read(network, uneven)
    _, narrow, _ = built("resnet8", SMALL["resnet8"][2])
    with pytest.raises(BadInput, match="Narrower layers are read where channels are gone"):
        taking.take(network, files.of(narrow, "dense"), dense=True)
