"""Text files with byte order marks, from spreadsheets, of other encodings: read, or refused by name."""

import csv
import gzip

import pytest

from lthbench import textfiles
from lthbench.errors import BadInput

ROWS = [{"name": "tür", "first": "1;2"}, {"name": "box, small", "first": ""}]


def write(path, encoding, separator, start="", newline="\r\n"):
    with path.open("w", encoding=encoding, newline="") as file:
        file.write(start)
        writer = csv.DictWriter(file, ["name", "first"], delimiter=separator, lineterminator=newline)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_with_its_mark_and_separator(tmp_path, encoding, separator):
    assert textfiles.table(write(tmp_path / "a.csv", encoding, separator), ["name"]) == ROWS


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_table_of_utf16_of_either_order_is_read_with_its_mark(tmp_path, order):
    path = write(tmp_path / "a.csv", f"utf-16-{order}", ",", start="\ufeff")
    assert textfiles.table(path, ["name", "first"]) == ROWS


def test_what_spreadsheets_write_besides_is_passed_over(tmp_path):
    path = write(tmp_path / "a.csv", "utf-8-sig", ";", start="sep=;\r\n")
    path.write_bytes(path.read_bytes() + b"\r\n\r\n")
    assert textfiles.table(path, ["name"]) == ROWS
    path.write_text(" name , first \nx,1\n")
    assert textfiles.table(path, ["name"]) == [{"name": "x", "first": "1"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("größe,name\n".encode("latin-1"), "is not UTF-8: byte 2 cannot be read; save it as UTF-8"),
        ("name,first\n".encode("utf-16-le"), "UTF-16 without a byte order mark; save it as UTF-8"),
        (b"\xff\xfen\x00a", "is not UTF-16|has no column"),
        (b"title,number\n1,2\n", "has no column name; it has title, number"),
        (b"", "has no column name; it has no header"),
        (b"name,first\n1,2,3\n", "row 2 has 3 columns, the header 2"),
        (b'name,first\n"1,2\n', "line 2 cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8"),
        (bytes(50), "is no text"),
    ],
)
def test_other_tables_are_refused_by_name(tmp_path, content, said):
    path = tmp_path / "index.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"index\.csv: .*({said})"):
        textfiles.table(path, ["name"])


def test_lines_have_no_mark_and_no_returns(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffcup\tobject\r\n\r\nbox \r".encode())
    assert textfiles.lines(path) == ["cup\tobject", "box"]
    with pytest.raises(BadInput, match=r"absent\.txt: cannot be read: No such file"):
        textfiles.read(tmp_path / "absent.txt")


@pytest.mark.parametrize("first", ["a,b\rc", "a\r\rb", "x" * 200_000, '"' * 3 + "\r"])
def test_a_header_that_is_no_line_of_a_table_has_no_separator(first):
    assert textfiles.separator(f"{first}\n1,2", ["a", "b"]) is None


def test_a_table_that_is_written_reads_back(tmp_path):
    rows = [{"name": 'a 12" disc, red\nor so', "n": "1"}, {"name": "plain", "n": ""}]
    content = textfiles.csv_bytes(("name", "n"), [(rows[0]["name"], 1), ("plain", None)])
    assert content.endswith(b"\nplain,\n")
    assert b"\r" not in content
    (tmp_path / "a.csv").write_bytes(content)
    assert textfiles.table(tmp_path / "a.csv", ["name"]) == rows


@pytest.mark.parametrize("text", ["10%\r20%", "a\r\nb", "\r", "\r\n", "a\n"])
def test_line_ends_of_all_kinds_in_a_field_read_back(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(textfiles.csv_bytes(("name", "last"), [(1, text), (text, 2)]))
    found = textfiles.table(tmp_path / "a.csv", ["name"])
    assert found == [{"name": "1", "last": text}, {"name": text, "last": "2"}]


def test_a_packed_file_is_read_as_what_it_holds(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufeffname\ntür\n".encode()))
    assert textfiles.read(path) == "name\ntür\n"
    with textfiles.opened(path) as content:
        assert content.read() == "name\ntür\n".encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name\n", "is no gzip file, or damaged"),
        (gzip.compress(b"name\n" * 50)[:-9], "is no gzip file, or damaged"),
        (gzip.compress(b"name\n" * 50)[:-8] + bytes(8), "is no gzip file, or damaged"),
        (gzip.compress(bytes(20_000)), r"unpacks to more than 1[0-9],[0-9]{3} bytes; tables do not"),
        (gzip.compress("größe".encode("latin-1")), "is not UTF-8"),
    ],
    ids=["plain", "cut", "another-sum", "without-end", "latin-1"],
)
def test_a_packed_file_that_is_damaged_or_without_end_is_refused(tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(textfiles, "SMALL", 5_000)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    for read in (textfiles.read, textfiles.opened):
        with pytest.raises(BadInput, match=rf"a\.csv\.gz: {said}"):
            read(path)
    with pytest.raises(BadInput, match=r"absent\.gz: cannot be read"):
        textfiles.opened(tmp_path / "absent.gz")
