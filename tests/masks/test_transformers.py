"""What can be pruned of a transformer: weights of linear layers, neurons of MLPs, heads of attention."""

import pytest
import torch
from torch import nn

from lthbench import masks
from lthbench.errors import StepFailed
from lthbench.functional.model_size import cost
from lthbench.inference.folding import folded
from lthbench.masks import structured
from lthbench.masks.compaction import compact
from lthbench.networks.vision_transformer import VisionTransformer
from lthbench.spec import Network

DEPTH, HEADS, WIDTH, HIDDEN = 3, 4, 5, 24


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = Network("x", 1, 7, 3, 16, (0.5,) * 3, (0.3,) * 3)
    made = VisionTransformer(network, (WIDTH, HIDDEN), DEPTH, HEADS, patch=4)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def sizes(model):
    return {n: w.detach().abs() for n, w in masks.prunable(model).items()}


def test_its_attention_and_mlps_can_be_pruned_and_nothing_else(model):
    inside = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.startswith("blocks.")]
    assert list(masks.prunable(model)) == [f"{n}.weight" for n in inside]
    mask = masks.top(sizes(model), 0.3) | {"head.weight": torch.ones(7, HEADS * WIDTH, dtype=torch.bool)}
    counted = masks.counted(mask, masks.prunable(model))
    assert counted["total"] == sum(w.numel() for w in masks.prunable(model).values())
    assert counted["kept"] == round(0.3 * counted["total"])
    assert list(counted["layers"]) == list(masks.prunable(model))
    mask["blocks.1.mlp.fc1.weight"][:] = False
    assert masks.collapsed(mask, masks.prunable(model)) == ["blocks.1.mlp.fc1.weight"]


def test_its_units_are_heads_and_neurons(model):
    width = HEADS * WIDTH
    expected = []
    for i in range(DEPTH):
        attention, mlp = f"blocks.{i}.attn", f"blocks.{i}.mlp"
        expected.append(structured.Cut(f"{attention}.qkv", (), (f"{attention}.proj",), HEADS))
        expected.append(structured.Cut(f"{mlp}.fc1", (), (f"{mlp}.fc2",)))
    found = structured.cuts(model)
    assert found == expected
    assert [c.units(3 * width if c.heads else HIDDEN) for c in found[:2]] == [HEADS, HIDDEN]
    rows = torch.arange(3 * width).reshape(3, HEADS, WIDTH)
    assert all((found[0].unit_of(3 * width)[rows[:, head]] == head).all() for head in range(HEADS))


@torch.no_grad()
def without_heads(model, x, gone):
    """The logits where heads, by block, hand on nothing: written out head by head."""
    tokens = model.patch_embed(model.normalize(x))
    tokens = torch.cat([model.cls_token.expand(len(x), 1, -1), tokens], 1) + model.pos_embed
    for i, block in enumerate(model.blocks):
        read, attention = block.norm1(tokens), block.attn
        q, k, v = (part.split(WIDTH, 2) for part in attention.qkv(read).split(HEADS * WIDTH, 2))
        parts = []
        for head in range(HEADS):
            weights = torch.softmax(q[head] @ k[head].transpose(1, 2) / WIDTH**0.5, 2)
            parts.append(torch.zeros_like(v[head]) if head in gone[i] else weights @ v[head])
        tokens = tokens + attention.proj(torch.cat(parts, 2))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return model.head(model.norm(tokens[:, 0]))


def test_a_network_without_heads_computes_what_the_others_do(model, images):
    gone = {0: {1, 3}, 1: set(), 2: {0}}
    found = [c for c in structured.cuts(model) if c.heads]
    kept = {f"blocks.{i}.attn.qkv": torch.tensor([h not in gone[i] for h in range(HEADS)]) for i in gone}
    mask = structured.mask_without(model, found, kept)
    expected = without_heads(model, images, gone)
    masks.apply(model, mask)
    with torch.no_grad():
        assert torch.allclose(model(images), expected, atol=1e-5)
    smaller = compact(model, mask)
    assert [block.attn.heads for block in smaller.blocks] == [2, 4, 3]
    with torch.no_grad():
        assert torch.allclose(smaller(images), expected, atol=1e-5)


def by_unit(cut, rows):
    """Sums of values ``[channels]`` over the channels of each unit."""
    return torch.zeros(cut.units(len(rows)), dtype=rows.dtype).index_add(0, cut.unit_of(len(rows)), rows)


@pytest.mark.parametrize("density", [0.8, 0.5, 0.25])
def test_units_go_whole_and_the_smaller_network_gives_the_same_logits(model, images, density):
    mask = structured.top_filters(model, sizes(model), density)
    total = sum(w.numel() for w in masks.prunable(model).values())
    kept = sum(k for k, _ in masks.count(mask, masks.prunable(model)).values())
    assert kept / total == pytest.approx(density, abs=0.03)
    for cut in structured.cuts(model):
        scores = by_unit(cut, sizes(model)[f"{cut.producer}.weight"].sum(1).double())
        left = by_unit(cut, mask[f"{cut.producer}.weight"].any(1).int()) > 0
        assert left.any()
        assert left.all() or scores[~left].max() <= scores[left].min()
        assert torch.equal(mask[f"{cut.producer}.bias"], mask[f"{cut.producer}.weight"].all(1))
    masks.apply(model, mask)
    smaller = compact(model, mask)
    with torch.no_grad():
        assert torch.allclose(smaller(images), model(images), atol=1e-5)
        assert torch.allclose(folded(smaller)(images), model(images), atol=1e-5)
    small, masked = cost(smaller, None, (3, 16, 16)), cost(model, mask, (3, 16, 16))
    assert small.parameters == masked.nonzeros
    # What is left of heads multiplies less; the mask counts weights alone.
    assert small.flops_dense <= masked.flops_sparse < masked.flops_dense


def test_pruned_weights_save_their_operations_at_every_token_but_attention_stays(model):
    mask = masks.top(sizes(model), 0.5)
    found = cost(model, mask, (3, 16, 16))
    width, tokens = HEADS * WIDTH, 17
    weights = DEPTH * (4 * width**2 + 2 * width * HIDDEN)
    products = DEPTH * 2 * tokens**2 * width
    beside = 16 * width * 3 * 16 + 7 * width
    assert found.flops_dense == 2 * (tokens * weights + products + beside)
    assert found.flops_dense - found.flops_sparse == 2 * tokens * (weights - round(0.5 * weights))


def test_groups_lie_along_the_inputs_of_a_linear_layer(model):
    mask = masks.top_grouped(sizes(model), "2:4")
    for name, scores in sizes(model).items():
        groups, kept = (t.reshape(len(t), -1, 4) for t in (scores, mask[name]))
        assert (kept.sum(2) == 2).all()
        assert (groups.masked_fill(~kept, 9.0).amin(2) >= groups.masked_fill(kept, 0.0).amax(2)).all()


def test_it_has_no_kernels(model):
    with pytest.raises(StepFailed, match="only convolutions have kernels"):
        masks.top_kernels(sizes(model), 0.5)
