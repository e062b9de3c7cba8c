"""Work of many small kernels as one launch: captured as a CUDA graph, then replayed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

Work = Callable[[], None]

#: How often work runs as it is before it is captured: libraries choose their kernels, buffers come to be.
WARM = 3


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
                warnings.warn(f"no CUDA graph, so launches are slower: {self.refused}", stacklevel=2)
        self._calls += 1
        (self._replay or self._work)()


def graphs(device: torch.device) -> Callable[[Work], Work]:
    """What captures work on a CUDA device. The graphs share their memory: replay them one after another."""
    with torch.cuda.device(device):
        pool = torch.cuda.graph_pool_handle()

    def capture(work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        # Other threads of this process, which do no work of ours, may use the device meanwhile.
        with (
            torch.cuda.device(device),
            torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
        ):
            work()
        replay: Work = graph.replay
        return replay

    return capture


class Forward:
    """A network in evaluation mode whose pass over batches of one shape, that of the first, is replayed.

    Batches of other shapes run as they are. Nothing else may change the network's weights meanwhile.
    """

    def __init__(self, model: nn.Module, capture: Callable[[Work], Work]):
        self._model, self._capture = model, capture
        self._fixed: tuple[torch.Tensor, torch.Tensor, Replayed] | None = None

    @torch.no_grad()
    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """The network's output for a batch."""
        if self._fixed is None or batch.shape != self._fixed[0].shape:
            found: torch.Tensor = self._model(batch)
            if self._fixed is None:
                given, made = torch.empty_like(batch), torch.empty_like(found)
                self._fixed = given, made, Replayed(partial(_pass, self._model, given, made), self._capture)
            return found
        given, made, run = self._fixed
        given.copy_(batch)
        run()
        return made.clone()


def _pass(model: nn.Module, given: torch.Tensor, made: torch.Tensor) -> None:
    made.copy_(model(given))
