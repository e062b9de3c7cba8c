"""Task files are read strictly: each fault is refused, and the message names the key."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.formatting import one_line
from lthbench.kinds import Dataset, Metric
from lthbench.planning import flops, plan, task
from lthbench.planning.request import ask
from lthbench.spec import Train

TINY = Path(__file__).parents[1] / "tiny.toml"


def written(folder: Path, *changes: tuple[str, str]) -> str:
    """The path of a copy of tiny.toml with lines replaced (those before its table for fine-tuning)."""
    text, *tuning = TINY.read_text(encoding="utf-8").partition("[budget.quick.finetune]")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "task.toml"
    path.write_text("".join([text, *tuning]), encoding="utf-8")
    return str(path)


def fault(folder: Path, *changes: tuple[str, str]) -> str:
    """What is said about a task file with these changes."""
    path = written(folder, *changes)
    with pytest.raises(BadInput) as caught:
        task.load(path)
    message = str(caught.value)
    assert path in message
    return message


def test_the_unchanged_file_loads_with_every_value_in_place():
    found = task.load(str(TINY))
    assert (found.name, found.architecture, found.data.dataset) == ("tiny", "resnet8", "digits")
    assert found.data.ood == ("photo-patches",)
    assert found.grid.rounds == (1, 2)
    quick = found.budget["quick"]
    assert (quick.train.epochs, quick.train.batch_size, quick.train.lr) == (2, 32, 0.1)
    assert (quick.evaluate.severities, quick.evaluate.fgsm_epsilon_255) == ((1, 3), 8)


@pytest.mark.parametrize("name", task.names())
def test_every_shipped_task_loads_under_its_file_name_and_can_be_asked_for(name):
    found = task.load(name)
    assert found.name == name
    for budget in found.budget:
        asked = ask(found, budget=budget)
        assert asked.methods == tuple(m for m in found.grid.methods)
        assert len(asked.densities) == len(found.grid.rounds)


@pytest.mark.parametrize("name", [n for n in task.names() if n != "digits-r8"])
def test_shipped_tasks_but_the_default_have_all_budgets_each_with_a_recipe_for_fine_tuning(name):
    found = task.load(name)
    published = not found.source.startswith("lthbench;")
    known = [b for b in task.BUDGETS if b != "short" or name == "c10-r20s"]
    assert list(found.budget) == (known if published else known[:2])
    for budget in found.budget.values():
        assert budget.finetune is not None
        assert budget.finetune.lr < budget.train.lr
        assert budget.finetune.epochs < budget.train.epochs
        assert 0 < budget.rewind_epoch < budget.train.epochs / 2 + 1
    recipes = [budget.train for budget in found.budget.values()]
    assert not published or recipes[0].images > 0
    assert all(recipe.images == 0 for recipe in recipes[1:])
    assert [r.epochs for r in recipes] == sorted({r.epochs for r in recipes})


@pytest.mark.parametrize("name", [n for n in task.names() if n != "digits-r8"])
def test_longer_recipes_rewind_to_where_the_warm_up_is_over(name):
    """The papers rewind to 3 of 182 epochs at the full learning rate, and to 15 of 90 after 5 of warm-up."""
    for budget in list(task.load(name).budget.values())[1:]:
        assert budget.rewind_epoch >= max(3, budget.train.warmup_epochs)


def test_the_published_recipes_stand_in_the_tasks():
    cifar = [n for n in task.names() if n.startswith(("c10-", "c100-")) and n != "c10-vit"]
    assert len(cifar) == 8
    for name in (*cifar, "img-r50"):
        budget = task.load(name).budget["paper"]
        r = budget.train
        said = (r.epochs, r.batch_size, r.lr, r.milestones, r.warmup_epochs, budget.rewind_epoch)
        assert said == (
            (90, 1024, 0.4, (30, 60, 80), 5.0, 15)
            if name == "img-r50"
            else (182, 128, 0.1, (91, 136), 0.0, 3)
        )
        assert (r.momentum, r.weight_decay, r.gamma, r.schedule) == (0.9, 1e-4, 0.1, "step")
        assert task.load(name).grid.max_rounds == (12 if name == "img-r50" else 24)


def test_the_transformer_has_the_published_schedule():
    """Lee et al. 2021, section 4.1, and their code."""
    r = task.load("c10-vit").budget["paper"].train
    said = (r.optimizer, r.epochs, r.batch_size, r.lr, r.weight_decay, r.warmup_epochs, r.schedule)
    assert said == ("adamw", 100, 128, 1e-3, 0.05, 10.0, "cosine")
    assert (r.momentum, r.label_smoothing) == (0.9, 0.1)


@pytest.mark.parametrize("name", task.names())
def test_every_shipped_task_can_be_planned_without_its_data(name):
    found = task.load(name)
    asked = ask(found, methods=["omp"], rounds=[3], seeds=[0])
    made = plan.plan(asked, (), data_needed=False)
    assert sum(flops.flops(step) for step in made.steps) > 1e9
    sizes = {registry.get(Dataset, n).size for n in (found.data.dataset, *found.data.ood)}
    assert len(sizes) == 1


def test_a_metric_of_validation_images_is_for_data_sets_that_have_them():
    found = task.load("imagenette-r18")
    needy = [m.name for m in registry.every(Metric) if "val" in m.needs]
    assert not set(needy) & set(ask(found).metrics)
    for name in needy:
        with pytest.raises(BadInput, match=f"metric {name} needs val images; imagenette has none"):
            ask(found, metrics=[name])


def test_random_sizes_of_crops_and_padding_exclude_each_other(tmp_path):
    message = fault(tmp_path, ("crop_padding = 1", "crop_padding = 1\nresized_crop = 0.25"))
    assert "budget.quick.train.crop_padding: must be 0 with resized_crop, got 1" in message


def test_the_default_task_is_shipped():
    assert "digits-r8" in task.names()


def test_shipped_tasks_are_found_whatever_the_case():
    assert task.load("DIGITS-R8") == task.load("digits-r8")


@pytest.mark.parametrize(
    ("old", "new", "where", "suggestion"),
    [
        ('title = "', 'titel = "x"\ntitle = "', "titel", "title"),
        ("max_rounds = 4", "max_round = 4\nmax_rounds = 4", "max_round", "max_rounds"),
        ("epochs = 2", "epoch = 2\nepochs = 2", "epoch", "epochs"),
        ("test_images = 100", "tests_images = 1\ntest_images = 100", "tests_images", "test_images"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one(tmp_path, old, new, where, suggestion):
    message = fault(tmp_path, (old, new))
    assert f'no key "{where}"' in message
    assert f"Did you mean {suggestion}?" in message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("schema = 1\n", "schema"),
        ('architecture = "resnet8"\n', "architecture"),
        ("rate = 0.5\n", "rate"),
        ("rewind_epoch = 1\n", "rewind_epoch"),
        ("momentum = 0.9\n", "momentum"),
        ("fgsm_epsilon_255 = 8\n", "fgsm_epsilon_255"),
    ],
)
def test_a_missing_key_is_named(tmp_path, line, key):
    assert re.search(rf"missing {key}$", fault(tmp_path, (line, "")))


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("schema = 1", 'schema = "1"', "schema: expected int, got '1'"),
        ('name = "tiny"', "name = 3", "name: expected str, got 3"),
        ("epochs = 2", "epochs = 2.5", "epochs: expected int, got 2.5"),
        ("epochs = 2", "epochs = true", "epochs: expected int, got True"),
        ("nesterov = true", "nesterov = 1", "nesterov: expected bool, got 1"),
        ("lr = 0.1", 'lr = "0.1"', "lr: expected float, got '0.1'"),
        ("severities = [1, 3]", "severities = 3", "severities: expected a list, got 3"),
        ("severities = [1, 3]", 'severities = [1, "a"]', "severities[1]: expected int, got 'a'"),
        ('ood = ["photo-patches"]', 'ood = "photo-patches"', "ood: expected a list"),
        ('[data]\ndataset = "digits"\nood = ["photo-patches"]', "", "missing data"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(tmp_path, old, new, where):
    assert where in fault(tmp_path, (old, new))


def test_a_value_in_the_place_of_a_table_is_refused(tmp_path):
    table = '[data]\ndataset = "digits"\nood = ["photo-patches"]'
    changes = (table, ""), ("schema = 1", "schema = 1\ndata = 5")
    assert "data: expected a table, got 5" in fault(tmp_path, *changes)


def test_a_whole_number_is_taken_for_a_float(tmp_path):
    rate = task.load(written(tmp_path, ("lr = 0.1", "lr = 1"))).budget["quick"].train.lr
    assert rate == 1.0
    assert type(rate) is float


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("schema = 1", "schema = 2", "schema: this version reads schema 1, not 2"),
        ("rate = 0.5", "rate = 0", "grid.rate"),
        ("rate = 0.5", "rate = 1.0", "grid.rate"),
        ("rate = 0.5", "rate = 1e-15", "grid.rate: 1e-15 keeps 1 of the weights after one round"),
        (
            "rate = 0.5",
            "rate = 0.9999",
            "grid.rate: 0.9999 keeps 0.0001 of the weights after one round and 0",
        ),
        ("max_rounds = 4", "max_rounds = 0", "grid.max_rounds"),
        ("max_rounds = 4", "max_rounds = 101", "grid.max_rounds"),
        ("rounds = [1, 2]", "rounds = [5]", "grid.rounds: must be 1..4, got 5"),
        ("rounds = [1, 2]", "rounds = [0]", "grid.rounds: must be 1..4, got 0"),
        ("seeds = 1", "seeds = 0", "grid.seeds"),
        ('budget = "quick"', 'budget = "paper"', "grid.budget: 'paper' is not among quick"),
        ("epochs = 2", "epochs = 0", "budget.quick.train.epochs"),
        ("batch_size = 32", "batch_size = -1", "budget.quick.train.batch_size"),
        ("lr = 0.1", "lr = 0.0", "budget.quick.train.lr"),
        ("lr = 0.1", "lr = nan", "lr: must be finite, got nan"),
        ("weight_decay = 5e-4", "weight_decay = inf", "weight_decay: must be finite, got inf"),
        ("weight_decay = 5e-4", "weight_decay = -1e-4", "budget.quick.train.weight_decay"),
        ("momentum = 0.9", "momentum = 1.0", "budget.quick.train.momentum"),
        ("momentum = 0.9", "momentum = 0.0", "budget.quick.train.nesterov: must be false with momentum 0"),
        ("images = 320", "images = -1", "budget.quick.train.images"),
        ("test_images = 100", "test_images = -100", "budget.quick.evaluate.test_images"),
        ("rewind_epoch = 1", "rewind_epoch = 2", "budget.quick.rewind_epoch: must be 0..1, got 2"),
        (
            'corruptions = ["gaussian_noise", "contrast"]',
            "corruptions = []",
            "budget.quick.evaluate.corruptions: at least one",
        ),
        ("severities = [1, 3]", "severities = [0]", "budget.quick.evaluate.severities"),
        ("severities = [1, 3]", "severities = []", "budget.quick.evaluate.severities"),
        ("fgsm_epsilon_255 = 8", "fgsm_epsilon_255 = 256", "budget.quick.evaluate.fgsm_epsilon_255"),
        ('schedule = "cosine"', 'schedule = "cosin"', "Did you mean cosine?"),
        ('precision = "float32"', 'precision = "float16"', "budget.quick.train.precision"),
        ('precision = "float32"', 'precision = "float32"\noptimizer = "adam"', "Did you mean adamw?"),
        ('precision = "float32"', 'precision = "float32"\noptimizer = "adamw"', "nesterov: must be false"),
        (
            "crop_padding = 1",
            "crop_padding = 1\nsmall_sizes = [4, 6]\nsmall_until = [0.5]",
            "budget.quick.train.small_until: one share of the epochs for each of small_sizes",
        ),
        (
            "crop_padding = 1",
            "crop_padding = 1\nsmall_sizes = [6, 4]\nsmall_until = [0.5, 0.7]",
            "budget.quick.train.small_sizes: must rise, above 0 up to 1,000,000, got [6, 4]",
        ),
        (
            "crop_padding = 1",
            "crop_padding = 1\nsmall_sizes = [4]\nsmall_until = [1.5]",
            "budget.quick.train.small_until: must rise, above 0 up to 1.0, got [1.5]",
        ),
        ("flip = false", "flip = false\nlabel_smoothing = 1.0", "label_smoothing: must lie in (0, 1), got 1"),
        ("flip = false", "flip = false\nalternate_flips = true", "budget.quick.train.alternate_flips: is"),
        (
            "severities = [1, 3]",
            "severities = [1, 3]\ncorrupted_apart = false",
            "budget.quick.evaluate.corrupted_apart: is true, with corrupted_images > 0, or left out",
        ),
    ],
)
def test_a_value_out_of_range_is_named_with_its_table(tmp_path, old, new, key):
    assert key in fault(tmp_path, (old, new))


def test_a_budget_of_another_name_is_refused(tmp_path):
    text = TINY.read_text(encoding="utf-8").replace("budget.quick", "budget.cheap")
    path = tmp_path / "cheap.toml"
    path.write_text(text.replace('budget = "quick"', 'budget = "cheap"'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"budget\.cheap: budgets are called quick, short, standard, paper"):
        task.load(str(path))


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a b", ".hidden", "ä", "a\\\\b"])
def test_a_name_that_is_unsafe_in_paths_is_refused(tmp_path, name):
    assert ": name: letters, digits" in fault(tmp_path, ('name = "tiny"', f'name = "{name}"'))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_task_is_read_with_its_byte_order_mark(tmp_path, tiny_task, encoding):
    path = tmp_path / "mine.toml"
    path.write_text(Path(tiny_task).read_text(encoding="utf-8"), encoding=encoding)
    assert task.load(str(path)) == task.load(tiny_task)


@pytest.mark.parametrize(
    "content", [b"title = '\xe9t\xe9'\n", b"\xff\xfea", "schema = 1".encode("utf-16-le")]
)
def test_a_task_of_another_encoding_is_refused_with_the_path(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"{re.escape(str(path))}: (is not UTF|is no text)"):
        task.load(str(path))


@pytest.mark.parametrize("content", [b"schema = ", b"schema = 1\nschema = 2\n", b"[data\n"])
def test_what_is_no_toml_is_refused_with_the_path(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"{re.escape(str(path))}: not valid TOML"):
        task.load(str(path))


@pytest.mark.parametrize("name", ["absent.toml", "some/where"])
def test_a_task_file_that_is_not_there_is_refused(name):
    with pytest.raises(BadInput, match=f"no task file {re.escape(name)}"):
        task.load(name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"contrast"', '"contrasts"', "Did you mean contrast?"),
        ('dataset = "digits"', 'dataset = "digit"', "Did you mean digits?"),
        ('ood = ["photo-patches"]', 'ood = ["photo"]', 'no dataset "photo"'),
        ('architecture = "resnet8"', 'architecture = "resnet9"', "Did you mean resnet8?"),
        ('methods = ["omp"]', 'methods = ["ompp"]', "Did you mean omp?"),
        ('ood = ["photo-patches"]', 'ood = ["svhn"]', "svhn has images of 3 x 32 x 32, digits of 1 x 8 x 8"),
        ('ood = ["photo-patches"]', 'ood = ["digits"]', "digits is what is trained on"),
    ],
)
def test_names_of_a_task_file_that_do_not_exist_are_refused_when_it_is_asked_for(tmp_path, old, new, said):
    found = task.load(written(tmp_path, (old, new)))
    with pytest.raises(BadInput) as caught:
        ask(found)
    assert said in str(caught.value)


def test_all_faults_of_a_request_are_named_at_once():
    found = task.load(str(TINY))
    with pytest.raises(BadInput) as caught:
        ask(found, methods=["ipm"], sparsities=[2.0], seeds=[-1], metrics=["acuracy"], budget="quik")
    words = ("imp", "sparsity 2", "seed", "accuracy", "quick")
    assert [w for w in words if w not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": "imp"}, "methods: expected a list of names, got 'imp'"),
        ({"metrics": [None]}, "metrics: expected a list of names"),
        ({"sparsities": 0.5}, "sparsities: expected a list of numbers, got 0.5"),
        ({"sparsities": ["0.5"]}, "sparsities: expected a list of numbers"),
        ({"rounds": 3}, "rounds: expected a list of whole numbers"),
        ({"seeds": 1.5}, "seeds: expected a list of whole numbers"),
        ({"seeds": [0.5]}, "seeds: expected a list of whole numbers"),
        ({"seeds": b"x"}, "seeds: expected a list of whole numbers, got b'x'"),
        ({"seeds": True}, "seeds: expected a list of whole numbers"),
        ({"budget": 3}, "budget: expected a text, got 3"),
        ({"concepts": 3}, "concepts: expected a text, got 3"),
        ({"corruptions": 3}, "corruptions: expected a text, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused(given, said):
    with pytest.raises(BadInput) as caught:
        ask(str(TINY), **given)
    assert said in str(caught.value)


def test_a_task_is_a_name_or_a_path():
    assert ask(Path(TINY)) == ask(str(TINY))
    wrong: Any = 3
    with pytest.raises(BadInput, match="task: expected a name or a path, got 3"):
        ask(wrong)


def test_arrays_and_ranges_are_lists():
    arrays: dict[str, Any] = {"sparsities": np.array([0.3]), "seeds": np.arange(2)}
    asked = ask(str(TINY), **arrays)
    assert asked == ask(str(TINY), sparsities=(0.3,), seeds=range(2))
    assert [type(s) for s in asked.seeds] == [int, int]
    assert ask(str(TINY), sparsities=(0.3,), seeds=arrays["seeds"][-1] + 1) == asked


@pytest.mark.parametrize(
    ("density", "levels"),
    [(0.5, (0.5,)), (0.25, (0.5, 0.25)), (0.3, (0.5, 0.3)), (0.9, (0.9,)), (0.125, (0.5, 0.25, 0.125))],
)
def test_iterative_pruning_passes_through_the_rounds_above_the_density(density, levels):
    assert task.load(str(TINY)).levels(density) == levels


@pytest.mark.parametrize(
    ("sparsity", "density"),
    [(0.5, 0.5), (0.4996, 0.5), (0.501, 0.499), (0.9375, 0.0625), (0.97, 0.03)],
)
def test_a_typed_sparsity_near_a_round_means_the_round(sparsity, density):
    assert task.load(str(TINY)).on_grid(sparsity) == density


def test_out_of_distribution_sets_can_be_replaced_and_the_command_says_so():
    found = task.load("c10-r20s")
    asked = ask(found, ood=["svhn", "gaussian-noise", "svhn"])
    assert asked.task.data.ood == ("svhn", "gaussian-noise")
    assert asked.command().endswith("--ood svhn,gaussian-noise")
    assert "--ood" not in ask(found).command()
    made = plan.plan(ask(found, metrics=["ood"], ood=["svhn"], seeds=1), (), data_needed=False)
    assert [name for name, _ in made.entries[0].measures[0].inputs] == ["test", "ood/svhn"]
    with pytest.raises(BadInput, match="Did you mean svhn"):
        ask(found, ood=["svnh"])


def test_a_budget_in_float32_is_there_in_bfloat16_too_for_training_alone():
    found = task.load("c10-r20s")
    assert set(found.budgets()) == {f"{b}{end}" for b in task.BUDGETS for end in ("", "-bf16")}
    plain, half = found.budgets()["quick"], found.budgets()["quick-bf16"]
    for before, after in ((plain.train, half.train), (plain.finetune, half.finetune)):
        assert (before.precision, after.precision) == ("float32", "bfloat16")
        assert replace(after, precision="float32") == before
    assert replace(half, about=plain.about, train=plain.train, finetune=plain.finetune) == plain
    asked = ask(found, ["omp"], rounds=[3], budget="quick-bf16")
    assert "--budget quick-bf16" in asked.command()
    made = plan.plan(asked, (), data_needed=False)
    assert {s.recipe.precision for s in made.steps if isinstance(s, Train)} == {"bfloat16"}
    with pytest.raises(BadInput, match=r'no budget "standard-bf16"\. Did you mean standard\?'):
        ask("c10-r18", budget="standard-bf16")  # it is in bfloat16 as it stands


def test_names_enter_keys_as_they_are_registered_not_as_they_are_typed():
    found = task.load("digits-r8")
    shouted = replace(found, architecture="RESNET8")
    assert plan.network(shouted) == plan.network(found)


STEERS = ["\x1b[31m", "a\nb", "a\tb", "\u202e", "\x9b", "\x00"]


@pytest.mark.parametrize("text", STEERS)
@pytest.mark.parametrize("old", ['title = "', 'about = "For', "[budget.quick]", "crop_padding = 1\nflip"])
def test_texts_that_steer_terminals_or_break_lines_are_refused(tiny_task, tmp_path, old, text):
    content = Path(tiny_task).read_text(encoding="utf-8")
    quoted = json.dumps(text)[1:-1]
    new = {"[": f'[budget."{quoted}"]', "c": f'"{quoted}" = 1\nflip'}.get(old[0], old + quoted)
    path = tmp_path / "task.toml"
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadInput, match="control characters or line breaks") as told:
        task.load(str(path))
    assert one_line(str(told.value))


@pytest.mark.parametrize("name", ["x\nError: all is lost.toml", "x\x1b[2J.toml", "x\ty.toml"])
def test_the_path_of_a_task_file_is_told_in_one_line(tmp_path, name):
    path = tmp_path / name
    for content in (None, "[", "schema = 2", "\x00"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(BadInput) as told:
            task.load(str(path))
        assert one_line(str(told.value))


def test_a_name_that_is_unknown_is_told_in_one_line():
    with pytest.raises(BadInput) as told:
        task.load("digits\nError: r8")
    assert "\n" not in str(told.value)
