"""A long training is kept now and then, so that what ends it loses minutes: it goes on with the same bits.

A savepoint holds what an epoch leaves: weights and statistics, momentum, the mask where it changes, the
losses so far and the seconds they took, as a safetensors file. Before it stands a line, the SHA-256 of
``SCHEMA``, the training's key and the file. What does not match it counts as none: the training begins again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import safetensors.torch
import torch
from torch import nn

from lthbench.errors import Damaged, Unwritable
from lthbench.spec import Rewind, Step, Train
from lthbench.store import Store
from lthbench.store.artifacts import apart
from lthbench.training.optimization import Trained

SCHEMA = 1
#: What is kept of a training beside its weights, losses and seconds.
BESIDE = ("momentum", "squares", "steps", "mask")
#: Seconds between two savepoints of a training, and between two lines of the event log that say where it is.
SAVE_EVERY, TELL_EVERY = 300.0, 10.0


class Savepoint(NamedTuple):
    """A training on its way: its weights and statistics, what else it has left so far, and its seconds."""

    weights: dict[str, torch.Tensor]
    so_far: Trained
    seconds: float


def packed(key: str, model: nn.Module, so_far: Trained, seconds: float) -> bytes:
    """A savepoint of a training as bytes."""
    parts = {"weights": model.state_dict(), **{part: getattr(so_far, part) or {} for part in BESIDE}}
    tensors = apart({f"{part}/{name}": t for part, named in parts.items() for name, t in named.items()})
    tensors["losses"] = torch.tensor(so_far.losses, dtype=torch.float64)
    tensors["seconds"] = torch.tensor(seconds, dtype=torch.float64)
    content = safetensors.torch.save(tensors)
    return _digest(key, content) + b"\n" + content


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(f"{SCHEMA} {key}\n".encode() + content).hexdigest().encode()


def unpacked(key: str, given: bytes | None) -> Savepoint | None:
    """A savepoint of a training from its bytes; None where there is none, or it is damaged."""
    digest, _, content = (given or b"").partition(b"\n")
    if _digest(key, content) != digest:
        return None
    tensors = safetensors.torch.load(content)
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in ("weights", *BESIDE)}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if rest:
            parts[part][rest] = tensor
    weights, momentum = parts.pop("weights"), parts.pop("momentum")
    optional = {part: named or None for part, named in parts.items()}
    so_far = Trained(tensors["losses"].tolist(), momentum, **optional)
    return Savepoint(weights, so_far, float(tensors["seconds"]))


def of(step: Train | Rewind, store: Store) -> Savepoint | None:
    """Where a training, or one up to a rewind point, was left on its way."""
    found = unpacked(step.key, store.savepoint(step.key))
    if found is None or not 0 < len(found.so_far.losses) < _epochs(step):
        return None
    return found


def _training(step: Train | Rewind) -> Train:
    return step.train if isinstance(step, Rewind) else step


def _epochs(step: Train | Rewind) -> int:
    """How many epochs it runs."""
    return step.epoch - step.train.first_epoch if isinstance(step, Rewind) else step.epochs


def shares(steps: Iterable[Step], store: Store) -> dict[str, float]:
    """What share of trainings is done that are left on their way, by key."""
    saved, found = store.saved(), {}
    for step in steps:
        if isinstance(step, Train | Rewind) and step.key in saved:
            point = of(step, store)
            found[step.key] = len(point.so_far.losses) / _epochs(step) if point else 0.0
    return found


def resume(found: Savepoint, model: nn.Module) -> None:
    """Give a network the weights of a savepoint. Raises Damaged for one of another network."""
    own = {name: tensor.shape for name, tensor in model.state_dict().items()}
    left = found.so_far
    beside = [i for part in (left.momentum, left.squares, left.mask) for i in (part or {}).items()]
    odd = [name for name, tensor in (*found.weights.items(), *beside) if own.get(name) != tensor.shape]
    odd += [name for name in own if name not in found.weights]
    if odd:
        raise Damaged(
            "a savepoint is of another network (lthbench store prune --savepoints deletes them): "
            f"{odd[0][:100]} is lacking, or has another shape, in one of the two"
        )
    model.load_state_dict(found.weights)


class Keeper:
    """Decides when the trainings of a stack are kept, all after the same epoch, and when they pause."""

    def __init__(
        self,
        store: Store,
        epochs: int,
        trainings: int,
        stopped: Callable[[], bool],
        every: float = SAVE_EVERY,
    ):
        self._store, self._epochs, self._trainings = store, epochs, trainings
        self._stopped, self._every = stopped, every
        self.saved: set[str] = set()
        self.started = self._kept = self._told = time.monotonic()
        self._epoch, self._due, self._tells, self._pauses = 0, False, False, False

    def passed(
        self,
        step: Train | Rewind,
        epoch: int,
        model: nn.Module,
        so_far: Callable[[], Trained],
        spent: float,
    ) -> None:
        """Take note that a training has done so many epochs; it took ``spent`` seconds before this start."""
        self._decide(epoch)
        training = _training(step)
        # A disk that is full ends the run when a step is published, and not before.
        with contextlib.suppress(*(() if self._pauses else (Unwritable,))):
            if self._tells:
                share = (epoch - training.first_epoch) / _epochs(step)
                self._store.log({"training": step.key, "epoch": epoch, "share": share, "pid": os.getpid()})
            if self._due:
                seconds = spent + (time.monotonic() - self.started) / self._trainings
                left = so_far() if training.rewire is not None else so_far()._replace(mask=None)
                self._store.save(step.key, packed(step.key, model, left, seconds))
                self.saved.add(step.key)

    def pauses(self, epoch: int) -> bool:
        """Whether the trainings end after so many epochs, to go on when they are asked for again."""
        self._decide(epoch)
        return self._pauses

    def _decide(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        now, self._epoch = time.monotonic(), epoch
        done = epoch >= self._epochs
        self._tells = not done and now - self._told >= TELL_EVERY
        self._pauses = not done and self._stopped()
        self._due = not done and (self._pauses or now - self._kept >= self._every)
        self._told = now if self._tells else self._told
        self._kept = now if self._due else self._kept
