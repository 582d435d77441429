"""The stop file: keepers obey it by themselves, also without a control plane, and the audit log tells it once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mission_control_desktop.cli.main import main
from mission_control_desktop.client.stop_file import clear_stop_file, write_stop_file
from mission_control_desktop.control.stop_files import StopFiles
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import Conflict
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity, read_journal
from mission_control_desktop.orchestrator.keeper.stopfile import StopFile
from mission_control_desktop.orchestrator.living import end_what_has_no_keeper, living_sessions
from mission_control_desktop.storage import SystemClock
from support.keepers import WAYS
from support.orchestration import House, eventually, house, ticking


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "data") as built:
        yield built


async def kill_all_rows(home: House) -> list[AuditEntry]:
    rows = [row async for row in home.recorder.audit.rows(DEFAULT_WORKSPACE)]
    return [row for row in rows if row.action is AuditAction.KILL_ALL]


async def until_told(home: House) -> list[AuditEntry]:
    """Have the rows written, by two that look at the same time, as an earlier and a later process would."""
    lookers = [StopFiles(home.orchestrator, home.recorder.audit, SystemClock(), "internal") for _ in range(2)]

    async def probe() -> list[AuditEntry] | None:
        for looker in lookers:
            await looker.look()
        rows = await kill_all_rows(home)
        return rows if len(rows) >= 2 else None

    rows = await eventually(probe, "the rows")
    await StopFiles(home.orchestrator, home.recorder.audit, SystemClock(), "internal").look()
    assert await kill_all_rows(home) == rows
    return rows


async def test_without_a_control_plane_everything_is_stopped_and_told_late_and_once(
    home: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ticks"
    first = await home.spawn(f"[daemon {file}][wait]")
    second = await home.spawn("[permission]")
    await home.until_said(first, "waiting.")
    await home.open_approval(second)
    await home.stop()
    words = [
        "kill-all",
        "--data-dir",
        str(home.data_dir),
        "--scope",
        "all",
        "--confirm",
        "KILL ALL",
        "--reason",
        "drill",
    ]
    code = await asyncio.to_thread(main, words, living=living_sessions)
    said = capsys.readouterr()
    assert code == 0, said
    assert f"internal:{first}  dead" in said.out
    assert "2 dead, 0 left." in said.out
    assert "does not answer" in said.err
    assert not await ticking(file)(), "a process that had left its group lives on"
    assert not await asyncio.to_thread(living_sessions, home.data_dir)
    killed = next(entry.data for entry in read_journal(home.directory(first)) if entry.kind == "did")
    assert killed is not None
    assert killed["escaped"] >= 1
    assert killed["left"] == []
    await home.start()
    for native in (first, second):
        session = await home.until(native, lambda session: session.status.final)
        assert session.status is SessionStatus.KILLED
        assert session.metadata["endedBy"] == "stop-file"
        assert "drill" in await home.said(native, "notice")
    intent, outcome = await until_told(home)
    assert (intent.outcome, outcome.outcome) == (AuditOutcome.INTENDED, AuditOutcome.DONE)
    assert outcome.metadata["intentId"] == intent.id
    assert intent.metadata["via"] == "stop file"
    assert intent.metadata["reason"] == "drill"
    assert {target["sessionId"] for target in outcome.metadata["targets"]} == {
        f"internal:{first}",
        f"internal:{second}",
    }
    with pytest.raises(Conflict, match="clear-stop"):
        await home.spawn("[say no]")
    assert await asyncio.to_thread(main, ["kill-all", "--data-dir", str(home.data_dir), "--clear-stop"]) == 0
    native = await home.spawn("[say yes]")
    await home.until_said(native, "yes")


@pytest.mark.parametrize("cgroup", WAYS)
async def test_without_control_plane_and_keeper_what_is_left_is_seen_and_ended(tmp_path: Path, cgroup: bool) -> None:
    file = tmp_path / "ticks"
    async with house(tmp_path / "data", cgroups=cgroup) as home:
        native = await home.spawn(f"[daemon {file}][wait]")
        await home.until_said(native, "waiting.")
        assert (await home.session(native)).metadata["heldBy"] == ("cgroup" if cgroup else "sub-reaper")
        await home.stop()
        keeper = read_identity(home.directory(native))
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGKILL)
        await eventually(lambda: asyncio.to_thread(lambda: not keeper_alive(home.directory(native))), "its end")
        # The daemon at least: the agent itself may end by itself, since nobody holds its input any more.
        assert (await asyncio.to_thread(living_sessions, home.data_dir))[native] >= 1
        words = [
            "kill-all",
            "--data-dir",
            str(home.data_dir),
            "--scope",
            "all",
            "--confirm",
            "KILL ALL",
            "--reason",
            "drill",
        ]
        code = await asyncio.to_thread(main, words, living=living_sessions, sweep=end_what_has_no_keeper)
        assert code == 0
        assert not await asyncio.to_thread(living_sessions, home.data_dir)
        assert not await ticking(file)()
        await home.start()
        await home.until(native, lambda session: session.status.final)
        assert clear_stop_file(home.data_dir)


async def test_a_living_control_plane_shows_it_at_once(home: House) -> None:
    native = await home.spawn("[wait]")
    await home.until_said(native, "waiting.")
    write_stop_file(home.data_dir, scope="internal", reason="smoke", actor="ann")
    killed = await home.until(native, lambda session: session.status.final)
    assert killed.status is SessionStatus.KILLED
    assert killed.metadata["stopFile"]["actor"] == "ann"
    assert killed.metadata["stopSteps"][-1]["left"] == 0
    await home.orchestrator.file_stops()
    health = home.orchestrator.health()
    assert health.state == "degraded"
    assert "a stop file was written by ann (smoke)" in str(health.detail)
    clear_stop_file(home.data_dir)
    await home.orchestrator.file_stops()
    assert home.orchestrator.health().state == "ok"
    intent, outcome = await until_told(home)
    assert (intent.user_id, outcome.user_id) == ("ann", "ann")
    assert outcome.metadata["targets"] == [{"sessionId": f"internal:{native}", "state": "killed"}]


async def test_a_file_for_somebody_else_or_by_somebody_else_stops_nothing(home: House) -> None:
    native = await home.spawn("[wait]")
    await home.until_said(native, "waiting.")
    stop = home.data_dir / "stop"
    other = home.data_dir / "other"
    other.write_text("")
    for kind in ("of another", "link", "directory"):
        if kind == "of another":
            stop.write_text('{"scope": "openclaw"}')
        elif kind == "link":
            stop.symlink_to(other)
        else:
            stop.mkdir()
        await asyncio.sleep(1.3)  # longer than the keeper waits between two looks
        stop.rmdir() if stop.is_dir() else stop.unlink()
    stop.touch(mode=0o666)
    stop.chmod(0o666)
    await asyncio.sleep(1.3)
    assert (await home.session(native)).status is SessionStatus.RUNNING
    stop.chmod(0o600)  # the same file, once nobody else can have written it
    await home.until_status(native, SessionStatus.KILLED)
    stop.unlink()


async def test_a_keeper_that_starts_beside_one_starts_no_agent(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home.orchestrator._stop_files._file, "look", lambda: None)  # it came in this very moment
    (home.data_dir / "stop").write_text("fire drill")
    native = await home.spawn("[say no]")
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert "fire drill" in (failed.error or "")
    assert await home.said(native) == ""


async def test_a_lost_session_is_not_revived_beside_one(home: House, tmp_path: Path) -> None:
    await home.profile("resumes", "--resume", str(tmp_path))
    native = await home.spawn("[say first]", profile="resumes")
    await home.until_idle(native)
    await home.stop()
    await asyncio.to_thread(home.sweep)
    (home.data_dir / "stop").write_text("drill")
    await home.start()
    failed = await home.until(native, lambda session: session.status.final)
    assert "stop file" in (failed.error or "")


@pytest.mark.parametrize(
    ("content", "scope", "reason", "actor"),
    [
        ("", "", "", ""),
        ("fire\n", "", "fire", ""),
        ('{"scope":"all","reason":"r","actor":"ann"}', "all", "r", "ann"),
        ('{"scope":', "", '{"scope":', ""),
        ('{"scope": 7, "reason": ["x"]}', "", "", ""),
        ("\udcff", "", "\ufffd", ""),
    ],
)
def test_what_a_stop_file_says(tmp_path: Path, content: str, scope: str, reason: str, actor: str) -> None:
    path = tmp_path / "stop"
    look = StopFile(str(path))
    assert look.look() is None
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    order = look.look()
    assert order is not None
    assert (order.scope, order.reason, order.actor, order.owner) == (scope, reason, actor, os.geteuid())
    assert look.look() is order
    again = tmp_path / "again"
    again.write_text(content.encode("utf-8", "replace").decode())
    os.replace(again, path)
    newer = look.look()
    assert newer is not None
    assert newer.id != order.id
    json.dumps(order.data())


def test_without_a_control_plane_the_words_are_needed_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for confirm, reason, scope in (("yes", "r", "all"), ("KILL ALL", " ", "all"), ("KILL ALL", "r", "elsewhere")):
        words = ["kill-all", "--data-dir", str(tmp_path), "--scope", scope, "--confirm", confirm, "--reason", reason]
        assert main(words, living=living_sessions) == 1
    assert not (tmp_path / "stop").exists()
    assert main(["kill-all", "--scope", "all"]) == 2
    capsys.readouterr()
