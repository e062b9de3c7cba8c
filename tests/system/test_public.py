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
    "lthbench": ("__version__", "read", "run", "score"),
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
    "c10-r18": (1482, "8ceb0b78669ce3c1"),
    "c10-r20s": (1512, "9f8867934997c564"),
    "c10-vgg11": (1512, "00134ba166acc25d"),
    "c10-vit": (1512, "b89d7b611db527ad"),
    "c10-wrn28-10": (1512, "efa461e565a42488"),
    "c100-r18": (1482, "d66c87c851dcf46f"),
    "c100-r20s": (1512, "bb8ccecb9adb2cb7"),
    "c100-vgg11": (1512, "e978f78f26d3617e"),
    "c100-wrn28-10": (1512, "da6bb4a525c28536"),
    "clothing10-r18": (1419, "8547bd35f6671a9d"),
    "cub-r50": (1422, "c1b7b27b6cb03878"),
    "derma-r18": (1482, "570fa14e02af5a47"),
    "digits-r8": (1281, "6c1dfd661b9b06a7"),
    "imagenette-r18": (1422, "03e9c8ccf7a41678"),
    "img-googlenet": (1422, "111fbd5b4d578219"),
    "img-r50": (1422, "0c8bd1c6b7284d64"),
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    found = importlib.import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(found, name)] == []


def test_the_package_exports_its_verbs_and_no_more():
    import lthbench

    assert tuple(lthbench.__all__) == PUBLIC["lthbench"]


def test_what_is_read_has_what_programs_ask_for():
    from lthbench.api import Outcome

    there = {name for name in (*vars(Outcome), *Outcome.__dataclass_fields__) if not name.startswith("_")}
    assert {"table", "facts", "failures", "verdict", "compare", "report"} <= there


@pytest.mark.parametrize("task", KEYS)
def test_plans_have_the_keys_that_they_had(task):
    asked = request.ask(task)
    asked = replace(asked, metrics=tuple(m for m in asked.metrics if m not in LATER))
    steps = plan(asked, (), data_needed=False).steps
    digest = hashlib.sha256("".join(sorted(step.key for step in steps)).encode()).hexdigest()
    assert (len(steps), digest[:16]) == KEYS[task]
