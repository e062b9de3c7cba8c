"""What single units stand for: gathered from results, kept beside the table, read back or refused."""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest

from lthbench import registry
from lthbench.errors import BadInput, Damaged
from lthbench.kinds import Metric, UnitFile, UnitRow
from lthbench.results import merge, table, unit_rows, units

FILES = {
    "dissection": b"layer,unit,category,label,score,truth,activation,intersect,iou,dead\n"
    b'layer1,1,colour,"red, or so",0.1,9,9,1,0.1,0\nlayer1,2,object,cat,0.2,9,9,1,0.2,1\n',
    "composition": b'layer,unit,length,formula,iou\nlayer1,1,3,"(red AND cat)",0.4\nlayer1,1,1,"red",0.3\n',
    "mis-layers": b"layer,unit,mis,mis_soft,accuracy\nlayer1,1,nan,nan,\nsoftmax,1,0.75,0.7,0.9\n",
    "bottleneck": b"class,concept,category,weight\n"
    + b"".join(b"1,c%d,colour,0.%d\n" % (k, k) for k in range(1, 9)),
}


class Results:
    """Results by metric, as a store has them."""

    def __init__(self, files: dict[str, bytes]):
        self._files = files

    def has(self, step: Any) -> bool:
        return True

    def files(self, step: Any) -> list[str]:
        kept = registry.get(Metric, step.metric).units
        return ["scores.json", *([kept.name] if kept and step.metric in self._files else [])]

    def read(self, step: Any, name: str) -> bytes:
        return self._files[step.metric]


def plan_of(metrics=tuple(FILES), seeds=(0, 1)) -> Any:
    """A plan of one method, by what is read of it."""
    measures = tuple(SimpleNamespace(metric=m, key="k" * 64) for m in (*metrics, "accuracy"))
    entries = [
        SimpleNamespace(method=m, sparsity=s, seed=seed, measures=measures)
        for seed in seeds
        for m, s in (("dense", 0.0), ("omp", 0.5))
    ]
    return SimpleNamespace(request=SimpleNamespace(seeds=seeds), entries=entries)


def gathered(files=None, **more: Any) -> tuple[units.Unit, ...]:
    results: Any = Results(FILES if files is None else files)
    return units.gather(plan_of(**more), results)


def test_each_file_gives_rows_of_its_network():
    found = gathered()
    (first, *_), dense = found, [u for u in found if (u.method, u.seed) == ("dense", 0)]
    assert first == units.Unit("dense", 0.0, 0, "dissection", "layer1", 1, "red, or so", "colour", 0.1)
    assert [u.value for u in dense if u.metric == "dissection"] == [0.1, 0.0]  # a dead unit has none
    assert [u.concept for u in dense if u.metric == "composition"] == ["(red AND cat)"]
    softmax = [u for u in dense if u.layer == "softmax"]
    assert [(u.value, u.accuracy) for u in softmax] == [(0.75, 0.9)]
    top = [u.concept for u in dense if u.metric == "bottleneck"]
    assert top == ["c8", "c7", "c6", "c5", "c4"]
    assert len(found) == 4 * len(dense)


def test_no_more_seeds_than_the_limit_holds(monkeypatch):
    monkeypatch.setattr(units, "MOST", 25)
    assert {u.seed for u in gathered()} == {0}


def test_the_table_reads_back_as_it_was(tmp_path, made_table):
    scores, facts = made_table(("omp",), seeds=2)
    found = gathered()
    content = units.as_csv(found)
    assert units.as_csv(units.from_csv(content, "here")) == content
    table.write(scores, dataclasses.replace(facts, units=found), tmp_path)
    read = table.read(tmp_path)[1]
    assert units.as_csv(read.units) == content
    assert units.as_csv(merge.merged([(scores, read)] * 2)[1].units) == content
    table.write(scores, facts, tmp_path)  # of a run without any, those of the earlier run go
    assert not (tmp_path / units.FILE).exists()


@pytest.mark.parametrize("metric", FILES)
@pytest.mark.parametrize(
    "content", [b"\xff", b"a,b\n1,2\n", b"layer,unit,label,category,iou,dead\nx,one,y,z,0.1,0\n"]
)
def test_a_file_that_its_metric_did_not_write_is_refused(metric, content):
    with pytest.raises(Damaged, match=f"the result k+ of {metric}: "):
        gathered({**FILES, metric: content})


HEAD = ",".join(units.Unit._fields).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"method,unit\nomp,1\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1,red\n",
        HEAD + b"\nomp,1.5,0,dissection,l,1,red,colour,0.1,\n",
        HEAD + b"\nomp,0.5,0,dissection,l,-1,red,colour,0.1,\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1,red,colour,inf,\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1,red,colour,0.1,7\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1,red,colour,,\n",
        HEAD + b"\nomp,0.5,0,composition,l,1,red,,1.1,\n",
        HEAD + b"\nomp,0.5,0,mis-layers,l,1,,,-0.1,\n",
        HEAD + b"\nomp,0.5,0,bottleneck,,1,red,colour,1e308,\n",
        HEAD + b"\nomp,0.5,0,bottleneck,,9999999999,red,colour,1,\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1,\x1b[2J,colour,0.1,\n",
        HEAD + b"\nomp,0.5,0,dissection,l,1," + b"x" * 501 + b",colour,0.1,\n",
    ],
)
def test_what_is_no_table_of_units_is_refused_by_name(tmp_path, made_table, content):
    scores, facts = made_table(("omp",), seeds=2)
    table.write(scores, facts, tmp_path)
    (tmp_path / units.FILE).write_bytes(content)
    with pytest.raises(BadInput, match=r"units\.csv: "):
        table.read(tmp_path)


def test_a_table_of_units_that_is_too_large_is_not_read_whole(tmp_path, made_table, monkeypatch):
    scores, facts = made_table(("omp",), seeds=2)
    table.write(scores, facts, tmp_path)
    (tmp_path / units.FILE).write_bytes(HEAD + b"\n" * 1000)
    monkeypatch.setattr(units, "BYTES", 100)
    with pytest.raises(BadInput, match="has more bytes than"):
        table.read(tmp_path)


def test_more_rows_than_the_limit_are_refused(monkeypatch):
    content = units.as_csv(gathered())
    monkeypatch.setattr(units, "MOST", 3)
    with pytest.raises(Damaged, match="has more units than 3,"):
        units.from_csv(content, "here")
    monkeypatch.setattr(unit_rows, "ROWS", 1)
    with pytest.raises(Damaged, match="has more than 1 rows"):
        gathered()


def test_a_value_that_is_none_stays_none():
    (found,) = units.from_csv(HEAD + b"\nomp,0.5,0,mis-layers,l,1,,,,\n", "here")
    assert math.isnan(found.value)


def test_units_of_a_metric_of_ones_own_are_read_as_its_record_says(monkeypatch):
    def read(rows):
        return [UnitRow("conv", int(row["unit"]), "", "", float(row["sparsity"])) for row in rows]

    own = dataclasses.replace(registry.get(Metric, "accuracy"), units=UnitFile("own.csv", read, 0.0, 1.0))
    monkeypatch.setitem(registry._imported, (Metric, "accuracy"), own)
    (unit, *_) = gathered({"accuracy": b"unit,sparsity\n3,0.25\n"})
    assert unit == units.Unit("dense", 0.0, 0, "accuracy", "conv", 3, "", "", 0.25)
    for row, said in (
        (b"3,1.5\n", "value that cannot be"),
        (b"x,0.5\n", r"cannot be read \(ValueError\)"),
    ):
        with pytest.raises(Damaged, match=said):
            gathered({"accuracy": b"unit,sparsity\n" + row})


def test_a_unit_whose_name_a_table_could_not_hold_is_refused_before_it_is_written():
    own = UnitFile("own.csv", lambda rows: [])
    for names in (("=1", "", ""), ("l", "@SUM(1)", ""), ("l", "", "-2+cmd|x")):
        layer, concept, category = names
        found = unit_rows.misfit(own, UnitRow(layer, 1, concept, category, 0.5))
        assert found == "a unit has a name that spreadsheets would compute"
