"""Tables for papers compile, whatever methods are called. Skipped where there is no pdflatex."""

import dataclasses
import shutil
import subprocess

import pytest

from lthbench.report import latex
from lthbench.report.summary import summarise

NASTY = 'a_b%c&d#e$f{g}h~i^j\\k"l<m>n|o'
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
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
