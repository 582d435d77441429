"""Keepers are killed, the computer is restarted: sessions go on in new processes, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity, read_journal
from mission_control_desktop.orchestrator.keeper.processes import read_process
from support.orchestration import House, eventually, house, ticking


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    kept = tmp_path / "kept"
    kept.mkdir()
    async with house(tmp_path / "data") as built:
        await built.profile("resumes", "--resume", str(kept))
        await built.profile("loads", "--load", str(kept))
        await built.profile("repeats", "--load", str(kept), "--name", "kimi", "--repeats")
        await built.profile("unable", "--load", str(kept), "--load-error")
        yield built


def kill_keeper(home: House, native: str, number: int = signal.SIGKILL) -> None:
    identity = read_identity(home.directory(native))
    assert identity is not None
    os.kill(identity.pid, number)


def revived(times: int) -> Any:
    def wanted(session: AgentSession) -> bool:
        ready = session.waiting_for is not None and session.waiting_for.value == "operator"
        return ready and session.metadata.get("revivals") == times

    return wanted


async def notices(home: House, native: str) -> str:
    return await home.said(native, "notice")


@pytest.mark.parametrize("profile", ["resumes", "loads"])
async def test_a_killed_keeper_costs_the_turn_and_nothing_else(home: House, tmp_path: Path, profile: str) -> None:
    file = tmp_path / "ticks"
    native = await home.spawn("[say first]", profile=profile)
    await home.until_idle(native)
    await home.orchestrator.inject(
        native, injection_id="lost", content=f"[daemon {file}][words 5 1][wait]", operator_id="ann"
    )
    await home.until_said(native, "waiting.")
    await home.orchestrator.inject(
        native, injection_id="later", content="[say afterwards]", operator_id="ann", delivery=None
    )
    before = [message.message_id for message in await home.messages(native)]
    kill_keeper(home, native)
    await home.until_said(native, "afterwards")
    session = await home.until(native, revived(1))
    assert session.session_id == f"internal:{native}"
    assert not await ticking(file)(), "what the old process left lives on"
    after = await home.messages(native)
    assert [message.message_id for message in after][: len(before)] == before
    said = await home.said(native)
    assert [said.count(word) for word in ("first", "word4 ", "waiting.", "afterwards")] == [1, 1, 1, 1]
    assert [message.content for message in after if message.role == "user"] == ["[say first]"]
    lost, later = await home.database.receipts.get("lost"), await home.database.receipts.get("later")
    assert lost is not None
    assert later is not None
    # A delivered message that was answered by words already was seen; what became of its order is said by the notice.
    assert lost.state.value in ("answered", "failed")
    assert later.state.value == "answered"
    told = await notices(home, native)
    assert "keeper of the agent's process was killed" in told
    assert "resumed the session in its new process" in told
    await home.orchestrator.terminate(native)
    await home.until_status(native, SessionStatus.COMPLETED)
    await home.gone(native)


async def test_an_unanswered_order_is_not_carried_out_again(home: House) -> None:
    native = await home.spawn("[say ready]", profile="repeats")
    await home.until_idle(native)
    await home.orchestrator.inject(native, injection_id="old", content="[say OLD ORDER][wait]", operator_id="ann")
    await home.until_said(native, "waiting.")
    kill_keeper(home, native)
    await home.until(native, revived(1))
    await home.orchestrator.inject(native, injection_id="new", content="[say new]", operator_id="ann")
    await home.until_said(native, "new")
    await home.until_idle(native)
    assert (await home.said(native)).count("OLD ORDER") == 1
    assert "told not to" in await notices(home, native)
    written = [entry.line or "" for entry in read_journal(home.directory(native)) if entry.kind == "out"]
    assert "Disregard that message" in written[-1]


async def test_a_session_that_cannot_be_taken_up_fails_with_the_reason(home: House) -> None:
    native = await home.spawn("[say ready]", profile="unable")
    await home.until_idle(native)
    kill_keeper(home, native)
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert "invalid session identifier" in (failed.error or "")
    await home.gone(native)


async def test_after_a_restart_of_the_computer_sessions_go_on_from_cold(home: House, tmp_path: Path) -> None:
    native = await home.spawn("[words 5 1][say first]", profile="resumes")
    ended = await home.spawn("[say ended]", profile="resumes")
    await home.until_idle(native)
    await home.until_idle(ended)
    await home.orchestrator.kill(ended)
    await home.gone(ended)
    await home.stop()
    await asyncio.to_thread(home.sweep)
    # Its pid and start time are somebody else's by now, as they can be after a restart.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:  # noqa: ASYNC220
        process = read_process(stranger.pid)
        assert process is not None
        identity = home.directory(native) / "keeper.json"
        told = json.loads(identity.read_text())
        told |= {"pid": process.pid, "startTime": process.start, "bootId": "an earlier start of the computer"}
        identity.write_text(json.dumps(told))
        assert not await asyncio.to_thread(keeper_alive, home.directory(native))
        await home.start()
        await home.until(native, revived(1))
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert "computer was restarted" in await notices(home, native)
    await home.orchestrator.inject(native, injection_id="x", content="[say second]", operator_id="ann")
    await home.until_said(native, "second")
    assert await home.said(native) == home.journal_text(native)
    assert (await home.session(ended)).status is SessionStatus.KILLED


async def test_a_keeper_that_is_told_to_end_does_so_and_the_session_goes_on(home: House) -> None:
    native = await home.spawn("[say first]", profile="resumes")
    await home.until_idle(native)
    kill_keeper(home, native, signal.SIGTERM)
    await home.until(native, revived(1))
    assert "told to end" in await notices(home, native)


async def test_an_order_to_kill_that_comes_after_the_loss_is_kept(home: House) -> None:
    native = await home.spawn("[say first]", profile="resumes")
    await home.until_idle(native)
    gate = asyncio.Event()
    asked = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await gate.wait()

    home.orchestrator.start_gate = wait
    kill_keeper(home, native)
    await asked.wait()
    driver = home.orchestrator._drivers[native]

    async def ordered() -> bool:
        return bool(driver._orders.ends())

    async with asyncio.TaskGroup() as group:
        killing = group.create_task(home.orchestrator.kill(native))
        await eventually(ordered, "the order")
        gate.set()
    assert killing.result().status is SessionStatus.KILLED
    await home.gone(native)


async def test_nothing_is_revived_while_an_order_forbids_it(home: House) -> None:
    native = await home.spawn("[say first]", profile="resumes")
    child = await home.spawn("[say child]", profile="resumes", parent_agent_id=native)
    await home.until_idle(child)

    async def forbidden() -> str:
        return "a kill-all is under way"

    home.orchestrator.start_gate = forbidden
    kill_keeper(home, native)
    failed = await home.until(native, lambda session: session.status.final)
    assert "kill-all is under way" in (failed.error or "")
    # With the parent its sub-agents end; one that is lost meanwhile is not started again either.
    await home.until(child, lambda session: session.status.final)


async def test_it_is_not_revived_for_ever(home: House) -> None:
    native = await home.spawn("[say first]", profile="resumes")
    await home.until_idle(native)
    for times in (1, 2, 3):
        kill_keeper(home, native)
        await home.until(native, revived(times))
    kill_keeper(home, native)
    failed = await home.until(native, lambda session: session.status.final)
    assert "3 times" in (failed.error or "")
    await home.gone(native)
