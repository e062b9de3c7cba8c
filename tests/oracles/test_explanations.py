"""Explanations against the packages of others (see tests/oracles/explanations.py), and published numbers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from lthbench.functional import faithfulness, imputation, lime, saliency, saliency_maps

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("oracle_inputs", HERE / "inputs.py")
inputs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(inputs)

#: Accuracy on ImageNette after removing 1, 11, ... 91 % of the pixels, by the AOPC made of it: Suwal et al.,
#: generate_plots.ipynb. Six networks by integrated gradients, then by vanilla gradients.
PUBLISHED = {
    0.3884: (0.90480, 0.58517, 0.48175, 0.43065, 0.41099, 0.40229, 0.40349, 0.39924, 0.38751, 0.36931),
    0.3755: (0.91060, 0.63706, 0.52928, 0.46983, 0.44280, 0.43019, 0.41807, 0.40198, 0.37390, 0.36132),
    0.3915: (0.91446, 0.61776, 0.50740, 0.45795, 0.42852, 0.41285, 0.40367, 0.37972, 0.36031, 0.35532),
    0.4005: (0.91171, 0.61081, 0.49129, 0.44007, 0.41476, 0.39893, 0.38858, 0.37532, 0.35465, 0.32509),
    0.4101: (0.91265, 0.58443, 0.46885, 0.42080, 0.39631, 0.38647, 0.38232, 0.37477, 0.35105, 0.33781),
    0.4264: (0.89771, 0.55632, 0.43342, 0.37512, 0.35043, 0.34614, 0.33991, 0.33039, 0.33192, 0.32513),
    0.2635: (0.98541, 0.93026, 0.88552, 0.82757, 0.76865, 0.70032, 0.61671, 0.51891, 0.41946, 0.30242),
    0.3037: (0.97992, 0.91369, 0.86371, 0.80064, 0.72375, 0.62765, 0.53620, 0.43229, 0.32918, 0.25164),
    0.3054: (0.98153, 0.91626, 0.85500, 0.78959, 0.71437, 0.61700, 0.53577, 0.44018, 0.34097, 0.26472),
    0.3033: (0.98202, 0.92746, 0.87289, 0.80382, 0.72304, 0.63948, 0.53412, 0.42564, 0.33250, 0.24350),
    0.2863: (0.98356, 0.93422, 0.88210, 0.82550, 0.75465, 0.66198, 0.56305, 0.46577, 0.35883, 0.25681),
    0.2950: (0.98604, 0.93805, 0.88595, 0.82546, 0.74753, 0.65112, 0.54772, 0.44688, 0.34203, 0.24484),
}  # fmt: skip


@pytest.fixture(scope="module")
def kept():
    with np.load(HERE / "explanations.npz") as values:
        return dict(values)


@pytest.fixture(scope="module")
def pictures():
    """Images in [0, 1], labels and maps, as tensors."""
    pixels, labels, made = inputs.explained()
    return torch.from_numpy(pixels).float() / 255, torch.from_numpy(labels), made


def prepared():
    masks, counts, outputs, centres = inputs.linear()
    return lime.Prepared(np.zeros((3, 1, 1), dtype=np.int64), masks, counts, centres), outputs


def test_linear_fits_are_those_of_lime(kept):
    given, outputs = prepared()
    found = lime.fitted(given, outputs)
    np.testing.assert_allclose(found.fidelity, kept["lime/fidelity"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.stability, kept["lime/stability"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.scaled, kept["lime/fidelity"] / outputs.var(1), atol=1e-6)
    np.testing.assert_allclose(found.per_segment, kept["lime/stability"] / given.counts, atol=1e-8)
    around = lime.weights_around(given.masks, np.zeros(3, dtype=np.int64))
    np.testing.assert_allclose(
        lime.ridge(given.masks, outputs, around)[0], kept["lime/coefficients"], atol=1e-9
    )


def test_the_regression_is_that_of_scikit_learn():
    given, outputs = prepared()
    weights = np.random.Generator(np.random.PCG64(0)).random(outputs.shape)
    coefficients, intercepts = lime.ridge(given.masks, outputs, weights)
    for k, count in enumerate(given.counts):
        fitted = Ridge(alpha=1.0).fit(given.masks[k, :, :count], outputs[k], sample_weight=weights[k])
        np.testing.assert_allclose(coefficients[k, :count], fitted.coef_, atol=1e-10)
        assert intercepts[k] == pytest.approx(fitted.intercept_, abs=1e-10)
        assert not coefficients[k, count:].any()


def test_superpixels_are_those_of_lime(kept):
    for picture, theirs in zip(inputs.explained()[0], kept["lime/segments"], strict=True):
        ours = lime.segmented(picture)
        assert (
            len({*zip(ours.ravel(), theirs.ravel(), strict=True)}) == ours.max() + 1 == len(np.unique(theirs))
        )


def test_grad_cam_is_that_of_two_packages(kept, pictures):
    x, labels, _ = pictures
    found = saliency.gradcam(inputs.explained_network(), "2", x.requires_grad_(), labels).detach().numpy()
    np.testing.assert_allclose(found, kept["cam/grid"], atol=1e-6)
    large = faithfulness.resized(found, 20, 20)
    low, high = (f(large, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    np.testing.assert_allclose((large - low) / (high - low), kept["cam/resized"], atol=1e-4)


def test_imputation_is_that_of_the_released_imputer(kept, pictures):
    x = pictures[0].detach()
    for k, masks in enumerate(inputs.removed()):
        for place, mask in enumerate(masks):
            order = torch.from_numpy(np.argsort(~mask.ravel(), kind="stable"))[None]
            exact = imputation.imputed(x[k : k + 1].double(), order, int(mask.sum()), 1e-10)
            np.testing.assert_allclose(exact[0].numpy(), kept["imputed"][k, place], atol=1e-6)
            quick = imputation.imputed(x[k : k + 1], order, int(mask.sum()))
            np.testing.assert_allclose(quick[0].numpy(), kept["imputed"][k, place], atol=1e-3)


def test_deletion_and_insertion_are_those_of_torchcam(kept, pictures, monkeypatch):
    x, labels, made = pictures
    x = x.detach()
    order = torch.from_numpy(saliency_maps.ranked(made))
    network = inputs.explained_network().requires_grad_(False)
    found = faithfulness.under(faithfulness.deletion(network, x, labels, order))
    np.testing.assert_allclose(found, kept["curve/deletion"], atol=1e-6)
    monkeypatch.setattr(faithfulness, "blurred", torch.zeros_like)  # torchcam's substrate is black
    found = faithfulness.under(faithfulness.insertion(network, x, labels, order))
    np.testing.assert_allclose(found, kept["curve/insertion"], atol=1e-6)


def test_the_gini_index_is_that_of_quantus(kept):
    np.testing.assert_allclose(saliency_maps.gini(inputs.explained()[2]), kept["gini"], atol=1e-6)


@pytest.mark.parametrize("aopc", PUBLISHED)
def test_aopc_is_that_of_published_curves(aopc):
    """They count the first point twice: eleven points, of which the drop is taken from 1 % removed."""
    curve = np.array(PUBLISHED[aopc])
    assert faithfulness.mean_fall(np.concatenate([curve[:1], curve])) == pytest.approx(aopc, abs=7e-5)
