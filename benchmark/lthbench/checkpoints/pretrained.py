"""Networks that begin with pretrained weights: read, with a new last layer where classes differ, and kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from lthbench import registry
from lthbench.checkpoints import files, googlenet
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.importing import publish
from lthbench.checkpoints.taking import Taken, take
from lthbench.compute.rng import generator
from lthbench.errors import BadInput
from lthbench.global_state import kept, standard
from lthbench.kinds import Architecture
from lthbench.planning.digests import digest
from lthbench.planning.plan import network
from lthbench.planning.request import Request
from lthbench.planning.start import Start
from lthbench.spec import Given, Network
from lthbench.store import Store

#: The mean and the standard deviation of pixels, by channel.
Normalization = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Pretrained:
    """The weights that a request's networks begin with: one network, or one for each seed."""

    networks: tuple[Taken, ...]

    def publish(self, store: Store) -> None:
        """Put into a store what it does not hold."""
        publish(store, self.networks)


@standard()
def begun(request: Request, fetch: bool = True) -> tuple[Request, Pretrained | None]:
    """The request with what a plan needs of its pretrained weights, and these weights; None for none.

    Raises BadInput for a file that does not fit the task's network, but for its last layer; and unless it may
    ``fetch``, for weights that are not on this machine.
    """
    if request.pretrained is None:
        return request, None
    wanted, found = network(request.task), files.of(request.pretrained, "pretrained", fetch)
    expected = _expected(request)
    try:
        networks = {"": _in_float(take(wanted, found, None, expected, dense=True))}
        said = "the dense parent; it is not trained"
    except BadInput as error:
        body = _of_other_classes(wanted, found, expected)
        if body is None:
            raise error from None
        networks = {str(seed): _with_new_head(wanted, body, seed) for seed in request.seeds}
        said = (
            f"what training begins with; the last layer, for {body.step.network.classes:,} classes there, is "
            f"drawn for {wanted.classes:,} from each seed"
        )
    first = next(iter(networks.values()))
    said += f"; {first.account['pixels']}"
    one = first.step.network
    own = {} if (one.mean, one.std) == (wanted.mean, wanted.std) else {"mean": one.mean, "std": one.std}
    start = Start({name: t.step.digest for name, t in networks.items()}, **own)
    notes = tuple(n for n in request.notes if not n.startswith("weights "))
    notes = (*notes, f"weights of {request.pretrained}: {said}")
    return dataclasses.replace(request, start=start, notes=notes), Pretrained(tuple(networks.values()))


def _in_float(taken: Taken) -> Taken:
    """A network as training goes on with it: what was quantised are numbers like all others."""
    return dataclasses.replace(taken, step=dataclasses.replace(taken.step, stored=None, activations=None))


def _expected(request: Request) -> Normalization | None:
    """The normalisation that was asked for; None where the file or the task has it. Raises BadInput."""
    if not request.normalization:
        return None
    if len(request.normalization) != 2:
        raise BadInput("normalization: a mean and a standard deviation for each channel, and nothing else.")
    mean, std = request.normalization
    return mean, std


def _of_other_classes(wanted: Network, found: Checkpoint, expected: Normalization | None) -> Taken | None:
    """The network of a checkpoint that tells another number of classes than the task's; None for none."""
    rows = [t.shape[0] for t in found.tensors.values() if t.dim() == 2 and len(t)]
    for classes in dict.fromkeys(reversed(rows)):
        try:
            return take(dataclasses.replace(wanted, classes=classes), found, None, expected, dense=True)
        except googlenet.PixelsUnknown:  # it fits
            raise
        except BadInput:
            continue
    return None


def _with_new_head(wanted: Network, body: Taken, seed: int) -> Taken:
    """A network whose last layer is drawn from a seed, as that of a network without pretrained weights."""
    own = dataclasses.replace(wanted, mean=body.step.network.mean, std=body.step.network.std)
    architecture = registry.get(Architecture, own.architecture)
    with kept(f"architecture {architecture.name}"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator("init", seed).initial_seed())
        drawn = architecture.build(own).state_dict()
    weights = {n: body.weights[n] if body.weights[n].shape == t.shape else t for n, t in drawn.items()}
    return dataclasses.replace(body, step=Given(own, digest(weights, None)), weights=weights)
