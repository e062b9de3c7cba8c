"""The files in artefacts: what each is called, and how what it holds becomes bytes and is read back.

Torch and NumPy are imported where they are used: planning needs the names alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from lthbench.errors import Damaged, because
from lthbench.spec import Step
from lthbench.store.base import ResultReader

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class File(Generic[T]):
    """A file of an artefact: ``encode`` makes its bytes, ``decode`` takes them back.

    It stands for its name in paths and texts.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]

    def __fspath__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def read(self, store: ResultReader, step: Step) -> T:
        """What the file of a step holds. Raises Damaged, also for one that was never whole: hashes fit it."""
        return self.decoded(store.read(step, self.name), f"{self.name} of {step.key[:12]}")

    def decoded(self, content: bytes, where: str) -> T:
        """What bytes hold that others may have written. Raises Damaged."""
        from safetensors import SafetensorError

        try:
            return self.decode(content)
        except (SafetensorError, LookupError, ValueError, TypeError) as error:
            raise Damaged(f"{where}: cannot be read{because(error)}") from error


class Passed(NamedTuple):
    """The logits of a network, float32 ``[images, classes]`` (``[strengths, images, classes]`` where the
    images have strengths), and the labels, int64 ``[images]``.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]


def apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors on the host, each in memory of its own: a weight that layers share is kept by all its names."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        place = here.untyped_storage().data_ptr()
        found[name] = here.clone() if place in seen else here
        seen.add(place)
    return found


def _save_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    import safetensors.torch

    return safetensors.torch.save(apart(tensors))


def _load_tensors(content: bytes) -> Mapping[str, torch.Tensor]:
    import safetensors.torch

    return safetensors.torch.load(content)


def _save_mask(mask: Mapping[str, torch.Tensor]) -> bytes:
    from lthbench import masks

    return masks.packed(mask)


def _load_mask(content: bytes) -> dict[str, torch.Tensor]:
    from lthbench import masks

    return masks.unpacked(content)


def _save_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    import safetensors.numpy

    return safetensors.numpy.save(dict(arrays))


def _load_arrays(content: bytes) -> Mapping[str, NDArray[Any]]:
    import safetensors.numpy

    return safetensors.numpy.load(content)


def _save_draws(draws: Mapping[str, NDArray[np.floating]]) -> bytes:
    return _save_arrays({score: values.astype("float32") for score, values in draws.items()})


def _load_draws(content: bytes) -> dict[str, NDArray[np.float64]]:
    """To single precision, as they are kept, also where a version before kept double."""
    import numpy as np

    found = _load_arrays(content)
    with np.errstate(over="ignore"):
        return {score: values.astype("float32").astype("float64") for score, values in found.items()}


def _save_scores(result: Mapping[str, Any]) -> bytes:
    return (json.dumps(result, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _load_scores(content: bytes) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(content.decode())
    return result


#: A network's weights and statistics, by name.
WEIGHTS: File[Mapping[str, torch.Tensor]] = File("weights.safetensors", _save_tensors, _load_tensors)

#: A mask, bool by parameter; one bit for each weight.
MASK: File[dict[str, torch.Tensor]] = File("mask.safetensors", _save_mask, _load_mask)

#: The logits of a network on a set of images, and the labels.
LOGITS: File[Passed] = File(
    "logits.safetensors",
    lambda passed: _save_arrays(passed._asdict()),
    lambda content: Passed(**_load_arrays(content)),
)

#: Saliency maps of images: see ``saliency.explain`` and ``saliency_maps.unpacked``.
MAPS: File[Mapping[str, NDArray[Any]]] = File("maps.safetensors", _save_arrays, _load_arrays)

#: The scores of a measure: a list of values, why the network is degenerate, how many passes were read.
SCORES: File[Mapping[str, Any]] = File("scores.json", _save_scores, _load_scores)

#: The draws of a measure's headline scores, float64 ``[resamples]`` by score (see ``kinds.Value``); in
#: single precision on disk.
DRAWS: File[Mapping[str, NDArray[np.floating]]] = File("draws.safetensors", _save_draws, _load_draws)
