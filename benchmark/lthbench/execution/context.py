"""What a metric sees when it is measured: read from the store when it is asked for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lthbench import registry
from lthbench.data import concepts, loading
from lthbench.errors import StepFailed
from lthbench.execution.workspace import Workspace
from lthbench.functional import saliency_maps
from lthbench.inference.predict import ready
from lthbench.kinds import Annotated, Architecture, Dataset, Images, Logits, Maps
from lthbench.masks import Mask
from lthbench.spec import Given, Inputs, Measure, Weights, network_of
from lthbench.store import layout
from lthbench.store.artifacts import DRAWS, LOGITS, MAPS, SCORES


class StoredContext:
    """What a metric sees: the stored logits of a network, the network itself, and its dense parent."""

    def __init__(self, space: Workspace, step: Measure, subject: Weights):
        self._space, self._store, self._step, self._subject = space, space.store, step, subject
        self._read: dict[str, Logits] = {}
        self.attached: dict[str, bytes] = {}

    @property
    def own(self) -> bool:
        """Whether the network is the dense parent itself."""
        return self._parent().key == self._subject.key

    @property
    def reference(self) -> StoredContext:
        """The context of the dense parent."""
        return StoredContext(self._space, self._step, self._parent())

    def _parent(self) -> Weights:
        """The dense parent. Raises StepFailed for a metric that does not compare with it."""
        if self._step.reference is None:
            raise StepFailed(
                f"metric {self._step.metric} asks for the dense parent but is not declared relative"
            )
        return self._step.reference

    def logits(self, name: str) -> Logits:
        """The logits of one set of images."""
        if name not in self._read:
            inputs = self._declared(self._step.inputs, name, f"asks for {name!r}")
            step = self._step.predicted(self._subject, inputs)
            values, labels = LOGITS.read(self._store, step)
            if not np.isfinite(values).all():
                raise StepFailed(f"the network's logits on {name} are not finite")
            notes = self._store.meta(step)["notes"]
            self._read[name] = Logits(values, labels, notes, self._against(name))
        return self._read[name]

    def _declared(self, sets: tuple[tuple[str, Inputs], ...] | None, name: str, does: str) -> Inputs:
        """The set of this name, among those that the metric says it reads. Raises StepFailed for another."""
        known = dict(sets or ())
        if name not in known:
            raise StepFailed(f"metric {self._step.metric} {does}, which it does not declare")
        return known[name]

    def numbers(self, name: str) -> NDArray[np.int64]:
        """Which images of their split those of one set of logits are: places in file order, from 0."""
        inputs = dict(self._step.inputs)[name]
        total = len(self.logits(name).labels)
        if inputs.images:  # 0: all of them
            total = len(loading.load(inputs.data.name, inputs.split, self._space.places).labels)
        return loading.numbers(total, inputs.images, inputs.first)

    def sets(self, prefix: str) -> dict[str, Logits]:
        """The logits of ``prefix/...`` by their last name, in the task's order."""
        names = [name for name, _ in self._step.inputs if name == prefix or name.startswith(f"{prefix}/")]
        return {name.rpartition("/")[2]: self.logits(name) for name in names}

    def _against(self, name: str) -> tuple[int, ...]:
        """The classes that an out-of-distribution set was collected against; none for any other set."""
        inputs = dict(self._step.inputs)
        if not name.startswith("ood/") or "test" not in inputs:
            return ()
        dataset = registry.get(Dataset, inputs[name].data.name)
        return dataset.against.get(inputs["test"].data.name, ())

    def constant(self) -> bool:
        """Whether the network gave the same output for all images of some set that was read."""
        return any(logits.notes.get("constant") for logits in self._read.values())

    def forwards(self) -> int:
        """The images (with strengths) whose logits were read."""
        return sum(math.prod(logits.values.shape[:-1]) for logits in self._read.values())

    def images(self, name: str) -> Images:
        """The images of a set that the metric looks at itself."""
        inputs = self._declared(self._step.looks, name, f"looks at {name!r}")
        return loading.lent(inputs, self._space.places)

    def maps(self, name: str, of: str = "labels") -> Maps:
        """The saliency maps of a set of images for its ``labels``, or for what the ``reference`` predicts."""
        inputs = self._declared(self._step.maps, name, f"reads maps of {name!r}")
        step = self._step.explained(self._subject, inputs)
        return saliency_maps.unpacked(MAPS.read(self._store, step), of)

    def concepts(self) -> Annotated:
        """The images of the task's bank of concepts, which cannot be written to."""
        inputs = self._declared(self._step.looks, "concepts", "looks at concepts")
        network = network_of(self._subject)
        return concepts.load(inputs, network.size, network.channels, self._space.places)

    def layers(self) -> tuple[str, ...]:
        """The modules of the network whose units concept metrics look at."""
        architecture = registry.get(Architecture, network_of(self._subject).architecture)
        return architecture.stages or (architecture.layer,)

    def attach(self, name: str, content: bytes) -> None:
        """Keep a file beside the scores: what stands behind them."""
        taken = (SCORES.name, DRAWS.name, *layout.EVERY)
        if not layout.NAME.fullmatch(name) or name.lower() in taken:
            raise StepFailed(
                f"metric {self._step.metric} attaches {name[:200]!a}, which is no name for a file: up to 100 "
                "of A-Z, a-z, 0-9, '_', '.' and '-', no dot or minus sign first, and none of "
                f"{', '.join(taken)}"
            )
        self.attached[name] = content

    def network(self) -> nn.Module:
        """The network: on the device, in evaluation mode, its weights without gradients."""
        return ready(self._space.network(self._subject), self._space.device)

    def stored(self) -> dict[str, tuple[int, int]]:
        """For weights that were quantised, the bits of a value and the bytes of scales, by name."""
        found = self._subject.stored if isinstance(self._subject, Given) else None
        return {name: (bits, beside) for name, bits, beside in found or ()}

    def held(self) -> Mask | None:
        """The network's mask; None for a dense one."""
        return self._space.held(self._subject)

    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's images."""
        network = network_of(self._subject)
        return network.channels, network.size, network.size
