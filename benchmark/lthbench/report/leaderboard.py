"""The leaderboard: methods by scores, each cell the largest sparsity up to which that score holds.

"Up to" is a fixed sequence: from the lowest sparsity on, stopped at the first one at which the score is not
shown to match. The last column asks for all scores at once. Pure functions of a summary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report import cells, costs, findings, heads, network_page
from lthbench.report.families import family
from lthbench.report.figures.files import as_csv as rows_as_csv
from lthbench.report.summary import Summary, Tables, trainings_named
from lthbench.verdict import rules
from lthbench.verdict.rules import Match, Verdict


@dataclass(frozen=True)
class Cell:
    """How far a score holds: ``text`` and ``order`` (a sparsity, 0 for none), ``heat`` from 0 to 5.

    ``href`` is the page of the network that decides (or ""), ``words`` its numbers.
    """

    text: str
    order: float
    heat: int
    href: str
    words: str


@dataclass(frozen=True)
class Trainings:
    """The trainings that a network took: the number, what it is sorted by, and all that is known in words."""

    text: str
    order: str
    words: str


@dataclass(frozen=True)
class Row:
    """A method: ``joint`` asks for all scores.

    ``note`` is said of one that was measured at a single sparsity, where others were at several.
    ``trainings`` is what a network took: as far as all scores hold, or where they hold nowhere, at the lowest
    sparsity.
    """

    method: str
    family: str
    colour: str
    cells: tuple[Cell, ...]
    joint: Cell
    note: str = ""
    trainings: Trainings = Trainings("–", "", "")


@dataclass(frozen=True)
class Head:
    """The head of a column: its score, a short name, title, an arrow to what is better, and that in words.

    ``margin`` is how much worse the score may be ("" by other rules), ``wide`` whether that is more than the
    practical margin: by retraining alone.
    """

    score: str
    short: str
    title: str
    arrow: str
    better: str
    margin: str
    wide: bool


@dataclass(frozen=True)
class Board:
    """The leaderboard of one task and budget.

    ``dense`` are what dense networks have, by score, in rows: the table's own under what they are called, and
    on a calibrated task the trainings that pruned networks are compared with. ``trainings`` says what these
    of a row are ("" where nothing is known of any).
    """

    heads: tuple[Head, ...]
    dense: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    families: tuple[str, ...]
    trainings: str = ""


def board(summary: Summary, root: str = "", *, linked: bool = True) -> Board | None:
    """The leaderboard of a summary; links start with ``root``. None where no pruned network was judged."""
    from lthbench.report.figures import drawing as figures

    results = [v for v in summary.headline if v.matches]
    if not results:
        return None
    scores = summary.judged
    alone = [v for v in results if len(v.sparsities) == 1 < len(summary.sparsities)]
    rows = []
    for result in results:
        rows.append(
            Row(
                result.method,
                family(result.method),
                figures.style(summary, result.method)[0],
                tuple(_cell(summary, result, [s], root, linked) for s in scores),
                _cell(summary, result, scores, root, linked),
                f"at {formatting.sparsity(result.sparsities[0])} alone" if result in alone else "",
                _cost(summary, result, scores),
            )
        )
    # No rank: the order is how far each is shown to hold, which does not tell two methods apart.
    rows.sort(key=lambda row: (row.note != "", -row.joint.order, row.joint.text != "open"))
    dense = [("dense itself", tuple(_text_of(summary.cell("dense", 0.0, s)) for s in scores))]
    if any(s in summary.trainings for s in scores):
        others = tuple(_text_of(summary.trainings.get(s)) for s in scores)
        dense = [("dense, these seeds", dense[0][1]), (trainings_named(summary), others)]
    families = tuple(dict.fromkeys(r.family for r in rows if r.family))
    known = costs.MEANING if any(row.trainings.order for row in rows) else ""
    return Board(_heads(summary, results, scores), tuple(dense), tuple(rows), families, known)


def _cost(summary: Summary, result: Verdict, scores: Sequence[str]) -> Trainings:
    last, _ = holds(result, scores)
    level = result.sparsities[0] if last is None else last
    place = (summary, result.method, level)
    words = f"{result.method} at {formatting.sparsity(level)}: {costs.words(*place)}"
    return Trainings(costs.text(*place), costs.order(*place), words)


#: The score of a row that asks for all at once.
ALL = "all"
#: What cells say that hold up to no sparsity, as programs read it.
_NOWHERE = {"open": "open", "none": "none", "–": "unknown"}
_PLACE = ("task", "budget", "folder", "seeds", "method", "trainings")
_FOUND = ("score", "title", "finding", "up_to", "decided_by")


def as_csv(pairs: Tables) -> bytes:
    """The leaderboards of a site as CSV: a row for each table, method and score, and one for all scores.

    ``finding`` is "holds" with ``up_to``, the largest sparsity up to which it does; or open, none or unknown.
    ``decided_by`` are the numbers of the network that decides, ``trainings`` what one took.
    """
    rows = []
    for summary, folder in pairs:
        made, facts = board(summary), summary.facts
        if made is None:
            continue
        names = [(ALL, "all scores at once"), *((head.score, head.title) for head in made.heads)]
        for row in made.rows:
            trainings = "" if row.trainings.text == "–" else row.trainings.text
            table = (facts.task_name, facts.budget_name, folder, len(facts.seeds))
            place = (*table, row.method, trainings)
            for name, cell in zip(names, (row.joint, *row.cells), strict=True):
                finding = _NOWHERE.get(cell.text, "holds")
                rows.append([*place, *name, finding, cell.order if finding == "holds" else "", cell.words])
    return rows_as_csv((*_PLACE, *_FOUND), rows)


def head(summary: Summary, score: str) -> str:
    """A score's short name, with an arrow to what is better."""
    return findings.pointed(summary, score, heads.column(score, summary.title_of(score)))


def _heads(summary: Summary, results: Sequence[Verdict], scores: Sequence[str]) -> tuple[Head, ...]:
    tested = {m.score: m for v in reversed(results) for m in reversed(v.matches) if not math.isnan(m.p)}
    found = []
    for score in scores:
        margin, wide = "", False
        match = tested.get(score) if summary.rule == rules.HEADLINE else None
        if match is not None:
            margin = formatting.difference(match.allowed, summary.unit_of(score), relative=match.relative)
            wide = match.allowed > match.practical * (1 + 1e-9)
        title = summary.title_of(score)
        shown = summary.by_name.get(score)
        arrow, better = (shown.arrow, shown.better) if shown else ("", "")
        found.append(Head(score, heads.column(score, title), title, arrow, better, margin, wide))
    return tuple(found)


def holds(result: Verdict, scores: Sequence[str]) -> tuple[float | None, float | None]:
    """The largest sparsity up to which all of these scores hold, and the first at which one does not."""
    last: float | None = None
    for level in result.sparsities:
        matches = [m for m in result.at(level) if m.score in scores]
        if len(matches) < len(scores) or not all(m.matches for m in matches):
            return last, level
        last = level
    return last, None


def reach(result: Verdict, scores: Sequence[str]) -> str:
    """In words: the largest sparsity up to which all of these scores hold, "open", "none" or "–"."""
    last, first_not = holds(result, scores)
    return _text(last, _worst(_against(result, scores, first_not if first_not is not None else last)))


def _against(result: Verdict, scores: Sequence[str], level: float | None) -> list[Match]:
    """What stands against these scores at a sparsity; all of them where nothing does."""
    matches = [m for m in result.at(level) if m.score in scores] if level is not None else []
    return [m for m in matches if not m.matches] or matches


def _text(last: float | None, worst: Match | None) -> str:
    none = {"open": "open", "undecided": "–", "failed": "–"}
    if last is None:
        return none.get(worst.finding if worst else "undecided", "none")
    return formatting.share(last)


def _cell(summary: Summary, result: Verdict, scores: Sequence[str], root: str, linked: bool) -> Cell:
    last, first_not = holds(result, scores)
    decides = first_not if first_not is not None else last
    against = _against(result, scores, decides)
    worst = _worst(against)
    text = _text(last, worst)
    levels = [s for s in result.sparsities if last is not None and s <= last]
    heat = -(-5 * len(levels) // max(len(result.sparsities), 1))
    words = "; ".join(findings.words(summary, m) for m in against[:4])
    more = f"; and {len(against) - 4} more" if len(against) > 4 else ""
    if worst and worst.finding == "open" and (breaks := _worse_beyond(result, scores, decides)) is not None:
        more += f"; at {formatting.sparsity(breaks)} worse than dense"
    href = f"{root}{network_page.name(result.method, decides)}" if linked and decides is not None else ""
    at = "" if decides is None else f"{result.method} at {formatting.sparsity(decides)}: "
    return Cell(text, last or 0.0, heat, href, f"{at}{words}{more}")


def _worse_beyond(result: Verdict, scores: Sequence[str], level: float | None) -> float | None:
    """The first sparsity beyond one at which a score is worse than dense."""
    beyond = [s for s in result.sparsities if level is not None and s > level]
    return next(
        (s for s in beyond if any(m.score in scores and m.finding == "worse" for m in result.at(s))), None
    )


#: Findings by how clearly they speak: what is worse before what was not measured, and that before open.
_CLEAR = ("better", "matches", "open", "undecided", "failed", "worse", "gated", "degenerate")


def _worst(matches: Sequence[Match]) -> Match | None:
    """The one that speaks most clearly against a network."""
    return max(matches, key=lambda m: _CLEAR.index(m.finding), default=None)


def _text_of(cell: cells.Cell | None) -> str:
    return cell.text if cell else "–"
