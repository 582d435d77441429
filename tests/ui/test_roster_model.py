"""The roster's Qt model: rows that come, go and move as they should, and stay consistent for a view."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import QModelIndex, QObject, Qt
from PySide6.QtTest import QAbstractItemModelTester

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui.roster import RosterModel, parse_filter
from mission_control_desktop.ui.roster.order import GroupBy, SortBy

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
Make = Callable[..., AgentSession]


@pytest.fixture
def model(qt: Any) -> RosterModel:
    made = RosterModel()
    tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Fatal, made)
    assert isinstance(tester, QObject)
    return made


def lines(model: RosterModel) -> list[str]:
    """Rows as they are seen: a dash for each level."""
    found = []
    for number in range(model.rowCount()):
        row = model.row(number)
        assert row is not None
        assert row.row == number
        session = model.session_at(model.index(number, 0))
        name = session.session_id.partition(":")[2] if session is not None else model.data(model.index(number, 0))
        found.append("-" * row.level + str(name))
    return found


def test_a_new_session_is_one_row_more_and_an_update_changes_its_row_alone(
    model: RosterModel, make_session: Make, qt: Any
) -> None:
    first = make_session("a")
    model.put([first, make_session("b"), make_session("kid", parent="a")])
    assert lines(model) == ["a", "-kid", "b"]
    inserted: list[tuple[int, int]] = []
    model.rowsInserted.connect(lambda _parent, start, end: inserted.append((start, end)))
    model.put([make_session("second", parent="a")])
    assert lines(model) == ["a", "-kid", "-second", "b"]
    assert inserted == [(2, 2)]
    with qt.waitSignal(model.refreshed) as blocker:
        model.put([msgspec.structs.replace(first, status=SessionStatus.PAUSED)])
    assert blocker.args == [[0]]
    assert inserted == [(2, 2)]


def test_the_rows_of_a_failed_child_and_of_all_above_it_are_refreshed(
    model: RosterModel, make_session: Make, qt: Any
) -> None:
    kid = make_session("kid", parent="b")
    model.put([make_session("a"), make_session("b", parent="a"), kid])
    with qt.waitSignal(model.refreshed) as blocker:
        model.put([msgspec.structs.replace(kid, status=SessionStatus.FAILED)])
    assert sorted(blocker.args[0]) == [0, 1, 2]
    spoken = model.data(model.index(0, 0), Qt.ItemDataRole.AccessibleTextRole)
    assert "2 agents below, 1 failed, open" in spoken


def test_whoever_asks_while_rows_go_gets_the_rows_that_are_there(model: RosterModel, make_session: Make) -> None:
    model.put([make_session("a"), make_session("b"), make_session("c")])
    seen: list[list[str]] = []
    model.rowsAboutToBeRemoved.connect(lambda *_: seen.append(names(model)))
    model.rowsRemoved.connect(lambda *_: seen.append(names(model)))
    model.remove(["internal:b"])
    assert seen == [["a", "b", "c"], ["a", "c"]]
    stale = model.index_for("internal:c")
    model.remove(["internal:c"])
    assert model.session_at(stale) is None
    assert model.data(stale) is None


def names(model: RosterModel) -> list[str]:
    sessions = [model.session_at(model.index(row, 0)) for row in range(model.rowCount())]
    return [session.session_id.partition(":")[2] for session in sessions if session is not None]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_in_whatever_order_a_view_sees_the_same(
    model: RosterModel, make_session: Make, seed: int
) -> None:
    rng = random.Random(seed)
    sessions = [make_session("0")]
    for n in range(1, 60):
        status = rng.choice([*SessionStatus]).value
        sessions.append(
            make_session(str(n), parent=str(rng.randrange(n)) if rng.random() < 0.8 else None, status=status)
        )
    rng.shuffle(sessions)
    for number, session in enumerate(sessions):
        model.put([session])
        match number % 9:
            case 3:
                model.set_filter(parse_filter(rng.choice(["", "status:failed", "agent 1", "-is:live"])))
            case 5:
                model.set_group(rng.choice([*GroupBy]))
            case 7:
                model.set_sort(rng.choice([*SortBy]), descending=rng.random() < 0.5)
    model.set_filter(parse_filter(""))
    model.set_group(GroupBy.NONE)
    model.set_sort(SortBy.STARTED)
    model.set_all_open(True)
    expected = RosterModel()
    expected.put(sorted(sessions, key=lambda s: s.spawned_at))
    expected.set_all_open(True)
    assert lines(model) == lines(expected)
    assert len(lines(model)) == 60


def test_ten_thousand_sessions_are_quick(qt: Any, make_session: Make) -> None:
    sessions = [make_session(str(n), parent=str(n - n % 10) if n % 10 else None) for n in range(10_000)]
    model = RosterModel()
    started = time.perf_counter()
    model.put(sessions)
    model.settle()
    assert model.rowCount() == 1000
    loaded = time.perf_counter()
    model.put(sessions[:1000])
    updated = time.perf_counter()
    model.set_filter(parse_filter("9999"))
    assert lines(model) == ["9990", "-9999"]
    done = time.perf_counter()
    # Generous: a shared machine; benchmarks/roster.py measures.
    assert loaded - started < 3
    assert updated - loaded < 1
    assert done - updated < 3


def test_a_row_tells_that_its_provider_is_away(qt: Any, make_session: Make) -> None:
    health: dict[str, ProviderHealth] = {}
    model = RosterModel(lambda: NOW + timedelta(seconds=5), health=health)
    model.put([make_session("a", provider="lab", usage={"totalTokens": 12_400, "cost": {"amount": 0.4}})])
    row = model.index_for("lab:a")
    spoken = model.data(row, Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.startswith("Agent a, running, provider lab, last sign ")
    since = NOW - timedelta(seconds=60)
    health["lab"] = ProviderHealth(provider="lab", state="unreachable", detail="Nothing listens.", since=since)
    assert "provider lab unreachable, 1m 05s" in model.data(row, Qt.ItemDataRole.AccessibleTextRole)
    tip = model.data(row, Qt.ItemDataRole.ToolTipRole)
    assert "Provider lab: unreachable, 1m 05s. Nothing listens." in tip
    assert "Used: 12,400 tokens, $0.40" in tip


def test_rows_are_dragged_by_their_ids(model: RosterModel, make_session: Make) -> None:
    model.put([make_session("a"), make_session("b")])
    dragged = model.mimeData([model.index(0, 0), model.index(0, 1), model.index(1, 0), QModelIndex()])
    assert bytes(dragged.data(model.mimeTypes()[0]).data()) == b"internal:a\ninternal:b"
