"""A concept bottleneck after the fact: what a linear reader of concepts can say of a network's features.

For each concept of a bank a linear support vector machine tells images that have it from those that have not,
by the network's pooled features (its concept activation vector); features are projected on these vectors, and
a sparse linear head reads the classes from the projections (Yuksekgonul et al. 2023, Post-hoc Concept
Bottleneck Models).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lthbench.kinds import Annotated
from lthbench.scoring import Floats
from lthbench.textfiles import csv_bytes

#: Images with and without a concept that a vector is fitted to; as many are held out.
SAMPLES = 50
#: The penalty of the support vector machine.
PENALTY = 0.1
#: Elastic net of the head: its strength and the share of its L1 part.
STRENGTH, L1 = 1e-3, 0.99
#: The share of an image's pixels that a concept must have to be in it.
PRESENT = 0.01
#: A vector tells its concept where the held-out area under the curve is at least this.
TOLD = 0.7


class Vectors(NamedTuple):
    """Concept activation vectors: ``directions`` ``[concepts, units]`` of length 1, ``offsets`` and held-out
    ``auc``.

    NaN for a concept that too few images have, or too few lack.
    """

    directions: Floats
    offsets: Floats
    auc: Floats


def vectors(features: NDArray[np.float32], bank: Annotated) -> Vectors:
    """The vectors by features ``[images, units]`` of a bank's images."""
    from sklearn.metrics import roc_auc_score
    from sklearn.svm import SVC

    concepts, units = len(bank.names), features.shape[1]
    directions, offsets, auc = (np.full(s, np.nan) for s in ((concepts, units), concepts, concepts))
    centre, spread = features.mean(0), features.std(0) + 1e-6
    scaled = (features - centre) / spread
    present = shares(bank) >= PRESENT
    for k in range(concepts):
        has = present[:, k]
        draw = np.random.Generator(np.random.PCG64(k))
        sides = [draw.permutation(np.flatnonzero(has == side)) for side in (True, False)]
        if min(map(len, sides)) < 2 * SAMPLES:
            continue
        train, test = (np.concatenate([s[a : a + SAMPLES] for s in sides]) for a in (0, SAMPLES))
        model = SVC(C=PENALTY, kernel="linear").fit(scaled[train], has[train])
        auc[k] = roc_auc_score(has[test], model.decision_function(scaled[test]))
        weight = model.coef_[0] / spread
        length = max(float(np.linalg.norm(weight)), 1e-12)
        directions[k] = weight / length
        offsets[k] = (float(model.intercept_[0]) - float(weight @ centre)) / length
    return Vectors(directions, offsets, auc)


def shares(bank: Annotated) -> Floats:
    """The share of each image's pixels that have each concept, in any layer: ``[images, concepts]``.

    All concepts are counted in one pass over the masks.
    """
    n, layers, height, width = bank.layers.shape
    counts = np.zeros((n, len(bank.names) + 1), dtype=np.int64)
    for image, labelled in zip(counts, bank.layers.reshape(n, layers, -1), strict=True):
        for later, layer in enumerate(labelled):
            # A concept that a pixel has in two layers counts once.
            again = (labelled[:later] == layer).any(0)
            image += np.bincount(layer[~again], minlength=len(image))
    found: Floats = counts[:, 1:] / (height * width)
    return found


class Head(NamedTuple):
    """A sparse linear head: ``weights`` ``[classes, concepts]`` over standardised projections, and which test
    images it gets ``right`` (1.0 or 0.0, ``[images]``).

    ``classes`` are the labels of the rows (of two classes there is one row, for the second), ``concepts`` the
    places of the columns in the bank.
    """

    weights: Floats
    right: Floats
    classes: NDArray[np.int64]
    concepts: NDArray[np.int64]


def head(
    found: Vectors,
    kept: NDArray[np.bool_],
    train: tuple[NDArray[np.float32], NDArray[np.int64]],
    test: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> Head:
    """The head on the ``kept`` concepts, fitted to (features, labels) and scored on others."""
    import warnings

    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    projected = [f @ found.directions[kept].T + found.offsets[kept] for f in (train[0], test[0])]
    centre, spread = projected[0].mean(0), projected[0].std(0) + 1e-12
    first, second = ((p - centre) / spread for p in projected)
    # The penalty's name went in scikit-learn 1.8; before, l1_ratio needs it.
    old = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8)
    more: dict[str, Any] = {"penalty": "elasticnet"} if old else {}
    strength = 1.0 / (STRENGTH * len(first))
    model = LogisticRegression(
        solver="saga", l1_ratio=L1, C=strength, tol=1e-3, max_iter=500, random_state=0, **more
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(first, train[1])
    classes = model.classes_[-len(model.coef_) :]
    right = (model.predict(second) == test[1]).astype(np.float64)
    return Head(model.coef_, right, classes, np.flatnonzero(kept))


def as_csv(read: Head, bank: Annotated) -> bytes:
    """The weights of a head that are not zero: class (from 1), concept, its category, and the weight."""
    rows: list[tuple[object, ...]] = []
    for label, weights in zip(read.classes, read.weights, strict=True):
        for place in np.argsort(-weights, kind="stable"):
            if weights[place]:
                k = read.concepts[place]
                rows.append((label + 1, bank.names[k], bank.categories[k], f"{weights[place]:.6g}"))
    return csv_bytes(("class", "concept", "category", "weight"), rows)


def top_overlap(ours: Floats, theirs: Floats, k: int) -> Floats:
    """For each class, intersection over union of the ``k`` concepts with the largest weights.

    Concepts whose weight is not above zero do not count: sparse heads must not agree by these. NaN for a
    class that no concept speaks for in either head.
    """
    a, b = (_speaking(weights, k) for weights in (ours, theirs))
    either = (a | b).sum(1)
    return np.where(either > 0, (a & b).sum(1) / np.maximum(either, 1), np.nan)


def overlap_by_chance(ours: Floats, theirs: Floats, k: int) -> Floats:
    """The expected ``top_overlap`` of as many concepts of each class, drawn independently for each head."""
    from scipy.stats import hypergeom

    concepts = ours.shape[1]
    sizes = [_speaking(weights, k).sum(1) for weights in (ours, theirs)]
    found = np.full(len(ours), np.nan)
    for label, (a, b) in enumerate(zip(*sizes, strict=True)):
        if a + b:
            shared = np.arange(min(a, b) + 1)
            found[label] = (hypergeom.pmf(shared, concepts, a, b) * shared / (a + b - shared)).sum()
    return found


def _speaking(weights: Floats, k: int) -> NDArray[np.bool_]:
    """Which concepts are among the ``k`` with the largest weights of a class, and above zero."""
    tops = np.zeros(weights.shape, dtype=np.bool_)
    np.put_along_axis(tops, np.argsort(-weights, axis=1, kind="stable")[:, :k], True, axis=1)
    return tops & (weights > 0)
