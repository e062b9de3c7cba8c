"""Tables put together: methods of several runs in one, and what contradicts itself refused."""

import dataclasses
import itertools
import json

import pandas as pd
import pytest

from lthbench.errors import BadInput
from lthbench.planning.looks import Look
from lthbench.planning.request_record import RequestRecord
from lthbench.planning.start import Start
from lthbench.report import markdown
from lthbench.report.network_page import command
from lthbench.report.summary import summarise
from lthbench.results import merge, run_facts
from lthbench.results.plugin_facts import PluginFacts
from lthbench.results.units import Unit


@pytest.fixture
def two(made_table):
    """Two runs with the same dense networks and other methods."""
    first, second = made_table(("imp", "omp")), made_table(("imp", "snip"))
    keep = second[0]["method"].isin(["dense", "snip"])
    dense = first[0][first[0]["method"] == "dense"]
    rest = second[0][keep & (second[0]["method"] != "dense")]
    return first, (
        pd.concat([dense, rest], ignore_index=True),
        dataclasses.replace(second[1], methods=("snip",)),
    )


def test_methods_of_both_stand_beside_the_dense_networks_once(two):
    (table, facts), *rest = merge.grouped(two)
    assert rest == []
    assert list(dict.fromkeys(table["method"])) == ["dense", "imp", "omp", "snip"]
    dense = table[(table["method"] == "dense") & (table["score"] == "accuracy")]
    assert len(dense) == 3
    assert facts.methods == ("imp", "omp", "snip")
    assert facts.command.count("lthbench run") == 2
    summary = summarise(table, facts, "std")
    assert summary.methods == ("imp", "omp", "snip")
    alone = summarise(two[0][0], two[0][1], "std")
    assert [dataclasses.asdict(v) for v in summary.headline[:2]] == [
        dataclasses.asdict(v) for v in alone.headline
    ]


def test_other_seeds_of_the_same_networks_become_more_seeds(made_table):
    table, facts = made_table(("imp", "omp"), seeds=5)

    def part(seeds, **changed):
        kept = table[table["seed"].isin(seeds)].reset_index(drop=True)
        requests = tuple(dataclasses.replace(r, seeds=seeds) for r in facts.requests)
        networks = tuple(n for n in facts.networks if n.seed in seeds)
        of = {"seeds": seeds, "requests": requests, "networks": networks, "command": requests[0].command()}
        return kept, dataclasses.replace(facts, **{**of, **changed})

    ((found, both),) = merge.grouped([part((4, 1)), part((0, 2, 3))])
    assert both.seeds == (0, 1, 2, 3, 4)
    assert len(both.command.splitlines()) == 2
    order = ["method", "sparsity", "seed", "score", "variant"]
    same = [t.sort_values(order).reset_index(drop=True) for t in (found, table)]
    pd.testing.assert_frame_equal(*same)
    one, other = (summarise(found, both).headline, summarise(table, facts).headline)
    assert [dataclasses.asdict(v) for v in one] == [dataclasses.asdict(v) for v in other]
    assert "--methods imp --sparsity 0.5 --seeds 0,1,2,3,4" in command(both, "imp", 0.5)
    assert "--methods dense --seeds 0,1,2,3,4" in command(both, "dense", 0.0)
    foreign = tuple(dataclasses.replace(r, elsewhere=True) for r in both.requests)
    assert command(dataclasses.replace(both, requests=foreign), "imp", 0.5) == both.command
    few = part((3,))
    fewer = few[0][few[0]["method"] != "omp"], few[1]
    for odd in (part((1, 2)), fewer, (few[0], looked(few[1], 5))):
        with pytest.raises(BadInput, match=r"their seeds differ.* each with other seeds, are put together"):
            merge.grouped([part((0, 1)), odd])


def test_what_was_said_of_files_of_others_is_kept(two):
    ours, mine = {"method": "imp", "files": "a"}, {"method": "snip", "files": "b"}
    first, second = two

    def given(table, facts, *accounts):
        return table, dataclasses.replace(facts, checkpoints=accounts)

    _, both = merge.merged([given(*first, ours), given(*second, mine)])
    assert both.checkpoints == (ours, mine)
    dense = tuple({"method": "dense", "seed": seed, "network": f"dense0.0{seed}"} for seed in range(3))
    again = tuple({**account, "file": "a copy.pt"} for account in dense)
    _, both = merge.merged([given(*first, *dense, ours), given(*second, *again, mine)])
    assert both.checkpoints == (*dense, ours, mine), "of each dense network once"


@pytest.fixture
def halves(made_table):
    """The same networks, in two tables of other seeds; of each, its facts can be changed."""
    table, facts = made_table(("imp", "omp"), seeds=6)

    def half(seeds, pretrained=None, start=None, **changed):
        kept = table[table["seed"].isin(seeds)].reset_index(drop=True)
        more = {"seeds": seeds, "pretrained": pretrained, "start": start}
        requests = tuple(dataclasses.replace(r, **more) for r in facts.requests)
        networks = tuple(n for n in facts.networks if n.seed in seeds)
        own = {"seeds": seeds, "requests": requests, "networks": networks, "command": requests[0].command()}
        return kept, dataclasses.replace(facts, **{**own, **changed})

    return lambda mine, theirs: [half((0, 1, 2), **mine), half((3, 4, 5), **theirs)]


GIVEN = {"checkpoints": ({"method": "dense", "seed": 0, "network": "a"},)}
PARENT = {"pretrained": "a.pt", "start": Start({"": "a"})}
HEADS = {"pretrained": "a.pt", "start": Start({"0": "a", "1": "b", "2": "c"})}
OTHERS = {"pretrained": "a.pt", "start": Start({"3": "d", "4": "e", "5": "f"})}
KEYS = {"dense_keys": {"accuracy": "a", "nll": "b"}}


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ({}, GIVEN, r"dense parents of one are given as files \(--dense\), those of another trained here"),
        ({}, PARENT, r"one are pretrained weights as they are .*, those of another trained here"),
        ({}, HEADS, r"one are trained from pretrained weights .*, those of another trained here"),
        (PARENT, HEADS, r"pretrained weights as they are .* trained from pretrained weights"),
        (PARENT, {**PARENT, "start": Start({"": "b"})}, r"begin with other pretrained weights \(a\.pt\)"),
        (PARENT, {**PARENT, "start": Start({"": "a"}, (0.5,), (0.5,))}, "other pretrained weights"),
        (HEADS, {**OTHERS, "pretrained": "b.pt"}, r"other pretrained weights \(a\.pt, b\.pt\)"),
        (KEYS, {"dense_keys": {"accuracy": "a", "nll": "c"}}, "their dense_keys differ in nll: the dense"),
        ({**PARENT, **KEYS}, {**PARENT, "dense_keys": {"nll": "c"}}, "their dense_keys differ in nll"),
        (KEYS, {}, "one of them was written by an earlier version, which kept no dense_keys"),
    ],
)
def test_tables_of_unlike_dense_parents_are_refused_in_either_order(halves, mine, theirs, said):
    tables = halves(mine, theirs)
    for given in (tables, tables[::-1]):
        with pytest.raises(BadInput, match=f"cannot be put together: .*{said}.* Give one of them, or run"):
            merge.merged(given)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({}, {}),
        (GIVEN, {"checkpoints": ({"method": "dense", "seed": 3, "network": "b"},)}),
        (PARENT, {**PARENT, "pretrained": "copy.pt"}),
        (HEADS | {"pretrained": "/one/a.pt"}, OTHERS | {"pretrained": "D:\\two\\a.pt"}),
        (HEADS | KEYS, OTHERS | {"dense_keys": {"accuracy": "of seed 3", "nll": "of seed 3"}}),
        (KEYS, {"dense_keys": {"accuracy": "a", "ece": "d"}}),
    ],
)
def test_tables_of_dense_parents_of_one_kind_are_put_together(halves, mine, theirs):
    tables = halves(mine, theirs)
    _, both = merge.merged(tables)
    assert both.seeds == (0, 1, 2, 3, 4, 5)
    assert both.checkpoints == tables[0][1].checkpoints + tables[1][1].checkpoints


def test_verdicts_are_the_same_in_whatever_order_tables_come(made_table, two):
    """Three machines made the same dense networks, each with its own rounding, and as many networks."""
    (table, facts), (other, others) = two
    third, last = made_table(("imp", "random"))
    third = third[third["method"].isin(["dense", "random"])]
    tables = []
    for place, (rows, of) in enumerate([(table, facts), (other, others), (third, last)]):
        rows = rows[rows["method"] != "imp"].reset_index(drop=True)
        moved = rows["value"] + 0.02 * place * rows["se"] * (rows["method"] == "dense")
        asked = tuple(dataclasses.replace(r, methods=(of.methods[-1],)) for r in of.requests)
        own = {"methods": asked[0].methods, "requests": asked, "command": asked[0].command()}
        tables.append((rows.assign(value=moved), dataclasses.replace(of, **own)))
    found = [merge.merged(order) for order in itertools.permutations(tables)]
    told = [summarise(rows, of) for rows, of in found]
    assert len(found) == 6
    for (rows, of), summary in zip(found[1:], told[1:], strict=True):
        pd.testing.assert_frame_equal(rows, found[0][0])
        assert of == found[0][1]
        assert [str(v) for v in summary.headline] == [str(v) for v in told[0].headline]


def test_the_calibration_that_one_of_them_has_judges_all_and_two_that_differ_are_refused(two):
    """A task file is calibrated after its first run: the other run's calibration is the task's."""

    def beside(first, second):
        given = zip(two, (first, second), strict=True)
        return [(table, dataclasses.replace(facts, calibration=found)) for (table, facts), found in given]

    one, again = {"seeds": [1000], "command": "a"}, {"seeds": [1000], "command": "b"}
    for tables in (beside(one, None), beside(None, one), beside(one, again)):
        assert merge.merged(tables)[1].calibration == one
    assert merge.merged(two)[1].calibration is None
    with pytest.raises(BadInput, match="judged by calibrations that differ"):
        merge.merged(beside(one, {"seeds": [1001], "command": "a"}))


def test_the_table_of_most_networks_comes_first(two):
    table, facts = merge.merged(two[::-1])
    assert facts.methods == ("imp", "omp", "snip")
    assert list(dict.fromkeys(table["method"])) == ["dense", "imp", "omp", "snip"]


def test_worker_time_of_several_commands_is_told_as_their_sum(two):
    """Both have trained the dense networks, or one of them found what the other did."""
    tables = [(t, dataclasses.replace(f, seconds={"train": 20.0})) for t, f in two]
    assert markdown.provenance(tables[0][1])[-1] == "worker time: train 20 s"
    _, both = merge.merged(tables)
    assert markdown.provenance(both)[-1] == "worker time, the sum of the commands: train 40 s"


def test_a_table_given_twice_is_one(two):
    ((table, _),) = merge.grouped([two[0], two[0]])
    assert len(table) == len(two[0][0])


def test_tables_of_other_tasks_or_budgets_stay_apart(made_table):
    made = [
        made_table(("imp",), task="a"),
        made_table(("imp",), task="b"),
        made_table(("imp",), budget="paper"),
    ]
    assert len(merge.grouped(made)) == 3


def test_tables_that_contradict_each_other_are_refused(two):
    table, facts = two[0]
    other = table.assign(value=table["value"].where(table["method"] != "imp", 0.5), step="other")
    with pytest.raises(BadInput, match=r"give dense|give imp at 0\.5, seed 0, another"):
        merge.grouped([two[0], (other, facts)])


def test_a_network_made_on_two_machines_has_the_scores_of_the_first_table(two):
    """The dense parents of both were rounded otherwise, and measured by another version of a metric."""
    (table, facts), (other, others) = two
    again = other["method"] == "dense"
    moved = other.assign(
        value=other["value"] + 0.04 * other["se"] * again, step=other["step"].where(~again, "new")
    )
    ((both, _),) = merge.grouped([(table, facts), (moved, others)])
    dense = both[both["method"] == "dense"]
    assert dense["value"].tolist() == table[table["method"] == "dense"]["value"].tolist()
    assert "new" not in set(both["step"])
    far = other.assign(value=other["value"] + 0.06 * other["se"] * again)
    for unsure in (1.0, 10.0):  # by the smaller error of the two
        with pytest.raises(BadInput, match=r"give dense at 0, seed 0, another"):
            merge.grouped([(table, facts), (far.assign(se=far["se"] * unsure), others)])
    retrained = tuple(
        dataclasses.replace(n, network="another") if n.method == "dense" else n for n in others.networks
    )
    with pytest.raises(BadInput, match=r"give dense at 0, seed 0, another"):
        merge.grouped([(table, facts), (moved, dataclasses.replace(others, networks=retrained))])


def test_values_that_are_none_in_both_are_the_same(two):
    (table, facts), (other, others) = two
    none = [t.assign(value=t["value"].where(t["method"] != "dense")) for t in (table, other)]
    ((both, _),) = merge.grouped([(none[0], facts), (none[1].assign(step="new"), others)])
    assert both["value"].isna().sum() == none[0]["value"].isna().sum()


def test_what_each_run_says_of_itself_is_said_of_all(two):
    """Of the two runs, each has a sparsity, a machine, a picture and a unit that the other lacks."""

    def own(facts, method, sparsity):
        machine = {**facts.environments[0], "threads": len(method)}
        unit = Unit(method, 0.5, 0, "dissection", "layer", 1, "red", "colour", 0.1)
        own = {"environments": (*facts.environments, machine), "pictures": ({"image": method},)}
        return dataclasses.replace(facts, sparsities=(0.5, sparsity), units=(unit,), **own)

    (table, facts), (other, beside) = two
    _, both = merge.merged([(table, own(facts, "imp", 0.9)), (other, own(beside, "snip", 0.98))])
    assert both.sparsities == (0.5, 0.9, 0.98)
    assert [e["threads"] for e in both.environments] == [facts.environments[0]["threads"], 3, 4]
    assert [p["image"] for p in both.pictures] == ["imp", "snip"]
    assert [u.method for u in both.units] == ["imp", "snip"]


def test_tables_of_tasks_of_one_name_that_differ_are_refused(two):
    table, facts = two[1]
    other = dataclasses.replace(facts, task={**facts.task, "title": "Another task"})
    with pytest.raises(BadInput, match="cannot be put together: their task differ"):
        merge.grouped([two[0], (table, other)])


@pytest.mark.parametrize("part", ["seeds", "data", "aspects", "scores"])
def test_tables_that_were_not_asked_for_alike_are_refused(two, part):
    table, facts = two[1]
    with pytest.raises(BadInput, match=f"cannot be put together: their {part} differ"):
        merge.grouped([two[0], (table, dataclasses.replace(facts, **{part: ()}))])


def test_a_recipe_without_a_field_that_came_later_is_the_same(two):
    table, facts = two[1]
    older = {**facts.budget, "train": {**facts.budget["train"], "came_later": None}}
    assert older != facts.budget
    (found,) = merge.grouped([two[0], (table, dataclasses.replace(facts, budget=older))])
    assert found[1].methods == ("imp", "omp", "snip")
    set_now = {**facts.budget, "train": {**facts.budget["train"], "came_later": 0.1}}
    with pytest.raises(BadInput, match="their budget differ"):
        merge.grouped([two[0], (table, dataclasses.replace(facts, budget=set_now))])


def test_each_network_has_the_command_of_its_own_run(two):
    _, facts = merge.merged(two)
    assert "--methods snip --sparsity 0.9 " in command(facts, "snip", 0.9)
    assert "--methods omp --sparsity 0.5 " in command(facts, "omp", 0.5)
    assert command(facts, "dense", 0.0) == two[0][1].command
    assert [r.methods for r in facts.requests] == [("imp", "omp"), ("imp", "snip")]


def test_a_network_has_its_command_in_files_without_requests(two):
    def read(facts, **changed):
        content = {k: v for k, v in facts.to_json().items() if k != "requests"} | changed
        return run_facts.from_json(json.loads(json.dumps(content)))

    _, facts = merge.merged([(table, read(facts)) for table, facts in two])
    assert "--methods snip --sparsity 0.9 " in command(facts, "snip", 0.9)
    written = two[0][1]
    typed = written.command.replace("--methods imp,omp", "--methods ./mine.py:erk")
    mine = read(written, methods=["mine:erk"], command=typed)
    assert "--methods ./mine.py:erk --sparsity 0.9 " in command(mine, "mine:erk", 0.9)
    assert command(read(written, command="by hand"), "imp", 0.9) == "by hand"
    scored = "lthbench score --checkpoint a.pt --name mine"
    assert command(read(written, command=scored, methods=["mine"]), "mine", 0.9) == scored


def looked(facts, most):
    """The facts of a run that adds seeds, up to so many."""
    looks = (Look(facts.seeds, {"omp": (0.5,)}),) if most else ()
    record = RequestRecord("t", facts.methods, (0.5,), facts.seeds, ("accuracy",), "quick", most_seeds=most)
    return dataclasses.replace(facts, requests=(dataclasses.replace(record, looks=looks),))


def test_tables_with_other_looks_are_refused(two):
    """The level of a look follows from all the looks of a run."""
    (table, facts), (other, others) = two
    first = table, looked(facts, 5)
    with pytest.raises(BadInput, match="with 3, 4 and 5 seeds and with 3, 4, 5 and 6 seeds, at other levels"):
        merge.grouped([first, (other, looked(others, 6))])
    with pytest.raises(BadInput, match="with 3, 4 and 5 seeds and once, at other levels"):
        merge.grouped([first, (other, looked(others, 0))])
    ((_, alike),) = merge.grouped([first, (other, looked(others, 5))])
    assert alike.looks.counts == (3, 4, 5)


def test_other_code_of_a_plugin_is_told_as_the_cause_where_tables_differ(made_table):
    def made(digest):
        table, facts = made_table(("imp",))
        return table, dataclasses.replace(facts, plugins=(PluginFacts("method", "imp", "m.py", digest * 64),))

    (table, facts), other = made("0"), made("1")
    changed = table.assign(value=table["value"] + 1.0, step="other")
    said = r"cannot be put together.* other code of method imp \(m.py, hash 0{12}; m.py, hash 1{12}\)\."
    for one in (changed, table[table["sparsity"] == 0.0]):  # though no network is in both but the dense one
        with pytest.raises(BadInput, match=said):
            merge.merged([(one, facts), other])
    with pytest.raises(BadInput, match=r"their seeds differ.*other code of method imp"):
        merge.merged([(table, dataclasses.replace(facts, seeds=(0,))), other])
    _, both = merge.merged([(table, facts), (table, facts)])
    assert both.plugins == facts.plugins
