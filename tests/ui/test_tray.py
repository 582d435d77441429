"""The entry in the system tray: it says what is, and stops everything when no window can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import qasync
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QSystemTrayIcon

from mission_control_desktop.client import paths, windows
from mission_control_desktop.client.fleet import qualify
from mission_control_desktop.client.locks import hold
from mission_control_desktop.client.tokens import TokenStore
from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.events import ProviderHealth, StopChannel, StopState
from mission_control_desktop.orchestrator.living import living_sessions
from mission_control_desktop.ui import detached
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.attention.center import PREFIX
from mission_control_desktop.ui.dialogs import kill_flow
from mission_control_desktop.ui.local_state import TRAY, LocalState, stored
from mission_control_desktop.ui.plane_book import SAVED
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.settings.appearance import AppearancePage
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.tray import following, program
from mission_control_desktop.ui.tray.entry import Followed, TrayEntry
from mission_control_desktop.ui.tray.program import TrayDesk
from support.rig import Rig, dialog, until
from support.scripted_plane import ScriptedPlane, session
from support.served import Served, wait_for
from support.several_planes import Kept

LONG = 60.0
Scenario = Callable[[], Coroutine[Any, Any, None]]

HOW_DEAD = r"(its cgroup is empty|no process is below its keeper) \(\d+ process(es)?(, \d+ escaped)?\)"


@pytest.fixture
def on_loop(qt: Any, qapp: Any) -> Callable[[Scenario], None]:
    """Runs a scenario on a Qt event loop of its own."""

    def run(scenario: Scenario) -> None:
        qapp.setQuitOnLastWindowClosed(False)
        loop = qasync.QEventLoop(qapp)
        asyncio.set_event_loop(loop)
        try:
            with loop:
                loop.run_until_complete(asyncio.wait_for(scenario(), 100))
        finally:
            asyncio.set_event_loop(None)
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    return run


def followed(*, connected: bool = False, problem: str = "", refusal: str = "") -> Followed:
    return Followed("", "this computer", connected, problem, refusal)


def question(native: str, number: int) -> Approval:
    now = datetime.now(UTC)
    return Approval(
        approval_id=f"q{number}",
        session_id=f"internal:{native}",
        provider="internal",
        title="May I?",
        options=(ApprovalOption(option_id="yes", label="Yes", kind="allow_once"),),
        created_at=now,
    )


def test_the_menu_follows_the_store(qt: Any) -> None:
    store = SessionStore()
    entry = TrayEntry(store)
    assert entry.agents.text() == "Not connected"
    assert entry.stop.text() == "Stop untested"
    entry.set_planes([followed(problem="no control plane runs here")])
    assert "no control plane runs here" in entry.icon.toolTip()
    assert entry.kill_all.isEnabled(), "a stop is never out of reach for want of a connection"
    entry.set_planes([followed(connected=True)])
    assert entry.agents.text() == "No agent lives"
    store.put([session("a"), session("b"), session("c", status="completed")])
    assert entry.agents.text() == "2 agents live"
    store.put([question("a", 1), question("a", 2)])
    assert entry.agents.text() == "2 agents live, 2 need a person"
    tested = StopChannel(state=StopState.ARMED, tested_at=datetime.now(UTC), detail="all answered")
    store.put([ProviderHealth(provider="internal", state="ok", stop=tested)])
    assert entry.stop.text() == "Stop armed"
    assert "all answered" in entry.stop.toolTip()
    old = StopChannel(state=StopState.ARMED, tested_at=datetime.now(UTC) - timedelta(minutes=5))
    store.put([ProviderHealth(provider="internal", state="ok", stop=old), session("a", status="killed")])
    assert entry.stop.text() == "Stop untested"
    store.replace_approvals([])
    assert entry.icon.toolTip().splitlines()[0] == "Mission Control: 1 agent lives"
    entry.set_planes([followed(connected=True, refusal="Your role may not do this.")])
    assert not entry.kill_all.isEnabled()
    assert entry.kill_all.toolTip() == "Your role may not do this."
    entry.close()


def test_what_is_pressed_is_said(qt: Any) -> None:
    entry = TrayEntry(SessionStore())
    for action, signal_ in (
        (entry.open_window, entry.open_wanted),
        (entry.kill_all, entry.kill_all_wanted),
        (entry.leave, entry.quit_wanted),
    ):
        with qt.waitSignal(signal_, timeout=5000):
            action.trigger()
    entry.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The data directory of tray, window and control plane; the latter is not started yet."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(paths.ENV_DATA_DIR, str(folder))
    made = Served(folder)
    try:
        yield made
    finally:
        made.end()


def processes_of(house: Served, sessions: list[str]) -> list[psutil.Process] | None:
    """What a stop must reach: each agent, and what it left behind; None before all are there."""
    told = [house.admin.get(f"/api/mission-control/sessions/{one}/processes").json() for one in sessions]
    if not all(told):
        return None
    found = []
    for one in (one for items in told for one in items):
        with contextlib.suppress(psutil.NoSuchProcess):  # the daemon starts others that live for a moment
            found.append(psutil.Process(one["pid"]))
    return found


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_everything_is_stopped_while_the_window_is_stopped(
    house: Served, on_loop: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_flow, "UNDO_SECONDS", 1.0)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(program, "FRONT_SECONDS", 0.3)
    others: list[Path] = []
    monkeypatch.setattr(detached, "start_window", lambda folder, connect: others.append(folder))
    monkeypatch.setattr(program, "OPENING_SECONDS", 0.0)
    house.start()
    house.double()
    sessions = [house.spawn("[daemon ticks] [wait]"), house.spawn("[wait]")]
    window = subprocess.Popen([*detached.PROGRAM], env=os.environ | {"QT_QPA_PLATFORM": "offscreen"})
    wait_for((house.data_dir / "ticks").exists, "the daemon of one agent")
    own = wait_for(lambda: processes_of(house, sessions), "the agents")
    assert len(own) > len(sessions)

    async def scenario() -> None:
        await until(lambda: windows.any_open(house.data_dir), "the window", LONG)
        window.send_signal(signal.SIGSTOP)
        tray = TrayDesk(house.data_dir, living_sessions)
        tray.follow()
        entry = tray.entry
        await until(lambda: entry.agents.text() == "2 agents live", "what lives", LONG)

        entry.open_window.trigger()
        await until(lambda: others, "another window beside the one that hangs")

        entry.kill_all.trigger()
        shown = tray.ask_kill_all()
        assert shown.model.rowCount() == 2
        shown.reason.setText("the window hangs")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: "Every target is verified dead" in shown._result.text(), "all verified", LONG)
        assert shown.summary.text() == "2 of 2 verified dead"
        details = [str(shown.model.index(row, 4).data()) for row in range(2)]
        assert all(re.fullmatch(HOW_DEAD, detail) for detail in details), details
        assert any("escaped" in detail for detail in details)
        shown.cancel.click()
        await until(lambda: entry.agents.text() == "No agent lives")
        await tray.close()

    try:
        on_loop(scenario)
        assert window.poll() is None
        assert psutil.Process(window.pid).status() == psutil.STATUS_STOPPED
    finally:
        window.kill()
        window.wait()
    assert not any(map(lives, own))
    for session_id in sessions:
        assert house.session(session_id)["status"] == "killed"
    rows = [row for row in house.audit() if row["action"] == "kill-all"]
    assert sorted(row["outcome"] for row in rows) == ["done", "intended"]
    assert "the window hangs" in {row["metadata"].get("reason") for row in rows}
    assert {row["userId"] for row in rows} == {house.admin.get("/api/me").json()["userId"]}


def test_without_a_control_plane_it_says_so_and_stops_all_the_same(
    house: Served, on_loop: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)

    async def scenario() -> None:
        tray = TrayDesk(house.data_dir, living_sessions)
        tray.follow()
        said = tray.entry.agents
        await until(lambda: "no control plane runs here" in said.toolTip(), "that none runs")
        await asyncio.to_thread(house.start)
        await asyncio.to_thread(house.double)
        running = await asyncio.to_thread(house.spawn, "[wait]")
        own = await asyncio.to_thread(processes_of, house, [running])
        await until(lambda: said.text() == "1 agent lives", "the connection", LONG)
        await asyncio.to_thread(house.process.kill)
        await until(lambda: said.text() == "Not connected", "that it is away", LONG)
        shown = tray.ask_kill_all()
        shown.reason.setText("nobody is there")
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: "Every target is verified dead" in shown._result.text(), "the keeper's obedience", LONG)
        assert shown.summary.text() == "1 of 1 verified dead"
        assert "stop file" in shown._result.text()
        assert own
        assert not any(map(lives, own))
        await tray.close()

    on_loop(scenario)


def test_it_ends_when_nobody_needs_it(
    tmp_path: Path, on_loop: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "UNNEEDED_SECONDS", 0.0)
    monkeypatch.setattr(program, "LOOK_SECONDS", 0.02)

    async def scenario() -> None:
        open_window = windows.OpenWindow(tmp_path)
        tray = TrayDesk(tmp_path, living_sessions)
        tray.store.put([session("a")])
        running = asyncio.get_running_loop().create_task(tray.main())
        open_window.close()
        await asyncio.sleep(0.2)
        assert not running.done(), "an agent lives"
        tray.store.put([session("a", status="completed")])
        assert await running == 0

    on_loop(scenario)


def test_an_open_window_comes_to_the_front(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        assert windows.any_open(rig.folder)
        desk.window.showMinimized()
        windows.ask_to_front(rig.folder)
        await until(lambda: windows.was_taken(rig.folder))
        await until(lambda: not desk.window.isMinimized())
        await desk.close()
        assert not windows.any_open(rig.folder)

    rig.run(scenario)


def test_a_window_that_crashed_is_not_open(tmp_path: Path) -> None:
    left = windows.folder(tmp_path)
    left.mkdir()
    (left / "4711-0a0b0c0d.open").touch()
    assert not windows.any_open(tmp_path)
    assert list(left.iterdir()) == []


def test_where_it_cannot_be_it_says_so(tmp_path: Path) -> None:
    def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
        inherited = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
        return subprocess.Popen(
            [*detached.PROGRAM, "--tray"],
            env={**inherited, paths.ENV_DATA_DIR: str(folder), **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    held = hold(tmp_path / paths.TRAY_LOCK_FILE)
    assert held is not None
    light = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, mission_control_desktop.ui.tray.program\n"
            "print([m for m in sys.modules if 'main_window' in m or 'QtAds' in m or 'sqlalchemy' in m])",
        ],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        text=True,
    )
    started = {
        "there is no display": start(tmp_path / "other"),
        "has no system tray": start(tmp_path / "other", QT_QPA_PLATFORM="offscreen"),
        "runs already": start(tmp_path, QT_QPA_PLATFORM="offscreen"),
    }
    try:
        for words, process in started.items():
            _, said = process.communicate(timeout=LONG)
            assert process.returncode == 1
            assert words in said
            assert said.startswith("mission-control-desktop: ")
        assert light.communicate(timeout=LONG)[0].strip() == "[]"
    finally:
        os.close(held)


def test_the_tray_can_be_switched_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Path, str | None]] = []
    monkeypatch.setattr(detached, "start_tray", lambda folder, connect: started.append((folder, connect)))
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)

    async def whole(desk: Desktop, before: int) -> None:
        running = asyncio.get_running_loop().create_task(desk.main())
        await until(lambda: "connected" in desk.window.header.connection.text())
        await until(lambda: len(started) > before or not desk.state.get(TRAY, True))
        desk.window.commands["mission.settings"].trigger()
        shown = await dialog(SettingsDialog, desk.window)
        shown.page(AppearancePage).tray.setChecked(False)
        shown.reject()
        desk.window.commands["mission.close"].trigger()
        assert await running == 0

    async def scenario() -> None:
        await whole(rig.desktop(ScriptedPlane().open), 0)
        assert started == [(rig.folder, None)]
        await whole(rig.desktop(ScriptedPlane().open), 1)
        assert len(started) == 1

    rig.run(scenario)


def test_what_a_window_decided_counts_in_the_tray_too(qt: Any, tmp_path: Path) -> None:
    state = LocalState(tmp_path, problem=lambda text: pytest.fail(text))
    store = SessionStore()
    window = Attention(store, state)
    entry = TrayEntry(store)
    entry.set_planes([followed(connected=True)])
    store.put([session("a"), question("a", 1), question("a", 2), session("b", status="failed")])
    assert entry.agents.text() == "1 agent lives, 3 need a person"
    first, second = window.items()[:2]
    window.acknowledge([first.key])
    window.shelve([second.key], None)
    state.put("planes", [])
    state.put("draft:a", "not asked for")
    assert state.flush()
    kept = stored(tmp_path, PREFIX, "planes")
    assert kept["planes"] == []
    assert len(kept) == 3, "what begins with one of them, and nothing else"
    entry.attention.merge(kept)
    entry.refresh()
    assert entry.agents.text() == "1 agent lives, 1 needs a person"
    assert [need.key for need in entry.attention.items()] == [need.key for need in window.items()]
    entry.close()
    state.close()


def test_it_counts_every_control_plane_that_is_connected(qt: Any) -> None:
    """And says which is not, and where the person may stop nothing."""
    store = SessionStore()
    entry = TrayEntry(store)
    store.put([session("a"), question("a", 1), *qualify("team", (session("b"), question("b", 2), session("c")))])
    here, team = followed(connected=True), Followed("team", "team", connected=True)
    entry.set_planes([here, team])
    assert entry.agents.text() == "3 agents live, 2 need a person"
    assert entry.kill_all.toolTip() == "Of this computer and team, or of one of them"
    entry.set_planes([here, team._replace(connected=False, problem="nobody answers")])
    assert entry.agents.text() == "1 agent lives, 1 needs a person (without team)"
    assert "team: nobody answers" in entry.icon.toolTip()
    assert "team: not connected" in entry.stop.toolTip()
    assert entry.kill_all.isEnabled()
    entry.set_planes([here, team._replace(refusal="You are an observer on team: your role only watches")])
    assert entry.kill_all.isEnabled()
    assert entry.kill_all.toolTip() == "Without team (You are an observer on team: your role only watches)"
    entry.set_planes([here._replace(refusal="no"), team._replace(refusal="no")])
    assert not entry.kill_all.isEnabled()
    entry.close()


def test_one_order_from_the_tray_reaches_every_control_plane(
    planes: tuple[Served, Served],
    kept: Kept,
    rig: Rig,
    on_loop: Callable[[Scenario], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one of this computer does not answer: its agents obey the file. One that a window has just let go of is not
    hit any more."""
    monkeypatch.setattr(kill_flow, "UNDO_SECONDS", 1.0)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(program, "DECIDED_SECONDS", 0.1)
    home, team = planes
    here, there = home.spawn("[wait]"), team.spawn("[wait]")
    token = team.token("operator")["token"]
    state = LocalState(rig.folder, problem=lambda text: pytest.fail(text))

    async def scenario() -> None:
        await TokenStore(rig.folder).save(team.url, token)
        state.put(SAVED, [{"name": "team", "url": team.url}, {"damaged": True}])
        tray = TrayDesk(rig.folder, living_sessions)
        tray.follow()
        entry = tray.entry
        await until(lambda: entry.agents.text() == "2 agents live", "what lives on both", LONG)
        assert {"internal", "team/internal"} == {one.provider for one in tray.store.live()}

        await asyncio.to_thread(home.process.kill)
        await until(lambda: entry.agents.text() == "1 agent lives (without this computer)", "that home is away", LONG)
        entry.kill_all.trigger()
        shown = tray.ask_kill_all()
        assert shown.scope == "everywhere"
        assert shown.model.rowCount() == 2
        shown.reason.setText("enough")
        assert not shown.act.isEnabled(), "the words are not typed"
        shown.typed.setText("KILL ALL")
        shown.act.click()
        await until(lambda: shown.summary.text() == "2 of 2 verified dead", "both dead", LONG)
        said = shown._result.text()
        assert "this computer: 1 of 1 verified dead. Done by the stop file" in said
        assert "team: 1 of 1 verified dead." in said
        shown.cancel.click()
        assert team.session(there)["status"] == "killed"
        assert not living_sessions(rig.folder)

        state.put(SAVED, None)
        await until(lambda: len(list(tray.planes)) == 1, "team is let go of", LONG)
        await until(lambda: entry.agents.text() == "Not connected", "nobody is left")
        assert not any(one.provider.startswith("team/") for one in tray.store.sessions.values())
        await tray.close()

    try:
        on_loop(scenario)
    finally:
        state.close()
    assert {row["metadata"].get("reason") for row in team.audit(action="kill-all")} >= {"enough"}
    home.start()
    assert home.session(here)["status"] == "killed"
