"""The audit drawer: pages, filters, one line per order, and the cache when nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import QDateTime, Qt
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QFileDialog

from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.chain_file import check_lines
from mission_control_desktop.domain.errors import Forbidden, Unreachable
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.ui.audit.chain import CANCEL, VERIFY
from mission_control_desktop.ui.audit.model import AuditColumn, AuditModel
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, message, session
from support.served import Served, served
from support.tampering import OnSqlite


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
        window.audit.filters.action.setCurrentIndex(window.audit.filters.action.findData("pause"))
        await until(lambda: window.audit_model.rowCount() == 75)
        plane.note(AuditAction.RESUME, "internal:a")
        plane.note(AuditAction.PAUSE, "internal:a")
        await until(lambda: window.audit_model.rowCount() == 76)
        window.audit.table.setCurrentIndex(window.audit_model.index(0, 0))
        window.panels.close_panel("internal:a")
        window.audit.jump.click()
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


def test_text_is_looked_for_in_rows_that_are_read_on_the_way(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"))
        plane.note(AuditAction.INJECT, "internal:a", content="the needle")
        for n in range(700):
            plane.note(AuditAction.INJECT, "internal:a", content=f"word {n}")
        desk = await rig.open(plane.open)
        drawer, model = desk.window.audit, desk.window.audit_model
        desk.window.commands["view.audit"].trigger()
        await until(lambda: model.rowCount() == 100)
        QTest.keyClicks(drawer.filters.text, "NEEDLE")
        await until(lambda: model.rowCount() == 1, "the oldest row")
        assert model.index(0, AuditColumn.CONTENT).data() == "the needle"
        assert "701 read" in drawer.note.text()
        drawer.filters.text.clear()
        await until(lambda: model.rowCount() == 701)
        drawer.filters.text.setText("nowhere")
        await until(lambda: not model.rowCount())
        assert "No row passes" in drawer.empty_text
        await desk.close()

    rig.run(scenario)


def test_the_time_of_a_row_can_be_asked_for(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        for days in (9, 3, 0):
            plane.note(AuditAction.PAUSE, created_at=datetime.now(UTC) - timedelta(days=days, minutes=1))
        desk = await rig.open(plane.open)
        filters, model = desk.window.audit.filters, desk.window.audit_model
        desk.window.commands["view.audit"].trigger()
        await until(lambda: model.rowCount() == 3)
        filters.time.setCurrentText("Last 7 days")
        await until(lambda: model.rowCount() == 2)
        filters.time.setCurrentText("Between…")
        assert filters.since.isVisible()
        filters.since.setDateTime(QDateTime.currentDateTime().addDays(-4))
        filters.until.setDateTime(QDateTime.currentDateTime().addDays(-2))
        await until(lambda: model.rowCount() == 1)
        plane.note(AuditAction.PAUSE)
        plane.note(AuditAction.PAUSE, created_at=datetime.now(UTC) - timedelta(days=3))
        await until(lambda: model.rowCount() == 2)
        await desk.close()

    rig.run(scenario)


@pytest.mark.parametrize("opened", [False, True])
def test_a_row_leads_to_its_session_at_its_time(rig: Rig, opened: bool) -> None:
    """Whether its panel is open or not, and far from what is loaded of it."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        start = datetime.now(UTC) - timedelta(hours=2)
        plane.tell(session("a", title="Alpha"))
        plane.texts["internal:a"] = [
            msgspec.structs.replace(message("internal:a", seq), timestamp=start + timedelta(seconds=seq))
            for seq in range(1, 3001)
        ]
        plane.note(AuditAction.INJECT, "internal:a", created_at=start + timedelta(seconds=777.4))
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: (panel := desk.panels.get("internal:a")) is not None and panel.model.rowCount())
        if not opened:
            window.panels.close_panel("internal:a")
            await until(lambda: desk.panels.get("internal:a") is None)
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount() == 1)
        press(window.audit.table, Qt.Key.Key_Return)
        QTest.mouseClick(window.audit.jump, Qt.MouseButton.LeftButton)
        await until(lambda: not window.audit.isVisible())
        panel: Any = await until(lambda: desk.panels.get("internal:a"))
        view = panel.pane.view
        await until(
            lambda: view.currentIndex().isValid() and panel.model.entry(view.currentIndex().row()).seq == 777,
            "the entry nearest that time",
        )
        assert view.currentIndex().row() in view.visible_rows()
        assert panel.model.has_older
        assert panel.model.has_newer
        await desk.close()

    rig.run(scenario)


def test_the_keys_are_the_drawers_before_and_after_its_rows_come(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        window, drawer = desk.window, desk.window.audit
        window.activateWindow()
        plane.hold["audit"] = asyncio.Event()
        window.commands["view.audit"].trigger()
        await until(drawer.hasFocus, "the keys while nothing was read")
        press(drawer, Qt.Key.Key_Escape)
        await until(drawer.isHidden)
        window.commands["view.audit"].trigger()
        await until(drawer.hasFocus)
        plane.note(AuditAction.PAUSE, content="word")
        plane.hold["audit"].set()
        await until(drawer.table.hasFocus, "the keys for the rows")
        press(drawer.table, Qt.Key.Key_Return)
        assert "word" in drawer.detail.toPlainText()
        plane.fail["audit"] = Forbidden("This needs the role operator; you are observer.")
        drawer.table.setFocus()
        drawer.refresh_requested.emit()
        await until(drawer.hasFocus, "the keys when the rows are gone")
        await desk.close()

    rig.run(scenario)


def test_a_role_that_may_not_read_the_log_sees_no_cached_row(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.note(AuditAction.KILL, "internal:a")
        desk = await rig.open(plane.open)
        window = desk.window
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount() == 1)
        plane.fail["audit"] = Forbidden("This needs the role operator; you are observer.")
        window.audit.refresh.click()
        await until(lambda: window.audit_model.rowCount() == 0)
        assert "needs the role operator" in window.audit.empty_text
        await desk.close()

    rig.run(scenario)


def test_the_log_of_a_real_control_plane_is_checked_exported_and_kept(rig: Rig, tmp_path: Path) -> None:
    """Its chain, before and after somebody was at the database; a file that the checker takes; and, once the control
    plane is gone and the window was started anew, what this computer kept, with its age."""
    target = tmp_path / "log.jsonl"

    async def scenario(plane: Served) -> None:
        for number in range(3):
            plane.token("observer", user=f"person-{number}")
        desk = await rig.open()
        window, drawer = desk.window, desk.window.audit
        window.commands["view.audit"].trigger()
        await until(lambda: window.audit_model.rowCount() >= 3)
        assert "not checked yet" in drawer.chain.label.text()
        press(drawer.chain.check, Qt.Key.Key_Space)
        await until(lambda: "Chain valid" in drawer.chain.label.text(), "the chain's state")
        rows = len(plane.audit())
        assert f"{rows} rows" in drawer.chain.label.text()

        # One that takes long says so, and is called off; what was known stays known.
        os.kill(plane.process.pid, signal.SIGSTOP)
        try:
            press(drawer.chain.check, Qt.Key.Key_Space)
            await until(lambda: "Checking all" in drawer.chain.label.text(), "that it is under way")
            assert drawer.chain.check.text() == CANCEL
            press(drawer.chain.check, Qt.Key.Key_Space)
            await until(lambda: "cancelled" in drawer.chain.label.text(), "that it was called off")
            assert "Chain valid" in drawer.chain.label.text()
            assert drawer.chain.check.text() == VERIFY
        finally:
            os.kill(plane.process.pid, signal.SIGCONT)

        drawer.export_all.trigger()
        chooser = await dialog(QFileDialog, drawer)
        chooser.close()
        desk.audit.exporting.start(desk.host, AuditFilter(), None, target)
        await until(lambda: str(target) in drawer.exporting.label.text(), "the file")
        assert target.stat().st_mode & 0o777 == 0o600
        with target.open("rb") as lines:
            assert check_lines(lines, head=None).rows == rows
        desk.audit.exporting.start(desk.host, AuditFilter(), None, tmp_path / "missing" / "log")
        await until(lambda: "cannot be written" in drawer.exporting.label.text(), "why not")

        plane.token("observer", user="later")
        await until(lambda: "1 row since not checked" in drawer.chain.label.text() or
                    "2 rows since not checked" in drawer.chain.label.text(), "that there are newer rows")  # fmt: skip
        attacker = OnSqlite(plane.data_dir / DATABASE_FILE)
        attacker.run("UPDATE operator_audit_log SET user_id = 'nobody' WHERE seq = 2")
        attacker.close()
        drawer.chain.check.click()
        await until(lambda: "BROKEN at row 2" in drawer.chain.label.text(), "that it is broken")
        QTest.mouseClick(drawer.chain.show_row, Qt.MouseButton.LeftButton)
        drawer.filters.steps.setChecked(True)
        drawer.chain.show_row.click()
        assert drawer.detail.isVisible()
        assert "row 2" in drawer.detail.toPlainText()

        plane.process.kill()
        await until(lambda: "newer rows are missing" in drawer.away.text(), "that it is away")
        await desk.close()

    async def later() -> None:
        desk = rig.desktop(lambda: _nobody())
        await desk.show()
        with contextlib.suppress(Unreachable):
            await desk.reach()
        desk.window.commands["view.audit"].trigger()
        await until(lambda: desk.window.audit_model.rowCount() >= 3, "the cache")
        assert "from this computer's cache, last read" in desk.window.audit.away.text()
        assert "BROKEN at row 2" in desk.window.audit.chain.label.text()
        await desk.close()

    with served(rig.folder) as plane:
        rig.run(lambda: scenario(plane))
    rig.run(later)


async def _nobody() -> Any:
    raise Unreachable("Nobody answers.")


def test_an_export_that_is_called_off_leaves_what_was_there(rig: Rig, tmp_path: Path) -> None:
    target = tmp_path / "log.jsonl"
    target.write_text("before\n")

    async def scenario() -> None:
        plane = ScriptedPlane()
        for n in range(1200):
            plane.note(AuditAction.PAUSE, content=f"word {n}")
        desk = await rig.open(plane.open)
        drawer = desk.window.audit
        desk.window.commands["view.audit"].trigger()
        await until(lambda: desk.window.audit_model.rowCount())
        plane.hold["audit"] = asyncio.Event()
        desk.audit.exporting.start(desk.host, AuditFilter(), None, target)
        await until(lambda: drawer.exporting.cancel.isVisible())
        QTest.mouseClick(drawer.exporting.cancel, Qt.MouseButton.LeftButton)
        await until(lambda: "cancelled" in drawer.exporting.label.text())
        del plane.hold["audit"]
        assert [p.name for p in tmp_path.glob("*log.jsonl*")] == ["log.jsonl"]
        assert target.read_text() == "before\n"
        desk.audit.exporting.start(desk.host, AuditFilter(action="pause"), lambda e: e.seq > 1000, target)
        await until(lambda: "200 rows written" in drawer.exporting.label.text())
        assert "A part of the log" in drawer.exporting.label.text()
        assert len(target.read_text().splitlines()) == 200
        await desk.close()

    rig.run(scenario)
