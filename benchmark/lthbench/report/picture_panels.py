"""Pictures that a table brings along: saliency maps, crops of concepts. A table without any shows nothing."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lthbench.errors import BadInput, because

#: What kinds there are, under which heading they stand, and what they show.
KINDS = {
    "saliency": ("What it looks at", "Maps of the pixels that matter for a decision, dense and pruned."),
    "unit-images": (
        "What excites its units",
        "Units with the formula of concepts that explains each, its intersection over union, and below them "
        "the images that excite it most, with an outline of where it is on; dense, and the same unit of "
        "pruned networks.",
    ),
    "concepts": ("What its concepts look like", "Crops of images that speak for a concept the most."),
}
_IMAGE = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, of a kind, what it is called, what it shows in words, its size in pixels.

    ``file`` is what it is called where it lies beside a page; ``numbers`` are a head and rows, or nothing.
    """

    kind: str
    title: str
    text: str
    image: str
    file: str
    width: int
    height: int
    numbers: tuple[tuple[Any, ...], ...] = ()

    @property
    def table(self) -> str:
        """What the file of its numbers is called where it lies beside a page."""
        return f"{self.file.partition('.')[0]}.csv"

    @property
    def content(self) -> bytes:
        """The bytes of the image file."""
        return base64.b64decode(self.image.partition(",")[2])


def grouped(pictures: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, list[Picture]]]:
    """Heading, note and pictures of each kind, of those that came with a table.

    Each has ``kind``, ``title``, ``text`` and ``image``, a PNG, JPEG or WebP as a data URL. Raises BadInput.
    """
    found: dict[str, list[Picture]] = {kind: [] for kind in KINDS}
    for entry in pictures:
        kind, title, text, image = (str(entry[name]) for name in ("kind", "title", "text", "image"))
        if kind not in KINDS:
            raise BadInput(f'no kind of picture "{kind}". Valid: {", ".join(KINDS)}')
        form = _IMAGE.fullmatch(image)
        if form is None:
            raise BadInput(f"picture {title}: not a PNG, JPEG or WebP as a data URL.")
        numbers = _numbers(entry.get("numbers", ()), title)
        place = sum(map(len, found.values()))
        file = f"picture-{place}.{form[1]}"
        found[kind].append(Picture(kind, title, text, image, file, *_size(image, title), numbers))
    return [(*KINDS[kind], pictures) for kind, pictures in found.items() if pictures]


def _numbers(found: Any, title: str) -> tuple[tuple[Any, ...], ...]:
    """A head and rows of texts and numbers, all of one length; or nothing. Raises BadInput."""
    rows = (
        [row for row in found if isinstance(row, list | tuple)] if isinstance(found, list | tuple) else None
    )
    if rows is None or len(rows) < len(found) or len({len(row) for row in rows}) > 1:
        raise BadInput(f"picture {title}: its numbers are no table.")
    if not all(value is None or isinstance(value, str | int | float) for row in rows for value in row):
        raise BadInput(f"picture {title}: its numbers hold what is neither text nor number.")
    return tuple(map(tuple, rows))


def _size(image: str, title: str) -> tuple[int, int]:
    """Width and height, so that the page keeps its place while pictures load. Raises BadInput."""
    from PIL import Image

    try:
        content = io.BytesIO(base64.b64decode(image.partition(",")[2]))
        with Image.open(content, formats=("PNG", "JPEG", "WEBP")) as opened:
            return opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"picture {title}: cannot be read{because(error)}.") from error
