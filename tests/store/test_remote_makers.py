"""A store at a URL where two make the same at once: the first one's stays, and both have it."""

import errno
from functools import partial
from types import SimpleNamespace

import pandas as pd
import pytest

from lthbench.cli import main
from lthbench.errors import Unwritable
from lthbench.results import table
from lthbench.spec import Init

pytest.importorskip("fsspec")

import fsspec

from lthbench.store import RemoteStore, layout, leases, open_store, reading
from lthbench.store.objects import Objects

OURS, THEIRS = {"weights.safetensors": b"ours" * 500}, {"weights.safetensors": b"theirs" * 500}


@pytest.fixture
def url(request):
    """An empty prefix."""
    fsspec.filesystem("memory").store.clear()
    return f"memory://{request.node.name}"


@pytest.fixture
def machine_of(url, tmp_path, monkeypatch):
    """Opens the store as on a machine of some name, which has copies of its own."""

    def opened(name: str) -> RemoteStore:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        made = open_store(url)
        assert isinstance(made, RemoteStore)
        made.open()
        return made

    return opened


def path_of(url: str, key: str) -> str:
    return f"{fsspec.url_to_fs(url)[1]}/steps/{key[:2]}/{key}.zip"


def weights(store: RemoteStore, step) -> bytes:
    assert store.intact(step)
    return store.read(step, "weights.safetensors")


def test_of_two_machines_that_make_the_same_both_have_what_the_first_put(machine_of, init):
    one, two = machine_of("one"), machine_of("two")
    assert [one.has(init), two.has(init)] == [False, False]
    assert two.put(init, THEIRS, {"seconds": 2.0})
    assert not one.put(init, OURS, {"seconds": 1.0})
    third = machine_of("third")
    for store in (one, two, third):
        assert weights(store, init) == THEIRS["weights.safetensors"]
        assert store.meta(init) == {"seconds": 2.0}
    assert list((one.root / "tmp").iterdir()) == []


def test_it_is_so_where_the_other_puts_it_while_this_one_sends(machine_of, init, monkeypatch):
    one, two = machine_of("one"), machine_of("two")
    create = Objects.create

    def slow(objects, name, content):
        if not two.has(init):
            two.put(init, THEIRS, {})
        return create(objects, name, content)

    def first(objects, name, content):
        monkeypatch.setattr(Objects, "create", create)
        return slow(objects, name, content)

    monkeypatch.setattr(Objects, "create", first)
    assert not one.put(init, OURS, {})
    assert [weights(store, init) for store in (one, two)] == [THEIRS["weights.safetensors"]] * 2


def test_a_damaged_object_is_replaced_and_one_that_was_replaced_stays(machine_of, url, init):
    one, two = machine_of("one"), machine_of("two")
    fsspec.filesystem("memory").pipe_file(path_of(url, init.key), b"PK")
    assert [one.has(init), two.has(init)] == [False, False]
    assert two.put(init, THEIRS, {})
    assert not one.put(init, OURS, {})
    assert [weights(store, init) for store in (one, two)] == [THEIRS["weights.safetensors"]] * 2


def test_a_machine_that_cannot_fetch_the_first_ones_keeps_no_other(machine_of, init, monkeypatch):
    one, two = machine_of("one"), machine_of("two")
    two.put(init, THEIRS, {})

    def fail(*arguments, **options):
        raise TimeoutError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(one.objects._fs, "get_file", fail)
        with pytest.raises(Unwritable, match="no answer"):
            one.put(init, OURS, {})
    assert weights(machine_of("one"), init) == THEIRS["weights.safetensors"]


def answered(number: int, text: str, code: str) -> OSError:
    """An error as s3fs raises it from what the server answered."""
    error = OSError(number, text)
    error.__cause__ = type("ClientError", (Exception,), {"response": {"Error": {"Code": code}}})()
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(
            errno.EIO, "An error occurred (ConditionalRequestConflict) when calling PutObject: concurrent"
        ),
        answered(errno.EBUSY, "At least one of the pre-conditions did not hold", "409"),
        answered(errno.EIO, "conflict", "OperationAborted"),
    ],
)
def test_a_write_that_meets_a_deletion_is_tried_again(machine_of, init, monkeypatch, error):
    """So S3 answers, and says to try again."""
    one = machine_of("one")
    files, left = one.objects._fs, [error, error]
    monkeypatch.setattr(reading, "WAITS", (0.0, 0.0))
    for name in ("pipe_file", "put_file"):

        def conflict(real, *arguments, **options):
            if options.get("mode") == "create" and left:
                raise left.pop()
            return real(*arguments, **options)

        monkeypatch.setattr(files, name, partial(conflict, getattr(files, name)))
    assert one.put(init, OURS, {})
    assert not left
    left.extend([error] * 3)
    with one.leases().held("job", look=0.0) as held:
        assert held
    left.extend([error] * 5)
    with pytest.raises(Unwritable, match="cannot be written, as others write it"):
        one.put(type(init)(init.network, 7), OURS, {})


def test_a_server_that_is_too_busy_is_named_and_is_no_rival(machine_of, init, monkeypatch):
    """s3fs makes an error of the same kind of both."""
    one = machine_of("one")

    def busy(*arguments, **options):
        raise answered(errno.EBUSY, "Please reduce your request rate", "SlowDown")

    monkeypatch.setattr(one.objects._fs, "put_file", busy)
    with pytest.raises(Unwritable, match="Please reduce your request rate"):
        one.put(init, OURS, {})


def test_two_who_make_a_store_at_once_have_the_first_ones(url, machine_of, monkeypatch):
    """The second is told of a conflict, and the first one's marker is to be seen a moment later."""
    create, read = Objects.create, Objects.read
    content = layout.new_marker(id="f" * 32)
    asked = []

    def conflict(objects, name, given):
        return False if name == "store.json" else create(objects, name, given)

    def late(objects, name):
        asked.append(name)
        if len(asked) == 3:  # the first finds no store, the second none either after the conflict
            create(objects, name, content)
        return read(objects, name)

    monkeypatch.setattr(Objects, "create", conflict)
    monkeypatch.setattr(Objects, "read", late)
    assert machine_of("one").root.name == "f" * 32
    assert read(machine_of("one").objects, "store.json") == content


def test_artefacts_that_are_on_the_object_store_are_not_fetched_for_an_import(
    machine_of, init, tmp_path, monkeypatch
):
    from lthbench.store import archive

    one, two = machine_of("one"), machine_of("two")
    assert one.put(init, OURS, {})
    archive.export(one, [init.key], tmp_path / "some.zip")
    two.open()
    monkeypatch.setattr(Objects, "get", lambda *a: pytest.fail("fetched"))
    taken = archive.take_in(two, tmp_path / "some.zip")
    assert (taken.there, taken.refused) == (1, {})


def test_who_waits_for_a_lease_looks_again_where_the_store_fails_for_a_moment(machine_of, monkeypatch):
    one, two = machine_of("one").leases(), machine_of("two").leases()
    mark = two.take("job")
    assert mark
    real, fails = one._take, [False, *[True] * leases.PATIENT, False]

    def take(name, written):
        if fails.pop(0):
            raise Unwritable("no answer")
        if not fails:
            two.release("job", mark)
        return real(name, written)

    monkeypatch.setattr(one, "_take", take)
    with one.held("job", look=0.0) as held:
        assert held
    fails[:] = [False, *[True] * (leases.PATIENT + 1)]
    again = two.take("job")
    assert again
    with pytest.raises(Unwritable, match="no answer"), one.held("job", look=0.0):
        pass


def test_export_names_a_damaged_object_and_prune_deletes_nothing_for_it(
    machine_of, url, init, network, tmp_path, capsys, monkeypatch
):
    for step in (init, Init(network, 1)):
        machine_of("one").put(step, OURS, {})
    fsspec.filesystem("memory").pipe_file(path_of(url, init.key), b"PK")
    before = machine_of("two").elsewhere()
    with pytest.raises(SystemExit, match="1"):
        main(["store", "export", str(tmp_path / "all.zip"), "--store", url])
    said = capsys.readouterr().out
    assert f"refused: {init.key}: its object in {url} is damaged" in said
    assert "1 artefacts to" in said

    rows = pd.DataFrame({"step": [init.key, Init(network, 1).key], "status": "ok"})
    report = rows, SimpleNamespace(networks=())
    monkeypatch.setattr(table, "read", lambda folder: report)
    with pytest.raises(SystemExit, match="2"):
        main(["store", "prune", "--store", url, "--keep", str(tmp_path), "--yes"])
    assert f"{init.key} is damaged, so that what it needs is not known" in capsys.readouterr().err
    assert machine_of("two").elsewhere() == before
