"""``lthbench store``: what it counts, finds damaged, deletes, and carries to other stores and back."""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import time
import zipfile
from pathlib import Path

import click
import pytest

from lthbench import api, registry, report
from lthbench.cli import main
from lthbench.cli.needed import planned
from lthbench.errors import BadInput
from lthbench.planning import request
from lthbench.planning.disk_use import footprint
from lthbench.planning.plan import plan
from lthbench.results import table
from lthbench.store import LocalStore, archive, disk, layout, pruning
from lthbench.store.inventory import stock


def call(*words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(w) for w in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def made(tiny_task, tmp_path_factory) -> Path:
    """A folder with a store of two seeds, and a report on the first of them."""
    root = tmp_path_factory.mktemp("made")
    for seeds, name in ((2, "both"), (1, "first")):
        asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=seeds, metrics=["accuracy", "ece"])
        outcome = api.execute(asked, api.RunOptions(store=root / "store", device="cpu"))
        report.write(outcome.table, outcome.facts, root / name, formats=("csv",))
    return root


@pytest.fixture
def copy(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


def tree(store: Path) -> dict[str, bytes]:
    """All artefacts of a store, file by file."""
    steps = store / "steps"
    return {str(p.relative_to(steps)): p.read_bytes() for p in sorted(steps.rglob("*")) if p.is_file()}


def as_json(store: Path) -> dict:
    code, out, _ = call("store", "--store", store, "--json")
    assert code == 0
    account = json.loads(out)
    assert account.pop("free") > 0  # others write on the disk, too
    return account


# --------------------------------------------------------------------------------------------------- counts


def test_it_counts_what_is_there_with_and_without_its_index(copy):
    store = copy / "store"
    found = as_json(store)
    files = list((store / "steps").rglob("manifest.json"))
    assert sum(k["artefacts"] for k in found["kinds"].values()) == len(files)
    assert found["kinds"]["Train"]["artefacts"] == 4
    assert sum(k["bytes"] for k in found["kinds"].values()) == sum(map(len, tree(store).values()))
    index = sorted((store / "index.tsv").read_text().splitlines())
    (store / "index.tsv").unlink()
    assert as_json(store) == found
    assert sorted((store / "index.tsv").read_text().splitlines()) == index
    torn = "\n".join(index)[:-3] + "\n\xff\nnonsense\n" + "0" * 64 + "\tTrain\t12\n"
    (store / "index.tsv").write_text(torn, encoding="latin-1")
    assert as_json(store)["kinds"].keys() == found["kinds"].keys()


def test_it_counts_what_was_left_unfinished_or_put_aside(copy):
    store = LocalStore(copy / "store")
    (store.root / "tmp" / "another-1-00").mkdir()
    (store.root / "tmp" / "another-1-00" / "weights.safetensors").write_bytes(b"12345")
    key = "0" * 64
    folder = store.place(key)
    first = next(layout.places(store.root))[1]
    shutil.copytree(first, folder, ignore=shutil.ignore_patterns("manifest.json"))
    store.put_key_aside(list(layout.places(store.root))[1][0])
    found = as_json(store.root)
    assert (found["unfinished"]["entries"], found["damaged"]["entries"]) == (2, 1)
    code, out, _ = call("store", "--store", store.root)
    assert code == 0
    assert "lthbench store prune removes it" in out
    assert stock(store).half[folder] == sum(p.stat().st_size for p in folder.iterdir())
    assert key not in stock(store).artefacts


def test_a_store_that_is_not_there_or_none_is_refused(tmp_path):
    for words in ((), ("verify",), ("prune",), ("export", tmp_path / "x.zip")):
        code, _, err = call("store", *words, "--store", tmp_path / "absent")
        assert code == 2
        assert "absent: is not there" in err
    assert list(tmp_path.iterdir()) == []


def test_the_estimate_of_a_plan_is_near_what_it_takes(made, tiny_task):
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=2, metrics=["accuracy", "ece"])
    taken = sum(size for _, size in stock(LocalStore(made / "store")).artefacts.values())
    assert 0.7 < footprint(plan(asked, ()).steps) / taken < 1.6


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 100_000)
    code, _, err = call("run", "--task", tiny_task, "--store", tmp_path / "store", "--no-report")
    assert code == 2
    assert "the disk has 0.0001 GB free. Make room (lthbench store prune)" in err
    assert not (tmp_path / "store").exists()


def test_a_quota_holds_for_what_is_there_and_what_is_to_come(made, tiny_task, tmp_path, monkeypatch):
    words = ("run", "--task", tiny_task, "--no-report", "--workers", 0, "--store")
    monkeypatch.setenv("LTHBENCH_STORE_GB", "0.0001")
    code, _, err = call(*words, tmp_path / "store")
    assert code == 2
    assert "and of 0.0001 GB (LTHBENCH_STORE_GB) 0 GB are taken. Make room (lthbench store prune)" in err
    assert not (tmp_path / "store").exists()
    taken = stock(LocalStore(made / "store")).size()
    disk.room(LocalStore(tmp_path), 1000, "this")
    monkeypatch.setenv("LTHBENCH_STORE_GB", str(taken / 1e9))
    with pytest.raises(BadInput, match="LTHBENCH_STORE_GB"):
        disk.room(LocalStore(made / "store"), 1000, "this")
    monkeypatch.setenv("LTHBENCH_STORE_GB", "much")
    code, _, err = call(*words, tmp_path / "store")
    assert code == 2
    assert "LTHBENCH_STORE_GB=much: give a number of gigabytes" in err


# --------------------------------------------------------------------------------------------------- verify


def test_a_whole_store_is_whole(made):
    code, out, _ = call("store", "verify", "--store", made / "store")
    assert code == 0
    assert out == f"{len(stock(LocalStore(made / 'store')).artefacts)} artefacts are whole\n"


def test_every_flipped_bit_is_found(made, tmp_path):
    """A bit at a random place of a random file, of every kind of file, 300 times."""
    store, draw = LocalStore(made / "store"), random.Random(0)
    places = list(layout.places(store.root))
    seen = set()
    for n in range(300):
        key, folder = draw.choice(places)
        spoilt = tmp_path / f"{n}"
        shutil.copytree(folder, spoilt)
        path = draw.choice(sorted(spoilt.iterdir()))
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        assert layout.fault(folder, key) == ""
        assert layout.fault(spoilt, key) != "", path
        seen.add(path.name)
        shutil.rmtree(spoilt)
    assert seen >= {"manifest.json", "meta.json", "step.json", "weights.safetensors", "scores.json"}


def test_verify_names_what_is_damaged_and_a_run_makes_it_again(copy, tiny_task):
    store = copy / "store"
    whole = tree(store)
    victims = list((store / "steps").rglob("*.safetensors"))[::7]
    for path in victims:
        path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = call("store", "verify", "--store", store)
    assert code == 1
    damaged = [line for line in out.splitlines() if line.startswith("damaged: ")]
    assert len(damaged) == len(victims)
    assert all(any(p.parent.name in line and p.name in line for line in damaged) for p in victims)
    code, out, _ = call("store", "verify", "--store", store, "--aside")
    assert code == 1
    assert call("store", "verify", "--store", store)[0] == 0
    assert len(tree(store)) < len(whole)


def test_a_stray_file_and_a_link_are_found(copy, tmp_path):
    store = LocalStore(copy / "store")
    (key, folder), (other, second) = list(layout.places(store.root))[:2]
    (folder / "extra.py").write_text("x")
    assert layout.fault(folder, key) == "extra.py is not listed"
    shutil.move(second / "meta.json", tmp_path / "meta.json")
    (second / "meta.json").symlink_to(tmp_path / "meta.json")
    assert layout.fault(second, other) == "'meta.json' is no file of an artefact"


# ---------------------------------------------------------------------------------------------------- prune


def test_prune_keeps_what_a_report_needs_and_that_is_enough_to_make_it_again(copy, tiny_task):
    store = copy / "store"
    before = tree(store)
    code, dry, _ = call("store", "prune", "--store", store, "--keep", copy / "first", "--dry-run")
    assert code == 0
    assert tree(store) == before
    code, out, _ = call("store", "prune", "--store", store, "--keep", copy / "first", "--yes")
    assert code == 0, out
    after = tree(store)
    assert after.items() < before.items()
    gone = {name.split("/")[1] for name in before} - {name.split("/")[1] for name in after}
    assert {line.split("\t")[1] for line in dry.splitlines()[1:]} == gone
    assert as_json(store)["kinds"]["Train"]["artefacts"] == 2
    events = (store / "events.jsonl").read_bytes()
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "ece"])
    again = api.execute(asked, api.RunOptions(store=store, device="cpu"))
    assert (store / "events.jsonl").read_bytes() == events
    assert again.table.to_csv(index=False).encode() == (copy / "first" / "scores.csv").read_bytes()


def test_prune_and_export_keep_what_each_of_several_reports_needs(copy, tiny_task, tmp_path):
    """Reports of one seed each, which need no network of the other: both can be made again."""
    store = copy / "store"

    def run(seed, where):
        asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=[seed], metrics=["accuracy", "ece"])
        before = (where / "events.jsonl").read_bytes() if (where / "events.jsonl").exists() else b""
        outcome = api.execute(asked, api.RunOptions(store=where, device="cpu"))
        assert (where / "events.jsonl").read_bytes() == before, "nothing is done again"
        return outcome

    second = run(1, store)
    report.write(second.table, second.facts, copy / "second", formats=("csv",))
    reports = copy / "first", copy / "second"
    code, dry, _ = call("store", "prune", "--store", store, "--keep", reports[1], "--dry-run")
    assert "To delete" in dry
    kept = [word for each in reports for word in ("--keep", each)]
    code, out, _ = call("store", "prune", "--store", store, *kept, "--yes")
    assert (code, out) == (0, "There is nothing to delete.\n")
    both = [word for each in reports for word in ("--for", each)]
    assert call("store", "export", tmp_path / "both.zip", "--store", store, *both)[0] == 0
    assert call("store", "import", tmp_path / "both.zip", "--store", tmp_path / "new")[0] == 0
    (tmp_path / "new" / "events.jsonl").touch()
    for seed, name in enumerate(("first", "second")):
        made = run(seed, tmp_path / "new").table.to_csv(index=False).encode()
        assert made == (copy / name / "scores.csv").read_bytes()


def test_prune_keeps_what_a_plan_needs(copy, tiny_task):
    words = ("--task", tiny_task, "--methods", "omp", "--rounds", 1, "--seeds", "1,", "--metrics", "ece")
    code, text, _ = call("plan", *words, "--json")
    (copy / "plan.json").write_text(text)
    code, _, err = call("store", "prune", "--store", copy / "store", "--keep", copy / "plan.json", "--yes")
    assert code == 0, err
    kinds = as_json(copy / "store")["kinds"]
    stored = plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=[1], metrics=["ece"]), ()).steps
    assert sum(k["artefacts"] for k in kinds.values()) == sum(
        LocalStore(copy / "store").has(s) for s in stored
    )
    assert kinds["Measure"]["artefacts"] == 2


def test_a_plan_needs_what_its_last_look_does(tmp_path, tiny_task):
    grid = ("--task", tiny_task, "--methods", "omp", "--rounds", 1, "--metrics", "ece", "--budget", "quick")
    code, text, err = call("plan", *grid, "--seeds", 2, "--until-decided", 4, "--json")
    assert code == 0, err
    (tmp_path / "plan.json").write_text(text)
    last = plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=4, metrics=["ece"], budget="quick"), ())
    assert planned(tmp_path / "plan.json") == {step.key for step in last.steps}
    pretrained = json.loads(text)
    pretrained["request"] |= {"pretrained": "mine.pt", "start": {"digests": {"0": "a", "1": "b"}}}
    (tmp_path / "plan.json").write_text(json.dumps(pretrained))
    with pytest.raises(BadInput, match=r"adds seeds to networks that begin with mine\.pt"):
        planned(tmp_path / "plan.json")


def test_what_is_read_runs_no_plugin_that_was_not_named(copy, tiny_task, monkeypatch):
    path, ran = copy / "own.py", copy / "ran"
    path.write_text(
        "from lthbench.methods.omp import METHOD as omp\nimport dataclasses\n"
        f"open({str(ran)!r}, 'w').close()\n"
        "METHOD = dataclasses.replace(omp, name='mine')\n"
    )

    def fresh() -> None:
        ran.unlink(missing_ok=True)
        monkeypatch.setattr(registry, "_paths", {})
        for name in [n for n in sys.modules if n.startswith("lthbench_user_")]:
            monkeypatch.delitem(sys.modules, name)

    fresh()
    code, text, err = call("plan", "--task", tiny_task, "--methods", path, "--rounds", 1, "--json")
    assert code == 0, err
    assert ran.exists()
    plans = [copy / "plan.json", copy / "older.json"]
    plans[0].write_text(text)
    plans[1].write_text(json.dumps({"command": json.loads(text)["command"]}))
    before = tree(copy / "store")
    store = ("--store", copy / "store")
    for source in plans:
        for words in (("prune", "--keep", source, "--yes"), ("export", copy / "e.zip", "--for", source)):
            fresh()
            code, _, err = call("store", *words, *store)
            assert (code, ran.exists()) == (2, False)
            assert "Traceback" not in err
    fresh()
    code, _, err = call("store", "prune", "--keep", plans[0], *store, "--yes")
    assert f"asks for the method mine of {path}" in err
    assert f"name it on this command line: --plugin {path}" in err
    assert tree(copy / "store") == before
    assert not (copy / "e.zip").exists()
    code, out, err = call("store", "export", copy / "e.zip", "--for", plans[0], *store, "--plugin", path)
    assert (code, ran.exists()) == (0, True), err
    assert "artefacts to" in out


def test_prune_asks_and_does_nothing_on_no(copy, monkeypatch):
    before = tree(copy / "store")
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, _, err = call("store", "prune", "--store", copy / "store", "--keep", copy / "first")
        assert code == 1
        assert "Delete them?" in err
        assert "Nothing was deleted (--yes does not ask)." in err
        assert "Stopped" not in err
        assert tree(copy / "store") == before


def test_who_interrupts_the_question_of_prune_is_told_of_a_stop(copy, monkeypatch):
    before = tree(copy / "store")

    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    assert call("store", "prune", "--store", copy / "store", "--keep", copy / "first")[0] == 130
    assert tree(copy / "store") == before


def test_prune_without_keep_deletes_leftovers_alone(copy):
    store = LocalStore(copy / "store")
    before = tree(store.root)
    key, folder = next(layout.places(store.root))
    shutil.copytree(folder, store.root / "damaged" / f"{key}-0")
    code, out, _ = call("store", "prune", "--store", store.root, "--yes")
    assert code == 0, out
    assert "1 unfinished, damaged or spare" in out
    assert tree(store.root) == before
    assert call("store", "prune", "--store", store.root)[1] == "There is nothing to delete.\n"


def test_prune_refuses_where_it_cannot_know_what_is_needed(copy, tmp_path):
    store = copy / "store"
    before = tree(store)
    (tmp_path / "no.json").write_text("[]")
    assert call("store", "prune", "--store", store, "--keep", tmp_path / "no.json", "--yes")[0] == 2
    assert call("store", "prune", "--store", store, "--keep", tmp_path / "absent", "--yes")[0] == 2
    (tmp_path / "empty").mkdir()
    LocalStore(tmp_path / "other").open()
    code, _, err = call("store", "prune", "--store", tmp_path / "other", "--keep", copy / "first", "--yes")
    assert code == 2
    assert "holds nothing of it" in err
    measure = next((store / "steps").rglob("scores.json")).parent / "step.json"
    content = measure.read_bytes()
    measure.write_bytes(content[:50])
    code, _, err = call("store", "prune", "--store", store, "--keep", copy / "both", "--yes")
    assert code == 2
    assert "is damaged, so that what it needs is not known" in err
    measure.write_bytes(content)
    assert tree(store) == before


def test_prune_refuses_while_somebody_works(copy):

    store = LocalStore(copy / "store")
    with store.leases().held("train"):
        code, _, err = call("store", "prune", "--store", store.root, "--keep", copy / "first", "--yes")
    assert code == 2
    assert f"is in use by process {os.getpid()}" in err


# ---------------------------------------------------------------------------------------- export and import


@pytest.mark.parametrize("name", ["part.zip", "part"])
def test_what_is_exported_for_a_report_comes_back_and_makes_it_again(made, tmp_path, tiny_task, name):
    store, target = made / "store", tmp_path / name
    code, out, _ = call("store", "export", target, "--store", store, "--for", made / "first")
    assert code == 0, out
    code, out, _ = call("store", "import", target, "--store", tmp_path / "new")
    assert code == 0, out
    assert tree(tmp_path / "new").items() < tree(store).items()
    assert call("store", "verify", "--store", tmp_path / "new")[0] == 0
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "ece"])
    again = api.execute(asked, api.RunOptions(store=tmp_path / "new", device="cpu"))
    assert not (tmp_path / "new" / "events.jsonl").exists()
    assert again.table.to_csv(index=False).encode() == (made / "first" / "scores.csv").read_bytes()
    code, out, _ = call("store", "import", target, target, "--store", tmp_path / "new")
    assert code == 0
    assert [line.startswith("0 artefacts from") for line in out.splitlines()] == [True, True]


def test_two_exports_at_once_into_one_file_leave_a_whole_one(tmp_path, monkeypatch):
    store, target = LocalStore(tmp_path / "store"), tmp_path / "out.zip"
    store.open()
    inside: list[bool] = []

    def another_begins() -> bytes:
        if not inside:
            inside.append(True)
            archive.export(store, [], target)
        return layout.new_marker()

    monkeypatch.setattr(archive, "new_marker", another_begins)
    archive.export(store, [], target)
    assert zipfile.ZipFile(target).namelist() == ["store.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zip", "store"]


def test_all_of_a_store_is_the_same_zip_each_time(made, tmp_path):
    for name in ("a.zip", "b.zip"):
        assert call("store", "export", tmp_path / name, "--store", made / "store")[0] == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert call("store", "import", tmp_path / "a.zip", "--store", tmp_path / "new")[0] == 0
    assert tree(tmp_path / "new") == tree(made / "store")


def test_a_damaged_artefact_is_neither_exported_nor_imported(copy, tmp_path):
    other = copy / "other"
    shutil.copytree(copy / "store", other)
    path = next((other / "steps").rglob("weights.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for words in (
        ("export", tmp_path / "x.zip", "--store", other),
        ("import", other, "--store", tmp_path / "n"),
    ):
        code, out, _ = call("store", *words)
        assert code == 1
        assert f"refused: {path.parent.name}: weights.safetensors does not match its hash" in out
    assert call("store", "verify", "--store", tmp_path / "n")[0] == 0


def test_nothing_is_imported_where_one_of_several_files_is_none_of_a_store(init, tmp_path):
    store = LocalStore(tmp_path / "store")
    store.open()
    store.put(init, {"weights.safetensors": b"0123"}, {})
    archive.export(store, [init.key], tmp_path / "good.zip")
    (tmp_path / "bad.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as made:
        made.writestr("photo.png", b"x")
    (tmp_path / "folder").mkdir()
    for bad, why in (
        ("bad.zip", "no zip file"),
        ("other.zip", "no file of a store"),
        ("folder", "is no store"),
    ):
        words = ("import", tmp_path / "good.zip", tmp_path / bad, "--store", tmp_path / "new")
        code, _, err = call("store", *words)
        assert (code, why in err) == (2, True), err
        assert not (tmp_path / "new").exists()


def test_nothing_is_imported_where_one_of_several_files_is_not_there(made, tmp_path):
    code, _, err = call("store", "import", made / "store", tmp_path / "gone.zip", "--store", tmp_path / "new")
    assert code == 2
    assert "gone.zip: no such file" in err
    assert not (tmp_path / "new").exists()


KEY = "ab" + "0" * 62


@pytest.mark.parametrize(
    "name",
    [
        f"steps/ab/{KEY}/../../../../../escaped",
        f"/steps/ab/{KEY}/meta.json",
        "../escaped",
        f"steps/cd/{KEY}/meta.json",
        f"steps/ab/{KEY}/sub/meta.json",
        f"steps/ab/{KEY}/.hidden",
        f"steps\\ab\\{KEY}\\meta.json",
        "C:/escaped",
        f"steps/ab/{KEY}/a\nb",
        "",
    ],
)
def test_names_that_lead_elsewhere_are_refused_and_nothing_is_written(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"x")
    code, _, err = call("store", "import", tmp_path / "evil.zip", "--store", tmp_path / "deep" / "new")
    assert code == 2
    assert "is no file of a store; nothing was taken in" in err
    assert [p.name for p in tmp_path.iterdir()] == ["evil.zip"]


def test_links_of_a_foreign_folder_are_not_followed(copy, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    other = copy / "store"
    key, folder = next(layout.places(other))
    (folder / "meta.json").unlink()
    (folder / "meta.json").symlink_to(secret)
    moved = list(layout.places(other))[1][1]
    shutil.move(moved, tmp_path / "aside")
    moved.symlink_to(tmp_path / "aside")
    code, out, _ = call("store", "import", other, "--store", tmp_path / "new")
    assert code == 1
    assert f"refused: {key}: meta.json cannot be read" in out
    assert f"refused: {moved.name}: is a link" in out
    assert b"s" not in tree(tmp_path / "new").values()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"steps/ab/{KEY}/manifest.json", bytes(50_000_000))
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 10_000_000)
    with pytest.raises(BadInput, match=r"needs about 0\.05 GB"):
        archive.take_in(LocalStore(tmp_path / "new"), tmp_path / "bomb.zip")
    monkeypatch.undo()
    refused = archive.take_in(LocalStore(tmp_path / "new"), tmp_path / "bomb.zip").refused
    assert refused == {KEY: "manifest.json is too large"}
    assert list((tmp_path / "new" / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_store_of_a_hundred_thousand_artefacts_lists_in_two_seconds(made, tmp_path, capsys):
    store = LocalStore(tmp_path / "store")
    store.open()
    entries = []
    for n in range(100_000):
        key = f"{(n * 0x9E3779B97F4A7C15) % 2**64:016x}".zfill(64)[::-1]
        folder = store.place(key)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(b"")
        entries.append((key, layout.KINDS[n % len(layout.KINDS)], n))
    store.note(entries)
    began = time.process_time()  # others may keep the processor busy
    found = stock(store)
    seconds = time.process_time() - began
    assert len(found.artefacts) == 100_000
    assert found.size() == sum(range(100_000))
    assert seconds < 2.0
    with capsys.disabled():
        print(f"\n100,000 artefacts listed in {seconds:.2f} s of processor time")


# ------------------------------------------------------------------------------------ deleting beside a run


def test_prune_keeps_others_out_from_its_first_look_to_its_last_deletion(copy, monkeypatch):
    store, seen = LocalStore(copy / "store"), []

    for module, name in ((pruning, "stock"), (click, "confirm"), (pruning, "delete")):
        real = getattr(module, name) if name != "confirm" else (lambda *words, **how: True)
        monkeypatch.setattr(module, name, lambda *a, real=real, **k: (look_at(seen, store), real(*a, **k))[1])
    code, out, _ = call("store", "prune", "--store", store.root, "--keep", copy / "first")
    assert code == 0
    assert "Deleted" in out
    assert seen == [["upkeep"]] * 3
    assert list((store.root / "leases").iterdir()) == []


def look_at(seen: list[list[str]], store: LocalStore) -> None:
    seen.append([f["what"] for f in store.leases().others()])


def test_a_run_shows_itself_from_its_first_look_to_its_last(copy, tiny_task, monkeypatch):
    store, seen = LocalStore(copy / "store"), []
    for module, name in ((api, "missing"), (table, "build")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, **k: (look_at(seen, store), real(*a, **k))[1])
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "ece"])
    api.execute(asked, api.RunOptions(store=store.root, device="cpu"))
    assert [[what.partition(" ")[0] for what in whats] for whats in seen] == [["run"], ["run"]]
    assert list((store.root / "leases").iterdir()) == []
    with store.leases().working("run"):
        code, _, err = call("store", "prune", "--store", store.root, "--yes")
    assert code == 2
    assert "is in use by process" in err


# ----------------------------------------------------------------------------------------------------- JSON


def told(*words: object) -> tuple[int, dict]:
    """Exit code of a command, and the document that is all it prints."""
    code, out, _ = call("store", *words)
    return code, json.loads(out)


def test_verify_tells_what_is_damaged_as_json(copy):
    store = copy / "store"
    count = len(stock(LocalStore(store)).artefacts)
    whole = {"store": str(store), "whole": count, "damaged": [], "unread": []}
    assert told("verify", "--store", store, "--json") == (0, whole)
    victim = next((store / "steps").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-1])
    code, found = told("--store", store, "--json", "verify", "--aside")
    assert (code, found["whole"]) == (1, count - 1)
    (damaged,) = found["damaged"]
    assert victim.parent.name in damaged["what"]
    assert victim.name in damaged["reason"]
    assert told("verify", "--store", store, "--json") == (0, {**whole, "whole": count - 1})


def test_export_and_import_tell_what_they_carried_as_json(copy, tmp_path):
    store, part, other = copy / "store", tmp_path / "part.zip", tmp_path / "other"
    victim = next((store / "steps").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-1])
    code, found = told("export", part, "--store", store, "--json")
    count = len(list(layout.places(store))) - 1
    (refused,) = found.pop("refused")
    assert (code, refused["artefact"]) == (1, victim.parent.name)
    size = part.stat().st_size
    assert found == {"store": str(store), "target": str(part), "artefacts": count, "bytes": size, "there": 0}
    code, found = told("import", part, part, "--store", other, "--json")
    assert (code, found["store"]) == (0, str(other))
    assert [(s["source"], s["artefacts"], s["there"], s["refused"]) for s in found["sources"]] == [
        (str(part), count, 0, []),
        (str(part), 0, count, []),
    ]


def test_prune_tells_what_it_deletes_as_json(copy):
    store, words = copy / "store", ("--keep", copy / "first", "--json")
    before = len(stock(LocalStore(store)).artefacts)
    code, found = told("prune", "--store", store, *words, "--dry-run")
    gone = len(found["delete"])
    assert (code, found["deleted"], found["stay"]) == (0, False, before - gone)
    assert sum(part["bytes"] for part in found["delete"]) == found["bytes"] > 0
    assert told("prune", "--store", store, *words, "--yes") == (0, {**found, "deleted": True})
    code, left = told("prune", "--store", store, *words)
    assert (code, left["delete"], left["stay"]) == (0, [], before - gone)
