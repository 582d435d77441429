"""Looking at processes by number without trusting the number: a pid may belong to somebody else by now."""

from __future__ import annotations

import contextlib
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


def listens(pid: int, port: int) -> bool | None:
    """Whether this very process accepts connections on the TCP port; None where the system does not tell.

    Linux: the listening sockets of the port (/proc/net/tcp*, state 0A) against the process's open files.
    """
    if not sys.platform.startswith("linux"):
        return None
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.readlink(descriptor) in inodes:
                return True
    return False
