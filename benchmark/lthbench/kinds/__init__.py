"""The records that a plug-in fills in: facts, and plain functions.

A plug-in is a file that defines one of these under the name of its kind in capitals (``METHOD``,
``METRIC``, ``DATASET``, ``BANK``, ``ARCHITECTURE``). The file must import without torch or NumPy, so that
listing and planning answer at once: import them inside the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds.image_sets import Evaluation, ImageSet
from lthbench.kinds.images import Annotated, Archive, Bank, Dataset, Images, Pixels, Source
from lthbench.kinds.networks import Architecture, Counts
from lthbench.kinds.pruning import Cell, Criterion, Method
from lthbench.kinds.scores import (
    CROPS,
    STRONGEST,
    Context,
    Logits,
    Maps,
    Metric,
    Score,
    UnitFile,
    UnitRow,
    Value,
)
from lthbench.spec import Inputs, Rewire

if TYPE_CHECKING:
    from lthbench.kinds.pruning import Batches as Batches
    from lthbench.kinds.pruning import Scores as Scores

__all__ = [
    "CROPS",
    "STRONGEST",
    "Annotated",
    "Architecture",
    "Archive",
    "Bank",
    "Cell",
    "Context",
    "Counts",
    "Criterion",
    "Dataset",
    "Evaluation",
    "ImageSet",
    "Images",
    "Inputs",
    "Logits",
    "Maps",
    "Method",
    "Metric",
    "Pixels",
    "Rewire",
    "Score",
    "Source",
    "UnitFile",
    "UnitRow",
    "Value",
]
