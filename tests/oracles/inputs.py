"""What both the packages and lthbench are given: by formulas, so that nothing has to be kept."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

#: Kinds of ImageNet-C that draw nothing, and those that draw. Left out: what imagecorruptions 1.1.2 cannot
#: run any more (glass blur, Gaussian blur, fog), has its own constants for (its elastic transform has no
#: affine part, and is not ImageNet-C's), or what is not the published kind here (frost).
FIXED = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "saturate")
RANDOM = (
    "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "motion_blur", "snow", "spatter",
)  # fmt: skip


def network() -> nn.Module:
    """A small network for images of 8 pixels, its weights drawn by NumPy."""
    draw = np.random.Generator(np.random.PCG64(1))
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(384, 5))
    for parameter in model.parameters():
        values = draw.uniform(-1, 1, parameter.shape) / np.sqrt(parameter[0].numel())
        parameter.data = torch.from_numpy(values).float()
    return model


def small_images() -> tuple[torch.Tensor, torch.Tensor]:
    """Six images of 8 pixels in [0, 1], a third of the values at its ends, and labels."""
    draw = np.random.Generator(np.random.PCG64(2))
    pixels = draw.uniform(-0.5, 1.5, (6, 3, 8, 8)).clip(0, 1)
    return torch.from_numpy(pixels).float(), torch.arange(6) % 5


def picture() -> np.ndarray:
    """A picture of 224 x 224 pixels, uint8 ``[224, 224, 3]``: waves of several lengths, and edges."""
    y, x = np.mgrid[:224, :224] / 224.0
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in ((1, 2, 0), (5, -3, 0.3), (17, 11, 0.6))]
    planes = [0.45 + 0.2 * waves[i] + 0.1 * waves[(i + 1) % 3] + 0.05 * waves[(i + 2) % 3] for i in range(3)]
    image = np.stack(planes, axis=2)
    image[60:110, 90:150] *= 0.4
    image[120:180, 40:120, 0] += 0.3
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def write_cifar_c(folder: Path, kind: str) -> None:
    """One kind of CIFAR-10-C in its published layout and size: ``[50000, 32, 32, 3]``, and labels."""
    folder.mkdir(parents=True)
    draw = np.random.Generator(np.random.PCG64(3))
    array = np.lib.format.open_memmap(folder / f"{kind}.npy", "w+", np.uint8, (50_000, 32, 32, 3))
    for start in range(0, 50_000, 10_000):
        array[start : start + 10_000] = np.frombuffer(draw.bytes(10_000 * 3072), np.uint8).reshape(
            10_000, 32, 32, 3
        )
    array.flush()
    np.save(folder / "labels.npy", np.tile(np.arange(10_000) * 7 % 10, 5).astype(np.uint8))


def explained_network() -> nn.Module:
    """A network for pictures of any size in three colours; its module "2" has a grid of half the size."""
    draw = np.random.Generator(np.random.PCG64(4))
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.Linear(6, 5)
    for parameter in (p for layer in layers for p in layer.parameters()):
        values = draw.uniform(-1, 1, parameter.shape) * 3 / np.sqrt(parameter[0].numel())
        parameter.data = torch.from_numpy(values).float()
    first, second, last = layers
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), *pool, last).eval()


def explained() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three pictures, uint8 ``[3, 3, 20, 20]``, labels, and maps of different values ``[3, 20, 20]``."""
    pixels = np.stack([picture()[a:][:220:11, :220:11].transpose(2, 0, 1) for a in (0, 2, 4)])
    return pixels, np.array([0, 3, 1]), np.random.Generator(np.random.PCG64(5)).random((3, 20, 20))


def removed() -> list[np.ndarray]:
    """For each picture, masks of the most relevant 10, 50 and 90 %: bool ``[3, 20, 20]``, by a smooth map."""
    y, x = np.mgrid[:20, :20] / 20.0
    maps = [np.sin(9 * x + k) + np.cos(7 * y * (k + 1)) + 0.01 * explained()[2][k] for k in range(3)]
    ranks = [m.ravel().argsort()[::-1].argsort().reshape(20, 20) for m in maps]
    return [np.stack([rank < share * 400 for share in (0.1, 0.5, 0.9)]) for rank in ranks]


def linear() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks ``[3, 1000, 12]``, their segments, probabilities ``[3, 1000]``, rows to centre on ``[3, 4]``."""
    draw = np.random.Generator(np.random.PCG64(6))
    counts, masks, outputs = np.array([7, 12, 9]), np.zeros((3, 1000, 12)), np.zeros((3, 1000))
    for k, count in enumerate(counts):
        masks[k, :, :count] = draw.integers(0, 2, (1000, count))
        masks[k, 0, :count] = 1
        score = masks[k, :, :count] @ draw.normal(size=count) + masks[k, :, 0] * masks[k, :, 1]
        outputs[k] = 1 / (1 + np.exp(0.5 - score))
    return masks, counts, outputs, draw.integers(0, 1000, (3, 4))


#: For motion blur: which picture, radius, sigma, angle. The published strengths of both sizes, some between.
MOTIONS = tuple(
    (name, radius, sigma, round(-131.7 + 27.3 * i % 176, 1))
    for i, (radius, sigma) in enumerate(
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5), (10, 3), (15, 5), (15, 8), (15, 12), (20, 15), (8, 3))
    )
    for name in ("noise", "waves", "flakes", "even")
)


def motion_pictures() -> dict[str, np.ndarray]:
    """Pictures for motion blur, uint8: noise and waves in colour, flakes in grey, an even one."""
    draw = np.random.Generator(np.random.PCG64(7))
    flakes = np.where(draw.random((32, 32)) < 0.1, draw.integers(100, 256, (32, 32)), 0)
    return {
        "noise": draw.integers(0, 256, (16, 16, 3)).astype(np.uint8),
        "waves": picture()[3::7, 3::7],
        "flakes": flakes.astype(np.uint8),
        "even": np.broadcast_to(np.array([7, 102, 201], np.uint8), (12, 12, 3)).copy(),
    }
