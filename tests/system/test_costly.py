"""Small inputs that are made to cost much: nested, of many names, of long numbers, packed many times over.

Each is used or refused in words, in less than 10 s of processor time and 1 GB of memory. Few are drawn;
``LTHBENCH_FUZZ=60000`` draws 300 of up to some megabytes.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import random
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lthbench import registry, report
from lthbench.checkpoints import bringing
from lthbench.cli.options import summary_of
from lthbench.compute.environment import environment
from lthbench.data import decoding, image_files
from lthbench.errors import LthbenchError
from lthbench.kinds import Metric
from lthbench.planning import plan
from lthbench.planning.request import ask
from lthbench.results import run_facts, table
from lthbench.store import LocalStore, archive, layout
from lthbench.submission import bundle

TINY = Path(__file__).parents[1] / "tiny.toml"
DRAWS = int(os.environ.get("LTHBENCH_FUZZ", "0"))
#: How large inputs are: a number of things from 1 to so many.
LARGEST = 1.0 if DRAWS else 0.001


#: What is done with an input that was made.
Work = Callable[[], object]


class Draw(random.Random):
    """Draws sizes as well: small ones as often as large ones."""

    def many(self, most: int) -> int:
        return round(max(most * LARGEST, 2.0) ** self.random())


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder for inputs, and a small table, bundle and export to start from."""

    folder: Path
    table: dict[str, bytes]
    bundle: dict[str, bytes]
    export: dict[str, bytes]

    def file(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {entry.filename: opened.read(entry) for entry in opened.infolist()}


@pytest.fixture(scope="module")
def place(tmp_path_factory, made_table) -> Place:
    root = tmp_path_factory.mktemp("costly")
    scores, facts = made_table(["imp"], seeds=2, sparsities=(0.5,))
    table.write(scores, facts, root / "table")
    asked = ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["efficiency"], budget="quick")
    made, store = plan.plan(asked, ()), LocalStore(root / "store")
    store.open()
    known = {"value": 1.0, "se": None, "n": 1, "variant": "", "reason": ""}
    values = [{"score": score.name, **known} for score in registry.get(Metric, "efficiency").scores]
    result = json.dumps({"values": values, "degenerate": [], "forwards": 0}).encode()
    meta = {"seconds": 0.0, "environment": environment(torch.device("cpu"))}
    for step in made.steps:  # results that were never computed serve here as well
        store.put(step, {"scores.json": result}, meta)
    scores, facts = table.build(made, store, {}), run_facts.facts(made, store)
    report.write(scores, facts, root / "report", formats=("csv",))
    bundle.write(root / "report", store, root / "bundle.zip")
    archive.export(store, [key for key, _ in layout.places(store.root)], root / "export.zip")
    plain = {name: (root / "table" / name).read_bytes() for name in ("scores.csv", "run.json")}
    (root / "inputs").mkdir()
    return Place(root / "inputs", plain, _members(root / "bundle.zip"), _members(root / "export.zip"))


# ---------------------------------------------------------------------------------------------- checkpoints

EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
PARTS = ("module", "encoder.layers", "layer1.0", "mask_", "___", ".", "9" * 40, "conv1.weight", "a", "_orig")


def brought(path: Path) -> None:
    bringing.bring(str(TINY), "given", [path], [0], [])


def names_of_tensors(draw: Draw, place: Place) -> Work:
    """A safetensors file of many empty tensors, with long names."""
    long, parts = draw.many(2_000), draw.sample(PARTS, 3)
    names = ["".join(draw.choices(parts, k=long)) + str(i) for i in range(draw.many(1_000_000 // long))]
    head = json.dumps(dict.fromkeys(names, EMPTY)).encode()
    return partial(brought, place.file("names.safetensors", struct.pack("<Q", len(head)) + head))


def header_of_tensors(draw: Draw, place: Place) -> Work:
    """A safetensors file whose header is nested, or of huge shapes and numbers."""
    count = draw.many(300_000)
    head = draw.choice(
        [
            b'{"__metadata__":' + b'{"a":' * count,
            json.dumps({"w": {**EMPTY, "shape": [1] * count}}).encode(),
            json.dumps({"w": {**EMPTY, "shape": [2**62, 0]}, "v": {**EMPTY, "shape": [2**40]}}).encode(),
            json.dumps({"__metadata__": {str(i): "x" for i in range(count)}, "w": EMPTY}).encode(),
            b'{"w":{"dtype":"F32","shape":[' + b"9" * count + b'],"data_offsets":[0,0]}}',
            json.dumps({"__metadata__": {"shapes": "[" * count}, "w": EMPTY | {"dtype": "U8"}}).encode(),
        ]
    )
    return partial(brought, place.file("head.safetensors", struct.pack("<Q", len(head)) + head))


def pickled(draw: Draw, place: Place) -> Work:
    """A pickle of containers in themselves, many times over: as keys, as values, and as what is called."""
    depth, count = draw.randrange(2, 100), draw.many(700_000)
    doubled = b"N\x85q\x00" + b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(depth))
    lists = b"]q\x00" + b"".join(
        b"](h%bh%beq%b" % ((bytes([i]),) * 2 + (bytes([i + 1]),)) for i in range(depth)
    )
    inner = draw.choice([doubled, lists, b"N" + b"\x85" * count, b"](" + b"}" * count + b"e", b"(" * count])
    called = draw.choice([b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2", b"a\nb"])
    content = draw.choice(
        [
            b"}" + inner + b"Ns.",
            b"}X\x01\x00\x00\x00a" + inner + b"s.",
            b"c" + called + b"\n](](" + inner + b"Nee\x85R.",
            b"}X\x01\x00\x00\x00ac" + called + b"\n(" + inner + b"tRs.",
            b"}(" + (b"X\x02\x00\x00\x00abNX\x02\x00\x00\x00ac]" * (count // 12)) + b"u.",
        ]
    )
    path = place.folder / "pickle.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", b"\x80\x02" + content)
        made.writestr("archive/version", "3\n")
    return partial(brought, path)


# -------------------------------------------------------------------------------------------------- pictures


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(draw: Draw, place: Place) -> Work:
    """A picture of one colour, which packs to next to nothing, as large as may be read or larger."""
    width, height = (max(1, round(draw.uniform(0, 9_500) * LARGEST)) for _ in range(2))
    mode = draw.choice(("RGB", "RGBA", "L", "P", "I;16", "1", "CMYK"))
    kind = draw.choice({"CMYK": ("JPEG", "TIFF"), "I;16": ("PNG", "TIFF")}.get(mode, ("PNG", "TIFF")))
    if mode in ("RGB", "L") and draw.random() < 0.6:
        kind = draw.choice(("JPEG", "WEBP"))
    more: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": draw.random() < 0.5},
        "WEBP": {"lossless": True, "method": 0},
    }
    buffer = io.BytesIO()
    packed = {"compression": "tiff_deflate"} if kind == "TIFF" and mode != "1" else {}
    Image.new(mode, (width, height)).save(buffer, kind, **more.get(kind, {}), **packed)
    content = buffer.getvalue()
    if kind == "JPEG" and draw.random() < 0.5:
        scan = content.rindex(b"\xff\xda")
        content = content[:scan] + content[scan:-2] * min(draw.many(5_000), 20_000_000 // width) + b"\xff\xd9"
    elif kind == "PNG" and draw.random() < 0.5:
        bomb = zlib.compress(bytes(draw.many(50_000_000)), 9)
        extra = draw.choice(
            [_chunk(b"zTXt", b"a\0\0" + bomb), _chunk(b"iCCP", b"a\0\0" + bomb), _chunk(b"teSt", b"")]
        )
        content = content[:33] + extra * draw.many(3_000) + content[33:]
    path = place.file("picture", content)
    return partial(draw.choice((image_files.picture, decoding.numbers, decoding.labelled)), path)


# ------------------------------------------------------------------------------------- tables, bundles, plans


def _costly_json(draw: Draw) -> bytes:
    count = draw.many(4_000_000)
    return draw.choice(
        [
            b"[" * count,
            b'{"a":' * count,
            b"[" + b"{}," * (count // 2) + b"0]",
            b"[" + b"0," * count + b"0]",
            b'{"schema":' + b"9" * draw.choice([min(count, 4_000), count]) + b"}",
            b'{"schema":1e' + b"9" * count + b"}",
            b'{"a":"' + b"\\u0041" * (count // 4) + b'"}',
            json.dumps({str(i): {} for i in range(count // 8)}).encode(),
        ]
    )


def _read(place: Place, files: dict[str, bytes]) -> Work:
    folder = place.folder / "table"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return partial(summary_of, folder, None)


def facts(draw: Draw, place: Place) -> Work:
    """A run.json with many entries of one kind, or another text altogether."""
    held = json.loads(place.table["run.json"])
    name = draw.choice(sorted(held))
    value, count = held[name], draw.many(100_000)
    if isinstance(value, list):
        held[name] = (value or ["x"]) * (count // max(len(value), 1) + 1)
    elif isinstance(value, dict):
        held[name] = value | {f"imp 0.{i} 0": next(iter(value.values()), "x") for i in range(count)}
    elif isinstance(value, str):
        held[name] = value * count
    content = _costly_json(draw) if draw.random() < 0.3 else json.dumps(held).encode()
    return _read(place, {**place.table, "run.json": content})


def rows(draw: Draw, place: Place) -> Work:
    """A table of many rows, columns, names or digits."""
    lines = place.table["scores.csv"].decode().splitlines()
    column, count = draw.choice(lines[0].split(",")), draw.many(60_000)
    cells = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    values = draw.choice(
        [(f"m{i}" for i in range(count)), map(str, range(count)), (f"0.{i}" for i in range(count))]
    )
    more = [",".join((cells | {column: value}).values()) for value in values]
    kind = draw.randrange(4)
    if kind == 1:
        lines = [f"{line}{',a' * count}" for line in lines]
    elif kind == 2:
        more = [",".join((cells | {column: "9" * (20 * count)}).values())]
    elif kind == 3:
        more = ['"' + "x\n" * count]
    return _read(place, {**place.table, "scores.csv": "\n".join(lines + more).encode()})


def beside(draw: Draw, place: Place) -> Work:
    """Pictures and units that are many or large."""
    count = draw.many(250_000)
    shown = {"kind": "saliency", "title": "t", "text": "x", "image": "A" * draw.choice([1, 100 * count])}
    pictures = draw.choice([json.dumps([shown] * draw.many(4)).encode(), _costly_json(draw)])
    head = "method,sparsity,seed,metric,layer,unit,concept,category,value,accuracy\n"
    line = draw.choice(
        ["imp,0.5,0,dissection,l,1,c,d,0.5,\n", "\n", '"\n', "imp" * 100 + "\n", "," * 50 + "\n"]
    )
    name, content = draw.choice([("pictures.json", pictures), ("units.csv", (head + line * count).encode())])
    return _read(place, {**place.table, name: content})


def _zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def bundles(draw: Draw, place: Place) -> Work:
    """A bundle that asks for much, or whose files are many, nested or packed."""
    files, count = dict(place.bundle), draw.many(50_000)
    held = json.loads(files["run.json"])
    result = next(name for name in files if name.endswith("scores.json"))
    asked = {
        "sparsities": [i / 1e6 for i in range(1, count)],
        "seeds": list(range(count)),
        **{name: ["imp"] * count for name in ("methods", "metrics", "ood")},
        "looks": [{"networks": 1, "seeds": [0]}] * count,
        "corruptions": "x" * count,
    }
    name = draw.choice(sorted(asked))
    new = {
        "run.json": json.dumps(held | {"requests": [held["requests"][0] | {name: asked[name]}]}).encode(),
        "steps.json": json.dumps({f"{i:064x}": {} for i in range(count)}).encode(),
        result: json.dumps({"values": [{}] * count, "degenerate": ["x"] * count, "forwards": 0}).encode(),
        "scores.csv": files["scores.csv"] + files["scores.csv"].splitlines(keepends=True)[-1] * count,
    }
    part = draw.choice(sorted(new))
    files[part] = _costly_json(draw) if draw.random() < 0.3 else new[part]
    if draw.random() < 0.2:
        files |= {f"results/{i:064x}/scores.json": b"{}" for i in range(count // 2)}
    head = json.loads(files.pop("bundle.json"))
    head["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    path = _zipped(place.folder / "bundle.zip", {"bundle.json": json.dumps(head).encode(), **files})
    return partial(bundle.verify, path)


def exports(draw: Draw, place: Place) -> Work:
    """An export of many artefacts, or of those whose files are nested, many, or packed."""
    count = draw.many(5_000)
    files = dict(place.export)
    for i in range(draw.choice([1, count])):
        key = f"{i:064x}"
        files[f"steps/{key[:2]}/{key}/manifest.json"] = b"{}"
    content = draw.choice([_costly_json(draw), bytes(20_000 * count)])
    files[f"steps/00/{0:064x}/{draw.choice(('manifest.json', 'step.json', 'meta.json'))}"] = content
    path = _zipped(place.folder / "export.zip", files)
    return partial(archive.take_in, LocalStore(place.folder / "taken"), path)


def planned(path: Path) -> None:
    plan.plan(ask(str(path)), (), data_needed=False)


def tasks(draw: Draw, place: Place) -> Work:
    """A task file of many keys, values, or digits."""
    lines = TINY.read_text(encoding="utf-8").splitlines()
    which, count = draw.randrange(len(lines)), draw.many(30_000)
    name = lines[which].partition(" = ")[0]
    value = draw.choice(
        ["9" * count, "[" * count, f"[{'1,' * count}]", f'["{"a" * count}"]', "0." + "0" * count]
    )
    lines[which] = draw.choice([f"{name} = {value}", f"{name}{'.a' * count} = 1", f"[{name}]\n" * count])
    return partial(planned, place.file("task.toml", "\n".join(lines).encode()))


KINDS = (
    names_of_tensors,
    header_of_tensors,
    pickled,
    picture,
    facts,
    rows,
    beside,
    bundles,
    exports,
    tasks,
)


@pytest.fixture(scope="module")
def limits(module_at):
    found = module_at(TINY.with_name("limits.py"))
    yield found
    if DRAWS:
        print(f"\nThe most that one took: {found.told()}", file=sys.__stderr__, flush=True)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning", "ignore:Duplicate name")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_costly_input_is_used_or_refused_at_little_cost(kind, place, limits):
    @settings(
        max_examples=round(DRAWS / 2000) or 3,
        derandomize=not DRAWS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**64))
    def held(seed: int) -> None:
        work = kind(Draw(seed), place)
        with (
            limits.within(kind.__name__, seed),
            contextlib.suppress(LthbenchError),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            work()

    held()
