"""What a run gives, or what is read of one: its table, and the verdict, comparison and report of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench.errors import BadInput, shown
from lthbench.planning import checks
from lthbench.report import FORMATS, check_formats, write
from lthbench.results.reading import as_a_run_wrote_it

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.report.pictures import Drawable
    from lthbench.report.summary import Summary
    from lthbench.results.run_facts import RunFacts
    from lthbench.results.units import Unit


@dataclass(frozen=True)
class Outcome:
    """A run's results: the score table, the facts beside it, and why what failed did.

    ``table`` has a row for each score of each network, and the columns ``lthbench.results.table.COLUMNS``.
    ``facts`` are what stands in run.json. ``failures`` are reasons by the key of a step; of a table that was
    read they stand in its rows alone. ``pictures`` reads from the store what a report's pictures are drawn
    from, ``units`` what is known of single units. ``source`` is what the table was read from, if it was.
    """

    table: pd.DataFrame
    facts: RunFacts
    failures: dict[str, str]
    pictures: Callable[[], tuple[Drawable, ...]] = tuple
    units: Callable[[], tuple[Unit, ...]] = tuple
    source: Path | None = None

    def verdict(self, rule: str | None = None) -> pd.DataFrame:
        """What is found of each score of each pruned network, beside dense: what report.json says.

        One row for each method, sparsity and score that the verdict asks for. ``finding`` is one of
        ``lthbench.verdict.rules.FINDINGS``. ``shortfall`` is by how much ``mean`` is worse than ``dense``
        (negative: better), ``lower`` and ``bound`` are its confidence limits, each at ``1 - level``, and
        ``allowed`` is the margin. ``mean`` and ``dense`` are in ``unit`` (a fraction: from 0 to 1); the
        others are, too, or where ``relative`` shares of ``dense``. A number that is unknown is NaN. The other
        columns are those of ``lthbench.verdict.rules.Match``. A network passes where each finding is
        "better" or "matches".

        ``rule`` is noninferior (None), std or paper. Raises BadInput for another one, and for a table that
        cannot be reported.
        """
        from lthbench.report import machine_readable
        from lthbench.report.summary import summarise

        with self._as_written():
            return machine_readable.as_table(summarise(self.table, self.facts, rule))

    def compare(self, other: Outcome, every: bool = False) -> pd.DataFrame:
        """The scores of networks that are in both tables, this one being A: what ``lthbench compare`` says.

        One row for each method, sparsity and score that the verdict asks for, or ``every`` one. ``a`` and
        ``b`` are means over the seeds that both have; ``difference`` is B minus A, paired by seed, with
        ``low`` and ``high`` as its 95 % interval (NaN for one seed); all are in ``unit``. ``finding`` says
        whether B is the same, better, worse or unsure. It is "uncompared" where one of them has no value:
        there are no numbers, and ``reason`` says why. The columns are those of
        ``lthbench.results.comparison.as_table``.

        Raises BadInput for unlike tasks, and for a table that cannot be reported.
        """
        from lthbench.results import comparison

        if not isinstance(other, Outcome):
            raise BadInput(f"other: expected what lthbench.read gives, got {shown(other)}.")
        tables = [(one.table, one.facts) for one in (self, other)]
        names = [one.source or Path("the table of this run") for one in (self, other)]
        with as_a_run_wrote_it(*names, alone=lambda k: comparison.compare(tables[k], tables[k], every)):
            found = comparison.compare(tables[0], tables[1], every)
        return comparison.as_table(found, {s.name: s.unit for s in self.facts.scores})

    def report(
        self,
        folder: str | Path,
        formats: Sequence[str] = FORMATS,
        rule: str | None = None,
        *,
        force: bool = False,
        summary: Summary | None = None,
    ) -> list[Path]:
        """Write the report into a folder, with its pictures. Returns the paths of its files.

        ``formats`` are html, md and csv (the table itself), or others of ``lthbench report --format``.
        ``rule`` is as in ``verdict``. ``summary`` is that of the table by the same rule, where it was made
        before. Raises BadInput for an unknown format or rule, for a table that cannot be reported, and where
        a file of others is in the way, unless ``force`` replaces it.
        """
        from lthbench.report import pictures

        checks.path("folder", folder, "a folder")
        named = [formats] if isinstance(formats, str | None) else formats
        wanted = tuple(checks.listed("formats", named, str, str, "names") or ())
        check_formats(wanted)
        with self._as_written():
            drawn = pictures.drawn(self.pictures()) or self.facts.pictures
            facts = dataclasses.replace(self.facts, pictures=drawn, units=self.units() or self.facts.units)
            return write(self.table, facts, Path(folder), rule, wanted, force=force, summary=summary)

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Raise BadInput for a table that was read, and was changed since a run wrote it."""
        if self.source is None:
            yield
        else:
            with as_a_run_wrote_it(self.source):
                yield
