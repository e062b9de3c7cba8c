"""The sizes of networks: as published, and counted without building as they are when built."""

import pytest
import torch
from torch import nn

from lthbench import masks, registry
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.masks import structured
from lthbench.spec import Network


def network(name, classes=10, widths=None, channels=3, size=None):
    """A network, at its architecture's own size unless another is given."""
    size = size or registry.get(Architecture, name).size
    return Network(name, 1, classes, channels, size, (0.5,) * channels, (0.2,) * channels, widths)


def count(asked):
    return registry.get(Architecture, asked.architecture).count(asked)


def build(asked):
    """The network, as shapes only."""
    with torch.device("meta"):
        return registry.get(Architecture, asked.architecture).build(asked)


def multiply_adds(model, asked):
    """Of each convolution and linear layer, from the shapes that pass through."""
    counted = []

    def add(module, inputs, output):
        counted.append(output.numel() * module.weight[0].numel())

    def multiply(module, inputs, output):
        _, tokens, width = output.shape  # queries with keys, and what comes of it with values
        counted.append(2 * tokens**2 * width)

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
        elif type(module).__name__ == "Attention":
            module.register_forward_hook(multiply)
    model.eval()(torch.empty(1, asked.channels, asked.size, asked.size, device="meta"))
    return sum(counted)


# ----------------------------------------------------------------------------------------- published sizes

# As Chen et al. 2022 have them: all parameters, convolution weights, convolutions, parameters of the batch
# normalisations and of the head, and millions of multiply-adds as (number, decimals).
PUBLISHED = {
    ("resnet20s", 10): (269_722, 267_696, 19, 1_376, 650, (40.55, 2)),
    ("resnet20s", 100): (275_572, 267_696, 19, 1_376, 6_500, (40.56, 2)),
    ("resnet18", 10): (11_173_962, 11_159_232, 20, 9_600, 5_130, (555.4, 1)),
    ("resnet18", 100): (11_220_132, 11_159_232, 20, 9_600, 51_300, (555.5, 1)),
    ("wrn28-10", 10): (36_479_194, 36_454_832, 28, 17_952, 6_410, (5_243, 0)),
    ("wrn28-10", 100): (36_536_884, 36_454_832, 28, 17_952, 64_100, (5_243, 0)),
    ("vgg11", 10): (9_231_114, 9_217_728, 8, 5_504, 5_130, (152.8, 1)),
    ("vgg11", 100): (9_277_284, 9_217_728, 8, 5_504, 51_300, (152.8, 1)),
    ("resnet50", 1000): (25_557_032, 23_454_912, 53, 53_120, 2_049_000, (4_089, 0)),
    # torchvision's documentation: 11,689,512 and 1.81 G; 6,624,904 (with auxiliary classifiers) and 1.50 G
    ("resnet18-img", 1000): (11_689_512, 11_166_912, 20, 9_600, 513_000, (1_814, 0)),
    ("googlenet", 1000): (6_624_904, 5_585_344, 57, 14_560, 1_025_000, (1_498, 0)),
}


@pytest.mark.parametrize(("name", "classes"), PUBLISHED)
def test_sizes_are_the_published_ones(name, classes):
    parameters, prunable, convolutions, norms, head, (macs, decimals) = PUBLISHED[name, classes]
    asked = network(name, classes)
    counts, model = count(asked), build(asked)
    assert counts.parameters == parameters == sum(p.numel() for p in model.parameters())
    assert counts.prunable == prunable == sum(w.numel() for w in masks.prunable(model).values())
    assert round(counts.macs / 1e6, decimals) == macs
    assert size_of(model, nn.Conv2d)[0] == convolutions
    assert size_of(model, nn.BatchNorm2d)[1] == norms
    assert size_of(model, nn.Linear) == (1, head)


def size_of(model, kind):
    found = [m for m in model.modules() if isinstance(m, kind)]
    return len(found), sum(p.numel() for m in found for p in m.parameters())


# Parameters in millions, by Touvron et al. 2021, table 1, and Lee et al. 2021, table 2 (for 100 classes);
# all parameters of timm's deit_tiny_patch16_224.
@pytest.mark.parametrize(
    ("name", "classes", "millions", "exact"),
    [("deit-tiny", 1000, 5.7, 5_717_416), ("vit-tiny", 100, 2.7, 2_714_980)],
)
def test_transformers_have_the_published_sizes(name, classes, millions, exact):
    asked = network(name, classes)
    counts, model = count(asked), build(asked)
    assert counts.parameters == exact == sum(p.numel() for p in model.parameters())
    assert round(exact / 1e6, 1) == millions
    linear = [m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "head"]
    assert counts.prunable == sum(m.weight.numel() for m in linear)
    assert [id(m.weight) for m in linear] == [id(w) for w in masks.prunable(model).values()]


def test_the_multiply_adds_published_for_resnet50_leave_out_the_head():
    assert round((count(network("resnet50", 1000)).macs - 2048 * 1000) / 1e6) == 4_087


# All parameters; the share of the dense network's parameters, convolution weights and multiply-adds.
SMALL = {
    ("resnet20s", 10): (57_367, 0.2127, 0.2108, 0.384, 19),
    ("resnet18", 10): (2_345_390, 0.2099, 0.2096, 0.287, 21),
    ("wrn28-10", 10): (7_663_774, 0.2101, 0.2099, 0.337, 28),
    ("resnet50", 1000): (13_437_035, 0.5258, 0.5119, 0.565, 53),
}


@pytest.mark.parametrize(("name", "classes"), SMALL)
def test_small_counterparts_have_the_published_size(name, classes):
    parameters, *shares, convolutions = SMALL[name, classes]
    (widths,) = registry.get(Architecture, name).small
    asked = network(name, classes, widths)
    small, dense, model = count(asked), count(network(name, classes)), build(asked)
    assert small.parameters == parameters == sum(p.numel() for p in model.parameters())
    found = [getattr(small, f) / getattr(dense, f) for f in ("parameters", "prunable", "macs")]
    assert [round(f, len(str(s)) - 2) for f, s in zip(found, shares, strict=True)] == shares
    assert size_of(model, nn.Conv2d)[0] == convolutions


# --------------------------------------------------------------------------------- counting without building

INCEPTION = tuple(range(3, 57 + 3))
ODD = [
    network("resnet8", 3, (5, 5, 6, 9), channels=1, size=9),
    network("resnet20s", 7, (4, 5, 6, 7), channels=2, size=31),
    network("resnet18", 7, (5, 5, 3, 8, 4), size=33),
    network("resnet18", 7, (5, 4, 4, 8, 8), channels=1, size=8),
    network("resnet18-img", 2, (6, 6, 7, 9, 11), size=97),
    network("resnet18-img", 2, (6, 8, 8, 8, 8), size=160),
    network("resnet50", 3, (8, 2, 3, 4, 5), size=65),
    network("resnet50", 3, (9, 2, 3, 4, 5), channels=4, size=70),
    network("wrn28-10", 5, (4, 4, 4, 6), size=29),
    network("wrn28-10", 5, (4, 5, 5, 6), channels=1, size=30),
    network("vgg11", 3, (2, 3, 4, 5, 6, 7, 8, 9), size=47),
    network("vit-tiny", 3, (5, 7), size=16),
    network("deit-tiny", 2, (3, 11), channels=1, size=49),
    network("googlenet", 4, INCEPTION, size=75),
    network("googlenet", 4, INCEPTION, channels=1, size=112),
    *(network("googlenet", size=size) for size in range(160, 169)),
]


@pytest.mark.parametrize("asked", ODD, ids=lambda n: f"{n.architecture}-{n.size}")
def test_counts_are_exact_for_any_widths_channels_and_sizes(asked):
    counts, model = count(asked), build(asked)
    assert counts.parameters == sum(p.numel() for p in model.parameters())
    assert counts.prunable == sum(w.numel() for w in masks.prunable(model).values())
    assert counts.macs == multiply_adds(model, asked)
    found = structured.cuts(model)
    sizes = {c.producer: c.units(len(model.get_submodule(c.producer).weight)) for c in found}
    first = {producer: torch.arange(units) == 0 for producer, units in sizes.items()}
    mask = structured.mask_without(model, found, first)
    assert counts.floor == sum(int(mask[name].sum()) for name in masks.prunable(model))


@pytest.mark.parametrize("name", registry.names(Architecture))
def test_widths_of_another_length_are_refused(name):
    widths = registry.get(Architecture, name).widths
    for wrong in (widths[:-1], (*widths, 8)):
        for use in (build, count):
            with pytest.raises(BadInput, match=rf"^{name} takes {len(widths)} widths, not {len(wrong)}\.$"):
                use(network(name, widths=wrong))


@pytest.mark.parametrize("name", registry.names(Architecture))
def test_the_smallest_images_are_those_that_it_says(name):
    found = registry.get(Architecture, name)
    model = build(network(name)).eval()
    if not found.resizes:
        with pytest.raises(RuntimeError):
            model(torch.empty(1, 3, found.size - 4, found.size - 4, device="meta"))
        return
    assert model(torch.empty(1, 3, found.smallest, found.smallest, device="meta")).shape == (1, 10)
    if found.smallest > 1:
        with pytest.raises(RuntimeError):
            model(torch.empty(1, 3, found.smallest - 1, found.smallest - 1, device="meta"))
