"""Kill All: exactly the typed words, a reason, never by accident, and a result for each target."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QPushButton
from shiboken6 import isValid

from mission_control_desktop.domain.errors import Forbidden
from mission_control_desktop.domain.kill import KillState, KillStep, TargetState
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog, TargetsModel
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.sessions import SessionStore
from support.rig import Rig, dialog, dialogs, press, until
from support.scripted_plane import ScriptedPlane, session


@pytest.fixture
def asked(qt: Any) -> Iterator[KillAllDialog]:
    store = SessionStore()
    store.put([session("a"), session("b", status="completed"), session("c")])
    made = KillAllDialog(store)
    made.show()
    yield made
    if isValid(made):
        made.close()


@pytest.mark.parametrize(
    ("typed", "reason", "enabled"),
    [
        ("KILL ALL", "fire", True),
        ("KILL ALL", "", False),
        ("KILL ALL", "   ", False),
        ("kill all", "fire", False),
        ("KILL ALL ", "fire", False),
        ("KILL", "fire", False),
        ("", "fire", False),
    ],
)
def test_the_button_needs_exact_words_and_a_reason(
    asked: KillAllDialog, typed: str, reason: str, enabled: bool
) -> None:
    asked.typed.setText(typed)
    asked.reason.setText(reason)
    assert asked.act.isEnabled() is enabled


def test_it_says_what_will_be_hit(asked: KillAllDialog) -> None:
    assert asked.summary.text() == "2 agents will be killed"
    assert asked.model.rowCount() == 2


def test_return_never_kills(asked: KillAllDialog, qt: Any) -> None:
    asked.reason.setText("fire")
    asked.typed.setText("KILL ALL")
    with qt.assertNotEmitted(asked.confirmed):
        for widget in (asked.typed, asked.reason, asked.act, asked):
            press(widget, Qt.Key.Key_Return)
    assert asked.isVisible()
    for button in asked.findChildren(QPushButton):
        assert not button.isDefault()
        assert not button.autoDefault()
    press(asked.typed, Qt.Key.Key_Escape)
    assert not asked.isVisible()


def test_the_targets_model_keeps_qts_rules(qt: Any) -> None:
    model = TargetsModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, model)
    model.show_sessions([session("a"), session("b")])
    model.show_sessions([session("a")])
    model.show_sessions([])
    assert tester is not None


def test_from_the_key_to_the_last_target(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"), session("b", title="Beta"))
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.store.live()) == 2)
        desk.window.activateWindow()
        press(desk.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        shown = await dialog(KillAllDialog, desk.window)
        shown.reason.setText("they run wild")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: shown.undo.isVisible())
        assert ("kill_all", ("all", "KILL ALL", "they run wild", 10.0)) in plane.calls
        assert shown.summary.text() == "2 agents frozen"
        order = plane.kill_orders["k1"]
        dead = [msgspec.structs.replace(t, state=TargetState.DEAD, at=datetime.now(UTC)) for t in order.targets]
        plane.tell(
            msgspec.structs.replace(
                order, state=KillState.KILLING, undo_until=None, targets=(dead[0], order.targets[1])
            )
        )
        await until(lambda: shown.summary.text() == "1 of 2 verified dead; 1 frozen, not dead yet")
        assert not shown.undo.isVisible()
        lost = msgspec.structs.replace(order.targets[1], state=TargetState.UNREACHABLE, detail="no answer")
        plane.tell(msgspec.structs.replace(order, state=KillState.DONE, undo_until=None, targets=(dead[0], lost)))
        await until(lambda: "could not be verified dead" in shown._result.text())
        assert shown.model.index(1, 4).data() == "no answer"
        shown.cancel.click()
        await desk.close()

    rig.run(scenario)


def test_the_board_tells_how_it_went_and_closing_it_ends_the_watch(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.store.live())
        shown = desk.presenter.ask_kill_all()
        shown.reason.setText("they run wild")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: shown.undo.isVisible())
        order = plane.kill_orders["k1"]
        start = order.started_at

        def step(seconds: float, state: TargetState, detail: str | None = None) -> KillStep:
            return KillStep(state=state, at=start + timedelta(seconds=seconds), detail=detail)

        steps = (step(0.2, TargetState.FROZEN), step(1.5, TargetState.DEAD), step(4, TargetState.CAME_BACK, "lives"))
        back = msgspec.structs.replace(
            order.targets[0], state=TargetState.CAME_BACK, at=steps[-1].at, detail="lives", steps=steps
        )
        plane.tell(
            msgspec.structs.replace(
                order,
                state=KillState.DONE,
                undo_until=None,
                targets=(back,),
                by="ada",
                reason="they run wild",
                finished_at=steps[1].at,
                watching_until=start + timedelta(hours=1),
            )
        )
        await until(lambda: shown.summary.text() == "0 of 1 verified dead; 1 came back")
        said = shown._result.text()
        assert "after 1.5 s" in said
        assert "hit again until you close this board" in said
        assert "Ordered by ada: they run wild" in said
        now = shown.model.index(0, shown.model.NOW)
        assert now.data().endswith("came back")
        assert shown.model.index(0, 3).data() == "4.0 s"
        assert now.data(Qt.ItemDataRole.ToolTipRole).splitlines() == [
            "0.2 s  frozen, not dead yet",
            "1.5 s  dead",
            "4.0 s  came back: lives",
        ]
        press(shown, Qt.Key.Key_Escape)
        await until(lambda: ("kill_close", "k1") in plane.calls)
        await desk.close()

    rig.run(scenario)


def test_undo_while_frozen(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.store.live())
        shown = desk.presenter.ask_kill_all()
        shown.reason.setText("oops")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: shown.undo.isVisible())
        shown.undo.click()
        await until(lambda: shown.summary.text() == "Undone")
        assert ("kill_undo", "k1") in plane.calls
        await desk.close()

    rig.run(scenario)


def test_a_refusal_stays_in_the_dialog(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        plane.fail["kill_all"] = Forbidden("Your role is too low.")
        desk = await rig.open(plane.open)
        await until(lambda: desk.store.live())
        shown = desk.presenter.ask_kill_all()
        shown.reason.setText("x")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: shown.error.isVisible())
        assert shown.error.text().startswith("Kill All was not carried out: Your role is too low. Nothing was changed.")
        assert shown.act.isEnabled()
        await desk.close()

    rig.run(scenario)


def test_one_session_kill_needs_a_reason_and_terminate_does_not(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"), session("b", title="Kid", parent_session_id="internal:a"))
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.store.live()) == 2)
        desk.window.session_action.emit("internal:a", "kill")
        shown = await dialog(ReasonDialog, desk.window)
        assert not shown.act.isEnabled()
        shown.reason.setText("wrong branch")
        press(shown.reason, Qt.Key.Key_Return)
        assert ("kill", ("internal:a", "wrong branch")) not in plane.calls
        shown.act.click()
        await until(lambda: ("kill", ("internal:a", "wrong branch")) in plane.calls)
        await until(lambda: not dialogs(desk.window))
        desk.window.session_action.emit("internal:b", "terminate")
        shown = await dialog(ReasonDialog, desk.window)
        assert shown.act.isEnabled()
        shown.act.click()
        await until(lambda: ("terminate", ("internal:b", None)) in plane.calls)
        await desk.close()

    rig.run(scenario)
