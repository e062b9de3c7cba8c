"""Processes killed at random and disks that take nothing more: the table is the undisturbed one, or none is.

``LTHBENCH_KILLS`` sets how many processes are killed in each of the two slow tests, ``LTHBENCH_KILLS_SEED``
which grids and moments are drawn: runs of several seeds add up. What was done so far is printed as it goes.
The same with few kills is among the long tests.
"""

import contextlib
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lthbench import api
from lthbench.planning.request import Request, ask
from lthbench.report import write
from lthbench.store import LocalStore, layout

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").is_file(), reason="looks at processes through /proc"
)

REQUEST = ("--methods", "imp,omp", "--seeds", "2", "--metrics", "accuracy,ece,nll,fgsm,mce")
KILLS = int(os.environ.get("LTHBENCH_KILLS", "100"))
SEED = int(os.environ.get("LTHBENCH_KILLS_SEED", "0"))


def request(task: str) -> Request:
    return ask(task, ["imp", "omp"], seeds=2, metrics=REQUEST[-1].split(","))


def launch(folder: Path, task: str, *more: str, words: tuple[str, ...] = REQUEST) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lthbench", "run", "--task", task, "--device", "cpu", *words, *more]
    command += ["--store", str(folder / "store"), "--report", str(folder / "report")]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)


def processes() -> dict[int, tuple[int, str, str]]:
    """All living processes: parent, moment of birth, command."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
        if state != "Z":
            found[int(folder.name)] = (int(parent), rest[17], command)
    return found


def below(root: int, living: dict[int, tuple[int, str, str]]) -> set[int]:
    """The processes that a process started, and those that these started."""
    found, added = set(), {root}
    while added:
        found |= added
        added = {pid for pid, (parent, _, _) in living.items() if parent in added} - found
    return found & living.keys()


class Watch:
    """Remembers every process that came from those watched, by number and moment of birth."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, str], str] = {}

    def look(self, *roots: int) -> dict[int, str]:
        """The commands of the living processes below these."""
        living = processes()
        pids = set().union(*(below(root, living) for root in roots))
        self.seen |= {(pid, living[pid][1]): living[pid][2] for pid in pids}
        return {pid: living[pid][2] for pid in pids}

    def left(self, seconds: float = 60.0) -> list[str]:
        """Those that still live after some time."""
        end = time.monotonic() + seconds
        while True:
            living = {(pid, born) for pid, (_, born, _) in processes().items()}
            left = [f"{pid} {command}" for (pid, born), command in self.seen.items() if (pid, born) in living]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.2)


def check(folder: Path, expected: bytes) -> None:
    """The table is the undisturbed one, nothing in the store is wrong, and nothing was put aside."""
    assert (folder / "report" / "scores.csv").read_bytes() == expected
    store = LocalStore(folder / "store")
    assert {key: why for key, path in layout.places(store.root) if (why := layout.fault(path, key))} == {}
    assert not (store.root / "damaged").exists()


def undisturbed(asked: Request, folder: Path) -> bytes:
    """The table of a run that nobody disturbs."""
    outcome = api.execute(asked, api.RunOptions(store=folder / "store", device="cpu"))
    write(outcome.table, outcome.facts, folder / "report", formats=("csv",))
    return (folder / "report" / "scores.csv").read_bytes()


@pytest.fixture(scope="module")
def expected(tiny_task, tmp_path_factory) -> bytes:
    return undisturbed(request(tiny_task), tmp_path_factory.mktemp("undisturbed"))


#: Methods in rounds, at once, that rewire while they train, and that train before they prune; and scores.
METHODS = ("imp", "omp", "snip", "rigl", "lamp", "random", "gmp", "filter")
METRICS = ("accuracy", "ece", "nll", "fgsm", "mce", "gini", "agreement", "ood")


def drawn_grid(draw: random.Random) -> tuple[str, ...]:
    """The words of a grid: some methods, some seeds, some scores."""
    seeds = sorted(draw.sample(range(9), draw.choice((1, 2))))
    words = ("--methods", ",".join(draw.sample(METHODS, 2)), "--seeds", ",".join(map(str, seeds)) + ",")
    return (*words, "--metrics", ",".join(draw.sample(METRICS, 2)))


def kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _asked(task: str, words: tuple[str, ...]) -> Request:
    methods, seeds, metrics = (value.strip(",").split(",") for value in words[1::2])
    return ask(task, methods, seeds=[int(seed) for seed in seeds], metrics=metrics)


def _workers(watch: Watch, process: subprocess.Popen[bytes]) -> list[int]:
    """The workers of a run, once there are any; none where it ends before."""
    while process.poll() is None:
        commands = watch.look(process.pid)
        workers = [pid for pid, command in commands.items() if "spawn_main" in command]
        if workers:
            return workers
        time.sleep(0.1)
    return []


#: What Python says of a worker whose driver is killed before it has told it what to do.
_ORPHAN = re.compile(r"Traceback [^\n]*\n(?:  [^\n]*\n)*EOFError: Ran out of input\n")


def told(killed: Counter[str], grids: int, began: float) -> str:
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(killed.items()) if kind != HALF)
    half = f"; {killed[HALF]} left something half-written" if HALF in killed else ""
    words = f"\n{killed.total() - killed[HALF]} kills ({kinds}{half})"
    return f"{words}; {grids} grids equal, {time.monotonic() - began:.0f} s"


#: How many kills left a file in the folder where artefacts are written before they are published.
HALF = "half"


def moment(draw: random.Random, process: subprocess.Popen[bytes], store: Path) -> list[int]:
    """Wait: for long enough to start, to work, or until something is written to the store.

    Returns which processes are writing then.
    """
    kind = draw.choice(("start", "work", "write"))
    end = time.monotonic() + {"start": draw.uniform(0, 1.5), "work": draw.uniform(0.5, 6), "write": 8.0}[kind]
    while time.monotonic() < end and process.poll() is None:
        if kind == "write" and (alive := [p for p in writing(store) if Path(f"/proc/{p}/exe").exists()]):
            return alive
        time.sleep(0.001 if kind == "write" else 0.05)
    return []


def writing(store: Path) -> list[int]:
    """The processes of which something lies where artefacts are written before they are published."""
    with contextlib.suppress(OSError):
        return [int(path.name.split("-")[-2]) for path in (store / "tmp").iterdir()]
    return []


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
        pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
    ],
)
def test_workers_and_drivers_killed_at_random(kills, tiny_task, tmp_path, capsys):
    """Each grid is another. Workers, once they are there, die at any moment: three in four of the kills."""
    draw, killed, watch, grids = random.Random(f"{kills} {SEED}"), Counter(), Watch(), 0
    began, done = time.monotonic(), 0
    while done < kills:
        folder = tmp_path / f"grid{grids}"
        folder.mkdir()
        words = drawn_grid(draw)
        expected = undisturbed(_asked(tiny_task, words), folder / "undisturbed")
        most = min(kills, done + 15)  # and then it may come to its end
        while True:
            process = launch(folder, tiny_task, "--workers", "2", words=words)
            while process.poll() is None:
                if done >= most:
                    process.wait()
                    break
                on_worker = draw.random() < 0.75
                workers = _workers(watch, process) if on_worker else []
                writers = moment(draw, process, folder / "store")
                victim = draw.choice([pid for pid in writers if pid in workers] or workers or [process.pid])
                if process.poll() is None and kill(victim):
                    done += 1
                    killed["worker" if workers else "driver"] += 1
                    killed[HALF] += victim in writing(folder / "store")
            if process.wait() == 0:
                break
            assert process.returncode in (-signal.SIGKILL, 1), (folder / "said.txt").read_text()
        check(folder, expected)
        assert "Traceback" not in _ORPHAN.sub("", (folder / "said.txt").read_text())
        shutil.rmtree(folder)
        grids += 1
        with capsys.disabled():
            print(told(killed, grids, began), end="", flush=True)
    assert watch.left() == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_workers_drivers_and_nodes_of_a_cluster_killed_at_random(tiny_task, tmp_path, expected, capsys):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    draw, killed, watch, grids = random.Random(1), Counter(), Watch(), 0
    began = time.monotonic()
    size = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        node, process = cluster.add_node(**size), None
        while killed.total() < KILLS:
            folder = tmp_path / f"grid{grids}"
            folder.mkdir()
            while True:
                process = launch(folder, tiny_task, "--engine", "ray", "--address", cluster.address)
                while process.poll() is None:
                    time.sleep(draw.uniform(0.2, 6.0))
                    commands = watch.look(os.getpid(), process.pid)
                    # Not its agents: with one of these a node ends, the head's too.
                    workers = [p for p, c in commands.items() if c.startswith(("ray::_do", "ray::IDLE"))]
                    if killed.total() >= KILLS or process.poll() is not None:
                        continue
                    dice = draw.random()
                    if dice < 0.1:
                        for info in node.all_processes["raylet"]:
                            killed["node"] += kill(info.process.pid)
                        cluster.remove_node(node, allow_graceful=False)
                        node = cluster.add_node(**size)
                    elif dice < 0.2:
                        killed["driver"] += kill(process.pid)
                    elif workers:
                        killed["worker"] += kill(draw.choice(workers))
                if process.wait() == 0:
                    break
                assert process.returncode in (-signal.SIGKILL, 1), (folder / "said.txt").read_text()
            check(folder, expected)
            shutil.rmtree(folder)
            grids += 1
    finally:
        if process is not None and process.poll() is None:
            kill(process.pid)
        cluster.shutdown()
    watch.seen = {who: command for who, command in watch.seen.items() if who[0] != os.getpid()}
    assert watch.left() == []
    with capsys.disabled():
        print(told(killed, grids, began))


# ------------------------------------------------------------------------------ disks that take nothing more


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 1.5 MB; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "lthbench-test", str(folder)]
    if os.name != "posix" or os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_disk_that_fills_up_ends_the_run_and_it_goes_on_with_more_room(
    small_disk, tiny_task, tmp_path, expected, workers
):
    folder = small_disk
    said = tmp_path / "said.txt"
    code = (
        "import sys; from lthbench.store import disk; disk.free_bytes = lambda folder: 10**12\n"
        "from lthbench.cli import main; main(sys.argv[1:])"
    )  # what is free is checked first: as if another took it later
    command = [sys.executable, "-c", code, "run", "--task", tiny_task, *REQUEST, "--workers", workers]
    command += ["--device", "cpu", "--store", str(folder / "store"), "--report", str(tmp_path / "report")]
    with said.open("wb") as file:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=file, timeout=300)
    assert done.returncode == 1, said.read_text()
    assert "the disk is full (No space left on device). What was finished is stored; make room" in (
        said.read_text()
    )
    assert "Traceback" not in said.read_text()
    store = LocalStore(folder / "store")
    assert all(layout.fault(path, key) == "" for key, path in layout.places(store.root))
    assert list((store.root / "tmp").iterdir()) == []
    assert not (tmp_path / "report").exists()
    remount(folder, "size=100m")
    with said.open("ab") as file:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=file, timeout=300)
    assert done.returncode == 0, said.read_text()
    assert (tmp_path / "report" / "scores.csv").read_bytes() == expected


@pytest.mark.slow
def test_a_disk_that_is_too_small_or_read_only_is_refused_before_anything_runs(
    small_disk, tiny_task, tmp_path
):
    process = launch(small_disk, tiny_task)
    assert process.wait() == 2
    assert "needs about" in (small_disk / "said.txt").read_text()
    assert not (small_disk / "store").exists()
    remount(small_disk, "size=100m")
    LocalStore(small_disk / "store").open()
    remount(small_disk, "ro")
    done = subprocess.run(
        [sys.executable, "-m", "lthbench", "run", "--task", tiny_task, "--store", str(small_disk / "store")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cannot be written: Read-only file system." in done.stderr
    assert "Traceback" not in done.stderr
    remount(small_disk, "rw")


@pytest.mark.slow
def test_a_finished_run_is_shown_from_a_store_that_is_read_only(small_disk, tiny_task, tmp_path, expected):
    remount(small_disk, "size=100m")
    process = launch(small_disk, tiny_task, "--workers", "0")
    assert process.wait() == 0
    remount(small_disk, "ro")
    outcome = api.execute(request(tiny_task), api.RunOptions(store=small_disk / "store", device="cpu"))
    assert outcome.table.to_csv(index=False, lineterminator="\n").encode() == expected
    done = subprocess.run(
        [sys.executable, "-m", "lthbench", "store", "--json", "--store", str(small_disk / "store")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["kinds"]["Train"]["artefacts"] == 8
    remount(small_disk, "rw")
