"""Imports point downwards only, and what answers at once imports no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lthbench

PACKAGE = Path(lthbench.__file__).parent

# Lowest first; a module may import from its own layer only where that layer says so, and from those below.
LAYERS = [
    ["errors", "places", "spec", "present"],
    ["expression", "stream"],
    ["noninferior"],
    ["kinds", "verdict"],
    ["argument", "merge"],
    ["registry", "task"],
    ["store", "data", "corruptions", "fetch", "networks", "imagefiles", "objects"],
    ["inventory", "leases", "machine", "banked", "banks"],
    ["migration", "transfer"],
    ["remote"],
    ["masks", "scoring", "tracing"],
    ["checkpoints", "naming"],
    ["maps"],
    ["channels", "crops", "replay", "rewire", "sizes"],
    ["request", "train"],
    ["plan", "savepoints"],
    ["costs", "feed", "inference"],
    ["stack"],
    ["training"],
    ["attacks", "footprint", "corrupted", "curvature", "imputer"],
    ["bottleneck", "faithfulness", "likeness", "lime", "mis", "saliency", "units"],
    ["craft", "dissection"],
    ["composition"],
    ["predict", "architectures", "datasets", "methods", "metrics"],
    ["context", "runner", "table", "trainer"],
    ["engines"],
    ["estimate"],
    ["album", "given", "progress", "report"],
    ["api", "contract"],
    ["bundle", "holdings", "listings"],
    ["doctor"],
    ["commands"],
    ["cli", "__init__"],
    ["__main__"],
]
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}
PLUGINS = ("architectures", "banks", "datasets", "methods", "metrics", "corruptions")


def modules():
    """Every module of the package, as (first part of its name, path)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def imported(path):
    """The first part, below ``lthbench``, of each module that a file imports, at top level or inside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts == ["lthbench"]:
                yield from (a.name for a in node.names if (PACKAGE / a.name).exists() or a.name in RANK)
            elif parts[0] == "lthbench":
                yield parts[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("lthbench."))


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} <= RANK.keys()


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(n, p, id=str(p.relative_to(PACKAGE))) for n, p in modules()]
)
def test_imports_point_downwards(name, path):
    higher = {i for i in imported(path) if RANK[i] > RANK[name]}
    # The package's own verbs are looked up when they are called.
    assert higher - ({"api"} if name == "__init__" else set()) == set()


@pytest.mark.parametrize("path", [p for n, p in modules() if n in PLUGINS], ids=lambda p: p.stem)
def test_plugins_know_nothing_of_running_and_storing(path):
    assert set(imported(path)) & {"runner", "store", "engines", "api", "cli"} == set()


def test_planning_imports_no_torch():
    code = (
        "import sys\n"
        "from lthbench import api, cli, listings, plan, registry\n"
        "from lthbench.kinds import Architecture, Dataset, Method, Metric\n"
        "for kind in (Architecture, Dataset, Method, Metric): registry.every(kind)\n"
        "plan.plan(api.ask('digits-r8'), ())\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
