"""Splits of data sets as arrays, for training elsewhere."""

import numpy as np
import pytest

from lthbench.cli import main
from lthbench.data import loading


def test_the_training_images_are_written_as_arrays(tmp_path, capsys):
    target = tmp_path / "train.npz"
    main(["data", "export", "digits", "--out", str(target)])
    assert "1,077 train images of digits" in capsys.readouterr().out
    known = loading.load("digits", "train", ())
    with np.load(target) as found:
        np.testing.assert_array_equal(found["images"], known.pixels)
        np.testing.assert_array_equal(found["labels"], known.labels)
        assert found["mean"].shape == found["std"].shape == (1,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--split", "trian"], "has no split 'trian'; it has train, val, test"),
        (["digtis"], "Did you mean digits?"),
        (["digits", "--out", "."], "--out"),
    ],
)
def test_what_cannot_be_written_is_refused(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["data", "export", *words])
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind_is_not_replaced(tmp_path, capsys):
    target = tmp_path / "notes.npz"
    target.write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        main(["data", "export", "digits", "--out", str(target)])
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    main(["data", "export", "digits", "--out", str(tmp_path / "own.npz")])
    main(["data", "export", "digits", "--out", str(tmp_path / "own.npz"), "--split", "val"])
    assert "180 val images" in capsys.readouterr().out


def test_options_before_the_name_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["data", "--json", "digits"])
    assert "--json stands after digits" in capsys.readouterr().err
