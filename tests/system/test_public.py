"""What users have must go on working: the public names, and the keys of one plan of each task."""

import hashlib
import importlib
from dataclasses import replace

import pytest

from lthbench.planning import request
from lthbench.planning.plan import plan

# What README and the template's plug-in import, and what a plug-in of anyone's may: its file is hashed into
# its keys, so an author who has to edit an import line loses every stored result.
PUBLIC = {
    "lthbench": ("__version__", "run", "score"),
    "lthbench.kinds": [
        "Architecture",
        "Bank",
        "Cell",
        "Context",
        "Counts",
        "Criterion",
        "Dataset",
        "Images",
        "Logits",
        "Method",
        "Metric",
        "Score",
        "Value",
    ],
    "lthbench.spec": [
        "Data",
        "Explain",
        "Given",
        "Init",
        "Inputs",
        "Measure",
        "Network",
        "Predict",
        "Prune",
        "Recipe",
        "Rewind",
        "Step",
        "Train",
    ],
    "lthbench.masks": [
        "allocated",
        "apply",
        "collapsed",
        "count",
        "counted",
        "packed",
        "prunable",
        "top",
        "top_kernels",
        "unpacked",
    ],
    "lthbench.registry": ["criterion", "get", "version", "every"],
    "lthbench.contract": ("check",),
    "lthbench.scoring": [
        "average_precision",
        "best_temperature",
        "bins_of",
        "calibration_bins",
        "debiased_error",
        "equal_mass_bins",
        "expected_calibration_error",
        "false_positives_at",
        "resampled_auc",
        "resampled_ece",
        "roc_auc",
        "static_calibration_error",
    ],
    "lthbench.errors": ["BadInput", "LthbenchError", "StepFailed", "unknown"],
    "lthbench.cli": ("main",),
}

# Metrics that came later: the pinned plans do not ask for them.
LATER = ("class-accuracy", "forgetting")

# One plan of each task: how many steps, and a hash of their keys, where no data set has been looked at. A key
# moves only together with a version that says why.
KEYS = {
    "c10-r18": (1482, "b0278f6cd3a0282b"),
    "c10-r20s": (1512, "8b4403b17f06d48a"),
    "c10-vgg11": (1512, "2a887a4341f4c1ed"),
    "c10-vit": (1512, "b7c99deeb0cf371e"),
    "c10-wrn28-10": (1512, "e488dc606f32316a"),
    "c100-r18": (1482, "8bb0d071b0b3d83e"),
    "c100-r20s": (1512, "8922675d860163b6"),
    "c100-vgg11": (1512, "09073baf901803b6"),
    "c100-wrn28-10": (1512, "7729fc441d9a54bf"),
    "clothing10-r18": (1419, "a047d59e67c74cf1"),
    "cub-r50": (1422, "94a5e087e0bb98d3"),
    "derma-r18": (1482, "d2a0447f9f1c8c8d"),
    "digits-r8": (1281, "3086a7a1c550eef1"),
    "imagenette-r18": (1422, "3b4e63935358024b"),
    "img-googlenet": (1422, "38345489db23a43e"),
    "img-r50": (1422, "20d3032be8c7063c"),
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    found = importlib.import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize("task", KEYS)
def test_plans_have_the_keys_that_they_had(task):
    asked = request.ask(task)
    asked = replace(asked, metrics=tuple(m for m in asked.metrics if m not in LATER))
    steps = plan(asked, (), data_needed=False).steps
    digest = hashlib.sha256("".join(sorted(step.key for step in steps)).encode()).hexdigest()
    assert (len(steps), digest[:16]) == KEYS[task]
