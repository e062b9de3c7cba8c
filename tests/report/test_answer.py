"""The answer says which method gets furthest, how far, and what breaks first, in twenty words at most."""

import dataclasses
import html
import re
from pathlib import Path

import pytest

from lthbench.report import answer, explanation, latex, machine_readable, markdown, task_page, templates
from lthbench.report.answer import WORDS, words
from lthbench.report.summary import far as far_of
from lthbench.report.summary import sentence, summarise

PUBLISHED = Path(__file__).parents[2] / "reports" / "site"
NONE = "No method is shown to be as good as dense"


def sentences(text):
    return re.split(r"(?<=\.) (?=[A-Z])", text)


@pytest.mark.parametrize(
    ("methods", "facts", "said"),
    [
        (
            {"imp": ("yyx", "yxx"), "omp": ("yyy", "yyx")},
            ("omp", "80.0 %", "NLL, from 90.0 %"),
            "omp goes furthest: as good as dense up to 80.0 %. What breaks first: NLL, from 90.0 %.",
        ),
        (
            {"imp": ("yy?", "yyx"), "omp": ("y+x", "yyy")},
            ("imp and omp", "80.0 %", "NLL and accuracy (each 1 of 2 methods)"),
            "imp and omp go furthest: as good as dense up to 80.0 %. "
            "What breaks first: NLL and accuracy (each 1 of 2 methods).",
        ),
        (
            {"imp": ("yyy", "yyy")},
            ("imp; nothing else was measured", "90.0 %, the highest measured", "nothing for sure"),
            "imp is as good as dense up to 90.0 %, the highest measured. "
            "What breaks first: nothing for sure.",
        ),
        (
            {"imp": ("yyy", "yyy"), "omp": ("yyy", "yyx")},
            ("imp", "90.0 %, the highest measured", "NLL, from 90.0 % (omp)"),
            "imp goes furthest: as good as dense up to 90.0 %, the highest measured. "
            "What breaks first: NLL, from 90.0 % (omp).",
        ),
        (
            {"imp": ("yyy", "yyy"), "omp": ("yyx", "yxx"), "snip": ("yyx", "yyx")},
            ("imp", "90.0 %, the highest measured", "of the others, NLL (2 of 2)"),
            "imp goes furthest: as good as dense up to 90.0 %, the highest measured. "
            "What breaks first: of the others, NLL (2 of 2).",
        ),
        (
            {"imp": ("???", "y?x"), "omp": ("xxx", "yyx")},
            ("none yet", "not shown", "NLL and accuracy (each 1 of 2 methods)"),
            f"{NONE}. Already at 50.0 %, omp falls short in accuracy; imp is open.",
        ),
        (
            {"imp": ("!!!", "y?x"), "omp": ("xxx", "yyx")},  # what was not measured is not worse
            ("none yet", "not shown", "NLL and accuracy (each 1 of 2 methods)"),
            f"{NONE}. Already at 50.0 %, omp falls short in accuracy; imp lacks scores.",
        ),
        (
            {
                "imp": ("---", "y?x"),
                "omp": ("xxx", "yyx"),
            },  # what cannot be judged is no score that is lacking
            ("none yet", "not shown", "NLL and accuracy (each 1 of 2 methods)"),
            f"{NONE}. Already at 50.0 %, omp falls short in accuracy; imp has no verdict.",
        ),
        (
            {"imp": ("??x", "yyy"), "omp": ("???", "yyx")},
            ("none yet", "not shown", "accuracy and NLL (each 1 of 2 methods)"),
            f"{NONE}. Already at 50.0 %, imp and omp are open.",
        ),
        (
            {"imp": ("?yy", "yy?"), "omp": ("???", "yyx"), "snip": ("xyy", "yyy")},
            ("none yet; imp comes closest, in 4 of 6 comparisons", "not shown", "NLL (1 of 3 methods)"),
            f"{NONE}; imp comes closest, in 4 of 6 comparisons. "
            "Already at 50.0 %, snip falls short in accuracy; 2 are open.",
        ),
        (
            {"imp": ("xxx", "xxx"), "omp": ("!xx", "0yx")},
            ("none", "no sparsity", "NLL (2 of 2 methods)"),
            f"{NONE}. Already at 50.0 %, imp and omp fall short, most often in NLL.",
        ),
        (
            dict.fromkeys("abcdef", ("xxx", "yyy")),
            ("none", "no sparsity", "accuracy (6 of 6 methods)"),
            f"{NONE}. Already at 50.0 %, 6 methods fall short, most often in accuracy.",
        ),
        (
            dict.fromkeys("abcdef", ("yyx", "yyx")),
            ("6 of 6 methods", "80.0 %", "accuracy and NLL (6 of 6 methods)"),
            "6 of 6 methods go furthest: as good as dense up to 80.0 %. "
            "What breaks first: accuracy and NLL (6 of 6 methods).",
        ),
        (
            {"omp": ("xxx", "yxx")},
            ("none; only omp was measured", "no sparsity", "accuracy, from 50.0 %"),
            "omp is not shown to be as good as dense at 50.0 % or beyond. "
            "What breaks first: accuracy, from 50.0 %.",
        ),
        (
            {"omp": ("?y?", "yyy")},  # it matches at 80 %, beyond one at which it is not shown to
            ("none yet; only omp was measured", "not shown", "nothing for sure"),
            "omp is not shown to be as good as dense at 50.0 %. What breaks first: nothing for sure.",
        ),
    ],
)
def test_the_answer_names_the_furthest_and_what_breaks_first(judged_as, methods, facts, said):
    found = answer.of_table(judged_as(**methods))
    assert tuple(what for _, what in found.facts) == facts
    assert found.said == said
    assert sum(words(what) for what in facts) <= WORDS
    assert max(words(sentence) for sentence in sentences(said)) <= WORDS


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"imp": ("?yy", "yyx"), "omp": ("?yy", "yy?")}, "omp comes closest, in 4 of 6"),  # worse in fewer
        ({"imp": ("?yy", "yyx"), "omp": ("?yy", "+yx")}, "omp comes closest, in 4 of 6"),  # better in more
        ({"imp": ("?yy", "yyx"), "omp": ("?yx", "yyy")}, "imp and omp come closest, in 4 of 6"),
    ],
)
def test_of_methods_that_match_as_often_the_one_that_is_worse_in_fewer_comes_closest(
    judged_as, methods, said
):
    found = answer.of_table(judged_as(**methods, snip=("xxx", "xxx")))
    assert said in found.said
    assert found.furthest == f"none yet; {said} comparisons"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("y", "omp is as good as dense, nothing removed. What breaks first: nothing for sure."),
        (
            "x",
            "omp is not shown to be as good as dense, though nothing was removed. "
            "What breaks first: accuracy.",
        ),
    ],
)
def test_networks_from_which_nothing_was_removed_say_so(judged_as, word, said):
    assert answer.of_table(judged_as((0.0,), omp=(word, "y"))).said == said


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_seed_and_several_have_the_same_facts(made_table, seeds):
    found = answer.of_table(summarise(*made_table(("imp", "omp"), seeds=seeds)))
    assert all(what for _, what in found.facts)
    assert max(words(sentence) for sentence in sentences(found.said)) <= WORDS


def test_the_furthest_method_may_not_have_been_measured_as_far_as_others(judged_as):
    summary = judged_as(imp=("yyy", "yyy"), omp=("yyx", "yyx"))
    imp, omp = summary.headline
    near = dataclasses.replace(imp, sparsities=imp.sparsities[:1], joint=imp.sparsities[0])
    omp = dataclasses.replace(omp, joint=None)
    found = answer.of_table(dataclasses.replace(summary, verdicts={summary.rule: (near, omp)}))
    assert (found.furthest, found.up_to) == ("imp", "50.0 %, measured no further")
    assert "as good as dense up to 50.0 %, measured no further." in found.said


def test_of_those_that_get_furthest_the_one_that_was_measured_no_further_is_named(judged_as):
    summary = judged_as(imp=("yyy", "yyy"), omp=("yyx", "yyx"))
    imp, omp = summary.headline
    near = dataclasses.replace(imp, sparsities=imp.sparsities[:2], joint=imp.sparsities[1])
    found = answer.of_table(dataclasses.replace(summary, verdicts={summary.rule: (near, omp)}))
    assert (found.furthest, found.up_to) == ("imp and omp", "80.0 % (imp: measured no further)")
    assert templates.parted(found.up_to) == ("80.0 %", "imp: measured no further")


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (
            ("y", "+"),
            "LTH-PASS: as good as another training of the dense network on all 2 scores, and better on 1.",
        ),
        (("y", "?"), "Open: NLL; the other is as good as another training of the dense network."),
        (
            ("?", "+"),
            "Open: accuracy; the other is as good as another training of the dense network (1 better).",
        ),
    ],
)
def test_on_a_calibrated_task_a_network_is_as_good_as_another_training(judged_as, scores, said):
    summary = judged_as((0.5,), imp=scores)
    matches = [dataclasses.replace(m, reference="trainings") for m in summary.headline[0].at(0.5)]
    assert answer.of_network(summary, matches) == said
    assert words(said) <= WORDS
    lacking = dataclasses.replace(summary)
    lacking.__dict__["lacking"] = ("mCE",)
    if "LTH-PASS" in said:
        said = answer.of_network(lacking, matches)
        like = "another training of the dense network"
        assert said == f"As good as {like} on the 2 scores measured, of 3, and better on 1."
        assert words(said) <= WORDS


def test_the_surest_losses_within_the_margin_are_named(judged_as):
    summary = judged_as((0.5,), imp=("y", "y"))
    accuracy, nll = summary.headline[0].at(0.5)
    bounds = {"shortfall": 0.004, "lower": 0.001, "bound": 0.0069, "p_worse": 0.2}
    worse = dataclasses.replace(accuracy, **bounds)
    surer = dataclasses.replace(
        nll, relative=True, shortfall=0.31, lower=0.034, bound=0.67, p_worse=0.1, allowed=1.0
    )
    assert answer.losses(summary, (worse, surer)) == (
        "Surest losses, within the margin: NLL 31 % worse (3.4 to 67 %), accuracy 0.4 points worse "
        "(0.1 to 0.7); each end by itself at 95 %."
    )
    maybe = dataclasses.replace(worse, lower=-0.001), dataclasses.replace(worse, lower=0.0001)
    beyond = dataclasses.replace(surer, matches=False, finding="worse")
    assert answer.losses(summary, (*maybe, beyond)) == ""


def test_without_a_verdict_it_says_why(made_table):
    made, facts = made_table(("imp",))
    nothing = answer.of_table(summarise(made[made["method"] == "dense"], facts))
    assert nothing.said == "No pruned network was measured."
    undecided = answer.of_table(summarise(made[made["method"] == "imp"], facts))
    assert undecided.furthest == answer.NO_VERDICT
    assert undecided.said.startswith("No verdict: accuracy of the dense")


def test_page_markdown_and_latex_say_the_same(judged_as, monkeypatch):
    monkeypatch.setattr(task_page, "kinds", tuple)  # all figures but the curves are drawn elsewhere
    summary = judged_as(imp=("yyx", "yxx"), omp=("yyy", "yyx"))
    found = answer.of_table(summary)
    assert latex.escape(found.said) in latex.render(summary)
    page, plain = task_page.render(summary), markdown.render(summary)
    for name, what in found.facts:
        main, beside = templates.parted(what.replace(" %", "\u00a0%"))
        assert f"<dt>{name}</dt><dd>{main}{f' <small>{beside}</small>' if beside else ''}</dd>" in page
        assert f"**{name}:** {what}" in plain


@pytest.mark.parametrize(
    ("methods", "value"),
    [
        ({"imp": ("yyx", "yyy"), "omp": ("yyx", "yyy"), "snip": ("xxx", "yyy")}, "imp and omp 80.0 %"),
        (dict.fromkeys("abcd", ("yyy", "yyy")), "4 of 4 methods 90.0 %"),
        ({"imp": ("yyy", "yyy")}, "imp 90.0 %"),
        ({"imp": ("???", "yyy"), "omp": ("xxx", "yyy")}, "none yet"),
    ],
)
def test_a_badge_names_all_that_get_furthest_and_the_budget(judged_as, methods, value):
    summary = judged_as(**methods)
    label = f"LTH-PASS {summary.facts.task_name}, {summary.facts.budget_name}"
    assert f'aria-label="{label}: {value}"' in machine_readable.badge(summary)


@pytest.mark.parametrize(
    ("fact", "parts"),
    [
        ("93.1 %, the highest measured", ("93.1 %", "the highest measured")),
        ("of the others, Hessian trace (18 of 20)", ("of the others, Hessian trace", "18 of 20")),
        ("none yet; omp comes closest", ("none yet", "omp comes closest")),
        ("accuracy and NLL, from 67.2 %", ("accuracy and NLL", "from 67.2 %")),
        ("NLL, from 89.3 % (omp)", ("NLL", "from 89.3 % (omp)")),
        ("48.8 %, measured no further", ("48.8 %", "measured no further")),
        ("not shown", ("not shown", "")),
    ],
)
def test_what_is_said_beside_a_fact_is_written_small(fact, parts):
    assert templates.parted(fact) == parts


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (("y", "y"), "LTH-PASS: as good as dense on all 2 scores."),
        (("y", "+"), "LTH-PASS: as good as dense on all 2 scores, and better on 1."),
        (("y", "?"), "Open: NLL; the other is as good as dense."),
        (("+", "?"), "Open: NLL; the other is as good as dense (1 better)."),
        (("?", "?"), "Open: accuracy and NLL."),
        (("x", "+"), "Not LTH-PASS: accuracy is 3.6 points lower; 1 is better."),
        (("x", "?"), "Not LTH-PASS: accuracy is 3.6 points lower; 1 of 2 scores is open."),
        (("x", "x"), "Not LTH-PASS: accuracy is 3.6 points lower; 1 more is worse."),
        (("y", "x"), "Not LTH-PASS: NLL is 3.6 % higher."),
        (
            ("x", "g"),
            "Not LTH-PASS: accuracy is 3.6 points lower; 1 of 2 scores is gated (accuracy too low).",
        ),
        (("y", "!"), "Not LTH-PASS: 1 of 2 scores is not measured."),
        (("0", "0"), "Not LTH-PASS: it is degenerate."),
        (("y", "-"), "No verdict: 1 of 2 scores cannot be compared with dense."),
        (("x", "-"), "Not LTH-PASS: accuracy is 3.6 points lower; 1 of 2 scores is without a comparison."),
    ],
)
def test_a_network_has_its_verdict_first_in_a_sentence(judged_as, scores, said):
    summary = judged_as((0.5,), imp=scores)
    matches = [dataclasses.replace(m, relative=m.score == "nll") for m in summary.headline[0].at(0.5)]
    assert answer.of_network(summary, matches) == said
    assert words(said) <= WORDS


def test_a_sentence_counts_its_words():
    assert words("up to 93.1 %, the highest\u00a0%") == 5


@pytest.mark.parametrize("page", sorted(PUBLISHED.glob("*/index.html")), ids=lambda path: path.parent.name)
def test_published_answers_are_short(page):
    content = page.read_text(encoding="utf-8")
    facts = re.findall(r"<div><dt>(.+?)</dt><dd>(.+?)</dd></div>", content)
    assert [name for name, _ in facts] == [name for name, _ in answer.Answer("", "", "", "").facts]
    assert sum(words(html.unescape(what)) for _, what in facts) <= WORDS


def test_published_networks_have_short_verdicts():
    lead = re.compile(r'<p class="lead">(.+?)</p>')
    said = [lead.search(p.read_text(encoding="utf-8")) for p in sorted(PUBLISHED.glob("*/*-*.html"))]
    found = [html.unescape(re.sub("<.+?>", "", one[1])) for one in said if one]
    assert len(found) > 50
    assert max(map(words, found)) <= WORDS


@pytest.mark.parametrize(
    ("scores", "far", "said"),
    [
        (
            ("?", "-"),
            "no verdict",
            "has no verdict at 50.0 %, the lowest sparsity measured: accuracy is open",
        ),
        (("x", "-"), "none", "falls short already at 50.0 %, the lowest sparsity measured: it is worse in"),
        (("?", "y"), "open", "may be as good as its dense parent or not"),
    ],
)
def test_what_cannot_be_judged_has_no_verdict_and_does_not_fall_short(judged_as, scores, far, said):
    found = judged_as((0.5,), imp=scores)
    assert far_of(found.headline[0]) == far
    assert said in sentence(found, found.headline[0])


def test_an_answer_of_some_scores_says_of_how_many(judged_as):
    summary = judged_as(imp=("yyy", "yyy"))
    summary.__dict__["lacking"] = ("mCE", "ECE")
    found = answer.of_table(summary)
    assert found.up_to.endswith("(on 7 of 9 scores)")
    assert found.said.endswith("That is on 7 of 9 scores alone.")
    assert ">7 of 9 scores, " in machine_readable.badge(summary)
    del summary.__dict__["lacking"]
    summary.__dict__["lacking"] = ()
    assert "LTH-PASS" in machine_readable.badge(summary)
    assert "scores" not in answer.of_table(summary).up_to


def test_the_method_that_comes_closest_does_so_by_share(judged_as):
    """More sparsities are no merit: 3 of 4 comparisons are more than 3 of 6."""
    summary = judged_as(imp=("x?y", "yyx"), omp=("xyy", "yyy"))
    (imp, omp) = summary.headline
    few = dataclasses.replace(
        omp, sparsities=omp.sparsities[:2], matches=tuple(m for s in omp.sparsities[:2] for m in omp.at(s))
    )
    found = answer._closest([imp, few])
    assert found == ("omp", 3, 4)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("yxy", "yyy"), "imp is as good as dense up to 50.0 %. What"),
        (
            ("xyy", "yyy"),
            "imp is not shown to be as good as dense from the lowest sparsity",
        ),
        (("xxx", "yyy"), "imp is shown to be as good as dense at no sparsity of this table."),
    ],
)
def test_how_far_a_method_gets_is_told_from_below(judged_as, found, said):
    summary = judged_as(imp=found)
    assert explanation._up_to(summary, summary.headline[0]).startswith(said)
