"""Figures draw what the table and the verdict say, and stand in papers as they are."""

import base64
import csv
import dataclasses
import io
import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from lthbench.report import figures, task_page
from lthbench.report.compared import Compared
from lthbench.report.figures import (
    curves,
    drawing,
    extremes,
    files,
    radar,
    relative,
    seeds,
    side_by_side,
    unit_categories,
)
from lthbench.report.summary import summarise
from lthbench.results import run_facts, table
from lthbench.verdict.calibration import Calibration, DenseScore


@pytest.fixture(scope="module")
def made(made_table):
    return made_table(("imp", "small", "rigl"))


@pytest.fixture(scope="module")
def summary(made):
    return summarise(*made)


def values(summary, method, level, score):
    t = summary.table
    here = (t["method"] == method) & (t["sparsity"] == level) & (t["score"] == score) & (t["variant"] == "")
    return t[here].sort_values("seed")["value"].tolist()


def curve(summary, title):
    (figure,) = curves.curves(only(summary, title))
    return figure


def only(summary, *titles):
    """The summary with these scores alone."""
    return dataclasses.replace(summary, scores=tuple(s for s in summary.scores if s.title in titles))


def test_kinds_are_found_by_listing_and_have_names_of_their_own():
    kinds = figures.kinds()
    assert [k.place for k in kinds] == sorted(k.place for k in kinds)
    assert len({k.name for k in kinds}) == len(kinds) >= 8
    assert {"curve", "seeds", "extremes", "beside", "units", "radar"} <= {k.name for k in kinds}


def test_a_curve_has_the_mean_and_the_range_of_its_seeds(summary):
    figure = curve(summary, "accuracy")
    assert figure.head[:5] == ("method", "sparsity", "mean", "lowest seed", "highest seed")
    assert len(figure.rows) == 1 + 3 * 3
    for method, level, mean, low, high, count in figure.rows:
        known = values(summary, method, level, "accuracy")
        assert (mean, low, high) == pytest.approx((np.mean(known), min(known), max(known)))
        assert count == 3


@pytest.mark.parametrize(
    ("own", "dense", "spoke"),
    [
        (0.1, 0.05, 2.0),
        (0.05, 0.1, 0.5),
        (-0.05, 0.05, 0.0),
        (-0.2, 0.1, 0.0),
        (0.1, -0.1, math.nan),
        (0.3, 0.1, 2.0),
    ],
)
def test_a_score_below_zero_is_at_the_centre_of_the_radar(own, dense, spoke):
    means = {"dense": dense, "omp": own}
    summary: Any = SimpleNamespace(mean=lambda method, level, name: means[method])
    score: Any = SimpleNamespace(name="gap", higher_is_better=True)
    assert radar._relative(summary, "omp", 0.5, score) == pytest.approx(spoke, nan_ok=True)


@pytest.mark.parametrize(("own", "spoke"), [(0.2, 2.0), (0.8, 0.5)])
def test_where_lower_is_better_half_of_dense_is_twice_as_far_out(own, spoke):
    means = {"dense": 0.4, "omp": own}
    summary: Any = SimpleNamespace(mean=lambda method, level, name: means[method])
    score: Any = SimpleNamespace(name="ece", higher_is_better=False)
    assert radar._relative(summary, "omp", 0.5, score) == pytest.approx(spoke)


def test_scores_in_nats_are_shown_relative_to_the_dense_parent_of_each_seed(summary):
    drawn = {figure.title: figure for figure in relative.relative(summary)}
    assert list(drawn) == ["NLL relative to dense", "Hessian trace relative to dense"]
    figure = drawn["NLL relative to dense"]
    assert figure.rows[0] == ("dense", 0.0, 1.0, 1.0, 1.0, 3)
    dense = np.array(values(summary, "dense", 0.0, "nll"))
    for method, level, mean, low, high, count in figure.rows[1:]:
        ratios = np.array(values(summary, method, level, "nll")) / dense
        assert (mean, low, high) == pytest.approx((stats.gmean(ratios), ratios.min(), ratios.max()))
        assert count == 3
    assert len(figure.rows) == 1 + 3 * 3
    assert figure.canvas.axes[0].get_yscale() == "log"


def test_seeds_without_a_dense_parent_have_no_ratio(summary):
    table = summary.table
    gone = (table["method"] == "dense") & (table["score"] == "nll") & (table["seed"] == 0)
    left = summarise(table[~gone], summary.facts)
    figure = next(f for f in relative.relative(left) if f.title.startswith("NLL"))
    assert {row[-1] for row in figure.rows[1:]} == {2}
    none = (table["method"] == "dense") & (table["score"] == "nll")
    assert "NLL relative to dense" not in [
        f.title for f in relative.relative(summarise(table[~none], summary.facts))
    ]


def test_the_margin_is_where_the_verdict_has_it(summary):
    match = next(m for m in summary.headline[0].matches if m.score == "accuracy")
    dense = summary.cell("dense", 0.0, "accuracy").mean
    found = Compared(summary).reference("accuracy")
    assert (found.dense, found.worst) == pytest.approx((dense, dense - match.allowed))
    assert Compared(summary).reference("parameters") is None


def test_the_band_of_retraining_is_that_of_the_calibration(summary):
    assert curves.retraining(summary, "accuracy") is None
    known = tuple(0.8 + 0.001 * i for i in range(21))
    score = DenseScore("accuracy", "k", True, False, 0.01, 0.01, known)
    calibration = Calibration("made", "quick", tuple(range(21)), {"accuracy": score}, {})
    calibrated = dataclasses.replace(summary, calibration=calibration)
    assert curves.retraining(calibrated, "accuracy") == pytest.approx((0.801, 0.819))
    assert "nine of ten retrainings from 80.1 to 81.9" in curve(calibrated, "accuracy").text


def test_names_of_sparsities_do_not_meet_and_points_off_them_are_named(made_table):
    """A method at 50 % alone beside twelve from 59 % on, as on the digits: "50.059.0" stood there."""
    methods = (*(f"m{k}" for k in range(12)), "once")
    scores, facts = made_table(methods, sparsities=(0.5, 0.5904, 0.9))
    apart = (scores["method"] == "once") == (scores["sparsity"] == 0.5)
    found = summarise(scores[apart | (scores["method"] == "dense")].reset_index(drop=True), facts)
    assert drawing.ticked(found) == [0.5904, 0.9]
    found.__dict__["foremost"] = methods[:7]
    figure = curve(found, "accuracy")
    assert [t.get_text() for t in figure.canvas.axes[0].get_xticklabels()] == ["59.0", "90.0"]
    assert [t.get_text() for t in figure.canvas.axes[0].texts] == ["once at 50.0 %"]


def test_a_cut_axis_names_one_point_and_counts_several(summary):
    """Six lines of a card were names of points beyond the axis; the words for the figure have them all."""
    one, two = ("imp", 0.9, 1.234), ("omp", 0.98, 5.0)
    assert curves._beyond([]) == ""
    assert curves._beyond([one]) == "; beyond the axis: imp 1.23 at 90.0 %"
    assert curves._beyond([two, one]) == "; 2 points beyond the axis, the furthest omp 5 at 98.0 %"
    assert curves._named([two, one]) == "omp 5 at 98.0 %, imp 1.23 at 90.0 %"


def test_lines_are_dashed_from_the_end_of_region_one(summary):
    points, levels = ["a", "b", "c"], [0.5, 0.9, 0.98]
    assert curves.halves(points, levels, 0.9) == (["a", "b"], ["b", "c"])
    assert curves.halves(points, levels, -1.0) == ([], ["a", "b", "c"])
    assert curves.halves(points, levels, 1.0) == (["a", "b", "c"], [])
    assert curves.region_two(summary) == {
        v.method: -1.0 if v.region is None else v.region for v in summary.headline
    }
    figure = curve(summary, "accuracy")
    dashes = [line for line in figure.canvas.axes[0].lines if line.get_linestyle() == "--"]
    beyond = sum((-1.0 if v.region is None else v.region) < summary.sparsities[-1] for v in summary.headline)
    assert len(dashes) == beyond + 1  # and dense


def test_where_accuracy_is_not_known_no_line_is_dashed(made):
    frame, facts = made
    far = frame.copy()
    accuracy = (far["method"] == "imp") & (far["score"] == "accuracy")
    gone = {"value": math.nan, "status": "failed", "reason": "out of memory"}
    far.loc[accuracy, list(gone)] = list(gone.values())
    assert curves.region_two(summarise(far, facts))["imp"] == 0.98
    far.loc[accuracy & (far["sparsity"] == 0.9), ["value", "status"]] = [0.1, "ok"]
    assert curves.region_two(summarise(far, facts))["imp"] == 0.5


def test_the_line_of_a_degenerate_network_is_solid_where_its_accuracy_is_kept(made):
    """As of connection on the digits at 93.1 %: a layer is empty, and half a point is lost."""
    frame, facts = made
    same = frame.copy()
    dense = same.loc[(same["method"] == "dense") & (same["score"] == "accuracy"), "value"].mean()
    accuracy = (same["method"] == "imp") & (same["score"] == "accuracy")
    same.loc[accuracy, "value"] = dense
    last = accuracy & (same["sparsity"] == 0.98)
    same.loc[last, ["value", "status", "reason"]] = [dense, "degenerate", "layer x is empty"]
    assert curves.region_two(summarise(same, facts))["imp"] == 0.98
    same.loc[last, "value"] = dense - 0.3
    assert curves.region_two(summarise(same, facts))["imp"] == 0.9


def test_large_counts_have_no_factor_apart(made):
    """It was cut off at the page's edge, and ten million read as one."""
    frame, facts = made
    large = frame.copy()
    (name,) = (s.name for s in facts.scores if s.title == "parameters kept")
    large.loc[large["score"] == name, "value"] *= 3e7
    figure = curve(summarise(large, facts), "parameters kept")
    axes = figure.canvas.axes[0]
    figure.canvas.draw_without_rendering()
    assert axes.yaxis.get_offset_text().get_text() == ""
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"{place / 1e6:g}M" if place else "0" for place in axes.get_yticks()]
    assert len(set(shown)) == len(shown) > 2


def test_what_would_flatten_a_curve_is_cut_and_named(made):
    frame, facts = made
    far = frame.copy()
    far.loc[(far["method"] == "rigl") & (far["sparsity"] == 0.98) & (far["score"] == "nll"), "value"] = 90.0
    figure = curve(summarise(far, facts), "NLL")
    assert figure.canvas.axes[0].get_ylim()[1] < 5
    assert "beyond the axis: rigl 90 at 98.0 %" in figure.note
    assert "beyond" not in curve(summarise(*made), "NLL").note


def test_seed_lines_are_the_values_of_the_table(summary):
    figure = seeds.lines(only(summary, "ECE"))[0]
    found = {row[:3]: row[3] for row in figure.rows}
    assert len(found) == 3 * 3 * 3
    for (method, level, seed), value in found.items():
        assert value == values(summary, method, level, "ece")[seed]
    drawn = [
        y
        for panel in figure.canvas.axes
        for line in panel.lines
        for y in line.get_ydata()
        if line.get_color() != drawing.DENSE
    ]
    assert {round(100 * v, 9) for v in found.values()} == {round(y, 9) for y in drawn if not math.isnan(y)}


def test_one_seed_has_no_lines_of_seeds(made_table):
    assert seeds.lines(summarise(*made_table(("imp",), seeds=1))) == []


def test_extremes_are_those_of_the_verdict(summary):
    whole, *radars = extremes.extremes(summary)
    found = {row[:2]: row[2] for row in whole.rows}
    for result in summary.headline:
        assert found[result.method, "smallest"] == ("" if result.paper_pass is None else result.paper_pass)
        for score, extreme in result.extremes.items():
            assert found[result.method, score] == ("" if extreme is None else extreme)
    assert {row[:2]: row[2] for f in radars for row in f.rows} == {
        k: v for k, v in found.items() if k[1] != "smallest"
    }
    spokes = [line for line in radars[0].canvas.axes[0].lines if line.get_color() != drawing.DENSE]
    steps = {None: 0.0, **{s: i + 1.0 for i, s in enumerate(summary.sparsities)}}
    first = summary.headline[0]
    scores = list(dict.fromkeys(m.score for m in first.matches))
    assert list(spokes[0].get_ydata())[:-1] == [steps[first.extremes[s]] for s in scores]


def test_small_dense_and_rigl_stand_beside_the_ticket_in_margins(summary, made_table):
    (figure,) = side_by_side.beside(summary)
    assert figure.title == "imp, small and rigl at 90.0 %"
    matches = {(m.method, m.score): m for v in summary.headline for m in v.at(0.9)}
    assert len(figure.rows) == len(matches)
    for method, level, score, mean, lower, upper, finding in figure.rows:
        match = matches[method, score]
        assert (level, finding) == (0.9, match.finding)
        expected = [v / match.allowed for v in (match.shortfall, match.lower, match.bound)]
        assert (mean, lower, upper) == pytest.approx(tuple(expected), nan_ok=True)
    assert side_by_side.beside(summarise(*made_table(("imp", "omp")))) == []


def test_they_stand_side_by_side_where_all_of_them_were_measured(made):
    """The middle sparsity of a table may be that of other methods alone."""
    frame, facts = made
    left = frame[(frame["method"] != "rigl") | (frame["sparsity"] == 0.98)].reset_index(drop=True)
    (figure,) = side_by_side.beside(summarise(left, facts))
    assert figure.title == "imp, small and rigl at 98.0 %"
    assert {row[0] for row in figure.rows} == {"imp", "small", "rigl"}
    nowhere = left[(left["method"] != "imp") | (left["sparsity"] < 0.98)].reset_index(drop=True)
    assert side_by_side.beside(summarise(nowhere, facts)) == []


def test_units_by_category_are_means_over_seeds_and_leave_out_what_is_none(made):
    frame, facts = made
    like = frame[frame["score"] == "nll"]
    rows = []
    for variant, shift in (
        ("", 9),
        ("colour", 3),
        ("texture", 1),
        ("shape", 0),
        ("IoU 0.04", 7),
        ("chance", 2),
    ):
        value = shift + like["seed"] if shift else 0.0
        read = {"unit": "count", "direction": "higher", "group": "interpretability"}
        rows.append(like.assign(score="interpretable_units", variant=variant, value=value, **read))
    more = tuple(s for s in run_facts.score_facts(("dissection",)) if s.name == "interpretable_units")
    whole = pd.concat([frame, *rows], ignore_index=True).astype(table.COLUMNS)
    drawn = unit_categories.categories(
        summarise(whole, dataclasses.replace(facts, scores=facts.scores + more))
    )
    assert [f.title for f in drawn] == ["colour", "texture"]
    assert ("imp", 0.9, "colour", 4.0, 3) in drawn[0].rows
    assert ("dense", 0.0, "texture", 2.0, 3) in drawn[1].rows
    assert "dense 4.0" in drawn[0].text


def test_methods_are_told_apart_without_colour(made_table):
    many = summarise(*made_table(tuple(f"m{i}" for i in range(len(drawing.COLOURS)))))
    assert len({drawing.style(many, m)[1] for m in many.methods}) == len(drawing.COLOURS)


@pytest.fixture(scope="module")
def written(summary):
    few = only(summary, "accuracy")
    kinds = tuple(k for k in figures.kinds() if k.name in ("curve", "beside", "seeds"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "kinds", lambda: kinds)
        return files.files(few, ("svg", "png", "pdf"))


def test_files_have_the_widths_of_one_and_two_columns(written):
    assert {"curve-accuracy.svg", "curve-accuracy-wide.svg", "curve-accuracy.csv"} <= written.keys()
    for end, width in files.WIDTHS.items():
        svg = written[f"curve-accuracy{end}.svg"].decode()
        assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(72 * width)
    assert "seeds-accuracy.svg" not in written  # too wide for one column
    assert "seeds-accuracy-wide.svg" in written


def test_files_name_axes_units_seeds_and_methods_and_embed_their_fonts(written):
    pdf = written["curve-accuracy.pdf"]
    assert b"/FontFile2" in pdf
    assert b"/Subtype /Type3" not in pdf
    assert b"font-family" not in written["curve-accuracy.svg"]  # outlines
    assert written["curve-accuracy.png"].startswith(b"\x89PNG")


def test_the_numbers_of_a_figure_lie_beside_it(written, summary):
    rows = list(csv.DictReader(io.StringIO(written["curve-accuracy.csv"].decode())))
    assert len(rows) == 10
    cell = summary.cell("imp", 0.9, "accuracy")
    (row,) = [r for r in rows if (r["method"], r["sparsity"]) == ("imp", "0.9")]
    assert float(row["mean"]) == pytest.approx(cell.mean)


def test_figures_of_one_title_have_files_of_their_own():
    taken: set[str] = set()
    assert [files._stem("a", title, taken) for title in ("B c, %", "B c, %", "B-C")] == [
        *("a-b-c", "a-b-c-2", "a-b-c-3"),
    ]
    assert len(taken) == 3


def test_pictures_of_one_title_are_all_written(summary, monkeypatch):
    """Those of tables that are put together: they have no CSV, by which a taken name was known."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    picture = {"kind": "saliency", "title": "class 1", "text": "a map", "image": image}
    facts = dataclasses.replace(summary.facts, pictures=(picture,) * 2)
    monkeypatch.setattr(figures, "kinds", tuple)
    found = files.files(dataclasses.replace(summary, facts=facts), ("png",))
    assert list(found) == ["saliency-class-1-wide.png", "saliency-class-1-2-wide.png"]


def test_labels_of_a_file(summary):
    figure = curve(summary, "ECE")
    files._label(figure)
    files._fit(summary, figure, 3.35, 0.7)
    axes = figure.canvas.axes[0]
    assert axes.get_xlabel() == "sparsity (% of prunable weights removed)"
    assert axes.get_ylabel() == "ECE (%)"
    assert "3 seeds" in figure.canvas.get_suptitle()
    labels = [text.get_text() for text in figure.canvas.legends[0].get_texts()]
    assert labels == ["dense", "imp", "small", "rigl", "margin"]


def test_the_page_has_each_kind_and_leads_to_its_numbers(summary):
    summary = only(summary, "accuracy", "ECE", "NLL")
    drawn = task_page.drawn(summary)
    page = task_page.render(summary, linked=True, figures=drawn)
    for kind, of_kind in drawn[1:]:
        assert f'<section id="{kind.name}"' in page
        assert f'href="#{kind.name}">{kind.short}<' in page
        lines = task_page.numbers(of_kind).decode().splitlines()
        assert lines[0].split(",")[0] == "figure"
        assert len(lines) == 1 + sum(len(f.rows) for f in of_kind)
        assert len({f.head for f in of_kind}) == 1, "one header is for all"
        assert {len(row) for f in of_kind for row in f.rows} == {len(of_kind[0].head)}


def test_pages_of_large_tables_leave_out_details(summary, monkeypatch):
    few = only(summary, "accuracy", "ECE", "NLL")
    assert "seeds" in {kind.name for kind, _ in task_page.drawn(few)}
    monkeypatch.setattr(task_page, "DETAILED", 3 * 3 * 3 - 1)
    assert "seeds" not in {kind.name for kind, _ in task_page.drawn(few)}


def test_methods_that_stand_side_by_side_never_look_alike():
    looks = side_by_side._told_apart([("#0072b2", "o"), ("#7b61c4", "o"), ("#7b61c4", "<")])
    assert looks[0] == ("#0072b2", "o")
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 3


def test_a_score_that_was_not_measured_has_no_point_in_a_radar(made):
    """It was drawn as the best possible where all others were alike, or as the worst."""
    frame, facts = made
    left = frame.copy()
    gone = (left["method"] != "dense") & (left["score"] == "nll")
    left.loc[gone, ["value", "status", "reason"]] = [math.nan, "gated", "accuracy is too low"]
    for figure in radar.radars(summarise(left, facts)):
        found = {row[:2]: row[2] for row in figure.rows}
        assert [found[m, "NLL"] for m in ("imp", "small", "rigl")] == [""] * 3
        assert found.get(("dense", "NLL"), 1.0) == 1.0
        assert "NLL not measured" in figure.text
        lines = [x for x in figure.canvas.axes[0].lines if x.get_color() != drawing.DENSE]
        assert [sum(math.isnan(y) for y in line.get_ydata()) for line in lines] == [1, 1, 1]


def test_a_radar_tells_what_has_no_ratio_from_what_was_not_measured():
    cells = {("dense", 0.0): -0.1, ("imp", 0.5): 0.3, ("omp", 0.5): math.nan}
    score: Any = SimpleNamespace(name="gap", title="gap", higher_is_better=True)
    found: Any = SimpleNamespace(
        cell=lambda method, level, name: cells[method, level],
        mean=lambda method, level, name: cells[method, level],
        methods=("imp", "omp"),
        drawn_alone=("imp", "omp"),
        foremost=("imp", "omp"),
    )
    fixed, stretched = radar._pairs(found, [score] * 3, 0.5)
    assert "imp: gap no ratio to dense" in fixed.text
    assert "omp: gap not measured" in fixed.text
    assert "omp: gap not measured" in stretched.text
    assert "no ratio" not in stretched.text


def test_a_method_of_one_sparsity_has_a_point_in_each_figure(made):
    """A line of one point shows nothing."""
    frame, facts = made
    one = frame[(frame["method"] != "rigl") | (frame["sparsity"] == 0.9)].reset_index(drop=True)
    few = only(summarise(one, facts), "NLL")
    few.__dict__["foremost"] = ("imp", "small")  # the others are grey
    counts = {("rigl", 0.9, "colour"): [3.0], ("imp", 0.5, "colour"): [3.0], ("imp", 0.9, "colour"): [2.0]}
    drawn = (
        *curves.curves(few),
        *relative.relative(few),
        *unit_categories.by_category(few, "n", "c", counts),
    )
    for figure in drawn:
        grey = [x for x in figure.canvas.axes[0].lines if x.get_alpha() == drawing.GREY["alpha"]]
        assert [(len(x.get_xdata()), x.get_marker()) for x in grey] == [(1, "o")]
    (figure,) = seeds.lines(few)
    (dots,) = (x for x in figure.canvas.axes[2].lines if x.get_marker() == "o")
    assert sorted(dots.get_ydata()) == sorted(values(few, "rigl", 0.9, "nll"))


def test_the_deviation_that_is_drawn_is_that_of_the_seeds_that_are_drawn(published):
    """mCE stands beside all trainings, and its deviation with it: not that beside each network's parent."""
    for name in ("digits-r8-quick", "c10-r20s-standard-bf16"):
        found = Compared(published[name])
        for method in published[name].methods:
            for sparsity in published[name].sparsities:
                values = found.by_seed(method, sparsity, "mce")
                if len(values) > 1:
                    expected = np.std(list(values.values()), ddof=1)
                    assert found.spread(method, sparsity, "mce") == pytest.approx(expected)
