"""Images decoded as they are needed, and random crops of any size: against Pillow, torchvision and torch."""

import dataclasses
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.nn import functional as F
from torchvision.transforms import v2

from lthbench import api, registry
from lthbench.data import augment, loading, status, streaming
from lthbench.data.streaming import Stream
from lthbench.datasets import imagenet
from lthbench.datasets._imagenet_classes import WNIDS
from lthbench.errors import BadInput
from lthbench.inference.predict import predict, ready
from lthbench.kinds import Architecture, Images
from lthbench.spec import Data, Inputs, Network
from lthbench.training import loop
from lthbench.training.batches import epoch_of, padded

TINY = Path(__file__).parents[1] / "tiny.toml"
PLUGIN = """
from dataclasses import replace
from functools import partial
from lthbench.datasets.imagenet import DATASET, WNIDS, load, locate

SPLITS = {"train": 24, "test": 9}
DATASET = replace(DATASET, name="photographs", classes=("a", "b", "c"), size=32, splits=SPLITS,
    locate=partial(locate, splits=SPLITS, wnids=WNIDS[:3]), load=partial(load, wnids=WNIDS[:3], size=32))
"""


def photograph(number: int, width: int, height: int) -> Image.Image:
    """A piece of one of scikit-learn's two photographs, scaled to ``width`` x ``height``."""
    whole = Image.fromarray(load_sample_images().images[number % 2])
    left, top = 37 * number % 300, 23 * number % 150
    return whole.crop((left, top, left + 300, top + 250)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tree in ImageNet's layout: three classes, eight training and three validation images of each."""
    root = tmp_path_factory.mktemp("data")
    for label, wnid in enumerate(WNIDS[:3]):
        for part, count in (("train", 8), ("val", 3)):
            at = root / "imagenet" / part / wnid
            at.mkdir(parents=True)
            for i in range(count):
                number = 11 * label + i
                photograph(number, 60 + 7 * number, 90 - number).save(at / f"{wnid}_{i}.JPEG", quality=90)
    return root


@pytest.fixture
def plugin(tmp_path):
    """A data set of the user's own in the layout of ImageNet, known by the path of its file."""
    path = tmp_path / "photographs.py"
    path.write_text(PLUGIN)
    yield str(path)
    for key in [k for k in registry._paths if k[1] == "photographs"]:
        del registry._paths[key]


@pytest.fixture
def images(folder, plugin):
    yield loading.load(plugin, "train", (folder,))
    loading.load.cache_clear()


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded so far."""
    seen, read = [], streaming.read
    monkeypatch.setattr(streaming, "read", lambda path, make: (seen.append(path), read(path, make))[1])
    return seen


# ------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("size", [(300, 225), (225, 300), (224, 224), (1000, 260), (90, 61), (500, 375)])
def test_an_image_is_evaluated_as_torchvision_does_it(tmp_path, size):
    path = tmp_path / "image.JPEG"
    photograph(1, *size).save(path, quality=92)
    steps = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    with Image.open(path) as image:
        expected = np.asarray(steps(image.convert("RGB")))
    found = streaming.Stream([path], 224)[:]
    assert found.shape == (1, 3, 224, 224)
    assert np.array_equal(found[0].transpose(1, 2, 0), expected)


def test_a_very_large_image_is_decoded_smaller_and_looks_the_same(tmp_path):
    path = tmp_path / "image.jpg"
    photograph(0, 1600, 1300).save(path, quality=95)
    steps = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    with Image.open(path) as image:
        expected = np.asarray(steps(image.convert("RGB"))).astype(float)
    found = streaming.Stream([path], 224)[:][0].transpose(1, 2, 0)
    assert np.abs(found - expected).mean() < 1.0


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_images_that_are_not_in_three_colours_become_so(tmp_path, mode):
    path = tmp_path / ("image.JPEG" if mode in ("L", "CMYK") else "image.png")
    photograph(0, 80, 70).convert(mode).save(path)
    assert streaming.Stream([path], 32)[:].shape == (1, 3, 32, 32)


def test_a_stream_is_indexed_like_an_array(images):
    whole = images.pixels[:]
    assert isinstance(images.pixels, streaming.Stream)
    assert images.pixels.shape == whole.shape == (24, 3, 32, 32)
    assert images.pixels.dtype == whole.dtype == np.uint8
    assert len(images.pixels) == 24
    assert images.pixels.nbytes == whole.nbytes
    for chosen in (
        slice(3, 7),
        slice(20, 99),
        slice(0, 0),
        np.array([5, 2, 5]),
        np.array([], dtype=np.int64),
    ):
        assert np.array_equal(images.pixels[chosen], whole[chosen])
    assert np.array_equal(images.pixels.view(np.array([4, 1]))[:], whole[[4, 1]])
    assert images.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_subsets_are_not_decoded_and_are_those_of_an_array(images, decoded):
    some = loading.subset(images, 5)
    assert decoded == []
    resident = Images(images.pixels[:], images.labels)
    expected = loading.subset(resident, 5)
    assert np.array_equal(some.pixels[:], np.asarray(expected.pixels))
    assert some.labels.tolist() == expected.labels.tolist()
    two, other = loading.per_class(images, 2), loading.per_class(resident, 2)
    assert isinstance(two.pixels, np.ndarray)
    assert np.array_equal(np.asarray(two.pixels), np.asarray(other.pixels))


# --------------------------------------------------------------------------------------------- prefetch


def test_items_come_in_order_and_no_more_than_one_is_made_ahead():
    made = []

    def items():
        for i in range(6):
            made.append(i)
            yield i

    for i in streaming.ahead(items()):
        assert made[-1] <= i + 1
    assert made == list(range(6))


def test_what_goes_wrong_in_the_thread_is_raised_where_the_item_is_used():
    def items():
        yield 1
        raise BadInput("x.jpg: broken")

    made = streaming.ahead(items())
    assert next(made) == 1
    with pytest.raises(BadInput, match=r"x\.jpg"):
        next(made)


def test_no_thread_is_left_when_the_rest_is_not_wanted():
    before = threading.active_count()
    made: Any = streaming.ahead(iter(range(100)))
    next(made)
    made.close()
    assert threading.active_count() == before


# ------------------------------------------------------------------------------------------------ crops


def boxes(width, height, share, count=4000):
    draws = np.random.default_rng(0).random((count, streaming.DRAWS))
    return np.array([streaming.crop_box(width, height, d, share) for d in draws])


@pytest.mark.parametrize(("width", "height", "share"), [(500, 375, 0.08), (64, 64, 0.35), (30, 90, 0.25)])
def test_crops_are_distributed_as_those_of_torchvision(width, height, share):
    left, top, w, h = boxes(width, height, share).T
    assert (np.minimum(left, top) >= 0).all()
    assert (left + w <= width).all()
    assert (top + h <= height).all()
    torch.manual_seed(0)
    image = torch.zeros(3, height, width)
    crop = v2.RandomResizedCrop(8, scale=(share, 1.0))
    theirs = np.array(
        [[p[k] for k in ("left", "top", "width", "height")] for p in map(crop.make_params, [[image]] * 4000)]
    )
    for ours, other in zip((left, top, w, h, w * h), (*theirs.T, theirs[:, 2] * theirs[:, 3]), strict=True):
        error = np.hypot(ours.std(), other.std()) / np.sqrt(4000)
        assert abs(ours.mean() - other.mean()) <= 4.5 * error
        assert abs(ours.std() - other.std()) <= 0.06 * other.std()


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(1000, 10, (493, 0, 13, 10)), (10, 1000, (0, 493, 10, 13))]
)
def test_where_no_crop_fits_the_middle_is_taken(width, height, expected):
    draws = np.full(streaming.DRAWS, 0.5)
    assert streaming.crop_box(width, height, draws, 0.9) == expected


def test_crops_in_memory_are_scaled_as_torch_scales_each_cut_out():
    draw = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (40, 24, 30, 3), generator=draw, dtype=torch.uint8)
    cuts = boxes(30, 24, 0.05, 40)
    flips = torch.rand(40, generator=draw) < 0.5
    found = augment.scaled(batch, torch.from_numpy(cuts), flips)
    assert found.shape == batch.shape
    for image, (left, top, w, h), flip, ours in zip(batch, cuts, flips, found, strict=True):
        part = image[top : top + h, left : left + w].permute(2, 0, 1)[None].float()
        expected = F.interpolate(part, (24, 30), mode="bilinear", antialias=True, align_corners=False)[0]
        expected = expected.flip(2) if flip else expected
        assert torch.allclose(ours.permute(2, 0, 1), expected, atol=2e-3)


def test_crops_of_a_stream_are_cut_out_of_the_whole_image(tmp_path):
    paths = []
    for i, size in enumerate([(300, 225), (120, 160), (700, 500)]):
        paths.append(tmp_path / f"{i}.jpg")
        photograph(i, *size).save(paths[-1], quality=95)
    draws = np.random.default_rng(3).random((3, streaming.DRAWS))
    flips = np.array([True, False, True])
    found = streaming.Stream(paths, 48).crops(np.arange(3), draws, 0.3, flips)
    for path, d, flip, ours in zip(paths, draws, flips, found, strict=True):
        with Image.open(path) as image:
            left, top, w, h = streaming.crop_box(*image.size, d, 0.3)
            part = image.convert("RGB").crop((left, top, left + w, top + h))
        expected = np.asarray(part.resize((48, 48), Image.Resampling.BILINEAR)).astype(float)
        expected = expected[:, ::-1] if flip else expected
        assert np.abs(ours.transpose(1, 2, 0) - expected).mean() < 2.0


# --------------------------------------------------------------------------------------------- training


@pytest.fixture
def cropping(recipe):
    """Two epochs with crops of random size."""
    return dataclasses.replace(recipe, epochs=2, batch_size=8, crop_padding=0, flip=True, resized_crop=0.25)


@pytest.fixture
def model():
    network = Network("resnet8", 1, 3, 3, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    torch.manual_seed(0)
    return registry.get(Architecture, "resnet8").build(network)


def batches(images, recipe, epoch=0):
    pixels, labels = padded(images, recipe.crop_padding, torch.device("cpu"))
    return list(epoch_of(pixels, labels, recipe, 3, epoch))


@pytest.mark.parametrize("padding", [0, 2])
def test_without_resizing_a_stream_gives_the_very_batches_of_an_array(images, recipe, padding):
    recipe = dataclasses.replace(recipe, crop_padding=padding, flip=True, batch_size=10)
    streamed = batches(images, recipe)
    resident = batches(Images(images.pixels[:], images.labels), recipe)
    assert [len(b) for b, _ in streamed] == [10, 10, 4]
    for (ours, label), (other, truth) in zip(streamed, resident, strict=True):
        assert torch.equal(ours, other)
        assert torch.equal(label, truth)
        assert ours.stride() == other.stride()


@pytest.mark.parametrize("resident", [False, True])
def test_with_resizing_an_epoch_holds_every_image_once_and_repeats(images, cropping, resident):
    if resident:
        images = Images(images.pixels[:], images.labels)
    first, again, other = (batches(images, cropping, epoch) for epoch in (0, 0, 1))
    assert sum(len(label) for _, label in first) == 24
    assert torch.cat([label for _, label in first]).bincount().tolist() == [8, 8, 8]
    for batch, _ in first:
        assert batch.shape[1:] == (3, 32, 32)
        assert 0.0 <= batch.min() < batch.max() <= 1.0 + 1e-6
        assert batch.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], other[0][0])


def test_a_network_trains_and_predicts_from_a_stream(images, folder, plugin, cropping, model):
    losses = loop.train(model, images, dataclasses.replace(cropping, epochs=6, lr=0.05), 0).losses
    assert losses[-1] < losses[0]
    inputs = Inputs(Data(plugin, 1, "x"), "test", 5, "clean", 1)
    (found,) = predict([ready(model, torch.device("cpu"))], inputs, (folder,))
    expected = loading.subset(loading.load(plugin, "test", (folder,)), 5)
    with torch.no_grad():
        logits = model(torch.from_numpy(expected.pixels[:]).float() / 255.0).numpy()
    np.testing.assert_allclose(found.values, logits, atol=1e-5)
    assert found.labels.tolist() == expected.labels.tolist()
    (attacked,) = predict([model], dataclasses.replace(inputs, view="fgsm", strengths=(2,)), (folder,))
    assert attacked.values.shape == (1, 5, 3)


def task(folder: Path, plugin: str) -> str:
    """A task of the data set in a user's own file, which is named beside it as --plugin does."""
    registry.take(plugin)
    path = folder / "task.toml"
    text = TINY.read_text(encoding="utf-8").replace('dataset = "digits"', 'dataset = "photographs"')
    text = text.replace("crop_padding = 1", "crop_padding = 0\nresized_crop = 0.25").replace(
        "images = 320", "images = 0"
    )
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_whole_run_reads_from_a_stream(folder, plugin, tmp_path):
    scores = api.run(
        task(tmp_path, plugin),
        ["omp"],
        rounds=[1],
        metrics=["accuracy", "fgsm", "mce"],
        data=folder,
        store=tmp_path / "store",
        device="cpu",
    )
    seen = scores[scores["metric"].isin(["accuracy", "fgsm"])]
    assert len(seen) >= 4
    assert seen["value"].notna().all()
    assert set(seen["n"]) == {9}
    assert (scores[scores["metric"] == "mce"]["n"] > 0).all()


def test_networks_are_scored_where_only_test_images_are_there(folder, plugin, tmp_path, model):
    shutil.copytree(folder / "imagenet" / "val", tmp_path / "copy" / "imagenet" / "val")
    asked = task(tmp_path, plugin)
    pruned = {n: t.clone() for n, t in model.state_dict().items()}
    pruned["layer1.0.conv1.weight"][:4] = 0.0
    given = {"data": tmp_path / "copy", "store": tmp_path / "store", "device": "cpu"}
    scores = api.score(pruned, asked, dense=model.state_dict(), metrics=["accuracy"], **given)
    assert set(scores["n"]) == {9}
    with pytest.raises(BadInput, match="holds the test images only"):
        api.run(asked, ["omp"], metrics=["accuracy"], **given)


# ----------------------------------------------------------------------------------------- broken files


@pytest.fixture
def victim(folder, tmp_path):
    """A copy of the tree, and one of its images."""
    shutil.copytree(folder, tmp_path / "copy")
    loading.load.cache_clear()
    yield tmp_path / "copy" / "imagenet" / "train" / WNIDS[1]
    loading.load.cache_clear()


@pytest.mark.parametrize(("number", "content"), [(0, "cut"), (0, "text"), (5, "empty")])
def test_a_broken_file_is_named_before_anything_is_written(victim, plugin, tmp_path, number, content):
    path = victim / f"{WNIDS[1]}_{number}.JPEG"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"no image", "empty": b""}[content])
    with pytest.raises(BadInput, match=str(path)):
        api.run(
            task(tmp_path, plugin),
            ["omp"],
            metrics=["accuracy"],
            data=tmp_path / "copy",
            store=tmp_path / "store",
            device="cpu",
        )
    assert not (tmp_path / "store").exists()


def test_a_file_that_proves_broken_in_training_is_named(victim, plugin, tmp_path, cropping, model):
    path = victim / f"{WNIDS[1]}_5.JPEG"
    path.write_bytes(path.read_bytes()[:900])
    loading.check(plugin, "train", (tmp_path / "copy",))
    with pytest.raises(BadInput, match=str(path)):
        loop.train(model, loading.load(plugin, "train", (tmp_path / "copy",)), cropping, 0)


def test_a_transparent_image_is_named_before_a_training_begins(tmp_path):
    """Whatever its ending: only files that are no JPEGs are looked into, and of most of these the header."""
    paths = [tmp_path / f"{i}.JPEG" for i in range(4)]
    for i, (path, form) in enumerate(zip(paths, ["JPEG", "PNG", "PNG", "PNG"], strict=True)):
        image = photograph(i, 40, 50)
        if i > 1:
            image.putalpha(255 if i == 2 else 90)
        image.save(path, format=form)
    with pytest.raises(BadInput, match=r"3\.JPEG: has transparent pixels"):
        Stream(paths, 32).check(np.array([0]))
    Stream(paths[:3], 32).check(np.array([0]))
    Stream(paths, 32, plain=True).check(np.array([0]))


def test_verifying_decodes_every_image_and_names_those_that_are_broken(victim, plugin, tmp_path, monkeypatch):
    (whole,) = status.verified([plugin], tmp_path / "copy")
    assert (whole["state"], whole["splits"]) == ("whole", ["train", "test"])
    paths = [victim / f"{WNIDS[1]}_{number}.JPEG" for number in (2, 4, 7)]
    for path, most in zip(paths, (900, -1, -40), strict=True):  # one lacks but its last byte
        path.write_bytes(path.read_bytes()[:most])
    heard: list[str] = []
    (found,) = status.verified([plugin], tmp_path / "copy", heard.append)
    assert (found["state"], found["splits"]) == ("broken", ["test"])
    assert [fault.partition(":")[0] for fault in found["faults"]] == list(map(str, paths))
    assert heard[23] == "photographs: 24 of 24 train images"
    monkeypatch.setattr(status, "NAMED", 1)
    (found,) = status.verified([plugin], tmp_path / "copy")
    assert found["faults"][1:] == ["and 2 more of its train images"]


# ------------------------------------------------------------------------------------------ real images


def packed(name: str):
    """The file of encoded images of that name in the folder that LTHBENCH_DATA names."""
    path = Path(os.environ.get("LTHBENCH_DATA", "")) / name
    if not os.environ.get("LTHBENCH_DATA") or not path.is_file():
        pytest.skip(f"LTHBENCH_DATA names no folder with {name}")
    return np.load(path)


def unpacked(file, folder: Path, numbers, suffix=".webp"):
    paths = []
    for i in numbers:
        paths.append(folder / f"{i:05}{suffix}")
        paths[-1].write_bytes(bytes(file["data"][file["offsets"][i] : file["offsets"][i + 1]]))
    return paths


def test_a_thousand_real_images_in_a_thousand_classes(tmp_path):
    file = packed("imagenet1000.npz")
    assert tuple(file["wnids"]) == WNIDS
    for part in ("train", "val"):
        for wnid in WNIDS:
            (tmp_path / "imagenet" / part / wnid).mkdir(parents=True)
    content, offsets = file["data"], file["offsets"]
    for i, wnid in enumerate(WNIDS):
        for part in ("train", "val"):
            (tmp_path / "imagenet" / part / wnid / "0.webp").write_bytes(
                bytes(content[offsets[i] : offsets[i + 1]])
            )
    source = imagenet.locate((tmp_path,), splits={"train": 1000, "test": 1000})
    images = imagenet.load(source, "test")
    assert images.labels.tolist() == list(range(1000))
    assert isinstance(images.pixels, Stream)
    images.pixels.check(np.arange(0, 1000, 50))
    with Image.open(tmp_path / "imagenet" / "val" / WNIDS[7] / "0.webp") as image:
        expected = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image.convert("RGB"))
    assert np.array_equal(images.pixels[np.array([7])][0].transpose(1, 2, 0), np.asarray(expected))


def test_a_network_learns_real_classes_from_a_stream(tmp_path, cropping, model):
    file = packed("caltech25.npz")
    labels = file["labels"]
    chosen = np.flatnonzero((file["split"] == 0) & (labels < 3))[::2]
    images = Images(streaming.Stream(unpacked(file, tmp_path, chosen), 32), labels[chosen])
    losses = loop.train(model, images, dataclasses.replace(cropping, epochs=5, lr=0.05), 0).losses
    assert losses[-1] < 0.9 * losses[0]
