"""What forward passes take: read back as written, refused where it cannot be, and in no verdict."""

import dataclasses
import json

import pytest

from lthbench import report
from lthbench.cli import main
from lthbench.cli.latency import text as text_of
from lthbench.errors import BadInput, Damaged
from lthbench.report import cells, machine_readable, markdown
from lthbench.report.summary import summarise
from lthbench.results import latency, merge, table
from lthbench.store import LocalStore


@pytest.fixture
def timed(made_table):
    """A table of filter and omp, of which dense and filter were timed."""
    scores, facts = made_table(("filter", "omp"))
    networks = [n for n in facts.networks if n.method != "omp"]
    rows = [
        latency.Latency(
            n.method,
            n.sparsity,
            n.seed,
            n.network,
            images,
            1e-3 * images / (1 + n.sparsity),
            10_000,
            "cpu: x",
            1,
            "thread",
            0.9e-3 * images / (1 + n.sparsity),
            1.2e-3 * images / (1 + n.sparsity),
            *(
                (None, None, None)
                if n.method == "dense"
                else (1.5, 1.25, 1.75)
                if images > 1
                else (1.1, 0.9, 1.3)
            ),
        )
        for n in networks
        for images in (1, 64)
    ]
    return scores, dataclasses.replace(facts, latencies=tuple(rows))


def test_times_are_read_back_as_they_were_written(timed, tmp_path):
    scores, facts = timed
    table.write(scores, facts, tmp_path)
    _, again = table.read(tmp_path)
    assert latency.as_csv(again.latencies) == latency.as_csv(facts.latencies)
    assert [t[:5] for t in again.latencies] == [t[:5] for t in facts.latencies]
    assert [t.seconds for t in again.latencies] == pytest.approx(
        [t.seconds for t in facts.latencies], rel=1e-5
    )
    table.write(scores, dataclasses.replace(facts, latencies=()), tmp_path)
    assert not (tmp_path / latency.FILE).exists()


def test_they_stand_beside_the_scores_in_milliseconds_and_change_no_verdict(timed):
    scores, facts = timed
    found = summarise(scores, facts)
    plain = summarise(scores, dataclasses.replace(facts, latencies=()))
    assert found.verdicts == plain.verdicts
    assert [s.header for s in found.scores[len(plain.scores) :]] == [
        "processor time of 1 image, ms ↓",
        "processor time of 64 images, ms ↓",
        "times as fast, 1 image ↑",
        "times as fast, 64 images ↑",
    ]
    faster = [found.cell("filter", found.sparsities[0], f"speedup_{images}") for images in (1, 64)]
    assert [cell.text for cell in faster] == ["1.10 (0.90 to 1.30) not shown", "1.50 (1.25 to 1.75)"]
    assert found.cell("dense", 0.0, "speedup_64") is None
    dense, pruned = (
        found.cell(method, level, "latency_64")
        for method, level in (("dense", 0.0), ("filter", found.sparsities[0]))
    )
    assert dense.mean == pytest.approx(64.0)
    assert pruned.mean == pytest.approx(64.0 / (1 + found.sparsities[0]))
    assert found.cell("omp", found.sparsities[0], "latency_64") is None
    text = markdown.render(found)
    assert "processor time of 64 images, ms" in text
    assert "1.10 (0.90 to 1.30) not shown" in text
    assert "passes timed on cpu: x, 1 thread, by the processor time of the thread: medians" in text
    assert isinstance(cells.of_table(scores, facts)[1][("dense", 0.0, "latency_1")], cells.Cell)
    assert "latency_64" in machine_readable.as_json(found)


def former(content: bytes) -> bytes:
    """A table as it was written before the clock was named."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    return "".join(",".join(row[:9]) + "\n" for row in rows).encode()


def test_times_of_before_the_clock_was_named_are_of_the_wall_clock(timed, tmp_path):
    scores, facts = timed
    table.write(scores, facts, tmp_path)
    path = tmp_path / latency.FILE
    path.write_bytes(former(path.read_bytes()))
    _, again = table.read(tmp_path)
    assert [t[:9] for t in again.latencies] == [t[:9] for t in latency.from_csv(path.read_bytes(), "here")]
    assert {t[9:] for t in again.latencies} == {("wall", None, None, None, None, None)}
    assert latency.from_csv(latency.as_csv(again.latencies), "here") == again.latencies
    text = markdown.render(summarise(scores, again))
    assert "wall time of 64 images, ms" in text
    assert "by the wall clock, which counts other work of the machine too" in text
    assert "times as fast" not in text


def test_a_table_says_what_is_not_shown_and_takes_the_widest_of_seeds(timed):
    _, facts = timed
    rows = [t for t in facts.latencies if t.images > 1]
    seed = max(t.seed for t in rows)
    wider = [t._replace(speedup=2.5, speedup_high=3.0) if t.speedup and t.seed == seed else t for t in rows]
    count = len({t.seed for t in rows})
    assert f"{(1.5 * (count - 1) + 2.5) / count:.2f} (1.25 to 3.00)" in text_of(wider)
    assert "not shown" not in text_of(wider)
    said = text_of(facts.latencies)
    assert "Timed by the processor time of the thread" in said
    assert "Not shown: the interval holds 1" in said
    assert latency.shown(1.01, 2.0)
    assert latency.shown(0.5, 0.99)
    assert not latency.shown(1.0, 2.0)


def test_all_kinds_of_reports_are_written_with_them(timed, tmp_path):
    scores, facts = timed
    report.write(scores, facts, tmp_path, formats=(*report.FORMATS, "latex", "json", "badge", "site"))
    assert "time of 64 images" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_timing_keeps_the_rule_that_a_report_was_written_by(timed, tmp_path, monkeypatch):
    scores, facts = timed
    times, facts = facts.latencies, dataclasses.replace(facts, latencies=())
    LocalStore(tmp_path / "store").open()
    monkeypatch.setattr("lthbench.execution.stored.stored", lambda *_: None)
    monkeypatch.setattr("lthbench.execution.latency.timed", lambda *_: [t for t in times if t.seed == 0])
    whole, written = report.write, []
    for rule in ("paper", None):
        monkeypatch.setattr(report, "write", whole)
        report.write(scores, facts, tmp_path / "report", rule, formats=("csv",))
        assert table.read(tmp_path / "report")[1].rule == (rule or "")
        monkeypatch.setattr(report, "write", lambda *given, **_: written.append(given[3]) or [])
        main(["latency", str(tmp_path / "report"), "--store", str(tmp_path / "store")])
    assert written == ["paper", None]
    assert "rule" not in json.loads((tmp_path / "report" / "run.json").read_text())


@pytest.mark.parametrize("name", ["latency", "export"])
def test_what_is_no_device_is_refused_as_such(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["lthbench-report"] if name == "latency" else ["omp", "0.5"]
    with pytest.raises(SystemExit, match="2"):
        main([name, *words, "--device", "cuda:x"])
    assert 'no device "cuda:x". Valid: auto' in capsys.readouterr().err


def test_of_tables_that_were_timed_apart_those_of_one_session_are_kept(timed, made_table):
    """How much faster a network is than dense is of one machine at one moment."""
    scores, facts = timed
    other, more = made_table(("snip",))
    slower = (t._replace(seconds=2 * t.seconds, device="cpu: y") for t in facts.latencies)
    later = tuple(t for t in slower if t.method == "dense")
    more = dataclasses.replace(more, data=facts.data, latencies=later)
    _, both = merge.merged([(other[other["method"] != "dense"], more), (scores, facts)])
    assert both.latencies == facts.latencies
    assert [line.partition(",")[0] for line in latency.said(both.latencies)] == ["passes timed on cpu: x"]


def test_tables_put_together_keep_the_times_of_the_one_that_was_timed(timed, made_table):
    scores, facts = timed
    other, more = made_table(("rigl", "snip", "set"))
    more = dataclasses.replace(more, data=facts.data)
    _, both = merge.merged([(scores, facts), (other[other["method"] != "dense"], more)])
    assert both.methods[0] == "rigl"  # that of most methods comes first, and was not timed
    assert both.latencies == facts.latencies


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text.replace("filter", "fliter"),
            "times fliter at .*, a network that is not in the table",
        ),
        (lambda text: text.replace(",10000,", ",0,"), "a number that cannot be"),
        (lambda text: text.replace("0.001,", "nan,"), "a number that cannot be"),
        (lambda text: text.replace("0.001,", "-0.001,"), "a number that cannot be"),
        (lambda text: text.replace("cpu: x", "=cmd|x"), "no line of at most"),
        (lambda text: text.replace("cpu: x", "c" * 600), "no line of at most"),
        (
            lambda text: text.replace(",thread,", ",sundial,"),
            'no clock "sundial". Valid: thread, process, wall',
        ),
        (lambda text: text.replace(",thread,", ",wall,", 1), "several clocks"),
        (lambda text: text.replace(",1.5,1.25,1.75", ",1.5,1.6,1.75"), "an interval that cannot be"),
        (lambda text: text.replace(",1.5,1.25,1.75", ",1.5,,1.75"), "an interval that cannot be"),
        (lambda text: text.replace(",1.5,1.25,1.75", ",nan,1.25,1.75"), "an interval that cannot be"),
        (lambda text: text.replace(",1.5,1.25,1.75", ",1.5,1.25,inf"), "an interval that cannot be"),
        (lambda text: text.replace(",0.0009,", ",0.5,"), "an interval that cannot be"),
        (lambda text: text.replace(",1.5,1.25,1.75", ""), "cannot be read as times"),
        (lambda text: text.replace("seconds", "minutes"), "cannot be read as times"),
        (lambda text: text + "filter,1\n", "cannot be read as times"),
    ],
)
def test_what_cannot_be_is_refused(timed, tmp_path, change, said):
    scores, facts = timed
    table.write(scores, facts, tmp_path)
    path = tmp_path / latency.FILE
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        table.read(tmp_path)


def test_files_that_are_too_large_are_not_read(monkeypatch):
    with pytest.raises(Damaged, match="more than 10,000,000 bytes"):
        latency.from_csv(b"x" * (latency.BYTES + 1), "here")
    monkeypatch.setattr(latency, "MOST", 1)
    row = latency.Latency("omp", 0.5, 0, "k", 1, 1.0, 1, "cpu", 1)
    with pytest.raises(Damaged, match="more than 1 times"):
        latency.from_csv(latency.as_csv([row, row]), "here")
