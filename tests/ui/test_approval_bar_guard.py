"""An answer is given to the question that it was meant for: none takes the place of another under the hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.ui.approvals import bar as bar_module
from mission_control_desktop.ui.approvals.bar import NEXT_AFTER, SETTLES, SHOWN_AFTER, ApprovalBar
from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog
from mission_control_desktop.ui.approvals.rows import open_row
from support.rig import Rig, press, second_click, until
from support.scripted_plane import ScriptedPlane, question, session

LEFT = Qt.MouseButton.LeftButton
# A little more than that, for what is lost in sums.
STANDS, RESTS = NEXT_AFTER.total_seconds() + 0.01, SETTLES.total_seconds() + 0.01
NEVER = timedelta(days=1)


def answered(number: int, by: str = "ben") -> Approval:
    return question(number, state=ApprovalState.ANSWERED, answer="y", answered_by=by)


class Bar:
    """A shown bar, whose time goes on when the test says so."""

    def __init__(self, qt: Any) -> None:
        self.now = 100.0
        self.bar = ApprovalBar(clock=lambda: self.now)
        self.asked: list[tuple[str, str]] = []
        self.bar.answer_wanted.connect(lambda *what: self.asked.append(what))
        qt.addWidget(self.bar)
        self.bar.resize(500, 300)

    @property
    def shown(self) -> str:
        assert self.bar.current is not None
        return self.bar.current.approval_id

    @property
    def allow(self) -> QPushButton:
        return self.bar.option_buttons()[0]

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.bar.tick()


@pytest.fixture
def one(qt: Any) -> Iterator[Bar]:
    made = Bar(qt)
    made.bar.set_all([question(1), question(2)])
    made.later(RESTS)
    assert made.bar.ready
    assert made.shown == "q1"
    yield made
    made.bar.close()


def by_key(one: Bar) -> None:
    one.bar.answer_number(1)


def by_mouse(one: Bar) -> None:
    QTest.mouseClick(one.allow, LEFT)


def by_space(one: Bar) -> None:
    press(one.allow, Qt.Key.Key_Space)


PRESSES = pytest.mark.parametrize("press_it", [by_key, by_mouse, by_space])


@PRESSES
@pytest.mark.parametrize("who", ["ben", "me"])
def test_the_next_question_takes_no_press_that_was_meant_for_the_one_before(
    one: Bar, press_it: Callable[[Bar], None], who: str
) -> None:
    if who == "me":
        press_it(one)
        assert one.asked == [("q1", "y")]
        one.asked.clear()
    one.bar.take(answered(1, who))
    # Answered, it stays to be read, also when more is told of the others.
    one.bar.take(question(3))
    one.later(STANDS - 0.02)
    assert one.shown == "q1"
    assert one.bar.words() == f"Answered by {who}: Allow"
    assert not one.bar.answer_number(1)
    one.later(0.02)
    assert one.shown == "q2"
    assert one.allow.isEnabled()
    for _ in range(3):
        press_it(one)
        one.later(RESTS / 4)
        assert not one.bar.ready
    assert one.asked == []
    one.later(RESTS)
    assert one.asked == [], "what was pressed too soon is forgotten"
    press_it(one)
    assert one.asked == [("q2", "y")]


@PRESSES
def test_a_first_question_takes_none_that_was_on_its_way(qt: Any, press_it: Callable[[Bar], None]) -> None:
    one = Bar(qt)
    one.bar.take(question(1))
    press_it(one)
    assert one.asked == []
    one.later(RESTS)
    press_it(one)
    assert one.asked == [("q1", "y")]


def test_what_was_pressed_too_soon_and_let_go_later_is_no_answer(one: Bar) -> None:
    one.bar.take(answered(1))
    one.later(STANDS)
    assert one.shown == "q2"
    QTest.mousePress(one.allow, LEFT)
    one.later(RESTS)
    QTest.mouseRelease(one.allow, LEFT)
    assert one.asked == []
    QTest.mouseClick(one.allow, LEFT)
    assert one.asked == [("q2", "y")]


def test_a_question_that_becomes_another_one_in_its_place_is_read_first(one: Bar) -> None:
    one.bar.take(question(1, detail={"command": "rm -rf build"}))
    assert not one.bar.answer_number(1)
    one.later(RESTS)
    one.bar.take(question(1, detail={"command": "rm -rf build"}))
    assert one.bar.ready, "told again, it is the same"
    # Not in the list, and yet open after all.
    one.bar.set_all([question(0)])
    one.bar.take(question(1))
    assert not one.bar.answer_number(1)
    one.later(max(RESTS, SHOWN_AFTER.total_seconds()))
    assert one.shown == "q1"
    assert one.bar.answer_number(1)


def test_the_second_press_of_a_double_click_answers_nothing(one: Bar) -> None:
    one.bar.take(answered(1))
    one.later(STANDS)
    one.later(RESTS)
    assert one.bar.ready
    second_click(one.allow)
    assert one.asked == []
    QTest.mouseClick(one.allow, LEFT)
    assert one.asked == [("q2", "y")]


def test_the_next_one_comes_by_itself_also_while_nobody_ticks(qt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_module, "NEXT_AFTER", timedelta(milliseconds=20))
    made = ApprovalBar()
    qt.addWidget(made)
    made.set_all([question(1), question(2)])
    made.take(answered(1))
    qt.waitUntil(lambda: made.current is not None and made.current.approval_id == "q2", timeout=20_000)


def test_in_the_list_what_the_person_turns_to_is_answered_at_once_and_nothing_else(
    qt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_module, "SETTLES", NEVER)
    shown = ApprovalsDialog(lambda session_id: session_id)
    qt.addWidget(shown)
    asked: list[tuple[str, str]] = []
    shown.answer_wanted.connect(lambda *what: asked.append(what))
    rows = [open_row(question(number), session("a")) for number in (1, 2)]
    shown.show_rows(rows, "")
    press(shown.table, Qt.Key.Key_1)
    QTest.mouseClick(shown.bar.option_buttons()[0], LEFT)
    assert asked == [], "the first row was chosen for them"
    press(shown.table, Qt.Key.Key_Down)
    shown.show_rows(rows, "")
    press(shown.table, Qt.Key.Key_1)
    assert asked == [("q2", "y")]


def test_a_colleague_is_first_by_a_moment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the whole window: the key is pressed as soon as another question stands there."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", status="waiting", waiting_for="approval"), question(1), question(2))
        desk = await rig.open(plane.open)
        panel = await until(lambda: desk.panels.get("internal:a"), "its panel")
        asks = panel.approvals
        await until(lambda: asks.ready, "that the first one is answered")
        assert asks.current.approval_id == "q1"
        asked: list[tuple[str, str]] = []
        asks.answer_wanted.connect(lambda *what: asked.append(what))
        monkeypatch.setattr(bar_module, "SETTLES", NEVER)
        spot = asks.option_buttons()[0].mapTo(desk.window, QPoint(8, 8))
        plane.tell(answered(1))
        await until(lambda: asks.current.approval_id == "q2", "the next one")
        desk.window.activateWindow()
        panel.focus_transcript()
        await until(lambda: QApplication.focusWidget() is panel.pane.view)
        press(panel.pane.view, Qt.Key.Key_1)
        # The layout may not be done yet: then there is another button, or none.
        if isinstance(under := desk.window.childAt(spot), QPushButton):
            QTest.mouseClick(under, LEFT)
        assert asked == []
        monkeypatch.setattr(bar_module, "SETTLES", timedelta(0))
        press(panel.pane.view, Qt.Key.Key_1)
        assert asked == [("q2", "y")]
        await desk.close()

    rig.run(scenario)
