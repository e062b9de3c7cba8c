"""Data sets: fixed splits and orders, every layout that is accepted, and what is said of broken files."""

import dataclasses
import hashlib
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lthbench import api, registry
from lthbench.data import image_files, loading
from lthbench.datasets import cifar10
from lthbench.datasets.cifar10 import CLASSES
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images

TINY = Path(__file__).parents[1] / "tiny.toml"


def hashed(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:16]


# ------------------------------------------------------------------------------------ orders and subsets


def test_the_order_of_images_is_the_same_everywhere_and_always():
    assert loading.order(10, "subset").tolist() == [1, 2, 5, 3, 9, 4, 7, 0, 8, 6]
    assert loading.order(5, "per class").tolist() == [1, 4, 0, 3, 2]
    assert hashed(loading.order(1797, "digits").astype("<i8")) == "73b47880f0e3463d"


@pytest.fixture
def ten() -> Images:
    return Images(
        np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), np.array([0, 0, 1, 1, 2, 2, 0, 1, 2, 0])
    )


def test_a_subset_is_the_start_of_the_fixed_order(ten):
    some = loading.subset(ten, 4)
    assert np.asarray(some.pixels).ravel().tolist() == [1, 2, 5, 3]
    assert some.labels.tolist() == [0, 1, 2, 1]
    assert np.asarray(loading.subset(ten, 6).pixels).ravel().tolist()[:4] == [1, 2, 5, 3]


@pytest.mark.parametrize("count", [0, 10, 99])
def test_a_subset_of_none_or_all_is_the_images_in_file_order(ten, count):
    assert np.asarray(loading.subset(ten, count).pixels).ravel().tolist() == list(range(10))


def test_so_many_images_of_each_class_are_taken_class_by_class(ten):
    some = loading.per_class(ten, 2)
    assert np.asarray(some.pixels).ravel().tolist() == [1, 0, 7, 3, 4, 8]
    assert some.labels.tolist() == [0, 0, 1, 1, 2, 2]


# ------------------------------------------------------------------------------------------ digits, patches


@pytest.mark.parametrize(
    ("split", "counts", "content"),
    [
        ("train", [106, 110, 105, 111, 109, 110, 109, 107, 102, 108], "c4cc38a25f1894a3"),
        ("val", [18] * 10, "4e8ae474496c26bd"),
        ("test", [54] * 10, "7870eab4a1c4ecff"),
    ],
)
def test_the_split_of_the_digits_is_stratified_and_fixed(split, counts, content):
    images = loading.load("digits", split, ())
    assert np.bincount(images.labels).tolist() == counts
    pixels = np.asarray(images.pixels)
    assert (pixels.shape[1:], pixels.min(), pixels.max()) == ((1, 8, 8), 0, 255)
    assert hashed(pixels, images.labels.astype("<i8")) == content


def test_the_splits_of_the_digits_are_all_images_each_once():
    from sklearn.datasets import load_digits

    parts = [loading.load("digits", split, ()) for split in ("train", "val", "test")]
    ours = np.concatenate([p.pixels for p in parts]).reshape(-1, 64)
    theirs = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))
    assert len({bytes(image) for image in ours}) == len(ours)


def test_a_split_that_a_data_set_does_not_have_is_refused():
    with pytest.raises(BadInput, match=r"digits has no split 'dev'; it has train, val, test"):
        loading.load("digits", "dev", ())


# ----------------------------------------------------------------------------------------- CIFAR-10 layouts


def tree(root: Path, size: int = 32) -> Path:
    """A tree of twenty training and two test images of each class; the grey of an image tells which it is."""
    for label, name in enumerate(CLASSES):
        for split, count in (("train", 20), ("test", 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (size, size), (label, i, 7)).save(folder / f"{i:02}.png")
    return root


#: What the tree above holds, in place of 50,000 and 10,000 images.
TREE = {"train": 200, "test": 20}


@pytest.fixture
def small(monkeypatch):
    """CIFAR-10 as if it had been published with as many images as the tree has."""
    locate = partial(cifar10.locate, tree=TREE)
    splits = {"train": 180, "val": 20, "test": 20}
    record = dataclasses.replace(cifar10.DATASET, locate=locate, splits=splits)
    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, name: record if name == "cifar10" else get(kind, name))
    loading.load.cache_clear()
    yield
    loading.load.cache_clear()


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (lambda labels: labels.astype(np.int32), ""),
        (lambda labels: labels.astype(np.uint8), ""),
        (lambda labels: labels[:, None], r"found int64 of shape \[540, 1\]"),
        (lambda labels: labels.astype(np.float64), r"found float64 of shape \[540\]"),
        (lambda labels: labels > 0, r"found bool of shape \[540\]"),
    ],
)
def test_labels_are_one_whole_number_for_each_image(monkeypatch, form, found):
    digits = registry.get(Dataset, "digits")
    whole = loading.load("digits", "test", ()).labels

    def load(source, split):
        images = digits.load(source, split)
        return Images(images.pixels, form(images.labels))

    monkeypatch.setattr(registry, "get", lambda *of: dataclasses.replace(digits, load=load))
    read = partial(loading.load.__wrapped__, "digits", "test", ())
    if found:
        with pytest.raises(BadInput, match=f"labels of digits should be one whole number.*{found}"):
            read()
    else:
        assert read().labels.dtype == np.int64
        assert read().labels.tolist() == whole.tolist()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("inside", ["cifar10", "."])
def test_cifar10_is_read_from_a_tree_of_images(tmp_path, inside):
    tree(tmp_path / inside)
    parts = {split: loading.load("cifar10", split, (tmp_path,)) for split in ("train", "val", "test")}
    assert {s: np.bincount(p.labels).tolist() for s, p in parts.items()} == {
        "train": [18] * 10,
        "val": [2] * 10,
        "test": [2] * 10,
    }
    for part in parts.values():
        assert (part.pixels[:, 0, 0, 0] == part.labels).all()
        assert (part.pixels[:, 2] == 7).all()
    assert sorted(set(parts["val"].pixels[:, 1, 0, 0].tolist())) == [18, 19]
    assert sorted(set(parts["train"].pixels[:, 1, 0, 0].tolist())) == list(range(18))


def mosaics(root: Path) -> Path:
    """The five training mosaics, the test mosaic and the labels; each tile of a mosaic is one grey."""
    root.mkdir(parents=True)
    for number, name in enumerate((*(f"train_{b}.jpg" for b in range(1, 6)), "test.webp")):
        mosaic = np.full((3200, 3200, 3), 40 * number, dtype=np.uint8)
        mosaic[:32, 32:64] = 240  # the second tile of the first row
        kind: dict[str, Any] = {"quality": 95, "subsampling": 0}
        if name.endswith("webp"):
            kind = {"lossless": True, "method": 0}
        Image.fromarray(mosaic).save(root / name, **kind)
    train, test = np.arange(50_000) % 10, np.arange(10_000) % 10
    np.savez_compressed(root / "labels.npz", train_labels=train, test_labels=test)
    return root


@pytest.fixture(scope="module")
def mosaic_folder(tmp_path_factory) -> Path:
    return mosaics(tmp_path_factory.mktemp("data") / "cifar10").parent


def test_cifar10_is_read_from_mosaics_in_reading_order(mosaic_folder):
    train, val, test = (loading.load("cifar10", s, (mosaic_folder,)) for s in ("train", "val", "test"))
    assert [len(p.labels) for p in (train, val, test)] == [45_000, 5_000, 10_000]
    assert train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    greys = train.pixels[::5000].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(greys, [0, 0, 40, 40, 80, 80, 120, 120, 160], atol=1)
    assert [int(test.pixels[i].mean()) for i in (0, 1, 2, 100)] == [200, 240, 200, 200]
    assert int(np.asarray(val.pixels).min()) >= 158
    loading.load.cache_clear()


@pytest.mark.usefixtures("small")
def test_the_place_that_is_given_comes_before_others(tmp_path, monkeypatch):
    given, usual = tree(tmp_path / "a" / "cifar10"), tree(tmp_path / "b" / "cifar10")
    monkeypatch.setenv("LTHBENCH_DATA", str(usual.parent))
    assert loading.find("cifar10", loading.folders(given.parent)).root == given
    assert loading.find("cifar10", loading.folders()).root == usual


def test_the_digest_tells_changed_data_apart(mosaic_folder, tmp_path):
    folder = tmp_path / "cifar10"
    shutil.copytree(mosaic_folder / "cifar10", folder)
    before = loading.identify("cifar10", (mosaic_folder,))
    assert loading.identify("cifar10", (tmp_path,)) == before
    train, test = np.zeros(50_000, int), np.zeros(10_000, int)
    np.savez(folder / "labels.npz", train_labels=train, test_labels=test)
    assert loading.identify("cifar10", (tmp_path,)).digest != before.digest


# ------------------------------------------------------------------------------------------- broken data


def cifar_task(folder: Path) -> str:
    path = folder / "task.toml"
    path.write_text(TINY.read_text(encoding="utf-8").replace('dataset = "digits"', 'dataset = "cifar10"'))
    return str(path)


def refused(folder: Path, store: Path) -> str:
    """What is said when a run is asked for on the data in a folder; nothing may be written."""
    loading.load.cache_clear()
    task = folder.parent / "tasks"
    task.mkdir(exist_ok=True)
    with pytest.raises(BadInput) as caught:
        api.run(cifar_task(task), ["omp"], metrics=["accuracy"], data=folder, store=store, device="cpu")
    assert not store.exists()
    return str(caught.value)


def test_data_that_is_nowhere_is_refused_with_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("LTHBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "empty"
    folder.mkdir()
    message = refused(folder, tmp_path / "store")
    assert "data set cifar10 is not in" in message
    assert str(folder) in message
    assert "--download" in message


def test_a_data_folder_that_is_not_there_is_refused(tmp_path):
    assert f"--data {tmp_path / 'absent'}: no such folder" in refused(tmp_path / "absent", tmp_path / "store")


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "no picture", "wrong size"])
def test_a_broken_mosaic_is_named_and_nothing_is_written(mosaic_folder, tmp_path, damage):
    folder = tmp_path / "data"
    shutil.copytree(mosaic_folder, folder)
    victim = folder / "cifar10" / "train_3.jpg"
    content = victim.read_bytes()
    victim.unlink()
    if damage == "wrong size":
        Image.new("RGB", (3200, 1600)).save(victim)
    elif damage != "absent":
        victim.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "no picture": b"x" * 99}[damage]
        )
    message = refused(folder, tmp_path / "store")
    assert "train_3.jpg" in message
    assert str(folder / "cifar10") in message


@pytest.mark.parametrize("content", ["no labels", "too few", "too large", "flipped", "an array"])
def test_broken_labels_are_named_and_nothing_is_written(mosaic_folder, tmp_path, content):
    folder = tmp_path / "data"
    shutil.copytree(mosaic_folder, folder)
    path = folder / "cifar10" / "labels.npz"
    if content == "flipped":
        whole = bytearray(path.read_bytes())
        whole[150:160] = bytes(255 - b for b in whole[150:160])
        path.write_bytes(whole)
    elif content == "an array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        count, classes = (
            (40_000, 10) if content == "too few" else (50_000, 11 if content == "too large" else 10)
        )
        names = ("labels",) if content == "no labels" else ("train_labels", "test_labels")
        arrays: dict[str, Any] = dict.fromkeys(names, np.arange(count) % classes)
        np.savez(path, **arrays)
    assert str(folder / "cifar10") in refused(folder, tmp_path / "store")


@pytest.mark.usefixtures("small")
def test_a_tree_without_a_class_is_refused(tmp_path):
    root = tree(tmp_path / "data" / "cifar10")
    shutil.rmtree(root / "train" / "frog")
    assert "missing train/frog" in refused(root.parent, tmp_path / "store")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["cut", "larger"])
def test_a_broken_image_of_a_tree_is_named(tmp_path, damage):
    root = tree(tmp_path / "data" / "cifar10")
    victim = root / "train" / "dog" / "05.png"
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:60])
    else:
        Image.new("RGB", (33, 32)).save(victim)
    message = refused(root.parent, tmp_path / "store")
    assert message.startswith(f"{victim}: ")
    assert ("broken image file" if damage == "cut" else "should be 32 x 32 pixels, is 33 x 32") in message


def test_a_download_is_not_unpickled_unless_it_matches_its_published_hash(tmp_path):
    batches = tmp_path / "data" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    trap = b"cbuiltins\nexit\n(I7\ntR."  # unpickling this would end the process
    for name in (*(f"data_batch_{b}" for b in range(1, 6)), "test_batch", "batches.meta"):
        (batches / name).write_bytes(trap)
    assert "does not match its published MD5" in refused(batches.parent, tmp_path / "store")


def test_every_single_flipped_bit_of_an_array_file_is_harmless_or_named(tmp_path):
    path = tmp_path / "labels.npz"
    np.savez_compressed(path, labels=np.arange(300) % 10)
    whole = path.read_bytes()
    refusals = []
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            (labels,) = image_files.arrays(path, ["labels"])
        except BadInput as error:
            refusals.append(str(error))
        else:
            assert labels.shape == (300,)
    assert len(refusals) > 10
    assert all(r.startswith(f"{path}: ") for r in refusals)


@pytest.mark.skipif(not os.environ.get("LTHBENCH_DATA"), reason="LTHBENCH_DATA names no folder of data sets")
def test_the_real_cifar10_is_balanced_and_has_the_published_mean():
    places = loading.folders()
    if loading.describe("cifar10", places)["state"] != "found":
        pytest.skip("LTHBENCH_DATA holds no CIFAR-10")
    train, val, test = (loading.load("cifar10", s, places) for s in ("train", "val", "test"))
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert (np.bincount(train.labels) + np.bincount(val.labels)).tolist() == [5000] * 10
    means = np.mean(np.asarray(train.pixels), axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(means, np.array([0.4914, 0.4822, 0.4465]), atol=0.003)
    loading.load.cache_clear()


def test_what_is_drawn_is_said_to_need_no_files():
    assert loading.describe("gaussian-noise", ()) == {"state": "found", "detail": "drawn, needs no files"}


def test_several_folders_at_once_are_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("LTHBENCH_DATA", f"{tmp_path}{os.pathsep}{tmp_path}")
    with pytest.raises(BadInput, match=r"LTHBENCH_DATA .*: no such folder\. It is one folder, not several"):
        loading.checked_folders(None)
