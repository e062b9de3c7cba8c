"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    scratch.write_bytes(content)
    scratch.replace(path)
