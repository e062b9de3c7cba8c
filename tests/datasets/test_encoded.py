"""Photographs encoded in one file, and the data sets that are kept so."""

import io
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from lthbench import registry
from lthbench.datasets import caltech25, clothing10
from lthbench.datasets._encoded import load_encoded, locate_encoded
from lthbench.errors import BadInput
from lthbench.kinds import Dataset

REAL = Path(os.environ.get("LTHBENCH_DATA", "/nowhere"))
CLASSES = ("hat", "dress")
PARTS = {"train": 4, "validation": 2, "test": 2}


def picture(number: int, size: int = 24) -> Image.Image:
    whole = Image.fromarray(load_sample_images().images[number % 2])
    left, top = 17 * number % 200, 13 * number % 100
    return whole.crop((left, top, left + 200, top + 200)).resize((size, size))


def archive(path: Path, classes=CLASSES, parts=PARTS, **other) -> Path:
    """Lossless pictures in the layout, each class in turn; ``other`` replaces arrays."""
    content, offsets = io.BytesIO(), [0]
    for i in range(sum(parts.values())):
        picture(i).save(content, "png")
        offsets.append(content.tell())
    arrays = {
        "data": np.frombuffer(content.getvalue(), np.uint8),
        "offsets": np.array(offsets),
        "labels": np.arange(sum(parts.values())) % len(classes),
        "classes": np.array(sorted(classes)),
        "split": np.repeat(np.arange(len(parts)), list(parts.values())),
        "splits": np.array(list(parts)),
    }
    np.savez(path, **(arrays | other))
    return path


def test_pictures_come_out_of_their_part_with_the_labels_of_the_data_set(tmp_path):
    source = locate_encoded(tmp_path, archive(tmp_path / "a.npz").name)
    images = load_encoded(source, {"validation": 2, "test": 2}, CLASSES, 24)
    assert images.pixels.shape == (4, 3, 24, 24)
    for row, number in enumerate((4, 5, 6, 7)):
        expected = np.asarray(picture(number)).transpose(2, 0, 1)
        np.testing.assert_array_equal(images.pixels[row], expected)
    # In the file classes are sorted (dress, hat), in the data set hat comes first.
    assert images.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": np.array(["dress", "boat"])}, "not so: boat, hat"),
        ({"split": np.zeros(8, int)}, "should hold 2 pictures of validation, has 0"),
        ({"labels": np.zeros(5, int)}, "not of one length"),
        ({"labels": np.array(3)}, "not of one length"),
        ({"labels": np.arange(8) // 3}, r"labels should be 0\.\.1, found 0\.\.2"),
        ({"labels": np.arange(8) % 2 - 1}, r"labels should be 0\.\.1, found -1\.\.0"),
        ({"labels": np.zeros(8)}, "labels should be whole numbers, are float64"),
        ({"split": np.arange(8)}, r"split should be 0\.\.2, found 0\.\.7"),
        ({"split": np.arange(8) % 2 - 1}, r"split should be 0\.\.2, found -1\.\.0"),
        ({"offsets": np.arange(9.0)}, "offsets should be whole numbers"),
        ({"data": np.zeros(10, np.uint8)}, "picture 4: broken"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, change, words):
    source = locate_encoded(tmp_path, archive(tmp_path / "a.npz", **change).name)
    with pytest.raises(BadInput, match=words):
        load_encoded(source, {"validation": 2, "test": 2}, CLASSES, 24)


def test_pictures_of_another_size_are_refused(tmp_path):
    source = locate_encoded(tmp_path, archive(tmp_path / "a.npz").name)
    with pytest.raises(BadInput, match="should be 160 x 160, is 24 x 24"):
        load_encoded(source, {"test": 2}, CLASSES, 160)


def test_clothing_reads_its_own_folders_and_tests_on_validation_and_test(tmp_path):
    parts = {"train": {"train": 20}, "test": {"validation": 10, "test": 10}}
    root = tmp_path / "clothing-dataset-small"
    for part, each in (("train", 2), ("validation", 1), ("test", 1)):
        for k, name in enumerate(clothing10.CLASSES):
            for i in range(each):
                at = root / part / name / f"{i}.png"
                at.parent.mkdir(parents=True, exist_ok=True)
                picture(10 * k + i + len(part), 200).save(at)
    source = clothing10.locate((tmp_path,), parts)
    read = partial(clothing10.load, source, parts=parts)
    assert read("train").pixels.shape == (20, 3, 160, 160)
    both = read("test")
    assert both.labels.tolist() == [*range(10), *range(10)]
    with pytest.raises(BadInput, match="has 21 images here, found 20"):
        clothing10.locate((tmp_path,), {"train": {"train": 21}, "test": {"validation": 10, "test": 10}})


def test_caltech_reads_folders_too(tmp_path):
    splits = {"train": 25, "test": 25}
    for split in splits:
        for k, name in enumerate(caltech25.CLASSES):
            at = tmp_path / "caltech25" / split / name / "image_0001.png"
            at.parent.mkdir(parents=True)
            picture(k, 170).save(at)
    source = caltech25.locate((tmp_path,), splits)
    images = caltech25.load(source, "test", splits)
    assert images.labels.tolist() == list(range(25))


@pytest.mark.parametrize("name", ["clothing10", "caltech25"])
def test_real_files_are_read_whole(name):
    dataset = registry.get(Dataset, name)
    source = dataset.locate((REAL,))
    if source is None:
        pytest.skip(f"{name} is not in LTHBENCH_DATA")
    images = dataset.load(source, "test")
    assert images.pixels.shape == (dataset.splits["test"], 3, 160, 160)
    assert set(images.labels) == set(range(len(dataset.classes)))
