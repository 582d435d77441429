"""Tokens: their hashes, whose they are and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from mission_control_desktop.domain.people import Role, TokenInfo
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.members import join


class Tokens:
    """`token_hash` is whatever the caller makes of a token; the token itself never comes here."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(self, token: TokenInfo, *, token_hash: str) -> Role | None:
        """Store it and make its user a member with at least its role; the role before, None for who was none."""
        values = {
            "id": token.id,
            "token_hash": token_hash,
            "user_id": token.user_id,
            "role": token.role.value,
            "workspace_id": token.workspace_id,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
            "last_used_at": token.last_used_at,
            "created_by": token.created_by,
        }

        def work(connection: Connection) -> Role | None:
            connection.execute(insert(t.tokens), values)
            return join(connection, token.workspace_id, token.user_id, token.role, token.created_at)

        return await self._access.write(work)

    async def by_hash(self, token_hash: str) -> TokenInfo | None:
        return await self._one(select(t.tokens).where(t.tokens.c.token_hash == token_hash))

    async def get(self, token_id: str) -> TokenInfo | None:
        return await self._one(select(t.tokens).where(t.tokens.c.id == token_id))

    async def page(self, workspace_id: str) -> list[TokenInfo]:
        """All of a workspace, newest first, revoked and expired ones too."""
        query = select(t.tokens).where(t.tokens.c.workspace_id == workspace_id).order_by(t.tokens.c.created_at.desc())
        return await self._access.read(lambda c: [_token_of(row) for row in c.execute(query)])

    async def revoke(self, token_id: str, *, at: datetime) -> None:
        """Idempotent: the first time counts."""
        statement = update(t.tokens).where(t.tokens.c.id == token_id, t.tokens.c.revoked_at.is_(None))
        await self._access.write(lambda c: c.execute(statement.values(revoked_at=at)))

    async def used(self, token_id: str, *, at: datetime) -> None:
        statement = update(t.tokens).where(t.tokens.c.id == token_id).values(last_used_at=at)
        await self._access.write(lambda c: c.execute(statement), durable=False)

    async def _one(self, query: Select[Any]) -> TokenInfo | None:
        return await self._access.read(lambda c: None if (row := c.execute(query).first()) is None else _token_of(row))


def _token_of(row: Row[Any]) -> TokenInfo:
    return TokenInfo(
        id=row.id,
        user_id=row.user_id,
        role=Role(row.role),
        workspace_id=row.workspace_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        created_by=row.created_by,
    )
