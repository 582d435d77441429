"""What a gateway with 2,000 sessions costs the window beside it: the same work before it is registered and after.

    python -m benchmarks.openclaw_window [--sessions 2000] [--panels 4] [--seconds 15]

The real gateway with so many sessions in its store, a control plane of its own, HTTP + SSE, the real window with panels
of talking agents of this computer (20 words a second each). Measured three times in one run, figures as in
`benchmarks.end_to_end`: before the gateway is registered (the baseline), from then until all its sessions stand in the
roster, and afterwards. Writes `build/bench/openclaw_window.json`; runs on whatever QT_QPA_PLATFORM says (offscreen if
it says nothing). Milliseconds; cpu in per cent of one core.
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
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import psutil
import qasync
from benchmarks.end_to_end import START_SECONDS, PaintWatch, level, spawn
from benchmarks.transcript import Probe, summary
from PySide6.QtWidgets import QApplication

from live.gateway import RealGateway
from live.model import ScriptedModel
from live.owner import owner_of
from live.seeding import add_sessions
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.providers import ProviderDraft
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.application import Desktop

RATE = 20.0
PATIENCE = 120.0


def seeded(folder: Path, model_url: str, sessions: int) -> RealGateway:
    """A gateway that runs and has so many sessions at rest."""
    gateway = RealGateway(folder, model_url, lets_in=True)
    gateway.start()

    async def one() -> str:
        await gateway.first_turn()
        async with owner_of(gateway.url, gateway.token) as owner:
            return str((await owner.call("sessions.list", limit=1))["sessions"][0]["key"])

    try:
        key = asyncio.run(one())
        gateway.kill()
        add_sessions(gateway.store, key, sessions)
        return gateway.start()
    except BaseException:
        gateway.kill()
        raise


async def cost(desktop: Desktop, watch: PaintWatch, lasts: Awaitable[object]) -> dict[str, Any]:
    """Of what the window does while something lasts."""
    process, probe = psutil.Process(), Probe()
    watch.ages.clear()
    before, started = sum(process.cpu_times()[:2]), time.monotonic()
    watch.counting = True
    probe.start()
    await lasts
    probe.stop()
    watch.counting = False
    passed = time.monotonic() - started
    return {
        "seconds": round(passed, 1),
        "sessionsInTheRoster": len(desktop.store.sessions),
        "eventToPaint": summary(watch.ages),
        "busy": summary(probe.busy),
        "wall": summary(probe.wall),
        "cpuPercent": round(100 * (sum(process.cpu_times()[:2]) - before) / passed, 1),
    }


async def run(gateway: RealGateway, folder: Path, sessions: int, panels: int, seconds: float) -> dict[str, Any]:
    desktop, watch = Desktop(folder), PaintWatch()

    async def start(mission_control: MissionControl) -> list[AgentSession]:
        return await spawn(mission_control, panels, RATE, START_SECONDS + PATIENCE + 2 * seconds)

    async def register(mission_control: MissionControl) -> None:
        await mission_control.create_provider(
            ProviderDraft(
                name="gate",
                provider="openclaw",
                gateway_url=gateway.url,
                credentials=Credentials({"token": gateway.token}),
            )
        )

    async def all_listed() -> None:
        await desktop.host.call(register)
        async with asyncio.timeout(PATIENCE):
            while len(desktop.store.sessions) < sessions + panels:
                await asyncio.sleep(0.02)

    async def end(mission_control: MissionControl) -> object:
        return await mission_control.kill_all(scope="internal", confirm="KILL ALL", reason="measured")

    try:
        await desktop.show()
        await desktop.reach()
        desktop.window.resize(2560, 1440)
        for session in await desktop.host.call(start):
            desktop.window.panels.open(session, focus=False)
        await level(desktop, list(desktop.store.sessions.values()))
        before = await cost(desktop, watch, asyncio.sleep(seconds))
        meanwhile = await cost(desktop, watch, all_listed())
        after = await cost(desktop, watch, asyncio.sleep(seconds))
        await desktop.host.call(end)
    finally:
        await desktop.close()
        os.kill(json.loads((folder / "control-plane.json").read_text())["pid"], signal.SIGTERM)
    ratios = {
        "eventToPaintP99": round(after["eventToPaint"]["p99"] / max(0.1, before["eventToPaint"]["p99"]), 2),
        "cpu": round(after["cpuPercent"] / max(0.1, before["cpuPercent"]), 2),
    }
    return {"before": before, "whileItIsRead": meanwhile, "after": after, "ratios": ratios}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--panels", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("build/bench/openclaw_window.json"))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    (folder / "data").mkdir(mode=0o700)
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder / "data")
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    model = ScriptedModel().start()
    try:
        gateway = seeded(folder / "gateway", model.url, given.sessions)
        try:
            app = QApplication(["benchmark"])
            app.setQuitOnLastWindowClosed(False)
            loop = qasync.QEventLoop(app)
            asyncio.set_event_loop(loop)
            with loop:
                result = loop.run_until_complete(
                    run(gateway, folder / "data", given.sessions, given.panels, given.seconds)
                )
        finally:
            asyncio.set_event_loop(None)
            gateway.kill()
    finally:
        model.stop()
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "gatewaySessions": given.sessions, "panels": given.panels, "wordsPerSecondEach": RATE,
        "cores": os.cpu_count(), "python": platform.python_version(), "platform": os.environ["QT_QPA_PLATFORM"],
        "loadAverage": round(os.getloadavg()[0], 1), "unit": "ms",
    }  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(given.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
