"""What doctor says of a machine: what is missing, and how to get it."""

import json
import platform
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lthbench import doctor
from lthbench.cli import main
from lthbench.compute import device
from lthbench.compute.memory import memory


def examined(tmp_path, **options):
    return list(doctor.examined(options.get("data"), tmp_path / "store"))


def of(found, topic):
    return [f for f in found if f.topic == topic]


def test_this_machine_is_described(tmp_path):
    import scipy
    import torch

    found = examined(tmp_path)
    assert of(found, "python")[0].text.startswith(f"Python {sys.version.split()[0]}")
    assert torch.__version__ in of(found, "torch")[0].text
    assert f"scipy {scipy.__version__}" in of(found, "packages")[0].text
    assert of(found, "cores")[0].text.startswith(str(device.default_workers()))
    assert "GiB" in of(found, "memory")[0].text
    assert "GB free" in of(found, "disk")[0].text
    assert any(f.text.startswith("digits: ") and f.state == "ok" for f in of(found, "data"))
    assert all(f.remedy for f in found if f.state == "problem")
    assert not (tmp_path / "store").exists()


def test_the_memory_is_that_of_the_machine():
    total, free = memory()
    assert 0.1 < free <= total < 10_000


def test_a_missing_extra_comes_with_its_command(tmp_path, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "pyarrow" else version(name))
    found = next(f for f in of(examined(tmp_path), "extras") if f.text.startswith("parquet"))
    assert found.state == "note"
    assert "lacks pyarrow" in found.text
    assert found.remedy == "pip install 'lthbench[parquet]'"


def test_every_extra_has_a_line():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert doctor.EXTRAS.keys() == project["optional-dependencies"].keys()


@pytest.mark.parametrize(
    ("name", "lacking", "least"),
    [
        ("numpy", "1.26.4", "2.0.0"),  # trapezoid and bitwise_count
        ("scipy", "1.14.1", "1.15.0"),  # qmc.Sobol(rng=)
    ],
)
def test_the_least_versions_have_all_that_is_called(name, lacking, least):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    required = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    assert required[name].contains(least)
    assert not required[name].contains(lacking)


def test_a_python_that_is_too_old_is_a_problem(tmp_path, monkeypatch):
    wanted = doctor._metadata("Requires-Python")[0]
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.0")
    (found,) = doctor._versions()
    assert (found.state, found.remedy) == ("problem", f"use Python {wanted}")


@pytest.mark.parametrize(("given", "shown"), [("", "numpy is missing"), ("1.2", "numpy 1.2")])
def test_a_missing_or_old_package_is_a_problem(tmp_path, monkeypatch, capsys, given, shown):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: given if name == "numpy" else version(name))
    with pytest.raises(SystemExit, match="1"):
        main(["doctor", "--store", str(tmp_path / "store")])
    out = capsys.readouterr().out
    assert f"PROBLEM {shown}" in out
    wanted = next(name for name in doctor._metadata("Requires-Dist") if name.startswith("numpy"))
    assert f"pip install '{wanted}'" in out
    assert "1 problem: nothing can be run" in out


def test_a_driver_without_cuda_in_torch_is_noted(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "nvidia_driver", lambda: True)
    (found,) = of(examined(tmp_path), "device")
    assert found.state == "note"
    assert "--index-url https://download.pytorch.org/" in found.remedy
    assert "pip install --force-reinstall" in found.remedy  # pip keeps what is there else


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "whl/cu130"),
        ("CUDA error: out of memory", "end what fills its memory"),
    ],
)
def test_a_gpu_that_computes_nothing_is_noted(pretended, monkeypatch, error, remedy):
    import torch

    with pretended.device(monkeypatch.setattr):
        (found,) = of(doctor._device(), "device")
        assert (found.state, found.remedy) == ("ok", "")
        assert "cuda:0 pretended, 16 GiB" in found.text

        def fails(*given, **named):
            raise torch.AcceleratorError(error)

        monkeypatch.setattr(torch, "zeros", fails)
        (found,) = of(doctor._device(), "device")
    assert found.state == "note"
    assert f"cuda:0 pretended cannot be used ({error})" in found.text
    assert remedy in found.remedy
    assert "--device cpu" in found.remedy


def test_too_little_memory_or_disk_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "memory", lambda: (0.5, 0.25))
    monkeypatch.setattr(doctor, "DISK", 1e12)
    found = {f.topic: f.state for f in examined(tmp_path) if f.topic in ("memory", "disk")}
    assert found == {"memory": "problem", "disk": "problem"}


def test_a_store_that_is_none_is_a_problem(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "other.txt").write_text("")
    (found,) = of(examined(tmp_path), "store")
    assert "holds other things" in found.text


def test_json_and_exit_codes(tmp_path, capsys):
    main(["doctor", "--json", "--store", str(tmp_path / "store")])
    found = json.loads(capsys.readouterr().out)
    assert {f["state"] for f in found} <= {"ok", "note"}
    main(["doctor", "--store", str(tmp_path / "store")])
    assert capsys.readouterr().out.endswith("Ready: lthbench run\n")
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", "--data", str(tmp_path / "absent")])
