"""The floor plan (docs/architecture.md): imports point down, and what answers at once has no torch."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lthbench

PACKAGE = Path(lthbench.__file__).parent

# Lowest first; a package, or a module of the root, imports from the rows below its own only.
LAYERS = """
_version errors formatting resources files
textfiles
global_state
recipe
spec
kinds
registry
compute
data
corruptions banks networks
masks scoring
architectures datasets methods
store
inference
training
functional
metrics
planning
verdict
results
checkpoints
execution
engines
report
api contract
__init__
submission doctor
cli
__main__
"""
RANK = {name: i for i, row in enumerate(LAYERS.strip().splitlines()) for name in row.split()}
PLUGINS = ("architectures", "banks", "corruptions", "datasets", "methods", "metrics")


def _name(path):
    """``metrics.road`` for its file; ``metrics`` for the package's ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(name):
    """The modules of lthbench that a module imports, at the top, inside a function, or for types."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("lthbench.") for a in node.names if a.name.startswith("lthbench.")}
            found |= {"__init__" for a in node.names if a.name == "lthbench"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lthbench":
            base = node.module.removeprefix("lthbench").lstrip(".")
            for alias in node.names:
                inside = f"{base}.{alias.name}".lstrip(".")
                found.add(inside if inside in FILES else base or "__init__")
    return frozenset(found - {name})


def reached(name):
    """All that a module imports, and what that imports in turn; the package's own ``__init__`` included."""
    seen, stack = set(), [name]
    while stack:
        here = stack.pop()
        for other in imports(here):
            # Importing a module runs the ``__init__`` of its package first.
            for one in (other, *([other.rpartition(".")[0]] if "." in other else [])):
                if one not in seen:
                    seen.add(one)
                    stack.append(one)
    return seen


def top(name):
    return name.partition(".")[0]


def test_every_package_has_a_layer():
    assert {top(name) for name in FILES} == RANK.keys()


@pytest.mark.parametrize("name", FILES)
def test_imports_point_downwards(name):
    allowed = {"api"} if name == "__init__" else set()  # the verbs are looked up when they are called
    higher = {o for o in imports(name) if top(o) != top(name) and RANK[top(o)] >= RANK[top(name)]}
    assert higher - allowed == set()


def test_there_are_no_circles_of_files():
    # The package's verbs are found through it at run time; no module may import it to reach another.
    TopologicalSorter({n: imports(n) - {"api" if n == "__init__" else ""} for n in FILES}).prepare()


@pytest.mark.parametrize("name", [n for n in FILES if top(n) in PLUGINS])
def test_plugins_know_nothing_of_running_and_storing(name):
    forbidden = {
        "api",
        "checkpoints",
        "cli",
        "engines",
        "execution",
        "planning",
        "report",
        "results",
        "store",
    }
    assert {top(other) for other in reached(name)} & forbidden == set()


@pytest.mark.parametrize("name", [n for n in FILES if top(n) == "execution"])
def test_doing_steps_knows_nothing_of_planning_a_grid(name):
    planner = {"planning.plan", "planning.request", "planning.task", "planning.summary"}
    assert reached(name) & planner == set()


def test_the_root_holds_what_users_and_plugins_import():
    root = {name for name in RANK if (PACKAGE / f"{name}.py").is_file()} - {"__init__", "__main__"}
    assert len(root) <= 13, sorted(root)


@pytest.mark.parametrize("name", FILES)
def test_files_can_be_read_in_one_sitting(name):
    assert len(FILES[name].read_text().splitlines()) <= 400


def test_planning_imports_no_torch():
    code = (
        "import sys\n"
        "from lthbench import registry\n"
        "from lthbench.cli import app, listing\n"
        "from lthbench.kinds import Architecture, Dataset, Method, Metric\n"
        "from lthbench.planning import plan, request\n"
        "for kind in (Architecture, Dataset, Method, Metric): registry.every(kind)\n"
        "plan.plan(request.ask('digits-r8'), ())\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
