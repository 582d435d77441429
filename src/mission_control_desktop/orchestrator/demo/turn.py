"""One turn of a demo agent: plays steps, listens to what it is told meanwhile."""

from __future__ import annotations

import itertools
import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mission_control_desktop.orchestrator.demo.peer import Json, PeerError
from mission_control_desktop.orchestrator.demo.steps import (
    Ask,
    Collect,
    Delegate,
    Helper,
    Plan,
    Read,
    Run,
    Say,
    Step,
    Think,
    Write,
)

if TYPE_CHECKING:
    from mission_control_desktop.orchestrator.demo.agent import Agent

COMMAND_SECONDS = 60
CONTEXT_WINDOW = 200_000
TOOLS_SECONDS = 20
_numbers = itertools.count(1)


class Cancelled(Exception):
    """The client cancelled the turn."""


class Skip(Exception):
    """The operator said to leave this step."""


class Turn:
    def __init__(self, agent: Agent, text: str) -> None:
        self.text = text
        self.words = 0
        self._agent = agent
        self._stop = threading.Event()
        self._told: queue.Queue[str] = queue.Queue(100)
        self._children: list[str] = []
        self._pace = 1.0
        self._wishes: list[str] = []
        self._plan: Plan | None = None

    def cancel(self) -> None:
        self._stop.set()

    def steer(self, text: str) -> None:
        self._told.put(text)

    def play(self, steps: Iterable[Step]) -> None:
        """All steps in order. Raises Cancelled."""
        for step in steps:
            try:
                self._do(step)
            except Skip:
                self._stream("\n\nI leave that and go on with the next step.\n\n", "agent_message_chunk", listen=False)
        self._listen()

    def _do(self, step: Step) -> None:
        match step:
            case Say():
                self._stream(step.text + "\n\n", "agent_message_chunk")
            case Think():
                self._stream(step.text + "\n\n", "agent_thought_chunk")
            case Plan():
                self._plan = step
                self._show_plan()
            case Write():
                self._write(step)
            case Run():
                self._run(step.title or step.command, step.command)
            case Read():
                self._read(step)
            case Ask():
                self._ask(step)
            case Delegate():
                self._delegate(step)
            case Collect():
                self._collect()
            case Helper():
                self._help(step)

    # -- words

    def _stream(self, text: str, kind: str, *, session_id: str | None = None, listen: bool = True) -> None:
        for piece in re.findall(r"\S+\s*|\s+", text):
            self._pause(self._pace / self._agent.words_a_second)
            content = {"type": "text", "text": piece}
            self._agent.update({"sessionUpdate": kind, "content": content}, session_id=session_id)
            self.words += 1
            if listen and session_id is None:
                self._listen()
        if session_id is None and self.words % 5 == 0:
            used = min(CONTEXT_WINDOW, 1000 + 40 * self.words)
            self._agent.update({"sessionUpdate": "usage_update", "used": used, "size": CONTEXT_WINDOW})

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Cancelled

    def _listen(self) -> None:
        """React to what was said into the turn: at once, in the next words."""
        while True:
            try:
                told = self._told.get_nowait()
            except queue.Empty:
                return
            said = " ".join(told.split())
            low = said.lower()
            answer = f"\n\n**Understood.** You said: “{said[:300]}”. "
            if "skip" in low or "next" in low:
                self._stream(answer, "agent_message_chunk", listen=False)
                raise Skip
            if "slow" in low:
                self._pace *= 2
                answer += "I slow down.\n\n"
            elif "fast" in low or "hurry" in low:
                self._pace /= 2
                answer += "I hurry.\n\n"
            elif "status" in low or "where are you" in low:
                answer += f"{self._where()}\n\n"
            else:
                self._wishes.append(said)
                answer += "I put it on my plan and go on with that in mind.\n\n"
            self._stream(answer, "agent_message_chunk", listen=False)
            self._show_plan()

    def _where(self) -> str:
        if self._plan is None:
            return "I have just begun."
        return f"{self._plan.done} of {len(self._plan.entries)} steps are done."

    def _show_plan(self) -> None:
        if self._plan is None:
            return
        done = self._plan.done
        states = ["completed" if at < done else "in_progress" if at == done else "pending" for at in range(1000)]
        entries: list[Json] = [
            {"content": entry, "priority": "medium", "status": states[at]}
            for at, entry in enumerate(self._plan.entries)
        ]
        entries += [{"content": f"Operator: {wish}", "priority": "high", "status": "pending"} for wish in self._wishes]
        self._agent.update({"sessionUpdate": "plan", "entries": entries})

    # -- tools

    def _tool(self, title: str, kind: str, **more: Any) -> str:
        tool_id = f"tool-{next(_numbers)}"
        call = {"sessionUpdate": "tool_call", "toolCallId": tool_id, "title": title, "kind": kind}
        self._agent.update({**call, "status": "in_progress", **more})
        return tool_id

    def _tool_done(self, tool_id: str, text: str, *, ok: bool = True, content: list[Json] | None = None) -> None:
        shown = content or [{"type": "content", "content": {"type": "text", "text": text}}]
        update = {"sessionUpdate": "tool_call_update", "toolCallId": tool_id, "content": shown}
        self._agent.update({**update, "status": "completed" if ok else "failed"})

    def _write(self, step: Write) -> None:
        path = self._agent.folder / step.path
        before = path.read_text() if path.exists() else None
        tool_id = self._tool(f"Write {step.path}", "edit", locations=[{"path": str(path)}])
        self._pause(0.4 * self._pace)
        path.write_text(step.text)
        diff = {"type": "diff", "path": str(path), "oldText": before, "newText": step.text}
        self._tool_done(tool_id, "", content=[diff])

    def _read(self, step: Read) -> None:
        path = self._agent.folder / step.path
        tool_id = self._tool(f"Read {step.path}", "read", locations=[{"path": str(path)}])
        self._pause(0.2 * self._pace)
        if path.exists():
            self._tool_done(tool_id, path.read_text())
        else:
            self._tool_done(tool_id, f"{step.path} does not exist", ok=False)

    def _run(self, title: str, command: str) -> None:
        tool_id = self._tool(title, "execute", rawInput={"command": command})
        self._execute(tool_id, command)

    def _execute(self, tool_id: str, command: str) -> None:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self._agent.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        self._tool_done(tool_id, f"$ {command}\n{output}", ok=process.returncode == 0)

    def _ask(self, step: Ask) -> None:
        call = {"toolCallId": f"tool-{next(_numbers)}", "title": step.title, "kind": "execute", "status": "pending"}
        call["rawInput"] = {"command": step.command, "cwd": str(self._agent.folder)}  # type: ignore[assignment]
        self._agent.update({"sessionUpdate": "tool_call", **call})
        if not self._agent.always_allowed:
            answer = self._agent.peer.call(
                "session/request_permission",
                {
                    "sessionId": self._agent.session_id,
                    "toolCall": call,
                    "options": [
                        {"optionId": "allow", "name": "Allow once", "kind": "allow_once"},
                        {"optionId": "always", "name": "Always allow in this session", "kind": "allow_always"},
                        {"optionId": "reject", "name": "Do not run it", "kind": "reject_once"},
                    ],
                },
            )
            outcome = answer.get("outcome") or {}
            if outcome.get("outcome") != "selected":
                raise Cancelled
            self._agent.always_allowed = outcome.get("optionId") == "always"
            if outcome.get("optionId") == "reject":
                self._tool_done(call["toolCallId"], "not run: the operator said no", ok=False)
                self._stream(step.denied + "\n\n", "agent_message_chunk")
                return
        self._execute(call["toolCallId"], step.command)
        self._stream(step.allowed + "\n\n", "agent_message_chunk")

    # -- sub-agents

    def _tools(self) -> bool:
        """Whether the tool server is there; it may still be starting."""
        deadline = time.monotonic() + TOOLS_SECONDS
        while self._agent.tools is None and time.monotonic() < deadline:
            self._pause(0.1)
        return self._agent.tools is not None

    def _delegate(self, step: Delegate) -> None:
        if not self._tools() or self._agent.tools is None:
            self._stream("I was given no tool to start sub-agents, so I do it alone.\n\n", "agent_message_chunk")
            return
        for title, agent_type, task in step.tasks:
            tool_id = self._tool(f"Start sub-agent: {title}", "other", rawInput={"task": task})
            try:
                arguments = {"task": task, "title": f"{title} (demo)", "agent_type": agent_type}
                answer = self._agent.tools.call("spawn_subagent", arguments)
            except PeerError as error:
                self._tool_done(tool_id, str(error), ok=False)
                continue
            self._tool_done(tool_id, answer)
            if (found := re.search(r"sub-agent ([0-9a-f]{16,})", answer)) is not None:
                self._children.append(found[1])

    def _collect(self) -> None:
        for child in self._children:
            tool_id = self._tool(f"Wait for sub-agent {child[-6:]}", "other")
            answer = "Still running"
            while answer.startswith("Still running") and self._agent.tools is not None:
                self._pause(0.2)
                try:
                    answer = self._agent.tools.call("wait_for_subagent", {"id": child, "timeout_seconds": 10})
                except PeerError as error:
                    answer = str(error)
            self._tool_done(tool_id, answer)
        self._children.clear()

    def _help(self, step: Helper) -> None:
        if not self._agent.subagents:
            self.play(step.steps)
            return
        child = f"demo-helper-{next(_numbers)}"
        about = {"sessionUpdate": "subagent_update", "sessionId": child, "title": f"{step.title} (demo)"}
        about["description"] = step.task
        self._agent.update({**about, "state": {"state": "running"}})
        try:
            for part in step.steps:
                if isinstance(part, Say):
                    self._stream(part.text, "agent_message_chunk", session_id=child)
        except Cancelled:
            self._agent.update({**about, "state": {"state": "idle", "stopReason": "cancelled"}})
            raise
        self._agent.update({**about, "state": {"state": "idle", "stopReason": "end_turn"}})
