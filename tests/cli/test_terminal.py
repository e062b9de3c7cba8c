"""What files call themselves steers no terminal and no page."""

import base64
import hashlib
import json
import math
import re
import shlex
import subprocess

import pytest

from lthbench.cli import main, terminal
from lthbench.cli.terminal import echo
from lthbench.formatting import printable
from lthbench.report import templates


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± – 79.0\u202f% \u00a0é 漢", None),
        ("two\nlines\tand a tab", None),
        ("\x1b[2J\x1b]0;title\x07", "\\u001b[2J\\u001b]0;title\\u0007"),
        ("a\rb\x08c\x7f", "a\\u000db\\u0008c\\u007f"),
        ("\x9b31m", "\\u009b31m"),  # one byte that begins a sequence
        ("x\u202egnp.exe\u2066", "x\\u202egnp.exe\\u2066"),  # turns what follows around
        ("a\u2028b\u200b", "a\\u2028b\\u200b"),
        ("\U000e0041", "\\udb40\\udc41"),  # a tag that nobody sees
    ],
)
def test_what_steers_a_terminal_is_written_out(text, shown):
    assert printable(text) == (text if shown is None else shown)


def test_json_that_is_printed_is_still_the_same(capsys):
    value = {"name\u202e\x9b\U000e0041": "\x1b[2J"}
    echo(json.dumps(value, ensure_ascii=False))
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert "\u202e" not in said
    assert "\x9b" not in said


@pytest.mark.parametrize("words", [["run", "--task", "\x1b[2Jevil"], ["methods", "\x1b]0;x\x07"]])
def test_errors_show_what_was_given_without_its_power(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "\\u001b" in said
    assert "\x1b" not in said


def test_pages_run_no_script_but_their_own():
    page = templates.environment().get_template("base.html.j2").render(**templates.alone())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = policy.replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "\r" not in script
    linked = templates.environment().get_template("base.html.j2").render().replace("&#39;", "'")
    assert "script-src 'self' file:;" in linked
    assert "<script>" not in linked


@pytest.mark.parametrize("width", [40, 80, 400])
def test_a_command_is_wrapped_so_that_a_shell_takes_it_as_one(width):
    methods = "imp,omp,lamp,random,snip,grasp,synflow,force,rigl,set,gmp"
    command = f"lthbench plan --task digits-r8 --methods {methods} --seeds 5 --data '/a b/c' --until-decided"
    text = terminal.pasted(command, width)
    lines = text.split("\n")
    told = subprocess.run(["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == shlex.split(command)
    assert all(line.endswith("\\") for line in lines[:-1])
    assert all(len(line) <= width for line in lines)
    assert (len(lines) == 1) is (width == 400)


def test_json_has_null_for_what_is_no_number(capsys):
    terminal.echo_json({"a": [math.nan, 1.5, (math.inf, "NaN")], "b": {"c": -math.inf, "d": None}})
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert told == {"a": [None, 1.5, [None, "NaN"]], "b": {"c": None, "d": None}}
