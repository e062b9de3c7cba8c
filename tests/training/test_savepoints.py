"""A long training that is stopped, or killed, goes on where it was last kept, and ends with the same bits."""

import dataclasses

import pytest
import torch

from lthbench import masks
from lthbench.cli import main
from lthbench.data import loading
from lthbench.engines.progress import Course, Lines
from lthbench.engines.queue import Watched
from lthbench.errors import Damaged, Unwritable
from lthbench.execution.runner import Runner
from lthbench.kinds import Architecture
from lthbench.planning.estimate import START_SECONDS, estimate
from lthbench.registry import get
from lthbench.spec import Data, Prune, Rewind, Rewire, Train
from lthbench.store import LocalStore, RemoteStore
from lthbench.training import loop, savepoints
from lthbench.training.optimization import Paused, Trained

RIGL = Rewire(0.3, 0.0, 4, 0.75)
ADAMW = {"optimizer": "adamw", "nesterov": False, "lr": 0.003, "weight_decay": 0.05}
MUON = {"optimizer": "muon", "matrix_lr": 0.05, "matrix_momentum": 0.9}


@pytest.fixture(scope="module")
def images():
    """Some digits: 5 batches of 32 and one of 8."""
    return loading.subset(loading.load("digits", "train", ()), 168)


def drawn(network, seed, density):
    """A network and a mask, from a seed."""
    torch.manual_seed(seed)
    model = get(Architecture, "resnet8").build(network)
    draw = torch.Generator().manual_seed(seed)
    scores = {n: torch.rand(w.shape, generator=draw) for n, w in masks.prunable(model).items()}
    return model, masks.top(scores, density) if density < 1 else None


def equal(one, other):
    """Whether two trainings left the same bits: of a zero, too, the sign counts."""

    def bits(named):
        return {name: tensor.detach().numpy().tobytes() for name, tensor in (named or {}).items()}

    beside = ("momentum", "squares", "steps", "mask")
    left = [
        (t.losses, bits(model.state_dict()), *(bits(getattr(t, part)) for part in beside))
        for model, t in (one, other)
    ]
    return left[0] == left[1]


# --------------------------------------------------------------------------------------------- the loop


@pytest.mark.parametrize(
    ("density", "rewire", "change"),
    [
        (1.0, None, {}),
        (0.3, None, {}),
        (0.2, RIGL, {}),
        (1.0, None, {"precision": "bfloat16"}),
        (0.3, None, {"precision": "bfloat16"}),
        (0.2, RIGL, ADAMW),
        (0.2, RIGL, MUON),
    ],
)
def test_a_training_left_after_each_epoch_ends_with_the_same_bits(
    network, recipe, images, density, rewire, change
):
    recipe = dataclasses.replace(recipe, epochs=4, **change)
    model, mask = drawn(network, 3, density)
    whole = model, loop.train(model, images, recipe, 3, mask, rewire=rewire)
    model, mask = drawn(network, 3, density)
    kept, point, times = None, None, 0

    def keep(epoch, model, so_far):
        nonlocal kept
        kept = savepoints.packed("key", model, so_far(), 10.0 * epoch)

    while True:
        so_far = point.so_far if point else None
        try:
            how = {"rewire": rewire, "after_epoch": keep, "so_far": so_far}
            trained = loop.train(model, images, recipe, 3, mask, **how, pauses=lambda epoch: epoch < 4)
            break
        except Paused:
            point = savepoints.unpacked("key", kept)
            times += 1
            assert (len(point.so_far.losses), point.seconds) == (times, 10.0 * times)
            model, _ = drawn(network, 99, 1.0)
            savepoints.resume(point, model)
    assert times == 3
    assert equal((model, trained), whole)


def test_without_what_it_had_left_a_training_ends_elsewhere(network, recipe, images):
    """The weights alone are not enough: what the test above finds is there to be found."""
    model, _ = drawn(network, 3, 1.0)
    whole = model, loop.train(model, images, recipe, 3)
    model, _ = drawn(network, 3, 1.0)
    left = loop.train(model, images, recipe, 3, last_epoch=2)
    trained = loop.train(model, images, recipe, 3, so_far=Trained(left.losses, {}, None))
    assert len(trained.losses) == 3
    assert not equal((model, trained), whole)


def test_networks_trained_as_one_are_left_and_go_on_as_one(network, recipe, images):
    def members(points=(None, None, None)):
        made = []
        for (seed, density, rewire), point in zip(
            ((0, 1.0, None), (1, 0.3, None), (2, 0.2, RIGL)), points, strict=True
        ):
            model, mask = drawn(network, seed, density)
            if point:
                savepoints.resume(point, model)
            so_far = point.so_far if point else None

            def keep(epoch, model, so_far, seed=seed):
                kept[seed] = savepoints.packed(f"{seed}", model, so_far(), 1.0)

            made.append(loop.Member(model, seed, mask, rewire, keep, so_far))
        return made

    kept = {}
    whole = members()
    expected = loop.train_together(whole, images, recipe)
    first = members()
    with pytest.raises(Paused):
        loop.train_together(first, images, recipe, pauses=lambda epoch: epoch == 2)
    points = [savepoints.unpacked(f"{seed}", kept[seed]) for seed in range(3)]
    second = members(points)
    found = loop.train_together(second, images, recipe)
    for a, b, one, other in zip(whole, second, expected, found, strict=True):
        assert equal((b.model, other), (a.model, one))
    with pytest.raises(ValueError, match=r"done \[0, 2\] epochs"):
        loop.train_together(members((points[0], None, None)), images, recipe)


# ------------------------------------------------------------------------------------------- the runner


@pytest.fixture
def steps(recipe, init):
    """A dense training of five epochs with two rewind points, a pruned one, and one that rewires."""
    recipe = dataclasses.replace(recipe, epochs=5, images=96)
    digits = Data("digits", 1, loading.digest(loading.find("digits", ())))
    dense = Train(init, recipe, digits, 0)
    early, late = Rewind(dense, 1), Rewind(dense, 4)
    mask = Prune(dense, "magnitude", "1", 0.3, 0)
    ticket = Train(early, recipe, digits, 0, mask)
    rigl = Train(early, recipe, digits, 0, mask, rewire=RIGL)
    return [init, dense, early, late, mask, ticket, rigl]


@pytest.fixture
def store(tmp_path):
    found = LocalStore(tmp_path / "store")
    found.open()
    return found


@pytest.fixture
def expected(tmp_path, steps):
    found = LocalStore(tmp_path / "expected")
    found.open()
    assert Runner(found, ()).do(steps) == {}
    assert found.saved() == {}
    return contents(found, steps)


def contents(store, steps):
    """The files of all steps but what is measured of time."""
    return {
        s.key: {name: store.read(s, name) for name in store.files(s) if name != "meta.json"} for s in steps
    }


def stopping_after(*epochs):
    """Says stop when it is asked for the so-manieth time, each time once."""
    asked = 0

    def stopped():
        nonlocal asked
        asked += 1
        return asked in epochs

    return stopped


@pytest.mark.parametrize("size", [1, 3])
def test_a_run_stopped_within_trainings_goes_on_to_the_same_bytes(store, steps, expected, size):
    _, dense, _, late, _, ticket, rigl = steps
    told = []
    # Asked before init and dense, then after each epoch: the fifth time is after the third.
    runner = Runner(store, (), stack=size)
    failed = runner.do(
        steps, stopped=stopping_after(5), stepped=lambda step, share: told.append((step, share))
    )
    assert failed == {}
    assert [step for step, _ in told] == steps[:1]
    assert not store.has(dense)
    assert not store.has(late)
    assert list(store.saved()) == [dense.key]
    assert len(savepoints.of(dense, store).so_far.losses) == 3
    assert [e["step"] for e in store.events()] == ["Init"]
    # Now the tickets are left: asked before each step, and after two of four epochs.
    assert runner.do(steps, stopped=lambda: store.has(steps[4])) == {}
    assert store.meta(dense)["resumed_after"] == 3
    assert store.saved() == {}
    assert runner.do(steps, stopped=stopping_after(8)) == {}
    assert sorted(store.saved()) == sorted([ticket.key, rigl.key] if size > 1 else [ticket.key])
    assert runner.do(steps) == {}
    assert store.saved() == {}
    assert contents(store, steps) == expected
    assert "resumed_after" in store.meta(ticket)
    assert ("resumed_after" in store.meta(rigl)) == (size > 1)


def test_what_was_left_after_as_many_epochs_goes_on_together(store, steps, expected):
    """One of a stack was left on its way: it goes on alone, the others begin."""
    *before, ticket, rigl = steps
    runner = Runner(store, (), stack=3)
    assert runner.do(before) == {}
    assert Runner(store, ()).do([ticket], stopped=stopping_after(3)) == {}
    assert list(store.saved()) == [ticket.key]
    assert savepoints.of(ticket, store).so_far.mask is None  # it does not change
    assert runner.do(steps) == {}
    assert contents(store, steps) == expected
    assert store.meta(ticket)["resumed_after"] == 2
    assert "resumed_after" not in store.meta(rigl)


def test_what_is_done_before_others_pause_is_stored_and_logged(store, steps):
    """Of a stack one training begins and ends; then the one that goes on is told to stop."""
    *before, ticket, rigl = steps
    runner = Runner(store, (), stack=3)
    assert runner.do(before) == {}
    assert Runner(store, ()).do([ticket], stopped=stopping_after(3)) == {}
    assert runner.do(steps, stopped=lambda: store.has(rigl)) == {}
    assert store.has(rigl)
    assert not store.has(ticket)
    assert len(savepoints.of(ticket, store).so_far.losses) == 3
    assert store.events()[-1]["key"] == rigl.key
    assert store.events()[-1]["seconds"] == pytest.approx(store.meta(rigl)["seconds"], rel=0.5)


class Killed(BaseException):
    """Stands for a kill: nothing is said or tidied."""


def test_a_killed_training_loses_what_came_after_its_last_savepoint(store, steps, expected, monkeypatch):
    dense, passed = steps[1], savepoints.Keeper.passed

    def until_the_third(self, step, epoch, *rest):
        passed(self, step, epoch, *rest)
        if epoch == 3:
            raise Killed

    monkeypatch.setattr(savepoints.Keeper, "passed", until_the_third)
    with pytest.raises(Killed):
        Runner(store, (), save_every=0.0).do(steps)
    monkeypatch.undo()
    assert list(store.saved()) == [dense.key]
    assert Runner(store, ()).do(steps) == {}
    assert store.meta(dense)["resumed_after"] == 3
    assert contents(store, steps) == expected


def test_seconds_are_those_of_all_starts(store, steps):
    init, dense = steps[:2]
    assert Runner(store, ()).do([init, dense], stopped=stopping_after(4)) == {}
    point = savepoints.of(dense, store)
    assert 0 < point.seconds < 60
    model = Runner(store, ()).space.member(dense).model
    savepoints.resume(point, model)
    store.save(dense.key, savepoints.packed(dense.key, model, point.so_far, 1000.0))
    assert Runner(store, ()).do([init, dense], stopped=stopping_after(3)) == {}
    assert 1000 < savepoints.of(dense, store).seconds < 1060
    assert len(savepoints.of(dense, store).so_far.losses) > 2
    assert Runner(store, ()).do([init, dense]) == {}
    assert 1000 < store.meta(dense)["seconds"] < 1060
    event = store.events()[-1]
    assert (event["key"], event["status"]) == (dense.key, "ok")
    assert 1000 < event["seconds"] < 1060


@pytest.mark.parametrize("hurt", ["cut", "flipped", "empty", "finished", "another's"])
def test_a_savepoint_that_cannot_be_used_counts_as_none(store, steps, expected, hurt):
    dense = steps[1]
    assert Runner(store, ()).do(steps, stopped=stopping_after(5)) == {}
    good = store.savepoint(dense.key)
    point = savepoints.unpacked(dense.key, good)
    many = point.so_far._replace(losses=[1.0] * 5)
    model = Runner(store, ()).space.member(dense).model
    bad = {
        "cut": good[:-7],
        "flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "empty": b"",
        "another's": savepoints.packed(steps[0].key, model, point.so_far, 1.0),
        "finished": savepoints.packed(dense.key, model, many, 1.0),
    }[hurt]
    store.save(dense.key, bad)
    assert savepoints.of(dense, store) is None
    assert Runner(store, ()).do(steps) == {}
    assert "resumed_after" not in store.meta(dense)
    assert contents(store, steps) == expected


@pytest.mark.parametrize("part", ["weights", "momentum"])
def test_a_savepoint_of_another_network_is_refused_by_name(store, steps, network, part):
    dense = steps[1]
    assert Runner(store, ()).do(steps, stopped=stopping_after(5)) == {}
    other = get(Architecture, "resnet8").build(dataclasses.replace(network, widths=(4, 8, 8, 8)))
    so_far = savepoints.of(dense, store).so_far
    if part == "weights":
        wrong = savepoints.packed(dense.key, other, so_far, 1.0)
    else:
        model = Runner(store, ()).space.member(dense).model
        wrong = savepoints.packed(
            dense.key, model, so_far._replace(momentum={"fc.weight": torch.zeros(3)}), 1.0
        )
    store.save(dense.key, wrong)
    with pytest.raises(Damaged, match=r"savepoint is of another network .*prune --savepoints"):
        Runner(store, ()).do(steps)


def test_a_savepoint_that_cannot_be_read_is_not_written_over(store, steps):
    (store.root / "savepoints" / steps[1].key).mkdir(parents=True)
    with pytest.raises(Damaged, match=r"savepoints/.* cannot be read"):
        Runner(store, ()).do(steps)


def test_only_savepoints_count_as_such(store, steps):
    assert store.saved() == {}
    store.save(steps[1].key, b"12345")
    (store.root / "savepoints" / ".nfs0001").write_bytes(b"1")
    assert store.saved() == {steps[1].key: 5}


def test_a_disk_that_is_full_for_a_savepoint_ends_no_training(store, steps, monkeypatch):
    def full(key, content):
        raise Unwritable("full")

    monkeypatch.setattr(store, "save", full)
    assert Runner(store, (), save_every=0.0).do(steps[:2]) == {}
    assert store.has(steps[1])


def test_one_that_is_to_be_left_and_cannot_be_kept_says_so(store, steps, monkeypatch):
    def full(key, content):
        raise Unwritable("full")

    monkeypatch.setattr(store, "save", full)
    with pytest.raises(Unwritable, match="full"):
        Runner(store, ()).do(steps[:2], stopped=stopping_after(4))


# ------------------------------------------------------------------------------------- what users see


def test_a_long_training_tells_its_epochs(store, steps, monkeypatch, capsys):
    _, dense, *_, ticket, _ = steps
    monkeypatch.setattr(savepoints, "TELL_EVERY", 0.0)
    watched = Watched(store, {s.key: s for s in steps})
    assert Runner(store, ()).do(steps[:-1]) == {}
    news = watched.new()
    assert [share for step, share in news if step is dense] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [share for step, share in news if step is ticket] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    course = Course([dense, ticket], {dense.key: "dense seed 0", ticket.key: "imp"}, {}, "cpu", 1)
    lines, shares = Lines(course, patience=0.0), []
    for step, share in ((step, share) for step, share in news if isinstance(step, Train)):
        lines.stepped(step, share)
        shares.append(course.share())
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(100.0)
    said = capsys.readouterr().err
    assert "train dense seed 0 (epoch 1 of 5) · " in said
    assert "train imp (epoch 2 of 5) · " in said
    assert "(epoch 5 of 5)" not in said


def test_what_an_earlier_run_has_done_is_no_part_of_the_work(store, steps):
    init, dense = steps[:2]
    assert Runner(store, ()).do([init, dense], stopped=stopping_after(5)) == {}
    begun = savepoints.shares(steps, store)
    assert begun == {dense.key: 0.6}
    whole, rest = (Course([dense], {}, {}, "cpu", 1, **how) for how in ({}, {"begun": begun}))
    assert rest.total == pytest.approx(0.4 * whole.total)
    guess, less = (estimate([dense], (), 1, "cpu", how) for how in ({}, begun))
    assert less.high - less.low == pytest.approx(less.low * (2.5**2 - 1))  # both are of one time
    start = START_SECONDS * 2.5
    assert less.high - start == pytest.approx(0.4 * (guess.high - start))
    assert less.chain == pytest.approx(0.4 * guess.chain)
    assert (guess.begun, less.begun) == (0, 1)
    rest.step(dense, 0.6)
    assert rest.share() == 0.0
    rest.step(dense, 0.8)
    assert rest.share() == pytest.approx(50.0)
    rest.step(dense)
    assert rest.share() == pytest.approx(100.0)


def test_a_short_training_tells_none(store, steps):
    assert Runner(store, ()).do(steps) == {}
    assert [e for e in store.events() if "training" in e] == []


def test_pruning_a_store_leaves_savepoints_unless_told_so(store, steps, tmp_path, capsys):
    init, dense = steps[:2]
    assert Runner(store, ()).do([init, dense], stopped=stopping_after(4)) == {}
    folder = str(store.root)
    main(["store", "prune", "--store", folder, "--yes"])
    assert "nothing to delete" in capsys.readouterr().out
    store.save(init.key, b"left behind")  # of a step that is done
    main(["store", "prune", "--store", folder, "--yes"])
    assert "1 savepoints" in capsys.readouterr().out
    assert list(store.saved()) == [dense.key]
    main(["store", "prune", "--store", folder, "--savepoints", "--dry-run"])
    assert f"savepoint\t{dense.key}\t" in capsys.readouterr().out
    assert list(store.saved()) == [dense.key]
    main(["store", "prune", "--store", folder, "--savepoints", "--yes"])
    assert store.saved() == {}
    store.save(dense.key, b"of no kept plan")
    capsys.readouterr()
    main(["plan", "--json"])
    (tmp_path / "plan.json").write_text(capsys.readouterr().out)
    main(["store", "prune", "--store", folder, "--keep", str(tmp_path / "plan.json"), "--yes"])
    assert store.saved() == {}


def test_savepoints_at_a_url_are_seen_from_another_machine(steps, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    from lthbench.store import open_store

    fsspec.filesystem("memory").store.clear()
    init, dense = steps[:2]
    store = open_store("memory://savepoints")
    store.open()
    assert Runner(store, ()).do([init, dense], stopped=stopping_after(4)) == {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    other = open_store("memory://savepoints")
    other.open()
    assert list(other.saved()) == [dense.key]
    assert Runner(other, ()).do([init, dense]) == {}
    assert other.meta(dense)["resumed_after"] == 2
    assert other.saved() == store.saved() == {}


def test_an_object_store_that_fails_to_forget_a_savepoint_ends_no_run(steps, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    from lthbench.store import open_store

    fsspec.filesystem("memory").store.clear()
    store = open_store("memory://forgets")
    store.open()
    assert Runner(store, ()).do(steps[:2], stopped=stopping_after(4)) == {}

    def fails(name):
        raise Unwritable("no answer")

    assert isinstance(store, RemoteStore)
    monkeypatch.setattr(store.objects, "delete", fails)
    assert Runner(store, ()).do(steps[:2]) == {}
    assert store.has(steps[1])
    assert store.events()[-1]["status"] == "ok"


def test_news_of_others_in_the_event_log_are_passed_over(store, steps):
    watched = Watched(store, {s.key: s for s in steps})
    for event in ({"note": 1}, {"training": "x", "share": 0.5}, {"key": "y"}, {"training": steps[1].key}):
        store.log(event)
    assert watched.new() == [(steps[1], 0.0)]
