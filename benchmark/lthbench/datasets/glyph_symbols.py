"""Printed symbols of 8 x 8 pixels, drawn as handwritten digits were scanned: no digit, and no letter."""

from __future__ import annotations

from pathlib import Path

from lthbench.datasets import _glyphs
from lthbench.kinds import Dataset, Images, Source

#: Mathematical signs, arrows and shapes that look like no digit.
SYMBOLS = (
    "∀∄∇∈∏∐∑√∟∠∧∨∩∪∫∴∼≈≠≡≤≥≺≻⊂⊃⊆⊇⊓⊔⊞⊠⊢⊣⊤⊥⋆"
    "←↑→↓↔↕↖↗↘↙↞↠↤↦↩↪↯↰↱↲↳≢↶↷⇄⇇⇈⇐⇒⇅"
    "▲△▶▷▼▽◀◁◆★☆♠♡✱♣♥♫♬☀☂☃☒☢☥☯☹♂♈♎♐♓♔♘⚑⚔⚙⚡✂✈✉✓✗✚✦✳"
)
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold")


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The fonts inside the installed Matplotlib."""
    del folders
    return _glyphs.fonts(FONTS)


def load(source: Source, split: str) -> Images:
    """112 symbols in 4 fonts. Labels are the symbols."""
    del split
    return _glyphs.drawn(SYMBOLS, source.files)


DATASET = Dataset(
    name="glyph-symbols",
    version=1,
    title="Printed symbols, 8 x 8 pixels, grey (near out of distribution for digits)",
    source="lthbench; fonts: DejaVu, through Matplotlib; scanned as by Alpaydin & Kaynak 1998",
    licence="Bitstream Vera licence",
    classes=tuple(SYMBOLS),
    channels=1,
    size=8,
    mean=(0.27,),
    std=(0.36,),
    splits={"test": 448},
    locate=locate,
    load=load,
    obtain=_glyphs.OBTAIN,
)
