"""Reading a stream from the record: how it opens, and what changed after a position.

Every function reads one snapshot. A page's `bound` is the position that it brings the reader to: all that changed up to
there has been given, or has changed again later. `level` says that the bound is the stream's head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, func, select

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import NotFound
from mission_control_desktop.domain.events import EventData, EventType, ProviderHealth, StopChannel
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.approvals import approval_of, approvals_in
from mission_control_desktop.storage.audit_read import numbered, placed
from mission_control_desktop.storage.kills import UNFINISHED as UNFINISHED_KILLS
from mission_control_desktop.storage.kills import kill_of
from mission_control_desktop.storage.messages import newest_messages, whole_messages
from mission_control_desktop.storage.receipts import UNFINISHED as UNFINISHED_RECEIPTS
from mission_control_desktop.storage.receipts import receipt_of
from mission_control_desktop.storage.sessions import FINAL, LIVING, session_of, session_query, sessions_in

PAGE_ROWS = 200
PAGE_CHARS = 4_000_000
"""Bounds of one page: so much of a stream is in memory at a time, however far behind its reader is."""
OPENING_FINALS = 200
OPENING_OTHERS = 200


@dataclass(slots=True)
class Item:
    position: int
    type: EventType
    data: EventData


@dataclass(slots=True)
class CatchUp:
    items: list[Item]
    bound: int
    level: bool


def session_head(connection: Connection, session_id: str) -> int | None:
    """The session's last sequence number; None if there is no such session."""
    row = connection.execute(
        select(t.session_streams.c.last_seq)
        .select_from(t.sessions.outerjoin(t.session_streams, t.sessions.c.session_id == t.session_streams.c.session_id))
        .where(t.sessions.c.session_id == session_id)
    ).first()
    return None if row is None else row.last_seq or 0


def session_opening(connection: Connection, session_id: str, replay: int | None) -> CatchUp:
    """The session, and with `replay` the last so many messages, what it asks and what is under way to it.

    Each has the number of its last change, in that order, and the session one below all of them: so whoever loses the
    connection half-way and comes back with the last id is given the rest. Raises NotFound."""
    row = connection.execute(session_query().where(t.sessions.c.session_id == session_id)).first()
    if row is None:
        raise NotFound("There is no such session.")
    head = session_head(connection, session_id) or 0
    items: list[Item] = []
    if replay is not None:
        messages = newest_messages(connection, session_id, replay)
        changed = _last_changes(connection, session_id, [message.message_id for message in messages])
        items += [Item(changed[one.message_id], EventType.MESSAGE, one) for one in messages]
        open_approvals = (
            select(t.approvals)
            .where(t.approvals.c.session_id == session_id, t.approvals.c.state == ApprovalState.OPEN.value)
            .order_by(t.approvals.c.seq.desc())
            .limit(OPENING_OTHERS)
        )
        items += [Item(one.seq, EventType.APPROVAL, approval_of(one)) for one in connection.execute(open_approvals)]
        unfinished = (
            select(t.receipts)
            .where(t.receipts.c.session_id == session_id, t.receipts.c.state.in_(UNFINISHED_RECEIPTS))
            .order_by(t.receipts.c.seq.desc())
            .limit(OPENING_OTHERS)
        )
        items += [Item(one.seq, EventType.RECEIPT, receipt_of(one)) for one in connection.execute(unfinished)]
    items.sort(key=lambda item: item.position)
    first = items[0].position - 1 if items else head
    items.insert(0, Item(first, EventType.SESSION, session_of(row)))
    return CatchUp(items, head, True)


def session_changes(connection: Connection, session_id: str, after: int) -> CatchUp:
    """What changed in a session after a position, each thing once, as it is now, in the order of its last change."""
    head = session_head(connection, session_id) or 0
    column, chunk = t.messages.c, t.message_chunks.c
    rewritten = connection.execute(
        select(column.id, column.last_seq, func.length(column.content).label("chars"))
        .where(column.session_id == session_id, column.last_seq > after)
        .order_by(column.last_seq)
        .limit(PAGE_ROWS)
    ).all()
    appended = connection.execute(
        select(chunk.message_id, func.max(chunk.seq).label("seq"), func.sum(func.length(chunk.text)).label("chars"))
        .where(chunk.session_id == session_id, chunk.seq > after)
        .group_by(chunk.message_id)
    ).all()
    bound = rewritten[-1].last_seq if len(rewritten) == PAGE_ROWS else head
    changed: dict[str, tuple[int, int]] = {row.id: (row.last_seq, row.chars) for row in rewritten}
    for row in appended:
        seq, chars = changed.get(row.message_id, (0, 0))
        changed[row.message_id] = (max(seq, row.seq), chars + int(row.chars))
    wanted, bound = _within(changed, bound)
    rows = connection.execute(select(t.messages).where(column.session_id == session_id, column.id.in_(wanted))).all()
    items = [
        Item(changed[message.message_id][0], EventType.MESSAGE, message)
        for message in whole_messages(connection, session_id, rows)
    ]
    session = connection.execute(
        session_query().where(
            t.sessions.c.session_id == session_id, t.sessions.c.seq > after, t.sessions.c.seq <= bound
        )
    ).first()
    if session is not None:
        items.append(Item(session.seq, EventType.SESSION, session_of(session)))
    for table, kind, decode in (
        (t.receipts, EventType.RECEIPT, receipt_of),
        (t.approvals, EventType.APPROVAL, approval_of),
    ):
        rows, bound = _rows_until(connection, table, "seq", after, bound, session_id=session_id)
        items += [Item(row.seq, kind, decode(row)) for row in rows]
    items = sorted((item for item in items if item.position <= bound), key=lambda item: item.position)
    return CatchUp(items, bound, bound >= head)


def _within(changed: dict[str, tuple[int, int]], bound: int) -> tuple[list[str], int]:
    """The messages up to the bound, in order, as far as a page's size allows; and the bound that this leaves."""
    wanted: list[str] = []
    chars = 0
    for message_id, (seq, length) in sorted(changed.items(), key=lambda one: one[1][0]):
        if seq > bound:
            break
        if wanted and (chars + length > PAGE_CHARS or len(wanted) >= PAGE_ROWS):
            return wanted, changed[wanted[-1]][0]
        wanted.append(message_id)
        chars += length
    return wanted, bound


def _last_changes(connection: Connection, session_id: str, ids: list[str]) -> dict[str, int]:
    column, chunk = t.messages.c, t.message_chunks.c
    rewritten = select(column.id, column.last_seq).where(column.session_id == session_id, column.id.in_(ids))
    found: dict[str, int] = {row.id: row.last_seq for row in connection.execute(rewritten)}
    for message_id, seq in connection.execute(
        select(chunk.message_id, func.max(chunk.seq))
        .where(chunk.session_id == session_id, chunk.message_id.in_(ids))
        .group_by(chunk.message_id)
    ):
        found[message_id] = max(found[message_id], seq)
    return found


def _rows_until(
    connection: Connection, table: Table, number: str, after: int, bound: int, **of: str
) -> tuple[list[Row[Any]], int]:
    """A page of a table's rows after one position and up to another, and the bound that its size leaves. `of`: the
    columns that say whose rows are wanted."""
    column = table.c[number]
    query = select(table).where(column > after, column <= bound).order_by(column).limit(PAGE_ROWS)
    for name, value in of.items():
        query = query.where(table.c[name] == value)
    rows = list(connection.execute(query))
    return rows, rows[-1]._mapping[number] if len(rows) == PAGE_ROWS else bound


def workspace_head(connection: Connection) -> int:
    return int(connection.execute(select(t.meta.c.value).where(t.meta.c.key == "wseq")).scalar_one())


def workspace_opening(connection: Connection, workspace_id: str) -> CatchUp:
    """Every session that is not final, the newest that are, open approvals, stops under way and the providers' health,
    each with the number of its last change."""
    column = t.sessions.c
    living = sessions_in(workspace_id).where(column.status.in_(LIVING))
    ended = sessions_in(workspace_id).where(column.status.in_(FINAL)).order_by(column.wseq.desc()).limit(OPENING_FINALS)
    items = [
        Item(row.wseq, EventType.SESSION, session_of(row))
        for query in (living, ended)
        for row in connection.execute(query)
    ]
    approvals = approvals_in(workspace_id).where(t.approvals.c.state == ApprovalState.OPEN.value)
    items += [Item(row.wseq, EventType.APPROVAL, approval_of(row)) for row in connection.execute(approvals)]
    kills = select(t.kill_alls).where(
        t.kill_alls.c.workspace_id == workspace_id, t.kill_alls.c.state.in_(UNFINISHED_KILLS)
    )
    items += [Item(row.wseq, EventType.KILL, kill_of(row.body)) for row in connection.execute(kills)]
    health = select(t.provider_health).where(t.provider_health.c.workspace_id == workspace_id)
    items += [Item(row.wseq, EventType.PROVIDER, _health_of(row)) for row in connection.execute(health)]
    items.sort(key=lambda item: item.position)
    return CatchUp(items, workspace_head(connection), True)


def workspace_changes(connection: Connection, workspace_id: str, after: int) -> CatchUp:
    """What changed in the workspace after a position, each thing once, as it is now."""
    head = bound = workspace_head(connection)
    items: list[Item] = []
    for kind, table, decode in _WORKSPACE_TABLES:
        rows, bound = _rows_until(connection, table, "wseq", after, bound, workspace_id=workspace_id)
        if kind is EventType.SESSION:
            items += _sessions_with_evidence(connection, rows)
        else:
            items += [Item(row.wseq, kind, decode(row)) for row in rows]
    audit, bound = _audit_until(connection, workspace_id, after, bound)
    items += audit
    items = sorted((item for item in items if item.position <= bound), key=lambda item: item.position)
    return CatchUp(items, bound, bound >= head)


def _audit_until(connection: Connection, workspace_id: str, after: int, bound: int) -> tuple[list[Item], int]:
    column = t.audit_log.c
    query = select(t.audit_log).where(column.workspace_id == workspace_id, column.wseq > after, column.wseq <= bound)
    found = placed(connection, query.where(numbered(column.wseq)).order_by(column.wseq).limit(PAGE_ROWS))
    items = [Item(wseq, EventType.AUDIT, entry) for wseq, entry in found]
    return items, items[-1].position if len(items) == PAGE_ROWS else bound


def _sessions_with_evidence(connection: Connection, rows: Iterable[Row[Any]]) -> list[Item]:
    ids = [row.session_id for row in rows]
    found = connection.execute(session_query().where(t.sessions.c.session_id.in_(ids)))
    return [Item(row.wseq, EventType.SESSION, session_of(row)) for row in found]


def _health_of(row: Row[Any]) -> ProviderHealth:
    stop = StopChannel() if row.stop is None else msgspec.convert(row.stop, StopChannel)
    return ProviderHealth(provider=row.provider, state=row.state, detail=row.detail, stop=stop, since=row.since)


def _kill(row: Row[Any]) -> EventData:
    return kill_of(row.body)


_WORKSPACE_TABLES: tuple[tuple[EventType, Table, Callable[[Row[Any]], EventData]], ...] = (
    (EventType.SESSION, t.sessions, session_of),
    (EventType.RECEIPT, t.receipts, receipt_of),
    (EventType.APPROVAL, t.approvals, approval_of),
    (EventType.KILL, t.kill_alls, _kill),
    (EventType.PROVIDER, t.provider_health, _health_of),
)


def message_place(data: EventData) -> int:
    return data.seq if isinstance(data, AgentMessage) else 0
