"""What a person chooses in the settings, by mouse and by keyboard, and what comes of it, in the real window on a real
control plane."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTime
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QTimeEdit

from mission_control_desktop.ui import words
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.commands import COMMANDS
from mission_control_desktop.ui.launch.profile_form import ProfileForm
from mission_control_desktop.ui.notifications.rules import NewsCause, Note
from mission_control_desktop.ui.settings.dialog import P, SettingsDialog
from mission_control_desktop.ui.settings.keys import KeysPage
from mission_control_desktop.ui.settings.notifications import NotificationsPage
from mission_control_desktop.ui.settings.profiles import ProfilesPage
from mission_control_desktop.ui.settings.retention import RetentionPage
from support.clocks import StoppedClock
from support.hands import CTRL, by_menu, click, double_click, in_front, keys
from support.rig import Rig, dialog, dialogs, press, until
from support.served import Served

LONG = 60.0


async def by_mouse(desk: Desktop, kind: type[P]) -> P:
    """The settings by the menu bar, and a page of theirs by a click."""
    await in_front(desk.window)
    await by_menu(desk.window, "mission.settings")
    shown = await dialog(SettingsDialog, desk.window)
    await in_front(shown)
    row = next(r for r in range(shown.list.count()) if shown.list.item(r).text() == kind.title)
    click(shown.list.viewport(), shown.list.visualItemRect(shown.list.item(row)).center())
    page = shown.page(kind)
    assert shown.current is page
    return page


async def by_keys(desk: Desktop, kind: type[P]) -> P:
    """The settings by their key, and a page by the arrows; Tab leads into it."""
    await in_front(desk.window)
    desk.window.roster.tree.setFocus()
    keys(desk, Qt.Key.Key_Comma, CTRL)
    shown = await dialog(SettingsDialog, desk.window)
    await in_front(shown)
    await until(shown.list.hasFocus, "that one begins with the pages")
    press(shown.list, Qt.Key.Key_Home)
    page = shown.page(kind)
    for _ in range(shown.list.count()):
        if shown.current is page:
            break
        press(shown.list, Qt.Key.Key_Down)
    assert shown.current is page
    return page


async def tab_to(wanted: Any) -> None:
    """By Tab alone."""
    for _ in range(80):
        if wanted.hasFocus():
            return
        press(QApplication.focusWidget() or wanted.window(), Qt.Key.Key_Tab)
    raise AssertionError(f"Tab does not lead to {wanted.objectName() or wanted}")


async def leave(desk: Desktop) -> None:
    (shown,) = [d for d in dialogs(desk.window) if isinstance(d, SettingsDialog)]
    press(QApplication.focusWidget() or shown, Qt.Key.Key_Escape)
    await until(lambda: not dialogs(desk.window), "that the settings close")


def tick(box: QCheckBox) -> None:
    """By its mark, where a mouse presses."""
    click(box, QPoint(10, box.height() // 2))


def test_what_is_chosen_in_the_settings_is_so(rig: Rig, house: Served) -> None:
    one = house.spawn(title="One")
    house.until(one, status="waiting")

    async def scenario() -> None:
        desk = await rig.open()
        await until(lambda: one in desk.store.sessions, "the session", LONG)
        await in_front(desk.window)
        await keys_by_hand(desk, one)
        await notifications_by_hand(desk, house)
        await profiles_by_hand(desk, house)
        await retention_by_hand(desk, house)
        await desk.close()

    async def next_window() -> None:
        desk = await rig.open()
        assert desk.window.commands["view.roster"].shortcut().toString() == "Ctrl+J"
        rules = desk.window.telling.teller.rules
        assert (rules.wants(NewsCause.APPROVAL), rules.quiet) == (True, False)
        await desk.close()

    rig.run(scenario, seconds=240)
    rig.run(next_window)


async def keys_by_hand(desk: Desktop, one: str) -> None:
    """A key that belongs to another command is not taken in silence; then it does its work on a session."""
    window, keymap = desk.window, desk.window.commands.keymap
    page = await by_keys(desk, KeysPage)
    await tab_to(page.search)
    QTest.keyClicks(page.search, "pause or resume")
    await tab_to(page.table)
    rows = [r for r in range(page.table.rowCount()) if not page.table.isRowHidden(r)]
    assert "session.pause_resume" in {COMMANDS[r].id for r in rows}
    press(page.table, Qt.Key.Key_Home)
    for _ in rows:
        if page._chosen() == "session.pause_resume":
            break
        press(page.table, Qt.Key.Key_Down)
    assert page._chosen() == "session.pause_resume"
    await tab_to(page.change)
    press(page.change, Qt.Key.Key_Space)
    press(page.catcher, Qt.Key.Key_B, CTRL)
    assert "is the key of" in page.said.text()
    assert keymap.owner("Ctrl+B") == "view.roster", "nothing is taken in silence"
    await until(page.no.hasFocus, "that Enter keeps it")
    press(page.no, Qt.Key.Key_Space)
    assert keymap.is_default("session.pause_resume")
    await tab_to(page.change)
    press(page.change, Qt.Key.Key_Space)
    press(page.catcher, Qt.Key.Key_B, CTRL)
    press(page.no, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
    assert page.yes.hasFocus()
    press(page.yes, Qt.Key.Key_Space)
    assert keymap.keys("session.pause_resume") == ("Ctrl+B",)
    assert keymap.keys("view.roster") == ()
    await leave(desk)

    await in_front(window)
    tree = window.roster.tree
    tree.setFocus()
    assert tree.select(one)
    keys(desk, Qt.Key.Key_B, CTRL)
    await until(lambda: desk.store.sessions[one].status.value == "paused", "paused by the new key", LONG)
    assert window.roster.isVisible(), "the key does one thing"
    keys(desk, Qt.Key.Key_P, CTRL)
    keys(desk, Qt.Key.Key_B, CTRL)
    await until(lambda: desk.store.sessions[one].status.value == "waiting", "resumed by it", LONG)

    # By mouse: a double click on the command, and the key of another one, which is let go.
    page = await by_mouse(desk, KeysPage)
    row = [command.id for command in COMMANDS].index("view.roster")
    item: Any = page.table.item(row, 0)
    page.table.scrollToItem(item)
    double_click(page.table.viewport(), page.table.visualItemRect(item).center())
    await until(page.catcher.isVisible)
    press(page.catcher, Qt.Key.Key_J, CTRL)
    assert "is the key of" in page.said.text()
    click(page.no)
    assert keymap.owner("Ctrl+J") != "view.roster"
    click(page.change)
    press(page.catcher, Qt.Key.Key_J, CTRL)
    click(page.yes)
    assert keymap.keys("view.roster") == ("Ctrl+J",)
    await leave(desk)
    await in_front(window)
    keys(desk, Qt.Key.Key_J, CTRL)
    assert window.roster.isHidden()
    keys(desk, Qt.Key.Key_J, CTRL)
    assert window.roster.isVisible()


async def notifications_by_hand(desk: Desktop, house: Served) -> None:
    window, told, clock = desk.window, list[Note](), StoppedClock()
    teller = window.telling.teller
    teller._now = clock
    teller.note_ready.connect(told.append)

    async def asks(title: str) -> None:
        """An agent begins to wait for an answer, and all that is to be told of it has been told."""
        spawned = house.spawn("[permission]", title=title)
        await until(lambda: any(a.session_id == spawned for a in desk.store.approvals.values()), "its question", LONG)
        await until(lambda: any(n.session_id == spawned for n in window.attention.items()), "that it is known", LONG)
        assert window.panels.current_id != spawned, "nobody looks at it"
        for _ in range(3):
            clock.passes(40)
            teller.look()

    def approvals() -> list[Note]:
        return [note for note in told if note.cause is NewsCause.APPROVAL]

    teller.look()
    await asks("Parser")
    assert [note.body.splitlines()[0] for note in approvals()] == ["Parser"], "as delivered it is told"

    # Switched off, by mouse.
    page = await by_mouse(desk, NotificationsPage)
    tick(page.causes[NewsCause.APPROVAL])
    await leave(desk)
    told.clear()
    await asks("Lexer")
    assert approvals() == [], "what is switched off is not told"
    assert any(item.name == "Lexer" for item in window.attention.items()), "the window shows it all the same"

    # On again, with quiet hours around now, by keyboard.
    page = await by_keys(desk, NotificationsPage)
    box = page.causes[NewsCause.APPROVAL]
    await tab_to(box)
    press(box, Qt.Key.Key_Space)
    await tab_to(page.quiet)
    press(page.quiet, Qt.Key.Key_Space)
    now = datetime.now().astimezone()
    before, after = (now - timedelta(hours=2)).time(), (now + timedelta(hours=2)).time()
    for edit, hour in ((page.begin, before.hour), (page.end, after.hour)):
        await tab_to(edit)
        write_time(edit, hour)
    assert teller.rules.is_quiet(now)
    await leave(desk)
    told.clear()
    # The clock of the teller has gone on: it is set back into the hours that are quiet.
    clock.now = words.utc_now()
    spawned = house.spawn("[permission]", title="Gateway")
    await until(lambda: any(n.session_id == spawned for n in window.attention.items()), "its question", LONG)
    for _ in range(3):
        clock.passes(40)
        teller.look()
    assert told == [], "quiet hours hold"
    clock.passes(4 * 3600)
    teller.look()
    assert [note.body.splitlines()[0] for note in approvals()] == ["Gateway"], "what is still open is told at their end"
    page = await by_mouse(desk, NotificationsPage)
    tick(page.quiet)
    assert not page.begin.isEnabled()
    await leave(desk)


def write_time(edit: QTimeEdit, hour: int) -> None:
    edit.setSelectedSection(QTimeEdit.Section.HourSection)
    QTest.keyClicks(edit, f"{hour:02}")
    edit.setSelectedSection(QTimeEdit.Section.MinuteSection)
    QTest.keyClicks(edit, "00")
    assert edit.time() == QTime(hour, 0)


def profiles(house: Served) -> dict[str, list[str]]:
    answer = house.admin.get("/agents/profiles")
    assert answer.status_code == 200, answer.text
    found = answer.json()["items"] if isinstance(answer.json(), dict) else answer.json()
    return {one["name"]: list(one["command"]) for one in found}


async def profiles_by_hand(desk: Desktop, house: Served) -> None:
    """Made by keyboard, changed by a double click, removed by mouse."""
    page = await by_keys(desk, ProfilesPage)
    await until(lambda: page.list.count() > 1, "the profiles", LONG)
    await tab_to(page.add)
    press(page.add, Qt.Key.Key_Space)
    form = await dialog(ProfileForm, desk.window)
    await in_front(form)
    await tab_to(form.name)
    QTest.keyClicks(form.name, "nightly")
    await tab_to(form.command)
    QTest.keyClicks(form.command, "my-agent --acp")
    press(form.command, Qt.Key.Key_Return)
    await until(lambda: profiles(house).get("nightly") == ["my-agent", "--acp"], "it on record", LONG)

    def row() -> int:
        return next((r for r in range(page.list.count()) if page.list.item(r).text().startswith("nightly ")), -1)

    await until(lambda: row() >= 0 and not form_open(desk), "it in the list", LONG)
    page.list.scrollToItem(page.list.item(row()))
    double_click(page.list.viewport(), page.list.visualItemRect(page.list.item(row())).center())
    form = await dialog(ProfileForm, desk.window)
    click(form.command)
    form.command.selectAll()
    QTest.keyClicks(form.command, "my-agent --quiet")
    click(form.save)
    await until(lambda: profiles(house).get("nightly") == ["my-agent", "--quiet"], "the change", LONG)
    await until(lambda: row() >= 0 and not form_open(desk), "the list again", LONG)
    click(page.list.viewport(), page.list.visualItemRect(page.list.item(row())).center())
    await until(page.edit.isEnabled)
    click(page.edit)
    form = await dialog(ProfileForm, desk.window)
    click(form.remove)
    await until(lambda: "nightly" not in profiles(house), "that it is gone", LONG)
    await until(lambda: not form_open(desk) and row() < 0, "the list without it", LONG)
    await leave(desk)


def form_open(desk: Desktop) -> bool:
    return any(isinstance(d, ProfileForm) for d in dialogs(desk.window))


def kept_for(house: Served) -> int | None:
    answer = house.admin.get("/api/workspace")
    assert answer.status_code == 200, answer.text
    days: int | None = answer.json().get("messageRetentionDays")
    return days


async def retention_by_hand(desk: Desktop, house: Served) -> None:
    """A period by mouse, another by keyboard, and the default again."""
    page = await by_mouse(desk, RetentionPage)
    await until(lambda: page.last.text(), "what is chosen", LONG)
    assert not page.apply.isEnabled(), "nothing is different yet"
    tick(page.default)
    days = page.days.value()
    click(page.days, QPoint(page.days.width() - 8, 6))
    assert page.days.value() == days + 1
    click(page.apply)
    await until(lambda: kept_for(house) == days + 1, "on record", LONG)
    await until(lambda: page.state.text().startswith("Kept so"), "the answer", LONG)
    await leave(desk)
    page = await by_keys(desk, RetentionPage)
    await until(lambda: page.days.value() == days + 1 and page.days.isEnabled(), "what is chosen", LONG)
    await tab_to(page.days)
    page.days.selectAll()
    QTest.keyClicks(page.days, "7")
    press(page.days, Qt.Key.Key_Tab)
    assert page.warning.text(), "what is older goes"
    await tab_to(page.apply)
    press(page.apply, Qt.Key.Key_Space)
    await until(lambda: kept_for(house) == 7, "on record", LONG)
    await until(lambda: page.default.isEnabled() and page.state.text().startswith("Kept so"), "the answer", LONG)
    await tab_to(page.default)
    press(page.default, Qt.Key.Key_Space)
    await tab_to(page.apply)
    press(page.apply, Qt.Key.Key_Space)
    await until(lambda: kept_for(house) is None, "the default again", LONG)
    await leave(desk)
