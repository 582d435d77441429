"""What is too old leaves the record: in small transactions, counted in the same ones, and never the audit log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, or_, select, true, update

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.base import Record, to_json
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.retention import RetentionRun
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.receipts import UNFINISHED
from mission_control_desktop.storage.sessions import FINAL
from mission_control_desktop.storage.sql import insert_or_ignore, upsert

SESSIONS_LOOKED_AT = 2_000
"""In one read: each costs a look into an index."""
ADVISORY_LOCK = 0x4D434452
_IN_LIST = 500
_STEP = 20


class RetentionState(Record, frozen=True, kw_only=True):
    """`pending` is what was removed and is not in the audit log yet, `audit_id` the id that its row will have. `last`
    is the last run that is in it."""

    pending: RetentionRun | None = None
    audit_id: str = ""
    last: RetentionRun | None = None


@dataclass(frozen=True, slots=True)
class OldSession:
    session_id: str
    final: bool


@dataclass(slots=True)
class Batch:
    """What one transaction removed. `done`: how many of its sessions have nothing old any more; `seconds` it took."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    receipts: int = 0
    approvals: int = 0
    done: int = 0
    seconds: float = 0.0
    locked_out: bool = False


class RetentionRows:
    def __init__(self, access: Access) -> None:
        self._access = access

    # Settings

    async def days(self, workspace_id: str) -> int | None:
        """None: the default period."""
        column = t.workspaces.c
        query = select(column.message_retention_days).where(column.id == workspace_id)
        return await self._access.read(lambda c: c.execute(query).scalar())

    async def set_days(self, workspace_id: str, days: int | None, *, at: datetime) -> None:
        def work(connection: Connection) -> None:
            row = {"id": workspace_id, "created_at": at}
            connection.execute(insert_or_ignore(connection, t.workspaces), row)
            statement = update(t.workspaces).where(t.workspaces.c.id == workspace_id)
            connection.execute(statement.values(message_retention_days=days))

        await self._access.write(work)

    async def workspaces(self) -> dict[str, int | None]:
        """Every workspace that has sessions or settings, and its period."""

        def work(connection: Connection) -> dict[str, int | None]:
            found: dict[str, int | None] = {DEFAULT_WORKSPACE: None}
            found |= dict.fromkeys(connection.execute(select(t.sessions.c.workspace_id).distinct()).scalars())
            found |= {row.id: row.message_retention_days for row in connection.execute(select(t.workspaces))}
            return found

        return await self._access.read(work)

    async def state(self, workspace_id: str) -> RetentionState:
        return await self._access.read(lambda c: _state(c, workspace_id))

    async def put_state(self, workspace_id: str, state: RetentionState) -> None:
        await self._access.write(lambda c: _put_state(c, workspace_id, state))

    # One runner at a time

    async def lock(self) -> bool:
        """Whether this process may run. On SQLite the record has one process anyway."""
        if self._access.dialect == "sqlite":
            return True
        statement = select(func.pg_try_advisory_lock(ADVISORY_LOCK))
        return await self._access.write(lambda c: bool(c.execute(statement).scalar()), durable=False)

    async def unlock(self) -> None:
        if self._access.dialect != "sqlite":
            statement = select(func.pg_advisory_unlock(ADVISORY_LOCK))
            await self._access.write(lambda c: c.execute(statement).scalar(), durable=False)

    # Finding

    async def old_sessions(
        self, workspace_id: str, cutoff: datetime, *, after: int
    ) -> tuple[list[OldSession], int | None]:
        """The sessions among the next ones that have something old, and where to go on; None at the end."""
        column = t.sessions.c

        def work(connection: Connection) -> tuple[list[OldSession], int | None]:
            page = select(column.id).where(column.id > after).order_by(column.id).limit(SESSIONS_LOOKED_AT)
            ids = connection.execute(page).scalars().all()
            if not ids:
                return [], None
            has_old = or_(*(_any_old(table, cutoff) for table in (t.messages, t.receipts, t.approvals)))
            query = select(column.session_id, column.status).where(
                column.id > after, column.id <= ids[-1], column.workspace_id == workspace_id, has_old
            )
            found = [OldSession(row.session_id, row.status in FINAL) for row in connection.execute(query)]
            return found, ids[-1]

        return await self._access.read(work)

    async def ended_before(
        self, session_ids: Sequence[str], workspace_id: str, cutoff: datetime
    ) -> tuple[set[str], set[str]]:
        """Of these sessions: those of this workspace that ended before the cut-off, and all that are on record."""
        column = t.sessions.c

        def work(connection: Connection) -> tuple[set[str], set[str]]:
            ended, known = set[str](), set[str]()
            for start in range(0, len(session_ids), _IN_LIST):
                part = session_ids[start : start + _IN_LIST]
                query = select(column.session_id, column.workspace_id, column.status, column.completed_at)
                for row in connection.execute(query.where(column.session_id.in_(part))):
                    known.add(row.session_id)
                    old = row.completed_at is not None and row.completed_at < cutoff
                    if row.workspace_id == workspace_id and row.status in FINAL and old:
                        ended.add(row.session_id)
            return ended, known

        return await self._access.read(work)

    # Space

    async def give_back(self, pages: int) -> bool:
        """Return so many free pages to the file system; whether there are more. SQLite alone."""
        if self._access.dialect != "sqlite":
            return False

        def work(connection: Connection) -> bool:
            before = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            raw = connection.connection.dbapi_connection
            if raw is not None:
                cursor = raw.cursor()
                cursor.execute(f"PRAGMA incremental_vacuum({pages})")
                cursor.fetchall()  # each step returns one page
            after = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            return bool(0 < after < before)

        return await self._access.write(work, durable=False)

    async def empty_the_log(self) -> None:
        """Bring what was written into the database file and empty the write-ahead log, which holds removed words until
        then. SQLite alone; what a reader hinders is done by the next run."""
        if self._access.dialect == "sqlite":
            await self._access.maintain("PRAGMA wal_checkpoint(TRUNCATE)")


def remove_batch(
    connection: Connection,
    sessions: Sequence[OldSession],
    *,
    workspace_id: str,
    cutoff: datetime,
    limit: int,
    limit_seconds: float,
    run: RetentionRun,
    audit_id: str,
) -> Batch:
    """Remove about `limit` messages, receipts and questions of the first of these sessions, in about `limit_seconds`,
    and count them in the workspace's state, all in this transaction. What is not settled in a living session (a message
    that still grows, a question that is open) stays, however old."""
    began = time.perf_counter()
    batch = Batch()
    if connection.dialect.name == "postgresql":
        batch.locked_out = not connection.execute(select(func.pg_try_advisory_xact_lock(ADVISORY_LOCK))).scalar()
        if batch.locked_out:
            return batch
    deadline = began + limit_seconds
    left = limit
    for session in sessions:
        for table, key, gone in (
            (t.messages, t.messages.c.id, list[str]()),
            (t.receipts, t.receipts.c.injection_id, list[str]()),
            (t.approvals, t.approvals.c.approval_id, list[str]()),
        ):
            more = _remove(connection, table, key, session, cutoff, left, deadline, gone)
            left -= len(gone)
            if table is t.messages and gone:
                column = t.session_streams.c
                counted = update(t.session_streams).where(column.session_id == session.session_id)
                connection.execute(counted.values(removed_messages=column.removed_messages + len(gone)))
                batch.messages += [(session.session_id, message_id) for message_id in gone]
            batch.receipts += len(gone) if table is t.receipts else 0
            batch.approvals += len(gone) if table is t.approvals else 0
            if more:
                break
        if more:
            break
        batch.done += 1
        left -= 1
        if left <= 0 or time.perf_counter() >= deadline:
            break
    if batch.messages or batch.receipts or batch.approvals:
        counts = RetentionRun(
            at=run.at,
            cutoff=run.cutoff,
            days=run.days,
            messages=len(batch.messages),
            receipts=batch.receipts,
            approvals=batch.approvals,
        )
        _count(connection, workspace_id, counts, audit_id)
    batch.seconds = time.perf_counter() - began
    return batch


def count(connection: Connection, workspace_id: str, run: RetentionRun, audit_id: str) -> None:
    """Add what was removed elsewhere (`journals`) to what is pending."""
    _count(connection, workspace_id, run, audit_id)


def _remove(
    connection: Connection,
    table: Table,
    key: ColumnElement[str],
    session: OldSession,
    cutoff: datetime,
    limit: int,
    deadline: float,
    gone: list[str],
) -> bool:
    """Remove what is old of one kind, the oldest first, as far as limit and deadline allow; at least some of it.
    Whether there may be more."""
    column = table.c
    old = and_(column.session_id == session.session_id, _time(table) < cutoff)
    if not session.final:
        old = and_(old, _settled(table))
    ids = list(connection.execute(select(key).where(old).order_by(_time(table)).limit(max(limit, 1))).scalars())
    for start in range(0, len(ids), _STEP):
        part = ids[start : start + _STEP]
        connection.execute(delete(table).where(column.session_id == session.session_id, key.in_(part)))
        gone += part
        if time.perf_counter() >= deadline:
            return True
    return len(ids) >= limit


def _time(table: Table) -> ColumnElement[datetime]:
    name = {t.messages: "timestamp", t.receipts: "at", t.approvals: "created_at"}[table]
    return table.c[name]


def _settled(table: Table) -> ColumnElement[bool]:
    """Whether a row of a living session will not change any more."""
    if table is t.messages:
        return func.coalesce(t.messages.c.metadata["complete"].as_boolean(), true()).is_(True)
    if table is t.receipts:
        return t.receipts.c.state.not_in(UNFINISHED)
    return t.approvals.c.state != ApprovalState.OPEN.value


def _any_old(table: Table, cutoff: datetime) -> ColumnElement[bool]:
    return exists().where(table.c.session_id == t.sessions.c.session_id, _time(table) < cutoff)


def _state(connection: Connection, workspace_id: str) -> RetentionState:
    query = select(t.meta.c.value).where(t.meta.c.key == f"retention:{workspace_id}")
    text = connection.execute(query).scalar()
    return RetentionState() if text is None else msgspec.json.decode(text, type=RetentionState)


def _put_state(connection: Connection, workspace_id: str, state: RetentionState) -> None:
    row = {"key": f"retention:{workspace_id}", "value": to_json(state).decode()}
    connection.execute(upsert(connection, t.meta, "key"), row)


def _count(connection: Connection, workspace_id: str, run: RetentionRun, audit_id: str) -> None:
    state = _state(connection, workspace_id)
    before = state.pending or RetentionRun(at=run.at, cutoff=run.cutoff, days=run.days)
    pending = msgspec.structs.replace(
        run,
        messages=before.messages + run.messages,
        receipts=before.receipts + run.receipts,
        approvals=before.approvals + run.approvals,
        journals=before.journals + run.journals,
    )
    _put_state(
        connection,
        workspace_id,
        msgspec.structs.replace(state, pending=pending, audit_id=state.audit_id if state.pending else audit_id),
    )
