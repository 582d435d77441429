"""What a keeper does to its tree of processes, one thing at a time, and the stop file that makes it do so unasked.

Standard library only. Actions are generators that yield the seconds after which they want to go on.
"""

from __future__ import annotations

import time
from collections import deque

from mission_control_desktop.orchestrator.keeper.place import complain
from mission_control_desktop.orchestrator.keeper.processes import command_line
from mission_control_desktop.orchestrator.keeper.serving import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from mission_control_desktop.orchestrator.keeper.agent import Agent
    from mission_control_desktop.orchestrator.keeper.journal import Journal
    from mission_control_desktop.orchestrator.keeper.place import Limits
    from mission_control_desktop.orchestrator.keeper.processes import Process
    from mission_control_desktop.orchestrator.keeper.stopfile import StopOrder
    from mission_control_desktop.orchestrator.keeper.tree import Action, Tree

MAX_PIDS = 1000
MAX_WAITING = 64
END_SECONDS = 5.0
STOP_LOOK_SECONDS, STOP_AGAIN_SECONDS = 1.0, 2.0


class Actions:
    """The queue. `at` is when the first of it wants to go on, on the monotonic clock."""

    def __init__(self, pid: int, tree: Tree, agent: Agent, journal: Journal, limits: Limits) -> None:
        self._pid = pid
        self._tree = tree
        self._agent = agent
        self._journal = journal
        self._limits = limits
        self._now = time.monotonic
        self._queue: deque[Generator[float, None, None]] = deque()
        self.at = 0.0
        self.tree_ended = self.all_ended = False
        """How far an end in order is: no process is left; and the exit is in the journal."""
        self._kills = 0
        self.stop_look_at: float | None = 0.0
        self._stopped_by: str | None = None

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def killing(self) -> bool:
        """Whether a kill is under way: what it has hit may take a moment to die. Bounded by the kill's own deadline."""
        return self._kills > 0

    def turn(self, now: float) -> None:
        """What is due."""
        if self._queue and now >= self.at:
            try:
                self.at = self._now() + next(self._queue[0])
            except StopIteration:
                self._queue.popleft()
                self.at = 0.0
        self._look_for_stop(now)

    def do(self, key: str, what: str) -> None:
        """Start what a client asks for; Refused if that cannot be."""
        actions = {
            "freeze": self._tree.freeze,
            "thaw": self._tree.thaw,
            "term": self._tree.term,
            "kill": self._tree.kill,
            "eof": self._eof,
        }
        if what not in actions:
            raise Refused("bad", f"cannot {what!r}")
        if len(self._queue) >= MAX_WAITING:
            raise Refused("full", "too many actions are waiting")
        action = self._act(key, what, actions[what]())
        if what == "kill":  # waits for nobody; what it interrupts finds nothing left to do
            self._first(action)
        else:
            self._queue.append(action)

    def end_in_order(self) -> None:
        """SIGTERM to the tree, later SIGKILL; then `all_ended`."""
        self._queue.append(self._end_in_order())

    def processes(self) -> list[dict[str, Any]]:
        """What a stop would hit."""
        stopped = self._tree.stopped
        return [
            {
                "pid": process.pid,
                "startTime": process.start,
                "ppid": process.ppid,
                "command": command_line(process),
                "state": "T" if process.pid in stopped else process.state,
                "escaped": self._escaped(process),
            }
            for process in self._tree.walk()
        ]

    def left(self) -> list[int]:
        """Pids of the tree that live, as many as an entry names."""
        return [] if self._tree.empty else [process.pid for process in self._tree.walk()[:MAX_PIDS]]

    def _first(self, action: Generator[float, None, None]) -> None:
        self._queue.appendleft(action)
        self.at = 0.0

    def _act(self, key: str, what: str, action: Action) -> Generator[float, None, None]:
        began = self._now()
        self._kills += what == "kill"
        try:
            hit, left, errors = yield from action
        except Exception as error:  # noqa: BLE001 - who asked must get an answer
            complain(error)
            hit, left, errors = [], self._tree.walk(), [f"{type(error).__name__}: {error}"]
        finally:
            self._kills -= what == "kill"
        data: dict[str, Any] = {
            "what": what,
            "key": key,
            "ok": not errors if what == "term" else not left and (what != "kill" or self._tree.empty),
            "by": self._tree.held_by,
            "pids": [process.pid for process in hit[:MAX_PIDS]],
            "left": [process.pid for process in left[:MAX_PIDS]],
            "ms": round((self._now() - began) * 1000),
        }
        if what in ("term", "kill"):
            data["escaped"] = sum(map(self._escaped, hit))
        if errors:
            data["error"] = "; ".join(errors[:10])
        self._journal.entry("did", key=key, data=data)

    def _eof(self) -> Action:
        lines = self._agent.close_stdin()
        yield 0.0
        return [], [], [f"{lines} lines had not been taken and were dropped"] if lines else []

    def _end_in_order(self) -> Generator[float, None, None]:
        yield from self._act("keeper:sigterm", "term", self._tree.term())
        deadline = self._now() + END_SECONDS
        while not self._tree.empty and self._now() < deadline:
            yield 0.05
        if not self._tree.empty:
            yield from self._act("keeper:sigkill", "kill", self._tree.kill())
        self.tree_ended = True
        deadline = self._now() + END_SECONDS
        while (self._agent.process is not None or self._journal.pending) and self._now() < deadline:
            yield 0.05
        self.all_ended = True

    def _escaped(self, process: Process) -> bool:
        """Out of reach of a signal to the agent's process group: it left the group, or its parent died."""
        agent = self._agent.pid
        return process.pid != agent and (process.group != agent or process.ppid == self._pid)

    # -- the stop file

    def stop_order(self) -> StopOrder | None:
        """The order that lies there now and covers this agent."""
        limits = self._limits
        order = limits.stop_file.look() if limits.stop_file is not None else None
        return order if order is not None and order.covers(limits.provider) else None

    def _look_for_stop(self, now: float) -> None:
        """Once a second while something lives, all keepers at the same moment: then the machine wakes once for all."""
        if self._limits.stop_file is None or self._agent.process is None:
            self.stop_look_at = None
            return
        if self.stop_look_at is not None and now < self.stop_look_at:
            return
        self.stop_look_at = now + STOP_LOOK_SECONDS - time.time() % STOP_LOOK_SECONDS
        order = self.stop_order()
        if order is None or order.id == self._stopped_by:
            return
        self._stopped_by = order.id
        key = f"stop-file:{order.id}"
        self._journal.entry("stop", data=order.data() | {"key": key})
        self._first(self._stop(key))

    def _stop(self, key: str) -> Generator[float, None, None]:
        yield from self._act(key, "kill", self._tree.kill())
        while self._stopped_by is not None and not self._tree.empty and self.stop_order() is not None:
            yield STOP_AGAIN_SECONDS
            yield from self._tree.kill()
