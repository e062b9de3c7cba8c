"""Which calibrations a task's own file is said to have: those that its runs are judged by."""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from lthbench import resources
from lthbench.cli import main
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.results.run_facts import dense_keys
from lthbench.verdict import calibration

TASK = Path(__file__).parents[1] / "tiny.toml"


def told(task, *words):
    """What ``lthbench tasks`` prints of a task."""
    out = io.StringIO()
    with redirect_stdout(out):
        main(["tasks", str(task), *words])
    return out.getvalue()


def calibrated(task):
    return json.loads(told(task, "--json"))["calibrated"]


def test_a_task_file_names_the_calibrations_that_apply_to_its_recipe(tmp_path):
    task = tmp_path / "mine.toml"
    text = (resources.tasks() / "digits-r8.toml").read_text(encoding="utf-8")
    task.write_text(text, encoding="utf-8")
    known = calibration.shipped("digits-r8", "quick")
    assert calibrated("digits-r8") == calibrated(task) == {"quick": len(known.seeds)}
    changed = re.sub(r"(?m)^lr = .*$", "lr = 0.0123", text)
    assert changed != text
    task.write_text(changed, encoding="utf-8")
    assert calibrated(task) == {}
    assert "calibrated no budget" in " ".join(told(task).split())


def test_a_task_file_names_the_calibration_beside_it(tmp_path):
    task = tmp_path / "mine.toml"
    text = TASK.read_text(encoding="utf-8")
    task.write_text(text, encoding="utf-8")
    name = re.search(r'^name = "(.+)"', text, re.MULTILINE)[1]
    assert calibrated(task) == {}
    (tmp_path / "calibrations").mkdir()
    beside = tmp_path / "calibrations" / f"{name}-quick-bf16.json"
    known = replace(calibration.shipped("digits-r8", "quick"), task=name)
    beside.write_text(known.to_json(), encoding="utf-8")
    assert calibrated(task) == {}, "it is of another recipe"
    keys = dense_keys(plan(ask(str(task), [], seeds=1, budget="quick-bf16"), ()))
    scores = {score: replace(s, key=keys[score]) for score, s in known.scores.items() if score in keys}
    beside.write_text(replace(known, scores=scores).to_json(), encoding="utf-8")
    assert calibrated(task) == {"quick-bf16": len(known.seeds)}
