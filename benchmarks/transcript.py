"""Long transcripts in the real window: opening, switching, scrolling, memory, and a word into a very long message.

    python -m benchmarks.transcript [--sizes 100000,1000000] [--rounds 7] [--long 200000] [--seconds 10]

A control plane of its own on SQLite, seeded with sessions of so many messages, HTTP + SSE, the real window. Writes
`build/bench/transcript.json`; runs on whatever QT_QPA_PLATFORM says (offscreen if it says nothing). Milliseconds and
MiB; `cpu` is the GUI thread's CPU time for the same thing (what it costs whatever else the machine does).

- open: from the order to open the panel to the second of two equal frames that show the end of the transcript
- switch: from the order to bring a panel that is open to the front to the second of two equal frames
- scroll: from a press of Page Up to the end of the paint event, older pages read on the way
- memory: the window's resident set with the panel open (and after the scrolling) above that with a panel open on a
  session without messages
- word: layout and painting for one word of a real agent, in a message that has so many characters already
- baselines: the same page read by a bare client and put into a QPlainTextEdit; a word put into a QPlainTextEdit of that
  length; and each size against a transcript of 100 messages in the same run
- the whole way of a word from an agent to paint is measured by `benchmarks.end_to_end`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil
import qasync
from benchmarks.seeded import Plane, seed
from PySide6 import __version__ as pyside_version
from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QPaintEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.transcript.layout import TranscriptLayout
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.view import TranscriptView

TALKER = Path(__file__).with_name("talker.py")
PAGE = 200
"""Messages that a panel reads when it opens."""
SMALL = 100
SCROLLS = 150
PATIENCE = 60.0


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies, rounded to a tenth."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def summary(values: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": percentile(values, 1.0)}


class Probe(QObject):
    """Beats every millisecond and keeps what passed between two beats."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: list[float] = []
        self.wall: list[float] = []
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._on_beat)
        self._last = (time.thread_time(), time.perf_counter())

    def start(self) -> None:
        self._last = (time.thread_time(), time.perf_counter())
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _on_beat(self) -> None:
        now = (time.thread_time(), time.perf_counter())
        for kept, passed in (
            (self.busy, (now[0] - self._last[0]) * 1_000),
            (self.wall, (now[1] - self._last[1]) * 1_000),
        ):
            # A long gap stands for all the beats that it swallowed, each of which waited for the rest of it.
            kept.append(max(0.0, passed - 1.0))
            missing = passed - 2.0
            while missing > 0:
                kept.append(missing)
                missing -= 1.0
        self._last = now


class Cost:
    """Wall and CPU milliseconds of the GUI thread since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def taken(self) -> tuple[float, float]:
        return (time.perf_counter() - self._wall) * 1_000, (time.thread_time() - self._cpu) * 1_000


class Costs:
    """Of one thing done again and again."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def add(self, taken: tuple[float, float]) -> None:
        self.wall.append(taken[0])
        self.cpu.append(taken[1])

    def summary(self) -> dict[str, Any]:
        return {"wall": summary(self.wall), "cpu": summary(self.cpu), "times": len(self.wall)}


async def until(done: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come about in {PATIENCE:g} s")
        await asyncio.sleep(0.001)


def form(view: TranscriptView) -> tuple[Any, ...]:
    """All that decides what a frame looks like, for a transcript in which nothing is said."""
    model = view.transcript
    rows = view.visible_rows()
    if model is None or not rows:
        return ("empty",)
    heights = tuple(view.visualRect(model.index(row, 0)).getRect() for row in rows)
    return model.entry(rows.stop - 1).message.message_id, view.following, heights


async def two_frames(view: TranscriptView) -> None:
    """Until two frames in a row are equal."""
    last: tuple[Any, ...] = ()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        paints = view.paints
        view.viewport().update()
        await until(lambda paints=paints: view.paints > paints, "a paint event")  # type: ignore[misc]
        now = form(view)
        if now and now == last:
            return
        last = now
    raise RuntimeError("the transcript did not come to rest")


class Bench:
    """One window and the sessions that it shows."""

    def __init__(self, desktop: Desktop) -> None:
        self.desktop = desktop

    def panel(self, session_id: str) -> OrchestratorPanel:
        panel = self.desktop.panels.get(session_id)
        if panel is None:
            raise RuntimeError(f"no panel of {session_id}")
        return panel

    def close(self, session_id: str) -> None:
        self.desktop.window.panels.close_panel(session_id)

    async def open(self, session: AgentSession, last: str) -> tuple[float, float]:
        cost = Cost()
        self.desktop.window.panels.open(session)
        panel = self.panel(session.session_id)
        model = panel.model
        if last:
            await until(lambda: model.entries and model.entries[-1].message.message_id == last, "the newest page")
            await two_frames(panel.pane.view)
        else:
            await until(lambda: panel.pane.view.paints, "a paint event")
        return cost.taken()

    async def opening(self, session: AgentSession, last: str, rounds: int) -> dict[str, Any]:
        costs = Costs()
        for number in range(rounds):
            if number:
                self.close(session.session_id)
                await until(lambda: self.desktop.panels.get(session.session_id) is None, "the closed panel")
                await asyncio.sleep(0.3)
            costs.add(await self.open(session, last))
        # The stream repeats what was read: that is not the panel's opening any more, and not its scrolling either.
        await asyncio.sleep(1.0)
        return costs.summary()

    async def switching(self, one: str, other: str, rounds: int) -> dict[str, Any]:
        costs = Costs()
        for number in range(2 * rounds):
            session_id = (one, other)[number % 2]
            await asyncio.sleep(0.15)
            cost = Cost()
            self.desktop.window.panels.activate(session_id)
            view = self.panel(session_id).pane.view
            await until(view.isVisible, "the panel in front")
            await two_frames(view)
            if session_id == other:
                costs.add(cost.taken())
        return costs.summary()

    async def scrolling(self, session_id: str) -> dict[str, Any]:
        view = self.panel(session_id).pane.view
        view.follow()
        await two_frames(view)
        costs, key, bar = Costs(), Qt.Key.Key_PageUp, view.verticalScrollBar()
        for _ in range(SCROLLS):
            if key is Qt.Key.Key_PageUp and bar.value() == 0:
                if view.transcript is not None and view.transcript.loading_older:
                    await until(lambda: bar.value() > 0, "older messages")
                else:
                    key = Qt.Key.Key_PageDown
            elif key is Qt.Key.Key_PageDown and bar.value() == bar.maximum():
                key = Qt.Key.Key_PageUp
            paints, cost = view.paints, Cost()
            QTest.keyClick(view, key)
            await until(lambda paints=paints: view.paints > paints, "a paint event")  # type: ignore[misc]
            costs.add(cost.taken())
            await asyncio.sleep(0.01)
        model = view.transcript
        held = len(model.entries) if model is not None else 0
        return {**costs.summary(), "messagesHeld": held}


class WordWatch:
    """CPU time of the GUI thread for what a word does to the transcript: taken in, laid out, painted."""

    def __init__(self) -> None:
        self.counting = False
        self.frames: list[float] = []
        self._spent = 0.0
        watch = self
        apply, flush, paint = TranscriptModel.apply, TranscriptLayout.flush, TranscriptLayout.paintEvent

        def timed_apply(model: TranscriptModel, events: list[StreamEvent]) -> None:
            begun = time.thread_time()
            apply(model, events)
            watch._spent += time.thread_time() - begun

        def timed_flush(view: TranscriptLayout) -> None:
            begun = time.thread_time()
            flush(view)
            watch._spent += time.thread_time() - begun

        def timed_paint(view: TranscriptLayout, event: QPaintEvent) -> None:
            begun = time.thread_time()
            paint(view, event)
            spent, watch._spent = watch._spent + time.thread_time() - begun, 0.0
            if watch.counting:
                watch.frames.append(spent * 1_000)

        TranscriptModel.apply = timed_apply  # type: ignore[method-assign,assignment]
        TranscriptLayout.flush = timed_flush  # type: ignore[method-assign,assignment]
        TranscriptLayout.paintEvent = timed_paint  # type: ignore[method-assign,assignment]


async def words(bench: Bench, watch: WordWatch, characters: int, seconds: float) -> dict[str, Any]:
    """A real agent that has said so many characters goes on, twenty words a second."""
    desktop = bench.desktop

    async def start(mission_control: MissionControl) -> AgentSession:
        await mission_control.put_profile(LaunchProfile(name="talker", command=(sys.executable, str(TALKER))))
        prompt = f"20 {seconds + PATIENCE:g} {characters}"
        return await mission_control.spawn(SpawnRequest(profile="talker", prompt=prompt, cwd=str(TALKER.parent)))

    session = await desktop.host.call(start)
    desktop.window.panels.open(session)
    model = bench.panel(session.session_id).model
    await until(lambda: model.entries and model.entries[-1].length > characters, "the long message")
    await asyncio.sleep(2.0)
    watch.frames, watch.counting = [], True
    length, beginning = model.entries[-1].length, time.monotonic()
    await asyncio.sleep(seconds)
    watch.counting = False
    said = 20 * (time.monotonic() - beginning)
    found = {
        "charactersBefore": length,
        "cpuPerFrame": summary(watch.frames),
        "cpuPerWord": round(sum(watch.frames) / said, 2),
        "words": round(said),
        "frames": len(watch.frames),
    }

    async def end(mission_control: MissionControl) -> object:
        return await mission_control.kill_all(scope="all", confirm="KILL ALL", reason="measured")

    await desktop.host.call(end)
    bench.close(session.session_id)
    await asyncio.sleep(0.5)
    return found


class BareText(QPlainTextEdit):
    """The baseline: Qt's own plain text."""

    def __init__(self) -> None:
        self.paints = 0
        super().__init__()
        self.resize(700, 1_000)
        self.setReadOnly(True)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.paints += 1

    async def painted(self) -> None:
        paints = self.paints
        self.viewport().update()
        await until(lambda: self.paints > paints, "a paint event")


async def bare_opening(plane: Plane, session_id: str, rounds: int) -> dict[str, Any]:
    """The same page, read by a client alone and shown as plain text."""
    mission_control = HttpMissionControl(plane.url, plane.token)
    costs = Costs()
    for _ in range(rounds + 1):
        cost, text = Cost(), BareText()
        page = await mission_control.messages(session_id, limit=PAGE)
        text.setPlainText("\n".join(message.content for message in page.items))
        text.moveCursor(QTextCursor.MoveOperation.End)
        text.show()
        await text.painted()
        await text.painted()
        costs.add(cost.taken())
        text.close()
    await mission_control.close()
    # The first one opens the connection; the window's is open, too.
    costs.wall, costs.cpu = costs.wall[1:], costs.cpu[1:]
    return costs.summary()


async def bare_words(characters: int) -> dict[str, float]:
    """CPU milliseconds for a word into a plain text of this length."""
    text = BareText()
    text.setPlainText(("Words that fill a line or two and then some more of it. " * 8 + "\n\n") * (characters // 450))
    text.moveCursor(QTextCursor.MoveOperation.End)
    text.show()
    await text.painted()
    found = []
    for _ in range(200):
        begun, paints = time.thread_time(), text.paints
        text.insertPlainText("word ")
        text.viewport().repaint()
        found.append((time.thread_time() - begun) * 1_000)
        if text.paints == paints:
            raise RuntimeError("the plain text was not painted")
    text.close()
    return summary(found)


def resident() -> float:
    """Without what was freed and only kept for later: otherwise what an earlier panel gave back would hide the next."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return float(psutil.Process().memory_info().rss) / 2**20


async def run(folder: Path, plane: Plane, options: argparse.Namespace, sizes: list[int]) -> dict[str, Any]:
    watch = WordWatch()
    desktop = Desktop(folder)
    bench = Bench(desktop)
    try:
        await desktop.show()
        await desktop.reach()
        desktop.window.resize(1280, 800)
        await until(lambda: len(desktop.store.sessions) >= len(sizes) + 2, "the sessions")
        for session_id in list(desktop.window.panels.open_ids()):
            bench.close(session_id)
        sessions = desktop.store.sessions
        small = await bench.opening(sessions["internal:small"], f"m{SMALL - 1}", options.rounds)
        small["scroll"] = await bench.scrolling("internal:small")
        bench.close("internal:small")
        await bench.open(sessions["internal:empty"], "")
        await asyncio.sleep(1.0)
        desktop.window.commands["layout.1"].trigger()
        found: dict[str, Any] = {"100": small}
        for size in sizes:
            name = f"internal:{size}"
            empty = resident()
            opened = await bench.opening(sessions[name], f"m{size - 1}", options.rounds)
            memory = resident() - empty
            switch = await bench.switching("internal:empty", name, options.rounds)
            desktop.window.panels.activate(name)
            scroll = await bench.scrolling(name)
            found[str(size)] = {
                "open": opened,
                "switchToWarm": switch,
                "memoryAboveEmpty": {"opened": round(memory, 1), "scrolled": round(resident() - empty, 1)},
                "scroll": scroll,
                "bareOpen": await bare_opening(plane, name, options.rounds),
            }
            bench.close(name)
        bench.close("internal:empty")
        short = await words(bench, watch, 1_000, options.seconds)
        long = await words(bench, watch, options.long, options.seconds)
    finally:
        await desktop.close()
    bare = await bare_words(options.long)
    found["word"] = {
        "long": long,
        "short": short,
        "bare": bare,
        "ratioToShort": ratio(long["cpuPerFrame"]["p50"], short["cpuPerFrame"]["p50"]),
        "ratioToBare": ratio(long["cpuPerFrame"]["p50"], bare["p50"]),
    }
    for size in sizes:
        one = found[str(size)]
        one["ratios"] = {
            "openToSmall": ratio(one["open"]["wall"]["p50"], small["wall"]["p50"]),
            "openToBare": ratio(one["open"]["wall"]["p50"], one["bareOpen"]["wall"]["p50"]),
            "scrollToSmall": ratio(one["scroll"]["cpu"]["p50"], small["scroll"]["cpu"]["p50"]),
        }
    return found


def ratio(value: float, to: float) -> float:
    return round(value / max(0.01, to), 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000,1000000", help="messages of the long transcripts")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--long", type=int, default=200_000, help="characters of the growing message")
    parser.add_argument("--seconds", type=float, default=10.0, help="of words into it")
    parser.add_argument("--out", type=Path, default=Path("build/bench/transcript.json"))
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    plane = Plane(folder)
    try:
        plane.start()
        plane.stop()
        seed(folder, {"empty": 0, "small": SMALL, **{str(size): size for size in sizes}})
        plane.start()
        app = QApplication(["benchmark"])
        app.setQuitOnLastWindowClosed(False)
        loop = qasync.QEventLoop(app)
        asyncio.set_event_loop(loop)
        with loop:
            result = loop.run_until_complete(run(folder, plane, options, sizes))
    finally:
        plane.stop()
        asyncio.set_event_loop(None)
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "platform": os.environ["QT_QPA_PLATFORM"],
        "python": platform.python_version(), "pyside": pyside_version, "cores": os.cpu_count(),
        "loadAverage": round(os.getloadavg()[0], 1), "rounds": options.rounds, "unit": "ms, MiB",
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(options.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
