"""The keyboard alone: where the focus is after each step, and that it goes on as the eye does."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, session

CTRL = Qt.KeyboardModifier.ControlModifier


def test_the_first_run_begins_at_a_card_and_goes_on_as_one_reads(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        window = desk.window
        window.activateWindow()
        await until(lambda: window.launch.profiles and window.focusWidget(), "the cards")
        await until(lambda: window.focusWidget().objectName().startswith("card."), "the focus on a card")
        walked: list[str] = []
        while len(walked) < 20 and walked[-1:] != ["header.connection"]:
            focus = window.focusWidget()
            assert isinstance(focus, QWidget)
            walked.append(focus.objectName())
            press(focus, Qt.Key.Key_Tab)
        places = [walked.index(name) for name in ("add_own", "start", "header.connection")]
        assert places == sorted(places), walked
        assert window.focusWidget().objectName() == "header.desk", "the desks stand beside the connection"
        await desk.close()

    rig.run(scenario)


def test_when_the_last_panel_is_closed_the_focus_is_on_what_leads_on(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        window = desk.window
        window.activateWindow()
        window.open_session("internal:a")
        panel = await until(lambda: desk.panels.get("internal:a"), "the panel")
        panel.focus_transcript()
        await until(panel.pane.view.hasFocus)
        press(panel.pane.view, Qt.Key.Key_W, CTRL)
        await until(lambda: window.pages.currentWidget() is window.empty)
        await until(window.empty.open_all.hasFocus, "the focus on what opens it again")
        press(window.empty.open_all, Qt.Key.Key_Space)
        await until(lambda: window.panels.open_ids() == ["internal:a"])
        await desk.close()

    rig.run(scenario)
