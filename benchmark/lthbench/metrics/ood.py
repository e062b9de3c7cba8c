"""Out-of-distribution detection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lthbench.kinds import Context, Logits, Metric, Score, Value

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


def _pairs(test: Logits, other: Logits) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits of test images and of another set, by variant; first those of the classes it is against."""
    import numpy as np

    everything = test.values, other.values
    if not other.against:
        return {"": everything}
    chosen = np.asarray(other.against)
    known = test.values[np.isin(test.labels, chosen)]
    return {"": (known[:, chosen], other.values[:, chosen]), "all classes": everything}


def measure(context: Context) -> list[Value]:
    """Telling test images from those of another data set; the task's first one is the headline."""
    test, values = context.logits("test"), []
    for place, (name, other) in enumerate(context.sets("ood").items()):
        for among, (known, strange) in _pairs(test, other).items():
            inside, outside = _scores(known), _scores(strange)
            for how in inside:
                variant = " ".join(filter(None, (name if place else "", how, among)))
                values += _told(inside[how], outside[how], variant)
    return values


def _told(inside: Floats, outside: Floats, variant: str) -> list[Value]:
    """The four scores of one measure of sureness."""
    from lthbench.scoring import average_precision, false_positives_at, resampled_auc, roc_auc

    n = len(inside) + len(outside)
    if not len(inside):
        lack, reason = float("nan"), "no test image is of a class that the strangers were collected against"
        return [Value(score.name, lack, lack, n, variant, reason) for score in METRIC.scores]
    draws = None if variant else resampled_auc(inside, outside)
    return [
        Value("ood_auroc", *roc_auc(inside, outside), n, variant, draws=draws),
        Value("ood_aupr_in", *average_precision(inside, outside), n, variant),
        Value("ood_aupr_out", *average_precision(-outside, -inside), n, variant),
        Value("ood_fpr95", *false_positives_at(inside, outside, 0.95), n, variant),
    ]


def _score(name: str, title: str, higher: bool, **verdict: Any) -> Score:
    return Score(name, title, "fraction", higher, 0.0, 1.0, "generalization", **verdict)


METRIC = Metric(
    name="ood",
    version=6,
    title="out-of-distribution detection",
    formula=(
        "P(score of a test image > that of an image of another data set), ties half; average precision with "
        "test images (in) or images of the other set (out) as positives; share of the latter above the "
        "threshold that 95 % of test images reach. Score: log of the largest softmax probability, float64; "
        "variants: energy (logsumexp of logits), largest logit. Sets collected against some classes "
        "(ImageNet-O: 200) "
        "are told from test images of these, by their logits alone; variant all classes: without that"
    ),
    source=(
        "Hendrycks & Gimpel 2017; Chen et al. 2022, section 3.1; energy: Liu et al. 2020; largest logit: "
        "Hendrycks et al. 2022; ImageNet-O's classes: Hendrycks et al. 2021, section 3.2; standard error of "
        "the area: DeLong et al. 1988, of average precision and of the share over the threshold: bootstrap "
        "over the images of both sets"
    ),
    scores=(
        _score(
            "ood_auroc",
            "OoD ROC-AUC",
            True,
            verdict=True,
            margin=0.02,
            margin_reason="two points of the area (lthbench's choice)",
            short="OoD AUC",
            shortest="OoD",
        ),
        _score("ood_aupr_in", "OoD PR-AUC, in", True),
        _score("ood_aupr_out", "OoD PR-AUC, out", True),
        _score("ood_fpr95", "OoD FPR at 95 % TPR", False),
    ),
    needs=("test", "ood"),
    measure=measure,
    values_since=4,  # version 6 resamples sets of equally many images apart
)
