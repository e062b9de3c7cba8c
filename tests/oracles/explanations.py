"""Values of packages for explanations, for tests to hold ours to; in an environment of their own
(packages.py):

    .oracles/bin/pip install lime==0.2.0.1 grad-cam==1.5.7 torchcam==0.5.0 scikit-image pandas
    .oracles/bin/pip install --no-deps quantus==0.5.3
    .oracles/bin/python tests/oracles/explanations.py

writes ``explanations.npz`` beside this file. Left out: quantus' ROAD (0.6.0 raises for pictures in
colour) and its region perturbation (neither runs with NumPy 2.4).
"""

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import inputs  # noqa: E402  (a script: the folder is no package)


def fits() -> dict[str, np.ndarray]:
    """LIME's coefficients and residuals, and how far coefficients move when centred on other rows."""
    from lime.lime_base import LimeBase
    from lime.lime_image import SegmentationAlgorithm
    from sklearn.metrics import pairwise_distances

    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    masks, counts, outputs, centres = inputs.linear()

    def fit(k: int, row: int) -> tuple[float, np.ndarray]:
        data = masks[k, :, : counts[k]]
        far = pairwise_distances(data, data[row : row + 1], metric="cosine").ravel()
        found = base.explain_instance_with_data(data, outputs[k][:, None], far, 0, num_features=100000)
        coefficients = np.zeros(masks.shape[2])
        for feature, value in found[1]:
            coefficients[feature] = value
        return found[0], coefficients

    first = [fit(k, 0) for k in range(3)]
    errors = [np.mean((outputs[k] - masks[k] @ c - b) ** 2) for k, (b, c) in enumerate(first)]
    moved = [np.mean([np.sum((fit(k, row)[1] - first[k][1]) ** 2) for row in centres[k]]) for k in range(3)]
    cut = SegmentationAlgorithm("felzenszwalb", scale=10, sigma=0.4, min_size=20)
    pieces = np.stack([cut(p.transpose(1, 2, 0)) for p in inputs.explained()[0]])
    return {
        "coefficients": np.stack([c for _, c in first]),
        "fidelity": np.array(errors),
        "stability": np.array(moved),
        "segments": pieces,
    }


def cams() -> dict[str, np.ndarray]:
    """Grad-CAM of two packages: pytorch-grad-cam's is scaled to [0, 1] and resized, torchcam's is on the
    grid.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAM as OtherCAM

    pixels, labels, _ = inputs.explained()
    x = torch.from_numpy(pixels).float() / 255
    network = inputs.explained_network()
    with GradCAM(network, [network[2]]) as cam:
        resized = cam(x.clone(), [ClassifierOutputTarget(int(label)) for label in labels])
    network = inputs.explained_network()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    with OtherCAM(network, network[2]) as extractor:
        (grid,) = extractor([int(label) for label in labels], network(x), normalized=False)
    return {"resized": resized, "grid": grid.detach().numpy()}


def imputed() -> np.ndarray:
    """Pictures with pixels removed, filled in by pytorch-grad-cam's copy of ROAD's imputer without noise."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    fill = NoisyLinearImputer(noise=0.0)
    pixels = torch.from_numpy(inputs.explained()[0]).float() / 255
    return np.stack(
        [
            [fill(picture, torch.from_numpy((~mask).astype(np.float32))).numpy() for mask in masks]
            for picture, masks in zip(pixels, inputs.removed(), strict=True)
        ]
    )


def curves() -> dict[str, np.ndarray]:
    """torchcam's areas of deletion and insertion (from black), for each picture."""
    from torchcam.metrics import DeletionInsertionMetric

    pixels, labels, maps = inputs.explained()
    found = []
    for picture, label, map_ in zip(pixels, labels, maps, strict=True):

        class Fixed:
            model = inputs.explained_network()
            cam = torch.from_numpy(map_)[None]

            def __call__(self, *given: object, **named: object) -> list[torch.Tensor]:
                return [self.cam]

            def fuse_cams(self, cams: list[torch.Tensor]) -> torch.Tensor:
                return cams[0]

            def _hooks_off(self) -> contextlib.AbstractContextManager[None]:
                return contextlib.nullcontext()

        metric = DeletionInsertionMetric(Fixed(), lambda logits: logits.softmax(1), steps=20)
        metric.update(torch.from_numpy(picture)[None].float() / 255, int(label))
        both = metric.summary()
        found.append([both["deletion_auc"], both["insertion_auc"]])
    return {"deletion": np.array(found)[:, 0], "insertion": np.array(found)[:, 1]}


def sparseness() -> np.ndarray:
    """quantus' Gini index, one picture at a call: in one call all are scaled by the largest value of any."""
    import quantus

    pixels, labels, maps = inputs.explained()
    network = torch.nn.Sequential(inputs.explained_network(), torch.nn.Softmax(1)).eval()
    gini = quantus.Sparseness(disable_warnings=True, display_progressbar=False)
    return np.array(
        [
            gini(
                model=network,
                x_batch=pixels[k : k + 1].astype(np.float32) / 255,
                y_batch=labels[k : k + 1],
                a_batch=maps[k : k + 1, None].astype(np.float32),
                device="cpu",
            )[0]
            for k in range(3)
        ]
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    made = {f"lime/{name}": array for name, array in fits().items()}
    made |= {f"cam/{name}": array for name, array in cams().items()}
    made["imputed"] = imputed()
    made |= {f"curve/{name}": array for name, array in curves().items()}
    made["gini"] = sparseness()
    np.savez_compressed(HERE / "explanations.npz", **made)
