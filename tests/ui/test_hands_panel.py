"""One agent by hand, in the real window on a real control plane: started, read, answered, paused, written to and ended,
by mouse and by keyboard; then the settings and the help."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialogButtonBox, QPushButton, QToolButton

from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.launch.profile_form import ProfileForm
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.settings.appearance import AppearancePage
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.profiles import ProfilesPage
from mission_control_desktop.ui.settings.retention import RetentionPage
from support.hands import by_menu, choose, choose_action, click, in_front, keys, open_menu_of, opened_menu, status
from support.rig import Rig, dialog, dialogs, press, until
from support.served import Served

LONG = 60.0
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def row_of(panel: OrchestratorPanel, kind: str) -> int:
    """The newest message of a kind, or -1."""
    rows = [row for row, entry in enumerate(panel.model.entries) if entry.message.kind.value == kind]
    return rows[-1] if rows else -1


def asked_of(panel: OrchestratorPanel) -> int:
    rows = [row for row, entry in enumerate(panel.model.entries) if entry.message.role is MessageRole.OPERATOR]
    return rows[-1] if rows else -1


def test_an_agent_is_started_read_steered_and_ended(rig: Rig, house: Served) -> None:
    async def scenario() -> None:
        desk = await rig.open()
        await in_front(desk.window)
        one = await started_by_mouse(desk)
        two = await started_by_keyboard(desk)
        await answered_and_read(desk, one)
        await steered(desk, two)
        await settings_and_help(desk, house)
        await ended(desk, one, two)
        await desk.close()

    rig.run(scenario, seconds=240)


async def started_by_mouse(desk: Desktop) -> str:
    window, launch = desk.window, desk.window.launch
    await until(lambda: launch.profile("double"), "the profiles", LONG)
    assert window.pages.currentWidget() is launch, "nothing runs: this is what one begins with"
    await until(lambda: launch._cards["double"].isVisible(), "its card")
    click(launch._cards["double"])
    click(launch.form.prompt)
    QTest.keyClicks(launch.form.prompt, "[tool][permission]")
    click(launch.form.start)
    await until(lambda: window.panels.current_id, "its panel", LONG)
    one: str = window.panels.current_id
    await until(lambda: desk.panels.get(one) and desk.store.approvals, "its question", LONG)
    return one


async def started_by_keyboard(desk: Desktop) -> str:
    window, launch = desk.window, desk.window.launch
    before = set(desk.store.sessions)
    keys(desk, Qt.Key.Key_N, CTRL)
    await until(lambda: window.pages.currentWidget() is launch and launch.profile("double"), "what can be started")

    def chosen() -> bool:
        card = launch._cards["double"]  # made anew when the profiles were read again
        card.setFocus()
        press(card, Qt.Key.Key_Space)
        return card.isChecked()

    await until(chosen, "its card")
    QTest.keyClicks(launch.form.prompt, "[wait]")
    press(launch.form.start, Qt.Key.Key_Space)
    await until(lambda: set(desk.store.sessions) - before, "the second one", LONG)
    (two,) = set(desk.store.sessions) - before
    await until(lambda: desk.panels.get(two) and status(desk, two) == "running", "at work", LONG)
    return two


async def answered_and_read(desk: Desktop, one: str) -> None:
    panel = desk.panels.get(one)
    assert panel is not None
    desk.window.panels.activate(one)
    await until(lambda: panel.approvals.ready, "the question in its panel", LONG)
    click(panel.approvals.option_buttons()[0])
    await until(lambda: not desk.store.approvals, "answered", LONG)
    await until(lambda: status(desk, one) == "waiting", "the end of its turn", LONG)

    # A tool's output opens by a press on its head, and closes by Enter.
    view = panel.pane.view
    await until(lambda: row_of(panel, "tool_call") >= 0, "the tool", LONG)
    row = row_of(panel, "tool_call")
    view.select_row(row)
    was = view.is_expanded(row)
    layout = view.layout_of(row)
    head = next(s for s in layout.segments if s.action == "toggle")
    click(view.viewport(), QPoint(head.x + 12, view._rows.heights.top(row) - view.verticalOffset() + head.y + 6))
    assert view.is_expanded(row) is not was
    press(view, Qt.Key.Key_Return)
    assert view.is_expanded(row) is was

    # The menu of a message: copied, and back to what was asked.
    async def from_menu(entry: str) -> None:
        spot = view.visualRect(panel.model.index(row, 0)).center()
        port = view.viewport()
        QApplication.sendEvent(
            port,
            QContextMenuEvent(QContextMenuEvent.Reason.Mouse, spot, port.mapToGlobal(spot), Qt.KeyboardModifier(0)),
        )
        await choose(await opened_menu(), entry)

    QGuiApplication.clipboard().clear()
    await from_menu("Copy message")
    assert "+" in QGuiApplication.clipboard().text().splitlines()[0], "who, and when, with its zone"
    await from_menu("To the end")
    assert view.following

    # Found by mouse: the panel's own menu, the arrows of the bar, its cross.
    bar = panel.pane.find_bar
    more = panel.header.findChild(QToolButton, "menu")
    assert isinstance(more, QToolButton)
    await choose(await open_menu_of(more), "Find")
    await until(bar.isVisible)
    QTest.keyClicks(bar._input, "permission")
    await until(lambda: bar.hits > 0, "hits")
    click(bar._down)
    await until(lambda: " of " in bar.count_text(), "where it is")
    assert "permission" in view.selected_text().lower()
    click(bar._up)
    click(bar._close)
    assert bar.isHidden()


async def steered(desk: Desktop, two: str) -> None:
    panel = desk.panels.get(two)
    assert panel is not None
    desk.window.panels.activate(two)
    header, composer = panel.header, panel.composer
    menu = await open_menu_of(header.pause_button)
    await choose_action(menu, menu.actions()[0])
    await until(lambda: status(desk, two) == "paused", "paused", LONG)
    await until(header.resume_button.isVisible)
    click(header.resume_button)
    await until(lambda: status(desk, two) == "running", "resumed", LONG)
    if not composer.isVisible():
        click(header.input_button)
    click(header.input_button)
    assert composer.isHidden()
    click(header.input_button)
    assert composer.isVisible()
    click(composer.edit)
    QTest.keyClicks(composer.edit, "by mouse")
    click(next(b for b in composer.findChildren(QPushButton) if b.text() == "Send"))
    await until(lambda: any(line.startswith("by mouse: ") for line in panel.strip.lines()), "its receipt", LONG)
    await until(lambda: composer.edit.toPlainText() == "", "accepted", LONG)
    composer.edit.setFocus()
    QTest.keyClicks(composer.edit, "by key")
    press(composer.edit, Qt.Key.Key_Return)
    await until(lambda: any(line.startswith("by key: ") for line in panel.strip.lines()), "its receipt", LONG)
    line = next(line for line in panel.strip._lines.values() if line.text.text() == "by mouse")
    await until(line.button.isEnabled)
    click(line.button)
    await until(lambda: "by mouse: withdrawn" in panel.strip.lines(), "taken back", LONG)
    assert asked_of(panel) >= 0


def turn_to(shown: SettingsDialog, title: str) -> None:
    item = next(i for r in range(shown.list.count()) if (i := shown.list.item(r)).text() == title)
    click(shown.list.viewport(), shown.list.visualItemRect(item).center())


async def settings_and_help(desk: Desktop, house: Served) -> None:
    window = desk.window
    await in_front(window)
    click(window.header.connection)
    shown = await dialog(SettingsDialog, window)
    assert shown.current.key == "connections"
    turn_to(shown, "Appearance")
    page = shown.page(AppearancePage)
    assert shown.current is page
    for name, dark in (("dark", True), ("light", False)):
        radio = page.schemes[name]
        click(radio, QPoint(10, radio.height() // 2))
        await until(lambda d=dark: theme.current().dark is d, name)  # type: ignore[misc]
    await profile_and_period(desk, house, shown)
    close = shown.findChild(QDialogButtonBox)
    assert isinstance(close, QDialogButtonBox)
    click(close.button(QDialogButtonBox.StandardButton.Close))
    await until(lambda: not dialogs(window))
    await in_front(window)
    window.roster.tree.setFocus()
    keys(desk, Qt.Key.Key_Comma, CTRL)
    shown = await dialog(SettingsDialog, window)
    first = shown.current
    press(shown.list, Qt.Key.Key_Down)
    assert shown.current is not first
    press(shown, Qt.Key.Key_Escape)
    await until(lambda: not dialogs(window))
    await in_front(window)
    window.roster.tree.setFocus()
    keys(desk, Qt.Key.Key_Question)
    shown_keys = await dialog(KeysDialog, window)
    press(shown_keys, Qt.Key.Key_Escape)
    await until(lambda: not dialogs(window))
    await by_menu(window, "help.keys")
    (await dialog(KeysDialog, window)).close()
    await until(lambda: not dialogs(window))


async def profile_and_period(desk: Desktop, house: Served, shown: SettingsDialog) -> None:
    """What the control plane keeps: a launch profile by mouse, changed by keyboard; then how long messages stay."""
    turn_to(shown, "Launch profiles")
    page = shown.page(ProfilesPage)
    await until(lambda: page.list.count() > 1 and page.list.currentItem() is not None, "the profiles", LONG)
    click(page.add)
    form = await dialog(ProfileForm, desk.window)
    click(form.name)
    QTest.keyClicks(form.name, "mine")
    click(form.command)
    QTest.keyClicks(form.command, "my-agent --acp")
    click(form.save)
    await until(lambda: any(p["name"] == "mine" for p in profiles(house)), "it on record", LONG)

    def mine() -> int:
        rows = [row for row in range(page.list.count()) if page.list.item(row).text().startswith("mine ")]
        return rows[0] if rows else -1

    await until(lambda: mine() >= 0, "it in the list", LONG)
    page.list.setCurrentRow(mine())
    press(page.edit, Qt.Key.Key_Space)
    form = await dialog(ProfileForm, desk.window)
    form.command.selectAll()
    QTest.keyClicks(form.command, "my-agent --quiet")
    press(form.save, Qt.Key.Key_Space)
    await until(lambda: ["my-agent", "--quiet"] in [p["command"] for p in profiles(house)], "the change", LONG)
    demo = next(row for row in range(page.list.count()) if "(demo)" in page.list.item(row).text())
    click(page.list.viewport(), page.list.visualItemRect(page.list.item(demo)).center())
    await until(lambda: not page.edit.isEnabled())
    assert "demo" in page.edit.toolTip(), "what cannot be changed says so"

    turn_to(shown, "Retention")
    period = shown.page(RetentionPage)
    await until(lambda: period.days.value() > 0 and period.default.isEnabled(), "what is chosen", LONG)
    click(period.default, QPoint(10, period.default.height() // 2))
    before = period.days.value()
    press(period.days, Qt.Key.Key_Up)
    assert period.days.value() == before + 1
    click(period.apply)
    await until(lambda: period.state.text().startswith("Kept so"), "the answer", LONG)


def profiles(house: Served) -> list[dict[str, Any]]:
    answer = house.admin.get("/agents/profiles")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"] if isinstance(answer.json(), dict) else answer.json())


async def ended(desk: Desktop, one: str, two: str) -> None:
    panel = desk.panels.get(two)
    assert panel is not None
    desk.window.panels.activate(two)
    click(panel.header.kill_button)
    asked = await dialog(ReasonDialog, panel)
    assert not asked.act.isEnabled(), "not without a reason"
    QTest.keyClicks(asked.reason, "it only waits")
    click(asked.act)
    await until(lambda: status(desk, two) == "killed", "killed", LONG)
    await in_front(desk.window)
    desk.window.panels.activate(one)
    keys(desk, Qt.Key.Key_T, CTRL | SHIFT)
    gently = await dialog(ReasonDialog, desk.window)
    press(gently.act, Qt.Key.Key_Space)
    await until(lambda: desk.store.sessions[one].status.final, "terminated", LONG)
