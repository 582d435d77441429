"""The keys stay in their panel: whatever ends, goes out of use or is answered late, no word reaches another session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.panel.strip import KEPT_AFTER
from mission_control_desktop.ui.panel.wording import Possible
from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, question, session

A, B = "internal:a", "internal:b"
RUNS = session("a", status="running")
NO_INPUT = msgspec.structs.replace(RUNS, capabilities=msgspec.structs.replace(RUNS.capabilities, inject=()))
PAUSED = msgspec.structs.replace(RUNS, status=SessionStatus.PAUSED)
ENDED = session("a", status="completed", completed_at=datetime.now(UTC))


async def beside(rig: Rig, plane: ScriptedPlane) -> tuple[Desktop, OrchestratorPanel, OrchestratorPanel, list[Any]]:
    """Two panels side by side, the second with a question; the keys are in the first. What was answered."""
    plane.tell(RUNS, session("b", status="running"), question(session_id=B))
    desk = await rig.open(plane.open)
    window = desk.window
    await until(lambda: desk.panels.get(A) is not None and desk.panels.get(B) is not None, "both panels")
    window.activateWindow()
    await until(window.isActiveWindow)
    one, two = desk.panels.get(A), desk.panels.get(B)
    assert one is not None
    assert two is not None
    await until(lambda: two.approvals.option_buttons(), "the question")
    answered: list[Any] = []
    two.approvals.answer_wanted.connect(lambda *what: answered.append(what))
    window.panels.activate(A)
    await until(lambda: window.panels.current_id == A)
    return desk, one, two, answered


def type_blind(words: str) -> None:
    """Key by key, each to whatever has the focus then."""
    for one in words:
        at: QWidget | None = QApplication.focusWidget()
        if at is not None:
            QTest.keyClicks(at, one)


def stays(panel: OrchestratorPanel, desk: Desktop) -> None:
    here: QWidget | None = QApplication.focusWidget()
    assert here is not None
    assert panel.isAncestorOf(here), here
    assert desk.window.panels.current_id == panel.session_id


@pytest.mark.parametrize("how", ["ended", "without input", "watching"])
def test_who_types_when_it_ends_types_into_nothing(rig: Rig, how: str) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk, one, two, answered = await beside(rig, plane)
        edit = one.composer.edit
        one.focus_input()
        type_blind("give it")
        assert edit.toPlainText() == "give it"
        if how == "watching":
            one.set_may_act(False)
        else:
            plane.tell(ENDED if how == "ended" else NO_INPUT)
        await until(edit.isReadOnly, "its end")
        assert edit.toolTip() == one.composer.words() != ""
        type_blind(" another 1 minute")
        for key in (Qt.Key.Key_Backspace, Qt.Key.Key_Up, Qt.Key.Key_Return):
            press(edit, key)
        press(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        assert answered == []
        assert edit.toPlainText() == "give it", "to be copied"
        assert edit.hasFocus()
        stays(one, desk)
        assert not [call for call in plane.calls if call[0] == "inject"]

        # It may be written again: on with it, in the same place.
        if how == "watching":
            one.set_may_act(True)
        else:
            plane.tell(RUNS)
        await until(lambda: not edit.isReadOnly(), "it may be written again")
        type_blind(" a 2")
        assert edit.toPlainText() == "give it a 2"

        # Elsewhere with the keys it is out of use like any other.
        one.set_session(ENDED)
        assert edit.isEnabled()
        press(edit, Qt.Key.Key_Escape)
        assert one.pane.view.hasFocus()
        assert not edit.isEnabled()
        assert two.composer.edit.toPlainText() == ""
        await desk.close()

    rig.run(scenario)


PARTS: dict[str, Callable[[OrchestratorPanel], QWidget]] = {
    "send": lambda panel: panel.composer.send_button,
    "way": lambda panel: panel.composer.way,
    "pause first": lambda panel: panel.composer.pause_first,
    "pause": lambda panel: panel.header.pause_button,
    "terminate": lambda panel: panel.header.terminate_button,
    "kill": lambda panel: panel.header.kill_button,
    "withdraw": lambda panel: panel.strip._lines["i1"].button,
    "edit": lambda panel: panel.strip._lines["i1"].edit,
}


def waiting(state: ReceiptState = ReceiptState.QUEUED) -> Receipt:
    place = 1 if state is ReceiptState.QUEUED else None
    return Receipt(injection_id="i1", session_id=A, state=state, position=place, at=datetime.now(UTC))


def test_a_control_that_goes_out_of_use_hands_the_keys_to_its_own_panel(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk, one, _, answered = await beside(rig, plane)
        one.strip.note_text("i1", "words that wait")
        one.strip.take(waiting())
        one.strip.set_may_edit(Possible(True, ""))
        one.focus_input()
        type_blind("x")

        def as_it_was() -> None:
            one.set_may_act(True)
            one.set_session(RUNS)
            one.strip.take(waiting())
            one.strip.set_may_edit(Possible(True, ""))

        def ends() -> None:
            one.set_session(ENDED)
            one.strip.take(waiting(ReceiptState.WITHDRAWN))

        def nothing_came_of_it(what: str) -> None:
            stays(one, desk)
            type_blind(" 1 2")
            stays(one, desk)
            assert answered == [], what
            assert one.composer.edit.toPlainText() == "x", what
            assert one.kill_dialog is None, what
            assert one.header.input_button.isChecked(), what

        for happens in (ends, lambda: one.set_may_act(False)):
            for name, part in PARTS.items():
                as_it_was()
                part(one).setFocus()
                assert part(one).hasFocus(), name
                happens()
                nothing_came_of_it(name)
        as_it_was()
        one.header.pause_button.setFocus()
        one.set_session(PAUSED)
        nothing_came_of_it("resume stands where pause was")

        # A line goes as a whole, with the keys in it.
        as_it_was()
        one.strip.take(waiting(ReceiptState.WITHDRAWN))
        one.strip._lines["i1"].setFocus()
        one.strip._known["i1"].since -= KEPT_AFTER * 2
        one.strip.tick()
        assert "i1" not in one.strip._lines
        assert one.header.hasFocus()
        nothing_came_of_it("a line")
        assert not [call for call in plane.calls if call[0] in ("inject", "kill", "terminate", "pause", "withdraw")]
        await desk.close()

    rig.run(scenario)


def test_tab_still_leads_on(rig: Rig) -> None:
    async def scenario() -> None:
        desk, one, two, _ = await beside(rig, ScriptedPlane())
        window: QWidget = desk.window
        one.header.kill_button.setFocus()
        one.set_session(ENDED)
        assert one.header.hasFocus()
        assert one.header.accessibleName() == "session a, Completed"
        press(one.header, Qt.Key.Key_Tab)
        assert one.header.input_button.hasFocus()
        seen: set[QWidget] = set()
        at: QWidget = one.header.input_button
        while not two.isAncestorOf(at):
            assert at not in seen, at
            seen.add(at)
            press(at, Qt.Key.Key_Tab)
            at = QApplication.focusWidget() or window
        await desk.close()

    rig.run(scenario)


def test_a_late_answer_leaves_the_cursor_where_somebody_writes(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk, one, two, _ = await beside(rig, plane)
        window = desk.window
        one.strip.note_text("i1", "old words")
        one.strip.take(waiting())

        # Taken back into the input of one panel, while somebody writes in another.
        window.panels.activate(B)
        two.focus_input()
        type_blind("delete the ")
        one.presenter.taken_back.emit("i1")
        assert one.composer.edit.toPlainText() == "old words"
        type_blind("branch")
        assert two.composer.edit.toPlainText() == "delete the branch"
        assert one.composer.edit.toPlainText() == "old words"
        stays(two, desk)

        # Not saved: the same.
        one.strip.set_may_edit(Possible(True, ""))
        line = one.strip._lines["i1"]
        line.begin()
        QTest.keyClicks(line.editor, "new words")
        press(line.editor, Qt.Key.Key_Return)
        assert line.editor.isReadOnly()
        two.focus_input()
        await until(lambda: not line.editor.isReadOnly(), "the answer")
        one.presenter.not_edited.emit("i1", "the control plane does not answer")
        assert two.composer.edit.hasFocus()
        assert line.editor.toPlainText() == "new words"
        line.leave()

        # The window is not the active one: it gives the keys back to whom they were taken from.
        two.focus_input()
        other = QWidget()
        other.show()
        other.activateWindow()
        await until(other.isActiveWindow)
        one.presenter.taken_back.emit("i1")
        assert window.focusWidget() is two.composer.edit
        other.close()
        window.activateWindow()
        await until(window.isActiveWindow)
        assert two.composer.edit.hasFocus()

        # Still in the panel where it was asked for: the cursor is with the words.
        one.focus_transcript()
        one.composer.edit.clear()
        one.presenter.taken_back.emit("i1")
        assert one.composer.edit.hasFocus()
        # But not away from what is written there.
        one.pane.open_find()
        here = QApplication.focusWidget()
        one.presenter.taken_back.emit("i1")
        assert QApplication.focusWidget() is here
        await desk.close()

    rig.run(scenario)
