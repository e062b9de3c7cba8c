"""A CUDA device that is none: its tensors say that they lie there, and a CPU computes them.

For tests of what runs only on a GPU, where none is at hand. What a GPU would refuse is refused: operations on
tensors here and there, a look at a value while a graph is captured, a copy from the host into a graph. A
graph runs nothing while it is captured, and replayed does to the same memory what was captured, whatever
Python would do by then. Streams do not run side by side: what they would race for is not found, nor what
kernels round.

The C++ side of torch takes these tensors for the CPU's, so autograd and autocast work, and ``torch.func``
does not.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)

#: Operations that may take tensors of both: copies, and for the two below indices from the host.
COPIES = {aten.copy_.default, aten._to_copy.default, aten._foreach_copy_.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}

#: What waits for the device, which a capture cannot.
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default, aten._unique2.default}

MOVES = {torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda}


class There(torch.Tensor):
    """A tensor on the pretended device; ``held`` has its values."""

    held: torch.Tensor
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> There:
        layout: dict[str, Any] = {
            "strides": held.stride(),
            "storage_offset": held.storage_offset(),
            "dtype": held.dtype,
        }
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, **layout, device=torch.device("cpu"))
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return f"There({self.held})"

    def __format__(self, how: str) -> str:
        return format(self.held, how)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in MOVES:
            return _moved(func, *args, **kwargs)
        if func is torch.Tensor.new_tensor:
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, "device": CUDA} | kwargs)
        if func is torch.Tensor.tolist:
            _waits("tolist")
            return args[0].held.tolist()
        if func is torch.Tensor.numpy:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        before, state.among = state.among, True
        try:
            with torch._C.DisableTorchFunctionSubclass():
                found = func(*args, **kwargs)
        finally:
            state.among = before
        asked = kwargs.get("device")  # as for ones_like(there, device="cpu")
        here = asked is not None and torch.device(asked).type == "cpu" and isinstance(found, There)
        return found.held if here else found

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        return _run(func, args, kwargs or {})


class Graph:
    """A CUDA graph: the operations captured, which are done again to the same memory."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def pool(self) -> tuple[int, int]:
        """It has none that could be left behind."""
        return 0, 1

    def replay(self) -> None:
        """Do all again. What the capture made lies where it lay then."""
        for func, args, kwargs, made in self.done:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _State:
    """The graph that is being captured, and whether a call with tensors from there is under way."""

    graph: Graph | None = None
    among = False

    def __init__(self) -> None:
        self.here = _Stream()  # the current stream
        self.initialised = False


class _Mode(TorchDispatchMode):
    """Sees to what has no tensor from there among its arguments: what is made there, or goes there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _waits(what: object) -> None:
    if state.graph is not None:
        raise RuntimeError(f"{what}: operation not permitted when stream is capturing")


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Do an operation on the CPU, where a GPU would do it; what it makes lies there if it would."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    device = kwargs.get("device")
    goes = any(isinstance(t, There) for t in tensors)
    goes = goes or (device is not None and torch.device(device).type == "cuda")
    if goes:
        _refuse(func, args, kwargs, tensors)
    goes = goes or (state.among and not tensors)  # made within C++ for tensors from there
    bare_args, bare = tree_map(_held, args), tree_map(_held, kwargs)
    if device is not None:
        bare["device"] = torch.device("cpu")
    if goes and state.graph is not None:
        state.graph.before += [(t, t.clone()) for t in _written(func, bare_args, bare)]
    found = func(*bare_args, **bare)
    if not goes or func is aten._local_scalar_dense.default:
        return found
    if state.graph is not None:
        state.graph.done.append((func, bare_args, bare, found))
    wrapped = tree_map(lambda t: There(t) if isinstance(t, torch.Tensor) else t, found)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _refuse(func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> None:
    """Raise RuntimeError for what a GPU would not do."""
    device, drawn = kwargs.get("device"), kwargs.get("generator")
    if device is not None and torch.device(device).index not in (None, 0):
        raise RuntimeError(f"{func}: invalid device ordinal: {device}")
    if drawn is not None and drawn.device.type != "cuda":
        raise RuntimeError(f"{func}: Expected a 'cuda' device type for generator, not {drawn.device}")
    if func in (aten._fused_sgd_.default, aten._fused_sgd_.tensor_lr):
        for same in zip(*(group for group in args[:3] if group), strict=True):
            if len({t.stride() for t in same}) > 1:
                raise RuntimeError(f"{func}: weights, gradients and momentum must have the same strides")
    host = [t for t in tensors if not isinstance(t, There)]
    if func in WAITS or _sized_by_values(func, args) or (host and func in COPIES | INDEXED):
        _waits(func)
    if func in INDEXED:  # indices may come from the host, and one value for all of them
        host = [args[0], *(t for t in args[2:3] if t.dim())]
        host = [t for t in host if isinstance(t, torch.Tensor) and not isinstance(t, There)]
    if not host or func in COPIES:
        return
    written = _written(func, args, kwargs)
    numbers = torch.Tag.pointwise in func.tags and not any(w is t for w in written for t in host)
    if not numbers or any(t.dim() for t in host):
        devices = ", ".join(f"{t.device} {tuple(t.shape)}" for t in tensors)
        raise RuntimeError(f"{func}: Expected all tensors to be on the same device: {devices}")


def _sized_by_values(func: Any, args: Any) -> bool:
    if func in INDEXED:
        return any(isinstance(t, torch.Tensor) and t.dtype in (torch.bool, torch.uint8) for t in args[1])
    return bool({torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags))


def _held(value: Any) -> Any:
    return value.held if isinstance(value, There) else value


def _written(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    """The tensors that an operation writes to."""
    # The schema of batch normalisation does not say that it moves the running mean and variance.
    found = [t for t in args[3:5] if t is not None] if func is aten.native_batch_norm.default else []
    for i, slot in enumerate(func._schema.arguments):
        if slot.alias_info is not None and slot.alias_info.is_write:
            given = args[i] if i < len(args) else kwargs.get(slot.name)
            found += [t for t in tree_leaves(given) if isinstance(t, torch.Tensor)]
    return found


def _moved(func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """``Tensor.to``, ``cpu`` and ``cuda``, by the device that the tensor says it is on."""
    kwargs.pop("non_blocking", None)
    device = {torch.Tensor.cpu: "cpu", torch.Tensor.cuda: "cuda"}.get(func, kwargs.pop("device", None))
    for given in args:
        if isinstance(given, torch.Tensor):
            device, kwargs["dtype"] = given.device, given.dtype
        elif isinstance(given, torch.dtype):
            kwargs["dtype"] = given
        elif isinstance(given, str | torch.device):
            device = given
    dtype, layout = kwargs.pop("dtype", None) or tensor.dtype, kwargs.pop("memory_format", None)
    if not isinstance(tensor, There):  # it goes where another tensor is
        return tensor.to(CUDA if torch.device(device).type == "cuda" else "cpu", dtype)
    if device is not None and torch.device(device).type == "cpu":
        return _Fetch.apply(tensor, dtype)
    laid = layout is None or tensor.is_contiguous(memory_format=layout)
    if dtype == tensor.dtype and laid and not kwargs.get("copy"):
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.to(dtype=dtype, memory_format=layout or torch.preserve_format, **kwargs)


class _Fetch(torch.autograd.Function):
    """A copy of a tensor from there on the host."""

    @staticmethod
    def forward(ctx, tensor, dtype):
        _waits("copy to the host")
        return tensor.held.to(dtype, copy=True)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.to(CUDA), None


class _Stream:
    """A stream, on which all is done at once; it knows of which capture it is part."""

    def __init__(self, device: object = None) -> None:
        self.graph: Graph | None = None

    def wait_stream(self, other: _Stream) -> None:
        """It takes part in the capture of the other; one that does may not wait for one that does not."""
        mine, others = (s.graph is state.graph is not None for s in (self, other))
        if mine and not others:
            raise RuntimeError("dependency created on uncaptured work in another stream")
        if others:
            self.graph = state.graph


state = _State()


@contextlib.contextmanager
def _captured(
    graph: Graph, pool: object = None, stream: _Stream | None = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    assert state.graph is None, "two captures at once"
    assert stream is not None, "the stream of the first device that captured"
    state.graph = state.here.graph = graph
    try:
        yield
    finally:
        state.graph = state.here.graph = None
        for tensor, before in reversed(graph.before):  # nothing ran
            tensor.copy_(before)
        graph.before = []


def _reset(device: torch.device | None = None) -> None:
    if device is not None and torch.device(device).index is not None and not state.initialised:
        raise RuntimeError("Invalid device argument 0: did you call init?")


def _placed(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``torch.tensor`` and the like, which go to a device without an operation."""

    def made(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        found = make(*args, **kwargs)
        return found if device is None else found.to(device)

    return made


@contextlib.contextmanager
def device(patch: Callable[[object, str, object], None]) -> Iterator[torch.device]:
    """The device, while the context lasts; ``patch`` sets attributes, as ``monkeypatch.setattr`` does."""
    autocast, nothing = torch.autocast, contextlib.nullcontext
    gibibyte = 2**30
    facts = types.SimpleNamespace(name="pretended", total_memory=16 * gibibyte, major=9, minor=0)
    answers: dict[str, Any] = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": facts.name,
        "get_device_properties": facts,
        "graph_pool_handle": (0, 1),
        "mem_get_info": (8 * gibibyte, facts.total_memory),
        "memory_allocated": 0,
        "max_memory_allocated": 2**20,
        "max_memory_reserved": 2**20,
        "current_stream": state.here,
        **dict.fromkeys(("_lazy_init", "synchronize", "empty_cache")),
        **dict.fromkeys(("set_per_process_memory_fraction", "set_stream", "manual_seed", "manual_seed_all")),
    }
    for name, answer in answers.items():
        patch(torch.cuda, name, lambda *args, answer=answer, **kwargs: answer)
    for name, made in (("device", nothing), ("stream", nothing), ("Stream", _Stream)):
        patch(torch.cuda, name, made)
    patch(torch.cuda, "init", lambda: setattr(state, "initialised", True))
    patch(torch.cuda, "reset_peak_memory_stats", _reset)
    patch(torch.cuda, "CUDAGraph", Graph)
    patch(torch.cuda, "graph", _captured)
    patch(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
    patch(torch.cuda, "set_rng_state", lambda state, device=None: torch.set_rng_state(state))
    patch(torch.Tensor, "pin_memory", torch.Tensor.clone)
    patch(torch, "autocast", lambda kind, *args, **kwargs: autocast("cpu", *args, **kwargs))
    patch(torch, "tensor", _placed(torch.tensor))
    patch(torch, "as_tensor", _placed(torch.as_tensor))
    state.initialised = False
    torch._C._ensureCUDADeviceGuardSet()
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # a module's weights change places, not names
    try:
        with _Mode():
            yield CUDA
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
