"""How far winning tickets hold: the numbers that Chen et al. (TMLR 2022) print, task by task.

The paper prints, for each data set and network, the largest sparsity at which iterative magnitude pruning
still matches dense: of several scores the smallest and the largest such sparsity. "Agrees" means within one
round of pruning at both ends, "differs" that the verdict shows a score to be worse up to the published
sparsity, or to match beyond it; a table that ends before, still matching, cannot say. As any sparsity up to
the published one may show it, a score is worse there by Bonferroni over these, besides what is corrected over
the scores of a network.
The paper's LTH-PASS asks for nine scores: raw LIME fidelity and stability, not the scale-free ones that the
verdict here asks for, and none of saliency maps or concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report.claims.base import (
    CHEN,
    NOT_MEASURED,
    TICKETS,
    Claim,
    Interval,
    Shown,
    by_finding,
    difference,
    falls_short,
    near,
    paper_verdict,
    rounds,
    sound,
)
from lthbench.report.summary import Summary
from lthbench.verdict.rules import HEADLINE, Match, Verdict

GENERALIZATION = ("accuracy", "mce", "fgsm_accuracy", "ood_auroc")
UNCERTAINTY = ("ece", "nll")
#: Scores of the paper that the verdict here does not ask for; of both, less is better.
LINEAR = ("lime_fidelity", "lime_stability")
#: All that the paper's LTH-PASS asks for (section 3).
NINE = (*GENERALIZATION, *UNCERTAINTY, *LINEAR, "hessian_trace")


def _extremes(summary: Summary) -> tuple[Verdict | None, dict[str, float | None]]:
    """The verdict by the rule of the paper, and the largest sparsity that matches, for each of the nine that
    was measured; nothing where it cannot be given.
    """
    found = paper_verdict(summary)
    if found is None or found.undecided:
        return None, {}
    known = {s: found.extremes[s] for s in NINE if s in found.extremes}
    for score in LINEAR:
        dense = sound(summary, "dense", 0.0, score)
        means = {s: c.mean for s in found.sparsities if (c := sound(summary, TICKETS, s, score))}
        if dense is not None and means:
            known[score] = max((s for s, m in means.items() if m <= dense.mean), default=None)
    return found, known


def _range(scores: tuple[str, ...], low: float, high: float) -> Callable[[Summary], Shown]:
    """The smallest and largest extreme of these scores against the published ones."""

    def check(summary: Summary) -> Shown:
        found, extremes = _extremes(summary)
        if found is None or not set(scores) <= set(extremes):
            return NOT_MEASURED
        known = {s: extremes[s] for s in scores}
        ends = _End.of(known, min, low), _End.of(known, max, high)
        return _shown(summary, found, known), _finding(summary, found, _parts(found, known, high), *ends)

    return check


def _each(published: Mapping[str, tuple[float, float]]) -> Callable[[Summary], Shown]:
    """Whether the extreme of each score lies in its published range, give or take a round."""

    def check(summary: Summary) -> Shown:
        found, extremes = _extremes(summary)
        known = {s: extremes[s] for s in published if s in extremes}
        if found is None or not known:
            return NOT_MEASURED
        ends = [_End(e, min(max(e or 0.0, published[s][0]), published[s][1]), (s,)) for s, e in known.items()]
        parts = _parts(found, known, max(published[s][1] for s in known))
        return _shown(summary, found, known), _finding(summary, found, parts, *ends)

    return check


def _pass(published: float) -> Callable[[Summary], Shown]:
    """The smallest extreme of the paper's nine scores: its LTH-PASS."""

    def check(summary: Summary) -> Shown:
        found, extremes = _extremes(summary)
        if found is None or not extremes:
            return NOT_MEASURED
        least = _End.of(extremes, min, published)
        finding = _finding(summary, found, _parts(found, extremes, published), least)
        if least.own is None:
            return _shown(summary, found, dict.fromkeys(least.scores)), finding
        shown = f"{formatting.sparsity(least.own)}, held back by {summary.titles(least.scores)}"
        missing = tuple(s for s in NINE if s not in extremes)
        if not missing:
            return shown, finding
        # A score that was not measured can only lower the least extreme.
        short = finding == "differs" and least.own < published
        return (
            f"{shown}; not measured: {formatting.listed(list(missing))}",
            "differs" if short else "not measured",
        )

    return check


@dataclass(frozen=True)
class _End:
    """A sparsity found (None: at none that was measured), the published one, and the scores that it is of."""

    own: float | None
    published: float
    scores: tuple[str, ...]

    @classmethod
    def of(cls, extremes: Mapping[str, float | None], end: Callable[..., float], published: float) -> _End:
        """The smallest or largest extreme of several scores."""
        least = end((e if e is not None else -1.0) for e in extremes.values())
        own = None if least < 0.0 else least
        return cls(own, published, tuple(s for s, e in extremes.items() if e == own))


def _shown(summary: Summary, found: Verdict, extremes: Mapping[str, float | None]) -> str:
    """Up to where each score matches by the paper's rule; of one that never does, what is found where."""
    parts = []
    for score, extreme in extremes.items():
        title = summary.title_of(score)
        if extreme is not None:
            parts.append(f"{title} {formatting.sparsity(extreme)}")
            continue
        stands = [(s, _stands(summary, score, s)) for s in found.sparsities]
        parts.append(f"{title} at no sparsity by the paper's rule ({by_finding(stands)})")
    return ", ".join(parts)


def _stands(summary: Summary, score: str, level: float) -> str:
    """What is found of a score of tickets; of one that no verdict asks for, by its interval over seeds."""
    match = _judged(summary, score, level)
    if match is not None:
        return match.finding
    gap = _gap(summary, score, level)
    return "open" if gap is None else "worse" if gap.low > 0.0 else "matches" if gap.high <= 0.0 else "open"


def _judged(summary: Summary, score: str, level: float) -> Match | None:
    """What the verdict finds of a score of tickets; None for one that it does not ask for."""
    results = (v for v in summary.verdicts.get(HEADLINE, ()) if v.method == TICKETS)
    return next((m for v in results for m in v.at(level) if m.score == score), None)


def _gap(summary: Summary, score: str, level: float) -> Interval | None:
    """By how much one of the other scores is above dense; None for one of the verdict, or not measured."""
    if score not in LINEAR:
        return None
    return difference(sound(summary, TICKETS, level, score), sound(summary, "dense", 0.0, score))


def _short(summary: Summary, score: str, level: float, parts: int) -> bool:
    """Whether a score of tickets is shown to be worse, as one of so many tests of which any may decide."""
    match, gap = _judged(summary, score, level), _gap(summary, score, level)
    if match is not None:
        return falls_short(match, parts)
    return gap is not None and gap.of(parts).low > 0.0


def _parts(found: Verdict, scores: Collection[str], most: float) -> int:
    """How many tests may show that scores do not match up to a sparsity, ``most``.

    At each sparsity there are one for all scores of the verdict together, and one for each other score.
    """
    families = {score if score in LINEAR else "" for score in scores}
    return max(1, len(families) * len(_up_to(found, most)))


def _up_to(found: Verdict, most: float) -> list[float]:
    """The sparsities of the table up to a published one."""
    return [s for s in found.sparsities if rounds(s) <= rounds(most) + 0.01]


def _finding(summary: Summary, found: Verdict, parts: int, *ends: _End) -> str:
    """What all of these ends say together: one that surely differs decides, then one that is open.

    ``parts`` are the tests of all ends of which any may show that one differs.
    """
    told = [_told(summary, found, end, parts) for end in ends]
    return next(f for f in ("differs", "cannot say", "not measured", "agrees") if f in told)


def _told(summary: Summary, found: Verdict, end: _End, parts: int) -> str:
    """Whether a sparsity found is near the published one, or is shown to be another.

    It is shown where a score is worse at a sparsity up to the published one, by Bonferroni over so many
    ``parts``, or matches beyond it.
    """
    if end.own is not None and near(end.own, end.published):
        return "agrees"
    levels = found.sparsities
    if end.own == levels[-1] and rounds(end.published) > rounds(levels[-1]):
        return "not measured"  # still matching where the table ends
    if end.own is None or end.own < end.published:
        before = [s for s in _up_to(found, end.published) if s > (end.own or 0.0)]
        sure = any(_short(summary, score, s, parts) for score in end.scores for s in before)
    else:
        sure = all(_stands(summary, score, end.own) in ("better", "matches") for score in end.scores)
    return "differs" if sure else "cannot say"


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
            **{"lime_fidelity": 0.9820, "lime_stability": 0.9820},
        },
        0.9648,
    ),
    (
        "c100-vgg11",
        "CIFAR-100",
        {
            **{"accuracy": 0.9648, "mce": 0.8926, "fgsm_accuracy": 0.9648, "ood_auroc": 0.9560},
            **{"ece": 0.8658, "nll": 0.9450, "hessian_trace": 0.9313},
            **{"lime_fidelity": 0.9141, "lime_stability": 0.9648},
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
            f"On {named}, tickets match dense in {kind} up to a sparsity in {_span(*span)}.",
            f"{CHEN}, {section}",
            _each(dict.fromkeys(scores, span)),
            (task,),
        )
        for task, named, *_ in _PUBLISHED
        for span in [(0.4880, 0.9313) if task == "img-r50" else (0.20, 0.9953)]
        for kind, section, scores in (
            ("raw LIME fidelity and stability", "section 4.3", LINEAR),
            ("the Hessian trace", "section 4.4", ("hessian_trace",)),
        )
    ),
    *(
        Claim(
            f"On {named} with VGG-11, score by score: "
            + ", ".join(f"{s} {100 * e:.2f} %" for s, e in extremes.items())
            + ".",
            f"{CHEN}, section 4",
            _each({s: (e, e) for s, e in extremes.items()}),
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
