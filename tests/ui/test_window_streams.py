"""The window under 64 agents that talk all the time, while every room and dialog of it is opened and left again."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from mission_control_desktop.domain.messages import MessageKind, MessageRole
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.dialogs import kill_flow
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from support.orchestration import DOUBLE
from support.rig import Rig, dialog, press, until
from support.rooms import every_room
from support.served import Served, served

AGENTS = 64
WORDS_A_SECOND = 1
LONG = 180.0
STALL_SECONDS = 30.0
"""Generous: 128 processes talk beside the window, and a computer may have other work. Whoever waits for an answer on
the window's thread, or lays 64 panels out one by one, is beyond it there."""


@pytest.fixture
def plane(rig: Rig) -> Iterator[Served]:
    with served(rig.folder) as made:
        command = [sys.executable, "-E", "-S", str(DOUBLE)]
        body = {"command": command, "cwd": str(rig.folder)}
        assert made.admin.put("/agents/profiles/talker", json=body).status_code == 200
        yield made


def start_talking(plane: Served) -> list[str]:
    prompt = f"[words 100000 {1000 // WORDS_A_SECOND}]"

    def one(number: int) -> str:
        return plane.spawn(prompt, profile="talker", title=f"Talker {number + 1}")

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(AGENTS)))


class Beat:
    """Says for how long the window's loop did not turn, at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.where = ""
        self.room = ""

    async def run(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            if now - last > self.longest:
                self.longest, self.where = now - last, self.room
            last = now


def said(desk: Desktop, session_id: str) -> str:
    """An agent's words as its panel has them."""
    panel = desk.panels.get(session_id)
    spoken = (e for e in panel.model.entries if e.message.role is MessageRole.AGENT) if panel is not None else ()
    return "".join(e.text for e in spoken if e.message.kind is MessageKind.TEXT)


def on_record(plane: Served, session_id: str) -> str:
    rows = plane.messages(session_id)
    return "".join(r["content"] for r in rows if r["role"] == "agent" and r["metadata"].get("kind") == "text")


@pytest.mark.timeout(900)
def test_every_room_is_opened_under_64_streams(rig: Rig, plane: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_flow, "UNDO_SECONDS", 0.0)
    ids = start_talking(plane)
    beat = Beat()

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        window.resize(2560, 1440)
        window.activateWindow()
        beating = desk.tasks.start(beat.run(), name="beat")
        running = SessionStatus.RUNNING
        await until(lambda: sum(s.status is running for s in desk.store.sessions.values()) == AGENTS, "all talk", LONG)
        window.roster.tree.setFocus()
        press(window.roster.tree, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        press(window.roster.tree, Qt.Key.Key_Return)
        await until(lambda: window.panels.count == AGENTS, "a panel for each", LONG)
        window.commands["layout.all"].trigger()
        await until(lambda: all(said(desk, i) for i in ids), "words in each", LONG)

        watched = ids[::3]
        rooms = []

        def heard() -> int:
            return sum(len(said(desk, i)) for i in watched)

        async for name, _shown in every_room(desk, ids[0]):
            beat.room = name
            rooms.append(name)
            before = heard()
            await until(lambda before=before: heard() > before, f"words while {name} is open", LONG)  # type: ignore[misc]
        beat.room = ""
        assert {"mission.kill_all", "session.kill", "settings, providers", "palette >", "on leaving"} <= set(rooms)
        assert not any(s.status.final for s in desk.store.sessions.values())

        # And all of it is ended from there, by keyboard.
        window.activateWindow()
        await until(window.isActiveWindow)
        press(window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        shown = await dialog(KillAllDialog, window)
        type_into(shown.reason, "the test is over")
        type_into(shown.typed, "KILL ALL")
        press(shown.act, Qt.Key.Key_Space)
        await until(lambda: "Finished" in shown._result.text(), "all verified", LONG)
        await until(lambda: not desk.store.live(), "nothing alive", LONG)
        shown.cancel.click()
        record = dict(zip(ids, await asyncio.to_thread(lambda: [on_record(plane, i) for i in ids]), strict=True))
        await until(lambda: all(said(desk, i) == record[i] for i in ids), "each transcript as on record", LONG)
        assert all(len(text.split()) > 5 for text in record.values())
        beating.cancel()
        await desk.close()

    rig.run(scenario, seconds=4 * LONG)
    assert beat.longest < STALL_SECONDS, beat.where


def type_into(field: Any, text: str) -> None:
    field.setFocus()
    QTest.keyClicks(field, text)
