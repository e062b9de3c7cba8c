"""Headers of tensors: what is refused here is what safetensors cannot read, and it reads the rest."""

import json
import struct

import pytest
import safetensors.numpy
from safetensors import SafetensorError

from lthbench.errors import Damaged
from lthbench.planning.tensor_headers import Misfit, Tensor, headed
from lthbench.spec import Init, Network
from lthbench.store.artifacts import DRAWS


def file(header, bytes_=16):
    """A file of tensors with a header, and so many bytes of numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(bytes_)


def tensor(**parts):
    return {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **parts}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (file(tensor(data_offsets=[4, 20])), "where its tensors are"),
        (file(tensor(data_offsets=[0, 12])), "where its tensors are"),
        (file(tensor(data_offsets=[0])), "what its tensors are"),
        (file({**tensor(), "b": tensor()["a"]}), "where its tensors are"),
        (file({"a": {"dtype": "F32", "shape": [4]}}), "what its tensors are"),
        (file(tensor(shape=[2.5], data_offsets=[0, 10]), 10), "what its tensors are"),
        (file(tensor(shape="4444")), "what its tensors are"),
        (file(tensor(shape=[True], data_offsets=[0, 4]), 4), "what its tensors are"),
        (file(tensor(shape=[-1], data_offsets=[0, 0]), 0), "what its tensors are"),
        (file(tensor(dtype="F33")), "what its tensors are"),
        (file({**tensor(), "__metadata__": 5}), "what is no text"),
        (file({**tensor(), "__metadata__": {"x": 5}}), "what is no text"),
        (file(tensor(), 17), "has not the bytes"),
        (file(json.dumps(tensor()).encode().replace(b"a", b"\xff", 1)), "is no file of tensors"),
    ],
)
def test_what_safetensors_cannot_read_is_refused(content, said):
    with pytest.raises((SafetensorError, ValueError)):
        safetensors.numpy.load(content)
    with pytest.raises(Misfit, match=f"^x .*{said}"):
        headed(content, len(content), "x")


def test_what_it_reads_is_taken():
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [16, 16]}
    content = file({"__metadata__": {"x": "5"}, **tensor(), "b": empty})
    assert safetensors.numpy.load(content).keys() == {"a", "b"}
    found = {"a": Tensor("F32", (4,)), "b": Tensor("U8", (0,))}
    assert headed(content, len(content), "x") == (found, {"x": "5"})


def test_an_artefact_that_cannot_be_read_is_damaged():
    """So that a run puts it aside and makes it again."""

    class Held:
        def has(self, step):
            return True

        def files(self, step):
            return ["draws.safetensors"]

        def read(self, step, name):
            return file(tensor(shape=[2.5]))

    step = Init(Network("resnet8", 1, 10, 1, 8, (0.5,), (0.5,)), 0)
    with pytest.raises(Damaged, match=f"draws.safetensors of {step.key[:12]}: cannot be read"):
        DRAWS.read(Held(), step)
