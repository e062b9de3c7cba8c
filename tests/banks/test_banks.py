"""Banks of concepts: the made one is exact, those in files are read in their published layouts."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from lthbench import doctor, registry
from lthbench.banks import _arrays, shapes
from lthbench.cli import main
from lthbench.data import concepts, loading, status
from lthbench.errors import BadInput
from lthbench.kinds import Bank, Images
from lthbench.planning import plan, request, seeds, summary
from lthbench.store import LocalStore


def backdrop(n=120, size=32, channels=3):
    draw = np.random.Generator(np.random.PCG64(0))
    return Images(draw.integers(0, 256, (n, channels, size, size), dtype=np.uint8), np.arange(n) % 10)


# ------------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (64, 3)])
def test_shapes_are_put_where_their_masks_are(size, channels):
    given = backdrop(size=size, channels=channels)
    made = shapes.load(None, given, 100, size, channels)
    assert made.pixels.shape == (100, channels, size, size)
    assert len(made.names) == len(made.categories) == 29
    changed = (made.pixels != given.pixels[:100]).any(1)
    masked = made.layers[:, 2] > 0
    assert not (changed & ~masked).any()
    assert (changed & masked).sum() > 0.9 * masked.sum()
    assert 0.005 < masked.mean() < 0.12
    for layer, category in enumerate(("colour", "texture", "shape", "position")):
        shown = np.unique(made.layers[:, layer])
        assert {made.categories[k - 1] for k in shown if k} == {category}
    assert (made.layers[:, 0] > 0).all()
    assert ((made.layers[:, 1] > 0) == masked).all()
    assert not np.array_equal(given.pixels[0], made.pixels[0])


def test_shapes_are_a_function_of_the_images_number():
    given = backdrop()
    first, fewer = shapes.load(None, given, 50, 32, 3), shapes.load(None, given, 20, 32, 3)
    np.testing.assert_array_equal(first.layers[:20], fewer.layers)
    np.testing.assert_array_equal(first.pixels[:20], fewer.pixels)


def test_positions_are_where_they_say():
    made = shapes.load(None, backdrop(), 100, 32, 3)
    for k in range(100):
        rows, columns = np.nonzero(made.layers[k, 3])
        name = made.names[made.layers[k, 3].max() - 1]
        assert (
            name
            == f"{'top' if rows.mean() < 15.5 else 'bottom'} {'left' if columns.mean() < 15.5 else 'right'}"
        )


def test_colours_are_the_nearest_named_ones():
    named = np.array(list(shapes.COLOURS.values()), dtype=np.uint8).T.reshape(3, 1, 11)
    assert shapes.colour_of(named)[0].tolist() == list(range(11))
    near = named.astype(int) + np.where(named > 128, -8, 8)
    assert (shapes.colour_of(near.astype(np.uint8))[0] == np.arange(11)).all()
    assert shapes.colour_of(np.full((1, 2, 2), 250, dtype=np.uint8)).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("shape", range(len(shapes.SHAPES)))
def test_each_shape_has_its_own_outline(shape):
    mine = shapes.outline(shape, 24)
    assert 0.2 < mine.mean() < 0.95
    for other in range(len(shapes.SHAPES)):
        if other != shape:
            theirs = shapes.outline(other, 24)
            assert (mine & theirs).sum() / (mine | theirs).sum() < 0.9


@pytest.mark.parametrize("texture", range(len(shapes.TEXTURES)))
def test_each_texture_has_ink_and_paper(texture):
    mine = shapes.pattern(texture, 32)
    assert 0.25 < mine.mean() < 0.75
    assert all((mine != shapes.pattern(t, 32)).any() for t in range(len(shapes.TEXTURES)) if t != texture)


# ------------------------------------------------------------------------------------------------- files


def photo(path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write_broden(root):
    """Two images in Broden's layout; the label maps of the first are at half its size."""
    photo(root / "images/a.png", (200, 0, 0))
    photo(root / "images/b.png", (0, 200, 0))
    coded = np.zeros((15, 20, 3), dtype=np.uint8)
    coded[:, :10] = (3, 1, 0)  # label 259
    coded[:, 10:] = (2, 0, 0)
    Image.fromarray(coded).save(root / "images/a_object.png")
    with (root / "index.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["image", "split", "ih", "iw", "sh", "sw", "object", "texture"])
        rows.writeheader()
        rows.writerow({"image": "a.png", "split": "train", "object": "a_object.png", "texture": ""})
        rows.writerow({"image": "b.png", "split": "train", "object": "", "texture": "1"})
    (root / "category.csv").write_text("name,first,last,count,frequency\nobject,2,259,2,1\ntexture,1,1,1,1\n")
    (root / "label.csv").write_text(
        "number,name,category,frequency,coverage,syns\n1,dotted,texture(1),1,1,\n2,sky,object(1),1,1,\n"
        "259,tree,object(1),1,1,\n"
    )


def test_a_label_of_broden_belongs_where_most_of_its_pixels_are(tmp_path):
    root = tmp_path / "broden1_224"
    write_broden(root)
    text = (root / "label.csv").read_text().replace("sky,object(1)", "sky,object(9);texture(1)")
    (root / "label.csv").write_text(text)
    bank = registry.get(Bank, "broden")

    def categories():
        return bank.load(bank.locate((tmp_path,)), None, 0, 12, 3).categories

    before = categories(), bank.locate((tmp_path,)).files
    assert before[0] == ("texture", "object", "object")
    (root / "c_object.csv").write_text("code,number,name,frequency,coverage\n1,2,sky,9,0.5\n2,259,tree,1,1\n")
    (root / "c_texture.csv").write_text(
        "code,number,name,frequency,coverage\n1,1,dotted,1,1\n2,2,sky,1,0.9\n"
    )
    assert categories() == ("texture", "texture", "object")
    assert len(bank.locate((tmp_path,)).files) == len(before[1]) + 2  # they are in the hash
    (root / "c_object.csv").write_text("code,number,name,frequency,coverage\n1,2,sky,9,half\n")
    with pytest.raises(BadInput, match=r"c_object\.csv: is not that of Broden"):
        categories()


def test_broden_is_read_in_its_layout(tmp_path):
    write_broden(tmp_path / "broden1_224")
    bank = registry.get(Bank, "broden")
    source = bank.locate((tmp_path / "nothing", tmp_path))
    made = bank.load(source, None, 0, 12, 3)
    assert made.names == ("dotted", "sky", "tree")
    assert made.categories == ("texture", "object", "object")
    a = int(np.flatnonzero(made.pixels[:, 0, 0, 0] == 200)[0])
    (objects,) = made.layers[a]  # no image has two label maps
    assert objects[:, :6].tolist() == [[3] * 6] * 12
    assert objects[:, 6:].tolist() == [[2] * 6] * 12
    assert made.layers[1 - a].max(0).tolist() == [[1] * 12] * 12
    (tmp_path / "broden1_224/images/a_object.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"a_object\.png: broken image file"):
        bank.load(source, None, 0, 12, 3)


def rewritten(path, change):
    """A table as a spreadsheet or an editor leaves it."""
    text = path.read_text()
    if change == "semicolons":
        rows = list(csv.reader(text.splitlines()))
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=";").writerows(rows)
    else:
        path.write_text(text, encoding=change)


@pytest.mark.parametrize("change", ["utf-8-sig", "utf-16", "semicolons"])
def test_broden_is_read_as_spreadsheets_leave_its_tables(tmp_path, change):
    for place in ("plain", "edited"):
        write_broden(tmp_path / place / "broden1_224")
    for name in ("index", "label", "category"):
        rewritten(tmp_path / "edited" / "broden1_224" / f"{name}.csv", change)
    bank = registry.get(Bank, "broden")
    plain, edited = (
        bank.load(bank.locate((tmp_path / place,)), None, 0, 12, 3) for place in ("plain", "edited")
    )
    assert (edited.names, edited.categories) == (plain.names, plain.categories)
    assert np.array_equal(edited.layers, plain.layers)


@pytest.mark.parametrize(
    ("table", "content", "said"),
    [
        ("index.csv", b"picture,split\n", r"index\.csv: has no column image; it has picture, split"),
        ("index.csv", "image,object\n".encode("utf-16-le"), r"index\.csv: is no text, or UTF-16 without"),
        ("index.csv", b"image\nmissing.png\n", r"broden is incomplete: missing images/missing\.png"),
        ("category.csv", b"category\n", r"category\.csv: has no column name"),
    ],
)
def test_a_broken_table_of_broden_is_named_where_it_is_looked_for_and_breaks_nothing_else(
    tmp_path, capsys, table, content, said
):
    write_broden(tmp_path / "broden1_224")
    (tmp_path / "broden1_224" / table).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        registry.get(Bank, "broden").locate((tmp_path,))
    main(["data", "--data", str(tmp_path), "--json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["sets"]}
    assert rows["broden"]["state"] == "broken"
    assert re.search(said, rows["broden"]["detail"])
    assert rows["digits"]["state"] == rows["shapes"]["state"] == "found"
    found = [f for f in doctor.examined(tmp_path, tmp_path / "store") if f.text.startswith("broden:")]
    assert [f.state for f in found] == ["note"]


def test_a_bank_that_fails_is_listed_as_broken_and_the_others_are_listed(monkeypatch):
    def fails(places):
        raise KeyError("a plug-in's own fault")

    real = registry.every(Bank)
    broken = dataclasses.replace(real[0], name="mine", locate=fails)
    every = registry.every
    monkeypatch.setattr(registry, "every", lambda kind: [broken, *real] if kind is Bank else every(kind))
    rows = {row["name"]: row for row in status.listed(None)["sets"]}
    assert rows["mine"]["state"] == "broken"
    assert "KeyError" in rows["mine"]["detail"]
    assert rows["digits"]["state"] == "found"


def test_label_maps_are_in_the_digest_of_broden(tmp_path):
    write_broden(tmp_path / "broden1_224")
    source = registry.get(Bank, "broden").locate((tmp_path,))
    before = loading.digest(source)
    coded = np.asarray(Image.open(tmp_path / "broden1_224/images/a_object.png")).copy()
    coded[0, 0] = (1, 0, 0)
    Image.fromarray(coded).save(tmp_path / "broden1_224/images/a_object.png")
    assert loading.digest(source) != before


def test_caltech101_outlines_become_masks(tmp_path):
    root = tmp_path / "caltech101"
    for name, folder in (("Faces", "Faces_2"), ("ant", "ant")):
        photo(root / f"101_ObjectCategories/{name}/image_0001.jpg", (0, 0, 200))
        (root / "Annotations" / folder).mkdir(parents=True)
        outline = np.array([[0.0, 20.0, 20.0, 0.0], [0.0, 0.0, 30.0, 30.0]])
        savemat(
            root / f"Annotations/{folder}/annotation_0001.mat",
            {"box_coord": np.array([[0, 30, 20, 40]]), "obj_contour": outline},
        )
    photo(root / "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg", (0, 0, 0))
    bank = registry.get(Bank, "caltech101")
    made = bank.load(bank.locate((tmp_path,)), None, 0, 30, 1)
    assert made.names == ("Faces", "ant")
    assert made.pixels.shape == (2, 1, 30, 30)
    assert sorted(layer.max() for layer in made.layers) == [1, 2]
    for layer in made.layers[:, 0]:  # columns 20.. of 40 pixels; the middle 30 of them are kept
        assert (layer[:, 16:] > 0).all()
        assert not layer[:, :14].any()


def test_voc_is_read_without_its_borders(tmp_path):
    root = tmp_path / "VOCdevkit/VOC2012"
    photo(root / "JPEGImages/one.jpg", (9, 9, 9))
    (root / "SegmentationClass").mkdir()
    numbers = np.zeros((30, 40), dtype=np.uint8)
    numbers[:, :20], numbers[:2] = 8, 255
    Image.fromarray(numbers).save(root / "SegmentationClass/one.png")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/trainval.txt").write_text("one\n")
    bank = registry.get(Bank, "voc2012")
    made = bank.load(bank.locate((tmp_path,)), None, 0, 30, 3)
    assert made.names[7] == "cat"
    assert set(np.unique(made.layers)) == {0, 8}
    assert not made.layers[0, 0, :2].any()


@pytest.mark.parametrize(("name", "concepts"), [("camvid11", 11), ("clothing-parts59", 58)])
def test_real_pixel_labels_are_read(name, concepts):
    bank = registry.get(Bank, name)
    source = bank.locate(loading.folders())
    if source is None:
        pytest.skip(f"{name} is not on this machine")
    made = bank.load(source, None, 40, 64, 3)
    assert made.pixels.shape == (40, 3, 64, 64)
    assert len(made.names) == concepts
    assert made.layers.max() <= concepts
    assert 0.1 < (made.layers > 0).mean() <= 1.0


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    bank = _arrays.bank("mine", "t", "s", "l", "object", "void")
    path = tmp_path / "mine.npz"
    np.savez(path, data=np.zeros(1, dtype=np.uint8), offsets=np.zeros(2, dtype=np.int64))
    with pytest.raises(BadInput, match=r"mine\.npz: has no masks, classes"):
        bank.load(bank.locate((tmp_path,)), None, 0, 8, 3)
    photo(tmp_path / "x.png", (1, 2, 3))
    content = np.frombuffer((tmp_path / "x.png").read_bytes(), dtype=np.uint8)
    offsets, classes = np.array([0, len(content)]), np.array(["sky", "void"])
    np.savez(path, data=content, offsets=offsets, classes=classes, masks=np.zeros((1, 9, 9), dtype=np.uint8))
    with pytest.raises(BadInput, match="30 x 40 pixels, its mask 9 x 9"):
        bank.load(bank.locate((tmp_path,)), None, 0, 8, 3)
    path.write_bytes(b"broken")
    with pytest.raises(BadInput, match=r"mine\.npz: broken \.npz file"):
        bank.load(bank.locate((tmp_path,)), None, 0, 8, 3)


# ----------------------------------------------------------------------------------------------- in a plan


def concept_inputs(made):
    return {dict(m.looks)["concepts"] for e in made.entries for m in e.measures if m.looks}


def test_a_task_without_a_bank_measures_no_concepts_unless_one_is_named(tiny_task):
    assert "dissection" not in request.ask(tiny_task, ["omp"]).metrics
    with pytest.raises(BadInput, match=r"metric dissection needs a bank of concepts.*--concepts"):
        request.ask(tiny_task, ["omp"], metrics=["dissection"])
    asked = request.ask(tiny_task, ["omp"], metrics=["dissection"], concepts="shapes")
    assert "--concepts shapes" in asked.command()
    (inputs,) = concept_inputs(plan.plan(asked, ()))
    assert (inputs.data.name, inputs.view) == ("digits", "bank/shapes")
    with pytest.raises(BadInput, match='no bank "shaps"'):
        request.ask(tiny_task, ["omp"], metrics=["dissection"], concepts="shaps")


def test_the_files_of_a_bank_are_in_the_key(tiny_task, tmp_path):
    asked = request.ask(tiny_task, ["omp"], metrics=["drift"], concepts="broden")
    with pytest.raises(BadInput, match=r"bank of concepts broden is not in"):
        plan.plan(asked, (tmp_path,))
    write_broden(tmp_path / "broden1_224")
    made = plan.plan(asked, (tmp_path,))
    (inputs,) = concept_inputs(made)
    assert inputs.view.startswith("bank/broden/")
    assert made.sources[-1].name == "bank/broden"
    account = summary.costed(seeds.whole(made), LocalStore(tmp_path / "store"), (tmp_path,), 1, "cpu")
    assert account["data"]["bank/broden"] == {
        "state": "found",
        "detail": f"broden in {tmp_path / 'broden1_224'}",
    }
    again = plan.plan(asked, (), known={d.name: d for d in made.sources}, data_needed=False)
    assert [m.key for e in again.entries for m in e.measures] == [
        m.key for e in made.entries for m in e.measures
    ]


def test_a_bank_that_is_of_no_use_is_refused(monkeypatch, tiny_task):
    made = plan.plan(request.ask(tiny_task, ["omp"], metrics=["dissection"], concepts="shapes"), ())
    (inputs,) = concept_inputs(made)
    shipped = registry.get(Bank, "shapes")
    wrong = {
        "do not fit: expected": lambda a: a._replace(layers=a.layers[:-1]),
        "names and categories": lambda a: a._replace(names=a.names[:3]),
        "names and categories do": lambda a: a._replace(layers=a.layers - 1),
        "concept or category must be a line": lambda a: a._replace(names=("a\rb", *a.names[1:])),
        "category is a formula to": lambda a: a._replace(categories=("=1", *a.categories[1:])),
        "images must be uint8 and .* found float64 and int16": lambda a: a._replace(pixels=a.pixels / 255),
        "masks whole numbers .* found uint8 and float64": lambda a: a._replace(layers=a.layers * 1.0),
    }
    for said, change in wrong.items():
        concepts.load.cache_clear()
        bad = dataclasses.replace(shipped, load=lambda *given, change=change: change(shipped.load(*given)))
        monkeypatch.setitem(registry._imported, (Bank, "shapes"), bad)
        with pytest.raises(BadInput, match=said):
            concepts.load(dataclasses.replace(inputs, images=12), 8, 1, ())
    concepts.load.cache_clear()


def test_pets_have_their_breeds(tmp_path):
    root = tmp_path / "oxford-iiit-pet"
    (root / "annotations/trimaps").mkdir(parents=True)
    lines = []
    for name, value in (("Abyssinian_1", 1), ("great_pyrenees_7", 1), ("great_pyrenees_8", 3)):
        photo(root / f"images/{name}.jpg", (0, 90, 0))
        trimap = np.full((30, 40), 2, dtype=np.uint8)
        trimap[:, 15:25] = value
        Image.fromarray(trimap).save(root / f"annotations/trimaps/{name}.png")
        lines.append(f"{name} 1 1 1")
    (root / "annotations/trainval.txt").write_text("\n".join(lines) + "\n")
    bank = registry.get(Bank, "pets")
    made = bank.load(bank.locate((tmp_path,)), None, 0, 30, 3)
    assert made.names == ("Abyssinian", "great pyrenees")
    assert sorted(layer.max() for layer in made.layers) == [0, 1, 2]  # a border is no animal
    assert (made.layers[:, 0, :, 10:20].max((1, 2)) == made.layers.max((1, 2, 3))).all()


def test_a_folder_of_masks_is_read_and_its_faults_are_named(tmp_path):
    root = tmp_path / "concepts"
    bank = registry.get(Bank, "folder")
    assert bank.locate((tmp_path,)) is None
    photo(root / "images/a.jpg", (9, 9, 9))
    (root / "classes.txt").write_text("wheel\tpart\nsky\n")
    with pytest.raises(BadInput, match=r"a\.jpg has no mask"):
        bank.locate((tmp_path,))
    (root / "masks").mkdir()
    numbers = np.zeros((30, 40), dtype=np.uint8)
    numbers[:, 20:] = 2
    Image.fromarray(numbers).save(root / "masks/a.png")
    made = bank.load(bank.locate((tmp_path,)), None, 0, 15, 1)
    assert (made.names, made.categories) == (("wheel", "sky"), ("part", "object"))
    assert set(np.unique(made.layers)) == {0, 2}
    numbers[0, 10] = 3
    Image.fromarray(numbers).save(root / "masks/a.png")
    with pytest.raises(BadInput, match="has label 3 of 2"):
        bank.load(bank.locate((tmp_path,)), None, 0, 15, 1)
    Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8)).save(root / "masks/a.png")
    with pytest.raises(BadInput, match="has 3 channels"):
        bank.load(bank.locate((tmp_path,)), None, 0, 15, 1)


def test_attributes_of_birds_are_those_of_whole_images(tmp_path):
    root = tmp_path / "CUB_200_2011"
    (root / "attributes").mkdir(parents=True)
    photo(root / "images/001.A/a.jpg", (9, 9, 9), (200, 150))
    photo(root / "images/001.A/t.jpg", (9, 9, 200), (200, 150))
    photo(root / "images/001.A/b.jpg", (200, 9, 9), (200, 150))
    (root / "images.txt").write_text("1 001.A/a.jpg\n2 001.A/t.jpg\n3 001.A/b.jpg\n")
    (root / "train_test_split.txt").write_text("1 1\n2 0\n3 1\n")
    (tmp_path / "attributes.txt").write_text(
        "1 has_bill_shape::curved\n2 has_bill_shape::dagger\n3 has_wing_color::blue\n"
    )
    (root / "attributes/image_attribute_labels.txt").write_text(
        "1 1 0 3 1.0\n1 2 1 1 1.0\n1 3 0 1 1.0\n2 1 1 4 2.0\n3 1 1 3 2.0\n3 2 1 3 2.0\n3 3 1 4 2.0 0\n"
    )
    bank = registry.get(Bank, "cub-attributes")
    made = bank.load(bank.locate((tmp_path,)), None, 0, 140, 3)
    assert made.categories == ("has_bill_shape", "has_bill_shape", "has_wing_color")
    assert made.pixels.shape == (2, 3, 140, 140)
    assert made.layers.shape == (2, 3, 14, 14)  # whole images have them: a coarse grid says it
    second = int(made.pixels[1, 0].mean() > 100)
    assert np.unique(made.layers[1 - second, 0]).tolist() == [2]
    assert not made.layers[1 - second, 1:].any()
    # Both attributes of a group are there, each in a layer of its own.
    assert [np.unique(layer).tolist() for layer in made.layers[second]] == [[1], [2], [3]]
    (root / "attributes/image_attribute_labels.txt").write_text("4 1 1 3 1.0\n")
    with pytest.raises(BadInput, match="attributes cannot be read: a row names an image beyond 3"):
        bank.load(bank.locate((tmp_path,)), None, 0, 20, 3)
    (root / "attributes/image_attribute_labels.txt").write_text("1 one\n")
    with pytest.raises(BadInput, match="attributes cannot be read"):
        bank.load(bank.locate((tmp_path,)), None, 0, 20, 3)
