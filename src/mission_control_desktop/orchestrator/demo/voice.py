"""What the demo agent can do in a session: speak, think, plan, run tools, ask, and be told something in between.

Everything that takes time goes through `Voice.rest`, which is where a cancellation and what an operator says are
noticed: within a word, whatever the agent is doing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from mission_control_desktop.orchestrator.demo.wire import RpcError, Wire

NORMAL_PACE = 20.0
"""Words a second; all pauses are stretched or shrunk in the same measure."""
OUTPUT_LIMIT = 6000
CONTEXT = 200_000
_TOKENS = re.compile(r"\S+\s*|\s+")


class Cancelled(Exception):
    """The client cancelled the turn."""


class Control:
    """How other threads reach a running turn."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.cancelled = False
        self.told: deque[str] = deque()

    def cancel(self) -> None:
        self.cancelled = True
        self.wake.set()

    def tell(self, text: str) -> None:
        self.told.append(text)
        self.wake.set()


class Usage:
    """Words spoken and read, counted as tokens; a script costs nothing, and says so."""

    def __init__(self) -> None:
        self.spoken = 0
        self.read = 1200

    @property
    def total(self) -> int:
        return self.spoken + self.read


class Voice:
    """One session (or one reported sub-session) on the connection. `folder` is where its tools work."""

    def __init__(
        self, wire: Wire, session_id: str, folder: Path, control: Control, rng: Random, pace: float, usage: Usage
    ) -> None:
        self.wire = wire
        self.session_id = session_id
        self.folder = folder
        self.control = control
        self.rng = rng
        self.pace = pace
        self.usage = usage
        self.prefix = session_id
        """Of the ids of messages and tool calls."""
        self.brief = False
        self.auto_allow: set[str] = set()
        self.on_told: Callable[[str], None] | None = None
        self._reacting = False
        self._cut: tuple[str, str] | None = None
        """The message that is being spoken, if more of it is to come."""
        self._calls = 0
        self._messages = 0

    # -- time

    def update(self, what: str, /, **fields: Any) -> None:
        """Send one `session/update` of this kind."""
        update = {"sessionUpdate": what, **fields}
        self.wire.notify("session/update", {"sessionId": self.session_id, "update": update})

    def rest(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass (at the normal pace); True if it was cut short because an operator said something."""
        deadline = time.monotonic() + seconds * NORMAL_PACE / self.pace
        while True:
            self.control.wake.clear()
            self._check()
            if self._hear():
                return True
            left = deadline - time.monotonic()
            if left <= 0 or until():
                return False
            self.control.wake.wait(min(left, 1.0))

    def _check(self) -> None:
        if self.control.cancelled or self.wire.ended.is_set():
            raise Cancelled

    def _hear(self) -> bool:
        if self._reacting or self.on_told is None or not self.control.told:
            return False
        self._reacting = True
        if self._cut is not None:
            kind, message_id = self._cut
            self.update(kind, messageId=message_id, content={"type": "text", "text": " …"})
        try:
            while self.control.told:
                self.on_told(self.control.told.popleft())
        finally:
            self._reacting = False
        return True

    # -- words

    def say(self, text: str) -> None:
        """Stream a message. If an operator says something meanwhile, the rest of it is dropped."""
        self._stream("agent_message_chunk", _shortened(text) if self.brief else text)

    def think(self, text: str) -> None:
        if not self.brief:
            self._stream("agent_thought_chunk", text)

    def _stream(self, kind: str, text: str) -> None:
        self._messages += 1
        message_id = f"{self.prefix}-m{self._messages}"
        tokens = deque(_TOKENS.findall(text.strip()))
        while tokens:
            count = self.rng.choice((1, 1, 2, 3))
            piece = "".join(tokens.popleft() for _ in range(min(count, len(tokens))))
            self.usage.spoken += count
            self.update(kind, messageId=message_id, content={"type": "text", "text": piece})
            self._cut = (kind, message_id) if tokens and not self._reacting else None
            try:
                if self.rest(count / NORMAL_PACE * self.rng.uniform(0.6, 1.4)):
                    return
            finally:
                self._cut = None

    def plan(self, entries: list[tuple[str, str]]) -> None:
        """(content, status) of each step; the first and the last are important."""
        last = len(entries) - 1
        listed = [
            {"content": content, "status": status, "priority": "high" if index in (0, last) else "medium"}
            for index, (content, status) in enumerate(entries)
        ]
        self.update("plan", entries=listed)

    def report_usage(self) -> None:
        cost = {"amount": 0.0, "currency": "USD"}
        self.update("usage_update", used=min(self.usage.total, CONTEXT), size=CONTEXT, cost=cost)

    # -- tools: each really does what it says

    def _begin(self, title: str, kind: str, **fields: Any) -> str:
        self._calls += 1
        call = f"{self.prefix}-t{self._calls}"
        self.update("tool_call", toolCallId=call, title=title, kind=kind, status="in_progress", **fields)
        return call

    def _end(self, call: str, status: str, content: list[dict[str, Any]] | None = None) -> None:
        fields: dict[str, Any] = {} if content is None else {"content": content}
        self.update("tool_call_update", toolCallId=call, status=status, **fields)

    def tool(self, title: str, kind: str, work: Callable[[Callable[[str], None]], str], **fields: Any) -> str:
        """Any tool: `work` gets a function that shows its progress, and returns its output."""
        call = self._begin(title, kind, **fields)

        def show(text: str) -> None:
            self._end(call, "in_progress", _text(text))

        try:
            output = work(show)
        except Cancelled:
            self._end(call, "failed", _text("cancelled"))
            raise
        except Exception as error:
            self._end(call, "failed", _text(str(error)))
            raise
        self._end(call, "completed", _text(output))
        self.usage.read += len(output) // 4
        return output

    def read(self, name: str) -> str:
        path = self.folder / name

        def work(show: Callable[[str], None]) -> str:
            self.rest(0.4)
            return path.read_text(encoding="utf-8")

        return self.tool(f"Read {name}", "read", work, locations=[{"path": str(path), "line": 1}])

    def run(self, command: str, title: str | None = None) -> str:
        """Run a shell command in the folder; its output, whatever its exit code."""

        def work(show: Callable[[str], None]) -> str:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            collected: list[bytes] = []
            reader = threading.Thread(target=_collect, args=(process, collected), daemon=True)
            reader.start()
            try:
                shown = 0
                while reader.is_alive():
                    self._check()
                    reader.join(0.05)
                    if sum(map(len, collected)) - shown > 200:
                        shown = sum(map(len, collected))
                        show(_decoded(collected))
                code = process.wait()
                self.rest(0.3)
            except BaseException:
                _kill_group(process)
                raise
            output = _decoded(collected)
            return output if code == 0 else f"{output}\n(exit code {code})"

        return self.tool(title or command, "execute", work, rawInput={"command": command, "cwd": str(self.folder)})

    def write(self, name: str, content: str, title: str | None = None) -> None:
        """Write a file and show the difference."""
        path = self.folder / name
        call = self._begin(title or f"Write {name}", "edit", locations=[{"path": str(path)}])
        diff = self._diff(name, content)
        try:
            self.rest(0.4)
            path.write_text(content, encoding="utf-8")
        except (Cancelled, OSError) as error:
            self._end(call, "failed", _text(str(error) or "cancelled"))
            raise
        self._end(call, "completed", [diff])

    def _diff(self, name: str, content: str) -> dict[str, Any]:
        path = self.folder / name
        diff: dict[str, Any] = {"type": "diff", "path": str(path), "newText": content}
        if path.is_file():
            diff["oldText"] = path.read_text(encoding="utf-8")
        return diff

    def ask_to_write(self, name: str, content: str, title: str) -> bool:
        """Ask before a file is changed; write it if allowed. Whether it was."""
        call = self._begin_asking(title, "edit", [self._diff(name, content)], {"path": str(self.folder / name)})
        if not self._allowed(call, title, "edit", [self._diff(name, content)], {"path": str(self.folder / name)}):
            self._end(call, "failed", _text("The operator declined."))
            return False
        diff = self._diff(name, content)
        (self.folder / name).write_text(content, encoding="utf-8")
        self._end(call, "completed", [diff])
        return True

    def ask_to_run(self, command: str, title: str) -> str | None:
        """Ask before a command is run; its output, or None if it was declined."""
        raw = {"command": command, "cwd": str(self.folder)}
        call = self._begin_asking(title, "execute", [], raw)
        if not self._allowed(call, title, "execute", [], raw):
            self._end(call, "failed", _text("The operator declined."))
            return None
        self._end(call, "completed", _text("Allowed."))
        return self.run(command)

    def _begin_asking(self, title: str, kind: str, content: list[dict[str, Any]], raw: dict[str, Any]) -> str:
        self._calls += 1
        call = f"{self.prefix}-t{self._calls}"
        self.update(
            "tool_call", toolCallId=call, title=title, kind=kind, status="pending", content=content, rawInput=raw
        )
        return call

    def _allowed(self, call: str, title: str, kind: str, content: list[dict[str, Any]], raw: dict[str, Any]) -> bool:
        if kind in self.auto_allow or "*" in self.auto_allow:
            return True
        params = {
            "sessionId": self.session_id,
            "toolCall": {
                "toolCallId": call,
                "title": title,
                "kind": kind,
                "status": "pending",
                "content": content,
                "rawInput": raw,
            },
            "options": [
                {"optionId": "allow", "name": "Allow", "kind": "allow_once"},
                {"optionId": "always", "name": f"Always allow ({kind})", "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        }
        waiting = self.wire.request("session/request_permission", params)
        waiting.on_answer = self.control.wake.set
        try:
            while not waiting.answered:
                self.rest(60.0, until=lambda: waiting.answered)
        except BaseException:
            self._end(call, "failed", _text("withdrawn"))
            self.wire.withdraw(waiting)
            raise
        self._check()
        try:
            outcome = (waiting.result() or {}).get("outcome") or {}
        except RpcError:
            return False
        option = outcome.get("optionId") if outcome.get("outcome") == "selected" else None
        if option == "always":
            self.auto_allow.add(kind)
        return option in ("allow", "always")


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def _shortened(text: str) -> str:
    """The first sentence of the first paragraph."""
    first = text.strip().split("\n\n")[0]
    return re.split(r"(?<=[.!?])\s", first, maxsplit=1)[0]


def _collect(process: subprocess.Popen[bytes], collected: list[bytes]) -> None:
    if process.stdout is None:
        return
    with process.stdout:
        collected.extend(process.stdout)


def _decoded(collected: list[bytes]) -> str:
    text = b"".join(collected).decode("utf-8", "replace").rstrip("\n")
    return text if len(text) <= OUTPUT_LIMIT else f"…{text[-OUTPUT_LIMIT:]}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The command has a group of its own; end all of it and wait."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
