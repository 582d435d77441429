"""Panels: they open, close, move and come back; none of it touches a session."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.roster import Column
from mission_control_desktop.ui.roster.delegate import RosterDelegate
from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, session

TOUCHING = ("kill", "terminate", "kill_all", "pause", "resume", "inject", "spawn")


def touched(plane: ScriptedPlane) -> list[str]:
    return [name for name, _ in plane.calls if name in TOUCHING]


async def opened(rig: Rig, plane: ScriptedPlane, *natives: str) -> Desktop:
    plane.tell(*(session(n, title=f"Agent {n}") for n in natives))
    desk = await rig.open(plane.open)
    await until(lambda: len(desk.window.panels.open_ids()) == min(len(natives), 6))
    return desk


def test_root_sessions_open_by_themselves_up_to_six(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, *"abcdefgh")
        assert desk.window.panels.open_ids() == [f"internal:{n}" for n in "abcdef"]
        await desk.close()

    rig.run(scenario)


def test_what_rests_opens_by_itself_when_it_begins_to_work(rig: Rig) -> None:
    """A gateway that is registered brings its old sessions along: none of them is put before anybody."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        resting = [session(f"old{n}", status="waiting", waiting_for="operator") for n in range(8)]
        plane.tell(
            *resting, session("held", status="paused"), session("asks", status="waiting", waiting_for="approval")
        )
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.store.sessions) == 10)
        await until(lambda: desk.window.panels.open_ids() == ["internal:asks"])
        plane.tell(session("old3"))
        await until(lambda: desk.window.panels.open_ids() == ["internal:asks", "internal:old3"])
        await desk.close()

    rig.run(scenario)


def test_a_closed_panel_ends_nothing_and_comes_back_from_the_roster(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a", "b")
        window = desk.window
        window.panels.activate("internal:a")
        window.commands["panel.close"].trigger()
        await until(lambda: window.panels.open_ids() == ["internal:b"])
        assert "goes on" in window.statusBar().currentMessage()
        plane.tell(msgspec.structs.replace(plane.known["internal:a"], title="Agent a, renamed"))
        await until(lambda: window.store.sessions["internal:a"].title == "Agent a, renamed")
        assert window.panels.open_ids() == ["internal:b"], "a closed panel does not open again by itself"
        assert window.roster.tree.select("internal:a")
        window.roster.tree.setFocus()
        press(window.roster.tree, Qt.Key.Key_Return)
        await until(lambda: set(window.panels.open_ids()) == {"internal:a", "internal:b"})
        assert touched(plane) == []
        await desk.close()

    rig.run(scenario)


def test_double_click_opens_but_not_on_the_buttons(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("p"), session("kid", parent_session_id="internal:p", title="Kid"))
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: len(window.roster.model) == 2)
        tree = window.roster.tree
        tree.select("internal:kid")
        index = tree.currentIndex()
        actions = tree.visualRect(index.siblingAtColumn(Column.ACTIONS)).center()
        QTest.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=actions)
        # No nested event loop inside a coroutine: it would lose other tasks' wake-ups.
        await asyncio.sleep(0)
        assert "internal:kid" not in window.panels.open_ids()
        QTest.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualRect(index).center())
        await until(lambda: "internal:kid" in window.panels.open_ids())
        await desk.close()

    rig.run(scenario)


def test_pause_and_kill_per_row(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a")
        tree = desk.window.roster.tree
        tree.select("internal:a")
        rect = tree.visualRect(tree.currentIndex().siblingAtColumn(Column.ACTIONS))
        boxes = RosterDelegate.buttons(rect)
        assert boxes["kill"].left() - boxes["pause"].right() >= 12, "kill stands apart"
        assert rect.contains(boxes["kill"])
        assert rect.contains(boxes["pause"])
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=boxes["pause"].center())
        await until(lambda: desk.store.sessions["internal:a"].status is SessionStatus.PAUSED)
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=boxes["pause"].center())
        await until(lambda: desk.store.sessions["internal:a"].status is SessionStatus.RUNNING)
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=boxes["kill"].center() + QPoint(1, 1))
        assert touched(plane) == ["pause", "resume"], "kill asks first"
        await desk.close()

    rig.run(scenario)


def test_attention_goes_to_approvals_then_failures_then_who_waits(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("root"))
        for native, status, waiting in (
            ("asks", "waiting", "approval"),
            ("broke", "failed", None),
            ("idle", "waiting", "operator"),
        ):
            plane.tell(session(native, status=status, waiting_for=waiting, parent_session_id="internal:root"))
        plane.tell(
            Approval(
                approval_id="q",
                session_id="internal:asks",
                provider="internal",
                title="Run it?",
                options=(ApprovalOption(option_id="y", kind="allow_once", label="Allow"),),
                created_at=datetime.now(UTC),
            )
        )
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: window.header.attention.text() == "2 need you")
        go = window.commands["mission.next_attention"].trigger
        go()
        assert window.panels.current_id == "internal:asks"
        go()
        assert window.panels.current_id == "internal:broke"
        await until(lambda: window.header.attention.text() == "1 needs you")
        panel = desk.panels.get("internal:asks")
        assert panel is not None
        window.panels.activate("internal:asks")
        await desk.host.call(lambda mc: mc.answer("q", "y"))
        await until(lambda: window.header.attention.text() == "Nothing needs you")
        go()
        assert window.panels.current_id == "internal:idle"
        await desk.close()

    rig.run(scenario)


def test_panels_move_tab_float_and_fill_the_screen(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a", "b", "c", "d")
        window, run = desk.window, desk.window.commands
        panels = window.panels
        a, b, c, d = (f"internal:{n}" for n in "abcd")
        await until(lambda: panels.open_ids() == [a, b, c, d])
        panels.activate(a)
        run["panel.right"].trigger()
        await until(lambda: panels.open_ids() == [c, b, a, d])
        run["panel.tab"].trigger()
        await until(lambda: len(panels.manager.openedDockAreas()) == 3)
        run["panel.float"].trigger()
        await until(lambda: len(panels.manager.floatingWidgets()) == 1)
        run["panel.float"].trigger()
        await until(lambda: not panels.manager.floatingWidgets())
        run["panel.full_screen"].trigger()
        widget = panels.panel(a)
        assert widget is not None
        assert widget.window() is not window
        run["panel.full_screen"].trigger()
        assert panels.panel(a) is widget
        assert widget.window() is window
        for cells, areas in ((1, 1), (2, 2), (4, 4), (9, 4)):
            run[f"layout.{cells}"].trigger()
            assert len(panels.manager.openedDockAreas()) == areas, cells
        run["panel.go_2"].trigger()
        second = panels.current_id
        run["panel.next"].trigger()
        assert panels.current_id != second
        run["panel.previous"].trigger()
        assert panels.current_id == second
        assert set(panels.open_ids()) == {a, b, c, d}
        assert touched(plane) == []
        await desk.close()

    rig.run(scenario)


def test_rearranging_leaves_the_cursor_where_a_person_types(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a", "b")
        window = desk.window
        panel = desk.panels.get("internal:a")
        assert panel is not None
        window.activateWindow()
        panel.focus_input()
        typing = panel.composer.edit
        await until(lambda: QApplication.focusWidget() is typing)
        plane.tell(session("c", title="Newcomer"))
        await until(lambda: "internal:c" in window.panels.open_ids())
        assert QApplication.focusWidget() is typing
        assert window.panels.current_id == "internal:a"
        await desk.close()

    rig.run(scenario)


def test_the_roster_filter_by_keyboard(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Parser"), session("b", title="Lexer", status="paused"))
        desk = await rig.open(plane.open)
        roster = desk.window.roster
        await until(lambda: len(roster.model) == 2)
        desk.window.commands["view.filter"].trigger()
        QTest.keyClicks(roster.filter_line, "status:paused")
        press(roster.filter_line, Qt.Key.Key_Return)
        assert roster.model.rowCount() == 1
        current = roster.tree.current_session()
        assert current is not None
        assert current.title == "Lexer"
        desk.window.commands["view.filter"].trigger()
        press(roster.filter_line, Qt.Key.Key_Escape)
        assert roster.model.rowCount() == 2
        await desk.close()

    rig.run(scenario)
