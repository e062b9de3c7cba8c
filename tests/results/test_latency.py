"""What forward passes take: read back as written, refused where it cannot be, and in no verdict."""

import dataclasses

import pytest

from lthbench import report
from lthbench.errors import BadInput, Damaged
from lthbench.report import cells, machine_readable, markdown
from lthbench.report.summary import summarise
from lthbench.results import latency, merge, table


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
        "time of 1 image, ms ↓",
        "time of 64 images, ms ↓",
    ]
    dense, pruned = (
        found.cell(method, level, "latency_64")
        for method, level in (("dense", 0.0), ("filter", found.sparsities[0]))
    )
    assert dense.mean == pytest.approx(64.0)
    assert pruned.mean == pytest.approx(64.0 / (1 + found.sparsities[0]))
    assert found.cell("omp", found.sparsities[0], "latency_64") is None
    text = markdown.render(found)
    assert "time of 64 images, ms" in text
    assert "passes timed on cpu: x, 1 thread" in text
    assert isinstance(cells.of_table(scores, facts)[1][("dense", 0.0, "latency_1")], cells.Cell)
    assert "latency_64" in machine_readable.as_json(found)


def test_all_kinds_of_reports_are_written_with_them(timed, tmp_path):
    scores, facts = timed
    report.write(scores, facts, tmp_path, formats=(*report.FORMATS, "latex", "json", "badge", "site"))
    assert "time of 64 images" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_tables_put_together_keep_the_times_of_both(timed, made_table):
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
