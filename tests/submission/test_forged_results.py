"""Results in a bundle that are none: refused in words, before anything is made of them."""

import hashlib
import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from lthbench import textfiles
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.planning import contents
from lthbench.results import table
from lthbench.store import LocalStore
from lthbench.submission import bundle

PUBLISHED = Path(__file__).parents[2] / "reports" / "entries"


#: A headline, and many variants.
MANY = ["", *map(str, range(999))]


def refused(whole, tmp_path, capsys, change, code=1):
    """What is said of a bundle that was changed, its hashes set right."""
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    head = json.loads(files["bundle.json"])
    head["files"] = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "bundle.json"}
    files["bundle.json"] = json.dumps(head).encode()
    with zipfile.ZipFile(tmp_path / "forged.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(SystemExit) as end:
        main(["verify", str(tmp_path / "forged.zip")])
    assert end.value.code == code
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert "Warning" not in said
    return said


def accuracies(files):
    """Where the results of the accuracy are."""
    names = [n for n in files if n.endswith("scores.json") and b'"accuracy"' in files[n]]
    return [n.removesuffix("scores.json") for n in names]


def draws(content):
    """All draws replaced."""
    return lambda files: files.update({f"{place}draws.safetensors": content for place in accuracies(files)})


def scores(edit):
    """All results edited."""

    def change(files):
        for name in (f"{place}scores.json" for place in accuracies(files)):
            found = json.loads(files[name])
            edited = edit(found)
            files[name] = edited if isinstance(edited, bytes) else json.dumps(found).encode()

    return change


def value(**parts):
    return scores(lambda found: [v.update(parts) for v in found["values"]])


def array(values, kind="float32"):
    return safetensors.numpy.save({"accuracy": np.array(values, kind)})


def taller(files):
    """Of the networks one has a column of draws and one a list: their difference would be a square."""
    names = [f"{place}draws.safetensors" for place in accuracies(files)]
    files[names[0]] = array(np.zeros((30_000, 1)))
    files |= dict.fromkeys(names[1:], array(np.zeros(30_000)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (draws(b"nothing"), "draws.safetensors is no file of tensors"),
        (draws(b""), "draws.safetensors is no file of tensors"),
        (draws(struct.pack("<Q", 2**62) + b"{}"), "draws.safetensors is no file of tensors"),
        (draws(array([1, 2], "int8")), "accuracy is I8 [2], and no list of numbers"),
        (draws(array(1.0)), "accuracy is F32 [], and no list of numbers"),
        (draws(array([0.5])), "diff_se is "),
        (draws(array([np.inf, 0.0, np.nan])), "diff_se is "),
        (draws(array([1e308, -1e308], "float64")), "diff_se is "),
        (draws(safetensors.numpy.save({"other": np.zeros(3)})), "other is no score of accuracy"),
        (taller, "accuracy is F32 [30000, 1], and no list of numbers"),
        (value(n=0), "a value of 'accuracy' is of no images"),
        (scores(lambda found: found.update(values=[])), "scores.json has no value of accuracy"),
        (value(variant="other"), "scores.json has no value of accuracy"),
        (scores(lambda found: found.update(values=found["values"] * 2)), "has two values of a score"),
        (value(n=10**30), "'accuracy' is no number"),
        (value(n=-1), "'accuracy' is no number"),
        (value(value=10**400), "is not what its step makes (OverflowError)"),
        (value(value="x"), "'accuracy' is no number"),
        (value(reason=["x"]), "or its name no text"),
        (value(reason="two\nlines\x1b[31m"), r"'two lines\\u001b[31m'"),
        (scores(lambda found: found.update(forwards=10**30)), "how many images were read"),
        (scores(lambda found: found.update(degenerate=[[1]])), "what is degenerate is no text"),
        (scores(lambda found: b"[" * 100_000), "scores.json is no table"),
        (scores(lambda found: b'{"forwards": ' + b"9" * 5000 + b"}"), "scores.json is no table"),
        (
            scores(
                lambda found: found.update(values=[v | {"variant": k} for v in found["values"] for k in MANY])
            ),
            "its results give 4,0",
        ),
    ],
)
def test_a_result_that_is_none_is_refused_in_words(whole, tmp_path, capsys, change, said):
    assert said in refused(whole, tmp_path, capsys, change)


def test_the_table_of_a_bundle_is_one_that_can_be_reported(whole, tmp_path, capsys, monkeypatch):
    """Though its results give it: what ``report`` refuses, ``verify`` refuses."""

    def twice(plan, store, failures):
        made = build(plan, store, failures)
        made["status"] = "good"
        return made

    build = table.build
    monkeypatch.setattr(table, "build", twice)

    def change(files):
        files["scores.csv"] = files["scores.csv"].replace(b",ok,", b",good,")

    assert 'no status "good"' in refused(whole, tmp_path, capsys, change)


def test_what_unpacks_to_hundreds_of_times_what_it_is_is_refused(whole, tmp_path, capsys):
    def change(files):
        files["steps.json"] = b"[" + b"{}," * 5_000_000 + b"0]"

    said = refused(whole, tmp_path, capsys, change, code=2)
    assert "'steps.json' unpacks to more than 200 times what it is" in said


def test_json_of_many_values_is_refused(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(textfiles, "VALUES", 2000)

    def change(files):
        files["steps.json"] = b"[" + b"{}," * 2000 + b"0]"

    assert "holds more than 2,000 values" in refused(whole, tmp_path, capsys, change)


def test_a_stored_zip_holds_no_more_than_it_is(tmp_path):
    """The usual bundle stays far from what is refused."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x", bytes(11_000_000))
    info = zipfile.ZipFile(content).infolist()[0]
    assert info.file_size <= textfiles.SMALL + textfiles.RATIO * info.compress_size


@pytest.mark.parametrize(
    "name",
    [
        "SCORES.csv",
        "../../x",
        "/x",
        "results/x/scores.json",
        "re\u0301sume\u0301.txt",
    ],
)
def test_a_file_of_another_name_is_refused_though_it_is_listed(whole, tmp_path, capsys, name):
    said = refused(whole, tmp_path, capsys, lambda files: files.update({name: b"{}"}))
    assert "is no file of a bundle" in said
    assert said.isascii()


def test_a_name_that_some_file_systems_take_for_another_is_refused(whole, tmp_path, capsys):
    def add(files):
        files[accuracies(files)[0] + "Scores.json"] = b"{}"

    assert "Scores.json is no file of a bundle" in refused(whole, tmp_path, capsys, add)


def test_a_score_has_a_headline_in_all_results_or_in_none(whole, tmp_path, capsys, monkeypatch):
    """Also one that no verdict asks for, which may have variants alone: its seeds could be chosen so."""
    monkeypatch.setattr(contents, "left_out", lambda metric, given: [])

    def change(files):
        name = next(n for n in files if n.endswith("scores.json") and b'"ece"' in files[n])
        files[name] = files[name].replace(b'"variant": ""', b'"variant": "x"')

    assert "of ece: ece has a headline in some results alone" in refused(whole, tmp_path, capsys, change)


def test_a_result_that_nobody_asked_for_is_refused(whole, tmp_path, capsys):
    def add(files):
        files[f"results/{'0' * 64}/scores.json"] = files[accuracies(files)[0] + "scores.json"]

    said = refused(whole, tmp_path, capsys, add)
    assert "the result 000000000000 is of no network that its command asks for" in said


def failed(files):
    """The table says that a measure failed, as it says of one that did; where the result of it is."""
    told = pd.read_csv(io.BytesIO(files["scores.csv"]), keep_default_na=False, dtype=str)
    omp = (told["method"] == "omp") & (told["metric"] == "nll")
    step = told[omp & (told["seed"] == "1")]["step"].iloc[0]
    told.loc[told["step"] == step, ["value", "se", "diff_se", "mean_diff_se"]] = ""
    told.loc[told["step"] == step, ["n", "forwards"]] = "0"
    told.loc[told["step"] == step, ["status", "reason"]] = ["failed", "out of memory"]
    left = omp & (told["seed"] == "0")
    told.loc[left, "mean_diff_se"] = told.loc[left, "diff_se"]
    files["scores.csv"] = told.to_csv(index=False, lineterminator="\n").encode()
    return f"results/{step}/"


def removed(files, place):
    for name in [name for name in files if name.startswith(place)]:
        del files[name]


def test_what_failed_by_the_table_has_no_file_in_the_bundle(whole, tmp_path, capsys):
    def stray(files):
        place = failed(files)
        removed(files, place)
        files[f"{place}evil.sh"] = b"rm -rf /"

    said = "is there, and failed by scores.csv: what failed has none"
    assert said in refused(whole, tmp_path, capsys, failed)
    assert said in refused(whole, tmp_path, capsys, stray)
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    removed(files, failed(files))
    head = json.loads(files["bundle.json"])
    head["files"] = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "bundle.json"}
    with zipfile.ZipFile(tmp_path / "failed.zip", "w") as archive:
        for name, content in (files | {"bundle.json": json.dumps(head).encode()}).items():
            archive.writestr(name, content)
    found, _ = bundle.verify(tmp_path / "failed.zip")
    assert (found["status"] == "failed").sum() == 1, "one that failed is no fault of a bundle"


def test_no_bundle_is_written_of_a_table_of_before_what_failed_was_done(run, tmp_path):
    shutil.copytree(run / "report", tmp_path / "report")
    files = {"scores.csv": (tmp_path / "report" / "scores.csv").read_bytes()}
    failed(files)
    (tmp_path / "report" / "scores.csv").write_bytes(files["scores.csv"])
    with pytest.raises(BadInput, match="holds a result of nll that failed in this table; run its command"):
        bundle.write(tmp_path / "report", LocalStore(run / "store"), tmp_path / "b.zip")


def test_fields_that_came_later_are_as_good_as_none(whole, tmp_path):
    """A run.json of a version that had not heard of them says the same."""

    def without_none(value):
        return (
            {k: without_none(v) for k, v in value.items() if v is not None}
            if isinstance(value, dict)
            else value
        )

    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(files["run.json"])
    lean = {k: without_none(v) if k in ("task", "budget") else v for k, v in facts.items()}
    assert lean != facts
    files["run.json"] = json.dumps(lean).encode()
    head = json.loads(files["bundle.json"])
    head["files"]["run.json"] = hashlib.sha256(files["run.json"]).hexdigest()
    files["bundle.json"] = json.dumps(head).encode()
    with zipfile.ZipFile(tmp_path / "older.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert len(bundle.verify(tmp_path / "older.zip")[0])


@pytest.mark.long
@pytest.mark.parametrize("name", [path.stem for path in sorted(PUBLISHED.glob("*.zip"))])
def test_what_is_published_can_still_be_verified(name):
    """Or is of an earlier version, which is told in words; it was not edited."""
    try:
        said = f"{len(bundle.verify(PUBLISHED / f'{name}.zip')[0])} rows, not edited"
    except bundle.Refused as error:
        said = str(error)
    assert "not edited" in said
