"""Out-of-distribution sets that are near to digits: drawn alike everywhere, scanned alike."""

import hashlib
import os
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Curve
from matplotlib.textpath import TextPath

from lthbench import registry
from lthbench.data import loading
from lthbench.datasets import _glyphs, glyph_letters, glyph_symbols, mirrored_digits
from lthbench.kinds import Dataset
from lthbench.scoring import roc_auc

PARTS = ("glyph-letters", "glyph-symbols", "mirrored-digits")
#: The pixels of version 1; the outlines are those of Matplotlib 3.9 to 3.11.
DIGESTS = {
    "glyph-letters": "509928e6effcca84",
    "glyph-symbols": "51c5dbcd3656fae2",
    "mirrored-digits": "7ae362811ddf08bf",
    "near-digits": "c12293dd3d3ea0b1",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_pixels_are_the_same_always_and_in_the_manner_of_digits(name):
    dataset, digits = registry.get(Dataset, name), loading.load("digits", "train", ())
    images = dataset.load(dataset.locate(()), "test")
    assert hashlib.sha256(np.ascontiguousarray(images.pixels).tobytes()).hexdigest()[:16] == DIGESTS[name]
    assert images.pixels.shape == (dataset.splits["test"], 1, 8, 8)
    counts = np.bincount(images.labels)
    assert len(counts) == len(dataset.classes)
    assert set(counts) == {len(images.labels) // len(dataset.classes)}
    pixels, written = np.asarray(images.pixels), np.asarray(digits.pixels)
    levels = np.unique(written)
    assert set(np.unique(pixels)) <= set(levels)
    assert len(levels) == 17
    assert abs(pixels.mean() - written.mean()) / 255 < 0.05
    assert (pixels.max(axis=(1, 2, 3)) > 0).all()


def test_the_area_of_all_is_the_mean_of_the_areas_of_the_parts():
    whole = loading.load("near-digits", "test", ())
    assert registry.get(Dataset, "near-digits").classes == PARTS
    for label, name in enumerate(PARTS):
        part = loading.load(name, "test", ()).pixels
        np.testing.assert_array_equal(whole.pixels[whole.labels == label], part)
    draw = np.random.default_rng(0)
    inside, outside = draw.normal(1.0, 1.0, 540), draw.normal(whole.labels / 2.0, 1.0)
    each = [roc_auc(inside, outside[whole.labels == label])[0] for label in range(3)]
    assert roc_auc(inside, outside)[0] == pytest.approx(np.mean(each), abs=1e-12)


def test_mirrored_digits_are_mirrored_and_none_was_trained_on():
    images = loading.load("mirrored-digits", "test", ())
    train = {image.tobytes() for image in np.asarray(loading.load("digits", "train", ()).pixels)}
    written = np.concatenate([loading.load("digits", split, ()).pixels for split in ("test", "val")])
    known = {image.tobytes() for image in written}
    again = [np.ascontiguousarray(image[..., ::-1]).tobytes() for image in np.asarray(images.pixels)]
    assert set(again) <= known
    assert not set(again) & train
    assert not {0, 1, 8} & set(mirrored_digits.DIGITS)


def test_ink_is_counted_in_squares_of_a_bitmap():
    """A frame of 32 x 32 with a hole of 16 x 16: the squares in the hole are empty, the others full."""
    frame = np.array([[0, 0], [32, 0], [32, 32], [0, 32]], float)
    hole = np.array([[8, 8], [8, 24], [24, 24], [24, 8]], float)
    expected = np.full((8, 8), 255)
    expected[2:6, 2:6] = 0
    np.testing.assert_array_equal(_glyphs.inked([frame, hole]), expected)
    # The same way round, it is no hole (as TrueType says); a corner at the top right comes out there.
    np.testing.assert_array_equal(_glyphs.inked([frame, hole[::-1]]), 255)
    corner = np.array([[30, 30], [32, 30], [32, 32], [30, 32]], float)
    assert [*zip(*np.nonzero(_glyphs.inked([corner])), strict=True)] == [(0, 7)]
    assert _glyphs.inked([corner])[0, 7] == round(4 * 255 / 16)


@pytest.mark.parametrize("character", ["R", "e", "A", "☯", "⊠"])
def test_outlines_and_ink_are_those_of_matplotlib(character):
    """FreeType's outline, and Matplotlib's own test of points, contour by contour with holes."""
    path = glyph_letters.locate(()).files[0]
    font = TTFont(path)
    glyphs = font.getGlyphSet()
    contours = _glyphs.outline(glyphs[font.getBestCmap()[ord(character)]], glyphs)
    theirs: Any = TextPath((0, 0), character, size=100, prop=FontProperties(fname=path)).to_polygons()
    ours, reference = (np.concatenate(points) for points in (contours, theirs))
    low, span = ours.min(0), np.ptp(ours, axis=0)
    reference = (reference - reference.min(0)) / np.ptp(reference, axis=0) * 32.0
    placed = [(points - low) / span * 32.0 for points in contours]
    scaled = np.split(reference, np.cumsum([len(points) for points in theirs])[:-1])
    y, x = np.mgrid[0:32, 0:32] + 0.5
    inside = [Curve(points).contains_points(np.c_[x.ravel(), y.ravel()]) for points in scaled]
    bitmap = np.logical_xor.reduce(inside).reshape(32, 32)[::-1]
    counts = bitmap.reshape(8, 4, 8, 4).sum((1, 3))
    apart = np.abs(np.rint(_glyphs.inked(placed) * (16 / 255)) - counts)
    assert apart.max() <= 1  # a pixel's centre on the outline
    assert apart.mean() < 0.1


def test_sets_that_have_the_same_characters_draw_them_once(tmp_path):
    font = tmp_path / "font.ttf"
    font.write_bytes(glyph_letters.locate(()).files[0].read_bytes())
    once = _glyphs.drawn("AB", [font])
    assert _glyphs.drawn("AB", [font]) is once
    assert _glyphs.drawn("AC", [font]) is not once
    os.utime(font, ns=(1, 1))
    again = _glyphs.drawn("AB", [font])
    assert again is not once
    np.testing.assert_array_equal(again.pixels, once.pixels)


def test_no_character_is_drawn_twice_or_is_a_digit():
    for characters in (glyph_letters.LETTERS, glyph_symbols.SYMBOLS):
        assert len(set(characters)) == len(characters)
        assert not any(c.isdigit() for c in characters)
    assert not set("OoDQIilJjZzSsBbGgq") & set(glyph_letters.LETTERS)


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("glyph-letters", "glyph-symbols", "mirrored-digits", "near-digits"):
        assert registry.get(Dataset, name).locate(()) is None
        assert "pip install" in registry.get(Dataset, name).obtain
