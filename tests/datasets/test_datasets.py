"""Each data set in its published layout: read right, and what is said of half a copy or a broken one."""

import hashlib
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat
from scipy.stats import norm
from sklearn.datasets import load_sample_images

from lthbench import registry
from lthbench.cli import listing
from lthbench.data import loading
from lthbench.datasets import _folders, cifar100, cub, derma, imagenet, imagenet_o, imagenette, svhn
from lthbench.datasets._imagenet_classes import WNIDS
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Source

NEW = ["cub", "derma", "imagenet", "imagenet-o", "imagenet-o-160", "imagenette", "svhn"]


@pytest.fixture(autouse=True)
def _no_home(monkeypatch, tmp_path_factory):
    """No test looks at the user's home folder."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path_factory.mktemp("home"))


def picture(path: Path, number: int, size: tuple[int, int] = (90, 70)) -> np.ndarray:
    """Write a piece of a photograph; returns it as it reads."""
    whole = Image.fromarray(load_sample_images().images[number % 2])
    path.parent.mkdir(parents=True, exist_ok=True)
    left, top = 17 * number % 200, 13 * number % 100
    whole.crop((left, top, left + 300, top + 300)).resize(size).save(path, quality=90)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def tree(root: Path, parts: dict[str, int], classes) -> Path:
    """``count`` photographs in each class of each part."""
    for part, count in parts.items():
        for label, name in enumerate(classes):
            for i in range(count):
                picture(root / part / name / f"{name}_{i}.JPEG", 10 * label + i)
    return root


# --------------------------------------------------------------------------------------- what is declared


@pytest.mark.parametrize("name", NEW)
def test_a_data_set_says_how_to_get_it_when_it_is_nowhere(name, tmp_path):
    dataset = registry.get(Dataset, name)
    assert dataset.locate((tmp_path,)) is None
    with pytest.raises(BadInput, match=f"data set {name} is not in {tmp_path}") as caught:
        loading.find(name, (tmp_path,))
    assert "--data DIR" in str(caught.value)
    assert (dataset.download is None and not dataset.archives) or "--download" in str(caught.value)
    assert "test" in dataset.splits
    assert len(dataset.mean) == len(dataset.std) == 3


def test_numbers_of_classes_are_those_published():
    counts = {name: len(set(registry.get(Dataset, name).classes)) for name in NEW}
    assert counts == {
        "cub": 200,
        "derma": 7,
        "imagenet": 1000,
        "imagenet-o": 200,
        "imagenet-o-160": 200,
        "imagenette": 10,
        "svhn": 10,
    }
    assert list(WNIDS) == sorted(set(WNIDS))
    assert list(imagenet_o.WNIDS) == sorted(set(imagenet_o.WNIDS) & set(WNIDS))


def test_names_of_classes_are_those_of_torchvision():
    assert list(imagenette._CLASSES) == sorted(torchvision.datasets.Imagenette._WNID_TO_CLASS)
    theirs = [names[0] for names in torchvision.datasets.Imagenette._WNID_TO_CLASS.values()]
    assert list(registry.get(Dataset, "imagenette").classes) == theirs
    theirs = torchvision.models.ResNet50_Weights.DEFAULT.meta["categories"]
    plain = str.maketrans({" ": "_", "-": "_", "'": None})
    ours = registry.get(Dataset, "imagenet").classes
    assert [n.translate(plain).lower() for n in ours] == [n.translate(plain).lower() for n in theirs]


def test_data_sets_are_listed_without_torch_or_numpy():
    code = (
        "import sys; from lthbench import registry; from lthbench.kinds import Dataset; "
        "registry.every(Dataset); print([m for m in ('torch', 'numpy', 'PIL', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------ folders of classes

FEW = WNIDS[:3]
FEW_SPLITS = {"train": 9, "test": 6}
LAYOUTS = {
    "imagenet": (
        "imagenet",
        {"train": 3, "val": 2},
        FEW,
        partial(imagenet.locate, splits=FEW_SPLITS, wnids=FEW),
        partial(imagenet.load, wnids=FEW),
    ),
    "imagenette": (
        "imagenette2-320",
        {"train": 3, "val": 2},
        tuple(imagenette._CLASSES),
        partial(imagenette.locate, splits={"train": 30, "test": 20}),
        imagenette.load,
    ),
    "imagenet-o": (
        "imagenet-o",
        {".": 2},
        imagenet_o.WNIDS[:3],
        partial(imagenet_o.locate, splits={"test": 6}, wnids=imagenet_o.WNIDS[:3]),
        partial(imagenet_o.load, wnids=imagenet_o.WNIDS[:3]),
    ),
}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path):
    """The root, locating and loading function, classes and last part of one tree."""
    folder, parts, classes, locate, load = LAYOUTS[request.param]
    return tree(tmp_path / folder, parts, classes), locate, load, classes, list(parts)[-1]


def test_a_tree_is_read_class_by_class_by_file_name(layout, tmp_path):
    root, locate, load, classes, part = layout
    source = locate((tmp_path / "elsewhere", tmp_path))
    assert source.root == root
    images = load(source, "test")
    assert images.labels.tolist() == [label for label in range(len(classes)) for _ in range(2)]
    size = images.pixels.shape[2]
    from torchvision.transforms import v2

    at = root / part / classes[1] / f"{classes[1]}_0.JPEG"
    with Image.open(at) as image:
        expected = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size)])(image)
    assert np.array_equal(images.pixels[np.array([2])][0].transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("name", ["imagenet", "imagenet-o"])
def test_images_of_imagenet_are_those_of_torchvisions_loader(tmp_path, name):
    """A training image is a PNG with transparency, and cameras turned some: ImageFolder passes both over."""
    from torchvision.datasets.folder import pil_loader
    from torchvision.transforms import v2

    folder, parts, classes, locate, load = LAYOUTS[name]
    at = tree(tmp_path / folder, parts, classes) / list(parts)[-1] / classes[1]
    turned, clear = at / f"{classes[1]}_0.JPEG", at / f"{classes[1]}_1.JPEG"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(turned) as image:
        image.save(turned, exif=exif)
    with Image.open(clear) as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(clear, format="PNG")
    pixels = load(locate((tmp_path,)), "test").pixels[2:4]
    for path, found in zip((turned, clear), pixels, strict=True):
        expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(pil_loader(path))
        assert np.array_equal(found.transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("damage", ["no class", "too few", "empty class", "too many"])
def test_half_a_tree_is_refused_with_the_folder(layout, tmp_path, damage):
    root, locate, _, classes, part = layout
    victim = root / part / classes[2]
    if damage == "no class":
        shutil.rmtree(victim)
    elif damage == "too few":
        (victim / f"{classes[2]}_1.JPEG").unlink()
    elif damage == "empty class":
        shutil.rmtree(victim)
        victim.mkdir()
    else:
        picture(root / part / classes[0] / "more.JPEG", 1)
    with pytest.raises(BadInput) as caught:
        locate((tmp_path,))
    assert str(root) in str(caught.value)
    if damage != "too many":
        assert classes[2] in str(caught.value)


def test_other_files_in_a_class_folder_are_let_be(layout, tmp_path):
    root, locate, load, classes, part = layout
    for name in (".DS_Store", "._a.JPEG", "list.txt"):
        (root / part / classes[0] / name).write_bytes(b"x")
    assert len(load(locate((tmp_path,)), "test").labels) == 2 * len(classes)


def test_half_of_imagenet_without_validation_images_is_refused(tmp_path):
    tree(tmp_path / "imagenet", {"train": 3}, FEW)
    with pytest.raises(BadInput, match="ImageNet is incomplete: missing the folder val"):
        imagenet.locate((tmp_path,), FEW_SPLITS, FEW)


@pytest.mark.parametrize("name", ["imagenet", "imagenette"])
def test_test_images_of_a_tree_may_be_there_alone(tmp_path, name):
    folder, parts, classes, locate, load = LAYOUTS[name]
    alone = tree(tmp_path / "a" / folder, {"val": 2}, classes)
    source = locate((tmp_path / "a",))
    assert (source.root, source.splits) == (alone, ("test",))
    assert len(load(source, "test").labels) == 2 * len(classes)
    with pytest.raises(BadInput, match="holds the test images only; missing the folder train"):
        load(source, "train")
    whole = tree(tmp_path / "b" / folder, parts, classes)
    source = locate((tmp_path / "a", tmp_path / "b"))
    assert (source.root, source.splits) == (whole, ())
    assert len(load(source, "train").labels) == 3 * len(classes)


def test_validation_images_in_one_folder_are_refused_with_how_to_sort_them(tmp_path):
    root = tree(tmp_path / "imagenet", {"train": 3}, FEW)
    picture(root / "val" / "ILSVRC2012_val_00000001.JPEG", 0)
    with pytest.raises(BadInput, match="the images lie in one folder") as caught:
        imagenet.locate((tmp_path,), FEW_SPLITS, FEW)
    assert f"ImageNet('{root}', split='val')" in str(caught.value)


def test_the_folder_that_is_given_may_be_imagenet_itself(tmp_path):
    tree(tmp_path, {"train": 3, "val": 2}, FEW)
    assert imagenet.locate((tmp_path,), FEW_SPLITS, FEW).root == tmp_path
    assert imagenet.locate((tmp_path / "train",), FEW_SPLITS, FEW) is None


def test_what_fits_into_memory_is_read_whole_and_the_rest_is_not(tmp_path, monkeypatch):
    root = tree(tmp_path / "imagenette2", {"train": 1, "val": 1}, tuple(imagenette._CLASSES))
    source = imagenette.locate((tmp_path,), {"train": 10, "test": 10})
    assert source.root == root
    whole = imagenette.load(source, "test")
    assert isinstance(whole.pixels, np.ndarray)
    monkeypatch.setattr(_folders, "RESIDENT_BYTES", 1000)
    lazy = imagenette.load(source, "test")
    assert not isinstance(lazy.pixels, np.ndarray)
    assert np.array_equal(lazy.pixels[:], whole.pixels)


def test_a_broken_image_of_a_tree_is_named(tmp_path):
    root = tree(tmp_path / "imagenette2-160", {"train": 1, "val": 1}, tuple(imagenette._CLASSES))
    source = imagenette.locate((tmp_path,), {"train": 10, "test": 10})
    victim = root / "val" / "n02979186" / "n02979186_0.JPEG"
    victim.write_bytes(victim.read_bytes()[:500])
    with pytest.raises(BadInput, match=f"{victim}: broken image file"):
        imagenette.load(source, "test")


def test_the_digest_of_many_files_tells_their_names_and_sizes(tmp_path):
    files = tree(tmp_path, {"a": 60}, ("x", "y"))
    listed = tuple(sorted(files.rglob("*.JPEG")))
    before = loading.digest(Source("test", tmp_path, listed))
    assert loading.digest(Source("test", tmp_path, listed[:-1])) != before
    elsewhere = tmp_path / "copy"
    shutil.copytree(tmp_path / "a", elsewhere / "a")
    copied = tuple(elsewhere / f.relative_to(tmp_path) for f in listed)
    assert loading.digest(Source("test", elsewhere, copied)) == before


# --------------------------------------------------------------------------------------------------- CUB

CUB = {"train": 4, "test": 3}


@pytest.fixture
def birds(tmp_path):
    """Seven birds of three species, images 1..7."""
    root = tmp_path / "CUB_200_2011"
    names = [f"{1 + i // 3:03}.{cub.CLASSES[i // 3]}/bird_{i}.jpg" for i in range(7)]
    for i, name in enumerate(names):
        picture(root / "images" / name, i, (120, 150))
    (root / "images.txt").write_text("".join(f"{i + 1} {n}\n" for i, n in enumerate(names)))
    (root / "image_class_labels.txt").write_text("".join(f"{i + 1} {1 + i // 3}\n" for i in range(7)))
    (root / "train_test_split.txt").write_text("".join(f"{i + 1} {1 - i % 2}\n" for i in range(7)))
    return root


def test_birds_are_read_by_the_published_split(birds, tmp_path):
    source = cub.locate((tmp_path,), CUB)
    training, test = cub.load(source, "train"), cub.load(source, "test")
    assert training.labels.tolist() == [0, 0, 1, 2]
    assert test.labels.tolist() == [0, 1, 1]
    assert training.pixels.shape == (4, 3, 224, 224)
    assert cub.CLASSES[0] == "Black_footed_Albatross"
    assert cub.CLASSES[199] == "Common_Yellowthroat"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("images.txt", "7 003", "8x 003", "line 7"),
        ("images.txt", "7 003", "6 003", "should list 7 images, lists 6"),
        ("image_class_labels.txt", "3 1\n", "3 201\n", "does not say 1..200 for image 3"),
        ("image_class_labels.txt", "3 1\n", "3 2\n", "says 2 for image 3, which is 001."),
        ("train_test_split.txt", "5 1\n", "", "does not say 0 or 1 for image 5"),
    ],
)
def test_broken_tables_of_birds_are_named(birds, tmp_path, name, old, new, said):
    path = birds / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInput) as caught:
        cub.load(cub.locate((tmp_path,), CUB), "train")
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["image_class_labels.txt", "images/001.Black_footed_Albatross/bird_1.jpg"])
def test_half_the_birds_are_refused_by_name(birds, tmp_path, name):
    (birds / name).unlink()
    with pytest.raises(BadInput, match=f"CUB-200-2011 is incomplete: missing {name}"):
        cub.locate((tmp_path,), CUB)


# ------------------------------------------------------------------------------------------------- derma

DERMA = {"train": 4, "val": 2, "test": 3}


def lesions(path: Path, size: int = 224, counts=DERMA, column: bool = True) -> dict[str, np.ndarray]:
    """A file in the layout of MedMNIST."""
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {}
    for split, count in counts.items():
        content[f"{split}_images"] = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        labels = rng.integers(0, 7, count).astype(np.uint8)
        content[f"{split}_labels"] = labels[:, None] if column else labels
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return content


@pytest.mark.parametrize("name", ["dermamnist_224.npz", "derma/derma.npz", "medmnist/dermamnist_224.npz"])
@pytest.mark.parametrize("column", [True, False])
def test_lesions_are_read_from_the_arrays_of_medmnist(tmp_path, name, column):
    content = lesions(tmp_path / name, column=column)
    source = derma.locate((tmp_path,))
    for split in DERMA:
        images = derma.load(source, split, DERMA)
        assert np.array_equal(np.asarray(images.pixels).transpose(0, 2, 3, 1), content[f"{split}_images"])
        assert images.labels.tolist() == content[f"{split}_labels"].ravel().tolist()


def test_small_images_of_lesions_are_not_enlarged(tmp_path):
    lesions(tmp_path / "dermamnist.npz", 28)
    with pytest.raises(BadInput, match=r"dermamnist\.npz: holds images of 28 x 28 pixels"):
        derma.locate((tmp_path,))
    lesions(tmp_path / "derma" / "dermamnist_224.npz")
    assert derma.locate((tmp_path,)).files == (tmp_path / "derma" / "dermamnist_224.npz",)


@pytest.mark.parametrize("damage", ["cut", "small", "few", "labels", "key", "empty"])
def test_a_broken_file_of_lesions_is_named(tmp_path, damage):
    path = tmp_path / "dermamnist_224.npz"
    content: dict[str, Any] = lesions(
        path, 28 if damage == "small" else 224, {**DERMA, "train": 3} if damage == "few" else DERMA
    )
    if damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 9999])
    elif damage in ("labels", "key"):
        labels = content.pop("train_labels")
        if damage == "labels":
            content["train_labels"] = labels[1:]
        np.savez(path, **content)
    with pytest.raises(BadInput, match=str(path)):
        derma.load(derma.locate((tmp_path,)), "train", DERMA)


def test_lesions_are_fetched_by_medmnist_or_the_package_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(BadInput, match=r'pip install "lthbench\[derma\]"'):
        derma.download(tmp_path)


# -------------------------------------------------------------------------------------------------- SVHN


def numbers(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
    labels = (np.arange(count) % 10 + 1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"X": pixels, "y": labels[:, None]})
    return pixels, labels


@pytest.mark.parametrize("inside", ["svhn", "."])
def test_house_numbers_are_read_with_zero_as_zero(tmp_path, inside):
    counts = {"train": 30, "test": 20}
    made = {s: numbers(tmp_path / inside / f"{s}_32x32.mat", count) for s, count in counts.items()}
    source = svhn.locate((tmp_path,))
    for split, (pixels, labels) in made.items():
        images = svhn.load(source, split)
        assert np.array_equal(images.pixels[7], pixels[..., 7].transpose(2, 0, 1))
        assert images.labels.tolist() == (labels % 10).tolist()
        assert images.labels[9] == 0


def test_the_test_images_of_house_numbers_are_enough_to_tell_them_apart(tmp_path):
    numbers(tmp_path / "test_32x32.mat", 12)
    source = svhn.locate((tmp_path,))
    assert len(svhn.load(source, "test").labels) == 12
    with pytest.raises(BadInput, match=r"train_32x32\.mat: missing; only the test images are there"):
        svhn.load(source, "train")


@pytest.mark.parametrize("damage", ["alone", "cut", "other", "empty"])
def test_broken_house_numbers_are_named(tmp_path, damage):
    path = tmp_path / "svhn" / "test_32x32.mat"
    numbers(path.with_name("train_32x32.mat"), 12)
    numbers(path, 12)
    if damage == "alone":
        path.unlink()
    elif damage == "other":
        savemat(path, {"X": np.zeros((32, 32, 12), np.uint8), "y": np.ones((12, 1))})
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 3000])
    with pytest.raises(BadInput, match=r"test_32x32\.mat"):
        svhn.load(svhn.locate((tmp_path,)), "test")


# --------------------------------------------------------------------------------------------- CIFAR-100


def test_a_whole_copy_of_cifar100_comes_before_its_test_images(tmp_path):
    rng = np.random.default_rng(0)
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "cifar100").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (3200, 3200, 3), dtype=np.uint8)).save(
        first / "cifar100" / "test.webp", lossless=True, method=0
    )
    np.savez(first / "cifar100" / "labels.npz", labels=np.arange(10_000) % 100)
    source = cifar100.locate((first, second))
    assert (source.layout, source.splits) == ("mosaics", ("test",))
    assert loading.describe("cifar100", (first,))["detail"].endswith("cifar100, test images only")
    (row,) = (r for r in listing.every("task", first) if r["task"] == "c100-r20s")
    assert "cifar100 training images missing" in row["data"]
    assert len(cifar100.load(source, "test").labels) == 10_000
    with pytest.raises(BadInput, match="holds the test images only") as caught:
        cifar100.load(source, "train")
    assert f"lthbench data download cifar100 --to {first}" in str(caught.value)
    for part, count in (("train", 10), ("test", 1)):
        for name in cifar100.CLASSES:
            (second / "cifar100" / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (i, 0, 0)).save(second / "cifar100" / part / name / f"{i}.png")
    with pytest.raises(BadInput, match="has 50,000 train images, 500 of each class, found 1,000: apple 10, "):
        cifar100.locate((first, second))
    whole = cifar100.locate((first, second), {"train": 1_000, "test": 100})
    assert whole.root == second / "cifar100"
    assert len(cifar100.load(whole, "train").labels) == 900
    assert len(cifar100.load(whole, "val").labels) == 100


# --------------------------------------------------------------------------------------- gaussian-noise


def test_gaussian_noise_is_the_published_clipped_normal_and_the_same_always():
    dataset = registry.get(Dataset, "gaussian-noise")
    pixels = dataset.load(dataset.locate(()), "test").pixels
    assert pixels.shape == (10_000, 3, 32, 32)
    assert hashlib.sha256(np.asarray(pixels).tobytes()).hexdigest()[:16] == "9d306593063fefd6"
    # Closed form: a normal of deviation 0.25 * 255 around the middle grey, what is beyond the ends at them.
    sample = pixels[:2000].astype(float) / 255
    ends = 1 - norm.cdf(2.0)
    np.testing.assert_allclose([(sample == 0).mean(), (sample == 1).mean()], ends, rtol=0.06)
    np.testing.assert_allclose(sample.mean(), 0.5, atol=1e-3)
    inner = (np.abs(sample - 0.5) < 0.25).mean()
    np.testing.assert_allclose(inner, norm.cdf(1) - norm.cdf(-1), atol=3e-3)
    assert abs(np.corrcoef(sample[:, 0].ravel(), sample[:, 1].ravel())[0, 1]) < 0.005


def test_imagenet_o_is_against_two_hundred_classes_of_imagenet():
    against = registry.get(Dataset, "imagenet-o").against["imagenet"]
    assert len(set(against)) == 200
    assert [WNIDS[c] for c in against] == list(imagenet_o.WNIDS)
