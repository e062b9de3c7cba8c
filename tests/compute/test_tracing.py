"""Graphs of networks, and what other threads compute while they are taken."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from lthbench import registry
from lthbench.compute.tracing import traceable, traced
from lthbench.kinds import Architecture
from lthbench.spec import Network


def resnet():
    network = Network("resnet20s", 1, 10, 3, 32, (0.5,) * 3, (0.25,) * 3, (4, 4, 8, 16))
    return registry.get(Architecture, "resnet20s").build(network).eval()


def test_the_graph_computes_what_the_network_does_with_its_own_modules():
    model = resnet()
    graph = traced(model)
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(graph(images), model(images))
    own = set(model.modules())
    convolutions = [m for m in graph.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 19
    assert all(m in own for m in convolutions)


class Waits(nn.Module):
    """A network in whose forward pass another thread gets its turn."""

    def __init__(self, inside: threading.Event, go_on: threading.Event) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.inside, self.go_on = inside, go_on

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.inside.set()
        assert self.go_on.wait(60)
        return self.conv(x)


def test_other_threads_compute_while_a_network_is_traced():
    inside, go_on = threading.Event(), threading.Event()
    other = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5))
    images = torch.ones(2, 3, 8, 8)
    expected = other(images)
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(traced, Waits(inside, go_on))
        assert inside.wait(60)
        try:
            found = other(images)
        finally:
            go_on.set()
        graph = tracing.result(timeout=60)
    assert torch.equal(found, expected)
    assert [n.op for n in graph.graph.nodes] == ["placeholder", "call_module", "output"]


def test_traces_of_many_threads_leave_modules_as_they_were():
    before = nn.Module.__call__, nn.Module.__getattr__
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda _: traced(resnet()), range(16)))
    assert len({len(g.graph.nodes) for g in graphs}) == 1
    assert (nn.Module.__call__, nn.Module.__getattr__) == before


def test_a_network_that_cannot_be_traced_leaves_modules_as_they_were():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    before = nn.Module.__call__
    with pytest.raises(torch.fx.proxy.TraceError):
        traced(Branches())
    assert nn.Module.__call__ is before


def test_a_network_that_traces_another_is_traced():
    class Curious(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            assert len(traced(nn.Sequential(nn.ReLU())).graph.nodes) == 3
            return self.conv(x)

    assert [n.op for n in traced(Curious()).graph.nodes] == ["placeholder", "call_module", "output"]


def test_another_thread_uses_the_weights_of_a_network_that_is_traced():
    inside, go_on = threading.Event(), threading.Event()
    model = Waits(inside, go_on)
    images, expected = torch.ones(2, 3, 8, 8), None
    go_on.set()
    expected = model(images)
    go_on.clear()
    inside.clear()
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(traced, model)
        assert inside.wait(60)
        try:
            weight, found = model.conv.weight, model.conv(images)
        finally:
            go_on.set()
        graph = tracing.result(timeout=60)
    assert isinstance(weight, nn.Parameter)
    assert torch.equal(found, expected)
    assert [n.op for n in graph.graph.nodes] == ["placeholder", "call_module", "output"]


def test_what_can_be_traced():
    assert traceable(resnet())
    assert not traceable(nn.LSTM(3, 4))
