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
