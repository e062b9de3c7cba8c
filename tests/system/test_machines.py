"""Machines as containers are: no home, no entry of the user, no shared memory, a part of the cores."""

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lthbench import api, doctor
from lthbench.cli import main
from lthbench.compute import control_groups, device
from lthbench.compute.memory import memory
from lthbench.data import loading
from lthbench.engines.workers import Workers
from lthbench.errors import BadInput

GONE = ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "LTHBENCH_DATA")


@pytest.fixture
def homeless(monkeypatch):
    """No home folder, and no entry for the user: as under another user's number."""

    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in GONE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(RuntimeError):
        Path.home()


COMMANDS = [
    ["data"],
    ["data", "verify", "digits"],
    ["doctor"],
    ["plan"],
    ["plan", "--task", "c10-r20s"],
    ["tasks"],
    ["methods"],
    ["datasets", "derma"],
]


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_that_need_no_home_go_on_without_one(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(command)
    assert len(capsys.readouterr().out) > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("homeless")
def test_a_run_and_its_report_are_made_without_a_home(tmp_path, tiny_task):
    report = tmp_path / "report"
    table = api.run(
        tiny_task, ["omp"], [0.5], seeds=1, metrics=["accuracy"], store=tmp_path / "store", report=report
    )
    assert set(table["status"]) == {"ok"}
    assert (report / "report.html").is_file()
    assert not Path("~").exists()


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    "command", [["data", "download", "cifar10"], ["run", "--task", "c10-r20s", "--download"]], ids=" ".join
)
def test_what_needs_a_folder_says_how_to_name_one(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert "--to DIR" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("homeless")
def test_data_that_is_nowhere_is_refused_without_a_home_too():
    with pytest.raises(BadInput, match=r"cifar10 is not in any folder: none is given, and you have no home"):
        loading.find("cifar10", loading.folders())


def test_a_home_that_may_not_be_looked_into_is_left_out(tmp_path, monkeypatch):
    """HOME=/root under another user's number."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LTHBENCH_DATA", raising=False)
    assert loading.folders() == (tmp_path / "lthbench" / "data",)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refused)
    assert loading.folders() == ()


def test_a_home_that_is_read_only_is_no_obstacle(tmp_path, monkeypatch):
    """Hashes are not remembered there, and that is all."""
    home = tmp_path / "home"
    home.write_bytes(b"a file, so that no folder can be made in it")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert len(loading.identify("digits", loading.folders()).digest) == 64


def test_without_shared_memory_it_is_said_how_to_work(tmp_path, tiny_task, monkeypatch):
    def full(self, *_):
        raise OSError(30, "Read-only file system", "/dev/shm/pym-1")

    monkeypatch.setattr(Workers, "RawValue", full)
    ask: dict[str, Any] = {"methods": ["omp"], "sparsities": [0.5], "seeds": 1, "metrics": ["accuracy"]}
    with pytest.raises(BadInput, match=r"worker processes cannot be started here: .*--workers 0"):
        api.run(tiny_task, **ask, store=tmp_path / "store", workers=2)
    api.run(tiny_task, **ask, store=tmp_path / "store", workers=0)


def test_doctor_names_what_a_machine_lacks(tmp_path, monkeypatch):
    import multiprocessing.context

    def none(*_):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(multiprocessing.context.BaseContext, "Lock", none)
    monkeypatch.setattr(tempfile, "gettempdir", none)
    found = {f.topic: f for f in doctor.examined(None, tmp_path / "store")}
    assert found["workers"].state == "problem"
    assert "--workers 0" in found["workers"].remedy
    assert found["temporary files"].state == "note"


def group(root, path, most):
    (root / path).mkdir(parents=True, exist_ok=True)
    (root / path / "cpu.max").write_text(most)


@pytest.mark.parametrize(
    ("own", "outer", "expected"),
    [
        ("150000 100000\n", "max 100000\n", 1.5),
        ("max 100000\n", "max 100000\n", None),
        ("400000 100000\n", "200000 100000\n", 2.0),
        ("50000 100000\n", "200000 100000\n", 0.5),
        ("nonsense\n", "max\n", None),
        ("", "100000 0\n", None),
    ],
)
def test_the_quota_is_the_least_of_the_groups_of_a_process(tmp_path, own, outer, expected):
    group(tmp_path / "fs", "pod", outer)
    group(tmp_path / "fs", "pod/container", own)
    (tmp_path / "cgroup").write_text("0::/pod/container\n")
    assert control_groups.quota(tmp_path / "fs", tmp_path / "cgroup") == expected


@pytest.mark.parametrize(("most", "expected"), [("300000\n", 3.0), ("-1\n", None)])
def test_the_quota_of_the_first_version_of_groups_is_read(tmp_path, most, expected):
    folder = tmp_path / "fs" / "cpu,cpuacct" / "docker"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(most)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/docker\n3:memory:/docker\n1:name=systemd:/docker\n")
    assert control_groups.quota(tmp_path / "fs", tmp_path / "cgroup") == expected


def test_no_more_workers_than_the_quota_allows(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for quota, expected in ((None, 64), (1.5, 2), (0.2, 1), (100.0, 64)):
        monkeypatch.setattr(control_groups, "quota", lambda quota=quota: quota)
        assert device.default_workers() == expected


def test_a_machine_without_control_groups_has_no_limits(tmp_path):
    assert control_groups.quota(tmp_path, tmp_path / "absent") is None
    assert list(control_groups.memory(tmp_path, tmp_path / "absent")) == []


def test_the_memory_is_that_of_the_groups_of_a_process_and_those_above(tmp_path, monkeypatch):
    """A group may have less than the one above it, of which other groups take some."""
    for path, most, taken in (("pod", 512, 500), ("pod/container", 256, 100)):
        folder = tmp_path / "fs" / path
        folder.mkdir(parents=True)
        (folder / "memory.max").write_text(f"{most << 20}\n")
        (folder / "memory.current").write_text(f"{taken << 20}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {50 << 20}\n")
    (tmp_path / "fs" / "memory.max").write_text("max\n")
    (tmp_path / "cgroup").write_text("0::/pod/container\n")
    found = list(control_groups.memory(tmp_path / "fs", tmp_path / "cgroup"))
    assert found == [(256 << 20, 50 << 20), (512 << 20, 450 << 20)]
    monkeypatch.setattr(control_groups, "memory", lambda: found)
    assert memory() == (0.25, 62 / 1024)


def test_the_memory_of_the_first_version_of_groups_is_read(tmp_path):
    folder = tmp_path / "fs" / "memory" / "docker"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000\n")
    (folder / "memory.usage_in_bytes").write_text("300\n")
    (folder / "memory.stat").write_text("total_inactive_file 100\n")
    (tmp_path / "cgroup").write_text("4:memory:/docker\n0::/\n")
    assert list(control_groups.memory(tmp_path / "fs", tmp_path / "cgroup")) == [(1000, 200)]


def test_a_temporary_folder_that_is_missing_is_no_obstacle(tmp_path):
    """TMPDIR names a folder that is not there: Python takes another one."""
    environment = os.environ | {"TMPDIR": str(tmp_path / "absent")}
    command = [sys.executable, "-m", "lthbench", "doctor"]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "temporary files" not in done.stdout
