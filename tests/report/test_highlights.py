"""What a site says first: of which table, and of the best training of a task."""

import dataclasses

from lthbench.report import caveats, highlights, site


def of_dense(summary, accuracy):
    """A summary whose dense networks are so accurate."""
    cell = summary.cells["dense", 0.0, "accuracy"]
    cells = {**summary.cells, ("dense", 0.0, "accuracy"): dataclasses.replace(cell, mean=accuracy)}
    return dataclasses.replace(summary, cells=cells)


def test_what_breaks_first_is_said_of_each_task(judged_as):
    many = judged_as(imp=("yyy", "yyx"), omp=("yyy", "yxx"))
    one = judged_as(imp=("yxx", "yyy"))
    one = dataclasses.replace(one, facts=dataclasses.replace(one.facts, budget={"name": "long"}))
    (found,) = [h.text for h in highlights.of_site([(many, "a"), (one, "b")]) if "breaks" in h.about]
    name = many.facts.task_name
    assert found == f"NLL ({name}, quick: 2 of 2 methods); accuracy ({name}, long: imp)."


def test_an_index_says_what_its_answers_rest_on_and_what_their_words_mean(judged_as, tmp_path):
    site.write([judged_as(imp=("yyx", "yyy"), omp=("xxx", "yyy"), snip=("yxx", "yyy"))], tmp_path)
    page = (tmp_path / "index.html").read_text()
    answers = page[page.index('class="answers"') : page.index("<main")]
    assert "3 seeds, against their dense parents; level 5\u00a0%" in answers
    assert "LTH-PASS</b>: as good as the dense network on every score at once" in answers
    assert "imp: iterative magnitude pruning (lottery ticket)" in answers
    assert "snip: " not in answers
    assert "A case is a method on a task" in page
    claims = (tmp_path / "claims.html").read_text()
    for name in ("claims.csv", "claims.md"):
        assert f'href="{name}"' in claims
        assert (tmp_path / name).is_file()
    assert f'href="{site.REPOSITORY}/blob/main/reports/FINDINGS.md"' in page


def better(*pairs):
    return [h.text for h in highlights.of_site(pairs) if h.about == "Better than dense:"]


def test_what_is_better_than_dense_names_its_table_and_is_of_the_best_training_alone(judged_as):
    short = of_dense(judged_as(imp=("++y", "yyy")), 0.724)
    longer = of_dense(judged_as(imp=("yyy", "yyy")), 0.902)
    table = f"{short.facts.task_name}, {short.facts.budget_name}, dense 72.4 %"
    assert better((short, "a")) == [f"imp at 80.0 %, in accuracy ({table})."]
    assert better((short, "a"), (longer, "b")) == []


def test_accuracy_of_dense_that_was_not_measured_is_no_number(judged_as):
    found = judged_as(imp=("++y", "yyy"))
    without = {key: cell for key, cell in found.cells.items() if key[2] != "accuracy"}
    (said,) = better((dataclasses.replace(found, cells=without), "a"))
    assert said.endswith("dense not measured).")


def test_a_site_says_which_scores_its_tables_lack(judged_as):
    whole, part = judged_as(imp=("yyy", "yyy")), judged_as(imp=("yyy", "yyy"))
    whole.__dict__["lacking"], part.__dict__["lacking"] = (), ("mCE",)
    (said,) = caveats.of_site([whole, part])
    assert "quick: Not measured, of the 8 scores that LTH-PASS asks for: mCE" in said
    assert caveats.of_site([whole, whole]) == []
