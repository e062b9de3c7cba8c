"""A store of another schema: refused with how to go on, or brought up to date, whenever it is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.spec import Init
from lthbench.store import local, migration
from lthbench.store.inventory import fault, keys, stock
from lthbench.store.local import Store

FILES = {"weights.safetensors": b"0123456789" * 50}
COUNT = 12


def renamed(files: dict[str, bytes]) -> dict[str, bytes]:
    """A change of layout: one file has another name and content."""
    files = dict(files)
    if "weights.safetensors" in files:
        files["tensors.bin"] = files.pop("weights.safetensors")[::-1]
    return files


@pytest.fixture
def old(tmp_path, network) -> Store:
    """A store of today's schema, which is an old one in these tests."""
    made = Store(tmp_path / "store")
    made.open()
    for seed in range(COUNT):
        made.put(Init(network, seed), FILES, {"seconds": 1.0})
    return made


@pytest.fixture
def newer(old, monkeypatch) -> None:
    """The version after the next one."""
    monkeypatch.setattr(local, "SCHEMA", 3)
    monkeypatch.setattr(migration, "CHANGES", {1: renamed, 2: dict})


def check(old: Store, network) -> None:
    assert json.loads((old.root / "store.json").read_text())["schema"] == 3
    old.open()
    assert len(stock(old).artefacts) == COUNT
    assert [fault(folder, key) for key, folder in keys(old)] == [""] * COUNT
    for seed in range(COUNT):
        assert old.intact(Init(network, seed))
        assert old.read(Init(network, seed), "tensors.bin") == FILES["weights.safetensors"][::-1]
    assert not (old.root / "migrating").exists()


def test_an_older_store_is_refused_with_the_command_that_migrates_it(old, newer, capsys, network):
    with pytest.raises(BadInput, match=f"has schema 1, .* lthbench store migrate --store {old.root}"):
        old.check()
    main(["store", "migrate", "--store", str(old.root)])
    assert f"{2 * COUNT} artefacts" in capsys.readouterr().out
    check(old, network)
    main(["store", "migrate", "--store", str(old.root)])
    assert "is up to date" in capsys.readouterr().out


def test_a_newer_store_is_refused_by_this_version(old, capsys):
    (old.root / "store.json").write_text('{"schema": 7}')
    for words in (["store"], ["store", "migrate"], ["run"], ["plan"], ["store", "verify"]):
        with pytest.raises(SystemExit) as end:
            main([*words, "--store", str(old.root)])
        assert end.value.code == 2
        assert "has schema 7, this version reads schema 1. Upgrade lthbench" in capsys.readouterr().err
    assert len(list(keys(old))) == COUNT


@pytest.mark.parametrize(
    "marker", ["", "[]", '{"schema": null}', '{"schema": "1"}', '{"schema": -3}', "[" * 9999]
)
def test_a_marker_that_says_nothing_is_refused(old, marker, capsys):
    (old.root / "store.json").write_text(marker)
    with pytest.raises(SystemExit) as end:
        main(["store", "migrate", "--store", str(old.root)])
    assert end.value.code == 2


KILLED = """
import os, sys
from pathlib import Path
from lthbench import migration, store
store.SCHEMA = 3
def change(files):
    files = dict(files)
    if "weights.safetensors" in files:
        files["tensors.bin"] = files.pop("weights.safetensors")[::-1]
    return files
migration.CHANGES = {1: change, 2: dict}
left = int(sys.argv[2])
def watch(event, arguments):  # dies before so many changes to the disk
    global left
    if event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove") or (event == "open" and arguments[2] & 3):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(watch)
migration.migrate(store.Store(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "after", [0, 1, 2, 4, 5, 8, 9, 10, 11, 12, 13, 17, 60, 61, 62, 63, 64, 65, 66, 95, 150]
)
def test_a_migration_killed_anywhere_goes_on_without_loss(old, newer, network, after):
    words = [sys.executable, "-c", KILLED, str(old.root), str(after)]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(local.__file__).parents[1]),
    }
    killed = subprocess.run(words, env=environment, check=False, timeout=60)
    assert killed.returncode == -9
    marker = json.loads((old.root / "store.json").read_text())
    if "migrating" in marker:
        with pytest.raises(BadInput, match="lthbench store migrate --store"):
            old.open()
    migration.migrate(old)
    check(old, network)


def test_what_is_damaged_is_left_for_a_run_to_make_again(old, newer, network):
    (old.folder(Init(network, 3)) / "weights.safetensors").write_bytes(b"x")
    assert migration.migrate(old) == 2 * (COUNT - 1)
    assert not old.intact(Init(network, 3))
    assert old.intact(Init(network, 4))


def test_nobody_migrates_while_somebody_works(old, newer, monkeypatch):
    from lthbench.store.leases import Leases

    monkeypatch.setattr(Leases, "others", lambda self: [{"host": "there", "pid": 7}])
    with pytest.raises(SystemExit) as end:
        main(["store", "migrate", "--store", str(old.root)])
    assert end.value.code == 2
