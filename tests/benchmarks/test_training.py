"""Training against the plain PyTorch loop, stacks against turns, evaluation against the bare forward.

Both sides take turns in one run, and the median of their ratios counts: of processor time, which other work
on the machine does not change. Only where processes are compared is it the time on the wall.
"""

import importlib.util
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lthbench import registry
from lthbench.inference import batches as inference_batches
from lthbench.inference import predict
from lthbench.kinds import Architecture, Images
from lthbench.spec import Network, Recipe
from lthbench.training import batches, loop, optimization

pytestmark = pytest.mark.slow

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
BATCH, STEPS = 128, 2


@pytest.fixture(scope="module")
def images():
    """Noise of the size of CIFAR-10's images: it costs the same."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BATCH * STEPS, 3, 32, 32), dtype=np.uint8)
    return Images(pixels, rng.integers(0, 10, BATCH * STEPS))


def recipe(precision="float32", batch=BATCH):
    return Recipe(1, 0, batch, 0.1, 0.9, False, 1e-4, "step", 0.0, (91, 136), 0.1, 4, True, precision)


def network(mean=MEAN, std=STD):
    torch.manual_seed(0)
    return registry.get(Architecture, "resnet20s").build(Network("resnet20s", 1, 10, 3, 32, mean, std))


class Pictures(Dataset):
    """As torchvision's CIFAR10: arrays made into a PIL image each, and transformed one by one."""

    def __init__(self, images):
        self.pixels, self.labels = images.pixels.transpose(0, 2, 3, 1), images.labels
        steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.pixels[i])), int(self.labels[i])


class Plain:
    """The plain loop: a loader in this process, float32, kernels as they come."""

    def __init__(self, images):
        self.loader = DataLoader(Pictures(images), BATCH, shuffle=True, num_workers=0)
        self.model = network((0.0,) * 3, (1.0,) * 3).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, 0.9, weight_decay=1e-4)

    def __call__(self):
        for x, y in self.loader:
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()


def ratio(benchmark, base, ours, rounds=7):
    """How many times faster ours is than the base, in processor time; the order is turned each round."""
    base(), ours()
    found = []
    for k in range(rounds):
        spent = {}
        for work in (base, ours) if k % 2 else (ours, base):
            start = time.process_time()
            work()
            spent[work] = time.process_time() - start
        found.append((spent[base], spent[ours]))
    speed = statistics.median(b / o for b, o in found)
    benchmark.extra_info |= {
        "ratio": speed,
        "seconds": [statistics.median(t) for t in zip(*found, strict=True)],
    }
    benchmark.pedantic(ours, rounds=1)
    print(f"\n{benchmark.name}: {speed:.2f} times")
    return speed


def a_step(channels_last, precision, compiled):
    """One step of ResNet-20 on a batch of 128, with kernels chosen so."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network().train().to(memory_format=layout)
    optimizer = optimization.sgd(model, recipe())
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 3, 32, 32, generator=draw).contiguous(memory_format=layout)
    y = torch.randint(0, 10, (BATCH,), generator=draw)

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return F.cross_entropy(model(x), y)

    run = torch.compile(loss_of) if compiled else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        run(x, y).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_channels_last_against_kernels_as_they_come(benchmark, precision, compiled):
    """What the loop does is eager; compiling would have to be much faster to be worth its minute."""
    if compiled and shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    speed = ratio(benchmark, a_step(False, "float32", False), a_step(True, precision, compiled))
    assert speed > 1.0


@pytest.mark.parametrize(("precision", "least"), [("float32", 1.15), ("bfloat16", 1.0)])
def test_our_loop_against_the_plain_one(benchmark, images, precision, least):
    """One thread each. The recipe says the precision; bfloat16 pays where the processor has it."""
    model = network()
    assert ratio(benchmark, Plain(images), lambda: loop.train(model, images, recipe(precision), 0)) > least


@pytest.mark.speed
def test_our_batches_against_the_loaders(benchmark, images):
    loader = DataLoader(Pictures(images), BATCH, shuffle=True, num_workers=0)
    pixels, labels = batches.padded(images, 4, torch.device("cpu"))

    def ours():
        return sum(len(y) for _, y in batches.epoch_of(pixels, labels, recipe(), 0, 0))

    assert ratio(benchmark, lambda: sum(len(y) for _, y in loader), ours) > 4


@pytest.mark.parametrize("way", ["turns", "batched"])
def test_a_stack_of_four_against_one_by_one(benchmark, way, gpu):
    """Small images, where launches weigh most: even there a batched model is slower on a CPU."""
    rng = np.random.default_rng(0)
    small = Images(rng.integers(0, 256, (512, 1, 8, 8), dtype=np.uint8), rng.integers(0, 10, 512))
    made = []
    for seed in range(4):
        torch.manual_seed(seed)
        made.append(
            registry.get(Architecture, "resnet8").build(Network("resnet8", 1, 10, 1, 8, (0.3,), (0.4,)))
        )
    members = [loop.Member(m, seed) for seed, m in enumerate(made)]

    def one_by_one():
        for member in members:
            loop.train(member.model, small, recipe(batch=64), member.seed)

    made_by = gpu.batched if way == "batched" else way

    def as_one():
        loop.train_together(members, small, recipe(batch=64), way=made_by)

    speed = ratio(benchmark, one_by_one, as_one)
    assert speed > (0.9 if way == "turns" else 0.3)
    assert loop.way_on(torch.device("cpu")) == "turns"


def test_evaluation_against_the_bare_forward(benchmark):
    """The bare forward as most code has it: float images in memory, kernels as they come."""
    rng = np.random.default_rng(0)
    given = Images(rng.integers(0, 256, (500, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 500))
    floats = torch.from_numpy(given.pixels).float().div(255)
    bare, run = network().eval(), predict.fast([predict.ready(network(), torch.device("cpu"))])

    @torch.no_grad()
    def forward():
        for start in range(0, 500, 250):
            bare(floats[start : start + 250])

    ours = lambda: predict._forward(run, inference_batches.batches(given), torch.device("cpu"))  # noqa: E731
    assert ratio(benchmark, forward, ours) > 1.0


# What a process measures: it says that it is ready, waits for the word, and tells its images a second.
WORKER = """
import importlib.util, sys, time
import torch
spec = importlib.util.spec_from_file_location("measured", sys.argv[1])
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
kind, threads = sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
images = m.images.__wrapped__() if hasattr(m.images, "__wrapped__") else m.images._get_wrapped_function()()
model = m.network()
work = m.Plain(images) if kind == "plain" else lambda: m.loop.train(model, images, m.recipe(kind), 0)
work()
print("ready", flush=True)
sys.stdin.readline()
start, count = time.perf_counter(), 0
while time.perf_counter() - start < 5.0:
    work()
    count += len(images.labels)
print(count / (time.perf_counter() - start), flush=True)
"""


def together(kind, processes, threads):
    """Images a second of so many processes at once."""
    command = [sys.executable, "-c", WORKER, __file__, kind, str(threads)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in running)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_process_for_each_core_against_the_plain_loop_with_two_threads(benchmark, precision):
    """What two cores do a second: ours as the local engine runs it, the plain loop with a thread for each.

    The plain loop in two processes tells the two parts of it. Other work on the machine makes threads wait
    for each other, and this ratio greater: the numbers that count are those of a quiet machine.
    """
    ways = {
        "plain, 2 threads": ("plain", 1, 2),
        "plain, 2 processes": ("plain", 2, 1),
        "ours, 2 processes": (precision, 2, 1),
    }
    found = []
    for k in range(3):
        names = list(ways) if k % 2 else list(ways)[::-1]
        found.append({name: together(*ways[name]) for name in names})
    parts = {
        name: statistics.median(rates["ours, 2 processes"] / rates[name] for rates in found)
        for name in ("plain, 2 threads", "plain, 2 processes")
    }
    benchmark.extra_info |= {"ratios": parts, "images_per_second": found}
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n{benchmark.name}: {parts} {found}")
    assert parts["plain, 2 threads"] > 1.2


# ----------------------------------------------------------------------------------------------------- GPU


@pytest.fixture(scope="module")
def gpu():
    """What ci/gpu measures."""
    spec = importlib.util.spec_from_file_location("gpu", Path(__file__).with_name("rates.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu"]


@pytest.mark.gpu
def test_on_a_gpu_a_stack_of_32_does_eight_times_the_images(benchmark, gpu):
    alone = gpu.trained(gpu.Sizes(), 1, "float32", None)
    together = gpu.trained(gpu.Sizes(), 32, "float32", "lanes")
    speed = together["images_per_second"] / alone["images_per_second"]
    benchmark.extra_info |= {"ratio": speed, "alone": alone, "stacked": together}
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n{benchmark.name}: {speed:.2f} times")
    assert speed >= 8
    assert together["peak_bytes"] < 0.8 * torch.cuda.get_device_properties(0).total_memory
