"""The message input on a real control plane: what waits can be changed and taken back, and nothing written is lost."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from mission_control_desktop.ui.panel.recall import Recall
from mission_control_desktop.ui.panel.strip import ReceiptStrip
from support.rig import Rig, drag, killed, press, until
from support.scripted_plane import ScriptedPlane, session
from support.served import Served

LONG = 60.0


def buttons(strip: ReceiptStrip, words: str) -> Any:
    """The line of a message."""
    return next(line for line in strip._lines.values() if line.text.text() == words)


def said(house: Served, session_id: str) -> str:
    """The agent's words, which repeat what it was told."""
    return " ".join(m["content"] for m in house.messages(session_id) if m["role"] == "agent")


def withdrawn(house: Served, session_id: str) -> list[str]:
    return [m["content"] for m in house.messages(session_id) if m["metadata"].get("withdrawn")]


def test_what_waits_is_changed_and_taken_back(rig: Rig, house: Served) -> None:
    one = house.spawn("[wait]")
    house.until(one, status="running")

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: desk.panels.get(one) is not None, "its panel", LONG)
        window.activateWindow()
        await until(window.isActiveWindow)
        panel = desk.panels.get(one)
        assert panel is not None
        window.panels.activate(one)
        edit, strip = panel.composer.edit, panel.strip
        panel.focus_input()
        assert panel.composer.pause_first.isEnabled()
        for words in ("first", "second", "third"):
            QTest.keyClicks(edit, words)
            press(edit, Qt.Key.Key_Return)
            await until(lambda: edit.toPlainText() == "", "accepted", LONG)
        await until(lambda: [line.split(": ")[0] for line in strip.lines()] == ["first", "second", "third"], "", LONG)
        await until(lambda: strip.lines()[2].endswith("#3"), "its place", LONG)
        assert "behind 3 others" in panel.composer.words()

        # Changed in its place, by mouse, and moved to the end: the lines are those of the record.
        second = buttons(strip, "second")
        QTest.mouseClick(second.edit, Qt.MouseButton.LeftButton)
        QTest.keyClicks(second.editor, "second thought")
        press(second.editor, Qt.Key.Key_Return)
        await until(lambda: "second thought: stored → queued #2" in strip.lines(), "its new words", LONG)
        assert [m["content"] for m in house.messages(one) if m["role"] == "operator"][1] == "second thought"
        QTest.mouseClick(buttons(strip, "second thought").down, Qt.MouseButton.LeftButton)
        await until(lambda: "second thought: stored → queued #3" in strip.lines(), "its new place", LONG)
        await until(lambda: "third: stored → queued #2" in strip.lines(), "the other's place", LONG)
        # And back, by keyboard.
        press(buttons(strip, "second thought"), Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
        await until(lambda: "second thought: stored → queued #2" in strip.lines(), "its old place", LONG)

        # To the front and behind the next one, by dragging.
        third, grip = buttons(strip, "third"), buttons(strip, "third").grip
        first = buttons(strip, "first")
        drag(grip, grip.rect().center(), grip.mapFromGlobal(first.mapToGlobal(QPoint(20, 1))))
        await until(lambda: "third: stored → queued #1" in strip.lines(), "at the front", LONG)
        await until(lambda: "first: stored → queued #2" in strip.lines() and third.movable, "the other's place", LONG)
        drag(grip, grip.rect().center(), grip.mapFromGlobal(first.mapToGlobal(first.rect().bottomLeft())))
        await until(lambda: "third: stored → queued #2" in strip.lines(), "behind the first", LONG)
        assert "second thought: stored → queued #3" in strip.lines()

        # Taken back, by keyboard.
        button = buttons(strip, "first").button
        button.setFocus()
        press(button, Qt.Key.Key_Space)
        await until(lambda: any(line == "first: withdrawn" for line in strip.lines()), "withdrawn", LONG)
        assert withdrawn(house, one) == ["first"]

        # Up finds what was sent, the last first, and down leads back to what was being written.
        edit.setFocus()
        QTest.keyClicks(edit, "half a")
        press(edit, Qt.Key.Key_Up)
        assert edit.toPlainText() == "third"
        press(edit, Qt.Key.Key_Up)
        assert edit.toPlainText() == "second thought"
        panel.composer.save_now()
        assert desk.state.get(f"draft:{one}")["text"] == "half a", "the draft is what was written"
        press(edit, Qt.Key.Key_Down)
        press(edit, Qt.Key.Key_Down)
        assert edit.toPlainText() == "half a"
        edit.clear()

        # The turn ends: each goes out once, as it was last.
        window.commands["session.cancel_turn"].trigger()
        await until(lambda: "second thought" in said(house, one) and "third" in said(house, one), "both", LONG)
        await desk.close()

    rig.run(scenario)
    house.until(one, status="waiting")
    agent = said(house, one)
    assert agent.count("second") == agent.count("second thought") == 1
    assert "first" not in agent


_KILLED = """
import os, signal, sys
from pathlib import Path
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from support.rig import Rig, until
from support.scripted_plane import ScriptedPlane, session
from mission_control_desktop.ui.local_state import stored

app = QApplication([])
rig = Rig(app, Path(sys.argv[1]))

async def scenario():
    plane = ScriptedPlane()
    plane.tell(session("a"), session("b"))
    desk = await rig.open(plane.open)
    for name in "ab":
        await until(lambda: desk.panels.get("internal:" + name))
        QTest.keyClicks(desk.panels.get("internal:" + name).composer.edit, "half a thought for " + name)
    await until(lambda: len(stored(rig.folder, "draft:")) == 2)
    os.kill(os.getpid(), signal.SIGKILL)

rig.run(scenario)
"""


def test_drafts_survive_a_window_that_is_killed(rig: Rig) -> None:
    killed(_KILLED, rig.folder)
    plane = ScriptedPlane()
    plane.tell(session("a"), session("b"))

    async def scenario() -> None:
        desk = await rig.open(plane.open)
        for name in "ab":
            await until(lambda: desk.panels.get(f"internal:{name}"))  # noqa: B023
            panel = desk.panels.get(f"internal:{name}")
            assert panel is not None
            edit = panel.composer.edit
            await until(lambda: edit.toPlainText() == f"half a thought for {name}")  # noqa: B023
        await desk.close()

    rig.run(scenario)


def test_walking_through_earlier_messages_loses_nothing() -> None:
    sent = ["one", "two", "one", "  ", "three"]
    recall = Recall(lambda: sent)
    assert recall.later() is None
    assert [recall.earlier("new") for _ in range(4)] == ["three", "one", "two", None]
    assert [(recall.later(), recall.walking) for _ in range(3)] == [("one", True), ("three", True), ("new", False)]
    assert recall.later() is None
    assert Recall().earlier("") is None
    recall.earlier("three")
    recall.end()
    assert recall.earlier("two") == "three"
