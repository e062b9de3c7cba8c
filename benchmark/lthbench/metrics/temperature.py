"""Calibration after temperature scaling: what one number, fitted on validation images, can mend."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.ece import BINS


def measure(context: Context) -> list[Value]:
    """The temperature with the least NLL on validation images; ECE and NLL of test images with it."""
    import numpy as np

    from lthbench import scoring

    held = context.logits("val")
    logits = context.logits("test")
    temperature = scoring.best_temperature(held.values, held.labels)
    scaled = logits.values.astype(np.float64) / temperature
    losses = -np.take_along_axis(scoring.log_softmax(scaled), logits.labels[:, None], 1)[:, 0]
    confidence = np.exp(scoring.log_confidence(scaled))
    correct = scoring.hits(logits.values, logits.labels)
    n = len(losses)
    low, high = scoring.search_range(held.values)
    error = scoring.temperature_error(held.values, held.labels, temperature)
    none = f"of temperatures from {low:.3g} to {high:.3g}, none has less NLL than those on both sides of it"
    return [
        Value("temperature", temperature, error, len(held.labels), reason=none if np.isnan(error) else ""),
        Value("ece_scaled", *scoring.expected_calibration_error(confidence, correct, BINS), n),
        Value("nll_scaled", *scoring.mean_and_error(losses), n),
    ]


METRIC = Metric(
    name="temperature",
    version=3,
    values_since=1,  # version 3 searches further for logits that are far smaller or larger than usual
    title="temperature scaling",
    formula="T = argmin of the NLL of logits / T on validation images; ECE and NLL of test logits / T",
    source="Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2",
    scores=(
        Score("temperature", "temperature", "ratio", False, 0.0, float("inf"), "uncertainty"),
        Score("ece_scaled", "ECE, temperature-scaled", "fraction", False, 0.0, 1.0, "uncertainty"),
        Score("nll_scaled", "NLL, temperature-scaled", "nats", False, 0.0, float("inf"), "uncertainty"),
    ),
    needs=("val", "test"),
    measure=measure,
)
