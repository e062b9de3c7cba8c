"""What a shell completes, and that it is quick: see docs/running.md."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete, get_completion_class

from lthbench import registry
from lthbench.cli.app import cli
from lthbench.kinds import Method
from lthbench.planning import task

OMP = list(registry.get(Method, "omp").variants)
OWN = Path(__file__).parents[2] / "docs" / "examples"


def completed(*words):
    """What the last of some words may become, by kind: "plain" for a name."""
    *before, typed = words
    shell = ShellComplete(cli, {}, "lthbench", "_LTHBENCH_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(before, typed)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("run", "--task", "c10-r"), ["c10-r18", "c10-r20s"]),
        (("run", "--methods", "im"), ["imp"]),
        (("run", "--methods", "imp,om"), ["imp,omp"]),
        (("run", "--methods", "imp,im"), []),
        (("run", "--methods", "omp:re"), ["omp:reinit"]),
        (("run", "--methods", "omp:erk,omp:"), [f"omp:erk,omp:{v}" for v in OMP if v != "erk"]),
        (("run", "--methods", "omp:absent,absent:e"), []),
        (("plan", "--metrics", "accuracy,ec"), ["accuracy,ece"]),
        (("run", "--task", "digits-r8", "--budget", "qu"), ["quick-bf16", "quick"]),
        (("run", "--task", "absent", "--budget", "qu"), ["quick"]),
        (("score", "--rule", "p"), ["paper"]),
        (("run", "--ood", "gaussian"), ["gaussian-noise"]),
        (("run", "--concepts", "shap"), ["shapes"]),
        (("run", "--corruptions", "off"), ["official", "official-if-found"]),
        (("metrics", "hess"), ["hessian"]),
        (("data", "verify", "digits", "cifar10"), ["cifar10", "cifar100"]),
        (("explain", "om"), ["omp"]),
        (("explain", "omp:er"), ["omp:erk"]),
    ],
)
def test_names_are_completed(words, found):
    assert completed(*words) == [("plain", value) for value in found]


def test_all_names_are_offered_where_nothing_is_typed_yet():
    assert [value for _, value in completed("run", "--task", "")] == task.names()
    assert [value for _, value in completed("methods", "")] == registry.names(Method)


@pytest.mark.parametrize(
    ("words", "put"),
    [
        ("--methods omp : er", "erk"),  # as Bash splits "omp:er", of which it replaces what is typed last
        ("--methods imp,omp : er", "erk"),
        ("--methods omp:er", "omp:erk"),  # where COMP_WORDBREAKS has no colon
        ("--methods omp : erk,sni", "erk,snip"),
        ("--store s3 : //bucket/store --methods sni", "snip"),
    ],
)
def test_bash_is_told_what_it_puts_behind_the_last_colon(monkeypatch, words, put):
    monkeypatch.setenv("COMP_WORDS", f"lthbench run {words}")
    monkeypatch.setenv("COMP_CWORD", str(1 + len(words.split())))
    assert get_completion_class("bash")(cli, {}, "lthbench", "_X").complete() == f"plain,{put}"


def test_bash_lists_the_variants_behind_a_colon(monkeypatch):
    monkeypatch.setenv("COMP_WORDS", "lthbench run --methods omp :")
    monkeypatch.setenv("COMP_CWORD", "4")
    found = get_completion_class("bash")(cli, {}, "lthbench", "_X").complete()
    assert found.splitlines() == [f"plain,{variant}" for variant in OMP]


def test_fish_takes_a_value_with_commas_whole():
    script = get_completion_class("fish")(cli, {}, "lthbench", "_X").source()
    assert 'string split --max 1 "," $completion' in script


@pytest.mark.parametrize("option", ["--task", "--methods", "--metrics"])
def test_a_path_is_left_to_the_shell(option):
    assert completed("run", option, "./mi") == [("file", "./mi")]


def test_what_a_file_of_ones_own_holds_is_completed(monkeypatch):
    for name in ("_paths", "_digests", "_imported", "_unusable"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    before = set(registry.names(Method))
    path = next(p for p in sorted(OWN.glob("*.py")) if "METHOD" in p.read_text(encoding="utf-8"))
    found = {value for _, value in completed("run", "--plugin", str(path), "--methods", "")}
    assert found > before


def test_a_shell_asks_the_command_and_no_library_is_imported_for_it(tmp_path):
    code = (
        "import sys\nfrom lthbench.cli import main\ntry:\n    main([])\nfinally:\n"
        "    heavy = sys.modules.keys() & {'torch', 'numpy', 'pandas', 'matplotlib'}\n"
        "    print(sorted(heavy), file=sys.stderr)"
    )
    words = {"COMP_WORDS": "lthbench run --methods sni", "COMP_CWORD": "3"}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | words | {"_LTHBENCH_COMPLETE": "bash_complete"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "plain,snip\n", "[]\n")
