"""Drawings of what networks look at and of their concepts, as WebP in data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthbench import formatting
from lthbench.report.figures.drawing import literally
from lthbench.report.figures.removal import KINDS
from lthbench.report.figures.units_of import readable
from lthbench.results.pictures import ConceptPicture, SaliencyPicture
from lthbench.results.unit_pictures import Excited, UnitPicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A map's side in pixels.
CELL = 56
#: Legible on white and on black.
INK = "#808080"


Drawable = SaliencyPicture | ConceptPicture | UnitPicture


@literally
def drawn(pictures: Iterable[Drawable]) -> tuple[dict[str, Any], ...]:
    """Each as ``RunFacts.pictures`` has it: its kind, title, text, image as a data URL, and of concepts and
    units the ``numbers``: a head and rows.
    """
    found: list[dict[str, Any]] = []
    for picture in pictures:
        if isinstance(picture, SaliencyPicture):
            kind, image = "saliency", _maps(picture)
        elif isinstance(picture, ConceptPicture):
            kind, image = "concepts", _crops(picture)
        else:
            kind, image = "unit-images", _units(picture)
        found.append({"kind": kind, "title": picture.title, "text": picture.text, "image": image})
        if not isinstance(picture, SaliencyPicture):
            found[-1]["numbers"] = _numbers(picture)
    return tuple(found)


def _crops(picture: ConceptPicture) -> str:
    """A block for each concept, two side by side: a row of crops for each network."""
    from matplotlib.figure import Figure

    networks, concepts, inch = picture.networks, picture.concepts, 0.62
    each = max(len(crops) for rows in concepts for crops in rows)
    down = -(-len(concepts) // 2)
    wide, high = each * inch, len(networks) * inch
    width, height = min(len(concepts), 2) * (0.75 + wide), down * (0.32 + high)
    canvas = Figure(figsize=(width, height), dpi=100)
    near = np.arange(CELL - 2) * picture.side // (CELL - 2)
    for place, rows in enumerate(concepts):
        left = (place % 2) * (0.75 + wide) + 0.7
        bottom = height - (place // 2 + 1) * (0.32 + high) + 0.02
        axes = canvas.add_axes((left / width, bottom / height, wide / width, high / height))
        cells = np.zeros((len(networks) * CELL, each * CELL, 4))
        for line, crops in enumerate(rows):
            for column, (k, y, x) in enumerate(crops):
                crop = np.moveaxis(picture.pixels[k][:, y + near][:, :, x + near], 0, -1) / 255.0
                spot = _spot(line, column)
                cells[(*spot, np.s_[:3])] = crop
                cells[(*spot, 3)] = 1.0
        _grid(axes, cells, [], networks, f"concept {place + 1}")
    return _as_url(canvas)


#: An image's side in pixels, in pictures of units; and letters of a formula in each of two lines above.
SIDE, LETTERS = 80, 62


def _units(picture: UnitPicture) -> str:
    """A block for each unit, two side by side: its formula and its strongest images in each network."""
    from matplotlib.figure import Figure

    inch, text, head, left = SIDE / 100, 0.36, 0.3, 0.62
    each = max(len(row.images) for _, rows in picture.blocks for row in rows if row)
    wide, high = left + each * inch + 0.1, head + len(picture.networks) * (text + inch)
    across, down = min(len(picture.blocks), 2), -(-len(picture.blocks) // 2)
    width, height = across * wide, down * high
    canvas = Figure(figsize=(width, height), dpi=100)

    def write(x: float, y: float, said: str, **how: Any) -> None:
        looks: dict[str, Any] = {"color": INK, "va": "center", "fontsize": 7.0}
        canvas.text(x / width, y / height, said, **looks | how)

    for place, (name, rows) in enumerate(picture.blocks):
        x, top = (place % 2) * wide, height - (place // 2) * high
        write(x + left, top - head / 2, name, fontsize=8.5)
        for line, (network, row) in enumerate(zip(picture.networks, rows, strict=True)):
            y = top - head - line * (text + inch)
            write(x + left - 0.06, y - text - inch / 2, network, ha="right", fontsize=7.5)
            write(x + left, y - text + 0.03, _words(row), va="bottom")
            if row:
                corner = (x + left) / width, (y - text - inch) / height
                axes = canvas.add_axes((*corner, len(row.images) * inch / width, inch / height))
                axes.imshow(_strip(row, picture.pixels), interpolation="nearest", aspect="auto")
                axes.set_axis_off()
    return _as_url(canvas)


def _words(unit: Excited | None) -> str:
    """What explains a unit and how well, in two lines at most."""
    if unit is None:
        return "dead: it is the same in all images"
    lines = wrap(f"{readable(unit.formula)}: {unit.iou:.2f}", LETTERS, max_lines=2, placeholder=" ...")
    return "\n".join(lines)


def _strip(unit: Excited, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A unit's strongest images side by side; around where it is on, a rim of black and one of white."""
    size = SIDE - 2
    cells = np.zeros((SIDE, SIDE * len(unit.images), 4))
    for column, (number, grid) in enumerate(unit.images):
        rows, columns = (np.arange(size) * length // size for length in pixels.shape[2:])
        image = np.moveaxis(pixels[number][:, rows][:, :, columns], 0, -1) / 255.0
        image = np.repeat(image, 3 // image.shape[-1], axis=-1)
        high, wide = (np.arange(size) * length // size for length in grid.shape)
        on = grid[np.ix_(high, wide)]
        image[_grown(_grown(on)) & ~on] = 1.0
        image[_grown(on) & ~on] = 0.0
        spot = np.s_[:size, column * SIDE : column * SIDE + size]
        cells[(*spot, np.s_[:3])], cells[(*spot, 3)] = image, 1.0
    return cells


def _grown(on: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """An area and the pixels beside it."""
    wide = np.pad(on, 1)
    return wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:] | on


def _numbers(picture: ConceptPicture | UnitPicture) -> list[list[Any]]:
    """What a picture of concepts or units shows, as a head and rows; images are counted from 1."""
    if isinstance(picture, ConceptPicture):
        crops = [
            [network, place + 1, image + 1, top, left, picture.side]
            for place, rows in enumerate(picture.concepts)
            for network, row in zip(picture.networks, rows, strict=True)
            for image, top, left in row
        ]
        return [["network", "concept", "image", "top", "left", "side"], *crops]
    rows = [
        [network, unit, row.formula, row.iou, *(image + 1 for image, _ in row.images)]
        for unit, networks in picture.blocks
        for network, row in zip(picture.networks, networks, strict=True)
        if row
    ]
    many = max(map(len, rows)) - 4
    return [["network", "unit", "formula", "IoU", *(f"image {k + 1}" for k in range(many))], *rows]


def _maps(picture: SaliencyPicture) -> str:
    """The grids of one image."""
    from matplotlib.figure import Figure

    rows, levels = picture.rows, picture.levels
    columns, lines = 1 + len(levels), max(1, len(rows))
    width, height = 1.0 + len(KINDS) * (0.95 + columns * 0.62), 0.55 + lines * 0.62
    canvas = Figure(figsize=(width, height), dpi=100)
    left = canvas.add_axes((0.06 / width, 1 - 0.92 / height, 0.62 / width, 0.62 / height))
    left.imshow(picture.image.squeeze(), cmap="gray", interpolation="nearest")
    left.set_axis_off()
    for block, (kind, title) in enumerate(KINDS.items()):
        start = 1.0 + 0.8 + block * (0.95 + columns * 0.62)
        box = (start / width, 0.22 / height, columns * 0.62 / width, lines * 0.62 / height)
        axes = canvas.add_axes(box)
        cells = np.full((lines * CELL, columns * CELL, 4), 0.0)
        for line, row in enumerate(rows.values() or [()]):
            for column, maps in enumerate([picture.dense if line == 0 else None, *row]):
                if maps is not None:
                    cells[_spot(line, column)] = _heat(getattr(maps, kind)[picture.index])
        _grid(axes, cells, ["dense", *map(formatting.sparsity, levels)], list(rows) or [""], title)
    return _as_url(canvas)


def _spot(line: int, column: int) -> tuple[slice, slice]:
    """The pixels of a square, all but two on a side, which part it from the next."""
    return np.s_[line * CELL : (line + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]


def _grid(
    axes: Axes, cells: NDArray[np.float64], across: Sequence[str], down: Sequence[str], title: str
) -> None:
    """Draw squares of ``CELL`` pixels, with names of their columns and rows."""
    axes.imshow(cells, interpolation="nearest", aspect="auto")
    axes.set_xticks([CELL * (place + 0.5) for place in range(len(across))], across)
    axes.set_yticks([CELL * (place + 0.5) for place in range(len(down))], down)
    axes.tick_params(colors=INK, labelsize=7.5, length=0, pad=2)
    axes.spines[:].set_visible(False)
    axes.set_title(title, color=INK, fontsize=8.5, pad=3)


def _as_url(canvas: Figure) -> str:
    """A drawing as a WebP in a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", transparent=True)
    small = io.BytesIO()
    with Image.open(buffer) as drawn:
        drawn.save(small, format="WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"


def _heat(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """A map as colours ``[CELL - 2, CELL - 2, 4]``, over its 99.5th percentile; grey for zeros."""
    from matplotlib import colormaps

    size = CELL - 2
    place = np.arange(size) * values.shape[0] // size, np.arange(size) * values.shape[1] // size
    large = np.abs(values)[np.ix_(*place)]
    top = float(np.quantile(large, 0.995)) or float(large.max())
    if not top > 0.0:
        return np.full((size, size, 4), (0.5, 0.5, 0.5, 0.25))
    return np.asarray(colormaps["magma"](np.clip(large / top, 0, 1)), dtype=np.float64)
