# ruff: noqa: NPY002
"""What a plug-in leaves changed of what all share is put back, and told; what has no name in words stays."""

import contextlib
import locale
import operator
import os
import random
import signal
import socket
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from lthbench.errors import LthbenchError, PluginWarning, StepFailed
from lthbench.global_state import full_precision, kept, standard


def hook(*given):
    return None


CHANGES = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "gradients": lambda: torch.set_grad_enabled(False),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of convolutions (cudnn.conv, cudnn.rnn)": lambda: setattr(
        torch.backends.cudnn, "allow_tf32", False
    ),
    "autocast (": lambda: torch.set_autocast_enabled("cpu", True),
    "autocast on GPUs": lambda: torch.set_autocast_enabled("cuda", True),
    "detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "denormal numbers": lambda: torch.set_flush_denormal(True),
    "hooks of all modules": lambda: torch.nn.modules.module.register_module_forward_hook(hook),
    "cuDNN (": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "cuDNN's deterministic mode": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cuDNN's benchmark mode": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "NumPy does with errors": lambda: np.seterr(all="ignore"),
    "environment variables (OMP_NUM_THREADS, X_NEW)": lambda: os.environ.update(
        {"OMP_NUM_THREADS": "64", "X_NEW": "1"}
    ),
    "environment variables (PATH)": lambda: os.environ.pop("PATH"),
    "working folder": lambda: os.chdir("/"),
    "signal handlers (SIGTERM)": lambda: signal.signal(signal.SIGTERM, hook),
    "recursion limit": lambda: sys.setrecursionlimit(12345),
    "garbage collector": lambda: __import__("gc").disable(),
    "time limit of sockets": lambda: socket.setdefaulttimeout(7.0),
}


def snapshot():
    from lthbench import global_state

    return {part.name: part.look() for part in global_state._parts() if part.told}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_left_changed_is_put_back_and_told(what):
    before = snapshot()
    with pytest.warns(PluginWarning, match="metric mine left changed") as told, kept("metric mine"):
        CHANGES[what]()
    assert what in str(told[0].message)
    assert snapshot() == before


def test_it_is_put_back_after_a_failure_too():
    def fails():
        with kept("metric mine"):
            torch.set_default_dtype(torch.float64)
            raise ZeroDivisionError

    with pytest.warns(PluginWarning, match="default dtype"), pytest.raises(ZeroDivisionError):
        fails()
    assert torch.get_default_dtype() == torch.float32


def test_random_numbers_and_filters_of_warnings_are_put_back_without_a_word():
    def drawn():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    wanted, filters = drawn(), list(warnings.filters)
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with kept("metric mine"):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        warnings.simplefilter("ignore")
    assert drawn() == wanted
    assert warnings.filters == filters


def test_what_cannot_be_put_back_ends_all():
    left = torch.inference_mode(True)
    with pytest.raises(LthbenchError, match=r"inference mode.*cannot be put back"), kept("metric mine"):
        left.__enter__()
    left.__exit__(None, None, None)


@pytest.mark.parametrize("code", [0, None, 3, "words"])
def test_an_exit_is_a_failure(code):
    with pytest.raises(StepFailed, match=r"metric mine: called sys\.exit\("), kept("metric mine"):
        sys.exit(code)


def test_an_exception_of_no_kind_is_a_failure():
    class Strange(BaseException):
        pass

    with pytest.raises(StepFailed, match="metric mine: Strange: x"), kept("metric mine"):
        raise Strange("x")


def test_an_interrupt_is_the_users():
    with pytest.raises(KeyboardInterrupt), kept("metric mine"):
        raise KeyboardInterrupt


def test_results_are_made_with_torchs_defaults_whatever_calls():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), standard():
            assert torch.get_default_dtype() == torch.float32
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        with torch.no_grad():
            with standard():
                assert torch.is_grad_enabled()
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("outer", [None, "meta"])
def test_results_are_made_on_the_cpu_also_inside_a_device_of_torch(outer):
    torch.set_default_device(outer)
    try:
        with torch.device("meta"):
            with standard(), kept("metric mine"):
                assert torch.zeros(1).device.type == "cpu"
                with torch.device("meta"):
                    assert torch.zeros(1).device.type == "meta"
            assert torch.zeros(1).device.type == "meta"
        assert torch.zeros(1).device.type == (outer or "cpu")
        with standard():
            assert torch.zeros(1).device.type == "cpu"
        assert torch.zeros(1).device.type == (outer or "cpu")
    finally:
        torch.set_default_device(None)


#: Ways to set how exactly float32 is multiplied, old ones and those of PyTorch 2.9; mixed, old getters raise.
PRECISIONS = {
    "nothing": (),
    "old": (("cudnn.allow_tf32", False), ("cuda.matmul.allow_tf32", True)),
    "convolutions exact": (("cudnn.conv.fp32_precision", "ieee"),),
    "products rounded": (("cuda.matmul.fp32_precision", "tf32"), ("mkldnn.matmul.fp32_precision", "bf16")),
    "all rounded": (("fp32_precision", "tf32"),),
    "all exact": (("fp32_precision", "ieee"),),
    "cuDNN rounded": (("fp32_precision", "ieee"), ("cudnn.fp32_precision", "tf32")),
}


@pytest.fixture
def precise():
    """torch.backends, whose precisions are the defaults again at the end."""
    backends: Any = torch.backends
    yield backends
    backends.fp32_precision = backends.cudnn.fp32_precision = "none"
    backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("way", PRECISIONS)
def test_trainings_round_as_by_default_and_scores_do_not_whatever_calls(precise, way):
    def shown():
        names = "cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.matmul"
        found = [operator.attrgetter(name)(precise).fp32_precision for name in names]
        return ["ieee" if each == "none" else each for each in found]

    for name, value in PRECISIONS[way]:
        where, _, last = name.rpartition(".")
        setattr(operator.attrgetter(where)(precise) if where else precise, last, value)
    before = shown()
    with kept("metric mine"), standard():
        assert shown() == ["tf32", "tf32", "ieee", "ieee", "ieee"]
        with full_precision(), kept("metric mine"):
            assert shown() == ["ieee"] * 5
            assert not precise.cudnn.allow_tf32  # it can be read
            assert torch.get_float32_matmul_precision() == "highest"
        assert shown() == ["tf32", "tf32", "ieee", "ieee", "ieee"]
    assert shown() == before
    precise.fp32_precision = "none"
    assert "tf32" not in (precise.mkldnn.conv.fp32_precision, precise.mkldnn.matmul.fp32_precision)


@contextlib.contextmanager
def usual_again():
    """What is changed meanwhile is put back, without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        with kept("metric mine"):
            yield


def test_results_are_made_with_the_usual_kernels_whatever_calls():
    changed = "deterministic algorithms", "cuDNN (", "cuDNN's deterministic mode", "cuDNN's benchmark mode"
    usual = snapshot()
    with usual_again():
        for what in changed:
            CHANGES[what]()
        other = snapshot()
        with standard():
            within = snapshot()
        after = snapshot()
    now = {name: (usual[name], other[name]) for name in usual if within[name] != other[name]}
    assert len(now) == len(changed)
    assert now == {name: (within[name], after[name]) for name in now}


def test_the_random_numbers_of_every_gpu_are_put_back(monkeypatch):
    states = {0: 10, 1: 11}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: dict(states))
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", states.update)
    with kept("metric mine"):
        states[1] = 99
    assert states == {0: 10, 1: 11}


def test_the_locale_is_put_back(monkeypatch):
    there = "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"
    before = locale.setlocale(locale.LC_ALL)
    with pytest.warns(PluginWarning, match="the locale"), kept("metric mine"):
        locale.setlocale(locale.LC_ALL, there)
    assert locale.setlocale(locale.LC_ALL) == before


def test_an_alarm_is_taken_back():
    left = signal.setitimer(signal.ITIMER_REAL, 0.0)  # that of the tests themselves
    try:
        with pytest.warns(PluginWarning, match="the alarm"), kept("metric mine"):
            signal.alarm(1000)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not copied here")
@pytest.mark.parametrize("then", ["", "sys.exit(0)", "raise ValueError", "os.fork()"])
def test_a_copy_that_a_plug_in_makes_of_the_process_does_not_come_back(then):
    """It would do the work of the run a second time, and write what it writes."""
    code = (
        "import os, sys; from lthbench.global_state import kept\n"
        "try:\n"
        "    with kept('metric odd'):\n"
        f"        os.fork() or [exec({then!r})]\n"
        "except BaseException: pass\n"
        "os.write(1, b'came back. ')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "came back. "
    assert "metric odd: called os.fork, and the copy came back; it was ended." in done.stderr
