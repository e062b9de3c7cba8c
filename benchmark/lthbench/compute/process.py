"""Processes of this machine: which of them live."""

from __future__ import annotations

import os
import re
import socket


def host() -> str:
    """This machine's name as it stands in names of files."""
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64] or "host"


def alive(pid: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
