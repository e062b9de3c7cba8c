"""The device that is asked for is one that is here."""

import pytest
import torch

from lthbench.compute import device
from lthbench.errors import BadInput


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
