"""Families of methods, and the few methods that stand out in figures of many."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench import registry
from lthbench.kinds import Method
from lthbench.verdict.rules import Verdict

#: What a family of methods is called.
FAMILIES = {
    "after": "after training",
    "init": "at initialisation",
    "during": "while training",
    "structured": "structured",
    "dense": "small dense",
}
#: What a family does, as a sentence.
SAID = {
    "after": "Prunes after training.",
    "init": "Prunes at initialisation.",
    "during": "Prunes while training.",
    "structured": "Prunes whole filters, neurons or kernels.",
    "dense": "Prunes nothing: a smaller dense network.",
}
#: The lottery ticket, which all others are held beside.
TICKET = "imp"
#: So many methods can be told apart in one panel.
MOST = 7


def family(method: str) -> str:
    """What kind of method it is, in words; "" for one that is not known here."""
    record = registry.known(Method, method.partition(":")[0])
    return FAMILIES.get(record.family, record.family) if record else ""


def sentence(method: str) -> str:
    """What the family of a method does; "" for one that is not known here."""
    record = registry.known(Method, method.partition(":")[0])
    said = f"Of the family {record.family}." if record and record.family else ""
    return SAID.get(record.family, said) if record else ""


def foremost(methods: tuple[str, ...], verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Up to seven methods: imp, of each family the one that gets furthest, and then those that do next.

    Of those that get as far, the one that matches dense in more cases. They stay in their order.
    """
    if len(methods) <= MOST:
        return methods
    reach = {r.method: (r.joint or 0.0, sum(m.matches is True for m in r.matches)) for r in verdicts}
    ranked = sorted(methods, key=lambda m: reach.get(m, (0.0, 0)), reverse=True)
    first = {family(method): method for method in reversed(ranked)}  # of each family the foremost
    chosen = {TICKET} & set(methods)
    chosen.update([m for m in ranked if m in first.values() and m not in chosen][: MOST - len(chosen)])
    chosen.update([m for m in ranked if m not in chosen][: MOST - len(chosen)])
    return tuple(m for m in methods if m in chosen)
