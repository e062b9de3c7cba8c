"""The files that a user's own plug-in imports beside it: they are not in its hash."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from pathlib import Path

from lthbench.errors import PluginWarning


def warn_of_imports(path: Path, content: bytes) -> None:
    """Warn of the modules that a plug-in's file imports beside it."""
    if beside := imported_beside(path, content):
        warnings.warn(
            f"{path.name} imports {' and '.join(beside)}, whose code is not in its hash: when that changes, "
            "stored results are taken as they are. Keep all in one file, or raise the plug-in's version.",
            PluginWarning,
            stacklevel=3,
        )


def imported_beside(path: Path, content: bytes) -> list[str]:
    """The modules that a plug-in's file imports, at the top or inside of functions, and that lie beside it.

    That is in its folder, above or below it, and not where packages are installed. Nothing is imported.
    """
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):  # which whoever runs it is told
        return []
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    first = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"lthbench"}
    return sorted(name for name in first if _is_beside(path, name))


def _is_beside(path: Path, name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    origin = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
    if origin is None or origin == path or {"site-packages", "dist-packages"} & set(origin.parts):
        return False
    return origin.is_relative_to(path.parent) or path.is_relative_to(origin.parent)
