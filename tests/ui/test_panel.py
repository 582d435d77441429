"""The panel of one session: what it says, what it sends, and that nothing is lost or doubled on the way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit, QToolButton

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.errors import Conflict, Forbidden, RateLimited, Unreachable, Unsupported
from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    Freshness,
    PauseKind,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.approvals import bar as bar_module
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.panel.port import Draft
from mission_control_desktop.ui.panel.queue_line import ladder_text
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler
from support.accessible import clipped, overlapping
from support.panels import eventually
from support.scripted_plane import question
from support.stage import PanelStage, Run

SESSION = "internal:s"
Scenario = Callable[[], Coroutine[Any, Any, None]]


def make_session(**changes: Any) -> AgentSession:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "provider": "internal",
        "status": SessionStatus.RUNNING,
        "spawned_at": now,
        "capabilities": Capabilities(
            inject=(Delivery.STEER, Delivery.QUEUE, Delivery.INTERRUPT),
            pause=PauseKind.SUSPEND,
            terminate=True,
            kill=True,
            approvals=True,
        ),
        "evidence": Evidence(last_event_at=now, source="agent"),
        "title": "A task",
        "run_id": "run-1",
    }
    return AgentSession(**{**fields, **changes})


def capabilities(**changes: Any) -> Capabilities:
    fields: dict[str, Any] = {"inject": (Delivery.QUEUE,), "pause": None, "terminate": True, "kill": True}
    return Capabilities(**{**fields, **changes})


def receipt(state: ReceiptState, injection: str = "i1", **more: Any) -> Receipt:
    return Receipt(injection_id=injection, session_id=SESSION, state=state, at=datetime.now(UTC), **more)


def approval(number: int = 1, **changes: Any) -> Approval:
    detail = {"command": "rm -rf build", "cwd": "/src"}
    return question(number, **{"approval_id": f"a{number}", "session_id": SESSION, "detail": detail, **changes})


def is_stale(panel: OrchestratorPanel) -> bool:
    return panel._state.stale


def event(kind: EventType, data: Any) -> StreamEvent:
    return StreamEvent(event_id=None, type=kind, data=data)


class Stage(PanelStage):
    """A panel that draws at once."""

    def __init__(self, qt: Any, session: AgentSession | None = None, **more: Any) -> None:
        super().__init__(qt, session or make_session(), scheduler=FlushScheduler(hold=0.0, budget=1.0), **more)

    @property
    def edit(self) -> Any:
        return self.panel.composer.edit

    def type(self, text: str) -> None:
        self.edit.setFocus()
        QTest.keyClicks(self.edit, text)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.edit, key, modifier)


@pytest.fixture
def stage(qt: Any) -> Iterator[Stage]:
    made = Stage(qt)
    yield made
    made.highlighter.wait()


# -- barge-in --------------------------------------------------------------------------------------------------------


def test_enter_sends_the_text_and_frees_the_input(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.type("do the handlers first")
        stage.press(Qt.Key.Key_Return)
        call = await stage.call("inject")
        assert call.arguments["content"] == "do the handlers first"
        assert call.arguments["delivery"] is Delivery.STEER
        assert call.arguments["run"] == "run-1"
        assert stage.edit.isReadOnly()
        assert stage.edit.toPlainText() == "do the handlers first"
        assert stage.drafts.drafts[SESSION].sending_key == call.arguments["key"]
        call.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")
        assert stage.edit.toPlainText() == ""
        assert not stage.edit.isReadOnly()
        assert SESSION not in stage.drafts.drafts
        assert stage.panel.strip.lines() == ["do the handlers first: stored"]

    run(scenario())


def test_shift_enter_starts_a_line_and_the_input_grows(stage: Stage) -> None:
    height = stage.edit.height()
    stage.type("one")
    stage.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    stage.type("two")
    assert stage.edit.toPlainText() == "one\ntwo"
    assert stage.edit.height() > height
    for _ in range(10):
        stage.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    tall = stage.edit.height()
    stage.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert stage.edit.height() == tall
    assert stage.port.calls == []


def test_control_enter_sends_the_other_way(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.type("later")
        stage.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        call = await stage.call("inject")
        assert call.arguments["delivery"] is Delivery.QUEUE
        call.answer.set_result(receipt(ReceiptState.QUEUED, position=1))
        await stage.settled("send")

    run(scenario())


@pytest.mark.parametrize(
    "error", [RateLimited("Too many", retry_after=7), Forbidden("Your role only watches"), Conflict("Another run")]
)
def test_a_refused_message_stays_in_the_input_and_is_a_new_request_next_time(
    stage: Stage, run: Run, error: Exception
) -> None:
    async def scenario() -> None:
        stage.type("hello")
        stage.press(Qt.Key.Key_Return)
        first = await stage.call("inject")
        first.answer.set_exception(error)
        await stage.settled("send")
        assert stage.edit.toPlainText() == "hello"
        assert str(error) in stage.panel.composer.error_text()
        stage.press(Qt.Key.Key_Return)
        second = await stage.call("inject", 2)
        assert second.arguments["key"] != first.arguments["key"]
        second.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")
        assert stage.edit.toPlainText() == ""
        assert stage.panel.composer.error_text() == ""

    run(scenario())


@pytest.mark.parametrize("error", [Unreachable("gone"), TimeoutError(), ConnectionResetError("reset")])
def test_a_message_that_may_have_arrived_is_sent_again_under_the_same_key(
    stage: Stage, run: Run, error: Exception
) -> None:
    async def scenario() -> None:
        stage.type("once only")
        stage.press(Qt.Key.Key_Return)
        first = await stage.call("inject")
        first.answer.set_exception(error)
        await stage.settled("send")
        assert "cannot double it" in stage.panel.composer.error_text()
        stage.press(Qt.Key.Key_Return)
        second = await stage.call("inject", 2)
        assert second.arguments == first.arguments
        second.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")

    run(scenario())


def test_other_words_are_another_message(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.type("once only")
        stage.press(Qt.Key.Key_Return)
        first = await stage.call("inject")
        first.answer.set_exception(Unreachable("gone"))
        await stage.settled("send")
        stage.type("!")
        stage.press(Qt.Key.Key_Return)
        second = await stage.call("inject", 2)
        assert second.arguments["key"] != first.arguments["key"]
        second.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")

    run(scenario())


def test_a_message_under_way_is_sent_once_however_often_enter_is_pressed(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.type("hello")
        for _ in range(3):
            stage.press(Qt.Key.Key_Return)
        call = await stage.call("inject")
        assert len(stage.port.calls) == 1
        call.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")

    run(scenario())


def test_closing_while_sending_keeps_the_words_and_their_key_for_the_next_window(qt: Any, run: Run) -> None:
    first = Stage(qt)

    async def closing() -> None:
        first.type("half way")
        first.press(Qt.Key.Key_Return)
        await first.call("inject")
        await first.panel.close_panel()

    run(closing())
    key = first.port.calls[0].arguments["key"]
    assert first.drafts.drafts[SESSION] == Draft(text="half way", delivery=Delivery.STEER, sending_key=key)
    second = Stage(qt)
    second.drafts.drafts.update(first.drafts.drafts)

    async def reopening() -> None:
        second.panel.start()
        await eventually(lambda: second.edit.toPlainText() == "half way")
        second.press(Qt.Key.Key_Return)
        call = await second.call("inject")
        assert call.arguments["key"] == key
        call.answer.set_result(receipt(ReceiptState.STORED))
        await second.settled("send")
        await second.panel.close_panel()

    run(reopening())
    assert SESSION not in second.drafts.drafts


def test_drafts_are_kept_per_session_while_typing(stage: Stage, qt: Any, run: Run) -> None:
    stage.type("not done ye")
    qt.waitUntil(lambda: SESSION in stage.drafts.drafts)
    stage.type("t")

    async def scenario() -> None:
        await stage.panel.close_panel()

    run(scenario())
    assert stage.drafts.drafts[SESSION].text == "not done yet"


def test_what_becomes_of_a_message_is_said_in_words(stage: Stage) -> None:
    composer = stage.panel.composer
    stage.type("x")
    assert composer.words() == "Will be put into the running turn"
    composer.way.setCurrentIndex(1)
    composer.way.activated.emit(1)
    assert composer.words() == "Will wait until the turn ends"
    composer.way.setCurrentIndex(2)
    composer.way.activated.emit(2)
    assert composer.words() == "Stops the running turn, then goes out"
    composer.pause_first.setChecked(True)
    assert composer.words() == "Pauses the agent first; the message goes out when you resume"
    composer.pause_first.setChecked(False)
    for changes, words in (
        ({"status": SessionStatus.WAITING, "waiting_for": WaitingFor.OPERATOR}, "Starts the agent's next turn now"),
        ({"status": SessionStatus.PAUSED}, "Will wait until you resume"),
        ({"status": SessionStatus.SPAWNING}, "Will be sent when the agent is ready"),
    ):
        stage.panel.set_session(make_session(**changes))
        assert composer.words() == words


def test_ways_that_are_not_offered_are_disabled_with_the_reason(qt: Any) -> None:
    reasons = {"steer": "No steering here"}
    stage = Stage(qt, make_session(capabilities=capabilities(reasons=reasons)))
    way = stage.panel.composer.way
    model = way.model()
    assert [bool(model.flags(model.index(n, 0)) & Qt.ItemFlag.ItemIsEnabled) for n in range(3)] == [False, True, False]
    assert model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole) == "No steering here"
    assert way.currentText() == "Queue"
    stage.type("x")
    stage.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert stage.panel.composer.error_text() == "No steering here"
    assert stage.edit.toPlainText() == "x"
    assert not stage.panel.composer.pause_first.isEnabled()


@pytest.mark.parametrize("status", [SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.KILLED])
def test_a_finished_session_takes_no_messages_and_says_why(stage: Stage, status: SessionStatus) -> None:
    stage.panel.set_session(make_session(status=status, completed_at=datetime.now(UTC)))
    assert not stage.edit.isEnabled()
    assert stage.panel.composer.words() == f"The session has ended ({status.value}): it takes no more messages"
    for button in (
        stage.panel.header.pause_button,
        stage.panel.header.terminate_button,
        stage.panel.header.kill_button,
    ):
        assert not button.isEnabled()
        assert button.toolTip() == "The session has ended"


def test_words_typed_before_the_end_stay_to_be_copied(stage: Stage) -> None:
    stage.type("too late")
    stage.panel.set_session(make_session(status=SessionStatus.COMPLETED, completed_at=datetime.now(UTC)))
    assert stage.edit.toPlainText() == "too late"


def test_observers_only_watch(qt: Any) -> None:
    stage = Stage(qt, may_act=False)
    stage.panel.set_approvals([approval()])
    header = stage.panel.header
    assert not stage.edit.isEnabled()
    for button in (header.pause_button, header.terminate_button, header.kill_button):
        assert not button.isEnabled()
        assert button.toolTip() == "Your role only watches"
    assert not any(button.isEnabled() for button in stage.panel.approvals.option_buttons())
    assert not stage.panel.approvals.answer_number(1)


# -- receipts --------------------------------------------------------------------------------------------------------


def test_receipts_climb_the_ladder(stage: Stage, run: Run) -> None:
    panel = stage.panel
    said = AgentMessage(
        message_id="m1",
        session_id=SESSION,
        role=MessageRole.OPERATOR,
        content="hello there",
        timestamp=datetime.now(UTC),
        seq=1,
        metadata={"kind": "text", "complete": True, "injectionId": "i1", "operatorId": "ana"},
    )
    panel.apply([event(EventType.MESSAGE, said)])
    panel.apply([event(EventType.RECEIPT, receipt(ReceiptState.QUEUED, position=2))])
    assert panel.strip.lines() == ["hello there: stored → queued #2"]
    known = panel.model.receipt_for(panel.model.entry(0))
    assert known is not None
    assert known.position == 2
    panel.apply([event(EventType.RECEIPT, receipt(ReceiptState.DELIVERED))])
    assert panel.strip.lines() == ["hello there: stored → delivered"]
    panel.apply([event(EventType.RECEIPT, receipt(ReceiptState.ANSWERED))])
    assert panel.strip.lines() == ["hello there: stored → delivered → answered"]


def test_a_queued_message_can_be_withdrawn(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.apply([event(EventType.RECEIPT, receipt(ReceiptState.QUEUED, position=1))])
        [line] = stage.panel.strip._lines.values()
        assert line.button.accessibleName() == "Withdraw: message"
        line.button.click()
        call = await stage.call("withdraw")
        assert call.arguments == {"injection_id": "i1"}
        assert not line.button.isEnabled()
        call.answer.set_exception(Conflict("It is on its way already"))
        await stage.settled("withdraw:i1")
        assert stage.panel.notice.text().startswith("Not withdrawn: It is on its way already. Nothing was changed.")
        line.button.click()
        call = await stage.call("withdraw", 2)
        call.answer.set_result(receipt(ReceiptState.WITHDRAWN))
        await stage.settled("withdraw:i1")
        assert stage.panel.strip.lines() == ["Message: withdrawn"]

    run(scenario())


def test_a_failed_message_stays_until_its_words_are_put_back(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.type("will fail")
        stage.press(Qt.Key.Key_Return)
        call = await stage.call("inject")
        call.answer.set_result(receipt(ReceiptState.STORED))
        await stage.settled("send")
        stage.panel.apply([event(EventType.RECEIPT, receipt(ReceiptState.FAILED, detail="the agent ended"))])
        assert stage.panel.strip.lines() == ["will fail: failed: the agent ended"]
        [line] = stage.panel.strip._lines.values()
        line.button.click()
        assert stage.edit.toPlainText() == "will fail"
        assert stage.panel.strip.lines() == []

    run(scenario())


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ReceiptState.STORED, "stored"),
        (ReceiptState.DELIVERED, "stored → delivered"),
        (ReceiptState.WITHDRAWN, "withdrawn"),
    ],
)
def test_ladder_words(state: ReceiptState, text: str) -> None:
    assert ladder_text(receipt(state)) == text


def test_receipts_of_other_sessions_are_none_of_ours(stage: Stage) -> None:
    foreign = Receipt(injection_id="x", session_id="internal:other", state=ReceiptState.QUEUED, at=datetime.now(UTC))
    stage.panel.apply([event(EventType.RECEIPT, foreign)])
    assert stage.panel.strip.lines() == []


# -- approvals -------------------------------------------------------------------------------------------------------


def test_number_keys_answer_while_the_transcript_has_the_focus(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.activateWindow()
        stage.panel.set_approvals([approval()])
        stage.panel.focus_transcript()
        assert stage.panel.approvals.isVisible()
        await eventually(lambda: stage.panel.approvals.ready)
        QTest.keyClick(stage.panel.pane.view, Qt.Key.Key_2)
        call = await stage.call("answer")
        assert call.arguments == {"approval_id": "a1", "option_id": "n"}
        assert not any(button.isEnabled() for button in stage.panel.approvals.option_buttons())
        call.answer.set_result(approval(state=ApprovalState.ANSWERED, answer="n", answered_by="me"))
        await stage.settled("answer")
        assert stage.panel.approvals.words() == "Answered by me: Reject"

    run(scenario())


def test_number_keys_are_text_in_the_input(stage: Stage) -> None:
    stage.panel.set_approvals([approval()])
    stage.type("12")
    assert stage.edit.toPlainText() == "12"
    assert stage.port.calls == []


def test_who_answers_second_is_told_who_was_first(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.set_approvals([approval()])
        await eventually(lambda: stage.panel.approvals.ready)
        stage.panel.approvals.option_buttons()[0].click()
        call = await stage.call("answer")
        call.answer.set_exception(Conflict("Answered", answeredBy="ben", answer="Reject"))
        await stage.settled("answer")
        assert stage.panel.approvals.words() == "Already answered by ben: Reject"
        done = approval(state=ApprovalState.ANSWERED, answer="n", answered_by="ben")
        stage.panel.apply([event(EventType.APPROVAL, done)])
        assert stage.panel.approvals.words() == "Answered by ben: Reject"
        assert stage.panel.approvals.option_buttons() == [] or not stage.panel.approvals._buttons.isVisible()

    run(scenario())


def test_questions_come_one_after_the_other(stage: Stage, qt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = stage.panel.approvals
    with qt.waitSignal(stage.panel.attention_changed):
        stage.panel.set_approvals([approval(2), approval(1)])
    assert bar.current is not None
    assert bar.current.approval_id == "a1"
    assert bar._count.text() == "1 more"
    stage.panel.apply([event(EventType.APPROVAL, approval(1, state=ApprovalState.EXPIRED))])
    assert bar.words() == "Expired: nobody answered in time"
    monkeypatch.setattr(bar_module, "NEXT_AFTER", timedelta(0))
    bar.tick()
    assert bar.current.approval_id == "a2"
    stage.panel.set_approvals([])
    assert bar.words() == "No longer open"
    monkeypatch.setattr(bar_module, "SHOWN_AFTER", timedelta(0))
    bar.tick()
    assert not bar.isVisible()


# -- a long freeze ---------------------------------------------------------------------------------------------------


def test_a_long_freeze_is_warned_of_and_can_be_ended_without_the_turn(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        old = Evidence(last_event_at=datetime.now(UTC) - timedelta(seconds=70), source="agent")
        frozen = make_session(status=SessionStatus.PAUSED, metadata={"pauseLevel": "freeze"}, evidence=old)
        stage.panel.set_session(
            make_session(status=SessionStatus.PAUSED, metadata={"pauseLevel": "hold"}, evidence=old)
        )
        assert stage.panel.notice.text() == ""
        stage.panel.set_session(frozen)
        assert stage.panel.notice.text().startswith("Frozen for 1 min.")
        assert stage.panel.notice.act.text() == "Thaw and cancel the turn"
        stage.panel.notice.act.click()
        call = await stage.call("cancel")
        call.answer.set_result(frozen)
        call = await stage.call("resume")
        call.answer.set_result(make_session())
        await stage.settled("resume")
        assert stage.panel.notice.text() == ""

    run(scenario())


# -- holding commands ------------------------------------------------------------------------------------------------


def test_commands_are_held_after_saying_what_that_does_and_released(stage: Stage, run: Run) -> None:
    def entry(session: AgentSession, text: str) -> Any:
        stage.panel.set_session(session)
        stage.panel.header._on_menu()
        return next((action for action in stage.panel.header._menu.actions() if action.text() == text), None)

    async def scenario() -> None:
        can = Capabilities(inject=(Delivery.STEER,), hold_commands="Each further command waits.")
        cannot = Capabilities(reasons={"holdCommands": "It refuses all commands."})
        plain, held = make_session(capabilities=can), make_session(capabilities=can, metadata={"commandsHeld": {}})
        assert entry(make_session(), "Hold commands…") is None
        refused = entry(make_session(capabilities=cannot), "Hold commands…")
        assert (refused.isEnabled(), refused.toolTip()) == (False, "It refuses all commands.")
        entry(plain, "Hold commands…").trigger()
        assert (stage.panel.notice.text(), stage.panel.notice.act.text()) == (can.hold_commands, "Hold commands")
        stage.panel.notice.act.click()
        call = await stage.call("hold_commands")
        call.answer.set_result(held)
        await stage.settled("hold")
        assert stage.panel.notice.text().startswith("Commands are held")
        assert "commands held" in stage.panel.header.status_label.text()
        assert entry(held, "Hold commands…") is None
        entry(held, "Release commands").trigger()
        call = await stage.call("release_commands")
        call.answer.set_result(plain)
        await stage.settled("hold")
        assert stage.panel.notice.text() == ""
        assert "held" not in stage.panel.header.status_label.text()

    run(scenario())


# -- controls --------------------------------------------------------------------------------------------------------


def test_pausing_offers_both_levels_and_says_which_it_is(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        header = stage.panel.header
        freeze, hold, _ = header._levels.actions()
        assert (freeze.text(), hold.text()) == ("Freeze processes", "Hold at next step")
        assert freeze.isEnabled()
        assert hold.isEnabled()
        freeze.trigger()
        call = await stage.call("pause")
        assert call.arguments == {"level": "freeze", "run": "run-1"}
        assert not header.pause_button.isEnabled()
        call.answer.set_result(make_session(status=SessionStatus.PAUSED, metadata={"pauseLevel": "freeze"}))
        await stage.settled("pause")
        assert header.status_label.text() == "Paused - frozen"
        assert header.resume_button.isVisible()
        assert not header.pause_button.isVisible()
        header.resume_button.click()
        call = await stage.call("resume")
        call.answer.set_result(make_session())
        await stage.settled("resume")
        assert header.status_label.text() == "Running"

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "freeze", "hold", "name"),
    [
        (PauseKind.SUSPEND, True, True, "Hold at next step"),
        (PauseKind.BOUNDARY, False, True, "Hold at next step"),
        (PauseKind.DISPATCH, False, True, "Withhold new prompts"),
        (None, False, False, "Hold at next step"),
    ],
)
def test_pause_levels_follow_the_capability(
    qt: Any, kind: PauseKind | None, freeze: bool, hold: bool, name: str
) -> None:
    stage = Stage(qt, make_session(capabilities=capabilities(pause=kind, reasons={"pause": "Because"})))
    actions = stage.panel.header._levels.actions()
    assert (actions[0].isEnabled(), actions[1].isEnabled()) == (freeze, hold)
    assert actions[1].text() == name
    assert stage.panel.header.pause_button.isEnabled() == (freeze or hold)
    if not freeze:
        assert actions[0].toolTip() == "Because"


def test_killing_asks_for_a_reason_without_stopping_anything_else(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.set_below([make_session(session_id="internal:below", title=f"Helper {n}") for n in range(2)])
        stage.panel.header.kill_button.click()
        dialog = stage.panel.kill_dialog
        assert dialog is not None
        assert not dialog.isModal()
        assert not dialog.act.isEnabled()
        listed = next(one for one in dialog.findChildren(QPlainTextEdit))
        assert "Helper 0" in listed.toPlainText(), "what is hit stands in it"
        QTest.keyClicks(dialog.reason, "runs wild")
        QTest.keyClick(dialog.reason, Qt.Key.Key_Return)
        assert stage.port.calls == []
        assert dialog.isVisible(), "Return ends no agent"
        QTest.keyClick(dialog.act, Qt.Key.Key_Space)
        call = await stage.call("kill")
        assert call.arguments == {"reason": "runs wild", "run": "run-1"}
        call.answer.set_exception(Unsupported("Not here"))
        await stage.settled("kill")
        assert stage.panel.notice.text().startswith("Not killed: Not here. Nothing was changed")
        assert stage.panel.kill_dialog is None

    run(scenario())


def test_an_answer_never_undoes_what_was_told_since(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.header.terminate_button.click()
        call = await stage.call("terminate")
        stage.panel.set_session(make_session(status=SessionStatus.COMPLETED))
        call.answer.set_result(make_session(metadata={"ending": "terminate"}))
        await stage.settled("terminate")
        assert stage.panel.session.status is SessionStatus.COMPLETED

    run(scenario())


def test_kill_and_terminate_stand_apart_from_harmless_buttons(stage: Stage) -> None:
    header = stage.panel.header
    more = header.findChild(type(header.kill_button), "menu")
    assert more is not None
    assert header.terminate_button.geometry().left() - more.geometry().right() >= 12
    assert header.kill_button.geometry().left() - header.terminate_button.geometry().right() >= 6


def test_an_old_sign_of_life_is_drawn_as_stale_and_words_make_it_fresh(stage: Stage) -> None:
    old = datetime.now(UTC) - timedelta(seconds=40)
    stage.panel.set_session(make_session(evidence=Evidence(last_event_at=old, source="agent")))
    panel = stage.panel
    panel._last_sign = old
    panel._on_tick()
    assert is_stale(panel)
    assert panel.header.evidence_label.text() == "last event 40s ago"
    said = AgentMessage(
        message_id="m1",
        session_id=SESSION,
        role=MessageRole.AGENT,
        content="a",
        timestamp=old,
        seq=1,
        metadata={"kind": "text", "complete": False},
    )
    delta = Delta(message_id="m1", offset=1, text="b")
    panel.apply([event(EventType.MESSAGE, said), event(EventType.DELTA, delta)])
    assert not is_stale(panel)
    assert panel.header.evidence_label.text() == ""


def test_a_waiting_session_does_not_grow_stale_by_itself(stage: Stage) -> None:
    old = datetime.now(UTC) - timedelta(minutes=10)
    waiting = make_session(
        status=SessionStatus.WAITING,
        waiting_for=WaitingFor.OPERATOR,
        evidence=Evidence(last_event_at=old, source="agent"),
    )
    stage.panel._last_sign = old
    stage.panel.set_session(waiting)
    assert not is_stale(stage.panel)
    unreachable = Evidence(last_event_at=old, source="agent", freshness=Freshness.UNREACHABLE)
    stage.panel.set_session(make_session(status=SessionStatus.WAITING, evidence=unreachable))
    assert is_stale(stage.panel)


def test_a_lost_connection_is_said_and_drawn(stage: Stage) -> None:
    stage.panel.set_connection(False)
    assert is_stale(stage.panel)
    assert "Agents go on" in stage.panel.notice.text()
    stage.panel.set_connection(True)
    assert not is_stale(stage.panel)
    assert stage.panel.notice.text() == ""


@pytest.mark.parametrize("status", list(SessionStatus))
def test_the_border_has_the_statuss_colour(stage: Stage, status: SessionStatus) -> None:
    stage.panel.set_session(make_session(status=status))
    assert stage.panel.edge_color() == theme.current().status_color(status)
    image = stage.panel.grab().toImage()
    assert image.pixelColor(stage.panel.width() // 2, 1) == stage.panel.edge_color()


@pytest.mark.parametrize(
    ("status", "waiting_for"),
    [*((status, None) for status in SessionStatus), *((SessionStatus.WAITING, reason) for reason in WaitingFor)],
)
def test_the_state_can_be_read_in_the_narrowest_panel(
    qt: Any, status: SessionStatus, waiting_for: WaitingFor | None
) -> None:
    """Whole, or in a word: never the beginning of it."""
    panel = Stage(qt, make_session(status=status, waiting_for=waiting_for)).panel
    panel.resize(10, 300)
    label = panel.header.status_label
    label.grab()
    brief = theme.status_text(panel.session, short=True).capitalize()
    assert label.shown in (label.text(), brief)
    assert panel.width() < 330
    assert label.text() in label.toolTip() or label.shown == label.text()
    panel.resize(600, 300)
    label.grab()
    assert label.shown == label.text()


def test_every_button_of_a_panel_is_drawn_in_the_colours_of_the_scheme(stage: Stage) -> None:
    stage.panel.pane.open_find()
    stage.panel.notice.show_text("a", "Something.", dismissable=True)
    theme.set_scheme("light")
    quiet = [button for button in stage.panel.findChildren(QToolButton) if button.property("kind") == "quiet"]
    buttons = [button for button in quiet if not button.icon().isNull()]
    assert len(buttons) >= 9
    for scheme in ("dark", "contrast", "light"):
        theme.set_scheme(scheme)
        for button in buttons:
            seen = button.icon().pixmap(16, 16).toImage()
            inks = [seen.pixelColor(x, y) for x in range(16) for y in range(16)]
            light = max(ink.lightness() for ink in inks if ink.alpha() > 100)
            assert abs(light - theme.current().text.lightness()) < 40, (scheme, button.accessibleName())


def test_demo_sessions_are_marked(qt: Any) -> None:
    assert Stage(qt, make_session(metadata={"demo": True})).panel.header._demo.isVisible()
    assert not Stage(qt).panel.header._demo.isVisible()


def test_older_messages_are_fetched_through_the_port(stage: Stage, run: Run) -> None:
    def said(number: int) -> AgentMessage:
        return AgentMessage(
            message_id=f"m{number}",
            session_id=SESSION,
            role=MessageRole.AGENT,
            content=f"Message {number}",
            timestamp=datetime.now(UTC),
            seq=number,
        )

    async def scenario() -> None:
        stage.panel.load([said(n) for n in range(100, 110)], has_older=True)
        call = await stage.call("messages")
        assert call.arguments["before"] == 100
        call.answer.set_exception(Unreachable("gone"))
        await stage.settled("older")
        assert "Older messages could not be read" in stage.panel.notice.text()
        stage.panel.model.fetch_older()
        assert len(stage.port.named("messages")) == 1
        stage.panel.model.fetch_older(again=True)
        call = await stage.call("messages", 2)
        call.answer.set_result(Page(items=tuple(said(n) for n in range(90, 100)), next_cursor=None))
        await stage.settled("older")
        assert stage.panel.model.rowCount() == 20

    run(scenario())


def test_a_bad_stream_is_levelled_from_the_record(stage: Stage, run: Run) -> None:
    async def scenario() -> None:
        stage.panel.apply([event(EventType.DELTA, Delta(message_id="m9", offset=5, text="late"))])
        call = await stage.call("messages")
        whole = AgentMessage(
            message_id="m9",
            session_id=SESSION,
            role=MessageRole.AGENT,
            content="12345",
            timestamp=datetime.now(UTC),
            seq=9,
            metadata={"kind": "text", "complete": False},
        )
        call.answer.set_result(Page(items=(whole,)))
        await stage.settled("level")
        assert stage.panel.model.entry(0).text == "12345late"

    run(scenario())


def test_a_panel_leaves_nothing_behind(qt: Any, run: Run) -> None:
    stage = Stage(qt)

    async def scenario() -> None:
        stage.panel.start()
        stage.type("hello")
        stage.press(Qt.Key.Key_Return)
        await stage.call("inject")
        await stage.panel.close_panel()
        assert not stage.panel.presenter._tasks._tasks
        stage.panel.presenter.pause("hold")
        assert stage.port.named("pause") == []

    run(scenario())


def test_in_a_small_panel_the_answers_come_first(stage: Stage, qt: Any) -> None:
    diffs = [{"path": f"/src/{n}.py", "oldText": "a\n" * 9, "newText": "b\n" * 9} for n in range(3)]
    stage.panel.resize(464, 320)
    stage.panel.set_approvals([approval(detail={"diffs": diffs, "cwd": "/src"})])
    bar, composer = stage.panel.approvals, stage.panel.composer

    def all_in_sight() -> bool:
        bottoms = [button.mapTo(stage.panel, button.rect().bottomLeft()).y() for button in bar.option_buttons()]
        return (
            len(bottoms) == 2 and max(bottoms) < composer.geometry().top() <= stage.panel.height() - composer.height()
        )

    qt.waitUntil(all_in_sight)
    assert stage.panel.pane.view.height() >= 40


@pytest.mark.parametrize("width", [400, 520, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_into_narrow_and_wide_places(stage: Stage, width: int, scheme: Any) -> None:
    theme.set_scheme(scheme)
    stage.panel.set_approvals([approval()])
    stage.panel.resize(width, 700)
    assert stage.panel.width() == width
    stage.panel.grab()
    header = stage.panel.header
    assert header.kill_button.geometry().right() <= header.width()


@pytest.mark.parametrize("size", [(282, 262), (282, 320), (430, 268)])
def test_in_a_low_panel_every_answer_is_whole_and_nothing_lies_over_it(qt: Any, size: tuple[int, int]) -> None:
    panel = Stage(qt).panel
    always = ApprovalOption(option_id="a", kind="allow_always", label="Always allow (execute)")
    asked = approval(title="Run the test 4000 times", detail={"command": "python3 -I test.py 0 4000", "cwd": "/src"})
    panel.set_approvals([approval(options=(asked.options[0], always, asked.options[1]), detail=asked.detail)])
    panel.resize(*size)

    def wrong() -> list[str]:
        return [*clipped(panel), *overlapping(panel)]

    qt.waitUntil(lambda: not wrong(), timeout=10_000)
    assert len(panel.approvals.option_buttons()) == 3
    assert panel.header.kill_button.isVisible()
    panel.pane.open_find()
    panel.resize(size[0], size[1] + 36)
    qt.waitUntil(lambda: not wrong(), timeout=10_000)
    panel.resize(420, 600)
    qt.waitUntil(lambda: panel.header._title.isVisible() and not wrong(), timeout=10_000)
