"""How well, and how stably, a linear model of superpixels explains a network."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value

_LACK = "a probability that no superpixel changes"


def measure(context: Context) -> list[Value]:
    """LIME fidelity and stability over images, as published and without the network's scale."""
    import numpy as np

    from lthbench.functional.lime import explained
    from lthbench.inference.folding import folded
    from lthbench.scoring import defined_value, mean_value

    pixels = np.ascontiguousarray(context.images("lime").pixels[:])
    found = explained(folded(context.network()), pixels)
    return [
        mean_value("lime_fidelity", found.fidelity),
        defined_value("lime_unexplained", found.scaled, _LACK),
        mean_value("lime_stability", found.stability),
        mean_value("lime_stability", found.per_segment)._replace(variant="per segment"),
        defined_value("lime_instability", found.moved, _LACK),
    ]


METRIC = Metric(
    name="lime",
    version=2,
    title="linear explanations (LIME)",
    formula="fidelity: mean squared residual of a weighted ridge regression of p(own top class) on "
    "superpixels, 1,000 copies; unexplained: fidelity / variance; stability: mean squared change of its "
    "coefficients when refitted around a random copy",
    source=(
        "Ribeiro et al. 2016, LIME; Chen et al. 2022, section 4.3. The raw forms reward networks that hardly "
        "react: the verdict takes the scale-free ones. Copies are weighted by their cosine distance, as the "
        "authors' code does (the paper: Hamming), and the residual is of the copies that the fit is made on"
    ),
    scores=(
        Score("lime_fidelity", "LIME fidelity", "probability²", False, 0.0, 1.0, "interpretability"),
        Score(
            "lime_unexplained",
            "LIME unexplained variance",
            "fraction",
            False,
            0.0,
            float("inf"),
            "interpretability",
            verdict=True,
            margin=0.05,
            margin_reason="a twentieth of the variance (lthbench's choice)",
            short="LIME unexplained",
            shortest="LIME",
        ),
        Score(
            "lime_stability", "LIME stability", "probability²", False, 0.0, float("inf"), "interpretability"
        ),
        Score(
            "lime_instability",
            "LIME instability",
            "ratio",
            False,
            0.0,
            float("inf"),
            "interpretability",
            verdict=True,
            margin=0.2,
            relative_margin=True,
            margin_reason="a fifth of the dense parent's: it has no natural scale (lthbench's choice)",
            shortest="inst",
        ),
    ),
    needs=(),
    looks=("lime",),
    nulls=True,
    passes=1000.0,
    measure=measure,
)
