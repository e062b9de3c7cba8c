"""Out-of-distribution detection by the largest softmax probability."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """ROC-AUC of telling test images from those of another data set; the task's first one is the headline."""
    from lthbench.scoring import log_confidence, roc_auc

    test = log_confidence(context.logits("test").values)
    values = []
    for place, (name, logits) in enumerate(context.sets("ood").items()):
        area, error = roc_auc(test, log_confidence(logits.values))
        n = len(test) + len(logits.labels)
        values.append(Value("ood_auroc", area, error, n, "" if place == 0 else name))
    return values


METRIC = Metric(
    name="ood",
    version=1,
    title="out-of-distribution detection",
    formula="P(max softmax of a test image > that of an image of another data set), ties half; float64",
    source="Hendrycks & Gimpel 2017; Chen et al. 2022, section 3.1; standard error: DeLong et al. 1988",
    scores=(Score("ood_auroc", "OoD ROC-AUC", "fraction", True, 0.0, 1.0, "generalization", verdict=True),),
    needs=("test", "ood"),
    measure=measure,
)
