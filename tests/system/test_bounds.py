"""Small files that ask for much are refused before anything of that size is made."""

import json
import struct
import tracemalloc
import zipfile
import zlib

import pytest
import torch

from lthbench import textfiles
from lthbench.checkpoints import contents, files, tensor_names
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


def header(names):
    """A safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps(dict.fromkeys(names, empty)).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_file_of_more_tensors_than_any_network_has_is_refused_before_they_are_made(tmp_path):
    path = tmp_path / "many.safetensors"
    path.write_bytes(header(map(str, range(20_001))))
    with pytest.raises(BadInput, match=r"many\.safetensors: holds more than 20,000 tensors"):
        files.of(path, "checkpoint")


def test_so_is_one_that_holds_them_in_a_pickle_or_in_memory(monkeypatch):
    monkeypatch.setattr(contents, "TENSORS", 9)
    with pytest.raises(BadInput, match="holds more than 9 tensors"):
        files.of({str(n): torch.zeros(0) for n in range(10)}, "checkpoint")


PICKLES = {
    "mappings": b"\x80\x02](" + b"}" * 20_000 + b"e.",
    "nested": b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 10_000 + b"}" + b"s" * 10_000 + b".",
    "tuples": b"\x80\x02N" + b"\x85" * 20_000 + b".",
    "records": b"\x80\x02](ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 7_000 + b"e.",
}
#: The numbers that a file of torch's older format begins with.
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_of_more_than_a_state_dict_is_refused_before_it_is_loaded(kind, old, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "OPERATIONS", 15_000)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("was loaded"))
    path = tmp_path / "small.pt"
    if old:
        path.write_bytes(OLD + PICKLES[kind])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", PICKLES[kind])
    with pytest.raises(BadInput, match=r"small\.pt: holds more than a state dict beside its tensors"):
        files.of(path, "checkpoint")


@pytest.mark.parametrize(
    "name",
    [
        "encoder.stages.{}.layers.0.layer.0.convolution.weight",
        "encoder.stages.0.layers.0.layer.{}.convolution.weight",
        "encoder.stages.0.layers.{}.shortcut.convolution.weight",
        "conv2_x.{}.residual_function.0.weight",
        "layer{}.0.conv1.weight",
    ],
)
def test_a_name_with_thousands_of_digits_is_a_name(name):
    for names in tensor_names.RENAMES:
        assert "9" * 5000 in tensor_names.renamed(name.format("9" * 5000), names)


def test_a_json_text_of_many_values_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(textfiles, "VALUES", 1000)
    for text in ("[" + "{}," * 1001 + "0]", "[" + "[]," * 1001 + "0]", '{"a":0,' * 1001, "[" + "0," * 1001):
        for content in (text, text.encode()):
            with pytest.raises(ValueError, match="holds more than 1,000 values"):
                textfiles.values(content)
    assert textfiles.values('{"a": [1, {"b": 2}]}') == {"a": [1, {"b": 2}]}
