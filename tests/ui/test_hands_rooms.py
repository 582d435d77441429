"""Roster, attention, audit log, messages to several, starting and ending by hand, in the real window on a real control
plane: what the mouse does is done by keyboard, too."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolButton

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.audit.model import AuditColumn
from mission_control_desktop.ui.dialogs import kill_flow
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.roster import Column
from mission_control_desktop.ui.roster.delegate import RosterDelegate
from mission_control_desktop.ui.several.broadcast import BroadcastDialog
from support.hands import (
    ALT,
    CTRL,
    LEFT,
    SHIFT,
    choose,
    click,
    double_click,
    in_front,
    keys,
    listed,
    open_menu_of,
    opened_menu,
    row_spot,
    status,
)
from support.rig import Rig, dialog, dialogs, press, until
from support.served import Served

LONG = 60.0


def row_button(desk: Desktop, session_id: str, which: str) -> QPoint:
    tree = desk.window.roster.tree
    index = desk.window.roster.model.index_for(session_id).siblingAtColumn(Column.ACTIONS)
    return RosterDelegate.buttons(tree.visualRect(index))[which].center()


def test_roster_attention_log_and_kill_all(rig: Rig, house: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_flow, "UNDO_SECONDS", 0.5)
    # Both talk all the time: who gives no sign of life for half a minute is abnormal, and this may take longer.
    parser = house.spawn("[words 3000 300]", title="Parser")
    lexer = house.spawn(title="Lexer", parentAgentId=parser)
    docs = house.spawn("[words 3000 300]", title="Docs")
    asks = house.spawn("[permission]", title="Gateway")
    for session_id in (parser, docs):
        house.until(session_id, status="running")
    house.until(asks, waitingFor="approval")
    house.until(lexer, status="waiting")

    async def scenario() -> None:
        desk = await rig.open()
        await until(lambda: sorted(listed(desk)) == ["Docs", "Gateway", "Lexer", "Parser"], "the roster", LONG)
        await in_front(desk.window)
        await roster_by_mouse(desk, parser, lexer, docs)
        await roster_by_keyboard(desk, parser, docs)
        await attention(desk, house, asks)
        await audit(desk, docs)
        await kill_all(desk)
        await desk.close()

    rig.run(scenario, seconds=240)
    assert {house.session(i)["status"] for i in (parser, lexer, docs, asks)} == {"killed"}
    done = {(row["action"], row["outcome"]) for row in house.audit()}
    assert {("pause", "done"), ("resume", "done"), ("inject", "done"), ("kill", "done"), ("kill-all", "done")} <= done


def receipt_of(letter: BroadcastDialog, session_id: str) -> str:
    one = letter.model.get(session_id)
    assert one is not None
    return one.did


async def roster_by_mouse(desk: Desktop, parser: str, lexer: str, docs: str) -> None:
    roster, tree = desk.window.roster, desk.window.roster.tree
    port = tree.viewport()
    click(port, row_button(desk, parser, "pause"))
    await until(lambda: status(desk, parser) == "paused", "paused", LONG)
    click(port, row_button(desk, parser, "pause"))
    await until(lambda: status(desk, parser) == "running", "resumed", LONG)
    click(port, row_button(desk, docs, "kill"))
    asked = await dialog(ReasonDialog, desk.window)
    assert not asked.act.isEnabled(), "not without a reason"
    click(asked.cancel)
    await until(lambda: not dialogs(desk.window))

    # A branch is closed and opened by its mark.
    index = roster.model.index_for(parser)
    node = roster.model.row(index.row())
    assert node is not None
    mark = RosterDelegate.branch_box(tree._delegate, tree.visualRect(index), node)  # type: ignore[arg-type]
    click(port, mark.center())
    await until(lambda: "Lexer" not in listed(desk), "closed")
    click(port, mark.center())
    await until(lambda: "Lexer" in listed(desk), "open")

    # What is seen, and how.
    click(roster.abnormal_only)
    await until(lambda: "Docs" not in listed(desk) and "Gateway" in listed(desk), "the abnormal ones alone")
    click(roster.abnormal_only)
    await until(lambda: "Docs" in listed(desk))
    click(roster.filter_line)
    QTest.keyClicks(roster.filter_line, "pars status:running")
    await until(lambda: listed(desk) == ["Parser"], "those that match")
    clear = roster.filter_line.findChild(QToolButton)
    assert isinstance(clear, QToolButton)
    click(clear)
    await until(lambda: len(listed(desk)) == 4)
    menu = await open_menu_of(roster.options.button)
    sorting = next(a for a in menu.actions() if a.text() == "&Sort by")
    QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(sorting).center())
    inner = await until(lambda: (m := QApplication.activePopupWidget()) is not menu and m, "the menu in it")
    await choose(inner, roster.options._sorts[next(iter(roster.options._sorts))].text().replace("&", ""))
    await until(lambda: QApplication.activePopupWidget() is None)

    # Several of them: one message, with a receipt for each.
    click(port, row_spot(tree, docs))
    click(port, row_spot(tree, lexer), CTRL)
    assert roster.selection.count.text() == "2 selected, 2 live"
    click(roster.selection.buttons["message"])
    letter = await dialog(BroadcastDialog, desk.window)
    QTest.keyClicks(letter.edit, "Say where you are")
    click(letter.act)
    await until(lambda: "answered" in receipt_of(letter, lexer), "an answer", LONG)
    await until(lambda: "queued" in receipt_of(letter, docs), "that it waits: its agent is at work", LONG)
    click(letter.close_button)
    await until(lambda: not dialogs(desk.window))

    # The menu of a row; a double click on another.
    spot = row_spot(tree, docs)
    click(port, spot)
    QApplication.sendEvent(
        port, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, spot, port.mapToGlobal(spot), Qt.KeyboardModifier(0))
    )
    await choose(await opened_menu(), "Open as a panel")
    await until(lambda: desk.window.panels.current_id == docs)
    double_click(port, row_spot(tree, lexer))
    await until(lambda: desk.window.panels.current_id == lexer)


async def roster_by_keyboard(desk: Desktop, parser: str, docs: str) -> None:
    roster, tree = desk.window.roster, desk.window.roster.tree
    await in_front(desk.window)
    keys(desk, Qt.Key.Key_L, CTRL)
    assert roster.filter_line.hasFocus()
    QTest.keyClicks(roster.filter_line, "pars status:running")
    keys(desk, Qt.Key.Key_Return)
    assert listed(desk) == ["Parser"]
    assert tree.hasFocus()
    keys(desk, Qt.Key.Key_P, CTRL)
    await until(lambda: desk.store.sessions[parser].status.value == "paused", "paused", LONG)
    keys(desk, Qt.Key.Key_L, CTRL)
    keys(desk, Qt.Key.Key_Escape)
    assert len(listed(desk)) == 4
    tree.setFocus()
    assert tree.select(parser)
    keys(desk, Qt.Key.Key_P, CTRL)
    await until(lambda: status(desk, parser) == "running", "resumed", LONG)
    keys(desk, Qt.Key.Key_Left)
    assert "Lexer" not in listed(desk)
    keys(desk, Qt.Key.Key_Right)
    assert "Lexer" in listed(desk)
    keys(desk, Qt.Key.Key_Home)
    keys(desk, Qt.Key.Key_Down, SHIFT)
    keys(desk, Qt.Key.Key_M, CTRL | SHIFT)
    letter = await dialog(BroadcastDialog, desk.window)
    assert len(letter.model.targets) == 2
    press(letter, Qt.Key.Key_Escape)
    await until(lambda: not dialogs(desk.window))
    await in_front(desk.window)
    tree.setFocus()
    tree.select(docs)
    keys(desk, Qt.Key.Key_Return)
    await until(lambda: desk.window.panels.current_id == docs)
    tree.setFocus()
    keys(desk, Qt.Key.Key_K, CTRL | ALT)
    asked = await dialog(ReasonDialog, desk.window)
    QTest.keyClicks(asked.reason, "no longer needed")
    press(asked.act, Qt.Key.Key_Space)
    await until(lambda: status(desk, docs) == "killed", "killed", LONG)


async def attention(desk: Desktop, house: Served, asks: str) -> None:
    window = desk.window
    await in_front(window)
    await until(lambda: window.header.attention.text() == "1 needs you", "the question", LONG)
    click(window.header.attention)
    pane = window.attention_pane
    await until(pane.isVisible)
    row = pane.table.visualRect(pane.model.index(0, 1)).center()
    QTest.mouseClick(pane.table.viewport(), LEFT, pos=row)
    click(pane.go)
    await until(lambda: window.panels.current_id == asks and pane.isHidden(), "at the session")
    click(window.header.attention)
    await until(pane.isVisible)
    click(next(b for b in pane.buttons if b.objectName() == "attention.mission.shelve_change"))
    await until(lambda: window.header.attention.text() == "Nothing needs you", "shelved")
    click(window.header.attention)
    await until(pane.isHidden)
    assert [one.session_id for one in desk.store.approvals.values()] == [asks], "nothing was answered"

    # Another one, by keyboard: seen in the list, gone to, and acknowledged there.
    more = house.spawn("[permission]", title="Mailer")
    await until(lambda: window.header.attention.text() == "1 needs you", "the next question", LONG)
    await in_front(window)
    window.panels.activate(asks)
    keys(desk, Qt.Key.Key_F8, SHIFT)
    await until(pane.isVisible)
    press(pane.table, Qt.Key.Key_Return)
    await until(lambda: window.panels.current_id == more and pane.isHidden(), "at the session")
    window.panels.activate(asks)
    keys(desk, Qt.Key.Key_F8)
    await until(lambda: window.panels.current_id == more, "at the session, by one key")
    keys(desk, Qt.Key.Key_F7)
    await until(lambda: window.header.attention.text() == "Nothing needs you", "acknowledged")
    assert len(desk.store.approvals) == 2, "nothing was answered"


async def audit(desk: Desktop, docs: str) -> None:
    window, drawer = desk.window, desk.window.audit
    await in_front(window)
    keys(desk, Qt.Key.Key_A, CTRL | SHIFT)
    await until(lambda: drawer.isVisible() and window.audit_model.rowCount() > 3, "the log", LONG)
    drawer.table.setFocus()
    keys(desk, Qt.Key.Key_Escape)
    await until(lambda: not window.commands["view.audit"].isChecked())
    click(window.header.audit)
    await until(lambda: window.is_seen("audit") and window.audit_model.rowCount() > 3)
    click(drawer.filters.session)
    model, before = window.audit_model, window.audit_model.rowCount()
    QTest.keyClicks(drawer.filters.session, docs)
    await until(lambda: 0 < model.rowCount() < before, "the rows of the session", LONG)
    drawer.filters.action.setFocus()
    QTest.keyClicks(drawer.filters.action, "kill")
    await until(
        lambda: [model.index(row, AuditColumn.ACTION).data() for row in range(model.rowCount())] == ["kill"],
        "the row that is looked for",
        LONG,
    )
    row = drawer.table.visualRect(model.index(0, AuditColumn.CONTENT)).center()
    double_click(drawer.table.viewport(), row)
    await until(drawer.detail.isVisible)
    assert "no longer needed" in drawer.detail.toPlainText()
    click(drawer.jump)
    await until(lambda: window.panels.current_id == docs, "at the session")
    if window.is_seen("audit"):
        click(window.header.audit)


async def kill_all(desk: Desktop) -> None:
    window = desk.window
    await in_front(window)
    keys(desk, Qt.Key.Key_K, CTRL | SHIFT)
    asked = await dialog(KillAllDialog, window)
    QTest.keyClicks(asked.reason, "all of it")
    press(asked.reason, Qt.Key.Key_Return)
    QTest.keyClicks(asked.typed, "kill all")
    press(asked.typed, Qt.Key.Key_Return)
    assert not asked.act.isEnabled(), "the words as they are asked for"
    press(asked, Qt.Key.Key_Escape)
    await until(lambda: not dialogs(window))
    assert desk.store.live()
    click(window.header.kill_all)
    asked = await dialog(KillAllDialog, window)
    click(asked.reason)
    QTest.keyClicks(asked.reason, "the test is over")
    click(asked.typed)
    QTest.keyClicks(asked.typed, "KILL ALL")
    click(asked.act)
    await until(lambda: not desk.store.live(), "nothing alive", LONG)
    await until(lambda: "Finished" in asked._result.text(), "all verified", LONG)
    click(asked.cancel)
    await until(lambda: not dialogs(window))
