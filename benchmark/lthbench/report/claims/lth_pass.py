"""How far winning tickets hold: the numbers that Chen et al. (TMLR 2022) print, task by task.

The paper prints, for each data set and network, the largest sparsity at which iterative magnitude pruning
still matches dense: of several scores the smallest and the largest such sparsity. "Agrees" means within one
round of pruning at both ends; a table that ends before the published sparsity, still matching, cannot say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lthbench import formatting
from lthbench.report.claims.base import CHEN, NOT_MEASURED, Claim, Shown, near, paper_verdict, rounds
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

GENERALIZATION = ("accuracy", "mce", "fgsm_accuracy", "ood_auroc")
UNCERTAINTY = ("ece", "nll")


def _range(scores: tuple[str, ...], low: float, high: float) -> Callable[[Summary], Shown]:
    """The smallest and largest extreme of these scores against the published ones."""

    def check(summary: Summary) -> Shown:
        found = paper_verdict(summary)
        if found is None or found.undecided or not set(scores) <= set(found.extremes):
            return NOT_MEASURED
        known = {s: found.extremes[s] for s in scores}
        never = tuple(s for s, extreme in known.items() if extreme is None)
        if never:
            return f"{summary.titles(never)} at no sparsity", "differs"
        ends = [e for e in known.values() if e is not None]
        shown = ", ".join(f"{summary.title_of(s)} {formatting.sparsity(e)}" for s, e in known.items())
        return shown, _finding(found, (min(ends), low), (max(ends), high))

    return check


def _each(published: Mapping[str, float]) -> Callable[[Summary], Shown]:
    """The extreme of each score against its own published one."""

    def check(summary: Summary) -> Shown:
        found = paper_verdict(summary)
        if found is None or found.undecided:
            return NOT_MEASURED
        there = [s for s in published if s in found.extremes]
        if not there:
            return NOT_MEASURED
        pairs = [(found.extremes[s] or 0.0, published[s]) for s in there]
        shown = ", ".join(f"{summary.title_of(s)} {formatting.sparsity(found.extremes[s])}" for s in there)
        return shown, _finding(found, *pairs)

    return check


def _pass(published: float) -> Callable[[Summary], Shown]:
    """The smallest of all extremes: the paper's LTH-PASS."""

    def check(summary: Summary) -> Shown:
        found = paper_verdict(summary)
        if found is None or found.undecided:
            return NOT_MEASURED
        if found.paper_pass is None:
            never = tuple(s for s, extreme in found.extremes.items() if extreme is None)
            return f"at no sparsity: {summary.titles(never)} never match", "differs"
        shown = f"{formatting.sparsity(found.paper_pass)}, held back by {summary.titles(found.binding)}"
        return shown, _finding(found, (found.paper_pass, published))

    return check


def _finding(found: Verdict, *pairs: tuple[float, float]) -> str:
    """From pairs of a sparsity found and the published one."""
    highest = found.sparsities[-1]
    if all(near(own, published) for own, published in pairs):
        return "agrees"
    # A table that ends too early may differ only where it falls short before its end.
    cut = [own == highest and rounds(published) > rounds(highest) for own, published in pairs]
    rest = [near(own, published) for (own, published), ends in zip(pairs, cut, strict=True) if not ends]
    return "not measured" if any(cut) and all(rest) else "differs"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.2f} %" if low == high else f"{100 * low:.2f} to {100 * high:.2f} %"


def _about(task: str, named: str, kind: str, scores: tuple[str, ...], low: float, high: float) -> Claim:
    text = f"On {named}, tickets match dense in {kind} up to {_span(low, high)}."
    return Claim(text, f"{CHEN}, section 4", _range(scores, low, high), (task,))


#: Task, what it is called, and the published ranges: generalization, then uncertainty.
_PUBLISHED = (
    ("c10-r20s", "CIFAR-10 with ResNet-20s", (0.8322, 0.8658), (0.8926, 0.8926)),
    ("c10-r18", "CIFAR-10 with ResNet-18", (0.9313, 0.9820), (0.9648, 0.9775)),
    ("c10-wrn28-10", "CIFAR-10 with WRN-28-10", (0.9450, 0.9953), (0.9953, 0.9953)),
    ("c100-r20s", "CIFAR-100 with ResNet-20s", (0.6723, 0.8322), (0.4880, 0.4880)),
    ("c100-r18", "CIFAR-100 with ResNet-18", (0.9313, 0.9775), (0.9313, 0.9313)),
    ("c100-wrn28-10", "CIFAR-100 with WRN-28-10", (0.9820, 0.9908), (0.9820, 0.9820)),
    # The paper prints 73.09 %, which is not on its grid; 73.79 % is.
    ("img-r50", "ImageNet with ResNet-50", (0.5904, 0.8926), (0.4880, 0.7379)),
)
_VGG = (
    (
        "c10-vgg11",
        "CIFAR-10",
        {
            **{"accuracy": 0.9820, "mce": 0.9648, "fgsm_accuracy": 0.9820, "ood_auroc": 0.9820},
            **{"ece": 0.9820, "nll": 0.9820, "hessian_trace": 0.9820},
        },
        0.9648,
    ),
    (
        "c100-vgg11",
        "CIFAR-100",
        {
            **{"accuracy": 0.9648, "mce": 0.8926, "fgsm_accuracy": 0.9648, "ood_auroc": 0.9560},
            **{"ece": 0.8658, "nll": 0.9450, "hessian_trace": 0.9313},
        },
        0.8658,
    ),
)

CLAIMS = (
    *(
        _about(task, named, kind, scores, *span)
        for task, named, generalization, uncertainty in _PUBLISHED
        for kind, scores, span in (
            (
                "accuracy, under corruption and attack and in detecting out-of-distribution images",
                GENERALIZATION,
                generalization,
            ),
            ("ECE and NLL", UNCERTAINTY, uncertainty),
        )
    ),
    *(
        Claim(
            f"On {named} with VGG-11, score by score: "
            + ", ".join(f"{s} {100 * e:.2f} %" for s, e in extremes.items())
            + ".",
            f"{CHEN}, section 4",
            _each(extremes),
            (task,),
        )
        for task, named, extremes, _ in _VGG
    ),
    *(
        Claim(
            f"On {named} with VGG-11, tickets match dense on everything up to {100 * level:.2f} %.",
            f"{CHEN}, section 4",
            _pass(level),
            (task,),
        )
        for task, named, _, level in _VGG
    ),
)
