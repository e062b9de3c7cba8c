"""What of a process the code of others may change for all that comes after it: kept around their calls.

A plug-in that sets the default dtype, the number of threads or a seed would change the results of what ships.
So what it leaves changed is put back, and it is named. torch and NumPy are looked at only where somebody has
imported them.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import operator
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from lthbench.errors import LthbenchError, PluginWarning, StepFailed

#: The hooks of torch that see every module's passes; it has no function that lists them.
_HOOKS = (
    "_global_forward_hooks",
    "_global_forward_pre_hooks",
    "_global_backward_hooks",
    "_global_backward_pre_hooks",
)
#: An alarm that is not set.
_NO_ALARM = (0.0, 0.0)


class _Part(NamedTuple):
    """A part of the state: how to look at it and to put it back; ``told`` where a change is worth a word.

    ``standard`` is what results are made with (None: whatever it is).
    """

    name: str
    look: Callable[[], Any]
    put: Callable[[Any], Any]
    told: bool = True
    standard: Any = None


@contextlib.contextmanager
def kept(who: str, *, foreign: bool = True) -> Iterator[None]:
    """Put back what a call into the code of ``who`` leaves changed, and warn of it (PluginWarning).

    Generators of random numbers and filters of warnings are put back without a word. A call of ``sys.exit``
    becomes StepFailed, and where the code is ``foreign`` so does any other exception that is no Exception.
    A copy of this process that comes back from the call ends there.
    Raises LthbenchError for what cannot be put back.
    """
    before, process = [(part, part.look()) for part in _parts()], os.getpid()
    try:
        with warnings.catch_warnings():
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise StepFailed(
            f"{who}: called sys.exit({'' if error.code is None else repr(error.code)})"
        ) from error
    except BaseException as error:
        if not foreign:
            raise
        raise StepFailed(f"{who}: {type(error).__name__}: {error}") from error
    finally:
        if os.getpid() != process:
            _end_copy(who)
        _put_back(before, who)


def _end_copy(who: str) -> None:
    """End this process, a copy that the code of ``who`` made: it would do all work twice."""
    with contextlib.suppress(OSError):
        said = f"{who}: called os.fork, and the copy came back; it was ended.\n"
        os.write(2, said.encode(errors="backslashreplace"))
    os._exit(1)


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """Results are made with torch's defaults, whatever the program has set that calls; it gets that back."""
    usual = [(part, part.standard) for part in _parts() if part.standard is not None]
    with _set(usual), _no_inference_mode(), _on_cpu():
        yield


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions and matrix products in float32 meanwhile, where torch lets a GPU round what goes in.

    Scores are held against those of other devices, and integrals and curvatures are not sums of such
    rounding.
    """
    with _set([(part, dict.fromkeys(part.standard, "ieee")) for part in _precisions()]):
        yield


@contextlib.contextmanager
def _set(wanted: list[tuple[_Part, Any]]) -> Iterator[None]:
    """Parts of the state as they are ``wanted`` meanwhile."""
    before = [(part, part.look()) for part, _ in wanted]
    _put(wanted)
    try:
        yield
    finally:
        _put(before)


def _put(wanted: list[tuple[_Part, Any]]) -> None:
    for part, value in wanted:
        if part.look() != value:
            part.put(value)


def _no_inference_mode() -> contextlib.AbstractContextManager[Any]:
    torch = sys.modules.get("torch")
    return torch.inference_mode(False) if torch else contextlib.nullcontext()


def _on_cpu() -> contextlib.AbstractContextManager[Any]:
    """Tensors are made on the CPU, also where the program that calls is inside ``with torch.device(...)``."""
    torch = sys.modules.get("torch")
    if torch is None or torch.get_default_device() == torch.device("cpu"):
        return contextlib.nullcontext()  # one for nothing would slow each call of torch
    return torch.device("cpu")  # type: ignore[no-any-return]


def _put_back(before: list[tuple[_Part, Any]], who: str) -> None:
    changed = []
    for part, value in before:
        if not part.told:
            part.put(value)
            continue
        now = part.look()
        if now == value:
            continue
        with contextlib.suppress(Exception):  # whether that did it is seen below
            part.put(value)
        changed.append(f"{part.name}{_difference(value, now)}")
        if part.look() != value:
            raise LthbenchError(
                f"{who}: changed {changed[-1]}, which cannot be put back: what this process did now would "
                "not be right."
            )
    if changed:
        warnings.warn(
            f"{who} left changed: {'; '.join(changed)}. It was put back; plug-ins must leave what all share "
            "as they found it.",
            PluginWarning,
            stacklevel=4,
        )


def _difference(before: Any, now: Any) -> str:
    """What changed, where that can be said in a few words."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(map(str, (k for k in before.keys() | now.keys() if before.get(k) != now.get(k))))
        return f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
    shown = f" ({before!r}, now {now!r})"
    return shown if len(shown) < 120 and " at 0x" not in shown else ""


def _parts() -> list[_Part]:
    parts = [*_PYTHON]
    if "numpy" in sys.modules:
        parts += _numpy()
    if "torch" in sys.modules:
        parts += _torch()
    return parts


# --------------------------------------------------------------------------------------------- of Python


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _put_folder(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


#: Variables that torch sets itself once it is at work; they change no result.
_OF_TORCH = ("CUDA_MODULE_LOADING", "KMP_", "TORCHINDUCTOR_", "TRITON_")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_TORCH)}


def _put_environment(before: dict[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


_NAMES = "SIGABRT SIGALRM SIGCHLD SIGHUP SIGINT SIGPIPE SIGQUIT SIGSEGV SIGTERM SIGUSR1 SIGUSR2"
#: The signals that end, stop or tell processes, as far as this system has them.
_SIGNALS = [getattr(signal, name) for name in _NAMES.split() if hasattr(signal, name)]


def _handlers() -> dict[str, Any]:
    """What is called on each signal; those that were not set from Python cannot be put back."""
    found = {s.name: signal.getsignal(s) for s in _SIGNALS}
    return {name: handler for name, handler in found.items() if handler is not None}


def _put_handlers(before: dict[str, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for name, handler in before.items():
            if signal.getsignal(signal.Signals[name]) is not handler:
                signal.signal(signal.Signals[name], handler)


def _alarm() -> bool:
    return hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL) != _NO_ALARM


def _put_alarm(before: bool) -> None:
    if not before:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


_PYTHON = (
    _Part("the state of Python's random numbers", random.getstate, random.setstate, told=False),
    _Part("environment variables", _environment, _put_environment),
    _Part("the working folder", _folder, _put_folder),
    _Part("signal handlers", _handlers, _put_handlers),
    _Part("the alarm", _alarm, _put_alarm),
    _Part(
        "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)
    ),
    _Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Part("the garbage collector", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    _Part("the time limit of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
)


# ------------------------------------------------------------------------------------ of NumPy and torch


def _numpy() -> list[_Part]:
    import numpy as np

    defaults = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return [
        _Part("the state of NumPy's random numbers", np.random.get_state, np.random.set_state, told=False),
        _Part(
            "what NumPy does with errors", lambda: dict(np.geterr()), lambda v: np.seterr(**v), True, defaults
        ),
    ]


def _torch() -> list[_Part]:
    import torch

    backends = torch.backends

    def flag(name: str, where: Any, attribute: str, usual: bool) -> _Part:
        def put(value: bool) -> None:
            setattr(where, attribute, value)

        return _Part(name, lambda: getattr(where, attribute), put, True, usual)

    def autocast(name: str, kind: str) -> _Part:
        looked, put = partial(torch.is_autocast_enabled, kind), partial(torch.set_autocast_enabled, kind)
        return _Part(name, looked, put, True, False)

    def put_device(device: torch.device) -> None:
        torch.set_default_device(None if device == torch.device("cpu") else device)

    def hooks() -> dict[str, dict[int, Any]]:
        return {n: dict(getattr(torch.nn.modules.module, n, {})) for n in _HOOKS}

    def put_hooks(before: dict[str, dict[int, Any]]) -> None:
        for name, own in before.items():
            there = getattr(torch.nn.modules.module, name)
            there.clear()
            there.update(own)

    tiny, one = 5e-324, 1.0
    parts = [
        _Part("the state of torch's random numbers", torch.get_rng_state, torch.set_rng_state, told=False),
        _Part("the default dtype", torch.get_default_dtype, torch.set_default_dtype, True, torch.float32),
        _Part("the default device", torch.get_default_device, put_device),
        _Part("the number of threads", torch.get_num_threads, torch.set_num_threads),
        _Part("inference mode", torch.is_inference_mode_enabled, lambda value: None),
        _Part("gradients", torch.is_grad_enabled, torch.set_grad_enabled, True, True),
        _Part(
            "deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda v: torch.use_deterministic_algorithms(v[0], warn_only=v[1]),
            True,
            (False, False),
        ),
        *_precisions(),
        autocast("autocast", "cpu"),
        autocast("autocast on GPUs", "cuda"),
        _Part(
            "the detection of anomalies",
            torch.is_anomaly_enabled,
            torch.autograd.set_detect_anomaly,
            True,
            False,
        ),
        _Part(
            "the flushing of denormal numbers",
            lambda: tiny * one == 0.0,
            torch.set_flush_denormal,
            True,
            False,
        ),
        _Part("hooks of all modules", hooks, put_hooks),
        flag("cuDNN", backends.cudnn, "enabled", True),
        flag("cuDNN's deterministic mode", backends.cudnn, "deterministic", False),
        flag("cuDNN's benchmark mode", backends.cudnn, "benchmark", False),
    ]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        parts.append(
            _Part(
                "the state of all GPUs' random numbers",
                torch.cuda.get_rng_state_all,
                torch.cuda.set_rng_state_all,
                told=False,
            )
        )
    return parts


# ------------------------------------------------------------------------------- of products of float32

#: What torch computes convolutions and matrix products with, and how exactly it does by default. A GPU may
#: round float32 to 10 bits (tf32), a CPU to 7 (bf16); ieee rounds nothing.
_CONVOLUTIONS = {"cudnn.conv": "tf32", "cudnn.rnn": "tf32", "mkldnn.conv": "ieee", "mkldnn.rnn": "ieee"}
_PRODUCTS = {"cuda.matmul": "ieee", "mkldnn.matmul": "ieee"}


def _precisions() -> list[_Part]:
    import torch

    def put_convolutions(wanted: dict[str, str]) -> None:
        torch.backends.cudnn.allow_tf32 = wanted["cudnn.conv"] == wanted["cudnn.rnn"] == "tf32"
        _put_precision(wanted)

    def put_products(wanted: dict[str, str]) -> None:
        rounded = "medium" if wanted["mkldnn.matmul"] == "bf16" else "high"
        torch.set_float32_matmul_precision(rounded if wanted["cuda.matmul"] == "tf32" else "highest")
        _put_precision(wanted)

    return [
        _Part("the precision of convolutions", _looks(_CONVOLUTIONS), put_convolutions, True, _CONVOLUTIONS),
        _Part("the precision of matrix products", _looks(_PRODUCTS), put_products, True, _PRODUCTS),
    ]


def _looks(names: Iterable[str]) -> Callable[[], dict[str, str]]:
    """What tells the precisions by name. torch's older flags raise where a program has set the newer ones."""

    def look() -> dict[str, str]:
        found = {name: _backend(name).fp32_precision for name in names}
        return {name: "ieee" if value == "none" else value for name, value in found.items()}

    return look


def _put_precision(wanted: dict[str, str]) -> None:
    """Set precisions after the older flags, which can so be read; a part that can follow the whole does."""
    for name, value in wanted.items():
        part = _backend(name)
        part.fp32_precision = "none"  # as torch.backends.fp32_precision says, or that of its backend
        if part.fp32_precision != value:
            part.fp32_precision = value


def _backend(name: str) -> Any:
    import torch

    return operator.attrgetter(name)(torch.backends)
