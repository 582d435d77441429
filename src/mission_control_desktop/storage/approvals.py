"""Permission questions on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, and_, or_, select

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import check_limit, make_cursor, read_cursor


def approval_row(approval: Approval) -> dict[str, Any]:
    return {
        "approval_id": approval.approval_id,
        "session_id": approval.session_id,
        "provider": approval.provider,
        "title": approval.title,
        "detail": approval.detail,
        "options": approval.options,
        "created_at": approval.created_at,
        "state": approval.state.value,
        "answered_by": approval.answered_by,
        "answer": approval.answer,
    }


def approval_of(row: Row[Any]) -> Approval:
    return Approval(
        approval_id=row.approval_id,
        session_id=row.session_id,
        provider=row.provider,
        title=row.title,
        detail=row.detail,
        options=msgspec.convert(row.options, tuple[ApprovalOption, ...]),
        created_at=row.created_at,
        state=ApprovalState(row.state),
        answered_by=row.answered_by,
        answer=row.answer,
    )


def approvals_in(workspace_id: str | None) -> Select[Any]:
    query = select(t.approvals)
    return query if workspace_id is None else query.where(t.approvals.c.workspace_id == workspace_id)


def find_approval(connection: Connection, approval_id: str, workspace_id: str | None = None) -> Approval | None:
    row = connection.execute(approvals_in(workspace_id).where(t.approvals.c.approval_id == approval_id)).first()
    return None if row is None else approval_of(row)


class Approvals:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, approval_id: str, *, workspace_id: str | None = None) -> Approval | None:
        return await self._access.read(lambda c: find_approval(c, approval_id, workspace_id))

    async def page(
        self,
        *,
        workspace_id: str | None = None,
        state: ApprovalState | None = None,
        session_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Approval]:
        """Oldest first, since who waits longest stands first, unless told. Raises BadInput for a bad limit or
        cursor."""
        check_limit(limit)
        column = t.approvals.c
        query = approvals_in(workspace_id)
        if state is not None:
            query = query.where(column.state == state.value)
        if session_id is not None:
            query = query.where(column.session_id == session_id)
        if cursor is not None:
            at, after = read_cursor(cursor, tuple[datetime, str])
            beyond, later = column.created_at > at, column.approval_id > after
            if newest_first:
                beyond, later = column.created_at < at, column.approval_id < after
            query = query.where(or_(beyond, and_(column.created_at == at, later)))
        order = (column.created_at, column.approval_id)
        query = query.order_by(*(one.desc() if newest_first else one for one in order)).limit(limit + 1)
        found = await self._access.read(lambda c: [approval_of(row) for row in c.execute(query)])
        more = None
        if len(found) > limit:
            del found[limit:]
            more = make_cursor(found[-1].created_at.isoformat(), found[-1].approval_id)
        return Page(items=tuple(found), next_cursor=more)
