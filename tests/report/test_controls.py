"""What interpretability scores are held against: other dense networks, untrained ones, and a gate."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lthbench import registry
from lthbench.execution.runner import Runner
from lthbench.kinds import CROPS, Metric
from lthbench.planning import plan, request
from lthbench.planning.jobs import group
from lthbench.report import controls, picture_panels
from lthbench.report.pictures import drawn
from lthbench.report.summary import summarise
from lthbench.results import pictures, run_facts, table, unit_pictures
from lthbench.results import rows as table_rows
from lthbench.spec import Explain, Init, Measure
from lthbench.store import LocalStore

METRICS = ["accuracy", "agreement", "gini", "lime"]
AGREEMENT = {s.name for s in registry.get(Metric, "agreement").scores}


def planned(task, seeds, metrics=METRICS, rounds=(1,), methods=("omp",)):
    return plan.plan(request.ask(task, list(methods), rounds=list(rounds), seeds=seeds, metrics=metrics), ())


@pytest.fixture(scope="module")
def ran(tmp_path_factory, tiny_task):
    """Two seeds of the small task with one sparse network each: the plan, its store and its table."""
    made = planned(tiny_task, 2)
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.open()
    assert Runner(store, ()).do(made.steps) == {}
    return made, store, table.build(made, store, {})


def measured(entry, metric):
    return next(m for m in entry.measures if m.metric == metric)


@pytest.mark.parametrize(
    ("seeds", "rivals"), [([3], {3: 3}), ([0, 7], {0: 7, 7: 0}), ([0, 1, 5], {0: 1, 1: 5, 5: 0})]
)
def test_the_agreement_of_dense_is_that_of_the_next_seeds_dense(tiny_task, seeds, rivals):
    entries = planned(tiny_task, seeds).entries
    dense = {e.seed: e.network for e in entries if e.method == "dense"}
    for entry in entries:
        agreement, gini = measured(entry, "agreement"), measured(entry, "gini")
        assert agreement.reference == dense[entry.seed]
        wanted = dense[rivals[entry.seed]] if entry.method == "dense" else entry.network
        assert agreement.subject == wanted
        assert gini.subject == entry.network


def test_networks_without_a_mask_beside_dense_ones_are_jobs_of_their_own(tiny_task):
    """In a ring of dense networks each would wait for the next."""
    made = planned(tiny_task, 3, methods=("omp", "small"))
    jobs = group(made.steps)
    waiting, done = dict(jobs), set()
    while waiting:
        ready = [name for name, job in waiting.items() if job.needs <= done]
        assert ready
        done |= set(ready)
        waiting = {name: job for name, job in waiting.items() if name not in done}


def test_an_untrained_network_of_the_seed_stands_beside_dense(tiny_task, ran):
    made, _, scores = ran
    for entry in made.entries:
        names = {(name, m.metric) for name, m in entry.controls}
        if entry.method != "dense":
            assert names == set()
            continue
        assert names == {(plan.UNTRAINED, m) for m in ("agreement", "gini", "lime")}
        assert all(isinstance(m.subject, Init) and m.subject.seed == entry.seed for _, m in entry.controls)
    rows = scores[scores["variant"] == plan.UNTRAINED]
    assert set(rows["method"]) == {"dense"}
    assert {"gradient_gini", "ig_iou", "lime_unexplained"} <= set(rows["score"])
    main = scores[(scores["variant"] == "") & (scores["method"] == "dense")]
    for score in ("gradient_gini", "lime_fidelity"):
        trained, untrained = (frame[frame["score"] == score]["value"] for frame in (main, rows))
        assert not np.allclose(trained, untrained)


def test_agreement_is_above_that_of_two_dense_networks_after_light_pruning(ran):
    """The difference to dense is the excess over two trainings, and has its paired error."""
    scores = ran[2]
    main = scores[scores["variant"] == ""]
    rows = main[main["score"] == "gradient_rho"].set_index(["method", "seed"])
    for seed in (0, 1):
        assert rows.loc[("omp", seed), "value"] > rows.loc[("dense", seed), "value"]
        assert rows.loc[("omp", seed), "diff_se"] > 0


def test_one_dense_network_has_nobody_to_agree_with(tmp_path, tiny_task):
    made = planned(tiny_task, 1, ["agreement"])
    store = LocalStore(tmp_path)
    store.open()
    assert Runner(store, ()).do(made.steps) == {}
    assert made.request.metrics == ("accuracy", "agreement")  # accuracy gates it
    found = table.build(made, store, {}).query("method == 'dense' and variant == ''")
    rows = found[found["metric"] == "agreement"]
    assert rows["value"].isna().all()
    assert rows["reason"].str.contains("two seeds").all()


def test_a_network_that_lost_its_accuracy_is_gated(ran, monkeypatch):
    made, store, scores = ran
    assert "gated" not in set(scores["status"])
    real = table_rows.of_entry

    def collapsed(entry, store, failures, chance):
        found = real(entry, store, failures, chance)
        for row in found:
            if row.score.name == "accuracy" and entry.method == "omp":
                row.value = 0.3
        return found

    monkeypatch.setattr(table_rows, "of_entry", collapsed)
    found = table.build(made, store, {})
    gated = found[found["status"] == "gated"]
    assert set(gated["method"]) == {"omp"}
    assert set(gated["metric"]) == {"agreement", "gini", "lime"}
    assert gated["reason"].str.contains(r"accuracy 0.300 is below the gate, 0\.[34]\d").all()
    assert not gated["value"].isna().all()
    before = scores[scores["metric"] == "gini"]["value"].tolist()
    assert found[found["metric"] == "gini"]["value"].tolist() == before


OWN = """
import numpy as np

from lthbench.kinds import Metric, Score, Value


def measure(context):
    right = (context.logits("test").values.argmax(1) == context.reference.logits("test").values.argmax(1))
    return [Value("same", float(right.mean()), 0.01, len(right))]


METRIC = Metric(
    name="same",
    version=1,
    title="same answers as dense",
    formula="share",
    source="here",
    scores=(Score("same", "same answers", "fraction", True, 0.0, 1.0, "generalization"),),
    needs=("test",),
    relative=True,
    rival=True,
    measure=measure,
)
"""


def test_the_flags_of_a_plugin_decide_what_stands_beside_dense(tmp_path, tiny_task, monkeypatch):
    monkeypatch.setattr(registry, "_paths", {})
    path = tmp_path / "same.py"
    for content, wanted in ((OWN, True), (OWN.replace("    rival=True,\n", ""), False)):
        path = tmp_path / f"same{wanted}.py"
        path.write_text(content.replace('"same"', f'"same{wanted}"'))
        made = planned(tiny_task, 2, ["accuracy", str(path)])
        store = LocalStore(tmp_path / "store")
        store.open()
        assert Runner(store, ()).do(made.steps) == {}
        written = json.loads(json.dumps(run_facts.facts(made, store).to_json()))
        (own,) = (s for s in written["scores"] if s["name"].startswith("same"))
        assert (own["rival"], own["nulls"]) == (wanted, False)
        summary = summarise(table.build(made, store, {}), run_facts.from_json(written))
        shown = {row[0]: row[1:] for row in controls.rows(summary)}
        assert list(shown) == (["same answers, % ↑"] if wanted else [])
        if wanted:
            ((value, *others),) = shown.values()
            assert value.endswith("(two dense networks)")
            assert float(value.split()[0]) < 100, "of two dense networks, and not of one with itself"
            assert others == ["–", "–"]


def test_facts_without_flags_have_those_of_the_metrics_here(ran):
    made, store, scores = ran
    facts = run_facts.facts(made, store)
    old = json.loads(json.dumps(facts.to_json()))
    for score in old["scores"]:
        del score["rival"], score["nulls"]
    assert run_facts.from_json(old) == facts
    old["scores"][0]["name"] = "of another world"
    assert run_facts.from_json(old).scores[0].rival is False
    shown = {row[0]: row[1] for row in controls.rows(summarise(scores, facts))}
    twice = {title for title, dense in shown.items() if "two dense networks" in dense}
    assert twice
    assert twice <= {s.header for s in summarise(scores, facts).scores if s.name in AGREEMENT}
    assert len(shown) > len(twice)


def test_pictures_show_maps_of_each_network(ran):
    made, store, _ = ran
    found = drawn(pictures.gather(made, store, ()))
    assert 1 <= len(found) <= pictures.IMAGES
    assert picture_panels.grouped(found)[0][0] == "What it looks at"
    assert all("omp at 50.0 %" in picture["text"] for picture in found)
    assert len({picture["image"] for picture in found}) == len(found)
    assert found == drawn(pictures.saliency(made, store, ()))


@pytest.mark.long
@pytest.mark.parametrize("reported", [False, True])
def test_nothing_is_drawn_where_there_is_no_report(tiny_task, ran, tmp_path, reported):
    """In a process of its own: Matplotlib is not even imported, and with a report its pictures are there."""
    words = [
        "--task",
        tiny_task,
        "--methods",
        "omp",
        "--rounds",
        "1",
        "--seeds",
        "2",
        "--store",
        str(ran[1].root),
    ]
    words += ["--metrics", ",".join(METRICS), "--progress", "none"]
    words += ["--report", str(tmp_path)] if reported else ["--no-report"]
    code = (
        "import sys, lthbench.cli\n"
        f"lthbench.cli.main(['run', *{words!r}])\n"
        f"lthbench.run({tiny_task!r}, ['omp'], rounds=[1], seeds=2, metrics={METRICS!r}, "
        f"store={str(ran[1].root)!r})\n"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(reported)
    pictures = tmp_path / "pictures.json"
    assert pictures.is_file() is reported
    if reported:
        assert "omp at 50.0 %" in json.loads(pictures.read_text())[0]["text"]


def test_a_plan_without_maps_or_with_lost_ones_has_no_pictures(tmp_path, tiny_task, ran):
    made, _, _ = ran
    empty = LocalStore(tmp_path)
    empty.open()
    assert pictures.saliency(made, empty, ()) == []
    assert pictures.saliency(planned(tiny_task, 1, ["accuracy"]), empty, ()) == []


def test_a_measure_reads_the_maps_of_its_network_and_of_the_reference(tiny_task):
    made = planned(tiny_task, 2)
    entry = next(e for e in made.entries if e.method == "omp")
    step = measured(entry, "agreement")
    assert isinstance(step, Measure)
    explained = [n for n in step.needs() if isinstance(n, Explain)]
    assert [n.subject for n in explained] == [entry.network, entry.dense]
    assert {n.reference for n in explained} == {entry.dense}


def test_pictures_show_crops_of_concepts_and_units_dense_beside_pruned(tmp_path, tiny_task):
    metrics, task = ["concept-match", "composition"], tmp_path / "tiny.toml"
    tiny = Path(tiny_task).read_text(encoding="utf-8")
    task.write_text(tiny.replace("concept_images = 60", "concept_images = 120"), encoding="utf-8")
    asked = request.ask(str(task), ["omp"], rounds=[1, 3], seeds=1, metrics=metrics, concepts="shapes")
    made = plan.plan(asked, ())
    store = LocalStore(tmp_path / "store")
    store.open()
    assert Runner(store, ()).do(made.steps) == {}
    of_units, picture = drawn(pictures.gather(made, store, ()))
    headings = [heading for heading, _, _ in picture_panels.grouped([picture, of_units])]
    assert headings == ["What excites its units", "What its concepts look like"]
    assert "the same units of omp at 50.0 % and 87.5 %, seed 0" in of_units["text"]
    assert of_units["numbers"][0] == [
        "network",
        "unit",
        "formula",
        "IoU",
        *(f"image {k}" for k in range(1, 5)),
    ]
    gathered = unit_pictures.gather(made, store, ())[0]
    assert gathered.networks == ("dense", "50.0 %", "87.5 %")
    best = [rows[0].iou for _, rows in gathered.blocks]
    assert best == sorted(best, reverse=True)
    assert len(best) == 4
    for _, rows in gathered.blocks:
        assert [len(row.images) for row in rows if row] == [4] * sum(map(bool, rows))
    assert "of omp at 50.0 % and 87.5 % that are matched" in picture["text"]
    assert picture["numbers"][0] == ["network", "concept", "image", "top", "left", "side"]
    assert {row[0] for row in picture["numbers"][1:]} == {"dense", "50.0 %", "87.5 %"}
    entry = next(e for e in made.entries if e.sparsity == 0.875)
    told = json.loads(store.read(measured(entry, "concept-match"), CROPS))
    assert len(told["concepts"]) == 4
    for row in told["concepts"]:
        for crops in row.values():
            assert len({image for image, _, _ in crops}) == len(crops) > 1
            assert all(0 <= y <= 8 - told["side"] and 0 <= x <= 8 - told["side"] for _, y, x in crops)
