"""The list of approvals on a real control plane: answered by key and by mouse, and who answered earlier ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.approvals import listing
from mission_control_desktop.ui.approvals.dialog import ApprovalsDialog
from mission_control_desktop.ui.approvals.rows import history_rows, open_row
from support.rig import Rig, dialog, press, until
from support.scripted_plane import session
from support.served import Served

LONG = 60.0
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def question(name: str, **more: Any) -> Approval:
    fields: dict[str, Any] = {
        "approval_id": name,
        "session_id": "internal:a",
        "provider": "internal",
        "title": f"May I {name}?",
        "options": (ApprovalOption(option_id="y", kind="allow_once", label="Allow"),),
        "created_at": AT,
    }
    return Approval(**{**fields, **more})


def answered(name: str, minute: int, outcome: AuditOutcome = AuditOutcome.DONE) -> list[AuditEntry]:
    """The rows of one answer: intended, and what came of it."""

    def row(at: int, what: AuditOutcome, metadata: dict[str, Any], content: str | None) -> AuditEntry:
        return AuditEntry(
            id=f"row-{at}",
            seq=at,
            created_at=AT.replace(minute=at),
            user_id="ada",
            actor_kind=ActorKind.PERSON,
            action=AuditAction.APPROVE,
            outcome=what,
            session_id="internal:a",
            content=content,
            metadata=metadata,
            prev_hash="0",
            hash="1",
        )

    said = {"approvalId": name, "optionKind": "allow_once"}
    return [
        row(minute, outcome, {"intentId": f"row-{minute - 1}"}, None),
        row(minute - 1, AuditOutcome.INTENDED, said, f"May I {name}?"),
    ]


def test_history_joins_what_was_asked_with_what_the_audit_log_knows() -> None:
    rows = history_rows(
        [
            question("one", state=ApprovalState.ANSWERED, answer="y", answered_by="ada"),
            question("two", state=ApprovalState.EXPIRED, detail={"expired": "the session ended"}),
            question("open"),
        ],
        [*answered("one", 5), *answered("old", 7), *answered("tried", 9, AuditOutcome.FAILED)],
    )
    assert [(row.key, row.state, row.outcome) for row in rows] == [
        ("old", "answered", "allow once by ada"),
        ("one", "answered", "Allow by ada"),
        ("two", "expired", "No longer open: the session ended"),
    ]
    assert rows[1].answered == AT.replace(minute=5)


def test_a_question_of_a_session_that_ended_is_stale() -> None:
    assert open_row(question("one"), session("a")).state == "open"
    row = open_row(question("one"), session("a", status="killed"))
    assert (row.state, row.outcome) == ("stale", "its session has ended (killed)")


def test_an_open_list_changes_its_colours_with_the_scheme(qt: Any) -> None:
    rows = [open_row(question("one"), session("a")), *history_rows([], answered("old", 7))]
    shown = ApprovalsDialog(lambda session_id: session_id)
    theme.set_scheme("light")
    shown.show_rows(rows, "")
    shown.table.selectRow(1)
    for scheme in ("dark", "contrast", "light"):
        theme.set_scheme(scheme)
        state, old = shown.table.item(0, 0), shown.table.item(1, 2)
        assert state is not None
        assert old is not None
        seen = state.icon().pixmap(16, 16).toImage()
        assert theme.current().attention.name() in {
            seen.pixelColor(x, y).name() for x in range(16) for y in range(16)
        }, scheme
        assert old.foreground().color() == theme.current().text_muted, scheme
        assert shown.chosen() is not None
        assert shown.table.currentRow() == 1
    shown.close()


def test_answered_in_the_list_by_key_and_by_mouse(rig: Rig, house: Served) -> None:
    one, two = house.spawn("[permission]", title="First"), house.spawn("[permission]", title="Second")
    for session_id in (one, two):
        house.until(session_id, waitingFor="approval")

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: len(desk.store.approvals) == 2, "both questions", LONG)
        window.activateWindow()
        await until(window.isActiveWindow)
        press(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        shown = await dialog(ApprovalsDialog, window)
        await until(lambda: [row.state for row in shown.rows] == ["open", "open"])
        first, second = shown.rows
        await until(lambda: shown.bar.ready, "the answers")
        # By key, from the table.
        press(shown.table, Qt.Key.Key_1)
        await until(lambda: len(desk.store.approvals) == 1, "answered", LONG)
        await until(lambda: [row.state for row in shown.rows] == ["open", "answered"], "the history", LONG)
        assert shown.rows[1].key == first.key
        await until(lambda: shown.rows[1].answered is not None, "when it was answered", LONG)
        assert shown.rows[1].by
        chosen = shown.chosen()
        assert chosen is not None
        assert chosen.key == first.key, "the row that was answered stays chosen"
        press(shown.table, Qt.Key.Key_1)
        assert len(desk.store.approvals) == 1, "an answered question is not answered again"
        # By mouse: the other one, refused.
        place = shown.table.visualRect(shown.table.model().index(0, 2)).center()
        QTest.mouseClick(shown.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        button = shown.bar.option_buttons()[2]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        await until(lambda: not desk.store.approvals, "answered", LONG)
        await until(lambda: [row.state for row in shown.rows] == ["answered", "answered"], "the history", LONG)
        assert "No question waits" in shown.note.text()
        assert {row.key for row in shown.rows} == {first.key, second.key}
        # From a row to its session.
        press(shown.table, Qt.Key.Key_Return)
        await until(lambda: window.panels.current_id in (one, two))
        await until(lambda: not any(d.isVisible() for d in window.findChildren(QDialog)))
        await desk.close()

    rig.run(scenario)
    done = {(row["action"], row["outcome"]) for row in house.audit()}
    assert {("approve", "done"), ("deny", "done")} <= done


def test_what_was_asked_long_ago_is_read_page_by_page(rig: Rig, house: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pages of one question each: the older one comes when it is asked for, with who answered it and when."""
    monkeypatch.setattr(listing, "PAGE", 1)
    for title in ("First", "Second", "Third"):
        session_id = house.spawn("[permission]", title=title)
        house.until(session_id, waitingFor="approval")
        (asked,) = house.admin.get("/api/mission-control/approvals", params={"state": "open"}).json()["items"]
        answer = house.admin.post(
            f"/api/mission-control/approvals/{asked['approvalId']}", json={"optionId": asked["options"][0]["optionId"]}
        )
        assert answer.status_code == 200, answer.text

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        window.commands["mission.approvals"].trigger()
        shown = await dialog(ApprovalsDialog, window)

        def listed() -> list[str]:
            return [shown.table.item(place, 1).text() for place in range(shown.table.rowCount())]  # type: ignore[union-attr]

        await until(lambda: listed() == ["Third"] and shown.older.isEnabled(), "the newest", LONG)
        window.activateWindow()
        shown.older.setFocus()
        press(shown.older, Qt.Key.Key_Space)
        await until(lambda: listed() == ["Third", "Second"] and shown.older.isEnabled(), "one page more", LONG)
        press(shown.older, Qt.Key.Key_Space)
        await until(lambda: listed() == ["Third", "Second", "First"], "the oldest", LONG)
        assert all(row.by and row.answered for row in shown.rows)
        await until(lambda: not shown.older.isEnabled() and shown.older.toolTip(), "that there is no more", LONG)
        shown.close()
        await desk.close()

    rig.run(scenario)
