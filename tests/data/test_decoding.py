"""Pictures of every mode and depth that people have: read as they look, or refused by name."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from lthbench.banks import _arrays, folder
from lthbench.data import decoding, image_files, streaming
from lthbench.errors import BadInput
from lthbench.kinds import Source

#: Values that 8 bits and 16 bits tell apart, no square, so that a turned picture shows.
DEEP = np.random.default_rng(0).integers(0, 65_536, (12, 20)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 20, 3)).astype(np.uint8)
GREY = np.repeat((DEEP >> 8).astype(np.uint8)[..., None], 3, 2)


def saved(path, image, **how):
    image.save(path, **how)
    return path


def clear(alpha=255):
    made = Image.fromarray(COLOUR).convert("RGBA")
    made.putalpha(alpha)
    return made


def palette():
    return Image.fromarray(COLOUR).quantize(16)


RIGHT: dict[str, Any] = {
    "16-bit grey PNG": ("a.png", lambda: Image.fromarray(DEEP), {}, GREY),
    "16-bit grey TIFF": ("a.tif", lambda: Image.fromarray(DEEP), {}, GREY),
    "16-bit grey, big end first": ("a.tiff", lambda: Image.fromarray(DEEP.astype(">u2")), {}, GREY),
    "16-bit PGM": ("a.pgm", lambda: Image.fromarray(DEEP), {}, GREY),
    "8-bit grey": ("a.png", lambda: Image.fromarray(GREY[..., 0]), {}, GREY),
    "PPM": ("a.ppm", lambda: Image.fromarray(COLOUR), {}, COLOUR),
    "TIFF": ("a.TIF", lambda: Image.fromarray(COLOUR), {"compression": "tiff_lzw"}, COLOUR),
    "BMP": ("a.bmp", lambda: Image.fromarray(COLOUR), {}, COLOUR),
    "WebP": ("a.webp", lambda: Image.fromarray(COLOUR), {"lossless": True}, COLOUR),
    "one bit": ("a.png", lambda: Image.fromarray(GREY[..., 0] > 127), {}, np.where(GREY > 127, 255, 0)),
    "opaque RGBA": ("a.png", clear, {}, COLOUR),
    "opaque grey and alpha": ("a.png", lambda: Image.fromarray(GREY[..., 0]).convert("LA"), {}, GREY),
    "a palette": ("a.png", palette, {}, np.asarray(palette().convert("RGB"))),
    "a palette without use of its clear colour": (
        "a.png",
        palette,
        {"transparency": 200},
        np.asarray(palette().convert("RGB")),
    ),
}


@pytest.mark.parametrize("form", RIGHT)
def test_a_picture_is_read_as_it_looks(tmp_path, form):
    name, make, how, expected = RIGHT[form]
    np.testing.assert_array_equal(image_files.picture(saved(tmp_path / name, make(), **how)), expected)


def test_16_bit_colour_keeps_its_high_bytes(tmp_path):
    """Written by hand, as Pillow writes none: a PPM of 16 bits a channel."""
    values = np.random.default_rng(2).integers(0, 65_536, (4, 5, 3)).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 5 4 65535\n" + values.tobytes())
    found = image_files.picture(tmp_path / "a.ppm").astype(int)
    assert np.abs(found - (values >> 8).astype(int)).max() <= 1


def test_cmyk_is_read_as_pillow_and_all_loaders_of_jpegs_read_it(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOUR).convert("CMYK"), quality=100)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
        np.testing.assert_array_equal(image_files.picture(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("how", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_a_photograph_stands_as_its_camera_says(tmp_path, how, name):
    """Against what each number of EXIF's orientation means: where row 0 and column 0 of the file belong."""
    upright = np.kron(COLOUR[:4, :6], np.ones((8, 8, 1), np.uint8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[how]
    tags = Image.Exif()
    tags[decoding.ORIENTATION] = how
    options: Any = {"a.jpg": {"quality": 100, "subsampling": 0}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path / name, Image.fromarray(np.ascontiguousarray(stored)), exif=tags, **options)
    found = image_files.picture(path)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= (8 if name == "a.jpg" else 0)
    with Image.open(path) as image:
        assert decoding.size_of(image) == (48, 32)
    streamed = streaming.Stream([path], 28)[:]
    plain = saved(tmp_path / "plain.png", Image.fromarray(upright))
    off = np.abs(streamed.astype(int) - streaming.Stream([plain], 28)[:])
    assert off.max() <= (12 if name == "a.jpg" else 0)
    draws = np.random.default_rng(3).random((1, streaming.DRAWS))
    crops = [
        streaming.Stream([p], 16).crops(np.array([0]), draws, 0.3, np.array([False])) for p in (path, plain)
    ]
    assert np.abs(crops[0].astype(int) - crops[1]).mean() <= (3 if name == "a.jpg" else 0)
    if how != 1:
        with pytest.raises(BadInput, match=r"a\..*EXIF orientation, and its mask may be or not"):
            decoding.labelled(path)


def floats():
    return Image.fromarray(DEEP.astype(np.float32))


def wide():
    return Image.fromarray(DEEP.astype(np.int32) * 70_000)


REFUSED: dict[str, Any] = {
    "floats": ("a.tif", floats, {}, "is of mode F, which has no fixed range"),
    "32 bits": ("a.tif", wide, {}, "is of mode I, which has no fixed range"),
    "half clear": ("a.png", lambda: clear(128), {}, "has transparent pixels"),
    "a clear colour of a palette": ("a.png", palette, {"transparency": 0}, "has transparent pixels"),
    "a clear grey": ("a.png", lambda: Image.new("L", (4, 4), 7), {"transparency": 7}, "transparent pixels"),
    "clear WebP": ("a.webp", lambda: clear(7), {"lossless": True}, "has transparent pixels"),
    "several frames": (
        "a.webp",
        lambda: Image.fromarray(COLOUR),
        {"save_all": True, "append_images": [Image.fromarray(255 - COLOUR)]},
        "has several frames",
    ),
    "LAB": (
        "a.tif",
        lambda: ImageCms.applyTransform(
            Image.fromarray(COLOUR),
            ImageCms.buildTransform(
                ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
            ),
        ),
        {},
        "is of mode LAB",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_picture_without_a_right_answer_is_refused_by_name(tmp_path, form):
    name, make, how, said = REFUSED[form]
    path = saved(tmp_path / name, make(), **how)
    with pytest.raises(BadInput, match=rf"{name}: .*{said}"):
        image_files.picture(path)
    with pytest.raises(BadInput, match=rf"{name}: .*{said}"):
        streaming.Stream([path], 8)[:]


@pytest.mark.parametrize("form", [form for form in REFUSED if "clear" in form or form == "several frames"])
def test_what_is_read_plainly_is_what_torchvision_reads(tmp_path, form):
    name, make, how, _ = REFUSED[form]
    path = saved(tmp_path / name, make(), **how)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    with decoding.opened(path) as image:
        np.testing.assert_array_equal(decoding.rgb(image, plain=True), expected)
    stream = streaming.Stream([path], 8, plain=True)
    draws = np.random.default_rng(0).random((1, streaming.DRAWS))
    crop = stream.view(np.array([0])).crops(np.array([0]), draws, 0.3, np.array([False]))
    assert crop.shape == stream[:].shape


def test_masks_are_numbers_of_any_depth_and_nothing_else(tmp_path):
    values = np.arange(240).reshape(12, 20)
    for depth in (np.uint8, np.uint16):
        path = saved(tmp_path / "m.png", Image.fromarray(values.astype(depth)))
        np.testing.assert_array_equal(decoding.numbers(path), values)
    np.testing.assert_array_equal(
        decoding.numbers(saved(tmp_path / "p.png", palette())), np.asarray(palette())
    )
    for name, image, said in (
        ("m.jpg", Image.new("L", (4, 4)), "is a JPEG, which changes the numbers"),
        ("rgb.png", Image.new("RGB", (4, 4)), "has 3 channels of mode RGB"),
        ("f.tif", Image.new("F", (4, 4)), "has 1 channels of mode F"),
    ):
        with pytest.raises(BadInput, match=rf"{name}: {said}"):
            decoding.numbers(saved(tmp_path / name, image))


def test_banks_read_16_bits_by_their_high_bytes(tmp_path):
    root = tmp_path / "concepts"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    deep = np.full((20, 20), 200 << 8, np.uint16)
    saved(root / "images" / "a.png", Image.fromarray(deep))
    saved(root / "masks" / "a.png", Image.fromarray(np.ones((20, 20), np.uint8)))
    (root / "images" / "._a.png").write_bytes(b"left by a system")
    (root / "classes.txt").write_bytes("\ufeffcup\r\n".encode())
    made = folder.load(folder.locate((tmp_path,)), None, 0, 8, 3)  # type: ignore[arg-type]
    assert made.names == ("cup",)
    assert (made.pixels == 200).all()
    png = io.BytesIO()
    Image.fromarray(deep).save(png, "PNG")
    content = np.frombuffer(png.getvalue(), np.uint8)
    np.savez(
        tmp_path / "b.npz",
        data=content,
        offsets=np.array([0, len(content)]),
        masks=np.ones((1, 20, 20), np.uint8),
        classes=np.array(["void", "cup"]),
    )
    bank = _arrays.bank("b", "t", "s", "l", "object", "void")
    made = bank.load(Source("arrays", tmp_path, (tmp_path / "b.npz",)), None, 0, 8, 1)  # type: ignore[arg-type]
    assert (made.pixels == 200).all()
