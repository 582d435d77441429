"""Results by idempotency key: the same request again answers the first result."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import insert_or_ignore


class KeyedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for a key. `status` is None while the first request runs, or if a crash cut it short."""

    fingerprint: str
    status: int | None = None
    body: bytes = b""
    created_at: datetime | None = None


class IdempotencyKeys:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def reserve(
        self, owner: str, key: str, fingerprint: str, *, at: datetime, forget: datetime | None = None
    ) -> KeyedResult | None:
        """Store the key as running and answer None, or answer what is stored for it already, unless that is from
        before `forget`. Durable."""
        row = {
            "principal": owner,
            "key": key,
            "request_hash": fingerprint,
            "status": None,
            "response": b"",
            "created_at": at,
        }

        def work(connection: Connection) -> KeyedResult | None:
            column = t.idempotency_keys.c
            if forget is not None:
                old = (column.principal == owner, column.key == key, column.created_at < forget)
                connection.execute(delete(t.idempotency_keys).where(*old))
            insert = insert_or_ignore(connection, t.idempotency_keys).values(row).returning(column.key)
            if connection.execute(insert).first() is not None:
                return None
            found = connection.execute(
                select(t.idempotency_keys).where(column.principal == owner, column.key == key)
            ).one()
            return KeyedResult(
                fingerprint=found.request_hash,
                status=found.status,
                body=found.response,
                created_at=found.created_at,
            )

        return await self._access.write(work)

    async def complete(self, owner: str, key: str, *, status: int, body: bytes) -> None:
        column = t.idempotency_keys.c
        statement = update(t.idempotency_keys).where(column.principal == owner, column.key == key)
        await self._access.write(lambda c: c.execute(statement.values(status=status, response=body)))

    async def release(self, owner: str, key: str) -> None:
        """Forget a key whose request did nothing."""
        column = t.idempotency_keys.c
        statement = delete(t.idempotency_keys).where(column.principal == owner, column.key == key)
        await self._access.write(lambda c: c.execute(statement))

    async def purge(self, *, before: datetime) -> None:
        statement = delete(t.idempotency_keys).where(t.idempotency_keys.c.created_at < before)
        await self._access.write(lambda c: c.execute(statement), durable=False)
