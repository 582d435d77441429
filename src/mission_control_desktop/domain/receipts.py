"""Receipts: what is known of an injected message's delivery."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.sessions import Delivery


class ReceiptState(StrEnum):
    STORED = "stored"
    QUEUED = "queued"
    DELIVERED = "delivered"
    ANSWERED = "answered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


RECEIPT_TRANSITIONS: dict[ReceiptState, frozenset[ReceiptState]] = {
    ReceiptState.STORED: frozenset(ReceiptState) - {ReceiptState.STORED},
    ReceiptState.QUEUED: frozenset(
        {
            ReceiptState.QUEUED,
            ReceiptState.DELIVERED,
            ReceiptState.ANSWERED,
            ReceiptState.FAILED,
            ReceiptState.WITHDRAWN,
        }
    ),
    ReceiptState.DELIVERED: frozenset({ReceiptState.ANSWERED, ReceiptState.FAILED}),
    ReceiptState.ANSWERED: frozenset(),
    ReceiptState.FAILED: frozenset(),
    ReceiptState.WITHDRAWN: frozenset(),
}


class Receipt(Record, frozen=True, kw_only=True):
    """One step of the ladder: stored, queued (at `position`, from 1), delivered, answered, or why not."""

    injection_id: str
    session_id: str
    state: ReceiptState
    at: datetime
    position: int | None = None
    detail: str | None = None


class Letter(Record, frozen=True, kw_only=True):
    """An operator's message on its way to a runtime that keeps no journal of ours: what is needed to send it again."""

    content: str
    operator_id: str
    delivery: Delivery
