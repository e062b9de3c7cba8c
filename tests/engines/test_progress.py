"""What a run says while it works, and how soon it stops when it is told to."""

import re
import threading
import time

import pytest

from lthbench.engines import progress
from lthbench.engines.failures import logged, told
from lthbench.engines.local import Local
from lthbench.engines.progress import Course, Lines
from lthbench.errors import Unwritable
from lthbench.execution.runner import Runner
from lthbench.planning import plan, request
from lthbench.planning.jobs import group
from lthbench.spec import Measure, Predict, Rewind, Train
from lthbench.store import LocalStore


@pytest.fixture
def made(tiny_task):
    return plan.plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "mce"]), ())


@pytest.fixture
def store(tmp_path):
    found = LocalStore(tmp_path / "store")
    found.open()
    return found


def course(made):
    return Course(made.steps, made.labels(), {}, "cpu", 1)


def test_a_step_counts_once_whether_told_alone_or_with_its_job(made):
    counted = course(made)
    for job in group(made.steps).values():
        for step in job.steps[:2]:
            counted.step(step)
        counted.advance(job)
        counted.advance(job)
    assert counted.share() == pytest.approx(100.0)


def test_a_long_job_is_heard_of_on_the_way(made, capsys):
    lines = Lines(course(made), patience=0.0)
    scored = [s for s in made.steps if isinstance(s, Predict | Measure)]
    for step in scored:
        lines.stepped(step, 1.0)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(scored)
    assert re.fullmatch(r"\d\d:\d\d:\d\d +\d+ %  score dense seed 0 \(.+\) · .* left", said[0])
    assert any("(accuracy)" in line for line in said)
    assert [float(line.split()[1]) for line in said] == sorted(float(line.split()[1]) for line in said)


def test_a_short_job_says_no_more_than_its_end(made, capsys):
    lines = Lines(course(made))
    for step in made.steps:
        lines.stepped(step, 1.0)
    assert capsys.readouterr().err == ""


def test_a_step_that_takes_long_is_heard_of_while_it_goes_on(made, monkeypatch, capsys):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = Lines(course(made), patience=60.0)
    now += 59.0
    lines.tick()
    assert capsys.readouterr().err == ""
    now += 61.0
    lines.tick()
    lines.tick()  # said a moment ago
    assert re.fullmatch(r"\d\d:\d\d:\d\d +0 %  at work for 2 min · .* left\n", capsys.readouterr().err)


def test_what_ended_last_is_said_while_the_next_goes_on(made, monkeypatch, capsys):
    now, dense = 1000.0, next(s for s in made.steps if isinstance(s, Train))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = Lines(course(made), patience=60.0)
    now += 50.0
    lines.stepped(dense, 1 / dense.epochs)
    assert capsys.readouterr().err == ""
    now += 40.0
    lines.tick()
    said = capsys.readouterr().err
    assert f" train dense seed 0 (epoch 1 of {dense.recipe.epochs}), 40 s ago · " in said


@pytest.mark.parametrize("workers", [1, 4])
def test_the_time_left_follows_the_pace_of_a_long_training_after_few_epochs(made, monkeypatch, workers):
    now, dense = 1000.0, next(s for s in made.steps if isinstance(s, Train))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    planned = 100_000.0  # seconds for the whole training, of which it takes a third
    monkeypatch.setattr(progress, "seconds", lambda step, rates, device: planned * (step is dense))
    counted, told = Course(made.steps, made.labels(), {}, "cpu", workers), []
    monkeypatch.setattr(progress, "duration", lambda seconds: told.append(seconds) or "")
    counted.left()
    assert told == [pytest.approx(planned / workers)]
    now += 1e6  # whatever time has passed, with nothing ended there is no pace
    counted.left()
    assert told[1] == told[0]
    counted.started = now
    for epoch in range(1, 5):
        now += 0.01 * planned / 3 / workers
        counted.step(dense, 0.01 * epoch)
        counted.left()
    assert told[-1] == pytest.approx(0.96 * planned / 3 / workers, rel=0.05)


def test_the_thread_that_tells_so_ends_with_the_run(made, capsys):
    before = threading.active_count()
    heard = []
    with progress._ticking(lambda: heard.append(1), every=0.01):
        assert threading.active_count() == before + 1
        while len(heard) < 3:
            time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_every_step_is_told_once(made, store, workers):
    told = []
    assert Local(workers).run(made.steps, store, (), stepped=lambda s, share: told.append(s.key)) == {}
    taken_on_the_way = {s.key for s in made.steps if isinstance(s, Rewind)} if workers else set()
    assert sorted(told) == sorted({s.key for s in made.steps} - taken_on_the_way)


def test_a_runner_that_is_told_to_stop_ends_after_the_step_in_progress(made, store):
    steps, done = [s for s in made.steps if not isinstance(s, Rewind)], []
    failed = Runner(store, ()).do(
        steps, stopped=lambda: len(done) == 3, stepped=lambda s, share: done.append(s)
    )
    assert failed == {}
    assert [store.has(s) for s in steps] == [True] * 3 + [False] * (len(steps) - 3)


def test_the_event_log_is_read_on_from_a_place_in_whole_lines(store):
    store.log({"key": "a"})
    events, place = store.events_after(0)
    assert [e["key"] for e in events] == ["a"]
    with (store.root / "events.jsonl").open("a") as file:
        file.write('{"key": "b"}\n{"key": ')
    events, place = store.events_after(place)
    assert [e["key"] for e in events] == ["b"]
    with (store.root / "events.jsonl").open("a") as file:
        file.write('"c"}\nbroken\n')
    assert [e["key"] for e in store.events_after(place)[0]] == ["c"]
    assert store.events_after(10**9) == ([], 10**9)


def test_a_job_for_which_the_disk_has_no_room_is_not_begun(made, store, monkeypatch):
    job = [s for s in made.steps if not s.needs()][:1]
    monkeypatch.setattr("lthbench.execution.runner.free_bytes", lambda folder: 1000)
    with pytest.raises(Unwritable, match=r"the disk is full .* make room \(lthbench store prune\)"):
        Runner(store, ()).do(job)
    assert not store.has(job[0])
    assert store.events() == []
    monkeypatch.undo()
    Runner(store, ()).do(job)
    monkeypatch.setattr("lthbench.execution.runner.free_bytes", lambda folder: 1000)
    assert Runner(store, ()).do(job) == {}  # what is stored needs no room


def test_a_failure_is_told_once_with_the_metrics_that_failed_for_it(made, capsys):
    measures = [s for s in made.steps if isinstance(s, Measure)][:2]
    train = next(s for s in made.steps if isinstance(s, Train))
    (job,) = (j for j in group(made.steps).values() if measures[0] in j.steps)
    first, second = (m.metric for m in measures)
    lines = Lines(course(made))
    lines.done(job, {measures[0].key: "4 images are too few"})
    lines.done(job, {m.key: "4 images are too few" for m in measures})
    lines.done(job, {train.key: "it diverged", measures[0].key: "it diverged"})
    lines.done(job, {measures[0].key: "it diverged"})  # of a job that needs the training
    lines.done(job, {measures[0].key: f"metric {first} yields none"})
    said = [line.strip() for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert said == [
        f"failed: metric {first}: 4 images are too few",
        f"failed: metrics {first}, {second}: 4 images are too few",
        "failed: it diverged",
        "failed: it diverged",
        f"failed: metric {first} yields none",
    ]
    many = {str(k): "no" for k in range(5)}
    assert told(many, many | {"0": "one", "1": "two", "2": "three", "3": "four", "4": "five"}) == [
        "5 metrics: no"
    ]
    (long,) = told({"0": "RuntimeError: no kernel" + 70 * " registered"}, {})
    assert long.startswith("RuntimeError: no kernel registered registered ")
    assert long.endswith(" ...")
    assert len(long) <= 304


def test_the_log_tells_why_steps_failed_that_are_still_to_do_and_what_needs_them_fails_too(made):
    train = next(s for s in made.steps if isinstance(s, Train))
    measure = next(s for s in made.steps if isinstance(s, Measure) and s.subject == train)
    todo = [s for s in made.steps if s == train or train in s.needs() or measure in (s, *s.needs())]

    def event(status, **more):
        return {"key": train.key, "status": status, **more}

    failed = event("failed", reason="it diverged")
    assert logged(todo, []) == logged(todo, [{"status": "failed"}, failed, event("ok")]) == {}
    found = logged(todo, [event("ok"), failed])
    assert found[train.key] == found[measure.key] == "it diverged"
    assert logged([measure], [failed]) == {}, "what it needs is stored"
    for odd, said in ((None, "no reason was given"), ("", "no reason was given"), ("=1+1", "reason: =1+1")):
        more = {} if odd is None else {"reason": odd}
        assert logged([train], [event("failed", **more)]) == {train.key: said}


def test_what_a_run_tries_again_has_not_failed_nor_has_what_needs_it(made):
    train = next(s for s in made.steps if isinstance(s, Train))
    scored = next(s for s in made.steps if isinstance(s, Measure) and s.subject == train)
    todo = [s for s in made.steps if s == train or train in s.needs() or scored in (s, *s.needs())]
    events = [{"key": key, "status": "failed", "reason": "no room"} for key in (train.key, scored.key)]
    assert logged(todo, events, [train.key, "run 1"]) == {}
    assert logged(todo, events, ["another training"]) == logged(todo, events) != {}
    beside = logged(todo, events, [f"score {train.key}"])
    assert train.key in beside
    assert scored.key not in beside
