"""Old messages on a record of any database: what goes when they are removed, what stays, and what is told of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select
from structlog.testing import capture_logs

from mission_control_desktop.control.retention import Retention
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database
from mission_control_desktop.storage import tables as t
from support.clocks import MovedClock
from support.records import append, approval, audit_draft, message, on_record, receipt, session

DAY = timedelta(days=1)


class At:
    """A clock that stands."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


NOW = MovedClock().now()


def days_ago(days: float) -> datetime:
    return NOW - days * DAY


async def put(recorder: Recorder, stream: str, *ops: RecordOp) -> None:
    await recorder.provider_record("internal").apply(stream, ops, durable=True)


async def talk(recorder: Recorder, name: str, status: SessionStatus, *ages: float, words: str = "words") -> None:
    """A session with a message of each of these ages (days)."""
    await put(
        recorder,
        name,
        PutSession(session=session(name, status)),
        *(
            PutMessage(
                message=message(f"{name}-{age:g}", f"{words} {age:g}", of=name, complete=True, timestamp=days_ago(age))
            )
            for age in ages
        ),
    )


async def ids(database: Database, name: str) -> list[str]:
    return [one.message_id for one in await on_record(database, f"internal:{name}")]


async def what_goes_and_what_stays(database: Database, recorder: Recorder, retention: Retention) -> None:
    """Ages a record of its own, removes what is too old, and looks. `retention` has the clock `At(NOW)`."""
    await talk(recorder, "over", SessionStatus.COMPLETED, 400, 31, 30.1, 29.9, 0)
    await talk(recorder, "alive", SessionStatus.RUNNING, 90, 1)
    old: dict[str, Any] = {"timestamp": days_ago(90)}
    await put(
        recorder,
        "alive",
        PutMessage(message=message("grows", "still", of="alive", complete=False, **old)),
        PutMessage(message=message("grown", "with ", of="alive", complete=False, **old)),
        PutMessage(message=message("unmarked", "x", of="alive", **{**old, "metadata": {"kind": "text"}})),
    )
    for name, text in (("grows", " growing"), ("grown", "chunks")):
        await put(recorder, "alive", append(name, 5, text, of="alive"))
    await put(recorder, "alive", PutMessage(message=message("grown", "with chunks", of="alive", complete=True, **old)))
    await put(recorder, "over", PutMessage(message=message("broken off", "x", of="over", complete=False, **old)))
    for name, state in (("r-done", ReceiptState.ANSWERED), ("r-open", ReceiptState.DELIVERED)):
        for of in ("alive", "over"):
            one = msgspec.structs.replace(receipt(f"{name}-{of}", state, of=of), at=days_ago(40))
            await put(recorder, of, PutReceipt(receipt=one))
    for name, approval_state in (("a-done", ApprovalState.ANSWERED), ("a-open", ApprovalState.OPEN)):
        question = msgspec.structs.replace(approval(name, approval_state, of="alive"), created_at=days_ago(40))
        await put(recorder, "alive", PutApproval(approval=question))
    await recorder.audit.append("default", audit_draft(content="these words stay", created_at=days_ago(500)))

    with capture_logs() as logs:
        removed = await retention.once()
    assert await ids(database, "over") == ["over-29.9", "over-0"]
    assert await ids(database, "alive") == ["alive-1", "grows"]
    assert (await on_record(database, "internal:alive"))[-1].content == "still growing"
    receipts = [
        one.injection_id for of in ("alive", "over") for one in await database.receipts.of_session(f"internal:{of}")
    ]
    assert receipts == ["r-open-alive"]
    assert [one.approval_id for one in (await database.approvals.page()).items] == ["a-open"]
    growing = select(t.message_chunks.c.message_id)
    chunks = await database.access.read(lambda c: c.execute(growing).scalars().all())
    assert set(chunks) == {"grows"}

    told = removed["default"]
    assert (told.messages, told.receipts, told.approvals, told.days) == (4 + 3, 3, 1, 30)
    rows = [row async for row in recorder.audit.rows("default")]
    assert [row.action for row in rows] == [AuditAction.INJECT, AuditAction.RETENTION]
    assert rows[0].content == "these words stay"
    row = rows[1]
    assert (row.user_id, row.actor_kind, row.outcome, row.content) == ("retention", "policy", "done", None)
    assert row.metadata == {
        "cutoff": days_ago(30).isoformat(),
        "days": 30,
        "messages": 7,
        "receipts": 3,
        "approvals": 1,
        "journals": 0,
    }
    assert (await recorder.audit.verify("default")).valid
    (line,) = [line for line in logs if line["event"] == "old messages removed"]
    assert line["messages"] == 7
    assert retention.health("default")["lastRetention"] == told
    for name, count in (("over", 4), ("alive", 3)):
        kept = await database.sessions.get(f"internal:{name}")
        assert kept is not None
        assert kept.metadata == {"removedMessages": count}

    # Nothing more is left to do, and nothing is told of it.
    assert await retention.once() == {}
    assert len([row async for row in recorder.audit.rows("default")]) == 2
    # The session goes on as if nothing had been: its growing message, its state, its numbers.
    await put(
        recorder,
        "alive",
        append("grows", 13, ", and more", of="alive"),
        PutMessage(message=message("alive-90", "said again", of="alive", complete=True)),
        PutSession(session=session("alive", SessionStatus.WAITING)),
    )
    assert await ids(database, "alive") == ["alive-1", "grows", "alive-90"]
    kept = await database.sessions.get("internal:alive")
    assert kept is not None
    assert kept.metadata == {"removedMessages": 3}
