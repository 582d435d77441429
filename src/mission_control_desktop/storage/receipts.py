"""Receipts of injected messages on record."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select

from mission_control_desktop.domain.receipts import Letter, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access

UNFINISHED = (ReceiptState.STORED.value, ReceiptState.QUEUED.value, ReceiptState.DELIVERED.value)


def receipt_row(receipt: Receipt) -> dict[str, Any]:
    return {
        "injection_id": receipt.injection_id,
        "session_id": receipt.session_id,
        "state": receipt.state.value,
        "at": receipt.at,
        "position": receipt.position,
        "detail": receipt.detail,
    }


def receipt_of(row: Row[Any]) -> Receipt:
    return Receipt(
        injection_id=row.injection_id,
        session_id=row.session_id,
        state=ReceiptState(row.state),
        at=row.at,
        position=row.position,
        detail=row.detail,
    )


def letter_row(receipt: Receipt, provider: str, letter: Letter) -> dict[str, Any]:
    return {
        "injection_id": receipt.injection_id,
        "provider": provider,
        "stored_at": receipt.at,
        "content": letter.content,
        "operator_id": letter.operator_id,
        "delivery": letter.delivery.value,
    }


class Receipts:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, injection_id: str) -> Receipt | None:
        query = select(t.receipts).where(t.receipts.c.injection_id == injection_id)

        return await self._access.read(lambda c: None if (row := c.execute(query).first()) is None else receipt_of(row))

    async def of_session(self, session_id: str, *, limit: int = 100) -> list[Receipt]:
        """Newest change first."""
        query = (
            select(t.receipts)
            .where(t.receipts.c.session_id == session_id)
            .order_by(t.receipts.c.seq.desc())
            .limit(limit)
        )
        return await self._access.read(lambda c: [receipt_of(row) for row in c.execute(query)])

    async def letters(self, provider: str, *, workspace_id: str) -> list[tuple[Receipt, Letter]]:
        """A provider's messages that are not settled, in the order in which they were sent."""
        receipt, letter = t.receipts, t.letters
        query = (
            select(receipt, letter.c.content, letter.c.operator_id, letter.c.delivery)
            .join(letter, letter.c.injection_id == receipt.c.injection_id)
            .where(letter.c.provider == provider, receipt.c.workspace_id == workspace_id)
            .order_by(letter.c.stored_at, letter.c.injection_id)
        )

        def found(row: Row[Any]) -> tuple[Receipt, Letter]:
            delivery = Delivery(row.delivery)
            return receipt_of(row), Letter(content=row.content, operator_id=row.operator_id, delivery=delivery)

        return await self._access.read(lambda c: [found(row) for row in c.execute(query)])
