"""Trees of images as people have them: whole ones are read, parts of one are never taken for it."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from lthbench import registry
from lthbench.cli import main
from lthbench.data import image_files, loading
from lthbench.datasets import _folders, cifar10, imagenette
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images, Source

CLASSES = ("cat", "dog")
PARTS = {"train": 6, "test": 4}


def tree(root, ending=".png", parts=PARTS, classes=CLASSES):
    for part, count in parts.items():
        for label, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for i in range(count // len(classes)):
                Image.new("RGB", (32, 32), (label, i, 7)).save(root / part / name / f"{i}{ending}")
    return root


@pytest.mark.parametrize(
    "ending", [".png", ".PNG", ".jpg", ".JPEG", ".ppm", ".tif", ".TIFF", ".bmp", ".webp"]
)
def test_all_endings_of_torchvision_are_images(tmp_path, ending):
    source = image_files.class_folders(tree(tmp_path, ending), PARTS, CLASSES)
    assert source is not None
    images = image_files.read_class_folders(source, "test", CLASSES, 32)
    assert images.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "stray", ["._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg", "readme.txt"]
)
def test_what_systems_leave_among_images_is_none(tmp_path, stray):
    tree(tmp_path)
    (tmp_path / "test" / "cat" / stray).write_bytes(b"no image")
    source = image_files.class_folders(tmp_path, PARTS, CLASSES)
    assert source is not None
    assert len(source.files) == 10
    found = _folders.locate_tree(tmp_path, "a set", PARTS, CLASSES)
    assert found is not None
    assert len(found.files) == 10


def test_a_part_of_a_tree_is_refused_with_its_counts_by_class(tmp_path):
    tree(tmp_path)
    (tmp_path / "train" / "dog" / "1.png").rename(tmp_path / "train" / "dog" / "1.gif")
    (tmp_path / "test" / "cat" / "1.png").unlink()
    (tmp_path / "test" / "cat" / "0.png").rename(tmp_path / "test" / "cat" / "0.heic")
    with pytest.raises(BadInput) as caught:
        image_files.class_folders(tmp_path, PARTS, CLASSES)
    assert str(caught.value) == (
        f"{tmp_path}: is not the whole data set. It has 6 train images, 3 of each class, found 5: dog 2. "
        "Not read, by their endings: 1 .gif. It has 4 test images, 2 of each class, found 2: cat 0. "
        "Not read, by their endings: 1 .heic."
    )
    with pytest.raises(
        BadInput, match=r"a set has 6 images here, found 5\. Of the classes with fewest: dog 2"
    ):
        _folders.locate_tree(tmp_path, "a set", PARTS, CLASSES)


@pytest.mark.parametrize("change", ["one more", "one moved", "twice"])
def test_a_tree_whose_classes_have_other_counts_is_refused(tmp_path, change):
    tree(tmp_path)
    extra = tmp_path / "train" / "cat" / "0 (1).png"
    extra.write_bytes((tmp_path / "train" / "cat" / "0.png").read_bytes())
    if change == "one moved":
        (tmp_path / "train" / "dog" / "0.png").unlink()
    elif change == "twice":
        (tmp_path / "train" / "dog" / "0 (1).png").write_bytes(extra.read_bytes())
    with pytest.raises(BadInput, match=r"has 6 train images, 3 of each class, found [678]"):
        image_files.class_folders(tmp_path, PARTS, CLASSES)


def test_a_part_of_cifar10_is_not_cifar10(tmp_path, capsys):
    """400 and 100 images as a tree: refused where it is looked for, and listed as broken."""
    tree(tmp_path / "cifar10", parts={"train": 40, "test": 10}, classes=cifar10.CLASSES)
    said = "It has 10,000 test images, 1,000 of each class, found 10: airplane 1, automobile 1,"
    with pytest.raises(BadInput, match=said):
        loading.identify("cifar10", (tmp_path,))
    assert loading.describe("cifar10", (tmp_path,))["state"] == "broken"
    for command in (["data", "--json"], ["data", "verify", "cifar10"], ["plan", "--task", "c10-r20s"]):
        code = 0
        try:
            main([*command, "--data", str(tmp_path)])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert "found 10: airplane 1" in captured.out + captured.err, command
        assert code == (0 if command[1] == "--json" else 1 if command[1] == "verify" else 2), command


@pytest.mark.parametrize(
    "name", ["svhn", "derma", "cub", "cifar100", "imagenette", "clothing10", "caltech25"]
)
def test_no_layout_of_a_published_set_passes_with_fewer_images(tmp_path, monkeypatch, name):
    """Whatever a layout lets through, the count of a split is what was published."""
    real = registry.get(Dataset, name)
    few = Images(np.zeros((3, real.channels, real.size, real.size), np.uint8), np.zeros(3, dtype=np.int64))
    record = dataclasses.replace(
        real, locate=lambda places: Source("any", tmp_path, ()), load=lambda source, split: few
    )
    monkeypatch.setattr(registry, "get", lambda kind, wanted: record)
    loading.load.cache_clear()
    with pytest.raises(BadInput, match=rf"{name} has {real.splits['test']:,} test images, found 3: .* 0"):
        loading.load(name, "test", (tmp_path,))
    loading.load.cache_clear()


def test_a_part_of_imagenette_is_refused_with_its_counts(tmp_path):
    parts = {"train": 20, "val": 10}
    tree(tmp_path / "imagenette2-320", ".JPEG", parts, tuple(imagenette._CLASSES))
    with pytest.raises(
        BadInput, match=r"has 9,469 images here, found 20\. Of the classes with fewest: n01440764 2"
    ):
        imagenette.locate((tmp_path,))
