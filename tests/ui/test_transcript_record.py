"""A transcript that is longer than what is loaded, in the real window on a real control plane: by keys and by mouse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.ui import times
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.transcript.view import TranscriptView
from support.control_plane import ControlPlaneProcess
from support.records import message
from support.rig import Rig, press, until
from support.transcripts import put_on_record

COUNT = 700
SPECIAL: dict[int, dict[str, Any]] = {
    3: {"content": "The first hint was a Needle, long ago."},
    40: {"role": MessageRole.OPERATOR, "content": "Look at the parser."},
    60: {"content": "broke", "metadata": {"kind": "notice", "level": "error", "complete": True}},
    640: {"content": "The newest needle."},
}


def transcript() -> list[AgentMessage]:
    """Two sentences a message, and a few that are looked for."""
    start = datetime.now(UTC) - timedelta(hours=10)
    made = []
    for number in range(COUNT):
        fields = {
            "content": f"Message {number}. {'Some words to fill a line. ' * (number % 5)}",
            **SPECIAL.get(number, {}),
        }
        content = fields.pop("content")
        fields.setdefault("metadata", {"kind": "text", "complete": True})
        made.append(message(f"m{number}", content, of="long", timestamp=start + timedelta(seconds=number), **fields))
    return made


@pytest.fixture
def plane(rig: Rig) -> Iterator[ControlPlaneProcess]:
    rig.folder.mkdir(mode=0o700)
    put_on_record(rig.folder, "long", transcript())
    process = ControlPlaneProcess(rig.folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def top_id(view: TranscriptView) -> str:
    return view.require_transcript().entry(view.visible_rows().start).message.message_id


def current_id(view: TranscriptView) -> str:
    row = view.currentIndex().row()
    return view.require_transcript().entry(row).message.message_id if row >= 0 else ""


def is_following(view: TranscriptView) -> bool:
    return view.following


def last_loaded(panel: OrchestratorPanel) -> str:
    return panel.model.entries[-1].message.message_id if panel.model.entries else ""


def test_reading_a_transcript_that_is_not_loaded_whole(rig: Rig, plane: ControlPlaneProcess) -> None:
    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: "internal:long" in desk.store.sessions)
        window.panels.open(desk.store.sessions["internal:long"])
        panel = desk.panels.get("internal:long")
        assert panel is not None
        view, pane, bar = panel.pane.view, panel.pane, panel.pane.find_bar
        await until(lambda: last_loaded(panel) == f"m{COUNT - 1}")
        await until(lambda: view.visible_rows().stop == len(panel.model.entries))
        assert is_following(view)
        assert len(panel.model.entries) < COUNT / 2, "only the newest are read"

        # Find, by keys: what is loaded first, then the record.
        view.setFocus()
        press(view, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(bar._input, "needle")
        press(bar._input, Qt.Key.Key_Return)
        assert current_id(view) == "m640"
        assert view.selected_text() == "needle"
        press(bar._input, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        await until(lambda: current_id(view) == "m3", "the hit that was not loaded")
        assert view.selected_text() == "Needle"
        assert panel.model.has_newer
        assert not is_following(view)
        assert bar.count_text() == "1 of 1"
        press(bar._input, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
        assert bar.count_text() == "1 of 1", "nothing is older: round to the same one"
        press(bar._input, Qt.Key.Key_Return)
        await until(lambda: current_id(view) == "m640", "the hit further on, from the record again")
        press(bar._input, Qt.Key.Key_Escape)
        assert not bar.isVisible()

        # The way back to the end, by mouse.
        assert not pane._pill.isHidden()
        QTest.mouseClick(pane._pill, Qt.MouseButton.LeftButton)
        await until(lambda: view.following and last_loaded(panel) == f"m{COUNT - 1}")

        # Jumps go through the record, too; one that leads nowhere says so.
        press(view, Qt.Key.Key_E, Qt.KeyboardModifier.ShiftModifier)
        await until(lambda: current_id(view) == "m60", "the error that was not loaded")
        press(view, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
        await until(lambda: current_id(view) == "m40", "the operator's message")
        press(view, Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
        await until(lambda: not pane._hint.isHidden() and pane._hint.text() == "No question above")

        # Copied with who and when, zone included.
        press(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        said = panel.model.find("m40")
        assert said is not None
        moment = times.exact(said.message.timestamp, "seconds")
        assert moment[-6] in "+-", "with its zone"
        assert QGuiApplication.clipboard().text() == f"[OPERATOR] {moment}\n\nLook at the parser.\n"

        # The beginning, and forwards from there over many pages: nothing is left out.
        press(view, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
        await until(lambda: top_id(view) == "m0" and not panel.model.has_older)
        seen: list[str] = []
        while not seen or seen[-1] != f"m{COUNT - 1}":
            rows = view.visible_rows()
            now = [panel.model.entry(row).message.message_id for row in rows]
            seen += now[now.index(seen[-1]) + 1 :] if seen and seen[-1] in now else now
            before = view.verticalOffset()
            press(view, Qt.Key.Key_PageDown)
            if view.verticalOffset() == before and seen[-1] != f"m{COUNT - 1}":
                await until(lambda: view.verticalScrollBar().maximum() > view.verticalOffset(), "newer messages")
        assert seen == [f"m{number}" for number in range(COUNT)]
        await desk.close()

    rig.run(scenario)
