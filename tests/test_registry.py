"""Plug-ins of other packages: found by entry point, hashed into keys, and named when they are of no use."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lthbench
from lthbench import registry
from lthbench.errors import BadInput, PluginWarning
from lthbench.kinds import Architecture, Bank, Dataset, Method, Metric, Score, packages
from lthbench.kinds.origins import module_name

TEMPLATE = Path(__file__).parents[1] / "docs" / "template"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package that offers plug-ins: what pip would have installed of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_imported", dict(registry._imported))
    monkeypatch.setattr(registry, "_unusable", {})
    modules = set(sys.modules)

    def forget():
        packages.digests.clear()
        packages.entry_points.cache_clear()
        registry._criteria.cache_clear()

    def make(entry_points, name="lthbench_squared", version="0.1.0", **changes):
        target = tmp_path / name
        shutil.copytree(TEMPLATE / "src" / "lthbench_squared", target, dirs_exist_ok=True)
        for before, after in changes.values():
            path = target / "method.py"
            assert before in path.read_text()
            path.write_text(path.read_text().replace(before, after))
        facts = tmp_path / f"{name}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (facts / "entry_points.txt").write_text(entry_points)
        forget()
        return target

    yield make
    for name in set(sys.modules) - modules:
        if name.startswith("lthbench_"):
            del sys.modules[name]
    forget()


POINT = "[lthbench.methods]\nsquared = lthbench_squared.method\n"


def test_a_packages_plugin_is_listed_without_being_imported_and_got_by_name(package):
    package(POINT)
    assert "squared" in registry.names(Method)
    assert "lthbench_squared.method" not in sys.modules
    assert registry.packaged(Method) == {"squared": "lthbench_squared 0.1.0"}
    assert registry.get(Method, "Squared").title == "squared magnitude, one shot"
    assert registry.criterion("squared").version == 1


def test_a_packages_file_is_part_of_the_key_and_leaves_other_keys_alone(package):
    before = registry.version(Method, "magnitude")
    target = package(POINT)
    registry.get(Method, "squared")
    first = registry.version(Method, "squared")
    assert first.startswith("1+")
    assert len(first) == len("1+") + 12
    (target / "method.py").write_text((target / "method.py").read_text() + "# changed\n")
    assert registry.version(Method, "squared") == first  # what was imported, not what lies there by now
    for name in ("lthbench_squared.method", "lthbench_squared"):
        del sys.modules[name]
    registry._imported.pop((Method, "squared"))
    packages.digests.clear()  # as another process finds it
    registry.get(Method, "squared")
    assert registry.version(Method, "squared") != first
    assert registry.version(Method, "magnitude") == before == "1"


OFFERED = """
import dataclasses
from lthbench import kinds, registry

METHOD = registry.get(kinds.Method, "omp")
METHOD = dataclasses.replace(
    METHOD, name="own", criterion=dataclasses.replace(METHOD.criterion, name="own", version=1)
)
METRIC = dataclasses.replace(
    registry.get(kinds.Metric, "gini"), name="own", version=1,
    scores=(kinds.Score("own", "own", "1", True, 0.0, 1.0, "geometry"),),
    measure=lambda context: [kinds.Value("own", 0.25, 0.0, 1)],
)
DATASET = dataclasses.replace(registry.get(kinds.Dataset, "digits"), name="own", version=1)
BANK = dataclasses.replace(registry.get(kinds.Bank, "shapes"), name="own", version=1)
ARCHITECTURE = dataclasses.replace(registry.get(kinds.Architecture, "resnet8"), name="own", version=1)
"""


@pytest.fixture
def offered(package):
    """A package that offers a plug-in of each kind, all named "own", in modules of their own."""
    points = []
    for kind in (Method, Metric, Dataset, Bank, Architecture):
        folder, attribute = registry._FOLDERS[kind]
        points.append(f"[lthbench.{folder}]\nown = lthbench_squared.{folder}_own:{attribute}\n")
    target = package("".join(points))
    for kind in (Method, Metric, Dataset, Bank, Architecture):
        (target / f"{registry._FOLDERS[kind][0]}_own.py").write_text(OFFERED)


@pytest.mark.parametrize("kind", [Method, Metric, Dataset, Bank, Architecture])
def test_the_version_of_a_packages_plugin_is_the_same_in_a_process_that_has_not_imported_it(offered, kind):
    """As in a worker: the first that it asks for is the version."""
    before = registry.version(kind, "own")
    assert before == f"1+{hashlib.sha256(OFFERED.encode()).hexdigest()[:12]}"


def test_the_file_of_a_packages_module_has_no_hash_before_it_is_imported(offered):
    with pytest.raises(BadInput, match=r"lthbench_squared 0\.1\.0: lthbench_squared.metrics_own was not imp"):
        packages.digest(packages.entry_points("metrics")["own"])


@pytest.mark.long
def test_worker_processes_measure_with_a_packages_metric(offered, tiny_task, tmp_path):
    options = {"seeds": 1, "metrics": ["accuracy", "own"], "store": tmp_path / "store", "workers": 2}
    table = lthbench.run(tiny_task, ["own"], [0.5], **options)
    own = table[table["metric"] == "own"]
    assert set(own["method"]) == {"dense", "own"}
    assert (own["value"] == 0.25).all()


def test_a_criterion_of_lthbench_keeps_its_version_when_a_package_uses_it(package):
    package(
        POINT,
        criterion=(
            'SQUARED = Criterion("squared", version=1, score=scores)',
            "from lthbench.methods.omp import METHOD as OMP\n\nSQUARED = OMP.criterion",
        ),
    )
    assert registry.get(Method, "squared").criterion is registry.get(Method, "omp").criterion
    assert registry.version(Method, "magnitude") == "1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("METHOD = Method(", "import absent_module\nMETHOD = Method("), "ModuleNotFoundError"),
        (('name="squared"', 'name="other"'), "must define METHOD with name='squared'"),
        (("METHOD = Method(", "SOMETHING = Method("), "must define METHOD with name='squared'"),
        (("METHOD = Method(", "raise SystemExit(0)\nMETHOD = Method("), "called sys.exit(0)"),
    ],
)
def test_a_broken_package_is_named_and_breaks_nothing_else(package, change, said):
    package(POINT, change=change)
    with pytest.raises(BadInput, match=r"^lthbench_squared 0\.1\.0: .*") as caught:
        registry.get(Method, "squared")
    assert said in str(caught.value)
    assert "imp" in {m.name for m in registry.every(Method)}
    assert registry.criterion("magnitude").name == "magnitude"
    assert list(registry.unusable()) == ["method squared"]


@pytest.mark.parametrize(("kind", "noun"), [(Dataset, "dataset"), (Architecture, "architecture")])
def test_a_name_that_is_not_known_may_be_that_of_a_file(kind, noun):
    with pytest.raises(BadInput, match=rf'no {noun} "objects3"\..* one in a file of your own: --plugin FILE'):
        registry.get(kind, "objects3")


def test_a_package_cannot_take_the_place_of_what_ships(package):
    package("[lthbench.methods]\nimp = lthbench_squared.method\n[lthbench.metrics]\necee = lthbench_absent\n")
    assert registry.get(Method, "imp").title != "squared magnitude, one shot"
    assert "method imp" in registry.unusable()
    assert "is the name of one that ships" in registry.unusable()["method imp"]
    assert "ModuleNotFoundError" in registry.unusable()["metric ecee"]
    assert "ece" in registry.names(Metric)


def test_a_package_cannot_take_a_name_that_would_be_taken_for_what_ships(package):
    package("[lthbench.methods]\nIMP = lthbench_squared.method\n")
    assert "IMP" not in registry.names(Method)
    assert registry.get(Method, "IMP").name == "imp"
    assert "is the name of one that ships" in registry.unusable()["method IMP"]
    assert [m.name for m in registry.every(Method)].count("imp") == 1


def test_names_of_packages_that_would_be_taken_for_one_another_are_refused(package):
    package(POINT + "squ-ared = lthbench_squared.method\n")
    both = r"lthbench_squared 0\.1\.0 and lthbench_squared 0\.1\.0 \(squ-ared\) both offer a method squared"
    with pytest.raises(BadInput, match=both):
        registry.get(Method, "squared")


def test_two_packages_with_one_name_are_told_apart(package):
    package(POINT)
    package(POINT, name="lthbench_other", version="2.0")
    with pytest.raises(BadInput, match=r"lthbench_(other 2\.0|squared 0\.1\.0) and lthbench_\w+ [\d.]+ both"):
        registry.get(Method, "squared")


METRIC = """
from lthbench.kinds import Metric, Score, Value

def measure(context):
    return [Value("answer", {answer}, 0.0, 1)]

SCORES = (Score("answer", "answer", "1", True, 0.0, 100.0, "geometry"),)
METRIC = Metric("{name}", 1, "the answer", "f", "s", SCORES, (), measure)
"""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A user's own file that defines a metric; what was taken in is forgotten afterwards."""
    for name in ("_paths", "_digests"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    path = tmp_path / "own.py"

    def write(answer, name="own-answer"):
        path.write_text(METRIC.format(answer=answer, name=name))
        return str(path)

    yield write
    sys.modules.pop(module_name(path.resolve()), None)


def test_a_file_that_was_edited_is_imported_again_with_a_key_of_its_own(own_file):
    path = own_file(1.0)
    first, before = registry.get(Metric, path), registry.version(Metric, "own-answer")
    assert registry.get(Metric, path) is first
    own_file(2.0)
    # By name it is what was imported, until the file is named again.
    assert registry.get(Metric, "own-answer") is first
    assert registry.version(Metric, "own-answer") == before
    second = registry.get(Metric, path)
    assert [v.value for v in second.measure(None)] == [2.0]
    assert registry.version(Metric, "own-answer") != before


def test_a_score_of_another_metric_is_refused_and_both_are_named(own_file, tmp_path):
    path = Path(own_file(1.0))
    path.write_text(path.read_text().replace('Score("answer"', 'Score("accuracy"'))
    with pytest.raises(BadInput, match=r"own\.py: .* has a score 'accuracy', as has metric accuracy"):
        registry.take(path)
    assert "own-answer" not in registry.names(Metric)
    registry.take(own_file(1.0))
    other = tmp_path / "other.py"
    other.write_text(METRIC.format(answer=1.0, name="other-answer"))
    with pytest.raises(BadInput, match=r"other\.py: .* 'answer', as has metric own-answer \(.*own\.py\)"):
        registry.take(other)
    registry.take(own_file(2.0))  # an edited file is not held against itself


def test_a_name_that_is_taken_says_by_which_file(own_file, tmp_path):
    registry.take(own_file(1.0))
    other = tmp_path / "other.py"
    other.write_text(METRIC.format(answer=1.0, name="own-answer"))
    with pytest.raises(BadInput, match=r"the name 'own-answer' is taken, by .*own\.py; give the"):
        registry.take(other)
    other.write_text(METRIC.format(answer=1.0, name="ece"))
    with pytest.raises(BadInput, match="the name 'ece' is taken, by one that ships; give the"):
        registry.take(other)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("own_answer", r"by .*own\.py and is called 'own-answer'"),
        ("OWN-ANSWERS", ""),
        ("ECE", "by one that ships and is called 'ece'"),
    ],
)
def test_a_name_that_would_be_taken_for_another_is_refused(own_file, tmp_path, name, whose):
    registry.take(own_file(1.0))
    other = tmp_path / "other.py"
    other.write_text(METRIC.format(answer=2.0, name=name).replace('Score("answer"', 'Score("other"'))
    if whose:
        with pytest.raises(BadInput, match=rf"other\.py: the name '{name}' is taken, {whose}; give"):
            registry.take(other)
    else:
        registry.take(other)
        assert registry.get(Metric, name).scores[0].name == "other"
    assert registry.get(Metric, "Own_Answer").scores[0].name == "answer"
    assert registry.get(Metric, "ece").scores[0].name == "ece"
    sys.modules.pop(module_name(other.resolve()), None)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"geometry")', '"quality")', "group 'quality' is none of generalization, uncertainty"),
        ("True, 0.0, 100.0", '"yes", 0.0, 100.0', "higher_is_better is True or False, not 'yes'"),
        ("0.0, 100.0", "1.0, 0.0", "low must be a number below high, not 1.0 with high=0.0"),
        ('"geometry")', '"geometry", margin=-0.1)', "margin must be a number, 0 or more, not -0.1"),
        ('"geometry")', '"geometry", margin=1.0, relative_margin=True)', "must be below 1, not 1.0"),
        ('"geometry")', '"geometry", spread_of="accuracy")', "say relative_margin=True, or leave spread_of"),
        ('"1", True', '"-log10(p)", True', "unit is a formula to spreadsheets: '-log10(p)'"),
        (
            '"answer", "1"',
            '"an\\nswer", "1"',
            "title must be a line without control characters, not 'an",
        ),
        ('"1", True', '"ratio", True', ""),
        ("(Score", "(", "scores must be a tuple of Score, such as"),
        ("SCORES, ()", "(), ()", "scores is empty"),
        ("SCORES, ()", "SCORES * 2, ()", "has two scores called answer"),
        ("SCORES, ()", 'SCORES, ("test")', "needs must be a tuple"),
        (", 1, ", ", 1.5, ", "version must be a whole number, 1 or more, not 1.5"),
        (", 1, ", ", True, ", "version must be a whole number"),
        ("measure)", "measure, values_since=2)", "values_since must be a whole number from 0 to 1, not 2"),
    ],
)
def test_a_metric_that_is_not_filled_in_is_refused_by_its_file(own_file, before, after, said):
    path = Path(own_file(1.0))
    assert before in path.read_text()
    text = path.read_text().replace(before, after)
    if after == "(":
        text = text.replace('"geometry"),)', '"geometry"))').replace('("answer", "a', 'Score("answer", "a')
    if not said:
        text, said = (
            text.replace('"geometry")', '"geometry", spread_of="nosuch")'),
            "spread_of='nosuch' is",
        )
    path.write_text(text)
    with pytest.raises(BadInput, match=r"own\.py: .*(score answer|metric own-answer): ") as caught:
        registry.take(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("std=(0.0,)", "data set own: std must be above 0, up to 1, as of pixels from 0 to 1, not"),
        ("mean=(76.0,)", "mean must be from 0 to 1, as of pixels"),
        ("std=(0.3, 0.3)", "std must be a tuple of 1 number, one for each channel, not"),
        ("channels=3", "mean must be a tuple of 3 numbers, one for each channel"),
        ("channels=0", "channels must be a whole number, 1 or more"),
        ("classes=('0', 'a\\nb')", "own: the name of a class must be a line without control characters"),
        ("classes=('0', '@home')", "own: the name of a class is a formula to spreadsheets: '@home'"),
    ],
)
def test_a_data_set_that_is_not_filled_in_is_refused_by_its_file(own_file, tmp_path, change, said):
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\nfrom lthbench.datasets.digits import DATASET as D\n"
        f"DATASET = replace(D, name='own', {change})\n"
    )
    with pytest.raises(BadInput, match=r"own\.py: ") as caught:
        registry.take(tmp_path / "own.py")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("METHOD = replace(METHOD, name=5)", "method: name must be a text, not 5"),
        ("METHOD = replace(METHOD, name='own', cost=None)", "method own: cost must be a text, not None"),
        (
            "METHOD = replace(METHOD, name='own', criterion='magnitude')",
            "method own: criterion and criteria must",
        ),
        ("Criterion('own', 'x', print)", "criterion own: version must be a whole number, 1 or more, not 'x'"),
        ("Criterion(7, 1, print)", "criterion: name must be a text, not 7"),
        ("ARCHITECTURE = replace(ARCHITECTURE, name='own', version=0)", "architecture own: version must be"),
        (
            "ARCHITECTURE = replace(ARCHITECTURE, name='own', layer=3)",
            "own: layer must be a text",
        ),
        ("BANK = replace(BANK, name='own', licence=None)", "bank own: licence must be a text, not None"),
    ],
)
def test_records_of_other_kinds_are_held_to_their_texts_and_versions(own_file, tmp_path, made, said):
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\nfrom lthbench.kinds import Criterion\n"
        "from lthbench.methods.omp import METHOD\nfrom lthbench.architectures.resnet8 import ARCHITECTURE\n"
        f"from lthbench.banks.shapes import BANK\n{made}\n"
    )
    with pytest.raises(BadInput, match=r"own\.py: ") as caught:
        registry.take(tmp_path / "own.py")
    assert said in str(caught.value)


def test_a_criterion_that_no_method_names_is_told_how(own_file, tmp_path):
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\nfrom lthbench.kinds import Criterion\n"
        "from lthbench.methods.omp import METHOD as OMP\nOWN = Criterion('own', 1, print)\n"
        "METHOD = replace(OMP, name='own', ticket=lambda c: c.train(c.rewound, c.prune(c.dense, OWN)))\n"
    )
    registry.take(tmp_path / "own.py")
    with pytest.raises(BadInput, match=r'no pruning criterion "own".*one of your own: criterion='):
        registry.criterion("own")


def test_numbers_of_numpy_are_taken_as_pythons_own():
    half: Any = np.float32(0.5)
    zero: Any = np.int64(0)
    dataset = dataclasses.replace(registry.get(Dataset, "digits"), mean=(half,), std=(half,))
    score = Score("a", "a", "1", True, zero, half * 2, "geometry", margin=half, slack=half)
    numbers = [*dataset.mean, *dataset.std, score.low, score.high, score.margin, score.slack]
    assert json.dumps(numbers) == "[0.5, 0.5, 0.0, 1.0, 0.5, 0.5]"
    with pytest.raises(BadInput, match="margin must be a number, 0 or more"):
        dataclasses.replace(score, margin=half * np.nan)


METHOD = """
from dataclasses import replace
from lthbench.methods.omp import METHOD as OMP

METHOD = replace(OMP, name="own-method", aliases=("My_Mag", "lth"))
"""


def test_a_users_own_method_is_found_by_its_alias(own_file, tmp_path):
    (tmp_path / "own.py").write_text(METHOD)
    registry.take(tmp_path / "own.py")
    assert registry.get(Method, "mymag").name == "own-method"
    assert registry.get(Method, "lth").name == "imp"  # what ships keeps its own


def test_a_method_that_is_named_imports_no_other(monkeypatch):
    monkeypatch.setattr(registry, "_imported", {})
    monkeypatch.setattr(registry, "_aliases", lambda: pytest.fail("imported all"))
    assert registry.get(Method, "SNIP").name == "snip"


def test_a_file_that_was_edited_leaves_no_old_name(own_file):
    registry.take(own_file(1.0))
    registry.take(own_file(1.0, name="own-other"))
    assert {n for n in registry.names(Metric) if n.startswith("own-")} == {"own-other"}


def test_a_file_that_was_edited_and_is_broken_now_leaves_what_was_imported(own_file, tmp_path):
    registry.take(own_file(1.0))
    (tmp_path / "own.py").write_text("METRIC = 1 +")
    with pytest.raises(BadInput, match="SyntaxError"):
        registry.take(tmp_path / "own.py")
    assert [v.value for v in registry.get(Metric, "own-answer").measure(None)] == [1.0]


def test_a_cache_of_compiled_code_stands_for_no_file(own_file, tmp_path):
    """Of the same size and time: what Python takes for unchanged."""
    path = Path(own_file(1.0))
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    registry.take(path)
    own_file(2.0)
    os.utime(path, ns=times)
    del sys.modules[module_name(path.resolve())]
    assert [v.value for v in registry.get(Metric, str(path)).measure(None)] == [2.0]


def test_a_worker_refuses_another_file_than_the_one_of_the_plan(own_file):
    registry.take(own_file(1.0))
    told = registry.user_files()
    registry.use_files(told)
    own_file(2.0)
    with pytest.raises(BadInput, match="another file than when the run was planned"):
        registry.use_files(told)


def test_a_file_that_was_edited_keeps_its_place_among_those_that_workers_are_told(own_file, tmp_path):
    own, other = Path(own_file(1.0)), tmp_path / "other.py"
    text = METRIC.format(answer=1.0, name="other").replace('Score("answer"', 'Score("other"')
    other.write_text(text.replace('"geometry")', '"geometry", relative_margin=True, spread_of="answer")'))
    registry.take(own)
    registry.take(other)
    own_file(2.0, name="own-renamed")
    registry.take(own)
    told = registry.user_files()
    assert [file.path for file in told] == [str(own.resolve()), str(other.resolve())]
    for path in (own, other):
        del sys.modules[module_name(path.resolve())]
    registry._paths.clear()
    registry._digests.clear()
    registry.use_files(told)  # as a worker does, which knows none of them
    assert registry.get(Metric, "other").scores[0].spread_of == "answer"
    del sys.modules[module_name(other.resolve())]


def test_code_beside_a_file_is_named_that_is_not_in_its_hash(own_file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = Path(own_file(1.0))
    text = path.read_text()
    for name in ("helper", "numpy_like"):
        (tmp_path / f"{name}.py").write_text("A = 1\n")
    inside = text.replace("    return [Value", "    import numpy_like, numpy, os\n    return [Value")
    path.write_text(f"from helper import A\nimport json\n{inside}")
    said = r"own\.py imports helper and numpy_like, whose code is not in its hash"
    with pytest.warns(PluginWarning, match=said):
        registry.take(path)
    registry.take(path)  # and once only
    told = registry.user_files()
    del sys.modules[module_name(path.resolve())]
    registry.use_files(told)  # as a worker does, which does not tell it again
    assert "numpy_like" not in sys.modules
    del sys.modules["helper"]


def test_a_file_of_compiled_code_is_refused_in_words(tmp_path):
    (tmp_path / "own.pyc").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"own\.pyc: not a file of Python code"):
        registry.take(tmp_path / "own.pyc")


METRICS = """
from lthbench.kinds import Metric, Score, Value

def metric(name, score, **more):
    scores = (Score(score, "t", "ratio", False, 0.0, 9.0, "geometry", **more),)
    return Metric(name, 1, "t", "f", "s", scores, ("test",), lambda context: [Value(score, 1.0, 0.0, 1)])

FIRST, LAST = metric("a-first", "a_ratio", spread_of={spread!r}), metric("z-last", "z_absolute")
"""
POINTS = "[lthbench.metrics]\na-first = lthbench_pair.pair:FIRST\nz-last = lthbench_pair.pair:LAST\n"
POINTS += "broken = lthbench_pair.nothing\n"


@pytest.mark.parametrize(("spread", "said"), [("z_absolute", ""), ("nosuch", "a score of no metric known")])
def test_a_packages_metric_may_take_its_spread_of_any_other_of_packages(package, spread, said):
    (package(POINTS, name="lthbench_pair") / "pair.py").write_text(METRICS.format(spread=spread))
    if said:
        with pytest.raises(BadInput, match=said):
            registry.get(Metric, "a-first")
    else:
        assert registry.get(Metric, "a-first").scores[0].spread_of == spread
    assert registry.get(Metric, "z-last").name == "z-last"


@pytest.mark.slow
def test_the_template_is_built_installed_and_passes_its_tests(tmp_path):
    """By pip, without a network: a wheel, in an environment that borrows everything else from this one."""
    work = tmp_path / "template"
    shutil.copytree(TEMPLATE, work, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path, work], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("lthbench_squared-*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python3*")) / "site-packages"
    install = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    places = [str(Path(p)) for p in sys.path if p and Path(p).is_dir()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}

    def run(*words):
        done = subprocess.run(
            [python, "-m", *words], capture_output=True, text=True, env=environment, cwd=work, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "squared magnitude, one shot" in run("lthbench", "methods")
    assert "7 checks, 0 failed" in run("lthbench", "check", "squared")
    assert "2 passed" in run("pytest", "-q", "-p", "no:cacheprovider", "tests")
