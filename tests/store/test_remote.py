"""A store at a URL: the same table, what is damaged is made again, leases that ask no clock.

S3 is moto's server on loopback, over its real protocol; memory:// and file:// are fsspec's own.
"""

import builtins
import errno
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lthbench.planning.request import Request

pytest.importorskip("fsspec")

import fsspec

from lthbench import api
from lthbench.cli import main
from lthbench.compute.process import host, machine
from lthbench.errors import BadInput, Damaged, Unwritable
from lthbench.planning.request import ask
from lthbench.report import write
from lthbench.spec import Init
from lthbench.store import LocalStore, RemoteStore, disk, open_store, pruning, reading
from lthbench.store.object_leases import ObjectLeases
from lthbench.store.objects import Objects

FILES = {"weights.safetensors": b"0123456789" * 500}
needs_s3 = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("moto", "s3fs", "flask"))),
    reason="moto and s3fs are not installed",
)
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
#: What s3fs, moto and Ray stand on warns of what is to change in Python.
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def server():
    """A server of S3 on loopback with one bucket."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    address = "http://{}:{}".format(*running.get_host_and_port())
    settings = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    patch = pytest.MonkeyPatch()
    for name, value in settings.items():
        patch.setenv(name, value)
    fsspec.filesystem("s3").mkdir("bucket")
    yield
    patch.undo()
    running.stop()


@pytest.fixture
def url(request):
    """An empty prefix."""
    fsspec.filesystem("memory").store.clear()
    return f"memory://{request.node.name}"


def elsewhere(monkeypatch, folder: Path) -> None:
    """From now on this is another machine: it has copies of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def opened(url: str) -> RemoteStore:
    made = open_store(url)
    assert isinstance(made, RemoteStore)
    made.open()
    return made


def objects(url: str) -> list[str]:
    files, root = fsspec.url_to_fs(url)
    return sorted(path.removeprefix(root).lstrip("/") for path in files.find(root))


def contents(url: str) -> dict[str, bytes]:
    files, root = fsspec.url_to_fs(url)
    return {path: files.cat_file(path) for path in files.find(root)}


def spoil(url: str, key: str, content: bytes) -> None:
    files, root = fsspec.url_to_fs(url)
    files.pipe_file(f"{root}/steps/{key[:2]}/{key}.zip", content)


# ----------------------------------------------------------------------------------------------- artefacts


def test_what_one_machine_puts_another_reads(url, init, tmp_path, monkeypatch):
    here = opened(url)
    assert not here.has(init)
    assert here.put(init, FILES, {"seconds": 1.5})
    assert objects(url) == [f"steps/{init.key[:2]}/{init.key}.zip", "store.json"]
    elsewhere(monkeypatch, tmp_path / "other")
    there = opened(url)
    assert there.root != here.root
    assert there.lists(init)
    assert there.intact(init)
    assert there.read(init, "weights.safetensors") == FILES["weights.safetensors"]
    assert there.meta(init) == {"seconds": 1.5}
    assert not there.put(init, FILES, {"seconds": 2.0})
    assert list((there.root / "tmp").iterdir()) == []


def test_one_url_is_one_store_and_one_that_was_emptied_is_another(url, init):
    here = opened(url)
    here.put(init, FILES, {})
    assert opened(url).root == here.root
    fsspec.filesystem("memory").store.clear()
    assert opened(url).root != here.root
    assert not opened(url).has(init)


def test_what_was_not_sent_for_a_kill_is_sent_by_the_next_who_looks(url, init, tmp_path, monkeypatch):
    here = opened(url)
    monkeypatch.setattr(RemoteStore, "_send", lambda self, key, new: new)
    here.put(init, FILES, {})
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(here.root.parents[2]))
    assert objects(url) == ["store.json"]
    again = opened(url)
    assert again.has(init)
    elsewhere(monkeypatch, tmp_path / "other")
    assert opened(url).intact(init)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_object_is_not_taken_in_and_is_written_anew(
    url, init, network, tmp_path, monkeypatch, damage
):
    here = opened(url)
    here.put(init, FILES, {})
    here.put(Init(network, 1), FILES, {})
    files, root = fsspec.url_to_fs(url)
    whole = files.cat_file(f"{root}/steps/{init.key[:2]}/{init.key}.zip")
    other = files.cat_file(f"{root}/steps/{Init(network, 1).key[:2]}/{Init(network, 1).key}.zip")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {"cut": whole[: len(whole) // 2], "flipped": bytes(flipped), "emptied": b"", "other": other}
    spoil(url, init.key, content[damage])
    assert [found.reason for found in here.audit() if not found.copy and init.key in found.what] != [""]
    elsewhere(monkeypatch, tmp_path / "other")
    there = opened(url)
    assert not there.has(init)
    assert not there.intact(init)
    there.put(init, FILES, {})
    assert [found.reason for found in there.audit() if not found.copy and init.key in found.what] == [""]
    elsewhere(monkeypatch, tmp_path / "third")
    assert opened(url).intact(init)


def test_a_damaged_copy_is_put_aside_and_fetched_again(url, init):
    here = opened(url)
    here.put(init, FILES, {})
    (here.place(init.key) / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(Damaged, match="does not match its hash"):
        here.read(init, "weights.safetensors")
    assert not here.intact(init)
    assert here.has(init)
    assert here.intact(init)


def test_two_who_send_at_once_from_one_machine_send_each_what_is_theirs(
    url, init, network, tmp_path, monkeypatch
):
    """The other one packs and sends while this one's object is on its way."""
    one, two, other = opened(url), opened(url), Init(network, 1)
    create, sent = Objects.create, []

    def slow(objects, name, content):
        if not sent:
            sent.append(name)
            two.put(other, {"weights.safetensors": b"9876543210" * 900}, {})
        return create(objects, name, content)

    monkeypatch.setattr(Objects, "create", slow)
    one.put(init, FILES, {})
    monkeypatch.undo()
    elsewhere(monkeypatch, tmp_path / "other")
    there = opened(url)
    assert [there.intact(step) for step in (init, other)] == [True, True]
    assert list((one.root / "tmp").iterdir()) == []


def no_quota(monkeypatch) -> None:
    monkeypatch.setenv("LTHBENCH_STORE_GB", "0.000001")


def full_disk(monkeypatch) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1000)


def no_write(monkeypatch) -> None:
    real = Path.mkdir

    def refuse(path, *arguments, **options):
        if path.parent.name == "tmp":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)


@pytest.mark.parametrize("lack", [no_quota, full_disk, no_write])
def test_where_a_machine_has_no_room_objects_are_whole_and_stay(
    url, init, tmp_path, monkeypatch, capsys, lack
):
    opened(url).put(init, FILES, {})
    before = contents(url)
    elsewhere(monkeypatch, tmp_path / "other")
    there = opened(url)
    with monkeypatch.context() as patched:
        lack(patched)
        with pytest.raises(Unwritable):
            there.has(init)
        with pytest.raises(SystemExit, match="1"):
            main(["store", "verify", "--store", url, "--aside"])
    said = capsys.readouterr().out
    assert f"unread: {url}: {init.key}" in said
    assert "damaged" not in said
    assert there.intact(init)
    there.put(init, FILES, {})
    assert contents(url) == before


def test_a_full_disk_ends_the_packing_as_it_ends_other_writing(url, init, monkeypatch):
    here = opened(url)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile, "ZipFile", full)
    with pytest.raises(Unwritable, match="No space left on device"):
        here.put(init, FILES, {})


def test_what_is_put_aside_of_damaged_objects_is_kept_here(url, init):
    here = opened(url)
    here.put(init, FILES, {})
    spoil(url, init.key, b"what was there")
    for found in here.audit():
        if found.reason:
            found.put_aside()
    assert objects(url) == ["store.json"]
    (kept,) = (here.root / "damaged").iterdir()
    assert kept.read_bytes() == b"what was there"


def test_a_flag_is_seen_by_all(url, tmp_path, monkeypatch):
    here = opened(url)
    here.flag("stop")
    elsewhere(monkeypatch, tmp_path / "other")
    there = opened(url)
    assert there.flagged("stop")
    here.unflag("stop")
    assert not there.flagged("stop")


# ------------------------------------------------------------------------------------------------- refusals


def test_other_things_another_schema_and_no_store_are_refused(url, tmp_path):
    files, root = fsspec.url_to_fs(url)
    files.pipe_file(f"{root}/photo.png", b"x")
    with pytest.raises(BadInput, match=r"holds other things \(photo.png\); give an empty prefix"):
        open_store(url).open()
    for marker in (b"{]", b"[]", b'{"schema": 1}', b'{"schema": 1, "id": "../../evil"}', b"\xff"):
        files.pipe_file(f"{root}/store.json", marker)
        with pytest.raises(BadInput, match="is not a store of lthbench"):
            open_store(url)
    files.pipe_file(f"{root}/store.json", b'{"schema": 2, "id": ""}')
    with pytest.raises(BadInput, match=r"has schema 2, this version reads schema 1\. Upgrade lthbench"):
        open_store(url)
    assert objects(url) == ["photo.png", "store.json"]


def test_a_url_that_nothing_reaches_says_what_to_install(monkeypatch, capsys):
    with pytest.raises(BadInput, match=r"store nosuch://place/here: .*Protocol not known: nosuch"):
        open_store("nosuch://place/here")
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] in ("fsspec", "gcsfs"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit) as end:
        main(["plan", "--store", "gs://bucket/here"])
    assert end.value.code == 2
    assert "needs the package fsspec: pip install 'lthbench[remote]'" in capsys.readouterr().err


@needs_s3
@quiet
@pytest.mark.parametrize("given", ["s3://nowhere-at-all/prefix", "http://127.0.0.1:1/store"])
def test_a_place_that_cannot_be_reached_or_written_is_refused(server, capsys, tmp_path, tiny_task, given):
    with pytest.raises(SystemExit) as end:
        main(["run", "--task", tiny_task, "--metrics", "accuracy", "--store", given, "--no-report"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert f"store {given}: cannot be reached" in said
    assert "Traceback" not in said


def test_an_object_store_that_fails_later_ends_the_run_in_words(url, init, monkeypatch):
    here = opened(url)

    def fail(*arguments, **options):
        raise TimeoutError("no answer")

    worker = open_store(url)  # as a worker opens it
    assert isinstance(worker, RemoteStore)
    monkeypatch.setattr(worker.objects._fs, "cat_file", fail)
    monkeypatch.setattr(worker.objects._fs, "get_file", fail)
    with pytest.raises(Unwritable, match="TimeoutError: no answer"):
        worker.has(init)
    monkeypatch.setattr(here.objects._fs, "put_file", fail)
    with pytest.raises(Unwritable, match=r"TimeoutError: no answer. .* give the same command again"):
        here.put(init, FILES, {})
    monkeypatch.undo()
    assert LocalStore(here.root).has(init)


# --------------------------------------------------------------------------------------------------- leases


def test_a_lease_is_held_by_one_and_given_back(url):
    first, second = opened(url).leases(), opened(url).leases()
    mark = first.take("job")
    assert mark
    assert second.take("job") is None
    assert [f["what"] for f in second.others()] == ["job"]
    second.release("job", "another mark")
    assert second.take("job") is None
    first.release("job", mark)
    assert second.take("job")


def test_a_lease_of_a_dead_process_is_free_and_one_that_is_not_touched_soon(url, monkeypatch):
    here = opened(url)
    leases = here.leases()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    facts = {"host": host(), "machine": machine(), "pid": child.pid, "born": "1", "mark": "a", "beats": 0}
    here.objects.put(leases.place("job"), json.dumps(facts).encode())
    assert not leases.taken("job")
    mark = leases.take("job")
    assert mark
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    here.objects.put(leases.place("far"), json.dumps({**facts, "machine": "far away"}).encode())
    assert leases.taken("far")
    now[0] = 50.0
    assert leases.taken("far")
    here.objects.put(leases.place("far"), json.dumps({**facts, "machine": "far away", "beats": 1}).encode())
    assert leases.taken("far")
    now[0] = 100.0
    assert leases.take("far") is None
    now[0] = 111.0
    assert not leases.taken("far")
    assert leases.take("far")


def test_a_process_takes_what_it_gave_back_in_vain_at_once(url, monkeypatch):
    here, asked = opened(url), []

    def fail(objects, name):
        asked.append(name)
        raise Unwritable(name)

    with monkeypatch.context() as patched:
        patched.setattr(reading, "WAITS", (0.0, 0.0))
        patched.setattr(Objects, "delete", fail)
        with here.leases().held("job"):
            pass
    assert len(asked) == 3
    leases = opened(url).leases()
    assert here.objects.there(leases.place("job"))
    assert not leases.taken("job")
    assert leases.take("job")
    assert here.leases().take("job") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_lease_that_cannot_be_read_is_somebodys_until_it_is_old(url, monkeypatch, content):
    here = opened(url)
    leases = here.leases()
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    here.objects.put(leases.place("job"), content)
    assert leases.take("job") is None
    now[0] = leases.stale + 1
    assert leases.take("job")


def test_a_holder_shows_that_it_lives_until_another_took_over(url):
    here = opened(url)
    leases = here.leases(0.05)
    with leases.held("job"):
        place = leases.place("job")
        changed = threading.Event()
        for _ in range(100):
            if json.loads(here.objects.read(place) or b"{}").get("beats", 0) > 1:
                changed.set()
                break
            changed.wait(0.05)
        assert changed.is_set()
        here.objects.put(place, json.dumps({"host": "far", "mark": "theirs"}).encode())
        changed.clear()
        changed.wait(0.3)
    assert json.loads(here.objects.read(place))["mark"] == "theirs"


def test_a_lease_of_a_machine_that_vanished_blocks_no_prune(url, init, capsys, monkeypatch):
    here = opened(url)
    here.put(init, FILES, {})
    facts = {"host": "far", "machine": "far.0123", "pid": 7, "mark": "a", "what": "run 1"}
    monkeypatch.setattr(RemoteStore, "leases", lambda store: ObjectLeases(store.objects, stale=1.0))
    here.objects.put(here.leases().place("run 1"), json.dumps(facts).encode())
    main(["store", "prune", "--store", url, "--yes", "--savepoints"])
    said = capsys.readouterr()
    assert "looking for up to 1 s whether process 7 on far still works ..." in said.err
    assert "nothing to delete" in said.out
    assert here.leases().others() == []
    assert objects(url) == [f"steps/{init.key[:2]}/{init.key}.zip", "store.json"]


def test_what_nobody_needs_goes_from_the_url_too_whoever_put_it_there(
    url, init, network, tmp_path, monkeypatch
):
    """Copies that are here, and what another machine made and this one has no copy of."""
    mine, theirs = Init(network, 1), Init(network, 2)
    elsewhere(monkeypatch, tmp_path / "other")
    assert opened(url).put(theirs, FILES, {})
    elsewhere(monkeypatch, tmp_path / "here")
    here = opened(url)
    assert here.put(init, FILES, {})
    assert here.put(mine, FILES, {})
    unneeded = pruning.unneeded(here, {init.key})
    assert (unneeded.artefacts.keys(), unneeded.left) == ({mine.key, theirs.key}, 1)
    pruning.delete(here, unneeded)
    assert here.elsewhere().keys() == {init.key}
    assert (here.listed(), opened(url).listed()) == ({init.key}, {init.key})
    assert (here.copies.has(init), here.copies.has(mine)) == (True, False)


def test_of_two_who_make_a_store_at_once_both_work_in_the_same(url, init, network, monkeypatch):
    """The other one makes it between the look of this one and its act."""
    empty, others = RemoteStore._check_empty, []

    def slow(store):
        empty(store)
        if not others:
            others.append(open_store(url))
            others[0].open()

    one = open_store(url)
    one.check()
    monkeypatch.setattr(RemoteStore, "_check_empty", slow)
    one.open()
    assert others[0].root == one.root
    assert one.put(init, FILES, {})
    assert others[0].put(Init(network, 1), FILES, {})
    assert len(one.elsewhere()) == 2


@needs_s3
@quiet
def test_of_many_at_once_one_takes_a_lease_on_s3(server):
    opened("s3://bucket/leases")
    for n in range(5):
        start = threading.Barrier(4)

        def take(_: int, name: str = f"job {n}", start: threading.Barrier = start) -> str | None:
            leases = open_store("s3://bucket/leases").leases()
            start.wait()
            return leases.take(name)

        with ThreadPoolExecutor(4) as pool:
            assert sum(mark is not None for mark in pool.map(take, range(4))) == 1


# ----------------------------------------------------------------------------------------------------- runs


def table_of(url: str | Path, asked: Request, folder: Path, workers: int = 0, **how: Any) -> bytes:
    outcome = api.execute(asked, api.RunOptions(store=url, device="cpu", workers=workers, **how))
    assert outcome.failures == {}
    write(outcome.table, outcome.facts, folder, formats=("csv",))
    return (folder / "scores.csv").read_bytes()


@pytest.fixture
def asked(tiny_task):
    return ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "ece"])


@needs_s3
@quiet
def test_a_run_on_s3_gives_the_table_of_a_folder_and_another_machine_has_nothing_to_do(
    server, asked, tmp_path, monkeypatch, capsys
):
    url = "s3://bucket/run"
    expected = table_of(tmp_path / "store", asked, tmp_path / "here")
    assert table_of(url, asked, tmp_path / "there", workers=1) == expected
    elsewhere(monkeypatch, tmp_path / "other")
    assert table_of(url, asked, tmp_path / "again") == expected
    assert open_store(url).events() == []
    held = [name for name in objects(url) if not name.startswith("steps/")]
    assert held == ["store.json"]

    # Its keeping: what is there, whether it is whole, and what nobody needs.
    main(["store", "--store", url, "--json"])
    account = json.loads(capsys.readouterr().out)
    assert account["objects"]["artefacts"] == len(objects(url)) - 1
    main(["store", "--store", url, "verify"])
    assert "copies here are whole" in capsys.readouterr().out
    key = open_store(url).elsewhere().popitem()[0]
    spoil(url, key, b"PK")
    with pytest.raises(SystemExit) as end:
        main(["store", "--store", url, "verify", "--aside"])
    assert end.value.code == 1
    assert f"damaged: {url}: {key}" in capsys.readouterr().out
    assert key not in open_store(url).elsewhere()
    main(["store", "export", str(tmp_path / "all.zip"), "--store", url])
    main(["store", "import", str(tmp_path / "all.zip"), "--store", "s3://bucket/copy"])
    assert open_store("s3://bucket/copy").elsewhere().keys() >= open_store(url).elsewhere().keys()
    before = len(open_store(url).elsewhere()) + 1  # the one that was deleted is here, and sent again
    main(["store", "prune", "--store", url, "--keep", str(tmp_path / "again"), "--yes"])
    assert 0 < len(open_store(url).elsewhere()) <= before
    elsewhere(monkeypatch, tmp_path / "third")
    assert table_of(url, asked, tmp_path / "third") == expected


@needs_s3
@needs_ray
@quiet
def test_a_worker_with_a_disk_of_its_own_tells_the_driver_what_it_did(server, asked, tmp_path, monkeypatch):
    from lthbench.engines import ray_worker
    from lthbench.planning.plan import plan

    steps = [s for s in plan(asked, ()).steps if isinstance(s, Init)]
    here = opened("s3://bucket/worker")
    site = ray_worker.site_of(here, (), "cpu")
    elsewhere(monkeypatch, tmp_path / "node")
    try:
        result = ray_worker.do(site, [("init", steps)])
    finally:
        ray_worker.runner_of.cache_clear()
    assert result.failed == {}
    assert [e["key"] for e in result.events] == [s.key for s in steps]
    assert here.events() == []
    assert all(here.has(s) for s in steps)


@needs_s3
@needs_ray
@quiet
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_without_a_shared_disk_gives_the_table_of_a_folder(server, asked, tmp_path, tiny_task):
    """Two nodes and a driver, each with copies of its own."""
    expected = table_of(tmp_path / "store", asked, tmp_path / "here")
    settings = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    words = ["ray", "start", "--block", "--num-cpus=1", "--object-store-memory=100000000"]
    words += ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heads = [["--head", f"--port={port}", "--include-dashboard=false"], [f"--address=127.0.0.1:{port}"]]
    nodes = []
    try:
        for n, more in enumerate(heads):
            environment = {**settings, "XDG_CACHE_HOME": str(tmp_path / f"node {n}")}
            program = [sys.executable, "-m", "ray.scripts.scripts", *words[1:], *more]
            nodes.append(
                subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
            )
            time.sleep(10)
        run = [sys.executable, "-m", "lthbench", "run", "--engine", "ray", "--address", f"127.0.0.1:{port}"]
        run += ["--task", tiny_task, "--methods", "omp", "--rounds", "1", "--seeds", "1", "--device", "cpu"]
        run += [
            "--metrics",
            "accuracy,ece",
            "--store",
            "s3://bucket/cluster",
            "--report",
            str(tmp_path / "there"),
        ]
        environment = {**settings, "XDG_CACHE_HOME": str(tmp_path / "driver")}
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGTERM)
        for node in nodes:
            node.wait(timeout=60)
    assert (tmp_path / "there" / "scores.csv").read_bytes() == expected
    folders = {p.parts[-5] for p in tmp_path.glob("*/lthbench/stores/*/index.tsv")}
    assert folders == {"node 0", "node 1", "driver"}
    logs = list((tmp_path / "driver").glob("lthbench/stores/*/events.jsonl"))
    events = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    told = {e["key"] for e in events if "key" in e}  # other lines are of trainings on their way
    assert told
    assert told <= set(open_store("s3://bucket/cluster").elsewhere())
