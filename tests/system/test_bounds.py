"""Small files that ask for much are refused before anything of that size is made."""

import io
import json
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import pytest
import torch
from PIL import Image

from lthbench import textfiles
from lthbench.checkpoints import contents, files, tensor_names
from lthbench.data import decoding, image_files
from lthbench.errors import BadInput
from lthbench.planning import request
from lthbench.results import run_facts, table


@pytest.fixture(autouse=True)
def _little_memory():
    """No test of this file takes more than 50 MB of Python's memory."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def packed(shape, content=b"\xff"):
    """A safetensors file that says it is a packed mask of this shape."""
    head = {
        "__metadata__": {"shapes": json.dumps({"w": shape})},
        "w": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]},
    }
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    "shape",
    [[2**35], [2**20, 2**20], [2**80], [-8], [0], [1.5, 2], [True], "8", [[8]], [2**32, 2**32], [9], [8] * 9],
)
def test_a_mask_is_of_as_many_bits_as_it_has(shape, tmp_path):
    path = tmp_path / "mask.safetensors"
    path.write_bytes(packed(shape))
    with pytest.raises(BadInput, match="no mask that lthbench packed"):
        files.of(path, "mask")


def png(width, height):
    """A PNG of one grey level, which packs to next to nothing."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (80_000_001, 1), (9_000, 9_000)])
def test_a_picture_has_so_many_pixels_at_most(size, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png(*size))
    with pytest.raises(BadInput, match=r"large\.png: "):
        image_files.picture(path)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        b"\xc5\xd0\xd3\xc6" + bytes(60),
        b"\xd7\xcd\xc6\x9a" + bytes(60),
    ],
)
def test_what_pillow_gives_to_other_programs_is_no_picture(content, tmp_path):
    path = tmp_path / "page.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"page\.png: broken image file: cannot identify"):
        image_files.picture(path)


def header(names):
    """A safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps(dict.fromkeys(names, empty)).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_file_of_more_tensors_than_any_network_has_is_refused_before_they_are_made(tmp_path):
    path = tmp_path / "many.safetensors"
    path.write_bytes(header(map(str, range(20_001))))
    with pytest.raises(BadInput, match=r"many\.safetensors: holds more than 20,000 tensors"):
        files.of(path, "checkpoint")


def test_so_is_one_that_holds_them_in_a_pickle_or_in_memory(monkeypatch):
    monkeypatch.setattr(contents, "TENSORS", 9)
    with pytest.raises(BadInput, match="holds more than 9 tensors"):
        files.of({str(n): torch.zeros(0) for n in range(10)}, "checkpoint")


PICKLES = {
    "mappings": b"\x80\x02](" + b"}" * 20_000 + b"e.",
    "nested": b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 10_000 + b"}" + b"s" * 10_000 + b".",
    "tuples": b"\x80\x02N" + b"\x85" * 20_000 + b".",
    "records": b"\x80\x02](ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 7_000 + b"e.",
}
#: The numbers that a file of torch's older format begins with.
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_of_more_than_a_state_dict_is_refused_before_it_is_loaded(kind, old, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "OPERATIONS", 15_000)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("was loaded"))
    path = tmp_path / "small.pt"
    if old:
        path.write_bytes(OLD + PICKLES[kind])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", PICKLES[kind])
    with pytest.raises(BadInput, match=r"small\.pt: holds more than a state dict beside its tensors"):
        files.of(path, "checkpoint")


@pytest.mark.parametrize(
    "name",
    [
        "encoder.stages.{}.layers.0.layer.0.convolution.weight",
        "encoder.stages.0.layers.0.layer.{}.convolution.weight",
        "encoder.stages.0.layers.{}.shortcut.convolution.weight",
        "conv2_x.{}.residual_function.0.weight",
        "layer{}.0.conv1.weight",
    ],
)
def test_a_name_with_thousands_of_digits_is_a_name(name):
    for names in tensor_names.RENAMES:
        assert "9" * 5000 in tensor_names.renamed(name.format("9" * 5000), names)


def test_a_json_text_of_many_values_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(textfiles, "VALUES", 1000)
    for text in ("[" + "{}," * 1001 + "0]", "[" + "[]," * 1001 + "0]", '{"a":0,' * 1001, "[" + "0," * 1001):
        for content in (text, text.encode()):
            with pytest.raises(ValueError, match="holds more than 1,000 values"):
                textfiles.values(content)
    assert textfiles.values('{"a": [1, {"b": 2}]}') == {"a": [1, {"b": 2}]}


def doubled(depth):
    """A pickled tuple that holds the same one twice, at each of so many depths."""
    steps = (b"h%b\x86q%b" % (bytes([i]), bytes([i + 1])) for i in range(depth))
    return b"N\x85q\x00" + b"".join(steps)


@pytest.mark.parametrize(
    "content",
    [
        b"}" + doubled(60) + b"Ns.",
        b"}" + doubled(60) + b"}s.",
        b"}(" + doubled(60) + b"Nu.",
        b"ccollections\nOrderedDict\n](](" + doubled(60) + b"Nee\x85R.",
        b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(" + doubled(60) + b"tRs.",
        b"}N" + b"\x85" * 501 + b"Ns.",
    ],
    ids=["key", "name", "keys", "called", "tensor", "deep"],
)
def test_a_pickle_of_few_bytes_that_takes_for_ever_is_refused(content, tmp_path, monkeypatch):
    """A key is hashed, at all depths: sixty of them are 2 ** 60 looks."""
    monkeypatch.setattr(files, "OPERATIONS", 10_000)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("was loaded"))
    path = tmp_path / "small.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content)
    with pytest.raises(BadInput, match=r"small\.pt: holds more than a state dict beside its tensors"):
        files.of(path, "checkpoint")


GOOD, BAD = b"\x80\x02}.", b"\x80\x02}" + doubled(60) + b"Ns."


def archive_of(path, *members):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, content in (*members, ("archive/version", "3\n")):
            archive.writestr(name, content)
    return path.read_bytes()


@pytest.mark.parametrize(
    "members",
    [
        [("archive/data.pkl", BAD), ("archive/data.pkl", GOOD)],
        [("archive/DATA.PKL", BAD), ("archive/data.pkl", GOOD)],
        [("archive/other_data.pkl", GOOD), ("archive/data.pkl", BAD)],
        [("other/data.pkl", GOOD), ("archive/data.pkl", BAD)],
    ],
    ids=["twice", "in large letters", "another", "another folder"],
)
def test_the_pickle_that_is_looked_at_is_the_one_that_torch_loads(members, tmp_path, monkeypatch):
    """Readers of archives differ in which of two files they take."""
    monkeypatch.setattr(files, "OPERATIONS", 10_000)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("was loaded"))
    archive_of(tmp_path / "small.pt", *members)
    with pytest.raises(BadInput, match=r"small\.pt: (is a zip archive with two files|holds more)"):
        files.of(tmp_path / "small.pt", "checkpoint")


def test_a_file_that_ends_as_another_format_is_looked_at_as_torch_does(tmp_path, monkeypatch):
    """Python takes it for a zip archive by its end, torch for its own older format by its beginning."""
    monkeypatch.setattr(files, "OPERATIONS", 10_000)
    monkeypatch.setattr(torch, "load", lambda *given, **more: pytest.fail("was loaded"))
    path = tmp_path / "two.pt"
    path.write_bytes(OLD + BAD + b"\x80\x02]." + archive_of(path, ("archive/data.pkl", GOOD)))
    assert zipfile.is_zipfile(path)
    with pytest.raises(BadInput, match=r"two\.pt: holds more than a state dict beside its tensors"):
        files.of(path, "checkpoint")


def test_a_name_that_stands_twice_in_a_header_is_refused(tmp_path):
    text = header(["w"])[8:].decode().rstrip()
    twice = f"{text[:-1]},{text[1:]}".encode()
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(twice)) + twice)
    with pytest.raises(BadInput, match=r"twice\.safetensors: has two tensors of one name"):
        files.of(path, "checkpoint")


@pytest.mark.parametrize("old", [False, True])
def test_tensors_optimisers_and_keys_of_tuples_are_counted_as_what_they_are(old, tmp_path):
    weights = {f"layer{i}.weight": torch.zeros(2, 2) for i in range(50)}
    state = {i: {"step": torch.zeros(()), "exp_avg": torch.zeros(2)} for i in range(50)}
    more = {"state": state, "param_groups": [{"betas": (0.9, 0.999), "params": list(range(50))}]}
    whole = {"state_dict": weights, "optimizer": more, "shapes": {("a", 1): (2, 2)}, "epoch": 3}
    torch.save(whole, tmp_path / "whole.pt", _use_new_zipfile_serialization=not old)
    assert files._operations(tmp_path / "whole.pt", "") < 60 * 150 + 1000
    assert files.of(tmp_path / "whole.pt", "checkpoint").tensors.keys() == {
        f"state_dict.{n}" for n in weights
    }


@pytest.mark.parametrize("names", [["a" * 1001], [f"{i:04d}{'.a' * 498}" for i in range(1001)]])
def test_names_of_more_letters_than_any_network_has_are_refused(names, tmp_path):
    path = tmp_path / "long.safetensors"
    path.write_bytes(header(names))
    with pytest.raises(BadInput, match=r"long\.safetensors: has (a name|names) of more than 1,000"):
        files.of(path, "checkpoint")


def test_what_stands_before_a_name_of_many_parts_is_looked_for_among_the_last():
    target = {"conv1.weight"}
    assert list(tensor_names.prefixes("a.b.conv1.weight", target)) == ["a.b."]
    assert len(list(tensor_names.prefixes("a." * 30_000 + "conv1.weight", target))) == 1


def scans(count):
    """A progressive JPEG whose last scan stands there so many times."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + b"\xff\xd9"


def test_a_jpeg_has_so_many_scans_at_most(tmp_path):
    path = tmp_path / "scans.jpg"
    path.write_bytes(scans(20))
    assert image_files.picture(path).shape == (64, 64, 3)
    path.write_bytes(scans(201))
    with pytest.raises(BadInput, match=r"scans\.jpg: has more than 200 scans"):
        image_files.picture(path)


def test_a_webp_has_fewer_pixels_than_others(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.webp")
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "MOST_OF_WEBP", 599)
    assert image_files.picture(tmp_path / "a.png").shape == (20, 30, 3)
    with pytest.raises(BadInput, match=r"a\.webp: has 30 x 20 pixels; at most 599 are read"):
        image_files.picture(tmp_path / "a.webp")


@pytest.fixture
def written(made_table, tmp_path):
    """The folder of a table."""
    scores, facts = made_table(["imp"], seeds=2, sparsities=(0.5,))
    table.write(scores, facts, tmp_path / "table")
    return tmp_path / "table"


@pytest.mark.parametrize("name", ["requests", "data", "aspects", "scores", "environments"])
def test_facts_have_so_many_entries_at_most(written, name, monkeypatch):
    monkeypatch.setitem(run_facts._MOST, name, 9)
    facts = json.loads((written / "run.json").read_text())
    (written / "run.json").write_text(json.dumps(facts | {name: (facts[name] or [{}]) * 10}))
    with pytest.raises(BadInput, match=rf"run\.json: {name}: has \d+ entries; at most 9 are read"):
        table.read(written)


def test_a_table_has_so_many_methods_and_columns_at_most(written, monkeypatch):
    monkeypatch.setattr(table, "_METHODS", 1)
    with pytest.raises(BadInput, match=r"scores\.csv: has 2 methods; at most 1 are read"):
        table.read(written)
    lines = (written / "scores.csv").read_text().splitlines()
    (written / "scores.csv").write_text("\n".join(line + ",a" * 1000 for line in lines))
    with pytest.raises(BadInput, match=r"scores\.csv: not a table of scores: has more than 1,000 columns"):
        table.read(written)


def test_a_plan_from_a_file_is_of_so_many_networks_at_most(tiny_task):
    few = {"task": tiny_task, "methods": ["omp"], "sparsities": [0.5], "metrics": ["ece"], "budget": "quick"}
    assert len(request.from_json(few | {"seeds": [0]}, "plan.json").seeds) == 1
    many = few | {"seeds": list(range(10_000)), "methods": ["omp"] * 11}
    with pytest.raises(BadInput, match=r"plan\.json: asks for 110,000 networks; at most 100,000 are planned"):
        request.from_json(many, "plan.json")


def test_pictures_have_so_many_bytes_at_most_which_are_not_read(written, monkeypatch):
    picture = {"kind": "saliency", "title": "t", "text": "", "image": "data:"}
    (written / "pictures.json").write_text(json.dumps([picture] * 20))
    assert len(table.read(written)[1].pictures) == 20
    monkeypatch.setattr(table, "_PICTURES", 19)
    with pytest.raises(BadInput, match=r"pictures\.json: cannot be read as pictures of a run"):
        table.read(written)
    monkeypatch.setattr(table, "_DRAWN", 1000)
    monkeypatch.setattr(textfiles, "read", lambda path: pytest.fail("was read"))
    with pytest.raises(
        BadInput, match=r"pictures\.json: has more than 1,000 bytes; pictures of a run do not"
    ):
        table._pictures(written / "pictures.json")
