"""Banks in their published layouts from files to a table: dissection, formulas and a bottleneck by each."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lthbench

IMAGES = 330


def draw_photos(root, names):
    """Photographs that are bright where an object is: left, right or nowhere. Returns where it is."""
    rng, sides = np.random.default_rng(0), []
    for k, name in enumerate(names):
        pixels = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        side = np.zeros((16, 16), dtype=bool)
        if k % 3:
            side[4:12, (0 if k % 3 == 1 else 8) :][:, :8] = True
        pixels[side] += 180
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        sides.append(side)
    return sides


def write_broden(root, index="index.csv"):
    """Broden's layout: objects and colours as maps at half size, textures and scenes of whole images."""
    names = [f"set/{k:03}.jpg" for k in range(IMAGES)]
    sides = draw_photos(root / "images", names)
    rows = []
    for k, (name, side) in enumerate(zip(names, sides, strict=True)):
        small = side[::2, ::2]
        row = {"image": name, "split": "train", "scene": str(5 + k % 2), "texture": str(4) if k % 4 else ""}
        for category, labels in (("object", (1, 2)), ("color", (3, 260))):
            coded = np.zeros((8, 8, 3), dtype=np.uint8)
            number = np.where(small, labels[0 if k % 3 == 1 else 1], 0)
            coded[:, :, 0], coded[:, :, 1] = number % 256, number // 256
            row[category] = f"set/{k:03}_{category}.png"
            Image.fromarray(coded).save(root / "images" / row[category])
        rows.append(row)
    with (root / index).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "split", "object", "color", "scene", "texture"])
        writer.writeheader()
        writer.writerows(rows)
    (root / "category.csv").write_text("name,first,last\nobject,1,2\ncolor,3,260\nscene,5,6\ntexture,4,4\n")
    (root / "label.csv").write_text(
        "number,name,category\n1,lamp,object(20)\n2,door,object(20)\n3,white-c,color(20)\n"
        "4,dotted,texture(45)\n5,street,scene(30)\n6,kitchen,scene(30)\n260,grey-c,color(20)\n"
    )


def write_cub(root):
    """CUB's layout: three groups of attributes, of which one image may have several."""
    names = [f"{1 + k % 5:03}.Bird/bird_{k}.jpg" for k in range(IMAGES)]
    draw_photos(root / "images", names)
    (root / "attributes").mkdir()
    (root / "images.txt").write_text("".join(f"{k + 1} {name}\n" for k, name in enumerate(names)))
    (root / "train_test_split.txt").write_text("".join(f"{k + 1} 1\n" for k in range(IMAGES)))
    attributes = ["has_bill::dagger", "has_bill::hooked", "has_wing::red", "has_wing::grey"]
    attributes += ["has_tail::long", "has_tail::short"]
    (root.parent / "attributes.txt").write_text(
        "".join(f"{k + 1} {name}\n" for k, name in enumerate(attributes))
    )
    rows = []
    for k in range(IMAGES):
        left, right = k % 3 == 1, k % 3 == 2
        present = (left, right, left or right, not (left or right), left, right)
        rows += [f"{k + 1} {a + 1} {int(there)} 4 1.0\n" for a, there in enumerate(present)]
    (root / "attributes/image_attribute_labels.txt").write_text("".join(rows))


def measured(tiny_task, folder, bank, metrics):
    """The headline scores of dense and of a pruned network, by a bank in a folder, and the store's files."""
    task = folder / "tiny.toml"
    text = Path(tiny_task).read_text(encoding="utf-8")
    task.write_text(text.replace("concept_images = 60", f"concept_images = {IMAGES}"))
    table = lthbench.run(
        str(task),
        ["omp"],
        [0.5],
        seeds=1,
        metrics=metrics,
        concepts=bank,
        data=folder,
        store=folder / "store",
        device="cpu",
        workers=1,
    )
    plain = table[table["variant"] == ""].set_index(["method", "score"])
    return plain, lambda name: [path.read_text() for path in (folder / "store").rglob(name)]


def rows(text):
    return list(csv.DictReader(text.splitlines()))


NAMES = {"lamp", "door", "white-c", "grey-c", "dotted", "street", "kitchen"}


@pytest.mark.long
def test_broden_is_measured_from_its_files_to_the_table(tiny_task, tmp_path):
    write_broden(tmp_path / "broden1_224")
    metrics = ["dissection", "drift", "composition", "bottleneck", "concept-weights"]
    table, kept = measured(tiny_task, tmp_path, "broden", metrics)
    pruned = table.loc["omp"]
    assert set(pruned["status"]) == {"ok"}, pruned["reason"].tolist()
    assert pruned.loc["mean_best_iou", "n"] == pruned.loc["cav_auc", "n"] == IMAGES
    assert pruned.loc["cav_auc", "value"] > 0.7  # it is bright where an object is
    assert pruned.loc["composition_iou", "value"] >= pruned.loc["composition_iou_1", "value"]
    units = [row for text in kept("units.csv") for row in rows(text)]
    assert {row["label"] for row in units} <= NAMES
    assert {row["category"] for row in units} <= {"object", "color", "scene", "texture"}
    assert all(
        any(name in row["formula"] for name in NAMES) for text in kept("formulas.csv") for row in rows(text)
    )
    told = {row["concept"] for text in kept("weights.csv") for row in rows(text)}
    assert told <= NAMES
    assert {"lamp", "door"} <= told


@pytest.mark.long
def test_ade20k_is_measured_with_all_units_and_candidates(tiny_task, tmp_path):
    write_broden(tmp_path / "broden1_224", "index_ade20k.csv")
    table, kept = measured(tiny_task, tmp_path, "ade20k", ["composition-all"])
    assert set(table.loc["omp", "status"]) == {"ok"}
    for text in kept("formulas.csv"):
        assert len({(row["layer"], row["unit"]) for row in rows(text)}) == 112


@pytest.mark.long
def test_attributes_of_birds_are_measured_by_a_bottleneck(tiny_task, tmp_path):
    write_cub(tmp_path / "CUB_200_2011")
    table, kept = measured(tiny_task, tmp_path, "cub-attributes", ["bottleneck", "concept-weights"])
    pruned = table.loc["omp"]
    assert set(pruned["status"]) == {"ok"}, pruned["reason"].tolist()
    assert pruned.loc["cav_auc", "value"] > 0.7
    assert 0.0 < pruned.loc["bottleneck_accuracy", "value"] <= 1.0
    told = {row["concept"] for text in kept("weights.csv") for row in rows(text)}
    assert {"has_bill::dagger", "has_bill::hooked", "has_wing::red"} <= told
