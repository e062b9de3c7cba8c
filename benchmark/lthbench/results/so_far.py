"""How much of a table is there, where the run that makes it is not finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lthbench import formatting

if TYPE_CHECKING:
    import pandas as pd

#: The status of a score that nobody has measured yet.
MISSING = "missing"


@dataclass(frozen=True)
class SoFar:
    """The networks that have all their scores, of how many, and the scores that are there, of how many.

    ``failed`` counts scores that are not there for a reason. ``lacking`` counts the networks that lack some
    that nobody has measured yet, of all, by method.
    """

    networks: int
    of_networks: int
    scores: int
    of_scores: int
    failed: int
    lacking: Mapping[str, tuple[int, int]]

    @property
    def text(self) -> str:
        """In a few words."""
        networks = f"{self.networks:,} of {formatting.counted(self.of_networks, 'network', 'networks')}"
        return f"{networks}, {self.scores:,} of {formatting.counted(self.of_scores, 'score', 'scores')}"

    @property
    def sentence(self) -> str:
        """In a sentence for every form of a report."""
        return (
            f"This table is not finished: {self.networks:,} of {self.of_networks:,} networks have all their "
            f"scores, and {self.scores:,} of {self.of_scores:,} scores are there"
            f"{f'; {self.failed:,} failed' if self.failed else ''}."
        )

    @property
    def lacking_in_words(self) -> str:
        """The networks that lack some, in words: how many, and of how many, by method."""
        return ", ".join(f"{method} {some:,} of {of:,}" for method, (some, of) in self.lacking.items())


def of_table(table: pd.DataFrame) -> SoFar | None:
    """What of a table is there; None where all is."""
    absent = table["status"] == MISSING
    if not absent.any():
        return None
    failed = table["status"] == "failed"
    networks = (
        table.assign(absent=absent, lacks=absent | failed)
        .groupby(["method", "sparsity", "seed"], sort=False)[["absent", "lacks"]]
        .any()
    )
    headline = table["variant"] == ""
    by_method = networks["absent"].groupby("method", sort=False)
    lacking = {str(m): (int(of.sum()), len(of)) for m, of in by_method if of.any()}
    return SoFar(
        int((~networks["lacks"]).sum()),
        len(networks),
        int((headline & ~absent & ~failed).sum()),
        int(headline.sum()),
        int((headline & failed).sum()),
        lacking,
    )
