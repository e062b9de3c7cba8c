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

    ``lacking`` counts the networks that lack some, of all, by method.
    """

    networks: int
    of_networks: int
    scores: int
    of_scores: int
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
            f"scores, and {self.scores:,} of {self.of_scores:,} scores are there."
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
    networks = table.assign(absent=absent).groupby(["method", "sparsity", "seed"], sort=False)["absent"].any()
    headline = table["variant"] == ""
    by_method = networks.groupby("method", sort=False)
    lacking = {str(m): (int(of.sum()), len(of)) for m, of in by_method if of.any()}
    return SoFar(
        int((~networks).sum()),
        len(networks),
        int((headline & ~absent).sum()),
        int(headline.sum()),
        lacking,
    )
