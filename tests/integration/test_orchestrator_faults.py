"""Agents that misbehave, and a control plane that goes away: a clear message each time, and nothing lost or doubled."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.profiles import LaunchProfile
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.orchestrator import orchestrator, recording
from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity
from mission_control_desktop.record.ops import RecordOp
from support.orchestration import DOUBLE, House, eventually, house, ticking


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "data") as built:
        yield built


async def test_an_agent_that_exits_at_once_says_why(home: House) -> None:
    await home.profile("broken", "--exit", "4")
    native = await home.spawn("hello", profile="broken")
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert failed.error is not None
    assert "4" in failed.error
    assert "no credentials found" in failed.error
    await home.gone(native)


async def test_an_agent_that_cannot_be_started_says_why(home: House, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    await home.profiles.put(LaunchProfile(name="bad", command=(str(program),), cwd="/tmp"))
    native = await home.spawn("hello", profile="bad")
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert failed.error is not None
    assert str(program) in failed.error
    await home.gone(native)


async def test_garbage_floods_and_unknown_things_do_not_disturb(home: House) -> None:
    await home.profile("noisy", "--garbage", "--stderr", "8")
    native = await home.spawn("[words 5 1][stderr 4][garbage][unknown][say fine]", profile="noisy")
    await home.until_said(native, "fine")
    await home.until_idle(native)
    assert await home.said(native) == home.journal_text(native)


async def test_a_line_of_fifty_mebibytes_is_reported_and_skipped(home: House) -> None:
    native = await home.spawn("[say before ][bigline 50][say after]")
    await home.until_said(native, "after the big line")
    notices = [message for message in await home.messages(native) if message.metadata.get("kind") == "notice"]
    assert any("50" in notice.content or "52" in notice.content for notice in notices), notices
    await home.until_idle(native)


async def test_an_error_answer_to_the_prompt_is_shown_and_survived(home: House) -> None:
    native = await home.spawn("[error the model is overloaded]")
    await home.until_idle(native)
    words = "".join(message.content for message in await home.messages(native))
    assert "the model is overloaded" in words
    await home.orchestrator.inject(native, injection_id="again", content="[say better]", operator_id="ann")
    await home.until_said(native, "better")


async def test_a_refused_opening_fails_with_the_agents_words(home: House) -> None:
    await home.profile("login", "--no-session")
    await home.profile("unset", "--init-error")
    for profile, words in (("login", "Authentication required"), ("unset", "the model service is not configured")):
        native = await home.spawn("hello", profile=profile)
        failed = await home.until(native, lambda session: session.status.final)
        assert failed.status is SessionStatus.FAILED
        assert failed.error is not None
        assert words in failed.error
        await home.gone(native)


async def test_an_agent_that_dies_in_mid_turn_fails(home: House) -> None:
    native = await home.spawn("[words 3 1][exit 7]")
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert failed.error is not None
    assert "7" in failed.error
    assert "hung up" in failed.error
    assert "word2" in await home.said(native)


async def test_can_be_killed_while_it_never_answers_initialize(home: House) -> None:
    await home.profile("mute", "--no-init", "--ignore-eof", "--ignore-term")
    native = await home.spawn("hello", profile="mute")
    await eventually(lambda: home.orchestrator.processes(native), "a process")
    killed = await home.orchestrator.kill(native)
    assert killed.status is SessionStatus.KILLED
    await home.gone(native)


async def test_detached_and_attached_again_the_transcript_is_whole(home: House) -> None:
    native = await home.spawn("[words 400 5][permission][say the end]")
    other = await home.spawn("[wait]")
    await home.until_said(native, "word20 ")
    await home.stop()
    assert await asyncio.to_thread(keeper_alive, home.directory(native))
    await asyncio.sleep(0.5)  # the agent goes on meanwhile
    await home.start()
    approval = await home.open_approval(native)
    await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="ann")
    await home.until_said(native, "the end")
    said = await home.said(native)
    assert said == home.journal_text(native)
    assert said.count("word399 ") == 1
    assert "waiting." in await home.said(other)
    await home.orchestrator.terminate(other)
    await home.until(other, lambda session: session.status.final)


CRASHING = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.orchestration import House

async def main():
    home = await House(Path({data!r})).start()
    await home.profile()
    native = await home.spawn("[words 1000 2][say the end]")
    child = await home.spawn("[permission][say allowed]", parent_agent_id=native)
    await home.until_said(native, "word30 ")
    print("sessions", native, child, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_control_plane_killed_in_mid_stream_loses_and_doubles_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    source = CRASHING.format(tests=str(DOUBLE.parent.parent), data=str(data))
    process = subprocess.Popen(  # noqa: ASYNC220 - it is to be killed as a control plane would be
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        while not (line := await asyncio.to_thread(process.stdout.readline)).startswith(b"sessions "):
            assert line, "it ended by itself"
        _, native, child = line.decode().split()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    async with house(data) as home:
        await home.until_said(native, "the end")
        session = await home.until(native, lambda session: session.status is SessionStatus.WAITING)
        assert session.waiting_for in (WaitingFor.OPERATOR, WaitingFor.CHILDREN)
        said = await home.said(native)
        assert said == home.journal_text(native)
        assert [said.count(f"word{n} ") for n in (0, 30, 999)] == [1, 1, 1]
        approval = await home.open_approval(child)
        await home.orchestrator.answer(child, approval.approval_id, "allow", user_id="ann")
        await home.until_said(child, "allowed")
        token = (home.directory(native) / "mcp-token").read_text().strip()
        assert home.orchestrator.authenticate_agent(token) == native
        await home.orchestrator.kill(native)
        await home.until(child, lambda session: session.status.final)


async def test_a_killed_keeper_fails_the_session_and_leaves_nothing(home: House, tmp_path: Path) -> None:
    file = tmp_path / "ticks"
    native = await home.spawn(f"[daemon {file}][wait]")
    await home.until_said(native, "waiting.")
    identity = read_identity(home.directory(native))
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert failed.error is not None
    assert "keeper" in failed.error
    await home.gone(native)
    assert not await ticking(file)()


async def test_what_a_dead_keeper_left_is_swept_at_the_next_start(home: House, tmp_path: Path) -> None:
    file = tmp_path / "ticks"
    native = await home.spawn(f"[words 50 1][daemon {file}][wait]")
    await home.until_said(native, "waiting.")
    await home.stop()
    identity = read_identity(home.directory(native))
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    assert await ticking(file)()
    await home.start()
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert not await ticking(file)()
    assert await home.said(native) == home.journal_text(native)


async def test_a_lost_connection_is_made_again(home: House) -> None:
    native = await home.spawn("[words 300 5]")
    for word in ("word10 ", "word60 ", "word110 "):
        await home.until_said(native, word)
        driver = home.orchestrator._drivers[native]
        while (link := driver._link) is None:  # it may still be making the last one again
            await asyncio.sleep(0.01)
        await link.close()
    receipt = await home.orchestrator.inject(native, injection_id="x", content="[say more]", operator_id="ann")
    assert receipt.injection_id == "x"
    await home.until_said(native, "more")
    assert await home.said(native) == home.journal_text(native)


async def test_a_session_without_files_is_failed_at_the_next_start(home: House) -> None:
    native = await home.spawn("[wait]")
    await home.until_said(native, "waiting.")
    await home.stop()
    await asyncio.to_thread(home.sweep)
    await asyncio.to_thread(shutil.rmtree, home.directory(native))
    await home.start()
    failed = await home.until(native, lambda session: session.status.final)
    assert failed.status is SessionStatus.FAILED
    assert failed.error is not None
    assert "files are gone" in failed.error


async def test_many_agents_start_and_stop_together(home: House) -> None:
    natives = [await home.spawn("[words 30 2]") for _ in range(6)]
    began = time.monotonic()
    for native in natives:
        await home.until_idle(native)
    await asyncio.gather(*(home.orchestrator.kill(native) for native in natives))
    for native in natives:
        await home.gone(native)
    assert time.monotonic() - began < 60


async def test_an_agent_is_steered_and_stopped_while_the_record_cannot_be_written(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_WAITING_OPS", 64)
    monkeypatch.setattr(orchestrator, "INJECT_SECONDS", 3.0)
    record = home.orchestrator._need_record()
    room = asyncio.Event()
    apply = record.apply

    async def full(session_id: str, ops: Sequence[RecordOp], **how: Any) -> None:
        await room.wait()
        await apply(session_id, ops, **how)

    native = await home.spawn("[words 5 1][permission][words 1500 1][say first][wait]")
    approval = await home.open_approval(native)
    monkeypatch.setattr(record, "apply", full)
    with pytest.raises(Unavailable, match="record"):
        await home.orchestrator.inject(native, injection_id="i1", content="[say later]", operator_id="ann")
    monkeypatch.setattr(orchestrator, "ANSWER_SECONDS", 1.0)
    with pytest.raises(Unavailable, match="record"):
        await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="ann")

    async def spoken() -> bool:
        return "word1499 " in home.journal_text(native)

    await eventually(spoken, "the agent to go on")
    driver = home.orchestrator._drivers[native]

    async def behind() -> bool:
        return driver._writer._overflowed and home.orchestrator.health().state == "degraded"

    await eventually(behind, "the record to lag")
    killed = await home.orchestrator.kill(native)
    assert killed.status is SessionStatus.KILLED
    room.set()
    ended = await home.until(native, lambda session: session.status.final)
    assert ended.status is SessionStatus.KILLED
    await home.gone(native)
    assert await home.said(native) == home.journal_text(native)
    receipt = await home.database.receipts.get("i1")
    assert receipt is not None
    assert home.orchestrator.health().state == "ok"
