"""A journal to play by hand: feeds a core, keeps what it wants done, and does it at once as a keeper would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.orchestrator.core.effects import Answered, Do, Effect, Send, SetTimer, Write
from mission_control_desktop.orchestrator.core.entries import Entry, EntryKind
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.record.ops import AppendText, PutApproval, PutMessage, PutReceipt, PutSession

ROOT = "0" * 31 + "1"
START = 1_700_000_000.0


def spec(**changes: Any) -> SessionSpec:
    fields: dict[str, Any] = {
        "session_id": ROOT,
        "provider": "internal",
        "run_id": "run-1",
        "profile": "demo",
        "runtime": "acp",
        "command": ("agent", "--acp"),
        "cwd": "/project",
        "spawned_at": datetime.fromtimestamp(START, UTC),
        "prompt": "Do it",
    }
    return SessionSpec(**{**fields, **changes})


def can_go_on(again: str | None) -> dict[str, Any]:
    """The capabilities of an agent that can `resume` or `load` a session in a new process, or neither (None)."""
    if again == "resume":
        return {"sessionCapabilities": {"resume": {}}}
    return {"loadSession": True} if again == "load" else {}


class Record:
    """A model of the record: applies ops as the real one does."""

    def __init__(self) -> None:
        self.messages: dict[str, AgentMessage] = {}
        self.sessions: dict[str, AgentSession] = {}
        self.history: dict[str, list[tuple[str | None, SessionStatus]]] = {}
        self.receipts: dict[str, list[Receipt]] = {}
        self.approvals: dict[str, list[Approval]] = {}

    def apply(self, write: Write) -> None:
        for op in write.ops:
            if isinstance(op, PutMessage):
                self.messages[op.message.message_id] = op.message
            elif isinstance(op, AppendText):
                before = self.messages[op.message_id]
                assert op.offset == len(before.content), "an append that does not fit"
                self.messages[op.message_id] = msgspec.structs.replace(before, content=before.content + op.text)
            elif isinstance(op, PutSession):
                session = op.session
                self.sessions[session.session_id] = session
                self.history.setdefault(session.session_id, []).append((session.run_id, session.status))
            elif isinstance(op, PutReceipt):
                self.receipts.setdefault(op.receipt.injection_id, []).append(op.receipt)
            elif isinstance(op, PutApproval):
                self.approvals.setdefault(op.approval.approval_id, []).append(op.approval)


class Play:
    """`auto` does what the core wants as a keeper would: `out` for each line, `did` for each deed."""

    def __init__(self, *, auto: bool = True, **changes: Any) -> None:
        self.core = SessionCore(spec(**changes))
        self.n = 0
        self.t = START
        self.auto = auto
        self.entries: list[Entry] = []
        self.effects: list[Effect] = []
        self.record = Record()
        self.timers: dict[str, float] = {}
        self.sent: list[dict[str, Any]] = []
        self.did: list[str] = []
        self.answers: dict[str, Answered] = {}
        self.left: list[int] = []

    # ---------------------------------------------------------------- entries

    def feed(self, kind: EntryKind, **fields: Any) -> list[Effect]:
        self.n += 1
        self.t += 0.01
        entry = Entry(n=self.n, t=self.t, kind=kind, **fields)
        self.entries.append(entry)
        effects = self.core.feed(entry)
        self.effects.extend(effects)
        for effect in effects:
            if isinstance(effect, Write):
                self.record.apply(effect)
            elif isinstance(effect, Answered):
                self.answers[effect.command_id] = effect
            elif isinstance(effect, SetTimer):
                if effect.seconds is None:
                    self.timers.pop(effect.name, None)
                else:
                    self.timers[effect.name] = effect.seconds
            elif isinstance(effect, Send):
                self.sent.append(json.loads(effect.line))
                assert "\n" not in effect.line
            elif isinstance(effect, Do):
                self.did.append(effect.what)
        if self.auto:
            for effect in effects:
                if isinstance(effect, Send):
                    self.feed("out", line=effect.line, key=effect.key)
                elif isinstance(effect, Do):
                    self.do(effect)
        return effects

    def do(self, effect: Do, **changes: Any) -> list[Effect]:
        data = {
            "what": effect.what,
            "key": effect.key,
            "ok": not self.left,
            "pids": [10, 11],
            "left": self.left,
            "ms": 1,
        }
        effects = self.feed("did", key=effect.key, data={**data, **changes})
        return effects

    def line(self, message: dict[str, Any] | str) -> list[Effect]:
        return self.feed("in", line=message if isinstance(message, str) else json.dumps(message))

    def update(self, update: dict[str, Any], session: str = "S") -> list[Effect]:
        return self.line({"method": "session/update", "params": {"sessionId": session, "update": update}})

    def text(self, text: str, session: str = "S") -> list[Effect]:
        content = {"type": "text", "text": text}
        return self.update({"sessionUpdate": "agent_message_chunk", "content": content}, session)

    def command(self, name: str, command_id: str | None = None, /, **fields: Any) -> Answered | None:
        command_id = command_id or f"c{self.n + 1}"
        self.feed("cmd", data={"command": name, "id": command_id, **fields})
        return self.answers.get(command_id)

    def inject(self, command_id: str, content: str, **fields: Any) -> Answered | None:
        return self.command("inject", command_id, content=content, operatorId="ann", **fields)

    def fire(self, prefix: str) -> None:
        """Let the timer whose name begins so run out."""
        name = next(name for name in self.timers if name.startswith(prefix))
        self.t += self.timers.pop(name)
        self.command("timer", name=name)

    # ---------------------------------------------------------------- an agent's side

    def start(self) -> None:
        self.feed("start", data={"pid": 10, "startTime": 5, "keeperPid": 9, "keeperStartTime": 4})

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message.get("method") == method]

    def reply(self, method: str, result: Any = None, *, error: dict[str, Any] | None = None) -> None:
        """Answer the newest request of this method."""
        rpc_id = self.requests(method)[-1]["id"]
        if error is not None:
            self.line({"jsonrpc": "2.0", "id": rpc_id, "error": error})
        else:
            self.line({"jsonrpc": "2.0", "id": rpc_id, "result": result})

    def open(
        self,
        *,
        name: str = "test-agent",
        version: str = "1.0.0",
        steering: bool = False,
        close: bool = False,
        again: str | None = None,
        modes: dict[str, Any] | None = None,
    ) -> Play:
        self.start()
        capabilities = can_go_on(again)
        if close:
            capabilities.setdefault("sessionCapabilities", {})["close"] = {}
        result: dict[str, Any] = {
            "protocolVersion": 1,
            "agentInfo": {"name": name, "version": version},
            "agentCapabilities": capabilities,
        }
        if steering:
            result["_meta"] = {"steering": {"supported": True}}
        self.reply("initialize", result)
        self.reply("session/new", {"sessionId": "S", **({"modes": modes} if modes else {})})
        return self

    def end_turn(self, reason: str = "end_turn", **more: Any) -> None:
        self.reply("session/prompt", {"stopReason": reason, **more})

    def ask(self, rpc_id: Any = 1, session: str = "S", **call: Any) -> str:
        """A permission request; the id of the approval."""
        before = set(self.record.approvals)
        options = [
            {"optionId": "yes", "kind": "allow_once", "name": "Allow"},
            {"optionId": "no", "kind": "reject_once", "name": "Reject"},
        ]
        call = {"toolCallId": f"t{rpc_id}", **call}
        params = {"sessionId": session, "toolCall": call, "options": options}
        self.line({"jsonrpc": "2.0", "id": rpc_id, "method": "session/request_permission", "params": params})
        new = set(self.record.approvals) - before
        assert len(new) == 1
        return new.pop()

    def exit(self, code: int | None = 0, number: int | None = None, left: list[int] | None = None) -> None:
        self.feed("exit", data={"code": code, "signal": number, "left": left or []})

    # ---------------------------------------------------------------- looking

    @property
    def root(self) -> AgentSession:
        return self.core.sessions[ROOT]

    @property
    def status(self) -> str:
        session = self.root
        return session.status.value + (f"/{session.waiting_for.value}" if session.waiting_for else "")

    @property
    def offers(self) -> list[str]:
        return [delivery.value for delivery in self.root.capabilities.inject]

    def state(self, injection_id: str) -> str:
        return self.record.receipts[injection_id][-1].state.value

    def ladder(self, injection_id: str) -> list[str]:
        return [receipt.state.value for receipt in self.record.receipts[injection_id]]

    def prompts(self) -> list[str]:
        return [message["params"]["prompt"][0]["text"] for message in self.requests("session/prompt")]

    def transcript(self, session_id: str | None = None, *, notices: bool = False) -> list[tuple[str, str, str]]:
        wanted = session_id or self.root.session_id
        return [
            (message.role.value, message.kind.value, message.content)
            for message in self.record.messages.values()
            if message.session_id == wanted and (notices or message.kind.value != "notice")
        ]

    def notices(self, session_id: str | None = None) -> list[str]:
        return [text for _, kind, text in self.transcript(session_id, notices=True) if kind == "notice"]

    def message(self, kind: str) -> AgentMessage:
        """The newest message of a kind."""
        return [message for message in self.record.messages.values() if message.kind.value == kind][-1]
