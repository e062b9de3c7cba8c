"""ImageMagick's own motion blur, for tests to hold ours to: what the published corrupted sets were made by.

Hendrycks & Dietterich 2019 call ``MagickMotionBlurImage`` through Wand on a PNG and decode the PNG that comes
back. With ImageMagick 6 or 7 (quantum depth 16) and ``pip install wand``,

    python tests/oracles/imagemagick.py

writes ``imagemagick.npz`` beside this file. The inputs come from ``inputs.py``, by formulas.
"""

import ctypes
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import inputs  # noqa: E402  (a script: the folder is no package)


def smeared(picture: np.ndarray, radius: float, sigma: float, degrees: float) -> np.ndarray:
    """The picture, uint8 ``[H, W]`` or ``[H, W, 3]``, after ImageMagick's motion blur."""
    from wand.api import library
    from wand.image import Image as Wand

    png = io.BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    numbers = [ctypes.c_double(n) for n in (radius, sigma, degrees)]
    with Wand(blob=png.getvalue()) as image:
        library.MagickMotionBlurImage(image.wand, *numbers)
        done = Image.open(io.BytesIO(image.make_blob()))
    assert done.mode in ("L", "RGB", "P"), "not 8 bits"  # a palette where there are few colours
    return np.asarray(done.convert("L" if picture.ndim == 2 else "RGB"))


if __name__ == "__main__":
    found = {
        f"{name}/{radius} {sigma} {degrees}": smeared(inputs.motion_pictures()[name], radius, sigma, degrees)
        for name, radius, sigma, degrees in inputs.MOTIONS
    }
    np.savez_compressed(HERE / "imagemagick.npz", **found)
    print(f"{len(found)} values, {(HERE / 'imagemagick.npz').stat().st_size} bytes")
