"""RobustBench's model_info: the fields that its leaderboards sort by and show."""

import dataclasses
import json

import pytest

from lthbench.errors import BadInput
from lthbench.report import robustbench, write
from lthbench.report.summary import summarise

#: What ``robustbench.leaderboard`` and ``robustbench.utils`` read of each network.
READ = {
    "link",
    "name",
    "authors",
    "additional_data",
    "dataset",
    "venue",
    "architecture",
    "eps",
    "clean_acc",
    "reported",
}


@pytest.fixture
def cifar(made_table):
    """A drawn table of two methods, said to be of CIFAR-10."""
    table, facts = made_table(("imp", "omp:erk"))
    task = facts.task | {"data": {"dataset": "cifar10"}, "architecture": "resnet20s"}
    return table, dataclasses.replace(facts, task=task)


def test_each_network_has_the_means_over_its_seeds_in_per_cent(cifar, tmp_path):
    table, facts = cifar
    written = write(table, facts, tmp_path, formats=("robustbench",))
    threats = {path.parent.name for path in written}
    assert len(written) == len(threats) * (1 + 2 * 3)
    assert {path.parents[1] for path in written} == {tmp_path / "model_info" / "cifar10"}
    found = json.loads((tmp_path / "model_info/cifar10/corruptions/lthbench_omp-erk_90.0.json").read_text())
    assert found.keys() >= READ

    def mean(score):
        rows = table[(table["method"] == "omp:erk") & (table["sparsity"] == 0.9) & (table["variant"] == "")]
        return rows.loc[rows["score"] == score, "value"].mean()

    assert float(found["clean_acc"]) == pytest.approx(100 * mean("accuracy"), abs=0.005)
    assert float(found["corruptions_acc"]) == pytest.approx(100 * (1 - mean("corruption_error")), abs=0.005)
    assert (found["dataset"], found["eps"]) == ("cifar10", None)


def test_attacks_have_their_size(cifar):
    table, facts = cifar
    attacked = table[table["score"] == "accuracy"].assign(score="autoattack_accuracy")
    titles = [s for s in facts.scores if s.name == "accuracy"]
    facts = dataclasses.replace(
        facts, scores=(*facts.scores, dataclasses.replace(titles[0], name="autoattack_accuracy"))
    )
    found = robustbench.files(summarise(_with(table, attacked), facts))
    info = json.loads(found["model_info/cifar10/Linf/lthbench_dense_0.0.json"])
    assert (info["eps"], info["autoattack_acc"]) == ("8/255", info["clean_acc"])


def _with(table, rows):
    import pandas as pd

    return pd.concat([table, rows], ignore_index=True)


def test_other_data_sets_and_tables_without_the_scores_are_refused(cifar, made_table):
    with pytest.raises(BadInput, match="cifar10, cifar100 and imagenet"):
        robustbench.files(summarise(*made_table(("imp",))))
    table, facts = cifar
    with pytest.raises(BadInput, match="metrics mce, autoattack"):
        robustbench.files(summarise(table[table["score"] != "corruption_error"], facts))
