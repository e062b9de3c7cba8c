"""Pictures that a table brings along: saliency maps, crops of concepts. A table without any shows nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lthbench.errors import BadInput

#: What kinds there are, under which heading they stand, and what they show.
KINDS = {
    "saliency": ("What it looks at", "Maps of the pixels that matter for a decision, dense and pruned."),
    "concepts": ("What its concepts look like", "Crops of images that speak for a concept the most."),
}
_IMAGE = re.compile(r"data:image/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, what it is called, and what it shows in words."""

    title: str
    text: str
    image: str


def grouped(facts: dict[str, Any]) -> list[tuple[str, str, list[Picture]]]:
    """Heading, note and pictures of each kind that the facts have under ``pictures``.

    Each has ``kind``, ``title``, ``text`` and ``image``, a PNG, JPEG or WebP as a data URL. Raises BadInput.
    """
    found: dict[str, list[Picture]] = {kind: [] for kind in KINDS}
    for entry in facts.get("pictures", ()):
        kind, title, text, image = (str(entry[name]) for name in ("kind", "title", "text", "image"))
        if kind not in KINDS:
            raise BadInput(f'no kind of picture "{kind}". Valid: {", ".join(KINDS)}')
        if not _IMAGE.fullmatch(image):
            raise BadInput(f"picture {title}: not a PNG, JPEG or WebP as a data URL.")
        found[kind].append(Picture(title, text, image))
    return [(*KINDS[kind], pictures) for kind, pictures in found.items() if pictures]
