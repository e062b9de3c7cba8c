"""Exported networks: read back without lthbench they give the logits that were scored, and what they cost."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch

from lthbench.cli import export as export_command
from lthbench.cli import main
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.execution import exporting, latency
from lthbench.execution.runner import Runner
from lthbench.functional.model_size import cost
from lthbench.planning import request
from lthbench.planning.plan import plan
from lthbench.results.run_facts import NetworkFacts
from lthbench.store import LocalStore


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_task):
    """A report with a network of filter and one of omp, and the store behind it."""
    folder = tmp_path_factory.mktemp("made")
    asked = ["--task", tiny_task, "--methods", "filter,omp", "--sparsity", "0.5", "--seeds", "1"]
    how = ["--metrics", "accuracy", "--workers", "0", "--progress", "none"]
    main(["run", *asked, *how, "--store", str(folder / "store"), "--report", str(folder / "report")])
    return folder


def export(made, out, *more):
    places = ["--from", str(made / "report"), "--store", str(made / "store"), "--out", str(out)]
    main(["export", *more, *places])


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(loading.load("digits", "test", ()).pixels[:30]).float().div(255.0)


def test_networks_are_compared_in_full_precision():
    """A GPU rounds what goes into convolutions, beyond the tolerance, where it is not told otherwise."""
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    asked = []

    class Looks(torch.nn.Conv2d):
        def forward(self, batch):
            asked.append(convolutions.fp32_precision)
            return super().forward(batch)

    model = Looks(1, 2, 3)
    assert exporting._difference(model, model, (1, 8, 8)) == 0.0
    assert asked == ["ieee", "ieee"]
    assert convolutions.fp32_precision != "ieee"


def test_a_program_of_a_gpu_asks_for_none(pretended, monkeypatch):
    traced = []

    def export(model, given, **how):
        traced.extend([*model.parameters(), *given])
        return torch.nn.Module()

    with pretended.device(monkeypatch.setattr) as cuda:
        monkeypatch.setattr(torch.export, "export", export)
        monkeypatch.setattr(torch.export, "save", lambda program, file: None)
        model = torch.nn.Conv2d(1, 2, 3).to(cuda)
        exporting._program(model, (1, 8, 8))
        assert [t.device.type for t in traced] == ["cpu"] * 3
        assert next(model.parameters()).is_cuda


@pytest.mark.slow
def test_a_compact_network_gives_the_logits_of_the_masked_one(made, tmp_path, capsys, digits, tiny_task):
    out = tmp_path / "out"
    export(made, out, "filter", "50", "--compact")
    said = capsys.readouterr().out
    program = torch.export.load(io.BytesIO((out / "network.pt2").read_bytes())).module()
    store = LocalStore(made / "store")
    asked = request.ask(tiny_task, ["filter", "omp"], [0.5], seeds=1, metrics=["accuracy"])
    step = next(e.network for e in plan(asked, ()).entries if e.method == "filter")
    space = Runner(store, ()).space
    model, mask = space.network(step).eval(), space.held(step)
    with torch.no_grad():
        assert torch.allclose(program(digits), model(digits), rtol=1e-4, atol=1e-4)
    account = json.loads((out / "export.json").read_text())
    full, small = account["rows"]
    counted = cost(model, mask, (1, 8, 8))
    assert (full["flops"], small["flops"]) == (counted.flops_dense, counted.flops_sparse)
    weights = safetensors.torch.load((out / "network.safetensors").read_bytes())
    assert all(list(weights[f"{n}.weight"].shape[:2]) == shape for n, shape in account["channels"].items())
    assert (
        sum(t.numel() for n, t in weights.items() if "running" not in n and "num_" not in n)
        >= small["parameters"]
    )
    assert min(row[f"seconds_{b}"] for row in account["rows"] for b in latency.BATCHES) > 0.0
    assert f"{small['flops']:,}" in said
    for batch in latency.BATCHES:
        faster = small[f"speedup_{batch}"]
        assert faster["low"] <= faster["median"] <= faster["high"]
        for row in account["rows"]:
            lower, upper = row[f"quartiles_{batch}"]
            assert lower <= row[f"seconds_{batch}"] <= upper
    assert account["clock"] in ("thread", "process")
    assert "Timed on cpu" in said
    assert "by the processor time of" in said
    assert "Wrote filter at 50.0 %, seed 0: " in said
    assert (account["method"], account["sparsity"], account["seed"]) == ("filter", 0.5, 0)
    main(["explain", "filter", "0.5", "--from", str(made / "report"), "--json"])
    assert json.loads(capsys.readouterr().out)["said"] == account["verdict"]
    assert f"filter at 50.0 %: {account['verdict']}" in said


def test_the_network_of_the_nearest_sparsity_is_meant():
    there = [NetworkFacts("omp", s, seed, "key") for s in (0.999, 0.9994, 0.9999) for seed in (0, 1)]
    facts: Any = SimpleNamespace(networks=there)
    for asked, seed, found in (
        (0.9994, None, (0.9994, 0)),
        (0.9994, 1, (0.9994, 1)),
        (0.9992, 0, (0.999, 0)),
    ):
        meant = export_command._meant(facts, "omp", asked, seed)
        assert (meant.sparsity, meant.seed) == found
    with pytest.raises(BadInput, match=r"omp has no network at sparsity 0\.9978 in this table"):
        export_command._meant(facts, "omp", 0.9978, None)


@pytest.mark.slow
def test_what_cannot_be_exported_is_said_and_nothing_is_written(made, tmp_path, capsys):
    for more, said in [
        (("omp", "0.5", "--compact"), "removes no filter, neuron or head whole"),
        (("filterr", "0.5"), "Did you mean filter?"),
        (("filter", "0.8"), "there are 0.5"),
        (("filter", "0.5", "--seed", "7"), "there are 0"),
        (("filter", "0.5", "--store", str(tmp_path)), "does not hold this network"),
    ]:
        out = tmp_path / "none"
        places = ["--from", str(made / "report"), "--store", str(made / "store"), "--out", str(out)]
        with pytest.raises(SystemExit, match="2"):
            main(["export", *places, *more])
        assert said in " ".join(capsys.readouterr().err.split())
        assert not out.exists()
