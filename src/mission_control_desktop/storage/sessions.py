"""Sessions on record: as they are, in pages, and as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, String, func, literal, or_, select, tuple_

from mission_control_desktop.domain.mission_control import Page, TreeNode
from mission_control_desktop.domain.sessions import (
    FINAL_STATUSES,
    AgentSession,
    Capabilities,
    Evidence,
    SessionStatus,
    TaskSource,
    WaitingFor,
)
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import check_limit, like_pattern, make_cursor, read_cursor
from mission_control_desktop.storage.types import UtcDateTime
from mission_control_desktop.storage.written import WrittenSession, with_removed, written_of, written_query

FINAL = tuple(status.value for status in FINAL_STATUSES)
LIVING = tuple(status.value for status in SessionStatus if status not in FINAL_STATUSES)
TREE_FINALS = 500
"""How many sessions that ended (newest first) a tree shows besides all living ones and everyone's parents."""
_IN_LIST = 500


def session_query() -> Select[Any]:
    """All columns of sessions, the time of the newest thing on record for each, and how many messages were removed."""
    return select(t.sessions, t.session_streams.c.last_event_at, t.session_streams.c.removed_messages).select_from(
        t.sessions.outerjoin(t.session_streams, t.sessions.c.session_id == t.session_streams.c.session_id)
    )


def session_row(session: AgentSession) -> dict[str, Any]:
    """The columns of a session but its sequence numbers."""
    return {
        "session_id": session.session_id,
        "parent_session_id": session.parent_session_id,
        "provider": session.provider,
        "mission_id": session.mission_id,
        "task_id": session.task_id,
        "task_source": None if session.task_source is None else session.task_source.value,
        "agent_type": session.agent_type,
        "title": session.title,
        "status": session.status.value,
        "spawned_at": session.spawned_at,
        "started_at": session.started_at,
        "completed_at": session.completed_at,
        "error": session.error,
        "run_id": session.run_id,
        "waiting_for": None if session.waiting_for is None else session.waiting_for.value,
        "capabilities": session.capabilities,
        "evidence": session.evidence,
        "usage": session.usage,
        "metadata": session.metadata,
    }


def session_of(row: Row[Any]) -> AgentSession:
    """Its evidence is never older than the newest message or event on record for it."""
    evidence = msgspec.convert(row.evidence, Evidence)
    if row.last_event_at is not None and row.last_event_at > evidence.last_event_at:
        evidence = msgspec.structs.replace(evidence, last_event_at=row.last_event_at)
    return AgentSession(
        session_id=row.session_id,
        parent_session_id=row.parent_session_id,
        provider=row.provider,
        mission_id=row.mission_id,
        task_id=row.task_id,
        task_source=None if row.task_source is None else TaskSource(row.task_source),
        agent_type=row.agent_type,
        title=row.title,
        status=SessionStatus(row.status),
        spawned_at=row.spawned_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        error=row.error,
        run_id=row.run_id,
        waiting_for=None if row.waiting_for is None else WaitingFor(row.waiting_for),
        capabilities=msgspec.convert(row.capabilities, Capabilities),
        evidence=evidence,
        usage=row.usage,
        metadata=with_removed(row.metadata, row.removed_messages),
    )


def sessions_in(workspace_id: str | None) -> Select[Any]:
    """`session_query` for one workspace; None, for who serves them all, is every workspace."""
    query = session_query()
    return query if workspace_id is None else query.where(t.sessions.c.workspace_id == workspace_id)


def find_session(connection: Connection, session_id: str, workspace_id: str | None = None) -> AgentSession | None:
    row = connection.execute(sessions_in(workspace_id).where(t.sessions.c.session_id == session_id)).first()
    return None if row is None else session_of(row)


def find_sessions(connection: Connection, ids: Iterable[str], workspace_id: str | None = None) -> list[AgentSession]:
    wanted = list(dict.fromkeys(ids))
    found: list[AgentSession] = []
    for start in range(0, len(wanted), _IN_LIST):
        part = wanted[start : start + _IN_LIST]
        rows = connection.execute(sessions_in(workspace_id).where(t.sessions.c.session_id.in_(part)))
        found.extend(session_of(row) for row in rows)
    return found


def living_and_newest(
    connection: Connection, *, finals: int, provider: str | None = None, workspace_id: str | None = None
) -> list[AgentSession]:
    """Every session that is not final, and the `finals` that were spawned last among the others."""
    living = sessions_in(workspace_id).where(t.sessions.c.status.in_(LIVING))
    ended = sessions_in(workspace_id).where(t.sessions.c.status.in_(FINAL))
    if provider is not None:
        living = living.where(t.sessions.c.provider == provider)
        ended = ended.where(t.sessions.c.provider == provider)
    ended = ended.order_by(t.sessions.c.spawned_at.desc(), t.sessions.c.session_id.desc()).limit(finals)
    return [session_of(row) for query in (living, ended) for row in connection.execute(query)]


def build_tree(sessions: Sequence[AgentSession]) -> tuple[TreeNode, ...]:
    """Parents before children, each level by the time of spawning. A parent that is not among the sessions, or that
    is the session's own descendant, makes it a root."""
    by_id = {session.session_id: session for session in sessions}
    children: dict[str, list[AgentSession]] = {}
    roots: list[AgentSession] = []
    for session in sorted(by_id.values(), key=lambda one: (one.spawned_at, one.session_id)):
        parent = session.parent_session_id
        if parent is None or parent not in by_id or _closes_circle(session, by_id):
            roots.append(session)
        else:
            children.setdefault(parent, []).append(session)
    order: list[AgentSession] = []
    todo = list(roots)
    while todo:
        session = todo.pop()
        order.append(session)
        todo.extend(children.get(session.session_id, ()))
    nodes: dict[str, TreeNode] = {}
    for session in reversed(order):
        below = tuple(nodes[child.session_id] for child in children.get(session.session_id, ()))
        nodes[session.session_id] = TreeNode(session=session, children=below)
    return tuple(nodes[root.session_id] for root in roots)


def _closes_circle(session: AgentSession, by_id: dict[str, AgentSession]) -> bool:
    """Whether the session is the one of its circle of parents that is made the root: the one with the smallest id."""
    seen: list[str] = []
    at: AgentSession | None = session
    while at is not None:
        if at.session_id in seen:
            circle = seen[seen.index(at.session_id) :]
            return session.session_id == min(circle)
        seen.append(at.session_id)
        at = by_id.get(at.parent_session_id) if at.parent_session_id else None
    return False


class Sessions:
    """Whoever reads for a person names the person's workspace; without one it is read for all of them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, session_id: str, *, workspace_id: str | None = None) -> AgentSession | None:
        return await self._access.read(lambda c: find_session(c, session_id, workspace_id))

    async def workspaces_of(self, provider: str) -> frozenset[str]:
        """The workspaces that have sessions of a provider of this name on record: another one may not take it, or it
        would come upon sessions that are not its own."""
        query = select(t.sessions.c.workspace_id).where(t.sessions.c.provider == provider).distinct()
        return await self._access.read(lambda c: frozenset(c.execute(query).scalars()))

    async def page(
        self,
        *,
        workspace_id: str | None = None,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[WrittenSession]:
        """Newest first. `q` is looked for, whatever its case, in title, id, task, mission and agent type. Raises
        BadInput for a limit outside 1..500 and for a cursor that is none."""
        check_limit(limit)
        columns = t.sessions.c
        wanted: list[ColumnElement[bool]] = []
        if workspace_id is not None:
            wanted.append(columns.workspace_id == workspace_id)
        if status is not None:
            wanted.append(columns.status == status.value)
        # These two have an index, which counts too; for more, each session would be looked at.
        count = None if provider is not None or q or cursor else select(func.count()).where(*wanted)
        if provider is not None:
            wanted.append(columns.provider == provider)
        if q:
            pattern = like_pattern(q.lower())
            places = (columns.title, columns.session_id, columns.task_id, columns.mission_id, columns.agent_type)
            wanted.append(or_(*(func.lower(place).like(pattern, escape="\\") for place in places)))
        if cursor is not None:
            at, after = read_cursor(cursor, tuple[datetime, str])
            place = tuple_(columns.spawned_at, columns.session_id)
            wanted.append(place < tuple_(literal(at, UtcDateTime), literal(after, String)))
        query = written_query().where(*wanted)
        query = query.order_by(columns.spawned_at.desc(), columns.session_id.desc()).limit(limit + 1)

        def work(connection: Connection) -> tuple[list[WrittenSession], int | msgspec.UnsetType]:
            found = [written_of(row) for row in connection.execute(query)]
            if count is None:
                return found, msgspec.UNSET
            return found, connection.execute(count.select_from(t.sessions)).scalar_one()

        found, total = await self._access.read(work)
        more = None
        if len(found) > limit:
            del found[limit:]
            more = make_cursor(found[-1].spawned_at.isoformat(), found[-1].session_id)
        return Page(items=tuple(found), next_cursor=more, total=total)

    async def living(
        self, *, provider: str | None = None, workspace_id: str | None = None, finals: int = 0
    ) -> list[AgentSession]:
        """Every session that is not final, and the newest `finals` of those that are."""
        return await self._access.read(
            lambda c: living_and_newest(c, finals=finals, provider=provider, workspace_id=workspace_id)
        )

    async def children(self, session_id: str) -> list[AgentSession]:
        query = session_query().where(t.sessions.c.parent_session_id == session_id).order_by(t.sessions.c.spawned_at)
        return await self._access.read(lambda c: [session_of(row) for row in c.execute(query)])

    async def descendants(self, session_id: str, *, workspace_id: str | None = None) -> list[AgentSession]:
        """Everything below a session, at any depth; parents before their children."""
        return await self._access.read(lambda c: _descendants(c, session_id, workspace_id))

    async def tree(self, *, workspace_id: str | None = None, finals: int = TREE_FINALS) -> tuple[TreeNode, ...]:
        """All living sessions, the newest `finals` ended ones, and the ancestors of all of these."""

        def work(connection: Connection) -> tuple[TreeNode, ...]:
            shown = living_and_newest(connection, finals=finals, workspace_id=workspace_id)
            return build_tree(_with_ancestors(connection, shown, workspace_id))

        return await self._access.read(work)


def _descendants(connection: Connection, session_id: str, workspace_id: str | None) -> list[AgentSession]:
    found: dict[str, AgentSession] = {}
    level = [session_id]
    while level:
        query = sessions_in(workspace_id).where(t.sessions.c.parent_session_id.in_(level[:_IN_LIST]))
        del level[:_IN_LIST]
        for row in connection.execute(query.order_by(t.sessions.c.spawned_at)):
            if row.session_id not in found and row.session_id != session_id:
                found[row.session_id] = session_of(row)
                level.append(row.session_id)
    return list(found.values())


def _with_ancestors(
    connection: Connection, sessions: list[AgentSession], workspace_id: str | None
) -> list[AgentSession]:
    known = {session.session_id: session for session in sessions}
    while True:
        parents = {one.parent_session_id for one in known.values() if one.parent_session_id}
        found = find_sessions(connection, parents - known.keys(), workspace_id)
        if not found:
            return list(known.values())
        known.update((session.session_id, session) for session in found)
