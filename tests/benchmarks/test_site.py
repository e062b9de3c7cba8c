"""A site of a large leaderboard: how long it takes, how much memory, and how soon a page can be used.

Run by hand: ``pytest -m slow -s tests/benchmarks/test_site.py``.
"""

import resource
import shutil
import sys
import time

import pytest

from lthbench import report

pytestmark = pytest.mark.slow

TASKS, SPARSITIES = 10, tuple(1 - 0.8**n for n in range(1, 25))
METHODS = (
    "imp",
    "omp",
    "random",
    "snip",
    "grasp",
    "synflow",
    "rigl",
    "finetune",
    "filter",
    "connection",
    "small",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory, made_table):
    """The site, the processor's seconds that it took, and the peak of the process's memory in GiB."""
    out = tmp_path_factory.mktemp("site")
    tables = [made_table(METHODS, f"task{t}", sparsities=SPARSITIES) for t in range(TASKS)]
    started = time.process_time()
    report.write_several(tables, out)
    spent = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return out, spent, peak / 2**30


def test_it_is_built_in_a_minute_and_two_gibibytes(built):
    out, spent, peak = built
    pages = list(out.rglob("*.html"))
    largest = max(p.stat().st_size for p in pages)
    print(f"\n{len(pages)} pages in {spent:.1f} s of a processor, peak {peak:.2f} GiB")
    print(f"largest page {largest / 1e6:.2f} MB")
    assert len(pages) == TASKS * (len(METHODS) * len(SPARSITIES) + 2) + 4
    assert largest < 3e6
    assert peak < 2.0
    assert spent < 60


def test_a_task_page_can_be_used_within_two_seconds(built):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((built[0] / "index.html").as_uri())
        started = time.perf_counter()
        page.goto((built[0] / "task3-quick" / "index.html").as_uri())
        page.locator("#scores summary").first.click()  # the table of all scores, folded away
        page.get_by_role("searchbox").first.wait_for()
        spent = time.perf_counter() - started
        browser.close()
    print(f"\na task page can be used after {spent:.2f} s")
    assert spent < 2.0
