"""Sets of images by name: those that there are, and one that a metric brings along in its own file."""

import dataclasses

import numpy as np
import pytest

import lthbench
from lthbench import registry
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.planning import flops, image_sets, plan, request
from lthbench.spec import Predict

MIRRORED = """
from lthbench.kinds import ImageSet, Metric, Score


def mirror(model, images, labels, generator):
    assert not model.training
    return images.flip(3)


def measure(context):
    import numpy as np

    from lthbench.scoring import hits, mean_value

    shown = context.logits("mirrored")
    assert shown.values.ndim == 2
    return [mean_value("mirrored_accuracy", hits(shown.values, shown.labels))]


METRIC = Metric(
    name="mirrored",
    version=1,
    title="accuracy on mirrored images",
    formula="share of mirrored test images that are classified correctly",
    source="a test",
    scores=(Score("mirrored_accuracy", "mirrored accuracy", "fraction", True, 0.0, 1.0, "generalization"),),
    needs=("mirrored",),
    measure=measure,
    sets=(ImageSet("mirrored", count=40, perturb=mirror, passes=COST),),
)
"""


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """The file of a metric with an image set of its own."""
    for name in ("_paths", "_imported", "_unusable"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    path = tmp_path / "mirrored.py"
    path.write_text(MIRRORED.replace("COST", "1.0"))
    return path


def test_a_metric_of_ones_own_brings_its_images_along(tiny_task, tmp_path, mirrored):
    found = lthbench.run(
        tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", str(mirrored)], store=tmp_path / "store"
    )
    rows = found[found["score"] == "mirrored_accuracy"]
    assert list(rows["status"]) == ["ok", "ok"]
    assert set(rows["n"]) == {40}
    plain = found[found["score"] == "accuracy"]["value"].to_numpy()
    assert not np.allclose(rows["value"], plain)


def test_its_images_are_planned_costed_and_checked(tiny_task, mirrored, capsys):
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    steps = [s for s in plan.plan(asked, ()).steps if isinstance(s, Predict)]
    assert {s.inputs.view.split("/")[:3] == ["own", "mirrored", "mirrored"] for s in steps} == {True}
    assert {s.inputs.images for s in steps} == {40}
    assert flops.flops(steps[0]) == 40 * flops.forward_flops(steps[0].subject)
    main(["check", str(mirrored)])
    assert "mirrored" in capsys.readouterr().out


def test_another_file_makes_other_images(tiny_task, mirrored, monkeypatch):
    def views():
        asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
        return {s.inputs.view for s in plan.plan(asked, ()).steps if isinstance(s, Predict)}

    before = views()
    mirrored.write_text(MIRRORED.replace("COST", "2.0"))
    for name in ("_paths", "_imported"):
        monkeypatch.setattr(registry, name, {})
    assert views() != before


def test_a_set_that_there_is_not_is_named(tiny_task, mirrored):
    mirrored.write_text(MIRRORED.replace("COST", "1.0").replace('needs=("mirrored",)', 'needs=("tests",)'))
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    with pytest.raises(BadInput, match=r'no set of images "tests".*Did you mean "?test'):
        plan.plan(asked, ())


def test_a_count_that_there_is_not_is_named(tiny_task, mirrored):
    mirrored.write_text(MIRRORED.replace("COST", "1.0").replace("count=40", 'count="images"'))
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    with pytest.raises(BadInput, match="image set mirrored has the count 'images'"):
        plan.plan(asked, ())


def test_every_set_has_its_name(tiny_task):
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    made = plan.plan(asked, ())
    asking = image_sets.Asked(asked, made.sources[0], (), (), {}, False)
    for name in image_sets.SETS.keys() - {"ood", "concepts"}:
        names = [own for own, _ in image_sets.of(name, [], asking)]
        assert names
        assert all(own.partition("/")[0] == name for own in names)
    assert dataclasses.is_dataclass(asking)
