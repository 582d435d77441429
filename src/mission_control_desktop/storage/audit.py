"""Rows of the audit log: appended with their place in the chain, read in pages, never changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select

from mission_control_desktop.domain.audit import (
    AuditAction,
    AuditEntry,
    AuditOutcome,
    ChainHead,
    ChainReport,
    chained,
)
from mission_control_desktop.domain.chain_end import End, Found, against_head
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.mission_control import AuditFilter, Page
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.audit_check import verify
from mission_control_desktop.storage.audit_end import Authenticator, read_end, write_end
from mission_control_desktop.storage.audit_read import entries, numbered
from mission_control_desktop.storage.sql import check_limit, make_cursor, read_cursor
from mission_control_desktop.storage.types import clean_json

_BATCH = 500
THE_LOG = "mission-control"
"""The actor of what the log writes about itself."""


class EndNotSound(Exception):
    """The chain's end is not as it was left. That must stand in the log (`seal_draft`) before anything else does."""

    def __init__(self, end: End) -> None:
        super().__init__(end.found.value)
        self.end = end


def append_audit(
    connection: Connection,
    keys: Authenticator,
    workspace_id: str,
    draft: AuditEntry,
    wseq: int,
    *,
    remembered: ChainHead | None = None,
    whatever_the_end: bool = False,
) -> AuditEntry:
    """Give the draft (its id and content count, not its place) the next place in its workspace's chain, and
    authenticate the new end, in one transaction.

    The chain's end is read in the same transaction, so that another process's rows are seen too. Raises EndNotSound,
    unless told to go on `whatever_the_end` is."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('operator_audit_log'), 0)")
    end = read_end(connection, keys, workspace_id, remembered=remembered)
    if not end.sound and not whatever_the_end:
        raise EndNotSound(end)
    before = end.next_after()
    # What is hashed must be what is read back: plain JSON, storable text.
    body = msgspec.json.decode(msgspec.json.encode(clean_json(msgspec.to_builtins(draft.metadata))))
    content = None if draft.content is None else clean_text(draft.content)
    entry = msgspec.structs.replace(draft, seq=before.seq + 1, metadata=body, content=content)
    entry = chained(entry, before.hash)
    connection.execute(insert(t.audit_log), columns_of(entry, workspace_id, wseq))
    write_end(connection, keys, workspace_id, ChainHead(seq=entry.seq, hash=entry.hash))
    return entry


def columns_of(entry: AuditEntry, workspace_id: str, wseq: int) -> dict[str, Any]:
    """A chained entry as its row in the table."""
    intent = entry.metadata.get("intentId")
    return {
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
    }


def seal_draft(end: End, clock: Clock, ids: IdSource) -> AuditEntry:
    """The row in which the log says how it found its end. It can never be taken back: the next end covers it."""
    metadata: dict[str, Any] = {"found": end.found.value}
    for name, head in (("end", end.stored), ("last", end.last)):
        if head is not None:
            metadata[name] = str(head)
    if end.key_id is not None:
        metadata["keyId"] = end.key_id
    return AuditEntry(
        id=ids.new(),
        seq=0,
        created_at=clock.now(),
        user_id=THE_LOG,
        actor_kind=ActorKind.POLICY,
        action=AuditAction.CHAIN_SEAL,
        outcome=AuditOutcome.DONE if end.found is Found.OLD else AuditOutcome.FAILED,
        metadata=metadata,
    )


def take_over(connection: Connection, keys: Authenticator, clock: Clock, ids: IdSource) -> list[str]:
    """Authenticate the chains of a version that did not do so, each with a row that says it; their workspaces. For
    the transaction that brings such a database to this version, and for no other moment: else the end of a chain
    could be removed, and the next start would make it good."""
    column = t.audit_log.c
    found = connection.execute(select(column.workspace_id).distinct().order_by(column.workspace_id)).scalars().all()
    for workspace_id in found:
        end = read_end(connection, keys, workspace_id)
        wseq = int(connection.execute(select(t.meta.c.value).where(t.meta.c.key == "wseq")).scalar_one()) + 1
        draft = seal_draft(end._replace(found=Found.OLD), clock, ids)
        append_audit(connection, keys, workspace_id, draft, wseq, whatever_the_end=True)
        connection.execute(t.meta.update().where(t.meta.c.key == "wseq").values(value=str(wseq)))
    return list(found)


def _batch(connection: Connection, workspace_id: str, after: int, upto: int) -> list[AuditEntry]:
    column = t.audit_log.c
    query = select(t.audit_log).where(column.workspace_id == workspace_id, column.seq > after, column.seq <= upto)
    return entries(connection, query.where(numbered()).order_by(column.seq).limit(_BATCH))


class AuditRows:
    def __init__(self, access: Access, keys: Authenticator) -> None:
        self._access = access
        self.keys = keys
        self.remembered: dict[str, ChainHead] = {}
        """The ends that this process has written, by workspace: none that it meets later may be older."""

    async def page(
        self,
        workspace_id: str,
        filters: AuditFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        oldest_first: bool = False,
    ) -> Page[AuditEntry]:
        """Newest first unless told. `from` is included, `to` is not. Raises BadInput for a bad limit or cursor."""
        check_limit(limit)
        filters = filters or AuditFilter()
        column = t.audit_log.c
        query = select(t.audit_log).where(column.workspace_id == workspace_id, numbered())
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
            (seen,) = read_cursor(cursor, tuple[int])
            query = query.where(column.seq > seen if oldest_first else column.seq < seen)
        query = query.order_by(column.seq if oldest_first else column.seq.desc()).limit(limit + 1)
        found = await self._access.read(lambda c: entries(c, query))
        more = None
        if len(found) > limit:
            del found[limit:]
            more = make_cursor(found[-1].seq)
        return Page(items=tuple(found), next_cursor=more)

    async def get(self, entry_id: str) -> AuditEntry | None:
        query = select(t.audit_log).where(t.audit_log.c.id == entry_id)
        found = await self._access.read(lambda c: entries(c, query))
        return found[0] if found else None

    async def head(self, workspace_id: str) -> ChainHead:
        """The last row there is."""
        end = await self._access.read(lambda c: read_end(c, self.keys, workspace_id))
        return end.last or ChainHead()

    async def rows(self, workspace_id: str) -> AsyncIterator[AuditEntry]:
        """The log as it is now, in its order, a few hundred rows in memory at a time."""
        column = t.audit_log.c
        newest = select(func.max(column.seq)).where(column.workspace_id == workspace_id, numbered())
        after, upto = 0, await self._access.read(lambda c: c.execute(newest).scalar()) or 0
        while batch := await self._access.read(partial(_batch, workspace_id=workspace_id, after=after, upto=upto)):
            for entry in batch:
                yield entry
            after = batch[-1].seq

    async def verify(self, workspace_id: str) -> ChainReport:
        """Check every row and the end, as they are when it begins, in bounded memory and small steps: neither the
        event loop nor another reader waits longer than for one of them."""
        return await verify(self._access, self.keys, workspace_id, remembered=self.remembered.get(workspace_id))

    async def held_against(self, report: ChainReport, workspace_id: str, head: ChainHead) -> ChainReport:
        """A report held against an end that someone noted earlier."""
        column = t.audit_log.c
        query = select(column.hash).where(column.workspace_id == workspace_id, column.seq == head.seq)
        digest = await self._access.read(lambda c: c.execute(query).scalar())
        return against_head(report, head, digest)

    async def all_open_intents(self) -> list[tuple[str, AuditEntry]]:
        """`open_intents` of every workspace, each with its workspace."""
        query = select(t.audit_log.c.workspace_id).distinct().order_by(t.audit_log.c.workspace_id)
        found = await self._access.read(lambda c: list(c.execute(query).scalars()))
        return [(workspace_id, intent) for workspace_id in found for intent in await self.open_intents(workspace_id)]

    async def open_intents(self, workspace_id: str) -> list[AuditEntry]:
        """Rows `intended` that no other row names as its `metadata.intentId`, oldest first (at most 1000). One
        that cannot be read is none: nobody of ours wrote it."""
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
        found = await self._access.read(lambda c: entries(c, query))
        return [intent for intent in found if intent.action is not AuditAction.UNREADABLE]
