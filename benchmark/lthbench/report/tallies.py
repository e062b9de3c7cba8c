"""The verdict as counts: of how many scores a method matches, is open, and is worse, at each sparsity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report.summary import Summary, far
from lthbench.verdict.rules import SHORT, Verdict


@dataclass(frozen=True)
class Tally:
    """Scores of one network: that match dense or are better, that are open, that are worse.

    Worse are also those of a network that is degenerate, or too inaccurate to compare. ``unsaid`` are those
    that were not measured or cannot be compared.
    """

    matching: int
    open: int
    worse: int
    unsaid: int = 0

    @property
    def text(self) -> str:
        """As "8/1/1", with what cannot be said behind it."""
        return f"{self.matching}/{self.open}/{self.worse}{f' ({self.unsaid} –)' if self.unsaid else ''}"


def of(result: Verdict, sparsity: float) -> Tally | None:
    """The tally of a network; None where it was not measured."""
    found = Counter(m.finding for m in result.at(sparsity))
    if not found:
        return None
    matching, worse = found["better"] + found["matches"], sum(found[f] for f in SHORT)
    return Tally(matching, found["open"], worse, found["failed"] + found["undecided"])


def rows(summary: Summary) -> list[dict[str, str]]:
    """Methods by sparsities, and up to where everything holds."""
    found, heads = [], formatting.sparsities(summary.sparsities)
    for result in summary.headline:
        tallies = zip(heads, (of(result, s) for s in summary.sparsities), strict=True)
        counts = {head: t.text if t else "–" for head, t in tallies}
        found.append({"method": result.method, **counts, "all hold up to": far(result)})
    return found
