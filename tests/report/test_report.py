"""Reports of a small table made by hand: what they say, that they are safe, whole, and the same each time."""

import base64
import dataclasses
import gzip
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from lthbench import formatting, report
from lthbench.errors import BadInput
from lthbench.report import cells, markdown, site, task_page, templates
from lthbench.report.cells import Cell, Shown
from lthbench.report.summary import Summary, sentence, summarise
from lthbench.results import run_facts, score_order, table

NASTY = "<script>alert(1)</script>"
REASON = 'layer "a" & b < c &lt;i&gt; | `x` *is* empty'
METRICS = ("accuracy", "nll", "mce")
SEEDS = (0, 1)


def row(method, sparsity, seed, score, value, variant="", status="ok", reason=""):
    fact = next(s for s in score_order.scores(METRICS) if s.name == score)
    known = {"task": "made", "budget": "quick", "metric": "m", "step": "0" * 64, "parent": "1" * 64}
    return {
        **known,
        "method": method,
        "sparsity": sparsity,
        "seed": seed,
        "score": score,
        "variant": variant,
        "value": value,
        "se": 0.01,
        "diff_se": 0.001,
        "mean_diff_se": 0.001,
        "n": 100,
        "unit": fact.unit,
        "direction": "higher" if fact.higher_is_better else "lower",
        "group": fact.group,
        "status": status,
        "reason": reason,
        "forwards": 100,
    }


def network(method, sparsity, seed, accuracy, **extra):
    return [
        row(method, sparsity, seed, "accuracy", accuracy, **extra),
        row(method, sparsity, seed, "nll", 1 - accuracy, **extra),
        row(method, sparsity, seed, "mce", 1.9 - accuracy, **extra),
        row(method, sparsity, seed, "corruption_error", 0.3, **extra),
        row(method, sparsity, seed, "corruption_error", 0.4, variant="gaussian_noise", **extra),
    ]


def built(method=NASTY, accuracy=None, seeds=SEEDS, **extra):
    """Dense at 0.90 and 0.91, and a method's accuracy at each sparsity; ``extra`` is for the highest."""
    accuracy = accuracy or {0.36: 0.95, 0.488: 0.5}
    rows = [r for s in seeds for r in network("dense", 0.0, s, 0.90 + s / 100)]
    for sparsity, value in accuracy.items():
        marks = extra if sparsity == max(accuracy) else {}
        rows += [r for s in seeds for r in network(method, sparsity, s, value, **marks)]
    return pd.DataFrame(rows, columns=list(table.COLUMNS)).astype(table.COLUMNS)


def facts(method=NASTY, seeds=SEEDS):
    environment = {"device": "cpu", "threads": 1, "torch": "2", "numpy": "2", "python": "3", "lthbench": "0"}
    budget = {"name": "quick", "about": "short & sweet", "source": "ours", "rewind_epoch": 1}
    content = {
        "schema": run_facts.SCHEMA,
        "command": "lthbench run made",
        "task": {"name": "made", "title": "A <b>made</b> task", "about": "Nothing.", "source": "ours"},
        "budget": {**budget, "train": {"epochs": 2, "milestones": []}, "evaluate": {"severities": [1, 2]}},
        "methods": ["dense", method],
        "sparsities": [0.36, 0.488],
        "seeds": list(seeds),
        "data": [{"name": "digits", "version": 1, "digest": "ab" * 32}],
        "environments": [environment],
        "seconds": {"train": 12.0},
        "aspects": [dataclasses.asdict(a) for a in score_order.aspects(METRICS)],
        "scores": [dataclasses.asdict(s) for s in run_facts.score_facts(METRICS)],
        "masks": {"k1": {"kept": {}, "total": {}, "collapsed": ["conv1.weight", "conv2.weight"]}},
        "networks": {f"{method} 0.488 0": {"network": "n1", "mask": "k1"}},
    }
    return run_facts.from_json(content)


def summary_of(method="m", seeds=SEEDS, rule="std", **kwargs):
    return summarise(built(method, seeds=seeds, **kwargs), facts(method, seeds), rule)


class Page(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags += [tag]
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def nasty_html():
    return task_page.render(summarise(built(status="degenerate", reason=REASON), facts()))


# ------------------------------------------------------------------------------------------------ files


def test_all_formats_are_written_and_named(tmp_path):
    written = report.write(built(), facts(), tmp_path / "out")
    names = ["scores.csv", "run.json", "scores.parquet", "report.md", "report.html"]
    assert [p.name for p in written] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("formats", "names"), [(("md",), ["report.md"]), (("html",), ["report.html"]), ((), [])]
)
def test_only_the_formats_asked_for_are_written(tmp_path, formats, names):
    report.write(built(), facts(), tmp_path, formats=formats)
    assert [p.name for p in tmp_path.iterdir()] == names


def test_a_command_with_a_path_that_is_not_utf8_is_written_out(tmp_path):
    command = "lthbench run --task 'caf\udce9/made.toml'"
    odd = dataclasses.replace(facts("m"), command=command)
    report.write(built("m"), odd, tmp_path, formats=("csv", "md", "html", "latex", "json", "site"))
    for name in ("run.json", "report.json"):
        assert json.loads((tmp_path / name).read_text(encoding="utf-8"))["command"] == command
    for name in ("report.md", "report.html", "report.tex", "made-quick/index.html"):
        assert r"caf\udce9/made.toml" in (tmp_path / name).read_text(encoding="utf-8")
    assert table.read(tmp_path)[1].command == command


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        report.write(built(), facts(), tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_table_read_back_gives_the_same_report(tmp_path):
    report.write(built(status="degenerate", reason=REASON), facts(), tmp_path / "a")
    report.write(*table.read(tmp_path / "a"), tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_without_pyarrow_there_is_no_parquet_and_all_else_is_the_same(tmp_path):
    report.write(built("m"), facts("m"), tmp_path / "with")
    code = (
        "import sys, pathlib; sys.modules['pyarrow'] = None; from lthbench import report\n"
        "from lthbench.results import table\n"
        "report.write(*table.read(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "with"), str(tmp_path / "without")]
    subprocess.run(command, check=True, timeout=120)
    found, expected = (
        {p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("without", "with")
    )
    assert found == {name: content for name, content in expected.items() if name != "scores.parquet"}


# ----------------------------------------------------------------------------------------------- safety


def test_names_and_reasons_are_text_in_the_page_not_markup(nasty_html):
    read = Page(nasty_html)
    assert read.tags.count("script") == 2, "ours and the chart's data, and no other"
    assert ("script", "type", "application/json") in read.attributes
    assert NASTY not in nasty_html
    assert "b" not in [t for t, n, v in read.attributes if v == "made"]
    assert NASTY in read.text
    assert "A <b>made</b> task" in read.text
    assert ("td", "title", REASON) in read.attributes


def test_the_page_loads_nothing_from_elsewhere(nasty_html):
    read = Page(nasty_html)
    loading = ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
    links = [v for _, n, v in read.attributes if n in loading]
    urls = re.findall(r"url\(['\"]?([^)]*)", re.sub("<script>.*?</script>", "", nasty_html, flags=re.S))
    assert links
    assert all(target.startswith(("#", "data:")) for target in links + urls), links + urls
    assert "@import" not in nasty_html
    assert not {"iframe", "object", "embed", "base"} & set(read.tags)


def test_ids_on_the_page_are_unique_and_every_link_on_it_lands(nasty_html):
    read = Page(nasty_html)
    ids = [v for _, n, v in read.attributes if n == "id"]
    assert len(ids) == len(set(ids))
    targets = {v[1:] for _, n, v in read.attributes if n in ("href", "xlink:href") and v.startswith("#")}
    assert targets | set(re.findall(r"url\(#([^)]*)\)", nasty_html)) <= set(ids)


def test_the_table_inside_the_page_is_the_table():
    frame = built("m")
    found = re.search(
        r'data:application/gzip;base64,([^"]*)"', task_page.render(summarise(frame, facts("m")))
    )
    assert gzip.decompress(base64.b64decode(found[1])).decode() == frame.to_csv(
        index=False, lineterminator="\n"
    )


def test_names_are_text_in_markdown_not_markup():
    text = markdown.render(summarise(built(), facts(), "std"))
    shown = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "A &lt;b&gt;made&lt;/b&gt; task" in shown


@pytest.mark.parametrize("text", [NASTY, REASON, "[a](b) _c_ \\ **d** &amp; ![e](f)", "a|b"])
def test_escaped_text_shows_as_it_was_in_a_paragraph_and_in_a_table(text):
    reader = MarkdownIt("commonmark").enable("table")
    assert Page(reader.render(formatting.escape(text))).text.strip() == text
    grid = reader.render(markdown._table([{"x": text}]))
    assert text in Page(grid).text
    assert grid.count("<td>") == 1


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        ({0.36: 0.95, 0.488: 0.95}, "everything up to 48.8 %[^;]*, the highest measured"),
        ({0.36: 0.95, 0.488: 0.5}, "up to 36.0 %.*; at 48.8 % it is worse in accuracy, .* and "),
        (
            {0.36: 0.5, 0.488: 0.4},
            "falls short already at 36.0 %, the lowest sparsity measured: it is worse in accuracy",
        ),
        ({0.2: 0.5, 0.36: 0.95, 0.488: 0.5}, r"up to 36.0 %.*\(not so at 20.0 %\)"),
        ({0.36: 0.5, 0.488: 0.95}, r"up to 48.8 %.*the highest measured \(not so at 36.0 %\)"),
    ],
)
def test_the_sentence_says_how_far_it_holds_what_fails_next_and_where_it_had_failed_before(accuracy, said):
    summary = summary_of(accuracy=accuracy)
    assert re.search(said, sentence(summary, summary.headline[0])), sentence(summary, summary.headline[0])


def test_the_sentence_of_an_undecided_verdict_gives_the_reason():
    summary = summary_of(seeds=(0,), rule="std")
    expected = "m: no verdict: the rule std needs at least two seeds."
    assert sentence(summary, summary.headline[0]) == expected
    assert not any(r["passed"] for r in task_page._rows(summary))


@pytest.mark.parametrize(("seeds", "scope"), [((0,), "network"), ((0, 1), "method")])
def test_several_seeds_are_judged_as_a_method_and_one_as_a_network(seeds, scope):
    summary = summary_of(seeds=seeds, rule=None)
    assert (summary.rule, summary.headline[0].scope) == ("noninferior", scope)


def test_what_is_open_is_not_called_worse():
    """Two seeds, better and far apart: five in a hundred needs more of them."""
    summary = summary_of(rule="noninferior", accuracy={0.36: 0.915, 0.488: 0.91})
    said = sentence(summary, summary.headline[0])
    assert re.fullmatch(
        r"m may be as good as its dense parent or not: at 36\.0 %, the lowest sparsity measured, accuracy "
        r"and NLL are open \(about \d+ seeds would do, if these are typical\)\.",
        said,
    ), said
    assert "open: accuracy" in task_page.render(summary)
    assert [r["accuracy, % ↑"].split()[-1] for r in markdown.score_rows(summary)][1:] == ["open", "open"]
    assert '<span class="maybe">open</span>' in task_page.render(summary)


def test_a_network_that_could_not_be_made_failed_and_did_not_fall_short():
    summary = summary_of(accuracy={0.36: 0.95, 0.488: math.nan}, status="failed", reason="out of memory")
    said = sentence(summary, summary.headline[0])
    assert (
        said
        == "m is as good as its dense parent on everything up to 36.0 %; at 48.8 % it failed: out of memory."
    )


def test_cells_show_mean_and_sample_deviation_in_the_units_of_the_score():
    summary = summary_of()
    assert summary.cell("dense", 0.0, "accuracy").text == "90.5 ± 0.7"
    assert summary.cell("dense", 0.0, "nll").text == "0.0950 ± 0.0071"
    assert summary.cell("m", 0.2, "nll") is None


def test_a_cell_has_the_worst_status_of_its_seeds():
    order = ("ok", "gated", "degenerate", "missing", "failed")
    for place, status in enumerate(order):
        assert cells._cell([(0.5, s, "") for s in order[: place + 1]], "fraction").status == status


def test_a_cell_is_the_headline_alone_and_each_corruption_has_its_own():
    summary = summary_of()
    assert summary.cell("m", 0.36, "corruption_error").text == "30.0 ± 0.0"
    kinds = task_page._kinds(summary)
    assert "mean over 2 severities and all seeds" in task_page.render(summary)
    assert kinds["kinds"] == ["gaussian noise"]
    assert kinds["rows"][0] == ("dense", 0.0, [("40.0", "")])
    backwards = dataclasses.replace(summary, table=summary.table[::-1])
    assert [row[:2] for row in task_page._kinds(backwards)["rows"]] == list(summary.networks)


@pytest.mark.parametrize("status", ["ok", "degenerate"])
def test_rows_that_pass_are_marked_and_those_that_cannot_are_not(status):
    rows = task_page._rows(summary_of(accuracy={0.36: 0.95, 0.488: 0.95}, status=status))
    assert [(r["method"], r["sparsity"], r["passed"]) for r in rows] == [
        ("dense", 0.0, False),
        ("m", 0.36, True),
        ("m", 0.488, status == "ok"),
    ]


def test_failing_scores_are_crossed_in_markdown_and_passing_ones_are_not():
    rows = markdown.score_rows(summary_of())
    marks = {r["sparsity"]: "✗" in r["accuracy, % ↑"] for r in rows}
    assert marks == {"0.0 %": False, "36.0 %": False, "48.8 %": True}


@pytest.mark.parametrize("method", ["m", "my own method"])
def test_a_collapsed_layer_is_named(method):
    said = f"{method} at 48.8 %, seed 0: nothing is left of conv1 and conv2"
    assert said in task_page.render(summarise(built(method), facts(method)))


def test_scores_that_are_missing_show_as_dashes_with_their_reason():
    summary = summary_of(accuracy={0.36: 0.95, 0.488: math.nan}, status="failed", reason="out of memory")
    assert summary.cell("m", 0.488, "accuracy").text == "–"
    assert 'title="out of memory"' in task_page.render(summary)


@pytest.mark.parametrize(("column", "found"), [("task", "made, other"), ("budget", "other, quick")])
def test_a_table_of_several_tasks_or_budgets_is_refused(column, found):
    mixed = pd.concat([built("m"), built("m").assign(**{column: "other"})], ignore_index=True)
    with pytest.raises(BadInput, match=f"of one {column}; the table holds {found}"):
        summarise(mixed, facts("m"))


def test_an_unknown_rule_is_refused():
    with pytest.raises(BadInput, match="Did you mean paper"):
        summary_of(rule="papr")


def test_a_large_table_lies_beside_its_pages(monkeypatch, tmp_path):
    """Not inside the page of a run, and compressed beside the page of a site."""
    made = summarise(built(), facts())
    assert "data:application/gzip" in task_page.render(made)
    monkeypatch.setattr(task_page, "PACKED", 3)
    monkeypatch.setattr(templates, "COMPRESSED", 3)
    alone = task_page.render(made)
    assert "data:application/gzip" not in alone
    assert "it is the file <code>scores.csv</code> of the run" in alone
    site.write([made], tmp_path)
    (path,) = tmp_path.glob("*/scores.csv.gz")
    assert gzip.decompress(path.read_bytes()) == table.as_csv(made.table)
    assert 'href="scores.csv.gz"' in (path.parent / "index.html").read_text()


def test_small_numbers_keep_their_digits_on_the_axes():
    from lthbench.report.figures.drawing import _lean

    drawn = _lean('<svg><path d="M 1.23456 2.0004"/><text x="7.12345">0.0067</text></svg>')
    assert drawn == '<svg><path d="M 1.2 2"/><text x="7.1">0.0067</text></svg>'


def test_methods_have_colours_and_markers_of_their_own_and_share_radars_by_four():
    from lthbench.report.figures import drawing, radar

    methods = [f"m{i}" for i in range(11)]
    scores = ("accuracy", "ece", "nll")
    cells = {(m, 0.5, s): Cell(0.5, 0.1, 2, "ok", "", "") for m in methods for s in scores}
    cells |= {("dense", 0.0, s): Cell(0.6, 0.1, 2, "ok", "", "") for s in scores}
    shown = tuple(Shown(s, s, "fraction", True, "generalization", True) for s in scores)
    made = Summary(facts(), None, shown, tuple(methods), (0.5,), cells, "std", {})
    assert (
        len({drawing.style(made, m) for m in methods})
        == len({drawing.style(made, m)[0] for m in methods})
        == 11
    )
    drawn = radar.radars(made)
    assert [d.title for d in drawn[::2]] == [
        "50.0 %, m0, m1, m2 and m3, fixed axes",
        "50.0 %, m4, m5, m6 and m7, fixed axes",
        "50.0 %, m8, m9 and m10, fixed axes",
    ]
    assert "m4" in drawn[3].text
    assert "m0" not in drawn[3].text
    alone = {key: cell for key, cell in cells.items() if key[0] in ("m0", "dense")}
    assert radar.radars(dataclasses.replace(made, cells=alone)) == [], "of two networks nothing is seen"


@pytest.mark.parametrize("name", ["bin_confidence", "corrupted_bin_confidence"])
@pytest.mark.parametrize("higher", [True, False])
def test_a_score_of_which_neither_more_nor_less_is_better_has_no_arrow(name, higher):
    shown = Shown(name, "confidence in a bin", "fraction", higher, "uncertainty", False)
    assert (shown.arrow, shown.header) == ("", "confidence in a bin, %")
    assert shown.better == "neither more nor less is better"


def test_pages_say_which_network_of_a_file_was_read():
    """Where a file holds several, the table would else not say whose numbers it has."""
    account = {"method": "mine", "seed": 0, "file": "net.pt", "key": "state_dict_ema", "sha256": "ab" * 32}
    told = dataclasses.replace(facts(), checkpoints=(account,))
    assert f"mine seed 0: net.pt, its state_dict_ema, file {'ab' * 6}" in markdown.provenance(told)


def test_a_reason_that_many_cells_share_is_said_once():
    """Else later seeds were pushed off the screen, and one fact was eleven red lines."""
    from lthbench.report import network_page

    made = summary_of("m", status="degenerate", reason="layer conv1 is empty")
    page = network_page.Cards(made).render("m", 0.488)
    assert page.count("layer conv1 is empty") == 4  # the lead, two other rules, and the note
    assert "[1] layer conv1 is empty" in page
    assert page.count("degenerate\u00a0[1]") > 5


def test_the_table_that_rests_on_the_most_stands_first(tmp_path):
    few = summarise(built("m", seeds=(0, 1)), facts("m", (0, 1)), "std")
    seeds = (0, 1, 2)
    other = dataclasses.replace(facts("m", seeds), task={**facts().task, "name": "more"})
    more = summarise(built("m", seeds=seeds).assign(task="more"), other, "std")
    site.write([few, more], tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert index.index("more-quick/index.html") < index.index("made-quick/index.html")


def test_of_tables_that_rest_on_as_much_the_better_trained_one_stands_first(tmp_path):
    short, table_of_short = facts("m"), built("m")
    accuracy = table_of_short["score"] == "accuracy"
    dense = table_of_short["method"] == "dense"
    worse = table_of_short.assign(value=table_of_short["value"].mask(accuracy & dense, 0.7))
    longer = dataclasses.replace(short, budget={**short.budget, "name": "standard"})
    site.write(
        [summarise(worse, short, "std"), summarise(built("m").assign(budget="standard"), longer, "std")],
        tmp_path,
    )
    index = (tmp_path / "index.html").read_text()
    assert index.index("made-standard/index.html") < index.index("made-quick/index.html")
