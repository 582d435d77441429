"""Rows of the audit log: appended with their place in the chain, read in pages, never changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from mission_control_desktop.domain.audit import (
    GENESIS_HASH,
    AuditAction,
    AuditEntry,
    AuditOutcome,
    ChainReport,
    chained,
    verify_chain,
)
from mission_control_desktop.domain.mission_control import AuditFilter, Page
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import check_limit, make_cursor, read_cursor
from mission_control_desktop.storage.types import clean_json, clean_text

_BATCH = 500


def append_audit(connection: Connection, workspace_id: str, draft: AuditEntry, wseq: int) -> AuditEntry:
    """Give the draft (its id and content count, not its place) the next place in its workspace's chain.

    The chain's end is read in the same transaction, so that another process's rows are seen too."""
    column = t.audit_log.c
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('operator_audit_log'), 0)")
    last = connection.execute(
        select(column.seq, column.hash).where(column.workspace_id == workspace_id).order_by(column.seq.desc()).limit(1)
    ).first()
    # What is hashed must be what is read back: plain JSON, storable text.
    body = msgspec.json.decode(msgspec.json.encode(clean_json(msgspec.to_builtins(draft.metadata))))
    content = None if draft.content is None else clean_text(draft.content)
    entry = msgspec.structs.replace(draft, seq=1 if last is None else last.seq + 1, metadata=body, content=content)
    entry = chained(entry, GENESIS_HASH if last is None else last.hash)
    intent = body.get("intentId")
    connection.execute(
        insert(t.audit_log),
        {
            "id": entry.id,
            "workspace_id": workspace_id,
            "seq": entry.seq,
            "wseq": wseq,
            "created_at": entry.created_at,
            "user_id": entry.user_id,
            "actor_kind": entry.actor_kind.value,
            "session_id": entry.session_id,
            "provider": entry.provider,
            "action": entry.action.value,
            "outcome": entry.outcome.value,
            "content": entry.content,
            "metadata": entry.metadata,
            "intent_id": intent if isinstance(intent, str) else None,
            "prev_hash": entry.prev_hash,
            "hash": entry.hash,
        },
    )
    return entry


def audit_of(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
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
        metadata=row.metadata,
        prev_hash=row.prev_hash,
        hash=row.hash,
    )


def _batch(connection: Connection, workspace_id: str, after: int) -> list[Row[Any]]:
    column = t.audit_log.c
    query = select(t.audit_log).where(column.workspace_id == workspace_id, column.seq > after)
    return list(connection.execute(query.order_by(column.seq).limit(_BATCH)))


def _verify(connection: Connection, workspace_id: str) -> ChainReport:
    at = {"seq": 0}

    def rows() -> Iterator[AuditEntry]:
        while batch := _batch(connection, workspace_id, at["seq"]):
            for row in batch:
                at["seq"] = row.seq
                yield audit_of(row)

    try:
        return verify_chain(rows())
    except (ValueError, msgspec.ValidationError) as error:
        # A value that no version of this program writes (an action, a time, JSON): someone wrote around it.
        return ChainReport(
            valid=False, rows=at["seq"], first_bad={"seq": at["seq"], "problem": f"cannot be read: {error}"}
        )


class AuditRows:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def page(
        self, workspace_id: str, filters: AuditFilter | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[AuditEntry]:
        """Newest first. `from` is included, `to` is not. Raises BadInput for a bad limit or cursor."""
        check_limit(limit)
        filters = filters or AuditFilter()
        column = t.audit_log.c
        query = select(t.audit_log).where(column.workspace_id == workspace_id)
        for place, wanted in (
            (column.user_id, filters.user),
            (column.session_id, filters.session),
            (column.provider, filters.provider),
            (column.action, filters.action),
            (column.outcome, filters.outcome),
        ):
            if wanted is not None:
                query = query.where(place == wanted)
        if filters.from_ is not None:
            query = query.where(column.created_at >= filters.from_)
        if filters.to is not None:
            query = query.where(column.created_at < filters.to)
        if cursor is not None:
            query = query.where(column.seq < read_cursor(cursor, tuple[int])[0])
        query = query.order_by(column.seq.desc()).limit(limit + 1)
        found = await self._access.read(lambda c: [audit_of(row) for row in c.execute(query)])
        more = None
        if len(found) > limit:
            del found[limit:]
            more = make_cursor(found[-1].seq)
        return Page(items=tuple(found), next_cursor=more)

    async def get(self, entry_id: str) -> AuditEntry | None:
        query = select(t.audit_log).where(t.audit_log.c.id == entry_id)
        return await self._access.read(lambda c: None if (row := c.execute(query).first()) is None else audit_of(row))

    async def rows(self, workspace_id: str) -> AsyncIterator[AuditEntry]:
        """The whole log in its order, a few hundred rows in memory at a time."""
        after = 0
        while batch := await self._access.read(partial(_batch, workspace_id=workspace_id, after=after)):
            for row in batch:
                yield audit_of(row)
            after = batch[-1].seq

    async def verify(self, workspace_id: str) -> ChainReport:
        """Check the chain over one snapshot, in bounded memory."""
        return await self._access.read(lambda c: _verify(c, workspace_id))

    async def all_open_intents(self) -> list[tuple[str, AuditEntry]]:
        """`open_intents` of every workspace, each with its workspace."""
        query = select(t.audit_log.c.workspace_id).distinct().order_by(t.audit_log.c.workspace_id)
        found = await self._access.read(lambda c: list(c.execute(query).scalars()))
        return [(workspace_id, intent) for workspace_id in found for intent in await self.open_intents(workspace_id)]

    async def open_intents(self, workspace_id: str) -> list[AuditEntry]:
        """Rows `intended` that no other row names as its `metadata.intentId`, oldest first (at most 1000)."""
        row, closing = t.audit_log, t.audit_log.alias("closing")
        query = (
            select(row)
            .where(
                row.c.workspace_id == workspace_id,
                row.c.outcome == AuditOutcome.INTENDED.value,
                ~select(closing.c.id).where(closing.c.intent_id == row.c.id).exists(),
            )
            .order_by(row.c.seq)
            .limit(1000)
        )
        return await self._access.read(lambda c: [audit_of(found) for found in c.execute(query)])
