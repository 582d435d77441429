"""Finding, starting and replacing a control plane: with stale files, two starters at once, and one that fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.client import discovery as module
from mission_control_desktop.client import processes
from mission_control_desktop.client.discovery import Discovery, How
from mission_control_desktop.client.processes import alive, listens, looks_like_control_plane
from mission_control_desktop.domain.errors import BadInput, NotAuthenticated, Unavailable, Unreachable

STAND_IN = Path(__file__).parents[1] / "support" / "stand_in_plane.py"


class NoRing:
    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing is to be saved here")

    def delete_password(self, service: str, username: str) -> None:
        raise AssertionError("nothing is to be removed here")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory with a space in its name; whatever was started in it is ended."""
    path = tmp_path / "data dir"
    yield path
    starts = path / "starts"
    for pid in map(int, starts.read_text().split() if starts.exists() else []):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It is gone.
            if str(STAND_IN) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Some other program of ours."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def starts(data_dir: Path) -> list[int]:
    path = data_dir / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def discovery(data_dir: Path, behaviour: str = "good", version: str = "1.0.0", **environ: str) -> Discovery:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MISSION_CONTROL_")}
    return Discovery(
        environ={**clean, **environ},
        data_dir=data_dir,
        keyring=NoRing(),
        version=version,
        command=(sys.executable, str(STAND_IN), behaviour, version, "serve"),
    )


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)


async def test_starts_one_and_finds_it_again(data_dir: Path) -> None:
    started = await discovery(data_dir).find_or_start()
    assert (started.how, started.version, started.token) == (How.STARTED, "1.0.0", "local-secret")
    assert starts(data_dir) == [started.pid]
    found = await discovery(data_dir).find_or_start()
    assert (found.how, found.url, found.pid, found.note) == (How.FOUND, started.url, started.pid, None)
    assert (await discovery(data_dir).find()).url == started.url
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "control-plane.log").stat().st_mode) == 0o600
    # It is a session of its own: no signal of our terminal reaches it.
    assert started.pid is not None
    assert os.getsid(started.pid) == started.pid


async def test_no_token_goes_to_a_control_plane_before_it_is_known(data_dir: Path) -> None:
    await discovery(data_dir).find_or_start()
    await discovery(data_dir).find()
    assert set((data_dir / "seen").read_text().split()) == {"None"}


async def test_two_at_once_start_one(data_dir: Path) -> None:
    endpoints = await asyncio.gather(*(discovery(data_dir).find_or_start() for _ in range(4)))
    assert len({endpoint.url for endpoint in endpoints}) == 1
    assert len(starts(data_dir)) == 1
    assert sorted(endpoint.how for endpoint in endpoints) == [How.FOUND] * 3 + [How.STARTED]


async def test_finding_does_not_start(data_dir: Path) -> None:
    with pytest.raises(Unreachable, match="mission-control serve"):
        await discovery(data_dir).find()
    assert not data_dir.exists()


async def test_an_older_one_is_replaced(data_dir: Path) -> None:
    old = await discovery(data_dir, version="0.9.0").find_or_start()
    new = await discovery(data_dir, version="0.10.0").find_or_start()
    assert (new.how, new.version) == (How.REPLACED, "0.10.0")
    assert new.note is not None
    assert "0.9.0" in new.note
    assert old.pid is not None
    assert not alive(old.pid)
    assert starts(data_dir) == [old.pid, new.pid]


async def test_two_at_once_replace_once(data_dir: Path) -> None:
    await discovery(data_dir, version="0.9.0").find_or_start()
    endpoints = await asyncio.gather(*(discovery(data_dir, version="0.10.0").find_or_start() for _ in range(3)))
    assert len({endpoint.url for endpoint in endpoints}) == 1
    assert len(starts(data_dir)) == 2


async def test_a_newer_one_is_used_and_that_is_said(data_dir: Path) -> None:
    newer = await discovery(data_dir, version="2.0.0").find_or_start()
    found = await discovery(data_dir, version="1.0.0").find_or_start()
    assert (found.how, found.url) == (How.FOUND, newer.url)
    assert found.note is not None
    assert "newer (2.0.0)" in found.note


async def test_an_older_one_that_does_not_end_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    old = await discovery(data_dir, "deaf", "0.9.0").find_or_start()
    with pytest.raises(Unavailable, match=rf"process {old.pid}\) is older and does not end"):
        await discovery(data_dir, version="1.0.0").find_or_start()


async def test_one_that_fails_shows_the_end_of_its_log(data_dir: Path) -> None:
    with pytest.raises(Unavailable, match=r"(?s)exit code 3.*control-plane\.log.*the database is damaged"):
        await discovery(data_dir, "fails").find_or_start()


async def test_one_that_says_something_else_is_refused(data_dir: Path) -> None:
    with pytest.raises(Unavailable, match="hello"):
        await discovery(data_dir, "garbage").find_or_start()


async def test_one_that_never_gets_ready_is_ended(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 1.0)
    with pytest.raises(Unavailable, match="did not get ready"):
        await discovery(data_dir, "hangs").find_or_start()
    await until(lambda: not any(map(alive, starts(data_dir))))


async def test_a_program_that_does_not_exist_is_named(data_dir: Path) -> None:
    finder = Discovery(environ={}, data_dir=data_dir, keyring=NoRing(), command=("/nowhere/at-all",))
    with pytest.raises(Unavailable, match="/nowhere/at-all"):
        await finder.find_or_start()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"url": "http://127.0.0.1:1"}',
        '{"url": "gopher://x", "pid": 2}',
        '{"url": "http://10.1.2.3:80", "pid": 1}',
        '{"url": "http://127.0.0.1:1", "pid": -5}',
        '{"url": "http://127.0.0.1:1", "pid": 99999999999999999999}',
        '{"url": "http://127.0.0.1:1", "pid": 4194303}',
    ],
)
async def test_a_stale_or_damaged_file_is_no_obstacle(data_dir: Path, content: str) -> None:
    data_dir.mkdir()
    (data_dir / "control-plane.json").write_text(content)
    with pytest.raises(Unreachable):
        await discovery(data_dir).find()
    assert (await discovery(data_dir).find_or_start()).how is How.STARTED


async def test_a_pid_that_is_another_programs_by_now_is_left_alone(
    data_dir: Path, other: subprocess.Popen[bytes]
) -> None:
    data_dir.mkdir()
    plane = {"url": "http://127.0.0.1:1", "pid": other.pid, "version": "0.0.1"}
    (data_dir / "control-plane.json").write_text(json.dumps(plane))
    endpoint = await discovery(data_dir).find_or_start()
    assert endpoint.how is How.STARTED
    assert other.poll() is None


async def test_a_port_that_is_another_programs_by_now_gets_no_token(
    data_dir: Path, other: subprocess.Popen[bytes]
) -> None:
    """The control plane crashed, its pid lives again as one of our processes, and somebody else has the port."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(500)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    data_dir.mkdir()
    plane = {"url": f"http://127.0.0.1:{server.server_port}", "pid": other.pid, "version": "1.0.0"}
    (data_dir / "control-plane.json").write_text(json.dumps(plane))
    assert listens(other.pid, server.server_port) is False
    assert listens(os.getpid(), server.server_port) is True
    assert (await discovery(data_dir).find_or_start()).how is How.STARTED
    server.shutdown()
    thread.join()
    server.server_close()
    assert asked == []


async def test_a_control_plane_that_does_not_answer_is_named(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANG_SECONDS", 0.3)
    started = await discovery(data_dir).find_or_start()
    assert started.pid is not None
    assert looks_like_control_plane(started.pid) is False  # named otherwise than ours
    monkeypatch.setattr(processes, "looks_like_control_plane", lambda pid: True)
    plane = {"url": "http://127.0.0.1:1", "pid": started.pid, "version": "1.0.0"}
    (data_dir / "control-plane.json").write_text(json.dumps(plane))
    with pytest.raises(Unavailable, match=f"kill {started.pid}"):
        await discovery(data_dir).find_or_start()


async def test_a_crashed_one_leaves_no_zombie_and_is_started_again(data_dir: Path) -> None:
    first = await discovery(data_dir).find_or_start()
    pid = first.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{pid}").exists())
    again = await discovery(data_dir).find_or_start()
    assert (again.how, again.pid != first.pid) == (How.STARTED, True)


async def test_a_missing_local_token_is_explained(data_dir: Path) -> None:
    await discovery(data_dir).find_or_start()
    (data_dir / "local-token").unlink()
    with pytest.raises(NotAuthenticated, match="local-token is missing"):
        await discovery(data_dir).find()
    endpoint = await discovery(data_dir, MISSION_CONTROL_TOKEN="mine").find()
    assert endpoint.token == "mine"


async def test_one_that_is_named(data_dir: Path, tmp_path: Path) -> None:
    started = await discovery(data_dir).find_or_start()
    elsewhere: Any = tmp_path / "elsewhere"
    with pytest.raises(NotAuthenticated, match="MISSION_CONTROL_TOKEN"):
        await discovery(elsewhere, MISSION_CONTROL_URL=started.url).find_or_start()
    named = discovery(elsewhere, MISSION_CONTROL_URL=started.url + "/", MISSION_CONTROL_TOKEN="mine")
    endpoint = await named.find_or_start()
    assert (endpoint.how, endpoint.token, endpoint.url) == (How.NAMED, "mine", started.url)
    assert (await discovery(data_dir).find(started.url)).token == "local-secret"
    with pytest.raises(BadInput, match="unencrypted"):
        await discovery(data_dir, MISSION_CONTROL_URL="http://plane.example").find()
    with pytest.raises(Unreachable):
        await discovery(data_dir, MISSION_CONTROL_TOKEN="x").find("http://127.0.0.1:1")
