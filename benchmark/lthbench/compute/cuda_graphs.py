"""Work of many small kernels as one launch: captured as a CUDA graph, then replayed."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

Work = Callable[[], None]

#: How often work runs as it is before it is captured: libraries choose their kernels, buffers come to be.
WARM = 3

#: How many networks have work on a GPU at the same moment.
LANES = 8

#: Shapes of batches whose passes are captured at most; each takes buffers of its own.
SHAPES = 4


class NotCaptured(UserWarning):
    """Work could not be captured, and is launched kernel by kernel."""


class Replayed:
    """Work on buffers that stay where they are: run as it is at first, then captured once and replayed.

    ``capture`` makes of work what replays it. Where that fails, the work goes on as it is, and says so.
    Raises torch.OutOfMemoryError.
    """

    def __init__(self, work: Work, capture: Callable[[Work], Work]):
        self._work, self._capture = work, capture
        self._replay: Work | None = None
        self._calls = 0
        self.refused = ""

    def __call__(self) -> None:
        """Do the work."""
        if self._replay is None and self._calls >= WARM and not self.refused:
            try:
                self._replay = self._capture(self._work)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.refused = str(error).strip().partition("\n")[0] or type(error).__name__
                said = f"no CUDA graph, so launches are slower: {self.refused}"
                warnings.warn(said, NotCaptured, stacklevel=2)
        self._calls += 1
        (self._replay or self._work)()


def graphs(device: torch.device) -> Callable[[Work], Work]:
    """What captures work on a CUDA device. The graphs share their memory: replay them one after another.

    Raises what the work itself raises, rather than what the broken capture says of it.
    """
    with torch.cuda.device(device):
        pool = torch.cuda.graph_pool_handle()
    # Without one of its own, each device would capture on the stream of the first.
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def onto(graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
        # Other threads of this process, which do no work of ours, may use the device meanwhile.
        return torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local")

    def capture(work: Work) -> Work:
        nonlocal pool
        reasons: list[Exception] = []
        began = False
        graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream(device)
        try:
            with torch.cuda.device(device), onto(graph):
                began = True
                try:
                    work()
                except Exception as error:
                    reasons.append(error)
                    raise
        except Exception as error:
            torch.cuda.set_stream(here)
            pool = _abandon(device, pool, graph if began else None)
            # Some versions refuse random draws after a broken capture until another has ended well.
            with contextlib.suppress(RuntimeError), torch.cuda.device(device), onto(torch.cuda.CUDAGraph()):
                torch.zeros(1, device=device)
            torch.cuda.set_stream(here)
            raise (reasons or [error])[0] from None
        replay: Work = graph.replay
        return replay

    return capture


def _abandon(device: torch.device, pool: Any, begun: torch.cuda.CUDAGraph | None) -> Any:
    """Another pool of memory, after a capture into this one broke off, of the graph that had ``begun``."""
    # A capture that ends in an error can leave the allocator filling its pool, and freeing nothing else.
    calls = ["_cuda_endAllocateToPool"]
    if begun is not None and _holds(begun):
        calls.append("_cuda_releasePool")
    for call in calls:
        with contextlib.suppress(RuntimeError, TypeError, AttributeError):
            index = torch.cuda.current_device() if device.index is None else device.index
            getattr(torch._C, call)(index, pool)
    with torch.cuda.device(device):
        return torch.cuda.graph_pool_handle()


def _holds(graph: torch.cuda.CUDAGraph) -> bool:
    """Whether a graph whose capture broke off keeps its pool of memory for good, as before torch 2.14.

    See pytorch#190348. One that was captured, and failed after that, gives it back itself; a pool that is
    given back twice ends the process.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 14):
        return False
    try:
        graph.pool()
    except RuntimeError:  # without a successful capture
        return True
    return False


class Lanes:
    """So many CUDA streams side by side, which begin and end with the current one."""

    def __init__(self, device: torch.device, count: int):
        self._device = device
        self._streams = [
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for _ in range(count)
        ]

    def __call__(self, work: Callable[[int], None], items: int) -> None:
        """Do the work of each item, in the lane that is its turn."""
        here = torch.cuda.current_stream(self._device)
        # A lane that did not begin is no part of a capture, and would break it.
        begun: list[torch.cuda.Stream] = []
        try:
            for lane, stream in enumerate(self._streams):
                stream.wait_stream(here)
                begun.append(stream)
                with torch.cuda.stream(stream):
                    for item in range(lane, items, len(self._streams)):
                        work(item)
        except BaseException:  # what the lanes still read must not be given to others before
            for stream in begun:
                # A capture that the work broke refuses this, too; the reason is what the work raised.
                with contextlib.suppress(RuntimeError):
                    here.wait_stream(stream)
            raise
        for stream in begun:
            here.wait_stream(stream)


class Passes:
    """Networks in evaluation mode, each of which sees the same batch: ``[B, ...]`` in, ``[networks, B, ...]``
    out.

    On a GPU side by side, on a CPU one after the other. A network that writes to its input gets a copy.
    """

    def __init__(self, models: Sequence[nn.Module], device: torch.device):
        self._models = models
        self._writes: list[bool | None] = [None] * len(models)  # not known before the first batch
        self._lanes = Lanes(device, min(LANES, len(models))) if device.type == "cuda" else None

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """The networks' outputs for a batch."""
        found: list[torch.Tensor | None] = [None] * len(self._models)

        def one(i: int) -> None:
            own = batch if self._writes[i] is False else batch.clone()
            before = own._version
            found[i] = self._models[i](own)
            self._writes[i] = own._version != before

        if self._lanes is not None:
            self._lanes(one, len(found))
        else:
            for i in range(len(found)):
                one(i)
        return torch.stack([output for output in found if output is not None])


class Forward:
    """A pass in evaluation mode over batches, captured for each of the first few shapes, and replayed.

    Batches of other shapes run as they are. Nothing else may change the networks' weights meanwhile.
    """

    def __init__(self, model: Callable[[torch.Tensor], torch.Tensor], capture: Callable[[Work], Work]):
        self._model, self._capture = model, capture
        self._fixed: dict[torch.Size, tuple[torch.Tensor, torch.Tensor, Replayed]] = {}

    @torch.no_grad()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """The outputs for a batch."""
        if batch.shape not in self._fixed:
            found: torch.Tensor = self._model(batch)
            if len(self._fixed) < SHAPES:
                inputs, made = torch.empty_like(batch), torch.empty_like(found)
                run = Replayed(partial(_pass, self._model, inputs, made), self._capture)
                self._fixed[batch.shape] = inputs, made, run
            return found
        inputs, made, run = self._fixed[batch.shape]
        inputs.copy_(batch)
        run()
        return made.clone()


def _pass(model: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, made: torch.Tensor) -> None:
    made.copy_(model(inputs))
