"""The roster of 10,000 sessions in the real window: load, one status change, a keystroke in the filter.

    python -m benchmarks.roster [--sessions 10000] [--rounds 5]

A control plane of its own on SQLite, seeded with so many sessions (a thousand missions, each with sub-agents on two
levels), HTTP + SSE, the real window. Writes `build/bench/roster.json`; runs on whatever QT_QPA_PLATFORM says (offscreen
if it says nothing). Milliseconds; `cpu` is the GUI thread's CPU time for the same thing (what it costs whatever else
the machine does).

- load: from the window's first request to the paint event that shows all sessions; `longest` is the longest time that
  the GUI thread worked without a turn of its loop meanwhile
- change: one session's new status taken into the roster, and the paint event that shows it; the same for all of the
  window (store, counts, attention queue, roster)
- key: a key in the filter line put into effect, the rows laid out, and the paint event that shows what passes; words
  and terms are typed key by key
- baselines, in the same run: the same pages read by a bare client into a QStandardItemModel behind a
  QSortFilterProxyModel (recursive filtering) in a plain QTreeView; one item's text; the proxy's filter string, without
  opening any branch (which takes it seconds)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import msgspec
import qasync
from benchmarks.seeded import Plane
from benchmarks.transcript import Cost, Costs, Probe, ratio, until
from PySide6 import __version__ as pyside_version
from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QTreeView

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus
from mission_control_desktop.record.ops import PutSession
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import SystemClock, Uuid7, open_database
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.garbage import collected_here
from mission_control_desktop.ui.plane_reading import PAGE
from mission_control_desktop.ui.roster.tree import RosterTree

BELOW_EACH = 9
KINDS = ("Review", "Implement", "Test", "Document", "Investigate", "Refactor", "Deploy", "Measure")
THINGS = ("parser", "scheduler", "importer", "dashboard", "gateway", "billing", "search", "retention", "login")
TYPED = ("parser", "deploy 77", "status:failed", "-review test", "zzz")
STATUSES = (SessionStatus.COMPLETED, SessionStatus.KILLED, SessionStatus.FAILED)
WEIGHTS = (89, 10, 1)


def made(number: int, count: int, now: datetime) -> AgentSession:
    """Missions with sub-agents on two levels; older ones first."""
    rng = random.Random(number)
    mission, place = divmod(number, BELOW_EACH + 1)
    parent = None if place == 0 else mission * (BELOW_EACH + 1) + (0 if place < 4 else 1 + place % 3)
    started = now - timedelta(seconds=30 * (count - number))
    ended = started + timedelta(seconds=rng.randint(30, 4_000))
    return AgentSession(
        session_id=f"internal:s{number}",
        parent_session_id=None if parent is None else f"internal:s{parent}",
        provider="internal",
        status=rng.choices(STATUSES, WEIGHTS)[0],
        spawned_at=started,
        started_at=started,
        completed_at=ended,
        capabilities=Capabilities(),
        evidence=Evidence(last_event_at=ended, source="benchmark"),
        title=f"{rng.choice(KINDS)} the {rng.choice(THINGS)} {number}",
        agent_type="orchestrator" if parent is None else "worker",
        usage={"totalTokens": rng.randint(500, 900_000), "cost": {"amount": rng.random() * 5, "currency": "USD"}},
        metadata={"profile": rng.choice(("claude", "codex", "demo"))},
    )


def seed(folder: Path, count: int) -> None:
    """Put sessions on record. Their control plane must not run."""
    database = open_database(folder / DATABASE_FILE)

    def failed(what: str, error: BaseException) -> None:
        raise RuntimeError(what) from error

    async def write() -> None:
        recorder = Recorder(database, SystemClock(), Uuid7(), failed)
        await recorder.start()
        record, now = recorder.provider_record("internal"), datetime.now(UTC)
        try:
            for number in range(count):
                session = made(number, count, now)
                last = number + 1 == count
                await record.apply(f"s{number}", [PutSession(session=session)], durable=last or number % 500 == 0)
        finally:
            await recorder.close()

    try:
        asyncio.run(write())
    finally:
        database.close_now()


class Paints:
    """Counts a view's paint events and what they cost. Between them the event loop goes on as always."""

    def __init__(self, kind: type[QTreeView]) -> None:
        self.count = 0
        self.last = (0.0, 0.0)
        painted, paints = kind.paintEvent, self

        def paint(view: Any, event: Any) -> None:
            cost = Cost()
            painted(view, event)
            paints.last = cost.taken()
            paints.count += 1

        kind.paintEvent = paint  # type: ignore[method-assign]

    async def next(self) -> tuple[float, float]:
        """What the next paint event costs."""
        count = self.count
        await until(lambda: self.count > count, "a paint event")
        return self.last


async def with_paint(done: tuple[float, float], paints: Paints) -> tuple[float, float]:
    painted = await paints.next()
    return done[0] + painted[0], done[1] + painted[1]


class PlainTree(QTreeView):
    """A view of its own kind, so that its paint events are counted apart."""

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)


class Bare:
    """The baseline: Qt's own models and view."""

    def __init__(self) -> None:
        self.items: dict[str, QStandardItem] = {}
        self.model = QStandardItemModel(0, 1)
        self.proxy = QSortFilterProxyModel()
        self.proxy.setRecursiveFilteringEnabled(True)
        self.proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.proxy.setSourceModel(self.model)
        self.paints = Paints(PlainTree)
        self.view = PlainTree()
        self.view.setUniformRowHeights(True)
        self.view.resize(340, 700)
        self.view.setModel(self.proxy)
        self.view.show()

    async def load(self, mission_control: HttpMissionControl) -> tuple[float, float]:
        cost, cursor, found = Cost(), None, list[AgentSession]()
        while True:
            page = await mission_control.sessions(limit=PAGE, cursor=cursor)
            found += page.items
            if (cursor := page.next_cursor) is None:
                break
        for session in sorted(found, key=lambda s: s.spawned_at):
            item = self.items[session.session_id] = QStandardItem(session.title or "")
            above = self.items.get(session.parent_session_id or "")
            (above or self.model.invisibleRootItem()).appendRow(item)
        self.view.viewport().update()
        await self.paints.next()
        return cost.taken()

    async def change(self, session_id: str, number: int) -> tuple[float, float]:
        cost = Cost()
        self.items[session_id].setText(f"changed {number}")
        return await with_paint(cost.taken(), self.paints)

    async def key(self, text: str) -> tuple[float, float]:
        cost = Cost()
        self.proxy.setFilterFixedString(text)
        self.view.viewport().update()
        return await with_paint(cost.taken(), self.paints)


class Bench:
    """The real window."""

    def __init__(self, desktop: Desktop) -> None:
        self.desktop = desktop
        self.roster = desktop.window.roster
        self.paints = Paints(RosterTree)

    async def load(self, count: int) -> dict[str, Any]:
        reached = await self.desktop.planes.home.connection.reach(lambda _text: None)
        await self.desktop._import_panel()
        probe = Probe()
        probe.start()
        cost = Cost()
        await self.desktop._take(reached)
        await until(lambda: self.roster.model.rowCount() >= count // (BELOW_EACH + 1), "all missions")
        self.roster.model.settle()
        self.roster.tree.viewport().update()
        await self.paints.next()
        wall, cpu = cost.taken()
        probe.stop()
        if len(self.roster.model) != count:
            raise RuntimeError(f"{len(self.roster.model)} of {count} sessions came")
        return {"wall": round(wall, 1), "cpu": round(cpu, 1), "longest": round(max(probe.busy, default=0.0), 1)}

    async def changes(self, rounds: int, *, window: bool) -> dict[str, Any]:
        tree, store, costs = self.roster.tree, self.desktop.store, Costs()
        rows = list(tree.visible_rows())
        for number in range(rounds * 40):
            session = self.roster.model.session_at(self.roster.model.index(rows[number % len(rows)], 0))
            if session is None:
                raise RuntimeError("a row without a session")
            changed = msgspec.structs.replace(session, status=STATUSES[(STATUSES.index(session.status) + 1) % 3])
            cost = Cost()
            if window:
                store.put([changed])
            else:
                store.sessions[session.session_id] = changed
                self.roster.model.put([changed])
            costs.add(await with_paint(cost.taken(), self.paints))
        return costs.summary()

    async def keys(self, rounds: int) -> dict[str, Any]:
        line, costs = self.roster.filter_line, Costs()
        for _ in range(rounds):
            for text in TYPED:
                line.clear()
                self.roster.apply_filter()
                await self.paints.next()
                for key in text:
                    cost = Cost()
                    QTest.keyClicks(line, key)
                    self.roster.apply_filter()
                    self.roster.tree.executeDelayedItemsLayout()
                    taken = cost.taken()
                    if self.roster.model.rowCount():  # else the tree is not seen, but words that nothing matches
                        self.roster.tree.viewport().update()
                        taken = await with_paint(taken, self.paints)
                    costs.add(taken)
        line.clear()
        self.roster.apply_filter()
        return costs.summary()


async def run(folder: Path, plane: Plane, options: argparse.Namespace) -> dict[str, Any]:
    bare = Bare()
    client = HttpMissionControl(plane.url, plane.token)
    await client.health()
    bare_load = await bare.load(client)
    await client.close()
    desktop = Desktop(folder)
    try:
        desktop.window.resize(1280, 800)
        await desktop.show()
        bench = Bench(desktop)
        load = await bench.load(options.sessions)
        await asyncio.sleep(1.0)
        change = await bench.changes(options.rounds, window=False)
        window = await bench.changes(options.rounds, window=True)
        key = await bench.keys(options.rounds)
    finally:
        await desktop.close()
    bare_change, bare_key = Costs(), Costs()
    for number in range(options.rounds * 40):
        bare_change.add(await bare.change(f"internal:s{number % 20 * (BELOW_EACH + 1)}", number))
    for _ in range(options.rounds):
        for text in TYPED:
            await bare.key("")
            for end in range(1, len(text) + 1):
                bare_key.add(await bare.key(text[:end]))
    return {
        "load": {
            **load,
            "bare": {"wall": round(bare_load[0], 1), "cpu": round(bare_load[1], 1)},
            "ratioToBare": ratio(load["wall"], bare_load[0]),
        },
        "change": {**change, "bare": bare_change.summary(),
                   "ratioToBare": ratio(change["cpu"]["p50"], bare_change.summary()["cpu"]["p50"])},
        "changeInAllOfTheWindow": window,
        "key": {**key, "bare": bare_key.summary(),
                "ratioToBare": ratio(key["cpu"]["p50"], bare_key.summary()["cpu"]["p50"])},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/bench/roster.json"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    os.environ["MISSION_CONTROL_DATA_DIR"] = str(folder)
    os.environ.setdefault("MISSION_CONTROL_LOG_LEVEL", "warning")
    plane = Plane(folder)
    try:
        plane.start()
        plane.stop()
        begun = time.perf_counter()
        seed(folder, options.sessions)
        seeded = time.perf_counter() - begun
        plane.start()
        app = QApplication(["benchmark"])
        app.setQuitOnLastWindowClosed(False)
        loop = qasync.QEventLoop(app)
        asyncio.set_event_loop(loop)
        with loop, collected_here():  # as the program runs
            result = loop.run_until_complete(run(folder, plane, options))
    finally:
        plane.stop()
        asyncio.set_event_loop(None)
        shutil.rmtree(folder, ignore_errors=True)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "platform": os.environ["QT_QPA_PLATFORM"],
        "python": platform.python_version(), "pyside": pyside_version, "cores": os.cpu_count(),
        "loadAverage": round(os.getloadavg()[0], 1), "sessions": options.sessions, "rounds": options.rounds,
        "seedSeconds": round(seeded, 1), "unit": "ms",
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"workload": about, **result}, indent=2) + "\n")
    print(options.out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
