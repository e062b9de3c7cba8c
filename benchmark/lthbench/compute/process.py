"""Processes of this machine: which of them live, and whose numbers they bear."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import uuid
from functools import cache
from pathlib import Path


def host() -> str:
    """This machine's name as it stands in names of files."""
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64] or "host"


@cache
def machine() -> str:
    """This machine since it was started, and the container on it, as it stands in names of files.

    Where two processes are told the same, numbers of processes mean the same to both: one kernel since its
    start, and one namespace of process numbers. Containers have names of hosts that they share with others.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux: a number of the machine's own
        boot, numbers = f"{uuid.getnode():x}", ""
    return f"{host()[:40]}.{hashlib.sha256(f'{boot} {numbers}'.encode()).hexdigest()[:12]}"


def alive(pid: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def born(pid: int) -> str:
    """When a process started, as its kernel counts: numbers of processes are used again. "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
