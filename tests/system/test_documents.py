"""What the documents say of the code is so."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from lthbench import contract, registry
from lthbench.cli import main
from lthbench.kinds import Method, Metric

ROOT = Path(__file__).parents[2]


def layers():
    """The rows of names in tests/system/test_layers.py, lowest first."""
    source = (ROOT / "tests" / "system" / "test_layers.py").read_text(encoding="utf-8")
    (text,) = re.findall(r'^LAYERS = """\n(.*?)"""$', source, re.M | re.S)
    return [set(row.split()) for row in text.splitlines()]


def test_the_plan_of_the_house_has_the_layers_that_imports_are_held_to():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.+) \|$", text, re.M)
    named = [set(re.findall(r"`(\w+)`", names)) for names, _ in rows]
    assert named[::-1] == layers()
    for names, said in zip(named, (said for _, said in rows), strict=True):
        assert len(said.split()) > 2 * len(names), names


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text))
    assert named
    roots = (ROOT, ROOT / "benchmark" / "lthbench")
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_keep_what_plugins_promise(path, tmp_path, monkeypatch):
    """Each is the recipe of a paragraph in CONTRIBUTING.md."""
    for name in ("_paths", "_digests", "_imported", "_unusable"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    findings = list(contract.check(str(path), tmp_path))
    assert len(findings) > 3
    assert [(f.promise, f.state, f.text) for f in findings if f.state != "ok"] == []
    recipes = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"`lthbench check docs/examples/{path.name}`" in recipes


def test_the_reference_says_what_the_listings_say(module_at):
    made = module_at(ROOT / "docs" / "scripts" / "reference.py").pages()
    kept = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "reference").iterdir()}
    stale = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    assert stale == [], "run ci/docs, or python docs/scripts/reference.py"


def test_every_page_of_the_documents_is_in_the_sites_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    folder = ROOT / "docs"
    pages = [p.relative_to(folder).as_posix() for p in (*folder.glob("*.md"), *folder.glob("reference/*.md"))]
    assert [page for page in sorted(pages) if f": {page}\n" not in contents] == []


def first_column(page, heading):
    """The cells of the first column of the table under a heading of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    rows = re.findall(r"^\| (.+?) \|", text.partition("\n## ")[0], re.M)
    return rows[1:]


def test_the_table_of_methods_has_all_with_their_variants_and_other_names():
    cells = first_column("scores.md", "What prunes")
    expected = []
    for name in registry.names(Method):
        method = registry.get(Method, name)  # its variants are called as name:variant
        expected += [name, *method.aliases, *(f"{name}:{variant}" for variant in method.variants)]
    assert sorted(re.findall(r"[\w:-]+", " ".join(cells))) == sorted(expected)


def test_the_table_of_metrics_has_all_and_in_bold_those_that_the_verdict_asks_for():
    cells = ", ".join(first_column("scores.md", "What is measured"))
    metrics = [registry.get(Metric, name) for name in registry.names(Metric)]
    assert sorted(re.findall(r"[\w-]+", cells)) == sorted(m.name for m in metrics)
    asked = {m.name for m in metrics if any(s.verdict and not s.fewest_classes for s in m.scores)}
    assert set(re.findall(r"\*\*([\w-]+)\*\*", cells)) == asked


def papers():
    """The command of each paper, in one line."""
    text = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    return [
        block.replace("\\\n", " ").strip() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    ]


def test_each_paper_has_one_command():
    assert [line.split()[3] for line in papers()] == [
        "c10-r20s",
        "img-r50",
        "img-googlenet",
        "cub-r50",
        "imagenette-r18",
        "c100-r18",
    ]


@pytest.mark.long
@pytest.mark.parametrize("command", papers())
def test_the_command_of_a_paper_can_be_planned(command, tmp_path, capsys):
    program, verb, *options = shlex.split(command)
    assert (program, verb) == ("lthbench", "run")
    main(["plan", *options, "--data", str(tmp_path), "--store", str(tmp_path / "store"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["task"], told["budget"], len(told["seeds"])) == (options[1], "paper", 3)
    if "--rounds" in options:
        assert len(told["sparsities"]) == int(options[options.index("--rounds") + 1].partition("-")[2])
    else:
        assert len(told["sparsities"]) == 3
    assert told["steps"]["train"]["all"] > 3


def test_the_readmes_method_is_that_of_the_recipe():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n# mine.py\n(.*?)^```$", text, re.M | re.S)
    assert code == (ROOT / "docs" / "examples" / "taylor.py").read_text(encoding="utf-8")


def test_the_readme_fits_a_page_and_its_second_command_runs_the_tests():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    block = lines[lines.index("```sh") + 1 :]
    assert block[block.index("```") - 1].endswith(".venv/bin/pytest")


def test_the_readmes_table_is_that_of_the_published_site():
    with (ROOT / "reports" / "site" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["score"] in ("accuracy", "all")]
    trained = {"digits-r8": "quick", "c10-r20s": "standard-bf16"}
    rows = [row for row in rows if trained.get(row["task"]) == row["budget"]]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)`.*? \| (.*) \|$", text, re.M)
    assert len(shown) == 4
    for method, cells in shown:
        far = {
            (row["task"], row["score"]): f"{100 * float(row['up_to']):.1f} %"
            if row["up_to"]
            else row["finding"]
            for row in rows
            if row["method"] == method
        }
        expected = [far[task, score] for task in trained for score in ("accuracy", "all")]
        assert [cell.strip("* ") for cell in cells.split("|")] == expected, method


def test_the_example_of_reading_a_published_table_works(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) if "lthbench.read" in c)
    (tmp_path / "reports").symlink_to(ROOT / "reports")
    monkeypatch.chdir(tmp_path)
    lines, names = code.rstrip().splitlines(), {}
    exec("\n".join(lines[:-1]), names)
    assert set(eval(lines[-1], names).index) == {"same"}
    assert names["found"].facts.command.startswith("lthbench run --task clothing10-r18")
    assert (tmp_path / "again" / "report.md").is_file()
