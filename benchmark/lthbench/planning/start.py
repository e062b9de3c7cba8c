"""Weights that networks begin with in place of drawn ones, as a plan knows them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from lthbench.spec import Given, Network


@dataclass(frozen=True)
class Start:
    """A pretrained network as it stands in steps and in a request's record.

    ``digests`` are hashes of the weights, by seed: of the file's own under ``""`` where its last layer is for
    the task's classes, and the network is the dense parent; else of those with a new last layer that is drawn
    from each seed, with which the dense parent's training begins. ``mean`` and ``std`` are what the network
    expects its pixels normalised by, where that is not the task's.
    """

    digests: dict[str, str]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_dense(self) -> bool:
        """Whether the weights are the dense parent themselves."""
        return "" in self.digests

    def covers(self, seeds: Iterable[int]) -> bool:
        """Whether the weights of all these seeds were read."""
        return self.is_dense or {str(seed) for seed in seeds} <= self.digests.keys()

    def given(self, network: Network, seed: int) -> Given:
        """The weights of a seed. Raises LookupError where they were not read for it."""
        own = dataclasses.replace(network, mean=self.mean or network.mean, std=self.std or network.std)
        return Given(own, self.digests[""] if self.is_dense else self.digests[str(seed)])
