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
    "c10-r18": (1482, "fdf92f4ab34f203a"),
    "c10-r20s": (1512, "5e78f078819a2df1"),
    "c10-vgg11": (1512, "2fdc829f0d1901f2"),
    "c10-vit": (1512, "0743136006e57f45"),
    "c10-wrn28-10": (1512, "09c50658ec37bf65"),
    "c100-r18": (1482, "879000a1a3998f89"),
    "c100-r20s": (1512, "6ecee1f3cb9338e2"),
    "c100-vgg11": (1512, "9514c825e51b85ec"),
    "c100-wrn28-10": (1512, "a5ca6b403c9ee96a"),
    "clothing10-r18": (1419, "839563b3825f1baf"),
    "cub-r50": (1422, "f66120d5a86db253"),
    "derma-r18": (1482, "2f8a96b7c10dd6b2"),
    "digits-r8": (1281, "c3c3606c6910142d"),
    "imagenette-r18": (1422, "ae6190e70a54d7c7"),
    "img-googlenet": (1422, "d4257402b196724d"),
    "img-r50": (1422, "2a8e2aad1fe33b20"),
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
