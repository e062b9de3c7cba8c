"""Coloured, textured shapes put on images of the data set itself: exact masks, nothing to download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The eleven basic colours of Berlin & Kay 1969, as sRGB.
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (220, 20, 40),
    "green": (30, 150, 60),
    "yellow": (245, 220, 40),
    "blue": (30, 70, 210),
    "brown": (120, 75, 40),
    "orange": (245, 135, 30),
    "pink": (245, 150, 190),
    "purple": (125, 45, 150),
    "grey": (128, 128, 128),
}
TEXTURES = (
    "wide horizontal stripes",
    "wide vertical stripes",
    "wide diagonal stripes",
    "narrow horizontal stripes",
    "narrow vertical stripes",
    "narrow diagonal stripes",
    "checks",
    "dots",
)
SHAPES = ("disc", "square", "triangle", "ring", "cross", "bar")
PLACES = ("top left", "top right", "bottom left", "bottom right")
#: The share of the image that a shape's bounding square takes.
AREA = (0.05, 0.12)


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """One shape on each image; the first layer names the colour of every pixel."""
    import numpy as np

    del source
    n = min(count or len(backdrop.labels), len(backdrop.labels))
    pixels = np.array(backdrop.pixels[:n])
    layers = np.zeros((n, 4, size, size), dtype=np.int16)
    firsts = np.cumsum([1, len(COLOURS), len(TEXTURES), len(SHAPES)])
    for place in range(n):
        draw = np.random.Generator(np.random.PCG64([size, place]))
        quadrant = int(draw.integers(4))
        shape, texture = int(draw.integers(len(SHAPES))), int(draw.integers(len(TEXTURES)))
        ink, paper = draw.choice(len(COLOURS), 2, replace=False)
        side = max(3, round(size * float(draw.uniform(*AREA)) ** 0.5))
        half = size // 2
        reach = max(1, half - side + 1)
        top = int(draw.integers(reach)) + (half if quadrant >= 2 else 0)
        left = int(draw.integers(reach)) + (half if quadrant % 2 else 0)
        mask = np.zeros((size, size), dtype=bool)
        mask[top : top + side, left : left + side] = outline(shape, side)[: size - top, : size - left]
        inked = pattern(texture, size)
        colours = np.array(list(COLOURS.values()), dtype=np.uint8)
        painted = np.where(inked[:, :, None], colours[ink], colours[paper])
        if channels == 1:
            painted = painted.mean(2, keepdims=True).round().astype(np.uint8)
        pixels[place][:, mask] = painted[mask].T[:channels]
        for layer, chosen in ((1, texture), (2, shape), (3, quadrant)):
            layers[place, layer][mask] = firsts[layer] + chosen
        layers[place, 0] = 1 + colour_of(pixels[place])
    names = (*COLOURS, *TEXTURES, *SHAPES, *PLACES)
    sizes = (len(COLOURS), len(TEXTURES), len(SHAPES), len(PLACES))
    kinds = ("colour", "texture", "shape", "position")
    categories = tuple(kind for kind, many in zip(kinds, sizes, strict=True) for _ in range(many))
    return Annotated(pixels, layers, names, categories)


def outline(shape: int, side: int) -> NDArray[np.bool_]:
    """The pixels of a shape in a square of ``side`` pixels."""
    import numpy as np

    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    radius = np.hypot(x, y)
    found: NDArray[np.bool_] = {
        "disc": radius <= 1.0,
        "square": np.maximum(abs(x), abs(y)) <= 0.85,
        "triangle": abs(x) <= (y + 1) / 2,
        "ring": (radius <= 1.0) & (radius >= 0.55),
        "cross": (np.minimum(abs(x), abs(y)) <= 0.34),
        "bar": abs(y) <= 0.4,
    }[SHAPES[shape]]
    return found


def pattern(texture: int, size: int) -> NDArray[np.bool_]:
    """Which pixels of an image have the ink of a texture, the others have the paper."""
    import numpy as np

    y, x = np.mgrid[:size, :size]
    wide = max(2, size // 12)
    narrow = max(1, wide // 2)
    name, pitch = TEXTURES[texture], 2 * narrow + 1
    if name == "checks":
        inked = (y // wide + x // wide) % 2 == 0
    elif name == "dots":
        inked = (y % pitch <= narrow) & (x % pitch <= narrow)
    else:
        step = wide if name.startswith("wide") else narrow
        along = {"horizontal": y, "vertical": x, "diagonal": y + x}[name.split()[1]]
        inked = along // step % 2 == 0
    found: NDArray[np.bool_] = inked
    return found


def colour_of(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The nearest of ``COLOURS`` in CIELAB, by its number, for each pixel of an image ``[C, H, W]``."""
    import numpy as np
    from skimage.color import rgb2lab

    anchors = rgb2lab(np.array(list(COLOURS.values()), dtype=np.uint8)[None])[0]
    rgb = np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
    lab = rgb2lab(np.ascontiguousarray(rgb))
    apart = ((lab[:, :, None] - anchors) ** 2).sum(-1)
    found: NDArray[np.int64] = apart.argmin(-1)
    return found


BANK = Bank(
    name="shapes",
    version=1,
    title="coloured and textured shapes on images of the data set",
    source=(
        "lthbench; named colours as in Broden (Bau et al. 2017), the eleven basic ones of Berlin & Kay 1969. "
        "One shape on each test image, its place, colours and texture drawn by the image's number"
    ),
    licence="the images are the data set's own; the shapes are CC0",
    load=load,
)
