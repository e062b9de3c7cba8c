"""The published corrupted sets, in small copies of their layouts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lthbench import registry
from lthbench.corruptions import official
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.inference import corrupted
from lthbench.kinds import Dataset, Images
from lthbench.planning import plan, task
from lthbench.planning.request import ask
from lthbench.spec import Inputs

COUNT = 12


@pytest.fixture
def cifar(monkeypatch):
    """CIFAR-10 with twelve test images of 32 pixels, found wherever it is looked for."""
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8), np.arange(COUNT) % 10)
    real = registry.get(Dataset, "cifar10")
    small = dataclasses.replace(
        real, splits={**real.splits, "test": COUNT}, locate=lambda folders: None, load=lambda s, p: images
    )
    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, name: small if name == "cifar10" else get(kind, name))
    monkeypatch.setattr(loading, "load", lambda name, split, places: images)
    return small


@pytest.fixture
def arrays(tmp_path):
    """The folder CIFAR-10-C with two kinds: every pixel tells kind, severity and image apart."""
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    for number, kind in enumerate(("fog", "frost")):
        np.save(folder / f"{kind}.npy", pixels(number))
    np.save(folder / "labels.npy", np.tile(np.arange(COUNT, dtype=np.uint8) % 10, 5))
    return folder


def pixels(number):
    """Twelve images at each of five severities, ``[60, 32, 32, 3]``; channels differ, and so do rows."""
    block = np.arange(5 * COUNT, dtype=np.uint8)[:, None, None, None] + 100 * number
    row = np.arange(32, dtype=np.uint8)[None, :, None, None]
    return np.ascontiguousarray(
        np.broadcast_to(block + np.arange(3, dtype=np.uint8) + row, (5 * COUNT, 32, 32, 3))
    )


def inputs(dataset, places, kind="fog", count=0, severities=(1, 5)):
    found = official.identify(dataset, kind, severities, places)
    return Inputs(found, "test", count, official.PREFIX + kind, official.VERSION, severities)


def test_each_severity_is_its_block_of_the_array(cifar, arrays):
    for severity in range(1, 6):
        found = official.load(cifar, "frost", severity, (arrays.parent,))
        expected = pixels(1)[(severity - 1) * COUNT : severity * COUNT].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found.pixels, expected)
        np.testing.assert_array_equal(found.labels, np.arange(COUNT) % 10)
        assert (found.pixels.dtype, found.labels.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("count", [0, 5])
def test_networks_are_shown_the_published_images_of_the_same_test_images(cifar, arrays, count):
    places = (arrays.parent,)
    shown = np.concatenate(list(corrupted.corrupted(inputs(cifar, places, count=count), 5, places)))
    chosen = loading.order(COUNT, "subset")[:count] if count else np.arange(COUNT)
    np.testing.assert_array_equal(shown, pixels(0)[4 * COUNT :][chosen].transpose(0, 3, 1, 2))


def test_labels_in_another_order_than_the_test_images_are_refused(cifar, arrays):
    np.save(arrays / "labels.npy", np.tile(np.arange(COUNT, dtype=np.uint8)[::-1] % 10, 5))
    places = (arrays.parent,)
    with pytest.raises(BadInput, match="of fog for cifar10 have other labels"):
        list(corrupted.corrupted(inputs(cifar, places), 1, places))


def test_the_key_holds_the_digest_of_the_kinds_own_array(cifar, arrays):
    places = (arrays.parent,)
    fog, frost = (official.identify(cifar, k, (1,), places) for k in ("fog", "frost"))
    assert len({fog.digest, frost.digest, loading.MISSING}) == 3
    changed = pixels(0)
    changed[0, 0, 0, 0] += 1
    np.save(arrays / "fog.npy", changed)
    assert official.identify(cifar, "fog", (1,), places).digest != fog.digest
    assert official.identify(cifar, "frost", (1,), places) == frost


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "fog.npy",
            pixels(0)[:-1],
            r"fog.npy: should be uint8 of shape \(60, 32, 32, 3\), is uint8 of \(59,",
        ),
        ("fog.npy", pixels(0).astype(np.float32), "fog.npy: should be uint8 .* is float32"),
        ("labels.npy", np.zeros(12, np.uint8), r"labels.npy: should be whole numbers of shape \(60,\)"),
        ("labels.npy", np.full(60, 10, np.uint8), "labels.npy: labels must be 0..9"),
        ("fog.npy", b"", "fog.npy: broken .npy file"),
        ("fog.npy", b"\x93NUMPY\x01\x00nonsense", "fog.npy: broken .npy file"),
        ("labels.npy", None, "labels.npy: is missing"),
    ],
)
def test_a_broken_array_is_named_with_what_was_expected(cifar, arrays, name, content, said):
    path = arrays / name
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(BadInput, match=said):
        official.identify(cifar, "fog", (1,), (arrays.parent,))


def test_an_array_cut_short_is_named(cifar, arrays):
    path = arrays / "fog.npy"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadInput, match=r"fog\.npy: broken \.npy file"):
        official.identify(cifar, "fog", (1,), (arrays.parent,))


def test_what_is_not_there_is_said_and_how_to_get_it(cifar, tmp_path):
    with pytest.raises(BadInput, match=r"fog for data set cifar10 are not in .*CIFAR-10-C.*--data DIR"):
        official.identify(cifar, "fog", (1,), (tmp_path,))
    assert official.identify(cifar, "fog", (1,), (tmp_path,), needed=False).digest == loading.MISSING


def test_data_sets_without_a_published_set_are_refused(tmp_path):
    with pytest.raises(
        BadInput, match=r"published for data set digits; there are some for cifar10, cifar100"
    ):
        official.identify(registry.get(Dataset, "digits"), "fog", (1,), (tmp_path,))


# --------------------------------------------------------------------------------------------- ImageNet-C


@pytest.fixture(params=["imagenet-c", "imagenet-c/weather"])
def tree(tmp_path, request):
    """Two classes with two images each at two severities, of 10 x 12 pixels; 8 x 8 are the middle."""
    for severity in (1, 2):
        for label, wnid in enumerate(("n02", "n01")):
            folder = tmp_path / request.param / "fog" / str(severity) / wnid
            folder.mkdir(parents=True)
            for number in range(2):
                picture = np.full((12, 10, 3), 10 * severity + label, np.uint8)
                picture[2, 1] = 100 + number
                Image.fromarray(picture).save(folder / f"{number}.png")
    return tmp_path


@pytest.fixture
def imagenet():
    """ImageNet with four test images of 8 pixels in two classes."""
    real = registry.get(Dataset, "imagenet")
    return dataclasses.replace(real, classes=("one", "two"), size=8, splits={"test": 4})


def test_the_middle_of_each_image_is_shown_as_it_is_class_by_class(imagenet, tree):
    found = official.load(imagenet, "fog", 2, (tree,))
    assert found.labels.tolist() == [0, 0, 1, 1]
    shown = found.pixels[:]
    assert shown.shape == (4, 3, 8, 8)
    assert shown[:, 0, 0, 0].tolist() == [100, 101, 100, 101]
    assert shown[:, 0, 1, 1].tolist() == [21, 21, 20, 20]
    np.testing.assert_array_equal(loading.subset(found, 2).pixels[:], shown[loading.order(4, "subset")[:2]])


def test_a_tree_that_lacks_images_or_severities_is_named(imagenet, tree):
    with pytest.raises(BadInput, match="3: is missing"):
        official.identify(imagenet, "fog", (1, 3), (tree,))
    next(tree.rglob("2/n01/0.png")).unlink()
    with pytest.raises(BadInput, match="2: should hold 4 images in 2 folders of classes, holds 3 in 2"):
        official.identify(imagenet, "fog", (1, 2), (tree,))
    assert official.identify(imagenet, "fog", (1,), (tree,)).digest != loading.MISSING


def test_images_that_are_broken_or_too_small_are_named(imagenet, tree):
    small, broken = (next(tree.rglob(f"1/{wnid}/0.png")) for wnid in ("n01", "n02"))
    Image.new("RGB", (7, 20)).save(small)
    with pytest.raises(BadInput, match=r"n01/0\.png: .*should be at least 8 x 8 pixels, is 7 x 20"):
        official.load(imagenet, "fog", 1, (tree,)).pixels[:2]
    broken.write_bytes(b"not an image")
    with pytest.raises(BadInput, match=r"n02/0\.png: broken image file"):
        official.load(imagenet, "fog", 1, (tree,)).pixels[2:]


# -------------------------------------------------------------------------------------------------- tasks


def asked(source, kinds):
    """The quick budget of the CIFAR-10 task with these corrupted images."""
    given = task.load("c10-r20s")
    quick = given.budget["quick"]
    looked = dataclasses.replace(quick.evaluate, corruption_source=source, corruptions=kinds)
    budgets = {**given.budget, "quick": dataclasses.replace(quick, evaluate=looked)}
    return ask(dataclasses.replace(given, budget=budgets), methods=[], seeds=1, metrics=["mce"])


def test_a_plan_shows_networks_the_published_images_by_their_digest(cifar, arrays):
    places = (arrays.parent,)
    made = plan.plan(asked("official", ("fog", "frost")), places, data_needed=False)
    sets = dict(made.entries[0].measures[0].inputs)
    assert sets["corrupted/frost"].view == "official/frost"
    assert sets["corrupted/frost"].data == official.identify(cifar, "frost", (1,), places)
    assert sets["uncorrupted"].images == sets["corrupted/fog"].images
    made = plan.plan(asked(None, ("fog", "frost_procedural")), places, data_needed=False)
    assert dict(made.entries[0].measures[0].inputs)["corrupted/fog"].view == "fog"


@pytest.mark.parametrize(
    ("source", "kind", "meant"),
    [("official", "frost_procedural", "frost"), (None, "frost", "frost_procedural")],
)
def test_frost_goes_by_its_own_name_in_each_source(source, kind, meant):
    with pytest.raises(BadInput, match=rf'no corruption "{kind}"\. .*Valid: .*fog, {meant}, gauss'):
        asked(source, (kind,))


def test_a_task_with_an_unknown_source_is_refused(tmp_path, tiny_task):
    text = Path(tiny_task).read_text().replace("fgsm_epsilon", 'corruption_source = "oficial"\nfgsm_epsilon')
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(BadInput, match=r'no corruption_source "oficial"\. Did you mean official'):
        task.load(str(tmp_path / "t.toml"))
