"""``run --collect``: what a store holds of a table, which stays as it is, and what is missing."""

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lthbench
from lthbench.cli import main
from lthbench.data import loading
from lthbench.errors import BadInput, Damaged
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.results import table as tables
from lthbench.spec import Measure, Train, mask_keeper
from lthbench.store import LocalStore, Snapshot, layout, open_store

TASK = str(Path(__file__).parents[1] / "tiny.toml")
GRID = ("--task", TASK, "--sparsity", 0.5, "--seeds", 2, "--metrics", "accuracy,nll")
ASKED = ("--methods", "omp,random", *GRID)


def run(folder, *words):
    """The exit code of a run in this process, with store and report in ``folder``."""
    places = ("--store", folder / "store", "--report", folder / "report", "--workers", 0, "--device", "cpu")
    try:
        main([str(word) for word in ("run", *places, *words)])
    except SystemExit as end:
        return end.code or 0
    return 0


def stored(folder):
    """All that a run needs of a store: each file, and when it was written."""
    files = (path for path in (folder / "store").rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if path.name != "seen.txt"}


def told(folder):
    """What a report says but for the time that it took."""
    facts = json.loads((folder / "report" / "run.json").read_text())
    facts["seconds"] = {}
    text = (folder / "report" / "report.md").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("- worker time")]
    return (folder / "report" / "scores.csv").read_bytes(), facts, lines


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """A store that has one of two methods."""
    folder = tmp_path_factory.mktemp("part")
    assert run(folder, "--methods", "omp", *GRID, "--no-report") == 0
    return folder


@pytest.fixture
def copied(part, tmp_path):
    """A copy of it, for tests that change it."""
    shutil.copytree(part / "store", tmp_path / "store")
    return tmp_path


def test_what_is_there_is_reported_and_what_is_missing_is_told(part, capsys):
    before = stored(part)
    assert run(part, *ASKED, "--collect") == 0
    assert stored(part) == before
    out, err = capsys.readouterr()
    said = "4 of 6 networks have all their scores, and 8 of 12 scores are there."
    assert said in " ".join(out.split())
    assert said in " ".join(err.split())
    assert "missing are 2 trainings, 4 measures" in err
    assert "Networks that lack scores: random 2 of 2." in " ".join(err.split())
    again = err.partition("Go on with:\n")[2].replace("\\\n", "").split()
    assert again[:2] == ["lthbench", "run"]
    assert again[-len(ASKED) :] == [str(word) for word in ASKED]
    table = pd.read_csv(part / "report" / "scores.csv", keep_default_na=False)
    assert set(table.loc[table["method"] != "random", "status"]) == {"ok"}
    assert set(table.loc[table["method"] == "random", "status"]) == {"missing"}
    for name in ("report.md", "report.html"):
        assert said in (part / "report" / name).read_text()


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(copied, tmp_path_factory, capsys):
    assert run(copied, *ASKED, "--collect") == 0
    assert run(copied, *ASKED) == 0
    whole = tmp_path_factory.mktemp("whole")
    assert run(whole, *ASKED) == 0
    assert told(copied) == told(whole)
    shutil.rmtree(LocalStore(copied / "store").place(a_measure().key))
    capsys.readouterr()
    assert run(copied, *ASKED, "--collect") == 2, "the report that is finished stays"
    assert "has the report of this command finished" in capsys.readouterr().err
    assert told(copied) == told(whole)
    assert run(copied, *ASKED) == 0
    capsys.readouterr()
    assert run(copied, *ASKED, "--collect") == 0
    assert told(copied) == told(whole)
    assert "Go on with" not in capsys.readouterr().err


@pytest.mark.parametrize("begun", [False, True])
def test_where_no_score_is_stored_nothing_is_written(tmp_path, capsys, begun):
    if begun:
        LocalStore(tmp_path / "store").open()
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path, *ASKED, "--collect") == 2
    assert "holds no score of this table yet (0 of 6 trainings are there)" in capsys.readouterr().err
    assert [path for path in sorted(tmp_path.rglob("*")) if "leases" not in path.parts] == before


def a_measure():
    """A step that both tables ask for."""
    steps = plan(ask(TASK, ["omp"], [0.5], seeds=2, metrics=["nll"]), loading.checked_folders(None)).steps
    return next(step for step in steps if isinstance(step, Measure))


def test_what_is_damaged_counts_as_missing_and_stays_where_it_is(copied, capsys):
    store, step = LocalStore(copied / "store"), a_measure()
    path = store.place(step.key) / "scores.json"
    path.write_bytes(path.read_bytes() + b" ")
    before = stored(copied)
    assert run(copied, "--methods", "omp", *GRID, "--collect") == 0
    assert stored(copied) == before
    table = pd.read_csv(copied / "report" / "scores.csv", keep_default_na=False)
    assert table.loc[table["status"] == "missing", "step"].tolist() == [step.key]
    assert (
        "stored 21 of 22 steps; missing are 0 trainings, 1 measure, 1 step in all" in capsys.readouterr().err
    )


def rewritten(store, step, **files):
    """Change files of an artefact, and its hashes with them."""
    folder = store.place(step.key)
    for name, content in files.items():
        (folder / f"{name}.json").write_bytes(layout.as_json(content))
    hashes = json.loads((folder / "manifest.json").read_text())["files"]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in hashes}
    (folder / "manifest.json").write_bytes(layout.manifest_text(step.key, hashes))


def test_what_is_no_result_of_its_step_counts_as_missing_and_stays_where_it_is(copied):
    store, step = LocalStore(copied / "store"), a_measure()
    rewritten(store, step, scores=[])
    before = stored(copied)
    assert run(copied, "--methods", "omp", *GRID, "--collect") == 0
    assert stored(copied) == before
    table = pd.read_csv(copied / "report" / "scores.csv", keep_default_na=False)
    assert table.loc[table["status"] == "missing", "step"].tolist() == [step.key]


def test_where_all_scores_are_there_and_facts_are_not_that_is_told(copied, capsys):
    rewritten(LocalStore(copied / "store"), a_measure().subject, meta={})
    before = stored(copied)
    assert run(copied, "--methods", "omp", *GRID, "--collect") == 0
    assert stored(copied) == before
    out, err = capsys.readouterr()
    assert "not finished" not in out
    assert "All scores are there; other steps, of which pictures and facts are told, are missing." in err
    assert "Go on with:" in err
    assert "missing are 1 training, 0 measures, 1 step in all" in err


def test_trainings_that_are_there_are_counted_where_no_score_is(copied, capsys):
    for path in [p.parent for p in (copied / "store").rglob("scores.json")]:
        shutil.rmtree(path)
    assert run(copied, "--methods", "omp", *GRID, "--collect") == 2
    assert "no score of this table yet (4 of 4 trainings are there)" in capsys.readouterr().err
    assert not (copied / "report").exists()


def test_nobody_deletes_what_is_collected_meanwhile(copied, monkeypatch):
    store, build, refused = LocalStore(copied / "store"), tables.build, []

    def built(*given):
        with pytest.raises(BadInput, match="is in use by process"), store.leases().alone("here"):
            pass
        refused.append(given)
        return build(*given)

    monkeypatch.setattr(tables, "build", built)
    assert run(copied, *ASKED, "--collect") == 0
    assert len(refused) == 1


def test_it_is_done_beside_a_run_and_sees_one_moment(copied):
    store = LocalStore(copied / "store")
    with store.in_use("run"):
        assert run(copied, *ASKED, "--collect") == 0
    step = a_measure()
    seen = Snapshot(store, [step])
    assert store.has(step)
    assert not seen.has(step)
    for look in (seen.files, seen.meta, lambda absent: seen.read(absent, "scores.json")):
        with pytest.raises(Damaged, match="is not there"):
            look(step)


def test_seeds_that_were_added_are_collected_up_to_the_first_look_that_lacks_some(copied):
    assert run(copied, "--methods", "omp", *GRID, "--until-decided", 5, "--collect") == 0
    facts = json.loads((copied / "report" / "run.json").read_text())
    assert (facts["seeds"], "ended" in facts) == ([0, 1, 2], False)
    table = pd.read_csv(copied / "report" / "scores.csv", keep_default_na=False)
    assert set(table.loc[table["status"] == "missing", "seed"]) == {2}
    text = (copied / "report" / "report.md").read_text()
    assert "omp: no verdict: dense is measured for 2 of 3 seeds so far." in text
    assert not any(why in text for why in ("All is decided", "The most seeds", "No more seeds"))


def test_as_json_it_tells_how_much_is_there(part, capsys):
    assert run(part, *ASKED, "--collect", "--no-report", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["finished"], found["so_far"]["scores"]) == ("unfinished", False, 8)
    assert (found["steps"]["done"], found["steps"]["missing"]) == (0, 10)
    (random,) = (n for n in found["networks"] if n["method"] == "random")
    assert random["passes"] is None
    assert random["said"] == "No verdict yet: 2 of 2 scores cannot be compared with dense."


def test_nothing_is_fetched(part, capsys):
    assert run(part, *ASKED, "--collect", "--download") == 2
    assert "leave --download out" in capsys.readouterr().err


def test_a_network_that_is_not_there_yet_is_neither_exported_nor_timed(copied, capsys):
    assert run(copied, *ASKED, "--collect") == 0
    report, store = str(copied / "report"), ("--store", str(copied / "store"))
    for words in (["export", "random", "0.5", "--from", report], ["latency", report]):
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            main([*words, *store])
        assert "run its command to the end where it is not finished" in capsys.readouterr().err


def test_from_python_what_is_missing_has_that_status(part, tmp_path):
    asked: dict[str, Any] = {"sparsities": [0.5], "seeds": 2, "metrics": ["accuracy", "nll"], "device": "cpu"}
    table = lthbench.run(TASK, ["omp", "random"], store=part / "store", collect=True, **asked)
    assert table.groupby("method")["status"].agg(set).to_dict() == {
        **{"dense": {"ok"}, "omp": {"ok"}},
        "random": {"missing"},
    }
    asked["collect"] = "yes"
    with pytest.raises(BadInput, match="collect: expected True or False"):
        lthbench.run(TASK, ["omp"], store=tmp_path / "store", **asked)
    assert list(tmp_path.iterdir()) == []


def test_of_a_store_at_a_url_copies_here_count_and_none_is_sent(part, tmp_path, capsys):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    url = "memory://collected"
    store = open_store(url)
    store.open()
    shutil.copytree(part / "store" / "steps", store.root / "steps", dirs_exist_ok=True)
    words = ("--methods", "omp", *GRID, "--store", url)

    def steps():
        return sorted(
            name for name in fsspec.filesystem("memory").find("/collected") if "/leases/" not in name
        )

    before = steps()
    assert before == ["/collected/store.json"]
    for _ in range(2):  # what was seen to be whole is looked at otherwise
        assert run(tmp_path, *words, "--collect") == 0
        assert steps() == before
    table = pd.read_csv(tmp_path / "report" / "scores.csv", keep_default_na=False)
    assert set(table["status"]) == {"ok"}
    assert run(tmp_path, *words) == 0, "a run sends them"
    before = [name for name in steps() if a_measure().key not in name]
    assert len(steps()) == len(before) + 1 > 10
    fsspec.filesystem("memory").rm(next(iter(set(steps()) - set(before))))
    assert run(tmp_path, *words, "--collect") == 0
    assert steps() == before
    assert "Go on with" not in capsys.readouterr().err


HOT = """
from pathlib import Path

from lthbench.kinds import Metric, Score, Value


def measure(context):
    if not Path({cooled!r}).exists():
        raise RuntimeError("it is too hot")
    return [Value("coolness", value=1.0, se=0.0, n=1)]


METRIC = Metric(
    name="coolness",
    version=1,
    title="coolness",
    formula="one",
    source="nobody",
    scores=(Score("coolness", "coolness", "fraction", True, 0.0, 1.0, "generalization"),),
    needs=("test",),
    measure=measure,
)
"""


def test_what_failed_is_told_with_its_reason_as_by_the_run_and_what_is_not_tried_yet_is_missing(
    copied, capsys
):
    hot = copied / "hot.py"
    hot.write_text(HOT.format(cooled=str(copied / "cooled")))
    few = ("--methods", "omp", *GRID[:-1], f"accuracy,nll,{hot}")
    assert run(copied, *few) == 1
    by_run = told(copied)
    capsys.readouterr()
    for _ in range(2):
        assert run(copied, *few, "--collect") == 1
        out, err = capsys.readouterr()
        assert "not finished" not in out
        assert "failed: metric coolness: RuntimeError: it is too hot" in err
        assert told(copied) == by_run
    assert run(copied, *few, "--collect", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["finished"]) == ("failed", True)
    assert found["failures"] == ["metric coolness: RuntimeError: it is too hot"]
    assert {n: found["steps"][n] for n in ("done", "failed", "missing")} == {
        **{"done": 0, "failed": 4, "missing": 0},
    }
    more = ("--methods", "omp,random", *few[2:])
    assert run(copied, *more, "--collect", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["finished"], found["steps"]["failed"]) == ("unfinished", False, 4)
    assert (found["so_far"]["scores"], found["so_far"]["failed"], found["so_far"]["networks"]) == (8, 4, 0)
    assert found["so_far"]["lacking"] == {"random": [2, 2]}
    table = pd.read_csv(copied / "report" / "scores.csv", keep_default_na=False)
    statuses = table.groupby(["method", "score"])["status"].agg(set).to_dict()
    assert statuses["omp", "coolness"] == statuses["dense", "coolness"] == {"failed"}
    assert statuses["random", "coolness"] == statuses["random", "nll"] == {"missing"}
    (copied / "cooled").touch()
    assert run(copied, *few) == 0, "it is tried again"
    capsys.readouterr()
    assert run(copied, *few, "--collect") == 0
    assert "failed" not in capsys.readouterr().err


def test_what_a_run_is_trying_again_has_not_failed(copied, capsys):
    hot = copied / "hot.py"
    hot.write_text(HOT.format(cooled=str(copied / "cooled")))
    asked = ("--methods", "omp", *GRID[:-1], f"accuracy,nll,{hot}")
    assert run(copied, *asked, "--no-report") == 1
    store = LocalStore(copied / "store")
    found = plan(ask(TASK, ["omp"], [0.5], seeds=2, metrics=["accuracy", "nll"]), ())
    entry = next(e for e in found.entries if (e.method, e.seed) == ("omp", 1))
    leases, name = store.leases(), f"score {entry.network.key}"
    another = {"host": "another", "machine": "another", "pid": 1, "mark": "theirs", "what": name}
    leases.folder.mkdir(exist_ok=True)
    leases.path(name).write_text(json.dumps(another))
    capsys.readouterr()
    assert run(copied, *asked, "--collect", "--json") == 1
    account = json.loads(capsys.readouterr().out)
    assert (account["state"], account["steps"]["failed"], account["steps"]["missing"]) == ("unfinished", 3, 1)
    table = pd.read_csv(copied / "report" / "scores.csv", keep_default_na=False)
    assert set(table[table["status"] == "missing"]["step"]) < set(table[table["seed"] == 1]["step"])
    leases.path(name).unlink()
    assert run(copied, *asked, "--collect", "--json") == 1
    account = json.loads(capsys.readouterr().out)
    assert (account["state"], account["steps"]["failed"]) == ("failed", 4)


def test_where_all_failed_that_is_reported_too(tmp_path, capsys):
    """A training that diverged, and what needs it: the store has no score, and the run's table says why."""
    wild = tmp_path / "tiny.toml"
    text = Path(TASK).read_text()
    wild.write_text(re.sub(r"(?m)^lr = .*$", "lr = 1e30", text))
    assert text != wild.read_text()
    asked = ("--methods", "omp", "--task", wild, *GRID[2:4], "--seeds", 1, "--metrics", "accuracy")
    assert run(tmp_path, *asked) == 1
    by_run = told(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, *asked, "--collect") == 1
    assert "failed: " in (err := capsys.readouterr().err)
    assert "What failed is tried again by:" in err
    assert told(tmp_path) == by_run


def test_what_an_unfinished_report_is_to_come_to_is_kept(tmp_path, capsys):
    """A network on its way to one that is asked for is not in the report: the run needs it all the same."""
    asked = ("--methods", "imp", "--task", TASK, "--rounds", 2, "--seeds", 1, "--metrics", "accuracy")
    assert run(tmp_path, *asked, "--no-report") == 0
    store = LocalStore(tmp_path / "store")
    made = plan(ask(TASK, ["imp"], rounds=[2], metrics=["accuracy"]), ())
    last = next(entry for entry in made.entries if entry.method == "imp")
    late = (mask_keeper(last.network), last.network, *(s for s in made.steps if last.network in s.needs()))
    for step in late:
        shutil.rmtree(store.place(step.key))
    there = store.listed()
    assert sum(step.key in there for step in made.steps if isinstance(step, Train)) == 2
    assert run(tmp_path, *asked, "--collect") == 0
    report, where = str(tmp_path / "report"), ("--store", str(tmp_path / "store"))
    main(["store", "prune", "--keep", report, "--yes", *where])
    main(["store", "export", str(tmp_path / "out.zip"), "--for", report, *where])
    assert store.listed() == there
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {key for key in there if any(key in name for name in archive.namelist())} == there
    facts = json.loads((tmp_path / "report" / "run.json").read_text())
    facts["requests"][0]["metrics"] = ["nll"]
    (tmp_path / "report" / "run.json").write_text(json.dumps(facts))
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(["store", "prune", "--keep", report, "--yes", *where])
    said = "is not finished, and what its run needs is not known here"
    err = " ".join(capsys.readouterr().err.split())
    assert said in err
    assert "or give what lthbench plan --json prints of it." in err
    with pytest.raises(SystemExit, match="2"):
        main(["store", "export", str(tmp_path / "more.zip"), "--for", report, *where])
    err = " ".join(capsys.readouterr().err.split())
    assert said in err
    assert "Run its command to the end, or export all of the store: leave out --for." in err
    assert not (tmp_path / "more.zip").exists()
    main(["store", "export", str(tmp_path / "more.zip"), *where])
    assert store.listed() == there
