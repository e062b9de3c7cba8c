"""Which units of each architecture can go: our groups beside those of torch-pruning 1.6.1."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from lthbench import masks, registry
from lthbench.kinds import Architecture
from lthbench.masks import coupled, structured
from lthbench.masks.compaction import compact
from lthbench.spec import Network

#: Narrow networks and small images.
SIZES = {
    "resnet8": ((4, 4, 6, 8), 8),
    "resnet20s": ((4, 4, 6, 8), 8),
    "resnet18": ((4, 4, 6, 8, 10), 16),
    "resnet18-img": ((4, 4, 6, 8, 10), 64),
    "resnet18-img16": ((4, 4, 6, 8, 10), 64),
    "resnet50": ((4, 4, 4, 6, 6), 64),
    "wrn28-10": ((4, 6, 6, 8), 16),
    "vgg11": ((4, 4, 6, 6, 8, 8, 6, 6), 32),
    "googlenet": ((4, 3, 5, *((3, 4, 2, 3, 4, 2) * 9)), 64),
    "vit-tiny": ((4, 24), 32),
    "deit-tiny": ((8, 24), 32),
}
#: The table of docs/scores.md: our groups, torch-pruning's, and those of theirs that can be cut out with the
#: outputs of the masked network. Each of our groups is also one of theirs.
FOUND = {
    "resnet8": (3, 4, 3),
    "resnet20s": (9, 10, 9),
    "resnet18": (8, 12, 12),
    "resnet18-img": (8, 12, 12),
    "resnet18-img16": (8, 12, 12),
    "resnet50": (33, 37, 37),
    "wrn28-10": (13, 16, 16),
    "vgg11": (8, 8, 8),
    "googlenet": (21, 57, 57),
    "vit-tiny": (18, 19, 9),
    "deit-tiny": (24, 25, 12),
}
LAYERS, NORMS = (nn.Conv2d, nn.Linear), (nn.BatchNorm2d, nn.LayerNorm)


def drawn(name):
    """A network in which each layer and normalisation lets signals through, and images for it."""
    widths, size = SIZES[name]
    torch.manual_seed(0)
    network = Network(name, 1, 3, 3, size, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), widths)
    model = registry.get(Architecture, name).build(network)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
        if isinstance(module, NORMS):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.3)
        elif isinstance(module, LAYERS):
            nn.init.kaiming_uniform_(module.weight, a=1.0)
            if module.bias is not None:
                nn.init.uniform_(module.bias, 0.0, 0.3)
    return model.double().eval(), torch.rand(2, 3, size, size).double()


def dependencies(model, images):
    """torch-pruning's graph of a network; of the tokens, the last axis has the channels."""
    tp = pytest.importorskip("torch_pruning")
    tokens = [(p, p.dim() - 1) for n, p in model.named_parameters() if n in ("cls_token", "pos_embed")]
    return tp.DependencyGraph().build_dependency(model, images, unwrapped_parameters=tokens or None)


def parts(graph, group, names):
    """The layers that make the channels of a group, the norms on them, and the layers that read them."""
    makes, norms, reads = set(), set(), set()
    for dependency, _ in group:
        module = dependency.target.module
        if isinstance(module, LAYERS):
            (makes if graph.is_out_channel_pruning_fn(dependency.handler) else reads).add(names[module])
        elif isinstance(module, NORMS):
            norms.add(names[module])
    return frozenset(makes), frozenset(norms), frozenset(reads)


def reached(found, group):
    """The same of a group of coupled channels."""
    units = set(group.tolist())
    return tuple(
        frozenset(layer for layer, own in layers.items() if units & set(own.tolist()))
        for layers in (found.made, found.norms, found.reads)
    )


def cut_by_theirs(model, images, root):
    """Whether what torch-pruning leaves without half of a group computes what the masked network does.

    Of attention one head goes, as its documentation has it.
    """
    smaller, masked = copy.deepcopy(model), copy.deepcopy(model)
    graph = dependencies(smaller, images)
    names = {module: name for name, module in smaller.named_modules()}
    module = smaller.get_submodule(root)
    places = list(range(0, len(module.weight), 2))
    attention = smaller.get_submodule(root.rpartition(".")[0]) if root.endswith(".qkv") else None
    if attention:
        width = len(module.weight) // (3 * attention.heads)
        places = [part * attention.heads * width + i for part in range(3) for i in range(width)]
    group = graph.get_pruning_group(module, graph.get_pruner_of_module(module).prune_out_channels, places)
    own = dict(zip(smaller.parameters(), masked.parameters(), strict=True))
    try:
        with torch.no_grad():
            for dependency, gone in group:
                target = dependency.target.module
                reads = not graph.is_out_channel_pruning_fn(dependency.handler)
                if isinstance(target, nn.Parameter):
                    own[target][..., gone] = 0
                elif isinstance(target, LAYERS) and reads:
                    masked.get_submodule(names[target]).weight[:, gone] = 0
                elif isinstance(target, LAYERS + NORMS):
                    for parameter in masked.get_submodule(names[target]).parameters():
                        parameter[gone] = 0
            group.prune()
            if attention:
                attention.heads -= 1
            return torch.allclose(smaller(images), masked(images), rtol=1e-9, atol=1e-9)
    except (RuntimeError, IndexError):
        return False


def test_the_table_of_the_docs_has_these_numbers():
    page = (Path(__file__).parents[2] / "docs" / "scores.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\w, -]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    told = {name: tuple(map(int, counts)) for names, *counts in rows for name in names.split(", ")}
    assert told == {name: (ours, ours, theirs, equal) for name, (ours, theirs, equal) in FOUND.items()}
    assert FOUND.keys() == SIZES.keys() == set(registry.names(Architecture))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_each_of_our_groups_is_one_of_theirs(name):
    model, images = drawn(name)
    graph = dependencies(model, images)
    names = {module: layer for layer, module in model.named_modules()}
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    groups = list(graph.get_all_groups(ignored_layers=[last]))
    theirs = {parts(graph, group, names) for group in groups}
    cuts = structured.cuts(model)
    ours = {(frozenset((c.producer,)), frozenset(c.norms), frozenset(c.consumers)) for c in cuts}
    assert ours <= theirs
    together = coupled.channels(model)
    found = {reached(together, group) for group in together.groups}
    assert found <= theirs
    transformer = registry.get(Architecture, name).family == "transformer"
    assert len(found) == (0 if transformer else FOUND[name][2])
    equal = sum(cut_by_theirs(model, images, names[group[0].dep.target.module]) for group in groups)
    assert (len(cuts), len(groups), equal) == FOUND[name]


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", SIZES)
def test_without_each_of_our_groups_it_computes_what_the_masked_network_does(name):
    model, images = drawn(name)
    cuts = structured.cuts(model)
    widths = {c.producer: c.units(len(model.get_parameter(f"{c.producer}.weight"))) for c in cuts}
    for cut in cuts:
        kept = {producer: torch.ones(width, dtype=torch.bool) for producer, width in widths.items()}
        kept[cut.producer][::2] = False
        masked, mask = copy.deepcopy(model), structured.mask_without(model, cuts, kept)
        masks.apply(masked, mask)
        assert torch.allclose(compact(masked, mask)(images), masked(images), rtol=1e-9, atol=1e-9), cut
