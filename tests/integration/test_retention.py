"""Old messages leave the record, a little at a time, and nobody who reads or records notices more than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Update, func, select, update

from mission_control_desktop.control import retention as control_retention
from mission_control_desktop.control.recovery import Recovery
from mission_control_desktop.control.retention import Retention
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.errors import BadInput, Forbidden, Unavailable
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.record.ops import PutMessage
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, Uuid7
from mission_control_desktop.storage import tables as t
from support.aged import DAY, NOW, At, days_ago, ids, put, talk, what_goes_and_what_stays
from support.clocks import MovedClock
from support.orchestration import house
from support.planes import ANN, EVE, ROOT, audit_rows, plane
from support.records import (
    Client,
    Errors,
    append,
    audit_draft,
    fresh_database,
    message,
    on_record,
    recording,
    until,
)


@asynccontextmanager
async def rig(directory: Path) -> AsyncIterator[tuple[Database, Recorder, Retention]]:
    database = fresh_database(directory)
    try:
        async with recording(database) as recorder:
            yield database, recorder, Retention(database.retention, recorder, At(NOW), Uuid7())
    finally:
        await database.close()


async def test_what_goes_what_stays_and_what_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as (database, recorder, retention):
        await what_goes_and_what_stays(database, recorder, retention)


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
