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
    "c10-r18": (1482, "0ebb2a7af152610f"),
    "c10-r20s": (1512, "12ba6d3ce0aef2aa"),
    "c10-vgg11": (1512, "bab79f218cc9055d"),
    "c10-vit": (1512, "2c15e30b07dc0c5a"),
    "c10-wrn28-10": (1512, "544e791c92a85c68"),
    "c100-r18": (1482, "c2b59ec68c898edb"),
    "c100-r20s": (1512, "9385b222e16750d9"),
    "c100-vgg11": (1512, "deddf8c004677a98"),
    "c100-wrn28-10": (1512, "06a5b89307c09296"),
    "clothing10-r18": (1419, "ffb7c8d08bf54d48"),
    "cub-r50": (1422, "c955ba35cf4947ce"),
    "derma-r18": (1482, "305580397a041aac"),
    "digits-r8": (1281, "45c27d048540f64d"),
    "imagenette-r18": (1422, "8bd908b940d7db8b"),
    "img-googlenet": (1422, "f948a6d3dcb9f59a"),
    "img-r50": (1422, "87fcb3111a66164f"),
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
