"""Processes as /proc tells of them: trees, states, and signals that hit nobody else. Linux; standard library only."""

from __future__ import annotations

import os
import signal
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STOPPED = "TtZX"


class Process:
    """One line of /proc/PID/stat; `start` is in clock ticks since boot."""

    __slots__ = ("comm", "group", "pid", "ppid", "session", "start", "state", "threads")

    def __init__(self, pid: int, stat: bytes) -> None:
        head, _, tail = stat.rpartition(b")")  # a name may hold spaces and parentheses: the last one ends it
        fields = tail.split()
        self.pid = pid
        self.comm = head.partition(b"(")[2].decode("utf-8", "replace")
        self.state = fields[0].decode("ascii")
        self.ppid, self.group, self.session = int(fields[1]), int(fields[2]), int(fields[3])
        self.threads = int(fields[17])
        self.start = int(fields[19])

    @property
    def id(self) -> tuple[int, int]:
        return self.pid, self.start

    @property
    def ended(self) -> bool:
        """Whether nothing of it can run. One whose first thread has ended looks like a zombie while others run."""
        return self.state == "X" or (self.state == "Z" and self.threads <= 1)


def read_process(pid: int) -> Process | None:
    """The process as it is now, zombies included; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
            return Process(pid, stat.read(4096))
    except (OSError, IndexError, ValueError):
        return None


def boot_id() -> str:
    """Which start of the computer this is; empty where the kernel does not say. Pids mean nothing beyond it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def all_processes() -> list[Process]:
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def descendants(roots: Iterable[int], processes: list[Process] | None = None) -> list[Process]:
    """Living descendants of the pids in `roots` (not these themselves), parents before children."""
    children: dict[int, list[Process]] = {}
    for process in all_processes() if processes is None else processes:
        if not process.ended:
            children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    seen = set(roots)
    todo = deque(seen)
    while todo:
        for process in children.get(todo.popleft(), ()):
            if process.pid not in seen:
                seen.add(process.pid)
                found.append(process)
                todo.append(process.pid)
    return found


def all_threads_stopped(process: Process) -> bool:
    """Whether no thread of the process can run. A first thread that ended looks like a zombie while others run."""
    try:
        threads = os.listdir(f"/proc/{process.pid}/task")
    except OSError:
        return True
    for thread in threads:
        try:
            with open(f"/proc/{process.pid}/task/{thread}/stat", "rb", buffering=0) as stat:
                state = stat.read(4096).rpartition(b")")[2].split()[0].decode("ascii")
        except (OSError, IndexError):
            continue
        if state not in STOPPED:
            return False
    return True


def command_line(process: Process) -> str:
    try:
        with open(f"/proc/{process.pid}/cmdline", "rb", buffering=0) as file:
            text = file.read(2048).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        text = ""
    return text[:500] or f"[{process.comm}]"


def send_signal(process: Process, number: int) -> str | None:
    """Signal exactly this process. None if it was signalled or is gone, else the error's text."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    except (OSError, AttributeError):
        handle = -1  # an old kernel, or a filter that does not know the call
    try:
        now = read_process(process.pid)
        if now is None or now.start != process.start:
            return None
        if handle >= 0:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return None
    except OSError as error:
        return f"{process.pid}: {error.strerror}"
    finally:
        if handle >= 0:
            os.close(handle)
    return None
