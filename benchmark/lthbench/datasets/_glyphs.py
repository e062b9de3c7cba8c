"""Characters of the fonts that Matplotlib ships, drawn as the handwritten digits were scanned.

A digit of that data set fills a bitmap of 32 x 32 in black and white; its pixels are the counts of ink, 0 to
16, in squares of 4 x 4. Characters are drawn so from their outlines, in font units and without hinting, by
arithmetic alone: no version of a rasteriser changes a pixel. Each is slanted, turned and made as wide as
digits are, by a draw that its place in the order fixes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.kinds import Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

#: The side of the bitmap, that of the squares in which ink is counted, and straight pieces of a curve.
BITMAP, SQUARE, PIECES = 32, 4, 8
#: Degrees turned at most, either way; the slant, as a share of the height; the width, in bitmap pixels.
TURN, SLANT, WIDTH = 8.0, (-0.1, 0.25), (20.0, 28.0)

OBTAIN = "It is drawn from fonts that come with Matplotlib: pip install matplotlib"


def fonts(names: Sequence[str]) -> Source | None:
    """The fonts' files inside the installed Matplotlib (which is not imported for this)."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    files = tuple(root / f"{name}.ttf" for name in names)
    return Source("Matplotlib", root, files) if all(path.is_file() for path in files) else None


def drawn(characters: str, files: Sequence[Path]) -> Images:
    """Every character in every font, character by character. Labels are the characters' places.

    Drawn once in a process, as several sets have the same.
    """
    return _drawn(characters, tuple(files), tuple(path.stat().st_mtime_ns for path in files))


@lru_cache(maxsize=4)
def _drawn(characters: str, files: tuple[Path, ...], changed: tuple[int, ...]) -> Images:
    """The same from files as they were when they were last changed."""
    del changed
    import numpy as np
    from fontTools.ttLib import TTFont

    draw = np.random.Generator(np.random.PCG64(0))
    opened = [TTFont(path, lazy=True) for path in files]
    drawn_by = [(font.getGlyphSet(), font.getBestCmap()) for font in opened]
    pixels = [inked(posed(outline(g[names[ord(c)]], g), draw)) for c in characters for g, names in drawn_by]
    for font in opened:
        font.close()
    return Images(np.stack(pixels)[:, None], np.repeat(np.arange(len(characters)), len(files)))


def outline(glyph: Any, glyphs: Any) -> list[Points]:
    """The closed contours of one of a font's ``glyphs``, in font units: each ``[points, 2]``."""
    import numpy as np
    from fontTools.pens.basePen import BasePen

    share = np.linspace(0.0, 1.0, PIECES + 1)[1:, None]
    contours: list[list[Any]] = []

    class Pen(BasePen):  # type: ignore[misc]
        def _moveTo(self, point: Any) -> None:
            contours.append([point])

        def _lineTo(self, point: Any) -> None:
            contours[-1].append(point)

        def _qCurveToOne(self, bend: Any, end: Any) -> None:
            start, bend, end = (np.array(p, dtype=np.float64) for p in (contours[-1][-1], bend, end))
            contours[-1].extend((1 - share) ** 2 * start + 2 * share * (1 - share) * bend + share**2 * end)

    glyph.draw(Pen(glyphs))
    return [np.array(points, dtype=np.float64) for points in contours]


def posed(contours: list[Points], draw: np.random.Generator) -> list[Points]:
    """The same slanted, turned, and in the middle of the bitmap, of its height and a digit's width."""
    import numpy as np

    turn = np.deg2rad(TURN * (2.0 * draw.random() - 1.0))
    slant = SLANT[0] + (SLANT[1] - SLANT[0]) * draw.random()
    width = WIDTH[0] + (WIDTH[1] - WIDTH[0]) * draw.random()
    cosine, sine = np.cos(turn), np.sin(turn)
    moved = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1.0, slant], [0.0, 1.0]])
    turned = [points @ moved.T for points in contours]
    low, high = (pick(np.concatenate(turned), axis=0) for pick in (np.min, np.max))
    scale = np.array([width, BITMAP]) / (high - low)
    return [(points - low) * scale + [(BITMAP - width) / 2.0, 0.0] for points in turned]


def inked(contours: list[Points]) -> NDArray[np.uint8]:
    """The ink of contours within the bitmap (y upwards) as grey levels ``[8, 8]``, 0 to 255 in 16 steps.

    A bitmap pixel is ink where its centre has a winding number other than zero, as TrueType says.
    """
    import numpy as np

    starts = np.concatenate(contours)
    ends = np.concatenate([np.roll(points, -1, axis=0) for points in contours])
    centres = np.arange(BITMAP) + 0.5
    (x, y), (x_end, y_end) = starts.T[:, :, None], ends.T[:, :, None]
    upwards, downwards = (y <= centres) & (y_end > centres), (y_end <= centres) & (y > centres)
    height = np.where(y_end == y, 1.0, y_end - y)  # level edges cross no line: their place does not matter
    crossing = x + (centres - y) * (x_end - x) / height
    signs = upwards.astype(np.int64) - downwards
    winding = (signs[:, :, None] * (crossing[:, :, None] > centres)).sum(0)
    squares = (winding[::-1] != 0).reshape(BITMAP // SQUARE, SQUARE, BITMAP // SQUARE, SQUARE)
    grey: NDArray[np.uint8] = np.rint(squares.sum((1, 3)) * (255.0 / SQUARE**2)).astype(np.uint8)
    return grey
