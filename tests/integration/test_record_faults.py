"""A full disk, a locked database, ops that can never be recorded: nothing lost or doubled, nobody else held up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.limits import MAX_STORED_CONTENT_CHARS
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.sessions import Evidence, SessionStatus
from mission_control_desktop.record.ops import PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7
from support.records import (
    START,
    Client,
    Errors,
    append,
    audit_draft,
    fresh_database,
    message,
    on_record,
    receipt,
    recording,
    session,
    until,
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = fresh_database(tmp_path)
    yield opened
    await opened.close()


async def limit_pages(database: Database, spare: int | None) -> None:
    """SQLite's own way to meet a full disk: the file may grow by so many pages (None: without bound)."""

    def work(connection: Connection) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        bound = 2**30 if spare is None else used + spare
        connection.exec_driver_sql(f"PRAGMA max_page_count={bound}")

    await database.access.write(work)


async def follow(recorder: Recorder, client: Client) -> None:
    async with recorder.stream_session("internal:s", replay=500) as stream:
        async for event in stream:
            client.take(event.event)


async def test_a_full_disk_holds_writers_and_loses_nothing(database: Database) -> None:
    async with recording(database, backlog_bytes=60_000) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", [PutSession(session=session())], cursor=1, durable=True)
        await record.apply("s", [PutMessage(message=message("m", ""))], cursor=2, durable=True)
        client = Client()
        following = asyncio.get_running_loop().create_task(follow(recorder, client))
        await until(lambda: client.events >= 2, "the client is level")
        await limit_pages(database, 4)

        pieces = [f"<{n:04}>" * 20 for n in range(600)]

        async def writer() -> None:
            offset = 0
            for number, piece in enumerate(pieces):
                await record.apply("s", [append("m", offset, piece)], cursor=3 + number)
                offset += len(piece)

        writing = asyncio.get_running_loop().create_task(writer())
        await until(lambda: recorder.health().state == "degraded" and recorder.health().blocked, "writers are held")
        health = recorder.health()
        assert health.detail is not None
        assert "disk is full" in health.detail
        assert health.since is not None
        assert health.backlog <= 61_000
        assert not writing.done()
        assert client.messages["m"].content in "".join(pieces), "what is shown is on record"
        with pytest.raises(Unavailable, match="disk is full"):
            await recorder.audit.append("default", audit_draft(content="x" * 30_000))

        await limit_pages(database, None)
        await writing
        await record.apply("s", [PutSession(session=session(title="after"))], cursor=1000, durable=True)
        assert recorder.health().state == "ok"
        await until(lambda: client.sessions["internal:s"].title == "after", "the client is level again")
        following.cancel()

        [whole] = await on_record(database, "internal:s")
        assert whole.content == "".join(pieces)
        assert client.transcript() == [whole]
        assert await record.cursor("s") == 1000


async def test_a_locked_database_is_waited_for(database: Database) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", [PutSession(session=session())], durable=True)
        await database.access.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=50"))
        assert database.path is not None
        other = sqlite3.connect(database.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        applied = asyncio.get_running_loop().create_task(
            record.apply("s", [PutMessage(message=message("m", "kept"))], durable=True)
        )
        await until(lambda: recorder.health().state == "degraded", "the lock is met")
        assert "locked" in (recorder.health().detail or "")
        assert not applied.done()
        other.execute("COMMIT")
        other.close()
        await applied
        assert [one.content for one in await on_record(database, "internal:s")] == ["kept"]


def _notices(transcript: list[AgentMessage]) -> list[AgentMessage]:
    return [one for one in transcript if one.metadata["kind"] == "notice"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        pytest.param(append("missing", 0, "x"), "not on record", id="appends to nothing"),
        pytest.param(append("m", 99, "x"), "appends at 99", id="leaves a gap"),
        pytest.param(PutMessage(message=message("z", None)), "Expected `str`", id="no text"),  # type: ignore[arg-type]
        pytest.param(
            PutMessage(message=message("z", timestamp=START.replace(tzinfo=None))), "TypeError", id="naive time"
        ),
        pytest.param(
            PutReceipt(receipt=receipt(None)),  # type: ignore[arg-type]
            "Expected `str`",
            id="breaks a constraint",
        ),
        pytest.param(PutSession(session=session(usage={"tokens": object()})), "Error", id="no JSON"),
    ],
)
async def test_an_op_that_can_never_be_recorded_is_skipped_and_told_of(
    database: Database, bad: RecordOp, why: str
) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", [PutSession(session=session()), PutMessage(message=message("m", "ab"))], durable=True)
        await asyncio.gather(
            record.apply("s", [append("m", 2, "cd"), bad, append("m", 4, "ef")], cursor=7, durable=True),
            record.apply("t", [PutSession(session=session("t"))], cursor=1, durable=True),
        )
        transcript = await on_record(database, "internal:s")
        assert transcript[0].content == "abcdef"
        [notice] = _notices(transcript)
        assert "could not be recorded" in notice.content
        assert why in notice.content
        assert await record.cursor("s") == 7
        assert await record.session("t") is not None
        assert recorder.health().state == "ok"


async def test_text_that_no_database_holds_is_recorded_as_far_as_possible(database: Database) -> None:
    broken = message("m", "a\ud800b\0c", metadata={"kind": "text", "complete": True, "raw": "\udfff"})
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", [PutSession(session=session(title="t\ud900"))], durable=True)
        await record.apply("s", [PutMessage(message=broken), append("m", 5, "\ud800!")], durable=True)
        [whole] = await on_record(database, "internal:s")
        assert whole.content == "a�b�c�!"
        assert whole.metadata["raw"] == "�"
        found = await record.session("s")
        assert found is not None
        assert found.title == "t�"


async def test_a_provider_cannot_write_into_another_ones_sessions(database: Database) -> None:
    async with recording(database) as recorder:
        await recorder.provider_record("internal").apply("s", [PutSession(session=session())], durable=True)
        foreign = recorder.provider_record("other")
        await foreign.apply("x", [PutMessage(message=message("m", "forged"))], durable=True)
        assert await on_record(database, "internal:s") == []


async def test_a_message_stops_growing_at_the_limit_and_says_so(database: Database) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        client = Client()
        await record.apply("s", [PutSession(session=session()), PutMessage(message=message("m", "a"))], durable=True)
        following = asyncio.get_running_loop().create_task(follow(recorder, client))
        half = "x" * (MAX_STORED_CONTENT_CHARS // 2)
        for n in range(4):
            await record.apply("s", [append("m", 1 + n * len(half), half)], durable=True)
        await record.apply(
            "s", [PutMessage(message=message("n", "y" * (MAX_STORED_CONTENT_CHARS + 5), complete=True))], durable=True
        )
        await until(lambda: "n" in client.messages, "the client is level")
        following.cancel()
        grown, put = await on_record(database, "internal:s")
        assert len(grown.content) == len(put.content) == MAX_STORED_CONTENT_CHARS
        assert grown.metadata["truncatedFrom"] > MAX_STORED_CONTENT_CHARS
        assert put.metadata["truncatedFrom"] == MAX_STORED_CONTENT_CHARS + 5
        assert client.transcript() == [grown, put]


async def test_final_is_final_until_a_new_run(database: Database) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")

        async def status_after(status: SessionStatus, run: str) -> SessionStatus:
            await record.apply("s", [PutSession(session=session("s", status, run_id=run))], durable=True)
            found = await record.session("s")
            assert found is not None
            return found.status

        assert await status_after(SessionStatus.RUNNING, "1") is SessionStatus.RUNNING
        assert await status_after(SessionStatus.KILLED, "1") is SessionStatus.KILLED
        assert await status_after(SessionStatus.RUNNING, "1") is SessionStatus.KILLED
        assert await status_after(SessionStatus.COMPLETED, "1") is SessionStatus.KILLED
        assert await status_after(SessionStatus.SPAWNING, "2") is SessionStatus.SPAWNING


async def test_evidence_is_as_new_as_the_newest_thing_on_record(database: Database) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        before = SystemClock().now()
        await record.apply("s", [PutSession(session=session()), PutMessage(message=message("m"))], durable=True)
        await record.apply("s", [append("m", 0, "x")], durable=True)
        found = await record.session("s")
        assert found is not None
        assert found.evidence.last_event_at >= before
        stale = session(evidence=Evidence(last_event_at=START, source="test"))
        await record.apply("s", [PutSession(session=stale)], durable=True)
        again = await record.session("s")
        assert again is not None
        assert again.evidence.last_event_at >= before


async def test_one_recorder_per_record(database: Database) -> None:
    async with recording(database):
        second = Recorder(database, SystemClock(), Uuid7(), Errors())
        with pytest.raises(Unavailable, match="Another control plane"):
            await second.start()
        await second.close()
    async with recording(database):
        pass


async def test_closing_records_what_waits_and_refuses_more(database: Database) -> None:
    async with recording(database) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", [PutSession(session=session())])
        for n in range(50):
            await record.apply("s", [PutMessage(message=message(f"m{n}", "x"))])
    assert len(await on_record(database, "internal:s")) == 50
    with pytest.raises(Unavailable):
        await record.apply("s", [PutMessage(message=message("late", "x"))])


async def test_closing_with_a_full_disk_ends_and_says_what_was_not_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mission_control_desktop.record.recorder.CLOSE_SECONDS", 0.1)
    recorder = Recorder(database, SystemClock(), Uuid7(), Errors())
    await recorder.start()
    record = recorder.provider_record("internal")
    await record.apply("s", [PutSession(session=session())], durable=True)
    await limit_pages(database, 0)
    big = PutMessage(message=message("m", "x" * 100_000))
    waiting = asyncio.get_running_loop().create_task(record.apply("s", [big], cursor=1, durable=True))
    await until(lambda: recorder.health().state == "degraded", "the disk is full")
    await recorder.close()
    with pytest.raises(Unavailable):
        await waiting
    await limit_pages(database, None)
    assert await record.cursor("s") == 0, "the provider will give it again"
