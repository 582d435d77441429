"""The roster's model: any order of arrival, incremental, safe against loops, fast with many rows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui.roster import RosterFilterModel, RosterModel, parse_filter

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
Make = Callable[..., AgentSession]


@pytest.fixture
def models(qt: Any) -> tuple[RosterModel, RosterFilterModel]:
    model = RosterModel()
    filtered = RosterFilterModel(model)
    testers = [
        QAbstractItemModelTester(m, QAbstractItemModelTester.FailureReportingMode.Fatal, m) for m in (model, filtered)
    ]
    assert len(testers) == 2
    return model, filtered


def shape(model: Any, parent: QModelIndex | None = None) -> dict[str, Any]:
    parent = parent or QModelIndex()
    rows = [model.index(row, 0, parent) for row in range(model.rowCount(parent))]
    return {model.session_at(index).session_id.removeprefix("internal:"): shape(model, index) for index in rows}


def test_children_stand_below_their_parents_at_any_depth(models: Any, make_session: Make) -> None:
    model, _ = models
    model.put([make_session("a"), make_session("b", parent="a"), make_session("c", parent="b")])
    assert shape(model) == {"a": {"b": {"c": {}}}}


def test_an_orphan_moves_below_its_parent_when_it_arrives(models: Any, make_session: Make) -> None:
    model, filtered = models
    model.put([make_session("c", parent="b"), make_session("b", parent="a")])
    assert shape(model) == {"b": {"c": {}}}
    model.put([make_session("a")])
    assert shape(model) == shape(filtered) == {"a": {"b": {"c": {}}}}


def test_a_loop_of_parents_is_broken(models: Any, make_session: Make) -> None:
    model, _ = models
    model.put([make_session("a", parent="b"), make_session("b", parent="a"), make_session("x", parent="x")])
    assert len(model) == 3
    assert set(shape(model)) <= {"a", "b", "x"}


def test_an_update_changes_only_its_row(models: Any, make_session: Make, qt: Any) -> None:
    model, _ = models
    first = make_session("a")
    model.put([first, make_session("b")])
    with qt.waitSignal(model.dataChanged) as blocker:
        model.put([make_session("a", status="failed", spawned_at=first.spawned_at)])
    assert blocker.args[0].row() == 0
    assert model.session_at(model.index(0, 0)).status is SessionStatus.FAILED


def test_removed_sessions_leave_their_children_behind(models: Any, make_session: Make) -> None:
    model, filtered = models
    model.put([make_session("a"), make_session("b", parent="a")])
    model.remove(["internal:a"])
    assert shape(model) == shape(filtered) == {"b": {}}
    model.put([make_session("a")])
    assert shape(model) == {"a": {"b": {}}}


def test_a_stale_index_is_invalid_and_harmless(models: Any, make_session: Make) -> None:
    model, _ = models
    model.put([make_session("a")])
    index = model.index(0, 0)
    model.remove(["internal:a"])
    assert model.session_at(index) is None
    assert model.data(index) is None


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_arrival_gives_the_same_tree(models: Any, make_session: Make, seed: int) -> None:
    model, filtered = models
    rng = random.Random(seed)
    sessions = [make_session("0")]
    for n in range(1, 40):
        sessions.append(make_session(str(n), parent=str(rng.randrange(n)) if rng.random() < 0.8 else None))
    expected = RosterModel()
    expected.put(sessions)
    rng.shuffle(sessions)
    for session in sessions:
        model.put([session])
    assert shape(model) == shape(expected) == shape(filtered)


def test_the_filter_keeps_the_ancestors_of_what_matches(models: Any, make_session: Make) -> None:
    model, filtered = models
    model.put([make_session("a"), make_session("b", parent="a", status="failed"), make_session("c", parent="a")])
    filtered.set_filter(parse_filter("status:failed"))
    assert shape(filtered) == {"a": {"b": {}}}
    model.put([make_session("c", parent="a", status="failed")])
    assert set(shape(filtered)["a"]) == {"b", "c"}
    filtered.set_filter(parse_filter(""))
    assert shape(filtered) == shape(model)


def test_filter_words(make_session: Make) -> None:
    session = make_session("a", title="Review the parser", task_id="T-7", metadata={"demo": True})
    for text in ("", "parser", "PARSER review", "t-7", "status:run", "status:waiting,running", "is:live", "is:demo"):
        assert parse_filter(text).matches(session), text
    for text in ("nothing", "status:failed", "is:ended", "provider:openclaw", "needs:me"):
        assert not parse_filter(text).matches(session), text
    assert parse_filter("status:").empty
    assert parse_filter("status:nonsense").texts == ("status:nonsense",)
    assert not parse_filter("", live_only=True).matches(make_session("b", status="killed"))


def test_ten_thousand_sessions_are_quick(qt: Any, make_session: Make) -> None:
    sessions = [make_session(str(n), parent=str(n - n % 10) if n % 10 else None) for n in range(10_000)]
    model = RosterModel()
    filtered = RosterFilterModel(model)
    started = time.perf_counter()
    model.put(sessions)
    assert filtered.rowCount() == 1000
    loaded = time.perf_counter()
    model.put(sessions[:1000])
    updated = time.perf_counter()
    filtered.set_filter(parse_filter("9999"))
    assert filtered.rowCount() == 1
    done = time.perf_counter()
    # Generous: a shared machine; the figures on a quiet one are a twentieth.
    assert loaded - started < 3
    assert updated - loaded < 1
    assert done - updated < 3


def test_a_row_tells_that_its_provider_is_away(qt: Any, make_session: Make) -> None:
    health: dict[str, ProviderHealth] = {}
    model = RosterModel(lambda: NOW, health=health)
    model.put([make_session("a", provider="lab")])
    row = model.index_for("lab:a")
    assert model.data(row, Qt.ItemDataRole.AccessibleTextRole) == "Agent a, running, provider lab"
    since = NOW - timedelta(seconds=65)
    health["lab"] = ProviderHealth(provider="lab", state="unreachable", detail="Nothing listens.", since=since)
    assert "provider lab unreachable, 1m 05s" in model.data(row, Qt.ItemDataRole.AccessibleTextRole)
    assert "Provider lab: unreachable, 1m 05s. Nothing listens." in model.data(row, Qt.ItemDataRole.ToolTipRole)
