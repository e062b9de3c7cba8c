"""Where files that travel with the package are: inside it when installed, in the checkout when editable."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def tasks() -> Path:
    """The folder of shipped task files."""
    inside = _PACKAGE / "tasks"
    return inside if inside.is_dir() else _CHECKOUT / "tasks"


def templates() -> Path:
    """The folder of page templates."""
    inside = _PACKAGE / "templates"
    return inside if inside.is_dir() else _CHECKOUT / "reports" / "templates"
