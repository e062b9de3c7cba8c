"""Calibrations and tables made by drawing, for the tests of what reads them."""

import math

import numpy as np
import pandas as pd

from lthbench.verdict.aspect import Aspect
from lthbench.verdict.calibrating import calibrate

ACCURACY = Aspect("accuracy", "accuracy", True, slack=0.01, margin=0.01)
NLL = Aspect("nll", "NLL", False, margin=0.1, relative_margin=True)
MCE = Aspect("mce", "mCE", False, spread_of="corruption_error", margin=0.05)
ASPECTS = (ACCURACY, NLL, MCE)
KEYS = {a.score: f"key of {a.score}" for a in ASPECTS}
KINDS = ("blur", "noise")


def drawn(count, rng, *, lost=0.0, widened=1.0):
    """Scores of networks of so many seeds: accuracy about .9 with deviation .004, NLL log-normal, errors."""
    wide = rng.standard_normal((count, 4)) * widened
    return [
        {
            "accuracy": 0.9 - lost + 0.004 * row[0],
            "nll": 0.3 * math.exp(0.2 * row[1]),
            "blur": 0.1 * math.exp(0.1 * row[2]),
            "noise": 0.3 * math.exp(0.1 * row[3]),
        }
        for row in wide
    ]


def rows(method, sparsity, networks, seeds=None, error=0.0):
    """The rows of a table; ``networks`` as ``drawn``; ``error`` over images, of each seed's own."""
    parents = [n.get("parent", n) for n in networks]
    found = []
    for seed, network, parent in zip(seeds or range(len(networks)), networks, parents, strict=False):
        common = {"method": method, "sparsity": sparsity, "seed": seed, "status": "ok", "reason": ""}
        ratio = sum(network[k] / parent[k] for k in KINDS) / len(KINDS)
        for score, value in (("accuracy", network["accuracy"]), ("nll", network["nll"]), ("mce", ratio)):
            errors = {"diff_se": error, "mean_diff_se": error / math.sqrt(len(networks))}
            errors = dict.fromkeys(errors, math.nan) if method == "dense" else errors
            found.append({**common, "score": score, "variant": "", "value": value, **errors})
        for kind in KINDS:
            found.append({**common, "score": "corruption_error", "variant": kind, "value": network[kind]})
    return found


def table(dense, judged, sparsity=0.5):
    """A table of dense networks and of one method; mCE is relative to the dense network of the seed."""
    paired = [{**n, "parent": d} for n, d in zip(judged, dense, strict=True)]
    return pd.DataFrame(rows("dense", 0.0, dense) + rows("m", sparsity, paired))


def calibration(count=40, seed=0):
    """A calibration of so many dense networks."""
    networks = drawn(count, np.random.default_rng([seed, 1]))
    frame = pd.DataFrame(rows("dense", 0.0, networks, seeds=range(1000, 1000 + count)))
    return calibrate(frame, ASPECTS, KEYS, {"accuracy": 0.003}, "made", "quick", "lthbench run made")
