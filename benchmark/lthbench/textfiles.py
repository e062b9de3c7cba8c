"""Text files as people have them: with a byte order mark, from a spreadsheet, or refused by name."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from lthbench.errors import BadInput, because
from lthbench.formatting import in_line

#: Byte order marks and what they say, the longest first: that of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: No JSON that is read has more values: three bytes of a text may take a hundred of memory.
VALUES = 5_000_000
#: No file unpacks to so many times what it is, unless it is small, and none to more than this.
RATIO, SMALL, UNPACKED = 200, 10_000_000, 1_000_000_000
#: So many bytes of a large file are looked at together.
_BLOCK = 1 << 20
#: What spreadsheets put between columns.
SEPARATORS = (",", ";", "\t")


def decoded(content: bytes, where: object) -> str:
    """The text in a file's bytes: UTF-8, or what its byte order mark says. Raises BadInput for others."""
    shown = in_line(str(where))
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{shown}: is not {encoding.removesuffix('-sig').upper()}: byte {error.start} cannot be read; "
            "save it as UTF-8."
        ) from error
    if "\0" in text:
        raise BadInput(f"{shown}: is no text, or UTF-16 without a byte order mark; save it as UTF-8.")
    return text


def encoded(text: str) -> bytes:
    """A text as UTF-8. What a path has that is none is written out as in JSON, such as ``\\udce9``."""
    return text.encode(errors="backslashreplace")


def read(path: Path) -> str:
    """The text of a file, which may be packed by gzip. Raises BadInput, naming it, where there is none."""
    try:
        content = _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
    except OSError as error:
        raise BadInput(f"{in_line(str(path))}: cannot be read: {error.strerror or error}") from error
    return decoded(content, path)


def _unpacked(path: Path) -> bytes:
    """What a gzip file holds. Raises BadInput for another file, and for one that holds far more."""
    shown = in_line(str(path))
    most = min(UNPACKED, SMALL + RATIO * path.stat().st_size)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"{shown}: is no gzip file, or damaged{because(error)}.") from error
    if len(content) > most:
        raise BadInput(f"{shown}: unpacks to more than {most:,} bytes; tables do not.")
    return content


def opened(path: Path) -> IO[bytes]:
    """A text file, read as UTF-8 from its beginning and never held whole where it is UTF-8 and not packed.

    Raises BadInput for what ``read`` raises it for.
    """
    if path.suffix == ".gz":
        return io.BytesIO(read(path).encode())
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{in_line(str(path))}: cannot be read: {error.strerror or error}") from error
    if _is_plain(file):
        return file
    file.close()
    return io.BytesIO(read(path).encode())


def _is_plain(file: IO[bytes]) -> bool:
    """Whether a file is UTF-8 without NUL; it then stands after its byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(_BLOCK):
            if "\0" in decoder.decode(block):
                return False
        decoder.decode(b"", final=True)
    except (OSError, UnicodeDecodeError):
        return False
    file.seek(0)
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return True


def values(text: str | bytes) -> Any:
    """What a JSON text holds. Raises ValueError for none, or one of more than ``VALUES`` values.

    Where lists are nested too deep, it raises RecursionError, as ``json.loads`` does.
    """
    marks = ("{", "[", ",") if isinstance(text, str) else (b"{", b"[", b",")
    if len(text) > VALUES and sum(map(text.count, marks)) > VALUES:  # type: ignore[arg-type]
        raise ValueError(f"holds more than {VALUES:,} values")
    return json.loads(text)


def known(value: Any) -> Any:
    """The same with None for each number that is not finite: JSON has none."""
    if isinstance(value, dict):
        return {k: known(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [known(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def data(path: Path, what: str) -> Any:
    """What a JSON file holds. Raises BadInput, naming the file and ``what`` it is, for one with none."""
    try:
        return values(read(path))
    except BadInput as error:
        raise BadInput(f"{what} {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} {path}: not JSON{because(error)}.") from error


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without spaces at their ends."""
    return [line.strip() for line in read(path).splitlines() if line.strip()]


def separator(text: str, columns: Sequence[str]) -> str | None:
    """What stands between the columns of a table whose header has these; None where nothing does."""
    first = text.partition("\n")[0].rstrip("\r")
    for one in SEPARATORS:
        try:
            header = next(csv.reader([first], delimiter=one), [])
        except csv.Error:  # a line end of another kind within the line, or a field without end
            continue
        if set(columns) <= {name.strip() for name in header}:
            return one
    return None


def uneven(content: IO[bytes], separator: str) -> str:
    """Which row of a CSV file has another number of columns than its header; "" for none."""
    text = io.TextIOWrapper(content, "utf-8", newline="")
    try:
        rows = csv.reader(text, delimiter=separator)
        header = next(rows, [])
        for number, row in enumerate(rows, 2):
            if row and len(row) != len(header):
                return f"row {number} has {len(row)} columns, the header {len(header)}"
    except csv.Error:  # a field without end
        return ""
    finally:
        text.detach()
    return ""


class CsvLines:
    """A file for a writer of CSV whose lines end with "\\r\\n"; they end with "\\n" in ``file``.

    Before Python 3.11.9 and 3.12.3, writers quote a "\\r" in a field only where their lines end with one.
    """

    END = "\r\n"

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, line: str) -> None:
        """Write a line of a table, which may have more line ends within its fields."""
        self._file.write(f"{line.removesuffix(self.END)}\n".encode())


def csv_bytes(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file of a header and rows. Names may hold commas, quotes and line ends."""
    buffer = io.BytesIO()
    write = csv.writer(CsvLines(buffer), lineterminator=CsvLines.END)
    write.writerow(head)
    write.writerows(rows)
    return buffer.getvalue()


def table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file that has at least these columns, separated by commas, semicolons or tabs.

    Raises BadInput, naming the file, for one that has others, or rows that are longer than the header.
    """
    text, where = read(path), in_line(str(path))
    if text.lower().startswith("sep=") and "\n" in text:
        text = text.partition("\n")[2]
    found: list[str] = []
    for separator in SEPARATORS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            if not set(columns) <= set(header):
                found = max(found, header, key=len)
                continue
            content = [row for row in rows if row]
        except csv.Error as error:
            raise BadInput(f"{where}: line {rows.line_num} cannot be read{because(error)}.") from error
        unlike = next((i for i, row in enumerate(content, 2) if len(row) != len(header)), None)
        if unlike is not None:
            raise BadInput(
                f"{where}: row {unlike} has {len(content[unlike - 2])} columns, the header {len(header)}."
            )
        return [dict(zip(header, row, strict=True)) for row in content]
    missing = ", ".join(name for name in columns if name not in found)
    shown = ", ".join(found)[:200] or "no header"
    raise BadInput(f"{where}: has no column {missing}; it has {shown}.")
