"""One session's transcript: the gateway's rows and its live stream, as changes of the record. Pure.

Ids come from the rows alone, so that reading them again gives the same ones: a user's row has the gateway's id, the
n-th assistant row of a run is `RUN:n`, a tool call `tool:RUN:CALL`. The stream numbers the assistant's messages of a
run in the same way, so a text that streams becomes the row it ends as.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.providers.openclaw.values import items, label, mapping, mappings, moment, text, whole
from mission_control_desktop.record.ops import AppendText, PutMessage, RecordOp

_GROWS = (MessageKind.TEXT, MessageKind.TOOL_CALL)
INJECTED = "mc-"
"""Before an injection's id in its idempotency key; the operator's own row carries `KEY:user`."""
REMEMBERED = 4_096
"""Rows, runs and tool calls remembered per transcript. What falls out can only be written once more, unchanged."""


def key_of(injection_id: str) -> str:
    """The idempotency key of an operator's message, for its whole life."""
    return INJECTED + injection_id


def injection_of(row: dict[str, Any]) -> str | None:
    """The injection that a user's row is, if it is one of ours."""
    said = text(row, "idempotencyKey") or text(mapping(row.get("__openclaw")), "idempotencyKey") or ""
    key, colon, what = said.rpartition(":")
    return key.removeprefix(INJECTED) if colon and what == "user" and key.startswith(INJECTED) else None


class _Recent(OrderedDict[str, Any]):
    def put(self, key: str, value: Any) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


@dataclass(slots=True)
class _Live:
    """The text that streams now."""

    run_id: str
    message_id: str
    said: str
    at: datetime
    complete: bool = False


class Transcript:
    """`session_id` is the control plane's. `operator_of` tells who sent an injection, where that is known."""

    def __init__(self, session_id: str, operator_of: Callable[[str], str | None] = lambda _: None) -> None:
        self._session_id = session_id
        self._operator_of = operator_of
        self._rows = _Recent()
        """Row id → its number."""
        self._ordinals = _Recent()
        """Run id → how many assistant rows it has so far."""
        self._put = _Recent()
        """Message id → the message as it was written last."""
        self._live: _Live | None = None
        self._open: set[str] = set()
        """Texts and tool calls that are not complete."""
        self.newest = 0
        """The highest number of a row seen."""

    # Rows

    def row(self, row: dict[str, Any], now: datetime, *, known: bool = False) -> list[RecordOp]:
        """One row of the history, in the order of their numbers. `known`: it is on record already, and only counted."""
        about = mapping(row.get("__openclaw"))
        row_id, seq = text(about, "id"), whole(about, "seq")
        if row_id is None:
            return []
        if self._rows.get(row_id) == seq:
            return []
        if row_id in self._rows:
            row_id = f"{row_id}#{seq}"
            if row_id in self._rows:
                return []
        self._rows.put(row_id, seq)
        self.newest = max(self.newest, seq or 0)
        at = moment(row, "timestamp") or moment(about, "recordTimestampMs") or now
        match text(row, "role"):
            case "user":
                found = [self._user(row, row_id, at)]
            case "assistant":
                found = self._assistant(row, row_id, about, at)
            case "toolResult":
                found = [self._result(row, row_id, about, at)]
            case "system":
                found = [
                    self._message(row_id, MessageRole.SYSTEM, words(row.get("content")), at, kind=MessageKind.NOTICE)
                ]
                found = [msgspec.structs.replace(one, metadata={**one.metadata, "level": "info"}) for one in found]
            case _:
                return []
        changes = self._changes(found)
        return [] if known else changes

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether the row was seen already."""
        about = mapping(row.get("__openclaw"))
        return self._rows.get(text(about, "id") or "") == whole(about, "seq")

    def _user(self, row: dict[str, Any], row_id: str, at: datetime) -> AgentMessage:
        injection = injection_of(row)
        content = words(row.get("content"))
        if injection is None:
            return self._message(row_id, MessageRole.USER, content, at)
        more: dict[str, Any] = {"injectionId": injection}
        if (operator := self._operator_of(injection)) is not None:
            more["operatorId"] = operator
        return self._message(row_id, MessageRole.OPERATOR, content, at, **more)

    def _assistant(self, row: dict[str, Any], row_id: str, about: dict[str, Any], at: datetime) -> list[AgentMessage]:
        run_id = text(about, "runId")
        message_id, live = row_id, self._live
        if run_id is not None:
            count = self._ordinals.get(run_id, 0) + 1
            self._ordinals.put(run_id, count)
            message_id = f"{run_id}:{count}"
        found: list[AgentMessage] = []
        content = row.get("content")
        thought = "\n\n".join(filter(None, (_thought(block) for block in mappings(content))))
        said = words(content)
        if said and live is not None and live.run_id == run_id:
            message_id, self._live = live.message_id, None
        if thought:
            found.append(
                self._message(f"{message_id}:thought", MessageRole.AGENT, thought, at, kind=MessageKind.THOUGHT)
            )
        if said:
            more: dict[str, Any] = {"error": True} if text(row, "stopReason") == "error" else {}
            found.append(self._message(message_id, MessageRole.AGENT, said, at, **more))
        found.extend(self._call(run_id, block, at) for block in mappings(content) if text(block, "type") == "toolCall")
        return found

    def _call(self, run_id: str | None, block: dict[str, Any], at: datetime) -> AgentMessage:
        call_id, name = text(block, "id") or "?", label(block, "name") or "tool"
        message_id = f"tool:{run_id}:{call_id}"
        before: AgentMessage | None = self._put.get(message_id)
        if before is not None:
            metadata = {**before.metadata, "input": block.get("arguments")}
            return msgspec.structs.replace(before, metadata=metadata)
        return self._tool(message_id, call_id, name, at, status="in_progress", given=block.get("arguments"))

    def _result(self, row: dict[str, Any], row_id: str, about: dict[str, Any], at: datetime) -> AgentMessage:
        call_id = text(row, "toolCallId") or row_id
        message_id = f"tool:{text(about, 'runId')}:{call_id}"
        status = "failed" if row.get("isError") is True else "completed"
        before: AgentMessage = self._put.get(message_id) or self._tool(
            message_id, call_id, label(row, "toolName") or "tool", at, status=status
        )
        return _with_result(before, words(row.get("content")), status)

    # The live stream

    def agent(self, payload: dict[str, Any], now: datetime) -> list[RecordOp]:
        """An `agent` or `session.tool` event."""
        run_id, data = text(payload, "runId"), mapping(payload.get("data"))
        if run_id is None:
            return []
        at = moment(payload, "ts") or now
        match text(payload, "stream"):
            case "assistant":
                return self._streams(run_id, data, at)
            case "tool":
                return self._tool_event(run_id, data, at)
            case "lifecycle":
                phase = text(data, "phase")
                if phase in ("end", "error"):
                    return self.ended(run_id)
        return []

    def _streams(self, run_id: str, data: dict[str, Any], at: datetime) -> list[RecordOp]:
        said = data.get("text")
        if not isinstance(said, str) or not said:
            return []
        ordinal = _ordinal(text(data, "itemId")) or self._ordinals.get(run_id, 0) + 1
        if ordinal <= self._ordinals.get(run_id, 0):
            return []  # Its row is here already.
        message_id = f"{run_id}:{ordinal}"
        live = self._live
        if live is None or live.message_id != message_id:
            closing = [] if live is None or live.complete else self._close(live)
            self._live = _Live(run_id, message_id, said, at)
            return [*closing, *self._changes([self._growing(self._live)])]
        if said == live.said:
            return []
        offset, grew = len(live.said), said.startswith(live.said)
        live.said = said
        if grew:
            self._put.pop(message_id, None)
            return [
                AppendText(session_id=self._session_id, message_id=message_id, offset=offset, text=said[offset:], at=at)
            ]
        return self._changes([self._growing(live)])

    def _growing(self, live: _Live) -> AgentMessage:
        return self._message(live.message_id, MessageRole.AGENT, live.said, live.at, complete=False)

    def _tool_event(self, run_id: str, data: dict[str, Any], at: datetime) -> list[RecordOp]:
        call_id = text(data, "toolCallId")
        if call_id is None:
            return []
        message_id = f"tool:{run_id}:{call_id}"
        before = self._put.get(message_id)
        if before is not None and before.metadata.get("complete") is True and not before.metadata.get("interrupted"):
            return []
        if before is None:
            before = self._tool(
                message_id, call_id, label(data, "name") or "tool", at, status="in_progress", given=data.get("args")
            )
        match text(data, "phase"):
            case "result":
                status = "failed" if data.get("isError") is True else "completed"
                return self._changes([_with_result(before, words(mapping(data.get("result")).get("content")), status)])
            case "update":
                content = words(mapping(data.get("partialResult")).get("content"))
                return self._changes([msgspec.structs.replace(before, content=content)])
        return self._changes([before])

    def ended(self, run_id: str) -> list[RecordOp]:
        """The run is over. A text without a row was cut off; if the gateway keeps it after all, its row follows."""
        live = self._live
        if live is None or live.run_id != run_id or live.complete:
            return []
        return self._close(live)

    def recall(self, messages: Sequence[AgentMessage]) -> None:
        """What an earlier process wrote: what it left open is settled like the rest."""
        for message in messages:
            if message.metadata.get("complete") is False and message.kind in _GROWS:
                self._put.put(message.message_id, message)
                self._open.add(message.message_id)

    def settle(self, running: str | None) -> list[RecordOp]:
        """Only this run goes on (None: none does): what another one left open gets no more text and no result. If the
        gateway has more of it after all, that is taken."""
        found: list[RecordOp] = []
        for message_id in sorted(self._open):
            if running is not None and message_id.startswith((f"{running}:", f"tool:{running}:")):
                continue
            self._open.discard(message_id)
            live, before = self._live, self._put.get(message_id)
            if live is not None and live.message_id == message_id:
                found.extend(self._close(live))
            elif before is not None:
                metadata = {**before.metadata, "complete": True, "interrupted": True}
                found.extend(self._changes([msgspec.structs.replace(before, metadata=metadata)]))
        return found

    def _close(self, live: _Live) -> list[RecordOp]:
        live.complete = True
        message = self._message(live.message_id, MessageRole.AGENT, live.said, live.at, interrupted=True)
        return self._changes([message])

    # How they are made

    def _tool(
        self, message_id: str, call_id: str, name: str, at: datetime, *, status: str, given: Any = None
    ) -> AgentMessage:
        return self._message(
            message_id,
            MessageRole.AGENT,
            "",
            at,
            kind=MessageKind.TOOL_CALL,
            complete=status in ("completed", "failed"),
            toolCallId=call_id,
            title=_title(name, given),
            toolKind=_KINDS.get(name, "other"),
            status=status,
            input=given,
        )

    def _message(
        self,
        message_id: str,
        role: MessageRole,
        content: str,
        at: datetime,
        *,
        kind: MessageKind = MessageKind.TEXT,
        complete: bool = True,
        **more: Any,
    ) -> AgentMessage:
        return AgentMessage(
            message_id=message_id,
            session_id=self._session_id,
            role=role,
            content=content,
            timestamp=at,
            metadata={"kind": kind.value, "complete": complete, **more},
        )

    def _changes(self, messages: Sequence[AgentMessage]) -> list[RecordOp]:
        """What of it is new."""
        found: list[RecordOp] = []
        for message in messages:
            if self._put.get(message.message_id) != message:
                self._put.put(message.message_id, message)
                found.append(PutMessage(message=message))
            if message.kind in _GROWS and not message.complete:
                self._open.add(message.message_id)
            else:
                self._open.discard(message.message_id)
        return found


def _with_result(call: AgentMessage, content: str, status: str) -> AgentMessage:
    metadata = {**call.metadata, "status": status, "complete": True}
    metadata.pop("interrupted", None)
    return msgspec.structs.replace(call, content=content, metadata=metadata)


def words(content: object) -> str:
    """The text of a row's content: a string, or blocks."""
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for block in items(content):
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, dict):
            kind = text(block, "type")
            if kind == "text" and (said := text(block, "text")) is not None:
                parts.append(said)
            elif kind not in (None, "text", "toolCall", "thinking", "reasoning"):
                parts.append(f"[{kind}]")
    return "\n\n".join(parts)


def cut(row: dict[str, Any]) -> bool:
    """Whether the gateway shortened the row, so that the whole has to be asked for."""
    return mapping(row.get("__openclaw")).get("truncated") is True


def _thought(block: dict[str, Any]) -> str | None:
    if text(block, "type") not in ("thinking", "reasoning"):
        return None
    return text(block, "thinking") or text(block, "text")


def _ordinal(item_id: str | None) -> int | None:
    _, colon, number = (item_id or "").rpartition(":")
    return int(number) if colon and number.isascii() and number.isdigit() and len(number) < 7 else None


_KINDS = {
    "exec": "execute",
    "process": "execute",
    "read": "read",
    "write": "edit",
    "edit": "edit",
    "apply_patch": "edit",
    "web_search": "search",
    "web_fetch": "fetch",
    "sessions_spawn": "other",
}


def _title(name: str, arguments: Any) -> str:
    """The tool, and what it is used on, where that is said in one word or line."""
    for field_ in ("command", "path", "file_path", "url", "query", "label", "task"):
        if (value := label(mapping(arguments), field_)) is not None:
            return f"{name}: {value}"
    return name
