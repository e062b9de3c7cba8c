"""Result bundles: a table with all that it was computed from, for a maintainer to check and publish.

A bundle is a zip file: ``bundle.json`` (the hash of every other file), ``scores.csv``, ``run.json``,
``pictures.json``, ``units.csv`` and ``latency.csv`` as they were written (the last three where there are
any), ``steps.json`` (every step behind them, by key) and ``results/KEY/``: what each measure published. The
tables of scores and of units are pure functions of the plan and these results, so that checking is making it
again: an edited number, name, status or seed gives another table or another key. What cannot be seen so is a
whole that was made up and fits together; for that a sample is run again (``rerun``). Pictures and times are
taken as they come.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry, textfiles
from lthbench._version import __version__
from lthbench.errors import BadInput, Damaged, LthbenchError
from lthbench.files import clear_left, make_folder, publish
from lthbench.planning import contents, request
from lthbench.planning.plan import Plan, plan
from lthbench.planning.request_record import KINDS
from lthbench.report import silent
from lthbench.results import so_far, table, units, validation
from lthbench.results.bundle_file import HEAD, SCHEMA
from lthbench.results.bundle_file import Refused as Refused
from lthbench.results.bundle_file import opened as opened
from lthbench.results.bundle_file import read as read
from lthbench.results.run_facts import RunFacts
from lthbench.spec import Measure, Step, canonical
from lthbench.store import Store
from lthbench.store.artifacts import DRAWS, SCORES
from lthbench.submission import facts_told, ratios, versions

if TYPE_CHECKING:
    import pandas as pd

#: No bundle is of more networks.
NETWORKS = 100_000


def write(folder: Path, store: Store, target: Path, tell: Callable[[str], None] = silent) -> int:
    """Bundle the report in a folder with what the store holds of it. Returns the number of results.

    ``tell`` is called with what is done next. Raises BadInput where the table is not what the store gives, or
    its facts are not those of its command.
    """
    scores, facts = table.read(folder)
    made = planned(facts)
    if not store.root.is_dir():
        raise BadInput(f"store {store.root}: no such folder; give the one that the run used, with --store.")
    with textfiles.opened(table.scores_file(folder)) as content:
        files = {"scores.csv": content.read(), "run.json": (folder / "run.json").read_bytes()}
    measures = [m for e in made.entries for m in e.scored()]
    failures = _failures(scores)
    for count, measure in enumerate(measures, 1):
        tell(f"reading {count:,} of {len(measures):,} results")
        if store.has(measure) and measure.key in failures:
            raise BadInput(
                f"store {store.root}: holds a result of {measure.metric} that failed in this table; run its "
                "command again there."
            )
        if store.has(measure):
            place = f"results/{measure.key}/"
            files[place + SCORES.name] = store.read(measure, SCORES.name)
            if DRAWS.name in store.files(measure):
                files[place + DRAWS.name] = store.read(measure, DRAWS.name)
        elif measure.key not in failures:
            raise BadInput(f"store {store.root}: lacks results of this table; run its command again there.")
    tell("making the table again")
    again = table.as_csv(table.build(made, store, failures))
    if again != files["scores.csv"]:
        raise BadInput(f"{table.scores_file(folder)}: is not what the store {store.root} gives; run again.")
    try:
        facts_told.check_known(files["run.json"], facts)
        facts_told.check_asked(facts, made, [])
        facts_told.check_collapsed(facts, made, store)
        validation.check(scores, facts)
        facts_told.check_judged(scores, facts)
    except BadInput as error:
        raise BadInput(f"{folder}: {error} Run the command again: its store holds what is done.") from error
    files |= {name: (folder / name).read_bytes() for name in table.BESIDE if (folder / name).is_file()}
    if units.FILE in files:
        if units.as_csv(units.gather(made, store)) != files[units.FILE]:
            raise BadInput(f"{folder / units.FILE}: is not what the store {store.root} gives; run again.")
        for measure in measures:
            name = units.file_of(store, measure)
            if name:
                files[f"results/{measure.key}/{name}"] = store.read(measure, name)
    files["steps.json"] = _json(versions.described(measures))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    head = {"schema": SCHEMA, "what": "lthbench bundle", "lthbench": __version__, "files": hashes}
    tell(f"writing {target}")
    make_folder(target.parent)
    clear_left(target)
    publish(target, _zipped({HEAD: _json(head), **files}))
    return len({m.key for m in measures})


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of these; the same files are the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def verify(path: Path, tell: Callable[[str], None] = silent) -> tuple[pd.DataFrame, RunFacts]:
    """Make a bundle's table again from its results. Returns table and facts. Raises Refused.

    ``tell`` is called with what is done next.
    """
    files = read(path)
    scores, facts = opened(path, files)
    if so_far.of_table(scores):
        raise Refused(f"{path}: is of a table that is not finished; run its command to the end.")
    try:
        facts_told.check_known(files["run.json"], facts)
        tell("planning its command")
        made = planned(facts, len(scores))
        tell("comparing its steps with those of its command")
        earlier, changed = _check_steps(files, made)
        facts_told.check_asked(facts, made, changed)
        results, back = BundledResults(files, earlier), {old: new for new, old in earlier.items()}
        failed = _failures(scores)
        _check_results(results, made, len(scores), failed, tell)
        facts_told.check_collapsed(facts, made, results)
        if not changed:
            ratios.check(made, results)
        tell("making the table again")
        failures = {back.get(key, key): reason for key, reason in failed.items()}
        again = table.build(made, results, failures)
        again["step"] = again["step"].replace(earlier)
        of_units = units.as_csv(units.gather(made, results)) if units.FILE in files else None
        validation.check(scores, facts)
        if not changed:
            facts_told.check_judged(scores, facts)
        by = ", ".join(sorted({str(e["lthbench"]) for e in facts.environments if "lthbench" in e}))
    except LthbenchError as error:
        raise Refused(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise Refused(f"{path}: cannot be made again: {type(error).__name__}: {error}") from error
    if of_units is not None and of_units != files[units.FILE]:
        raise Refused(f"{path}: units.csv is not what its results give.")
    if table.as_csv(again) != files["scores.csv"]:
        raise Refused(f"{path}: {_difference(scores, again)}")
    if changed:
        asked = len({m.key for e in made.entries for m in e.scored()})
        raise Refused(
            f"{path}: was made by an earlier version (lthbench {by}), and follows from its results: it was "
            f"not edited. {len(earlier):,} of {asked:,} results are of another version: "
            f"{'; '.join(dict.fromkeys(changed))}. Make it again: {facts.command}"
        )
    return scores, facts


def _check_results(
    results: BundledResults, made: Plan, rows: int, failed: Collection[str], tell: Callable[[str], None]
) -> None:
    """Raise Refused for a result that is not what its measure makes, or where they give more than the table.

    Those of measures that ``failed`` by the table have none. All before anything is made of them.
    """
    stray = sorted(results.keys() - {results.key(m) for entry in made.entries for m in entry.scored()})
    if stray:
        raise Refused(f"the result {stray[0][:12]} is of no network that its command asks for.")
    held = sorted(results.keys() & set(failed))
    if held:
        raise Refused(f"the result {held[0][:12]} is there, and failed by scores.csv: what failed has none.")
    seen: dict[str, int] = {}
    headlines: dict[str, set[str]] = {}
    measures = [m for entry in made.entries for m in entry.scored()]
    for count, measure in enumerate(measures, 1):
        tell(f"checking {count:,} of {len(measures):,} results")
        if results.has(measure) and measure.key not in seen:
            scores = results.read(measure, SCORES.name)
            draws = results.read(measure, DRAWS.name) if DRAWS.name in results.files(measure) else None
            wrong = contents.misfit_of_result(measure, scores, draws)
            beside = set(results.files(measure)) - {SCORES.name, DRAWS.name, units.file_of(results, measure)}
            wrong = wrong or (f"{min(beside)} is no file of a bundle" if beside else "")
            if not wrong:
                own = {v["score"] for v in SCORES.decode(scores)["values"] if v["variant"] == ""}
                unlike = own ^ headlines.setdefault(measure.metric, own)
                wrong = f"{min(unlike)} has a headline in some results alone" if unlike else ""
            if wrong:
                raise Refused(f"the result {measure.key[:12]} of {measure.metric}: {wrong}.")
            seen[measure.key] = scores.count(b'"score"')
    given = sum(seen.get(m.key, 0) for entry in made.entries for m in entry.measures)
    if given > rows:
        raise Refused(f"scores.csv has {rows:,} rows, its results give {given:,} and more.")


def _check_steps(files: Mapping[str, bytes], made: Plan) -> tuple[dict[str, str], list[str]]:
    """Every step is described, and no description was changed: its hash is its key.

    Returns the keys of an earlier version, by those of this one, and what has another version, in words.
    """
    found = textfiles.values(files["steps.json"])
    for key, step in found.items():
        if hashlib.sha256(canonical(step).encode()).hexdigest() != key:
            raise Refused(f"steps.json: {key[:12]} was changed: its hash is another one.")
    wanted = [m for e in made.entries for m in e.scored()]
    lacking = [m for m in wanted if m.key not in found]
    earlier = versions.matched(found, lacking) if lacking else {}
    if len(earlier) < len({m.key for m in lacking}):
        raise Refused(
            f"{len(lacking)} of {len(wanted)} results are not of the steps that its command asks for; the "
            "task, the data or a plug-in is another one, or the command was changed."
        )
    return earlier, versions.differences(found, lacking, earlier)


def _difference(theirs: pd.DataFrame, ours: pd.DataFrame) -> str:
    """The first place in which a table is not the one that its results give."""
    if len(theirs) != len(ours):
        return f"scores.csv has {len(theirs)} rows, its results give {len(ours)}."
    for column in table.COLUMNS:
        same = (theirs[column] == ours[column]) | (theirs[column].isna() & ours[column].isna())
        if not same.all():
            place = int((~same).to_numpy().argmax())
            row, given = ours.iloc[place], _shown(theirs[column].iloc[place])
            where = f"{row['method']} {row['sparsity']:g} seed {row['seed']}, {row['score']}"
            return (
                f"scores.csv, row {place + 2}: {column} is {given}, its results give {_shown(row[column])} "
                f"({where})."
            )
    return "scores.csv is written otherwise than lthbench does."


def _shown(value: Any) -> str:
    return repr(value.item() if hasattr(value, "item") else value)


def _failures(scores: pd.DataFrame) -> dict[str, str]:
    """Why steps failed, by key, as the table says: what failed has no result."""
    failed = scores[(scores["status"] == "failed") & (scores["n"] == 0) & scores["se"].isna()]
    return dict(zip(failed["step"], failed["reason"], strict=True))


def planned(facts: RunFacts, rows: int = NETWORKS) -> Plan:
    """The plan of the request in run.json, on the data that it names by hash. Raises BadInput.

    It asks for no more networks than there are rows.
    """
    if not facts.requests:
        raise BadInput("run.json: its command cannot be read.")
    if len(facts.requests) != 1:
        raise BadInput(f"run.json: is of {len(facts.requests)} runs; a bundle is of one.")
    (record,) = facts.requests
    if record.elsewhere:
        raise BadInput(
            "run.json: scores networks made elsewhere; only what a command makes again is bundled."
        )
    known = {d.name: d for d in facts.data}
    if "/" in record.task or os.sep in record.task or record.task.endswith(".toml"):
        raise BadInput(f"run.json: task {record.task} is a file; only tasks that ship are bundled.")
    asked = record.networks
    if asked > NETWORKS:
        raise BadInput(f"run.json: asks for {asked:,} networks; bundles have {NETWORKS:,} at most.")
    if asked > rows:
        raise BadInput(f"run.json: asks for {asked:,} networks; scores.csv has {rows:,} rows.")
    names = (*record.methods, *record.metrics, *(record.ood or ()), record.concepts or "")
    if record.plugins or any(registry.is_path(name) for name in names):
        raise BadInput(
            "run.json: a plug-in is a file; only those that are installed are bundled. Make a package of it "
            "(docs/template is one), install it, and run it by its name."
        )
    for plugin in facts.plugins:
        if plugin.kind in KINDS and plugin.name not in registry.names(KINDS[plugin.kind]):
            raise BadInput(
                f"run.json: the {plugin.kind} {plugin.name[:100]} is not installed here; it is one of "
                f"{plugin.source[:100]}: install that package, in that version."
            )
    return plan(request.asked_again(record, "run.json"), (), data_needed=False, known=known)


class BundledResults:
    """The results in a bundle, read as those of a store: see ``store.base.ResultReader``.

    ``earlier`` are the keys that the results of an earlier version have, by those that are asked for.
    """

    def __init__(self, files: Mapping[str, bytes], earlier: Mapping[str, str]):
        self._files, self._earlier = files, earlier

    def key(self, step: Step) -> str:
        """The key of a result as it stands in the bundle."""
        return self._earlier.get(step.key, step.key)

    def keys(self) -> set[str]:
        """Those of all its results."""
        return {name.split("/")[1] for name in self._files if "/" in name}

    def _folder(self, step: Step) -> str:
        return f"results/{self.key(step)}/"

    def has(self, step: Step) -> bool:
        """Whether the bundle holds the result of a measure."""
        return isinstance(step, Measure) and f"{self._folder(step)}{SCORES.name}" in self._files

    def files(self, step: Step) -> list[str]:
        """The names of its files."""
        start = self._folder(step)
        return [name.removeprefix(start) for name in self._files if name.startswith(start)]

    def read(self, step: Step, name: str) -> bytes:
        """One of them. Raises Damaged where it is not there."""
        content = self._files.get(f"{self._folder(step)}{name}")
        if content is None:
            raise Damaged(f"{self._folder(step)}: has no {name}")
        return content


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
