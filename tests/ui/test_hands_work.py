"""Roster, messages that wait, pausing before a message, and the log as a file: each by mouse and by keyboard, in the
real window on a real control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QToolButton, QWidget

from mission_control_desktop.domain.chain_file import check_lines
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.panel.queue_line import QueueLine
from mission_control_desktop.ui.panel.strip import ReceiptStrip
from mission_control_desktop.ui.roster import Column
from mission_control_desktop.ui.roster.order import GroupBy, SortBy
from support.file_dialogs import answer_file_dialog
from support.hands import (
    ALT,
    CTRL,
    SHIFT,
    choose,
    click,
    in_front,
    keys,
    listed,
    open_menu_of,
    opened_menu,
    plain,
    status,
)
from support.rig import Rig, drag, press, until
from support.served import Served

LONG = 60.0


def order(strip: ReceiptStrip) -> list[str]:
    """What waits, from above."""
    lines = sorted(strip._lines.values(), key=lambda line: line.y())
    return [line.text.text() for line in lines if "queued" in line.state.text()]


def tab_to(wanted: QWidget, *, back: bool = False) -> None:
    """By Tab alone."""
    for _ in range(120):
        if wanted.hasFocus():
            return
        press(
            QApplication.focusWidget() or wanted.window(),
            Qt.Key.Key_Backtab if back else Qt.Key.Key_Tab,
            SHIFT if back else Qt.KeyboardModifier.NoModifier,
        )
    raise AssertionError(f"Tab does not lead to {wanted.objectName() or wanted}")


async def menu_by_key(button: QWidget) -> QMenu:
    """A menu has a loop of its own, which must not be started by a coroutine."""
    await in_front(button.window())
    QTimer.singleShot(0, lambda: press(button, Qt.Key.Key_Space))
    return await opened_menu()


async def inner_by_key(menu: QMenu, title: str) -> QMenu:
    """Down to an entry that leads on, and into it."""
    press(menu, Qt.Key.Key_Down)
    for _ in menu.actions():
        if (now := menu.activeAction()) is not None and plain(now) == title:
            break
        press(menu, Qt.Key.Key_Down)
    assert plain(menu.activeAction()) == title
    press(menu, Qt.Key.Key_Right)
    inner: QMenu = await until(lambda: (m := QApplication.activePopupWidget()) is not menu and m, f"the menu {title}")
    return inner


async def choose_by_key(menu: QMenu, title: str) -> None:
    for _ in range(2 * len(menu.actions())):
        if (now := menu.activeAction()) is not None and plain(now) == title:
            press(menu, Qt.Key.Key_Return)
            await until(lambda: QApplication.activePopupWidget() is None, "that the menus close")
            return
        press(menu, Qt.Key.Key_Down)
    raise AssertionError(f"no {title} in {[plain(a) for a in menu.actions()]}")


async def inner_by_mouse(menu: QMenu, title: str) -> QMenu:
    entry = next(a for a in menu.actions() if plain(a) == title)
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center())
    inner: QMenu = await until(lambda: (m := QApplication.activePopupWidget()) is not menu and m, f"the menu {title}")
    return inner


def test_roster_queue_pause_and_export_by_hand(rig: Rig, house: Served, tmp_path: Path) -> None:
    house.double("other", "--subagents")
    parser = house.spawn("[wait]", title="Parser")
    docs = house.spawn(title="Docs", profile="other")
    lexer = house.spawn(title="Lexer")
    house.until(parser, status="running")
    house.until(docs, status="waiting")
    house.until(lexer, status="waiting")

    async def scenario() -> None:
        desk = await rig.open()
        desk.window.resize(1900, 900)
        await until(lambda: sorted(listed(desk)) == ["Docs", "Lexer", "Parser"], "the roster", LONG)
        await in_front(desk.window)
        await roster_by_mouse(desk)
        await roster_by_keyboard(desk)
        await paused_first(desk, house, parser)
        await moved_by_keyboard(desk, house, parser)
        await where_it_cannot(desk, docs)
        await log_as_a_file(desk, tmp_path)
        await desk.close()

    rig.run(scenario, seconds=240)


async def roster_by_mouse(desk: Desktop) -> None:
    window, roster = desk.window, desk.window.roster
    # Wider, by what stands between it and the panels: columns have room then.
    handle = window.splitter.handle(1)
    drag(handle, handle.rect().center(), handle.rect().center() + QPoint(1000 - roster.width(), 0))
    await until(lambda: not roster.tree.isHeaderHidden(), "the columns")

    async def from_options(which: str, entry: str) -> None:
        inner = await inner_by_mouse(await open_menu_of(roster.options.button), which)
        await choose(inner, entry)
        await until(lambda: QApplication.activePopupWidget() is None)

    await from_options("Group by", "Profile")
    assert roster.model.index_of_sessions.group_by is GroupBy.PROFILE
    assert listed(desk)[-1] == "Docs", "the other profile's session stands below"
    await from_options("Group by", "Nothing")
    header = roster.tree.header()

    def press_header(column: Column) -> None:
        middle = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
        click(header.viewport(), QPoint(middle, header.height() // 2))

    press_header(Column.SESSION)
    await until(lambda: listed(desk) == ["Docs", "Lexer", "Parser"], "by name")
    press_header(Column.SESSION)
    await until(lambda: listed(desk) == ["Parser", "Lexer", "Docs"], "the other way round")
    assert roster.model.index_of_sessions.sort == (SortBy.NAME, True)

    spot = QPoint(header.sectionViewportPosition(Column.PROVIDER) + 10, header.height() // 2)
    for hidden in (True, False):
        port = header.viewport()
        QApplication.sendEvent(
            port,
            QContextMenuEvent(QContextMenuEvent.Reason.Mouse, spot, port.mapToGlobal(spot), Qt.KeyboardModifier(0)),
        )
        await choose(await opened_menu(), "Provider")
        await until(lambda h=hidden: header.isSectionHidden(Column.PROVIDER) is h)  # type: ignore[misc]

    click(roster.filter_line)
    QTest.keyClicks(roster.filter_line, "provider:internal status:waiting")
    await until(lambda: listed(desk) == ["Lexer", "Docs"], "those that match")
    clear = roster.filter_line.findChild(QToolButton)
    assert isinstance(clear, QToolButton)
    click(clear)
    await until(lambda: len(listed(desk)) == 3)


async def roster_by_keyboard(desk: Desktop) -> None:
    roster = desk.window.roster
    await in_front(desk.window)
    keys(desk, Qt.Key.Key_L, CTRL)
    tab_to(roster.options.button, back=True)

    async def from_options(which: str, entry: str) -> None:
        await choose_by_key(await inner_by_key(await menu_by_key(roster.options.button), which), entry)

    await from_options("Group by", "Status")
    assert roster.model.index_of_sessions.group_by is GroupBy.STATUS
    assert listed(desk) == ["Lexer", "Docs", "Parser"], "what waits stands above, each group as it is sorted"
    await from_options("Group by", "Nothing")
    await from_options("Sort by", "Time of start")
    await from_options("Sort by", "From the last to the first")
    await until(lambda: listed(desk) == ["Parser", "Docs", "Lexer"], "in the order of their starts")
    hidden = roster.tree.header().isSectionHidden(Column.PROFILE)
    await from_options("Columns", "Profile")
    assert roster.tree.header().isSectionHidden(Column.PROFILE) is not hidden
    keys(desk, Qt.Key.Key_L, CTRL)
    QTest.keyClicks(roster.filter_line, "status:running provider:internal")
    keys(desk, Qt.Key.Key_Return)
    assert listed(desk) == ["Parser"]
    keys(desk, Qt.Key.Key_L, CTRL)
    QTest.keyClicks(roster.filter_line, "provider:nobody")
    keys(desk, Qt.Key.Key_Return)
    assert listed(desk) == []
    assert "Esc clears it" in roster._empty.text()
    keys(desk, Qt.Key.Key_L, CTRL)
    QTest.keyClicks(roster.filter_line, "status:nonsense")
    keys(desk, Qt.Key.Key_Return)
    assert "nonsense" in roster.problem.text(), "what is not known is said"
    keys(desk, Qt.Key.Key_L, CTRL)
    keys(desk, Qt.Key.Key_Escape)
    await until(lambda: len(listed(desk)) == 3)


async def panel_of(desk: Desktop, session_id: str) -> Any:
    """Its panel, opened from the roster."""
    tree = desk.window.roster.tree
    await in_front(desk.window)
    tree.setFocus()
    assert tree.select(session_id)
    keys(desk, Qt.Key.Key_Return)
    return await until(lambda: desk.window.panels.current_id == session_id and desk.panels.get(session_id), "it", LONG)


async def paused_first(desk: Desktop, house: Served, parser: str) -> None:
    """By mouse, then by keyboard; the message goes out after the resume."""
    panel = await panel_of(desk, parser)
    composer = panel.composer
    click(composer.edit)
    click(composer.pause_first, QPoint(10, composer.pause_first.height() // 2))
    assert composer.words().startswith("Pauses the agent first")
    click(composer.edit)
    QTest.keyClicks(composer.edit, "by mouse")
    click(composer.send_button)
    await until(lambda: status(desk, parser) == "paused", "paused before it", LONG)
    await until(lambda: "by mouse" in order(panel.strip), "that it waits", LONG)
    await until(panel.header.resume_button.isVisible)
    click(panel.header.resume_button)
    await until(lambda: status(desk, parser) == "running", "resumed", LONG)

    await in_front(desk.window)
    keys(desk, Qt.Key.Key_M, CTRL)
    assert composer.edit.hasFocus()
    if not composer.pause_first.isChecked():
        tab_to(composer.pause_first)
        press(composer.pause_first, Qt.Key.Key_Space)
        tab_to(composer.edit, back=True)
    QTest.keyClicks(composer.edit, "by key")
    press(composer.edit, Qt.Key.Key_Return)
    await until(lambda: status(desk, parser) == "paused", "paused before it", LONG)
    await until(lambda: order(panel.strip) == ["by mouse", "by key"], "that both wait", LONG)
    await until(lambda: composer.edit.toPlainText() == "", "accepted", LONG)
    tab_to(composer.pause_first)
    if composer.pause_first.isChecked():
        press(composer.pause_first, Qt.Key.Key_Space)
    assert not composer.words().startswith("Pauses the agent first")
    desk.window.panels.activate(parser)
    keys(desk, Qt.Key.Key_P, CTRL)
    await until(lambda: status(desk, parser) == "running", "resumed", LONG)


async def moved_by_keyboard(desk: Desktop, house: Served, parser: str) -> None:
    """From the input to the lines by Shift+Tab, and there two places up by two presses, the second at once."""
    panel: Any = desk.panels.get(parser)
    composer, strip = panel.composer, panel.strip
    keys(desk, Qt.Key.Key_M, CTRL)
    assert composer.edit.hasFocus()
    QTest.keyClicks(composer.edit, "urgent")
    press(composer.edit, Qt.Key.Key_Return)
    await until(lambda: order(strip) == ["by mouse", "by key", "urgent"], "that it waits", LONG)
    await until(lambda: composer.edit.toPlainText() == "" and composer.edit.isEnabled(), "accepted", LONG)

    def line(words: str) -> QueueLine:
        found: QueueLine = next(one for one in strip._lines.values() if one.text.text() == words)
        return found

    assert composer.edit.hasFocus()
    tab_to(line("urgent"), back=True)
    press(line("urgent"), Qt.Key.Key_Up, ALT)
    press(line("urgent"), Qt.Key.Key_Up, ALT)
    await until(lambda: "urgent: stored → queued #1" in strip.lines(), "at the front", LONG)
    await until(lambda: order(strip) == ["urgent", "by mouse", "by key"], "before the others", LONG)
    assert line("urgent").hasFocus()
    press(line("urgent"), Qt.Key.Key_Down, ALT)
    await until(lambda: order(strip) == ["by mouse", "urgent", "by key"], "and one down", LONG)
    # The turn ends: they go out in this order.
    desk.window.panels.activate(parser)
    keys(desk, Qt.Key.Key_Period, CTRL)

    def heard() -> list[str]:
        said = " ".join(m["content"] for m in house.messages(parser) if m["role"] == "agent")
        return sorted((w for w in ("by mouse", "urgent", "by key") if w in said), key=said.index)

    await until(lambda: len(heard()) == 3, "all of them", LONG)
    assert heard() == ["by mouse", "urgent", "by key"]


async def where_it_cannot(desk: Desktop, docs: str) -> None:
    """A sub-agent that its agent reports cannot be paused by itself, which is said."""
    panel = await panel_of(desk, docs)
    keys(desk, Qt.Key.Key_M, CTRL)
    QTest.keyClicks(panel.composer.edit, "[subagent 3]")
    press(panel.composer.edit, Qt.Key.Key_Return)
    below = await until(
        lambda: [s.session_id for s in desk.store.sessions.values() if s.parent_session_id == docs],
        "its sub-agent",
        LONG,
    )
    child = await panel_of(desk, below[0])
    box = child.composer.pause_first
    assert not box.isEnabled()
    why = desk.store.sessions[below[0]].capabilities.reasons["pause"]
    assert box.toolTip() == why != ""


async def log_as_a_file(desk: Desktop, folder: Path) -> None:
    window, drawer = desk.window, desk.window.audit
    await in_front(window)
    click(window.header.audit)
    await until(lambda: drawer.isVisible() and window.audit_model.rowCount() > 3, "the log", LONG)
    whole, part = folder / "whole.jsonl", folder / "part.jsonl"
    await choose(await open_menu_of(drawer.export), "The whole log")
    await answer_file_dialog(drawer, whole, by_key=False)
    await until(lambda: str(whole) in drawer.exporting.label.text(), "the file", LONG)
    with whole.open("rb") as lines:
        assert check_lines(lines, head=None).rows > 3

    await in_front(window)
    tab_to(drawer.filters.action)
    QTest.keyClicks(drawer.filters.action, "resume")
    await until(lambda: 0 < window.audit_model.rowCount() < 4, "the rows that are looked for", LONG)
    tab_to(drawer.export, back=True)
    menu = await menu_by_key(drawer.export)
    press(menu, Qt.Key.Key_F)
    await answer_file_dialog(drawer, part, by_key=True)
    await until(lambda: str(part) in drawer.exporting.label.text(), "the file", LONG)
    assert 0 < len(part.read_text().splitlines()) < len(whole.read_text().splitlines())
    assert '"resume"' in part.read_text()
    # Where it is can be read and copied without a mouse.
    await in_front(window)
    tab_to(drawer.exporting.label)
    QGuiApplication.clipboard().clear()
    keys(desk, Qt.Key.Key_A, CTRL)
    keys(desk, Qt.Key.Key_C, CTRL)
    assert str(part) in QGuiApplication.clipboard().text()
    drawer.table.setFocus()
    keys(desk, Qt.Key.Key_Escape)
    await until(lambda: not window.commands["view.audit"].isChecked(), "that it closes")
