"""Digests follow what is in files, and files that did not change are not read again."""

import dataclasses
import hashlib
import os
import time

import pytest

from lthbench.data import hashing, loading
from lthbench.datasets import _glyphs
from lthbench.errors import BadInput
from lthbench.kinds import Source


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder to remember hashes in, for sets of any size, of files that were written long ago."""
    monkeypatch.setattr(hashing, "SMALL", 0)
    monkeypatch.setattr(hashing, "FRESH", -(10**18))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lthbench" / "hashes"


@pytest.fixture
def reads(monkeypatch):
    """The names of files that were read to be hashed."""
    names: list[str] = []
    real = hashing._hash
    monkeypatch.setattr(hashing, "_hash", lambda path: (names.append(path.name), real(path))[1])
    return names


def files(root, count, size=50):
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{i:03}.png" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i % 251]) * size)
    return Source("folder of images", root, tuple(paths))


@pytest.mark.parametrize("count", [3, 100, 101, 300])
def test_images_that_change_and_keep_their_size_change_the_digest(tmp_path, count):
    source = files(tmp_path / "set", count)
    before = loading.digest(source)
    assert loading.digest(source) == before
    source.files[-1].write_bytes(b"z" * 50)
    assert loading.digest(source) != before


def test_the_digest_of_few_files_is_the_one_it_was():
    """Keys of stored results hang on it: names and SHA-256 of bytes after the layout."""
    source = loading.find("digits", ())
    total = hashlib.sha256(source.layout.encode())
    for path in source.files:
        name = path.relative_to(source.root).as_posix()
        total.update(f"\n{name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    assert loading.digest(source) == total.hexdigest()


def test_files_may_have_names_that_are_not_utf8(tmp_path):
    digests = []
    for letter in ("a", "\udce9", "\udce8"):
        try:
            source = files(tmp_path / "set" / letter, 2)
        except (OSError, UnicodeError):
            pytest.skip("no folder can be called so here")
        digests.append(loading.digest(dataclasses.replace(source, root=tmp_path / "set")))
    assert len(set(digests)) == 3


def test_what_stands_beside_images_is_in_the_digest(tmp_path):
    source = files(tmp_path / "set", 2)
    outline = tmp_path / "set" / "outline.mat"
    outline.write_bytes(b"one")
    both = dataclasses.replace(source, beside=(outline,))
    before = loading.digest(both)
    assert before != loading.digest(source)
    outline.write_bytes(b"two")
    assert loading.digest(both) != before


def test_only_what_changed_is_read_again(tmp_path, memory, reads):
    source = files(tmp_path / "set", 300)
    first = loading.digest(source)
    assert len(reads) == 300
    assert len(list(memory.iterdir())) == 1
    reads.clear()
    assert loading.digest(source) == first
    assert reads == []
    source.files[7].write_bytes(b"q" * 50)
    assert loading.digest(source) != first
    assert reads == ["007.png"]


def test_a_file_that_is_written_in_place_with_its_old_time_is_read_again(tmp_path, memory, reads):
    source = files(tmp_path / "set", 3)
    first = loading.digest(source)
    reads.clear()
    before = source.files[1].stat()
    time.sleep(0.02)
    with source.files[1].open("r+b") as file:
        file.write(b"y" * 50)
    os.utime(source.files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.files[1].stat().st_mtime_ns == before.st_mtime_ns
    assert loading.digest(source) != first
    assert reads == ["001.png"]


def test_a_file_that_took_anothers_place_is_read_again(tmp_path, memory, reads):
    source = files(tmp_path / "set", 3)
    first = loading.digest(source)
    reads.clear()
    other = tmp_path / "other"
    other.write_bytes(b"y" * 50)
    stamp = source.files[1].stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(source.files[1])
    assert loading.digest(source) != first
    assert reads == ["001.png"]


def test_files_that_were_just_written_are_not_remembered(tmp_path, memory, reads, monkeypatch):
    monkeypatch.setattr(hashing, "FRESH", 60_000_000_000)
    source = files(tmp_path / "set", 3)
    loading.digest(source)
    loading.digest(source)
    assert len(reads) == 6


@pytest.mark.parametrize("content", [b"", b"nonsense", b"lthbench hashes 1\n1 2 3\n", b"\xff\xfe"])
def test_a_broken_memory_is_no_memory(tmp_path, memory, reads, content):
    source = files(tmp_path / "set", 3)
    first = loading.digest(source)
    (kept,) = memory.iterdir()
    kept.write_bytes(content)
    reads.clear()
    assert loading.digest(source) == first
    assert len(reads) == 3


def test_without_a_place_to_remember_digests_are_the_same(tmp_path, memory, reads, monkeypatch):
    source = files(tmp_path / "set", 3)
    first = loading.digest(source)
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert loading.digest(source) == first
    assert len(reads) == 6


def test_machines_that_share_a_home_remember_what_each_of_them_sees(tmp_path, memory, reads, monkeypatch):
    """As nodes of a cluster, for which the same folder lies on other devices, and containers of any name."""
    source = files(tmp_path / "set", 3)
    real, here = hashing._facts, [0, "a"]
    monkeypatch.setattr(hashing, "_facts", lambda path: (here[0], *real(path)[1:]))
    monkeypatch.setattr("socket.gethostname", lambda: here[1])
    for machine in ([1, "a"], [2, "b"], [1, "a"], [2, "b"], [1, "container"], [3, "a"], [1, "a"]):
        here[:] = machine
        loading.digest(source)
    assert len(reads) == 9
    assert len(list(memory.iterdir())) == 3
    monkeypatch.setattr(hashing, "MACHINES", 2)
    here[:] = [4, "c"]
    loading.digest(source)
    assert len(list(memory.iterdir())) == 2


def test_files_that_take_long_to_read_are_told_of_once(tmp_path, memory, monkeypatch, capsys):
    monkeypatch.setattr(hashing, "MANY_FILES", 3)
    source = files(tmp_path / "set", 3)
    loading.digest(source)
    said = capsys.readouterr().err
    assert said == f"reading 3 files (0.0 GB) for their hashes, the first in {tmp_path / 'set'} ...\n"
    loading.digest(source)
    assert capsys.readouterr().err == ""


def test_two_sets_in_one_folder_are_remembered_apart(tmp_path, memory, reads):
    """As the kinds of CIFAR-10-C, each an array beside the same labels."""
    source = files(tmp_path / "set", 3)
    sets = [dataclasses.replace(source, files=(path, source.files[0])) for path in source.files[1:]]
    for one in (*sets, *sets):
        loading.digest(one)
    assert len(reads) == 4


def test_sets_in_one_folder_are_not_taken_for_one_that_changed(tmp_path, monkeypatch):
    """As letters and symbols, which are drawn from the fonts of one folder, and the kinds of CIFAR-10-C."""
    cleared = []
    monkeypatch.setattr(loading, "_forget", lambda: cleared.append(True))
    source = files(tmp_path / "set", 3)
    sets = {p.name: dataclasses.replace(source, files=(p,)) for p in source.files}
    for name, one in (*sets.items(), *sets.items()):
        loading.digest(one, name)
    assert not cleared


def test_letters_and_symbols_are_drawn_once(monkeypatch):
    drawn = []
    real = _glyphs.drawn
    monkeypatch.setattr(_glyphs, "drawn", lambda *given: drawn.append(given) or real(*given))
    loading._forget()
    for name in ("glyph-letters", "glyph-symbols", "glyph-letters", "glyph-symbols"):
        loading.identify(name, ())
        loading.load(name, "test", ())
    assert len(drawn) == 2


def test_a_file_that_is_gone_is_named(tmp_path):
    source = files(tmp_path / "set", 3)
    source.files[1].unlink()
    with pytest.raises(BadInput, match=r"001\.png: cannot be read"):
        loading.digest(source)


def test_images_are_read_again_in_the_same_process_where_they_changed(tmp_path, monkeypatch):
    cleared = []
    monkeypatch.setattr(loading, "_forget", lambda: cleared.append(True))
    source = files(tmp_path / "set", 3)
    loading.digest(source)
    cleared.clear()
    loading.digest(source)
    assert not cleared
    source.files[1].write_bytes(b"z" * 50)
    loading.digest(source)
    assert cleared
