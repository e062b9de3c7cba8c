"""Vision transformers of timm's and torchvision's names, as ``score`` reads them."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lthbench import registry, spec
from lthbench.checkpoints import files, taking
from lthbench.errors import BadInput
from lthbench.kinds import Architecture

NETWORK = spec.Network("vit-digits", 1, 10, 3, 8, (0.5,) * 3, (0.2,) * 3)


@pytest.fixture(autouse=True)
def _small():
    registry.get(Architecture, str(Path(__file__).parents[1] / "vit_digits.py"))


def theirs(classes=10, **sizes):
    """torchvision's network of the sizes of the tests' own, half of whose prunable weights are zero."""
    given = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32} | sizes
    model = torchvision.models.VisionTransformer(8, 2, **given, num_classes=classes)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            nn.init.normal_(parameter, std=0.2)
            if name.startswith("encoder.layers") and parameter.dim() == 2:
                parameter[torch.rand_like(parameter) < 0.5] = 0.0
    return model.eval()


def timm_names(state):
    """The names of timm, and of the authors' own file."""
    other = (
        *((r"^class_token", "cls_token"), (r"^conv_proj", "patch_embed.proj"), (r"ln_(\d)", r"norm\1")),
        *((r"^encoder\.pos_embedding", "pos_embed"), (r"^encoder\.ln", "norm"), (r"^heads\.head", "head")),
        *((r"^encoder\.layers\.encoder_layer_", "blocks."), (r"self_attention\.in_proj_", "attn.qkv.")),
        *((r"self_attention\.out_proj", "attn.proj"), (r"mlp\.0", "mlp.fc1"), (r"mlp\.3", "mlp.fc2")),
    )
    for pattern, replacement in other:
        state = {re.sub(pattern, replacement, name): tensor for name, tensor in state.items()}
    return state


def old_names(state):
    """torchvision's own before version 0.13."""
    ways = {"mlp.0": "mlp.linear_1", "mlp.3": "mlp.linear_2"}
    return {re.sub(r"mlp\.[03]", lambda m: ways[m[0]], name): tensor for name, tensor in state.items()}


def transformers_names(state):
    """Those of the Hugging Face library, which keeps queries, keys and values apart."""
    other = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    found = {}
    for name, tensor in timm_names(state).items():
        for ours, others in other.items():
            name = name.replace(ours, others)
        name = re.sub(r"^norm\.", "layernorm.", re.sub(r"^blocks\.", "encoder.layer.", name))
        name = name.replace("head.", "classifier.") if name.startswith("head.") else f"vit.{name}"
        if ".attn.qkv." in name:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[name.replace("attn.qkv", f"attention.attention.{part}")] = rows
        else:
            found[name] = tensor
    return found


def new_transformers_names(state):
    """Those of the same library from version 5 on."""
    other = {
        "encoder.layer": "layers",
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    found = {}
    for name, tensor in transformers_names(state).items():
        for old, new in other.items():
            name = name.replace(old, new)
        found[name.replace("vit.", "deit.")] = tensor
    return found


@pytest.mark.parametrize(
    "names",
    [
        *(dict, old_names, transformers_names, new_transformers_names, timm_names),
        lambda s: {"model": timm_names(s)},
    ],
)
def test_those_of_others_are_read_with_their_zeros(names, tmp_path):
    model = theirs()
    torch.save(names(model.state_dict()), tmp_path / "model.pth")
    found = taking.take(NETWORK, files.of(tmp_path / "model.pth", "model"))
    assert found.account["sparsity"] == pytest.approx(0.5, abs=0.02)
    assert found.mask.keys() == set(found.prunable)
    ours = registry.get(Architecture, "vit-digits").build(NETWORK)
    ours.load_state_dict(found.weights)
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        expected = model((x - 0.5) / 0.2)
        assert torch.allclose(ours.eval()(x), expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("names", [dict, transformers_names, new_transformers_names, timm_names])
def test_a_mask_of_its_own_has_the_names_of_its_file(names):
    state = names(theirs().state_dict())
    mask = {n: w != 0 for n, w in state.items() if w.dim() == 2 and "head" not in n and "classifier" not in n}
    kept = {n: w if n not in mask else torch.where(mask[n], w, 1.0) for n, w in state.items()}
    found = taking.take(NETWORK, files.of(kept, "model"), mask)
    assert found.account["sparsity"] == pytest.approx(0.5, abs=0.02)
    assert found.account["zeroed"] == sum(int((~m).sum()) for m in mask.values())


@pytest.mark.long
def test_one_of_another_depth_is_refused_by_what_is_unexpected():
    with pytest.raises(BadInput, match=r"does not hold a vit-digits.*\n  unexpected: blocks\.2\."):
        taking.take(NETWORK, files.of(theirs(num_layers=3), "model"))


@pytest.mark.long
def test_one_for_more_classes_is_refused_by_its_head():
    with pytest.raises(BadInput, match=r"shape: head\.weight is \[100, 16\] in the file"):
        taking.take(NETWORK, files.of(theirs(100), "model"))
