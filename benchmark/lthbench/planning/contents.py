"""Whether an artefact is what its step makes: names, shapes and kinds of numbers. Hashes show damage alone.

Only headers of tensors are read, but of networks made elsewhere, whose step has a hash of them. Torch is
imported where networks are to be named, or are hashed, alone. What is not known here, as a plug-in's
architecture or scores, is held to what is known of it.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, singledispatch
from pathlib import Path
from typing import Any, Protocol

from lthbench import registry
from lthbench.errors import Damaged, because
from lthbench.global_state import standard
from lthbench.kinds import Architecture, Dataset, Metric
from lthbench.kinds.scores import left_out
from lthbench.planning.digests import has_digest
from lthbench.planning.step_record import restored
from lthbench.planning.tensor_headers import HEADER, Misfit, Tensor, headed
from lthbench.spec import (
    Explain,
    Given,
    Init,
    Inputs,
    Measure,
    Network,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    network_of,
)
from lthbench.store import layout, reading
from lthbench.store.artifacts import DRAWS, LOGITS, MAPS, MASK, SCORES, WEIGHTS

#: What changes the numbers of a tensor in place, and neither its shape nor its kind.
_FILLS = {"normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_"}
#: What reading a description, or a result, that none of lthbench's steps wrote may raise.
_WRONG = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)


#: Steps that were restored, by key: artefacts of a store have most of their histories in common.
_steps: dict[str, Step] = {}


class _Files(Protocol):
    """The files of an artefact, by name. Raise OSError for one that is not there."""

    def size(self, name: str) -> int | None:
        """The bytes of one; None where there is none."""

    def start(self, name: str) -> bytes:
        """What a file of tensors begins with: the length of its header, and that."""

    def whole(self, name: str) -> bytes:
        """All bytes of one."""


@dataclass(frozen=True)
class _InFolder:
    folder: Path

    def size(self, name: str) -> int | None:
        return reading.size(self.folder / name)

    def start(self, name: str) -> bytes:
        path = self.folder / name

        def look() -> bytes:
            with path.open("rb") as file:
                start = file.read(8)
                return start + file.read(min(int.from_bytes(start, "little"), HEADER))

        return reading.patiently(path, look)

    def whole(self, name: str) -> bytes:
        return reading.content(self.folder / name)


@dataclass(frozen=True)
class _Read:
    files: Mapping[str, bytes]

    def size(self, name: str) -> int | None:
        return len(self.files[name]) if name in self.files else None

    def start(self, name: str) -> bytes:
        return self.whole(name)[: 8 + HEADER]

    def whole(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "is not there", name)
        return self.files[name]


def misfit(step: Step, held: Path | Mapping[str, bytes]) -> str:
    """What of an artefact, in a folder or as it was read, is not what its step makes, or "".

    Raises Unreadable.
    """
    files = _InFolder(held) if isinstance(held, Path) else _Read(held)
    try:
        _check_facts(_json(files, "meta.json"), step)
        _check(step, files)
    except (Misfit, Damaged) as error:
        return str(error)
    except OSError as error:
        return f"{Path(error.filename or 'a file').name} is not there"
    except _WRONG as error:
        return f"is not what its step makes ({type(error).__name__})"
    return ""


def misfit_by_key(folder: Path, key: str) -> str:
    """The same, where the step is known by its description alone."""
    try:
        if len(_steps) > 100_000:
            _steps.clear()
        step = restored(layout.history_of(folder), key, _steps)
    except _WRONG as error:
        return f"step.json describes no step{because(error)}"
    return misfit(step, folder)


@singledispatch
def _check(step: Step, files: _Files) -> None:
    raise TypeError(step)


@_check.register
def _(step: Init | Rewind, files: _Files) -> None:
    _check_weights(_header(files, WEIGHTS.name)[0], network_of(step))


@_check.register
def _(step: Train, files: _Files) -> None:
    _check_weights(_header(files, WEIGHTS.name)[0], network_of(step))
    if step.rewire is not None:
        _check_mask(files, network_of(step))


@_check.register
def _(step: Given, files: _Files) -> None:
    _check_weights(_header(files, WEIGHTS.name)[0], step.network)
    if step.density is not None:
        _check_mask(files, step.network)
    weights = WEIGHTS.decoded(files.whole(WEIGHTS.name), WEIGHTS.name)
    mask = None if step.density is None else MASK.decoded(files.whole(MASK.name), MASK.name)
    if not has_digest(step, weights, mask):
        held = f"{WEIGHTS} holds" if mask is None else f"{WEIGHTS} and {MASK} hold"
        raise Misfit(f"{held} another network than the step names: their digest is not {step.digest[:12]}")


@_check.register
def _(step: Prune, files: _Files) -> None:
    _check_mask(files, network_of(step))


@_check.register
def _(step: Predict, files: _Files) -> None:
    tensors, _ = _header(files, LOGITS.name)
    images = _images(step.inputs)
    if tensors.keys() != {"logits", "labels"}:
        raise Misfit(f"{LOGITS} holds {_listed(tensors)}, and not logits and labels")
    if images is None:
        images = math.prod(tensors["labels"].shape)
    strengths = (len(step.inputs.strengths),) if step.inputs.strengths else ()
    wanted = (*strengths, images, network_of(step).classes)
    if tensors["logits"] != Tensor("F32", wanted):
        raise Misfit(f"{LOGITS}: logits are {_shown(tensors['logits'])}, and not F32 {list(wanted)}")
    if tensors["labels"] != Tensor("I64", (images,)):
        raise Misfit(f"{LOGITS}: labels are {_shown(tensors['labels'])}, and not I64 {[images]}")


@_check.register
def _(step: Explain, files: _Files) -> None:
    tensors, _ = _header(files, MAPS.name)
    own = {name: tensor for name, tensor in tensors.items() if name.startswith("labels.")}
    images = _images(step.inputs)
    if "differ" not in tensors or not own:
        raise Misfit(f"{MAPS} holds {_listed(tensors)}, and no maps")
    for name, tensor in own.items():
        if not tensor.shape or (images is not None and tensor.shape[0] != images):
            raise Misfit(f"{MAPS}: {name} is {_shown(tensor)}, and not of {images} images")


@_check.register
def _(step: Measure, files: _Files) -> None:
    draws = None if files.size(DRAWS.name) is None else _header(files, DRAWS.name)[0]
    _check_result(step, _json(files, SCORES.name), draws)


def misfit_of_result(step: Measure, scores: bytes, draws: bytes | None) -> str:
    """What of the scores and draws of a measure, as they stand in a bundle, is not what it makes, or ""."""
    try:
        held = None if draws is None else headed(draws[: HEADER + 8], len(draws), DRAWS.name)[0]
        _check_result(step, _table(scores, SCORES.name), held)
        if draws is not None:
            DRAWS.decoded(draws, DRAWS.name)
    except (Misfit, Damaged) as error:
        return str(error)
    except _WRONG as error:
        return f"is not what its step makes ({type(error).__name__})"
    return ""


def _check_result(step: Measure, found: Mapping[str, Any], draws: Mapping[str, Tensor] | None) -> None:
    metric = registry.known(Metric, step.metric)
    declared = None if metric is None else {score.name for score in metric.scores}
    values = found.get("values")
    if not isinstance(values, list):
        raise Misfit(f"{SCORES} has no list of values")
    for value in values:
        _check_value(value, declared)
    _check_complete(step, metric, [(value["score"], value["variant"]) for value in values])
    if not isinstance(found.get("degenerate"), list) or not _is_count(found.get("forwards")):
        raise Misfit(f"{SCORES} does not say what is degenerate, or how many images were read")
    if any(not isinstance(reason, str) for reason in found["degenerate"]):
        raise Misfit(f"{SCORES}: what is degenerate is no text")
    for name, tensor in (draws or {}).items():
        if name not in (declared or {name}):
            raise Misfit(f"{DRAWS}: {name[:80]} is no score of {step.metric}")
        if tensor.dtype not in ("F32", "F64") or len(tensor.shape) != 1:
            raise Misfit(f"{DRAWS}: {name[:80]} is {_shown(tensor)}, and no list of numbers")


def _check_value(value: Any, declared: set[str] | None) -> None:
    parts = ("score", "value", "se", "n", "variant", "reason")
    if not isinstance(value, dict) or value.keys() != set(parts):
        raise Misfit(f"{SCORES}: a value has other parts than {', '.join(parts)}")
    if declared is not None and value["score"] not in declared:
        raise Misfit(f"{SCORES}: {str(value['score'])[:80]!r} is no score of the metric")
    texts = all(isinstance(value[part], str) for part in ("score", "variant", "reason"))
    numbers = all(value[part] is None or _is_number(value[part]) for part in ("value", "se"))
    if not texts or not numbers or not _is_count(value["n"]):
        raise Misfit(f"{SCORES}: a value of {str(value['score'])[:80]!r} is no number, or its name no text")
    if value["n"] == 0 and value["value"] is not None:
        raise Misfit(f"{SCORES}: a value of {str(value['score'])[:80]!r} is of no images")


def _check_complete(step: Measure, metric: Metric | None, given: Sequence[tuple[str, str]]) -> None:
    """No score is told twice, and none is left out: a verdict would not miss it."""
    if len(set(given)) < len(given):
        raise Misfit(f"{SCORES} has two values of a score")
    if metric is None or step.metric_version != registry.version(Metric, metric.name):
        return  # what other versions declare is not known here
    lacking = left_out(metric, set(given))
    if lacking:
        raise Misfit(f"{SCORES} has no value of {', '.join(lacking)}")


def _check_facts(facts: Mapping[str, Any], step: Step) -> None:
    """What reports tell of every step, and what verbs read of some."""
    if not _is_number(facts.get("seconds")) or facts["seconds"] < 0:
        raise Misfit("meta.json does not say how many seconds it took")
    if not isinstance(facts.get("environment"), dict):
        raise Misfit("meta.json does not say where it was made")
    if isinstance(step, Predict):
        notes = facts.get("notes")
        if not isinstance(notes, dict) or not all(map(_is_number, notes.values())):
            raise Misfit("meta.json has no notes on the logits")
    if isinstance(step, Prune):
        empty = facts.get("collapsed")
        counted = _is_count(facts.get("kept")) and _is_count(facts.get("total"))
        if not counted or not isinstance(empty, list) or not all(isinstance(name, str) for name in empty):
            raise Misfit("meta.json does not count what the mask keeps")


def _check_weights(found: Mapping[str, Tensor], network: Network) -> None:
    expected = _expected(network)
    if expected is None:
        return
    for name in [*expected, *found]:
        if name not in found:
            raise Misfit(f"{WEIGHTS} lacks {name}")
        if name not in expected:
            raise Misfit(f"{WEIGHTS} has {name[:80]!r}, which {network.architecture} has not")
        if found[name] != expected[name]:
            raise Misfit(f"{WEIGHTS}: {name} is {_shown(found[name])}, and not {_shown(expected[name])}")


def _check_mask(files: _Files, network: Network) -> None:
    bits, told = _header(files, MASK.name)
    shapes = json.loads(told.get("shapes", ""))
    if not isinstance(shapes, dict) or shapes.keys() != bits.keys() or not bits:
        raise Misfit(f"{MASK} does not say the shapes of its tensors")
    expected = _expected(network)
    for name, shape in shapes.items():
        if expected is not None and (name not in expected or list(expected[name].shape) != shape):
            raise Misfit(f"{MASK}: {name[:80]!r} of shape {str(shape)[:80]} is no weight of the network")
        if bits[name] != Tensor("U8", (-(-math.prod(shape) // 8),)):
            raise Misfit(f"{MASK}: {name[:80]!r} is {_shown(bits[name])}, and not a bit for each weight")


@lru_cache(maxsize=64)
def _expected(network: Network) -> dict[str, Tensor] | None:
    """The tensors of a network, without their numbers; None where its architecture is not known here."""
    architecture = registry.known(Architecture, network.architecture)
    if architecture is None or architecture.version != network.version:
        return None
    import torch
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        """Passes over what gives weights their numbers: there it would load a second of Python."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            fills = getattr(func, "__name__", "") in _FILLS and args
            return args[0] if fills else func(*args, **(kwargs or {}))

    try:
        with standard(), torch.random.fork_rng(devices=[]), torch.device("meta"), Unfilled():
            state = architecture.build(network).state_dict()
    except Exception as error:  # whatever torch says of a layer of -3 classes
        if not registry.ships(Architecture, architecture.name):
            return None
        raise Misfit(f"no {network.architecture} can be built as step.json says{because(error)}") from error
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    return {name: Tensor(kinds.get(t.dtype, str(t.dtype)), tuple(t.shape)) for name, t in state.items()}


def _images(inputs: Inputs) -> int | None:
    """How many images a set has; None where that is not known here."""
    dataset = registry.known(Dataset, inputs.data.name)
    if dataset is None or dataset.version != inputs.data.version:
        return None
    size = dataset.splits.get(inputs.split)
    return None if size is None else min(inputs.images or size, size)


def _header(files: _Files, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a safetensors file, and what it tells of them. Raises Misfit for what is none."""
    length = files.size(name)
    if length is None:
        raise Misfit(f"{name} is not there")
    return headed(files.start(name), length, name)


def _json(files: _Files, name: str) -> dict[str, Any]:
    return _table(files.whole(name), name)


def _table(content: bytes, name: str) -> dict[str, Any]:
    found = layout.parsed(content.decode(errors="replace"))
    if found is None:
        raise Misfit(f"{name} is no table")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors))[:80] or "nothing"


def _shown(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"[:80]
