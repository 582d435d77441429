"""Old messages leave the record, a little at a time, and nobody who reads or records notices more than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Update, func, select, update
from structlog.testing import capture_logs

from mission_control_desktop.control import retention as control_retention
from mission_control_desktop.control.recovery import Recovery
from mission_control_desktop.control.retention import Retention
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.errors import BadInput, Forbidden, Unavailable
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.record.ops import PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, Uuid7
from mission_control_desktop.storage import tables as t
from support.clocks import MovedClock
from support.orchestration import house
from support.planes import ANN, EVE, ROOT, audit_rows, plane
from support.records import (
    Client,
    Errors,
    append,
    approval,
    audit_draft,
    fresh_database,
    message,
    on_record,
    receipt,
    recording,
    session,
    until,
)

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


@asynccontextmanager
async def rig(directory: Path) -> AsyncIterator[tuple[Database, Recorder, Retention]]:
    database = fresh_database(directory)
    try:
        async with recording(database) as recorder:
            yield database, recorder, Retention(database.retention, recorder, At(NOW), Uuid7())
    finally:
        await database.close()


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


async def test_what_goes_what_stays_and_what_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
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
        await put(
            recorder, "alive", PutMessage(message=message("grown", "with chunks", of="alive", complete=True, **old))
        )
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


async def test_each_workspace_has_its_period(tmp_path: Path) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
        for name, workspace in (("a", "default"), ("b", "short"), ("c", "long")):
            await talk(recorder, name, SessionStatus.COMPLETED, 400, 40, 10, 0)
            statement = update(t.sessions).where(t.sessions.c.session_id == f"internal:{name}")
            moved = statement.values(workspace_id=workspace)

            def move(connection: Connection, moved: Update = moved) -> None:
                connection.execute(moved)

            await database.access.write(move)
        await database.retention.set_days("short", 7, at=NOW)
        await database.retention.set_days("long", 365, at=NOW)
        removed = await retention.once()
        assert {name: run.messages for name, run in removed.items()} == {"default": 2, "short": 3, "long": 1}
        for workspace, run in removed.items():
            (row,) = [row async for row in recorder.audit.rows(workspace)]
            assert row.metadata["messages"] == run.messages
        await database.retention.set_days("long", None, at=NOW)
        assert (await retention.once())["long"].messages == 1
        assert await ids(database, "c") == ["c-10", "c-0"]


async def test_many_small_steps_and_a_record_that_is_written_meanwhile(tmp_path: Path) -> None:
    tasks = Tasks(Errors())
    async with rig(tmp_path) as (database, recorder, retention):
        retention._size = control_retention.SMALLEST
        for name in ("one", "two", "three"):
            await talk(recorder, name, SessionStatus.RUNNING, *(31 + number for number in range(250)), 1)
        running = tasks.start(retention.once(), name="retention")
        written = 0
        while not running.done():
            new = message(f"new-{written}", "x", of="one", complete=True, timestamp=days_ago(0))
            await put(recorder, "one", PutMessage(message=new))
            written += 1
        assert (await running)["default"].messages == 750
        assert written > 3
        assert len(await ids(database, "one")) == 1 + written
        assert await ids(database, "two") == ["two-1"]


async def test_readers_find_no_error_nothing_doubled_and_an_honest_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
        await talk(recorder, "s", SessionStatus.RUNNING, *range(60, 20, -1))
        await put(recorder, "s", PutMessage(message=message("now", "", timestamp=days_ago(0))))
        whole = Client()
        async with recorder.stream_session("internal:s", replay=500) as opened:
            for event in await opened.batch():
                whole.take(event.event)
            middle = sorted(whole.messages.values(), key=lambda one: one.seq)[5]
            first = next(iter(sorted(one.seq for one in whole.messages.values())))
            resumed_from = whole.last_id
            half = Client()
            half.last_id = f"{recorder.epoch}-{middle.seq}"

            assert (await retention.once())["default"].messages == 30
            # An open stream goes on.
            await put(recorder, "s", append("now", 0, "hello"))
            while "hello" not in whole.messages["now"].content:
                for event in await opened.batch():
                    whole.take(event.event)
            assert len(whole.messages) == 41
        # So does one that comes back with an id from before, also one whose message is gone.
        for client, last in ((whole, resumed_from), (half, half.last_id)):
            client.last_id = last
            async with recorder.stream_session("internal:s", last) as resumed:
                await put(
                    recorder, "s", append("now", len(client.messages.get("now", message("now", "hello")).content), "!")
                )
                while not client.messages.get("now") or not client.messages["now"].content.endswith("!"):
                    for event in await resumed.batch():
                        client.take(event.event)
        assert [one.message_id for one in half.transcript()] == [
            one.message_id for one in await on_record(database, "internal:s")
        ]
        # A window that scrolls back comes to the end.
        oldest = (await on_record(database, "internal:s"))[0].seq
        for before in (oldest, middle.seq, first, 1, 0):
            page = await database.messages.page("internal:s", limit=10, before=before)
            assert (page.items, page.next_cursor) == ((), None)
        page = await database.messages.page("internal:s", limit=100, after=0)
        assert page.items[0].seq == oldest
        assert (await database.messages.page("internal:s", limit=5, after=middle.seq)).items[0].seq == oldest


async def test_a_run_that_is_cut_short_is_told_by_the_next_one_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
        await talk(recorder, "s", SessionStatus.COMPLETED, 50, 40)

        async def full(*args: Any) -> None:
            raise Unavailable("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(recorder.audit, "append", full)
            with pytest.raises(Unavailable):
                await retention.once()
        assert await ids(database, "s") == []
        await talk(recorder, "t", SessionStatus.COMPLETED, 60)
        again = Retention(database.retention, recorder, At(NOW), Uuid7())
        with monkeypatch.context() as patch:
            patch.setattr(database.retention, "put_state", full)
            with pytest.raises(Unavailable):
                await again.once()
        assert (await again.once())["default"].messages == 3
        (row,) = [row async for row in recorder.audit.rows("default")]
        assert row.metadata["messages"] == 3
        assert (await database.retention.state("default")).pending is None


async def test_removed_words_are_nowhere_in_the_file_and_its_space_comes_back(tmp_path: Path) -> None:
    canary = "xyzzy-canary-of-removed-words"
    async with rig(tmp_path) as (_, recorder, retention):
        await talk(
            recorder, "s", SessionStatus.COMPLETED, *(40 + n / 100 for n in range(80)), words=canary + "." * 12_000
        )
        await put(
            recorder,
            "s",
            PutMessage(message=message("grown", timestamp=days_ago(40))),
            *(append("grown", n * len(canary), canary) for n in range(20)),
        )
        await talk(recorder, "kept", SessionStatus.COMPLETED, 1, words="xyzzy-canary-of-kept-words")

        def places(words: str) -> list[str]:
            return [path.name for path in sorted(tmp_path.iterdir()) if words.encode() in path.read_bytes()]

        before = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert places(canary)
        assert (await retention.once())["default"].messages == 81
        assert places(canary) == []
        assert places("xyzzy-canary-of-kept-words") == ["record.db"]
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < before / 4


async def test_a_living_sessions_journal_brings_nothing_back_and_an_ended_ones_files_go(tmp_path: Path) -> None:
    async with house(tmp_path / "data") as built:
        living = await built.spawn("[say words of the living]")
        over = await built.spawn("[say words of the dead][end]")
        await built.until_idle(living)
        await built.until_said(living, "words of the living")
        await built.until_idle(over)
        await built.orchestrator.terminate(over)
        await built.gone(over)
        await until(lambda: over not in built.orchestrator._drivers, "the driver's end")
        before = await built.messages(living)
        assert before
        cursor = await built.recorder.provider_record("internal").cursor(living)

        def retention() -> Retention:
            return Retention(
                built.database.retention,
                built.recorder,
                At(MovedClock().now() + 31 * DAY),
                Uuid7(),
                files=built.orchestrator,
            )

        removed = (await retention().once())["default"]
        assert removed.journals == 1
        assert removed.messages >= len(before)
        assert not built.directory(over).exists()
        assert (await built.session(over)).status is SessionStatus.COMPLETED
        assert b"words of the living" in (built.directory(living) / "journal.jsonl").read_bytes()
        assert await built.messages(living) == []
        assert not await built.orchestrator.remove_files(living), "files of the living are never removed"

        await built.stop()
        await built.start()
        await built.until_idle(living)
        driver = built.orchestrator._drivers[living]
        await until(lambda: driver.live, "the journal replayed")
        await driver._writer.drained()
        assert await built.messages(living) == []
        assert await built.recorder.provider_record("internal").cursor(living) >= cursor
        assert over not in built.orchestrator._drivers
        assert built.orchestrator.health().state == "ok"
        # Journals that a crash left half removed are no sessions, and go.
        (tmp_path / "data" / "agents" / f".going-{over}").mkdir()
        await retention().once()
        assert [path.name for path in (tmp_path / "data" / "agents").iterdir()] == [living]


async def test_the_period_is_set_by_admins_and_recorded(tmp_path: Path) -> None:
    async with plane(tmp_path) as built:
        assert (await built.bind(EVE).workspace()).message_retention_days is None
        changed = await built.bind(ROOT).set_message_retention(7)
        assert (changed.message_retention_days, changed.default_retention_days) == (7, 30)
        for who in (EVE, ANN):
            with pytest.raises(Forbidden):
                await built.bind(who).set_message_retention(1)
        for days in (0, 3651, -1):
            with pytest.raises(BadInput):
                await built.bind(ROOT).set_message_retention(days)
        assert (await built.bind(ROOT).set_message_retention(None)).message_retention_days is None
        rows = [row for row in await audit_rows(built) if row.action is AuditAction.WORKSPACE_CHANGE]
        assert [row.outcome for row in rows] == ["intended", "done", *["refused"] * 5, "intended", "done"]
        assert [row.metadata.get("before") for row in rows if row.outcome == "intended"] == [None, 7]

        # What a crash left open is closed by looking.
        cases: tuple[tuple[int | None, AuditOutcome], ...] = ((None, AuditOutcome.DONE), (9, AuditOutcome.FAILED))
        for period, outcome in cases:
            intent = await built.recorder.audit.append(
                "default",
                audit_draft(
                    action=AuditAction.WORKSPACE_CHANGE,
                    outcome=AuditOutcome.INTENDED,
                    metadata={"messageRetentionDays": period},
                ),
            )
            await Recovery(built, settle_seconds=0.0).run([("default", intent)], left_alone=frozenset())
            closing = (await audit_rows(built))[-1]
            assert (closing.outcome, closing.metadata["intentId"]) == (outcome, intent.id)


async def test_it_runs_by_itself_and_says_when_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
        await talk(recorder, "s", SessionStatus.COMPLETED, 50)
        tasks = Tasks(Errors())

        async def away() -> dict[str, int | None]:
            raise Unavailable("The record cannot be read now.")

        with monkeypatch.context() as patch:
            patch.setattr(database.retention, "workspaces", away)
            tasks.start(retention.run(first=0.0, every=0.01), name="retention")
            await until(lambda: retention.health("default")["state"] == "degraded", "the trouble told")
        await until(lambda: retention.health("default")["lastRunAt"] is not None, "a run")
        assert retention.health("default")["state"] == "ok"
        assert await ids(database, "s") == []
        await tasks.close()
        count = await database.access.read(lambda c: c.execute(select(func.count()).select_from(t.audit_log)).scalar())
        assert count == 1
