"""The long table of scores: one row for each score of each network. Reading, writing, and its facts."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from lthbench import textfiles
from lthbench.errors import BadInput, Damaged, because
from lthbench.files import clear_left, make_folder, publish_all
from lthbench.formatting import is_formula, one_line, texts_in
from lthbench.results import latency, rows, run_facts, units
from lthbench.results.run_facts import SCHEMA, RunFacts
from lthbench.store import ResultReader

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from lthbench.planning.plan import Plan

_Value = TypeVar("_Value", bound=Hashable)

#: What a table is called: packed where a site would be large. The first that is there is read.
SCORES = ("scores.csv", "scores.csv.gz")
#: The file beside a table that holds its pictures.
PICTURES = "pictures.json"
#: What may lie beside a table, and is carried with it.
BESIDE = (PICTURES, units.FILE, latency.FILE)
COLUMNS = {
    "task": "str",
    "method": "str",
    "sparsity": "float64",
    "seed": "int64",
    "budget": "str",
    "metric": "str",
    "score": "str",
    "variant": "str",
    "value": "float64",
    "se": "float64",
    "diff_se": "float64",
    "mean_diff_se": "float64",
    "n": "int64",
    "unit": "str",
    "direction": "str",
    "group": "str",
    "status": "str",
    "reason": "str",
    "step": "str",
    "parent": "str",
    "forwards": "int64",
}


#: No line of names of columns has more bytes, no table more columns or methods.
_HEADER, _WIDEST, _METHODS = 100_000, 1_000, 2_000
#: No file of pictures has more bytes, and none more pictures.
_DRAWN, _PICTURES = 100_000_000, 1_000
#: Columns of names, which stand in lines with others.
_NAMES = tuple(n for n, kind in COLUMNS.items() if kind == "str" and n not in ("direction", "reason"))


def build(plan: Plan, store: ResultReader, failures: dict[str, str]) -> pd.DataFrame:
    """The table of a plan's networks, from what the store holds; what failed has a row that says why."""
    import numpy as np
    import pandas as pd

    made = rows.of(plan, store, failures)
    sources, source_of = _distinct(list(map(attrgetter("source"), made)))
    scores, score_of = _distinct(list(map(attrgetter("score.name"), made)))
    named = {row.score.name: row.score for row in made}
    entries = [source.entry for source in sources]
    same = np.zeros(len(made), np.intp)
    shared: dict[str, tuple[Sequence[Any], NDArray[np.intp]]] = {
        "task": ([plan.request.task.name], same),
        "budget": ([plan.request.budget], same),
        "method": ([e.method for e in entries], source_of),
        "sparsity": ([e.sparsity for e in entries], source_of),
        "seed": ([e.seed for e in entries], source_of),
        "metric": ([s.metric for s in sources], source_of),
        "step": ([s.measure.key for s in sources], source_of),
        "parent": ([e.dense.key for e in entries], source_of),
        "forwards": ([s.forwards for s in sources], source_of),
        "score": (scores, score_of),
        "unit": ([named[s].unit for s in scores], score_of),
        "direction": (["higher" if named[s].higher_is_better else "lower" for s in scores], score_of),
        "group": ([named[s].group for s in scores], score_of),
        **{name: _distinct(list(map(attrgetter(name), made))) for name in ("variant", "status", "reason")},
    }
    columns: dict[str, Any] = {}
    for name, kind in COLUMNS.items():
        if name in shared:  # few texts, many rows: each text becomes one of the column's once
            values, places = shared[name]
            columns[name] = pd.Series(values, dtype=kind).array.take(places)
        else:
            columns[name] = pd.Series(list(map(attrgetter(name), made)), dtype=kind)
    return pd.DataFrame(columns)


def _distinct(values: Sequence[_Value]) -> tuple[list[_Value], NDArray[np.intp]]:
    """The different ones among values, and the place of each value among them."""
    import numpy as np

    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(places), np.fromiter(map(places.__getitem__, values), np.intp, len(values))


def write(table: pd.DataFrame, facts: RunFacts, folder: Path) -> list[Path]:
    """Write ``scores.csv`` (canonical), ``run.json``, what lies ``BESIDE`` them where there is any, and
    ``scores.parquet`` where pyarrow is installed.
    """
    make_folder(folder)
    made: dict[str, bytes | Callable[[IO[bytes]], None]] = {
        "scores.csv": partial(_write_csv, table),
        **beside(facts),
    }
    parquet = to_parquet(table)
    if parquet is not None:
        made["scores.parquet"] = parquet
    for name in made:
        clear_left(folder / name)
    publish_all({folder / name: content for name, content in made.items()})
    for name in {*BESIDE, "scores.parquet"} - {*made}:
        (folder / name).unlink(missing_ok=True)  # those of an earlier run are of another table
    return [folder / name for name in made]


def beside(facts: RunFacts) -> dict[str, bytes]:
    """The files beside a table, by name: ``run.json``, and those of ``BESIDE`` that it has."""
    made = {"run.json": (json.dumps(facts.to_json(), indent=1) + "\n").encode()}
    if facts.pictures:
        made[PICTURES] = (json.dumps(facts.pictures, indent=1) + "\n").encode()
    if facts.units:
        made[units.FILE] = units.as_csv(facts.units)
    if facts.latencies:
        made[latency.FILE] = latency.as_csv(facts.latencies)
    return made


def scores_file(folder: Path) -> Path:
    """The file of the table in a folder; what it would be called where there is none."""
    return next((path for name in SCORES if (path := folder / name).is_file()), folder / SCORES[0])


def as_csv(table: pd.DataFrame) -> bytes:
    """The table as its canonical CSV."""
    buffer = io.BytesIO()
    _write_csv(table, buffer)
    return buffer.getvalue()


def _write_csv(table: pd.DataFrame, file: IO[bytes]) -> None:
    texts = [name for name, kind in COLUMNS.items() if kind == "str" and name in table]
    # Texts as objects, each once: Arrow's are taken out of their column one by one, in twice the time.
    table = table.assign(**{name: _as_objects(table[name]) for name in texts})
    table.to_csv(textfiles.CsvLines(file), index=False, lineterminator=textfiles.CsvLines.END)


def _as_objects(column: pd.Series) -> Any:
    codes, values = column.factorize(use_na_sentinel=False)
    return values.to_numpy(dtype=object, na_value=math.nan)[codes]


def to_parquet(table: pd.DataFrame) -> bytes | None:
    """The table as Parquet, or None where the extra ``parquet`` is not installed."""
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, engine="pyarrow", index=False)
    except ImportError:
        return None
    return buffer.getvalue()


def read(folder: Path) -> tuple[pd.DataFrame, RunFacts]:
    """The table and its facts from a folder that a run wrote, or of a task in a site.

    Raises BadInput for what is not one.
    """
    import pandas as pd

    csv, run = scores_file(folder), folder / "run.json"
    for path in (csv, run):
        if not path.is_file():
            raise BadInput(f"{folder}: has no {path.name}; give a folder that lthbench run --report wrote.")
    try:
        content = textfiles.values(textfiles.read(run))
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{run}: cannot be read as facts of a run.") from error
    if schema != SCHEMA:
        raise BadInput(
            f"{run}: has schema {schema}, this version reads schema {SCHEMA}. Run the command that stands in "
            "it again: what its store holds is not trained again."
        )
    facts = run_facts.from_json(content, str(run))
    if (folder / PICTURES).is_file():
        facts = dataclasses.replace(facts, pictures=_pictures(folder / PICTURES))
    if (folder / units.FILE).is_file():
        found = _beside(folder / units.FILE, units.BYTES, units.from_csv)
        facts = dataclasses.replace(facts, units=found)
    if (folder / latency.FILE).is_file():
        times = _beside(folder / latency.FILE, latency.BYTES, latency.from_csv)
        facts = dataclasses.replace(facts, latencies=times)
        other = latency.stray(times, {(n.method, n.sparsity, n.seed): n.network for n in facts.networks})
        if other:
            raise BadInput(f"{folder / latency.FILE}: times {other}, a network that is not in the table.")
    with textfiles.opened(csv) as content:
        table = _parsed(csv, content)
    if not isinstance(table.index, pd.RangeIndex):
        raise BadInput(f"{csv}: not a table of scores: rows have more fields than the header.")
    twice = [c for c in COLUMNS if f"{c}.1" in table.columns]
    if twice:
        raise BadInput(f"{csv}: not a table of scores: has column {twice[0]} twice.")
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise BadInput(f"{csv}: not a table of scores: missing {', '.join(missing)}.")
    for column in _NAMES:
        named = table[column].unique()
        odd = next((name for name in named if not one_line(name)), None)
        if odd is not None:
            raise BadInput(f"{csv}: {column} has a name with control characters: {odd[:100]!a}.")
        if column == "method" and len(named) > _METHODS:
            raise BadInput(f"{csv}: has {len(named):,} methods; at most {_METHODS:,} are read.")
    for column in (*_NAMES, "reason"):
        odd = next(filter(is_formula, table[column].unique()), None)
        if odd is not None:
            row = 2 + int((table[column] == odd).to_numpy().argmax())
            raise BadInput(
                f"{csv}: row {row}: {column} has a text that spreadsheets would compute: {odd[:100]!a}."
            )
    return table, facts


def _parsed(csv: Path, content: IO[bytes]) -> pd.DataFrame:
    """The rows of a table from its file, of which it reads a part at a time. Raises BadInput."""
    import pandas as pd

    start = content.tell()
    header = content.readline(_HEADER).decode(errors="replace")
    separator = textfiles.separator(header, list(COLUMNS)) or ","
    if header.count(separator) >= _WIDEST:
        raise BadInput(f"{csv}: not a table of scores: has more than {_WIDEST:,} columns.")
    content.seek(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # numbers that are too large for their column
            return pd.read_csv(
                content,
                sep=separator,
                dtype=dict(COLUMNS),
                keep_default_na=False,
                na_values={column: [""] for column in ("value", "se", "diff_se", "mean_diff_se")},
            )
    except (ValueError, TypeError, OverflowError, RuntimeWarning) as error:
        place = re.search(r"float64 for object dtyped data in column (\d+)", str(error))
        if place is not None:
            column = header.strip().split(separator)[int(place[1])]
            raise BadInput(
                f"{csv}: not a table of scores: {column} holds a text that is no number; "
                "where there is none it is left empty."
            ) from error
        content.seek(start)
        uneven = textfiles.uneven(content, separator)
        if uneven:
            raise BadInput(
                f"{csv}: not a table of scores: {uneven}. Earlier versions did not quote some line ends: run "
                "the command again that stands in run.json; what its store holds is not trained again."
            ) from error
        raise BadInput(f"{csv}: not a table of scores{because(error)}.") from error


def _beside(path: Path, most: int, parse: Callable[[bytes, str], tuple[_Value, ...]]) -> tuple[_Value, ...]:
    """What a table of at most so many bytes beside the scores holds. Raises BadInput."""
    try:
        with path.open("rb") as file:
            return parse(file.read(most + 1), str(path))
    except Damaged as error:
        raise BadInput(str(error)) from error


def _pictures(path: Path) -> tuple[dict[str, Any], ...]:
    """The pictures that a run drew beside its table. Raises BadInput."""
    if path.stat().st_size > _DRAWN:
        raise BadInput(f"{path}: has more than {_DRAWN:,} bytes; pictures of a run do not.")
    try:
        found = textfiles.values(textfiles.read(path))
        if len(found) > _PICTURES:
            raise ValueError(f"more than {_PICTURES:,} pictures")
        if not all({"kind", "title", "text", "image"} <= set(p) for p in found):
            raise ValueError("a picture lacks a part")
        odd = next((p[n] for p in found for n in ("kind", "title") if not one_line(str(p[n]))), None)
        if odd is not None:
            raise ValueError(f"a name with control characters: {odd[:100]!a}")
        pictures = tuple(dict(p) for p in found)
        odd = next((text for p in pictures for text in texts_in(p) if is_formula(text)), None)
        if odd is not None:
            raise ValueError(f"a text that spreadsheets would compute: {odd[:100]!a}")
        return pictures
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"{path}: cannot be read as pictures of a run{because(error)}.") from error
