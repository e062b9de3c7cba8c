"""Sentences of reports where there is one thing, several commands, or seeds that failed."""

import dataclasses
import math
import re

import pytest
from markdown_it import MarkdownIt

from lthbench.report import latex, markdown, method_pages, network_page, templates
from lthbench.report.summary import dense_sentence, summarise


@pytest.fixture(scope="module")
def made(made_table):
    """A table of one seed with a method that nobody knows, and its facts."""
    return made_table(("mine",), seeds=1, sparsities=(0.5,))


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread"), (2, "2 threads"), (None, "no thread")])
def test_threads_of_a_worker_are_counted(made, threads, said):
    facts = made[1]
    (environment,) = facts.environments
    facts = dataclasses.replace(facts, environments=({**environment, "threads": threads},))
    assert markdown.provenance(facts)[0].startswith(f"cpu, {said} a worker, torch")


def test_versions_of_libraries_are_told_where_they_were_recorded(made):
    facts = made[1]
    (environment,) = facts.environments
    line = markdown.provenance(facts)[0]
    facts = dataclasses.replace(facts, environments=({**environment, "scipy": "1.17"},))
    assert markdown.provenance(facts)[0] == f"{line}, scipy 1.17"


def test_one_seed_is_one(made):
    text = latex.render(summarise(*made))
    assert "over 1 seed: " in text
    assert "over 1 seeds" not in text


@pytest.mark.parametrize("count", [1, 2])
def test_folded_tables_say_how_many_they_hold(made, count):
    scores, facts = made
    beside = [s.name for s in facts.scores if not s.verdict][count:]
    left = scores[~scores["score"].isin(beside) & (scores["variant"] == "")]
    page = network_page.Cards(summarise(left, facts)).render("mine", 0.5)
    many = "s" if count > 1 else ""
    assert f"<summary>{count} score{many} beside the verdict</summary>" in page
    claim = {"claim": "a", "source": "b", "cells": [], "decided": [], "note": ""}
    claim |= {"answer": "cannot say", "kind": "u", "sign": "?"}
    claims = {"columns": [], "rows": [], "open": [claim] * count, "untold": [claim] * count}
    elsewhere = [{"text": "a", "source": "b", "tasks": ["t"]}] * count
    page = templates.render("claims.html.j2", claims=claims, said="", notices=[], elsewhere=elsewhere)
    assert len(re.findall(rf"<summary>{count} claim{many} (that these|not measured|about)", page)) == 3


def test_dense_networks_that_failed_are_not_counted(made_table):
    scores, facts = made_table(("imp",), sparsities=(0.5,))
    accuracy = (scores["method"] == "dense") & (scores["score"] == "accuracy")
    assert re.fullmatch(r"Dense parent: accuracy [\d.]+ ± [\d.]+ % \(3 seeds\)\.", said_of(scores, facts))
    scores.loc[accuracy & (scores["seed"] == 1), ["value", "status"]] = [math.nan, "failed"]
    said = said_of(scores, facts)
    assert re.fullmatch(r"Dense parent: accuracy [\d.]+ ± [\d.]+ % \(2 of 3 seeds\)\.", said), said
    scores.loc[accuracy, ["value", "status"]] = [math.nan, "failed"]
    assert said_of(scores, facts) == "The accuracy of the dense parent was not measured."
    scores.loc[accuracy, "status"] = "missing"
    assert said_of(scores, facts) == "The accuracy of the dense parent is not measured yet."


def said_of(scores, facts):
    return dense_sentence(summarise(scores, facts))


@pytest.mark.parametrize("command", ["lthbench run a\nlthbench run b", "a ``` b\n```\n<b>c</b>"])
def test_the_commands_of_a_merged_table_stand_in_lines_of_their_own(made, command):
    scores, facts = made
    text = markdown.render(summarise(scores, dataclasses.replace(facts, command=command)))
    (block,) = (t for t in MarkdownIt("commonmark").parse(text) if t.type == "fence")
    assert block.content == f"{command}\n"


def test_a_method_that_is_not_known_has_words_of_its_own(made):
    page = method_pages.render([(summarise(*made), "made")])
    (said,) = re.findall(r'<p id="mine">(.*?)</p>', page)
    assert said == "Not a method that is known here: its networks were made elsewhere, or by a plug-in."
    assert '<p class="note"></p>' not in page
