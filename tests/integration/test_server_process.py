"""The process itself: start, files, signals, crashes, and what of the agents' life depends on it (nothing)."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mission_control_desktop import __version__
from support.control_plane import ControlPlaneProcess
from support.orchestration import House
from support.served import Listener, environment_without_ours, served, wait_for

SESSIONS = "/api/mission-control/sessions"


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    return subprocess.run(
        [sys.executable, "-m", "mission_control_desktop", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment_without_ours(), **environment},
        check=False,
    )


def test_says_ready_once_and_leaves_private_files(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    made = ControlPlaneProcess(data_dir)
    data_dir.parent.mkdir()
    made.start()
    try:
        note = json.loads((data_dir / "control-plane.json").read_text())
        assert note == {
            "url": made.url,
            "pid": made.pid,
            "version": __version__,
            "startedAt": note["startedAt"],
        }
        assert made.url.startswith("http://127.0.0.1:")
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        for path in data_dir.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert httpx.get(f"{made.url}/api/health", trust_env=False).json()["version"] == __version__
        assert made._process is not None
        assert made._process.stdout is not None
    finally:
        assert made.stop() == 0
    assert not (data_dir / "control-plane.json").exists()
    assert made.log.read_text().count('"event": "accepting requests"') == 1
    assert all(line.startswith("{") for line in made.log.read_text().splitlines())


def test_standard_output_has_the_ready_line_alone(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mission_control_desktop", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment_without_ours(),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    httpx.get(f"{line.split()[1]}/nothing", trust_env=False)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(20) == 0
    process.stdout.close()
    assert line.startswith("ready http://127.0.0.1:")
    assert rest == ""


def test_two_never_share_a_data_directory(tmp_path: Path) -> None:
    with served(tmp_path / "data") as first:
        second = serve("--port", "0", "--data-dir", str(tmp_path / "data"))
        assert second.returncode == 1
        assert second.stdout == ""
        assert f"process {first.process.pid}" in second.stderr
        assert "--data-dir" in second.stderr
        assert first.admin.get("/api/me").status_code == 200
        assert (tmp_path / "data" / "control-plane.json").exists()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = serve("--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert failed.returncode == 1
    assert str(port) in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "--allow-insecure"),
        (["--host", "192.0.2.1", "--allow-insecure"], 1, "cannot be used"),
        (["--valkey-url", "memcached://localhost"], 2, "valkey://HOST:6379/0"),
        (["--role", "emperor"], 2, "invalid choice"),
        (["--port", "99999"], 2, "0 to 65535"),
        (["--config", "/does/not/exist"], 2, "cannot be read"),
        (["--database-url", "mysql://localhost/x"], 2, "SQLite file or a postgresql"),
        (["--nonsense"], 2, "unrecognized"),
        (["--data-dir", "/proc/nowhere"], 1, "cannot be used"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    failed = serve("--port", "0", "--data-dir", str(tmp_path / "data"), *arguments)
    assert failed.returncode == code, failed.stderr
    assert words in failed.stderr
    assert failed.stdout == ""
    assert "Traceback" not in failed.stderr


def test_a_damaged_database_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control-plane.db").write_bytes(b"this is no database" * 1000)
    failed = serve("--port", "0", "--data-dir", str(tmp_path))
    assert failed.returncode == 1
    assert "damaged" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (tmp_path / "control-plane.db").read_bytes().startswith(b"this is no database")


def test_a_file_of_options_and_who_wins(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(f'data-dir = "{tmp_path / "from-file"}"\nport = 0\nlog-level = "warning"\n')
    made = ControlPlaneProcess(tmp_path / "data")
    made.start("--config", str(config))
    try:
        assert (tmp_path / "data" / "control-plane.json").exists()  # the environment's
        assert not (tmp_path / "from-file").exists()
        assert "accepting" not in made.log.read_text()
    finally:
        assert made.stop() == 0
    config.write_text("prot = 0\n")
    failed = serve("--config", str(config))
    assert failed.returncode == 2
    assert "prot" in failed.stderr


def test_roles_serve_what_they_are_for(tmp_path: Path) -> None:
    with served(tmp_path / "api", "--role", "api") as api:
        assert api.admin.get("/agents/profiles").json()["items"] == []
        assert api.admin.post(SESSIONS, json={"profile": "demo"}).status_code == 404
        assert api.admin.put("/agents/profiles/x", json={"command": ["true"]}).status_code == 501
    with served(tmp_path / "orchestrator", "--role", "orchestrator") as orchestrator:
        assert orchestrator.admin.get("/agents").status_code == 200
        assert orchestrator.admin.get(SESSIONS).status_code == 404


def test_agents_live_through_stop_crash_and_start(tmp_path: Path) -> None:
    with served(tmp_path / "data") as made:
        made.double()
        enough = tmp_path / "enough"
        working, idle = made.spawn(f"[until {enough}][say the end]"), made.spawn()
        made.until(working, status="running")
        made.until(idle, waitingFor="operator")
        pid = made.admin.get(f"{SESSIONS}/{working}/processes").json()[0]["pid"]
        assert made.process.stop() == 0
        os.kill(pid, 0)
        made.start()
        made.process.kill()
        os.kill(pid, 0)
        assert (tmp_path / "data" / "control-plane.json").exists()
        made.start()
        assert made.session(working)["status"] == "running"
        assert made.session(idle)["waitingFor"] == "operator"
        enough.touch()
        made.until(working, waitingFor="operator")
        said = "".join(one["content"] for one in made.messages(working) if one["role"] == "agent")
        words, _, end = said.partition("the end")
        assert end.strip() == ""
        assert words.split() == [f"word{number}" for number in range(len(words.split()))]
        killed = made.admin.post(f"{SESSIONS}/{working}/kill", json={"reason": "test"})
        assert killed.json()["status"] == "killed"
        assert made.admin.get(f"{SESSIONS}/{working}/processes").json() == []
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert made.admin.get("/api/mission-control/audit/verify").json()["valid"] is True


def test_a_kill_cut_short_by_a_crash_is_closed_at_the_next_start(tmp_path: Path) -> None:
    with served(tmp_path / "data") as made:
        made.double()
        session_id = made.spawn()
        made.until(session_id, waitingFor="operator")
        started = made.admin.post(
            "/api/mission-control/kill-all",
            json={"scope": "all", "confirm": "KILL ALL", "reason": "test", "undoSeconds": 1.5},
        ).json()
        path = f"/api/mission-control/kill-all/{started['killId']}"
        wait_for(lambda: made.admin.get(path).json()["targets"][0]["state"] == "frozen", "the freeze")
        assert made.session(session_id)["status"] == "paused"
        made.process.kill()
        made.start()
        wait_for(lambda: made.admin.get(path).json()["state"] == "done", "the kill-all to go on")
        (target,) = made.admin.get(path).json()["targets"]
        assert target["state"] == "dead"

        def rows() -> Any:
            found = made.audit(action="kill-all")
            return found if len(found) == 2 else None

        outcome, intent = wait_for(rows, "the outcome")
        assert (intent["outcome"], outcome["outcome"]) == ("intended", "done")
        assert outcome["metadata"]["intentId"] == intent["id"]


def test_freezing_everything_can_be_undone(tmp_path: Path) -> None:
    with served(tmp_path / "data") as made:
        made.double()
        session_id = made.spawn(f"[ticks {tmp_path / 'ticks'}][wait]")
        ticks = tmp_path / "ticks"
        wait_for(lambda: ticks.exists() and ticks.stat().st_size > 100, "the agent's shell to tick")
        body = {"scope": "all", "confirm": "KILL ALL", "reason": "test", "undoSeconds": 30}
        started = made.admin.post("/api/mission-control/kill-all", json=body).json()
        path = f"/api/mission-control/kill-all/{started['killId']}"
        wait_for(lambda: made.admin.get(path).json()["targets"][0]["state"] == "frozen", "the freeze")
        frozen = ticks.stat().st_size
        time.sleep(0.4)
        assert ticks.stat().st_size == frozen
        assert made.admin.post(SESSIONS, json={"profile": "double"}).status_code == 409
        undone = made.admin.post(f"{path}/undo")
        assert undone.status_code == 200
        assert undone.json()["state"] == "undone"
        wait_for(lambda: ticks.stat().st_size > frozen, "the agent to go on")
        assert made.session(session_id)["status"] == "running"
        assert made.admin.post(f"{path}/undo").status_code == 409


def test_a_stop_ends_streams_and_takes_no_longer_than_a_few_seconds(tmp_path: Path) -> None:
    with served(tmp_path / "data") as made:
        with Listener(made.admin, "/api/mission-control/events") as stream:
            began = time.monotonic()
            assert made.process.stop() == 0
            assert time.monotonic() - began < 6
            for _ in stream.events():
                pass
        assert "cut off" not in made.log
        made.start()


def test_ends_by_itself_when_nobody_needs_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    made = ControlPlaneProcess(data_dir)
    made.start("--exit-when-idle", "1.5")
    client = httpx.Client(base_url=made.url, headers={"Authorization": f"Bearer {made.token}"}, trust_env=False)
    assert made._process is not None
    try:
        # An open stream is a need.
        with Listener(client, "/api/mission-control/events"), pytest.raises(subprocess.TimeoutExpired):
            made._process.wait(3)
        from support.orchestration import DOUBLE

        profile = {"command": [sys.executable, str(DOUBLE)], "cwd": str(tmp_path)}
        assert client.put("/agents/profiles/double", json=profile).status_code == 200
        session_id = client.post(SESSIONS, json={"profile": "double"}).json()["sessionId"]
        with pytest.raises(subprocess.TimeoutExpired):  # a living session too
            made._process.wait(3)
        client.post(f"{SESSIONS}/{session_id}/kill", json={"reason": "test"})
        assert made._process.wait(15) == 0
        assert not (data_dir / "control-plane.json").exists()
    finally:
        client.close()
        made.stop()
        House(data_dir).sweep()


def test_the_local_token_is_kept_replaced_when_unknown_and_left_revoked(tmp_path: Path) -> None:
    with served(tmp_path / "data") as made:
        first = made.process.token
        made.process.stop()
        made.start()
        assert made.process.token == first
        made.process.stop()
        (made.data_dir / "local-token").write_text("mc_of-another-record\n")
        made.start()
        second = made.process.token
        assert second not in (first, "mc_of-another-record")
        assert made.admin.get("/api/me").json()["role"] == "admin"
        own = made.admin.get("/api/tokens").json()["items"]
        newest = own[0]["id"]
        assert "token" not in own[0]
        assert made.admin.delete(f"/api/tokens/{newest}").status_code == 204
        made.process.stop()
        made.start()
        assert made.process.token == second
        assert made.admin.get("/api/me").status_code == 401
