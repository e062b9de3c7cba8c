"""Output where not every character can be shown: in plain signs, and never a traceback.

Terminals of Windows, and files that output is sent to, are often of another encoding than UTF-8. The verdict
is worth more than its signs.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata

#: What stands for signs that an encoding lacks. Others lose their accents, or become question marks.
PLAIN = {
    "×": "x", "·": "|", "–": "-", "—": "-", "−": "-", "…": "...", "≥": ">=", "≤": "<=", "≠": "!=", "±": "+-",
    "→": "->", "←": "<-", "↑": "^", "↓": "v", "✓": "+", "✗": "x", "★": "*", "●": "*", "○": "o", "⊘": "/",
    "∅": "0", "∞": "inf", "■": "#", "□": "-", "█": "#", "│": "|", "─": "-", "└": "`", "├": "|", "“": '"',
    "”": '"', "‘": "'", "’": "'", "°": " degrees", "μ": "u", "σ": "sigma", "α": "alpha", "Δ": "delta",
    "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
#: How the error handler is called, and ASCII under a name that click does not take for a mistake.
HANDLER, ASCII = "lthbench.plain", "lthbench_ascii"


def legible() -> None:
    """Let standard output and errors take any text, whatever their encoding."""
    codecs.register_error(HANDLER, _plainly)
    codecs.register(_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.encoding:
            # click takes ASCII for a mistake, and would write UTF-8.
            plain = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if plain else stream.encoding, errors=HANDLER)


def reopen() -> None:
    """Open streams that were closed before the command began, on what takes everything.

    Else the next file that is opened would take their numbers, and get what libraries write to them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
                os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if number == 0 else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def takes_more() -> bool:
    """Whether standard output takes what is written to it."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """What is written in place of characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = "".join(map(_sign, error.object[error.start : error.end]))
    return shown, error.end


def _sign(character: str) -> str:
    plain = PLAIN.get(character)
    if plain is None:
        plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
    return plain


def _ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by the name of ours."""
    if name != ASCII:
        return None
    real = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=ASCII,
        encode=real.encode,
        decode=real.decode,
        incrementalencoder=real.incrementalencoder,
        incrementaldecoder=real.incrementaldecoder,
        streamwriter=real.streamwriter,
        streamreader=real.streamreader,
    )
