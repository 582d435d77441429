"""What Python knows of Qt's objects goes when they go: nothing is left that another object could be mistaken for."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QMetaObject, QObject
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot
from shiboken6 import delete, getAllValidWrappers, ownedByPython

from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.ui.approvals.bar import ApprovalBar
from mission_control_desktop.ui.approvals.flow import Flow
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from support.rig import Rig, until
from support.scripted_plane import ScriptedPlane, message, session
from support.wrappers import layout_items, watch

TIMES = 12


def test_what_makes_items_known_is_found(qtbot: QtBot) -> None:
    """The check that runs after each test can fail."""
    for early in (False, True):
        top = QWidget()
        qtbot.addWidget(top)
        column, row = QVBoxLayout(top), QHBoxLayout()
        if early:
            row.addWidget(QLabel("early"))
        column.addLayout(row)
        if not early:
            row.addWidget(QLabel("late"))
        assert [type(one).__name__ for one in layout_items()] == (["QWidgetItem"] if early else [])
        with pytest.raises(AssertionError, match="1 QWidgetItem") if early else nullcontext():
            watch.check()
        delete(top)
        gc.collect()
        assert layout_items() == []


def question(number: int) -> Approval:
    return Approval(
        approval_id=f"q{number}",
        session_id="internal:a",
        provider="internal",
        title=f"Run number {number}?",
        detail={"command": "make test", "cwd": "/srv"},
        options=tuple(
            ApprovalOption(option_id=kind, kind=kind, label=label)
            for kind, label in (("allow_once", "Allow"), ("allow_always", f"Always, {number}"), ("reject_once", "No"))
        ),
        created_at=datetime.now(UTC),
    )


def left(kinds: set[type]) -> Counter[str]:
    """How many there are of these kinds, and of what is neither Qt's object nor Python's own."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    return Counter(
        type(one).__name__
        for one in getAllValidWrappers()
        # A QMetaObject is its class's, and stays as long as that; an event is there because one is at work.
        if type(one) in kinds or not (isinstance(one, QObject | QMetaObject | QEvent) or ownedByPython(one))
    )


def test_panels_that_open_and_close_leave_nothing(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", status="waiting", waiting_for="approval"), session("b"))
        plane.tell(
            *(message("internal:a", n, f"word {n} of `it`\n\n| a | b |\n|---|---|\n| 1 | 2 |") for n in range(9))
        )
        desk = await rig.open(plane.open)
        window, panels = desk.window, desk.panels

        async def asked(number: int) -> OrchestratorPanel:
            plane.tell(question(number))
            panel: OrchestratorPanel = await until(lambda: panels.get("internal:a"), "a live panel")
            bars = panel.findChildren(ApprovalBar)
            await until(lambda: any(button.text() for bar in bars for button in bar.option_buttons()), "the answers")
            return panel

        kinds = {type(one) for one in (await asked(0)).findChildren(QWidget)}
        kinds = {kind for kind in kinds if kind.__module__.startswith("mission_control_desktop.ui.")}
        assert len(kinds) > 8, kinds
        kinds |= {OrchestratorPanel, ApprovalBar, Flow}

        async def once(number: int) -> None:
            window.panels.close_panel("internal:a")
            await until(lambda: not panels.get("internal:a"), "the end of the panel")
            window.open_session("internal:a")
            await asked(number)

        await once(1)
        first = left(kinds)  # with those that other tests have not let go yet, which can only become fewer
        for number in range(2, TIMES):
            await once(number)
        try:
            await until(lambda: not left(kinds) - first, "no more than before")
        except AssertionError as error:
            raise AssertionError(f"before {first}, now {left(kinds)}") from error
        await desk.close()

    rig.run(scenario)
