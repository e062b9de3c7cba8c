"""Accuracy by class, and what a network forgets of its dense parent: against scikit-learn and loops."""

import csv
import io

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from lthbench import registry, scoring
from lthbench.kinds import Logits, Metric


class Given:
    """A context with logits of test images; what is attached is kept."""

    def __init__(self, values, labels, reference=None):
        self.test, self.reference, self.attached = Logits(values, labels, {}), reference, {}
        self.own = reference is None

    def logits(self, name):
        """Those of the test images."""
        assert name == "test"
        return self.test

    def numbers(self, name):
        """As if some images had been taken of a longer test set, in an order of their own."""
        assert name == "test"
        return NUMBERS

    def attach(self, name, content):
        """Keeps a file."""
        self.attached[name] = list(csv.DictReader(io.StringIO(content.decode())))


NUMBERS = np.random.default_rng(2).permutation(1000)[:300]
LABELS = np.random.default_rng(1).choice(5, 300, p=[0.5, 0.2, 0.15, 0.1, 0.05])


def sample(seed, sure=2.0):
    """Logits of 300 images of five unequal classes."""
    return np.float32(np.random.default_rng(seed).normal(0, 1, (300, 5)) + sure * np.eye(5)[LABELS])


def measured(name, context):
    return {(v.score, v.variant): v for v in registry.get(Metric, name).measure(context)}


def test_accuracy_by_class_is_that_of_scikit_learn():
    context = Given(sample(0), LABELS)
    values = measured("class-accuracy", context)
    predicted = context.test.values.argmax(1)
    table = confusion_matrix(LABELS, predicted)
    shares = table.diagonal() / table.sum(1)
    assert values["balanced_accuracy", ""].value == pytest.approx(balanced_accuracy_score(LABELS, predicted))
    assert values["worst_class_accuracy", ""].value == pytest.approx(shares.min())
    for label, share in enumerate(shares):
        value = values["balanced_accuracy", f"class {label}"]
        n = int(table.sum(1)[label])
        assert (value.value, value.n) == (pytest.approx(share), n)
        assert value.se == pytest.approx(np.sqrt(share * (1 - share) / (n - 1)))
    assert [int(r["right"]) for r in context.attached["classes.csv"]] == table.diagonal().tolist()


def test_a_class_that_is_not_in_the_images_is_left_out():
    rows = LABELS != 3
    values = measured("class-accuracy", Given(sample(0)[rows], LABELS[rows]))
    assert ("balanced_accuracy", "class 3") not in values
    assert np.isfinite(values["worst_class_accuracy", ""].value)


def test_many_classes_are_kept_in_the_file_alone():
    labels = np.arange(101).repeat(2)
    context = Given(np.float32(np.eye(101)[labels]), labels)
    values = measured("class-accuracy", context)
    assert sorted(values) == [("balanced_accuracy", ""), ("worst_class_accuracy", "")]
    assert len(context.attached["classes.csv"]) == 101


def test_draws_are_the_scores_of_resampled_images():
    values, dense = sample(1, 1.0), sample(2, 1.5)
    drawn = measured("forgetting", Given(values, LABELS, Given(dense, LABELS)))["class_loss", ""].draws
    least = measured("class-accuracy", Given(values, LABELS))["worst_class_accuracy", ""].draws
    for r in (0, 7, 199):
        times = scoring.resamples(300)[r].astype(int)
        again, parent = (
            np.repeat(values, times, 0),
            Given(np.repeat(dense, times, 0), np.repeat(LABELS, times)),
        )
        context = Given(again, parent.test.labels, parent)
        assert measured("forgetting", context)["class_loss", ""].value == pytest.approx(drawn[r])
        assert measured("class-accuracy", context)["worst_class_accuracy", ""].value == pytest.approx(
            least[r]
        )


def test_what_is_forgotten_is_counted_image_by_image():
    dense, pruned = Given(sample(3), LABELS), sample(4, 1.0)
    context = Given(pruned, LABELS, dense)
    values = measured("forgetting", context)
    lost, won, classes = [], 0, dict.fromkeys(range(5), 0)
    for image, (a, b, label) in enumerate(zip(dense.test.values, pruned, LABELS, strict=True)):
        right_before, right_now = a.argmax() == label, b.argmax() == label
        classes[label] += int(right_before) - int(right_now)
        won += right_now and not right_before
        if right_before and not right_now:
            lost.append({"image": NUMBERS[image], "label": label, "dense": a.argmax(), "pruned": b.argmax()})
    assert values["forgotten", ""].value == pytest.approx(len(lost) / 300)
    assert values["learned", ""].value == pytest.approx(won / 300)
    losses = {c: loss / int(np.sum(c == LABELS)) for c, loss in classes.items()}
    worst = max(losses, key=losses.get)
    assert values["class_loss", ""].value == pytest.approx(losses[worst])
    assert values["class_loss", ""].reason.startswith(f"class {worst}, ")
    lost.sort(key=lambda row: row["image"])
    assert context.attached["forgotten.csv"] == [{k: str(v) for k, v in row.items()} for row in lost]


def test_the_difference_of_the_shares_is_that_of_the_accuracies():
    dense, pruned = Given(sample(3), LABELS), Given(sample(4, 1.0), LABELS)
    values = measured("forgetting", Given(pruned.test.values, LABELS, dense))
    before, now = (scoring.hits(g.test.values, LABELS).mean() for g in (dense, pruned))
    assert before - now == pytest.approx(values["forgotten", ""].value - values["learned", ""].value)


def test_a_network_is_not_held_against_itself():
    assert all(
        np.isnan(v.value) and "itself" in v.reason
        for v in measured("forgetting", Given(sample(0), LABELS)).values()
    )
