"""Notifications in the real window: chosen in the settings, told of what comes, and led to by a click."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import QTime

from mission_control_desktop.client import windows
from mission_control_desktop.client.fleet import EVERYWHERE
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.ui import words
from mission_control_desktop.ui.notifications.rules import NewsCause, Note, Rules
from mission_control_desktop.ui.notifications.teller import AWAY_AFTER, NOTIFICATIONS
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.notifications import NotificationsPage
from mission_control_desktop.ui.tray.entry import TrayEntry
from mission_control_desktop.ui.tray.telling import TrayTelling
from support.clocks import StoppedClock
from support.rig import Rig, dialog, until
from support.scripted_plane import ScriptedPlane, session


def test_choices_take_effect_at_once_and_are_kept(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        window = desk.window
        window.commands["mission.settings"].trigger()
        shown = await dialog(SettingsDialog, window)
        shown.show_page("notifications")
        page = shown.page(NotificationsPage)
        assert set(page.causes) == set(NewsCause)
        assert not page.begin.isEnabled()
        page.causes[NewsCause.STALLED].click()
        page.quiet.click()
        page.begin.setTime(QTime(21, 30))
        page.content.click()
        wanted = Rules(
            causes=frozenset(NewsCause) - {NewsCause.STALLED}, quiet=True, quiet_from=21 * 60 + 30, content=True
        )
        assert window.telling.teller.rules == wanted
        assert Rules.of(window.state.get(NOTIFICATIONS)) == wanted
        page.on.click()
        assert not page.quiet.isEnabled()
        assert "does not answer" in page.how.text(), "where nothing can be shown, it is said"
        await desk.close()

    rig.run(scenario)


def test_what_comes_is_told_and_a_click_leads_there(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"), session("b"))
        desk = await rig.open(plane.open)
        window, told = desk.window, list[Note]()
        await until(lambda: len(desk.store.sessions) == 2)
        teller = window.telling.teller
        clock = StoppedClock()
        teller._now = clock
        teller.note_ready.connect(told.append)
        teller.look()
        plane.tell(session("b", status="failed", completed_at=words.utc_now(), error="out of memory"))
        await until(lambda: window.attention.items(), "the failure")
        clock.passes(1)
        teller.look()
        assert told == [], "a moment for more of its kind"
        clock.passes(3)
        teller.look()
        (note,) = told
        assert (note.cause, note.session_id) == (NewsCause.FAILED, "internal:b")
        assert "memory" not in note.body
        windows.ask_to_front(rig.folder, "internal:b")
        await until(lambda: window.panels.current_id == "internal:b", "the session's panel")
        await desk.close()

    rig.run(scenario)


def test_the_tray_tells_where_the_desktop_has_no_service(qt: object) -> None:
    store = SessionStore()
    entry = TrayEntry(store)
    telling = TrayTelling(store, entry)
    clock, told, wanted = StoppedClock(), list[Note](), list[str]()
    telling.teller._now = clock
    telling.teller.note_ready.connect(told.append)
    telling.open_wanted.connect(wanted.append)
    telling.note_link("this computer", connected=True)
    target = KillTarget(session_id="internal:a", provider="internal", state=TargetState.UNREACHABLE, at=clock())
    store.put([KillAll(kill_id="k", state=KillState.DONE, scope="all", started_at=clock(), targets=(target,))])
    for _ in range(3):
        clock.passes(2)
        telling.teller.look()
    assert [note.title for note in told] == ["Kill All has ended"]
    assert "0 of 1 agent is verified dead" in told[0].body
    # One order to several control planes: each tells its own end, and the window's board of both tells no third one.
    order = KillAll(kill_id="l", state=KillState.DONE, scope="all", started_at=clock(), targets=(target,))
    board = msgspec.structs.replace(order, kill_id="all-l", scope=EVERYWHERE, targets=(target, target))
    store.put([order, msgspec.structs.replace(order, kill_id="team/l"), board])
    for _ in range(3):
        clock.passes(60)
        telling.teller.look()
    assert "2" in told.pop().title
    assert len(told) == 1
    telling.note_link("this computer", connected=False)
    clock.passes(AWAY_AFTER.total_seconds() - 1)
    telling.teller.look()
    telling.note_link("this computer", connected=True)
    clock.passes(60)
    telling.teller.look()
    assert len(told) == 1, "a short absence is nobody's business"
    telling.note_link("this computer", connected=False)
    for _ in range(2):
        clock.passes(AWAY_AFTER.total_seconds() + 3)
        telling.teller.look()
    assert told[-1].cause is NewsCause.AWAY
    entry.icon.messageClicked.emit()
    assert wanted == [""]
    telling.teller.stop()
    entry.close()
