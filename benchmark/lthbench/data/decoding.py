"""Pictures as eight bits of red, green and blue, whatever form they are kept in, or refused by name.

Pillow's own conversion clips what is deeper than eight bits, and drops what is transparent. Here 16 bits keep
their high byte, a photograph stands as its camera says (EXIF), and what has no right answer is refused.
``plain`` reads a picture as published networks saw it, by torchvision: as it lies in the file, whatever EXIF
says, with the colours of its transparent pixels, and the first of several frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lthbench.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

#: Where a camera says how it was held, and what turns the picture's sides round.
ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
#: Modes of 16 bits, and those that Pillow converts without a loss.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_EIGHT = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "RGBX")
_CLEAR = ("LA", "PA", "La", "RGBA", "RGBa")


class Unfit(ValueError):
    """A picture that has no right form in eight bits: says why, and what to do."""


#: What is read as a picture. Pillow knows more, by their first bytes, and calls programs for PostScript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF")
#: No picture has more pixels: what is opened takes some bytes for each.
MOST_PIXELS = 70_000_000
#: And a WebP fewer: what decodes it holds it four times.
MOST_OF_WEBP = 40_000_000
#: No JPEG has more scans: cameras and programs write ten at most, and a scan of a hundred bytes may take as
#: long as the whole picture.
MOST_SCANS = 200


def opened(source: Path | IO[bytes]) -> Image:
    """A picture whose header was read. Raises Unfit for one too large, and what Pillow does for none."""
    from PIL import Image

    image = Image.open(source, formats=FORMATS)
    try:
        _check_costs(image)
    except Unfit:
        image.close()
        raise
    return image


def _check_costs(image: ImageFile) -> None:
    """Raise Unfit for a picture that would take much to decode, whatever the bytes that it is in."""
    width, height = image.size
    most = MOST_OF_WEBP if image.format == "WEBP" else MOST_PIXELS
    if width * height > most:
        raise Unfit(f"has {width} x {height} pixels; at most {most:,} are read")
    if image.format in ("JPEG", "MPO") and image.fp and _scans(image.fp) > MOST_SCANS:
        raise Unfit(f"has more than {MOST_SCANS} scans; save it again")


def _scans(file: IO[bytes]) -> int:
    """How many scans a JPEG has: 0xFF stands before nothing else than a marker in it."""
    place = file.tell()
    file.seek(0)
    count, last = 0, b""
    while block := file.read(1 << 20):
        count += (last + block).count(b"\xff\xda")
        last = block[-1:] if block[-1:] == b"\xff" else b""
    file.seek(place)
    return count


def size_of(image: Image, *, plain: bool = False) -> tuple[int, int]:
    """Width and height of a picture as it stands upright; no JPEG is decoded for this."""
    turned = orientation(image, plain=plain) in _TURNED
    width, height = image.size
    return (height, width) if turned else (width, height)


def orientation(image: Image, *, plain: bool = False) -> int:
    """How the camera was held, 1 to 8; 1 is upright, what other pictures have, and all that are ``plain``.

    Of a JPEG its header is read; others are decoded, as TIFFs turn themselves then.
    """
    jpeg = image.format in ("JPEG", "MPO")
    if not jpeg:
        image.load()
    if plain or (jpeg and "exif" not in image.info):
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def draft(image: Image, width: int, height: int, *, plain: bool = False) -> None:
    """Let a JPEG be decoded at a part of its size, no smaller than this, as it stands upright."""
    turned = orientation(image, plain=plain) in _TURNED
    image.draft(None, (height, width) if turned else (width, height))


def rgb(image: Image, *, plain: bool = False) -> Image:
    """The picture in mode RGB, upright. Raises Unfit for one with transparency, several frames, or floats.

    ``plain``: as it lies in the file, without transparency, and of several frames the first.
    """
    from PIL.Image import Transpose

    if not plain and getattr(image, "is_animated", False) and image.format != "MPO":
        raise Unfit("has several frames; save the one that counts as a picture of its own")
    how = orientation(image, plain=plain)
    eight = image if image.mode in _EIGHT and "transparency" not in image.info else _eight(image, plain)
    eight.load()
    made = eight if eight.mode == "RGB" else eight.convert("RGB")
    turns = (
        *(Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.FLIP_TOP_BOTTOM, Transpose.TRANSPOSE),
        *(Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90),
    )
    return made if how == 1 else made.transpose(turns[how - 2])


def suspect(image: Image) -> bool:
    """Whether a picture of which the header was read may be Unfit: by its mode, or several frames."""
    several = getattr(image, "is_animated", False) and image.format != "MPO"
    return several or image.mode not in _EIGHT or "transparency" in image.info


def failure(where: object, error: Exception) -> BadInput:
    """What is said of a picture that could not be read."""
    said = str(error)
    if not isinstance(error, Unfit):
        unknown = said.startswith("cannot identify")  # and the address of a buffer in memory
        said = f"broken image file: {'cannot identify its format' if unknown else said}"
    return BadInput(f"{where}: {said}")


@contextlib.contextmanager
def reading(source: Path | IO[bytes], where: object = None) -> Iterator[Image]:
    """A picture while it is read. Raises BadInput, naming ``where`` or its path, for one that cannot be."""
    from PIL import Image

    try:
        with opened(source) as image:
            yield image
    except (OSError, IndexError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise failure(where or source, error) from error


def labelled(path: Path) -> Image:
    """A photograph whose pixels are labelled elsewhere, in RGB. Raises BadInput, naming it, for one that is
    broken, unfit, or turned by its EXIF orientation: nobody says whether its labels are turned as well.
    """
    with reading(path) as image:
        upright(image)
        return rgb(image)


def numbers(path: Path) -> NDArray[np.int64]:
    """The numbers of labels in a mask ``[height, width]``. Raises BadInput, naming it, for no mask."""
    import numpy as np

    with reading(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise Unfit("is a JPEG, which changes the numbers of labels; save the mask as PNG")
        upright(image)
        if image.mode not in ("1", "L", "P", "I", *_DEEP):
            channels = len(image.getbands())
            raise Unfit(
                f"has {channels} channels of mode {image.mode}; a mask has one, with numbers of classes"
            )
        return np.asarray(image).astype(np.int64)


def upright(image: Image) -> None:
    """Raise Unfit for a picture that its camera turned: whether its mask is turned as well nobody says."""
    tags = getattr(image, "tag_v2", {})  # a TIFF turns itself as it is decoded, and drops the tag
    if tags.get(ORIENTATION, 1) != 1 or orientation(image) != 1:
        raise Unfit(
            "is to be turned by its EXIF orientation, and its mask may be or not; turn it and drop the tag "
            "(mogrify -auto-orient)"
        )


def _eight(image: Image, plain: bool) -> Image:
    """A picture of another mode in one that Pillow converts without a loss, but for what is transparent."""
    import numpy as np
    from PIL import Image

    if image.mode in _DEEP or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65_535:
            raise Unfit("has values outside of 16 bits; save it as RGB with 8 bits a channel")
        high = np.empty(values.shape, np.uint8)
        return Image.fromarray(np.right_shift(values, 8, out=high, casting="unsafe"))
    if image.mode in (*_EIGHT, *_CLEAR):
        full = image.convert("RGBA")
        if not plain and np.asarray(full.getchannel("A")).min(initial=255) < 255:
            raise Unfit("has transparent pixels, which have no colour; lay it on a background first")
        return full.convert("RGB")
    raise Unfit(f"is of mode {image.mode}, which has no fixed range; save it as RGB with 8 bits a channel")
