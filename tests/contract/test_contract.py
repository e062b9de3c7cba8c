"""What every plug-in promises (``lthbench.contract``), for all that ship; and that breaking it is seen."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lthbench import contract, masks, registry
from lthbench.cli import main
from lthbench.contract import architectures, banks, datasets, records, trials
from lthbench.contract.broken import Broken, Skipped
from lthbench.kinds import Architecture, Bank, Criterion, Dataset, Method, Metric

METHODS = [m for m in registry.names(Method) if m != "dense"]
#: All but AutoAttack, which takes minutes for a batch and a package of its own (tests/test_attacks.py).
METRICS = [m for m in registry.names(Metric) if m not in ("autoattack", "mis-dreamsim")]


def checked(check, *given):
    """One check; what cannot be checked here is skipped."""
    try:
        check(*given)
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("kind", contract.KINDS, ids=lambda k: k.__name__)
def test_records_say_what_they_are(kind):
    for record in registry.every(kind):
        records.says_what_it_is(kind, record)


@pytest.mark.parametrize("check", architectures.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", registry.names(Architecture))
def test_architectures(name, check):
    checked(check, registry.get(Architecture, name))


@pytest.mark.parametrize("check", datasets.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", registry.names(Dataset))
def test_data_sets(name, check):
    checked(check, registry.get(Dataset, name))


@pytest.mark.parametrize("check", banks.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", registry.names(Bank))
def test_banks(name, check):
    checked(check, registry.get(Bank, name))


def criteria():
    """Every pruning criterion that a method uses."""
    found = {c.name: c for m in registry.every(Method) for c in m.prunes_by()}
    return [pytest.param(c, id=name) for name, c in sorted(found.items())]


@pytest.mark.parametrize("criterion", criteria())
def test_criteria(criterion):
    trials.criterion_scores_every_prunable_weight(criterion)


def test_a_criterion_is_tried_on_as_many_images_as_in_a_run():
    """Of ten classes never more than 100 each; digits have 107 of most."""
    told = []

    def scores(model, batches, generator):
        told.extend(labels for _, labels in batches)
        return {name: weight.detach() for name, weight in masks.prunable(model).items()}

    trials.criterion_scores_every_prunable_weight(Criterion("own", 1, scores, per_class=500))
    assert [len(labels) for labels in told] == [250] * 8
    assert [set(torch.cat(told[k : k + 4]).bincount().tolist()) for k in (0, 4)] == [{100}, {100}]


def test_a_criterion_that_takes_one_batch_alone_is_told_so():
    def scores(model, batches, generator):
        [(images, _)] = batches
        return {name: weight.detach() * images.mean() for name, weight in masks.prunable(model).items()}

    with pytest.raises(ValueError, match="too many values"):
        trials.criterion_scores_every_prunable_weight(Criterion("own", 1, scores, per_class=1))
    trials.criterion_scores_every_prunable_weight(Criterion("own", 1, scores, per_class=0))


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """Every method, at two sparsities of a small task."""
    return trials.Trial(tmp_path_factory.mktemp("trial"), METHODS, ["accuracy"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every metric, of dense, masked, structured and narrow networks."""
    return trials.Trial(tmp_path_factory.mktemp("measured"), ["omp", "filter", "small"], METRICS, (0.875,))


@pytest.mark.long  # trains with every method
@pytest.mark.parametrize("check", trials.METHOD_CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_methods(trial, name, check):
    check(trial, name)


@pytest.mark.parametrize("name", METRICS)
def test_metrics(measured, name):
    trials.runs_without_failure(measured, name)
    trials.scores_are_in_their_ranges(measured, name)


def test_every_score_belongs_to_one_metric():
    names = [s.name for m in registry.every(Metric) for s in m.scores]
    assert len(names) == len(set(names))


# --------------------------------------------------------------------------------- what breaks a promise

OWN = '''
from lthbench.kinds import Criterion, Method


def scores(model, batches, generator):
    """Score w**2; the highest are kept."""
    from lthbench.masks import prunable

    return {name: weight.detach() ** 2 for name, weight in prunable(model).items()}


CRITERION = Criterion("own", version=1, score=scores)


def ticket(cell):
    """Prune the trained parent, rewind, train."""
    return cell.train(cell.rewound, cell.prune(cell.dense, CRITERION))


METHOD = Method(
    name="own",
    title="squared magnitude",
    formula="keep the largest w**2 of the trained network; rewind; train",
    source="an example",
    cost="one training for each sparsity and seed",
    ticket=ticket,
    criterion=CRITERION,
)
'''

METRIC = '''
import random

from lthbench.kinds import Metric, Score, Value


def measure(context):
    """The largest logit."""
    largest = float(context.logits("test").values.max())
    return [Value("largest", VALUE, 0.0, 10)]


METRIC = Metric(
    name="own-metric",
    version=1,
    title="largest logit",
    formula="max of logits",
    source="an example",
    scores=(Score("largest", "largest logit", "ratio", True, -100.0, 100.0, "generalization"),),
    needs=("test",),
    measure=measure,
)
'''


@pytest.fixture
def forgotten(monkeypatch):
    """What a test takes in of its own files is forgotten at its end."""
    monkeypatch.setattr(registry, "_paths", dict(registry._paths))
    monkeypatch.setattr(registry, "_imported", dict(registry._imported))
    monkeypatch.setattr(registry, "_digests", dict(registry._digests))
    registry._criteria.cache_clear()
    yield
    registry._criteria.cache_clear()


def findings(tmp_path, text):
    """What is found of a file, by the first words of the promise; its text comes with what is not ok."""
    path = tmp_path / "mine.py"
    path.write_text(text)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return [f for f in contract.check(str(path), scratch) if f.state == "FAILED"]


def test_a_file_that_keeps_all_promises_passes(tmp_path, forgotten, capsys):
    path = tmp_path / "mine.py"
    path.write_text(OWN + METRIC.replace("VALUE", "largest"))
    main(["check", str(path)])
    said = capsys.readouterr().out
    assert "method own\n" in said
    assert "metric own-metric\n" in said
    assert "13 checks, 0 failed" in said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("from lthbench.kinds", "import numpy\nfrom lthbench.kinds", "imports numpy; import inside of the"),
        ('source="an example"', 'source=" "', "empty: source"),
        ("weight.detach() ** 2", "weight.detach() / 0", "conv1.weight: scores are not finite"),
        ("weight.detach() ** 2", "weight ** 2", "conv1.weight: scores have a gradient; detach them"),
        ("weight.detach() ** 2", "weight.detach().sum(1)", "scores have shape [16, 3, 3], not [16, 1, 3, 3]"),
        (
            "weight.detach() ** 2",
            "__import__('torch').randn(weight.shape) + next(COUNT)",
            "from one time to the next",
        ),
        ("return {name", "return {name + 'x'", "scores and prunable weights differ in"),
        ("return {name", "raise KeyError(name)\n    return {name", "NameError"),
        ("cell.prune(cell.dense, CRITERION)", "cell.prune(cell.dense, CRITERION, 0.9)", "0.5 is asked for"),
        ('Criterion("own"', 'Criterion("magnitude"', "is called magnitude, as that of"),
        ('name="own"', 'name="imp"', "the name 'imp' is taken"),
        ('name="own"', 'name="../own"', "name: letters, digits"),
        ("return cell.train", "return 1 or cell.train", "must return a training"),
        ("def ticket", "raise SystemExit(3)\ndef ticket", "called sys.exit(3)"),
        ("def ticket", "def ticket)", "cannot be imported: SyntaxError"),
        (
            "return {name",
            "import torch; torch.manual_seed(1); torch.set_num_threads(3)\n    return {name",
            "threads",
        ),
        ("return {name", "import os; os.environ['X'] = '1'\n    return {name", "environment variables (X)"),
        ("return {name", "raise SystemExit(0)\n    return {name", "criterion own: called sys.exit(0)"),
        ("return cell.train", "__import__('os').chdir('/')\n    return cell.train", "the working folder"),
    ],
)
def test_a_method_that_breaks_a_promise_is_told_so(tmp_path, forgotten, before, after, said):
    assert before in OWN
    text = OWN.replace(before, after).replace("def scores", "COUNT = iter(range(10**6))\n\n\ndef scores")
    failed = findings(tmp_path, text)
    assert any(said in f.text for f in failed), failed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("largest + 1000", "it is declared to lie from -100 to 100"),
        ("float('nan')", "largest: nan without a reason"),
        ("random.random()", "and then"),
        ("largest / 0", "ZeroDivisionError"),
        ("largest, 0.0, 0), Value('other', 1.0", "yields other, which it does not declare"),
        ("largest, 0.0, 0), *(() and [Value('', 1.0", "of no images"),
    ],
)
def test_a_metric_that_breaks_a_promise_is_told_so(tmp_path, forgotten, value, said):
    text = METRIC.replace("VALUE", value)
    if "*(()" in value:
        text = METRIC.replace("VALUE, 0.0, 10", "largest, 0.0, 0")
    failed = findings(tmp_path, text)
    assert any(said in f.text for f in failed), failed


def test_a_metric_that_attaches_none_of_the_units_it_declares_is_told_so():
    files = {"a": ["scores.json"], "b": ["scores.json"]}
    measures = [SimpleNamespace(metric="dissection", key=key) for key in files]
    entries = [SimpleNamespace(measures=[one]) for one in measures]
    store = SimpleNamespace(files=lambda step: files[step.key])
    done: Any = SimpleNamespace(
        failures={}, plan=SimpleNamespace(entries=entries), runner=SimpleNamespace(store=store)
    )
    with pytest.raises(Broken, match=r"attaches no file units\.csv of any network"):
        trials.units_are_kept(done, "dissection")
    files["b"].append("units.csv")
    trials.units_are_kept(done, "dissection")


class Odd(torch.nn.Module):
    """A network that keeps no promise."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3)
        self.weight = torch.nn.Parameter(torch.from_numpy(__import__("numpy").random.rand(1)).float())

    def forward(self, x):
        x.mul_(0.5)
        return x.mean((1, 2, 3))


def test_an_architecture_that_breaks_its_promises_fails_every_check():
    odd = dataclasses.replace(
        registry.get(Architecture, "resnet8"), name="odd", build=lambda network: Odd(), layer="absent"
    )
    for check in architectures.CHECKS:
        with pytest.raises(Broken):
            check(odd)


def test_an_architecture_without_maps_is_told_that_it_needs_them():
    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.only = torch.nn.Linear(64, 10)

        def forward(self, x):
            return self.only(x.flatten(1))

    resnet = registry.get(Architecture, "resnet8")
    flat = dataclasses.replace(resnet, name="flat", build=lambda network: Linear(), layer="only")
    with pytest.raises(Broken, match=r"only yields \[2, 10\], not maps .* no MLP can be an architecture"):
        architectures.layer_for_maps_has_a_grid(flat)


def test_a_data_set_that_breaks_its_promises_fails():
    digits = registry.get(Dataset, "digits")
    with pytest.raises(Broken, match="a class is named twice"):
        datasets.record_fits_its_images(dataclasses.replace(digits, classes=("a", "a")))
    with pytest.raises(Broken, match="declared 7"):
        datasets.images_are_as_declared(dataclasses.replace(digits, splits={"train": 7}))
    order = iter(range(10))

    def turned(source, split):
        images = digits.load(source, split)
        return images._replace(pixels=np.roll(images.pixels[:], next(order), axis=0))

    with pytest.raises(Broken, match=r"\w+: read again, images are others, or in another order"):
        datasets.images_are_the_same_again(dataclasses.replace(digits, load=turned))
    with pytest.raises(Broken, match="--data"):
        datasets.images_are_as_declared(dataclasses.replace(digits, locate=lambda p: None, obtain="ask"))


def test_a_family_that_there_is_not_fails():
    method = registry.get(Method, "omp")
    with pytest.raises(Broken, match="family 'all of them' is none of after, init, during, "):
        records.says_what_it_is(Method, dataclasses.replace(method, family="all of them"))
    resnet = registry.get(Architecture, "resnet8")
    with pytest.raises(Broken, match="family 'residual' is none of convolutional, transformer"):
        records.says_what_it_is(Architecture, dataclasses.replace(resnet, family="residual"))


def test_data_is_looked_for_in_the_folder_that_is_named(tmp_path, forgotten, capsys):
    (tmp_path / "mine.py").write_text(
        "import dataclasses, pathlib\n"
        "from lthbench.datasets.digits import DATASET as D\n"
        "from lthbench.kinds import Source\n"
        "def locate(folders):\n"
        "    files = [f / 'x' for f in folders if (f / 'x').is_file()]\n"
        "    return Source('x', files[0].parent, (files[0],)) if files else None\n"
        "DATASET = dataclasses.replace(D, name='there', locate=locate, obtain='name it with --data')\n"
    )
    main(["check", str(tmp_path / "mine.py")])
    assert "there is not on this machine" in capsys.readouterr().out
    (tmp_path / "x").write_text("x")
    main(["check", str(tmp_path / "mine.py"), "--data", str(tmp_path)])
    assert "skipped" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["check", "digits", "--data", str(tmp_path / "absent")])


def test_a_name_is_checked_as_a_file_is(capsys):
    main(["check", "digits", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {f["state"] for f in found} == {"ok"}
    assert {f["kind"] for f in found} == {"data set"}


@pytest.mark.parametrize(
    ("plugin", "said"),
    [("absent.py", "no plug-in file"), ("absent", 'no plug-in "absent"')],
)
def test_what_is_no_plugin_is_bad_input(tmp_path, monkeypatch, capsys, plugin, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["check", plugin])
    assert said in capsys.readouterr().err


def test_a_file_without_a_plugin_fails(tmp_path, capsys):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(tmp_path / "empty.py")])
    assert (
        "defines no plug-in: none of ARCHITECTURE, BANK, DATASET, METHOD, METRIC." in capsys.readouterr().out
    )
