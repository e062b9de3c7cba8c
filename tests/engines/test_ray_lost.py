"""A cluster that fails as a whole ends a run in words. Ray is pretended: it need not be installed."""

import sys
import types
from pathlib import Path

import pytest

from lthbench.engines import ray as engine
from lthbench.engines.ray_worker import site_of
from lthbench.errors import BadInput, LthbenchError
from lthbench.planning.jobs import group
from lthbench.spec import Init
from lthbench.store import LocalStore


class RayError(Exception):
    """Base of all that Ray raises."""


def named(name: str) -> type[Exception]:
    return type(name, (RayError,), {})


KINDS = {
    n: named(n)
    for n in (
        *("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError", "RayTaskError"),
        *("LocalRayletDiedError", "RaySystemError", "RuntimeEnvSetupError", "RpcError"),
    )
}
WHOLE = ("LocalRayletDiedError", "RaySystemError", "RuntimeEnvSetupError", "RpcError")


@pytest.fixture
def pretended_ray(monkeypatch):
    """A module of Ray whose tasks are never done."""
    ray = types.SimpleNamespace(
        exceptions=types.SimpleNamespace(RayError=RayError, **KINDS),
        cancelled=[],
        wait=lambda tasks, **more: (list(tasks), []),
        is_initialized=lambda: False,
        shutdown=lambda: None,
    )
    ray.cancel = lambda task, force: ray.cancelled.append(task)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(engine, "_submitted", lambda together, *more: {"task": together[0]})
    return ray


@pytest.mark.parametrize(("device", "calls"), [("cuda", 1), ("cpu", None)])
def test_a_process_does_one_task_of_a_gpu_and_many_of_a_cpu(monkeypatch, tmp_path, init, device, calls):
    """One that has used a GPU sees no other, and keeps memory of it; what ``options`` say comes too late."""
    asked = []

    def remote(*given, max_calls=None):
        made = types.SimpleNamespace(remote=lambda *args: "task")
        made.options = lambda **options: asked.append((max_calls, options.get("num_gpus"))) or made
        return made if given else lambda function: made

    ray = types.SimpleNamespace(remote=remote, put=lambda site: "site")
    monkeypatch.setitem(sys.modules, "ray", ray)
    store = LocalStore(tmp_path / "store")
    store.open()
    stack = list(group([init]).values())
    assert engine._submitted([stack], site_of(store, (), device), device, store) == {"task": stack}
    assert [(one, gpus is not None) for one, gpus in asked] == [(calls, device == "cuda")]


def raising(kind):
    def fail(*given, **more):
        raise KINDS[kind]("The raylet died.\nMore lines.")

    return fail


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("call", ["wait", "get"])
def test_it_is_told_and_what_is_left_is_cancelled(pretended_ray, tmp_path, init, kind, call):
    setattr(pretended_ray, call, raising(kind))
    store = LocalStore(tmp_path / "store")
    store.open()
    assert isinstance(init, Init)
    with pytest.raises(LthbenchError, match=rf"the Ray cluster failed \({kind}: The raylet died\.\)"):
        engine.OnRay(1, "cpu").run([init], store, ())
    assert pretended_ray.cancelled == ["task"]
    assert list(Path(tmp_path / "store").glob("**/*stop*")) == []


def test_also_where_nothing_can_be_cancelled(pretended_ray, tmp_path, init):
    pretended_ray.get, pretended_ray.cancel = raising("RpcError"), raising("RaySystemError")
    store = LocalStore(tmp_path / "store")
    store.open()
    with pytest.raises(LthbenchError, match=r"failed \(RpcError"):
        engine.OnRay(1, "cpu").run([init], store, ())


@pytest.mark.parametrize(
    "kind", ["WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError"]
)
def test_work_that_died_too_often_is_told_as_before(pretended_ray, tmp_path, init, kind):
    pretended_ray.get = raising(kind)
    store = LocalStore(tmp_path / "store")
    store.open()
    with pytest.raises(LthbenchError, match="a worker died 3 times at the same work"):
        engine.OnRay(1, "cpu").run([init], store, ())


def test_another_address_than_that_of_the_cluster_that_is_connected_is_refused(pretended_ray):
    """The run would be of the one that is connected."""
    pretended_ray.is_initialized = lambda: True
    pretended_ray.cluster_resources = lambda: {"CPU": 3.0}
    with (
        pytest.raises(BadInput, match=r"--address other:6379: this process is connected to a Ray cluster"),
        engine.connected("other:6379", 1, "cpu"),
    ):
        pass
    pretended_ray.shutdown = None  # what others connected is left alone
    with engine.connected(None, 1, "cpu") as cluster:
        assert cluster.workers == 3


@pytest.mark.parametrize("kind", [RuntimeError, TimeoutError, KINDS["RpcError"]])
def test_a_cluster_that_does_not_start_is_told(pretended_ray, kind):
    def init(**options):
        raise kind("no room\nmore lines")

    pretended_ray.init = init
    with (
        pytest.raises(LthbenchError, match=r"cannot start a cluster on this machine: .*: no room\. Work"),
        engine.connected(None, 1, "cpu"),
    ):
        pass
