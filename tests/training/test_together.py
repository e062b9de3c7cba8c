"""Networks trained as one are what each is alone; engines form stacks, and lose nothing of a run."""

import contextlib
import dataclasses
import importlib.util
import io
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lthbench import api, masks
from lthbench.cli import main
from lthbench.compute import cuda_graphs
from lthbench.data import loading
from lthbench.engines.local import Local
from lthbench.engines.queue import Queue
from lthbench.errors import BadInput, StepFailed
from lthbench.execution import predict as verb
from lthbench.execution.runner import Runner
from lthbench.inference.predict import fast, ready
from lthbench.kinds import Architecture, Images
from lthbench.planning import request
from lthbench.planning.jobs import alike, group
from lthbench.planning.plan import plan
from lthbench.registry import get
from lthbench.spec import Predict, Prune, Rewind, Rewire, Train
from lthbench.store import LocalStore
from lthbench.training import batches, loop, optimization, packing

RIGL = Rewire(0.3, 0.0, 4, 0.75)


@pytest.fixture(scope="module")
def images():
    """Some digits: 10 batches of 32 and one of 8."""
    return loading.subset(loading.load("digits", "train", ()), 328)


@pytest.fixture
def members(network):
    """Makes three members: a dense one, one with a mask, and one that rewires; each drawn anew."""

    def made(after_epoch=None):
        found = []
        for seed, density, rewire in ((0, 1.0, None), (1, 0.3, None), (2, 0.2, RIGL)):
            torch.manual_seed(seed)
            model = get(Architecture, "resnet8").build(network)
            draw = torch.Generator().manual_seed(seed)
            scores = {n: torch.rand(w.shape, generator=draw) for n, w in masks.prunable(model).items()}
            mask = masks.top(scores, density) if density < 1 else None
            found.append(loop.Member(model, seed, mask, rewire, after_epoch))
        return found

    return made


def alone(members, images, recipe, **how):
    return [loop.train(m.model, images, recipe, m.seed, m.mask, rewire=m.rewire, **how) for m in members]


def same_bits(one, other):
    states = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in states)


def one_of(made, place):
    """One member of those that are made."""
    return made()[place]


def as_it_is(work):
    """A capture that captures nothing."""
    return work


# --------------------------------------------------------------------------------------------- what is fed


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"flip": True, "crop_padding": 2},
        {"resized_crop": 0.5},
        {"small_sizes": (5,), "small_until": (1.0,), "flip": True, "alternate_flips": True},
    ],
)
def test_the_batches_are_to_the_bit_those_of_trainings_alone(images, recipe, change):
    recipe = dataclasses.replace(recipe, **change)
    pixels, labels = batches.padded(images, recipe.crop_padding, torch.device("cpu"))
    fed = batches.Feed(images, recipe, (0, 7), torch.device("cpu"))
    apart = [list(batches.epoch_of(pixels, labels, recipe, seed, 1)) for seed in (0, 7)]
    count = 0
    for step, (batch, target) in enumerate(fed.epoch(1)):
        for i in range(2):
            assert torch.equal(batch[i], apart[i][step][0])
            assert batch[i].stride() == apart[i][step][0].stride()
            assert torch.equal(target[i], apart[i][step][1])
        count += 1
    assert count == fed.steps == len(apart[0])


# ------------------------------------------------------------------------------- equal to training alone


@pytest.mark.parametrize(
    ("capture", "change"),
    [(None, {}), (as_it_is, {}), (as_it_is, {"optimizer": "muon", "matrix_lr": 0.05, "matrix_decay": 0.1})],
)
def test_in_turns_each_member_is_to_the_bit_what_it_is_alone(members, images, recipe, capture, change):
    """With a capture the step goes through the buffers that a CUDA graph would read and write."""
    recipe = dataclasses.replace(recipe, **change)
    one, other = members(), members()
    expected = alone(one, images, recipe)
    found = loop.train_together(other, images, recipe, way="turns", capture=capture)
    for a, b, trained, result in zip(one, other, expected, found, strict=True):
        assert same_bits(a.model, b.model)
        assert result.losses == trained.losses
        assert all(torch.equal(trained.momentum[n], result.momentum[n]) for n in trained.momentum)
        assert (result.mask is None) == (a.mask is None)
        for name, kept in (trained.mask or {}).items():
            assert torch.equal(result.mask[name], kept)


@pytest.fixture
def batched():
    """All members as one batched model, which is measured and not used."""
    spec = importlib.util.spec_from_file_location(
        "gpu", Path(__file__).parents[1] / "benchmarks" / "rates.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module
    spec.loader.exec_module(module)
    yield module.batched
    del sys.modules["gpu"]


def test_one_batched_model_gives_the_same_but_for_rounding(members, images, recipe, monkeypatch, batched):
    """In double precision, where three epochs of chaos do not hide a mistake behind rounding."""
    draw = batches.Feed.epoch
    monkeypatch.setattr(batches.Feed, "epoch", lambda *given: ((x.double(), y) for x, y in draw(*given)))
    one, other = members(), members()
    for member in (*one, *other):
        member.model.double()
    expected = alone(one, images, recipe)
    found = loop.train_together(other, images, recipe, way=batched, capture=as_it_is)
    for a, b, trained, result in zip(one, other, expected, found, strict=True):
        assert result.losses == pytest.approx(trained.losses, abs=1e-6)  # they are summed in float32
        for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
            assert torch.allclose(x, y, rtol=0, atol=1e-11)
        for name, kept in (trained.mask or {}).items():
            assert torch.equal(result.mask[name], kept)


def test_lanes_share_out_the_members_and_begin_and_end_with_the_rest(members, images, recipe, monkeypatch):
    """Streams are stood in for, so that a CPU does what a GPU would be told to do."""
    log: list[str | tuple[str, str]] = []

    class Stream:
        def __init__(self, device=None):
            self.name = f"lane {len(log)}" if device is not None else "here"
            log.append(f"made {self.name}")

        def wait_stream(self, other):
            log.append((self.name, other.name))

    here = Stream()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: here)
    monkeypatch.setattr(torch.cuda, "stream", lambda lane: contextlib.nullcontext(log.append(lane.name)))
    monkeypatch.setattr(loop, "LANES", 2)
    one, other = members(), members()
    alone(one, images, recipe)
    loop.train_together(other, images, recipe, way="lanes")
    assert all(same_bits(a.model, b.model) for a, b in zip(one, other, strict=True))
    assert log[:9] == [
        *("made here", "made lane 1", "made lane 2"),
        *(("lane 1", "here"), "lane 1", ("lane 2", "here"), "lane 2"),
        *(("here", "lane 1"), ("here", "lane 2")),
    ]


def test_a_part_of_a_training_is_that_part(members, images, recipe):
    one, other = members()[:2], members()[:2]
    alone(one, images, recipe, first_epoch=1, last_epoch=2)
    found = loop.train_together(other, images, recipe, 1, 2)
    assert all(same_bits(a.model, b.model) for a, b in zip(one, other, strict=True))
    assert [len(r.losses) for r in found] == [1, 1]


def test_each_member_is_told_of_its_own_epochs(members, images, recipe):
    told = []
    made = members(lambda epoch, model, so_far: told.append((epoch, id(model))))
    loop.train_together(made, images, recipe, 1)
    assert told == [(epoch, id(m.model)) for epoch in (2, 3) for m in made]


def test_a_member_that_diverges_fails_alone(members, images, recipe):
    told = []
    one, other = members()[:2], members(lambda epoch, model, so_far: told.append(id(model)))
    with torch.no_grad():
        other[2].model.fc.weight.fill_(float("inf"))
    alone(one, images, dataclasses.replace(recipe, epochs=1))
    found = loop.train_together(other, images, recipe, 0, 1)
    assert isinstance(found[2], StepFailed)
    assert "training diverged: the loss is nan in epoch 1" in str(found[2])
    assert told == [id(m.model) for m in other[:2]]
    assert all(np.isfinite(r.losses).all() for r in found[:2])
    expected = alone(members()[:2], images, dataclasses.replace(recipe, epochs=3), last_epoch=1)
    assert [r.losses for r in found[:2]] == [r.losses for r in expected]


def test_a_parameter_without_a_gradient_is_left_as_it_is(images, recipe):
    class Spare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = torch.nn.Linear(64, 10), torch.nn.Linear(64, 10)

        def forward(self, x):
            return self.used(x.flatten(1))

    for capture in (None, as_it_is):
        torch.manual_seed(0)
        made = [loop.Member(Spare(), seed) for seed in (0, 1)]
        before = [m.model.spare.weight.detach().clone() for m in made]
        loop.train_together(made, images, recipe, capture=capture)
        assert all(
            torch.equal(m.model.get_parameter("spare.weight"), b) for m, b in zip(made, before, strict=True)
        )
        weights = [dict(m.model.named_parameters()) for m in made]
        assert not any(torch.equal(w["used.weight"], w["spare.weight"]) for w in weights)


# ------------------------------------------------------------------------------------------------ captures


def test_work_is_captured_once_after_it_has_run_as_it_is():
    log = []
    run = cuda_graphs.Replayed(lambda: log.append("work"), lambda work: lambda: log.append("replay"))
    for _ in range(cuda_graphs.WARM + 2):
        run()
    assert log == ["work"] * cuda_graphs.WARM + ["replay"] * 2


def test_work_that_cannot_be_captured_goes_on_as_it_is():
    def refuse(work):
        raise RuntimeError("operation not permitted\nmore")

    log = []
    run = cuda_graphs.Replayed(lambda: log.append("work"), refuse)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(cuda_graphs.WARM + 3):
            run()
    assert log == ["work"] * (cuda_graphs.WARM + 3)
    assert run.refused == "operation not permitted"
    assert len(said) == 1


def test_a_capture_out_of_memory_is_not_hidden():
    def full(work):
        raise torch.OutOfMemoryError("full")

    run = cuda_graphs.Replayed(lambda: None, full)
    for _ in range(cuda_graphs.WARM):
        run()
    with pytest.raises(torch.OutOfMemoryError):
        run()


def test_a_pass_through_fixed_buffers_gives_the_same_outputs(members):
    model = members()[0].model.eval().to(memory_format=torch.channels_last)
    run = cuda_graphs.Forward(model, as_it_is)
    draw = torch.Generator().manual_seed(0)
    batches = [torch.rand(n, 1, 8, 8, generator=draw) for n in (16, 16, 16, 16, 16, 5)]
    found = [run(b) for b in batches]
    with torch.no_grad():
        assert all(torch.equal(model(b), f) for b, f in zip(batches, found, strict=True))


def test_passes_are_captured_for_each_of_the_first_few_shapes(members):
    model, captured = members()[0].model.eval(), []
    run = cuda_graphs.Forward(model, lambda work: captured.append(work) or work)
    for _ in range(cuda_graphs.WARM + 3):
        for count in range(1, cuda_graphs.SHAPES + 3):
            run(torch.rand(count, 1, 8, 8))
    assert len(captured) == cuda_graphs.SHAPES


def test_lanes_are_joined_after_an_error(monkeypatch):
    waited = []

    class Stream:
        def wait_stream(self, other):
            waited.append((self, other))

    here = Stream()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: here)
    monkeypatch.setattr(torch.cuda, "stream", lambda lane: contextlib.nullcontext())
    lanes = cuda_graphs.Lanes(torch.device("cuda"), 2)

    def full(item):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        lanes(full, 4)
    assert [mine for mine, _ in waited].count(here) == 1  # the second lane did not begin


def test_lanes_that_cannot_be_joined_hide_no_error(monkeypatch):
    """A capture that the work broke refuses to wait for any lane; all are tried."""
    waited: list[object] = []

    class Here:
        def wait_stream(self, other):
            waited.append(other)
            raise RuntimeError("operation failed due to a previous error during capture")

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Here())
    monkeypatch.setattr(torch.cuda, "stream", lambda lane: contextlib.nullcontext())
    lanes = cuda_graphs.Lanes(torch.device("cuda"), 2)

    def breaks(item):
        if item == 1:
            raise ValueError("looked at a value")

    with pytest.raises(ValueError, match="looked at a value"):
        lanes(breaks, 2)
    assert len(waited) == 2
    with pytest.raises(RuntimeError, match="previous error"):  # where there is no other reason
        lanes(lambda item: None, 2)


@pytest.mark.parametrize(
    ("version", "breaks", "released"),
    [
        ("2.13.0+cu130", "work", [(0, (0, 1))]),
        ("2.9.1", "end", [(0, (0, 1))]),
        ("2.13.0", "instantiation", []),  # the graph was captured, and gives the pool back itself
        ("2.13.0", "beginning", []),
        ("2.14.0.dev20260801", "work", []),
    ],
)
def test_the_memory_of_a_broken_capture_is_released_once(monkeypatch, version, breaks, released):
    pools, given = iter([(0, 1), (0, 2)]), []

    class Graph:
        replay, ended = print, False

        def pool(self):
            if not self.ended:
                raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")

    @contextlib.contextmanager
    def graph(made, pool, stream, capture_error_mode):
        if pool == (0, 1) and breaks == "beginning":
            raise RuntimeError("beginning")
        try:
            yield
        finally:
            if pool == (0, 1):
                made.ended = breaks == "instantiation"
                raise RuntimeError("end of a broken capture")

    for name, value in {
        "device": lambda device: contextlib.nullcontext(),
        "graph_pool_handle": lambda: next(pools),
        "Stream": lambda device: "own",
        "CUDAGraph": Graph,
        "current_stream": lambda device: "here",
        "set_stream": lambda stream: None,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *pool: None, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda *pool: given.append(pool), raising=False)

    def work():
        if breaks == "work":
            raise ValueError("looked at a value")

    with pytest.raises((RuntimeError, ValueError)):
        cuda_graphs.graphs(torch.device("cuda:0"))(work)
    assert given == released


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), ValueError("looked at a value")])
def test_a_capture_says_what_the_work_said_and_takes_other_memory_afterwards(monkeypatch, error):
    """The end of a broken capture raises an error of its own."""
    pools, ended, streams = iter([(0, 1), (0, 2)]), [], []

    @contextlib.contextmanager
    def graph(made, pool, stream, capture_error_mode):
        assert stream == "own"
        ended.append(pool)
        try:
            yield
        except Exception:
            raise RuntimeError("capture was broken off") from None

    for name, value in {
        "device": lambda device: contextlib.nullcontext(),
        "graph_pool_handle": lambda: next(pools),
        "Stream": lambda device: "own",
        "CUDAGraph": lambda: type("Graph", (), {"replay": print, "pool": print}),
        "current_stream": lambda device: "here",
        "set_stream": streams.append,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(
        torch._C, "_cuda_endAllocateToPool", lambda *given: ended.append(given), raising=False
    )

    def breaks():
        raise error

    capture = cuda_graphs.graphs(torch.device("cuda:0"))
    with pytest.raises(type(error)) as found:
        capture(breaks)
    assert found.value is error
    assert streams == ["here", "here"]
    assert ended == [(0, 1), (0, (0, 1)), (0, 2)]  # the last one is a capture that ends well
    capture(lambda: None)
    assert ended[3:] == [(0, 2)]


class Writes(torch.nn.Module):
    """A network that changes the images that it is given."""

    def forward(self, x):
        return x.sub_(0.5).flatten(1)


def test_a_network_that_writes_to_its_images_changes_them_for_no_other():
    plain = torch.nn.Flatten()
    passes = cuda_graphs.Passes([Writes(), plain, Writes(), plain], torch.device("cpu"))
    for _ in range(3):
        batch = torch.ones(2, 1, 2, 2)
        found = passes(batch)
        assert torch.equal(batch, torch.ones(2, 1, 2, 2))
        assert found[:, 0, 0].tolist() == [0.5, 1.0, 0.5, 1.0]


# -------------------------------------------------------------------------------------------------- memory


def test_how_many_have_room():
    assert packing.members_in(100, 10, 0, lanes=8) == 10
    assert packing.members_in(100, 0, 10, lanes=8) == 5  # each at work takes twice what was measured
    assert packing.members_in(1000, 10, 10, lanes=8) == 84  # never more than eight at work
    assert packing.members_in(-5, 10, 10, lanes=8) == 1


def test_a_stack_that_runs_out_of_memory_is_halved_and_begins_again(members, images, recipe, monkeypatch):
    sizes, together = [], loop.train_together

    def small(some, *more, **how):
        sizes.append(len(some))
        if len(some) > 1:
            together(some, images, recipe, 0, 1)  # it was on its way
            raise torch.OutOfMemoryError
        return together(some, *more, **how)

    monkeypatch.setattr(packing, "train_together", small)
    expected = members()
    alone(expected, images, recipe)
    make = [partial(one_of, members, i) for i in range(3)]
    found = list(packing.in_stacks(make, images, recipe))
    assert sizes == [3, 1, 1, 1]
    assert all(same_bits(a.model, made.model) for a, (made, _, _) in zip(expected, found, strict=True))


def test_a_network_that_has_no_room_alone_fails_alone(members, images, recipe, monkeypatch):
    tried = []

    def attempt(make, *more):
        some = [one() for one in make]
        tried.append((some[0].seed, len(some), more[-1]))
        full = any(m.seed == 1 for m in some)
        trained = [optimization.Trained([0.0], {}) for _ in some]
        return ([], [], "no engine") if full else (some, trained, "")

    monkeypatch.setattr(packing, "_attempt", attempt)
    make = [partial(one_of, members, i) for i in range(3)]
    found = [result for _, result, _ in packing.in_stacks(make, images, recipe)]
    assert str(found[1]) == "no engine"
    assert [isinstance(r, StepFailed) for r in found] == [False, True, False]
    assert tried == [(0, 3, True), (0, 1, True), (1, 1, True), (1, 1, False), (2, 1, False)]


# ------------------------------------------------------------------------------------------------- engines


@pytest.fixture(scope="module")
def made(tiny_task):
    """Three methods, two densities and two seeds."""
    return plan(
        request.ask(tiny_task, ["imp", "omp", "snip"], rounds=[1, 2], seeds=2, metrics=["accuracy"]), ()
    )


def results(store, steps):
    """The files of all steps but what is measured of time."""
    return {
        s.key: {name: store.read(s, name) for name in store.files(s) if name != "meta.json"} for s in steps
    }


@pytest.fixture(scope="module")
def one_by_one(made, tmp_path_factory):
    """A store in which each network was trained alone."""
    store = LocalStore(tmp_path_factory.mktemp("alone"))
    store.open()
    assert Local(0, stack=1).run(made.steps, store, ()) == {}
    return store


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_run_in_stacks_gives_the_same_bytes(made, one_by_one, tmp_path, workers):
    store = LocalStore(tmp_path)
    store.open()
    told, done = [], []
    engine = Local(workers, stack=3)
    steps = [s for s in made.steps if not isinstance(s, Rewind)] if workers else made.steps

    def stepped(step, share):
        if share == 1.0:  # a slow worker tells of the shares before it, too
            told.append(step)

    failed = engine.run(made.steps, store, (), lambda job, why: done.append(job.name), stepped=stepped)
    assert failed == {}
    assert results(store, made.steps) == results(one_by_one, made.steps)
    assert sorted(s.key for s in told) == sorted(s.key for s in steps)
    assert sorted(done) == sorted(group(made.steps))
    events = [e for e in store.events() if e["step"] == "Train"]
    assert len({e["key"] for e in events}) == len(events)
    assert max(e.get("stack", 1) for e in events) == 3
    assert list(store.leases().folder.iterdir()) == []
    assert all("stack" not in e for e in one_by_one.events())


def test_on_a_processor_no_stack_is_formed_unless_asked_for():
    assert Local(2).together == 1
    assert Local(1, "cuda:1").together > 8
    assert Local(1, "cuda", 1).together == 1
    assert Local(2, "cpu", 5).together == 5


def test_only_what_is_alike_and_ready_is_taken_together(made):
    jobs = group(made.steps)
    queue, taken, finished = Queue(jobs), [], set()
    while (job := queue.next()) is not None:
        more = queue.like(job, 2, lambda other: False)
        assert all(alike(job, other) for other in more)
        assert len(more) <= 2
        taken.append(1 + len(more))
        for one in (job, *more):
            assert one.needs <= finished
        for one in (job, *more):
            queue.finish(one)
            finished.add(one.name)
    assert sum(taken) == len(jobs)
    assert max(taken) == 3


def test_what_another_driver_does_is_not_taken(made):
    queue = Queue(group(made.steps))
    job = queue.next()
    while job is not None and job.training is None:
        queue.finish(job)
        job = queue.next()
    assert job is not None
    assert queue.like(job, 5, lambda other: True) == []
    assert queue.like(job, 0, lambda other: False) == []


def test_a_training_that_diverges_in_a_stack_fails_alone_in_the_log(made, tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.open()
    together, broken = loop.train_together, []

    def breaks(members, *more, **how):
        if len(members) > 1:
            broken.append(members[-1].seed)
            with torch.no_grad():
                members[-1].model.fc.weight.fill_(float("nan"))
        return together(members, *more, **how)

    monkeypatch.setattr(packing, "train_together", breaks)
    dense = [e.dense for e in made.entries if e.method == "dense"]
    runner = Runner(store, (), stack=8)
    runner.do([d.start for d in dense])
    rewinds = [s for s in made.steps if isinstance(s, Rewind) and s.train in dense]
    failed = runner.do([*dense, *rewinds])
    assert broken == [dense[-1].seed]
    assert set(failed) == {dense[-1].key} | {r.key for r in rewinds if r.train == dense[-1]}
    assert all("training diverged" in why for why in failed.values())
    assert all(store.has(s) for s in (*dense[:-1], *(r for r in rewinds if r.train != dense[-1])))
    events = {e["key"]: e for e in store.events() if e["step"] == "Train"}
    assert [events[d.key]["status"] for d in dense] == ["ok"] * (len(dense) - 1) + ["failed"]
    assert {e["stack"] for e in events.values()} == {len(dense)}


def test_a_runner_takes_only_trainings_whose_needs_are_stored(made, one_by_one, tmp_path):
    """Given a whole plan in order, it does what it would do one by one."""
    store = LocalStore(tmp_path)
    store.open()
    assert Runner(store, (), stack=4).do(made.steps) == {}
    assert results(store, made.steps) == results(one_by_one, made.steps)


def sizes_of(made, most) -> list[int]:
    """How many trainings are done as one, each time, by one worker that takes up to so many."""
    queue, sizes = Queue(group(made.steps)), []
    while (job := queue.next()) is not None:
        more = queue.like(job, most - 1, lambda other: False) if job.training is not None else []
        if job.training is not None:
            sizes.append(1 + len(more))
        for one in (job, *more):
            queue.finish(one)
    return sizes


@pytest.mark.parametrize("methods", [["omp"], ["imp"], ["snip"], ["imp", "omp", "random", "rigl"]])
def test_trainings_that_can_be_done_together_are(tiny_task, methods):
    """All seeds of the dense networks, of each round of imp, and of what is pruned at one time."""
    made = plan(request.ask(tiny_task, methods, rounds=[1, 2], seeds=4, metrics=["accuracy"]), ())
    trainings = sum(isinstance(s, Train) for s in made.steps)
    sizes = sizes_of(made, 32)
    assert sum(sizes) == trainings
    assert min(sizes) >= 4
    assert len(sizes) <= 3


def test_networks_on_the_same_images_are_scored_together_and_give_the_same_bytes(tiny_task, tmp_path):
    made = plan(
        request.ask(tiny_task, ["omp", "snip"], rounds=[1, 2], seeds=1, metrics=["accuracy", "fgsm"]), ()
    )
    one_by_one, store = LocalStore(tmp_path / "alone"), LocalStore(tmp_path / "together")
    for place, size in ((one_by_one, 1), (store, 4)):
        place.open()
        assert Local(0, stack=size).run(made.steps, place, ()) == {}
    passes = [e for e in store.events() if e["step"] == "Predict"]
    steps = {s.key: s for s in made.steps if isinstance(s, Predict)}
    sizes = {view: set() for view in ("clean", "fgsm")}
    for event in passes:
        sizes[steps[event["key"]].inputs.view].add(event.get("stack", 1))
    assert max(sizes["clean"]) == 4
    assert sizes["fgsm"] == {1}
    assert all(store.meta(steps[e["key"]]).get("stack", 1) == e.get("stack", 1) for e in passes)
    assert results(store, made.steps) == results(one_by_one, made.steps)


@pytest.mark.parametrize("room", [1, 2])
def test_networks_for_which_there_is_no_room_pass_in_halves(tiny_task, tmp_path, monkeypatch, room):
    made = plan(request.ask(tiny_task, ["omp", "snip"], rounds=[1, 2], seeds=1, metrics=["accuracy"]), ())
    store, logits, sizes = LocalStore(tmp_path), verb._logits, []
    store.open()

    def small(steps, space):
        sizes.append(len(steps))
        if len(steps) > room:
            raise torch.OutOfMemoryError("full")
        return logits(steps, space)

    monkeypatch.setattr(verb, "_logits", small)
    assert Local(0, stack=4).run(made.steps, store, ()) == {}
    assert max(sizes) == 4
    assert all(store.intact(s) for s in made.steps if isinstance(s, Predict))
    assert {store.meta(s).get("stack", 1) for s in made.steps if isinstance(s, Predict)} <= {1, room}


def test_a_network_for_which_there_is_no_room_fails_with_the_reason(tiny_task, tmp_path, monkeypatch):
    made = plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"]), ())
    store = LocalStore(tmp_path)
    store.open()

    def none(steps, space):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(verb, "_logits", none)
    failed = Local(0, stack=4).run(made.steps, store, ())
    assert {failed.get(s.key) for s in made.steps if isinstance(s, Predict)} == {
        "the device ran out of memory"
    }


def test_networks_that_draw_at_random_are_trained_one_by_one(members, images, recipe, monkeypatch):
    """Each with the seed of its own training, and done with before the next begins."""

    def noisy():
        made = members()
        for member in made:
            member.model.fc = torch.nn.Sequential(torch.nn.Dropout(0.5), member.model.fc)
        return made

    expected = noisy()
    alone(expected, images, recipe)
    sizes, together = [], loop.train_together

    def counted(some, *more, **how):
        sizes.append(len(some))
        return together(some, *more, **how)

    monkeypatch.setattr(packing, "train_together", counted)
    for i, (made, result, _) in enumerate(
        packing.in_stacks([partial(one_of, noisy, i) for i in range(3)], images, recipe)
    ):
        assert isinstance(result, optimization.Trained)
        assert same_bits(expected[i].model, made.model)
    assert sizes == [1, 1, 1]


def test_networks_whose_common_images_are_gone_fail_each_with_the_reason(made, tmp_path, monkeypatch):
    """What no network of several can see fails all of them, and nothing else."""
    store, logits = LocalStore(tmp_path), verb._logits
    store.open()

    def gone(steps, space):
        if steps[0].inputs.split == "test":
            raise StepFailed("the images are gone")
        return logits(steps, space)

    monkeypatch.setattr(verb, "_logits", gone)
    failed = Local(0, stack=4).run(made.steps, store, ())
    lost = [s for s in made.steps if isinstance(s, Predict) and s.inputs.split == "test"]
    assert lost
    assert {failed.get(s.key) for s in lost} == {"the images are gone"}
    assert all(store.has(s) for s in made.steps if isinstance(s, Train | Prune))


def test_images_that_are_streamed_are_not_stacked(members, recipe, monkeypatch, tmp_path):
    from lthbench.data.streaming import Stream

    sizes = []
    monkeypatch.setattr(packing, "_attempt", lambda some, *more: sizes.append(len(some)) or ([1], [1], ""))
    images = Images(Stream([tmp_path / "a.png"], 8), np.zeros(1, dtype=np.int64))
    list(packing.in_stacks([partial(one_of, members, i) for i in range(3)], images, recipe))
    assert sizes == [1, 1, 1]


# -------------------------------------------------------------------------------------------- command line


def call(*words):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(w) for w in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def test_a_plan_says_how_many_are_trained_as_one(tiny_task, tmp_path):
    words = ("plan", "--task", tiny_task, "--store", tmp_path / "store", "--device", "cpu")
    assert "trained as one" not in call(*words)[1]
    code, out, _ = call(*words, "--stack", 4)
    assert code == 0
    assert "up to 4 networks trained as one" in out
    assert out.rstrip().endswith("--stack 4")


def test_a_stack_that_cannot_be_is_refused_and_nothing_is_written(tiny_task, tmp_path):
    words = ("run", "--task", tiny_task, "--store", tmp_path / "store", "--report", tmp_path / "report")
    code, _, err = call(*words, "--stack", -1)
    assert (code, "--stack" in err) == (2, True)
    with pytest.raises(BadInput, match="stack: must not be negative"):
        api.run(tiny_task, store=tmp_path / "store", stack=-1)
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- GPU


@pytest.mark.gpu
@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("way", ["turns", "lanes"])
def test_on_a_gpu_each_way_trains_as_alone(members, images, recipe, way, replayed, monkeypatch):
    """Curves near those of training alone on the same device at a low rate; masks to the bit.

    Rewiring picks weights by rank, which rounding may turn, so it is let go further.
    """
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    calm = dataclasses.replace(recipe, lr=0.01, epochs=6)
    one, other = members(), members()
    for member in (*one, *other):
        member.model.cuda()
    expected = alone(one, images, calm)
    found = loop.train_together(other, images, calm, way=way, replayed=replayed)
    for member, trained, result in zip(other, expected, found, strict=True):
        assert result.losses == pytest.approx(trained.losses, rel=0.2 if member.rewire else 0.02)
        for name, keep in (result.mask or {}).items():
            weight = dict(member.model.named_parameters())[name].detach().cpu()
            assert not weight[~keep].any()
            assert not result.momentum[name].cpu()[~keep].any()
            assert int(keep.sum()) == int(member.mask[name].sum())


@pytest.mark.gpu
def test_on_a_gpu_steps_are_captured(members, images, recipe):
    made = members()[:2]
    for member in made:
        member.model.cuda()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no CUDA graph")
        loop.train_together(made, images, dataclasses.replace(recipe, epochs=6))


@pytest.mark.gpu
def test_on_a_gpu_room_is_measured_and_no_more_is_taken(members, images, recipe):
    def make():
        member = members()[0]
        member.model.cuda()
        return member

    count = packing.fits(make(), images, recipe)
    assert count > 32
    torch.cuda.reset_peak_memory_stats()
    list(packing.in_stacks([make] * 16, images, recipe, 0, 1))
    total = torch.cuda.get_device_properties(0).total_memory
    assert torch.cuda.max_memory_reserved() < packing.SHARE * total


@pytest.mark.gpu
def test_on_a_gpu_a_pass_replayed_is_the_pass(members):
    model = members()[0].model.cuda().eval().to(memory_format=torch.channels_last)
    run = cuda_graphs.Forward(model, cuda_graphs.graphs(torch.device("cuda")))
    batches = [torch.rand(250, 1, 8, 8, device="cuda") for _ in range(6)]
    found = [run(b) for b in batches]
    with torch.no_grad():
        assert all(torch.allclose(model(b), f, atol=1e-6) for b, f in zip(batches, found, strict=True))


@pytest.mark.gpu
def test_on_a_gpu_a_run_in_stacks_ends_well(made, tmp_path):
    store = LocalStore(tmp_path)
    store.open()
    assert Local(0, "cuda", 8).run(made.steps, store, ()) == {}
    events = [e for e in store.events() if e["step"] == "Train"]
    assert max(e.get("stack", 1) for e in events) > 1
    assert all(e["memory"] > 0 for e in events)
    assert all(store.intact(s) for s in made.steps if isinstance(s, Train | Prune))


@pytest.mark.gpu
def test_on_a_gpu_networks_that_pass_together_are_what_each_is_alone(members):
    device = torch.device("cuda")
    models = [ready(m.model, device) for m in members()]
    run = fast(models)
    for _ in range(cuda_graphs.WARM + 3):
        batch = torch.rand(250, 1, 8, 8, device="cuda")
        found = run(batch)
        with torch.no_grad():
            for one, model in zip(found, models, strict=True):
                torch.testing.assert_close(one, model(batch), rtol=0.01, atol=0.01)  # convolutions in TF32
