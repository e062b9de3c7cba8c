"""Bundles that carry what single units stand for: made again from the results, refused where they differ."""

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from typing import Any

import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Metric
from lthbench.results import table, units
from lthbench.store import LocalStore
from lthbench.submission import bundle

pytestmark = pytest.mark.long

CONTENT = b"layer,unit,category,label,iou,dead\nlayer1,1,object,cat,0.1,0\n"


class WithUnits:
    """A store in which the results of one metric keep a file of units, too."""

    def __init__(self, root):
        self._store = LocalStore(root)
        self.root, self.has = self._store.root, self._store.has

    def files(self, step):
        return [*self._store.files(step), *(["units.csv"] if getattr(step, "metric", "") == "ece" else [])]

    def read(self, step, name):
        return CONTENT if name == "units.csv" else self._store.read(step, name)


@pytest.fixture
def packed(run, tmp_path, monkeypatch):
    """A report with units, its store, and the bundle of both."""
    ece, kept = registry.get(Metric, "ece"), registry.get(Metric, "dissection").units
    monkeypatch.setitem(registry._imported, (Metric, "ece"), dataclasses.replace(ece, units=kept))
    store: Any = WithUnits(run / "store")
    folder = tmp_path / "report"
    shutil.copytree(run / "report", folder)
    scores, facts = table.read(folder)
    found = units.gather(bundle.planned(facts), store)
    assert {(u.method, u.seed) for u in found} == {("dense", 0), ("dense", 1), ("omp", 0), ("omp", 1)}
    table.write(scores, dataclasses.replace(facts, units=found), folder)
    bundle.write(folder, store, tmp_path / "bundle.zip")
    return folder, store, tmp_path / "bundle.zip"


def test_a_bundle_with_units_is_accepted_and_gives_them(packed):
    _, facts = bundle.verify(packed[2])
    assert [u.concept for u in facts.units] == ["cat"] * 4


def test_units_that_the_store_does_not_give_are_not_bundled(packed):
    folder, store, path = packed
    (folder / "units.csv").write_bytes((folder / "units.csv").read_bytes().replace(b",cat,", b",dog,"))
    with pytest.raises(BadInput, match=r"units\.csv: is not what the store .* gives; run again"):
        bundle.write(folder, store, path)


@pytest.mark.parametrize(
    ("part", "old", "new", "said"),
    [
        ("units.csv", b",cat,", b",dog,", r"units\.csv is not what its results give"),
        ("units.csv", b"method", b"m", r"units\.csv: cannot be read as a table of units"),
        ("/units.csv", b",cat,", b",dog,", r"units\.csv is not what its results give"),
        ("/units.csv", b"layer,", b"", "of ece: its file of units cannot be read"),
    ],
)
def test_units_that_were_changed_are_refused(packed, part, old, new, said):
    with zipfile.ZipFile(packed[2]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = next(n for n in files if n == part or (part.startswith("/") and n.endswith(part)))
    files[name] = files[name].replace(old, new)
    head = json.loads(files["bundle.json"])
    head["files"][name] = hashlib.sha256(files[name]).hexdigest()
    files["bundle.json"] = json.dumps(head).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
    packed[2].write_bytes(buffer.getvalue())
    with pytest.raises(bundle.Refused, match=said):
        bundle.verify(packed[2])
