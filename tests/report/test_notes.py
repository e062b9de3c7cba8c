"""Notes on pages say what their table was held to: by which rule, and beside which dense networks."""

import dataclasses
import math

import pytest

from lthbench.report import compared, network_page, site, task_page, templates
from lthbench.report.figures import curves
from lthbench.report.summary import summarise
from lthbench.verdict.calibration import Calibration


@pytest.fixture(scope="module")
def made(made_table):
    return made_table(("imp", "omp"))


def by_rule(made, rule):
    scores, facts = made
    return summarise(scores, facts, rule)


def page(summary):
    """The page of a task, without its figures."""
    return task_page.render(summary, linked=True, figures=[(curves.KIND, [])])


def test_means_are_called_geometric_where_the_verdict_has_them_so(made):
    """On a task without a calibration, too, and not by a rule that compares plain means."""
    assert "are geometric, as the verdict compares them; those in the tables are" in page(summarise(*made))
    by_paper = page(by_rule(made, "paper"))
    assert "geometric" not in by_paper
    methods = by_paper[by_paper.index('<section id="methods"') : by_paper.index("<details class")]
    assert "Hommel" not in methods
    assert "95 %" not in methods
    assert "what the rule paper allows" in methods


def test_a_calibration_that_nothing_was_compared_with_is_not_named(made):
    plain = by_rule(made, "paper")
    calibration = Calibration("made", "quick", tuple(range(21)), {}, {})
    calibrated = dataclasses.replace(plain, calibration=calibration)
    assert compared.drawn_as(calibrated) == ""
    text = page(calibrated)
    assert "dense is its 21 trainings" not in text
    assert "compares with: 21" not in text


def test_a_page_without_curves_leads_to_no_numbers_of_them(made):
    assert "numbers-curve.csv" not in page(summarise(*made))


def test_a_network_page_says_what_each_score_is_compared_with(made):
    """Where some scores were compared with the parents, it said trainings of all."""
    summary = summarise(*made)
    cards = network_page.Cards(summary)
    assert cards._against("imp", 0.5) == "the mean of the dense parents of the same seeds"
    assert cards._conventions("imp", 0.5) == {"geometric": True, "ratio_of_trainings": False}
    results = tuple(
        dataclasses.replace(
            v,
            matches=tuple(
                dataclasses.replace(m, reference="parents" if m.score == "nll" else "trainings")
                for m in v.matches
            ),
        )
        for v in summary.headline
    )
    verdicts = {**summary.verdicts, summary.rule: results}
    calibration = Calibration("made", "quick", tuple(range(21)), {}, {})
    some = dataclasses.replace(summary, verdicts=verdicts, calibration=calibration)
    said = "Dense is what the verdict compares with: 21 trainings; for NLL the dense networks of this table."
    assert compared.drawn_as(some).startswith(said)
    mixed = network_page.Cards(some)
    assert mixed._against("imp", 0.5) == (
        "the mean of the 21 dense trainings that calibrate the task; "
        "for NLL the mean of the dense parents of the same seeds"
    )
    assert mixed._conventions("imp", 0.5)["ratio_of_trainings"]


def test_images_are_those_of_the_seeds_that_were_measured(made):
    frame, facts = made
    left = frame.copy()
    gone = (left["method"] == "imp") & (left["sparsity"] == 0.5) & (left["score"] == "nll")
    gone &= left["seed"] == 0
    left.loc[gone, ["value", "n", "status", "reason"]] = [math.nan, 0, "failed", "out of memory"]
    cards = network_page.Cards(summarise(left, facts))
    rows = cards._scores(cards._rows["imp", 0.5], [0, 1, 2], {}, headline=True)
    assert {row["title"]: row["n"] for row in rows}["NLL"] == 500


def index(*tables):
    """The first page of a site."""
    pairs = [(summary, site.folder_of(summary)) for summary in (summarise(*table) for table in tables)]
    return site._index([summary for summary, _ in pairs], pairs)


def test_tabs_of_one_title_have_their_budgets_wherever_they_stand(made_table):
    def titled(title, budget):
        scores, facts = made_table(("imp",), task=title, budget=budget)
        return scores, dataclasses.replace(facts, task=facts.task | {"title": title})

    text = index(titled("one", "quick"), titled("two", "quick"), titled("one", "long"))
    labels = [part.partition("</label>")[0] for part in text.split('">') if "</label>" in part]
    assert labels == ["one, quick", "two", "one, long"]
    assert 'href="#boards"' in text


def test_any_number_of_panels_can_be_shown(made_table):
    text = index(made_table(("imp",)), made_table(("imp",), budget="long"))
    tabs = text[text.index('<div class="tabs">') :]
    order = [tabs.index(f'id="task-{k}"') for k in (1, 2)]
    assert order[0] < tabs.index('<div class="panel">') < order[1] < tabs.rindex('<div class="panel">')
    style = (templates._asset("style.css")).read_text(encoding="utf-8")
    assert ".tabs > input:checked + label + .panel { display: block; }" in style
    assert "nth-of-type(2):checked" not in style


def test_the_skip_link_of_a_site_of_trials_leads_somewhere(made_table):
    text = index(made_table(("imp",), seeds=1))
    assert 'id="boards"' not in text
    assert '<a class="skip" href="#main">' in text
