"""Task files: every value of a task written out in one TOML file, read strictly."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

from lthbench import resources, textfiles
from lthbench.errors import BadInput, because, shown, unknown
from lthbench.formatting import folded, in_line, one_line, texts_in
from lthbench.kinds import Evaluation
from lthbench.kinds.recipes import check_recipe
from lthbench.planning.record_reader import read
from lthbench.registry import is_path
from lthbench.spec import Recipe, round_density

#: Where corrupted images come from; the last is the published sets where they are found, else generated.
SOURCES = ("generated", "official", "official-if-found")
BUDGETS = ("quick", "short", "standard", "paper")
#: What ends the name of a budget in float32 that is trained in bfloat16 instead.
HALF = "-bf16"
#: No task file has more bytes, or more characters in a line: keys of a thousand parts take minutes to read.
LIMIT, WIDTH = 100_000, 2000


@dataclass(frozen=True)
class TaskData:
    """Which data sets: ``dataset`` to train and test on, ``ood`` to tell apart from it.

    ``concepts`` is the bank of concepts that units are compared with (None: there is none);
    ``published_concepts`` is the bank of the paper behind the task, taken instead where its files are found.
    """

    dataset: str
    ood: tuple[str, ...]
    concepts: str | None = None
    published_concepts: str | None = None


@dataclass(frozen=True)
class Grid:
    """The default networks: ``rounds`` n means density (1 - rate)**n; ``max_rounds`` ends the grid."""

    rate: float
    max_rounds: int
    rounds: tuple[int, ...]
    seeds: int
    methods: tuple[str, ...]
    budget: str


@dataclass(frozen=True)
class Budget:
    """One price class of a task: how networks are trained and how many images they are scored on.

    ``finetune`` is the recipe of the methods that train on after pruning instead of rewinding.
    """

    about: str
    source: str
    rewind_epoch: int
    train: Recipe
    evaluate: Evaluation
    finetune: Recipe | None = None

    def in_bfloat16(self) -> Budget:
        """The same, with networks trained in bfloat16; they are scored in float32 as ever."""
        tuned = self.finetune and dataclasses.replace(self.finetune, precision="bfloat16")
        recipe = dataclasses.replace(self.train, precision="bfloat16")
        about = f"{self.about}; trained in bfloat16"
        return dataclasses.replace(self, about=about, train=recipe, finetune=tuned)


@dataclass(frozen=True)
class Task:
    """A task: data, network, grid, and a recipe for each budget."""

    schema: int
    name: str
    title: str
    about: str
    source: str
    architecture: str
    data: TaskData
    grid: Grid
    budget: dict[str, Budget]

    def budgets(self) -> dict[str, Budget]:
        """The budgets by name: the task's own, and those in float32 a second time in bfloat16."""
        half = {
            f"{n}{HALF}": b.in_bfloat16() for n, b in self.budget.items() if b.train.precision == "float32"
        }
        return half | self.budget

    def density(self, n: int) -> float:
        """The density after ``n`` rounds."""
        return round_density((1.0 - self.grid.rate) ** n)

    def levels(self, density: float) -> tuple[float, ...]:
        """The densities that iterative pruning passes through, from the first round down to ``density``."""
        levels = []
        for n in range(1, 200):
            level = self.density(n)
            if level <= density + 1e-9:
                break
            levels.append(level)
        return (*levels, density)

    def on_grid(self, sparsity: float) -> float:
        """The density for a sparsity that a user typed: 0.79 means the round at 79.03 % sparsity."""
        for n in range(1, self.grid.max_rounds + 1):
            if abs(1.0 - self.density(n) - sparsity) <= 0.0005:
                return self.density(n)
        return round_density(1.0 - sparsity)


def names() -> list[str]:
    """The shipped tasks."""
    return sorted(p.stem for p in resources.tasks().glob("*.toml"))


def load(name: str) -> Task:
    """A shipped task by name, or a task file by path (a name with a slash, or one that ends in .toml).

    Raises BadInput, naming the key, for whatever is unknown, missing, of the wrong type or out of range.
    """
    if "/" in name or name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise BadInput(f"no task file {in_line(name)}.")
    else:
        shipped = {folded(n): n for n in names()}
        if folded(name) not in shipped:
            raise _no_task(name)
        path = resources.tasks() / f"{shipped[folded(name)]}.toml"
    where = in_line(str(path))
    try:
        if path.stat().st_size > LIMIT:
            raise BadInput(f"{where}: has more than {LIMIT:,} bytes; a task file does not.")
        text = textfiles.read(path)
        if any(len(line) > WIDTH for line in text.splitlines()):
            raise BadInput(f"{where}: has a line of more than {WIDTH:,} characters; a task file does not.")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not valid TOML{because(error)}.") from error
    except OSError as error:
        raise BadInput(f"{where}: cannot be read: {error.strerror or error}") from error
    odd = next((text for text in texts_in(table) if not one_line(text)), None)
    if odd is not None:
        raise BadInput(f"{where}: has a text with control characters or line breaks: {odd[:100]!a}.")
    task = read(Task, table, where)
    _check(task, where)
    return task


def _no_task(name: str) -> BadInput:
    """The error for a name that no task has, with the tasks of the data set or network that may be meant."""
    shipped = map(load, names())
    of_it = [t.name for t in shipped if folded(name) in map(folded, (t.data.dataset, t.architecture))]
    if of_it:
        return BadInput(f'no task "{in_line(name)}". Did you mean one of {", ".join(of_it)}?')
    return unknown("task", name, names(), "a path to a .toml file works too")


def _check(task: Task, where: str) -> None:
    def demand(good: bool, key: str, text: str) -> None:
        if not good:
            raise BadInput(f"{where}: {key}: {text}")

    demand(task.schema == 1, "schema", f"this version reads schema 1, not {task.schema}")
    demand(len(task.name) <= 64, "name", f"64 characters at most, got {len(task.name)}")
    named = {"architecture": [task.architecture], "data.dataset": [task.data.dataset]}
    named |= {"data.ood": list(task.data.ood), "grid.methods": list(task.grid.methods)}
    named["data.concepts"] = [task.data.concepts or ""]
    named["data.published_concepts"] = [task.data.published_concepts or ""]
    for key, given in named.items():
        for name in filter(is_path, given):
            raise BadInput(
                f"{where}: {key}: {shown(name)} is a file of code, and a task file may not say what code is "
                "run; name it yourself, with --plugin FILE, and here the name that it defines"
            )
    safe = task.name.replace("-", "").replace("_", "").replace(".", "").isalnum() and task.name[0] != "."
    demand(
        safe and task.name.isascii(),
        "name",
        f"letters, digits, '-', '_' and '.' only, got {shown(task.name)}",
    )
    grid = task.grid
    demand(0.0 < grid.rate < 1.0, "grid.rate", f"must lie between 0 and 1, got {grid.rate}")
    demand(1 <= grid.max_rounds <= 100, "grid.max_rounds", f"must be 1..100, got {grid.max_rounds}")
    kept = task.density(1), task.density(grid.max_rounds)
    demand(
        kept[0] < 1.0 and kept[1] > 0.0,
        "grid.rate",
        f"{grid.rate} keeps {kept[0]:g} of the weights after one round and {kept[1]:g} after "
        f"{grid.max_rounds}; some must go, and some stay",
    )
    demand(grid.seeds >= 1, "grid.seeds", f"must be at least 1, got {grid.seeds}")
    for n in grid.rounds:
        demand(1 <= n <= grid.max_rounds, "grid.rounds", f"must be 1..{grid.max_rounds}, got {n}")
    demand(bool(task.budget), "budget", "at least one budget is needed")
    demand(
        grid.budget in task.budget, "grid.budget", f"{grid.budget!r} is not among {', '.join(task.budget)}"
    )
    for name, budget in task.budget.items():
        demand(name in BUDGETS, f"budget.{name}", f"budgets are called {', '.join(BUDGETS)}")
        _check_budget(budget, f"{where}: budget.{name}")


def _check_budget(budget: Budget, where: str) -> None:
    check_recipe(budget.train, f"{where}.train")
    if budget.finetune is not None:
        check_recipe(budget.finetune, f"{where}.finetune")
    evaluate = budget.evaluate
    for key in (f.name for f in dataclasses.fields(evaluate) if f.name.endswith("_images")):
        if getattr(evaluate, key) < 0:
            raise BadInput(f"{where}.evaluate.{key}: must not be negative, got {getattr(evaluate, key)}")
    if not 0 <= budget.rewind_epoch < budget.train.epochs:
        raise BadInput(
            f"{where}.rewind_epoch: must be 0..{budget.train.epochs - 1}, got {budget.rewind_epoch}"
        )
    if evaluate.corrupted_apart is not None and not (evaluate.corrupted_apart and evaluate.corrupted_images):
        raise BadInput(f"{where}.evaluate.corrupted_apart: is true, with corrupted_images > 0, or left out")
    if not evaluate.corruptions:
        raise BadInput(f"{where}.evaluate.corruptions: at least one is needed")
    for key in ("corruptions", "severities"):
        given = getattr(evaluate, key)
        if len(set(given)) != len(given):
            raise BadInput(f"{where}.evaluate.{key}: each is named once, got {shown(list(given))}")
    if not evaluate.severities or not all(1 <= s <= 5 for s in evaluate.severities):
        raise BadInput(
            f"{where}.evaluate.severities: whole numbers 1..5, got {shown(list(evaluate.severities))}"
        )
    if evaluate.corruption_source not in (None, *SOURCES):
        raise unknown("corruption_source", str(evaluate.corruption_source), SOURCES, f"{where}.evaluate")
    if not 0 < evaluate.fgsm_epsilon_255 <= 255:
        raise BadInput(f"{where}.evaluate.fgsm_epsilon_255: must be 1..255, got {evaluate.fgsm_epsilon_255}")
