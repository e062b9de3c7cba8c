"""Printed Latin letters of 8 x 8 pixels, drawn as handwritten digits were scanned: what is nearly a digit."""

from __future__ import annotations

from pathlib import Path

from lthbench.datasets import _glyphs
from lthbench.kinds import Dataset, Images, Source

#: Letters that look like no digit, and of those that are alike in both cases only the capitals.
LETTERS = "ACEFHKLMNPRTUVWXYadefhkmnrty"
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
)


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The fonts inside the installed Matplotlib."""
    del folders
    return _glyphs.fonts(FONTS)


def load(source: Source, split: str) -> Images:
    """28 letters in 16 fonts. Labels are the letters."""
    del split
    return _glyphs.drawn(LETTERS, source.files)


DATASET = Dataset(
    name="glyph-letters",
    version=1,
    title="Printed letters, 8 x 8 pixels, grey (near out of distribution for digits)",
    source="lthbench; fonts: DejaVu, STIX, through Matplotlib; scanned as by Alpaydin & Kaynak 1998",
    licence="Bitstream Vera licence (DejaVu), SIL Open Font Licence (STIX)",
    classes=tuple(LETTERS),
    channels=1,
    size=8,
    mean=(0.29,),
    std=(0.36,),
    splits={"test": 448},
    locate=locate,
    load=load,
    obtain=_glyphs.OBTAIN,
)
