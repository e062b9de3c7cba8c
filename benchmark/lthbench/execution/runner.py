"""Doing steps: a small function per verb. Each reads what it needs from the store and publishes."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from lthbench import masks, registry
from lthbench.compute.environment import environment
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.errors import Damaged, LthbenchError, StepFailed, Unwritable
from lthbench.execution.context import StoredContext
from lthbench.execution.train import Trainer
from lthbench.functional import saliency, saliency_maps
from lthbench.inference.batches import BATCH
from lthbench.inference.folding import full_precision
from lthbench.inference.predict import predict, ready, shared
from lthbench.kinds import Architecture, Criterion, Images, Metric
from lthbench.masks import Mask, structured
from lthbench.planning.disk_use import footprint
from lthbench.planning.flops import flops
from lthbench.spec import (
    Explain,
    Given,
    Init,
    Measure,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    Weights,
    mask_keeper,
    network_of,
    trains_alike,
)
from lthbench.store import Store
from lthbench.store.artifacts import DRAWS, MASK, WEIGHTS
from lthbench.store.disk import free_bytes
from lthbench.training.loop import Paused
from lthbench.training.packing import in_stacks, tidy
from lthbench.training.savepoints import SAVE_EVERY
from lthbench.training.stacked import Member


class Runner:
    """Does steps on one device, reading and publishing through a store.

    Up to ``stack`` trainings that are alike and ready, among steps given at once, are done together; so are
    networks' passes over the same images. Trainings are kept after an epoch, each ``save_every`` seconds.
    """

    def __init__(
        self,
        store: Store,
        places: tuple[Path, ...],
        device: str = "cpu",
        stack: int = 1,
        save_every: float = SAVE_EVERY,
    ):
        self.store = store
        self.places = places
        self.device = torch.device(device)
        self.stack = stack
        self.save_every = save_every
        self.took: dict[str, float] = {}  # seconds of trainings, with those before they were left, by key

    def do(
        self,
        steps: Sequence[Step],
        known: Mapping[str, str] | None = None,
        stopped: Callable[[], bool] = lambda: False,
        stepped: Callable[[Step, float], None] = lambda step, share: None,
    ) -> dict[str, str]:
        """Do steps in order, needs before needers. Returns why some failed, by key; the others are stored.

        ``known`` are failures of steps done before, by key. A ``Rewind`` whose training is among the steps is
        taken from it on the way. ``stopped`` is asked before each step, and after each epoch of a training,
        whether to go on; a training is then kept as it is. ``stepped`` is told of each step that is done.
        Raises Unwritable, before it starts, where the disk has no room for them.
        """
        failed: dict[str, str] = dict(known or {})
        self._check_room(steps)
        for step in steps:
            if stopped():
                break
            if any(n.key in failed for n in step.needs()):
                failed[step.key] = next(failed[n.key] for n in step.needs() if n.key in failed)
            elif step.key not in failed and not self.store.has(step):
                try:
                    failed |= self._attempt(step, steps, failed, stopped)
                except Paused:
                    break
            stepped(step, 1.0)
        return {step.key: failed[step.key] for step in steps if step.key in failed}

    def _attempt(
        self, step: Step, among: Sequence[Step], failed: Mapping[str, str], stopped: Callable[[], bool]
    ) -> dict[str, str]:
        """Do a step, and those like it that are done with it. Returns why some failed, by key."""
        together = self._together(step, among, failed)
        found: dict[str, str] = {}
        started, began, reason = time.time(), time.monotonic(), ""
        if self.device.type == "cuda":
            # A process that has done nothing there knows of no device by number.
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            with nullcontext() if isinstance(step, Train | Rewind) else full_precision():
                if isinstance(step, Train):
                    found = Trainer(self, among, stopped).train([s for s in together if isinstance(s, Train)])
                elif isinstance(step, Predict):
                    self._predict([s for s in together if isinstance(s, Predict)])
                else:
                    self._do(step)
        except Paused:
            self._log_all([s for s in together if self.store.has(s)], started, began, found)
            raise
        except (Damaged, Unwritable):
            raise
        except LthbenchError as error:
            reason = str(error)
        except torch.OutOfMemoryError:
            reason = "the device ran out of memory"
        except Exception as error:
            if not isinstance(step, Prune | Explain | Measure):  # these run the code of plug-ins
                raise
            reason = f"{type(error).__name__}: {error}"
        if reason:
            found |= {s.key: reason for s in together if not self.store.has(s)}
        self._log_all(together, started, began, found)
        return found

    def _log_all(
        self, together: Sequence[Step], started: float, began: float, failed: Mapping[str, str]
    ) -> None:
        """A line in the event log for each of the steps done together."""
        seconds = (time.monotonic() - began) / max(len(together), 1)
        for one in together:
            took = self.took.pop(one.key, seconds)
            self._log(one, started, took, failed.get(one.key, ""), len(together))

    def _check_room(self, steps: Sequence[Step]) -> None:
        """Raise Unwritable where the disk has no room for what of the steps is not stored."""
        free = free_bytes(self.store.root)
        if free < footprint(steps) and free < footprint(s for s in steps if not self.store.has(s)):
            with self.store.writing():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _do(self, step: Step) -> None:
        if isinstance(step, Init):
            self.publish_weights(step, self._built(step), time.monotonic())
        elif isinstance(step, Given):
            raise StepFailed("a network made elsewhere is no longer in the store: score it again")
        elif isinstance(step, Rewind):
            self._rewind(step)
        elif isinstance(step, Prune):
            self._prune(step)
        elif isinstance(step, Explain):
            self._explain(step)
        elif isinstance(step, Measure):
            self._measure(step)

    # ------------------------------------------------------------------------------------------- verbs

    def _built(self, step: Init) -> nn.Module:
        """The network with its weights as drawn from the step's seed."""
        architecture = registry.get(Architecture, step.network.architecture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator("init", step.seed).initial_seed())
            return architecture.build(step.network)

    def _together(self, step: Step, among: Sequence[Step], failed: Mapping[str, str]) -> list[Step]:
        """The step, and those among the steps that are like it and could be done now, up to the stack."""
        ready = (
            other
            for other in (among if self.stack > 1 else ())
            if other.key != step.key
            and _alike(other, step)
            and other.key not in failed
            and not self.store.has(other)
            and all(self.store.has(n) for n in other.needs())
        )
        return [step, *itertools.islice(ready, self.stack - 1)]

    def member(self, step: Train) -> Member:
        """What a step trains, as it is before its first epoch."""
        mask = self.mask(step.mask) if step.mask else None
        return Member(self.network(step.start), step.seed, mask, step.rewire)

    def _rewind(self, step: Rewind) -> None:
        """The same training again, stopped at the epoch: the weights are those it passed through."""
        started, whole = time.monotonic(), step.train
        if step.epoch == whole.first_epoch:
            self.publish_weights(step, self.network(whole.start), started)
            return
        make, images = partial(self.member, whole), self.training_images(whole)
        for made, result, _ in in_stacks([make], images, whole.recipe, whole.first_epoch, step.epoch):
            if isinstance(result, StepFailed):
                raise result
            assert made is not None
            self.publish_weights(step, made.model, started)

    def _prune(self, step: Prune) -> None:
        started = time.monotonic()
        criterion = registry.criterion(step.criterion)
        model = self.network(step.given).train()
        draw = generator("prune", step.seed)
        mask = self.held(step.given)
        for done in range(1, criterion.rounds + 1):
            if mask is not None:
                masks.apply(model, mask)
            scores = criterion.score(model, self._batches(step, criterion), draw)
            density = step.density ** (done / criterion.rounds)
            if criterion.unit == "filter":
                mask = structured.top_filters(model, scores, density)
            elif criterion.unit == "kernel":
                mask = masks.top_kernels(scores, density)
            else:
                mask = masks.top(scores, density, mask, step.allocation)
        assert mask is not None
        self.store.put(step, {MASK: masks.packed(mask)}, self._meta(started, **masks.counted(mask)))

    def _predict(self, steps: Sequence[Predict]) -> None:
        """Networks on the same images. Where the device has no room for all, they pass in halves."""
        started, found, models = time.monotonic(), None, []
        try:
            models += [ready(self.network(step.subject), self.device) for step in steps]
            found = predict(models, steps[0].inputs, self.places, self.store.sets)
        except torch.OutOfMemoryError:
            if len(steps) == 1:
                raise
        if found is None:  # not in the handler, which would keep what was in memory
            models.clear()
            tidy()
            for part in (steps[: len(steps) // 2], steps[len(steps) // 2 :]):
                self._predict(part)
            return
        began = time.monotonic() - (time.monotonic() - started) / len(steps)
        facts = {"stack": len(steps)} if len(steps) > 1 else {}
        for step, logits in zip(steps, found, strict=True):
            tensors = {"logits": torch.from_numpy(logits.values), "labels": torch.from_numpy(logits.labels)}
            files = {"logits.safetensors": safetensors.torch.save(tensors)}
            flat = logits.values.reshape(-1, logits.values.shape[-1])
            notes = {**logits.notes, "constant": float(np.ptp(flat, axis=0).max() == 0.0)}
            self.store.put(step, files, self._meta(began, notes=notes, **facts))

    def _explain(self, step: Explain) -> None:
        started = time.monotonic()
        wanted = Predict(step.reference, step.inputs)
        logits = safetensors.torch.load(self.store.read(wanted, "logits.safetensors"))["logits"]
        images = loading.subset(
            loading.load(step.inputs.data.name, step.inputs.split, self.places), step.inputs.images
        )
        layer = registry.get(Architecture, network_of(step).architecture).layer
        model = ready(self.network(step.subject), self.device)
        # Not-a-number counts as the largest value: a broken parent's classes are as good as any.
        classes = logits.argmax(1).numpy()
        found = saliency.explain(model, layer, images, classes)
        tensors = {name: torch.from_numpy(values) for name, values in found.items()}
        self.store.put(step, {saliency_maps.FILE: safetensors.torch.save(tensors)}, self._meta(started))

    def _measure(self, step: Measure) -> None:
        started = time.monotonic()
        metric = registry.get(Metric, step.metric)
        context = StoredContext(self, step, step.subject)
        values = metric.measure(context)
        declared = {s.name for s in metric.scores}
        stray = {v.score for v in values} - declared
        if stray:
            raise StepFailed(
                f"metric {metric.name} yields {', '.join(sorted(stray))}, which it does not declare"
            )
        listed = [
            {
                "score": v.score,
                "value": _number(v.value),
                "se": _number(v.se),
                "n": v.n,
                "variant": v.variant,
                "reason": v.reason,
            }
            for v in values
        ]
        result = {
            "values": listed,
            "degenerate": self._degenerate(step, context),
            "forwards": context.forwards(),
        }
        content = (json.dumps(result, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
        draws = {
            v.score: torch.from_numpy(np.ascontiguousarray(v.draws, dtype=np.float32))
            for v in values
            if v.draws is not None and not v.variant
        }
        files = {"scores.json": content, **context.attached}
        if draws:
            files[DRAWS] = safetensors.torch.save(draws)
        self.store.put(step, files, self._meta(started))

    def _degenerate(self, step: Measure, context: StoredContext) -> list[str]:
        """Why the network can pass nothing: an empty layer, or the same output for all images."""
        reasons = [f"layer {name.removesuffix('.weight')} is empty" for name in self.collapsed(step.subject)]
        if context.constant():
            reasons.append("the output is the same for all images")
        return reasons

    # ----------------------------------------------------------------------------------------- reading

    def network(self, step: Weights) -> nn.Module:
        """A network with the weights of a step, on the device."""
        model = self._built(Init(network_of(step), 0))
        model.load_state_dict(safetensors.torch.load(self.store.read(step, WEIGHTS)))
        return model.to(self.device)

    def mask(self, step: Prune | Train | Given) -> Mask:
        """The mask of a step, that which a rewired training ended with, or one made elsewhere."""
        return masks.unpacked(self.store.read(step, MASK))

    def held(self, step: Weights) -> Mask | None:
        """The mask that a network holds to; None for a dense one."""
        keeper = mask_keeper(step)
        return None if keeper is None else self.mask(keeper)

    def collapsed(self, step: Weights) -> list[str]:
        """The layers of a network that its mask leaves empty."""
        keeper = mask_keeper(step)
        return [] if keeper is None else list(self.store.meta(keeper)["collapsed"])

    def training_images(self, step: Train) -> Images:
        """The images that a step trains on."""
        images = loading.load(step.data.name, "train", self.places)
        return loading.subset(images, step.recipe.images)

    def _batches(self, step: Prune, criterion: Criterion) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        network = network_of(step)
        if step.data is None:
            ones = torch.ones(1, network.channels, network.size, network.size, device=self.device)
            yield ones, torch.zeros(1, dtype=torch.int64, device=self.device)
            return
        per_class = criterion.scored_per_class(network.classes)
        images = loading.per_class(loading.load(step.data.name, "train", self.places), per_class)
        for start in range(0, len(images.labels), BATCH):
            part = np.ascontiguousarray(images.pixels[start : start + BATCH])
            pixels = torch.from_numpy(part).to(self.device, torch.float32).div_(255.0)
            yield pixels, torch.from_numpy(images.labels[start : start + BATCH]).to(self.device)

    # -------------------------------------------------------------------------------------- publishing

    def publish_weights(
        self,
        step: Weights,
        model: nn.Module,
        started: float,
        files: Mapping[str, bytes] | None = None,
        **facts: Any,
    ) -> None:
        """Publish the weights of a step that was started at this ``time.monotonic()``."""
        tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        content = {WEIGHTS: safetensors.torch.save(tensors), **(files or {})}
        self.store.put(step, content, self._meta(started, **facts))

    def _meta(self, started: float, **facts: Any) -> dict[str, Any]:
        return {"seconds": time.monotonic() - started, "environment": environment(self.device), **facts}

    def _log(self, step: Step, started: float, seconds: float, failure: str, together: int = 1) -> None:
        """A line in the event log; of steps done ``together``, each has its share of time and memory."""
        event = {
            "key": step.key,
            "step": type(step).__name__,
            "start": started,
            "seconds": seconds,
            "flops": flops(step),
            "device": self.device.type,
            "pid": os.getpid(),
            "status": "failed" if failure else "ok",
            "reason": failure,
        }
        if isinstance(step, Train | Predict):
            event["architecture"] = network_of(step).architecture
        if isinstance(step, Train):
            event["precision"] = step.recipe.precision
        if together > 1:
            event["stack"] = together
        if self.device.type == "cuda":
            event["memory"] = torch.cuda.max_memory_reserved(self.device) // together
            event["device_memory"] = torch.cuda.get_device_properties(self.device).total_memory
            event["network"] = network_of(step).architecture
        self.store.log(event)


def _alike(step: Step, other: Step) -> bool:
    """Whether two steps can be done together: trainings of a stack, or passes over the same images."""
    if isinstance(step, Train) and isinstance(other, Train):
        return trains_alike(step) == trains_alike(other)
    if isinstance(step, Predict) and isinstance(other, Predict):
        same = step.inputs == other.inputs and network_of(step) == network_of(other)
        return same and shared(step.inputs)
    return False


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
