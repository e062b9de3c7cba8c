"""The device that is asked for is one that is here."""

import re
import subprocess
import sys
from importlib import metadata
from typing import Any

import numpy as np
import pytest
import torch

from lthbench import doctor
from lthbench.compute import device, libraries
from lthbench.compute.environment import environment
from lthbench.engines.options import RunOptions
from lthbench.errors import BadInput


def test_a_gpu_has_one_worker_and_a_cpu_as_many_as_are_asked_for(monkeypatch):
    monkeypatch.setattr(device, "nvidia_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked = [("auto", 16), ("cuda:1", 16), ("cuda", 0), ("cpu", 16), ("cpu", 0)]
    used = [("cuda", 1), ("cuda:1", 1), ("cuda", 0), ("cpu", 16), ("cpu", 0)]
    assert [device.with_workers(*one) for one in asked] == used
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.with_workers("auto", 16) == ("cpu", 16)
    assert device.with_workers("cuda:1", 16, here=False) == ("cuda:1", 1)
    with pytest.raises(BadInput, match="sees no CUDA device"):
        device.with_workers("cuda:1", 16)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:"])
def test_what_is_no_device_is_refused_where_there_is_a_gpu_too(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BadInput, match=f'no device "{name}". Valid: auto, cpu, cuda, cuda:N'):
        device.resolve(name)


@pytest.mark.parametrize(
    ("built", "driver", "said"),
    [
        (None, True, "built without CUDA"),
        ("13.0", True, r"driver is too old for its CUDA 13\.0"),
        ("13.0", False, "no NVIDIA driver"),
    ],
)
def test_why_no_gpu_is_seen_is_said(monkeypatch, built, driver, said):
    monkeypatch.setattr(device, "nvidia_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(BadInput, match=f"sees no CUDA device: .*{said}"):
        device.resolve("cuda")
    if driver:
        (found,) = [f for f in doctor._device() if f.topic == "device"]
        assert re.search(said, found.text)
        assert ("update the driver" in found.remedy) == (built is not None)
        assert "pip install --force-reinstall torch" in found.remedy
        assert ("whl/cu130" in found.remedy) == (built is None)  # the newest takes no old driver


def test_ray_is_given_no_number_of_a_gpu():
    with pytest.raises(BadInput, match=r"device cuda:1: with --engine ray, .* Valid: auto, cpu, cuda$"):
        RunOptions(engine="ray", device="cuda:1").check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": torch.device("cpu")}, r'device: expected "auto", .*, got device\(type=.cpu.\)'),
        ({"progress": False}, r'progress: expected "auto", "plain" or "none", got False'),
        ({"progress": "quiet"}, 'no way to show progress "quiet". Valid: auto, none, plain'),
        ({"workers": "2"}, "workers: expected a whole number, got '2'"),
        ({"stack": 1.5}, r"stack: expected a whole number, got 1\.5"),
        ({"store": None}, "store: expected a folder or a URL, got None"),
        ({"data": 3}, "data: expected a folder, got 3"),
        ({"engine": None}, 'engine: expected "local" or "ray", got None'),
    ],
)
def test_options_of_another_type_are_refused(given, said):
    with pytest.raises(BadInput, match=said):
        RunOptions(**given).check()


def test_options_may_be_paths_and_numbers_of_numpy(tmp_path):
    two: Any = np.int64(2)
    RunOptions(store=tmp_path, data=tmp_path, workers=two, stack=two).check()


@pytest.mark.parametrize("name", ["cuda:-1", "cuda:", "cuda:x", "cuda:²", "cpu:0", "auto:0", "gpu"])
def test_what_is_no_name_of_a_device_is_refused(name):
    with pytest.raises(BadInput, match="no device"):
        device.check_device(name)


def test_a_gpu_of_a_number_that_is_not_here_is_refused(monkeypatch):
    monkeypatch.setattr(device, "nvidia_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given = ("auto", "cpu", "cuda", "cuda:0", "cuda:1")
    assert [device.resolve(name) for name in given] == ["cuda", "cpu", "cuda", "cuda:0", "cuda:1"]
    with pytest.raises(BadInput, match=r"cuda:7: there is none .*: auto, cpu, cuda, cuda:0, cuda:1"):
        device.resolve("cuda:7")


def test_the_environment_names_the_libraries_that_are_installed_and_imports_none():
    found = environment(torch.device("cpu"))
    for name in ("captum", "pillow", "scikit-image", "scikit-learn", "scipy"):
        assert found[name] == metadata.version(name)
    absent = [n for n in libraries.LIBRARIES if not list(metadata.distributions(name=n))]
    assert found.keys().isdisjoint(absent)
    code = "from lthbench.compute import libraries; libraries.versions(); import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"captum", "PIL", "skimage", "sklearn", "scipy", "torch"}.isdisjoint(loaded.stdout.split())
