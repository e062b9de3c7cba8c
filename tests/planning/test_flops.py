"""What a plan says of costs and of empty layers."""

from dataclasses import replace
from pathlib import Path

import pytest

from lthbench.errors import BadInput
from lthbench.kinds import Dataset
from lthbench.planning import flops, missing, plan, request, seeds, summary
from lthbench.planning.jobs import group
from lthbench.registry import get
from lthbench.spec import Measure, Predict, Prune, Rewind, history
from lthbench.store import LocalStore


def made(methods, sparsity):
    asked = request.ask("c10-r20s", methods, [sparsity], seeds=1, metrics=["accuracy"])
    return plan.plan(asked, (), data_needed=False)


def test_costs_are_those_of_the_trainings_and_scorings():
    cost = summary.costs(made(["imp", "omp", "snip", "synflow"], 1 - 0.8**3))
    macs, images, epochs = 40_551_040, 15_000, 6
    training = 3 * 2 * macs * images
    assert cost["omp"] == {"finding": 0.0, "training": training * (epochs - 1)}
    assert cost["imp"] == {"finding": 2 * training * (epochs - 1), "training": training * (epochs - 1)}
    assert cost["snip"] == {"finding": 3 * 2 * macs * 100, "training": training * epochs}
    assert cost["synflow"]["finding"] == 100 * 3 * 2 * macs


def test_predictions_cost_as_many_passes_as_there_are_strengths():
    asked = request.ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["mce"])
    steps = plan.plan(asked, (), data_needed=False).steps
    several = next(s for s in steps if isinstance(s, Predict) and len(s.inputs.strengths) > 1)
    one = replace(several, inputs=replace(several.inputs, strengths=several.inputs.strengths[:1]))
    assert flops.flops(several) == len(several.inputs.strengths) * flops.flops(one) > 0


def test_the_height_of_a_job_is_its_cost_and_that_of_the_costliest_way_that_waits_for_it():
    jobs = group(made(["imp"], 1 - 0.8**2).steps)

    def height(job):
        return job.flops + max((height(j) for j in jobs.values() if job.name in j.needs), default=0.0)

    assert {name: job.height for name, job in jobs.items()} == pytest.approx(
        {name: height(job) for name, job in jobs.items()}
    )
    assert max(job.height for job in jobs.values()) > max(job.flops for job in jobs.values())


def test_small_networks_cost_less():
    cost = summary.costs(made(["small", "random"], 1 - 0.8**7))
    assert cost["small"]["training"] == pytest.approx(0.384 * cost["random"]["training"], rel=0.01)


def test_a_recipe_with_more_images_than_there_are_counts_those_that_are():
    assert get(Dataset, "cifar10").splits["train"] == 45_000
    assert flops.flops(made(["omp"], 0.5).entries[0].network) == 3 * 2 * 40_551_040 * 15_000 * 6


def test_small_images_cost_as_many_operations_as_they_have_pixels():
    train = made(["imp"], 0.5).entries[0].network
    grown = replace(train.recipe, small_sizes=(16, 24), small_until=(0.5, 0.8))  # 3 epochs, 2 and 1
    growing = replace(train, recipe=grown)
    epoch = flops.flops(train) / 6
    assert flops.flops(growing) == pytest.approx(epoch * (3 / 4 + 2 * 9 / 16 + 1))
    assert flops.flops(Rewind(growing, 4)) == pytest.approx(epoch * (3 / 4 + 9 / 16))
    rest = replace(growing, start=Rewind(growing, 1))
    assert flops.flops(rest) == pytest.approx(epoch * (2 / 4 + 2 * 9 / 16 + 1))


def test_images_are_no_larger_than_they_are():
    asked = request.ask("c10-r20s", ["imp"], [0.5], seeds=1, metrics=["accuracy"])
    grown = replace(asked.spec.train, small_sizes=(32,), small_until=(0.5,))
    budgets = asked.task.budget | {"quick": replace(asked.spec, train=grown)}
    asked = replace(asked, task=replace(asked.task, budget=budgets))
    message = r"task c10-r20s: budget\.quick\.train\.small_sizes: must be less than the 32 pixels .* got 32"
    with pytest.raises(BadInput, match=message):
        plan.plan(asked, (), data_needed=False)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("c10-vgg11", (16, 24), "small_sizes: vgg11 takes images of 32 pixels on a side and more, got 16"),
        ("c10-vit", (16,), "small_sizes: a vit-tiny takes images of its own 32 pixels alone"),
    ],
)
def test_sizes_that_a_network_does_not_take_are_refused(name, sizes, message):
    asked = request.ask(name, ["omp"], [0.5], seeds=1, metrics=["accuracy"])
    until = tuple(0.5 + 0.1 * i for i in range(len(sizes)))
    grown = replace(asked.spec.train, small_sizes=sizes, small_until=until)
    budgets = asked.task.budget | {"quick": replace(asked.spec, train=grown)}
    asked = replace(asked, task=replace(asked.task, budget=budgets))
    with pytest.raises(BadInput, match=message):
        plan.plan(asked, (), data_needed=False)


def test_a_task_of_smaller_images_than_its_network_takes_is_refused():
    asked = request.ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["accuracy"])
    asked = replace(asked, task=replace(asked.task, architecture="vgg11"))
    message = "task digits-r8: vgg11 takes images of 32 pixels on a side and more; digits has 8"
    with pytest.raises(BadInput, match=message):
        plan.plan(asked, (), data_needed=False)


def test_curvature_of_transformers_costs_more_for_the_images_behind_the_eigenvalue():
    found = {}
    for name in ("c10-vit", "c10-vgg11"):
        asked = request.ask(name, ["omp"], [0.5], seeds=1, metrics=["hessian"])
        step = next(s for s in plan.plan(asked, (), data_needed=False).steps if isinstance(s, Measure))
        images = sum(i.images for _, i in step.looks)
        found[name] = flops.flops(step) / flops.forward_flops(step.subject) / images
    assert found == {"c10-vit": 255.0, "c10-vgg11": 45.0}


def test_an_empty_layer_is_shown_in_the_plan_and_fails_the_verdict(tmp_path, tiny_task, capsys):
    """At 99.95 % sparsity, 37 weights over seven layers: random pruning must leave some empty."""
    from lthbench.cli import main

    store = ["--store", str(tmp_path / "store")]
    asked = ["--task", tiny_task, "--methods", "random", "--sparsity", "0.9995", "--seeds", "1"]
    metrics = ["--metrics", "accuracy,ece"]
    main(
        [
            "run",
            *asked,
            *metrics,
            *store,
            "--workers",
            "0",
            "--report",
            str(tmp_path / "r"),
            "--progress",
            "none",
        ]
    )
    said = capsys.readouterr().out
    assert "only random was measured" in said
    assert "is empty" in (tmp_path / "r" / "report.html").read_text()
    main(["plan", *asked, *metrics, *store])
    assert "nothing is left of" in capsys.readouterr().out
    table = (tmp_path / "r" / "scores.csv").read_text()
    assert "degenerate" in table


def test_masks_are_in_the_account_by_network(tiny_task, tmp_path):
    asked = request.ask(tiny_task, ["random"], [0.5], seeds=1, metrics=["accuracy"])
    steps = plan.plan(asked, ())
    account = summary.costed(seeds.whole(steps), LocalStore(tmp_path), (), 1, "cpu")
    assert account["collapsed"] == {}
    assert sum(isinstance(s, Prune) for s in history(steps.entries[-1].network)) == 1
    assert account["flops"]["random"]["finding"] == 0.0


def test_data_that_no_metric_asks_for_is_not_looked_for(tiny_task, tmp_path):
    text = Path(tiny_task).read_text().replace('ood = ["photo-patches"]', 'ood = ["cifar100"]')
    path = tmp_path / "ood.toml"
    path.write_text(text)
    made = plan.plan(request.ask(str(path), seeds=1, metrics=["accuracy"]), ())
    assert [d.name for d in made.sources] == ["digits"]
    with pytest.raises(BadInput, match="cifar100"):
        plan.plan(request.ask(str(path), seeds=1, metrics=["accuracy", "ood"]), ())


def test_a_mask_that_was_lost_is_made_again_for_the_record(tiny_task, tmp_path):
    from lthbench.execution.runner import Runner
    from lthbench.spec import mask_keeper

    made = plan.plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"]), ())
    store = LocalStore(tmp_path)
    store.open()
    Runner(store, ()).do(made.steps)
    assert missing.missing(made, store) == []
    mask = mask_keeper(made.entries[-1].network)
    (store.place(mask.key) / "manifest.json").unlink()
    assert missing.missing(made, store) == [mask]
