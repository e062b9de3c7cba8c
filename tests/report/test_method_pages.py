"""The overview of methods: what each does in a few words, and those first that get furthest."""

import re

import pytest

from lthbench import registry
from lthbench.kinds import Method
from lthbench.report import leaderboard, method_pages


def test_what_any_method_or_variant_does_is_said_in_six_words():
    for record in registry.every(Method):
        for said in (record.title, *record.variants.values()):
            short = method_pages.in_short(said)
            assert short
            assert len(short.removesuffix(" …").split()) <= method_pages.WORDS


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("one-shot magnitude pruning", "one-shot magnitude pruning"),
        ("drawn at random: the control of all others", "drawn at random"),
        ("shares by the rule of Evci et al. 2020, and", "shares by the rule of Evci …"),
    ],
)
def test_the_first_part_is_said(text, short):
    assert method_pages.in_short(text) == short


def test_a_variant_says_what_differs_and_names_its_own_source(judged_as):
    names = ("filter", "filter:fpgm", "filter:random", "small")
    page = method_pages.render([(judged_as(**dict.fromkeys(names, ("yyy", "yyy"))), "made")])
    heads = dict(re.findall(r"<h3>([\w:]+): (.+?)</h3>", page))
    assert len(set(heads.values())) == len(names)
    said = dict(re.findall(r'<summary><h3>([\w:]+):.*?<p id="[^"]+">(.+?)</details>', page, flags=re.S))
    assert said["filter:fpgm"].startswith(
        "Removes filters nearest the geometric median of their layer; He et al. 2019"
    )
    assert "Otherwise as filter: remove the filters" in said["filter:random"]
    assert "Source of filter: Li et al. 2017" in said["filter:fpgm"]
    assert "Prunes whole filters, neurons or kernels. Source: Li et al. 2017" in said["filter"]
    assert "Prunes nothing: a smaller dense network." in said["small"]


def test_those_come_first_that_get_furthest_and_open_is_before_none(judged_as):
    summary = judged_as(
        snip=("xxx", "yyy"), omp=("yyx", "yyy"), grasp=("???", "yyy"), imp=("yyy", "yyy"), rigl=("yxx", "yyy")
    )
    page = method_pages.render([(summary, "made")])
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert re.findall(r'href="#(\w+)"', table) == ["imp", "omp", "rigl", "grasp", "snip"]
    board = leaderboard.board(summary)
    reach = {"imp": "90.0", "omp": "80.0", "rigl": "50.0", "grasp": "open", "snip": "none"}
    assert {row.method: row.joint.text for row in board.rows} == reach
    assert "nothing for sure" in table
    assert "accuracy, from 80.0\u00a0%" in table
