"""Several sessions at once, in the real window: chosen by key and by mouse, listed first, told what became of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from mission_control_desktop.domain.errors import Forbidden, Unreachable
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Delivery, PauseKind, SessionStatus
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.several.broadcast import BroadcastDialog, Letter
from mission_control_desktop.ui.several.ending import EndSeveralDialog
from mission_control_desktop.ui.several.flow import DRAFT
from mission_control_desktop.ui.several.pending import LETTER, TEXT
from mission_control_desktop.ui.several.targets import Target
from mission_control_desktop.ui.words import utc_now
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, session
from support.served import served

Make = Callable[..., AgentSession]
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def ids(*natives: str) -> list[str]:
    return [f"internal:{native}" for native in natives]


def told(shown: Any) -> dict[str, Target]:
    return {one.session_id.partition(":")[2]: one for one in shown.model.targets}


def select_all(desk: Desktop) -> None:
    tree = desk.window.roster.tree
    desk.window.activateWindow()
    tree.setFocus()
    press(tree, Qt.Key.Key_A, CTRL)


def test_a_message_to_several_by_keyboard(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(session(n) for n in "ab"), session("gone", status="completed"))
        desk = await rig.open(plane.open)
        roster = desk.window.roster
        await until(lambda: roster.model.rowCount() == 3)
        select_all(desk)
        assert roster.selection.isVisible()
        assert roster.selection.count.text() == "3 selected, 2 live"
        press(roster.tree, Qt.Key.Key_M, CTRL | SHIFT)
        shown = await dialog(BroadcastDialog, desk.window)
        assert [one.included for one in shown.model.targets] == [True, True, False]
        assert told(shown)["a"].will.startswith(("Steer: ", "Queue: "))
        assert "has ended" in told(shown)["gone"].will
        assert not shown.act.isEnabled()
        QTest.keyClicks(shown.edit, "Stand by")
        press(shown.edit, Qt.Key.Key_Return, CTRL)
        await until(lambda: all("stored" in told(shown)[n].did for n in "ab"), "two receipts")
        sent = [what for name, what in plane.calls if name == "inject"]
        assert len(sent) == 2
        for native in "ab":
            receipt = next(
                r for way in shown._ways.values() if (r := way.receipt) and r.session_id == f"internal:{native}"
            )
            plane.tell(msgspec.structs.replace(receipt, state=ReceiptState.ANSWERED))
        await until(lambda: all("answered" in told(shown)[n].did for n in "ab"), "what came of it, live")
        assert shown.model.get("internal:gone") is not None
        press(shown, Qt.Key.Key_Escape)
        await desk.close()

    rig.run(scenario)


def test_pause_resume_and_panels_for_the_selection_by_mouse(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(session(n, parent_session_id="internal:p" if n != "p" else None) for n in "pabc"))
        desk = await rig.open(plane.open)
        roster = desk.window.roster
        await until(lambda: roster.model.rowCount() == 4)
        for native, modifier in (("a", Qt.KeyboardModifier.NoModifier), ("b", CTRL), ("c", CTRL)):
            spot = roster.tree.visualRect(roster.model.index_for(f"internal:{native}")).center()
            QTest.mouseClick(roster.tree.viewport(), Qt.MouseButton.LeftButton, modifier, spot)
        assert roster.tree.selected_ids() == ids("a", "b", "c")
        buttons = roster.selection.buttons
        assert not buttons["resume"].isEnabled()
        assert buttons["resume"].toolTip() == "None of them is paused"
        plane.fail["pause"] = Forbidden("not now")
        buttons["pause"].click()
        await until(lambda: "0 of 3 sessions paused" in shown_notices(desk), "why it failed")
        assert "session a: not now" in shown_notices(desk)
        del plane.fail["pause"]
        buttons["pause"].click()

        def status(native: str) -> SessionStatus:
            return desk.store.sessions[f"internal:{native}"].status

        await until(lambda: all(status(n) is SessionStatus.PAUSED for n in "abc"), "three paused")
        assert status("p") is SessionStatus.RUNNING
        await until(buttons["resume"].isEnabled)
        roster.tree.setFocus()
        desk.window.commands["session.pause_resume"].trigger()
        await until(lambda: all(status(n) is SessionStatus.RUNNING for n in "abc"), "three go on")
        buttons["panels"].click()
        await until(lambda: set(ids("a", "b", "c")) <= set(desk.window.panels.open_ids()))
        press(roster.tree, Qt.Key.Key_Escape)
        assert len(roster.tree.selected_ids()) == 1
        assert not roster.selection.isVisible()
        await desk.close()

    rig.run(scenario)


def shown_notices(desk: Desktop) -> str:
    return "\n".join(label.text() for label in desk.window.notices.findChildren(QLabel))


def test_killing_several_asks_for_a_reason_and_hits_what_stands_above(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("p"), session("kid", parent_session_id="internal:p"), session("q"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.roster.model.rowCount() == 3)
        select_all(desk)
        desk.window.commands["session.kill"].trigger()
        shown = await dialog(EndSeveralDialog, desk.window)
        assert told(shown)["kid"].will == "Ends with session p"
        assert shown._title.text() == "Kill 2 sessions"
        assert not shown.act.isEnabled()
        press(shown, Qt.Key.Key_Return)
        assert shown.isVisible(), "Return presses nothing"
        shown.table.setFocus()
        shown.table.selectRow(0)
        press(shown.table, Qt.Key.Key_Space)
        assert told(shown)["kid"].can, "its parent is left out: it is hit by itself"
        press(shown.table, Qt.Key.Key_Space)
        QTest.keyClicks(shown.reason, "the test is over")
        shown.act.click()
        await until(lambda: all(told(shown)[n].did == "killed" for n in "pq"), "both are dead")
        assert sum(name == "kill" for name, _ in plane.calls) == 2
        shown.cancel.click()
        await desk.close()

    rig.run(scenario)


def test_a_row_chosen_while_ctrl_is_held_is_the_one_that_is_acted_on(rig: Rig) -> None:
    """A shortcut that leads to a session is pressed with Ctrl: what was selected before is not meant any more."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(session(n) for n in "ab"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.roster.model.rowCount() == 2)
        tree = desk.window.roster.tree
        assert tree.select("internal:b")
        press(tree, Qt.Key.Key_C, CTRL)
        assert QGuiApplication.keyboardModifiers() == CTRL
        assert tree.select("internal:a")
        assert tree.selected_ids() == ["internal:a"]
        await desk.close()

    rig.run(scenario)


def test_an_observer_can_open_panels_and_nothing_else(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane(role=Role.OBSERVER)
        plane.tell(*(session(n) for n in "ab"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.roster.model.rowCount() == 2)
        select_all(desk)
        buttons = desk.window.roster.selection.buttons
        assert [name for name, button in buttons.items() if button.isEnabled()] == ["panels"]
        assert buttons["kill"].toolTip() == "You are an observer: your role only watches"
        assert not desk.window.commands.in_effect("session.broadcast")
        await desk.close()

    rig.run(scenario)


def test_what_is_written_to_several_survives_the_window(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(session(n) for n in "ab"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.roster.model.rowCount() == 2)
        shown = desk.presenter.several.ask_message(ids("a", "b"))
        QTest.keyClicks(shown.edit, "half a thought")
        await until(lambda: desk.state.get(DRAFT) == "half a thought", "the draft on record")
        shown.reject()
        again = desk.presenter.several.ask_message(ids("a"))
        assert again.edit.toPlainText() == "half a thought"
        again.act.click()
        await until(lambda: "stored" in told(again)["a"].did)
        assert desk.state.get(DRAFT) is None
        again.reject()
        await desk.close()

    rig.run(scenario)


def test_what_was_being_sent_is_finished_by_the_next_window_and_arrives_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real control plane: of two, one answer is lost; the window ends, and the next one sends the same again."""
    with served(rig.folder) as house:
        house.double()
        one, two = house.spawn("[wait]", title="One"), house.spawn("[wait]", title="Two")
        real = GatewayPort.inject

        async def lost(port: GatewayPort, session_id: str, content: str, **more: Any) -> Receipt:
            taken = await real(port, session_id, content, **more)
            if session_id == two:
                raise Unreachable("The connection broke before the answer came.")
            return taken

        async def first() -> None:
            desk = await rig.open()
            await until(lambda: {one, two} <= set(desk.store.sessions), "both", 60)
            monkeypatch.setattr(GatewayPort, "inject", lost)
            shown = desk.presenter.several.ask_message([one, two])
            QTest.keyClicks(shown.edit, "Stop at the next milestone")
            press(shown.edit, Qt.Key.Key_Return, CTRL)
            await until(lambda: shown.retry.isVisible() and shown.retry.text() == "Send again to 1", "lost", 60)
            assert len(desk.state.keys(LETTER)) == 1
            assert not any("For 1 session" in text for text in desk.window.notices.texts()), "the dialog says it"
            shown.close()
            await until(lambda: any("For 1 session" in text for text in desk.window.notices.texts()), "offered here")
            desk.state.put("closing_said", True)
            await desk.close()

        async def second() -> None:
            monkeypatch.setattr(GatewayPort, "inject", real)
            desk = await rig.open()
            await until(lambda: any("For 1 session" in text for text in desk.window.notices.texts()), "the offer", 60)
            offer = next(b for b in desk.window.notices.findChildren(QPushButton) if b.text() == "Finish…")
            press(offer, Qt.Key.Key_Space)
            shown = await dialog(BroadcastDialog, desk.window)
            assert [one.session_id for one in shown.model.targets] == [two]
            assert shown.edit.toPlainText() == "Stop at the next milestone"
            press(shown.retry, Qt.Key.Key_Space)
            await until(lambda: not shown.retry.isVisible() and not desk.state.keys(LETTER), "its answer", 60)
            assert not desk.state.keys(TEXT)
            shown.close()
            await desk.close()

        rig.run(first)
        rig.run(second)
        for session_id in (one, two):
            said = [m for m in house.messages(session_id) if m["content"] == "Stop at the next milestone"]
            assert len(said) == 1, session_id


@pytest.mark.parametrize("role", [Role.OBSERVER, Role.OPERATOR])
def test_only_what_the_person_may_finish_is_offered(rig: Rig, role: Role) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane(role=role)
        plane.tell(session("a"))
        desk = rig.desktop(plane.open)
        for key, native in (("k1", "a"), ("k2", "gone")):
            kept = {"session_id": f"internal:{native}", "text": "t", "at": utc_now().isoformat()}
            desk.state.put(LETTER + key, kept)
        desk.state.put(TEXT + "t", "Stop")
        await desk.show()
        await desk.reach()
        offered = [text for text in desk.window.notices.texts() if "not finished" in text]
        assert len(offered) == (role is Role.OPERATOR)
        assert all("For 1 session " in text for text in offered)
        await desk.close()

    rig.run(scenario)


# -- what is sent, refused, and sent again


@pytest.fixture
def written(qt: Any, make_session: Make) -> tuple[SessionStore, BroadcastDialog, list[Letter]]:
    """A dialog to four: one can steer and queue, one can only queue, one takes nothing, one has ended."""
    store = SessionStore()
    steer = make_session("steer")
    none = Capabilities(reasons={"inject": "It only listens"}, pause=PauseKind.SUSPEND)
    store.put([
        msgspec.structs.replace(steer, capabilities=Capabilities(inject=(Delivery.STEER, Delivery.QUEUE))),
        msgspec.structs.replace(make_session("queue"), capabilities=Capabilities(inject=(Delivery.QUEUE,))),
        msgspec.structs.replace(make_session("deaf"), capabilities=none),
        make_session("ended", status="failed"),
    ])  # fmt: skip
    keys = iter(range(100))
    shown = BroadcastDialog(store, ids("steer", "queue", "deaf", "ended"), "Hello", new_key=lambda: f"k{next(keys)}")
    qt.addWidget(shown)
    shown.show()
    sent: list[Letter] = []
    shown.send_requested.connect(sent.extend)
    return store, shown, sent


def receipt(letter: Letter, state: ReceiptState, number: str = "i1") -> Receipt:
    return Receipt(injection_id=number, session_id=letter.session_id, state=state, at=utc_now())


def test_who_cannot_take_it_is_listed_with_the_reason(written: Any) -> None:
    store, shown, _ = written
    found = told(shown)
    assert found["steer"].will == "Steer: Will be put into the running turn"
    assert found["queue"].will == "Queue: Will wait until the turn ends"
    assert found["deaf"].will == "Left out: It only listens"
    assert "has ended" in found["ended"].will
    shown.way.setCurrentText("Steer")
    assert [one.included for one in shown.model.targets] == [True, False, False, False]
    assert "cannot take a message into a running turn" in told(shown)["queue"].will
    assert shown.act.text() == "Send to 1"
    store.put([msgspec.structs.replace(store.sessions["internal:steer"], status=SessionStatus.KILLED)])
    assert not shown.act.isEnabled()


def test_a_retry_cannot_double_and_goes_only_to_those_that_failed(written: Any) -> None:
    _, shown, sent = written
    shown.act.click()
    assert [(letter.session_id, letter.delivery, letter.key) for letter in sent] == [
        ("internal:steer", Delivery.STEER, "k0"),
        ("internal:queue", Delivery.QUEUE, "k1"),
    ]
    assert shown.edit.isReadOnly()
    shown.refused(sent[0], "No answer in time", True)
    shown.refused(sent[1], "Too many", False)
    assert shown.retry.text() == "Send again to 2"
    shown.retry.click()
    assert sent[2] == sent[0], "nobody knows whether it arrived: the very same request"
    assert (sent[3].session_id, sent[3].text, sent[3].key) == ("internal:queue", "Hello", "k2")
    shown.refused(sent[1], "a late answer to the first letter", False)
    shown.stored(sent[2], receipt(sent[2], ReceiptState.QUEUED, "i0"))
    shown.stored(sent[3], receipt(sent[3], ReceiptState.STORED, "i1"))
    assert not shown.retry.isVisible()
    assert "2 accepted and on the way" in shown._note.text()


def test_receipts_come_in_any_order_and_never_go_back(written: Any) -> None:
    store, shown, sent = written
    shown.act.click()
    store.put([receipt(sent[0], ReceiptState.DELIVERED), receipt(sent[0], ReceiptState.QUEUED, "someone else's")])
    assert told(shown)["steer"].did == "sending…"
    shown.stored(sent[0], receipt(sent[0], ReceiptState.STORED))
    assert told(shown)["steer"].did == "stored → delivered"
    store.put([receipt(sent[0], ReceiptState.QUEUED)])
    assert told(shown)["steer"].did == "stored → delivered"
    store.put([receipt(sent[0], ReceiptState.FAILED)])
    assert told(shown)["steer"].level == "error"
    assert shown.retry.isVisible()


def test_one_of_several_is_left_out_by_space(written: Any) -> None:
    _, shown, sent = written
    shown.table.setFocus()
    shown.table.selectRow(0)
    press(shown.table, Qt.Key.Key_Space)
    assert shown.act.text() == "Send to 1"
    shown.act.click()
    assert [letter.session_id for letter in sent] == ["internal:queue"]
    assert shown.model.data(shown.model.index(0, 0), Qt.ItemDataRole.CheckStateRole) is None, "it has begun"
