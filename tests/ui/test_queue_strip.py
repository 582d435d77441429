"""Messages that wait, in their panel: changed in their place and put into another order, by keyboard and by mouse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication

from mission_control_desktop.domain.errors import Conflict
from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Delivery, Evidence, SessionStatus
from mission_control_desktop.ui.panel.queue_line import CHANGED, HANDED_OVER, QueueLine
from mission_control_desktop.ui.panel.queue_moves import MOST
from mission_control_desktop.ui.panel.strip import MOVES_NEXT
from support.rig import drag, press, second_click, until
from support.stage import PanelStage, Run

SESSION = "internal:s"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALT = Qt.KeyboardModifier.AltModifier
OURS = Capabilities(inject=(Delivery.QUEUE,), edit_queue=True, terminate=True, kill=True)
THEIRS = Capabilities(inject=(Delivery.QUEUE,), reasons={"editQueue": "The gateway keeps the queue itself."})


class Stage(PanelStage):
    """A panel in which three messages wait."""

    def __init__(self, qt: Any, capabilities: Capabilities = OURS, **more: Any) -> None:
        session = AgentSession(
            session_id=SESSION,
            provider="internal",
            status=SessionStatus.RUNNING,
            spawned_at=NOW,
            capabilities=capabilities,
            evidence=Evidence(last_event_at=datetime.now(UTC), source="agent"),
        )
        super().__init__(qt, session, **more)
        self.panel.activateWindow()
        for place, words in enumerate(("one", "two", "three"), 1):
            self.says(words, words)
            self.receipt(words, place)
        QApplication.processEvents()

    def says(self, ref: str, words: str) -> None:
        message = AgentMessage(
            message_id=f"m-{ref}",
            session_id=SESSION,
            role=MessageRole.OPERATOR,
            content=words,
            timestamp=NOW,
            seq=1,
            metadata={"kind": "text", "complete": True, "injectionId": ref},
        )
        self.tell(EventType.MESSAGE, message)

    def receipt(self, ref: str, place: int | None, state: ReceiptState = ReceiptState.QUEUED) -> Receipt:
        told = Receipt(injection_id=ref, session_id=SESSION, state=state, position=place, at=datetime.now(UTC))
        self.tell(EventType.RECEIPT, told)
        return told

    def line(self, ref: str) -> QueueLine:
        return self.panel.strip._lines[ref]

    def order(self) -> list[str]:
        """The lines as they stand, from above."""
        lines = sorted(self.panel.strip._lines.items(), key=lambda item: item[1].y())
        return [ref for ref, _ in lines]


@pytest.fixture
def stage(qt: Any) -> Iterator[Stage]:
    made = Stage(qt)
    yield made
    made.highlighter.wait()


def test_words_are_changed_in_their_place(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        line = stage.line("two")
        line.setFocus()
        press(line, Qt.Key.Key_Return)
        assert line.editor.hasFocus()
        assert line.editor.toPlainText() == "two"
        QTest.keyClicks(line.editor, "zwei")
        press(line.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        QTest.keyClicks(line.editor, "drei")
        press(line.editor, Qt.Key.Key_Return)
        call = await stage.call("edit_message")
        assert call.arguments == {"injection_id": "two", "content": "zwei\ndrei", "was": "two"}
        # Not so yet, and shown so.
        assert (line.text.text(), line.state.text()) == ("two", "saving…")
        assert line.hint.text().startswith("Saving…")
        assert line.editor.isReadOnly()
        assert not any(button.isEnabled() for button in line.findChildren(QAbstractButton))
        press(line.editor, Qt.Key.Key_Return)
        press(line.editor, Qt.Key.Key_Escape)
        assert line.editor.isVisible()
        call.answer.set_result(stage.receipt("two", 2))
        await stage.settled()
        assert len(stage.port.named("edit_message")) == 1
        assert (line.text.text(), line.state.text()) == ("zwei drei", "stored → queued #2")
        assert not line.editor.isVisible()
        assert line.hasFocus()

    run(scenario())


def test_esc_leaves_the_words_as_they_were(stage: Stage, run: Run) -> None:
    line = stage.line("two")
    QTest.mouseClick(line.edit, Qt.MouseButton.LeftButton)
    QTest.keyClicks(line.editor, "zwei")
    press(line.editor, Qt.Key.Key_Escape)
    assert line.text.text() == "two"
    assert line.hasFocus()
    press(line, Qt.Key.Key_F2)
    assert line.editor.toPlainText() == "two"
    press(line.editor, Qt.Key.Key_Return)
    assert not line.editor.isVisible()
    press(line, Qt.Key.Key_F2)
    line.editor.clear()
    press(line.editor, Qt.Key.Key_Return)
    assert "Withdraw" in line.hint.text()
    assert stage.port.calls == []
    assert stage.panel.composer.edit.toPlainText() == ""


def test_what_was_not_saved_says_why_and_can_be_saved_again(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        line = stage.line("one")
        line.edit.click()
        QTest.keyClicks(line.editor, "eins")
        press(line.editor, Qt.Key.Key_Return)
        call = await stage.call("edit_message")
        call.answer.set_exception(Conflict("Somebody was quicker."))
        await stage.settled()
        assert line.hint.text() == "Not saved: Somebody was quicker."
        assert line.text.text() == "one"
        assert line.editor.toPlainText() == "eins"
        press(line.editor, Qt.Key.Key_Return)
        call = await stage.call("edit_message", 2)
        call.answer.set_result(stage.receipt("one", 1))
        await stage.settled()
        assert line.text.text() == "eins"

    run(scenario())


def test_what_happens_to_a_message_is_said_while_somebody_writes(stage: Stage, run: Run) -> None:
    line = stage.line("one")
    line.edit.click()
    QTest.keyClicks(line.editor, "eins")
    stage.says("one", "uno")
    assert line.hint.text() == CHANGED
    assert line.editor.toPlainText() == "eins"
    stage.receipt("one", None, ReceiptState.ANSWERED)
    assert line.hint.text() == HANDED_OVER
    press(line.editor, Qt.Key.Key_Return)
    assert stage.port.calls == []
    stage.panel.strip.tick()
    assert stage.line("one") is line
    press(line.editor, Qt.Key.Key_Escape)
    assert stage.panel.composer.edit.toPlainText() == "eins", "nothing that was written is lost"


def test_order_by_keys_and_by_buttons(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        line = stage.line("three")
        line.setFocus()
        press(line, Qt.Key.Key_Down, ALT)
        assert stage.port.calls == [], "there is nothing below"
        press(line, Qt.Key.Key_Up, ALT)
        call = await stage.call("move_message")
        assert call.arguments == {"injection_id": "three", "position": 2}
        assert line.state.text() == "moving…"
        await until(lambda: stage.order() == ["one", "three", "two"], "where it is to be")
        for ref, place in (("three", 2), ("two", 3)):
            told = stage.receipt(ref, place)
            if ref == "three":
                call.answer.set_result(told)
        await stage.settled()
        assert len(stage.port.named("move_message")) == 1
        assert stage.order() == ["one", "three", "two"]
        assert line.hasFocus()
        assert (line.up.isEnabled(), line.down.isEnabled()) == (True, True)
        assert (stage.line("one").up.isEnabled(), stage.line("two").down.isEnabled()) == (False, False)

        QTest.mouseClick(stage.line("one").down, Qt.MouseButton.LeftButton)
        call = await stage.call("move_message", 2)
        assert call.arguments == {"injection_id": "one", "position": 2}
        await until(lambda: stage.order() == ["three", "one", "two"], "where it is to be")
        call.answer.set_exception(Conflict("It is on its way to the agent already."))
        await stage.settled()
        await until(lambda: stage.order() == ["one", "three", "two"], "where it is")
        assert stage.panel.notice.text() == "Not moved: It is on its way to the agent already."

        stage.line("two").up.click()
        call = await stage.call("move_message", 3)
        call.answer.set_result(stage.receipt("two", 3))
        await stage.settled()
        assert "what interrupts goes out before" in stage.panel.notice.text()

    run(scenario())


def test_what_is_pressed_while_a_move_is_on_its_way_is_done_afterwards(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        line, other = stage.line("three"), stage.line("two")
        line.setFocus()
        press(line, Qt.Key.Key_Up, ALT)
        call = await stage.call("move_message")
        press(line, Qt.Key.Key_Up, ALT)
        QTest.mouseClick(other.up, Qt.MouseButton.LeftButton)
        assert line.state.text() == "moving…"
        assert other.state.text() == MOVES_NEXT
        assert not other.button.isEnabled()
        await until(lambda: stage.order() == ["three", "two", "one"], "as it is to be")
        stage.receipt("two", 3)
        call.answer.set_result(stage.receipt("three", 2))
        call = await stage.call("move_message", 2)
        assert call.arguments == {"injection_id": "three", "position": 1}
        for ref, place in (("one", 2), ("three", 1)):
            told = stage.receipt(ref, place)
        call.answer.set_result(told)
        call = await stage.call("move_message", 3)
        assert call.arguments == {"injection_id": "two", "position": 2}
        # It goes wrong, and what was asked for after it is left out, which is said.
        press(line, Qt.Key.Key_Down, ALT)
        press(stage.line("one"), Qt.Key.Key_Up, ALT)
        call.answer.set_exception(Conflict("Somebody was quicker."))
        await stage.settled()
        await until(lambda: stage.order() == ["three", "one", "two"], "as it is on record")
        said = "Not moved: Somebody was quicker. The 2 moves asked for after it: left out"
        assert stage.panel.notice.text() == said
        assert len(stage.port.named("move_message")) == 3

    run(scenario())


def test_moves_that_wait_follow_what_goes_out_and_are_bounded(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        for place, words in enumerate(("four", "five"), 4):
            stage.says(words, words)
            stage.receipt(words, place)
        move = stage.panel.strip.move_by
        move("five", -1)
        call = await stage.call("move_message")
        move("five", -2)
        call.answer.set_result(stage.receipt("five", 4))
        await stage.settled()
        stage.receipt("one", None, ReceiptState.DELIVERED)
        for ref, place in (("two", 1), ("three", 2), ("five", 3), ("four", 4)):
            stage.receipt(ref, place)
        call = await stage.call("move_message", 2)
        assert call.arguments == {"injection_id": "five", "position": 1}, "before the same message as it was dropped"
        for n in range(MOST + 1):
            move(("two", "three")[n % 2], 1)
        assert stage.panel.notice.text().startswith("Not moved: too many moves")
        stage.panel.strip.set_may_act(False)
        call.answer.set_result(stage.receipt("five", 1))
        await stage.settled()
        assert len(stage.port.named("move_message")) == 2, "who may not act any more orders nothing"

    run(scenario())


def below(stage: Stage, ref: str, target: str) -> QPoint:
    """A place in the lower half of a line, in terms of another one's grip."""
    line, grip = stage.line(target), stage.line(ref).grip
    return grip.mapFromGlobal(line.mapToGlobal(QPoint(30, line.height() - 3)))


def grasp(stage: Stage, ref: str) -> QPoint:
    return stage.line(ref).grip.rect().center()


def test_a_line_is_dragged_to_another_place(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        line, mark = stage.line("one"), stage.panel.strip.drag._mark
        drag(line.grip, grasp(stage, "one"), below(stage, "one", "two"), let_go=False)
        assert stage.panel.strip.drag.dragging == "one"
        assert line.hasFocus()
        assert mark.isVisible()
        assert abs(mark.geometry().center().y() - stage.line("three").y()) < 4, "it shows where it would land"
        assert stage.port.calls == []
        QTest.mouseRelease(line.grip, Qt.MouseButton.LeftButton, pos=below(stage, "one", "two"))
        assert mark.isHidden()
        call = await stage.call("move_message")
        assert call.arguments == {"injection_id": "one", "position": 2}
        assert line.state.text() == "moving…"
        await until(lambda: stage.order() == ["two", "one", "three"], "where it is to be")
        # Another one while it is on its way: it is made afterwards. By its words, and upwards: before the first.
        words = stage.line("three").text
        top = words.mapFromGlobal(stage.line("two").mapToGlobal(QPoint(30, 2)))
        drag(words, words.rect().center(), top)
        assert stage.line("three").state.text() == MOVES_NEXT
        await until(lambda: stage.order() == ["three", "two", "one"], "where they are to be")
        call.answer.set_result(stage.receipt("one", 2))
        await stage.settled()
        assert len(stage.port.named("move_message")) == 1, "not before all places are known"
        stage.receipt("two", 1)
        call = await stage.call("move_message", 2)
        assert call.arguments == {"injection_id": "three", "position": 1}
        for ref, place in (("two", 2), ("one", 3)):
            stage.receipt(ref, place)
        call.answer.set_result(stage.receipt("three", 1))
        await stage.settled()
        assert stage.order() == ["three", "two", "one"]
        assert len(stage.port.named("move_message")) == 2

    run(scenario())


def test_a_drag_can_be_given_up_and_never_moves_what_is_gone(stage: Stage, run: Run) -> None:
    line, strip = stage.line("one"), stage.panel.strip
    left = Qt.MouseButton.LeftButton
    # By Esc; the release that follows does nothing.
    drag(line.grip, grasp(stage, "one"), below(stage, "one", "three"), let_go=False)
    press(line, Qt.Key.Key_Escape)
    assert strip.drag.dragging == ""
    assert strip.drag._mark.isHidden()
    QTest.mouseRelease(line.grip, left, pos=below(stage, "one", "three"))
    # Where it stood, far away, and less than a drag.
    drag(line.grip, grasp(stage, "one"), below(stage, "one", "one") - QPoint(0, 2))
    drag(line.grip, grasp(stage, "one"), QPoint(0, -400))
    drag(line.grip, grasp(stage, "one"), grasp(stage, "one") + QPoint(2, 2))
    assert line.hasFocus()
    # It went to the agent meanwhile.
    drag(line.grip, grasp(stage, "one"), below(stage, "one", "three"), let_go=False)
    assert strip.drag._mark.isVisible()
    stage.receipt("one", None, ReceiptState.DELIVERED)
    assert strip.drag.dragging == ""
    assert strip.drag._mark.isHidden()
    QTest.mouseRelease(line.grip, left, pos=below(stage, "one", "three"))
    assert not line.grip.isEnabled()
    # Somebody writes in it.
    two = stage.line("two")
    QTest.mouseClick(two.edit, left)
    drag(two.grip, grasp(stage, "two"), below(stage, "two", "three"))
    assert stage.port.calls == []


@pytest.mark.parametrize("width", [300, 360, 420, 900])
def test_its_words_can_be_read_however_narrow_the_panel_is(qt: Any, width: int) -> None:
    stage = Stage(qt)
    stage.says("one", "Look at the parser first, then go on with the tests of the gateway")
    stage.panel.resize(width, 600)
    QApplication.processEvents()
    line = stage.line("one")
    seen = line.text.fontMetrics().horizontalAdvance("Look at the")
    assert line.text.width() >= seen
    assert line.state.width() >= line.state.sizeHint().width(), "how far it is is not cut off"
    right = [b.geometry().right() for b in line.findChildren(QAbstractButton) if b.isVisible()]
    assert max(right) <= line.rect().right()
    assert line.edit.accessibleName().startswith("Edit: Look at the parser")
    assert line.edit.text() == ("Edit" if width == 900 else "")
    assert line.edit.icon().isNull() == (width == 900)
    stage.highlighter.wait()


def test_a_line_is_taken_back_by_key(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.line("two").setFocus()
        press(stage.line("two"), Qt.Key.Key_Delete)
        call = await stage.call("withdraw")
        assert call.arguments == {"injection_id": "two"}
        call.answer.set_result(stage.receipt("two", None, ReceiptState.WITHDRAWN))
        await stage.settled()
        assert not any(b.isVisible() for b in stage.line("two").findChildren(QAbstractButton))

    run(scenario())


def test_tab_goes_through_the_lines_as_they_stand(stage: Stage) -> None:
    stage.receipt("three", 1)
    stage.receipt("one", 2)
    stage.receipt("two", 3)
    stage.line("three").setFocus()
    seen = []
    for _ in range(16):
        focus = QApplication.focusWidget()
        assert focus is not None
        if stage.panel.strip.isAncestorOf(focus):
            seen.append(focus.accessibleName().split(":")[0])
        press(focus, Qt.Key.Key_Tab)
    first, middle, last = ["Move down"], ["Move up", "Move down"], ["Move up"]
    buttons = ["Edit", "Withdraw"]
    assert seen == ["three", *first, *buttons, "one", *middle, *buttons, "two", *last, *buttons]
    stage.panel.composer.edit.setFocus()
    press(stage.panel.composer.edit, Qt.Key.Key_Backtab)
    assert stage.line("two").has_focus, "one step from the input"


def test_every_control_has_a_name_of_its_own(stage: Stage) -> None:
    names = [
        widget.accessibleName()
        for line in stage.panel.strip._lines.values()
        for widget in (line, *line.findChildren(QAbstractButton))
        if widget.isVisible()
    ]
    assert all(names)
    assert len(set(names)) == len(names)
    assert "Move up: two" in names


@pytest.mark.parametrize(
    ("capabilities", "may_act", "words"),
    [(THEIRS, True, "The gateway keeps the queue itself."), (OURS, False, "Your role only watches")],
)
def test_where_it_cannot_be_done_the_controls_say_why(
    qt: Any, capabilities: Capabilities, may_act: bool, words: str
) -> None:
    stage = Stage(qt, capabilities, may_act=may_act)
    line = stage.line("two")
    for button in (line.up, line.down, line.edit):
        assert button.isVisible()
        assert not button.isEnabled()
        assert button.toolTip() == words
    assert line.button.isEnabled() == may_act
    assert stage.panel.strip.why.text() == (words if may_act else ""), "the role is told by the input already"
    assert line.take_back.isVisible() == may_act
    line.setFocus()
    for key, modifier in ((Qt.Key.Key_F2, Qt.KeyboardModifier.NoModifier), (Qt.Key.Key_Up, ALT)):
        press(line, key, modifier)
    if not may_act:
        press(line, Qt.Key.Key_Delete)
    drag(line.grip, grasp(stage, "two"), below(stage, "two", "three"))
    assert stage.port.calls == []
    assert not line.editor.isVisible()
    assert line.text.text() == "two"
    stage.highlighter.wait()


def test_a_double_click_takes_back_one_message(stage: Stage, run: Run) -> None:
    """The line leaves at once, and the next one's button stands under the pointer."""

    async def scenario() -> None:
        first = stage.line("one").button
        spot = first.mapTo(stage.panel, first.rect().center())
        QTest.mouseClick(first, Qt.MouseButton.LeftButton)
        call = await stage.call("withdraw")
        assert call.arguments == {"injection_id": "one"}
        call.answer.set_result(stage.receipt("one", None, ReceiptState.WITHDRAWN))
        await stage.settled()
        under = stage.line("two").button
        await until(lambda: stage.panel.childAt(spot) is under, "the next line in its place")
        second_click(under)
        assert stage.panel.presenter.at_rest
        assert len(stage.port.named("withdraw")) == 1
        QTest.mouseClick(under, Qt.MouseButton.LeftButton)
        call = await stage.call("withdraw", 2)
        assert call.arguments == {"injection_id": "two"}
        call.answer.set_result(stage.receipt("two", None, ReceiptState.WITHDRAWN))
        await stage.settled()

    run(scenario())


def test_a_double_click_does_one_thing_on_each_button_of_a_line(stage: Stage) -> None:
    line = stage.line("two")
    wanted: list[Any] = []
    for signal in (line.withdraw_wanted, line.take_back_wanted, line.move_wanted):
        signal.connect(lambda *what: wanted.append(what))
    for button in (line.up, line.down, line.edit, line.button):
        assert button.isVisible()
        assert button.isEnabled()
        second_click(button)
    assert wanted == []
    assert not line.writing


def test_a_double_click_puts_back_one_failed_message(stage: Stage) -> None:
    for ref in ("one", "two"):
        stage.receipt(ref, None, ReceiptState.FAILED)
    back: list[str] = []
    stage.panel.strip.put_back_wanted.connect(back.append)
    QTest.mouseClick(stage.line("one").button, Qt.MouseButton.LeftButton)
    second_click(stage.line("two").button)
    assert back == ["one"]
    QTest.mouseClick(stage.line("two").button, Qt.MouseButton.LeftButton)
    assert back == ["one", "two"]
