"""Doing steps: a small function per verb. Each reads what it needs from the store and publishes."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

import lthbench
from lthbench import channels, data, maps, masks, registry, saliency
from lthbench.context import StoredContext
from lthbench.corrupted import BATCH
from lthbench.costs import flops
from lthbench.errors import Damaged, LthbenchError, StepFailed, Unwritable
from lthbench.footprint import footprint
from lthbench.kinds import Architecture, Criterion, Images, Metric
from lthbench.masks import Mask
from lthbench.predict import predict, ready
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
)
from lthbench.store import DRAWS, Store
from lthbench.train import generator, train
from lthbench.transfer import free_bytes

#: The files that hold a network's weights, and a mask, one bit for each weight.
WEIGHTS, MASK = "weights.safetensors", "mask.safetensors"


class Runner:
    """Does steps on one device, reading and publishing through a store."""

    def __init__(self, store: Store, places: tuple[Path, ...], device: str = "cpu"):
        self.store = store
        self.places = places
        self.device = torch.device(device)

    def do(
        self,
        steps: Sequence[Step],
        known: Mapping[str, str] | None = None,
        stopped: Callable[[], bool] = lambda: False,
        stepped: Callable[[Step], None] = lambda step: None,
    ) -> dict[str, str]:
        """Do steps in order, needs before needers. Returns why some failed, by key; the others are stored.

        ``known`` are failures of steps done before, by key. A ``Rewind`` whose training is among the steps
        is taken from it on the way. ``stopped`` is asked before each step whether to go on, ``stepped`` told
        of each that is done. Raises Unwritable, before it starts, where the disk has no room for them.
        """
        failed: dict[str, str] = dict(known or {})
        self._check_room(steps)
        for step in steps:
            if stopped():
                break
            if any(n.key in failed for n in step.needs()):
                failed[step.key] = next(failed[n.key] for n in step.needs() if n.key in failed)
            elif not self.store.has(step):
                passing = [r for r in steps if isinstance(r, Rewind) and r.train.key == step.key]
                started, began = time.time(), time.monotonic()
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(self.device)
                try:
                    self._do(step, passing)
                except (Damaged, Unwritable):
                    raise
                except LthbenchError as error:
                    failed[step.key] = str(error)
                except torch.cuda.OutOfMemoryError:
                    failed[step.key] = "the device ran out of memory"
                except Exception as error:
                    if not isinstance(step, Prune | Explain | Measure):  # these run the code of plug-ins
                        raise
                    failed[step.key] = f"{type(error).__name__}: {error}"
                self._log(step, started, time.monotonic() - began, failed.get(step.key, ""))
            stepped(step)
        return {step.key: failed[step.key] for step in steps if step.key in failed}

    def _check_room(self, steps: Sequence[Step]) -> None:
        """Raise Unwritable where the disk has no room for what of the steps is not stored."""
        free = free_bytes(self.store.root)
        if free < footprint(steps) and free < footprint(s for s in steps if not self.store.has(s)):
            with self.store.writing():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _do(self, step: Step, passing: Sequence[Rewind]) -> None:
        if isinstance(step, Init):
            self._publish_weights(step, self._built(step), time.monotonic())
        elif isinstance(step, Given):
            raise StepFailed("a network made elsewhere is no longer in the store: score it again")
        elif isinstance(step, Train):
            self._train(step, passing)
        elif isinstance(step, Rewind):
            self._rewind(step)
        elif isinstance(step, Prune):
            self._prune(step)
        elif isinstance(step, Predict):
            self._predict(step)
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

    def _train(self, step: Train, passing: Sequence[Rewind]) -> None:
        started = time.monotonic()
        model = self.network(step.start)
        wanted = {r.epoch: r for r in passing}
        if step.first_epoch in wanted:
            self._publish_weights(wanted[step.first_epoch], model, started)

        def after(epoch: int, model: nn.Module) -> None:
            if epoch in wanted:
                self._publish_weights(wanted[epoch], model, started)

        mask = self.mask(step.mask) if step.mask else None
        images = self._training_images(step)
        trained = train(
            model,
            images,
            step.recipe,
            step.seed,
            mask,
            step.first_epoch,
            after_epoch=after,
            rewire=step.rewire,
        )
        files: dict[str, bytes] = {}
        facts: dict[str, Any] = {}
        if step.rewire is not None and trained.mask is not None:
            files, facts = {MASK: masks.packed(trained.mask)}, masks.counted(trained.mask)
        self._publish_weights(step, model, started, files, losses=trained.losses, **facts)

    def _rewind(self, step: Rewind) -> None:
        """The same training again, stopped at the epoch: the weights are those it passed through."""
        started = time.monotonic()
        whole = step.train
        model = self.network(whole.start)
        if step.epoch > whole.first_epoch:
            mask = self.mask(whole.mask) if whole.mask else None
            images = self._training_images(whole)
            train(model, images, whole.recipe, whole.seed, mask, whole.first_epoch, step.epoch)
        self._publish_weights(step, model, started)

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
                mask = channels.top_filters(model, scores, density)
            elif criterion.unit == "kernel":
                mask = masks.top_kernels(scores, density)
            else:
                mask = masks.top(scores, density, mask, step.allocation)
        assert mask is not None
        self.store.put(step, {MASK: masks.packed(mask)}, self._meta(started, **masks.counted(mask)))

    def _predict(self, step: Predict) -> None:
        started = time.monotonic()
        model = ready(self.network(step.subject), self.device)
        logits = predict(model, step.inputs, self.places, self.store.sets)
        tensors = {"logits": torch.from_numpy(logits.values), "labels": torch.from_numpy(logits.labels)}
        files = {"logits.safetensors": safetensors.torch.save(tensors)}
        flat = logits.values.reshape(-1, logits.values.shape[-1])
        notes = {**logits.notes, "constant": float(np.ptp(flat, axis=0).max() == 0.0)}
        self.store.put(step, files, self._meta(started, notes=notes))

    def _explain(self, step: Explain) -> None:
        started = time.monotonic()
        wanted = Predict(step.reference, step.inputs)
        logits = safetensors.torch.load(self.store.read(wanted, "logits.safetensors"))["logits"]
        images = data.subset(
            data.load(step.inputs.data.name, step.inputs.split, self.places), step.inputs.images
        )
        layer = registry.get(Architecture, network_of(step).architecture).layer
        model = ready(self.network(step.subject), self.device)
        # Not-a-number counts as the largest value: a broken parent's classes are as good as any.
        classes = logits.argmax(1).numpy()
        found = saliency.explain(model, layer, images, classes)
        tensors = {name: torch.from_numpy(values) for name, values in found.items()}
        self.store.put(step, {maps.FILE: safetensors.torch.save(tensors)}, self._meta(started))

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

    def _training_images(self, step: Train) -> Images:
        images = data.load(step.data.name, "train", self.places)
        return data.subset(images, step.recipe.images)

    def _batches(self, step: Prune, criterion: Criterion) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        network = network_of(step)
        if step.data is None:
            ones = torch.ones(1, network.channels, network.size, network.size, device=self.device)
            yield ones, torch.zeros(1, dtype=torch.int64, device=self.device)
            return
        per_class = criterion.scored_per_class(network.classes)
        images = data.per_class(data.load(step.data.name, "train", self.places), per_class)
        for start in range(0, len(images.labels), BATCH):
            part = np.ascontiguousarray(images.pixels[start : start + BATCH])
            pixels = torch.from_numpy(part).to(self.device, torch.float32).div_(255.0)
            yield pixels, torch.from_numpy(images.labels[start : start + BATCH]).to(self.device)

    # -------------------------------------------------------------------------------------- publishing

    def _publish_weights(
        self,
        step: Weights,
        model: nn.Module,
        started: float,
        files: Mapping[str, bytes] | None = None,
        **facts: Any,
    ) -> None:
        tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        content = {WEIGHTS: safetensors.torch.save(tensors), **(files or {})}
        self.store.put(step, content, self._meta(started, **facts))

    def _meta(self, started: float, **facts: Any) -> dict[str, Any]:
        return {"seconds": time.monotonic() - started, "environment": environment(self.device), **facts}

    def _log(self, step: Step, started: float, seconds: float, failure: str) -> None:
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
        if self.device.type == "cuda":
            event["memory"] = torch.cuda.max_memory_reserved(self.device)
            event["device_memory"] = torch.cuda.get_device_properties(self.device).total_memory
            event["network"] = network_of(step).architecture
        self.store.log(event)


def environment(device: torch.device) -> dict[str, Any]:
    """What a result may depend on beside its step: versions and the kind of device."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "lthbench": lthbench.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "device": f"{device.type}: {kind}",
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
