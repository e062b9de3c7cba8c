"""What all verbs share: the store, the data and the device, and the reading and publishing of networks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lthbench import registry
from lthbench.compute.environment import environment
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.formatting import one_line
from lthbench.global_state import kept
from lthbench.inference.folding import folded
from lthbench.inference.predict import Run, fixed, passing, ready
from lthbench.inference.rounding import round_activations
from lthbench.kinds import Architecture, Images
from lthbench.masks import Mask, full, prunable
from lthbench.spec import Given, Init, Network, Prune, Train, Weights, mask_keeper, network_of
from lthbench.store import Store
from lthbench.store.artifacts import MASK, WEIGHTS
from lthbench.training.loop import Member


def _check_size(architecture: Architecture, network: Network, model: nn.Module) -> None:
    """Raise StepFailed unless a network is of the size that its architecture counts."""
    counted = architecture.count(network)
    for what, said, found in (
        ("parameters", counted.parameters, model.parameters()),
        ("prunable weights", counted.prunable, prunable(model).values()),
    ):
        built = sum(tensor.numel() for tensor in found)
        if built != said:
            raise StepFailed(
                f"architecture {architecture.name}: count(network) gives {said:,} {what}, and what "
                f"build(network) makes has {built:,}"
            )


def _check_names(architecture: Architecture, model: nn.Module) -> None:
    """Raise StepFailed for a parameter whose name reports could not read again."""
    odd = next((name for name, _ in model.named_parameters() if not one_line(name)), None)
    if odd is not None:
        raise StepFailed(
            f"architecture {architecture.name}: a parameter has a name with control characters: {odd[:100]!a}"
        )


class Workspace:
    """A store, the folders of data, and a device: where steps read from, and what they publish to."""

    def __init__(self, store: Store, places: tuple[Path, ...], device: str | torch.device = "cpu"):
        self.store = store
        self.places = places
        self.device = torch.device(device)
        self._forward: tuple[tuple[object, ...], Run] | None = None
        self._sized: set[Network] = set()

    # ----------------------------------------------------------------------------------------- reading

    def built(self, step: Init) -> nn.Module:
        """The network with its weights as drawn from the step's seed, on the CPU.

        Raises StepFailed where its size is not what its architecture counts, or a name is no line.
        """
        architecture = registry.get(Architecture, step.network.architecture)
        with kept(f"architecture {architecture.name}"):
            torch.manual_seed(generator("init", step.seed).initial_seed())
            model = architecture.build(step.network)
            if step.network not in self._sized:
                _check_size(architecture, step.network, model)
                _check_names(architecture, model)
                self._sized.add(step.network)
        return model

    def network(self, step: Weights) -> nn.Module:
        """A network with the weights of a step, on the device; a quantised one rounds its activations."""
        self.forget()  # it may need the room
        model = self.built(Init(network_of(step), 0))
        model.load_state_dict(WEIGHTS.read(self.store, step))
        if isinstance(step, Given) and step.activations:
            round_activations(model, step.activations)
        return model.to(self.device)

    def forward(self, steps: Sequence[Weights]) -> Run:
        """What passes batches of images through networks, for scores.

        It is kept until another network is asked for: sets that the same networks see one after the other are
        passed by the same copies and graphs.
        """
        # Graphs hold the kernels that were chosen at their capture.
        backends: Any = torch.backends
        precisions = (backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision)
        asked = (*(step.key for step in steps), *precisions)
        if self._forward is not None and self._forward[0] == asked:
            return self._forward[1]
        quick = [folded(ready(self.network(step), self.device)) for step in steps]
        run = passing(quick, self.device)
        if fixed(quick):  # others may hold what they have seen
            self._forward = asked, run
        return run

    def forget(self) -> None:
        """Keep networks no longer: other steps need the memory."""
        self._forward = None

    def mask(self, step: Prune | Train | Given) -> Mask:
        """The mask of a step, that which a rewired training ended with, or one made elsewhere."""
        return MASK.read(self.store, step)

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

    def member(self, step: Train) -> Member:
        """What a step trains, as it is before its first epoch."""
        mask = self.mask(step.mask) if step.mask else None
        model = self.network(step.start)
        if mask is None and step.rewire is not None:  # what prunes on the way starts from all weights
            mask = full(model)
        return Member(model, step.seed, mask, step.rewire)

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
        content = {WEIGHTS.name: WEIGHTS.encode(model.state_dict()), **(files or {})}
        self.store.put(step, content, self.meta(started, **facts))

    def meta(self, started: float, **facts: Any) -> dict[str, Any]:
        """What is kept beside an artefact: seconds since ``started``, the environment, and more facts."""
        return {"seconds": time.monotonic() - started, "environment": environment(self.device), **facts}
