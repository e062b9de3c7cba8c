"""Files and folders: where what can be fetched again is kept."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lthbench import files
from lthbench.data.loading import default_folder
from lthbench.errors import BadInput
from lthbench.store.remote import default_folder as copies_folder


@pytest.fixture(params=["platformdirs", "without platformdirs"])
def _installed(request, monkeypatch):
    """The package that knows such folders, or a machine that lacks it."""
    if request.param == "without platformdirs":
        monkeypatch.setitem(sys.modules, "platformdirs", None)


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
@pytest.mark.usefixtures("_installed")
def test_the_cache_is_where_it_has_been_on_linux(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "lthbench" / "data"
    assert copies_folder() == tmp_path / "cache" / "lthbench" / "stores"
    for unset in ("", None):
        monkeypatch.setenv("XDG_CACHE_HOME", "") if unset == "" else monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert default_folder() == tmp_path / "home" / ".cache" / "lthbench" / "data"


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
@pytest.mark.usefixtures("_installed")
def test_without_a_home_there_is_no_folder_of_that_name(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(BadInput, match="home"):
        default_folder()


@pytest.mark.parametrize("fails", ["write_bytes", "replace", "sync"])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, monkeypatch, fails):
    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((files, "sync", full) if fails == "sync" else (Path, fails, full)))
    with pytest.raises(OSError, match="No space left on device") as error:
        files.publish(tmp_path / "scores.csv", b"x")
    assert error.value.filename == str(tmp_path / "scores.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no process can be asked for there")
def test_what_killed_processes_left_beside_a_file_goes(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    path = tmp_path / "scores.csv"

    def left(pid, target=path, hours=2):
        monkeypatch.setattr(os, "getpid", lambda: pid)
        found = files.beside(target)
        found.write_bytes(b"half")
        os.utime(found, (time.time() - 3600 * hours,) * 2)
        return found

    own = os.getpid()
    kept = [
        left(own),
        left(dead.pid, hours=0),
        left(dead.pid, tmp_path / "run.json"),
        tmp_path / ".other.part",
    ]
    monkeypatch.setattr(files, "_host", lambda: "abcdef")
    kept.append(left(dead.pid))
    monkeypatch.undo()
    kept[3].write_bytes(b"another's")
    gone = left(dead.pid)
    files.clear_left(path)
    assert not gone.exists()
    assert all(one.exists() for one in kept)
