"""People of a workspace and the tokens that follow their roles: what belongs together changes in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, or_, select, update

from mission_control_desktop.domain.errors import Conflict, NotFound
from mission_control_desktop.domain.people import Member, Role
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import insert_or_ignore


def ensure_workspace(connection: Connection, workspace_id: str, at: datetime) -> None:
    """A workspace comes into being when it is first used."""
    values = {"id": workspace_id, "created_at": at}
    connection.execute(insert_or_ignore(connection, t.workspaces), values)


def join(connection: Connection, workspace_id: str, user_id: str, role: Role, at: datetime) -> Role | None:
    """Make the user a member with at least this role; the role before, None if they were no member."""
    ensure_workspace(connection, workspace_id, at)
    before = _role(connection, workspace_id, user_id)
    if before is None or before.rank < role.rank:
        _write(connection, workspace_id, user_id, role, at, known=before is not None)
    return before


class Members:
    """Who is in a workspace, with the highest role that a token of theirs can have."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def page(self, workspace_id: str, *, now: datetime) -> list[Member]:
        """All of a workspace, by name."""
        query = _members(now).where(t.members.c.workspace_id == workspace_id).order_by(t.members.c.user_id)
        return await self._access.read(lambda c: [_member_of(row) for row in c.execute(query)])

    async def get(self, workspace_id: str, user_id: str, *, now: datetime) -> Member | None:
        return await self._access.read(lambda c: _find(c, workspace_id, user_id, now))

    async def put(
        self, workspace_id: str, user_id: str, role: Role, *, at: datetime
    ) -> tuple[Member, Role | None, tuple[str, ...]]:
        """Add a member, or give one this role: the member, the role before, and the ids of the tokens that were
        lowered with it. Tokens are never raised. Raises Conflict if the workspace were left without an admin."""

        def work(connection: Connection) -> tuple[Member, Role | None, tuple[str, ...]]:
            ensure_workspace(connection, workspace_id, at)
            before = _role(connection, workspace_id, user_id)
            if before is Role.ADMIN and role is not Role.ADMIN:
                _require_another_admin(connection, workspace_id, user_id, at)
            if before is not role:
                _write(connection, workspace_id, user_id, role, at, known=before is not None)
            column = t.tokens.c
            above = and_(_tokens_of(workspace_id, user_id), column.role.in_(_above(role)))
            lowered = tuple(connection.execute(select(column.id).where(above)).scalars())
            connection.execute(update(t.tokens).where(above).values(role=role.value))
            member = _find(connection, workspace_id, user_id, at)
            if member is None:
                raise AssertionError("it was written in this transaction")
            return member, before, lowered

        return await self._access.write(work)

    async def remove(self, workspace_id: str, user_id: str, *, at: datetime) -> tuple[str, ...]:
        """Take a member out and revoke all their tokens there; the tokens' ids. Raises NotFound, and Conflict if the
        workspace were left without an admin."""

        def work(connection: Connection) -> tuple[str, ...]:
            before = _role(connection, workspace_id, user_id)
            if before is None:
                raise NotFound("There is no such member.")
            if before is Role.ADMIN:
                _require_another_admin(connection, workspace_id, user_id, at)
            theirs = _tokens_of(workspace_id, user_id)
            revoked = tuple(connection.execute(select(t.tokens.c.id).where(theirs)).scalars())
            connection.execute(update(t.tokens).where(theirs).values(revoked_at=at))
            column = t.members.c
            connection.execute(delete(t.members).where(column.workspace_id == workspace_id, column.user_id == user_id))
            return revoked

        return await self._access.write(work)

    async def ensure_workspaces(self, ids: Iterable[str], *, at: datetime) -> None:
        """Those of them that are not known yet."""
        wanted = sorted(set(ids))

        def work(connection: Connection) -> None:
            for workspace_id in wanted:
                ensure_workspace(connection, workspace_id, at)

        await self._access.write(work)


def _role(connection: Connection, workspace_id: str, user_id: str) -> Role | None:
    column = t.members.c
    query = select(column.role).where(column.workspace_id == workspace_id, column.user_id == user_id)
    found = connection.execute(query.with_for_update()).scalar()
    return None if found is None else Role(found)


def _write(connection: Connection, workspace_id: str, user_id: str, role: Role, at: datetime, *, known: bool) -> None:
    column = t.members.c
    if known:
        changed = update(t.members).where(column.workspace_id == workspace_id, column.user_id == user_id)
        connection.execute(changed.values(role=role.value, updated_at=at))
        return
    values = {"workspace_id": workspace_id, "user_id": user_id, "role": role.value, "created_at": at, "updated_at": at}
    connection.execute(insert(t.members), values)


def _tokens_of(workspace_id: str, user_id: str) -> Any:
    column = t.tokens.c
    return and_(column.workspace_id == workspace_id, column.user_id == user_id, column.revoked_at.is_(None))


def _good(now: datetime) -> Any:
    column = t.tokens.c
    return and_(column.revoked_at.is_(None), or_(column.expires_at.is_(None), column.expires_at > now))


def _above(role: Role) -> list[str]:
    return [other.value for other in Role if other.rank > role.rank]


def _require_another_admin(connection: Connection, workspace_id: str, user_id: str, now: datetime) -> None:
    """Another admin who can still come in: one without a good token could not make things right again."""
    member, token = t.members.c, t.tokens.c
    others = (
        select(member.user_id)
        .join(t.tokens, and_(token.workspace_id == member.workspace_id, token.user_id == member.user_id))
        .where(
            member.workspace_id == workspace_id,
            member.user_id != user_id,
            member.role == Role.ADMIN.value,
            token.role == Role.ADMIN.value,
            _good(now),
        )
        .limit(1)
    )
    if connection.execute(others).first() is None:
        raise Conflict(
            f"{user_id} is the last admin of the workspace {workspace_id} with a good token. Make another one first: "
            f"mission-control token create --user NAME --role admin --workspace {workspace_id}",
            user=user_id,
        )


def _members(now: datetime) -> Select[Any]:
    member, token = t.members.c, t.tokens.c
    live = (
        select(func.count())
        .where(token.workspace_id == member.workspace_id, token.user_id == member.user_id, _good(now))
        .scalar_subquery()
    )
    return select(t.members, live.label("live_tokens"))


def _find(connection: Connection, workspace_id: str, user_id: str, now: datetime) -> Member | None:
    column = t.members.c
    query = _members(now).where(column.workspace_id == workspace_id, column.user_id == user_id)
    row = connection.execute(query).first()
    return None if row is None else _member_of(row)


def _member_of(row: Row[Any]) -> Member:
    return Member(
        user_id=row.user_id,
        role=Role(row.role),
        workspace_id=row.workspace_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        live_tokens=row.live_tokens,
    )
