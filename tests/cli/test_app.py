"""The command line: what it prints, what it refuses, and that a run told twice is done once."""

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import lthbench
from lthbench import contract, registry
from lthbench.cli import options
from lthbench.cli.app import cli, main
from lthbench.kinds import Method
from lthbench.verdict import calibration

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


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("words", "offender", "nearest"),
    [
        (("--task", "digit-r8"), 'no task "digit-r8"', "Did you mean digits-r8?"),
        (("--task", "absent.toml"), "no task file absent.toml", ""),
        (("--methods", "ipm"), 'no method "ipm"', "Did you mean imp?"),
        (("--methods", "omp,snp"), 'no method "snp"', "Did you mean snip?"),
        (("--methods", "absent.py"), "no method file", "absent.py"),
        (("--metrics", "acuracy"), 'no metric "acuracy"', "Did you mean accuracy?"),
        (("--budget", "quik"), 'no budget "quik"', "Did you mean quick?"),
        (("--rule", "papr"), 'no rule "papr"', "Did you mean paper?"),
        (("--device", "gpu"), 'no device "gpu"', "Valid: auto, cpu, cuda, cuda:N"),
        (("--device", "cuda:x"), 'no device "cuda:x"', "Valid: auto, cpu"),
        (("--device", "cpu:"), 'no device "cpu:"', "Valid: auto, cpu"),
        (("--sparsity", "0"), "sparsity 0 must lie between 0 and 1", "share of weights removed"),
        (("--sparsity", "1"), "sparsity 1 must lie between 0 and 1", ""),
        (("--sparsity", "0.5,1.5"), "sparsity 1.5 must lie between 0 and 1", ""),
        (("--sparsity", "0.9999999999999"), "must lie between 0 and 1", ""),
        (("--sparsity", "1e-13"), "sparsity 1e-13 must lie between 0 and 1", ""),
        (("--sparsity", "nan"), "sparsity nan must lie between 0 and 1", ""),
        (("--sparsity", "-0.5"), "sparsity -0.5 must lie between 0 and 1", ""),
        (("--sparsity", "abc"), "'abc' is not a sparsity such as 0.9", "--sparsity"),
        (("--sparsity", ","), "give at least one", "--sparsity"),
        (("--sparsity", "0.5", "--rounds", "1"), "give --sparsity or --rounds, not both", ""),
        (("--rounds", "0"), "round 0 must be 1..4", ""),
        (("--rounds", "5"), "round 5 must be 1..4", "task tiny"),
        (("--rounds", "3-1"), "'3-1' is not a whole number or a range", "--rounds"),
        (("--rounds", "1.5"), "'1.5' is not a whole number or a range", "--rounds"),
        (("--seeds", "0"), "at least one seed is needed", ""),
        (("--seeds", "-1"), "none below 0", ""),
        (("--seeds", "9" * 30), "at most 10,000 seeds", ""),
        (("--seeds", f"{2**63},"), "none above 9223372036854775807", ""),
        (("--seeds", "two"), "'two' is not a whole number or a range", "--seeds"),
        (("--workers", "-1"), "--workers", "0<=x<=256"),
        (("--progress", "loud"), "'loud'", "'plain'"),
        (("--data", "absent-folder"), "--data absent-folder: no such folder", ""),
        (("--methds", "imp"), "--methds", "--methods"),
        (("--methods", "-imp,omp"), 'no method "-imp"', "Did you mean imp?"),
        (("--metrics", "-lime,mce"), "-lime is to be left out", "and mce to be measured"),
        (("--metrics", "-lmie"), 'no metric "lmie"', "Did you mean lime?"),
        (
            ("--task", "tinny", "--methods", "sinp", "--metrics", "-lmie"),
            'no task "tinny"',
            'no metric "lmie"',
        ),
        (("--task", "tinny", "--methods", "sinp", "--metrics", "ece"), 'no method "sinp"', "mean snip"),
        (("stray",), "stray", ""),
    ],
)
def test_bad_input_is_named_with_what_would_be_right_and_nothing_is_written(
    tmp_path, words, offender, nearest
):
    code, out, err = run(tmp_path, *words)
    assert code == 2
    assert offender in err
    assert nearest in err
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", ['dataset = "digits"', 'ood = ["photo-patches"]', 'architecture = "resnet8"'])
def test_unknown_names_in_a_task_file_are_refused_and_nothing_is_written(tmp_path, old):
    changed = old.replace("digits", "digitz").replace("photo-patches", "photo-patch").replace("net8", "net88")
    path = tmp_path / "task.toml"
    path.write_text(Path(TASK).read_text(encoding="utf-8").replace(old, changed), encoding="utf-8")
    code, _, err = run(tmp_path, "--task", path)
    assert code == 2
    assert re.search(r"Did you mean (digits|photo-patches|resnet8)\?", err)
    assert [p.name for p in tmp_path.iterdir()] == ["task.toml"]


def test_a_device_that_torch_does_not_see_is_refused_and_nothing_is_written(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a CUDA device here")
    code, _, err = run(tmp_path, "--device", "cuda")
    assert code == 2
    assert "device cuda: torch" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("metrics", "accuracy"), ["looks at", "formula", "fraction", "higher is better, in the verdict"]),
        (("methods", "snip"), ["prunes by", "training images of each class", "source"]),
        (("tasks", "c10-r20s"), ["cifar10; out of distribution: ", "rounds", "48.8 %", "quick"]),
    ],
)
@pytest.mark.parametrize("columns", [60, 200])
def test_one_name_has_a_page_that_fits_the_terminal(words, said, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = call(*words)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= min(columns, 100)
    flat = " ".join(out.split())
    assert [s for s in said if s not in flat] == []
    assert out.startswith(f"{words[1]}: ")
    assert "{" not in out


@pytest.mark.parametrize("plural", ["metrics", "methods", "tasks"])
def test_everything_that_is_listed_has_a_page(plural):
    for row in json.loads(call(plural, "--json")[1]):
        code, out, err = call(plural, row[plural[:-1]])
        assert code == 0, err
        assert out.count("\n") > 4


def test_tasks_name_the_calibrated_budgets_also_those_in_bfloat16(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    row = next(r for r in json.loads(call("tasks", "--json")[1]) if r["task"] == "c10-r20s")
    names = [f"{name}{end}" for name in ("quick", "short", "standard", "paper") for end in ("", "-bf16")]
    assert row["budgets"].split(", ") == names
    counts = {name: len(c.seeds) for name in names if (c := calibration.shipped("c10-r20s", name))}
    assert set(counts) >= {"quick", "standard-bf16"}
    assert row["calibrated"] == ", ".join(f"{name} ({count})" for name, count in counts.items())
    listed = next(line for line in call("tasks")[1].splitlines() if line.startswith("c10-r20s"))
    shown = [name for name in names if name in counts or not name.endswith("-bf16")]
    assert listed.endswith(", ".join(f"{n} ({counts[n]})" if n in counts else n for n in shown))
    page = " ".join(call("tasks", "c10-r20s")[1].split())
    assert "in bfloat16 quick-bf16, short-bf16, standard-bf16 and paper-bf16: the same recipes" in page
    for name, count in counts.items():
        assert f"{name} ({count} dense trainings)" in page
    told = json.loads(call("tasks", "c10-r20s", "--json")[1])
    assert told["calibrated"] == counts
    assert told["in bfloat16"] == names[1::2]
    assert "calibrated no budget" in " ".join(call("tasks", "c10-r18")[1].split())


def test_a_metric_tells_its_version_and_the_margins_of_what_the_verdict_asks_for():
    told = json.loads(call("metrics", "mce", "--json")[1])
    asked = [s for s in told["scores"] if s["verdict"]]
    page = " ".join(call("metrics", "mce")[1].split())
    assert f"version {told['version']} " in page
    assert page.count("margin of ") == len(asked) < len(told["scores"])
    for score in asked:
        assert f"margin of {score['name']}: {score['margin']:g}: {score['margin_reason']}" in page
    assert "margin of efficiency" not in call("metrics", "efficiency")[1]


@pytest.mark.parametrize("plural", ["tasks", "methods", "metrics", "datasets", "architectures"])
def test_an_unknown_name_in_a_listing_is_refused(plural):
    code, _, err = call(plural, "nothing-like-it")
    assert code == 2
    assert f'no {plural.removesuffix("s")} "nothing-like-it"' in err


def test_a_dataset_of_a_similar_name_is_suggested():
    assert "Did you mean cifar10?" in call("datasets", "cifar1O")[2]


@pytest.mark.parametrize("kind", ["report", "store"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, kind):
    (tmp_path / kind).write_text("x")
    code, _, err = run(tmp_path)
    assert code == 2
    assert f"{tmp_path / kind}: is a file; give a folder" in err
    assert [p.name for p in tmp_path.iterdir()] == [kind]


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("x")
    code, out, err = run(tmp_path, "--report", tmp_path / "file" / "deeper" / "report")
    assert (code, out) == (2, "")
    assert f"cannot be made; {tmp_path / 'file'} is a file" in err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_store_that_holds_other_things_is_refused(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "notes.txt").write_text("x")
    code, _, err = run(tmp_path)
    assert code == 2
    assert "holds other things (notes.txt)" in err
    assert not (tmp_path / "report").exists()


# ------------------------------------------------------------------------------------- help and listings


@pytest.mark.parametrize("command", [[], *[[name] for name in cli.commands]])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(command, flag):
    code, out, err = call(*command, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: lthbench {' '.join(command)}".strip())
    assert len(out.splitlines()) > 5


def test_the_version_is_that_of_the_package():
    assert call("--version")[1] == f"lthbench, version {lthbench.__version__}\n"


def test_the_listing_of_methods_has_every_variant_and_a_variant_can_be_described():
    listed = call("methods")[1].replace(",", " ").split()
    for record in registry.every(Method):
        assert all(f"{record.name}:{variant}" in listed for variant in record.variants)
    assert call("methods", "filter:l2")[1] == call("methods", "filter")[1]
    code, _, error = call("methods", "filter:l3")
    assert code == 2
    assert "Did you mean filter:l2?" in error


@pytest.mark.parametrize(
    ("plural", "columns"),
    [(kind, 80) for kind in ("tasks", "methods", "metrics", "architectures", "datasets")] + [("tasks", 200)],
)
def test_listings_fit_the_terminal(plural, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    # A path that is longer than the terminal has a line of its own, whole.
    lines = [line for line in call(plural)[1].splitlines() if " " in line.strip()]
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("typed", ["0.9", "90", "90%", "90 %", " 90.0 % "])
def test_a_sparsity_is_a_share_or_per_cent(typed):
    assert options.Sparsity().convert(typed, None, None) == 0.9
    assert options.Sparsities().convert(f"0.5,{typed}", None, None) == [0.5, 0.9]


def test_a_sparsity_in_per_cent_is_the_share_that_one_would_type():
    for tenths in range(20, 1000):
        share = options.Sparsity().convert(f"{tenths / 10}", None, None)
        assert share == float(f"{tenths / 1000:.15g}")


@pytest.mark.parametrize("typed", ["abc", "90 % or so", ""])
def test_what_is_no_sparsity_is_refused(typed):
    code, _, err = call("plan", "--task", TASK, "--sparsity", typed)
    assert code == 2
    assert "is not a sparsity such as 0.9 or 90 %" in err or "give at least one" in err


@pytest.mark.parametrize(
    ("plural", "name", "key"),
    [
        ("tasks", "digits-r8", "grid"),
        ("methods", "snip", "criterion"),
        ("metrics", "accuracy", "scores"),
        ("datasets", "digits", "classes"),
        ("architectures", "resnet8", "layer"),
    ],
)
def test_listings_and_descriptions_are_json_when_asked(plural, name, key):
    rows = json.loads(call(plural, "--json")[1])
    assert name in {next(iter(row.values())) for row in rows}
    one = json.loads(call(plural, name, "--json")[1])
    assert one["name"] == name
    assert key in one
    code, text, _ = call(plural)
    assert code == 0
    assert all(next(iter(row.values())) in text for row in rows)
    assert name in call(plural, name)[1]


def test_a_plan_says_what_would_run_and_writes_nothing(tmp_path):
    words = ("plan", "--task", TASK, "--methods", "imp,omp", "--seeds", "2", "--store", tmp_path / "store")
    code, out, _ = call(*words, "--json")
    assert code == 0
    account = json.loads(out)
    assert account["steps"]["train"] == {"all": 8, "stored": 0}  # dense, 2 of imp, and omp at 75 %; 2 seeds
    assert (account["sparsities"], account["seeds"], account["chain"]) == ([0.5, 0.75], [0, 1], "3")
    assert "train" in call(*words)[1]
    assert list(tmp_path.iterdir()) == []


def test_metrics_can_be_left_out_of_the_usual_ones(tmp_path):
    words = ("plan", "--task", TASK, "--store", tmp_path / "store", "--json", "--metrics")
    usual = json.loads(call(*words[:-2], "--json")[1])["metrics"]
    some = json.loads(call(*words, "-lime,-gini")[1])["metrics"]
    assert some == [m for m in usual if m not in ("lime", "gini")]
    assert len(some) == len(usual) - 2


def test_a_plan_says_what_its_artefacts_take(tmp_path):
    words = ("plan", "--task", TASK, "--methods", "imp,omp", "--store", tmp_path / "store", "--seeds")
    few, many = (json.loads(call(*words, n, "--json")[1])["bytes"] for n in ("2", "200"))
    assert few > 8 * 4 * 75_000, "eight networks are trained"
    assert many == pytest.approx(100 * few, rel=0.05)
    assert "disk    about " in call(*words, "2")[1]


def test_a_plan_for_a_gpu_that_is_elsewhere_has_one_worker(tmp_path):
    words = ("plan", "--task", TASK, "--store", tmp_path / "store", "--workers", "16", "--json")
    accounts = [json.loads(call(*words, "--device", name)[1]) for name in ("cpu", "cuda:1", "cuda")]
    assert [(a["device"], a["workers"]) for a in accounts] == [("cpu", 16), ("cuda:1", 1), ("cuda", 1)]
    assert accounts[1]["seconds"] == accounts[2]["seconds"]
    assert accounts[1]["stack"] == accounts[2]["stack"] > accounts[0]["stack"]


def test_a_plan_says_the_command_with_the_places_that_were_given(tmp_path):
    words = ("plan", "--task", TASK, "--sparsity", "0.123456789", "--store", tmp_path / "my store")
    said = json.loads(call(*words, "--json")[1])["command"]
    assert said.endswith(f" --store '{tmp_path / 'my store'}'")
    assert "--sparsity 0.123456789 " in said
    assert "--data" not in said
    again = [w.replace("run", "plan") if w == "run" else w for w in shlex.split(said)[1:]]
    assert json.loads(call(*again, "--json")[1])["sparsities"] == [0.123456789]


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "tasks",
        "methods",
        "metrics",
        "datasets",
        "plan --rounds 1-12",
        "run --help",
        "methods snip --json",
    ],
)
def test_what_only_looks_does_not_import_torch(words, tmp_path):
    code = (
        "import sys; from lthbench.cli import main; main(sys.argv[1].split()); "
        "heavy = sys.modules.keys() & {'torch', 'torchvision', 'matplotlib', 'sklearn'}; "
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, words], cwd=tmp_path, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("states", "code"), [(("ok", "FAILED", "ok"), 1), (("ok", "skipped"), 0)])
def test_check_ends_with_1_where_a_check_failed(states, code, monkeypatch):
    found = [contract.Finding("method", "mine", "a promise", state) for state in states]
    monkeypatch.setattr(contract, "check", lambda *of: iter(found))
    said = f"{len(states)} checks, {states.count('FAILED')} failed"
    assert call("check", "mine")[0] == call("check", "mine", "--json")[0] == code
    assert call("check", "mine")[1].splitlines()[-1] == said
