"""Out-of-distribution detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lthbench.scoring import Floats


def _scores(logits: NDArray[np.float32]) -> dict[str, Floats]:
    """How sure the network is of each image, by three measures; the first is the headline."""
    import numpy as np
    from scipy.special import logsumexp

    from lthbench.scoring import log_confidence

    wide = logits.astype(np.float64)
    return {"": log_confidence(logits), "energy": logsumexp(wide, axis=1), "max logit": wide.max(1)}


def measure(context: Context) -> list[Value]:
    """Telling test images from those of another data set; the task's first one is the headline."""
    from lthbench.scoring import average_precision, false_positives_at, roc_auc

    test = _scores(context.logits("test").values)
    values = []
    for place, (name, logits) in enumerate(context.sets("ood").items()):
        strange = _scores(logits.values)
        n = len(logits.labels) + len(test[""])
        for how in test:
            variant = " ".join(filter(None, (name if place else "", how)))
            pair = test[how], strange[how]
            values += [
                Value("ood_auroc", *roc_auc(*pair), n, variant),
                Value("ood_aupr_in", *average_precision(*pair), n, variant),
                Value("ood_aupr_out", *average_precision(-pair[1], -pair[0]), n, variant),
                Value("ood_fpr95", *false_positives_at(*pair, 0.95), n, variant),
            ]
    return values


def _score(name: str, title: str, higher: bool, *, verdict: bool = False) -> Score:
    return Score(name, title, "fraction", higher, 0.0, 1.0, "generalization", verdict=verdict)


METRIC = Metric(
    name="ood",
    version=2,
    title="out-of-distribution detection",
    formula=(
        "P(score of a test image > that of an image of another data set), ties half; average precision with "
        "test images (in) or strangers (out) as positives; share of strangers above the threshold that 95 % "
        "of test images reach. Score: log of the largest softmax probability, float64; variants: energy "
        "(logsumexp of logits), largest logit"
    ),
    source=(
        "Hendrycks & Gimpel 2017; Chen et al. 2022, section 3.1; energy: Liu et al. 2020; largest logit: "
        "Hendrycks et al. 2022; standard error of the area: DeLong et al. 1988, of the others: bootstrap"
    ),
    scores=(
        _score("ood_auroc", "OoD ROC-AUC", True, verdict=True),
        _score("ood_aupr_in", "OoD PR-AUC, in", True),
        _score("ood_aupr_out", "OoD PR-AUC, out", True),
        _score("ood_fpr95", "OoD FPR at 95 % TPR", False),
    ),
    needs=("test", "ood"),
    measure=measure,
)
