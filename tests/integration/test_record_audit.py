"""The audit log: chained, verifiable, and closed to every statement that would change it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.chain import ChainCheck, row_of
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database
from support.records import START, audit_draft, fresh_database, recording

ODD = {"é": ["\ud800", "\0", 1.0, 1e300, None, True], "b": {"a": 2, "Z": 1, "_": "x\ny"}, "intentId": 7}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = fresh_database(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def recorder(database: Database) -> AsyncIterator[Recorder]:
    async with recording(database) as started:
        yield started


def raw(database: Database) -> sqlite3.Connection:
    assert database.path is not None
    return sqlite3.connect(database.path, isolation_level=None)


async def rows(recorder: Recorder, workspace: str = "default") -> list[AuditEntry]:
    return [row async for row in recorder.audit.rows(workspace)]


async def test_rows_are_chained_per_workspace_even_when_written_at_once(recorder: Recorder) -> None:
    drafts = [audit_draft(n, metadata=ODD, content=f"say\ud800 {n}\0") for n in range(40)]
    written = await asyncio.gather(*(recorder.audit.append("one" if n % 2 else "two", d) for n, d in enumerate(drafts)))
    for workspace in ("one", "two"):
        found = await rows(recorder, workspace)
        assert [row.seq for row in found] == list(range(1, 21))
        check = ChainCheck()
        assert check.feed(map(row_of, found)) is None, "verifiable from what was read back"
        assert sorted(found, key=lambda row: row.id) == sorted(
            (row for row in written if row in found), key=lambda row: row.id
        )
        report = await recorder.audit.verify(workspace)
        assert (report.valid, report.rows) == (True, 20)
    assert (await recorder.audit.verify("nobody")).rows == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operator_audit_log SET content = 'forged' WHERE seq = 2",
        "UPDATE operator_audit_log SET seq = seq",
        "DELETE FROM operator_audit_log WHERE seq = 3",
        "DELETE FROM operator_audit_log",
        "INSERT OR REPLACE INTO operator_audit_log SELECT * FROM operator_audit_log WHERE seq = 1",
        "INSERT INTO operator_audit_log SELECT id || 'x', workspace_id, seq, wseq, created_at, user_id, actor_kind, "
        "session_id, provider, action, outcome, content, metadata, intent_id, prev_hash, hash "
        "FROM operator_audit_log WHERE seq = 1",
        "REPLACE INTO operator_audit_log SELECT id || 'x', workspace_id, seq, wseq, created_at, user_id, actor_kind, "
        "session_id, provider, action, outcome, 'forged', metadata, intent_id, prev_hash, hash "
        "FROM operator_audit_log WHERE seq = 1",
    ],
)
async def test_sql_cannot_change_it(recorder: Recorder, database: Database, statement: str) -> None:
    for n in range(3):
        await recorder.audit.append("default", audit_draft(n))
    before = await rows(recorder)
    connection = raw(database)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert await rows(recorder) == before


async def test_pages_are_newest_first_and_filtered(recorder: Recorder) -> None:
    for n in range(30):
        await recorder.audit.append(
            "default",
            audit_draft(
                n,
                user_id="ada" if n % 2 else "bob",
                session_id=f"internal:{n % 3}",
                provider="internal" if n < 15 else "other",
                action=AuditAction.KILL if n % 5 == 0 else AuditAction.INJECT,
                outcome=AuditOutcome.REFUSED if n % 7 == 0 else AuditOutcome.DONE,
            ),
        )

    async def minutes(**filters: object) -> list[int]:
        found: list[int] = []
        cursor = None
        while True:
            page = await recorder.audit.page("default", AuditFilter(**filters), limit=4, cursor=cursor)  # type: ignore[arg-type]
            found.extend(round((row.created_at - START) / timedelta(minutes=1)) for row in page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    down = list(range(29, -1, -1))
    assert await minutes() == down
    assert await minutes(user="bob") == [n for n in down if n % 2 == 0]
    assert await minutes(session="internal:1", provider="other") == [n for n in down if n % 3 == 1 and n >= 15]
    assert await minutes(action="kill", outcome="refused") == [0]
    period = {"from_": START + timedelta(minutes=10), "to": START + timedelta(minutes=12)}
    assert await minutes(**period) == [11, 10]
    assert await minutes(user="nobody") == []
    with pytest.raises(BadInput, match="cursor"):
        await recorder.audit.page("default", cursor="%%%")
    with pytest.raises(BadInput, match="limit"):
        await recorder.audit.page("default", limit=501)


async def test_open_intents_are_those_that_nothing_closed(recorder: Recorder) -> None:
    intents = [await recorder.audit.append("default", audit_draft(n, outcome=AuditOutcome.INTENDED)) for n in range(3)]
    await recorder.audit.append("default", audit_draft(4, metadata={"intentId": intents[1].id}))
    assert [row.id for row in await recorder.audit.open_intents("default")] == [intents[0].id, intents[2].id]
    assert await recorder.audit.open_intents("other") == []
    assert await recorder.audit.get(intents[0].id) == intents[0]
