"""The files in artefacts: every bit comes back, and other tools can read them."""

import math
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch

from lthbench.store import artifacts

DRAW = np.random.default_rng(0)


def test_the_names_of_files_stay_as_they_are():
    """Stores on disk and in bundles have them."""
    found = {each.name for each in vars(artifacts).values() if isinstance(each, artifacts.File)}
    assert found == {
        "weights.safetensors",
        "mask.safetensors",
        "logits.safetensors",
        "maps.safetensors",
        "scores.json",
        "draws.safetensors",
    }


def test_a_file_stands_for_its_name(tmp_path):
    assert (tmp_path / artifacts.MASK).name == f"{artifacts.MASK}" == "mask.safetensors"


def test_weights_come_back_to_the_bit_from_any_layout():
    kernel = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    weights = {
        "conv": kernel.requires_grad_(),
        "steps": torch.tensor(7),
        "odd": torch.tensor([math.nan, -0.0]),
    }
    again = artifacts.WEIGHTS.decode(artifacts.WEIGHTS.encode(weights))
    assert again.keys() == weights.keys()
    for name, tensor in again.items():
        assert tensor.dtype == weights[name].dtype
        assert tensor.numpy().tobytes() == weights[name].detach().contiguous().numpy().tobytes()


def test_a_mask_takes_a_bit_for_each_weight():
    mask = {"a": torch.rand(16, 16, 3, 3) < 0.3, "b": torch.rand(5, 3) < 0.5}
    content = artifacts.MASK.encode(mask)
    assert len(content) < 16 * 16 * 9 / 8 + 400
    again = artifacts.MASK.decode(content)
    assert again.keys() == mask.keys()
    assert all(torch.equal(again[name], mask[name]) for name in mask)


@pytest.mark.parametrize("shape", [(20, 10), (3, 20, 10)])
def test_logits_come_back_with_their_labels(shape):
    passed = artifacts.Passed(DRAW.normal(size=shape).astype(np.float32), DRAW.integers(0, 10, 20))
    passed.logits.flat[3] = np.nan
    content = artifacts.LOGITS.encode(passed)
    again = artifacts.LOGITS.decode(content)
    assert again.logits.dtype == np.float32
    assert again.labels.dtype == np.int64
    assert again.logits.tobytes() == passed.logits.tobytes()
    assert np.array_equal(again.labels, passed.labels)
    again.logits[0] = 0.0  # a metric may use them up
    plain = safetensors.numpy.load(content)
    assert plain.keys() == {"logits", "labels"}
    assert plain["logits"].tobytes() == passed.logits.tobytes()


def test_maps_of_part_of_the_images_come_back():
    maps = {
        "labels.ig": DRAW.random((3, 8, 8), dtype=np.float32),
        "differ": np.array([1]),
        "none": np.zeros((0, 4)),
    }
    again = artifacts.MAPS.decode(artifacts.MAPS.encode(maps))
    assert all(np.array_equal(again[name], maps[name]) for name in maps)
    assert again["none"].shape == (0, 4)


def test_draws_are_kept_in_single_precision_and_read_from_double():
    draws = {"accuracy": DRAW.random(200)}
    rounded = draws["accuracy"].astype(np.float32)
    content = artifacts.DRAWS.encode(draws)
    assert safetensors.numpy.load(content)["accuracy"].dtype == np.float32
    for kept in (content, safetensors.numpy.save(draws)):
        again = artifacts.DRAWS.decode(kept)["accuracy"]
        assert again.dtype == np.float64
        assert np.array_equal(again, rounded.astype(np.float64))
    assert artifacts.DRAWS.encode(artifacts.DRAWS.decode(content)) == content


def test_scores_are_the_same_bytes_in_whatever_order_they_come():
    one, other = {"values": [1.5], "degenerate": []}, {"degenerate": [], "values": [1.5]}
    assert artifacts.SCORES.encode(one) == artifacts.SCORES.encode(other)
    assert artifacts.SCORES.decode(artifacts.SCORES.encode(one)) == one
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.SCORES.encode({"values": [math.nan]})


def test_names_are_known_without_torch_or_numpy():
    code = (
        "import sys\nfrom lthbench.store import artifacts\n"
        "print(artifacts.LOGITS.name, {'torch', 'numpy', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "logits.safetensors set()"
