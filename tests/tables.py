"""Score tables made by hand, for the tests of what reads them."""

import dataclasses
import math

import pandas as pd

from lthbench.planning import request_record
from lthbench.results import run_facts, score_order, table

METRICS = ("accuracy", "nll")


def rows(method, sparsity, score, values, step="", **more):
    """One row a seed; ``more`` replaces facts of a row."""
    fact = next(s for s in score_order.scores(METRICS) if s.name == score)
    for seed, value in enumerate(values):
        yield {
            **dict.fromkeys(table.COLUMNS, ""),
            "task": "made",
            "budget": "quick",
            "method": method,
            "sparsity": sparsity,
            "seed": seed,
            "score": score,
            "value": value,
            "se": 0.01,
            "diff_se": math.nan if method == "dense" else 0.001,
            "mean_diff_se": math.nan if method == "dense" else 0.001,
            "n": 100,
            "unit": fact.unit,
            "direction": "higher" if fact.higher_is_better else "lower",
            "group": fact.group,
            "status": "ok",
            "step": f"{step or method}-{sparsity}-{score}-{seed}",
            "forwards": 1,
        } | more


def frame(*parts):
    """A table of rows."""
    found = [row for part in parts for row in part]
    return pd.DataFrame(found, columns=list(table.COLUMNS)).astype(table.COLUMNS)


def facts(seeds=3, task="made", budget="quick", **more):
    """What stands beside a table."""
    content = {
        "schema": run_facts.SCHEMA,
        "command": "lthbench run made",
        "task": {"name": task, "title": "A made task", "about": "", "source": ""},
        "budget": {
            **{"name": budget, "about": "", "source": "", "rewind_epoch": 0},
            **{"train": {"epochs": 2}, "evaluate": {}},
        },
        "methods": ["dense", "m"],
        "sparsities": [0.5],
        "seeds": list(range(seeds)),
        "data": [{"name": "digits", "version": 1, "digest": "ab"}],
        "environments": [
            {"device": "cpu", "threads": 1, "torch": "2.0", "numpy": "2", "python": "3", "lthbench": "0"}
        ],
        "aspects": [dataclasses.asdict(a) for a in score_order.aspects(METRICS)],
        "scores": [dataclasses.asdict(s) for s in run_facts.score_facts(METRICS)],
        "masks": {},
        "networks": {},
        "seconds": {},
    } | more
    return run_facts.from_json(content)


#: The metrics of a whole table.
EVERY = ("accuracy", "mce", "fgsm", "ood", "ece", "nll", "hessian", "calibration", "brier", "efficiency")
KINDS = ("gaussian_noise", "fog", "jpeg_compression")


def grid(methods, task="made", budget="quick", seeds=3, sparsities=(0.5, 0.9, 0.98)):
    """A table of a whole grid with drawn values that fall with sparsity, and its facts."""
    import numpy as np

    names = score_order.scores(EVERY)
    draw = np.random.default_rng(0)
    cells = [("dense", 0.0), *((m, s) for m in methods for s in sparsities)]
    records = []
    for place, (method, sparsity) in enumerate(cells):
        for score in names:
            sign = -1.0 if score.higher_is_better else 1.0
            for seed in range(seeds):
                level = 0.7 if score.high == 1.0 else 1.0
                lost = 0.0 if method == "dense" else sign * (0.02 * (place % 3) + 0.1 * sparsity**6)
                value = level + lost + 0.01 * draw.standard_normal()
                if score.name == "mce" and method == "dense":
                    value = 1.0
                variants = {"bin_accuracy": BINS, "bin_confidence": BINS, "corruption_error": ("", *KINDS)}
                for variant in variants.get(score.name, ("",)):
                    records.append((method, sparsity, seed, score, variant, value))
    asked = request_record.RequestRecord(
        task, tuple(methods), tuple(sparsities), tuple(range(seeds)), EVERY, budget
    )
    environment = {"device": "cpu", "threads": 1, "torch": "2", "numpy": "2", "python": "3", "lthbench": "0"}
    made_facts = facts(seeds, task, budget)
    budget_facts = {"about": "a", "source": "b", "rewind_epoch": 1, "evaluate": {"severities": [1, 2]}}
    made_facts = dataclasses.replace(
        made_facts,
        command=asked.command(),
        requests=(asked,),
        methods=tuple(methods),
        aspects=tuple(score_order.aspects(EVERY)),
        scores=run_facts.score_facts(EVERY),
        budget=made_facts.budget | budget_facts,
        environments=(environment,),
        networks=tuple(
            run_facts.NetworkFacts(m, float(s), seed, f"{m}{s}{seed}", None, f"train({m})")
            for m, s in cells
            for seed in range(seeds)
        ),
    )
    columns = list(zip(*records, strict=True))
    scores_ = columns[3]
    made = pd.DataFrame(
        {
            "task": task,
            "method": columns[0],
            "sparsity": columns[1],
            "seed": columns[2],
            "budget": budget,
            "metric": "m",
            "score": [s.name for s in scores_],
            "variant": columns[4],
            "value": columns[5],
            "se": 0.01,
            "diff_se": 0.004,
            "mean_diff_se": 0.003,
            "n": 500,
            "unit": [s.unit for s in scores_],
            "direction": ["higher" if s.higher_is_better else "lower" for s in scores_],
            "group": [s.group for s in scores_],
            "status": "ok",
            "reason": "",
            "step": [f"{m}{s}{seed}" for m, s, seed in zip(*columns[:3], strict=True)],
            "parent": "p",
            "forwards": 1,
        },
        columns=list(table.COLUMNS),
    ).astype(table.COLUMNS)
    return made, made_facts


BINS = tuple(f"{b / 15:.3f}-{(b + 1) / 15:.3f}" for b in range(8, 15))
