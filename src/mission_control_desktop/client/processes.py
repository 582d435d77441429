"""Processes that outlive us, and looking at processes by number without trusting the number: a pid may belong to
somebody else by now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from mission_control_desktop.domain.errors import Unavailable

MAX_LOG_BYTES = 16 * 1024 * 1024


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


class Detached(subprocess.Popen[bytes]):
    """A process that outlives us on purpose: no warning about that when we go."""

    def __del__(self) -> None:
        return None


def start_detached(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> int:
    """Start a program that goes on without us, its standard error in `log`; its pid. Blocking. Unavailable if it cannot
    be started."""
    try:
        descriptor = open_log(log)
    except OSError as error:
        raise Unavailable(f"{log} cannot be written: {error.strerror}") from error
    try:
        process = Detached(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=descriptor,
            env=dict(environ),
            cwd=log.parent,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be started: {error.strerror}") from error
    finally:
        os.close(descriptor)
    # One that ends before us leaves no zombie.
    threading.Thread(target=process.wait, name="reaper", daemon=True).start()
    return process.pid


def open_log(path: Path) -> int:
    """A descriptor that appends to a log of a detached process; one that has become large is put aside. OSError."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
