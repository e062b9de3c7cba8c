"""The answer of a table: which method gets furthest, how far, and what breaks first.

One function for pages, Markdown, LaTeX and the shell. A sentence has twenty words at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lthbench import formatting
from lthbench.report import findings
from lthbench.report.summary import Summary
from lthbench.verdict import explanation
from lthbench.verdict.rules import SHORT, Match, Verdict

#: So many methods are named; of more it is said how many they are.
METHODS = 3
#: What stands for how far where no sparsity is shown to do, and where nothing can be said.
NOT_SHOWN, NONE = "not shown", "–"
#: What stands for how far where all are shown to be worse at the lowest sparsity that was measured.
NOWHERE = "no sparsity"
#: What stands for the furthest method where no method can be judged.
NO_VERDICT = "no verdict"
#: What is said of scores of a network that falls short and are not worse themselves.
LEFT = {"gated": "gated", "failed": "not measured", "open": "open", "undecided": "without a comparison"}
#: How one method, and several, stand that do not pass: see ``verdict.explanation.standing``.
STANDS = {
    "short": ("falls short", "fall short"),
    "open": ("is open", "are open"),
    "failed": ("lacks scores", "lack scores"),
    "undecided": ("has no verdict", "have no verdict"),
}

#: So many losses within the margin are named of a network.
LOSSES = 3
#: A sentence has so many words at most.
WORDS = 20


def words(text: str) -> int:
    """How many words: a number and its sign of per cent are one."""
    return len(text.replace("\u00a0", " ").replace(" %", "%").split())


@dataclass(frozen=True)
class Answer:
    """Three facts of a few words, and the same in one or two sentences.

    ``so_far`` says what of the table is there, where it is not finished.
    """

    furthest: str
    up_to: str
    breaks: str
    said: str
    so_far: str = ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Each fact behind what it is called."""
        return (
            ("goes furthest", self.furthest),
            ("holds up to", self.up_to),
            ("breaks first", self.breaks),
        )

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The same, with what of the table is there, where it is not finished."""
        return (*((("not finished", self.so_far),) if self.so_far else ()), *self.facts)


def of_table(summary: Summary) -> Answer:
    """What a table answers, by the rule that heads its report."""
    found = _of_what_is_there(summary)
    if summary.so_far is None:
        return found
    return replace(found, said=f"{found.said} This table is not finished.", so_far=summary.so_far.text)


def _of_what_is_there(summary: Summary) -> Answer:
    results = [r for r in summary.headline if not r.undecided]
    if not results:
        reasons = list(dict.fromkeys(r.undecided for r in summary.headline))
        said = f"No verdict: {reasons[0]}." if reasons else "No pruned network was measured."
        return Answer(NO_VERDICT, NONE, NONE, said)
    best = [r for r in results if r.joint is not None and all((o.joint or 0.0) <= r.joint for o in results)]
    if not best:
        return _none_passes(summary, results)
    found = _passing(summary, results, best)
    if not summary.lacking:
        return found
    measured = len(summary.facts.aspects)
    of = f"{measured} of {measured + len(summary.lacking)} scores"
    return replace(found, up_to=f"{found.up_to} (on {of})", said=f"{found.said} That is on {of} alone.")


def _passing(summary: Summary, results: list[Verdict], best: list[Verdict]) -> Answer:
    """The answer where these methods pass and get furthest."""
    furthest = best[0].joint
    up_to = formatting.sparsity(furthest) if furthest else "nothing removed"
    if furthest and all(furthest >= r.sparsities[-1] for r in results):
        up_to += ", the highest measured"
    elif furthest and (stopped := [r.method for r in best if furthest >= r.sparsities[-1]]):
        if len(stopped) == len(best):
            up_to += ", measured no further"  # where others were
        else:
            whose = stopped[0] if len(stopped) == 1 else f"{len(stopped)} of these"
            up_to += f" ({whose}: measured no further)"
    names = formatting.listed([r.method for r in best])
    if len(best) > METHODS:
        names = f"{len(best)} of {len(results)} methods"
    others = [r for r in results if r not in best]
    breaks = _breaks(summary, best, "") or _breaks(summary, others, "of the others, ") or findings.NOTHING
    how_far = f"as good as dense{f' up to {up_to}' if furthest else ', nothing removed'}"
    if len(results) == 1:
        said = f"{names} is {how_far}. {_first(breaks)}."
        return Answer(f"{names}; nothing else was measured", up_to, breaks, said)
    goes = "goes" if len(best) == 1 else "go"
    return Answer(names, up_to, breaks, f"{names} {goes} furthest: {how_far}. {_first(breaks)}.")


def _first(breaks: str) -> str:
    return f"What breaks first: {breaks}"


def _breaks(summary: Summary, results: list[Verdict], others: str) -> str:
    """What breaks first of these methods, of several in how many; "" where nothing does for sure."""
    found = [(r, at) for r in results if (at := findings.first_break(r)) is not None]
    if not found:
        return ""
    if len(results) == 1:
        (one,) = results
        return f"{findings.broken(summary, one)}{f' ({one.method})' if others else ''}"
    methods: dict[str, list[str]] = {}
    for result, at in found:
        for score in at.scores:
            methods.setdefault(score, []).append(result.method)
    most = max(len(names) for names in methods.values())
    scores = tuple(s for s, names in methods.items() if len(names) == most)
    # The same methods, or as many others.
    each = "" if all(methods[s] == methods[scores[0]] for s in scores) else "each "
    whom = f"{len(results)}" if others else f"{len(results)} methods"
    return f"{others}{findings.named(summary, scores)} ({each}{most} of {whom})"


def _none_passes(summary: Summary, results: list[Verdict]) -> Answer:
    """The answer where no method is shown to be as good as dense."""
    breaks = _breaks(summary, results, "") or findings.NOTHING
    worse = all(any(m.finding in SHORT for m in r.at(r.sparsities[0])) for r in results)
    none, up_to = ("none", NOWHERE) if worse else ("none yet", NOT_SHOWN)
    if len(results) == 1:
        (one,) = results
        said = f"{one.method} is not shown to be as good as dense{_anywhere(one)}. {_first(breaks)}."
        return Answer(f"{none}; only {one.method} was measured", up_to, breaks, said)
    names, most, of = _closest(results)
    comes = f"{names} {'comes' if ' and ' not in names else 'come'} closest"
    close = f"; {comes}, in {most} of {of} comparisons" if names else ""
    said = f"No method is shown to be as good as dense{close}. {_lowest(summary, results)}."
    return Answer(f"{none}{close}", up_to, breaks, said)


def _anywhere(result: Verdict) -> str:
    """At which sparsities a method that does not pass is not shown to match."""
    lowest = result.sparsities[0]
    if result.sparsities == (0.0,):
        return ", though nothing was removed"
    beyond = len(result.sparsities) > 1
    if any(all(m.matches for m in result.at(s)) for s in result.sparsities):
        beyond = False
    return f" at {formatting.sparsity(lowest)}{' or beyond' if beyond else ''}"


def _closest(results: list[Verdict]) -> tuple[str, int, int]:
    """Which of several methods that do not pass match in most cases, over scores and sparsities; how many.

    Where some are only open at the lowest sparsity, it is one of these. Of several that match in as many, it
    is the one that is worse in fewer, then the one that is better in more. "" where that says little.
    """

    def rank(result: Verdict) -> tuple[float, float, float]:
        asked = max(len(result.matches), 1)  # of some methods fewer sparsities were measured
        matching = sum(m.matches is True for m in result.matches)
        short = sum(m.finding in SHORT for m in result.matches)
        return matching / asked, -short / asked, sum(m.finding == "better" for m in result.matches) / asked

    still = [r for r in results if explanation.only_open(r.at(r.sparsities[0]))] or results
    first = max(still, key=rank)
    best = [r.method for r in still if rank(r) == rank(first)]
    most, asked = sum(m.matches is True for m in first.matches), len(first.matches)
    says = 2 * most > asked and len(best) <= METHODS and len(best) < len(results)
    return (formatting.listed(best) if says else ""), most, asked


def _lowest(summary: Summary, results: list[Verdict]) -> str:
    """Of methods of which none passes: which fall short at the lowest sparsity, and which do not, and why."""
    stands: dict[str, list[str]] = {standing: [] for standing in STANDS}
    for result in results:
        stands[explanation.standing(result.at(result.sparsities[0]))].append(result.method)
    groups = [names for names in stands.values() if names]
    parts = [
        f"{_some(names, groups)} {STANDS[standing][len(names) > 1]}"
        for standing, names in stands.items()
        if names
    ]
    if short := stands["short"]:
        counts = Counter(m.score for r in results for m in r.at(r.sparsities[0]) if m.finding in SHORT)
        most = max(counts, key=lambda s: counts[s])
        what = f", most often in {summary.title_of(most)}"
        if len(short) == 1:
            what = f" in {findings.named(summary, tuple(counts))}"
        parts[0] += what
    said = "; ".join(parts)
    if all(r.sparsities == (0.0,) for r in results):
        return f"Though nothing was removed, {said}"
    lowest = {r.sparsities[0] for r in results}
    if len(lowest) > 1:
        return f"At the lowest sparsity of each, {said}"
    return f"Already at {formatting.sparsity(lowest.pop())}, {said}"


def _some(names: list[str], groups: list[list[str]]) -> str:
    """Names of a few methods, or how many there are, where that would be long or there are other groups."""
    if len(names) == 1 or (len(names) <= METHODS and len(groups) == 1):
        return formatting.listed(names)
    return f"{len(names)} methods" if names is groups[0] else str(len(names))


def of_network(summary: Summary, matches: Sequence[Match]) -> str:
    """The verdict on one network in a sentence of at most twenty words."""
    trainings = any(m.reference == "trainings" for m in matches)
    like = "another training of the dense network" if trainings else "dense"
    found = Counter(m.finding for m in matches)
    scores = formatting.counted(len(matches), "score", "scores")
    if not matches or explanation.no_verdict(matches):
        some = f"{found['undecided']} of {scores}" if matches else "it"
        return f"No verdict{' yet' if summary.so_far else ''}: {some} cannot be compared with dense."
    if all(m.matches for m in matches):
        better = f", and better on {found['better']}" if found["better"] else ""
        which = f"all {scores}" if len(matches) > 1 else summary.title_of(matches[0].score)
        if summary.lacking:
            every = len(matches) + len(summary.lacking)
            one = which if len(matches) == 1 else f"the {scores} measured"
            said = f"As good as {like} on {one}, of {every}"
            return _fitting(f"{said} for LTH-PASS{better}.", f"{said}{better}.")
        return f"LTH-PASS: as good as {like} on {which}{better}."
    still = [summary.title_of(m.score) for m in matches if m.finding == "open"]
    if explanation.only_open(matches):
        hold = len(matches) - len(still)
        better = f" ({found['better']} better)" if found["better"] else ""
        which = "the other is" if hold == 1 else f"the other {hold} are"
        rest = [f"; {which} as good as {dense}{better}." if hold else "." for dense in (like, "dense")]
        named = [f"Open: {formatting.listed(still)}{one}" for one in rest if len(still) <= findings.FEW]
        return _fitting(*named, *(f"Open: {len(still)} of {scores}{one}" for one in rest))
    parts = []
    if found["degenerate"]:
        parts.append("it is degenerate")
    worse = [m for m in matches if m.finding == "worse"]
    if worse:
        more = f"; {formatting.counted(len(worse) - 1, 'more is', 'more are')} worse" if worse[1:] else ""
        parts.append(f"{_worse(summary, worse[0])}{more}")
    for finding, what in LEFT.items():
        if found[finding]:
            parts.append(f"{found[finding]} of {scores} {'is' if found[finding] == 1 else 'are'} {what}")
            scores = str(len(matches))
    said = f"Not LTH-PASS: {'; '.join(parts)}"
    why = said.replace(" gated", " gated (accuracy too low)")
    better = (
        f"; {found['better']} {'is' if found['better'] == 1 else 'are'} better" if found["better"] else ""
    )
    return _fitting(f"{why}{better}.", f"{said}{better}.", f"{why}.", f"{said}.")


def _fitting(*said: str) -> str:
    """The first of these that is short enough, or the last."""
    return next((one for one in said if words(one) <= WORDS), said[-1])


def losses(summary: Summary, matches: Sequence[Match]) -> str:
    """The surest losses of one network within the margins, three at most; "" where there are none.

    They match, and a bound of 95 % for this score alone has them worse than dense.
    """
    found = sorted((m for m in matches if m.matches and m.lower > 0.0), key=lambda m: m.p_worse)
    parts: list[str] = []
    for match in found:
        unit = summary.unit_of(match.score)
        mean, low, high = (
            formatting.difference(value, unit, relative=match.relative)
            for value in (match.shortfall, match.lower, match.bound)
        )
        points = formatting.points(unit, relative=match.relative)
        span = f"{low.removesuffix(' %')} to {high}"
        if any(digit in low for digit in "123456789"):  # else it would read as if it might be none
            parts.append(f"{summary.title_of(match.score)} {mean}{points} worse ({span})")
    said = ", ".join(parts[:LOSSES])
    return f"Surest losses, within the margin: {said}; each end by itself at 95 %." if parts else ""


def _worse(summary: Summary, match: Match) -> str:
    """How much worse a score is: in points, in per cent of dense, or in its unit."""
    shown = summary.by_name.get(match.score)
    unit = shown.unit if shown else ""
    way = "lower" if shown is None or shown.higher_is_better else "higher"
    amount = formatting.difference(match.shortfall, unit, relative=match.relative)
    points = formatting.points(unit, relative=match.relative)
    title = summary.title_of(match.score)
    # A single network may be worse for sure though no number says by how much.
    return f"{title} is {amount}{points} {way}" if match.shortfall > 0 else f"{title} is worse"
