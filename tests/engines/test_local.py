"""The local engine's workers: what they are told, and what they refuse."""

import signal

import pytest

from lthbench import registry
from lthbench.engines import local
from lthbench.engines.local import Local
from lthbench.errors import BadInput
from lthbench.store import LocalStore


def test_a_worker_that_finds_another_file_of_plugins_does_nothing_and_says_so(tmp_path, monkeypatch):
    for name in ("_runner", "_flag", "_unfit"):
        monkeypatch.setattr(local, name, None)
    monkeypatch.setattr(signal, "signal", lambda number, how: None)  # this process goes on
    (tmp_path / "mine.py").write_text("METHOD = None\n")
    LocalStore(tmp_path / "store").open()
    files = (registry.OwnFile("Method", str(tmp_path / "mine.py"), "0" * 64),)
    local._begin(str(tmp_path / "store"), (), Local(1), files, None)
    with pytest.raises(BadInput, match="another file than when the run was planned"):
        local._work([], {})
