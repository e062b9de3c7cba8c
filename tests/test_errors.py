"""What is said of faults."""

import io

import numpy as np
import pytest

from lthbench.errors import because, cut_short


def test_what_a_library_says_comes_last_in_brackets_and_on_one_line():
    assert because(ValueError("two\n  lines.")) == " (two lines)"
    assert because(KeyError()) == " (KeyError)"
    assert len(because(ValueError("long " * 100))) == len(" ()") + 200


def test_numpy_tells_nobody_to_unpickle():
    with pytest.raises(ValueError, match="pickle") as caught:
        np.load(io.BytesIO(b"broken"), allow_pickle=False)
    assert because(caught.value) == " (no array that is read without unpickling)"


def test_a_screen_shows_the_beginning_of_what_a_library_says():
    assert cut_short("KeyError: x") == "KeyError: x"
    assert cut_short("long " * 100) == "long " * 59 + "long ..."
