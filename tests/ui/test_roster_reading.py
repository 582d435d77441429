"""How much of a large record the roster has: read in parts, told in words, the rest found on the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.record.ops import PutSession
from mission_control_desktop.storage import open_database
from mission_control_desktop.ui import plane_reading
from mission_control_desktop.ui.plane_reading import Extent
from mission_control_desktop.ui.roster import RosterPane
from mission_control_desktop.ui.sessions import SessionStore
from support.records import migrated, recording, session
from support.rig import Rig, until
from support.served import served

Make = Callable[..., AgentSession]
COUNT, PAGE, LIMIT = 220, 5, 15
"""More than the stream brings by itself when it begins: the 200 that changed last, and all that have not ended."""


async def seed(folder: Path) -> None:
    """Ended sessions, `s0` the oldest, and before all of them one of a provider that is gone, still said to run."""
    now = datetime.now(UTC)
    migrated(folder / DATABASE_FILE)
    database = open_database(folder / DATABASE_FILE)
    try:
        async with recording(database) as recorder:
            ops = [
                PutSession(session=session(f"s{n}", SessionStatus.COMPLETED, title=f"Job {n} end", spawned_at=at))
                for n in range(COUNT)
                for at in [now - timedelta(hours=COUNT - n)]
            ]
            await recorder.provider_record("internal").apply("s", ops, durable=True)
            old = session("x", session_id="gone:x", provider="gone", spawned_at=now - timedelta(days=9))
            await recorder.provider_record("gone").apply("x", [PutSession(session=old)], durable=True)
    finally:
        await database.close()


def test_what_was_not_read_is_told_and_found(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_reading, "PAGE", PAGE)
    monkeypatch.setattr(plane_reading, "SLICE", 2)
    monkeypatch.setattr(plane_reading, "MAX_SESSIONS", LIMIT)
    extents: list[Extent] = []
    heads: list[str] = []

    async def scenario() -> None:
        desk = rig.desktop()
        roster = desk.window.roster

        def note() -> None:
            extents.append(desk.planes.extent)
            heads.append(roster.reach.text.text())

        desk.planes.extent_changed.connect(note)
        await desk.show()
        await desk.reach()
        newest = {f"internal:s{n}" for n in range(COUNT - LIMIT, COUNT)}
        assert newest <= desk.store.sessions.keys()
        await until(lambda: "gone:x" in desk.store.sessions, "what has not ended")
        assert "internal:s3" not in desk.store.sessions
        assert [one.read for one in extents if one.reading] == [0, 5, 10]
        assert extents[-1] == Extent(read=LIMIT, total=COUNT + 1, left_out=True)
        assert heads[1:3] == [f"Reading … {n} of {COUNT + 1} sessions" for n in (5, 10)]
        assert roster.reach.isVisible()
        assert f"The newest {LIMIT} of {COUNT + 1} sessions are here" in roster.reach.text.text()
        assert not roster.reach.search.isEnabled()

        QTest.keyClicks(roster.filter_line, '"job 3 end"')
        roster.apply_filter()
        assert not roster.model.rowCount()
        QTest.mouseClick(roster.reach.search, Qt.MouseButton.LeftButton)
        await until(lambda: roster.reach.said.text() == "1 older session found.", "the answer")
        assert roster.model.rowCount() == 1
        assert "internal:s3" in desk.store.sessions
        roster.reach.search.setFocus()
        QTest.keyClick(roster.reach.search, Qt.Key.Key_Space)
        await until(lambda: roster.reach.said.text() == "No older session was found.", "the second answer")

    asyncio.run(seed(rig.folder))
    with served(rig.folder):
        rig.run(scenario)


def test_all_is_read_and_nothing_is_said_of_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane_reading, "PAGE", 50)

    async def scenario() -> None:
        desk = await rig.open()
        assert len(desk.store.sessions) == COUNT + 1
        assert desk.planes.extent == Extent(read=COUNT + 1, total=COUNT + 1)
        assert not desk.window.roster.reach.isVisible()

    asyncio.run(seed(rig.folder))
    with served(rig.folder):
        rig.run(scenario)


def test_rows_stand_still_while_the_rest_is_read(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    roster = RosterPane(store)
    qt.addWidget(roster)
    roster.show_extent(Extent(reading=True))
    assert roster._empty.text() == "Reading the sessions …"
    store.put([make_session(f"n{n}") for n in range(30)])
    roster.show_extent(Extent(read=30, total=60, reading=True))
    assert roster.model.rowCount() == 30, "the first rows are there at once"
    assert roster.reach.text.text() == "Reading … 30 of 60 sessions"
    assert roster.reach.isVisibleTo(roster)
    assert not roster.reach.search.isVisibleTo(roster)
    store.put([make_session(f"o{n}") for n in range(30)])
    assert roster.model.rowCount() == 30
    roster.show_extent(Extent(read=60, total=60))
    assert roster.model.rowCount() == 60
    assert not roster.reach.isVisibleTo(roster)


def test_the_button_says_what_it_needs(qt: Any) -> None:
    roster = RosterPane(SessionStore())
    qt.addWidget(roster)
    roster.show()
    asked: list[str] = []
    roster.reach.older_wanted.connect(asked.append)
    roster.show_extent(Extent(read=10_000, left_out=True))
    assert roster.reach.text.text() == "The newest 10,000 sessions are here, and older ones that have not ended."
    roster.filter_line.setText("status:failed -draft ab parser")
    roster.apply_filter()
    roster.reach.search.click()
    assert asked == ["parser"]
    assert not roster.reach.search.isEnabled(), "one search at a time"
    roster.reach.show_said("3 older sessions found.")
    assert roster.reach.said.isVisible()
    roster.filter_line.setText("status:failed")
    roster.apply_filter()
    assert not roster.reach.said.isVisible(), "it was about other words"
    assert "Type a word" in roster.reach.search.toolTip()
