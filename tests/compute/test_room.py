"""Libraries that find no memory on a device say so in words of their own: work is done in smaller parts."""

import types
from typing import Any

import pytest
import torch

from lthbench.compute.room import lacking, no_room
from lthbench.errors import StepFailed
from lthbench.execution import predict as verb
from lthbench.training import packing

#: Of PyTorch's allocator, of CUDA, cuDNN and cuBLAS.
FULL: list[Exception] = [
    torch.OutOfMemoryError("full"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
OTHER: list[Exception] = [
    RuntimeError("Expected all tensors to be on the same device"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    StepFailed("the device ran out of memory"),  # a reason that was found before
    ValueError("out of memory"),
]
#: Images and a recipe that are not looked at, and epochs of a training.
NONE: Any = None
EPOCHS = packing._Epochs(0, None, lambda epoch: False)
full = pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
other = pytest.mark.parametrize("error", OTHER, ids=lambda error: str(error)[:30])


def raising(error):
    def fail(*given, **named):
        raise error

    return fail


@full
def test_it_is_known_by_what_is_said(error):
    assert no_room(error)
    assert lacking(error).startswith("the device ran out of memory")
    assert ("as it seems" in lacking(error)) == ("out of memory" not in str(error) and str(error) != "full")


@other
def test_other_errors_are_none(error):
    assert not no_room(error)


def member() -> Any:
    return types.SimpleNamespace(model=torch.nn.Linear(1, 1))


@full
def test_a_stack_that_finds_none_is_tried_again_in_parts(monkeypatch, error):
    monkeypatch.setattr(packing, "train_together", raising(error))
    monkeypatch.setattr(packing, "fits", raising(error))
    monkeypatch.setattr(packing, "draws", lambda model, images: False)
    assert packing._attempt([member], NONE, NONE, EPOCHS, True) == ([], [], lacking(error))
    assert packing._size(member, NONE, NONE) == 1


@other
def test_a_stack_that_fails_otherwise_says_so(monkeypatch, error):
    monkeypatch.setattr(packing, "train_together", raising(error))
    monkeypatch.setattr(packing, "fits", raising(error))
    monkeypatch.setattr(packing, "draws", lambda model, images: False)
    with pytest.raises(type(error)):
        packing._attempt([member], NONE, NONE, EPOCHS, True)
    with pytest.raises(type(error)):
        packing._size(member, NONE, NONE)


@pytest.mark.parametrize("error", FULL + OTHER, ids=lambda error: str(error)[:30])
def test_networks_pass_in_halves_where_there_is_none(monkeypatch, error):
    tried = []
    monkeypatch.setattr(verb, "_logits", lambda steps, space: tried.append(len(steps)) or raising(error)())
    steps: Any = ["one", "two"]
    space: Any = types.SimpleNamespace(forget=lambda: None)
    with pytest.raises(type(error)):
        verb._pass(steps, space)
    assert tried == ([2, 1] if error in FULL else [2])
