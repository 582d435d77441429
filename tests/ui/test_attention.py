"""What needs a person: the pane by keyboard and mouse, what comes back, and what a restart keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.ui.attention import Attention, Cause
from mission_control_desktop.ui.sessions import SessionStore
from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, session
from support.served import Served

LONG = 60.0


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


def question(native: str, number: int, **detail: Any) -> Approval:
    return Approval(
        approval_id=f"q{number}",
        session_id=f"internal:{native}",
        provider="internal",
        title="May I?",
        options=(ApprovalOption(option_id="yes", label="Yes", kind="allow_once"),),
        created_at=datetime.now(UTC),
        detail=detail,
    )


def test_each_cause_is_found_and_ranked(qt: Any) -> None:
    watch = Watch()
    store = SessionStore()
    attention = Attention(store, now=watch)
    assert attention.items() == []
    old = watch.time - timedelta(minutes=6)
    store.put(
        [
            session("top", status="waiting", waiting_for="children"),
            session("asks", status="waiting", waiting_for="approval", parent_session_id="internal:top"),
            session("wonders"),
            session("broke", status="failed", error="no disk"),
            session("stuck", last_event_at=old),
            session("done", status="completed", last_event_at=old),
            session("idle", status="waiting", waiting_for="operator", last_event_at=old),
            question("wonders", 1),
            question("asks", 2, command="rm -r build"),
            ProviderHealth(provider="far", state="unreachable", since=old),
        ]
    )
    items = attention.items()
    assert [need.cause for need in items] == list(Cause)
    assert [need.session_id for need in items] == [
        "internal:asks", "internal:wonders", None, "internal:stuck", "internal:broke"
    ]  # fmt: skip
    assert items[0].blocked == 1, "the one above waits for it"
    watch.time += timedelta(minutes=6)
    attention.look()
    assert "internal:wonders" in [n.session_id for n in attention.items() if n.cause is Cause.STALLED]


def test_a_new_failure_of_the_same_session_comes_back(qt: Any) -> None:
    store = SessionStore()
    attention = Attention(store)
    store.put([replace(session("a", status="failed"), run_id="one")])
    attention.acknowledge([attention.items()[0].key])
    assert attention.items() == []
    store.put([replace(session("a", status="running"), run_id="two")])
    assert attention.items() == []
    store.put([replace(session("a", status="failed"), run_id="two")])
    assert [need.cause for need in attention.items()] == [Cause.FAILED]


def test_by_keyboard_and_mouse_and_over_a_restart(rig: Rig) -> None:
    plane = ScriptedPlane()
    plane.tell(session("root"))
    for native in ("a", "b", "c", "d"):
        plane.tell(session(native, status="failed", parent_session_id="internal:root"))
    plane.tell(question("root", 1))

    async def first() -> None:
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: window.header.attention.text() == "5 need you")
        window.activateWindow()
        QTest.mouseClick(window.header.attention, Qt.MouseButton.LeftButton)
        pane = window.attention_pane
        assert pane.isVisible()
        assert window.commands["mission.attention"].isChecked()
        assert [need.session_id for need in pane.chosen()] == ["internal:root"]
        press(pane.table, Qt.Key.Key_Down)
        (meant,) = pane.chosen()
        press(pane.table, Qt.Key.Key_F7)
        await until(lambda: len(pane.model.needs) == 4)
        assert meant.key not in [need.key for need in pane.model.needs]
        assert len(pane.chosen()) == 1, "the next row took its place"
        shelved = pane.chosen()[0]
        QTest.mouseClick(pane.buttons[3], Qt.MouseButton.LeftButton)
        await until(lambda: len(pane.model.needs) == 3)
        assert "30 minutes" in window.statusBar().currentMessage()
        assert shelved.key not in [need.key for need in pane.model.needs]
        target = pane.chosen()[0].session_id
        press(pane.table, Qt.Key.Key_Return)
        await until(lambda: window.panels.current_id == target)
        assert pane.isHidden()
        await until(lambda: window.header.attention.text() == "2 need you")
        press(window, Qt.Key.Key_F8, Qt.KeyboardModifier.ShiftModifier)
        assert pane.isVisible()
        press(pane.table, Qt.Key.Key_Escape)
        assert pane.isHidden()
        await desk.close()

    async def second() -> None:
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.store.sessions) == 5)
        await until(lambda: desk.window.header.attention.text() == "2 need you")
        await desk.close()

    rig.run(first)
    rig.run(second)


def test_on_a_real_control_plane(rig: Rig, house: Served) -> None:
    one = house.spawn("[permission]")
    house.until(one, waitingFor="approval")

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: window.header.attention.text() == "1 needs you", "the request", LONG)
        window.commands["mission.next_attention"].trigger()
        assert window.panels.current_id == one
        (need,) = window.attention.items()
        assert need.session_id == one
        window.commands["mission.acknowledge"].trigger()
        await until(lambda: window.header.attention.text() == "Nothing needs you")
        assert desk.store.approvals, "to acknowledge is not to answer"
        await desk.close()

    rig.run(scenario)
