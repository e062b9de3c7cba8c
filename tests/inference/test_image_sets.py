"""Sets of images by name: those that there are, and one that a metric brings along in its own file."""

import dataclasses
import json
import re

import numpy as np
import pytest

import lthbench
from lthbench import registry
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.inference import image_sets
from lthbench.kinds import Metric
from lthbench.planning import flops, plan, request
from lthbench.spec import Data, Inputs, Predict

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


@pytest.mark.parametrize("count", ["images", "fgsm_epsilon_255"])
def test_a_count_that_there_is_not_is_named(tiny_task, mirrored, count):
    mirrored.write_text(MIRRORED.replace("COST", "1.0").replace("count=40", f'count="{count}"'))
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    with pytest.raises(BadInput, match=f"image set mirrored has the count '{count}'"):
        plan.plan(asked, ())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("count=40", "count=-3", "image set mirrored: count must be a whole number, 0 or more, or the name"),
        (
            "count=40",
            "count=True",
            "image set mirrored: count must be a whole number, 0 or more, or the name",
        ),
        ("count=40", "count=4.0", "image set mirrored: count must be a whole number, 0 or more, or the name"),
        ('ImageSet("mirrored"', 'ImageSet("mirrored/x"', "image set mirrored/x: name must have no '/'"),
        ('ImageSet("mirrored"', "ImageSet(7", "image set: name must be a text, not 7"),
        ("count=40", "split=None", "image set mirrored: split must be a text, not None"),
        ("perturb=mirror", "perturb=3", "image set mirrored: perturb must be a function, or None, not 3"),
        ("passes=COST", "passes=-1.0", "image set mirrored: passes must be a number, 0 or more, not -1.0"),
        ("COST),)", "COST),) * 2", "metric mirrored: has two image sets called mirrored; give one another"),
        ("COST),)", "COST))", "metric mirrored: sets must be a tuple of ImageSet"),
    ],
)
def test_a_set_that_is_not_filled_in_is_refused_by_its_file(mirrored, before, after, said):
    assert before in MIRRORED
    mirrored.write_text(MIRRORED.replace(before, after).replace("COST", "1.0"))
    with pytest.raises(BadInput, match=r"mirrored\.py: .*" + re.escape(said)):
        registry.take(mirrored)


def test_a_set_of_ones_own_is_called_as_none_that_ships(tiny_task, mirrored):
    text = MIRRORED.replace("COST", "1.0").replace('needs=("mirrored",)', 'needs=("test",)')
    mirrored.write_text(text.replace('ImageSet("mirrored"', 'ImageSet("test"'))
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    with pytest.raises(BadInput, match="its image set test has the name of one that ships"):
        plan.plan(asked, ())


@pytest.mark.parametrize("field", ["looks", "maps"])
@pytest.mark.parametrize("name", ["mirrored", "fgsm", "corrupted"])
def test_a_set_whose_images_are_changed_is_neither_looked_at_nor_explained(tiny_task, mirrored, field, name):
    """Its images would be shown as they are."""
    text = MIRRORED.replace("COST", "1.0")
    mirrored.write_text(text.replace('needs=("mirrored",)', f'needs=("mirrored",), {field}=("{name}",)'))
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    with pytest.raises(BadInput, match=f"{field} names {name}, whose images are changed: .* in needs"):
        plan.plan(asked, ())


def test_a_set_of_ones_own_is_looked_at_where_its_images_stay_as_they_are(tiny_task, mirrored):
    text = MIRRORED.replace(", perturb=mirror, passes=COST", "").replace("needs=(", "needs=(), looks=(")
    mirrored.write_text(text)
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])
    (measure,) = plan.plan(asked, ()).entries[0].measures
    assert [(name, inputs.images, inputs.view) for name, inputs in measure.looks] == [
        ("mirrored", 40, "clean")
    ]


def test_two_metrics_may_call_sets_of_their_own_alike(tiny_task, mirrored):
    """Each is shown its own."""
    other = mirrored.with_name("upside.py")
    text = MIRRORED.replace("COST", "2.0").replace('name="mirrored"', 'name="upside"')
    text = text.replace("mirrored_accuracy", "upside_accuracy")
    other.write_text(text.replace("count=40", "count=30"))
    asked = request.ask(tiny_task, [], seeds=1, metrics=[str(mirrored), str(other)])
    entry = plan.plan(asked, ()).entries[0]
    (first,), (second,) = (measure.inputs for measure in entry.measures)
    assert (first[0], first[1].images) == ("mirrored", 40)
    assert (second[0], second[1].images) == ("mirrored", 30)
    assert first[1].view.split("/")[:3] == ["own", "mirrored", "mirrored"]
    assert second[1].view.split("/")[:3] == ["own", "upside", "mirrored"]
    assert image_sets.by_view(first[1].view).passes == 1.0
    assert image_sets.by_view(second[1].view).passes == 2.0


def test_a_split_that_the_data_set_lacks_is_named(tiny_task, mirrored):
    mirrored.write_text(MIRRORED.replace("COST", "1.0").replace("count=40", 'split="held-out"'))
    with pytest.raises(BadInput, match="metric mirrored needs held-out images; digits has none"):
        request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=[str(mirrored)])


def test_the_plan_of_a_set_of_ones_own_tells_its_time(tiny_task, tmp_path, mirrored, capsys):
    """By what an image of it costs."""
    seconds = []
    for name, cost in (("cheap", "1.0"), ("dear", "1e9")):
        path = tmp_path / f"{name}.py"
        text = MIRRORED.replace("COST", cost).replace('name="mirrored"', f'name="{name}"')
        path.write_text(text.replace("mirrored_accuracy", f"{name}_accuracy"))
        given = ["--methods", "omp", "--rounds", "1", "--seeds", "1,", "--metrics", str(path), "--json"]
        main(["plan", "--task", tiny_task, "--store", str(tmp_path / "store"), *given])
        seconds.append(json.loads(capsys.readouterr().out)["seconds"])
    assert seconds[1][0] > 100 * seconds[0][1]


def test_the_sets_of_a_metric_are_those_that_it_asks_for():
    def named(metric):
        return [each.name for each in image_sets.asked_by(registry.get(Metric, metric))]

    assert named("efficiency") == []
    assert named("temperature") == ["val", "test"]
    concepts = {m.name for m in registry.every(Metric) if image_sets.of_concepts(m)}
    assert concepts >= {"dissection", "mis", "craft", "bottleneck"}
    assert not concepts & {"accuracy", "gini", "lime", "ood"}


def test_only_what_a_network_makes_of_images_is_found_by_its_view():
    found = {name for name in image_sets.SETS if image_sets.by_view(name) is not None}
    assert found == {"fgsm", "fgsm-random", "pgd", "autoattack"}
    assert {image_sets.SETS[name].passes for name in image_sets.SETS.keys() - found} == {1.0}
    assert image_sets.by_view("clean") is image_sets.by_view("fog") is None


def test_every_set_has_its_name(tiny_task):
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    made = plan.plan(asked, ())
    ood = (Data("one", 1, "0" * 64), Data("other", 1, "0" * 64))
    asking = image_sets.Asked(asked.spec.evaluate, made.sources[0], ood, "shapes", (), {}, False)
    metric = dataclasses.replace(registry.get(Metric, "accuracy"), needs=tuple(image_sets.SETS))
    sets = image_sets.of([metric], asking)["accuracy"]
    assert sets.keys() == image_sets.SETS.keys()
    for name, inputs in sets.items():
        assert inputs
        own_name = {"by-class": "pictured"}.get(name, name)
        assert all(own.partition("/")[0] == own_name for own, _ in inputs)
    assert [own for own, _ in sets["ood"]] == ["ood/one", "ood/other"]


@pytest.mark.parametrize(
    ("dataset", "count", "mis", "read"),
    [
        ("imagenet", 0, 10_000, 10_000),
        ("cub", 0, 5794, 5994),
        ("digits", 0, 540, 1077),
        ("imagenet", 100, 400, 100),
        ("imagenet", 20_000, 20_000, 20_000),
    ],
)
def test_all_images_of_concepts_are_no_more_than_fit_into_memory(tiny_task, dataset, count, mis, read):
    """A count of 0 means more than any other, not the fewest that the score takes."""
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    evaluate = dataclasses.replace(asked.spec.evaluate, concept_images=count)
    asking = image_sets.Asked(evaluate, Data(dataset, 1, "0" * 64), (), "shapes", (), {}, False)
    sets = image_sets.of([registry.get(Metric, name) for name in ("mis", "bottleneck")], asking)
    assert sets["mis"]["mis"][0][1].images == mis
    assert sets["bottleneck"]["read"][0][1] == Inputs(asking.trained_on, "train", read, "clean", 1)
    assert sets["bottleneck"]["pictured"][0][1].images == count


@pytest.mark.parametrize(
    ("dataset", "count", "expected"),
    [
        ("cifar10", 1000, 1000),
        ("digits", 1000, 1000),
        ("cifar100", 1000, 0),
        ("imagenet", 1000, 0),
        ("cub", 1000, 0),
        ("imagenet", 100, 10_000),
        ("imagenet", 0, 0),
    ],
)
def test_concepts_of_a_few_classes_are_found_in_as_many_images_where_there_are_many(
    tiny_task, dataset, count, expected
):
    """The images of three of a thousand classes would be five of the thousand that others look at."""
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    evaluate = dataclasses.replace(asked.spec.evaluate, concept_images=count)
    asking = image_sets.Asked(evaluate, Data(dataset, 1, "0" * 64), (), "shapes", (), {}, False)
    sets = image_sets.of([registry.get(Metric, name) for name in ("craft", "concept-match")], asking)
    wanted = [("pictured", Inputs(asking.trained_on, "test", expected, "clean", 1))]
    assert [named for own in sets.values() for named in own.values()] == [wanted, wanted]
