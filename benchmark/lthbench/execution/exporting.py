"""A network as files for use elsewhere: its weights, a program that runs without lthbench, and what it costs.

What passes take is a measurement of this machine at this moment. It stands beside the counted operations in
the account of an export, and in no score.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from lthbench.compute.environment import environment
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.execution.latency import BATCHES, in_turns
from lthbench.execution.workspace import Workspace
from lthbench.functional.model_size import cost
from lthbench.global_state import full_precision
from lthbench.masks.compaction import compact
from lthbench.spec import Weights, network_of
from lthbench.store.artifacts import WEIGHTS

#: How far logits may differ, relative to the largest: sums of fewer terms are rounded otherwise.
TOLERANCE = 1e-4

PROGRAM = "network.pt2"
ACCOUNT = "export.json"
#: All files of an export.
NAMES = ("network.safetensors", PROGRAM, ACCOUNT)


def exported(
    space: Workspace, step: Weights, smaller: bool, named: Mapping[str, Any]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a network by name, and the account that is also among them.

    ``network.safetensors`` holds its weights, ``network.pt2`` what ``torch.export`` makes of it: pixels
    ``[N, C, H, W]`` in [0, 1] in, logits out, for any N. ``smaller`` leaves out the channels that its mask
    removes whole. The account begins with how the network is ``named``: method, sparsity and seed. Raises
    StepFailed where there are no such channels, or where outputs would differ.
    """
    network = network_of(step)
    shape = (network.channels, network.size, network.size)
    model, mask = space.network(step).eval(), space.held(step)
    sizes: dict[str, nn.Module] = {"full size": model}
    account: dict[str, Any] = {"schema": 1, **named, "network": step.key}
    account["architecture"] = network.architecture
    if smaller:
        sizes["compact"] = compact(model, mask or {})
        account["difference"] = _difference(model, sizes["compact"], shape)
        account["channels"] = _channels(sizes["compact"])
    chosen = list(sizes.values())[-1]
    turns = in_turns(sizes, [(batch, *shape) for batch in BATCHES])
    times = dict(zip(BATCHES, turns, strict=True))
    rows: list[dict[str, Any]] = []
    for name, one in sizes.items():
        counted = cost(one, None, shape)
        row = {"network": name, "parameters": counted.parameters, "flops": counted.flops_dense}
        row |= {"bytes": counted.bytes}
        for batch, took in times.items():
            lower, row[f"seconds_{batch}"], upper = took.quartiles(name)
            row[f"quartiles_{batch}"] = [lower, upper]
            if name != "full size":
                row[f"speedup_{batch}"] = took.speedup("full size", name)._asdict()
        rows.append(row)
    account |= {"rows": rows, "clock": times[BATCHES[0]].clock, "environment": environment(space.device)}
    files = {WEIGHTS.name.replace("weights", "network"): WEIGHTS.encode(chosen.state_dict())}
    files[PROGRAM] = _program(chosen, shape)
    files[ACCOUNT] = json.dumps(account, indent=1).encode()
    return files, account


@full_precision()  # what a GPU rounds by default is more than the tolerance
@torch.inference_mode()
def _difference(model: nn.Module, other: nn.Module, shape: tuple[int, int, int]) -> float:
    """The largest difference of logits on 64 images of noise. Raises StepFailed where it is no rounding."""
    device = next(model.parameters()).device
    images = torch.rand(64, *shape, generator=generator("export")).to(device)
    wanted, found = model(images), other(images)
    largest = float((wanted - found).abs().max())
    if not largest <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise StepFailed(f"the smaller network gives other logits: they differ by {largest:.3g}")
    return largest


def _channels(model: nn.Module) -> dict[str, list[int]]:
    """What each convolution and linear layer makes and reads, in channels or features."""
    kinds = (nn.Conv2d, nn.Linear)
    return {n: list(m.weight.shape[:2]) for n, m in model.named_modules() if isinstance(m, kinds)}


def _program(model: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """The network as ``torch.export.save`` writes it; ``torch.export.load`` reads it without lthbench.

    It is one for a CPU, from where it can be moved: on a GPU it would ask for this GPU wherever it is read.
    """
    here = deepcopy(model).cpu()
    program = torch.export.export(
        here, (torch.rand(2, *shape),), dynamic_shapes=({0: torch.export.Dim("images")},)
    )
    written = io.BytesIO()
    torch.export.save(program, written)
    return written.getvalue()
