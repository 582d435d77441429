"""The transcript of one session: chunks, tool calls, plans and notices become messages that grow and are replaced.

Consecutive chunks of one kind are one message; another kind, another message id of the agent's, a new tool call or
plan, or the end of the turn completes it. Tool calls and plans keep the place at which they first appeared.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mission_control_desktop.domain.limits import MAX_STORED_CONTENT_CHARS
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.orchestrator.core.events import Chunk, PeerMessage, PlanUpsert, ToolUpsert
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.record.ops import AppendText, PutMessage

MAX_KEPT = 256
"""Tool calls, plans and messages by id that can still be changed, per session and kind; the oldest are let go."""
MAX_ECHOES = 8
UNTITLED = "Tool call"
JUNK_SHOWN = 200
JUNK_SECONDS = 1.0
"""How often (in seconds of the journal) the count of a running flood of junk is brought up to date."""

_CHUNK_KINDS = {"text": MessageKind.TEXT, "thought": MessageKind.THOUGHT, "user": MessageKind.TEXT}


@dataclass(slots=True)
class Said:
    """One message as it is on record, with its text in pieces while it grows."""

    message_id: str
    role: MessageRole
    at: datetime
    metadata: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    stored: int = 0
    """Characters on record."""
    said: int = 0
    """Characters said in all; more than `stored` if the message was cut."""
    agent_id: str | None = None

    def set_text(self, text: str) -> None:
        self.said = len(text)
        self.pieces = [text[:MAX_STORED_CONTENT_CHARS]]
        self.stored = len(self.pieces[0])

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


@dataclass(slots=True)
class _Junk:
    entry: Said
    count: int
    first: str
    shown: int
    shown_t: float


class Transcript:
    """Turns events into record ops. `session_id` is the control-plane id, `prefix` begins the ids of messages."""

    def __init__(self, session_id: str, prefix: str) -> None:
        self._session_id = session_id
        self._prefix = prefix
        self._open: Said | None = None
        self._open_kind = ""
        self._tools: OrderedDict[str, Said] = OrderedDict()
        self._plans: OrderedDict[str, Said] = OrderedDict()
        self._by_id: OrderedDict[str, Said] = OrderedDict()
        self._junk: _Junk | None = None
        self._echoes: list[str] = []
        self._live = False
        """Whether a turn runs: only then can a message stay open."""
        self._over = False
        """Whether the process is gone: what still comes is complete as it comes."""

    # ------------------------------------------------------------------ writing

    def _put(self, step: Step, entry: Said) -> None:
        metadata = dict(entry.metadata)
        if entry.said > entry.stored:
            metadata["truncatedFrom"] = entry.said
        step.write(
            PutMessage(
                message=AgentMessage(
                    message_id=entry.message_id,
                    session_id=self._session_id,
                    role=entry.role,
                    content=entry.text,
                    timestamp=entry.at,
                    metadata=metadata,
                )
            )
        )

    def _append(self, step: Step, entry: Said, text: str) -> None:
        room = MAX_STORED_CONTENT_CHARS - entry.stored
        was_cut = entry.said > entry.stored
        entry.said += len(text)
        piece = text[:room] if room < len(text) else text
        if piece:
            step.write(
                AppendText(session_id=self._session_id, message_id=entry.message_id, offset=entry.stored, text=piece)
            )
            entry.pieces.append(piece)
            entry.stored += len(piece)
        if entry.said > entry.stored and not was_cut:
            self._put(step, entry)

    def _new(self, step: Step, role: MessageRole, kind: MessageKind, text: str, **metadata: Any) -> Said:
        entry = Said(
            message_id=step.new_id(self._prefix),
            role=role,
            at=step.at,
            metadata={"kind": kind.value, "complete": True, **metadata},
        )
        entry.set_text(text)
        return entry

    # ------------------------------------------------------------------ turns

    def turn_began(self, step: Step) -> None:
        """What was said between turns is complete: what comes now is said by this one."""
        if not self._live:
            self.close_text(step)
        self._live = True

    def turn_ended(self, step: Step, *, cancelled: bool = False) -> None:
        """Nothing grows any more: open messages, running tool calls and plans are complete."""
        self.close_text(step)
        self.flush_junk(step)
        self._live = False
        for entry in self._tools.values():
            if not entry.metadata["complete"]:
                entry.metadata["complete"] = True
                if cancelled:
                    entry.metadata["cancelled"] = True
                self._put(step, entry)
        for entry in self._plans.values():
            if not entry.metadata["complete"]:
                entry.metadata["complete"] = True
                self._put(step, entry)
        self._plans.clear()

    def end(self, step: Step, *, cancelled: bool = False) -> None:
        """The process is gone."""
        self.turn_ended(step, cancelled=cancelled)
        self._over = True
        for entry in self._by_id.values():
            if not entry.metadata["complete"]:
                entry.metadata["complete"] = True
                self._put(step, entry)

    def gap(self) -> None:
        """Entries are missing: what was being said is on record as it was last known there, and is not touched."""
        self._open = self._junk = None
        self._tools.clear()
        self._plans.clear()
        self._by_id.clear()

    def forget_process(self) -> None:
        """Another process goes on with the session: its ids for tool calls and the like may repeat."""
        self._tools.clear()
        self._plans.clear()
        self._echoes.clear()
        self._by_id.clear()

    def close_text(self, step: Step) -> None:
        entry, self._open = self._open, None
        if entry is not None and not entry.metadata["complete"]:
            entry.metadata["complete"] = True
            self._put(step, entry)

    # ------------------------------------------------------------------ what is said

    def expect_echo(self, text: str) -> None:
        """The agent may repeat what it was just sent; that is not said again."""
        self._echoes = [*self._echoes[-(MAX_ECHOES - 1) :], text]

    def _is_echo(self, text: str) -> bool:
        for place, expected in enumerate(self._echoes):
            if expected.startswith(text):
                self._echoes[place] = expected[len(text) :]
            elif text.strip() and expected.strip().startswith(text.strip()):
                self._echoes[place] = expected.strip()[len(text.strip()) :]
            else:
                continue
            if not self._echoes[place].strip():
                del self._echoes[place]
            return True
        return False

    def chunk(self, step: Step, event: Chunk) -> None:
        if event.kind == "user" and self._is_echo(event.text):
            return
        entry = self._open
        if (
            entry is not None
            and not event.whole
            and self._open_kind == event.kind
            and (event.message_id is None or entry.agent_id is None or event.message_id == entry.agent_id)
        ):
            if event.message_id is not None:
                entry.agent_id = event.message_id
            self._append(step, entry, event.text)
            return
        self._interrupt(step)
        role = MessageRole.USER if event.kind == "user" else MessageRole.AGENT
        entry = self._new(step, role, _CHUNK_KINDS[event.kind], event.text)
        entry.agent_id = event.message_id
        entry.metadata["complete"] = event.whole or not self._live
        if not event.whole:
            self._open, self._open_kind = entry, event.kind
        self._put(step, entry)

    def _interrupt(self, step: Step) -> None:
        """Another message follows: what was open is complete."""
        self.close_text(step)
        self.flush_junk(step)
        self._junk = None

    def say(self, step: Step, role: MessageRole, text: str, **metadata: Any) -> Said:
        """A whole text of a person or of another agent; does not interrupt what is being streamed."""
        entry = self._new(step, role, MessageKind.TEXT, text, **metadata)
        self._junk_ends(step)
        self._put(step, entry)
        return entry

    def amend(self, step: Step, entry: Said, text: str | None = None, **metadata: Any) -> None:
        """Change what `say` wrote: other words (None: the same), and more metadata."""
        if text is not None:
            entry.set_text(text)
        entry.metadata.update(metadata)
        self._put(step, entry)

    def peer(self, step: Step, event: PeerMessage, role: MessageRole, **metadata: Any) -> None:
        key = f"peer:{event.message_id}"
        entry = self._by_id.get(key)
        if entry is None:
            self._interrupt(step)
            entry = self._new(step, role, MessageKind.TEXT, event.text, **metadata)
            self._keep(self._by_id, key, entry)
            self._put(step, entry)
        elif event.append:
            self._append(step, entry, event.text)
        else:
            entry.set_text(event.text)
            self._put(step, entry)

    # ------------------------------------------------------------------ tool calls

    def tool(self, step: Step, event: ToolUpsert, **extra: Any) -> None:
        entry = self._tools.get(event.tool_call_id)
        if entry is None:
            self._interrupt(step)
            entry = self._new(
                step,
                MessageRole.AGENT,
                MessageKind.TOOL_CALL,
                "",
                toolCallId=event.tool_call_id,
                title=UNTITLED,
                toolKind="other",
                status="pending",
                locations=[],
                diffs=[],
            )
            entry.metadata["complete"] = False
            self._keep(self._tools, event.tool_call_id, entry)
            fresh = True
        else:
            fresh = False
        changed = self._merge_tool(entry, event, extra) or fresh
        if self._over:
            entry.metadata["complete"] = True
        text, append = event.text, event.append
        if text is not None and not fresh and entry.said == entry.stored and entry.stored:
            # Agents send the whole output again and again while it grows; only what is new goes on.
            before = entry.text
            if text.startswith(before):
                append, text = text[len(before) :], None
        if text is not None and (len(text) != entry.said or text[:MAX_STORED_CONTENT_CHARS] != entry.text):
            entry.set_text(text)
            changed = True
        if changed:
            if append:
                entry.set_text(entry.text + append)
            self._put(step, entry)
        elif append:
            self._append(step, entry, append)

    @staticmethod
    def _merge_tool(entry: Said, event: ToolUpsert, extra: dict[str, Any]) -> bool:
        metadata = entry.metadata
        said: dict[str, Any] = dict(extra)
        if event.title is not None:
            said["title"] = event.title[:2_000]
        if event.name is not None:
            said["toolName"] = event.name[:200]
            if metadata["title"] == UNTITLED:
                said.setdefault("title", event.name[:200])
        if event.exit_code is not None:
            said["exitCode"] = event.exit_code
        if event.kind is not None:
            said["toolKind"] = event.kind
        if event.status is not None:
            said["status"] = event.status
            said["complete"] = event.status in ("completed", "failed")
        if event.input is not None:
            said["input"] = event.input
        if event.locations is not None:
            said["locations"] = list(event.locations)
        if event.diffs is not None:
            said["diffs"] = list(event.diffs)
        if event.terminals:
            said["terminals"] = list(event.terminals)
        changed = {key: value for key, value in said.items() if metadata.get(key) != value}
        metadata.update(changed)
        return bool(changed)

    def tool_metadata(self, tool_call_id: str) -> dict[str, Any]:
        """What is known of a tool call, with its output as `text`; empty if it is not known."""
        entry = self._tools.get(tool_call_id)
        return {**entry.metadata, "text": entry.text} if entry is not None else {}

    # ------------------------------------------------------------------ plans and notices

    def plan(self, step: Step, event: PlanUpsert) -> None:
        key = event.plan_id or ""
        entry = self._plans.get(key)
        if event.removed:
            if entry is not None:
                entry.metadata.update(complete=True, removed=True)
                self._put(step, entry)
                del self._plans[key]
            return
        if entry is None:
            self._interrupt(step)
            entry = self._new(step, MessageRole.AGENT, MessageKind.PLAN, "")
            self._keep(self._plans, key, entry)
        marks = {"completed": "x", "in_progress": "~"}
        lines = (f"- [{marks.get(item['status'], ' ')}] {item['content']}" for item in event.entries)
        entry.set_text(event.text if event.text is not None else "\n".join(lines))
        done = all(item["status"] == "completed" for item in event.entries)
        entry.metadata.update(entries=list(event.entries), complete=done or not self._live)
        self._put(step, entry)

    def notice(self, step: Step, level: str, text: str, **extra: Any) -> str:
        """A notice of ours or of the agent; does not interrupt what is being streamed."""
        self._junk_ends(step)
        entry = self._new(step, MessageRole.SYSTEM, MessageKind.NOTICE, text, level=level, **extra)
        self._put(step, entry)
        return entry.message_id

    def upsert_notice(self, step: Step, key: str, level: str, text: str, *, append: bool, complete: bool) -> None:
        entry = self._by_id.get(key)
        if entry is None:
            self._junk_ends(step)
            entry = self._new(step, MessageRole.SYSTEM, MessageKind.NOTICE, text, level=level)
            self._keep(self._by_id, key, entry)
        elif append:
            entry.set_text(f"{entry.text}{text}")
        else:
            entry.set_text(text)
        entry.metadata.update(level=level, complete=complete or self._over)
        self._put(step, entry)

    # ------------------------------------------------------------------ junk

    def junk(self, step: Step, text: str) -> None:
        """A line that is no message: neighbours are merged into one notice, with a count and the first one's start."""
        junk = self._junk
        if junk is None:
            entry = self._new(step, MessageRole.SYSTEM, MessageKind.NOTICE, "", level="warning", junk=1)
            junk = self._junk = _Junk(entry, 1, text[:JUNK_SHOWN], 0, step.t)
            self.flush_junk(step)
            return
        junk.count += 1
        if abs(step.t - junk.shown_t) >= JUNK_SECONDS:
            junk.shown_t = step.t
            self.flush_junk(step)

    def flush_junk(self, step: Step) -> None:
        junk = self._junk
        if junk is None or junk.shown == junk.count:
            return
        junk.shown = junk.count
        lines = "a line that is" if junk.count == 1 else f"{junk.count} lines that are"
        junk.entry.set_text(f"The agent printed {lines} no protocol message: {junk.first}")
        junk.entry.metadata["junk"] = junk.count
        self._put(step, junk.entry)

    def _junk_ends(self, step: Step) -> None:
        self.flush_junk(step)
        self._junk = None

    # ------------------------------------------------------------------ bounds

    def _keep(self, where: OrderedDict[str, Said], key: str, entry: Said) -> None:
        where[key] = entry
        if len(where) > MAX_KEPT:
            where.popitem(last=False)
