"""``lthbench calibrate``: a task of one's own gets a yardstick, and its runs are judged by it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lthbench.cli import main
from lthbench.cli.app import cli
from lthbench.errors import BadInput
from lthbench.planning.plan import plan
from lthbench.planning.start import Start
from lthbench.report.summary import summarise
from lthbench.results import table
from lthbench.results.run_facts import NetworkFacts


def call(*words, code=0):
    found = CliRunner().invoke(cli, [str(w) for w in words])
    assert found.exit_code == code, found.output + repr(found.exception)
    return found.output


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_task):
    """A folder with a calibrated task of one's own, and a run of it."""
    folder = tmp_path_factory.mktemp("calibrated")
    task = folder / "tiny.toml"
    shutil.copy(tiny_task, task)
    common = (
        "--task",
        task,
        "--store",
        folder / "store",
        "--workers",
        0,
        "--device",
        "cpu",
        "--progress",
        "none",
    )
    said = call("calibrate", *common, "--seeds", "1000-1006", "--metrics", "accuracy,nll,gini")
    again = ("--seeds", 2, "--metrics", "accuracy,nll,gini", "--report", folder / "report")
    run = call("run", *common, *again, "--methods", "omp", "--sparsity", 0.5)
    return folder, said, run


@pytest.mark.long
def test_a_task_of_ones_own_has_its_calibration_beside_it(place):
    folder, said, _ = place
    record = json.loads((folder / "calibrations" / "tiny-quick.json").read_text())
    assert record["seeds"] == list(range(1000, 1007))
    again = f"--task {folder / 'tiny.toml'} --budget quick --seeds 1000-1006 --metrics accuracy,nll,gini"
    assert record["command"] == f"lthbench calibrate {again}"
    assert set(record["scores"]) == {"accuracy", "nll"}, "other scores are not judged"
    assert record["scores"]["accuracy"]["pair_error"] > 0
    assert "7 dense trainings" in said
    assert "called worse" in said
    assert str(folder / "calibrations" / "tiny-quick.json") in said


def test_a_run_is_judged_by_it_and_keeps_it_beside_its_table(place):
    folder, _, said = place
    assert "Calibrated by 7 other trainings of the dense network." in said
    scores, facts = table.read(folder / "report")
    summary = summarise(scores, facts)
    assert {m.reference for m in summary.headline[0].matches} == {"trainings"}
    assert facts.calibration["seeds"] == list(range(1000, 1007))
    margin = facts.calibration["scores"]["nll"]["margin"]
    assert next(m.allowed for m in summary.headline[0].matches if m.score == "nll") == pytest.approx(margin)


def test_one_of_another_version_is_refused_with_a_word(place):
    folder, _, _ = place
    scores, facts = table.read(folder / "report")
    facts = dataclasses.replace(facts, dense_keys={**facts.dense_keys, "nll": "of another version"})
    summary = summarise(scores, facts)
    found = {m.score: m.reference for m in summary.headline[0].matches}
    assert found == {"accuracy": "trainings", "nll": "parents"}
    assert summary.outdated == ("nll",)


def test_it_says_again_what_it_said_and_makes_none_of_a_report_of_few(place, tmp_path):
    folder, said, _ = place
    shown = call("calibrate", "--task", folder / "tiny.toml", "--show")
    assert shown.strip() in said
    found = json.loads(call("calibrate", "--task", folder / "tiny.toml", "--show", "--json"))
    assert found["trainings"] == 7
    refused = CliRunner().invoke(
        cli, ["calibrate", str(folder / "report"), "--out", str(tmp_path / "x.json")]
    )
    assert "at least 6 dense networks; these are 2" in str(refused.exception)


def test_a_task_that_ships_is_copied_beside_its_calibration(tmp_path, monkeypatch):
    """Only a task that is a file is judged by another calibration than the one it ships with."""
    from lthbench import resources
    from lthbench.cli import calibrate
    from lthbench.planning import request

    monkeypatch.chdir(tmp_path)
    assert calibrate._copied("./mine.toml", "mine") is None
    assert calibrate._copied("folder/mine", "mine") is None
    assert calibrate._copied("Digits-R8", "digits-r8") == Path("digits-r8.toml"), "as names may be typed"
    assert Path("digits-r8.toml").read_bytes() == (resources.tasks() / "digits-r8.toml").read_bytes()
    own, ships = (request.ask(t, ["omp"], [0.5], None, 1) for t in ("./digits-r8.toml", "digits-r8"))
    ours, theirs = (plan(asked, ()) for asked in (own, ships))
    assert [s.key for s in ours.steps] == [s.key for s in theirs.steps], "what is stored is not done again"
    Path("digits-r8.toml").write_text("mine")
    calibrate._copied("digits-r8", "digits-r8")
    assert Path("digits-r8.toml").read_text() == "mine"


@pytest.fixture
def dense(tmp_path, made_table, monkeypatch):
    """Reports of seven dense networks, by the task that was typed, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lthbench.cli.calibrate._say", lambda found, as_json: None)  # it simulates

    def written(typed, name, asked=None, **more):
        made, facts = made_table((), name, seeds=7)
        made.loc[made["score"] == "nll", "se"] = 0.03
        asked = dataclasses.replace(facts.requests[0], task=typed, **(asked or {}))
        keys = {a.score: "key" for a in facts.aspects}
        facts = dataclasses.replace(facts, **{"requests": (asked,), "dense_keys": keys, **more})
        table.write(made, facts, tmp_path / "report")
        return made

    return written


def test_a_report_is_calibrated_beside_its_task_with_bounded_errors_over_images(dense, tiny_task, tmp_path):
    """Two networks that err on other images differ by at most the root of 2 of what each is off."""
    (tmp_path / "sub").mkdir()
    shutil.copy(tiny_task, tmp_path / "sub" / "tiny.toml")
    dense("sub/tiny.toml", "tiny")
    said = call("calibrate", "report")
    assert "bounded by those of each network" in said
    record = json.loads((tmp_path / "sub" / "calibrations" / "tiny-quick.json").read_text())
    assert record["scores"]["nll"]["pair_error"] == pytest.approx(0.03 * 2**0.5, rel=1e-3)
    assert not (tmp_path / "calibrations").exists()
    (tmp_path / "sub" / "tiny.toml").unlink()
    assert "Say with --out" in refused("calibrate", "report")


def test_a_report_of_a_task_that_ships_gets_a_copy_of_its_file_but_not_beside_an_edited_one(dense, tmp_path):
    dense("digits-r8", "digits-r8")
    copy = tmp_path / "digits-r8.toml"
    copy.write_text("mine")
    for words in (["report"], ["--task", "digits-r8", "--store", "s"]):
        assert "./digits-r8.toml: is not as the task that ships" in refused("calibrate", *words)
    assert not (tmp_path / "calibrations").exists()
    copy.unlink()
    assert "--task ./digits-r8.toml: a copy of the task that ships" in call("calibrate", "report")
    assert copy.is_file()


def test_a_report_whose_dense_networks_are_no_trainings_of_the_recipe_is_not_calibrated(dense, tmp_path):
    parent = {"pretrained": "d0.pt", "start": Start({"": "ab"})}
    dense("digits-r8", "digits-r8", asked=parent)
    assert "the weights of d0.pt as they are" in refused("calibrate", "report")
    dense("digits-r8", "digits-r8", checkpoints=({"method": "dense", "seed": 0, "network": "a"},))
    assert "were given as files (--dense)" in refused("calibrate", "report")
    one = tuple(NetworkFacts("dense", 0.0, seed, "a" * 64 if seed > 4 else str(seed)) for seed in range(7))
    dense("digits-r8", "digits-r8", networks=one)
    assert "of seeds 5 and 6 are one and the same; a calibration is of trainings" in refused(
        "calibrate", "report"
    )
    assert not (tmp_path / "calibrations").exists()
    heads = {"pretrained": "d0.pt", "start": Start({str(seed): f"{seed}" for seed in range(7)})}
    dense("digits-r8", "digits-r8", asked=heads)
    call("calibrate", "report")


def refused(*words):
    """What a command says that ends as bad input does."""
    found = CliRunner().invoke(cli, [str(w) for w in words])
    assert isinstance(found.exception, BadInput), found.output
    return str(found.exception)


@pytest.mark.parametrize(
    "words",
    [["--task", "digits-r8"], ["--seeds", "7"], ["--metrics", "nll"], ["--budget", "quick"], ["--show"]],
)
def test_what_a_report_says_itself_is_refused_beside_it(dense, words):
    dense("digits-r8", "digits-r8")
    assert f"{words[0]} beside report" in refused("calibrate", "report", *words)


def test_what_has_no_effect_is_no_option():
    said = call("calibrate", "--help")
    assert "--download" in said
    for name in ("--rule", "--report", "--no-report"):
        assert f"{name} " not in said


def test_a_task_without_one_says_how_to_get_it(tiny_task):
    found = CliRunner().invoke(cli, ["calibrate", "--task", tiny_task, "--show"])
    assert "is not calibrated" in str(found.exception)


def test_one_network_has_a_place_among_the_dense_trainings(place):
    folder, _, _ = place
    task = folder / "tiny.toml"
    where = ("--store", folder / "store", "--workers", 0, "--device", "cpu", "--progress", "none")
    words = ("--seeds", 1, "--metrics", "accuracy,nll", "--methods", "omp", "--sparsity", 0.5, "--no-report")
    said = " ".join(call("run", "--task", task, *where, *words).split())
    assert "Beside 7 trainings of the dense network, " in said
    assert " omp at 50.0 % " in said
    assert "It is better than this share of them: accuracy " in said
    assert "omp, this one network of it," in said


def test_pages_say_why_a_margin_is_wide(place):
    folder, _, _ = place
    said = " ".join(call("explain", "omp", 0.5, "--from", folder / "report").split())
    assert "2.33 standard deviations over 7 trainings of the dense network" in said
    page = (folder / "report" / "report.html").read_text()
    assert "may be worse by" in page
    assert "Wider than practical" in page


def test_too_few_seeds_are_refused_before_anything_is_trained(tiny_task, tmp_path, capsys):
    for seeds, count in (("1000,", 1), ("1000,1001", 2)):
        with pytest.raises(SystemExit) as end:
            main(["calibrate", "--task", str(tiny_task), "--store", str(tmp_path / "s"), "--seeds", seeds])
        assert end.value.code == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"needs at least 6 dense networks; --seeds asks for {count}." in said
    assert not (tmp_path / "s").exists()
