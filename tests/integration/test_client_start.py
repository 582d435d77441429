"""The real program, found and started as the window does it; its agents outlive everybody."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mission_control_desktop import __version__
from mission_control_desktop.client import paths, starting
from mission_control_desktop.client.discovery import Discovery, Endpoint, How
from mission_control_desktop.client.processes import alive, looks_like_control_plane
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from support.orchestration import DOUBLE, sweep

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("MISSION_CONTROL_")}


@pytest.fixture
async def data_dir(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "data dir"
    yield path
    endpoint = await Discovery(environ={}, data_dir=path).find()
    assert endpoint.pid is not None
    os.kill(endpoint.pid, signal.SIGTERM)
    await gone(endpoint.pid)
    sweep(path)


def discovery(data_dir: Path, version: str = __version__) -> Discovery:
    return Discovery(environ=CLEAN, data_dir=data_dir, version=version)


async def gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while alive(pid):
            await asyncio.sleep(0.02)


async def session_of(endpoint: Endpoint, session_id: str, status: SessionStatus) -> AgentSession:
    client = endpoint.open()
    try:
        async with asyncio.timeout(40):
            while (session := await client.session(session_id)).status is not status:
                await asyncio.sleep(0.02)
        return session
    finally:
        await client.close()


async def start_agent(endpoint: Endpoint) -> tuple[str, int]:
    client = endpoint.open()
    await client.put_profile(LaunchProfile(name="double", command=(sys.executable, str(DOUBLE))))
    session = await client.spawn(SpawnRequest(profile="double", prompt="[hang]"))
    session = await session_of(endpoint, session.session_id, SessionStatus.RUNNING)
    await client.close()
    return session.session_id, session.metadata["process"]["pid"]


async def test_two_windows_start_one_and_a_newer_program_replaces_it(data_dir: Path) -> None:
    first, second = await asyncio.gather(discovery(data_dir).find_or_start(), discovery(data_dir).find_or_start())
    assert first.url == second.url
    assert {first.how, second.how} == {How.STARTED, How.FOUND}
    assert first.pid is not None
    assert looks_like_control_plane(first.pid)
    session_id, agent = await start_agent(first)

    newer = await discovery(data_dir, version="99.0").find_or_start()
    assert newer.how is How.REPLACED
    assert not alive(first.pid)
    assert alive(agent)
    session = await session_of(newer, session_id, SessionStatus.RUNNING)
    assert session.metadata["process"]["pid"] == agent


async def test_a_control_plane_that_was_killed_is_started_again(data_dir: Path) -> None:
    first = await discovery(data_dir).find_or_start()
    session_id, agent = await start_agent(first)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    await gone(first.pid)
    again = await discovery(data_dir).find_or_start()
    assert again.how is How.STARTED
    assert (await session_of(again, session_id, SessionStatus.RUNNING)).metadata["process"]["pid"] == agent


async def test_what_a_program_began_to_start_is_waited_for_and_nothing_is_started_beside_it(data_dir: Path) -> None:
    begun = starting.begin(data_dir, CLEAN)
    assert begun is not None
    assert starting.begin(data_dir, CLEAN) is None  # it is being started
    mine = Discovery(environ=CLEAN, data_dir=data_dir, begun=begun)
    first, second = await asyncio.gather(mine.find_or_start(), discovery(data_dir).find_or_start())
    assert (first.how, first.pid) == (How.STARTED, begun.process.pid)
    assert (second.how, second.pid) == (How.FOUND, begun.process.pid)
    assert starting.begin(data_dir, CLEAN) is None  # it runs
    assert (await mine.find_or_start()).how is How.FOUND


def test_nothing_is_begun_beside_a_named_one_or_where_it_cannot_be(tmp_path: Path) -> None:
    assert starting.begin(tmp_path, {**CLEAN, paths.ENV_URL: "http://127.0.0.1:1"}) is None
    (tmp_path / "file").touch()
    assert starting.begin(tmp_path / "file" / "data", CLEAN) is None
    (tmp_path / paths.CONTROL_PLANE_FILE).write_text("damaged")
    assert starting.begin(tmp_path, CLEAN) is None
