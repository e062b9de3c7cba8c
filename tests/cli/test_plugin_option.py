"""Commands that describe or check what a user's own file defines take that file by --plugin."""

import sys

import pytest

from lthbench import contract, registry
from lthbench.cli import main
from lthbench.kinds.origins import module_name

METRIC = """
from lthbench.kinds import Metric, Score, Value

def measure(context):
    return [Value("{name}", 1.0, 0.0, 1)]

SCORES = (Score("{name}", "the answer", "ratio", True, 0.0, 100.0, "geometry", spread_of="{spread}"),)
METRIC = Metric("{name}", 1, "the answer", "f", "s", SCORES, (), measure)
"""
DATASET = """
from dataclasses import replace
from lthbench.datasets.digits import DATASET

DATASET = replace(DATASET, name="own-digits", title="my own digits")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The paths of a metric, of another that takes the spread of its score, and of a data set."""
    for name in ("_paths", "_digests"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    paths = [tmp_path / f"{name}.py" for name in ("own_metric", "own_ratio", "own_digits")]
    texts = (METRIC.format(name="own-first", spread=""), METRIC.format(name="own-ratio", spread="own-first"))
    for path, text in zip(paths, (*texts, DATASET), strict=True):
        path.write_text(text)
    yield map(str, paths)
    for path in paths:
        sys.modules.pop(module_name(path.resolve()), None)


def test_a_metric_that_takes_the_spread_of_another_files_score_is_checked(own, capsys, monkeypatch):
    first, second, _ = own
    monkeypatch.setattr(contract, "_checks", lambda *_: iter(()))
    with pytest.raises(SystemExit, match="1"):
        main(["check", second])
    assert "name that file first (--plugin FILE)" in capsys.readouterr().out
    main(["check", second, "--plugin", first])
    assert "1 checks, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["datasets", "own-digits", "--plugin", "FILE"],
        ["data", "--plugin", "FILE", "own-digits"],
        ["data", "--plugin", "FILE"],
    ],
)
def test_what_a_file_of_ones_own_defines_is_described(own, capsys, words):
    *_, path = own
    main([path if word == "FILE" else word for word in words])
    assert "own-digits" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["data", "export", "own-digits", "--out", "OUT"], ["data", "verify", "own-digits"]]
)
def test_a_data_set_of_ones_own_is_verified_and_exported(own, capsys, tmp_path, words):
    *_, path = own
    given = [str(tmp_path / "own.npz") if word == "OUT" else word for word in words]
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert "--plugin FILE" in capsys.readouterr().err
    main([*given, "--plugin", path])
    assert "own-digits" in capsys.readouterr().out


def test_a_data_set_that_is_not_known_may_be_that_of_a_file(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["data", "own-digits"])
    assert "lthbench data --plugin FILE NAME" in capsys.readouterr().err
