"""Pages in a real browser: they sort, filter, hide columns, change theme, fit a phone, and load nothing.

Needs a Chromium, by ``LTHBENCH_CHROMIUM`` or where Debian puts it; skipped where there is none.
``axe.min.js`` is axe-core 4.14.1 (MPL 2.0, Deque Systems): https://github.com/dequelabs/axe-core.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from lthbench import report
from lthbench.report import network_page
from lthbench.results import table

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("LTHBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("no Chromium here", allow_module_level=True)

AXE = Path(__file__).with_name("axe.min.js")
pytestmark = pytest.mark.long
NASTY = '<script>alert("x")</script>'
WIDTHS = (360, 1400)
PUBLISHED = Path(__file__).parents[2] / "reports" / "site"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=60_000)
        except playwright.Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, made_table):
    """The pages of a site of two tasks, by name."""
    root = tmp_path_factory.mktemp("site")
    first, second = (
        made_table(("imp", "omp", NASTY), task="one"),
        made_table(("imp", "snip"), task="two", seeds=1),
    )
    report.write_several([first, second], root / "site")
    table, facts = first
    report.write(table, facts, root / "alone")
    folder = root / "site" / "one-quick"
    return {
        "index": root / "site" / "index.html",
        "task": folder / "index.html",
        "one seed": root / "site" / "two-quick" / "index.html",
        "network": folder / network_page.name("imp", 0.9),
        "dense": folder / network_page.name("dense", 0.0),
        "nasty": folder / network_page.name(NASTY, 0.9),
        "claims": root / "site" / "claims.html",
        "reading": root / "site" / "reading.html",
        "methods": root / "site" / "methods.html",
        "alone": root / "alone" / "report.html",
    }


PAGES = ("index", "task", "one seed", "network", "dense", "nasty", "claims", "reading", "methods", "alone")

#: Those that stand for all in the dark: a page of a site, and one alone.
DARK = ("index", "alone")


@pytest.fixture
def show(browser, site):
    """Opens a page and keeps what went wrong with it: errors, dialogs and requests beyond the disk."""
    opened = []

    def shown(name, width=1400, theme="light", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
        )
        page, wrong = context.new_page(), []
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on("dialog", lambda d: (wrong.append(f"dialog {d.message}"), d.dismiss()))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
        page.goto(site[name].as_uri())
        opened.append((context, wrong))
        return page

    yield shown
    for context, wrong in opened:
        context.close()
        assert wrong == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_window_without_errors_or_requests(show, name, width):
    page = show(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title().endswith("lthbench")


@pytest.mark.parametrize(
    ("name", "theme"),
    [
        pytest.param(name, theme, marks=pytest.mark.slow if theme == "dark" and name not in DARK else ())
        for name in PAGES
        for theme in ("light", "dark")
    ],
)
def test_axe_finds_no_serious_fault(show, name, theme):
    page = show(name, theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({preload: false})")
    serious = [
        f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:150]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert len(found["passes"]) > 10


def scores(page):
    """Unfold the table of scores."""
    page.evaluate("document.querySelector('#scores details').open = true")
    head = page.locator("table.scores.sortable").first.locator("thead th").first
    playwright.expect(head).to_have_class(re.compile("dt-orderable"))


def test_published_tables_beside_the_verdict_sort_by_the_numbers_in_their_cells(browser):
    """Parameters are told in thousands."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((PUBLISHED / "digits-r8-quick" / "index.html").as_uri())
    page.evaluate("document.querySelectorAll('#scores details').forEach(d => { d.open = true; })")
    for name in ("NLL under corruption", "parameters kept"):
        found = page.locator("#scores table.scores.read", has_text=name).last
        names = found.locator("thead th").all_inner_texts()
        place = next(i for i, text in enumerate(names) if text.startswith(name))
        head = found.locator("thead th").nth(place)
        playwright.expect(head).to_have_class(re.compile("dt-orderable"))
        head.click()
        playwright.expect(head).to_have_attribute("aria-sort", "ascending")
        cells = found.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
        first = [re.match(r"([\d.]+)([kM]?)", text) for text in cells]
        values = [float(m[1]) * {"": 1, "k": 1e3, "M": 1e6}[m[2]] for m in first if m]
        assert len(values) > 100
        assert values == sorted(values)
    page.close()


def test_methods_beyond_a_dozen_are_folded_together_where_there_are_many(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((PUBLISHED / "digits-r8-quick" / "index.html").as_uri())
    assert page.locator("#methods > details.method").count() == 12
    assert page.locator("#methods details.method").count() == page.locator(".leaderboard tbody tr").count()
    more = page.locator("#methods details.more")
    assert not more.locator("details.method").first.is_visible()
    more.locator("summary").first.click()
    assert more.locator("details.method").first.is_visible()
    page.close()


def column(page, header):
    """The cells of a column of the verdict's table, as they stand."""
    names = page.locator("table.scores.sortable").first.locator("thead th").all_inner_texts()
    place = next(i for i, name in enumerate(names) if name.startswith(header))
    rows = page.locator("table.scores.sortable").first.locator("tbody tr").all()
    return [r.locator("th, td").nth(place).inner_text() for r in rows]


@pytest.mark.parametrize("name", ["task", "alone"])
def test_a_table_sorts_by_value_and_by_keyboard(show, name):
    page = show(name)
    scores(page)
    before = column(page, "accuracy")
    header = page.locator("table.scores.sortable").first.locator("thead th", has_text="accuracy")
    header.first.click()
    playwright.expect(header.first).to_have_attribute("aria-sort", "ascending")
    values = [float(t.split()[0]) for t in column(page, "accuracy")]
    assert values == sorted(values)
    assert [float(t.split()[0]) for t in before] != values
    header.first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    playwright.expect(header.first).to_have_attribute("aria-sort", "descending")
    values = [float(t.split()[0]) for t in column(page, "accuracy")]
    assert values == sorted(values, reverse=True)


def test_a_table_filters(show):
    page = show("task")
    scores(page)
    page.get_by_role("searchbox").first.fill("omp")
    playwright.expect(page.locator("table.scores.sortable").first.locator("tbody tr")).to_have_count(3)
    assert [name.split()[0] for name in column(page, "method")] == ["omp"] * 3
    page.get_by_role("searchbox").first.fill("nothing like it")
    playwright.expect(page.locator("table.scores.sortable").first).to_contain_text("Nothing fits the filter")


def test_columns_can_be_hidden_and_shown(show):
    page = show("task")
    scores(page)
    table_ = page.locator("table.scores.sortable").first
    assert "NLL" in table_.inner_text()
    page.get_by_role("button", name="Columns").first.click()
    entry = page.locator(".dt-button-collection").get_by_text("NLL", exact=False).first
    entry.click()
    playwright.expect(table_).not_to_contain_text("NLL")
    entry.click()
    playwright.expect(table_).to_contain_text("NLL")


def test_the_theme_can_be_chosen_and_stays(show):
    page = show("task")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Switch to dark colours").click()
    assert page.evaluate(paper) != light
    page.reload()
    assert page.evaluate(paper) != light
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("name", ["task", "alone"])
def test_charts_are_not_empty_and_say_what_they_show(show, name):
    page = show(name)
    figures = page.locator("figure:visible")
    assert figures.count() >= 3
    for figure in figures.all()[:3]:
        assert len(figure.get_attribute("aria-label")) > 40
        assert figure.locator("svg path").count() > 5
        box = figure.locator("svg").bounding_box()
        assert box["width"] > 150
        assert box["height"] > 100


INK = """canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.filter((_, i) => i % 4 === 3 && pixels[i] > 0).length;
}"""


@pytest.mark.parametrize("name", ["task", "alone"])
def test_the_interactive_chart_draws_and_follows_its_controls(show, name):
    page = show(name)
    chart = page.locator("#closer-chart canvas")
    whole = chart.evaluate(INK)
    assert whole > 1000
    page.get_by_role("checkbox", name="omp").uncheck()
    assert 0 < chart.evaluate(INK) < whole
    assert page.locator("#closer-values th").all_inner_texts() == ["imp", NASTY]
    page.get_by_label("Score", exact=True).select_option(label="NLL")
    playwright.expect(page.locator("#closer-caption")).to_contain_text("NLL")
    page.get_by_label("as difference to dense").check()
    playwright.expect(page.locator("#closer-says")).to_contain_text("NLL, nats, difference to dense")
    assert chart.evaluate(INK) > 1000


def test_the_interactive_chart_is_read_by_keyboard_and_says_what_the_table_says(show):
    page = show("task")
    scores(page)
    slider = page.get_by_role("slider", name="Sparsity")
    slider.focus()
    page.keyboard.press("Home")
    first = slider.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    second = slider.get_attribute("aria-valuetext")
    assert first != second
    level = page.locator("#closer-level").inner_text()
    assert second.startswith(f"{level}: imp ")
    table_ = page.locator("table.scores.sortable").first
    rows = table_.locator("tbody tr").filter(has=page.locator("th", has_text="imp")).filter(has_text=level)
    accuracy = rows.first.locator("td").nth(1).inner_text().split(" ✓")[0].split(" ✗")[0].split(" ?")[0]
    assert page.locator("#closer-values td").first.inner_text() == accuracy.strip()
    assert f"imp {accuracy.strip()}" in second


def test_the_interactive_chart_follows_the_pointer_and_the_theme(show):
    page = show("task")
    box = page.locator("#closer-chart canvas").bounding_box()
    page.locator("#closer-chart").scroll_into_view_if_needed()
    box = page.locator("#closer-chart canvas").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + box["height"] / 2)
    playwright.expect(page.locator("#closer-at")).to_have_value("0")
    page.get_by_role("button", name="Switch to dark colours").click()
    page.wait_for_timeout(200)
    assert page.locator("#closer-chart canvas").evaluate(INK) > 1000


@pytest.mark.parametrize("name", ["task", "index"])
def test_without_scripts_verdict_figures_and_table_are_there(show, name):
    page = show(name, scripts=False)
    assert page.locator("h1").is_visible()
    assert page.locator("table tbody tr").first.is_visible()
    assert not page.locator("#theme").is_visible()
    if name == "task":
        assert not page.locator("#closer").is_visible()
        assert page.locator("figure svg").first.is_visible()
        assert page.locator("details.method .track").first.is_visible()
    assert page.locator("table.leaderboard").first.is_visible()


@pytest.mark.parametrize("width", [390, 1400])
def test_the_answer_is_above_the_fold(show, width):
    page = show("index", width=width)
    fold = 844 if width == 390 else 900
    for line in page.locator(".answers tbody tr").all()[:2]:
        box = line.bounding_box()
        assert box["y"] + box["height"] <= fold


@pytest.mark.parametrize(("width", "fold"), [(390, 844), (1400, 900)])
def test_published_answers_are_above_the_fold_and_inside_the_window(browser, width, fold):
    page = browser.new_page(viewport={"width": width, "height": fold})
    for path in (PUBLISHED / "index.html", *PUBLISHED.glob("*/index.html")):
        page.goto(path.as_uri())
        answers = page.locator(".answers tbody tr, .answer > div").all()
        assert len(answers) >= 3, path
        for answer in answers:
            box = answer.bounding_box()
            assert box["y"] + box["height"] <= fold, path
            assert box["x"] + box["width"] <= width, path
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_short_before_anything_is_unfolded(show, name):
    assert show(name, width=1400).evaluate("document.documentElement.scrollHeight") <= 8000


@pytest.mark.parametrize("task", ["c10-r20s-quick", "digits-r8-quick"])
def test_contents_and_leaderboard_of_published_pages_are_not_cut(browser, task):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((PUBLISHED / task / "index.html").as_uri())
    for part in (".contents", ".board .scroll"):
        wide, shown = page.locator(part).first.evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert wide <= shown, part
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400
    if "*" in page.locator(".leaderboard thead").first.inner_text():
        assert page.get_by_text("* May be worse by more than a practical margin").first.is_visible()
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_published_pages_are_short_and_light(browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    networks = ["c10-r20s-quick/imp-67.232.html", "digits-r8-quick/dense-0.html"]
    first = [*PUBLISHED.glob("*.html"), *PUBLISHED.glob("*/index.html")]
    for path in (*first, *(PUBLISHED / name for name in networks)):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollHeight") <= 8000, path
        assert path.stat().st_size <= 1_500_000
    page.close()


@pytest.mark.parametrize("name", ["index", "task", "network", "methods"])
def test_on_paper_methods_and_scores_are_unfolded_and_nothing_is_cut(show, name):
    page = show(name, width=718)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert page.locator("details:not([open]) > summary:visible").count() == 0
    if name == "task":
        assert page.locator("details.method .track:visible").count() > page.locator("details.method").count()
        assert page.locator("#scores table:visible").count() > 0
        # Browsers leave backgrounds out, unless a page says that they are what is drawn.
        kept = "all => all.map(one => getComputedStyle(one).printColorAdjust)"
        assert set(page.locator(".track, .track *").evaluate_all(kept)) == {"exact"}
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    if name == "task":
        assert page.locator("details.method[name][open]").count() == 1


def test_a_cell_of_the_leaderboard_tells_its_numbers_and_leads_to_its_network(show):
    page = show("index")
    cell = page.locator(".panel .leaderboard tbody a").first
    cell.focus()
    said = page.locator(".panel .tell").first.inner_text()
    assert re.search(r"at \d+\.\d %: .+margin", said)
    assert "network" not in said
    cell.click()
    assert page.locator("h1").inner_text() == said.split(":")[0]


def test_a_keyboard_passes_a_leaderboard_by(show):
    page = show("index")
    board = page.locator(".panel .board").first
    board.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "note tell"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.leaderboard')") is None


def test_the_head_of_a_column_is_said_once(show):
    head = show("index").locator(".leaderboard thead th", has_text="accuracy").first
    assert head.get_attribute("aria-label").startswith("accuracy, higher is better, may be worse by")


def test_pages_keep_the_size_of_letters_that_a_reader_chose(browser, site):
    chosen = ["--no-sandbox", "--blink-settings=defaultFontSize=32"]
    large = browser.browser_type.launch(executable_path=CHROMIUM, args=chosen, timeout=60_000)
    page = large.new_page()
    page.goto(site["index"].as_uri())
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
    large.close()


def test_all_leaderboards_are_on_paper(browser):
    page = browser.new_page()
    page.goto((PUBLISHED / "index.html").as_uri())
    page.emulate_media(media="print")
    assert page.locator(".panel:visible").count() == page.locator(".panel").count() > 1
    assert page.locator(".tabs > label:visible, .controls:visible").count() == 0
    page.close()


def test_without_scripts_no_control_is_shown_that_does_nothing(show):
    page = show("one seed", scripts=False)
    assert page.locator(".filter").count() == 1
    assert page.locator(".filter:visible, #theme:visible").count() == 0


def test_the_leaderboard_can_be_sorted_and_filtered_by_family(show):
    page = show("one seed")
    board = page.locator("table.leaderboard")
    assert board.locator("tbody tr:visible").count() == 2
    page.get_by_label("Methods", exact=True).select_option(label="at initialisation")
    assert board.locator("tbody tr:visible th").all_inner_texts() == ["snip"]
    header = board.locator("thead th", has_text="accuracy").first
    header.click()
    playwright.expect(header).to_have_attribute("aria-sort", "ascending")


def test_links_of_the_site_lead_somewhere(show, site):
    for name in ("index", "task", "network", "claims", "reading", "methods"):
        page = show(name)
        for link in page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)"):
            if link.startswith("file:"):
                assert Path(link.removeprefix("file://").split("#")[0].replace("%20", " ")).is_file(), link


def test_names_of_the_users_own_are_text(show):
    assert NASTY in show("task").locator("details.method summary b").all_inner_texts()
    assert NASTY in show("nasty").locator("h1").inner_text()


def test_tables_read_back_are_those_that_were_shown(site):
    assert len(table.read(site["alone"].parent)[0]) > 0
