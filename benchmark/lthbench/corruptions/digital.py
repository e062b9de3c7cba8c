"""Digital: contrast, pixelation, JPEG compression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.corruptions import Corruption

if TYPE_CHECKING:
    import torch


def contrast(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Pull every value towards the mean of its channel over the image."""
    del generator
    c = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    means = images.mean((2, 3), keepdim=True)
    return (images - means) * c + means


def pixelate(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Shrink to a share c of the size and back, with Pillow's box filter."""
    import numpy as np
    import torch
    from PIL import Image

    del generator
    c = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    size = images.shape[2]
    small = max(1, int(size * c))
    planes = (images * 255.0).round().to(torch.uint8).cpu().reshape(-1, size, size).numpy()

    def coarse(plane: np.ndarray) -> np.ndarray:
        image = Image.fromarray(plane).resize((small, small), Image.Resampling.BOX)
        return np.asarray(image.resize((size, size), Image.Resampling.BOX))

    done = np.stack([coarse(p) for p in planes]).reshape(images.shape)
    return torch.from_numpy(done).to(images).div_(255.0)


def jpeg_compression(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Encode as JPEG at quality c and decode, with Pillow (libjpeg-turbo), chroma halved as by default."""
    import io

    import numpy as np
    import torch
    from PIL import Image

    del generator
    c = (80, 65, 58, 50, 40)[severity - 1]
    pixels = (images * 255.0).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()

    def through(picture: np.ndarray) -> np.ndarray:
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(
            encoded, "JPEG", quality=c
        )
        return np.asarray(Image.open(encoded)).reshape(picture.shape)

    done = np.stack([through(p) for p in pixels]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(done)).to(images).div_(255.0)


CORRUPTIONS = (
    Corruption("contrast", 1, "digital", contrast),
    Corruption("pixelate", 1, "digital", pixelate),
    Corruption("jpeg_compression", 1, "digital", jpeg_compression),
)
