"""lthbench: is a pruned network still as good as the dense one it came from, on everything that matters?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lthbench._version import __version__

__all__ = ["__version__", "read", "run", "score"]

if TYPE_CHECKING:
    from lthbench.api import read, run, score


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # Looked up late, so that importing the package costs nothing.
    if name in ("read", "run", "score"):
        from lthbench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
