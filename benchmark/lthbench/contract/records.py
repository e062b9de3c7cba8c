"""What every kind of plug-in promises of its record and its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from lthbench import registry
from lthbench.contract.broken import Broken, demand
from lthbench.kinds import Architecture, Method
from lthbench.report.families import FAMILIES

#: What takes long to import, and so is imported inside of functions only.
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "sklearn", "scipy", "skimage")
TEXTS = ("title", "formula", "source", "cost", "licence")


def says_what_it_is(kind: type[Any], record: Any) -> None:
    """Says what it is: no text of its record is empty, its family is one that there is, and its name is
    found however it is spelt.
    """
    empty = [f for f in TEXTS if hasattr(record, f) and not getattr(record, f).strip()]
    demand(not empty, f"empty: {', '.join(empty)}")
    if kind is Architecture:
        networks = ("convolutional", "transformer")
        demand(record.family in networks, f"family {record.family!r} is none of {', '.join(networks)}")
    if kind is Method:
        one_word = len(record.family.split()) <= 1
        demand(one_word, f"family {record.family!r} is none of {', '.join(FAMILIES)}, nor one word")
    other = record.name.upper().replace("-", "_")
    demand(registry.get(kind, other) == record, f"{other} is another plug-in")


def imports_nothing_heavy(kind: type[Any], name: str) -> None:
    """Imports no torch, NumPy or pandas at the top of its file, so that lists and plans answer at once."""
    code = (
        "import json, sys\n"
        "from lthbench import kinds, registry\n"
        f"registry.get(getattr(kinds, {kind.__name__!r}), {name!r})\n"
        f"print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))\n"
    )
    places = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        check=False,
    )
    if done.returncode:
        raise Broken(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "cannot be imported")
    heavy = json.loads(done.stdout.splitlines()[-1])
    demand(not heavy, f"imports {', '.join(heavy)}; import inside of the functions that need it")
