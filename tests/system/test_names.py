"""Names in files that others wrote: of one line, and without what steers a terminal, or refused."""

import json

import pytest
import safetensors.torch
import torch

from lthbench.checkpoints import files
from lthbench.cli import main
from lthbench.errors import BadInput, Damaged
from lthbench.formatting import is_formula, one_line
from lthbench.results import table, units

ODD = ["two\nlines", "a\rb", "red\x1b[31m", "turned\u202e", "tab\there", "nul\0", "next\u2028line", "\x85"]
PLAIN = ["layer1.0.conv1.weight", "größer", "日本", "a b", "12\u202f%", "", "-"]


@pytest.mark.parametrize("name", ODD)
def test_a_name_of_several_lines_or_that_steers_is_none(name):
    assert not one_line(name)


@pytest.mark.parametrize("name", PLAIN)
def test_others_are_names(name):
    assert one_line(name)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["tensor", "place", "safetensors", "nothing", "list", "mask"])
def test_those_of_checkpoints_are_refused(name, kind, tmp_path):
    tensor = torch.zeros(2, 2)
    path = tmp_path / "odd.pt"
    if kind == "safetensors":
        path.write_bytes(safetensors.torch.save({name: tensor}))
    else:
        content = {
            "tensor": {name: tensor},
            "place": {name: {"a": tensor}},
            "nothing": {name: 5},
            "list": {"w": tensor, name: [tensor]},
            "mask": {"w": tensor, "mask": {name: tensor}},
        }
        torch.save(content[kind], path)
    with pytest.raises(BadInput, match=r"odd\.pt: has a name with control characters: '") as error:
        files.of(path, "checkpoint")
    assert one_line(str(error.value))


@pytest.fixture
def written(tmp_path, made_table):
    scores, facts = made_table(["imp"], seeds=2, sparsities=(0.5,))
    table.write(scores, facts, tmp_path)
    return tmp_path


@pytest.mark.parametrize("old", ["imp", "accuracy", "fraction"])
def test_those_of_tables_are_refused(written, old):
    text = (written / "scores.csv").read_text()
    (written / "scores.csv").write_text(text.replace(f",{old},", f',"{old}\nError: all is well",'))
    with pytest.raises(BadInput, match=rf"scores\.csv: .* control characters: '{old}\\nError"):
        table.read(written)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["task"].update(title="a\nb"),
        lambda facts: facts.update(methods=["imp", "a\x1b[2J"]),
        lambda facts: facts["aspects"][0].update(label="a\nb"),
        lambda facts: facts["scores"][0].update(name="\u202e"),
        lambda facts: facts["budget"].update({"a\nb": 1}),
    ],
)
def test_those_of_facts_are_refused(written, change, capsys):
    facts = json.loads((written / "run.json").read_text())
    change(facts)
    (written / "run.json").write_text(json.dumps(facts))
    with pytest.raises(SystemExit) as end:
        main(["compare", str(written), str(written)])
    assert end.value.code == 2
    assert "has a text with control characters" in capsys.readouterr().err


FORMULAS = ["=cmd|' /C calc'!A0", "@SUM(1)", "+cmd|'x'!A0", "-2+3+cmd|'x'!A0", '=HYPERLINK("http://x")']


def test_what_spreadsheets_compute_is_told_from_names():
    assert all(map(is_formula, FORMULAS))
    assert not any(map(is_formula, [*PLAIN, "-0.5", "+1", "-unknown-", "a=b", "%"]))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("column", ["method", "variant", "reason"])
def test_formulas_of_spreadsheets_in_tables_are_refused(written, formula, column):
    """What a page's readers open as CSV was in the table that its maintainer was sent."""
    scores = table.read(written)[0]
    scores[column] = scores[column].astype(object)
    scores.loc[3, column] = formula
    scores.to_csv(written / "scores.csv", index=False)
    with pytest.raises(BadInput, match=rf"{column} has a text that spreadsheets would compute: ") as error:
        table.read(written)
    assert one_line(str(error.value))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["scores"][0].update(title="=1"),
        lambda facts: facts["aspects"][0].update(title="@SUM(1)"),
        lambda facts: facts["task"].update(title="=1"),
        lambda facts: facts.update(methods=["imp", "=1"]),
    ],
)
def test_and_in_facts_that_stand_in_tables(written, change):
    facts = json.loads((written / "run.json").read_text())
    change(facts)
    (written / "run.json").write_text(json.dumps(facts))
    with pytest.raises(BadInput, match=r"run\.json: has a name that spreadsheets would compute: "):
        table.read(written)


@pytest.mark.parametrize(
    "change", [{"title": "=1"}, {"numbers": [["network", "=1"]]}, {"numbers": [["a"], ["@SUM(1)"]]}]
)
def test_and_in_pictures(written, change):
    picture = {"kind": "concepts", "title": "a", "text": "b", "image": "c", "numbers": [["a"], ["b"], [-1.0]]}
    (written / "pictures.json").write_text(json.dumps([picture]))
    assert len(table.read(written)[1].pictures) == 1
    (written / "pictures.json").write_text(json.dumps([picture | change]))
    with pytest.raises(BadInput, match=r"pictures\.json: .* that spreadsheets would compute: "):
        table.read(written)


def test_and_in_tables_of_units():
    for place in range(4):
        names = ["imp", "layer1", "cat", "animal"]
        unit = units.Unit(names[0], 0.5, 0, "dissection", names[1], 1, names[2], names[3], 0.5, 0.5)
        assert units.from_csv(units.as_csv([unit]), "units.csv") == (unit,)
        names[place] = "=1"
        unit = units.Unit(names[0], 0.5, 0, "dissection", names[1], 1, names[2], names[3], 0.5, 0.5)
        with pytest.raises(Damaged, match="has a name that spreadsheets would compute: '=1'"):
            units.from_csv(units.as_csv([unit]), "units.csv")
