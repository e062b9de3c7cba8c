"""All GPU checks and benchmarks within a time, and what they say of a whole grid, as one JSON file.

    ci/gpu [--out FILE] [--seconds 480] [--dry]

Runs from a checkout with what is installed, and skips, with a reason, what is missing. A small checkout will
do: ``git clone --sparse URL``, and in it ``git sparse-checkout set benchmark tests tasks ci``. The file is
written after each row, what matters most first, so that a run that is cut off leaves what it found. Rows run
in a process of their own; after one that fails, crashes or hangs the next has a new one.
``--dry`` measures at tiny sizes on a CPU: a test of the script, of no worth as a measurement.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from lthbench.compute.cuda_graphs import NotCaptured
from lthbench.training import loop


def beside(name: str) -> Any:
    """Another file of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from tests.benchmarks import projection, rates
    from tests.benchmarks.rates import Left, Sizes
else:
    projection, rates = beside("projection"), beside("rates")

ROOT = Path(__file__).parents[2]
#: Where the tests that matter most are: whole runs and scores, then training in stacks.
FIRST = ("tests/system/test_device.py", "tests/training/test_together.py")
#: A result in the file: where it stands, and what makes it.
Row = tuple[tuple[str, ...], Callable[[], Any]]


def first(sizes: Sizes, left: Left) -> Iterator[Row]:
    """What matters most: one network alone, a stack of 32, scoring; and whether trainings repeat."""
    way = loop.way_on(torch.device(sizes.device))
    yield ("ceilings",), partial(rates.ceilings, sizes)
    for precision in rates.PRECISIONS:
        yield (
            ("training", precision, rates.ALONE),
            partial(rates.trained, sizes, 1, precision, None, left=left),
        )
        work = partial(rates.trained, sizes, sizes.swept, precision, way, left=left)
        yield ("training", precision, f"{sizes.swept}, {way}"), work
    yield ("evaluation", "launched kernel by kernel"), partial(rates.evaluated, sizes, 1, "launched")
    yield ("evaluation", "bare forward"), partial(rates.evaluated, sizes, 1, "bare")
    for count in sizes.scored:
        yield ("evaluation", f"{count} together"), partial(rates.evaluated, sizes, count, "together")
    for precision in rates.PRECISIONS:
        yield ("repeated", precision), partial(rates.repeated, sizes, precision)


def sweeps(sizes: Sizes, left: Left) -> Iterator[Row]:
    """Stacks of the other sizes, other lanes and other ways; what may be slow comes last, in few steps."""
    way = loop.way_on(torch.device(sizes.device))
    for k in sizes.stacks:
        for precision in rates.PRECISIONS if k != sizes.swept else ():
            work = partial(rates.trained, sizes, k, precision, way, left=left)
            yield ("training", precision, f"{k}, {way}"), work
    swept = partial(rates.trained, count=sizes.swept, precision="float32", left=left)
    for lanes in sizes.lanes:
        yield (
            ("training", "float32", f"{sizes.swept}, {lanes} lanes"),
            partial(swept, sizes, way=way, lanes=lanes),
        )
    few = replace(sizes, steps=sizes.few[0], epochs=sizes.few[1])
    for name, work in (
        ("turns", partial(swept, sizes, way="turns")),
        ("turns, not replayed", partial(swept, few, way="turns", replayed=False)),
        ("batched", partial(swept, few, way=rates.batched)),
    ):
        yield ("training", "float32", f"{sizes.swept}, {name}"), work


def attempt(work: Callable[[], Any], left: Left = lambda: float("inf")) -> Any:
    """What it yields, or why it was left out."""
    if left() <= 0:
        return {"skipped": "no time left"}
    try:
        return work()
    except Exception as error:  # one row must not take the others with it
        return {"skipped": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


class Until:
    """How many seconds are left until a moment, in this process and others."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    def __call__(self) -> float:
        """The seconds."""
        return self.end - time.monotonic()


class Watched(NamedTuple):
    """What a row yields, and why work in it could not be captured."""

    result: Any
    refused: Sequence[str] = ()


def watched(work: Callable[[], Any]) -> Watched:
    """Do a row, and hear what it warns of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = attempt(work)
    for one in said:
        if not issubclass(one.category, NotCaptured):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return Watched(result, sorted({str(w.message) for w in said if issubclass(w.category, NotCaptured)}))


def serve(link: Any) -> None:
    """Do the rows that come, until none do."""
    with suppress(EOFError):
        while True:
            link.send(watched(link.recv()))


class Apart:
    """Does rows in a process of their own. A row that fails, crashes or hangs costs no other.

    The process is ended after it, as a device that failed does nothing more there. A row that has no end has
    half of the time that is left, and ``least`` seconds.
    """

    def __init__(self, least: float = 60.0, start: str = "spawn"):
        self.least = least
        self._context: Any = multiprocessing.get_context(start)
        self._process: Any = None

    def __call__(self, work: Callable[[], Any], left: Left) -> Watched:
        """Do a row, or say why it was left out."""
        if left() <= 0:
            return Watched(attempt(work, left))
        if self._process is None:
            self._link, theirs = self._context.Pipe()
            self._process = self._context.Process(target=serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        limit = max(left() / 2, self.least)
        late = Watched({"skipped": f"not done after {limit:.0f} s"})
        try:
            self._link.send(work)
            found: Watched = self._link.recv() if self._link.poll(limit) else late
        except (EOFError, OSError):
            self._process.join(self.least)
            found = Watched({"skipped": f"its process ended with exit code {self._process.exitcode}"})
        if isinstance(found.result, dict) and "skipped" in found.result:
            self.end()
        return found

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._link.close()
            self._process = None


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


def gpu_tests() -> list[str]:
    """The files with tests that need a GPU, most important first; those that measure are left out.

    Only files that have some are read: others may need packages that are not installed here.
    """
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    names = [p.relative_to(ROOT).as_posix() for p in files if "mark.gpu" in p.read_text(encoding="utf-8")]
    names = [name for name in names if not name.startswith("tests/benchmarks/")]
    return sorted(names, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def checks(seconds: float) -> dict[str, Any]:
    """The tests that need a GPU. Where time runs out, those that were done until then."""
    command = [sys.executable, "-m", "pytest", "-v", "-rA", "--tb=short", "-m", "gpu and not slow"]
    command += ["-p", "no:cacheprovider", "-W", "default", *gpu_tests()]
    start, code, late = time.perf_counter(), None, ""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            how: dict[str, Any] = {"stdout": said, "stderr": subprocess.STDOUT, "timeout": seconds}
            code = subprocess.run(command, cwd=ROOT, env=environment, **how).returncode
        except subprocess.TimeoutExpired:
            late = f"not done after {seconds:.0f} s"
        said.seek(0)
        lines = said.read().splitlines()
    ended = [
        m.groups()
        for m in (re.match(r"(\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b", line) for line in lines)
        if m
    ]
    return {
        "rc": code,
        "said": late or (lines[-1] if lines else ""),
        "ended": dict(Counter(how for _, how in ended)),
        "failed": [name for name, how in ended if how in ("FAILED", "ERROR")],
        "seconds": time.perf_counter() - start,
        "output": lines,
    }


def compared(found: dict[str, Any]) -> None:
    """Put ratios beside the rates, as far as there are both."""
    for rows in found.get("training", {}).values():
        rows = projection.measured(rows)
        here = next((row for name, row in rows.items() if name.startswith("1,")), None)
        for name, other in (("over_step_by_step", rows.get(rates.ALONE)), ("over_one_in_this_program", here)):
            for row in rows.values() if other else ():
                row[name] = row["images_per_second"] / other["images_per_second"]
    scored = found.get("evaluation", {})
    together = {
        int(n.split()[0]): r for n, r in scored.items() if n.endswith(" together") and isinstance(r, float)
    }
    if together:
        scored["as scored"] = together[max(together)]
    if 1 in together:
        scored["together over one"] = max(together.values()) / together[1]


class Found:
    """What is found, with what it says of the grid: kept in a file, if any, after each row."""

    def __init__(self, sizes: Sizes, path: Path | None, dry: bool):
        self.sizes, self.path, self.start = sizes, path, time.perf_counter()
        self.all: dict[str, Any] = {
            "schema": 2,
            "dry": dry,
            "facts": facts(sizes.device),
            "sizes": asdict(sizes),
            "refused": {},
        }

    def put(self, place: Sequence[str], result: Any, refused: Sequence[str] = ()) -> None:
        """Keep a result, and say it, with why work in it was not captured; long output is only kept."""
        at = self.all
        for name in place[:-1]:
            at = at.setdefault(name, {})
        at[place[-1]] = result
        if refused:
            self.all["refused"][": ".join(place)] = list(refused)
        compared(self.all)
        self.project()
        self.all["seconds"] = time.perf_counter() - self.start
        brief = {k: v for k, v in result.items() if k != "output"} if isinstance(result, dict) else result
        print(": ".join(place), json.dumps(brief), *refused, flush=True)
        if self.path is not None:
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(json.dumps(self.all, indent=1) + "\n", encoding="utf-8")
            part.replace(self.path)

    def project(self) -> None:
        """What the rows that are there say of a whole grid; it takes no device, and so needs no time left."""
        network, way = self.sizes.network, loop.way_on(torch.device(self.sizes.device))
        for budget in ("paper", "standard"):
            self.all[budget] = attempt(partial(projection.projected, self.all, budget, way))
        self.all["reached"] = attempt(partial(projection.reached, self.all, network))
        self.all["flop_per_second"] = attempt(partial(projection.flop_per_second, self.all, network))

    def whole(self) -> bool:
        """Whether the hours of the grid are known in each precision, all was captured, and the tests passed.

        The batched way is only held against the others: it need not be captured.
        """
        hours = all(
            "hours" in self.all[b].get(p, {}) for b in ("paper", "standard") for p in rates.PRECISIONS
        )
        tests = self.all["checks"]
        passed = self.all["dry"] or (tests.get("rc") == 0 and tests["ended"].get("PASSED", 0) > 0)
        captured = all(row.endswith("batched") for row in self.all["refused"])
        return bool(hours and "skipped" not in self.all["ceilings"] and captured and passed)


def place_for(given: argparse.Namespace, device: str) -> Path | None:
    """Where the JSON goes; nowhere for a dry run that names no place."""
    if given.out is not None:
        return Path(given.out)
    if os.environ.get("OUT"):
        return Path(os.environ["OUT"], "gpu.json")
    return (
        None if given.dry else ROOT / "reports" / "performance" / f"{device.replace(' ', '-').lower()}.json"
    )


def main() -> int:
    """Run it. 0 if all was measured and nothing failed, 1 otherwise, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    told = (
        "where the JSON goes; default: $OUT/gpu.json where OUT is set, else reports/performance/DEVICE.json"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=told)
    parser.add_argument("--seconds", type=float, default=480.0, help="measure nothing new after this time")
    parser.add_argument("--dry", action="store_true", help="tiny sizes on a CPU, to test the script")
    given = parser.parse_args()
    sizes = rates.DRY if given.dry else rates.Sizes()
    if not given.dry and not torch.cuda.is_available():
        print(f"no GPU: torch {torch.__version__} sees no CUDA device. --dry runs on a CPU.", file=sys.stderr)
        return 2
    path = place_for(given, facts(sizes.device)["device"])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    found = Found(sizes, path, given.dry)
    left, apart = Until(given.seconds), Apart()
    for place, work in first(sizes, left):
        found.put(place, *apart(work, left))
    # Half of what is left is for the sweeps.
    found.put(["checks"], {"skipped": "dry"} if given.dry else attempt(lambda: checks(max(left() / 2, 60.0))))
    for place, work in sweeps(sizes, left):
        found.put(place, *apart(work, left))
    apart.end()
    for name in ("paper", "standard", "reached", "flop_per_second"):
        print(name, json.dumps(found.all[name], indent=1))
    if path is not None:
        print(path)
    return int(not found.whole())


if __name__ == "__main__":
    sys.exit(main())
