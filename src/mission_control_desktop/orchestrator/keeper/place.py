"""A keeper's directory: the names in it, what launch.json may say, and taking possession. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time

from mission_control_desktop.orchestrator.keeper.stopfile import StopFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARKER_VARIABLE = "MISSION_CONTROL_KEEPER"
JOURNAL, SOCKET, LAUNCH, IDENTITY = "journal.jsonl", "keeper.sock", "launch.json", "keeper.json"


class Limits:
    """What launch.json may set beside the command; sizes in bytes, times in seconds."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self.line = int(launch.get("maxLineBytes") or 32 << 20)
        self.stderr_line = int(launch.get("stderrLineBytes") or 8192)
        self.pending = int(launch.get("pendingBytes") or 4 << 20)
        self.stdin = int(launch.get("stdinBytes") or 48 << 20)
        self.linger = float(launch.get("lingerSeconds") or 600)
        path = launch.get("stopFile")
        self.stop_file = StopFile(path) if isinstance(path, str) and path else None
        self.provider = str(launch.get("provider") or "")
        self.cgroup = launch.get("cgroup") is not False


def write_file(name: str, content: bytes, directory: int) -> None:
    """Whole or not at all, mode 0600."""
    fd = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
    os.replace(name + ".new", name, src_dir_fd=directory, dst_dir_fd=directory)


def prepare(path: str) -> tuple[int, dict[str, Any], socket.socket, int]:
    """Directory, launch data, listening socket and locked journal; raises OSError, ValueError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fd = os.open(LAUNCH, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb") as file:
        launch = json.loads(file.read())
    if not isinstance(launch, dict):
        raise ValueError("launch.json is no object")
    journal = os.open(JOURNAL, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory)
    fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the keeper ends: there is one per directory
    if SOCKET in os.listdir(directory):
        os.unlink(SOCKET, dir_fd=directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchdir(directory)  # a socket's path is limited to 107 bytes: bind by its bare name
    listener.bind(SOCKET)
    os.chmod(SOCKET, 0o600)
    os.chdir("/")
    listener.listen(16)
    listener.setblocking(False)
    return directory, launch, listener, journal


def complain(error: Exception) -> None:
    """A line in keeper.log, which is standard error: kind and place of a fault, without what was being handled."""
    place, trace = "?", error.__traceback__
    while trace is not None:
        place, trace = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}", trace.tb_next
    sys.stderr.write(f"{time.time():.3f} {type(error).__name__}: {error} ({place})\n")
    sys.stderr.flush()
