"""Reading rows of the audit log, also those that nobody of ours can have written.

Whoever changes the database by hand must not be able to keep others from reading the log: such a row is shown as one
that cannot be read, with what stands in it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, LargeBinary, Row, Select, Text, cast
from sqlalchemy.exc import DBAPIError

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.problems import unavailable_reason
from mission_control_desktop.storage.types import load_json

_SHOWN = 1_000
"""Characters that are shown of a field that cannot be read."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ENTRY = (DBAPIError, msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, RecursionError)


class Placed(NamedTuple):
    """A row and its place in the workspace's stream."""

    wseq: int
    entry: AuditEntry


def numbered(column: ColumnElement[int] = t.audit_log.c.seq) -> ColumnElement[bool]:
    """Rows whose number is one. SQLite keeps anything in any column; a row without a number has no place in the order
    of the log, so it is in no page (verification names it)."""
    return column == cast(column, BigInteger)


def placed(connection: Connection, query: Select[Any]) -> list[Placed]:
    """What a query over all columns of the audit log finds, in its order. A row that cannot be understood has the
    action `unreadable` and, by column, its text in `metadata.unreadable`."""
    try:
        return [_placed(row) for row in connection.execute(query)]
    except _NO_ENTRY as error:
        if unavailable_reason(error) is not None:
            raise
    # SQLite gives bytes as they are, also of text that is none.
    kind: LargeBinary | Text = LargeBinary() if connection.dialect.name == "sqlite" else Text()
    names = t.audit_log.c.keys()
    raw = query.with_only_columns(*(cast(t.audit_log.c[name], kind) for name in names), maintain_column_froms=True)
    return [_tolerant(dict(zip(names, row, strict=True))) for row in connection.execute(raw)]


def entries(connection: Connection, query: Select[Any]) -> list[AuditEntry]:
    """The same without the places."""
    return [row.entry for row in placed(connection, query)]


def _placed(row: Row[Any]) -> Placed:
    """Raises one of `_NO_ENTRY` for what is no row of ours."""
    entry = AuditEntry(
        id=row.id,
        seq=row.seq,
        created_at=row.created_at,
        user_id=row.user_id,
        actor_kind=ActorKind(row.actor_kind),
        action=AuditAction(row.action),
        outcome=AuditOutcome(row.outcome),
        session_id=row.session_id,
        provider=row.provider,
        content=row.content,
        metadata=_object(row.metadata),
        prev_hash=row.prev_hash,
        hash=row.hash,
    )
    texts = (entry.id, entry.user_id, entry.prev_hash, entry.hash)
    perhaps = (entry.session_id, entry.provider, entry.content)
    if not all(isinstance(text, str) for text in (*texts, *(text or "" for text in perhaps))):
        raise TypeError("bytes instead of text")
    if type(row.seq) is not int or type(row.wseq) is not int or not isinstance(row.created_at, datetime):
        raise TypeError("no number or no time")
    return Placed(row.wseq, entry)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("the metadata are no object")
    msgspec.json.encode(value)  # numbers that nothing can write, or more levels than can be written
    return value


def _tolerant(row: dict[str, Any]) -> Placed:
    said = {name: _text(value) for name, value in row.items()}
    odd: dict[str, Any] = {}

    def field(name: str, read: Callable[[str], Any], instead: Any) -> Any:
        text = said[name]
        try:
            if text is None:
                raise ValueError("nothing there")
            return read(text)
        except _NO_ENTRY:
            odd[name] = None if text is None else text[:_SHOWN]
            return instead

    def text(name: str) -> str:
        return str(field(name, str, ""))

    actor = field("actor_kind", ActorKind, ActorKind.POLICY)
    outcome = field("outcome", AuditOutcome, AuditOutcome.FAILED)
    action = field("action", AuditAction, AuditAction.UNREADABLE)
    created = field("created_at", _time, _LONG_AGO)
    metadata = field("metadata", lambda value: _object(load_json(value)), {})
    wseq, seq = field("wseq", int, 0), field("seq", int, 0)
    texts = {name: text(name) for name in ("id", "user_id", "prev_hash", "hash")}
    for name in ("id", "user_id", "session_id", "provider", "action", "content", "prev_hash", "hash"):
        if isinstance(row[name], bytes) and not _is_text(row[name]):
            odd[name] = (said[name] or "")[:_SHOWN]
    entry = AuditEntry(
        **texts,
        seq=seq,
        created_at=created,
        actor_kind=actor,
        action=AuditAction.UNREADABLE if odd else action,
        outcome=outcome,
        session_id=said["session_id"],
        provider=said["provider"],
        content=said["content"],
        metadata={"unreadable": {"action": said["action"], **odd}} if odd else metadata,
    )
    return Placed(wseq, entry)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return clean_text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
