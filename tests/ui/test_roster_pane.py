"""The roster's view: what a person chose and opened survives whatever arrives; keys, mouse, columns, empty states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtTest import QTest

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, SessionStatus
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.roster import Column, RosterPane
from mission_control_desktop.ui.roster.delegate import RosterDelegate
from mission_control_desktop.ui.roster.memory import KEY
from mission_control_desktop.ui.roster.order import GroupBy, SortBy
from mission_control_desktop.ui.sessions import SessionStore

Make = Callable[..., AgentSession]
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def pane(qt: Any, store: SessionStore, width: int = 340, state: LocalState | None = None) -> RosterPane:
    made = RosterPane(store, state)
    qt.addWidget(made)
    made.resize(width, 600)
    made.show()
    return made


def rows(roster: RosterPane) -> list[str]:
    found = []
    for number in range(roster.model.rowCount()):
        session = roster.model.session_at(roster.model.index(number, 0))
        found.append(session.session_id.partition(":")[2] if session is not None else "#")
    return found


def current(roster: RosterPane) -> str:
    session = roster.tree.current_session()
    return "" if session is None else session.session_id.partition(":")[2]


def is_open(roster: RosterPane, native: str) -> bool:
    node = roster.model.index_of_sessions.node(f"internal:{native}")
    assert node is not None
    return roster.model.index_of_sessions.is_open(node)


def test_a_flood_of_new_sessions_keeps_choice_place_and_open_branches(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session(f"r{n}") for n in range(400)])
    store.put([make_session("kid", parent="r200")])
    roster = pane(qt, store)
    assert roster.tree.select("internal:kid")
    top = roster.tree.visualRect(roster.tree.currentIndex()).top()
    store.put([make_session(f"n{n}", parent="r3") for n in range(500)])
    fourth = roster.model.row(3)
    assert fourth is not None
    roster.model.set_open(fourth, True)
    assert len(rows(roster)) == 901
    assert current(roster) == "kid"
    assert roster.tree.selected_ids() == ["internal:kid"]
    assert is_open(roster, "r200")
    assert roster.tree.visualRect(roster.tree.currentIndex()).top() == top, "what is looked at does not move"


def test_a_branch_that_was_closed_stays_closed(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a"), make_session("b", parent="a")])
    roster = pane(qt, store)
    assert rows(roster) == ["a", "b"]
    first = roster.model.row(0)
    assert first is not None
    roster.model.set_open(first, False)
    store.put([make_session("c", parent="a")])
    assert rows(roster) == ["a"]


def test_branches_by_keyboard_as_in_any_tree(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a"), make_session("b", parent="a"), make_session("c", parent="b"), make_session("z")])
    roster = pane(qt, store)
    tree = roster.tree
    tree.setFocus()
    tree.select("internal:c")
    QTest.keyClick(tree, Qt.Key.Key_Left)
    assert current(roster) == "b", "from a leaf to its parent"
    QTest.keyClick(tree, Qt.Key.Key_Left)
    assert rows(roster) == ["a", "b", "z"], "an open branch closes first"
    QTest.keyClick(tree, Qt.Key.Key_Left)
    QTest.keyClick(tree, Qt.Key.Key_Left)
    assert (rows(roster), current(roster)) == (["a", "z"], "a")
    QTest.keyClick(tree, Qt.Key.Key_Right)
    assert rows(roster) == ["a", "b", "z"]
    QTest.keyClick(tree, Qt.Key.Key_Right)
    assert current(roster) == "b"
    tree.select("internal:a")
    QTest.keyClick(tree, Qt.Key.Key_Slash)
    assert rows(roster) == ["a", "z"]
    QTest.keyClick(tree, Qt.Key.Key_Asterisk)
    assert rows(roster) == ["a", "b", "c", "z"]
    QTest.keyClick(tree, Qt.Key.Key_Minus)
    QTest.keyClick(tree, Qt.Key.Key_Plus)
    assert rows(roster) == ["a", "b", "c", "z"]


def test_a_press_on_the_mark_of_a_branch_opens_it_and_chooses_nothing(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a"), make_session("b", parent="a"), make_session("z")])
    roster = pane(qt, store)
    roster.tree.select("internal:z")
    opened: list[list[str]] = []
    roster.open_requested.connect(opened.append)
    index = roster.model.index_for("internal:a")
    delegate = roster.tree.itemDelegate()
    assert isinstance(delegate, RosterDelegate)
    row = roster.model.row(0)
    assert row is not None
    spot = delegate.branch_box(roster.tree.visualRect(index), row).center()
    QTest.mouseClick(roster.tree.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert (rows(roster), current(roster)) == (["a", "z"], "z")
    QTest.mouseDClick(roster.tree.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert opened == []


def test_what_opens_a_row_keeps_a_distance_from_its_buttons(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a")])
    for width in (300, 340, 900, 1400):
        roster = pane(qt, store, width)
        opened: list[list[str]] = []
        roster.open_requested.connect(opened.append)
        tree, index = roster.tree, roster.model.index_for("internal:a")
        cell = tree.visualRect(index.siblingAtColumn(Column.ACTIONS))
        boxes = RosterDelegate.buttons(cell)
        assert boxes["pause"].left() - tree.opens_up_to(index) >= 24
        assert boxes["kill"].left() - boxes["pause"].right() >= 12
        assert boxes["kill"].left() - tree.opens_up_to(index) >= 60
        middle = cell.center().y()
        for x in range(tree.opens_up_to(index), cell.right(), 4):
            QTest.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, middle))
        assert opened == []
        QTest.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(tree.opens_up_to(index) - 2, middle))
        assert opened == [["internal:a"]]


def test_several_are_selected_and_opened_by_keyboard(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session(n) for n in "abcd"])
    roster = pane(qt, store)
    opened: list[list[str]] = []
    roster.open_requested.connect(opened.append)
    roster.tree.setFocus()
    roster.tree.select("internal:a")
    QTest.keyClick(roster.tree, Qt.Key.Key_Down, SHIFT)
    QTest.keyClick(roster.tree, Qt.Key.Key_Down, SHIFT)
    QTest.keyClick(roster.tree, Qt.Key.Key_Return)
    assert opened == [["internal:a", "internal:b", "internal:c"]]
    roster.filter_line.setText("-b")
    roster.apply_filter()
    assert roster.tree.selected_ids() == ["internal:a", "internal:c"], "what is not seen is not selected"


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


def test_columns_order_and_groups_are_remembered(qt: Any, make_session: Make, tmp_path: Path) -> None:
    problems: list[str] = []
    state = LocalState(tmp_path, problem=problems.append)
    store = SessionStore()
    store.put([make_session("a", provider="lab"), make_session("b", status="failed"), make_session("c")])
    roster = pane(qt, store, 1000, state)
    header = roster.tree.header()
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton,
                     pos=QPoint(header.sectionViewportPosition(Column.STATUS) + 20, 8))  # fmt: skip
    assert rows(roster) == ["b", "a", "c"]
    roster.options._groups[GroupBy.PROVIDER].trigger()
    assert rows(roster) == ["#", "b", "c", "#", "a"]
    roster.options._columns[Column.USAGE].trigger()
    roster.options._columns[Column.TASK].trigger()
    header.resizeSection(Column.PROVIDER, 133)
    roster.live_only.click()
    again = pane(qt, store, 1000, state)
    assert again.tree.isColumnHidden(Column.USAGE)
    assert not again.tree.isColumnHidden(Column.TASK)
    assert again.tree.columnWidth(Column.PROVIDER) == 133
    assert again.model.index_of_sessions.sort == (SortBy.STATUS, False)
    assert rows(again) == ["#", "c", "#", "a"]
    assert again.live_only.isChecked()
    state.put(KEY, {"sort": "colour", "hidden": "x"})
    assert rows(pane(qt, store, 1000, state)) == ["a", "b", "c"], "what cannot be read is not used"
    state.close()
    assert problems == []


def test_control_planes_are_a_group_where_there_are_several(qt: Any, make_session: Make) -> None:
    roster = pane(qt, SessionStore())

    def offered() -> list[str]:
        menu = roster.options.menu.actions()[0].menu()
        return [action.text() for action in menu.actions() if action.isVisible()]  # type: ignore[attr-defined]

    roster.options.set_planes(1)
    assert "Control plane" not in offered()
    roster.options.set_planes(2)
    assert "Control plane" in offered()
    roster.options.set_group(GroupBy.PLANE)
    roster.options.set_planes(1)
    assert "Control plane" in offered(), "what is chosen can be seen"


def test_a_wrong_term_is_named_and_the_rest_filters(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session("a"), make_session("b")])
    roster = pane(qt, store)
    roster.filter_line.setText("status:nonsense -a")
    roster.apply_filter()
    assert roster.problem.isVisible()
    assert "status:nonsense is not known. Use spawning, running" in roster.problem.text()
    assert roster.filter_line.accessibleDescription() == roster.problem.text()
    QTest.keyClick(roster.filter_line, Qt.Key.Key_Escape)
    assert not roster.problem.isVisible()
    assert rows(roster) == ["a", "b"]


def test_abnormal_alone_is_one_press_and_follows_what_becomes_of_it(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([ProviderHealth(provider="lab", state="ok")])
    fine = make_session("fine", status="waiting", waiting_for="children")
    store.put([fine, make_session("kid", parent="fine", status="failed")])
    store.put([make_session("far", provider="lab", status="waiting", waiting_for="children")])
    roster = pane(qt, store)
    roster.abnormal_only.click()
    assert rows(roster) == ["fine", "kid"], "with the way to it"
    store.put([ProviderHealth(provider="lab", state="unreachable")])
    assert rows(roster) == ["fine", "kid", "far"]
    store.put([ProviderHealth(provider="lab", state="ok")])
    store.put([msgspec.structs.replace(store.sessions["internal:kid"], status=SessionStatus.COMPLETED)])
    assert rows(roster) == []
    assert "Nothing is abnormal" in roster._empty.text()


def test_only_rows_on_the_screen_are_repainted_for_their_age(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    store.put([make_session(f"r{n}") for n in range(2_000)])
    roster = pane(qt, store)
    roster.model.settle()
    qt.waitUntil(lambda: roster.tree.visible_rows().stop > 5)
    assert roster.tree.refresh_ages() == list(roster.tree.visible_rows())
    assert len(roster.tree.visible_rows()) < 30
    store.put([msgspec.structs.replace(s, status=SessionStatus.COMPLETED, completed_at=s.spawned_at)
               for s in store.sessions.values()])  # fmt: skip
    roster.tree.refresh_ages()
    assert roster.tree.refresh_ages() == [], "what has ended does not grow older"


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
    assert rows(roster) == ["a"]
    store.put([make_session("a", status="completed", spawned_at=store.sessions["internal:a"].spawned_at)])
    assert rows(roster) == []
    assert "“Live” again" in roster._empty.text()


def test_a_button_that_does_nothing_is_faint_and_says_why(qt: Any, make_session: Make) -> None:
    store = SessionStore()
    rigid = Capabilities(kill=True, reasons={"pause": "its runtime has no pause"})
    store.put([msgspec.structs.replace(make_session("a"), capabilities=rigid)])
    roster = pane(qt, store)
    asked: list[str] = []
    roster.pause_requested.connect(asked.append)
    tree, index = roster.tree, roster.model.index_for("internal:a")
    delegate = tree.itemDelegate()
    assert isinstance(delegate, RosterDelegate)
    one = store.sessions["internal:a"]
    assert delegate.button_hint(one, "pause") == "Cannot pause: its runtime has no pause"
    assert delegate.button_hint(one, "kill").startswith("Kill this session")
    cell = tree.visualRect(index.siblingAtColumn(Column.ACTIONS))
    spot = RosterDelegate.buttons(cell)["pause"].center()
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert asked == []
    roster.set_may_act(lambda _session_id: "Your role only watches")
    assert delegate.button_hint(one, "kill") == "Your role only watches"
    assert {faint(roster, cell, name) for name in ("pause", "kill")} == {True}
    roster.set_may_act(lambda _session_id: "")
    assert [faint(roster, cell, name) for name in ("pause", "kill")] == [True, False]


def faint(roster: RosterPane, cell: QRect, name: str) -> bool:
    """Whether a button is drawn with little contrast."""
    picture = roster.tree.viewport().grab(RosterDelegate.buttons(cell)[name]).toImage()
    spots = [picture.pixelColor(x, y) for x in range(picture.width()) for y in range(picture.height())]
    return max(theme.contrast(spots[0], spot) for spot in spots) < 2
