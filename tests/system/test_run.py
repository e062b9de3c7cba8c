"""A run writes its report, told twice is done once, and takes in methods of one's own."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import lthbench
from lthbench import registry
from lthbench.cli import main
from lthbench.errors import BadInput

TASK = str(Path(__file__).parents[1] / "tiny.toml")


def call(*words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(w) for w in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def run(folder: Path, *words: object) -> tuple[int, str, str]:
    """A run of the small task in this process, with store and report in ``folder``."""
    places = ("--store", folder / "store", "--report", folder / "report", "--workers", 0, "--device", "cpu")
    return call("run", "--task", TASK, *places, *words)


@pytest.fixture
def own_plugins(monkeypatch):
    """Plug-ins named by path are forgotten after the test."""
    monkeypatch.setattr(registry, "_paths", {})


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, str]:
    """A finished run of the small task, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    code, out, err = run(folder)
    assert code == 0, err
    return folder, out


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_run_writes_the_report_and_says_where(first):
    folder, out = first
    names = {"report.html", "report.md", "scores.csv", "run.json"}
    assert names <= contents(folder / "report").keys() <= names | {"scores.parquet", "pictures.json"}
    assert all(contents(folder / "report").values())
    assert "Dense parent: accuracy " in " ".join(out.split())
    assert f"Table  {folder / 'report' / 'scores.csv'}" in out


def test_the_same_run_again_does_nothing_and_says_the_same(first):
    folder, out = first
    before, log = contents(folder / "report"), (folder / "store" / "events.jsonl").read_bytes()
    code, again, err = run(folder)
    assert (code, again) == (0, out)
    assert "everything is stored; nothing to do" in err
    assert (folder / "store" / "events.jsonl").read_bytes() == log
    assert contents(folder / "report") == before


@pytest.mark.parametrize("source", ["report", "report/scores.csv"])
def test_a_report_written_again_has_the_same_bytes(first, tmp_path, source):
    folder, _ = first
    code, out, err = call("report", folder / source, "--out", tmp_path / "again")
    assert (code, err) == (0, "")
    assert contents(tmp_path / "again") == contents(folder / "report")
    assert sorted(Path(line).name for line in out.splitlines()) == sorted(contents(folder / "report"))


def test_a_report_is_written_beside_its_table_in_the_formats_asked_for(first, tmp_path):
    for name in ("scores.csv", "run.json"):
        (tmp_path / name).write_bytes((first[0] / "report" / name).read_bytes())
    assert call("report", tmp_path / "scores.csv", "--format", "md")[0] == 0
    assert contents(tmp_path).keys() == {"scores.csv", "run.json", "report.md"}
    code, _, err = call("report", tmp_path, "--format", "htm")
    assert (code, "Did you mean html?" in err) == (2, True)


@pytest.mark.parametrize("source", ["absent", "."])
def test_a_report_of_what_is_no_run_is_refused(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("report", source)
    assert code == 2
    assert f"{source}: has no scores.csv" in err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\n "seeds"', '\n "seds"'),
        ('"aspects"', '"aspcts"'),
        ('"environments": [', '"environments": [1, '),
        ('"networks": {', '"networks": [], "n": {'),
        ('"spread_of"', '"spred_of"'),
    ],
)
def test_facts_that_were_changed_are_refused_and_nothing_is_written(first, tmp_path, old, new):
    source = first[0] / "report"
    text = (source / "run.json").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "run.json").write_text(text.replace(old, new, 1), encoding="utf-8")
    (tmp_path / "scores.csv").write_bytes((source / "scores.csv").read_bytes())
    before = contents(tmp_path)
    code, out, err = call("report", tmp_path)
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'run.json'}: " in err
    assert contents(tmp_path) == before


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")
def test_the_report_is_written_even_where_the_verdict_cannot_be_printed(first, tmp_path):
    words = ("--store", first[0] / "store", "--progress", "none", "--workers", 0, "--device", "cpu")
    command = ["run", "--task", TASK, "--report", tmp_path / "report", *words]
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "lthbench", *map(str, command)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (process.returncode, process.stderr) == (1, "Error: standard output: No space left on device\n")
    assert contents(tmp_path / "report") == contents(first[0] / "report")


def test_a_run_without_report_writes_none(first, tmp_path):
    words = ("--store", first[0] / "store", "--no-report", "--progress", "none")
    code, out, err = run(tmp_path, *words)
    assert (code, err) == (0, "")
    assert "Table" not in out
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- own methods


METHOD = """
from lthbench.kinds import Criterion, Method

def smallest(model, batches, generator):
    \"\"\"Score -|w|.\"\"\"
    from lthbench.masks import prunable
    return {name: -weight.detach().abs() for name, weight in prunable(model).items()}

SMALLEST = Criterion("smallest", 1, smallest)
def ticket(cell):
    return cell.train(cell.rewound, cell.prune(cell.dense, SMALLEST))

METHOD = Method("worst-first", "t", "f", "s", "c", ticket, SMALLEST)
"""


def test_a_method_of_ones_own_is_run_by_its_path(first, tmp_path, own_plugins):
    path = tmp_path / "mine.py"
    path.write_text(METHOD, encoding="utf-8")
    words = (
        "--store",
        first[0] / "store",
        "--methods",
        f"omp,{path}",
        "--rounds",
        "1",
        "--metrics",
        "accuracy",
    )
    code, out, err = run(tmp_path, *words)
    assert code == 0, err
    assert "worst-first" in out
    rows = (tmp_path / "report" / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert sum(",worst-first," in row for row in rows) == 1 == sum(",omp," in row for row in rows)


def test_a_method_of_ones_own_that_raises_is_reported(first, tmp_path, own_plugins):
    path = tmp_path / "raising.py"
    raising = METHOD.replace("    from lthbench.masks import prunable", "    raise ValueError('kaboom')")
    path.write_text(raising, encoding="utf-8")
    words = (
        "--store",
        tmp_path / "store",
        "--methods",
        f"omp,{path}",
        "--rounds",
        "1",
        "--metrics",
        "accuracy",
    )
    code, _, err = run(tmp_path, *words)
    assert code == 1
    assert "failed: ValueError: kaboom" in err
    assert "Traceback" not in err
    rows = (tmp_path / "report" / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert [r.split(",")[1] for r in rows if ",failed,ValueError: kaboom," in r] == ["worst-first"]
    assert [r.split(",")[1] for r in rows[1:] if ",failed," not in r] == ["dense", "omp"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("METHOD = (", "cannot be imported: SyntaxError"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("x = 1", "must define METHOD = Method(...)"),
        ("METHOD = 'imp'", "must define METHOD = Method(...)"),
        (METHOD.replace('"worst-first"', '"imp"'), "the name 'imp' is taken"),
        (METHOD.replace('"worst-first"', '"a:b, c"'), "name: letters, digits"),
        ("raise SystemExit(3)", "cannot be imported: "),
    ],
)
def test_a_broken_file_of_ones_own_is_refused(tmp_path, own_plugins, content, said):
    path = tmp_path / "broken.py"
    path.write_text(content, encoding="utf-8")
    code, _, err = run(tmp_path, "--methods", path)
    assert code == 2
    assert f"{path}: {said}" in err
    assert {p.name for p in tmp_path.iterdir()} <= {"broken.py", "__pycache__"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return cell.train", "raise RuntimeError('boom')  #", "method worst-first: RuntimeError: boom"),
        (
            "return cell.train",
            "return  #",
            "method worst-first: TypeError: ticket(cell) must return a training",
        ),
    ],
)
def test_a_method_of_ones_own_that_cannot_be_planned_is_refused(tmp_path, own_plugins, old, new, said):
    path = tmp_path / "broken.py"
    path.write_text(METHOD.replace(old, new), encoding="utf-8")
    code, _, err = run(tmp_path, "--methods", path)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert {p.name for p in tmp_path.iterdir()} <= {"broken.py", "__pycache__"}


def test_a_negative_number_of_workers_is_refused(tmp_path):
    with pytest.raises(BadInput, match="workers: must not be negative"):
        lthbench.run(TASK, store=tmp_path / "store", workers=-1)
    assert list(tmp_path.iterdir()) == []
