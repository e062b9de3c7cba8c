"""The graph of a network's operations, taken while other threads of the process go on computing.

`torch.fx` puts functions of its own in place of ``nn.Module.__call__`` for as long as a trace takes, in the
whole process. A network that another thread runs meanwhile would be taken for a part of the traced one, and
of two traces at once the later to end would put back the other's functions for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

_ONE_AT_A_TIME = threading.RLock()


class _OwnThread(fx.Tracer):
    """Records what its own thread calls; the modules that others call just run."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class _Called(TorchFunctionMode):
    """Records the names of the functions that are called meanwhile, without what these call in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def called(model: nn.Module, images: torch.Tensor) -> set[str]:
    """The names of PyTorch's functions that a network calls for images; ``relu`` for ``relu_``."""
    with _Called() as seen:
        model(images)
    return {name if name.endswith("__") else name.removesuffix("_") for name in seen.names}


def traced(model: nn.Module) -> fx.GraphModule:
    """A network's operations as a graph; its modules are those of the network, not copies.

    Raises whatever its forward pass does when it meets stand-ins instead of tensors.
    """
    with _ONE_AT_A_TIME:
        tracer = _OwnThread()
        graph = tracer.trace(model)
    return fx.GraphModule(tracer.root, graph, type(model).__name__)


def traceable(model: nn.Module) -> bool:
    """Whether what a network computes is the same series of operations whatever it is shown."""
    try:
        traced(model)
    except Exception:  # whatever a network of a plug-in does when it is traced
        return False
    return True
