"""What was whole and was not written to since is not read again; what is used is held to its hash."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lthbench import api, masks, registry
from lthbench.cli import main
from lthbench.kinds import Architecture, Metric
from lthbench.planning import plan, request
from lthbench.planning.missing import missing
from lthbench.spec import Measure, Train
from lthbench.store import LocalStore, open_store, reading, seen
from lthbench.store.seen import Seen


@pytest.fixture(autouse=True)
def _old_at_once(monkeypatch):
    monkeypatch.setattr(seen, "YOUNG", -1.0)


def asked(task: str):
    return request.ask(task, ["omp"], rounds=[1], metrics=["accuracy"])


@pytest.fixture(scope="module")
def made(tiny_task, tmp_path_factory) -> tuple[Path, str]:
    """A store with a finished run, and its table."""
    folder = tmp_path_factory.mktemp("made") / "store"
    return folder, run(tiny_task, folder)


def run(task: str, where: Path | str) -> str:
    return api.execute(asked(task), api.RunOptions(store=where, device="cpu")).table.to_csv()


@pytest.fixture
def looked_at(made, tmp_path, tiny_task) -> LocalStore:
    """The same store elsewhere, after a run found that nothing is to do."""
    shutil.copytree(made[0], tmp_path / "store")
    assert run(tiny_task, tmp_path / "store") == made[1]
    return LocalStore(tmp_path / "store")


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The paths that are read."""
    found: list[str] = []
    content = reading.content

    def noting(path):
        found.append(str(path))
        return content(path)

    monkeypatch.setattr(reading, "content", noting)
    return found


def rot(path: Path) -> None:
    """Change a bit as a disk does: without a trace in what it tells of the file."""
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.fixture
def no_ctime(monkeypatch) -> None:
    """Tests cannot set the time of the last change of facts as a failing disk does: take it for the same."""
    stamp = Seen.stamp

    def blind(self, folder, as_what):
        return stamp(self, folder, as_what) and f"{as_what}-{folder[-64:]}"

    monkeypatch.setattr(Seen, "stamp", blind)


def test_what_was_whole_is_not_read_again(looked_at, tiny_task, reads):
    steps = plan.plan(asked(tiny_task), ())
    told: dict[str, dict[str, object]] = {}
    assert missing(steps, looked_at, told) == []
    read = [Path(path).parts[-2:] for path in reads if "/steps/" in path]
    assert {name for _, name in read} == {"manifest.json", "meta.json"}  # whose facts a report tells
    assert {key for key, _ in read} == told.keys()
    assert not told.keys() & {m.key for e in steps.entries for m in e.scored()}
    Seen(looked_at.root).forget()
    assert missing(steps, looked_at) == []
    assert len([path for path in reads if "/steps/" in path]) > 2 * len(read)


@pytest.mark.parametrize("name", ["step.json", "manifest.json"])
def test_what_was_written_to_is_read_and_repaired(made, looked_at, tiny_task, name):
    for path in looked_at.root.joinpath("steps").rglob("scores.json"):
        rot(path.with_name(name))  # of the same length, and with the same time of its content
    assert run(tiny_task, looked_at.root) == made[1]
    assert any((looked_at.root / "damaged").iterdir())


@pytest.mark.parametrize("change", ["removed", "added"])
def test_a_file_that_went_or_came_is_noticed(looked_at, tiny_task, reads, change):
    folder = next(looked_at.root.joinpath("steps").rglob("scores.json")).parent
    (folder / "meta.json").unlink() if change == "removed" else (folder / "more.txt").write_text("x")
    missing(plan.plan(asked(tiny_task), ()), looked_at)
    assert any(folder.name in path for path in reads)


@pytest.mark.parametrize("name", ["scores.json", "meta.json"])
def test_bits_that_rot_without_a_trace_are_found_where_they_are_used(
    made, tmp_path, tiny_task, no_ctime, name
):
    store = LocalStore(tmp_path / "store")
    shutil.copytree(made[0], store.root)
    assert run(tiny_task, store.root) == made[1]
    for path in store.root.joinpath("steps").rglob("scores.json"):
        rot(path.with_name(name))
    assert run(tiny_task, store.root) == made[1]
    assert any((store.root / "damaged").iterdir())


def test_verify_reads_everything_and_the_next_run_too(made, tmp_path, tiny_task, no_ctime, capsys):
    store = LocalStore(tmp_path / "store")
    shutil.copytree(made[0], store.root)
    run(tiny_task, store.root)
    victim = next(store.root.joinpath("steps").rglob("mask.safetensors"))
    rot(victim)
    assert missing(plan.plan(asked(tiny_task), ()), store) == []
    with pytest.raises(SystemExit):
        main(["store", "verify", "--store", str(store.root)])
    assert "mask.safetensors does not match its hash" in capsys.readouterr().out
    assert victim.parent.name in [s.key for s in missing(plan.plan(asked(tiny_task), ()), store)]


def test_files_that_are_young_or_of_the_future_are_not_trusted(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert Seen(tmp_path).stamp(str(tmp_path), "whole")
    monkeypatch.setattr(seen, "YOUNG", 2.0)
    assert not Seen(tmp_path).stamp(str(tmp_path), "whole")
    assert not Seen(tmp_path).stamp(str(tmp_path / "none"), "whole")
    monkeypatch.setattr(seen, "YOUNG", -1.0)
    os.utime(path, (time.time() + 1000, time.time() + 1000))
    assert not Seen(tmp_path).stamp(str(tmp_path), "whole")


def test_a_list_that_is_torn_or_something_else_is_a_list_of_less(tmp_path):
    listed = Seen(tmp_path)
    for stamp in ("a" * 32, "b" * 32):
        listed.add(stamp)
    listed.save()
    path = tmp_path / "seen.txt"
    path.write_bytes(path.read_bytes()[:-10] + b"\xff\0")
    assert ["a" * 32 in Seen(tmp_path), "b" * 32 in Seen(tmp_path)] == [True, False]
    path.unlink()
    path.mkdir()
    again = Seen(tmp_path)
    again.add("c" * 32)
    again.save()
    again.forget()
    assert "c" * 32 not in Seen(tmp_path)


def test_a_list_does_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "LIMIT", 100)
    for number in range(10):
        listed = Seen(tmp_path)
        listed.add(f"{number:032}")
        listed.save()
    assert (tmp_path / "seen.txt").stat().st_size < 200
    assert f"{9:032}" in Seen(tmp_path)


def test_another_version_looks_for_itself(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    before = Seen(tmp_path).stamp(str(tmp_path), "whole")
    monkeypatch.setattr(seen, "__version__", "next")
    assert (
        Seen(tmp_path).stamp(str(tmp_path), "whole") != before != Seen(tmp_path).stamp(str(tmp_path), "facts")
    )


@pytest.mark.long
def test_copies_of_what_an_object_store_has_lost_are_sent_again(made, tmp_path, tiny_task, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    where = f"file://{tmp_path}/objects"
    run(tiny_task, where)
    assert run(tiny_task, where) == made[1]
    packed = sorted((tmp_path / "objects" / "steps").rglob("*.zip"))
    for path in packed:
        path.unlink()
    assert run(tiny_task, where) == made[1]
    scored = [p.parent.name for p in open_store(where).root.rglob("scores.json")]
    assert set(scored) <= {p.stem for p in (tmp_path / "objects" / "steps").rglob("*.zip")}


def _in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _by_rename(path: Path, content: bytes) -> None:
    other = path.parent.parent / "other"
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def _by_link(path: Path, content: bytes) -> None:
    other = path.parents[3] / f"other-{path.name}"
    other.write_bytes(content)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.unlink()
    os.link(other, path)


def _made_anew(path: Path, content: bytes) -> None:
    path.unlink()  # the new one may have the number of the old one
    path.write_bytes(content)


def _by_symlink(path: Path, content: bytes) -> None:
    other = path.parents[3] / f"linked-{path.name}"
    other.write_bytes(content)
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("name", ["mask.safetensors", "scores.json"])
def test_a_file_of_the_same_length_and_time_is_not_taken_for_the_one_that_was_looked_at(
    made, looked_at, tiny_task, name
):
    steps = plan.plan(asked(tiny_task), ())
    path = next(looked_at.root.joinpath("steps").rglob(name))
    whole, facts = path.read_bytes(), path.stat()
    shutil.copytree(path.parent, looked_at.root.parent / "kept")
    for way in (_in_place, _by_rename, _by_link, _made_anew, _by_symlink):
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        way(path, bytes(damaged))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
        assert [step.key for step in missing(steps, looked_at)][:1] == [path.parent.name], way.__name__
        shutil.copytree(looked_at.root.parent / "kept", path.parent)
        assert missing(steps, looked_at) == []  # and it is listed again


@pytest.mark.parametrize("command", [["cp", "-a"], ["rsync", "-a"]], ids=["cp", "rsync"])
def test_a_copy_of_a_store_is_looked_at_for_itself(looked_at, tiny_task, reads, tmp_path, command):
    """The list comes along, and says nothing of files that have other numbers and times."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    steps, other = plan.plan(asked(tiny_task), ()), LocalStore(tmp_path / "elsewhere" / "store")
    other.root.parent.mkdir()
    subprocess.run([*command, f"{looked_at.root}/", f"{other.root}/"], check=True)
    path = next(other.root.joinpath("steps").rglob("mask.safetensors"))
    rot(path)
    assert (other.root / "seen.txt").read_text() == (looked_at.root / "seen.txt").read_text()
    assert [step.key for step in missing(steps, other)] == [path.parent.name]
    assert missing(steps, looked_at) == []


def test_under_a_clock_that_was_set_back_nothing_is_trusted(looked_at, tiny_task, monkeypatch):
    """What changes now may get the times that a file had when it was looked at."""
    steps = plan.plan(asked(tiny_task), ())
    path = next(looked_at.root.joinpath("steps").rglob("mask.safetensors"))
    before = path.stat().st_ctime
    monkeypatch.setattr(seen, "YOUNG", 2.0)
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    assert not Seen(looked_at.root).stamp(str(path.parent), "whole")
    rot(path)
    assert [step.key for step in missing(steps, looked_at)] == [path.parent.name]


def test_weights_that_keep_their_mask_are_not_read_again_either(tiny_task, tmp_path, reads):
    """A training that rewires says which weights are left, so that a report asks for it."""
    steps = plan.plan(request.ask(tiny_task, ["rigl"], rounds=[1], metrics=["efficiency"]), ())
    network, store = plan.network(steps.request.task), LocalStore(tmp_path / "store")
    state = registry.get(Architecture, network.architecture).build(network).state_dict()
    pruned = {n: torch.ones_like(t, dtype=torch.bool) for n, t in state.items() if t.dim() > 1}
    files = {
        "weights.safetensors": safetensors.torch.save({n: t.clone() for n, t in state.items()}),
        "mask.safetensors": masks.packed({n: m for n, m in pruned.items() if not n.startswith("normalize.")}),
    }
    store.open()
    known = {"value": 1.0, "se": None, "n": 1, "variant": "", "reason": ""}
    values = [{"score": score.name, **known} for score in registry.get(Metric, "efficiency").scores]
    scores = json.dumps({"values": values, "degenerate": [], "forwards": 0}).encode()
    for step in steps.steps:
        held = {"scores.json": scores} if isinstance(step, Measure) else files
        store.put(step, held, {"seconds": 1.0, "environment": {}, "kept": 1, "total": 1, "collapsed": []})
    assert missing(steps, store) == []
    assert any(path.endswith("weights.safetensors") for path in reads)
    reads.clear()
    assert missing(steps, LocalStore(store.root)) == []
    assert {Path(path).name for path in reads if "/steps/" in path} == {"manifest.json", "meta.json"}
    keeper = next(step for step in steps.steps if isinstance(step, Train) and step.rewire is not None)
    rot(store.place(keeper.key) / "weights.safetensors")
    assert keeper.key in [step.key for step in missing(steps, store)]
