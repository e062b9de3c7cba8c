"""Values of packages that cannot be installed beside lthbench's dependencies, for tests to hold ours to.

torchattacks ships an old top-level ``robustbench`` of its own and pins requests; imagecorruptions needs an
old setuptools; robustbench 1.1.1 cannot be imported as it is (its ``autoattack`` is not on PyPI), so its
loader is read past its package's front door. Hence an environment of their own:

    python -m venv .oracles && .oracles/bin/pip install torch torchvision 'setuptools<81' \
        torchattacks==3.5.1 imagecorruptions==1.1.2
    .oracles/bin/pip install --no-deps --target .oracles/robustbench robustbench==1.1.1
    .oracles/bin/python tests/oracles/packages.py .oracles/robustbench

writes ``packages.npz`` beside this file. The inputs come from ``inputs.py``, by formulas.
"""

import hashlib
import sys
import tempfile
import types
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import inputs  # noqa: E402  (a script: the folder is no package)


def attacks() -> dict[str, np.ndarray]:
    """What torchattacks makes of the images, by attack."""
    import torchattacks

    network = inputs.network().eval()
    images, labels = inputs.small_images()
    plain = torchattacks.FGSM(network, eps=8 / 255)
    steps = torchattacks.PGD(network, eps=8 / 255, alpha=2 / 255, steps=20, random_start=False)
    return {"fgsm": plain(images, labels).numpy(), "pgd": steps(images, labels).numpy()}


def corruptions() -> dict[str, np.ndarray]:
    """What imagecorruptions makes of the picture at 224 pixels: a part of it, or how far it moves.

    For kinds that draw nothing: rows and columns 96 to 127, ``[5, 32, 32, 3]``. For the others: the mean and
    the mean absolute change over all pixels, over 12 draws, ``[5, 2]``.
    """
    from imagecorruptions import corrupt

    picture = inputs.picture()
    found = {}
    for kind in inputs.FIXED:
        rows = [corrupt(picture, severity=s, corruption_name=kind)[96:128, 96:128] for s in range(1, 6)]
        found[kind] = np.stack(rows).astype(np.uint8)
    for kind in inputs.RANDOM:
        rows = []
        for severity in range(1, 6):
            moved = []
            for seed in range(12):
                np.random.seed(seed)  # noqa: NPY002  (the package draws from the global generator)
                moved.append(
                    corrupt(picture, severity=severity, corruption_name=kind).astype(float) - picture
                )
            rows.append([np.mean(moved), np.mean(np.abs(moved))])
        found[kind] = np.array(rows)
    return found


def loader(root: Path) -> dict[str, np.ndarray]:
    """What robustbench's loader hands to a network for CIFAR-10-C, by severity, as SHA-256 of uint8 NCHW."""
    for name in ("robustbench", "robustbench.model_zoo"):
        module = types.ModuleType(name)
        module.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = module
    sys.modules["robustbench.model_zoo"].model_dicts = {}
    sys.modules["timm"] = MagicMock()
    from robustbench.data import load_corruptions_cifar
    from robustbench.model_zoo.enums import BenchmarkDataset

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs.write_cifar_c(Path(folder) / "CIFAR-10-C", "fog")
        for severity in (1, 3, 5):
            images, labels = load_corruptions_cifar(
                BenchmarkDataset.cifar_10, 10_000, severity, folder, corruptions=("fog",)
            )
            levels = (images * 255).round().to(torch.uint8).numpy()
            digest = hashlib.sha256(levels.tobytes() + labels.numpy().astype(np.int64).tobytes())
            found[f"severity {severity}"] = np.frombuffer(digest.digest(), np.uint8)
    return found


if __name__ == "__main__":
    parts = {"attack": attacks(), "corruption": corruptions(), "loader": loader(Path(sys.argv[1]))}
    flat = {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}
    np.savez_compressed(HERE / "packages.npz", **flat)
    print(f"{len(flat)} values, {(HERE / 'packages.npz').stat().st_size} bytes")
