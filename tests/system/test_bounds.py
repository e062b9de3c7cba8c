"""Small files that ask for much are refused before anything of that size is made."""

import json
import struct
import tracemalloc
import zlib

import pytest

from lthbench.checkpoints import files
from lthbench.data import image_files
from lthbench.errors import BadInput


@pytest.fixture(autouse=True)
def _little_memory():
    """No test of this file takes more than 50 MB of Python's memory."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def packed(shape, content=b"\xff"):
    """A safetensors file that says it is a packed mask of this shape."""
    head = {
        "__metadata__": {"shapes": json.dumps({"w": shape})},
        "w": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]},
    }
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    "shape",
    [[2**35], [2**20, 2**20], [2**80], [-8], [0], [1.5, 2], [True], "8", [[8]], [2**32, 2**32], [9], [8] * 9],
)
def test_a_mask_is_of_as_many_bits_as_it_has(shape, tmp_path):
    path = tmp_path / "mask.safetensors"
    path.write_bytes(packed(shape))
    with pytest.raises(BadInput, match="no mask that lthbench packed"):
        files.of(path, "mask")


def png(width, height):
    """A PNG of one grey level, which packs to next to nothing."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (80_000_001, 1), (9_000, 9_000)])
def test_a_picture_has_so_many_pixels_at_most(size, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png(*size))
    with pytest.raises(BadInput, match=r"large\.png: "):
        image_files.picture(path)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        b"\xc5\xd0\xd3\xc6" + bytes(60),
        b"\xd7\xcd\xc6\x9a" + bytes(60),
    ],
)
def test_what_pillow_gives_to_other_programs_is_no_picture(content, tmp_path):
    path = tmp_path / "page.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"page\.png: broken image file: cannot identify"):
        image_files.picture(path)
