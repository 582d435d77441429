"""The demo agent's side of the Agent Client Protocol (version 1, with steering and reported sub-agents).

    agent.py [--role auto|orchestrator|worker] [--seed N] [--pace WORDS_PER_SECOND]

A prompt that names a mission (release notes, a flaky test, an audit of dependencies) is carried out as an orchestrator
with sub-agents; a prompt that begins with `Demo task: NAME.` as a worker; any other is answered in a few sentences.
With the same seed (by default taken from the prompt) the words and the files are the same; their timing is not.

It works in a folder of its own: the session's working directory if that is one of the demo's or empty, otherwise a new
one below the system's folder for temporary files, so that it never touches what it did not make. A folder that it made
is removed when it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from mission_control_desktop.orchestrator.demo.mcp import CLIENT, McpServer
from mission_control_desktop.orchestrator.demo.mind import Finish, Helper, Mind, Mission, SkipStep
from mission_control_desktop.orchestrator.demo.scripts import MISSIONS
from mission_control_desktop.orchestrator.demo.voice import NORMAL_PACE, Cancelled, Control, Usage
from mission_control_desktop.orchestrator.demo.wire import (
    BAD_PARAMS,
    INVALID_REQUEST,
    NO_METHOD,
    Later,
    RpcError,
    Wire,
)

PREFIX = "mission-control-demo-"
MARK = ".demo-scratch"
"""A file that says: this folder belongs to the demo."""
MODES = [
    {"id": "ask", "name": "Ask", "description": "Asks before it changes a file that matters."},
    {"id": "auto", "name": "Auto", "description": "Asks nothing."},
]
COMMANDS = [
    {"name": "status", "description": "Say how far the mission is"},
    {"name": "files", "description": "List the files of the demo's folder"},
    {"name": "continue", "description": "Go on with a mission that was interrupted"},
]
_TASK = re.compile(r"^Demo task: ([a-z-]+)\.")


class Session:
    """One ACP session: its folder, its helpers, and at most one turn at a time."""

    def __init__(self, agent: Agent, session_id: str, params: dict[str, Any]) -> None:
        self.agent = agent
        self.id = session_id
        self.folder, self.made = scratch(params.get("cwd"))
        self.servers = [
            McpServer(item) for item in params.get("mcpServers") or [] if isinstance(item.get("command"), str)
        ]
        self.mode = "ask"
        self.control = Control()
        self.usage = Usage()
        self.mind: Mind | None = None
        self.turn: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        return self.turn is not None

    def tell(self, text: str) -> bool:
        """Put a word into the running turn; False if there is none."""
        with self._lock:
            if self.turn is None:
                return False
            self.control.tell(text)
            return True

    def _over(self) -> bool:
        """End the turn, unless something was said that it has not heard."""
        with self._lock:
            if self.control.told and not self.control.cancelled:
                return False
            self.turn = None
            return True

    def prompt(self, text: str, number: Any) -> None:
        self.control = Control()
        first = self.mind is None
        if self.mind is None:
            seed = self.agent.seed if self.agent.seed is not None else zlib.crc32(text.encode())
            self.mind = Mind(
                self.agent.wire,
                self.id,
                self.folder,
                self.control,
                Random(seed),  # noqa: S311 - a script's words, not a secret
                self.agent.pace,
                self.usage,
                servers=self.servers,
                reports_children=self.agent.reports_children,
            )
        mind = self.mind
        mind.control = self.control
        self.apply_mode()
        self.turn = threading.Thread(target=self._run, args=(mind, text, number, first), name="turn", daemon=True)
        self.turn.start()

    def apply_mode(self) -> None:
        if self.mind is not None:
            self.mind.auto_allow.discard("*")
            if self.mode == "auto":
                self.mind.auto_allow.add("*")

    def _run(self, mind: Mind, text: str, number: Any, first: bool) -> None:
        before = self.usage.spoken
        reason = "end_turn"
        work: Callable[[], object] = partial(self.agent.answer, mind, text, first)
        while True:
            try:
                self.usage.read += len(text) // 4
                work()
                mind.report_usage()
            except Cancelled:
                mind.cancel_children()
                reason = "cancelled"
            except (Finish, SkipStep):
                mind.report_usage()
            except Exception as error:  # noqa: BLE001 - a prompt must be answered
                mind.update("agent_message_chunk", content={"type": "text", "text": f"I cannot go on: {error}"})
                reason = "refusal"
            if self._over():
                break
            work = partial(mind.rest, 0.0)
        spoken = self.usage.spoken - before
        counted = {"inputTokens": self.usage.read, "outputTokens": spoken, "totalTokens": self.usage.read + spoken}
        self.agent.wire.answer(number, {"stopReason": reason, "usage": counted})

    def cancel(self) -> None:
        self.control.cancel()

    def close(self) -> None:
        """End the turn, the servers and the folder."""
        self.cancel()
        if self.mind is not None:
            self.mind.cancel_children()
        turn = self.turn
        if turn is not None:
            turn.join(1.0)
        for server in self.servers:
            server.close()
        if self.made:
            shutil.rmtree(self.folder, ignore_errors=True)


class Agent:
    def __init__(self, wire: Wire, *, role: str, seed: int | None, pace: float) -> None:
        self.wire = wire
        self.role = role
        self.seed = seed
        self.pace = pace
        self.reports_children = False
        self.sessions: dict[str, Session] = {}
        self._greeted = False

    # -- requests

    def handle(self, method: str, params: dict[str, Any], number: Any) -> Any:
        if method == "initialize":
            return self.initialize(params)
        if method == "authenticate":
            return {}
        if method == "session/new":
            return self.new_session(params, number)
        if method == "session/cancel":
            return self.cancel(str(params.get("sessionId")))
        if method in ("session/prompt", "session/set_mode", "session/close", "_session/steering"):
            session = self.sessions.get(str(params.get("sessionId")))
            if session is None:
                raise RpcError(BAD_PARAMS, f"no session {params.get('sessionId')!r}")
            if method == "session/prompt":
                return self.prompt(session, params, number)
            if method == "_session/steering":
                return self.steer(session, params)
            if method == "session/set_mode":
                return self.set_mode(session, params)
            self.sessions.pop(session.id).close()
            return {}
        if number is None:
            return None
        raise RpcError(NO_METHOD, f"no method {method!r}")

    def initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params.get("clientCapabilities")
        self.reports_children = isinstance(wanted, dict) and isinstance(wanted.get("subagents"), dict)
        return {
            "protocolVersion": 1,
            "agentInfo": CLIENT,
            "agentCapabilities": {
                "loadSession": False,
                "promptCapabilities": {"image": False, "audio": False, "embeddedContext": False},
                "mcpCapabilities": {"http": False, "sse": False},
                "sessionCapabilities": {"close": {}},
            },
            "authMethods": [],
            "_meta": {"steering": {"supported": True}},
        }

    def new_session(self, params: dict[str, Any], number: Any) -> Later:
        session = Session(self, f"demo-{os.getpid()}-{len(self.sessions) + 1}", params)
        self.sessions[session.id] = session
        modes = {"currentModeId": session.mode, "availableModes": MODES}
        self.wire.answer(number, {"sessionId": session.id, "modes": modes})
        self.notify(session, "available_commands_update", availableCommands=COMMANDS)
        return Later()

    def notify(self, session: Session, kind: str, **fields: Any) -> None:
        self.wire.notify("session/update", {"sessionId": session.id, "update": {"sessionUpdate": kind, **fields}})

    def set_mode(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        mode = params.get("modeId")
        if mode not in [known["id"] for known in MODES]:
            raise RpcError(BAD_PARAMS, f"no mode {mode!r}")
        session.mode = str(mode)
        session.apply_mode()
        return {}

    def prompt(self, session: Session, params: dict[str, Any], number: Any) -> Later:
        if session.busy:
            raise RpcError(INVALID_REQUEST, "a turn is running in this session")
        session.prompt(text_of(params), number)
        return Later()

    def steer(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": "injected" if session.tell(text_of(params)) else "promptRequired"}

    def cancel(self, session_id: str) -> None:
        if session_id in self.sessions:
            self.sessions[session_id].cancel()
            return
        for session in self.sessions.values():
            if session.mind is not None and session.mind.cancel_children(session_id):
                return

    def close(self) -> None:
        for session in list(self.sessions.values()):
            session.close()

    # -- turns

    def answer(self, mind: Mind, text: str, first: bool) -> None:
        """What to do about a prompt."""
        task = _TASK.match(text)
        low = text.strip().lower()
        if task and (found := find_helper(task[1])) is not None and self.role != "orchestrator":
            around, helper = found
            around.prepare(mind.folder, Random(around.name))  # noqa: S311 - a script's data
            work_alone(mind, helper)
            return
        mission = find_mission(low)
        if self.role != "worker" and mission is not None and (first or "again" in low or "start over" in low):
            mind.begin(mission)
        elif mind.unfinished:
            self._go_on(mind, text, low)
        elif low.startswith("/files") or "list files" in low:
            mind.run("ls -l")
        else:
            mind.think("This is a demonstration: I follow a script, and no model is asked.")
            mind.say(conversation(mind, text, first))

    def _go_on(self, mind: Mind, text: str, low: str) -> None:
        """A prompt while a mission is unfinished: it was interrupted."""
        if low.startswith("/status"):
            mind.say(mind.status())
            return
        if any(word in low for word in ("stop", "wait", "hold on", "pause")):
            mind.say(f"I stay where I am.\n\n{mind.status()}\n\nSay *continue* when I should go on.")
            return
        mind.say("I go on where I was interrupted.")
        if not low.lstrip("/").startswith(("continue", "go on", "resume")):
            mind.control.told.append(text)  # heard like something said in mid-turn
        mind.go_on()


def work_alone(mind: Mind, helper: Helper) -> None:
    """A helper's work as the task of a sub-agent; its last words are its result."""
    mind.working = True
    try:
        result = helper.work(mind)
    except (Finish, SkipStep):
        result = "Result: stopped early, because the operator asked for it."
    finally:
        mind.working = False
    if mind.notes:
        result += "\n\nSaid by the operator meanwhile: " + "; ".join(f"“{note}”" for note in mind.notes)
    mind.say(result)


def conversation(mind: Mind, text: str, first: bool) -> str:
    low = text.lower()
    if first or not text.strip():
        names = "\n".join(f"- *{mission.name}*" for mission in MISSIONS)
        return (
            "I am the **demo agent**: a scripted program that speaks the same protocol as a real coding agent. "
            f"No model is asked and nothing leaves this computer.\n\nI know three missions:\n\n{names}\n\n"
            "Name one and I start it, with sub-agents. While I work you can put in a word at any time: "
            "*status*, *skip this*, *keep it short*, *wrap up*, or anything else."
        )
    if "status" in low:
        done = "\n".join(f"- {title}" for title in mind.done) or "- nothing yet"
        return f"I am idle. Done so far:\n\n{done}"
    if "thank" in low:
        return "You are welcome. The files stay where they are until I end."
    files = sorted(path.name for path in mind.folder.iterdir() if path.name != MARK)
    listed = ", ".join(f"`{name}`" for name in files) or "no files yet"
    quoted = text.strip().splitlines()[0][:200]
    return (
        f"You said: “{quoted}”\n\nI am only a script, so I cannot make much of it; but I heard it. "
        f"In my folder there are: {listed}."
    )


def find_mission(low: str) -> Mission | None:
    return next((mission for mission in MISSIONS if any(word in low for word in mission.words)), None)


def find_helper(name: str) -> tuple[Mission, Helper] | None:
    for mission in MISSIONS:
        for helper in mission.helpers:
            if helper.name == name:
                return mission, helper
    return None


def text_of(params: dict[str, Any]) -> str:
    blocks = params.get("prompt")
    if not isinstance(blocks, list):
        raise RpcError(BAD_PARAMS, "prompt is a list of content blocks")
    return "\n".join(str(block.get("text", "")) for block in blocks if isinstance(block, dict))


def scratch(cwd: Any) -> tuple[Path, bool]:
    """The folder to work in, and whether it was made for this."""
    if isinstance(cwd, str) and os.path.isdir(cwd):
        folder = Path(cwd)
        if (folder / MARK).is_file():
            return folder, False
        if os.access(folder, os.W_OK) and not any(folder.iterdir()):
            (folder / MARK).touch()
            return folder, False
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / MARK).write_text(str(os.getpid()), encoding="ascii")
    return folder, True


def sweep() -> None:
    """Remove the folders of demo agents that were killed before they could."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"):
        with contextlib.suppress(OSError, ValueError):
            maker = int(mark.read_text(encoding="ascii"))
            try:
                os.kill(maker, 0)
            except ProcessLookupError:
                if mark.stat().st_uid == os.getuid():
                    shutil.rmtree(mark.parent, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo agent", description="A scripted agent that speaks ACP over stdio.")
    parser.add_argument("--role", choices=("auto", "orchestrator", "worker"), default="auto")
    parser.add_argument("--seed", type=int, default=None, help="default: taken from the prompt")
    parser.add_argument("--pace", type=float, default=NORMAL_PACE, help="words a second (default: 20)")
    options = parser.parse_args()
    if options.pace <= 0:
        parser.error("--pace must be above 0")
    wire = Wire(sys.stdin.buffer, sys.stdout.buffer)
    agent = Agent(wire, role=options.role, seed=options.seed, pace=options.pace)

    def end(number: int, frame: FrameType | None) -> None:
        agent.close()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    wire.serve(agent.handle)
    agent.close()
    return 0
