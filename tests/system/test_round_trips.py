"""Every file that one command writes is accepted by the one that reads it, whatever is in the table."""

import json
import zipfile

import pandas as pd
import pytest

from lthbench.cli import main

pytestmark = pytest.mark.slow


def ended(*words):
    """The exit code of a command."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of digits-r8 with networks that are as good and degenerate: at 99.95 % a layer is empty."""
    root = tmp_path_factory.mktemp("run")
    asked = [
        "--methods",
        "random",
        "--sparsity",
        "0.2,0.9995",
        "--seeds",
        "2",
        "--metrics",
        "accuracy,ece,lime",
    ]
    kept = ["--store", root / "store", "--workers", "0", "--progress", "none"]
    assert ended("run", *asked, *kept, "--report", root / "report") in (0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert ended("plan", *asked, "--json") == 0
    return root, [str(word) for word in asked]


def test_the_table_has_what_makes_it_hard(run):
    table = pd.read_csv(run[0] / "report" / "scores.csv", keep_default_na=False)
    assert {"ok", "degenerate"} <= set(table["status"])


def test_a_baseline_of_a_report_holds_for_that_report(run, tmp_path, capsys):
    report, path = run[0] / "report", tmp_path / "baseline.json"
    assert ended("gate", "--write-baseline", path, "--report", report) == 0
    for rule in ("tolerance", "noninferior"):
        assert ended("gate", "--baseline", path, "--report", report, "--rule", rule) == 0, rule
    every = [s["name"] for s in json.loads((report / "run.json").read_text())["scores"]]
    assert ended("gate", "--write-baseline", path, "--report", report, "--scores", ",".join(every)) == 0
    assert ended("gate", "--baseline", path, "--report", report) == 0
    assert "hold" in capsys.readouterr().out


def test_a_report_of_a_report_is_one(run, tmp_path):
    first = run[0] / "report"
    assert ended("report", first, "--out", tmp_path / "again") == 0
    (again,) = tmp_path.glob("again/**/scores.csv")
    assert again.read_bytes() == (first / "scores.csv").read_bytes()
    assert ended("compare", first, again.parent) == 0
    assert ended("explain", "random", "0.2", "--from", again.parent) in (0, 1)


def test_a_bundle_is_verified_read_and_gated(run, tmp_path):
    root = run[0]
    bundle, path = tmp_path / "mine.zip", tmp_path / "b.json"
    assert ended("submit", root / "report", "--store", root / "store", "--out", bundle) == 0
    assert zipfile.is_zipfile(bundle)
    assert ended("verify", bundle, "--unpack", tmp_path / "unpacked") == 0
    for source in (bundle, tmp_path / "unpacked"):
        assert ended("report", source, "--out", tmp_path / "out") == 0
        assert ended("compare", source, root / "report") == 0
        assert ended("gate", "--write-baseline", path, "--report", source) == 0
        assert ended("gate", "--baseline", path, "--report", source) == 0


def test_an_exported_store_is_imported_and_gives_the_same_table(run, tmp_path):
    root, asked = run
    assert ended("store", "export", tmp_path / "all.zip", "--store", root / "store") == 0
    assert ended("store", "import", tmp_path / "all.zip", "--store", tmp_path / "store") == 0
    kept = ["--store", tmp_path / "store", "--workers", "0", "--progress", "none"]
    assert ended("run", *asked, *kept, "--report", tmp_path / "report") in (0, 1)
    first, again = (pd.read_csv(r / "report" / "scores.csv") for r in (root, tmp_path))
    pd.testing.assert_frame_equal(first, again)


def test_a_plan_as_json_says_what_a_store_keeps(run, tmp_path, capsys):
    root, asked = run
    capsys.readouterr()
    assert ended("plan", *asked, "--json", "--store", root / "store") == 0
    (tmp_path / "plan.json").write_text(capsys.readouterr().out)
    assert ended("store", "prune", "--keep", tmp_path / "plan.json", "--store", root / "store") == 0
    assert ended("store", "verify", "--store", root / "store") == 0
