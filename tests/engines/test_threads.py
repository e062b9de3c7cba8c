"""The pools of threads of BLAS and OpenMP are as large as torch's: one thread, wherever steps are done."""

import os

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from lthbench.engines import local_worker, ray_worker
from lthbench.engines.pool import Pool
from lthbench.engines.threads import one_thread
from lthbench.store import LocalStore

#: The threads of torch and of each pool, once scipy, which has a BLAS of its own, was loaded.
LOOK = (
    "[__import__('scipy.linalg'), __import__('torch').get_num_threads(), "
    "[(p['user_api'], p['num_threads']) for p in __import__('threadpoolctl').threadpool_info()]][1:]"
)


def test_a_worker_has_one_thread_in_all_libraries(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    LocalStore(tmp_path / "store").open()
    pool = Pool(1, local_worker.begin, str(tmp_path / "store"), (), "cpu", 1, ())
    try:
        own, pools = pool.submit(eval, LOOK).result(timeout=300)
    finally:
        pool.close()
    assert pools
    assert own == 1
    assert {threads for _, threads in pools} == {1}


def test_a_task_of_ray_keeps_to_one_thread(tmp_path, monkeypatch):
    store, kept = LocalStore(tmp_path / "store"), []
    store.open()
    monkeypatch.setattr(ray_worker, "keep_to_one_thread", lambda: kept.append(True))
    ray_worker.runner_of.cache_clear()
    ray_worker.runner_of(ray_worker.site_of(store, (), "cpu"))
    ray_worker.runner_of.cache_clear()
    assert kept == [True]


def threads():
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def test_without_workers_one_thread_is_kept_to_for_the_run_only(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    with threadpool_limits(2):
        before, environment = threads(), dict(os.environ)
        assert set(before.values()) == {2}
        with one_thread("cpu"):
            assert set(threads().values()) == {1}
            assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        assert {name: n for name, n in threads().items() if name in before} == before
        assert (torch.get_num_threads(), dict(os.environ)) == (2, environment)
        with one_thread("cuda"):
            assert threads() == before
    torch.set_num_threads(1)
