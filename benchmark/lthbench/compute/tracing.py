"""The graph of a network's operations, taken while other threads of the process go on computing.

`torch.fx` puts functions of its own in place of ``nn.Module.__call__`` for as long as a trace takes, in the
whole process. A network that another thread runs meanwhile would be taken for a part of the traced one, and
of two traces at once the later to end would put back the other's functions for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

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
