"""The whole way: from the moment an agent says a word to the end of the paint event that shows it.

    python -m benchmarks.end_to_end [--panels 16] [--rate 20] [--seconds 20]

Real agents' processes (`benchmarks/talker.py`) under keepers, a control plane of its own on SQLite, HTTP + SSE, the
real window. Every word carries the time at which it was said, so both ends use one clock. The baseline, in the same
run: the same agents read over the same streams by a bare client that paints nothing. Writes
`build/bench/end_to_end.json`; runs on whatever QT_QPA_PLATFORM says (offscreen if it says nothing).

- event to paint: milliseconds from a word's birth to the end of the paint event that first contains it
- busy, wall: what an input event would have waited (see `benchmarks.transcript`); the longest stall is the largest wall
- cpu: the window's process, in per cent of one core; memory: its resident set in MiB
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil
import qasync
from benchmarks.transcript import Probe, summary
from PySide6 import __version__ as pyside_version
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QApplication

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.events import Delta
from mission_control_desktop.domain.kill import KillState
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.main_window.meter import Reading
from mission_control_desktop.ui.transcript.layout import TranscriptLayout

TALKER = Path(__file__).with_name("talker.py")
VISIBLE = 16
"""Panels that stand side by side; further ones share their places."""
WARM_UP_SECONDS = 4.0
START_SECONDS = 120.0
FRESH_MS = 1_000.0


def ages(words: Iterable[str], now: int) -> list[float]:
    """Milliseconds since each word was said."""
    found = []
    for word in words:
        with contextlib.suppress(ValueError):
            found.append((now - int(word, 36)) / 1e6)
    return found


class PaintWatch:
    """Takes the age of every word at the end of the first paint event of its panel that contains it."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.counting = False
        self._seen: dict[int, tuple[str, int]] = {}
        self._laid_out: dict[int, tuple[str, str]] = {}
        watch, flush, paint = self, TranscriptLayout.flush, TranscriptLayout.paintEvent

        def noting_flush(view: TranscriptLayout) -> None:
            flush(view)
            watch.laid_out(view)

        def noting_paint(view: TranscriptLayout, event: QPaintEvent) -> None:
            paint(view, event)
            watch.painted(view)

        TranscriptLayout.flush = noting_flush  # type: ignore[method-assign,assignment]
        TranscriptLayout.paintEvent = noting_paint  # type: ignore[method-assign,assignment]

    def laid_out(self, view: TranscriptLayout) -> None:
        model = view.model()
        entries = getattr(model, "entries", ())
        if entries and entries[-1].message.role is MessageRole.AGENT:
            self._laid_out[id(view)] = (entries[-1].message.message_id, entries[-1].text)

    def painted(self, view: TranscriptLayout) -> None:
        now = time.monotonic_ns()
        message_id, text = self._laid_out.pop(id(view), ("", ""))
        if not text:
            return
        before, length = self._seen.get(id(view), (message_id, 0))
        start = length if before == message_id else 0
        whole = text.rfind(" ") + 1 or len(text)
        if self.counting:
            self.ages += ages(text[start:whole].split(), now)
        self._seen[id(view)] = (message_id, max(start, whole))


async def spawn(mission_control: MissionControl, panels: int, rate: float, seconds: float) -> list[AgentSession]:
    await mission_control.put_profile(LaunchProfile(name="talker", command=(sys.executable, str(TALKER))))
    request = SpawnRequest(profile="talker", prompt=f"{rate:g} {seconds:g}", cwd=str(TALKER.parent))
    return [await mission_control.spawn(request) for _ in range(panels)]


async def stop_all(mission_control: MissionControl) -> None:
    """End every agent, and wait until it is over: nothing can be started meanwhile."""
    kill = await mission_control.kill_all(scope="all", confirm="KILL ALL", reason="measured")
    while kill.state not in (KillState.DONE, KillState.UNDONE):
        await asyncio.sleep(0.1)
        kill = await mission_control.kill_state(kill.kill_id)


async def bare(url: str, token: str, panels: int, rate: float, seconds: float) -> dict[str, Any]:
    """The baseline: a client that reads the streams and keeps nothing but the words' ages."""
    mission_control = HttpMissionControl(url, token)
    found: list[float] = []
    sessions = await spawn(mission_control, panels, rate, WARM_UP_SECONDS + seconds + panels * 0.5)
    counting_from = time.monotonic() + WARM_UP_SECONDS + panels * 0.3

    async def read(session: AgentSession) -> None:
        async with mission_control.stream(session.session_id) as events:
            async for event in events:
                now = time.monotonic_ns()
                if isinstance(event.data, Delta) and time.monotonic() > counting_from:
                    found.extend(ages(event.data.text.split(), now))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WARM_UP_SECONDS + panels * 0.3 + seconds):
            async with asyncio.TaskGroup() as group:
                for session in sessions:
                    group.create_task(read(session), name=f"read {session.session_id}")
    await stop_all(mission_control)
    await mission_control.close()
    return {"eventToReader": summary(found), "words": len(found)}


def seen(desktop: Desktop, session_id: str) -> bool:
    """Whether a session's panel stands in front."""
    panel = desktop.panels.get(session_id)
    return panel is not None and panel.isVisible()


async def level(desktop: Desktop, sessions: list[AgentSession]) -> None:
    """Until every panel that can be seen shows words that were said just now: what came before is the start, not the
    stream. Panels behind others hold nothing."""
    end = time.monotonic() + START_SECONDS
    late = {session.session_id for session in sessions}
    while late and time.monotonic() < end:
        await asyncio.sleep(0.2)
        late -= {one for one in late if not seen(desktop, one)}
        now = time.monotonic_ns()
        for session_id in list(late):
            panel = desktop.panels.get(session_id)
            last = panel.model.entries[-1].text.split()[-2:-1] if panel is not None and panel.model.entries else []
            if any(age < FRESH_MS for age in ages(last, now)):
                late.discard(session_id)
    if late:
        raise RuntimeError(f"{len(late)} of {len(sessions)} panels did not come level in {START_SECONDS:g} s")
    await asyncio.sleep(WARM_UP_SECONDS)


async def measure(desktop: Desktop, watch: PaintWatch, panels: int, rate: float, seconds: float) -> dict[str, Any]:
    await desktop.show()
    await desktop.reach()
    desktop.window.resize(2560, 1440)
    life = 2 * START_SECONDS + seconds

    async def start(mission_control: MissionControl) -> list[AgentSession]:
        return await spawn(mission_control, panels, rate, life)

    sessions = await desktop.host.call(start)
    desktop.window.panels.open_all(sessions)
    if panels > VISIBLE:
        desktop.window.panels.arrange_in(4, VISIBLE // 4)
    await asyncio.sleep(WARM_UP_SECONDS)
    await level(desktop, sessions)
    gc.collect()
    gc.freeze()
    process, probe = psutil.Process(), Probe()
    stats_before = desktop.inbox.stats()
    cpu_before, started = sum(process.cpu_times()[:2]), time.monotonic()
    readings: list[Reading] = []
    desktop.meter.read()
    desktop.meter.on_reading = readings.append
    watch.counting = True
    probe.start()
    await asyncio.sleep(seconds)
    probe.stop()
    watch.counting = False
    passed = time.monotonic() - started
    stats = desktop.inbox.stats()
    return {
        "visible": sum(seen(desktop, session.session_id) for session in sessions),
        "eventToPaint": summary(watch.ages),
        "wordsPainted": len(watch.ages),
        "wordsSaid": round(panels * rate * passed),
        "busy": summary(probe.busy),
        "wall": summary(probe.wall),
        "longestStall": round(max(probe.wall, default=0.0), 1),
        "cpuPercent": round(100 * (sum(process.cpu_times()[:2]) - cpu_before) / passed, 1),
        "memoryMiB": round(process.memory_info().rss / 2**20, 1),
        "meter": {
            "frameMs": summary([one.frame_ms for one in readings]),
            "lagMs": summary([one.lag_ms for one in readings]),
            "framesPerSecond": round(sum(one.frames for one in readings) / max(1, len(readings)), 1),
        },
        "merged": stats.merged - stats_before.merged,
        "dropped": stats.dropped - stats_before.dropped,
        "relevelled": stats.relevelled - stats_before.relevelled,
    }


async def run(folder: Path, panels: int, rate: float, seconds: float) -> dict[str, Any]:
    watch = PaintWatch()
    desktop = Desktop(folder)
    try:
        try:
            window = await measure(desktop, watch, panels, rate, seconds)
        finally:
            await desktop.host.call(stop_all)
    finally:
        await desktop.close()
    place = json.loads((folder / "control-plane.json").read_text())
    token = (folder / "local-token").read_text().strip()
    try:
        baseline = await bare(place["url"], token, panels, rate, seconds)
    finally:
        os.kill(place["pid"], signal.SIGTERM)
    ratio = window["eventToPaint"]["p99"] / max(0.1, baseline["eventToReader"]["p99"])
    return {"window": window, "baseline": baseline, "ratioOfP99": round(ratio, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--panels", type=int, default=16)
    parser.add_argument("--rate", type=float, default=20.0, help="words a second of each agent")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("build/bench/end_to_end.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    app = QApplication(["benchmark"])
    app.setQuitOnLastWindowClosed(False)
    loop = qasync.QEventLoop(app)
    asyncio.set_event_loop(loop)
    try:
        with loop:
            result = loop.run_until_complete(run(folder, arguments.panels, arguments.rate, arguments.seconds))
    finally:
        asyncio.set_event_loop(None)
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "panels": arguments.panels, "wordsPerSecondEach": arguments.rate, "seconds": arguments.seconds,
        "cores": os.cpu_count(), "python": platform.python_version(), "pyside": pyside_version,
        "platform": os.environ["QT_QPA_PLATFORM"], "machine": platform.machine(), "unit": "ms",
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(arguments.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
