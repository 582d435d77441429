"""The agent's first process as its keeper has it: three pipes and an exit. Standard library only."""

from __future__ import annotations

import os
import select
from collections import deque

from mission_control_desktop.orchestrator.keeper.journal import READ_BYTES, Errors, Journal, Output
from mission_control_desktop.orchestrator.keeper.serving import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mission_control_desktop.orchestrator.keeper.place import Limits
    from mission_control_desktop.orchestrator.keeper.processes import Process

STDIN_LINES = 1024
GATHER_SECONDS = 0.008
"""An agent that writes in many small pieces is read only so often: each piece read wakes three processes, which costs
more than what is in it. Its first words after a silence are read at once."""
GATHER_BYTES = 16384
"""One that would write more than this in that time is read sooner; a quarter of a pipe, so that it never waits."""


class Agent:
    """`process` is None until `adopt`, and again when the exit is told; `pid` stays: what the agent left is judged by
    its group."""

    def __init__(self, poll: select.epoll, journal: Journal, limits: Limits, now: Callable[[], float]) -> None:
        self._poll = poll
        self._journal = journal
        self._limits = limits
        self._now = now
        self._output = Output(journal, limits.line)
        self.errors = Errors(journal, limits.stderr_line, now, limits.pending)
        self.process: Process | None = None
        self.pid = -1
        self.status: int | None = None
        """What waitpid said, from then until the exit is journaled."""
        self._stdin = self._stdout = self._stderr = -1
        self._reading_stdout = False
        self._read_at = 0.0
        self.gather_until: float | None = None
        """When what gathers in the agent's output is read; None: as soon as there is something."""
        self._queue: deque[tuple[str, str, bytes]] = deque()
        self._queue_bytes = 0
        self._written = 0

    def adopt(self, process: Process, pipes: tuple[int, int, int]) -> None:
        """The agent runs; our ends of its standard input, output and error."""
        self.process, self.pid = process, process.pid
        self._stdin, self._stdout, self._stderr = pipes
        self._poll.register(self._stdout, select.EPOLLIN)
        self._reading_stdout = True
        self._poll.register(self._stderr, select.EPOLLIN)

    def handle(self, fd: int) -> bool:
        """What the poll says of a descriptor; False if it is none of ours."""
        if fd == self._stdout:
            self._read_live()
        elif fd == self._stderr:
            self._read_stderr()
        elif fd == self._stdin:
            self._write_stdin()
        else:
            return False
        return True

    def read_rest(self) -> None:
        """After the exit: what is in the pipes. A descendant may hold them and go on writing: no more than 4 MiB."""
        for _ in range(64):
            if not self._read_stdout():
                break
        for _ in range(64):
            if not self._read_stderr():
                break
        self._output.end()
        self.errors.end()

    def regulate(self, now: float) -> None:
        """Read the output only while the journal takes it, and what has gathered when its time has come."""
        if self.gather_until is not None:
            if self._journal.pending_bytes > self._limits.pending:
                self.gather_until = None
            elif now >= self.gather_until:
                self._read_live()
        if self._stdout < 0:
            return
        reading = self.gather_until is None and self._journal.pending_bytes <= self._limits.pending
        if reading != self._reading_stdout:
            # Unregistered, not merely masked: a hang-up is reported whatever the mask, and would spin.
            if reading:
                self._poll.register(self._stdout, select.EPOLLIN)
            else:
                self._poll.unregister(self._stdout)
            self._reading_stdout = reading

    def read_gathered(self) -> None:
        """Journal what the agent has said so far, before what is now asked of it."""
        if self.gather_until is not None:
            self._read_live()

    def _read_live(self) -> None:
        """Read once, and decide by how much has come since the last time when to read again."""
        gathered, self.gather_until = self.gather_until is not None, None
        size = self._read_stdout()
        if not size:
            return
        now = self._now()
        passed, self._read_at = now - self._read_at, now
        if gathered or passed < GATHER_SECONDS:
            pause = min(GATHER_SECONDS, GATHER_BYTES * passed / size)
            if pause >= GATHER_SECONDS / 4:
                self.gather_until = now + pause

    def _read_stdout(self) -> int:
        """Read once; how many bytes came; 0 if there is nothing now, or no more."""
        if self._stdout < 0:
            return 0
        try:
            data = os.read(self._stdout, READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._output.feed(data)
            return len(data)
        self._output.end()
        if self._reading_stdout:
            self._poll.unregister(self._stdout)
        os.close(self._stdout)
        self._stdout = -1
        return 0

    def _read_stderr(self) -> bool:
        if self._stderr < 0:
            return False
        try:
            data = os.read(self._stderr, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self.errors.feed(data)
            return True
        self.errors.end()
        self._poll.unregister(self._stderr)
        os.close(self._stderr)
        self._stderr = -1
        return False

    def send(self, key: str, line: str) -> None:
        """Queue a line for the agent."""
        if "\n" in line:
            raise Refused("bad", "a line has no line break within")
        if self.process is None or self._stdin < 0:
            raise Refused("gone", "the agent does not take input any more")
        raw = line.encode("utf-8", "replace") + b"\n"
        if self._queue and (len(self._queue) >= STDIN_LINES or self._queue_bytes + len(raw) > self._limits.stdin):
            raise Refused("full", "the agent does not read its input: too much is waiting for it")
        if self._journal.pending_bytes > 2 * self._limits.pending:
            raise Refused("full", f"the journal cannot be written: {self._journal.error}")
        self._queue.append((key, line, raw))
        self._queue_bytes += len(raw)
        if len(self._queue) == 1:
            self._poll.register(self._stdin, select.EPOLLOUT)
            self._write_stdin()

    def _write_stdin(self) -> None:
        while self._queue and self._stdin >= 0:
            key, line, raw = self._queue[0]
            try:
                self._written += os.write(self._stdin, memoryview(raw)[self._written : self._written + (1 << 20)])
            except BlockingIOError:
                return
            except OSError:
                lines = self.close_stdin()
                reason = "the agent closed its standard input"
                self._journal.entry(
                    "did",
                    data={"what": "eof", "key": None, "ok": True, "pids": [], "left": [], "ms": 0, "error": reason}
                    | {"dropped": lines},
                )
                return
            if self._written == len(raw):
                self._written = 0
                self._queue_bytes -= len(raw)
                self._queue.popleft()
                self._journal.entry("out", line=line, key=key)
        if self._stdin >= 0:
            self._poll.unregister(self._stdin)

    def close_stdin(self) -> int:
        """Close the agent's input; how many lines that it has not taken are dropped."""
        lines = len(self._queue)
        if self._stdin >= 0:
            if self._queue:
                self._poll.unregister(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
        self._queue.clear()
        self._queue_bytes = self._written = 0
        return lines
