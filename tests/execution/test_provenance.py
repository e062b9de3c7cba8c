"""A step is done only with the code and the data that stand in its key."""

import dataclasses
import os

import numpy as np
import pytest

from lthbench import registry
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.execution import provenance
from lthbench.kinds import Dataset, Images, Source
from lthbench.planning import plan
from lthbench.planning.request import ask
from lthbench.spec import Data, Init, Inputs, Measure, Predict, Prune, Train


@pytest.fixture(scope="module")
def steps(request):
    tiny = request.getfixturevalue("tiny_task")
    asked = ask(tiny, ["omp"], [0.5], seeds=1, metrics=["accuracy", "craft"], concepts="shapes")
    return plan.plan(asked, ()).steps


def test_the_steps_of_a_plan_fit(steps):
    provenance.check(steps, ())


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (
            Prune,
            {"criterion_version": "1+0123456789ab"},
            "method magnitude: is version 1 here, and was",
        ),
        (Measure, {"metric_version": "0"}, "metric accuracy: is version"),
    ],
)
def test_another_version_of_a_plug_in_is_refused(steps, kind, change, said):
    step = next(s for s in steps if isinstance(s, kind))
    with pytest.raises(BadInput, match=said):
        provenance.check([dataclasses.replace(step, **change)], ())


def test_another_version_of_an_architecture_is_refused(steps):
    step = next(s for s in steps if isinstance(s, Init))
    other = dataclasses.replace(step, network=dataclasses.replace(step.network, version="1+0123456789ab"))
    predict = next(s for s in steps if isinstance(s, Predict))
    prune = next(s for s in steps if isinstance(s, Prune))
    runs = [other, dataclasses.replace(predict, subject=other), dataclasses.replace(prune, given=other)]
    for one in runs:  # each builds the network
        with pytest.raises(BadInput, match="architecture resnet8: is version 1 here"):
            provenance.check([one], ())


def test_other_data_is_refused(steps):
    other = Data("digits", 1, "0" * 64)
    train = next(s for s in steps if isinstance(s, Train))
    predict = next(s for s in steps if isinstance(s, Predict))
    shown = dataclasses.replace(predict.inputs, data=other)
    for step in (dataclasses.replace(train, data=other), dataclasses.replace(predict, inputs=shown)):
        with pytest.raises(BadInput, match="data set digits is another one here than when the run was"):
            provenance.check([step], ())


def test_another_bank_of_concepts_is_refused(steps):
    step = next(s for s in steps if isinstance(s, Measure) and s.looks)
    looks = tuple((n, dataclasses.replace(i, view="bank/shapes/" + "0" * 64)) for n, i in step.looks)
    with pytest.raises(BadInput, match="data set of concepts shapes is another one"):
        provenance.check([dataclasses.replace(step, looks=looks)], ())


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A data set whose images are in one file, and the file."""
    file = tmp_path / "pictures.npy"
    digits = registry.get(Dataset, "digits")

    def load(source: Source, split: str) -> Images:
        return Images(np.load(file), np.zeros(4, dtype=np.int64))

    made = dataclasses.replace(
        digits,
        name="pictures",
        splits={"test": 4},
        locate=lambda places: Source("npy", tmp_path, (file,)),
        load=load,
    )
    monkeypatch.setitem(registry._imported, (Dataset, "pictures"), made)
    monkeypatch.setattr(registry, "version", lambda kind, name: "1")

    def write(value: int) -> None:
        np.save(file, np.full((4, 1, 8, 8), value, dtype=np.uint8))

    write(1)
    yield write
    loading.load.cache_clear()


def replaced_in_place(write, file):
    """Another content of the same size at the same time."""
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    write(2)
    os.utime(file, ns=times)


def test_a_file_that_is_replaced_within_a_session_has_another_digest_and_other_images(pictures, tmp_path):
    before = loading.identify("pictures", ())
    assert loading.load("pictures", "test", ()).pixels[0, 0, 0, 0] == 1
    replaced_in_place(pictures, tmp_path / "pictures.npy")
    assert loading.identify("pictures", ()).digest != before.digest
    assert loading.load("pictures", "test", ()).pixels[0, 0, 0, 0] == 2


def test_a_file_that_is_replaced_while_a_run_is_on_is_refused(pictures, tmp_path, steps, monkeypatch):
    monkeypatch.setattr(provenance, "SHARE", 1e9)  # look each time
    data = loading.identify("pictures", ())
    subject = next(s for s in steps if isinstance(s, Init))
    step = Predict(subject, Inputs(data, "test", 0, "clean", 1))
    provenance.check([step], ())
    replaced_in_place(pictures, tmp_path / "pictures.npy")
    with pytest.raises(BadInput, match="data set pictures is another one here"):
        provenance.check([step], ())


def test_looking_takes_a_small_share_of_the_time(pictures, steps, monkeypatch):
    seen = []
    identify = loading.identify
    monkeypatch.setattr(loading, "identify", lambda *given: seen.append(given) or identify(*given))
    data = identify("pictures", ())
    step = Predict(next(s for s in steps if isinstance(s, Init)), Inputs(data, "test", 0, "clean", 1))
    monkeypatch.setattr(provenance, "SHARE", 1e-9)
    for _ in range(5):
        provenance.check([step], ())
    assert len(seen) == 1


def test_a_file_that_is_gone_is_named(pictures, tmp_path):
    (tmp_path / "pictures.npy").unlink()
    with pytest.raises(BadInput, match=r"pictures\.npy: cannot be read: No such file"):
        loading.identify("pictures", ())
