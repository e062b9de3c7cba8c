"""The local engine ends its own workers, and no other process of the program that calls it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from lthbench.engines.workers import Workers


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks at processes through /proc")
def test_only_its_own_processes_are_killed():
    one, two = Workers(), Workers()
    beside = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    beside.start()
    try:
        with (
            ProcessPoolExecutor(1, mp_context=one) as first,
            ProcessPoolExecutor(1, mp_context=two) as second,
        ):
            mine, theirs = (pool.submit(os.getpid).result(timeout=60) for pool in (first, second))
            running = first.submit(time.sleep, 60)
            one.kill()
            with pytest.raises(BrokenProcessPool):
                running.result(timeout=60)
            assert second.submit(os.getpid).result(timeout=60) == theirs
        one.kill()
        assert not alive(mine)
        assert beside.is_alive()
        assert other.poll() is None
    finally:
        beside.kill()
        beside.join()
        other.kill()
        other.wait()


def test_one_that_could_not_be_started_is_passed_over(monkeypatch):
    workers = Workers()
    process = workers.Process(target=time.sleep, args=(60,))
    monkeypatch.setattr(type(process), "_Popen", _no_more)
    with pytest.raises(BlockingIOError):
        process.start()
    workers.kill()


def _no_more(*given):
    raise BlockingIOError(11, "Resource temporarily unavailable")


_PROGRAM = """
import multiprocessing, subprocess, sys, threading, time
import lthbench

if __name__ == "__main__":
    own = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(300,))
    own.start()
    pool = multiprocessing.get_context("spawn").Pool(1)
    print(own.pid, *(p.pid for p in multiprocessing.active_children()), flush=True)
    table = lthbench.run(sys.argv[1], ["omp"], rounds=[1], seeds=1, metrics=["accuracy"], workers=1,
                         store=sys.argv[2], device="cpu")
    assert set(table["status"]) <= {"ok", "degenerate"}, table
    assert own.is_alive() and pool.apply(len, ("ab",)) == 2
    own.kill()
    pool.terminate()
    print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks at processes through /proc")
def test_a_program_that_runs_it_keeps_its_processes_when_a_worker_dies(tmp_path, tiny_task):
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM, encoding="utf-8")
    command = [sys.executable, str(script), tiny_task, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        own = {int(pid) for pid in program.stdout.readline().split()}
        log, end, killed = tmp_path / "store" / "events.jsonl", time.monotonic() + 120, 0
        while not killed and time.monotonic() < end:
            time.sleep(0.01)
            if log.exists():
                for status in Path("/proc").glob("[0-9]*/stat"):
                    parent = status.read_text().rpartition(")")[2].split()[1] if status.exists() else ""
                    pid = int(status.parent.name)
                    started = status.with_name("cmdline").read_bytes() if status.exists() else b""
                    if parent == str(program.pid) and b"spawn_main" in started and pid not in own:
                        os.kill(pid, signal.SIGKILL)
                        killed = pid
        said, _ = program.communicate(timeout=240)
    assert killed
    assert said == "done\n"
    assert program.returncode == 0
