"""Looking at processes by number without trusting the number: a pid may belong to somebody else by now."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process with this number exists, is not a zombie, and is ours to signal."""
    if pid <= 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False
    return _linux_state(pid) != "Z"


def _linux_state(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]


def looks_like_control_plane(pid: int) -> bool:
    """Whether its command line is a `serve` of ours. True where the system does not tell (no /proc)."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "serve" in words and any("mission_control" in word or "mission-control" in word for word in words)


def ask_to_end(pid: int) -> None:
    """SIGTERM: a control plane detaches from its agents and ends; they live on. ProcessLookupError if it is gone."""
    os.kill(pid, signal.SIGTERM)
