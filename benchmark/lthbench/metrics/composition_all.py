"""How well formulas of concepts explain all units of a layer, with every concept as a candidate."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.composition import FORMULAS, explained


def measure(context: Context) -> list[Value]:
    """The mean intersection over union of the best formulas of length 3, and of length 1, over all units."""
    return explained(context, 0, 0, ("composition_all_iou", "composition_all_iou_1"))


METRIC = Metric(
    name="composition-all",
    units=FORMULAS,
    version=1,
    title="compositional explanations of all units",
    formula="as composition, over all units of each layer, with all concepts of the bank as candidates",
    source=(
        "Mu & Andreas 2020, Compositional Explanations of Neurons; as in Chen et al. 2022, figure 7. Beam of "
        "5; dead units count as 0. It takes as many times longer as there are more units and concepts"
    ),
    scores=(
        Score(
            "composition_all_iou", "composition IoU, all units", "ratio", True, 0.0, 1.0, "interpretability"
        ),
        Score(
            "composition_all_iou_1",
            "composition IoU, all units, one concept",
            "ratio",
            True,
            0.0,
            1.0,
            "interpretability",
        ),
    ),
    needs=(),
    looks=("concepts",),
    nulls=True,
    passes=1.0,
    measure=measure,
    usual=False,
)
