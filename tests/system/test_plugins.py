"""A user's own plug-in of bad manners spoils nothing of what ships, and ends no run without a word."""

import dataclasses
from pathlib import Path

import pytest
import torch

import lthbench
from lthbench import registry
from lthbench.cli import main
from lthbench.data import loading
from lthbench.errors import BadInput, PluginWarning, StepFailed
from lthbench.kinds import Dataset, Metric

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
OWN = """
from lthbench.kinds import Metric, Score, Value

{top}

def measure(context):
    {body}
    return [Value("rude", 0.5, 0.0, 1)]

SCORES = (Score("rude", "rude", "fraction", True, 0.0, 1.0, "geometry"),)
METRIC = Metric("rude", 1, "rude", "f", "s", SCORES, ("test",), measure)
"""
RUDE = """import os, random, torch, numpy as np
    torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.manual_seed(1)
    torch.set_num_threads(2); torch.use_deterministic_algorithms(True); np.random.seed(0); random.seed(0)
    os.environ["LTHBENCH_SETS_GB"] = "0"; np.seterr(all="raise"); os.chdir("/")"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    for name in ("_paths", "_digests"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))

    def write(body, top=""):
        (tmp_path / "rude.py").write_text(OWN.format(body=body, top=top))
        return str(tmp_path / "rude.py")

    return write


def scores(tiny_task, store, metrics):
    table = lthbench.run(tiny_task, ["omp"], [0.5], seeds=1, metrics=metrics, store=store)
    keep = ["method", "score", "variant", "value", "se"]
    return table[table["metric"] != "rude"][keep].sort_values(keep[:3], ignore_index=True), table


def test_the_scores_of_what_ships_are_the_same_beside_a_metric_that_changes_all_that_is_shared(
    own, tiny_task, tmp_path
):
    usual = ["gini"]
    alone, _ = scores(tiny_task, tmp_path / "alone", usual)
    with pytest.warns(PluginWarning, match="metric rude left changed: .*default dtype.*"):
        beside, whole = scores(tiny_task, tmp_path / "beside", [own(RUDE), *usual])
    assert (whole[whole["metric"] == "rude"]["value"] == 0.5).all()
    assert beside.equals(alone)


def test_what_a_file_does_when_it_is_imported_is_put_back_too(own):
    with pytest.warns(PluginWarning, match=r"rude\.py left changed: the default dtype"):
        registry.get(Metric, own("pass", top="import torch; torch.set_default_dtype(torch.float64)"))
    assert torch.get_default_dtype() == torch.float32


def test_a_program_that_runs_with_other_defaults_gets_the_same_scores(tiny_task, tmp_path):
    alone, _ = scores(tiny_task, tmp_path / "alone", ["gini"])
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            other, _ = scores(tiny_task, tmp_path / "other", ["gini"])
    finally:
        torch.set_default_dtype(torch.float32)
    assert other.equals(alone)


def test_an_exit_in_a_metric_fails_its_scores_and_the_run_tells(own, tiny_task, tmp_path, capsys):
    path = own("raise SystemExit(0)")
    words = ["run", "--task", tiny_task, "--methods", "omp", "--sparsity", "0.5", "--seeds", "1"]
    where = ["--store", str(tmp_path / "store"), "--report", str(tmp_path / "report"), "--workers", "0"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *where, "--metrics", f"accuracy,{path}"])
    assert ended.value.code == 1
    assert "metric rude: called sys.exit(0)" in (tmp_path / "report" / "scores.csv").read_text()


@pytest.mark.parametrize(
    ("kind", "file"), [(Metric, "metrics/gini.py"), (Dataset, "datasets/near_digits.py")]
)
def test_a_plugin_at_home_is_found_by_its_path_too(kind, file):
    path = Path(registry.__file__).parent / file
    name = path.stem.replace("_", "-")
    assert registry.get(kind, str(path)) is registry.get(kind, name)
    assert registry.kinds_in(path) == [kind]
    registry.take(path)  # and it is taken for none of the user's own
    assert not registry.taken(path)


@pytest.mark.parametrize("where", ["locate", "load"])
def test_an_exit_in_a_data_set_is_an_error_in_words(where, monkeypatch):
    def leave(*given):
        raise SystemExit(0)

    made = dataclasses.replace(registry.get(Dataset, "digits"), name="leaving")
    object.__setattr__(made, where, leave)
    monkeypatch.setitem(registry._imported, (Dataset, "leaving"), made)
    with pytest.raises(StepFailed, match=r"data set leaving: called sys\.exit\(0\)"):
        loading.load("leaving", "test", ())


def test_an_exit_that_nothing_else_takes_is_told_by_the_command(monkeypatch, capsys, tmp_path):
    path = tmp_path / "count.py"
    path.write_text(
        "import dataclasses\nfrom lthbench.architectures.resnet8 import ARCHITECTURE as R\n"
        "def count(network):\n    raise SystemExit(0)\n"
        "ARCHITECTURE = dataclasses.replace(R, name='leaving', count=count)\n"
    )
    for name in ("_paths", "_digests"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    registry.take(path)
    with pytest.raises(SystemExit) as ended:
        main(["architectures"])
    assert ended.value.code == 1
    assert "count.py" in capsys.readouterr().err


def test_plugins_of_a_task_are_taken_in_before_it_is_read_from_python_too(tiny_task, tmp_path):
    text = Path(tiny_task).read_text().replace('dataset = "digits"', 'dataset = "two-digits"')
    (tmp_path / "tiny.toml").write_text(text)
    mine, file = str(tmp_path / "tiny.toml"), EXAMPLES / "two_digits.py"
    with pytest.raises(BadInput, match='no dataset "two-digits"'):
        lthbench.run(mine, ["absent"])
    for plugins in ([file], str(file)):
        with pytest.raises(BadInput, match=r'\Ano method "absent".*\Z'):
            lthbench.run(mine, ["absent"], plugins=plugins)
        with pytest.raises(BadInput, match=r"\A.*absent\.pt"):
            lthbench.score(str(tmp_path / "absent.pt"), mine, plugins=plugins)
    assert {"run", "score", "__version__"} <= set(dir(lthbench))
