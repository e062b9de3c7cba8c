"""All GPU checks and benchmarks within a time, and what they say of a whole grid, as one JSON file.

    ci/gpu [--out FILE] [--seconds 480] [--dry]

Runs from a checkout with what is installed, and skips, with a reason, what is missing. ``--dry`` runs
everything at tiny sizes on a CPU: a test of the script, of no worth as a measurement.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, vmap
from torch.nn import functional as F

from lthbench import registry
from lthbench.compute import cuda_graphs
from lthbench.compute.cuda_graphs import LANES
from lthbench.engines.queue import Queue
from lthbench.global_state import full_precision
from lthbench.inference import folding, predict
from lthbench.inference.batches import batches
from lthbench.kinds import Architecture, Images
from lthbench.planning import plan, task
from lthbench.planning.flops import flops, forward_flops
from lthbench.planning.jobs import group
from lthbench.planning.request import request
from lthbench.spec import Network, Predict, Prune, Recipe, Rewind, Step, Train
from lthbench.training import loop

ROOT = Path(__file__).parents[2]
#: The grid that is projected: that of Chen et al. 2022, with all scores that are read off logits.
GRID: dict[str, Any] = {
    "methods": ["imp", "omp", "random", "snip", "grasp", "synflow", "rigl"],
    "rounds": list(range(1, 25)),
    "seeds": 3,
    "metrics": [
        "accuracy",
        "generalization-gap",
        "mce",
        "fgsm",
        "ood",
        "ece",
        "nll",
        "brier",
        "calibration",
        "shift",
    ],
}


RESNET20 = Network("resnet20s", 1, 10, 3, 32, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


@dataclass(frozen=True)
class Sizes:
    """What is measured: a network and its images, steps of an epoch, stacks, and images to evaluate."""

    device: str = "cuda"
    network: Network = RESNET20
    batch: int = 128
    steps: int = 64
    epochs: int = 4
    stacks: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    lanes: tuple[int, ...] = (1, 4, 16, 32)
    swept: int = 32
    scored: tuple[int, ...] = (1, 2, 4, 8)
    evaluated: int = 50_000
    matrix: int = 8192


DRY = Sizes(
    "cpu", Network("resnet8", 1, 10, 1, 8, (0.3,), (0.4,)), 8, 2, 3, (1, 2), (1, 2), 2, (1, 2), 300, 64
)


# ------------------------------------------------------------------------------------------------- timing


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def peak(device: str) -> Iterator[dict[str, int]]:
    """The bytes that torch had of the device at most; 0 on a CPU."""
    found = {"bytes": 0}
    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield found
    if device == "cuda":
        found["bytes"] = torch.cuda.max_memory_reserved()


def recipe(sizes: Sizes, precision: str) -> Recipe:
    """The paper's recipe, for a few epochs."""
    given = (sizes.batch, 0.1, 0.9, False, 1e-4, "step", 0.0, (91, 136), 0.1)
    return Recipe(sizes.epochs, 0, *given, 4 if sizes.network.size == 32 else 1, True, precision)


def images(sizes: Sizes, count: int) -> Images:
    """Noise in place of photographs: it costs the same."""
    rng = np.random.default_rng(0)
    shape = (count, sizes.network.channels, sizes.network.size, sizes.network.size)
    return Images(rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 10, count))


def network(sizes: Sizes, seed: int) -> torch.nn.Module:
    """A network drawn from a seed, on the device."""
    torch.manual_seed(seed)
    made = registry.get(Architecture, sizes.network.architecture).build(sizes.network)
    return made.to(sizes.device)


def trained(
    sizes: Sizes,
    count: int,
    precision: str,
    way: str | loop.Way | None,
    replayed: bool = True,
    lanes: int = LANES,
) -> dict[str, float]:
    """Milliseconds for a step of one network, images a second and peak bytes: of the epochs after the first.

    ``way`` None is one network over resident images, launched step by step.
    """
    given, ends = images(sizes, sizes.batch * sizes.steps), []

    def after(epoch: int, model: torch.nn.Module, so_far: object) -> None:
        wait(sizes.device)
        ends.append(time.perf_counter())

    before, loop.LANES = LANES, lanes  # type: ignore[attr-defined]
    try:
        with peak(sizes.device) as memory:
            if way is None:
                one = network(sizes, 0)
                loop.train(one, given, recipe(sizes, precision), 0, after_epoch=after, replayed=False)
            else:
                members = [loop.Member(network(sizes, i), i) for i in range(count - 1)]
                members.append(loop.Member(network(sizes, count), count, after_epoch=after))
                replay = replayed and sizes.device == "cuda"
                loop.train_together(members, given, recipe(sizes, precision), way=way, replayed=replay)
    finally:
        loop.LANES = before  # type: ignore[attr-defined]
    seconds = float(np.median(np.diff(ends)))
    return {
        "networks": count,
        "ms_per_step_of_one": 1e3 * seconds / sizes.steps / count,
        "images_per_second": count * sizes.batch * sizes.steps / seconds,
        "peak_bytes": memory["bytes"],
    }


def batched(nets: Sequence[loop.Net], precision: str, losses: torch.Tensor) -> loop.Backward:
    """All members as one batched model, by ``torch.func``; their weights become parts of common tensors.

    Convolutions become grouped ones. Slower than turns on every CPU measured.
    """
    template = nets[0].model
    learnt = [n for n, p in template.named_parameters() if p.requires_grad]
    named = [dict(net.model.named_parameters()) | dict(net.model.named_buffers()) for net in nets]
    weights = {n: _common([tensors[n] for tensors in named]) for n in learnt}
    states = {n: _common([tensors[n] for tensors in named]) for n in named[0] if n not in weights}

    def loss_of(
        weight: dict[str, torch.Tensor], state: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        return F.cross_entropy(functional_call(template, (weight, state), (x,)), y)

    every = vmap(loss_of, randomness="different")

    def backward(batch: torch.Tensor, target: torch.Tensor) -> None:
        leaves = {n: w.detach().requires_grad_() for n, w in weights.items()}
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found = every(leaves, states, batch, target)
        gradients = torch.autograd.grad(found.sum(), list(leaves.values()), allow_unused=True)
        for i, net in enumerate(nets):
            net.take([None if g is None else g[i] for g in gradients])
        losses.copy_(found.detach())

    return backward


def _common(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor ``[k, ...]``, of which the given ones become parts."""
    whole = torch.stack([t.detach() for t in tensors])
    for part, tensor in zip(whole, tensors, strict=True):
        tensor.data = part
    return whole


# ------------------------------------------------------------------------------------------------- stages


def ceilings(sizes: Sizes) -> dict[str, float]:
    """What the device can do: a bfloat16 matrix product, and a copy (bytes read and written)."""
    n, repeats = sizes.matrix, 10
    a, b = (torch.randn(n, n, device=sizes.device, dtype=torch.bfloat16) for _ in range(2))
    whole = torch.empty(16 * n * n, dtype=torch.uint8, device=sizes.device)
    other = torch.empty_like(whole)
    found = {}
    for name, work, amount in (
        ("bfloat16_flop_per_second", lambda: torch.mm(a, b), 2.0 * n**3),
        ("copy_bytes_per_second", lambda: other.copy_(whole), 2.0 * whole.numel()),
    ):
        for _ in range(3):
            work()
        wait(sizes.device)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        wait(sizes.device)
        found[name] = repeats * amount / (time.perf_counter() - start)
    return found


def training(sizes: Sizes, left: Callable[[], float]) -> dict[str, Any]:
    """One network step by step, and stacks of each size, in both precisions; lanes and ways at one size."""
    found: dict[str, Any] = {}
    count, way = sizes.stacks[-2], loop.way_on(torch.device(sizes.device))
    for precision in ("float32", "bfloat16"):
        rows: dict[str, Any] = {"one, launched step by step": trained(sizes, 1, precision, None)}
        for k in sizes.stacks:
            rows[f"{k}, {way}"] = attempt(partial(trained, sizes, k, precision, way), left)
        found[precision] = rows
    for lanes in sizes.lanes:
        name = f"{sizes.swept}, {lanes} lanes"
        found["float32"][name] = attempt(
            partial(trained, sizes, sizes.swept, "float32", way, lanes=lanes), left
        )
    ways: tuple[tuple[str, str | loop.Way, bool], ...] = (
        ("turns", "turns", True),
        ("batched", batched, True),
        ("turns, not replayed", "turns", False),
    )
    for name, made, replayed in ways:
        row = attempt(partial(trained, sizes, count, "float32", made, replayed), left)
        found["float32"][f"{count}, {name}"] = row
    for rows in found.values():
        alone = rows["one, launched step by step"]["images_per_second"]
        replayed_alone = next(iter(r for n, r in rows.items() if n.startswith("1,")), {})
        for row in rows.values():
            if "images_per_second" in row:
                row["over_step_by_step"] = row["images_per_second"] / alone
                if "images_per_second" in replayed_alone:
                    row["over_one_in_this_program"] = (
                        row["images_per_second"] / replayed_alone["images_per_second"]
                    )
    return found


@full_precision()
def evaluation(sizes: Sizes) -> dict[str, float]:
    """Images a second and network of a scored set, from uint8 in the host's memory to logits, for one network
    and for several that pass together; and of the bare forward."""
    device = torch.device(sizes.device)
    models = [predict.ready(network(sizes, i), device) for i in range(max(sizes.scored))]
    given = images(sizes, sizes.evaluated)
    batch = torch.rand(250, *given.pixels.shape[1:], device=device)
    batch = batch.contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(0, sizes.evaluated, 250):
                models[0](batch)

    folded = cuda_graphs.Passes([folding.folded(models[0])], device)
    ways: list[tuple[str, int, Callable[[], Any]]] = [
        ("launched kernel by kernel", 1, lambda: predict._forward(folded, batches(given), device)),
        ("bare forward", 1, bare),
    ]
    for count in sizes.scored:
        run = predict.fast(models[:count])
        ways.append((f"{count} together", count, partial(_scored, run, given, device)))
    found = {}
    for name, count, work in ways:
        seconds = []
        for _ in range(3):
            wait(sizes.device)
            start = time.perf_counter()
            work()
            wait(sizes.device)
            seconds.append(time.perf_counter() - start)
        found[name] = count * sizes.evaluated / min(seconds[1:])
    found["together over one"] = max(found[f"{n} together"] for n in sizes.scored) / found["1 together"]
    found["as scored"] = found[f"{sizes.scored[-1]} together"]
    return found


def _scored(run: predict.Run, given: Images, device: torch.device) -> None:
    predict._forward(run, batches(given), device)


def attempt(work: Callable[[], Any], left: Callable[[], float]) -> Any:
    """What it yields, or why it was left out."""
    if left() <= 0:
        return {"skipped": "no time left"}
    try:
        return work()
    except Exception as error:  # one stage must not take the others with it
        return {"skipped": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


# --------------------------------------------------------------------------------------------- projection


@cache
def grid(budget: str) -> tuple[Step, ...]:
    """The steps of the whole grid of c10-r20s."""
    asked = request(task.load("c10-r20s"), budget=budget, task_as_typed="c10-r20s", **GRID)
    return plan.plan(asked, (), data_needed=False).steps


def counts(budget: str) -> dict[str, float]:
    """What the whole grid of c10-r20s asks for: trainings, and images shown in training and evaluation."""
    steps = grid(budget)
    trainings = [s for s in steps if isinstance(s, Train)]
    forward = forward_flops(trainings[0])
    return {
        "trainings": len(trainings),
        "images_trained": sum(flops(s) for s in trainings) / (3.0 * forward),
        "images_evaluated": sum(flops(s) for s in steps if isinstance(s, Predict)) / forward,
        "images_to_prune_by": sum(flops(s) for s in steps if isinstance(s, Prune)) / forward,
        "rewinds": sum(isinstance(s, Rewind) for s in steps),
    }


def projection(asked: dict[str, float], train_rate: float, score_rate: float) -> dict[str, Any]:
    """Hours of one GPU for a grid, from images a second in training (a stack's) and in evaluation.

    hours = (images trained / rate of training + (evaluated + to prune by) / rate of evaluation) / 3600.
    Left out: corruptions and scores read off logits, which a CPU makes meanwhile, and the start.
    """
    training = asked["images_trained"] / train_rate / 3600
    scoring = (asked["images_evaluated"] + asked["images_to_prune_by"]) / score_rate / 3600
    said = (
        f"{asked['images_trained']:.4g} images / {train_rate:.4g} per s + "
        f"{asked['images_evaluated'] + asked['images_to_prune_by']:.4g} images / {score_rate:.4g} per s"
    )
    return {"training": training, "scoring": scoring, "hours": training + scoring, "arithmetic": said}


def formed(budget: str, most: int) -> dict[int, int]:
    """How many trainings of the grid are done in stacks of each size, by one worker."""
    queue, sizes = Queue(group(grid(budget))), Counter()
    while (job := queue.next()) is not None:
        more = queue.like(job, most - 1, lambda other: False) if job.training is not None else []
        if job.training is not None:
            sizes[1 + len(more)] += 1 + len(more)
        for one in (job, *more):
            queue.finish(one)
    return dict(sizes)


def rate_of(sizes: dict[int, int], rates: dict[int, float]) -> float:
    """Images a second over all trainings, each at the rate of the largest stack measured that it fills."""
    slowness = sum(n / rates[max(r for r in rates if r <= size)] for size, n in sizes.items())
    return sum(sizes.values()) / slowness


def projected(found: dict[str, Any], budget: str, way: str) -> dict[str, Any]:
    """The projection in each precision: up to the best stack measured, in the sizes that form."""
    asked = counts(budget)
    made: dict[str, Any] = {"budget": budget, "asked": asked}
    for precision, rows in found["training"].items():
        measured = {n: r for n, r in rows.items() if "images_per_second" in r}
        best = max(measured, key=lambda n: measured[n]["images_per_second"])
        own = [r for n, r in measured.items() if n == f"{r['networks']}, {way}"]
        rates = {r["networks"]: r["images_per_second"] for r in own}
        most = max(rates, key=lambda n: rates[n])
        sizes = formed(budget, most)
        hours = projection(asked, rate_of(sizes, rates), found["evaluation"]["as scored"])
        made[precision] = {"stack": best, "trainings in stacks of": sizes, **hours}
    return made


def reached(found: dict[str, Any], sizes: Sizes) -> dict[str, Any]:
    """How far each precision's best stack is: from the goals, and from the matrix product's rate."""
    forward = 2.0 * registry.get(Architecture, sizes.network.architecture).count(sizes.network).macs
    made: dict[str, Any] = {}
    for precision, rows in found["training"].items():
        measured = {n: r for n, r in rows.items() if "images_per_second" in r}
        best = measured[found["paper"][precision]["stack"]]
        flop_share = 3.0 * forward * best["images_per_second"] / found["ceilings"]["bfloat16_flop_per_second"]
        made[precision] = {
            "grid_hours": found["paper"][precision]["hours"],
            "grid_hours_goal": 12.0,
            "best_over_step_by_step": best["over_step_by_step"],
            "best_over_one_in_this_program": best.get("over_one_in_this_program"),
            "stack_of_32_goal": 8.0,
            "share_of_the_matrix_product": flop_share,
            "peak_share_of_memory": {
                n: r["peak_bytes"] / found["facts"].get("device_bytes", float("inf"))
                for n, r in measured.items()
            },
        }
    return made


# ------------------------------------------------------------------------------------------------- program


def facts(device: str) -> dict[str, Any]:
    """The device and the versions."""
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "numpy": np.__version__,
    }
    if device == "cuda":
        found["device_bytes"] = torch.cuda.get_device_properties(0).total_memory
        found["tf32_convolutions"] = torch.backends.cudnn.allow_tf32
    return found


def checks(seconds: float) -> dict[str, Any]:
    """The tests that need a GPU."""
    # Only files that have some are read: others may need packages that are not installed here.
    files = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in p.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-W", "default"]
    command += files
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"skipped": f"not done after {seconds:.0f} s"}
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    last = lines[-1] if lines else done.stderr.strip()[-200:]
    return {"rc": done.returncode, "said": last, "failed": failed, "seconds": time.perf_counter() - start}


def main() -> int:
    """Run it. 0 if nothing failed, 1 otherwise, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the JSON goes; reports/performance/DEVICE.json")
    parser.add_argument("--seconds", type=float, default=480.0, help="begin nothing new after this time")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on a CPU, to test the script")
    given = parser.parse_args()
    sizes = DRY if given.dry else Sizes()
    if not given.dry and not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} sees no CUDA device. --dry runs on a CPU.", file=sys.stderr)
        return 2
    start, way = time.perf_counter(), loop.way_on(torch.device(sizes.device))

    def left() -> float:
        return given.seconds - (time.perf_counter() - start)

    found: dict[str, Any] = {"schema": 1, "dry": given.dry, "facts": facts(sizes.device)}
    found["sizes"] = asdict(sizes)
    path = given.out
    if path is None and not given.dry:
        name = found["facts"]["device"].replace(" ", "-").lower()
        path = ROOT / "reports" / "performance" / f"{name}.json"
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    for stage, work in (
        ("ceilings", lambda: ceilings(sizes)),
        ("evaluation", lambda: evaluation(sizes)),
        ("training", lambda: training(sizes, left)),
        ("paper", lambda: projected(found, "paper", way)),
        ("standard", lambda: projected(found, "standard", way)),
        ("reached", lambda: reached(found, sizes)),
        ("checks", lambda: {"skipped": "dry"} if given.dry else checks(max(left(), 60.0))),
    ):
        found[stage] = attempt(work, left)
        found["seconds"] = time.perf_counter() - start
        print(stage, json.dumps(found[stage], indent=1), flush=True)
        if path is not None:  # after each stage, so that what is done is kept
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if path is not None:
        print(path)
    stages = ("ceilings", "evaluation", "training", "paper", "standard", "reached")
    return int(any("skipped" in found[s] for s in stages) or found["checks"].get("rc", 0) != 0)


if __name__ == "__main__":
    sys.exit(main())
