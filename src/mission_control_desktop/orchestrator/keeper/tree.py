"""What is done to the processes that a keeper's agent started. Standard library only.

Each action is a generator: it yields the seconds after which it wants to go on, and returns the processes that it
signalled, those that are left (alive, or still running after a freeze, or still stopped after a thaw), and errors.
"""

from __future__ import annotations

import os
import signal
import time

from mission_control_desktop.orchestrator.keeper.processes import (
    Process,
    all_processes,
    all_threads_stopped,
    descendants,
    read_process,
    send_signal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mission_control_desktop.orchestrator.keeper.cgroup import Cgroup

    Action = Generator[float, None, tuple[list[Process], list[Process], list[str]]]

STILL_SECONDS = 0.02
"""How long the keeper has had no new child when nothing forks any more."""
FREEZE_SECONDS, KILL_SECONDS, TERM_SECONDS = 2.0, 5.0, 0.5
LIST_SECONDS = 0.02
"""How long a kill waits for the cgroup to stand still, so that what it killed can be named."""
BLOW_SECONDS = 0.1
"""How long the members of a cgroup may take to die before each is killed by itself."""
THAW_STEPS = 50


class Tree:
    """All descendants of `pid`, a sub-reaper, and all members of its agent's cgroup, if it has one; `reap` collects
    those of its children that have ended."""

    def __init__(self, pid: int, reap: Callable[[], None]) -> None:
        self._pid = pid
        self._reap = reap
        self.group: Cgroup | None = None
        self._frozen = self._group_frozen = False
        self._stopped_before: set[tuple[int, int]] = set()

    @property
    def held_by(self) -> str:
        return "sub-reaper" if self.group is None else "cgroup"

    def walk(self) -> list[Process]:
        """The living, parents before children."""
        everything = all_processes()
        found = descendants([self._pid], everything)
        if members := self._members():
            seen = {self._pid, *(process.pid for process in found)}
            found += [one for one in everything if one.pid in members and one.pid not in seen and not one.ended]
        return found

    @property
    def empty(self) -> bool:
        """Whether nothing lives: the cgroup says so, and the keeper has no child, hence no descendant. Looks at every
        process of the computer only where that cannot be said."""
        self._reap()
        if self.group is not None and self.group.populated:
            return self._pid in self._members() and not self.walk()
        if self._children() == []:
            return True
        return not self.walk() and not self.walk()  # twice: one may be born while pids are listed

    @property
    def stopped(self) -> set[int]:
        """Pids that the cgroup keeps from running; their own state does not show it."""
        held = self._group_frozen and self.group is not None and self.group.frozen
        return self._members() if held else set()

    def freeze(self) -> Action:
        hit: dict[tuple[int, int], Process] = {}
        errors: list[str] = []
        deadline = time.monotonic() + FREEZE_SECONDS
        if self.group is not None and self._pid not in self._members():
            self._group_frozen = self.group.freeze(True)
            while self._group_frozen and not self.group.frozen and time.monotonic() < deadline:
                yield 0.001
        nudge_at, clean = time.monotonic() + 0.5, 0
        while True:
            tree = self.walk()
            inside = self._members() if self._group_frozen else set()
            outside = [process for process in tree if process.pid not in inside]
            new = [process for process in outside if process.id not in hit]
            hit.update((process.id, process) for process in tree)
            for process in new:
                self._stop(process, errors)
            if outside or not self._group_frozen:
                new += yield from self._stop_children(hit, inside, errors, deadline)
            left = [process for process in outside if not all_threads_stopped(process)]
            # Twice: a child may have been born after the list of pids was read and before its parent stopped.
            clean = clean + 1 if not new and not left else 0
            if clean == 2 or (self._group_frozen and not outside) or time.monotonic() > deadline:
                break
            if left and time.monotonic() > nudge_at:
                # A parent in vfork cannot stop before its child has gone on: let such children run for a moment.
                waiting = {process.pid for process in left if process.state == "D"}
                children = [process for process in outside if process.ppid in waiting]
                for process in children:
                    send_signal(process, signal.SIGCONT)
                yield 0.02
                for process in children:
                    send_signal(process, signal.SIGSTOP)
            yield 0.0 if new or not left else 0.002
        self._frozen = True
        return list(hit.values()), left + self._running(tree, inside), errors

    def _stop(self, process: Process, errors: list[str]) -> None:
        if process.state in "Tt" and not self._frozen:
            self._stopped_before.add(process.id)
        if error := send_signal(process, signal.SIGSTOP):
            errors.append(error)

    def _stop_children(
        self, hit: dict[tuple[int, int], Process], inside: set[int], errors: list[str], deadline: float
    ) -> Generator[float, None, list[Process]]:
        """Those that a walk is too slow for, until none has come for a while: as in `_kill_children`, orphans come
        straight to us, but while they come and go not each reading names them all. What was found."""
        found: list[Process] = []
        still = time.monotonic() + STILL_SECONDS
        while time.monotonic() < min(still, deadline):
            for pid in self._children() or []:
                process = None if pid in inside else read_process(pid)
                if process is not None and not process.ended and process.id not in hit:
                    hit[process.id] = process
                    found.append(process)
                    self._stop(process, errors)
                    still = time.monotonic() + STILL_SECONDS
            yield 0.0005
        return found

    def _running(self, tree: list[Process], inside: set[int]) -> list[Process]:
        """Members of the cgroup that keep it from being frozen; all of them if that cannot be seen."""
        if not inside or self.group is None or self.group.frozen:
            return []
        members = [process for process in tree if process.pid in inside]
        return [process for process in members if process.state in "RD"] or members

    def thaw(self) -> Action:
        tree = [process for process in reversed(self.walk()) if process.id not in self._stopped_before]
        group, inside = (self.group, self._members()) if self._group_frozen else (None, set())
        errors = [] if group is None or group.freeze(False) else ["the cgroup cannot be thawed"]
        outside = [process for process in tree if process.pid not in inside]
        errors += [error for process in outside if (error := send_signal(process, signal.SIGCONT))]
        self._frozen = self._group_frozen = False
        self._stopped_before.clear()
        hit = {process.id for process in outside}
        left: list[Process] = []
        for _ in range(THAW_STEPS):
            yield 0.001
            left = [process for process in self.walk() if process.id in hit and process.state in "Tt"]
            if group is not None and group.frozen and group.populated:
                left += [process for process in tree if process.pid in inside]
            if not left:
                break
        return tree, left, errors

    def term(self) -> Action:
        tree = self.walk()
        errors = [error for process in tree if (error := send_signal(process, signal.SIGTERM))]
        # After SIGTERM, so that it is the first thing that a stopped process meets.
        if self._group_frozen and self.group is not None and not self.group.freeze(False):
            errors.append("the cgroup cannot be thawed")
        for process in tree:
            if self._frozen or process.state in "Tt":
                send_signal(process, signal.SIGCONT)
        self._frozen = self._group_frozen = False
        self._stopped_before.clear()
        deadline = time.monotonic() + TERM_SECONDS
        while not self.empty and time.monotonic() < deadline:
            yield 0.02
        return tree, [] if self.empty else self.walk(), errors

    def kill(self) -> Action:
        hit: dict[tuple[int, int], Process] = {}
        errors: list[str] = []
        deadline = time.monotonic() + KILL_SECONDS
        if self.group is not None and self._pid not in self._members():
            yield from self._kill_group(self.group, hit)
        left: list[Process] = []
        while not self.empty and time.monotonic() < deadline:
            left = self.walk()
            errors.clear()
            for process in left:
                hit[process.id] = process
                if error := send_signal(process, signal.SIGKILL):
                    errors.append(error)
            self._kill_children(hit)
            yield 0.002
        left = [] if self.empty else self.walk()
        if not left and not self.empty:
            errors.append("its cgroup holds processes that cannot be seen from here")
        self._frozen = self._group_frozen = False
        return list(hit.values()), left, errors

    def _kill_group(self, group: Cgroup, hit: dict[tuple[int, int], Process]) -> Generator[float, None, None]:
        """All of it at one blow. What that leaves is frozen, and killed one by one by the caller: on a kernel that
        cannot do it everything, on all kernels processes whose first thread has ended."""
        listed = time.monotonic() + LIST_SECONDS
        if group.freeze(True):
            while not group.frozen and group.populated and time.monotonic() < listed:
                yield 0.001
        for pid in group.pids():
            if (process := read_process(pid)) is not None and not process.ended:
                hit[process.id] = process
        if group.kill():
            blow = time.monotonic() + BLOW_SECONDS
            while group.populated and time.monotonic() < blow:
                yield 0.001

    def _members(self) -> set[int]:
        return set() if self.group is None else set(self.group.pids())

    def _children(self) -> list[int] | None:
        """Of the keeper itself, which has one thread; empty only if there is none. None: the kernel does not say."""
        try:
            with open(f"/proc/{self._pid}/task/{self._pid}/children", "rb", buffering=0) as file:
                return [int(pid) for pid in file.read(65536).split()]
        except (OSError, ValueError):
            return None

    def _kill_children(self, hit: dict[tuple[int, int], Process]) -> None:
        """Quicker than a walk, for processes that fork and exit all the time: their orphans come straight to us.

        A child's pid cannot be given again before we reap it, so a plain kill is safe here.
        """
        for _ in range(100):
            children = self._children() or []
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
