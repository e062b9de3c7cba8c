"""What a network costs: parameters, non-zeros, operations, bytes."""

from __future__ import annotations

import math

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Counted from the mask and the shapes; no image is looked at."""
    from lthbench.functional.model_size import cost

    found = cost(context.network(), context.held(), context.shape(), context.stored())
    return [Value(name, float(value), 0.0, 1) for name, value in found._asdict().items()]


def _score(name: str, title: str, unit: str) -> Score:
    return Score(name, title, unit, False, 0.0, math.inf, "efficiency")


METRIC = Metric(
    name="efficiency",
    version=1,
    title="size and cost",
    formula=(
        "parameters; those that are not pruned; the kept share of prunable weights and of all parameters; "
        "operations of a forward pass (2 for a multiply-add), dense and with pruned weights skipped; bytes: "
        "4 for each kept value, or those of a file of fewer bits and its scales; 1 bit for each prunable "
        "weight of a masked layer; buffers, such as those of normalisation, count as kept values"
    ),
    source="Chen et al. 2022, section 3 (sparsity over prunable weights); both denominators are given",
    scores=(
        _score("parameters", "parameters", "count"),
        _score("nonzeros", "parameters kept", "count"),
        _score("density_prunable", "density of prunable weights", "fraction"),
        _score("density_all", "density of all parameters", "fraction"),
        _score("flops_dense", "FLOPs, dense", "count"),
        _score("flops_sparse", "FLOPs, pruned weights skipped", "count"),
        _score("bytes", "size", "bytes"),
    ),
    needs=(),
    measure=measure,
)
