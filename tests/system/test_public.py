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
    "c10-r18": (1482, "3e51a3f6a7adca8e"),
    "c10-r20s": (1512, "575c542b5b392896"),
    "c10-vgg11": (1512, "82fee5d35de1262d"),
    "c10-vit": (1512, "d75198f073562d4b"),
    "c10-wrn28-10": (1512, "301cc9302e7033b8"),
    "c100-r18": (1482, "8840965b823fa82b"),
    "c100-r20s": (1512, "2f2c70491231640f"),
    "c100-vgg11": (1512, "e4e1a347e61186f4"),
    "c100-wrn28-10": (1512, "088d580aa6f9bd37"),
    "clothing10-r18": (1419, "4041d642ba96e133"),
    "cub-r50": (1422, "797fc6eb4bdaf848"),
    "derma-r18": (1482, "ac368b2050dbb97e"),
    "digits-r8": (1281, "5cb3ca80d188ef7a"),
    "imagenette-r18": (1422, "c4e9c7308131f0ab"),
    "img-googlenet": (1422, "7515a60b7c2d856f"),
    "img-r50": (1422, "7d072fedbe7535b4"),
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
