"""The audit drawer: pages, filters, one line per order, and the cache when nobody answers."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import Unreachable
from mission_control_desktop.ui.audit.model import AuditColumn, AuditModel
from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, session


@pytest.fixture
def model(qt: Any) -> AuditModel:
    made = AuditModel(lambda session_id: session_id)
    made.tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Fatal, made)  # type: ignore[attr-defined]
    return made


def rows(count: int) -> list[AuditEntry]:
    plane = ScriptedPlane()
    return [plane.note(AuditAction.PAUSE, "internal:a") for _ in range(count)]


def test_an_order_and_its_outcome_are_one_line(model: AuditModel) -> None:
    plane = ScriptedPlane()
    intent = plane.note(AuditAction.KILL, "internal:a", outcome=AuditOutcome.INTENDED, metadata={"reason": "wild"})
    model.replace([intent], more=False)
    assert model.index(0, AuditColumn.OUTCOME).data() == "open"
    done = plane.note(AuditAction.KILL, "internal:a", metadata={"intentId": intent.id})
    model.add_new([done])
    assert model.rowCount() == 1
    assert model.index(0, AuditColumn.OUTCOME).data() == "done"
    assert model.index(0, AuditColumn.CONTENT).data() == "wild"
    model.set_steps(True)
    assert model.rowCount() == 2


def test_pages_and_news_meet_without_doubles(model: AuditModel) -> None:
    entries = rows(30)
    model.replace(reversed(entries[10:20]), more=True)
    model.add_new(entries[20:])
    model.add_page(entries[:12], more=False)
    model.add_new(entries[25:])
    assert [model.entry(model.index(r, 0)).seq for r in range(model.rowCount())] == list(range(30, 0, -1))  # type: ignore[union-attr]


def test_more_is_asked_for_once(qt: Any) -> None:
    model = AuditModel(lambda session_id: session_id)
    model.replace(rows(5), more=True)
    with qt.waitSignal(model.more_wanted):
        model.fetchMore(model.index(-1, -1))
    assert not model.canFetchMore(model.index(-1, -1))
    model.page_failed()
    assert model.canFetchMore(model.index(-1, -1))


def test_the_drawer_reads_pages_filters_and_shows_a_row_whole(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"))
        for n in range(150):
            plane.note(AuditAction.INJECT if n % 2 else AuditAction.PAUSE, "internal:a", content=f"word {n}")
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: window.panels.open_ids())
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount() >= 100)
        assert window.audit.isVisible()
        window.audit_model.fetchMore(window.audit_model.index(-1, -1))
        await until(lambda: window.audit_model.rowCount() == 150)
        plane.note(AuditAction.RESUME, "internal:a")
        await until(lambda: window.audit_model.rowCount() == 151)
        assert window.audit_model.index(0, AuditColumn.SESSION).data() == "Alpha"
        window.audit.table.setCurrentIndex(window.audit_model.index(0, 0))
        press(window.audit.table, Qt.Key.Key_Return)
        assert "hash" in window.audit.detail.toPlainText()
        window.audit.action.setCurrentIndex(window.audit.action.findData("pause"))
        await until(lambda: window.audit_model.rowCount() == 75)
        plane.note(AuditAction.RESUME, "internal:a")
        plane.note(AuditAction.PAUSE, "internal:a")
        await until(lambda: window.audit_model.rowCount() == 76)
        window.audit.table.setCurrentIndex(window.audit_model.index(0, 0))
        window.panels.close_panel("internal:a")
        window.audit._jump.click()
        await until(lambda: window.panels.current_id == "internal:a")
        await until(lambda: not window.audit.isVisible())
        await desk.close()

    rig.run(scenario)


def test_the_cache_answers_when_the_control_plane_is_away(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        for n in range(5):
            plane.note(AuditAction.KILL, "internal:a", content=f"word {n}")
        desk = await rig.open(plane.open)
        window = desk.window
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount() == 5)
        plane.fail["audit"] = Unreachable("Nobody answers.")
        window.audit_model.replace([], more=False)
        window.audit.refresh.click()
        await until(lambda: window.audit_model.rowCount() == 5)
        assert "cache" in window.audit.away.text()
        assert "Nobody answers." in window.audit.away.text()
        del plane.fail["audit"]
        window.audit.refresh.click()
        await until(lambda: not window.audit.away.text())
        press(window.audit, Qt.Key.Key_Escape)
        await until(lambda: not window.audit.isVisible())
        await desk.close()

    rig.run(scenario)
