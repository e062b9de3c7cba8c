"""Tables for papers are whole and fit a page, whatever methods are called; and compile where there is TeX."""

import dataclasses
import re
import shutil
import subprocess

import pytest

from lthbench.report import forest, latex, task_page
from lthbench.report.figures import curves
from lthbench.report.summary import summarise

NASTY = 'a_b%c&d#e$f{g}h~i^j\\k"l<m>n|o'
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{amssymb}
\begin{document}
\input{report}
\end{document}
"""


needs_tex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")


def compiled(folder, text):
    """Compile a document that takes in a text as report.tex. Returns the log."""
    (folder / "report.tex").write_text(text, encoding="utf-8")
    (folder / "paper.tex").write_text(DOCUMENT, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-1500:]
    assert (folder / "paper.pdf").stat().st_size > 1000
    return log


@needs_tex
def test_the_tables_compile_with_the_packages_that_they_name(tmp_path, made_table):
    made, facts = made_table(("imp", NASTY, "[2em]", "*", "ä ž ſ σ 網\n\nx"))
    facts = dataclasses.replace(facts, task=facts.task | {"title": f"50 % of {NASTY}"})
    assert "Missing character" not in compiled(tmp_path, latex.render(summarise(made, facts)))


@needs_tex
def test_every_letter_compiles(tmp_path):
    assert "Missing character" not in compiled(
        tmp_path, "\n".join(f"x {latex.escape(chr(c))}" for c in range(0x250))
    )


def test_what_pdflatex_does_not_know_stands_as_its_code_point():
    assert latex.escape("ä σ\t<") == r"ä {[}U+03C3] \textless{}"


def tables(text):
    """The tables of a report: columns, the text before the body, and the rows of the body, as cells."""
    found = re.findall(r"\\begin\{longtable\}\{@\{\}(.*?)@\{\}\}(.*?)\\end\{longtable\}", text, re.DOTALL)
    for columns, inside in found:
        before, _, body = inside.partition(r"\endfoot")
        lines = [line for line in body.strip().splitlines() if line != r"\addlinespace"]
        assert all(line.endswith(r" \\") for line in lines)
        yield columns, before, [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in lines]


def test_tables_are_whole_and_fit_a_page(made_table):
    """Fifteen columns with long heads, and 87 networks that could not be broken, fitted none."""
    found = summarise(*made_table(("imp", NASTY, "[2em]", "*"), sparsities=[0.05 * k for k in range(1, 19)]))
    text = latex.render(found)
    for kind in ("begin", "end"):
        assert re.findall(rf"\\{kind}\{{(\w+)\}}", text) == ["longtable"] * text.count(r"\begingroup")
    braces = re.sub(r"\\[{}\\]", "", text)
    assert braces.count("{") == braces.count("}")
    labels = re.findall(r"\\label\{(.*?)\}", text)
    task = f"tab:lthbench-{found.facts.task_name}-{found.facts.budget_name}"
    assert labels == [f"{task}-{end}" for end in ("verdict", "verdict-2", "verdict-3", "scores", "scores-2")]
    assert set(re.findall(r"\\ref\{(.*?)\}", text)) <= set(labels)
    seen = [0, 0]
    for columns, before, rows in tables(text):
        heads = re.findall(r"\\toprule (.*?) \\\\ \\midrule", before)
        assert len(heads) == 2
        for row in (*(re.split(r"(?<!\\)&", head) for head in heads), *rows):
            assert len(row) == len(columns) <= 2 + latex.SPARSITIES
        of_scores = " sparsity " in heads[0]
        seen[of_scores] += len(columns) - 2
        assert len(rows) == (1 + 4 * 18 if of_scores else 4)
        longest = max(len(re.sub(r"\\\w+|[{}~]", "", w)) for h in heads for w in re.split(r" & |\\\\", h))
        assert longest <= 16, "a head is hardly wider than its numbers"
    assert seen == [18, sum(s.verdict for s in found.scores)]


def test_the_dense_trainings_have_a_row_and_findings_are_told_apart(published):
    found = published["c10-r20s-standard-bf16"]
    (_, before, verdict), (_, scored, first), *others = tables(latex.render(found))
    assert [c.strip() for c in next(row for row in verdict if row[0].strip() == "omp")] == [
        *("omp", r"\checkmark{}", r"\checkmark{}", "2 open", "4 worse", "6 worse"),
        r"67.2 \%",
    ]
    assert [row[0].strip() for row in first[:3]] == ["dense", "dense (8)", "imp"]
    assert "dense (8): the trainings of the dense network" in scored
    assert r"\checkmark{}: all scores match dense" in before
    cells = " ".join(row[2] for row in first)
    assert r"\underline{87.9 $\pm$ 0.2}" in cells
    assert r"\textit{89.9 $\pm$ 0.2}" in cells
    assert r"\textbf{834.7 $\pm$ 36.9}" in others[-1][2][3][-1]
    assert first[2][2].strip() == r"90.4 $\pm$ 0.4"
    assert "dagger" not in scored


def test_tables_of_several_tasks_stand_in_one_document(made_table):
    scores, facts = made_table(("imp",))
    other = dataclasses.replace(facts, task=facts.task | {"name": "own-task"})
    made = ((scores, facts), (scores.assign(task="own-task"), other))
    one, two = (re.findall(r"\\label\{(.*?)\}", latex.render(summarise(*m))) for m in made)
    assert len(two) == len(one) > 0
    assert not set(one) & set(two)
    assert all(re.fullmatch(r"tab:[\w-]+", label) for label in two)


def test_sparsities_that_read_alike_are_told_apart(made_table):
    found = summarise(*made_table(("imp",), sparsities=(0.5, 0.672, 0.67232)))
    (_, before, _), (_, _, scored), *_ = tables(latex.render(found))
    assert r"50.0~\% & 67.20~\% & 67.23~\%" in before
    assert [row[1].strip() for row in scored[1:]] == [r"50.0 \%", r"67.20 \%", r"67.23 \%"]
    assert forest.of_method(found, found.headline[0], found.sparsities).columns == ("50.0", "67.20", "67.23")


def test_captions_give_the_seeds_that_networks_have(made_table):
    """Where seeds are added until all is decided, they do not all have as many."""
    scores, facts = made_table(("imp", "omp"), seeds=4)
    assert "over 4 seeds:" in latex.render(summarise(scores, facts))
    left = scores[(scores["method"] != "omp") | (scores["seed"] < 3)].reset_index(drop=True)
    summary = summarise(left, facts)
    assert "over 3 to 4 seeds:" in latex.render(summary)
    page = task_page.render(summary, figures=[(curves.KIND, [])])
    assert "Lines are means over 3 to 4 seeds, bands" in page


def test_what_cannot_be_said_has_a_dagger(judged_as):
    found = judged_as(imp=("y-!", "0?x"))
    text = latex.render(found)
    assert text.count(r"$^\dagger$") == 2
    assert latex.DAGGERED in text
    (_, _, verdict), *_ = tables(text)
    assert [c.strip() for c in verdict[0][1:4]] == ["1 worse", "--", "1 worse"]
