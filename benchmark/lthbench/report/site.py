"""A site of many score tables: tasks, networks, claims and how to read them. Static, and works from disk."""

from __future__ import annotations

import dataclasses
import gzip
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lthbench import formatting, registry
from lthbench.errors import BadInput
from lthbench.files import make_folder, publish_all
from lthbench.kinds import Method, Metric
from lthbench.report import (
    answer,
    caveats,
    cells,
    claim_matrix,
    highlights,
    leaderboard,
    method_pages,
    network_page,
    picture_panels,
    task_page,
    task_texts,
    templates,
)
from lthbench.report.claims import any_task
from lthbench.report.figures import kinds
from lthbench.report.figures.files import as_csv as as_csv_file
from lthbench.report.summary import RULE_TEXT, Summary, Tables, dense_sentence
from lthbench.report.yardstick import yardstick_sentence
from lthbench.results.run_facts import ScoreFacts
from lthbench.results.table import BESIDE, SCORES, as_csv, beside
from lthbench.textfiles import encoded
from lthbench.verdict import rules
from lthbench.verdict.noninferiority import ALPHA

TITLE = "Is the pruned network still as good?"
REPOSITORY = "https://github.com/lthbench/lthbench"


def write(
    summaries: Sequence[Summary], out: Path, tell: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Write the site into a folder. Returns the paths of its pages. Raises BadInput for a table twice."""
    folders = [folder_of(s) for s in summaries]
    for place, folder in enumerate(folders):
        if folder in folders[:place]:
            task, budget = (summaries[place].facts.task_name, summaries[place].facts.budget_name)
            raise BadInput(f"two tables are of task {task} and budget {budget}; give one of them.")
    _publish(out, {f"assets/{name}": source.read_bytes() for name, source in templates.assets().items()})
    written: list[str] = []
    for summary, folder in zip(summaries, folders, strict=True):
        made = _of_task(summary, folder, tell)
        for stale in (f"{folder}/{name}" for name in (*SCORES, *BESIDE)):
            if stale not in made:
                (out / stale).unlink(missing_ok=True)  # of a table that was here before
        _publish(out, made)  # so that the figures of one table are in memory at a time
        written += made
    pairs = sorted(zip(summaries, folders, strict=True), key=lambda pair: _standing(pair[0]))
    reading = templates.render(
        "reading.html.j2",
        here="reading.html",
        rules=list(RULE_TEXT.items()),
        scores=_scores(summaries),
    )
    made = {
        "index.html": encoded(_index(summaries, pairs)),  # first: it says whose files those beside it are
        **_of_claims(pairs),
        "leaderboard.csv": leaderboard.as_csv(pairs),
        "reading.html": encoded(reading),
        "methods.html": encoded(method_pages.render(pairs)),
    }
    _publish(out, made)
    return [out / name for name in (*written, *made) if name.endswith(".html")]


def _publish(out: Path, made: Mapping[str, bytes]) -> None:
    """Write files together, by their paths below the site."""
    for folder in {(out / name).parent for name in made}:
        make_folder(folder)
    publish_all({out / name: content for name, content in made.items()})


def _of_task(summary: Summary, folder: str, tell: Callable[[str], None]) -> dict[str, bytes]:
    """The page of a table, those of its networks, and what both link to."""
    tell(f"figures of {folder}")
    figures = task_page.drawn(summary)
    made = {"index.html": encoded(task_page.render(summary, linked=True, figures=figures))}
    made |= {f"numbers-{kind.name}.csv": task_page.numbers(drawn) for kind, drawn in figures if drawn}
    for _, _, pictures in picture_panels.grouped(summary.facts.pictures):
        for picture in pictures:
            made[picture.file] = picture.content
            if picture.numbers:
                head, *rows = picture.numbers
                made[picture.table] = as_csv_file(head, rows)
    content, name = as_csv(summary.table), templates.table_name(len(summary.table))
    made[name] = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    # So that the folder can be read again. Its pictures are files already, and would be twice as large so.
    rule = "" if summary.rule == rules.HEADLINE else summary.rule
    made |= beside(dataclasses.replace(summary.facts, rule=rule, pictures=()))
    cards = network_page.Cards(summary)
    for done, network in enumerate(summary.networks, 1):
        tell(f"pages of {folder}: {done} of {len(summary.networks)}")
        made[network_page.name(*network)] = encoded(cards.render(*network))
    return {f"{folder}/{name}": content for name, content in made.items()}


def _of_claims(pairs: Tables) -> dict[str, bytes]:
    """What papers claim, as a page, CSV and Markdown."""
    claims = claim_matrix.matrix(pairs)
    page = templates.render(
        "claims.html.j2",
        here="claims.html",
        claims=claims,
        said=claim_matrix.said(claims["counts"]),
        notices=caveats.unfinished([s for s, _ in pairs]),
        elsewhere=any_task.elsewhere({s.facts.task_name for s, _ in pairs}),
    )
    return {
        "claims.html": encoded(page),
        "claims.csv": claim_matrix.as_csv(claims),
        "claims.md": claim_matrix.as_markdown(claims).encode(),
    }


def _index(summaries: Sequence[Summary], pairs: Tables) -> str:
    """The first page: the answers of all tables, what stands out, and the leaderboards."""
    told = [p for p in pairs if not _trial(p[0])] or pairs
    decided = [p for p in told if p[0].calibration is not None or any(r.joint for r in p[0].headline)]
    # What nothing is shown of yet has its leaderboard below, so that answers fit a telephone.
    rows, lines = [_answer(*p) for p in decided or told], highlights.of_site(told)
    return templates.render(
        "index.html.j2",
        here="index.html",
        title=TITLE,
        notices=caveats.of_site(summaries),
        tasks=[_task(*p) for p in pairs if not _trial(p[0])],
        trials=[_task(*p) for p in pairs if _trial(p[0])],
        answers=rows,
        waiting=[_answer(*p) for p in told if decided and p not in decided],
        highlights=lines,
        words=_words(
            told, [what for row in rows for _, what in row["facts"]] + [line.text for line in lines]
        ),
        cases=highlights.cases(told),
        repository=REPOSITORY,
    )


def in_the_way(summaries: Sequence[Summary], out: Path) -> list[Path]:
    """The files of a site, as far as others are there in their place."""
    names = [*(href for _, href in templates.NAV), "claims.csv", "claims.md", "leaderboard.csv"]
    for summary in summaries:
        names += [f"{folder_of(summary)}/{name}" for name in _names_of_task(summary)]
    assets = {out / "assets" / name: source for name, source in templates.assets().items()}
    there = [path for path in (*(out / name for name in names), *assets) if path.is_file()]
    return [p for p in there if p not in assets or p.read_bytes() != assets[p].read_bytes()]


def _names_of_task(summary: Summary) -> list[str]:
    """What the files beside the page of a table are called, whether it has all of them or not."""
    pictures = [p for _, _, found in picture_panels.grouped(summary.facts.pictures) for p in found]
    return [
        "index.html",
        "run.json",
        *SCORES,
        *BESIDE,
        *(f"numbers-{kind.name}.csv" for kind in kinds()),
        *(name for picture in pictures for name in (picture.file, picture.table)),
        *(network_page.name(*network) for network in summary.networks),
    ]


def folder_of(summary: Summary) -> str:
    """The folder of a table's pages."""
    return templates.slug(summary.facts.task_name, summary.facts.budget_name)


def _standing(summary: Summary) -> tuple[bool, int, float]:
    """What rests on the most stands first: a calibration, then seeds, then how well dense was trained."""
    accuracy = 0.0 if math.isnan(summary.dense_accuracy) else summary.dense_accuracy
    return summary.calibration is None, -len(summary.facts.seeds), -accuracy


def _trial(summary: Summary) -> bool:
    """Whether a table has one seed: what is chance cannot be told from what is not."""
    return len(summary.facts.seeds) < 2


def _answer(summary: Summary, folder: str) -> dict[str, Any]:
    """A line of the table that an index begins with: how good dense is, too, since all is held to that."""
    accuracy, scores = summary.dense_accuracy, sum(s.verdict for s in summary.scores)
    dense = "not measured" if math.isnan(accuracy) else f"{formatting.number(accuracy, 'fraction')} %"
    return {
        "href": f"{folder}/index.html#verdict",
        "title": f"{summary.facts.task_title[:1].upper()}{summary.facts.task_title[1:]}",
        "budget": summary.facts.budget_name,
        "dense": f"dense {dense}; {formatting.counted(scores, 'score', 'scores')}",
        "sure": _sure(summary),
        "facts": answer.of_table(summary).facts,
    }


def _words(pairs: Tables, said: Sequence[str]) -> str:
    """What the names of methods mean that stand in the first lines of an index."""
    there = dict.fromkeys(re.findall(r"[\w:-]+", " ".join(said)))
    known = {m: registry.known(Method, m) for s, _ in pairs for m in s.methods if m in there}
    return "; ".join(f"{name}: {record.title}" for name, record in known.items() if record is not None)


def _sure(summary: Summary) -> str:
    """What an answer rests on: seeds, the dense networks that they are compared with, and the level."""
    seeds = formatting.counted(len(summary.facts.seeds), "seed", "seeds")
    used = any(m.reference == "trainings" for m in summary.matches.values())
    trained = len(summary.calibration.seeds) if summary.calibration and used else 0
    seeds = f"not finished: {summary.so_far.text}; {seeds}" if summary.so_far else seeds
    against = f", against {trained} trainings of dense" if trained else ", against their dense parents"
    return f"{seeds}{against}" + (f"; level {100 * ALPHA:g} %" if summary.rule == rules.HEADLINE else "")


def _task(summary: Summary, folder: str) -> dict[str, Any]:
    facts = summary.facts
    return {
        "href": f"{folder}/index.html",
        "title": facts.task_title,
        "name": facts.task_name,
        "budget": facts.budget_name,
        "recipe": task_texts.recipe(facts),
        "seeds": formatting.counted(len(facts.seeds), "seed", "seeds"),
        "dense": f"{dense_sentence(summary)} {yardstick_sentence(summary)}",
        "said": answer.of_table(summary).said,
        "board": leaderboard.board(summary, f"{folder}/"),
    }


def _scores(summaries: Sequence[Summary]) -> list[dict[str, str]]:
    """All scores of the tables, with formula and source where their metric is known here."""
    known = {s.name: m for m in registry.every(Metric) for s in m.scores}
    shown: dict[str, ScoreFacts] = {}
    for summary in summaries:
        shown.update({s.name: s for s in summary.facts.scores})
    return [
        {
            "title": score.title,
            "better": "–" if name in cells.NEITHER else "higher" if score.higher_is_better else "lower",
            "group": score.group,
            "margin": _margin(score),
            "formula": known[name].formula if name in known else "",
            "source": known[name].source if name in known else "",
        }
        for name, score in shown.items()
    ]


def _margin(score: ScoreFacts) -> str:
    if not score.verdict:
        return ""
    if score.relative_margin:
        return f"{100 * score.margin:g} % of dense: {score.margin_reason}"
    amount = f"{100 * score.margin:g} points" if score.unit in formatting.PERCENT else f"{score.margin:g}"
    return f"{amount}: {score.margin_reason}"
