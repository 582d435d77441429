"""A draft: what one transaction will change, planned op by op on top of what is on record.

Nothing in a draft counts before its transaction is committed; one that fails is thrown away whole, sequence numbers
included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.limits import MAX_STORED_CONTENT_CHARS
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, split_id, transition_allowed
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.record.known import Change, Known, MessageKey, MessageState, SessionState, StreamState
from mission_control_desktop.record.ops import (
    AppendText,
    DropLetter,
    PutApproval,
    PutMessage,
    PutReceipt,
    PutSession,
    RecordOp,
)
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.approvals import approval_row
from mission_control_desktop.storage.messages import tails_of
from mission_control_desktop.storage.receipts import letter_row, receipt_row
from mission_control_desktop.storage.sessions import session_row
from mission_control_desktop.storage.sql import upsert
from mission_control_desktop.storage.written import with_removed

log = structlog.get_logger(__name__)

FOLD_CHUNKS = 256
"""A growing message is written whole again when so many appends stand beside it and they are as long as itself (or
there are sixteen times as many), which keeps both the cost of an append and that of reading it back bounded."""


class Poisoned(Exception):
    """This op can never be recorded. Raised before it changed anything in the draft."""


class Foreign(Poisoned):
    """The session that it names belongs to another workspace: who is told about it must not be that one's people."""


@dataclass(slots=True)
class _PendingMessage:
    row: dict[str, Any]
    parts: list[str]


class Draft:
    """Plan ops, then `flush`. A child draft sees its parent's flushed state; `absorb` takes a child's over."""

    def __init__(self, connection: Connection, known: Known, now: datetime, parent: Draft | None = None) -> None:
        self._connection = connection
        self._known = known
        self._now = now
        self._parent = parent
        self.streams: dict[str, StreamState] = {}
        self.sessions: dict[str, SessionState | None] = {}
        self.messages: dict[MessageKey, MessageState | None] = {}
        self.cursors: dict[tuple[str, str], int] = {}
        self.changes: list[Change] = []
        self._wseq: int | None = None
        self._last_change: dict[str, Change] = {}
        self._message_rows: dict[MessageKey, _PendingMessage] = {}
        self._chunks: list[Change] = []
        self._unchunked: set[MessageKey] = set()
        self._session_rows: dict[str, dict[str, Any]] = {}
        self._receipt_rows: dict[str, dict[str, Any]] = {}
        self._approval_rows: dict[str, dict[str, Any]] = {}
        self._letter_rows: dict[str, dict[str, Any]] = {}
        self._dropped_letters: set[str] = set()

    # What is on record

    def cursor(self, provider: str, stream: str) -> int:
        key = (provider, stream)
        for draft in self._lineage():
            if key in draft.cursors:
                return draft.cursors[key]
        if key not in self._known.cursors:
            column = t.stream_cursors.c
            query = select(column.position).where(column.provider == provider, column.stream_id == stream)
            self._known.cursors.put(key, self._connection.execute(query).scalar() or 0)
        return self._known.cursors[key]

    def _stream(self, session_id: str) -> StreamState:
        """The session's stream, to be changed."""
        if session_id in self.streams:
            return self.streams[session_id]
        if self._parent is not None:
            found = replace(self._parent._stream(session_id))
        elif (cached := self._known.streams.get(session_id)) is not None:
            found = replace(cached)
        else:
            column = t.session_streams.c
            query = select(column.last_seq, column.last_event_at, column.removed_messages).where(
                column.session_id == session_id
            )
            row = self._connection.execute(query).first()
            found = StreamState() if row is None else StreamState(*row)
        self.streams[session_id] = found
        return found

    def _session(self, session_id: str) -> SessionState | None:
        for draft in self._lineage():
            if session_id in draft.sessions:
                return draft.sessions[session_id]
        if session_id not in self._known.sessions:
            column = t.sessions.c
            row = self._connection.execute(
                select(column.status, column.run_id, column.workspace_id).where(column.session_id == session_id)
            ).first()
            self._known.sessions.put(
                session_id,
                None if row is None else SessionState(SessionStatus(row.status), row.run_id, row.workspace_id),
            )
        return self._known.sessions[session_id]

    def _message(self, key: MessageKey) -> MessageState | None:
        for draft in self._lineage():
            if key in draft.messages:
                return draft.messages[key]
        if key not in self._known.messages:
            self._known.messages.put(key, self._load_message(key))
        return self._known.messages[key]

    def _load_message(self, key: MessageKey) -> MessageState | None:
        column, chunk = t.messages.c, t.message_chunks.c
        row = self._connection.execute(
            select(column.first_seq, func.length(column.content)).where(
                column.session_id == key[0], column.id == key[1]
            )
        ).first()
        if row is None:
            return None
        count, chars = self._connection.execute(
            select(func.count(), func.coalesce(func.sum(func.length(chunk.text)), 0)).where(
                chunk.session_id == key[0], chunk.message_id == key[1]
            )
        ).one()
        return MessageState(place=row[0], length=row[1] + int(chars), chunks=count, chunk_chars=int(chars))

    def _lineage(self) -> Iterable[Draft]:
        draft: Draft | None = self
        while draft is not None:
            yield draft
            draft = draft._parent

    # Numbers

    def _next_seq(self, session_id: str, at: datetime) -> int:
        stream = self._stream(session_id)
        stream.last_seq += 1
        at = min(at, self._now)
        if stream.last_event_at is None or at > stream.last_event_at:
            stream.last_event_at = at
        return stream.last_seq

    def next_wseq(self) -> int:
        if self._wseq is None:
            self._wseq = self._parent._current_wseq() if self._parent is not None else read_wseq(self._connection)
        self._wseq += 1
        return self._wseq

    def _current_wseq(self) -> int:
        if self._wseq is None:
            self._wseq = read_wseq(self._connection)
        return self._wseq

    # Planning

    def plan(self, provider: str, workspace_id: str, op: RecordOp) -> None:
        """Raises Poisoned, before anything changed, for an op that can never be recorded."""
        session_id = op_session(op)
        if split_id(session_id)[0] != provider:
            raise Poisoned(f"it belongs to a session of another provider ({session_id})")
        known = self._session(session_id)
        if known is not None and known.workspace_id != workspace_id:
            # A name that was used before, elsewhere: what was recorded under it stays with those whose it is.
            raise Foreign("it belongs to a session of another workspace")
        match op:
            case AppendText():
                self._append(op)
            case PutMessage():
                self._put_message(op.message, provider)
            case PutSession():
                self._put_session(op.session, workspace_id)
            case PutReceipt():
                place = self._place(session_id, op.receipt.at, workspace_id)
                self._receipt_rows[op.receipt.injection_id] = {**receipt_row(op.receipt), **place}
                self._changed(Change(EventType.RECEIPT, op.receipt, session_id, **place))
                if op.letter is not None:
                    self._letter_rows[op.receipt.injection_id] = letter_row(op.receipt, provider, op.letter)
                    self._dropped_letters.discard(op.receipt.injection_id)
            case DropLetter():
                self._letter_rows.pop(op.injection_id, None)
                self._dropped_letters.add(op.injection_id)
            case PutApproval():
                place = self._place(session_id, op.approval.created_at, workspace_id)
                self._approval_rows[op.approval.approval_id] = {**approval_row(op.approval), **place}
                self._changed(Change(EventType.APPROVAL, op.approval, session_id, **place))

    def _place(self, session_id: str, at: datetime, workspace_id: str) -> dict[str, Any]:
        """Where a change stands in the session's stream and in the workspace's."""
        return {"seq": self._next_seq(session_id, at), "wseq": self.next_wseq(), "workspace_id": workspace_id}

    def _changed(self, change: Change) -> None:
        self.changes.append(change)
        if change.session_id is not None:
            self._last_change[change.session_id] = change

    def _put_session(self, session: AgentSession, workspace_id: str) -> None:
        session_id, state = session.session_id, self._session(session.session_id)
        if state is not None and not _may_follow(state, session):
            log.info("late state dropped", session=session_id, was=state.status.value, late=session.status.value)
            return
        self.sessions[session_id] = SessionState(session.status, session.run_id, workspace_id)
        place = self._place(session_id, session.evidence.last_event_at, workspace_id)
        newest = self._stream(session_id).last_event_at
        if newest is not None and newest > session.evidence.last_event_at:
            evidence = msgspec.structs.replace(session.evidence, last_event_at=newest)
            session = msgspec.structs.replace(session, evidence=evidence)
        self._session_rows[session_id] = {**session_row(session), **place}
        shown = with_removed(session.metadata, self._stream(session_id).removed)
        if shown is not session.metadata:
            session = msgspec.structs.replace(session, metadata=shown)
        self._changed(Change(EventType.SESSION, session, session_id, **place))

    def _put_message(self, message: AgentMessage, provider: str) -> None:
        session_id, key = message.session_id, (message.session_id, message.message_id)
        state = self._message(key)
        content, metadata = clean_text(message.content), message.metadata
        if len(content) > MAX_STORED_CONTENT_CHARS:
            metadata = {"truncatedFrom": len(content), **metadata}
            content = content[:MAX_STORED_CONTENT_CHARS]
        seq = self._next_seq(session_id, message.timestamp)
        place = seq if state is None else state.place
        message = msgspec.structs.replace(message, content=content, metadata=metadata, seq=place)
        if state is not None and state.chunks:
            self._forget_chunks(key)
        self.messages[key] = MessageState(place=place, length=len(content))
        row = {
            "session_id": session_id,
            "id": message.message_id,
            "provider": provider,
            "role": message.role.value,
            "timestamp": message.timestamp,
            "metadata": metadata,
            "first_seq": place,
            "last_seq": seq,
        }
        self._message_rows[key] = _PendingMessage(row, [content])
        self._changed(Change(EventType.MESSAGE, message, session_id, seq, place=place))

    def _forget_chunks(self, key: MessageKey) -> None:
        self._unchunked.add(key)
        self._chunks = [change for change in self._chunks if (change.session_id, change.message_id) != key]

    def _append(self, op: AppendText) -> None:
        key = (op.session_id, op.message_id)
        state = self._message(key)
        if state is None:
            raise Poisoned("it appends to a message that is not on record")
        if op.offset > state.length:
            if state.length >= MAX_STORED_CONTENT_CHARS:
                return
            raise Poisoned(f"it appends at {op.offset} to a message of {state.length} characters")
        text = clean_text(op.text[state.length - op.offset :])
        if not text:
            return
        total = state.length + len(text)
        text = text[: MAX_STORED_CONTENT_CHARS - state.length]
        if text:
            self._extend(key, state, text, op.at or self._now)
            state = self.messages[key] or state
        if total > MAX_STORED_CONTENT_CHARS and text:
            self._write_whole(key, state, truncated_from=total)
        elif state.chunks >= FOLD_CHUNKS and (
            state.chunk_chars * 2 >= state.length or state.chunks >= 16 * FOLD_CHUNKS
        ):
            self._write_whole(key, state)

    def _extend(self, key: MessageKey, state: MessageState, text: str, at: datetime) -> None:
        session_id, message_id = key
        if key not in self.messages:  # Only what this draft made may be changed.
            state = replace(state)
        change = self._last_change.get(session_id)
        merged = change is not None and change.type is EventType.DELTA and change.message_id == message_id
        if not merged or change is None:
            seq = self._next_seq(session_id, at)
            change = Change(
                EventType.DELTA,
                None,
                session_id,
                seq,
                place=state.place,
                message_id=message_id,
                offset=state.length,
            )
            self._changed(change)
        change.parts.append(text)
        state.length += len(text)
        pending = self._message_rows.get(key)
        if pending is not None:
            pending.parts.append(text)
            pending.row["last_seq"] = change.seq
        else:
            state.chunk_chars += len(text)
            if not merged:
                state.chunks += 1
                self._chunks.append(change)
        self.messages[key] = state

    def _write_whole(self, key: MessageKey, state: MessageState, *, truncated_from: int | None = None) -> None:
        """Write a message's content with its appends again; say so if the record stops to grow here."""
        column = t.messages.c
        pending = self._message_rows.get(key)
        if pending is None:
            found = self._connection.execute(
                select(t.messages).where(column.session_id == key[0], column.id == key[1])
            ).one()
            row = dict(found._mapping)
            parts = [row.pop("content"), tails_of(self._connection, key[0], [key[1]]).get(key[1], "")]
            mine = [change for change in self._chunks if (change.session_id, change.message_id) == key]
            for change in mine:
                parts.extend(change.parts)
                row["last_seq"] = change.seq
            pending = _PendingMessage(row, parts)
            if not mine:
                raise AssertionError("only an append makes a message longer")
            self._forget_chunks(key)
            self._message_rows[key] = pending
        self.messages[key] = MessageState(place=state.place, length=state.length)
        if truncated_from is None:
            return
        row = pending.row
        row["metadata"] = {**row["metadata"], "truncatedFrom": truncated_from}
        row["last_seq"] = seq = self._next_seq(key[0], self._now)
        message = msgspec.convert(
            {
                "messageId": row["id"],
                "sessionId": row["session_id"],
                "role": row["role"],
                "content": "".join(pending.parts),
                "timestamp": row["timestamp"],
                "seq": state.place,
                "metadata": row["metadata"],
            },
            AgentMessage,
        )
        self._changed(Change(EventType.MESSAGE, message, key[0], seq, place=state.place))

    # Writing

    def flush(self) -> None:
        """Write the rows of what was planned; the draft's numbers are written by the outermost draft alone."""
        run, connection = self._connection.execute, self._connection
        if self._session_rows:
            run(upsert(connection, t.sessions, "session_id"), list(self._session_rows.values()))
        if self._message_rows:
            rows = [{**one.row, "content": "".join(one.parts)} for one in self._message_rows.values()]
            run(upsert(connection, t.messages, "session_id", "id", keep="first_seq"), rows)
        if self._unchunked:
            column = t.message_chunks.c
            statement = delete(t.message_chunks).where(
                column.session_id == bindparam("of_session"), column.message_id == bindparam("of_message")
            )
            run(statement, [{"of_session": session, "of_message": message} for session, message in self._unchunked])
        if self._chunks:
            run(
                insert(t.message_chunks),
                [
                    {
                        "session_id": change.session_id,
                        "seq": change.seq,
                        "message_id": change.message_id,
                        "text": "".join(change.parts),
                    }
                    for change in self._chunks
                ],
            )
        if self._receipt_rows:
            run(upsert(connection, t.receipts, "injection_id"), list(self._receipt_rows.values()))
        if self._letter_rows:
            run(upsert(connection, t.letters, "injection_id"), list(self._letter_rows.values()))
        if self._dropped_letters:
            run(delete(t.letters).where(t.letters.c.injection_id.in_(sorted(self._dropped_letters))))
        if self._approval_rows:
            run(upsert(connection, t.approvals, "approval_id"), list(self._approval_rows.values()))
        if self._parent is None:
            self._flush_numbers()

    def _flush_numbers(self) -> None:
        run, connection = self._connection.execute, self._connection
        if self.streams:
            rows = [
                {"session_id": session_id, "last_seq": state.last_seq, "last_event_at": state.last_event_at}
                for session_id, state in self.streams.items()
            ]
            run(upsert(connection, t.session_streams, "session_id", keep="removed_messages"), rows)
        if self.cursors:
            positions = [
                {"provider": provider, "stream_id": stream, "position": position}
                for (provider, stream), position in self.cursors.items()
            ]
            run(upsert(connection, t.stream_cursors, "provider", "stream_id"), positions)
        if self._wseq is not None:
            write_wseq(connection, self._wseq)

    def absorb(self, child: Draft) -> None:
        """Take over what a child has flushed."""
        self.streams.update(child.streams)
        self.sessions.update(child.sessions)
        self.messages.update(child.messages)
        self.changes.extend(child.changes)
        if child._wseq is not None:
            self._wseq = child._wseq

    def settle(self) -> None:
        """After the commit: what was planned is now known."""
        for session_id, stream in self.streams.items():
            self._known.streams.put(session_id, stream)
        for session_id, session in self.sessions.items():
            self._known.sessions.put(session_id, session)
        for key, message in self.messages.items():
            self._known.messages.put(key, message)
        for place, position in self.cursors.items():
            self._known.cursors.put(place, position)


def op_session(op: RecordOp) -> str:
    match op:
        case AppendText():
            return op.session_id
        case PutMessage():
            return op.message.session_id
        case PutSession():
            return op.session.session_id
        case PutReceipt():
            return op.receipt.session_id
        case DropLetter():
            return op.session_id
        case PutApproval():
            return op.approval.session_id


def _may_follow(state: SessionState, session: AgentSession) -> bool:
    """Final is final within a run: a late event of a run that ended changes nothing. A new run, or `spawning` after an
    end, starts over."""
    if session.status is state.status or session.run_id != state.run_id:
        return True
    if state.status.final and session.status is SessionStatus.SPAWNING:
        return True
    return transition_allowed(state.status, session.status)


def read_wseq(connection: Connection) -> int:
    query = select(t.meta.c.value).where(t.meta.c.key == "wseq").with_for_update()
    return int(connection.execute(query).scalar_one())


def write_wseq(connection: Connection, wseq: int) -> None:
    connection.execute(update(t.meta).where(t.meta.c.key == "wseq").values(value=str(wseq)))
