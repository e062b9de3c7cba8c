"""Corrupted sets kept on disk: made once, never wrong, never in the way."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.inference import batches, corrupted
from lthbench.kinds import Images
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.spec import Data, Inputs, Predict
from lthbench.store import LocalStore
from lthbench.store import sets as kept_sets
from lthbench.store.disk import sets_limit

COUNT = 600


@pytest.fixture
def made(monkeypatch):
    """How often the images of 4 x 4 pixels were corrupted; they are found as the data set "made"."""
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (COUNT, 3, 4, 4), dtype=np.uint8), rng.integers(0, 3, COUNT))
    monkeypatch.setattr(loading, "load", lambda name, split, places: images)
    counted, make = [], corrupted._made

    def count(*given):
        counted.append(given)
        return make(*given)

    monkeypatch.setattr(corrupted, "_made", count)
    return counted


@pytest.fixture
def sets(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.open()
    return store.sets


def inputs(view="shot_noise", count=0, digest="1", strengths=(1, 5)):
    return Inputs(Data("made", 1, digest), "test", count, view, 1, strengths)


def shown(wanted, severity, kept):
    return np.concatenate(list(corrupted.corrupted(wanted, severity, (), kept)))


def test_what_is_kept_is_what_would_be_made_and_is_made_once(made, sets):
    expected = shown(inputs(), 5, None)
    for _ in range(3):
        np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    assert len(made) == 2
    assert sum(f.stat().st_size for f in sets.glob("*.u8")) == COUNT * 48
    assert list((sets.parent / "tmp").iterdir()) == []


def test_batches_are_those_of_the_passes(made, sets):
    sizes = [len(b) for _ in range(2) for b in corrupted.corrupted(inputs(), 1, (), sets)]
    assert sizes == 2 * [batches.BATCH, batches.BATCH, COUNT - 2 * batches.BATCH]


def test_sets_of_other_images_kinds_severities_and_numbers_are_told_apart(made, sets):
    asked = [
        (inputs(), 1),
        (inputs(), 5),
        (inputs("contrast"), 1),
        (inputs(count=40), 1),
        (inputs(digest="2"), 1),
    ]
    for wanted, severity in asked:
        np.testing.assert_array_equal(shown(wanted, severity, sets), shown(wanted, severity, None))
    assert len(list(sets.glob("*.u8"))) == len(asked)


def test_the_other_severities_asked_for_do_not_matter(made, sets):
    shown(inputs(strengths=(1, 5)), 5, sets)
    shown(inputs(strengths=(5,)), 5, sets)
    assert len(made) == 1


@pytest.mark.parametrize("harm", ["flip", "cut", "no hash", "other hash"])
def test_what_is_damaged_is_made_anew(made, sets, harm):
    expected = shown(inputs(), 5, sets)
    [path] = sets.glob("*.u8")
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[100] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
    elif harm == "cut":
        path.write_bytes(content[:-1])
    elif harm == "no hash":
        path.with_suffix(".sha256").unlink()
    else:
        path.with_suffix(".sha256").write_text("0" * 64)
    np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    assert len(made) == 2


@pytest.mark.parametrize(("gigabytes", "kept"), [("0", 0), (f"{1.5 * COUNT * 48e-9}", 1), ("1", 2)])
def test_no_more_is_kept_than_allowed(made, sets, monkeypatch, gigabytes, kept):
    monkeypatch.setenv("LTHBENCH_SETS_GB", gigabytes)
    for severity in (1, 5, 1, 5):
        np.testing.assert_array_equal(shown(inputs(), severity, sets), shown(inputs(), severity, None))
    assert len(list(sets.glob("*.u8"))) == kept


@pytest.mark.parametrize("given", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch, given):
    monkeypatch.setenv("LTHBENCH_SETS_GB", given)
    with pytest.raises(BadInput, match=f"LTHBENCH_SETS_GB={given}: give a number of gigabytes"):
        sets_limit()


def test_a_disk_without_room_keeps_nothing_and_stops_nothing(made, sets, monkeypatch):
    expected = shown(inputs(), 5, None)
    monkeypatch.setattr(kept_sets, "SPARE", 1e15)
    np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    assert not sets.exists()


def test_a_disk_that_fills_up_on_the_way_stops_nothing(made, sets, monkeypatch):
    expected, opened, begun = shown(inputs(), 5, None), Path.open, []

    def full(path, mode="r", *more, **named):
        if path.parent.name == "tmp" and mode == "ab":
            begun.append(path)
            if len(begun) > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", full)
    np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    assert len(begun) == 2, "no batch after the first that the disk did not take is written"
    assert not list(sets.glob("*"))
    assert list((sets.parent / "tmp").iterdir()) == []


def test_images_are_used_before_the_last_of_them_is_made(made, sets):
    coming = corrupted.corrupted(inputs(), 5, (), sets)
    next(coming)
    assert not list(sets.glob("*"))
    assert len(list(coming)) == 2
    assert len(list(sets.glob("*.sha256"))) == 1


def test_what_is_cut_short_is_not_kept(made, sets):
    coming: Any = corrupted.corrupted(inputs(), 5, (), sets)
    next(coming)
    coming.close()
    assert not list(sets.glob("*"))
    assert list((sets.parent / "tmp").iterdir()) == []


def apart(images):
    """The sets of corrupted images where each kind has so many of its own, by kind."""
    asked = ask("c10-r20s", ["imp"], [0.5], seeds=1, metrics=["mce"])
    looked = replace(asked.spec.evaluate, corrupted_images=images, corrupted_apart=True)
    budgets = asked.task.budget | {"quick": replace(asked.spec, evaluate=looked)}
    steps = plan(replace(asked, task=replace(asked.task, budget=budgets)), (), data_needed=False).steps
    return {s.inputs.view: s.inputs for s in steps if isinstance(s, Predict)}


def test_each_kind_may_change_images_of_its_own(made):
    """They are the uncorrupted ones, one kind's after the other's."""
    found = apart(1000)
    clean = found.pop("clean")
    assert [i.first for i in found.values()] == [None, *range(1000, 8000, 1000)]
    assert (clean.images, clean.first) == (8000, None)
    everything = loading.load("made", "test", ())
    whole = loading.subset(everything, 40)
    parts = [loading.subset(everything, 20, first) for first in (None, 20)]
    np.testing.assert_array_equal(np.concatenate([p.pixels for p in parts]), whole.pixels)
    np.testing.assert_array_equal(np.concatenate([p.labels for p in parts]), whole.labels)


def test_there_must_be_images_for_each_kind():
    with pytest.raises(BadInput, match="8 corruptions of 1,250 images each need more than 10,000 test"):
        apart(1250)


def test_of_two_who_write_a_set_at_once_the_first_ones_stays(made, sets):
    """Others may have mapped it."""
    expected, slow = shown(inputs(), 5, None), corrupted.corrupted(inputs(), 5, (), sets)
    begun = next(slow)
    np.testing.assert_array_equal(shown(inputs(), 5, sets), expected)
    [path] = sets.glob("*.u8")
    before = path.stat()
    np.testing.assert_array_equal(np.concatenate([begun, *slow]), expected)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list((sets.parent / "tmp").iterdir()) == []
