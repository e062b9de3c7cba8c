"""What the interactive chart is given: the numbers of the table, and null where there is none."""

import json
import math
import shutil
import subprocess

import pytest

from lthbench import formatting, resources
from lthbench.report import chart_data, templates
from lthbench.report.compared import Compared
from lthbench.report.summary import summarise


@pytest.fixture
def summary(made_table):
    return summarise(*made_table(("imp", "</script><b>")))


def test_it_holds_the_means_and_findings_of_the_table(summary):
    data = chart_data.data(summary)
    assert data["methods"] == list(summary.methods)
    assert len(data["colours"]) == len(data["dashed"]) == 2
    judged = 0
    for record, score in zip(data["scores"], summary.scores, strict=True):
        assert record["title"] == score.title
        matches = [m for v in summary.headline for m in v.matches if m.score == score.name]
        dense = matches[0].dense if matches else summary.cell("dense", 0.0, score.name).mean
        assert record["dense"][0] == pytest.approx(dense, rel=1e-5)
        assert (record["worst"] is not None) == score.verdict == bool(matches)
        assert record.get("relative", False) == any(m.relative for m in matches)
        drawn = {(m.method, m.sparsity): m.mean for m in matches}
        for m, method in enumerate(summary.methods):
            for s, sparsity in enumerate(data["sparsities"]):
                cell = summary.cell(method, sparsity, score.name)
                mean = drawn.get((method, sparsity), cell.mean)
                assert record["mean"][m][s] == pytest.approx(mean, rel=1e-5)
                assert record["spread"][m][s] == pytest.approx(cell.spread, rel=5e-3)
        judged += "found" in record
    found = [data["findings"][f] for r in data["scores"] for row in r.get("found", []) for f in row]
    expected = [m for v in summary.headline for m in v.matches]
    assert judged == len({m.score for m in expected})
    assert sorted(found) == sorted(m.finding for m in expected)


def test_what_is_drawn_beyond_the_margin_is_what_the_verdict_finds_beyond_it(published):
    """On calibrated tasks dense was that of the table's seeds, which the verdict does not compare with."""
    for name, summary in published.items():
        data, compared = chart_data.data(summary), Compared(summary)
        records = dict(zip((s.name for s in summary.scores), data["scores"], strict=True))
        higher = {s.name: s.higher_is_better for s in summary.scores}
        for match in (m for v in summary.headline for m in v.matches):
            record, found = records[match.score], compared.reference(match.score)
            mean = compared.mean(match.method, match.sparsity, match.score)
            place = data["methods"].index(match.method), data["sparsities"].index(match.sparsity)
            assert record["mean"][place[0]][place[1]] == pytest.approx(mean, rel=1e-5)
            assert record["worst"] == pytest.approx(found.worst, rel=1e-5)
            beyond = mean < found.worst if higher[match.score] else mean > found.worst
            where = name, match.method, match.sparsity, match.score
            assert beyond == (match.shortfall > match.allowed), where
            gap = (mean - record["dense"][0]) * (-1 if higher[match.score] else 1)
            gap /= record["dense"][0] if record.get("relative") else 1.0
            assert gap == pytest.approx(match.shortfall, rel=1e-3, abs=1e-5), where


def test_seeds_are_drawn_as_the_verdict_compares_them(published):
    """On a calibrated task mCE is that beside all trainings: 5.1 % worse of omp at 79.0 %, not 3.9 %."""
    summary = published["c10-r20s-standard-bf16"]
    compared = Compared(summary)
    level = summary.sparsities[2]
    seeds, mean = compared.by_seed("omp", level, "mce"), compared.mean("omp", level, "mce")
    assert math.prod(seeds.values()) ** (1 / len(seeds)) == pytest.approx(mean)
    assert mean / compared.reference("mce").dense == pytest.approx(1.051, abs=5e-4)
    assert summary.cell("omp", level, "mce").mean == pytest.approx(1.039, abs=1e-3)
    assert compared.mean("dense", 0.0, "mce") == pytest.approx(1.012, abs=1e-3), "the table's own three"
    assert compared.by_seed("omp", level, "nll") == summary.by_seed["omp", level, "nll"]


def test_what_is_not_measured_is_null_and_valid_json(made_table):
    table, facts = made_table(("imp",))
    table.loc[(table["method"] == "imp") & (table["score"] == "nll"), "value"] = math.nan
    data = chart_data.data(summarise(table, facts))
    (nll,) = (r for r in data["scores"] if r["title"] == "NLL")
    assert {x for row in nll["mean"] + nll["spread"] for x in row} == {None}
    json.dumps(data, allow_nan=False)


def test_a_table_of_dense_networks_has_none(made_table):
    table, facts = made_table(("imp",))
    assert chart_data.data(summarise(table[table["method"] == "dense"], facts)) is None


def test_names_cannot_leave_the_data(summary):
    text = (
        templates.environment().from_string("{{ closer | tojson }}").render(closer=chart_data.data(summary))
    )
    assert "<" not in text
    assert json.loads(text)["methods"] == list(summary.methods)


#: Units, and numbers on each side of where their form changes.
UNITS = ("fraction", "count", "bytes", "nats", "ratio")
VALUES = (
    *(0.0, 0.0004, 0.0041, 0.00999, 0.009999, 0.0123, 0.3, 1.0, 4 / 3, 9.9996, 12.34, 99.97, 250.3),
    *(999.6, 1234.6, 99_999.6, 152_300.0, 200_000.0, 999_999.0, 3.2e6, 7e12, 1.23e-5, 4e-7),
)


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_chart_shows_numbers_as_the_tables_do():
    script = (resources.templates() / "explorer.js").read_text(encoding="utf-8")
    functions = script[script.index("function number") : script.index("function score()")]
    cases = [(v, u) for u in UNITS for value in VALUES for v in (value, -value)]
    spread = (None, 0.577, 3.0)
    code = (
        f"var data = {json.dumps({'percent': formatting.PERCENT, 'counts': formatting.COUNTS})};\n"
        f"{functions}\nvar cases = {json.dumps(cases)}, spread = {json.dumps(spread)};\n"
        "console.log(JSON.stringify(cases.map(([v, u]) => "
        "[number(v, u), signed(v, u), ...spread.map(s => measured(v, s, u))])));"
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, check=True, timeout=60)
    for (value, unit), (number, signed, *measured) in zip(cases, json.loads(done.stdout), strict=True):
        assert number == formatting.number(value, unit)
        pairs = zip(measured, (math.nan if s is None else s for s in spread), strict=True)
        assert all(text == formatting.measured(value, s, unit) for text, s in pairs), measured
        plain = formatting.difference(value, unit, relative=False)
        sign = "+" if value > 0 and any(c in plain for c in "123456789") else ""
        assert signed == sign + plain.replace("-", "−")


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_numbers_of_the_axis_are_told_apart_and_fit_beside_it():
    """In three decimals, and as the browser's language has them, 0.006 stood there several times."""
    script = (resources.templates() / "explorer.js").read_text(encoding="utf-8")
    functions = script[script.index("function number") : script.index("function score()")]
    cases = [
        ([0.0062, 0.0064, 0.0066], 0.0002),
        ([0.0, 0.0025, 0.005], 0.0025),
        ([-0.5, 0.0, 0.5], 0.5),
        ([90.0, 92.5, 95.0], 2.5),
        ([0, 40_000_000, 80_000_000], 40_000_000),
        ([7000, 7500, 8000], 500),
        ([0, 5000, 10_000], 5000),
        ([97_500, 100_000], 2500),
    ]
    code = (
        f"{functions}\nconsole.log(JSON.stringify({json.dumps(cases)}.map(([p, step]) => ticks(p, step))));"
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [
        ["0.0062", "0.0064", "0.0066"],
        ["0.0000", "0.0025", "0.0050"],
        ["−0.5", "0.0", "0.5"],
        ["90.0", "92.5", "95.0"],
        ["0", "40M", "80M"],
        ["7000", "7500", "8000"],
        ["0", "5k", "10k"],
        ["97.5k", "100.0k"],
    ]
    assert "return ticks(places, step)" in script


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_a_link_with_a_stray_sign_unfolds_what_it_names():
    """decodeURIComponent ended the script, and tables could not be sorted."""
    script = (resources.templates() / "site.js").read_text(encoding="utf-8")
    unfold = script[script.index("function unfold()") : script.index("/* On paper")]
    code = (
        f"{unfold}\nvar seen = [], location, document = {{ getElementById: n => {{ seen.push(n); }} }};\n"
        'for (var hash of ["#50%", "#a%20b", ""]) { location = { hash: hash }; unfold(); }\n'
        "console.log(JSON.stringify(seen));"
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == ["50%", "a b"]
