"""Files and folders: where what can be fetched again is kept."""

import sys

import pytest

from lthbench.data.loading import default_folder
from lthbench.errors import BadInput
from lthbench.store.remote import default_folder as copies_folder


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
def test_the_cache_is_where_it_has_been_on_linux(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "lthbench" / "data"
    assert copies_folder() == tmp_path / "cache" / "lthbench" / "stores"
    for unset in ("", None):
        monkeypatch.setenv("XDG_CACHE_HOME", "") if unset == "" else monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert default_folder() == tmp_path / "home" / ".cache" / "lthbench" / "data"


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
def test_without_a_home_there_is_no_folder_of_that_name(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(BadInput, match="home"):
        default_folder()
