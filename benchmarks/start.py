"""How long the window takes to start, each time as a process of its own.

    python -m benchmarks.start [--rounds 7]

From the moment the process is started to the end of the window's first paint, and to a usable window: connected, the
roster read, a panel shown with its newest message, the input ready for a key. Once with the service running (six
sessions on record) and once without (the window starts it). The baseline, in the same run: a bare PySide6 window with
one label, to its first paint. Writes `build/bench/start.json`; milliseconds. Python's compiled files are warm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.seeded import Plane, seed
from benchmarks.transcript import summary

MESSAGES = 100
SESSIONS = 6
PATIENCE = 60.0

BARE = """
import sys, time
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow
class Window(QMainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        print(time.monotonic_ns(), flush=True)
        QApplication.quit()
app = QApplication([])
window = Window()
window.setCentralWidget(QLabel("bare"))
window.resize(1280, 800)
window.show()
app.exec()
"""

OURS = """
import gc, os, sys, time
from pathlib import Path
gc.disable()
folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
from mission_control_desktop.client import starting
begun = starting.begin(folder, os.environ)  # as `programs.desktop` does
from mission_control_desktop.programs import lean_imports, lean_qt
lean_imports()
lean_qt()
from mission_control_desktop.ui import application
from mission_control_desktop.ui.application import Desktop, make_app
import asyncio
import qasync
app = make_app()
loop = qasync.QEventLoop(app)
asyncio.set_event_loop(loop)
async def main():
    desktop = Desktop(folder, begun=begun)
    await desktop.show()
    print("painted", time.monotonic_ns(), flush=True)
    await desktop.reach()
    end = time.monotonic() + 60
    def usable():
        if not desktop.window.roster.isEnabled() or len(desktop.store.sessions) < wanted:
            return False
        if not wanted:
            return desktop.window.launch.isVisible()
        panels = [desktop.panels.get(i) for i in desktop.window.panels.open_ids()]
        shown = [p for p in panels if p is not None and p.isVisible()]
        return any(p.model.rowCount() and p.pane.view.paints for p in shown)
    if wanted and not desktop.window.panels.open_ids():
        desktop.window.open_session(next(iter(desktop.store.sessions)))
    while not usable():
        if time.monotonic() > end:
            raise RuntimeError("the window did not become usable")
        await asyncio.sleep(0)
    print("usable", time.monotonic_ns(), flush=True)
    await desktop.close()
with loop:
    loop.run_until_complete(main())
"""


def timed(*command: str) -> dict[str, float]:
    """What a process printed with a time, in milliseconds since it was started."""
    began = time.monotonic_ns()
    told = subprocess.run(
        [sys.executable, "-c", *command], capture_output=True, text=True, timeout=PATIENCE * 2, check=False
    )
    if told.returncode != 0:
        raise RuntimeError(told.stderr[-2000:])
    found: dict[str, float] = {}
    for line in told.stdout.split("\n"):
        *name, at = line.split() or [""]
        if at.isdigit():
            found.setdefault(name[0] if name else "painted", (int(at) - began) / 1e6)
    return found


def end_service(folder: Path) -> None:
    """End the control plane that a window started."""
    place = folder / "control-plane.json"
    pid = int(json.loads(place.read_text())["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while Path("/proc", str(pid)).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def of_rounds(rounds: list[dict[str, float]], name: str) -> dict[str, float]:
    return summary([one[name] for one in rounds])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("build/bench/start.json"))
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a program that is installed has its compiled files
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    bare, running, alone = [], [], []
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    try:
        plane = Plane(folder)
        plane.start()
        plane.stop()
        seed(folder, {f"s{number}": MESSAGES for number in range(SESSIONS)})
        plane.start()
        os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
        try:
            for number in range(options.rounds + 1):
                one, two = timed(BARE), timed(OURS, str(folder), str(SESSIONS))
                if number:  # the first of each compiles and fills caches
                    bare.append(one)
                    running.append(two)
        finally:
            plane.stop()
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(prefix="mission-control-bench-") as empty:
                os.environ["MISSION_CONTROL_DATA_DIR"] = empty
                alone.append(timed(OURS, empty, "0"))
                end_service(Path(empty))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {
        "workload": {
            "rounds": options.rounds, "cores": os.cpu_count(), "python": platform.python_version(),
            "platform": os.environ["QT_QPA_PLATFORM"], "loadAverage": round(os.getloadavg()[0], 1), "unit": "ms",
        },
        "bareFirstPaint": of_rounds(bare, "painted"),
        "firstPaint": of_rounds(running, "painted"),
        "usableServiceRunning": of_rounds(running, "usable"),
        "usableServiceNotRunning": of_rounds(alone, "usable"),
    }  # fmt: skip
    base = max(1.0, result["bareFirstPaint"]["p50"])
    result["ratioFirstPaint"] = round(result["firstPaint"]["p50"] / base, 2)
    result["ratioUsable"] = round(result["usableServiceRunning"]["p50"] / base, 2)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(options.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
