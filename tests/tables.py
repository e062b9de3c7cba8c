"""Score tables made by hand, for the tests of what reads them."""

import dataclasses
import math

import pandas as pd

from lthbench import table

METRICS = ("accuracy", "nll")


def rows(method, sparsity, score, values, step="", **more):
    """One row a seed; ``more`` replaces facts of a row."""
    fact = next(s for s in table.scores(METRICS) if s.name == score)
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
    return {
        "schema": table.SCHEMA,
        "command": "lthbench run made",
        "task": {"name": task, "title": "A made task", "about": ""},
        "budget": {"name": budget, "train": {"epochs": 2}},
        "methods": ["dense", "m"],
        "sparsities": [0.5],
        "seeds": list(range(seeds)),
        "data": [{"name": "digits", "version": 1, "digest": "ab"}],
        "environments": [{"torch": "2.0", "device": "cpu"}],
        "aspects": [dataclasses.asdict(a) for a in table.aspects(METRICS)],
        "scores": [table._finite(dataclasses.asdict(s)) for s in table.scores(METRICS)],
        "masks": {},
        "networks": {},
        "seconds": {},
    } | more
