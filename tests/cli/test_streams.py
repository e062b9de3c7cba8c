"""Output of every encoding that terminals and redirections have: each command writes it, and no traceback."""

import io
import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from lthbench.cli import main, streams, terminal

ENCODINGS = [
    "utf-8",
    "latin-1",
    "cp1252",
    "cp437",
    "koi8-r",
    "shift-jis",
    "ascii",
    "cp1251",
    "gbk",
    "mac-roman",
]
#: What is written about: signs of verdicts, names of people and places, and what is no character at all.
TEXT = "59.0 – 97.2 % · ✓ ✗ ± × ≥ ★ ↑ ∞ │ ─ Größe ŽIŽEK ресурс 画像 \udcff \ud800 😀 ∅ ⊘ …"


@pytest.fixture
def written(monkeypatch):
    """Standard output and errors of an encoding; returns what was written to them, decoded by it."""
    buffers = []

    def as_if(encoding):
        for name in ("stdout", "stderr"):
            buffers.append(io.BytesIO())
            monkeypatch.setattr(sys, name, io.TextIOWrapper(buffers[-1], encoding=encoding, errors="strict"))

        def told():
            sys.stdout.flush()
            sys.stderr.flush()
            return "".join(buffer.getvalue().decode(encoding) for buffer in buffers)

        return told

    return as_if


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-16"])
def test_any_text_is_written_and_what_can_be_shown_is(written, encoding):
    told = written(encoding)
    streams.legible()
    sys.stdout.write(TEXT)
    sys.stderr.write(TEXT)
    said = told()
    assert said.count("59.0 ") == 2
    for character in TEXT:
        try:
            shown = character.encode(encoding).decode(encoding) == character
        except UnicodeError:
            shown = False
        if shown:
            assert character in said
    if encoding == "ascii":
        assert said[: len(said) // 2] == (
            "59.0 - 97.2 % | + x +- x >= * ^ inf | - Gro?e ZIZEK ?????? ?? ? ? ? 0 / ..."
        )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["methods"],
        ["metrics"],
        ["tasks"],
        ["plan"],
        ["data"],
        ["datasets", "cifar10"],
        ["run", "--task", "ŽIŽEK×"],
    ],
)
def test_every_command_writes_in_every_encoding(written, encoding, command):
    told = written(encoding)
    with suppress(SystemExit):
        main(command)
    said = told()
    assert "Traceback" not in said
    assert len(said) > 20


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp437", "ascii", "utf-16"])
def test_json_is_json_in_every_encoding(written, encoding):
    """Typographic quotes would stand as those that end a text."""
    found = {"title": "as “good” as dense – ŽIŽEK ✓", "value": 0.5}
    told = written(encoding)
    streams.legible()
    terminal.echo_json(found)
    said = told()
    assert json.loads(said) == found
    assert ("“" in said) == (encoding == "utf-8")


def test_a_process_whose_output_is_ascii_writes_ascii():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "lthbench", "run", "--task", "größer–×"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert b"no task" in done.stderr
    assert done.stderr.isascii()
