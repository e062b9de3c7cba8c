"""Whatever goes wrong ends in one line: what it was and what to do; streams and signals that are missing."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lthbench.cli import app, main
from lthbench.engines import local_worker
from lthbench.errors import LthbenchError


def ended(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code, capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch, _unforeseen):
    """A command that raises what it is given, told as users are told."""
    monkeypatch.setattr(app, "unforeseen", _unforeseen)

    def fail(error):
        monkeypatch.setattr("lthbench.cli.listing.every", lambda *given: (_ for _ in ()).throw(error))

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("float division\nby zero"), "ZeroDivisionError: float division by zero (test_gua"),
        (RecursionError(), "RecursionError (test_guard.py, line "),
        (KeyError("x"), "KeyError: 'x' (test_guard.py"),
        (OverflowError("too large"), "OverflowError: too large ("),
        (AssertionError(), "AssertionError (test"),
    ],
)
def test_what_nobody_foresaw_is_one_line_that_says_how_to_report_it(failing, capsys, error, said):
    failing(error)
    code, err = ended(capsys, "tasks")
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith(f"Error: {said}")
    assert "a fault of lthbench: please open an issue with what lthbench --debug prints" in err
    with pytest.raises(type(error)):
        main(["--debug", "tasks"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: not enough memory: you tried"), "address"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "(ulimit -v)"),
        (PermissionError(errno.EACCES, "Permission denied", "/some/file"), "/some/file: Permission denied"),
        (OSError("no number"), "no number"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_lthbench(failing, capsys, error, said):
    failing(error)
    code, err = ended(capsys, "tasks")
    assert code == 1
    assert err.count("\n") == 1
    assert said in err
    assert "fault of lthbench" not in err


def shell(line: str) -> subprocess.CompletedProcess:
    """A line of a shell, in which $L is the command."""
    environment = os.environ | {"L": f"{sys.executable} -m lthbench"}
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$L tasks >&- 2>&- <&-", 0),
        ("$L nosuch 2>&-", 2),
        ("$L nosuch 2>/dev/full", 2),
        ("$L tasks >/dev/full 2>/dev/full", 1),
    ],
)
def test_closed_and_full_streams_leave_the_exit_code_what_it_is(line, code):
    done = shell(line)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_full_output_is_named():
    if os.path.exists("/dev/full"):
        done = shell("$L tasks > /dev/full")
        assert (done.returncode, done.stderr) == (1, "Error: standard output: No space left on device\n")


def test_files_do_not_get_the_numbers_of_streams_that_were_closed():
    code = (
        "from lthbench.cli import streams; import os, sys; streams.reopen(); print('x', file=sys.stderr);"
        "os._exit(0 if os.open('/dev/null', os.O_RDONLY) > 2 else 5)"
    )
    done = subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}" >&- 2>&- <&-'], check=False)
    assert done.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_come_while_it_is_told_that_work_was_stopped(number, monkeypatch):
    def told(*given, **more):
        os.kill(os.getpid(), number)
        time.sleep(5)

    def work(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("lthbench.cli.listing.every", work)
    monkeypatch.setattr(app, "echo", told)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        main(["tasks"])
    assert end.value.code == 130
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_works_in_a_thread_that_hears_no_signals(capsys):
    thread = threading.Thread(target=main, args=(["methods", "--json"],))
    thread.start()
    thread.join()
    assert '"omp"' in capsys.readouterr().out


def test_a_worker_that_cannot_begin_says_why(monkeypatch):
    monkeypatch.setattr(local_worker, "_unfit", None)
    monkeypatch.setattr(local_worker, "_runner", None)
    monkeypatch.setattr(local_worker, "_flag", None)
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setattr(local_worker, "_end_with_parent", lambda: None)
    monkeypatch.setattr(
        local_worker, "open_store", lambda where: (_ for _ in ()).throw(ImportError("no room\n"))
    )
    local_worker.begin("nowhere", (), "other", 1, (), None)
    with pytest.raises(LthbenchError, match="a worker process cannot begin: ImportError: no room"):
        local_worker.work([], {})


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that somebody is in")
@pytest.mark.parametrize("command", [["report", "x"], ["store"]])
def test_a_working_folder_that_is_gone_is_named(tmp_path, monkeypatch, capsys, command):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    code, err = ended(capsys, *command)
    assert code in (1, 2)
    assert "the folder that the command was given in is no longer there" in err or "x: has no" in err


@pytest.mark.parametrize("inner", ["", "more/of/it"])
@pytest.mark.parametrize("option", ["--report", "--out"])
def test_a_link_to_what_is_not_there_takes_no_report(tmp_path, capsys, option, inner):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    target = str(tmp_path / "link" / inner)
    command = ["run"] if option == "--report" else ["report", str(tmp_path), str(tmp_path)]
    code, err = ended(capsys, *command, option, target)
    assert code == 2
    if option == "--report":
        assert "is a link to what is not there" in err
    assert not (tmp_path / "nowhere").exists()
