"""Libraries whose versions numbers depend on, torch and numpy apart."""

from __future__ import annotations

from functools import cache
from importlib import metadata

#: By the names of their distributions. captum makes maps, dreamsim and pyautoattack scores of these names and
#: robustbench networks; pillow decodes and scales images, scikit-image cuts superpixels, scikit-learn fits
#: concepts, and scipy smooths, ranks and solves.
LIBRARIES = (
    "captum",
    "dreamsim",
    "pillow",
    "pyautoattack",
    "robustbench",
    "scikit-image",
    "scikit-learn",
    "scipy",
)


@cache
def versions() -> dict[str, str]:
    """The version of each that is installed; none of them is imported."""
    found = {}
    for name in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if isinstance(version, str):  # a broken installation has none
            found[name] = version
    return found
