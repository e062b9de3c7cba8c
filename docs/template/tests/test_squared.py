"""The method keeps what every plug-in promises, and prunes as magnitude does."""

import torch
from lthbench_squared.method import SQUARED

from lthbench import contract, registry
from lthbench.masks import top


def test_it_keeps_what_every_plugin_promises(tmp_path):
    found = list(contract.check("squared", tmp_path))
    assert len(found) > 5
    assert [f for f in found if f.state == "FAILED"] == []


def test_it_keeps_the_weights_that_magnitude_keeps():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3))
    draw = torch.Generator()
    own, other = (c.score(model, iter(()), draw) for c in (SQUARED, registry.criterion("magnitude")))
    for density in (0.1, 0.5):
        ours, theirs = top(own, density), top(other, density)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
