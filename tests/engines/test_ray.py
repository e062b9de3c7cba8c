"""The cluster engine: the same table as the local one, on one node and on two; what ends and refuses it."""

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lthbench import api
from lthbench.cli import main
from lthbench.engines import gpu_shares
from lthbench.engines.queue import stacks
from lthbench.errors import BadInput, LthbenchError, Unwritable
from lthbench.kinds.origins import OwnFile
from lthbench.planning.jobs import group
from lthbench.planning.plan import plan
from lthbench.planning.request import Request, ask
from lthbench.report import write
from lthbench.spec import Data, Init, Train
from lthbench.store import LocalStore

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
#: Ray's own code warns of what is to change in Python and in itself.
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


def request(task: str, seeds: int = 1) -> Request:
    return ask(task, ["omp"], rounds=[1], seeds=seeds, metrics=["accuracy", "ece"])


def table(folder: Path, asked: Request, **how: Any) -> bytes:
    """The score table of a request, as its canonical CSV."""
    outcome = api.execute(asked, api.RunOptions(store=folder / "store", device="cpu", workers=1, **how))
    assert outcome.failures == {}
    write(outcome.table, outcome.facts, folder / "report", formats=("csv",))
    return (folder / "report" / "scores.csv").read_bytes()


def steps_in(log: Path) -> list[str]:
    """The keys of the steps in a log; of trainings on their way, as on a slow machine, it has lines, too."""
    return [e["key"] for e in map(json.loads, log.read_text().splitlines()) if "key" in e]


@needs_ray
@quiet
def test_a_cluster_of_this_machine_gives_the_table_of_the_local_engine(tiny_task, tmp_path):
    asked = request(tiny_task)
    here = table(tmp_path / "local", asked)
    there = table(tmp_path / "ray", asked, engine="ray")
    assert there == here
    made = plan(asked, ())
    store = LocalStore(tmp_path / "ray" / "store")
    assert all(store.intact(step) for step in made.steps)
    pids = {e["pid"] for e in store.events()}
    assert pids
    assert os.getpid() not in pids
    assert list((store.root / "leases").iterdir()) == []
    assert list((store.root / "tmp").iterdir()) == []


@needs_ray
@quiet
def test_a_cluster_trains_as_one_what_is_alike_and_gives_the_same_table(tiny_task, tmp_path):
    asked = request(tiny_task, seeds=2)
    here = table(tmp_path / "local", asked)
    assert table(tmp_path / "ray", asked, engine="ray", stack=2) == here
    store = LocalStore(tmp_path / "ray" / "store")
    stacked = [e for e in store.events() if e.get("stack") == 2]
    assert {e["step"] for e in stacked} == {"Train", "Predict"}
    assert len([e for e in stacked if e["step"] == "Train"]) == 4  # dense and omp, two seeds each
    assert list((store.root / "tmp").iterdir()) == []


def test_stacks_leave_each_worker_its_share_and_come_after_what_they_need(tiny_task):
    def sizes(stack, workers):
        done, found = set(), []
        for together in stacks(group(plan(request(tiny_task, seeds=6), ()).steps), stack, workers):
            assert all(job.needs <= done for job in together)
            done |= {job.name for job in together}
            found += [len(together)] if together[0].training is not None else []
        assert done == set(group(plan(request(tiny_task, seeds=6), ()).steps))
        return found

    assert sizes(1, 1) == [1] * 12
    assert sizes(32, 1) == [6, 6]
    assert sorted(sizes(4, 1)) == [2, 2, 4, 4]
    assert sorted(sizes(32, 3)) == [2] * 6


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "rya"), 'no engine "rya". Did you mean ray?'),
        (("--address", "auto"), "--address is that of a Ray cluster: give --engine ray, too."),
    ],
)
def test_engines_that_there_are_not_are_refused(tmp_path, capsys, words, said):
    with pytest.raises(SystemExit) as end:
        main(["run", *words, "--store", str(tmp_path / "store")])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_without_ray_the_engine_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'lthbench\[ray\]'"):
        api.RunOptions(engine="ray").check()


# ------------------------------------------------------------------------------- what a node checks of itself


@pytest.fixture
def site(tmp_path):
    """What the driver of a store tells its tasks."""
    pytest.importorskip("ray")
    from lthbench.engines import ray_worker

    store = LocalStore(tmp_path / "store")
    store.open()
    yield ray_worker.site_of(store, (), "cpu")
    ray_worker.runner_of.cache_clear()


def test_a_node_with_another_version_is_refused(site):
    from lthbench.engines import ray_worker

    with pytest.raises(BadInput, match=r"has lthbench .*, the driver has 0\.0"):
        ray_worker.runner_of(dataclasses.replace(site, version="0.0"))


def test_a_node_that_does_not_see_the_store_is_refused(site, tmp_path):
    from lthbench.engines import ray_worker

    with pytest.raises(BadInput, match="does not see the store"):
        ray_worker.runner_of(dataclasses.replace(site, store=str(tmp_path / "elsewhere")))


def test_a_node_with_another_plug_in_is_refused(site, tmp_path):
    from lthbench.engines import ray_worker

    (tmp_path / "mine.py").write_text("x = 1")
    files = (OwnFile("Method", str(tmp_path / "mine.py"), "0" * 64),)
    with pytest.raises(BadInput, match=r"mine\.py: is not there, or is another file"):
        ray_worker.runner_of(dataclasses.replace(site, files=files))


def test_a_node_with_other_images_is_refused(site, init, recipe):
    from lthbench.engines import ray_worker

    assert ray_worker.do(site, [("init", [init])]) == ray_worker.Result({})
    with pytest.raises(BadInput, match="data set digits is another one here"):
        ray_worker.do(site, [("train", [Train(init, recipe, Data("digits", 1, "0" * 64), 0)])])


def test_a_node_that_does_not_see_what_a_step_needs_waits_and_then_says_so(site, tiny_task, monkeypatch):
    from lthbench.engines import ray_worker

    monkeypatch.setattr(ray_worker, "PATIENCE", 0.5)
    train = next(s for s in plan(request(tiny_task), ()).steps if isinstance(s, Train))
    with pytest.raises(LthbenchError, match="is done, but not to be seen"):
        ray_worker.do(site, [("train", [train])])


def test_a_task_does_nothing_once_the_user_asked_to_stop_or_what_it_needs_failed(site, tiny_task):
    from lthbench.engines import ray_worker

    steps = plan(request(tiny_task), ()).steps
    train = next(s for s in steps if isinstance(s, Train))
    before = ray_worker.Result({train.start.key: "no memory"})
    assert ray_worker.do(site, [("train", [train])], before) == ray_worker.Result({train.key: "no memory"})
    LocalStore(site.store).flag(site.stop)
    assert ray_worker.do(site, [("init", [train.start])]) == ray_worker.Result({})
    assert not LocalStore(site.store).has(train.start)


def test_a_task_that_waits_for_what_was_left_on_the_way_stops_with_the_rest(site, tiny_task, monkeypatch):
    from lthbench.engines import ray_worker

    train = next(s for s in plan(request(tiny_task), ()).steps if isinstance(s, Train))
    asked = []

    def stopped(flag):
        asked.append(1)
        return len(asked) > 3

    monkeypatch.setattr(ray_worker.Flagged, "__call__", stopped)
    assert ray_worker.do(site, [("train", [train])]) == ray_worker.Result({})
    assert len(asked) == 4


def test_whether_to_stop_is_asked_now_and_then_and_a_failing_answer_stops_nothing(site, monkeypatch):
    from lthbench.engines import ray_worker

    store, now, answers = LocalStore(site.store), 100.0, []
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def flagged(name):
        assert name == "stop-it"
        answer = answers.pop(0)
        if answer is None:
            raise Unwritable("no answer")
        return answer

    monkeypatch.setattr(store, "flagged", flagged)
    stopped = ray_worker.Flagged(store, "stop-it")
    answers[:] = [False]
    assert [stopped() for _ in range(5)] == [False] * 5
    now, answers[:] = 102.0, [None]
    assert [stopped(), stopped()] == [False, False]
    now, answers[:] = 104.0, [True]
    assert [stopped(), stopped()] == [True, True]
    now = 200.0
    assert stopped()
    assert answers == []


# ---------------------------------------------------------------------------------------- shares of a GPU


def test_a_stack_that_a_worker_died_of_is_done_one_after_the_other(site, tiny_task):
    from lthbench.engines import ray_worker

    steps = plan(request(tiny_task, seeds=2), ()).steps
    trains = [s for s in steps if isinstance(s, Train) and s.mask is None]
    site = dataclasses.replace(site, stack=4)
    together = [(t.key, [t.start, t]) for t in trains]
    store, flag = LocalStore(site.store), ray_worker.begun(site, (name for name, _ in together))
    store.flag(flag)
    assert ray_worker.do(site, together) == ray_worker.Result({})
    done = [e for e in store.events() if e["step"] == "Train"]
    assert [e.get("stack", 1) for e in done] == [1, 1]
    assert store.flagged(flag)  # the driver lowers it
    for train in trains:
        shutil.rmtree(store.place(train.key))
    store.unflag(flag)
    ray_worker.do(site, together)
    assert [e.get("stack", 1) for e in store.events() if e["step"] == "Train"] == [1, 1, 2, 2]
    assert not store.flagged(flag)


def event(step: str, taken: int, total: int = 10**10, **more: object) -> dict[str, object]:
    return {
        "step": step,
        "network": "resnet8",
        "memory": taken,
        "device_memory": total,
        "status": "ok",
        **more,
    }


def test_a_share_is_the_greatest_that_was_measured_with_room_to_spare(tiny_task):
    events = [event("Train", 10**9), event("Train", 3 * 10**9), event("Train", 9**9, status="failed")]
    events += [event("Predict", 10**8), {"step": "Measure", "status": "ok"}]
    events += [event("Train", 9 * 10**9, stack=4)]  # says nothing of one network alone
    found = gpu_shares.shares(events)
    # (3 + 0.7) GB * 1.2 of 10 GB is 0.444: nine twentieths.
    assert found == {"Train resnet8": 0.45, "Predict resnet8": 0.1}
    assert gpu_shares.shares([event("Train", 10**11)]) == {"Train resnet8": 1.0}
    # A worker with a smaller GPU: what was measured on the larger one must fit there, too.
    unlike = [event("Train", 3 * 10**9, 8 * 10**10), event("Predict", 10**8, 10**10)]
    assert gpu_shares.shares(unlike) == {"Train resnet8": 0.45, "Predict resnet8": 0.1}
    jobs = group(plan(request(tiny_task), ()).steps)
    by_kind = {type(j.steps[0]).__name__: gpu_shares.share(j, found) for j in jobs.values()}
    assert by_kind == {"Init": 0.05, "Train": 0.45, "Prune": 1.0, "Predict": 1.0}  # measures: never measured
    assert gpu_shares.share(next(j for j in jobs.values() if isinstance(j.steps[0], Init)), {}) == 0.05


# ------------------------------------------------------------------------------------------------ two nodes


@pytest.fixture
def cluster():
    """A real cluster of two nodes with one core each on this machine, and its address."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False},
    )
    made.add_node(num_cpus=1, object_store_memory=100_000_000)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def launch(folder: Path, task: str, address: str, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "lthbench",
        "run",
        "--task",
        task,
        "--engine",
        "ray",
        "--address",
        address,
    ]
    command += [
        "--store",
        str(folder / "store"),
        "--report",
        str(folder / "report"),
        "--device",
        "cpu",
        *more,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


REQUEST = ("--methods", "omp", "--rounds", "1", "--seeds", "2", "--metrics", "accuracy,ece")


@needs_ray
@quiet
@pytest.mark.slow
def test_two_nodes_give_the_table_of_the_local_engine(cluster, tiny_task, tmp_path):
    here = table(tmp_path / "local", request(tiny_task, seeds=2))
    process = launch(tmp_path, tiny_task, cluster.address, *REQUEST)
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert "with 2 workers" in complaints
    assert "Dense parent" in said
    assert (tmp_path / "report" / "scores.csv").read_bytes() == here


@needs_ray
@quiet
@pytest.mark.slow
def test_an_interrupted_run_on_a_cluster_finishes_its_steps_and_goes_on(cluster, tiny_task, tmp_path):
    here = table(tmp_path / "local", request(tiny_task, seeds=2))
    process = launch(tmp_path, tiny_task, cluster.address, *REQUEST)
    log = tmp_path / "store" / "events.jsonl"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (log.exists() and log.read_bytes()):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 130, complaints
    assert "finishing the steps in progress" in complaints
    assert "Continue with the same command." in complaints
    assert "Traceback" not in complaints
    assert list((tmp_path / "store" / "leases").iterdir()) == []
    done = steps_in(log)
    assert len(set(done)) < len(plan(request(tiny_task, seeds=2), ()).steps)
    process = launch(tmp_path, tiny_task, cluster.address, *REQUEST)
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert (tmp_path / "report" / "scores.csv").read_bytes() == here
    keys = steps_in(log)
    assert len(keys) == len(set(keys))


METHOD = """
from lthbench.kinds import Method
import os
from lthbench.kinds import Criterion

def scores(model, batches, generator):
    os.kill(os.getpid(), 9)

DEADLY = Criterion("deadly", version=1, score=scores)
METHOD = Method(name="deadly", title="t", formula="f", source="s", cost="c",
                criterion=DEADLY,
                ticket=lambda cell: cell.train(cell.rewound, cell.prune(cell.dense, DEADLY)))
"""


@needs_ray
@quiet
@pytest.mark.slow
def test_work_that_kills_each_worker_ends_the_run_after_three(cluster, tiny_task, tmp_path):
    (tmp_path / "deadly.py").write_text(METHOD)
    words = ("--methods", str(tmp_path / "deadly.py"), *REQUEST[2:])
    process = launch(tmp_path, tiny_task, cluster.address, *words)
    _, complaints = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Error: a worker died 3 times at the same work" in complaints
    assert "Traceback" not in complaints


@needs_ray
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("ray://127.0.0.1:10001", "give auto, or HOST:PORT"),
        ("127.0.0.1", "give auto, or HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is_is_refused(tiny_task, tmp_path, address, why):
    with pytest.raises(BadInput, match=rf"--address {address}: no Ray cluster answers there \(.*{why}"):
        api.execute(
            request(tiny_task),
            api.RunOptions(store=tmp_path / "store", device="cpu", workers=1, engine="ray", address=address),
        )
    assert not (tmp_path / "store").exists()


@needs_ray
@quiet
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_thousand_steps_cost_little_more_than_they_take(network, tmp_path, capsys):
    """Steps of some milliseconds each on one worker: wall time less the time in them, for each."""
    from lthbench.engines.ray import connected

    steps = [Init(network, seed) for seed in range(5000)]
    store = LocalStore(tmp_path / "store")
    store.open()
    with connected(None, 1, "cpu") as cluster:
        cluster.run(steps[:1], store, ())  # starts the worker
        began = time.perf_counter()
        assert cluster.run(steps[1:], store, ()) == {}
        wall = time.perf_counter() - began
    spent = sum(e["seconds"] for e in store.events()[1:])
    overhead = 1000 * (wall - spent) / (len(steps) - 1)
    assert all(store.has(step) for step in steps)
    assert overhead < 20.0
    with capsys.disabled():
        print(
            f"\n{len(steps)} steps: {wall:.0f} s, of which {spent:.0f} s in them; overhead {overhead:.1f} ms"
        )
