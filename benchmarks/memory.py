"""Whether the window's memory grows with what is said: hours of talk, pressed into minutes.

    python -m benchmarks.memory [--panels 16] [--rate 150] [--turn 20] [--minutes 8]

Real agents under keepers, a control plane of its own, the real window with all panels visible. Each agent talks in
turns of `--turn` seconds, and is prompted again when it waits. Time is compressed by the rate: what counts is the words
that were said, told as hours at 20 words a second in each panel. Measured from the words of the first ten such minutes
on; memory is the resident set after a collection and after malloc has given back what is free. Writes
`build/bench/memory.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import qasync
from benchmarks.end_to_end import TALKER
from benchmarks.transcript import resident
from PySide6.QtWidgets import QApplication

from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui.application import Desktop

REAL_RATE = 20.0
"""Words a second in each panel that hours are told in."""
SETTLED_MINUTES = 10.0
SAMPLE_SECONDS = 10.0


async def start(mission_control: MissionControl, panels: int, prompt: str) -> list[AgentSession]:
    await mission_control.put_profile(LaunchProfile(name="talker", command=(sys.executable, str(TALKER))))
    request = SpawnRequest(profile="talker", prompt=prompt, cwd=str(TALKER.parent))
    return [await mission_control.spawn(request) for _ in range(panels)]


async def talk_on(desktop: Desktop, session_ids: list[str], prompt: str, counted: list[int], words: int) -> None:
    """Prompt whoever waits. `counted[0]` grows by the words of each turn that was begun."""
    prompted: set[str] = set()
    while True:
        for session_id in session_ids:
            session = desktop.store.sessions.get(session_id)
            if session is None or session.status is SessionStatus.RUNNING:
                prompted.discard(session_id)  # a turn takes seconds: it is seen to run
            elif session.status is SessionStatus.WAITING and session_id not in prompted:
                prompted.add(session_id)
                await desktop.host.call(lambda mc, i=session_id: mc.inject(i, prompt))  # type: ignore[misc]
                counted[0] += words
        await asyncio.sleep(0.2)


async def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    desktop = Desktop(folder)
    prompt = f"{options.rate:g} {options.turn:g}"
    words = int(options.rate * options.turn)
    try:
        await desktop.show()
        await desktop.reach()
        desktop.window.resize(2560, 1440)
        sessions = await desktop.host.call(lambda mc: start(mc, options.panels, prompt))
        ids = [session.session_id for session in sessions]
        for session in sessions:
            desktop.window.panels.open(session, focus=False)
        desktop.window.panels.arrange_all()
        counted = [words * options.panels]
        talking = desktop.tasks.start(talk_on(desktop, ids, prompt, counted, words), name="talk on")
        began, samples = time.monotonic(), []
        try:
            while time.monotonic() - began < options.minutes * 60 and not talking.done():
                await asyncio.sleep(SAMPLE_SECONDS)
                hours = counted[0] / options.panels / REAL_RATE / 3600
                samples.append((round(hours, 3), round(resident(), 1)))
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

        async def end(mission_control: MissionControl) -> object:
            return await mission_control.kill_all(scope="all", confirm="KILL ALL", reason="measured")

        await desktop.host.call(end)
        visible = sum(1 for i in ids if (panel := desktop.panels.get(i)) is not None and panel.isVisible())
        held = {i: len(panel.model.entries) for i in ids if (panel := desktop.panels.get(i)) is not None}
    finally:
        await desktop.close()
    settled = [one for one in samples if one[0] >= SETTLED_MINUTES / 60] or samples[-1:]
    return {
        "panelsVisible": visible,
        "wordsSaid": counted[0],
        "hours": samples[-1][0],
        "settledMiB": settled[0][1],
        "endMiB": settled[-1][1],
        "growthPercent": round(100 * (settled[-1][1] / settled[0][1] - 1), 1),
        "messagesHeldByAPanel": max(held.values(), default=0),
        "samplesHoursMiB": samples,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, default=16)
    parser.add_argument("--rate", type=float, default=150.0, help="words a second of each agent")
    parser.add_argument(
        "--turn", type=float, default=8.0, help="seconds of a turn; a session takes ten messages a minute"
    )
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("build/bench/memory.json"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    app = QApplication(["benchmark"])
    app.setQuitOnLastWindowClosed(False)
    loop = qasync.QEventLoop(app)
    asyncio.set_event_loop(loop)
    try:
        with loop:
            result = loop.run_until_complete(run(folder, options))
    finally:
        asyncio.set_event_loop(None)
        place = folder / "control-plane.json"
        if place.exists():
            os.kill(int(json.loads(place.read_text())["pid"]), signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "panels": options.panels, "wordsPerSecondEach": options.rate, "turnSeconds": options.turn,
        "compression": options.rate / REAL_RATE, "cores": os.cpu_count(), "python": platform.python_version(),
        "loadAverage": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(options.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
