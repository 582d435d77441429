"""The roster's view: what a person chose and opened survives whatever arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.roster import Column, RosterPane
from mission_control_desktop.ui.sessions import SessionStore

Make = Callable[..., AgentSession]


def pane(qt: Any, store: SessionStore, width: int = 340) -> RosterPane:
    made = RosterPane(store)
    qt.addWidget(made)
    made.resize(width, 600)
    made.show()
    return made


def test_a_flood_of_new_sessions_keeps_choice_and_open_branches(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session(f"r{n}") for n in range(400)])
    store.put([make_session("kid", parent="r7")])
    roster = pane(qt, store)
    assert roster.tree.select("internal:kid")
    store.put([make_session(f"n{n}", parent="r3") for n in range(500)])
    chosen = roster.tree.current_session()
    assert chosen is not None
    assert chosen.session_id == "internal:kid"
    assert roster.tree.isExpanded(roster.filtered.index_for("internal:r7"))
    assert not roster.tree.isExpanded(roster.filtered.index_for("internal:r3"))


def test_a_branch_that_was_closed_stays_closed(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a"), make_session("b", parent="a")])
    roster = pane(qt, store)
    index = roster.filtered.index_for("internal:a")
    assert roster.tree.isExpanded(index)
    roster.tree.collapse(index)
    store.put([make_session("c", parent="a")])
    assert not roster.tree.isExpanded(roster.filtered.index_for("internal:a"))


def test_a_narrow_roster_folds_columns_into_two_lines(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a")])
    roster = pane(qt, store)
    assert roster.tree.isColumnHidden(Column.STATUS)
    tall = roster.tree.visualRect(roster.tree.model().index(0, 0)).height()
    roster.resize(900, 600)
    qt.waitUntil(lambda: not roster.tree.isColumnHidden(Column.STATUS))
    qt.waitUntil(lambda: roster.tree.visualRect(roster.tree.model().index(0, 0)).height() < tall)
    assert not roster.tree.isHeaderHidden()


def test_an_empty_roster_leads_on(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    roster = pane(qt, store)
    assert "Start an agent" in roster._empty.text()
    store.put([make_session("a")])
    roster.filter_line.setText("nothing like it")
    roster.apply_filter()
    assert "Nothing matches" in roster._empty.text()
    roster.filter_line.clear()
    roster.live_only.setChecked(True)
    assert roster.filtered.rowCount() == 1
    store.put([make_session("a", status="completed", spawned_at=store.sessions["internal:a"].spawned_at)])
    assert roster.filtered.rowCount() == 0
