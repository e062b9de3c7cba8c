"""What others wrote, in any state: task files, tables, bundles, stores, checkpoints, words of command lines.

Each input is used or refused in words: no other error, no code run, nothing written, made, renamed or
deleted outside of the folder of these tests, and in less than 10 s of processor time and 1 GB of memory.
``LTHBENCH_FUZZ=60000`` draws 100,000 inputs and more, new ones.
"""

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lthbench import registry, report
from lthbench.checkpoints import bringing
from lthbench.cli import main
from lthbench.cli.options import summary_of
from lthbench.compute.environment import environment
from lthbench.errors import BadInput, LthbenchError
from lthbench.kinds import Architecture, Dataset, Metric
from lthbench.planning import plan, task
from lthbench.planning.request import ask
from lthbench.results import run_facts, table
from lthbench.store import LocalStore, archive, layout
from lthbench.submission import bundle

TINY = Path(__file__).parents[1] / "tiny.toml"
#: Inputs are large; what fails is shown all the same.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
DRAWS = int(os.environ.get("LTHBENCH_FUZZ", "0"))
RAN: Counter[str] = Counter()


def fuzz(usual: int, share: float = 1.0):
    """So many inputs in the ordinary suite, always the same; else a share of ``LTHBENCH_FUZZ``, drawn new."""
    return settings(
        max_examples=round(DRAWS * share) or usual,
        derandomize=not DRAWS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


#: What Python tells of before it is done: which arguments are paths that it changes, each with that which is
#: the folder it starts from where it is relative.
CHANGES = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
}


class Watch:
    """Notes what this process changes outside of a folder; an audit hook stays for good."""

    def __init__(self) -> None:
        self.folder = ""
        self.strays: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.folder:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = any(c in mode for c in "wax+") if isinstance(mode, str) else flags & 3
            places = [(path, -1)] if writes else []
        else:
            places = [(arguments[path], arguments[start]) for path, start in CHANGES.get(event, ())]
        for place, start in places:
            if isinstance(place, int) or place is None:
                continue
            near = os.readlink(f"/proc/self/fd/{start}") if start >= 0 else os.getcwd()
            found = os.path.normpath(os.path.join(near, os.fsdecode(place)))
            # The others are what the interpreter, torch and hypothesis keep of their own.
            shared = found.startswith("/dev/shm/pym-")  # memory that ``multiprocessing`` shares
            own = found.startswith(self.folder) or found in (os.devnull, "/proc/self/clear_refs") or shared
            if (
                not own
                and "__pycache__" not in found
                and "torchinductor" not in found
                and ".hypothesis" not in found
            ):
                self.strays.append(f"{event} {found}")


WATCH = Watch()


@pytest.fixture(scope="module")
def limits(module_at):
    return module_at(TINY.with_name("limits.py"))


@pytest.fixture(scope="module", autouse=True)
def _counted(limits):
    yield
    if DRAWS:
        refused = RAN.pop("refused", 0)
        said = f"\n{RAN.total():,} inputs, {refused:,} refused: {dict(RAN)}\nThe most that one took: "
        print(said + limits.told(), file=sys.__stderr__, flush=True)


@pytest.fixture(autouse=True)
def _watched(tmp_path_factory, monkeypatch):
    """Nothing outside the folder of the tests is written, made, renamed or deleted."""
    WATCH.strays.clear()
    WATCH.folder = str(tmp_path_factory.getbasetemp()) + os.sep
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.getbasetemp()))
    yield
    WATCH.folder = ""
    assert WATCH.strays == []


def test_the_watch_sees_what_is_changed_elsewhere(tmp_path_factory):
    place = tmp_path_factory.getbasetemp() / "stray"
    WATCH.folder += "elsewhere" + os.sep
    place.mkdir()
    (place / "file").write_text("x")
    (place / "file").rename(place / "other")
    (place / "other").read_text()
    shutil.rmtree(place)
    seen = [stray.partition(" ")[0] for stray in WATCH.strays]
    WATCH.strays.clear()
    assert seen == ["os.mkdir", "open", "os.rename", "os.rename", "os.remove", "os.rmdir"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("untrusted")


def outside(folder: Path) -> set[str]:
    """What lies in a folder, by path."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


# --------------------------------------------------------------------------------------------------- values

TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a/b",
            "x.py",
            "./x.py",
            "con",
            "a\x00b",
            "\u202e",
            "nan",
            "<script>alert(1)</script>",
            "\\input{/etc/passwd}",
            "{{7*7}}",
            "%s%n",
            "$(id)",
            "`id`",
            "imp:erk",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, -1e308, 5e-324]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


def toml(value: object) -> str:
    """A value as TOML; None as what is none of its values."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < 10**300 else hex(abs(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {toml(v)}' for k, v in value.items())}}}"
    return "nothing"


# ----------------------------------------------------------------------------------------------- task files

LINES = [line for line in TINY.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


@st.composite
def task_files(draw: st.DrawFn) -> str:
    """tiny.toml with some of its lines changed, doubled, dropped or moved."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        name, equals, _ = lines[place].partition(" = ")
        kind = draw(st.integers(0, 5))
        if kind <= 2 and equals:
            lines[place] = f"{name} = {toml(draw(VALUES))}"
        elif kind == 3:
            lines[place] = f"{json.dumps(draw(TEXTS))} = {toml(draw(VALUES))}"
        elif kind == 4:
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines[place])
        else:
            del lines[place]
    return "\n".join(lines)


def planned(path: Path) -> None:
    """Load a task and plan its grid, or hear why not."""
    try:
        plan.plan(ask(str(path)), (), data_needed=False)
    except BadInput:
        RAN["refused"] += 1


@fuzz(150, 0.5)
@given(content=task_files())
def test_a_changed_task_file_is_planned_or_refused(scratch, limits, content):
    RAN["task files"] += 1
    (scratch / "task.toml").write_text(content, encoding="utf-8", errors="replace")
    with limits.within("task file", content):
        planned(scratch / "task.toml")


@fuzz(80, 0.5)
@given(
    content=st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_any_bytes_for_a_task_file_are_refused(scratch, limits, content):
    RAN["task files"] += 1
    (scratch / "task.toml").write_bytes(content)
    with pytest.raises(BadInput), limits.within("task file", content):
        task.load(str(scratch / "task.toml"))


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"[" * 50_000, b"a" + b".a" * 50_000 + b" = 1", b"x = 0x" + b"f" * 100_000, b"#\n" * 100_000],
    ids=["nested", "dotted", "digits", "long"],
)
def test_a_task_file_that_would_exhaust_the_reader_is_refused(tmp_path, content):
    (tmp_path / "task.toml").write_bytes(content)
    with pytest.raises(BadInput):
        task.load(str(tmp_path / "task.toml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('dataset = "digits"', 'dataset = "EVIL"'),
        ('ood = ["photo-patches"]', 'ood = ["EVIL"]'),
        ('architecture = "resnet8"', 'architecture = "EVIL"'),
        ('ood = ["photo-patches"]', 'ood = ["photo-patches"]\nconcepts = "EVIL"'),
        ('methods = ["omp"]', 'methods = ["EVIL"]'),
        ('methods = ["omp"]', 'methods = ["EVIL:erk"]'),
    ],
)
@pytest.mark.parametrize("name", ["./evil.py", "evil.py", "{folder}/evil.py"])
def test_a_task_file_runs_no_code(tmp_path, monkeypatch, old, new, name):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    text = TINY.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "task.toml").write_text(text.replace(old, new.replace("EVIL", name.format(folder=tmp_path))))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="a task file may not say what code is run"):
        task.load("./task.toml")
    assert not (tmp_path / "ran").exists()


DIGITS = """
import dataclasses
from lthbench.datasets.digits import DATASET as digits
from lthbench.planning.request import ask
DATASET = dataclasses.replace(digits, name="my-digits")
"""


def test_a_file_that_the_user_names_may_be_named_by_what_it_defines(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(DIGITS)
    text = TINY.read_text(encoding="utf-8").replace('dataset = "digits"', 'dataset = "my-digits"')
    (tmp_path / "task.toml").write_text(text)
    words = ["--task", str(tmp_path / "task.toml"), "--store", str(tmp_path / "store"), "--json"]
    try:
        main(["plan", *words, "--plugin", str(tmp_path / "mine.py")])
        said = json.loads(capsys.readouterr().out)
        assert said["data"]["my-digits"]["state"] == "found"
        assert f"--plugin {tmp_path / 'mine.py'}" in said["command"]
    finally:
        registry._paths.pop((Dataset, "my-digits"), None)
    with pytest.raises(SystemExit) as end:
        main(["plan", *words])
    assert end.value.code == 2
    assert 'no dataset "my-digits"' in capsys.readouterr().err
    (tmp_path / "none.py").write_text("x = 1")
    with pytest.raises(BadInput, match="defines no plug-in: none of "):
        registry.take(tmp_path / "none.py")
    with pytest.raises(BadInput, match=r"no plug-in file .*absent\.py"):
        registry.take(tmp_path / "absent.py")


# --------------------------------------------------------------------------------------------------- tables


@pytest.fixture(scope="module")
def written(scratch, made_table) -> tuple[bytes, dict]:
    """The bytes of a table's CSV, and its facts."""
    scores, facts = made_table(["imp"], seeds=2, sparsities=(0.5,))
    table.write(scores, facts, scratch / "table")
    return (scratch / "table" / "scores.csv").read_bytes(), facts.to_json()


def summarised(folder: Path) -> None:
    try:
        summary_of(folder, None)
    except BadInput:
        RAN["refused"] += 1
    if RAN.total() % 10 == 0:  # these print what they find, and are slower
        for words in (["compare", str(folder), str(folder)], ["gate", "--write-baseline", f"{folder}.json"]):
            said = io.StringIO()
            heard = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
            with contextlib.suppress(SystemExit), heard[0], heard[1]:
                main([*words, *([] if words[0] == "compare" else [str(folder)])])


@pytest.mark.parametrize("value", ["2.2e228", "-1e308", "1.7976931348623157e308"])
def test_a_number_too_large_to_be_squared_is_refused_in_words(scratch, written, value, capsys):
    rows = [line.split(",") for line in written[0].decode().splitlines()]
    for row in (8, 9):
        rows[row][rows[0].index("value")] = value
    (scratch / "table" / "scores.csv").write_text("\n".join(map(",".join, rows)))
    (scratch / "table" / "run.json").write_text(json.dumps(written[1]))
    for command in (["explain"], ["report", "--out", str(scratch / "out")], ["gate"], ["compare"]):
        with contextlib.suppress(SystemExit):
            main([command[0], str(scratch / "table"), *command[1:]])
        assert "Traceback" not in capsys.readouterr().err


PLACES = st.integers(0, 10**6)
CELLS = st.one_of(TEXTS, NUMBERS.map(lambda n: str(n)[:400] if abs(n) < 1e300 else "1e999"))


@fuzz(60, 0.1)
@given(changes=st.lists(st.tuples(PLACES, PLACES, CELLS), min_size=1, max_size=4))
def test_a_changed_table_is_read_or_refused(scratch, written, limits, changes):
    RAN["tables"] += 1
    rows = [line.split(",") for line in written[0].decode().splitlines()]
    for row, column, cell in changes:
        rows[row % len(rows)][column % len(rows[0])] = cell
    folder = scratch / "table"
    content = "\n".join(map(",".join, rows)).encode("utf-8", "replace")
    (folder / "scores.csv").write_bytes(content)
    (folder / "run.json").write_text(json.dumps(written[1]))
    with limits.within("table", changes):
        summarised(folder)


@fuzz(60, 0.1)
@given(changes=st.lists(st.tuples(st.lists(PLACES, min_size=1, max_size=6), VALUES), min_size=1, max_size=2))
def test_changed_facts_are_read_or_refused(scratch, written, limits, changes):
    RAN["facts"] += 1
    facts = json.loads(json.dumps(written[1]))
    for way, value in changes:
        record, name = facts, ""
        for place in way:
            inner = record[name] if name != "" else record
            if not isinstance(inner, dict | list) or not inner:
                break
            record = inner
            names = sorted(record) if isinstance(record, dict) else range(len(record))
            name = names[place % len(names)]
        record[name] = value
    folder = scratch / "table"
    (folder / "scores.csv").write_bytes(written[0])
    with contextlib.suppress(ValueError):  # numbers of more digits than are printed
        (folder / "run.json").write_text(json.dumps(facts))
    with limits.within("table", changes):
        summarised(folder)


@fuzz(60, 0.2)
@given(content=st.binary(max_size=200), which=st.sampled_from(["scores.csv", "run.json"]))
def test_any_bytes_for_a_table_are_read_or_refused(scratch, written, limits, content, which):
    RAN["tables"] += 1
    folder = scratch / "table"
    (folder / "scores.csv").write_bytes(written[0])
    (folder / "run.json").write_text(json.dumps(written[1]))
    (folder / which).write_bytes(content)
    with limits.within("table", content):
        summarised(folder)


# -------------------------------------------------------------------------------------- bundles and stores


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, bytes]:
    """A bundle and an export of a small run."""
    root = tmp_path_factory.mktemp("run")
    asked = ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["efficiency"], budget="quick")
    made = plan.plan(asked, ())
    store = LocalStore(root / "store")
    store.open()
    known = {"value": 1.0, "se": None, "n": 1, "variant": "", "reason": ""}
    values = [{"score": score.name, **known} for score in registry.get(Metric, "efficiency").scores]
    result = {"values": values, "degenerate": [], "forwards": 0}
    meta = {"seconds": 0.0, "environment": environment(torch.device("cpu"))}
    for step in made.steps:  # results that were never computed serve here as well
        store.put(step, {"scores.json": json.dumps(result).encode()}, meta)
    scores, facts = table.build(made, store, {}), run_facts.facts(made, store)
    report.write(scores, facts, root / "report", formats=("csv",))
    bundle.write(root / "report", store, root / "bundle.zip")
    archive.export(store, [key for key, _ in layout.places(store.root)], root / "export.zip")
    bundle.verify(root / "bundle.zip")
    return {name: (root / f"{name}.zip").read_bytes() for name in ("bundle", "export")}


NAMES = [
    "../evil",
    "/tmp/evil",
    "a/../../evil",
    "C:\\evil",
    "scores.csv",
    "results/x",
    "steps/ab/c",
    "x" * 300,
    "a\nb",
]


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """A zip file with bytes changed, cut or put in, or with members changed, added and named otherwise."""
    if draw(st.booleans()):
        bits = bytearray(whole)
        for _ in range(draw(st.integers(1, 4))):
            place, kind = draw(st.integers(0, len(bits) - 1)), draw(st.integers(0, 3))
            if kind <= 1:
                bits[place] = draw(st.integers(0, 255))
            elif kind == 2:
                bits[place:place] = draw(st.binary(max_size=20))
            else:
                del bits[place : place + draw(st.integers(1, 40))]
                bits = bits or bytearray(b"PK")
        return bytes(bits)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(buffer, "w") as made:
        members = [(i.filename, archive.read(i)) for i in archive.infolist()]
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(members) - 1))
            name, content = members[place]
            kind = draw(st.integers(0, 3))
            if kind == 0:
                name = draw(st.sampled_from(NAMES))
            elif kind == 1:
                content = json.dumps(draw(VALUES.filter(_printable))).encode()
            elif kind == 2:
                content = draw(st.binary(max_size=50))
            else:
                content = draw(st.sampled_from([b"[" * 100_000, b"1" * 5000, b"\xff", b"null", b"{}"]))
            members[place] = (name, content)
        for name, content in members:
            made.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _printable(value: object) -> bool:
    try:
        json.dumps(value)
    except ValueError:
        return False
    return True


@fuzz(60, 0.15)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_changed_bundle_is_refused_or_gives_its_table(scratch, archives, limits, data):
    RAN["bundles"] += 1
    path = scratch / "bundle" / "b.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(broken(archives["bundle"])))
    with limits.within("bundle"):
        try:
            bundle.verify(path)
        except LthbenchError:
            RAN["refused"] += 1
    assert outside(path.parent) == {"b.zip"}


@fuzz(60, 0.15)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_changed_export_is_taken_in_whole_or_refused(scratch, archives, limits, data):
    RAN["stores"] += 1
    folder = scratch / "import"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "e.zip").write_bytes(data.draw(broken(archives["export"])))
    store = LocalStore(folder / "store")
    with limits.within("export"):
        try:
            archive.take_in(store, folder / "e.zip")
        except LthbenchError:
            RAN["refused"] += 1
    assert all(name.split("/")[0] in ("e.zip", "store") for name in outside(folder))
    if store.root.exists():
        assert [key for key, path in layout.places(store.root) if layout.fault(path, key)] == []
        assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("option", ["--methods", "--metrics", "--ood", "--concepts"])
@pytest.mark.parametrize("name", ["evil.py", "./evil.py", "evil.py:erk"])
def test_a_bundle_runs_no_code(scratch, archives, tmp_path, monkeypatch, option, name):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(io.BytesIO(archives["bundle"])) as archive:
        facts = json.loads(archive.read("run.json"))
    words = (
        "lthbench run --task digits-r8 --methods imp --sparsity 0.5 --seeds 0, --metrics ece --budget quick "
        f"{option} {name}"
    )
    (record,) = facts["requests"]
    old = {k: v for k, v in facts.items() if k != "requests"} | {"command": words}
    listed = name if option == "--concepts" else [name]
    for content in (old, facts | {"requests": [record | {option[2:]: listed}]}):
        with pytest.raises(BadInput, match="a plug-in is a file"):
            bundle.planned(run_facts.from_json(content))
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def saved() -> dict[str, torch.Tensor]:
    """A network of the small task, half of each layer pruned."""
    asked = ask(str(TINY))
    network = plan.network(asked.task)
    model = registry.get(Architecture, network.architecture).build(network)
    tensors = {name: t.detach().clone() for name, t in model.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.dim() > 1 and not name.startswith("normalize."):
            tensor[::2] = 0.0
    return tensors


def odd_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Tensors that may stand in the place of one."""
    if tensor.numel() > 1 << 30:
        return [torch.zeros(0)]
    if tensor.layout != torch.strided:  # made so by an earlier change
        tensor = tensor.to_dense()
    return [
        torch.zeros(0),
        torch.zeros(()),
        torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor,
        torch.zeros_like(tensor),
        tensor.to(torch.float64),
        tensor.to(torch.int8),
        tensor.to(torch.complex64),
        torch.zeros(1).expand(1 << 20, 1 << 20),  # a terabyte by its shape, four bytes by its storage
        tensor.reshape(-1),
        tensor.to_sparse() if tensor.dim() else tensor,
        torch.zeros(3, dtype=torch.bool),
    ]


def checkpoint(whole: dict[str, torch.Tensor], seed: int, values: list[object], names: list[object]) -> bytes:
    """A file of a network with tensors and names changed, wrapped, or with bytes of the file changed."""
    draw = random.Random(seed)
    tensors: dict = dict(whole)
    for value, other in zip(values, names, strict=False):
        name = draw.choice(list(tensors))
        kind = draw.randrange(5)
        if kind <= 1 and isinstance(tensors[name], torch.Tensor):
            tensors[name] = draw.choice(odd_tensors(tensors[name]))
        elif kind == 2:
            tensors[other] = tensors.pop(name)
        elif kind == 3:
            tensors[name] = value
        else:
            del tensors[name]
    buffer = io.BytesIO()
    form = draw.randrange(3)
    if form == 0:
        plain = {str(k): v for k, v in tensors.items() if isinstance(v, torch.Tensor) and not v.is_sparse}
        small = {k: v.contiguous().clone() for k, v in plain.items() if v.numel() < 1 << 30}
        buffer.write(safetensors.torch.save(small))
    else:
        wrapped = draw.choice([tensors, {"state_dict": tensors}, {"model": tensors, "epoch": 3}, [1]])
        torch.save(wrapped, buffer, _use_new_zipfile_serialization=form == 1)
    content = bytearray(buffer.getvalue())
    for _ in range(draw.randrange(4)):
        place = draw.randrange(draw.choice([len(content), min(len(content), 2000)]))
        if draw.random() < 0.5:
            content[place] = draw.randrange(256)
        else:
            del content[place : place + draw.randint(1, 5000)]
            content = content or bytearray(b"PK")
    return bytes(content)


@fuzz(40, 0.1)
@given(
    seed=st.integers(0, 2**64),
    values=st.lists(VALUES.filter(_printable), max_size=3),
    names=st.lists(st.one_of(TEXTS, st.integers()), min_size=3, max_size=3),
    masked=st.booleans(),
)
def test_a_changed_checkpoint_is_taken_or_refused(scratch, saved, limits, seed, values, names, masked):
    RAN["checkpoints"] += 1
    path = scratch / "checkpoint.pt"
    path.write_bytes(checkpoint(saved, seed, values, names))
    with limits.within("checkpoint", seed):
        try:
            bringing.bring(str(TINY), "given", [path], [0], [path] if masked else [])
        except LthbenchError:
            RAN["refused"] += 1


@pytest.mark.parametrize("name", ["normalize.mean", "conv1.weight"])
@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.eye(3).to_sparse(), "is sparse; save tensors as dense ones"),
        (torch.zeros(1).expand(1 << 20, 1 << 20), "would take 4.4e\\+03 GB, and its file has less of it"),
        (torch.zeros(3, device="meta"), "is empty; save tensors"),
    ],
    ids=["sparse", "expanded", "meta"],
)
def test_tensors_that_are_not_plain_numbers_are_refused(tmp_path, saved, name, tensor, said):
    with contextlib.suppress(Exception):  # torch itself does not save some of them any more
        torch.save({**saved, name: tensor}, tmp_path / "odd.pt")
    given = tmp_path / "odd.pt" if (tmp_path / "odd.pt").exists() else {**saved, name: tensor}
    for whole in (given, {**saved, name: tensor}):
        with pytest.raises(BadInput, match=said):
            bringing.bring(str(TINY), "given", [whole], [0], [])


# ---------------------------------------------------------------------------------------- the command line

COMMANDS = ["plan", "report", "explain", "compare", "gate", "submit", "verify", "store", "tasks", "methods"]
COMMANDS += ["metrics", "datasets", "architectures", "run", "score", "check", "doctor", "data", "export"]
#: What keeps those that would work for minutes from it: their words are looked at, and refused at last.
ENDS = {"run": ["--budget", "nosuch"], "score": ["--budget", "nosuch"], "check": ["nosuch"]}
WORDS = st.one_of(
    TEXTS.filter(lambda t: "\0" not in t),
    st.sampled_from(
        [
            "--task",
            "--methods",
            "--sparsity",
            "--rounds",
            "--seeds",
            "--metrics",
            "--budget",
            "--ood",
            "--data",
            "--store",
            "--json",
            "--keep",
            "--for",
            "--yes",
            "verify",
            "prune",
            "export",
            "import",
            "0.5",
            "1-3",
            "imp",
            "omp,snip",
            "accuracy",
            "digits-r8",
            "9" * 30,
            "1-99999999999",
            "-1",
            "--rule",
            "--dry-run",
            "--checkpoint",
            "--mask",
            "--dense",
            "--engine",
            "--address",
            "--plugin",
            "--report",
            "--device",
            "ray",
            "memory://here",
            "nosuch://there",
            "--help",
        ]
    ),
)


@fuzz(60, 0.1)
@given(command=st.sampled_from(COMMANDS), words=st.lists(WORDS, max_size=6))
def test_any_words_are_understood_or_refused(scratch, limits, command, words):
    RAN["command lines"] += 1
    folder = scratch / "here"
    folder.mkdir(exist_ok=True)
    before, here = outside(scratch) - outside(folder), Path.cwd()
    os.chdir(folder)
    words = [w for w in words if not w.startswith("/")] + ENDS.get(command, [])
    code = 0
    try:
        said = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with limits.within("command line", [command, *words]), said[0], said[1]:
            main([command, *words])
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.chdir(here)
    assert code in (0, 1, 2, 130)
    assert {p for p in outside(scratch) - outside(folder) if f"/{folder.name}/" not in p} <= before | {
        str(folder.relative_to(scratch) / p) for p in outside(folder)
    }


@pytest.mark.parametrize("packed", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_may_ask_for_much_memory_to_unpack_is_refused(archives, tmp_path, packed):
    for name in ("bundle", "export"):
        with (
            zipfile.ZipFile(io.BytesIO(archives[name])) as opened,
            zipfile.ZipFile(tmp_path / f"{name}.zip", "w", packed) as made,
        ):
            for info in opened.infolist():
                made.writestr(info.filename, opened.read(info))
    with pytest.raises(BadInput, match="is packed in another way than by deflate"):
        bundle.read(tmp_path / "bundle.zip")
    carried = archive.take_in(LocalStore(tmp_path / "store"), tmp_path / "export.zip")
    assert not carried.new
    assert set(carried.refused.values()) == {"cannot be unpacked (is packed in another way than by deflate)"}


def test_a_bundle_of_a_gigabyte_is_refused_before_it_is_unpacked(tmp_path):
    """Ten megabytes that unpack to two hundred of each file: memory stays small."""
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for n in range(11):
            archive.writestr(f"results/{n}", bytes(100_000_000))
    code = (
        "import resource, sys; from lthbench.submission import bundle; from lthbench.errors import BadInput\n"
        "from pathlib import Path\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: bundle.read(Path(sys.argv[1]))\n"
        "except BadInput as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.zip")], capture_output=True, text=True, check=True
    )
    said, grown = done.stdout.splitlines()
    assert "unpacks to more than 1 GB" in said
    assert int(grown) < 50_000  # kB
