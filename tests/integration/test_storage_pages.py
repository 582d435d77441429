"""A page of sessions: as each session is on record, and read from an index, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event

from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    Freshness,
    PauseKind,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.record.ops import PutMessage, PutSession, RecordOp
from mission_control_desktop.storage import Database
from mission_control_desktop.storage.written import session_from, unreachable, written
from support.records import START, fresh_database, message, recording, session

MANY = 40


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = fresh_database(tmp_path)
    full = session(
        "full",
        SessionStatus.WAITING,
        parent_session_id="internal:s1",
        title="Ünïcode",
        started_at=START + timedelta(microseconds=5),
        error="why",
        run_id="r",
        waiting_for=WaitingFor.APPROVAL,
        usage={"tokens": 1},
        metadata={"deep": {"er": [1, None, "ü"]}},
        capabilities=Capabilities(inject=(Delivery.STEER,), pause=PauseKind.SUSPEND, reasons={"terminate": "no"}),
        evidence=Evidence(last_event_at=START, source="stdout", freshness=Freshness.STALE),
    )
    ops: list[RecordOp] = [PutSession(session=full)]
    for n in range(MANY):
        status = SessionStatus.FAILED if n % 4 == 0 else SessionStatus.RUNNING
        ops.append(PutSession(session=session(f"s{n}", status, spawned_at=START + timedelta(seconds=n // 3))))
    async with recording(opened) as recorder:
        record = recorder.provider_record("internal")
        await record.apply("s", ops, durable=True)
        newest = PutMessage(message=message("m", session_id="internal:s3", timestamp=START + timedelta(hours=1)))
        await record.apply("s3", [newest], durable=True)
    yield opened
    await opened.close()


async def test_a_page_is_written_as_its_sessions_are(database: Database) -> None:
    page = await database.sessions.page(limit=500)
    sent = msgspec.json.decode(to_json(page), type=Page[AgentSession])
    alone = [await database.sessions.get(one.session_id) for one in page.items]
    assert list(sent.items) == alone
    assert [session_from(one) for one in page.items] == alone
    assert len(alone) == MANY + 1
    for one in alone:
        assert one is not None
        # The very same fields, so that who reads pages by another program misses none.
        assert msgspec.json.decode(to_json(written(one))) == msgspec.json.decode(to_json(one))


async def test_what_is_written_of_a_provider_that_is_away_says_so(database: Database) -> None:
    for one in (await database.sessions.page(limit=500)).items:
        final = one.status == SessionStatus.FAILED
        away = session_from(unreachable(one))
        assert (away.evidence.freshness is Freshness.UNREACHABLE) is not final
        assert away.evidence.last_event_at == one.evidence.last_event_at


@pytest.mark.parametrize("filters", [{}, {"status": SessionStatus.FAILED}, {"provider": "internal"}])
async def test_no_page_sorts_the_record(database: Database, filters: dict[str, Any]) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    engine = database.access._reader_engine
    event.listen(engine, "before_cursor_execute", note)
    found, cursor = 0, None
    totals: list[int | msgspec.UnsetType] = []
    while True:
        page = await database.sessions.page(workspace_id="default", limit=7, cursor=cursor, **filters)
        found += len(page.items)
        totals.append(page.total)
        if (cursor := page.next_cursor) is None:
            break
    event.remove(engine, "before_cursor_execute", note)
    assert found == (MANY + 3) // 4 if "status" in filters else found == MANY + 1
    counted = "provider" not in filters
    assert totals == [found if counted else msgspec.UNSET] + [msgspec.UNSET] * (len(totals) - 1)
    counts = [one for one in asked if "count(*)" in one[0]]
    assert len(counts) == counted
    reads = [one for one in asked if one not in counts and "agent_session_tree" in one[0]]
    assert len(reads) == -(-found // 7), "one statement for each page"

    def plan(connection: Connection) -> list[str]:
        return [
            row.detail
            for statement, parameters in (reads[0], reads[-1], *counts)
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    steps = await database.access.read(plan)
    assert any("ix_agent_session_tree_pages" in step for step in steps)
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")]
