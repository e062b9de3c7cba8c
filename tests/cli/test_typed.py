"""What is typed almost as it should be: names in another spelling, folders for files, several faults."""

import json
import shlex
from pathlib import Path

import pytest

from lthbench.checkpoints import bringing
from lthbench.cli.app import main
from lthbench.errors import BadInput
from lthbench.planning import request, task


def call(capsys, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in this process."""
    code = 0
    try:
        main([str(w) for w in words])
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("typed", ["c10_r20s", "C10-R20S", "c10R20s"])
def test_case_hyphens_and_underscores_of_a_task_do_not_matter(typed):
    assert task.load(typed).name == "c10-r20s"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("CIFAR10", "Did you mean one of c10-r18, c10-r20s, "),
        ("derma", "Did you mean one of derma-r18?"),
        ("ResNet20s", "Did you mean one of c10-r20s, c100-r20s?"),
        ("c10_r20z", "Did you mean c10-r20s? Valid: c10-r18, "),
    ],
)
def test_tasks_of_a_data_set_or_network_are_suggested(capsys, typed, said):
    code, out, err = call(capsys, "plan", "--task", typed)
    assert (code, out) == (2, "")
    assert f'no task "{typed}". {said}' in err


@pytest.mark.parametrize("typed", ["cifar10", "CIFAR-10"])
def test_data_describes_the_data_set_that_is_named(capsys, typed):
    assert call(capsys, "data", typed) == call(capsys, "datasets", "cifar10")
    assert json.loads(call(capsys, "data", typed, "--json")[1])["name"] == "cifar10"


def test_data_describes_the_bank_that_is_named(capsys):
    code, out, _ = call(capsys, "data", "shapes")
    assert code == 0
    assert "made where it is needed" in out


@pytest.mark.parametrize(("typed", "nearest"), [("cifar1O", "cifar10"), ("verfy", "verify")])
def test_data_suggests_the_nearest_command_or_data_set(capsys, typed, nearest):
    code, out, err = call(capsys, "data", typed)
    assert (code, out) == (2, "")
    assert f'no command, data set or bank of concepts "{typed}". Did you mean {nearest}?' in err


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ("store.json", "a store, no bundle. Check it with: lthbench store verify --store "),
        ("scores.csv", "the folder of a report, no bundle. Make one of it with: lthbench submit "),
        ("other", "a folder; a bundle is the zip file that lthbench submit writes."),
    ],
)
def test_a_folder_that_is_to_be_verified_is_pointed_to_its_own_command(capsys, tmp_path, holds, said):
    (tmp_path / "my own").mkdir()
    (tmp_path / "my own" / holds).touch()
    code, out, err = call(capsys, "verify", tmp_path / "my own")
    assert (code, out) == (2, "")
    assert f"my own: is {said}" in err
    assert holds == "other" or err.endswith(f"'{tmp_path / 'my own'}'\n")


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {
        "--methods": ("sinp", 'no method "sinp"'),
        "--metrics": ("foo", 'no metric "foo"'),
        "--rule": ("bar", 'no rule "bar"'),
        "--budget": ("quik", 'no budget "quik"'),
        "--ood": ("zz", 'no dataset "zz"'),
        "--corruptions": ("none", 'no source of corrupted images "none"'),
        "--device": ("cuda:99", "device cuda:99"),
        "--data": ("absent", "--data absent: no such folder"),
    }
    code, out, err = call(capsys, "run", *(w for option, (word, _) in wrong.items() for w in (option, word)))
    assert (code, out) == (2, "")
    assert [said for _, said in wrong.values() if err.count(said) != 1] == []
    assert len(err.splitlines()) == len(wrong)
    words = ("--checkpoint", "absent.pt", "--rule", "bar", "--metrics", "foo", "--device", "gpu")
    code, _, err = call(capsys, "score", *words)
    assert code == 2
    assert [said for said in ("no rule", "no metric", 'no device "gpu"') if err.count(said) != 1] == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_that_a_score_keeps_names_plugins_and_what_is_left_out(capsys, tmp_path, monkeypatch):
    """It asks for the same again: with the files of plug-ins, and with no data set out of distribution."""
    kept = []

    def bring(*_, typed, **__):
        kept.append(shlex.split(typed))
        raise BadInput("far enough")

    monkeypatch.setattr(bringing, "bring", bring)
    monkeypatch.chdir(tmp_path)
    example = Path(__file__).parents[2] / "docs" / "examples" / "top2.py"
    (tmp_path / "my own.py").write_bytes(example.read_bytes())
    words = ["--task", "digits-r8", "--checkpoint", "a.pt", "--name", "given", "--ood", ""]
    words += ["--plugin", "my own.py"]
    assert call(capsys, "score", *words)[0] == 2
    assert kept == [["lthbench", "score", *words]]


def test_the_command_of_a_request_without_data_sets_out_of_distribution_is_taken(capsys, tmp_path):
    asked = request.ask("digits-r8", ["omp"], [0.5], None, 1, ["accuracy"], ood=[])
    words = shlex.split(asked.command())
    assert words[words.index("--ood") + 1] == ""
    code, out, err = call(capsys, "plan", *words[2:], "--store", tmp_path / "s", "--json")
    assert code == 0, err
    assert json.loads(out)["request"]["ood"] == []
    assert call(capsys, "plan", "--metrics", "")[0] == 2


def test_without_out_of_distribution_images_detection_is_not_measured():
    """Each default run of such a task failed at its end, blaming the metric."""
    assert "ood" in request.ask("digits-r8", ["omp"]).metrics
    assert "ood" not in request.ask("digits-r8", ["omp"], ood=[]).metrics
    with pytest.raises(BadInput, match=r"ood needs out-of-distribution images: .* name some with --ood"):
        request.ask("digits-r8", ["omp"], metrics=["ood"], ood=[])
