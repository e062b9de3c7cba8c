"""Downloads against a server of our own: what is cut off goes on, what is another file starts anew."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from lthbench import registry
from lthbench.cli import main
from lthbench.data import download
from lthbench.errors import BadInput, StepFailed
from lthbench.kinds import Archive, Dataset, Source

CONTENT = os.urandom(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """What is served, what was asked for, and how it fails; a client that hangs up is no failure."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.seen = {"/data.bin": CONTENT}, []
        self.breaks, self.errors = [], []
        self.ranges = self.marks = True
        self.claims = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, address):
        """Say nothing."""


class Handler(BaseHTTPRequestHandler):
    """Serves ``server.files``, with ranges, and breaks off as it is told to."""

    server: Server

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range", "")
        server.seen.append((self.path, asked, self.headers.get("If-Range", "")))
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        mark = f'"{hashlib.sha256(content).hexdigest()[:8]}"' if server.marks else ""
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start and self.headers.get("If-Range") != mark:
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if mark:
            self.send_header("ETag", mark)
        self.send_header("Content-Length", str(server.claims or len(content) - start))
        self.end_headers()
        rest = content[start:]
        if server.breaks:
            rest = rest[: server.breaks.pop(0)]
        self.wfile.write(rest)

    def log_message(self, *words):
        """Nothing."""


@pytest.fixture
def server():
    """A server on this machine."""
    found = Server()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def get(server, tmp_path, md5=MD5, name="data.bin"):
    told = []
    target = tmp_path / name
    download.fetch(f"{server.url}/{name}", target, md5, lambda *facts: told.append(facts), wait=0.0)
    return target, told


def left(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir())


def test_a_file_is_fetched_whole_and_its_course_told(server, tmp_path):
    target, told = get(server, tmp_path)
    assert target.read_bytes() == CONTENT
    assert left(tmp_path) == ["data.bin"]
    assert told[-1] == ("data.bin", len(CONTENT), len(CONTENT))
    assert [t[1] for t in told] == sorted(t[1] for t in told)


def test_a_connection_that_breaks_goes_on_where_it_was(server, tmp_path):
    server.breaks = [1_000_000, 0, 500_000]
    target, _ = get(server, tmp_path)
    assert target.read_bytes() == CONTENT
    asked = [seen[1] for seen in server.seen]
    assert asked == ["", "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]
    assert left(tmp_path) == ["data.bin"]


def test_a_download_that_was_stopped_goes_on_with_the_same_command(server, tmp_path):
    server.breaks = [1_200_000] + [0] * (download.TRIES + 1)
    with pytest.raises(StepFailed, match="The same command goes on where this stopped"):
        get(server, tmp_path)
    assert left(tmp_path) == ["data.bin.part", "data.bin.part.json"]
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1_200_000]
    server.breaks, server.seen = [], []
    target, _ = get(server, tmp_path)
    assert target.read_bytes() == CONTENT
    assert [seen[1] for seen in server.seen] == ["bytes=1200000-"]


def test_another_file_on_the_server_starts_anew(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "data.bin.part.json").write_text(json.dumps({"mark": '"of another"'}))
    assert get(server, tmp_path)[0].read_bytes() == CONTENT
    assert server.seen == [("/data.bin", "bytes=1000-", '"of another"')]


@pytest.mark.parametrize("lacking", ["ranges", "marks"])
def test_a_server_that_cannot_go_on_is_asked_from_the_start(server, tmp_path, lacking):
    setattr(server, lacking, False)
    server.breaks = [1_000_000]
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_beginning_whose_facts_are_lost_is_not_gone_on_with(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    assert get(server, tmp_path)[0].read_bytes() == CONTENT
    assert server.seen[0][1] == ""


def test_a_whole_part_is_not_fetched_again(server, tmp_path):
    mark = f'"{hashlib.sha256(CONTENT).hexdigest()[:8]}"'
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    (tmp_path / "data.bin.part.json").write_text(json.dumps({"mark": mark}))
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_file_that_is_not_what_was_published_is_removed(server, tmp_path):
    with pytest.raises(
        StepFailed, match=f"has MD5 {MD5}, published is {'0' * 32}; what was fetched is removed"
    ):
        get(server, tmp_path, md5="0" * 32)
    assert left(tmp_path) == []


def test_errors_of_the_server_are_told(server, tmp_path):
    with pytest.raises(StepFailed, match=r"/absent: 404 Not Found"):
        get(server, tmp_path, name="absent")
    server.errors = [503, 500]
    assert get(server, tmp_path)[0].read_bytes() == CONTENT
    server.errors = [503] * 20
    with pytest.raises(StepFailed, match="503"):
        get(server, tmp_path, name="other.bin")


def test_no_server_and_no_http_are_told(tmp_path):
    with pytest.raises(StepFailed, match=r"127\.0\.0\.1:1/x: .*refused"):
        download.fetch("http://127.0.0.1:1/x", tmp_path / "x", MD5, lambda *facts: None, wait=0.0)
    with pytest.raises(BadInput, match="only http and https"):
        download.fetch("file:///etc/passwd", tmp_path / "x", MD5, lambda *facts: None)
    assert left(tmp_path) == []


def test_what_does_not_fit_on_the_disk_is_not_begun(server, tmp_path):
    server.claims = 10**18
    with pytest.raises(StepFailed, match=r"1000000000\.00 GB are needed, .* GB are free"):
        get(server, tmp_path)


# ----------------------------------------------------------------------------------- data sets and commands


def tarred(members):
    """A tar.gz of these files; the same always."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            archive.addfile(facts, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@pytest.fixture
def photos(server, monkeypatch):
    """A data set that is fetched as an archive and a file."""
    archive = tarred({"photos/a.txt": b"first", "photos/b.txt": b"second"})
    server.files["/photos.tar.gz"] = archive
    published = {
        name: hashlib.md5(text).hexdigest() for name, text in (("a.txt", b"first"), ("b.txt", b"second"))
    }

    def locate(folders):
        for folder in folders:
            if (folder / "photos" / "a.txt").is_file():
                return Source("files", folder / "photos", tuple(sorted((folder / "photos").glob("*.txt"))))
        return None

    made = Dataset(
        **{
            **{f: getattr(registry.get(Dataset, "digits"), f) for f in Dataset.__dataclass_fields__},
            "name": "photos",
            "locate": locate,
            "obtain": "Fetch it. --data DIR",
            "archives": (
                Archive(f"{server.url}/photos.tar.gz", hashlib.md5(archive).hexdigest(), unpack=True),
                Archive(f"{server.url}/data.bin", MD5, into="more"),
            ),
            "published": published,
        }
    )
    monkeypatch.setitem(registry._imported, (Dataset, "photos"), made)
    return made


def test_archives_are_unpacked_and_single_files_put_in_their_folders(server, photos, tmp_path):
    download.obtain(photos, tmp_path)
    assert (tmp_path / "photos" / "b.txt").read_bytes() == b"second"
    assert (tmp_path / "more" / "data.bin").read_bytes() == CONTENT
    assert left(tmp_path) == ["more", "photos"]
    server.seen.clear()
    download.obtain(photos, tmp_path)  # what is there and whole is not fetched again; an archive is
    assert [seen[0] for seen in server.seen] == ["/photos.tar.gz"]


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside-of-lthbench.txt"])
def test_an_archive_cannot_write_outside_of_its_folder(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "bad.tar.gz").write_bytes(tarred({"good.txt": b"1", name: b"2"}))
    if name.startswith("/"):  # read as if it began below the folder
        download.unpack(folder / "bad.tar.gz", folder)
        assert left(folder) == ["bad.tar.gz", "good.txt", "tmp"]
    else:
        with pytest.raises(StepFailed, match="cannot be unpacked"):
            download.unpack(folder / "bad.tar.gz", folder)
        assert left(folder) == ["bad.tar.gz"]
    assert left(tmp_path) == ["data"]
    assert not os.path.exists("/tmp/outside-of-lthbench.txt")


def test_a_broken_archive_leaves_nothing_half_unpacked(tmp_path):
    whole = tarred({"a.txt": os.urandom(100_000), "b.txt": os.urandom(100_000)})
    (tmp_path / "cut.tar.gz").write_bytes(whole[:150_000])
    with pytest.raises(StepFailed, match=r"cut\.tar\.gz: cannot be unpacked"):
        download.unpack(tmp_path / "cut.tar.gz", tmp_path)
    assert left(tmp_path) == ["cut.tar.gz"]


def call(capsys, *words):
    code = 0
    try:
        main([str(w) for w in words])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_fetches_into_a_folder_and_says_where(photos, server, tmp_path, capsys):
    code, out, err = call(capsys, "data", "download", "photos", "--to", tmp_path)
    assert (code, out) == (0, f"photos: files in {tmp_path / 'photos'}\n")
    assert "data.bin: 3.0 of 3.0 MB" in err
    server.files.clear()  # what is there is not fetched again, server or no server
    assert call(capsys, "data", "download", "photos", "--to", tmp_path)[0] == 0
    (tmp_path / "more" / "data.bin").unlink()


def test_published_hashes_tell_a_changed_file(photos, tmp_path):
    download.obtain(photos, tmp_path)
    source = photos.locate((tmp_path,))
    assert download.verify(photos, source.files) == (2, [])
    (tmp_path / "photos" / "b.txt").write_bytes(b"changed")
    good, wrong = download.verify(photos, source.files)
    assert good == 1
    assert wrong[0].startswith(f"{tmp_path / 'photos' / 'b.txt'}: has MD5 ")


def test_what_cannot_be_fetched_says_how_to_get_it(capsys, tmp_path):
    code, _, err = call(capsys, "data", "download", "imagenet", "--to", tmp_path)
    assert code == 2
    assert "data set imagenet cannot be downloaded. With an account of image-net.org" in err
    code, _, err = call(capsys, "data", "download", "cifar1", "--to", tmp_path)
    assert code == 2
    assert "Did you mean cifar10" in err
    assert left(tmp_path) == []


def test_data_is_listed_and_verified(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("LTHBENCH_DATA", raising=False)
    code, out, _ = call(capsys, "data", "--data", tmp_path)
    assert code == 0
    assert out.startswith("here\n")
    assert "not here\n" in out
    assert str(tmp_path) in out
    found = json.loads(call(capsys, "data", "--json")[1])
    states = {s["name"]: s["state"] for s in found["sets"]}
    assert states["digits"] == "found"
    assert states["cifar10"] == "missing"
    assert states["shapes"] == "found"
    code, out, _ = call(capsys, "data", "verify", "digits")
    assert code == 0
    assert out.startswith("digits: whole: ")
    assert "read train, val, test; no hash is published" in out
    code, _, err = call(capsys, "data", "verify", "cifar10")
    assert code == 2
    assert "data set cifar10 is not in" in err


def test_a_broken_data_set_fails_verification(capsys, tmp_path):
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in registry.get(Dataset, "cifar10").published:
        (batches / name).write_bytes(b"broken")
    code, out, _ = call(capsys, "data", "verify", "cifar10", "--data", tmp_path)
    assert code == 1
    assert out.startswith("cifar10: broken")
    assert f"{batches / 'data_batch_1'}: has MD5 " in out


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "imagenette"])
def test_addresses_and_hashes_are_those_of_torchvision(name):
    """An independent record of what was published."""
    from torchvision import datasets
    from torchvision.datasets.imagenette import Imagenette

    dataset = registry.get(Dataset, name)
    ours = {a.url: a.md5 for a in dataset.archives}
    if name == "imagenette":
        assert ours == dict([Imagenette._ARCHIVES["320px"]])
    elif name == "svhn":
        theirs = {datasets.SVHN.split_list[s][0]: datasets.SVHN.split_list[s][2] for s in ("train", "test")}
        assert ours == theirs
        assert set(dataset.published.values()) == set(theirs.values())
    else:
        cls = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
        assert ours == {cls.url: cls.tgz_md5}
        listed = dict([*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])])
        assert dataset.published == listed


def test_a_run_fetches_what_is_missing(photos, server, tmp_path, capsys, monkeypatch):
    """Only as far as the data: what is fetched here is no images."""
    from lthbench.cli.data import fetch_missing

    sets = SimpleNamespace(dataset="digits", ood=("photos",))
    asked: Any = SimpleNamespace(task=SimpleNamespace(data=sets))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetch_missing(asked, None)
    assert "fetched photos" in capsys.readouterr().err
    assert (tmp_path / "lthbench" / "data" / "photos" / "a.txt").is_file()
    server.seen.clear()
    fetch_missing(asked, None)
    assert server.seen == []


@pytest.mark.parametrize("name", ["../outside.txt", "inside/../../outside.txt", "link"])
def test_an_archive_unpacks_only_what_lies_inside(tmp_path, name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        good, bad = tarfile.TarInfo("photos/a.txt"), tarfile.TarInfo(name)
        good.size = 5
        archive.addfile(good, io.BytesIO(b"first"))
        if name == "link":
            bad.type, bad.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(bad, io.BytesIO())
    at = tmp_path / "a.tar"
    at.write_bytes(buffer.getvalue())
    into = tmp_path / "data"
    into.mkdir()
    with pytest.raises(StepFailed, match=r"outside|absolute path"):
        download.unpack(at, into)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "data"]
    at.write_bytes(gzip.decompress(tarred({"/photos/a.txt": b"first", "photos/b.txt": b"second"})))
    download.unpack(at, into)
    assert {p.name: p.read_bytes() for p in (into / "photos").iterdir()} == {
        "a.txt": b"first",
        "b.txt": b"second",
    }
