"""What networks took to find and train, in words: see ``results.training_costs``."""

from __future__ import annotations

from lthbench.report.summary import Summary

#: What the number in a column is.
MEANING = (
    "Trainings: all training that a network needs, by images shown, with one training of the dense network "
    "= 1; that of its dense parent counts where its weights are used"
)


def text(summary: Summary, method: str, sparsity: float) -> str:
    """The trainings of a network, as a number; "–" where they are not known."""
    found = summary.costs.get((method, sparsity))
    return "–" if found is None else _number(found.trainings)


def order(summary: Summary, method: str, sparsity: float) -> str:
    """What the number is sorted by; "" where it is not known."""
    found = summary.costs.get((method, sparsity))
    return "" if found is None else f"{found.trainings:.5g}"


def words(summary: Summary, method: str, sparsity: float) -> str:
    """The cost of a network in a sentence, without its end."""
    found = summary.costs.get((method, sparsity))
    if found is None:
        return "what it takes to find and train the network is not known here"
    return (
        f"to find and train the network takes {_number(found.trainings)} trainings and "
        f"{_number(found.operations)} times the operations of one dense network (masked weights are computed)"
    )


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 0.95 or not value else f"{value:.2g}"
