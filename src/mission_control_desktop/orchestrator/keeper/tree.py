"""What is done to the tree of processes below the keeper. Standard library only.

Each action is a generator: it yields the seconds after which it wants to go on, and returns the processes that it
signalled, those that are left (alive, or still running after a freeze, or still stopped after a thaw), and errors.
"""

from __future__ import annotations

import os
import signal
import time

from mission_control_desktop.orchestrator.keeper.processes import (
    Process,
    all_threads_stopped,
    descendants,
    read_process,
    send_signal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Action = Generator[float, None, tuple[list[Process], list[Process], list[str]]]

FREEZE_SECONDS, KILL_SECONDS, TERM_SECONDS = 2.0, 5.0, 0.5


class Tree:
    """All descendants of `pid`, a sub-reaper; `reap` collects those of its children that have ended."""

    def __init__(self, pid: int, reap: Callable[[], None]) -> None:
        self._pid = pid
        self._reap = reap
        self._frozen = False
        self._stopped_before: set[tuple[int, int]] = set()

    def walk(self) -> list[Process]:
        """The living, parents before children."""
        return descendants([self._pid])

    def freeze(self) -> Action:
        hit: dict[tuple[int, int], Process] = {}
        errors: list[str] = []
        deadline, nudge_at, clean = time.monotonic() + FREEZE_SECONDS, time.monotonic() + 0.5, 0
        while True:
            tree = self.walk()
            new = [process for process in tree if process.id not in hit]
            for process in new:
                if process.state in "Tt" and not self._frozen:
                    self._stopped_before.add(process.id)
                hit[process.id] = process
                if error := send_signal(process, signal.SIGSTOP):
                    errors.append(error)
            left = [process for process in tree if not all_threads_stopped(process)]
            # Twice: a child may have been born after the list of pids was read and before its parent stopped.
            clean = clean + 1 if not new and not left else 0
            if clean == 2 or time.monotonic() > deadline:
                break
            if left and time.monotonic() > nudge_at:
                # A parent in vfork cannot stop before its child has gone on: let such children run for a moment.
                waiting = {process.pid for process in left if process.state == "D"}
                children = [process for process in tree if process.ppid in waiting]
                for process in children:
                    send_signal(process, signal.SIGCONT)
                yield 0.02
                for process in children:
                    send_signal(process, signal.SIGSTOP)
            yield 0.0 if new or not left else 0.002
        self._frozen = True
        return list(hit.values()), left, errors

    def thaw(self) -> Action:
        tree = [process for process in reversed(self.walk()) if process.id not in self._stopped_before]
        errors = [error for process in tree if (error := send_signal(process, signal.SIGCONT))]
        self._frozen = False
        self._stopped_before.clear()
        hit = {process.id for process in tree}
        for _ in range(50):
            yield 0.001
            left = [process for process in self.walk() if process.id in hit and process.state in "Tt"]
            if not left:
                break
        return tree, left, errors

    def term(self) -> Action:
        tree = self.walk()
        errors = [error for process in tree if (error := send_signal(process, signal.SIGTERM))]
        # After SIGTERM, so that it is the first thing that a stopped process meets.
        for process in tree:
            if self._frozen or process.state in "Tt":
                send_signal(process, signal.SIGCONT)
        self._frozen = False
        self._stopped_before.clear()
        deadline = time.monotonic() + TERM_SECONDS
        while (left := self.walk()) and time.monotonic() < deadline:
            yield 0.02
        return tree, left, errors

    def kill(self) -> Action:
        hit: dict[tuple[int, int], Process] = {}
        errors: list[str] = []
        deadline, empty = time.monotonic() + KILL_SECONDS, 0
        while time.monotonic() < deadline:
            left = self.walk()
            errors.clear()
            for process in left:
                hit[process.id] = process
                if error := send_signal(process, signal.SIGKILL):
                    errors.append(error)
            self._kill_children(hit)
            empty = 0 if left else empty + 1
            if empty == 2:
                break
            yield 0.002 if left else 0.0
        self._frozen = False
        return list(hit.values()), left, errors

    def _kill_children(self, hit: dict[tuple[int, int], Process]) -> None:
        """Quicker than a walk, for processes that fork and exit all the time: their orphans come straight to us.

        A child's pid cannot be given again before we reap it, so a plain kill is safe here.
        """
        for _ in range(100):
            try:
                with open(f"/proc/{self._pid}/task/{self._pid}/children", "rb", buffering=0) as file:
                    children = [int(pid) for pid in file.read(65536).split()]
            except (OSError, ValueError):  # a kernel without it
                children = []
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:  # another user's: the walk reports it
                    continue
                if (process := read_process(pid)) is not None:
                    hit[process.id] = process
            self._reap()
            if not children:
                return
