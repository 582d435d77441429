"""An observer's window: nothing in it intervenes, and whatever would says why it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from mission_control_desktop.client.paths import ENV_TOKEN
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.commands.table import COMMANDS, When
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from support.rig import Rig, dialogs, until
from support.served import Served, served

LONG = 60.0
INTERVENE = {When.CONNECTED, When.LIVE_SESSION}
WATCHES = ("observer", "only watches", "only an admin", "Only an admin")


def says_why(text: str) -> bool:
    return any(word in text for word in WATCHES)


def controls(root: QWidget) -> list[QWidget]:
    """What a person can press or write into, as it is seen now."""
    kinds = (QAbstractButton, QLineEdit, QTextEdit, QPlainTextEdit)
    return [widget for widget in root.findChildren(QWidget) if isinstance(widget, kinds) and widget.isVisible()]


async def both(rig: Rig, plane: Served, monkeypatch: pytest.MonkeyPatch, role: str) -> Desktop:
    monkeypatch.setenv(ENV_TOKEN, plane.token(role)["token"])
    desk = await rig.open(url=plane.url)
    await until(lambda: len(desk.window.panels.open_ids()) == 2 and desk.store.approvals, "both sessions", LONG)
    for session_id in desk.window.panels.open_ids():
        desk.window.open_session(session_id)
        await until(lambda i=session_id: desk.panels.get(i), "its panel", LONG)  # type: ignore[misc]
    return desk


def test_every_control_that_intervenes_is_disabled_and_says_why(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Found by comparison, not by a list: what an admin can use in the same window and an observer cannot is what
    intervenes. Then the ways in that are no widgets are tried, and the control plane has had nothing to refuse."""
    with served(tmp_path / "plane") as plane:
        plane.double()
        asking, running = plane.spawn("[permission]", title="Asking"), plane.spawn("[wait]", title="Running")

        async def usable(desk: Desktop) -> tuple[dict[str, bool], dict[str, str]]:
            """Of every control, by place and name: whether it can be used, and what it says of itself."""
            found: dict[str, bool] = {}
            tips: dict[str, str] = {}

            def note(place: str, root: QWidget) -> None:
                for widget in controls(root):
                    text = widget.text() if isinstance(widget, QAbstractButton) else ""
                    name = f"{place}: {widget.objectName()} {widget.accessibleName() or text}"
                    found[name], tips[name] = widget.isEnabled(), widget.toolTip()

            window = desk.window
            for session_id in (asking, running):
                window.open_session(session_id)
                panel: Any = await until(lambda i=session_id: desk.panels.get(i))  # type: ignore[misc]
                note(f"panel {window.store.sessions[session_id].title}", panel)
                menu = QMenu(panel)
                panel._on_menu(menu)
                for action in menu.actions():
                    if action.text():
                        found[f"menu: {action.text()}"] = action.isEnabled()
                        tips[f"menu: {action.text()}"] = action.toolTip()
                menu.deleteLater()
            note("window", window)
            for command in COMMANDS:
                action = window.commands[command.id]
                found[f"command {command.id}"], tips[f"command {command.id}"] = action.isEnabled(), action.toolTip()
            window.show_launch()
            await until(lambda: len(window.launch.profiles) > 1, "profiles")
            note("launch", window.launch)
            window.leave_launch()
            window.settings_requested.emit("")
            shown = await until(lambda: window.findChildren(SettingsDialog))
            for page in shown[0]._pages:
                shown[0].show_page(page.key)
                await asyncio.sleep(0.2)  # what a page reads when it is turned to
                note(f"settings {page.key}", page)
            shown[0].close()
            asked = desk.presenter.ask_kill_all()
            note("kill all", asked)
            asked.close()
            return found, tips

        admin: dict[str, bool] = {}

        async def as_admin() -> None:
            desk = await both(rig, plane, monkeypatch, "admin")
            admin.update((await usable(desk))[0])
            await desk.close()

        async def as_observer() -> None:
            desk = await both(rig, plane, monkeypatch, "observer")
            found, tips = await usable(desk)
            intervening = {name for name, on in admin.items() if on and name in found and not found[name]}
            for wanted in ("Kill", "Terminate", "Pause", "Message to the agent", "Allow once", "New agent"):
                assert any(wanted in name for name in intervening), (wanted, sorted(intervening))
            silent = sorted(name for name in intervening if not says_why(tips[name]))
            assert not silent, "disabled without a reason in words"
            for command in COMMANDS:
                if command.when in INTERVENE:
                    assert not desk.window.commands[command.id].isEnabled(), command.id
            await try_the_ways_in(desk)
            await desk.close()

        rig.run(as_admin)
        rig.run(as_observer)
        mine = [row for row in plane.audit() if row["userId"] == "observer-person"]
        assert [(row["action"], row["outcome"]) for row in mine] == []


async def try_the_ways_in(desk: Desktop) -> None:
    """What the window's parts ask for when a row's painted buttons, or a key, are pressed."""
    window = desk.window
    for session_id in window.panels.open_ids():
        for action in ("pause_resume", "cancel_turn", "terminate", "kill", "spawn_below"):
            window.session_action.emit(session_id, action)
            assert not dialogs(window), action
            assert any("your role only watches" in text for text in window.notices.texts()), action
    tree = window.roster.tree.viewport()
    for y in range(6, min(tree.height(), 120), 12):
        for x in range(tree.width() - 80, tree.width(), 8):
            QTest.mouseClick(tree, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
            assert not dialogs(window)
    # What was asked for is on its way before this answer comes.
    await desk.host.call(lambda mc: mc.me())
