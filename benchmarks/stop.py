"""How long a kill-all takes until everything is dead, seen from outside.

    python -m benchmarks.stop [--agents 100] [--no-cgroups]

Each agent is `benchmarks/talker.py --family` under its keeper: four processes, of which one is a child, one left the
session, and one is a double-forked daemon that escaped. A watcher reads /proc without asking the product; every process
of the families carries a mark in its environment. A process stands still if it is stopped or in a frozen cgroup. The
baseline, in the same run and before it: the same families without keepers, whose pids are known, killed one by one.
Writes `build/bench/stop.json`; times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.kill import KillAll, KillState, TargetState
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus

TALKER = Path(__file__).with_name("talker.py")
FAMILY = 4
MARK = "STOP_BENCHMARK_MARK"
PATIENCE = 300.0


def marked(mark: str) -> dict[int, str]:
    """Living processes with the mark: their state by pid."""
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, str] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if wanted in Path("/proc", name, "environ").read_bytes():
                state = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    found[int(name)] = "T" if frozen(name) else state
        except OSError:
            continue
    return found


@cache
def mount() -> Path | None:
    """Where cgroup v2 is."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next((Path(line.split()[4]) for line in lines if " - cgroup2 " in line), None)


def frozen(pid: str) -> bool:
    """Whether the process's cgroup says that all in it stand still."""
    top = mount()
    try:
        lines = Path("/proc", pid, "cgroup").read_text().splitlines()
        line = next((line for line in lines if line.startswith("0::/")), "")
        return top is not None and len(line) > 4 and "frozen 1" in (top / line[4:] / "cgroup.events").read_text()
    except OSError:  # gone, or out of sight
        return False


async def until(mark: str, count: int) -> tuple[float, list[tuple[float, int, int]]]:
    """Look until so many marked processes live; when that was first seen, and what was seen on the way: time, living,
    stopped."""
    seen: list[tuple[float, int, int]] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        living = await asyncio.to_thread(marked, mark)
        seen.append((time.monotonic(), len(living), sum(state in "Tt" for state in living.values())))
        if len(living) == count:
            return seen[-1][0], seen
        await asyncio.sleep(0.005)
    raise RuntimeError(f"{seen[-1][1]} marked processes instead of {count}")


async def baseline(agents: int) -> float:
    """Milliseconds until all families are dead whose pids are known beforehand."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, MARK: mark}
    families = [
        subprocess.Popen(
            [sys.executable, str(TALKER), "--family"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for _ in range(agents)
    ]
    await until(mark, FAMILY * agents)
    pids = list(marked(mark))
    start = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for family in families:
        family.wait()
    end, _ = await until(mark, 0)
    return (end - start) * 1000


async def start(mission_control: HttpMissionControl, agents: int, mark: str) -> None:
    command = (sys.executable, str(TALKER), "--family")
    await mission_control.put_profile(LaunchProfile(name="family", command=command, env={MARK: mark}))
    ids = []
    for _ in range(agents):
        ids.append((await mission_control.spawn(SpawnRequest(profile="family"))).session_id)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        sessions: list[AgentSession] = []
        cursor: str | None = None
        while True:
            page = await mission_control.sessions(limit=500, cursor=cursor)
            sessions += page.items
            if (cursor := page.next_cursor) is None:
                break
        if sum(session.status is SessionStatus.WAITING for session in sessions) == agents:
            return
        await asyncio.sleep(0.2)
    raise RuntimeError("the agents did not come up")


async def stop(mission_control: HttpMissionControl, mark: str, undo_seconds: float) -> dict[str, Any]:
    """Order it, and look at /proc meanwhile."""
    began = time.monotonic()
    watch = asyncio.get_running_loop().create_task(until(mark, 0))
    order = await mission_control.kill_all(
        scope="all", confirm="KILL ALL", reason="measured", undo_seconds=undo_seconds, watch_seconds=0
    )
    acknowledged = time.monotonic()
    kill: KillAll = order
    while kill.state is not KillState.DONE:
        await asyncio.sleep(0.02)
        kill = await mission_control.kill_state(order.kill_id)
    reported = time.monotonic()
    dead, seen = await watch
    living = seen[0][1]
    all_stopped = next((at for at, alive, stopped in seen if alive and stopped == alive), None)
    settled = sorted((target.at - kill.started_at).total_seconds() * 1000 for target in kill.targets)
    return {
        "processesAtFirst": living,
        "acknowledged": round((acknowledged - began) * 1000, 1),
        "allStopped": None if all_stopped is None else round((all_stopped - began) * 1000, 1),
        "allDead": round((dead - began) * 1000, 1),
        "reported": round((reported - began) * 1000, 1),
        "targets": len(kill.targets),
        "targetsDead": sum(target.state is TargetState.DEAD for target in kill.targets),
        "targetSettled": {
            "p50": round(settled[len(settled) // 2], 1),
            "p99": round(settled[int(len(settled) * 0.99)], 1),
            "max": round(settled[-1], 1),
        },
        "survivors": len(marked(mark)),
    }


async def run(folder: Path, agents: int, undo_seconds: float, *options: str) -> dict[str, Any]:
    bare = await baseline(agents)
    plane = subprocess.Popen(
        [sys.executable, "-m", "mission_control_desktop", "serve", "--port", "0", "--data-dir", str(folder), *options],
        stdout=subprocess.PIPE, stderr=(folder / "log").open("w"), text=True,
    )  # fmt: skip
    try:
        assert plane.stdout is not None
        url = (await asyncio.to_thread(plane.stdout.readline)).split()[1]
        mission_control = HttpMissionControl(url, (folder / "local-token").read_text().strip())
        mark = uuid.uuid4().hex
        await start(mission_control, agents, mark)
        await until(mark, FAMILY * agents)
        measured = await stop(mission_control, mark, undo_seconds)
        await mission_control.close()
    finally:
        plane.send_signal(signal.SIGTERM)
        plane.wait(30)
    return {"killAll": measured, "baselineAllDead": round(bare, 1), "ratio": round(measured["allDead"] / bare, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--undo", type=float, default=0.0, help="seconds frozen before the kill")
    parser.add_argument("--no-cgroups", action="store_true", help="hold the agents' processes by their keepers alone")
    parser.add_argument("--out", type=Path, default=Path("build/bench/stop.json"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
    os.environ["MISSION_CONTROL_LOG_LEVEL"] = "warning"
    try:
        options = ["--no-cgroups"] if arguments.no_cgroups else []
        result = asyncio.run(run(folder, arguments.agents, arguments.undo, *options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "agents": arguments.agents, "processesEach": FAMILY, "cgroups": not arguments.no_cgroups,
        "undoSeconds": arguments.undo, "cores": os.cpu_count(),
        "python": platform.python_version(), "machine": platform.machine(), "unit": "ms",
    }  # fmt: skip
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(arguments.out.read_text())
    return 0 if not result["killAll"]["survivors"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
