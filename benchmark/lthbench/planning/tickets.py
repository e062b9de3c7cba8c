"""What each method makes of each cell of a grid: expressions, and why some cannot be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from lthbench import registry
from lthbench.errors import BadInput, LthbenchError
from lthbench.global_state import kept
from lthbench.kinds import Architecture, Cell, Dataset, Method
from lthbench.planning.request import Request
from lthbench.spec import Data, Init, Network, Recipe, Rewind, Train, Weights, as_sparsity, network_of


class Tickets:
    """The networks of a grid, by method, density and seed.

    ``starts`` are what the networks of each seed begin with, ``parents`` the dense ones that they are held
    against. Networks made ``elsewhere``, by method and seed, stand for those that a method would make.
    """

    def __init__(
        self,
        request: Request,
        network: Network,
        trained_on: Data,
        elsewhere: Mapping[str, Mapping[int, Weights]],
    ) -> None:
        self.request, self.trained_on, self.elsewhere = request, trained_on, elsewhere
        self.starts, self._trained = _begun(request, network, trained_on)
        self._rewound = {
            seed: Rewind(dense, request.spec.rewind_epoch) if isinstance(dense, Train) else self.starts[seed]
            for seed, dense in self._trained.items()
        }
        own = elsewhere.get("dense", self._trained)
        self.parents: dict[int, Weights] = {seed: own[seed] for seed in request.seeds}
        seeds = request.seeds
        self._following = dict(zip(seeds, (*seeds[1:], *seeds[:1]), strict=True))
        self.steps_per_epoch = _steps_per_epoch(request.spec.train, trained_on)
        self._named = ("dense", *request.methods)
        bases = {name: name.partition(":")[0] for name in self._named if name not in elsewhere}
        self._methods = {name: registry.get(Method, base) for name, base in bases.items()}
        criteria = {c.name for method in self._methods.values() for c in method.prunes_by()}
        self._versions = {name: registry.version(Method, name) for name in criteria}
        self._architecture = registry.get(Architecture, request.task.architecture)
        self._faults: dict[tuple[str, str], dict[str, None]] = {}

    def asked_for(self) -> Iterator[tuple[str, float, int]]:
        """Method, density and seed of each network that is asked for, the dense parent of a seed first."""
        for seed in self.request.seeds:
            for name in self._named:
                for density in (1.0,) if name == "dense" else self.request.densities:
                    if name == "dense" or self.request.wants(name, as_sparsity(density), seed):
                        yield name, density, seed

    def rival(self, seed: int) -> Weights:
        """The dense parent of the seed after one, and after the last of the first."""
        return self.parents[self._following[seed]]

    def ticket(self, name: str, density: float, seed: int) -> Weights | None:
        """The network of a cell, or None where its method does not fit: see ``tell_unfit``.

        Raises BadInput for a method that fails, or that returns what is no training or has another density.
        """
        if name in self.elsewhere:
            return self.elsewhere[name][seed]
        method = self._methods[name]
        cell = self._cell(density, seed, name.partition(":")[2])
        try:
            with self._guarded(method):
                reason = method.unfit(cell)
                ticket = None if reason else method.ticket(cell)
            if not reason and not isinstance(ticket, Train) and ticket != cell.dense:
                raise TypeError(f"ticket(cell) must return a training, cell.train(...), not {ticket!r}")
        except BadInput as error:
            raise BadInput(f"method {name}: {error}") from error
        except LthbenchError:
            raise
        except Exception as error:  # a method of the user's own may raise anything
            raise BadInput(f"method {name}: {type(error).__name__}: {error}") from error
        if reason:
            self._faults.setdefault((name, reason), {})[f"{1 - density:.10g}"] = None
        if ticket is not None and (odd := _odd_density(method, cell, ticket)):
            raise BadInput(f"method {name} at sparsity {1 - density:.10g}: {odd}")
        return ticket

    def tell_unfit(self) -> None:
        """Raise BadInput for the methods that do not fit cells they are asked for, each reason once."""
        if self._faults:
            raise BadInput(
                "\n".join(
                    f"method {name} at sparsity {', '.join(at)}: {why}"
                    for (name, why), at in self._faults.items()
                )
            )

    def _cell(self, density: float, seed: int, variant: str) -> Cell:
        spec = self.request.spec
        return Cell(
            density=density,
            levels=self.request.task.levels(density),
            seed=seed,
            recipe=spec.train,
            data=self.trained_on,
            init=self.starts[seed],
            dense=self._trained[seed],
            rewound=self._rewound[seed],
            versions=self._versions,
            architecture=self._architecture,
            steps_per_epoch=self.steps_per_epoch,
            finetune=spec.finetune,
            variant=variant,
        )

    def _guarded(self, method: Method) -> contextlib.AbstractContextManager[object]:
        """For code that does not ship: what it changes of what all share is put back."""
        own = registry.ships(Architecture, self._architecture.name) and registry.ships(Method, method.name)
        return contextlib.nullcontext() if own else kept(f"method {method.name}")


def _odd_density(method: Method, cell: Cell, ticket: Weights) -> str:
    """Why the mask of a network is not one of its cell: it keeps another density; or "".

    Filters go whole, so that a method may ask for somewhat another density than that of the cell. Smaller
    networks, and those of methods that prune by nothing, may do without a mask.
    """
    mask, rewire = (ticket.mask, ticket.rewire) if isinstance(ticket, Train) else (None, None)
    pruned = mask is not None or rewire is not None
    if network_of(ticket) != cell.network or not (pruned or method.prunes_by()):
        return ""
    found = rewire if rewire and rewire.density is not None else mask
    density = 1.0 if found is None or found.density is None else found.density
    by = mask.criterion if mask is not None else ""
    whole = any(c.name == by and c.unit in ("filter", "coupled") for c in method.prunes_by())
    if abs(density - cell.density) <= (0.1 * cell.density if whole else 1e-6):
        return ""
    has = f"its mask keeps a density of {density:.10g}" if pruned else "its network has no mask"
    return f"{has}, and {cell.density:.10g} is asked for: see density, levels and prune of the cell."


def _begun(request: Request, network: Network, data: Data) -> tuple[dict[int, Weights], dict[int, Weights]]:
    """What the networks of each seed begin with, and their dense parents."""
    start = request.start
    if start is None:
        if request.pretrained is not None:
            raise ValueError(f"{request.pretrained} was not read: see checkpoints.pretrained")
        starts: dict[int, Weights] = {s: Init(network, s) for s in request.seeds}
    else:
        starts = {s: start.given(network, s) for s in request.seeds}
        if start.is_dense:
            return starts, starts
    return starts, {s: Train(begin, request.spec.train, data, s) for s, begin in starts.items()}


def _steps_per_epoch(recipe: Recipe, trained_on: Data) -> int:
    images = registry.get(Dataset, trained_on.name).splits["train"]
    return -(-min(recipe.images or images, images) // recipe.batch_size)
