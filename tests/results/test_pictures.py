"""Pictures stand on the page with their words, or are refused; notices name what differs between tables."""

import base64
import dataclasses
import io

import pytest
from PIL import Image

from lthbench import report
from lthbench.errors import BadInput
from lthbench.report import caveats, figures, picture_panels, task_page
from lthbench.report.figures import files
from lthbench.report.summary import summarise


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    """Pages are read for their words here; figures but the curves are drawn in tests/report/figures."""
    monkeypatch.setattr(task_page, "kinds", tuple)


ONE = io.BytesIO()
Image.new("RGB", (3, 2)).save(ONE, "PNG")
PNG = "data:image/png;base64," + base64.b64encode(ONE.getvalue()).decode()


def entry(**changed):
    return {"kind": "saliency", "title": "imp <b>", "text": 'maps of "3"', "image": PNG} | changed


def test_pictures_stand_under_their_heading_with_words(made_table):
    table, facts = made_table(("imp",))
    assert "What it looks at" not in task_page.render(summarise(table, facts))
    facts = dataclasses.replace(facts, pictures=(entry(), entry(kind="concepts", title="loops")))
    text = task_page.render(summarise(table, facts))
    assert f'<img src="{PNG}" alt="maps of &#34;3&#34;"' in text
    assert "imp &lt;b&gt;" in text
    assert text.index("What it looks at") < text.index("What its concepts look like")


def test_pictures_are_files_for_papers_with_their_numbers(made_table, monkeypatch):
    monkeypatch.setattr(figures, "kinds", tuple)
    table, facts = made_table(("imp",))
    numbers = [["network", "unit"], ["dense", "layer3, unit 1"]]
    pictures = (entry(), entry(kind="unit-images", title="omp", numbers=numbers))
    summary = summarise(table, dataclasses.replace(facts, pictures=pictures))
    made = files.files(summary, ("png",))
    assert set(made) == {"saliency-imp-b-wide.png", "unit-images-omp-wide.png", "unit-images-omp.csv"}
    assert made["unit-images-omp.csv"] == b'network,unit\ndense,"layer3, unit 1"\n'
    with Image.open(io.BytesIO(made["unit-images-omp-wide.png"])) as opened:
        assert opened.width == pytest.approx(300 * files.WIDTHS["-wide"], abs=1)
    page = task_page.render(summary, linked=True)
    assert page.count("Numbers as CSV") == 2  # of the curves, and of the units
    assert '<a download href="picture-1.csv">' in page


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "selfie"}, 'no kind of picture "selfie". Valid: saliency, unit-images, concepts'),
        ({"image": "https://example.org/a.png"}, "not a PNG"),
        ({"image": "data:image/svg+xml;base64,AAAA"}, "not a PNG"),
        ({"image": PNG + '" onerror="alert(1)'}, "not a PNG"),
        ({"numbers": 5}, "its numbers are no table"),
        ({"numbers": [["a", "b"], 3]}, "its numbers are no table"),
        ({"numbers": [["a", "b"], ["c"]]}, "its numbers are no table"),
        ({"numbers": [["a"], [{"b": 1}]]}, "neither text nor number"),
    ],
)
def test_what_is_no_picture_is_refused(changed, said):
    with pytest.raises(BadInput, match=said):
        picture_panels.grouped([entry(**changed)])


def test_a_picture_that_would_fill_memory_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(BadInput, match="picture imp <b>: cannot be read"):
        picture_panels.grouped([entry()])


def test_notices_name_versions_budgets_rules_and_seeds_that_differ(made_table):
    first, second = (summarise(*made_table(("imp",), task=t, seeds=n)) for t, n in (("a", 3), ("b", 1)))
    assert caveats.of_site([first, first]) == []
    second.facts.environments[0].update(torch="3")
    found = caveats.of_site([first, second])
    assert found == [
        "These tables were made with several versions of torch (2 and 3): compare across them with care.",
        "These tables have different numbers of seeds: 3 and 1.",
    ]
    both = first.facts.environments + second.facts.environments
    first = dataclasses.replace(first, facts=dataclasses.replace(first.facts, environments=both))
    assert caveats.of_table(first) == ["This table was made with several versions of torch (2 and 3)."]
    assert "several versions of torch" in task_page.render(first)


def test_notices_name_libraries_of_several_versions_in_one_line_where_they_were_recorded(made_table):
    summary = summarise(*made_table(("imp",)))
    (early,) = summary.facts.environments
    one, other = {"scipy": "1.16", "pillow": "12"}, {"scipy": "1.17", "pillow": "11"}

    def said(*several):
        facts = dataclasses.replace(summary.facts, environments=tuple(early | e for e in several))
        return caveats.of_table(dataclasses.replace(summary, facts=facts))

    assert said({}, one) == []
    assert said({}, one, other) == [
        "This table was made with several versions of pillow (11 and 12) and scipy (1.16 and 1.17)."
    ]


@pytest.mark.long
def test_several_tables_have_a_site_and_a_folder_each_for_other_formats(tmp_path, made_table):
    tables = [made_table(("imp",), task=name) for name in ("one", "two")]
    written = report.write_several(tables, tmp_path, formats=("site", "md", "latex", "json"))
    assert {p for p in written if not p.is_file()} == set()
    for folder in ("one-quick", "two-quick"):
        for name in ("index.html", "report.md", "report.tex", "report.json"):
            assert tmp_path / folder / name in written
    alone = report.write_several(tables, tmp_path / "b", formats=("md",))
    assert sorted(p.name for p in alone) == ["report.md", "report.md"]
    assert not (tmp_path / "b" / "index.html").exists()
