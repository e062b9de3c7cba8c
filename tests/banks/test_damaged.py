"""Banks that are large, and banks whose files are damaged."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from lthbench import registry
from lthbench.banks import _arrays
from lthbench.banks._pixels import LABELS, gathered
from lthbench.compute import memory
from lthbench.errors import BadInput
from lthbench.kinds import Bank


def test_masks_take_two_bytes_a_pixel_while_they_are_gathered():
    """Also where a bank reads them as int64: eight bytes a pixel would not fit for all of Broden."""
    image, masks = Image.new("RGB", (LABELS, LABELS)), [np.full((LABELS, LABELS), 3)] * 4
    tracemalloc.start()
    try:
        made = gathered(50, lambda k: (image, masks), list("abc"), ["object"] * 3, 50, LABELS, 3, "a bank")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.layers.dtype == np.int16
    assert made.layers.shape == (50, 4, LABELS, LABELS)
    assert (made.layers == 3).all()
    assert peak < 1.2 * (made.layers.nbytes + made.pixels.nbytes) + 200_000


def test_more_images_than_fit_into_memory_are_refused_before_they_are_read(monkeypatch):
    """A run finds this out before it trains."""
    monkeypatch.setattr(memory, "memory", lambda: (8.0, 4.0))
    seen, image, masks = [], Image.new("RGB", (LABELS, LABELS)), [np.full((LABELS, LABELS), 3)] * 4

    def read(k):
        seen.append(k)
        return image, masks

    with pytest.raises(BadInput, match=r"63,305 images .* 15 GiB of memory; .* 8 GiB\. Set concept_images"):
        gathered(63_305, read, list("abc"), ["object"] * 3, 0, 224, 3, "a bank")
    assert len(seen) == 1
    assert memory.beyond(7.9 * 2**30) == ""
    monkeypatch.setattr(memory, "memory", lambda: (0.0, 0.0))  # not known
    assert memory.beyond(2**50) == ""


def enormous() -> bytes:
    """The beginning of a PNG that says it has 400 million pixels."""
    content = io.BytesIO()
    Image.new("1", (1, 1)).save(content, "png")
    start, side = content.getvalue(), (20_000).to_bytes(4)
    head = b"IHDR" + side + side + start[24:29]
    return start[:12] + head + zlib.crc32(head).to_bytes(4) + start[33:]


def archive(path, **other):
    """A bank of three images of a class in one file; ``other`` replaces arrays."""
    draw, content, offsets = np.random.Generator(np.random.PCG64(0)), io.BytesIO(), [0]
    for _ in range(3):
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(content, "png")
        offsets.append(content.tell())
    arrays = {
        "data": np.frombuffer(content.getvalue(), np.uint8),
        "offsets": np.array(offsets),
        "masks": np.ones((3, 8, 8), dtype=np.uint8),
        "classes": np.array(["void", "sky"]),
    }
    np.savez_compressed(path, **(arrays | other))


def read(folder):
    bank = _arrays.bank("mine", "t", "s", "l", "object", "void")
    return bank.load(bank.locate((folder,)), None, 0, 8, 3)


def test_a_file_of_arrays_that_is_cut_or_changed_is_named(tmp_path):
    path = tmp_path / "mine.npz"
    archive(path)
    assert read(tmp_path).layers.tolist() == np.ones((3, 1, 8, 8)).tolist()
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:200] + bytes(50) + whole[250:], b""):
        path.write_bytes(broken)
        with pytest.raises(BadInput, match=r"mine\.npz: broken \.npz file"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masks": np.full((3, 8, 8), 2)}, r"masks should be 0\.\.1, found 2\.\.2"),
        ({"masks": np.full((3, 8, 8), -1)}, r"masks should be 0\.\.1, found -1\.\.-1"),
        ({"masks": np.ones((3, 8, 8))}, "masks should be whole numbers"),
        ({"masks": np.array(1)}, r"holds masks \(\)"),
        ({"offsets": np.arange(3)}, r"offsets \(3,\)"),
        ({"offsets": np.arange(4.0)}, "offsets should be whole numbers"),
        ({"data": np.zeros(5, np.uint8)}, "image [012]"),
        (
            {"data": np.frombuffer(3 * enormous(), np.uint8), "offsets": np.arange(4) * len(enormous())},
            r"image [012]: .*400000000 pixels",
        ),
    ],
)
def test_arrays_that_say_what_cannot_be_are_named(tmp_path, change, words):
    archive(tmp_path / "mine.npz", **change)
    with pytest.raises(BadInput, match=r"mine\.npz: .*" + words):
        read(tmp_path)


def test_an_outline_of_caltech101_that_is_damaged_is_named(tmp_path):
    image = tmp_path / "caltech101/101_ObjectCategories/ant/image_0001.jpg"
    notes = tmp_path / "caltech101/Annotations/ant/annotation_0001.mat"
    for path in (image, notes):
        path.parent.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(image)
    bank = registry.get(Bank, "caltech101")
    box = {"box_coord": np.array([[0, 30, 20, 40]])}
    savemat(notes, box | {"obj_contour": np.random.default_rng(0).random((2, 300))}, do_compression=True)
    whole = notes.read_bytes()
    savemat(notes, box | {"obj_contour": np.zeros((2, 1))})
    for broken in (b"", whole[: len(whole) // 2], b"x" * 400, notes.read_bytes()):
        notes.write_bytes(broken)
        with pytest.raises(BadInput, match=r"annotation_0001\.mat: cannot be read"):
            bank.load(bank.locate((tmp_path,)), None, 0, 30, 3)
