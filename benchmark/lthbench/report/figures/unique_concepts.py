"""How many different concepts units detect, by category, over sparsity (network dissection)."""

from __future__ import annotations

from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import Figure, Kind
from lthbench.report.figures.unit_categories import Counts, by_category
from lthbench.report.figures.unit_iou import THRESHOLD
from lthbench.report.summary import Summary

ALL = "all categories"


def unique(summary: Summary) -> list[Figure]:
    """One figure for all categories, and one for each of which any unit detects a concept."""
    counts = _counts(units_of.of_metric(summary, "dissection"))
    return by_category(summary, "unique concepts", "concepts", counts)


def _counts(units: units_of.Units) -> Counts:
    """In how many different concepts the interpretable units of each seed are, by network and category."""
    categories = dict.fromkeys(u.category for networks in units.values() for one in networks for u in one)
    found: Counts = {}
    for (method, level), networks in units.items():
        for one in networks:
            detected = {(u.category, u.concept) for u in one if u.value > THRESHOLD}
            for category in (ALL, *categories):
                many = sum(category in (ALL, of) for of, _ in detected)
                found.setdefault((method, level, category), []).append(float(many))
    return found


KIND = Kind(
    "unique-concepts",
    46,
    "How many different concepts its units detect",
    "Unique concepts",
    f"Concepts that at least one unit detects (intersection over union above {THRESHOLD:g}), by category: "
    "means over seeds. Dashed: dense.",
    unique,
    keyed=True,
    detail=True,
)
