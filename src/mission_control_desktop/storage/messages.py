"""Messages on record, whole: the stored content and what was appended to it since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from mission_control_desktop.domain.errors import BadInput, NotFound
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import check_limit

_IN_LIST = 500


def whole_messages(connection: Connection, session_id: str, rows: Sequence[Row[Any]]) -> list[AgentMessage]:
    """The messages of these rows with all of their text. One snapshot: call it in the transaction of the rows."""
    tails = tails_of(connection, session_id, [row.id for row in rows])
    return [
        AgentMessage(
            message_id=row.id,
            session_id=row.session_id,
            role=MessageRole(row.role),
            content=row.content + tails.get(row.id, ""),
            timestamp=row.timestamp,
            seq=row.first_seq,
            metadata=row.metadata,
        )
        for row in rows
    ]


def tails_of(connection: Connection, session_id: str, ids: Iterable[str]) -> dict[str, str]:
    """The appended text of each of the messages that has some."""
    wanted, parts = list(ids), dict[str, list[str]]()
    chunk = t.message_chunks.c
    for start in range(0, len(wanted), _IN_LIST):
        query = (
            select(chunk.message_id, chunk.text)
            .where(chunk.session_id == session_id, chunk.message_id.in_(wanted[start : start + _IN_LIST]))
            .order_by(chunk.message_id, chunk.seq)
        )
        for message_id, text in connection.execute(query):
            parts.setdefault(message_id, []).append(text)
    return {message_id: "".join(texts) for message_id, texts in parts.items()}


def newest_messages(connection: Connection, session_id: str, count: int) -> list[AgentMessage]:
    """The last `count` entries of a transcript, in order of their places."""
    if count == 0:
        return []
    column = t.messages.c
    query = select(t.messages).where(column.session_id == session_id).order_by(column.first_seq.desc()).limit(count)
    return whole_messages(connection, session_id, connection.execute(query).all()[::-1])


class Messages:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def page(
        self,
        session_id: str,
        *,
        workspace_id: str | None = None,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
    ) -> Page[AgentMessage]:
        """Entries in ascending `seq`. Without `after` the newest `limit` before `before`, and `next_cursor` is the
        `before` of the next older page; with `after` the oldest `limit` after it (and before `before`), and
        `next_cursor` is the next `after`. Raises NotFound for a session that is unknown (in the workspace, where
        one is named), BadInput for a bad limit."""
        check_limit(limit)
        for name, value in (("before", before), ("after", after)):
            if value is not None and not 0 <= value < 2**62:
                raise BadInput(name, f"`{name}` must be the `seq` of a message.")
        return await self._access.read(lambda c: _page(c, session_id, workspace_id, limit, before, after))

    async def get(self, session_id: str, message_id: str) -> AgentMessage | None:
        column = t.messages.c
        query = select(t.messages).where(column.session_id == session_id, column.id == message_id)

        def work(connection: Connection) -> AgentMessage | None:
            found = whole_messages(connection, session_id, connection.execute(query).all())
            return found[0] if found else None

        return await self._access.read(work)


def _page(
    connection: Connection,
    session_id: str,
    workspace_id: str | None,
    limit: int,
    before: int | None,
    after: int | None,
) -> Page[AgentMessage]:
    known = select(t.sessions.c.id).where(t.sessions.c.session_id == session_id)
    if workspace_id is not None:
        known = known.where(t.sessions.c.workspace_id == workspace_id)
    if connection.execute(known).first() is None:
        raise NotFound("There is no such session.")
    column = t.messages.c
    query = select(t.messages).where(column.session_id == session_id)
    if before is not None:
        query = query.where(column.first_seq < before)
    if after is not None:
        query = query.where(column.first_seq > after).order_by(column.first_seq)
    else:
        query = query.order_by(column.first_seq.desc())
    rows = connection.execute(query.limit(limit + 1)).all()
    more = None
    if len(rows) > limit:
        rows = rows[:limit]
        more = str(rows[-1].first_seq)
    if after is None:
        rows = rows[::-1]
    return Page(items=tuple(whole_messages(connection, session_id, rows)), next_cursor=more)
