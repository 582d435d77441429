"""The orchestrator end to end: real agent processes under real keepers, a real record, the real fold between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mission_control_desktop.domain.errors import BadInput, Conflict, MissionControlError, NotFound
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor, global_id, split_id
from mission_control_desktop.orchestrator.orchestrator import Limits
from support.orchestration import House, eventually, house, ticking


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "data") as built:
        yield built


async def receipt_of(home: House, injection_id: str, *states: ReceiptState) -> Receipt:
    async def probe() -> Receipt | None:
        found = await home.database.receipts.get(injection_id)
        return found if found is not None and found.state in states else None

    return await eventually(probe, f"{injection_id} to be {states}")


async def test_starts_an_agent_and_streams_what_it_says(home: House, tmp_path: Path) -> None:
    native = await home.spawn("[words 20 1][thought][plan][tool][usage][cwd]", title="first", cwd=str(tmp_path))
    session = await home.until_idle(native)
    assert session.title == "first"
    assert session.started_at is not None
    said = await home.said(native)
    assert said == home.journal_text(native)
    assert said.startswith("word0 word1 ")
    assert f"cwd {tmp_path} {tmp_path}" in said
    kinds = {message.metadata["kind"] for message in await home.messages(native)}
    assert {"text", "thought", "plan", "tool_call"} <= kinds
    assert session.usage is not None
    processes = await home.orchestrator.processes(native)
    assert any("double.py" in process.command for process in processes)
    for name in ("spec.json", "launch.json", "journal.jsonl", "mcp-token", "keeper.sock"):
        assert (home.directory(native) / name).stat().st_mode & 0o077 == 0, name


async def test_asks_for_permission_and_takes_one_answer_of_two(home: House) -> None:
    native = await home.spawn("[permission]")
    approval = await home.open_approval(native)
    session = await home.until_status(native, SessionStatus.WAITING)
    assert session.waiting_for is WaitingFor.APPROVAL
    answers = await asyncio.gather(
        *(
            home.orchestrator.answer(native, approval.approval_id, option, user_id=user)
            for user, option in (("ann", "allow"), ("bob", "reject"))
        ),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], Conflict)
    winner = next(answer for answer in answers if not isinstance(answer, BaseException))
    await home.until_said(native, f"permission {winner.answer}.")
    with pytest.raises(MissionControlError):
        await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="eve")


async def test_steers_queues_and_interrupts(home: House) -> None:
    await home.profile("steering", "--steering")
    native = await home.spawn("[wait]", profile="steering")
    await home.until_said(native, "waiting.")
    await home.orchestrator.inject(native, injection_id="steer-1", content="left a bit", operator_id="ann")
    await home.until_said(native, "(heard: left a bit)")
    await receipt_of(home, "steer-1", ReceiptState.ANSWERED, ReceiptState.DELIVERED)

    plain = await home.spawn("[wait]")
    await home.until_said(plain, "waiting.")
    first = await home.orchestrator.inject(plain, injection_id="queue-1", content="later", operator_id="ann")
    assert first.state is ReceiptState.QUEUED
    again = await home.orchestrator.inject(plain, injection_id="queue-1", content="later", operator_id="ann")
    assert again.injection_id == "queue-1"
    await home.orchestrator.inject(plain, injection_id="never", content="no", operator_id="ann")
    withdrawn = await home.orchestrator.withdraw(plain, "never")
    assert withdrawn.state is ReceiptState.WITHDRAWN
    await home.orchestrator.inject(
        plain,
        injection_id="now-1",
        content="[say stop that]",
        operator_id="ann",
        delivery="interrupt",  # type: ignore[arg-type] # as the wire has it
    )
    await receipt_of(home, "now-1", ReceiptState.ANSWERED)
    await receipt_of(home, "queue-1", ReceiptState.ANSWERED)
    await home.until_idle(plain)
    said = await home.said(plain)
    assert "stop that" in said
    assert said.count("you said: later") == 1
    assert "you said: no" not in said


async def test_freezes_all_of_it_and_lets_it_go_on(home: House, tmp_path: Path) -> None:
    file = tmp_path / "ticks"
    native = await home.spawn(f"[ticks {file}][words 200 20]")
    await home.until_said(native, "word2")
    assert await ticking(file)()
    paused = await home.orchestrator.pause(native)
    assert paused.status is SessionStatus.PAUSED
    assert paused.metadata["pauseLevel"] == "freeze"
    assert not await ticking(file)()
    stored = await home.orchestrator.inject(native, injection_id="p", content="after", operator_id="ann")
    assert stored.state in (ReceiptState.STORED, ReceiptState.QUEUED)
    resumed = await home.orchestrator.resume(native)
    assert resumed.status is SessionStatus.RUNNING
    await eventually(ticking(file), "ticks again")
    await home.until_said(native, "word199")
    await home.until_said(native, "you said: after")
    assert await home.said(native) == home.journal_text(native)


async def test_cancels_a_turn_and_goes_on_with_the_next_message(home: House) -> None:
    native = await home.spawn("[words 500 20]")
    await home.until_said(native, "word2")
    with pytest.raises(Conflict):
        await home.orchestrator.cancel_turn(native, expected_run_id="another run")
    await home.orchestrator.cancel_turn(native)
    await home.until_idle(native)
    assert "word499" not in await home.said(native)
    with pytest.raises(Conflict, match="No turn is running"):
        await home.orchestrator.cancel_turn(native)
    await home.orchestrator.inject(native, injection_id="n", content="next", operator_id="ann")
    await home.until_said(native, "you said: next")


async def test_a_frozen_turn_that_is_cancelled_does_not_go_on_when_thawed(home: House) -> None:
    native = await home.spawn("[words 500 20]")
    await home.until_said(native, "word2")
    await home.orchestrator.pause(native)
    said = home.journal_text(native)
    still = await home.orchestrator.cancel_turn(native)
    assert still.status is SessionStatus.PAUSED
    assert home.journal_text(native) == said
    await home.orchestrator.resume(native)
    await home.until_idle(native)
    assert len(home.journal_text(native)) - len(said) < 200


async def test_a_cancelled_turn_takes_its_question_with_it(home: House) -> None:
    native = await home.spawn("[permission][say and on]")
    approval = await home.open_approval(native)
    await home.orchestrator.cancel_turn(native)
    await home.until_idle(native)
    assert "and on" not in home.journal_text(native)
    with pytest.raises(Conflict):
        await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="ann")


async def test_holds_permission_replies_back(home: House) -> None:
    native = await home.spawn("[permission][say and on]")
    approval = await home.open_approval(native)
    held = await home.orchestrator.pause(native, level="hold")
    assert held.status is SessionStatus.PAUSED
    await home.orchestrator.answer(native, approval.approval_id, "allow", user_id="ann")
    await asyncio.sleep(0.3)  # nothing may happen in this time
    assert "permission" not in home.journal_text(native)
    await home.orchestrator.resume(native)
    await home.until_said(native, "and on")


async def test_terminates_in_order_and_kills_what_does_not_listen(home: House, tmp_path: Path) -> None:
    native = await home.spawn("[wait]")
    await home.until_said(native, "waiting.")
    await home.orchestrator.terminate(native)
    ended = await home.until(native, lambda session: session.status.final)
    assert ended.status is SessionStatus.COMPLETED
    assert ended.metadata["endedBy"] == "terminate"
    await home.gone(native)
    assert not (home.directory(native) / "mcp-token").exists()

    await home.profile("deaf", "--ignore-eof", "--ignore-term")
    file = tmp_path / "ticks"
    deaf = await home.spawn(f"[daemon {file}][wait]", profile="deaf")
    await home.until_said(deaf, "waiting.")
    await home.orchestrator.terminate(deaf)
    forced = await home.until(deaf, lambda session: session.status.final)
    assert forced.status is SessionStatus.KILLED
    await home.gone(deaf)
    assert not await ticking(file)()
    with pytest.raises(Conflict, match="ended"):
        await home.orchestrator.inject(deaf, injection_id="late", content="hello?", operator_id="ann")
    with pytest.raises(Conflict):
        await home.orchestrator.kill(deaf)
    assert await home.orchestrator.processes(deaf) == []


async def test_kill_leaves_nothing_behind(home: House, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    native = await home.spawn(f"[ticks {one}][daemon {two}][hang]")
    await eventually(ticking(one), "ticks of the tool")
    await eventually(ticking(two), "ticks of the daemon")
    killed = await home.orchestrator.kill(native)
    assert killed.status is SessionStatus.KILLED
    assert (await home.session(native)).status is SessionStatus.KILLED
    assert not await ticking(one)()
    assert not await ticking(two)()
    await home.gone(native)


async def test_reported_sub_agents_are_sessions_of_their_own(home: House) -> None:
    native = await home.spawn("[subagent 5]")
    await home.until_said(native, "the child is done.")
    sessions = await home.orchestrator.list_sessions()
    children = [session for session in sessions if session.parent_session_id == global_id("internal", native)]
    assert len(children) == 1
    child = split_id(children[0].session_id)[1]
    assert child.startswith(native + ".")
    assert "word4" in await home.said(child)
    assert home.orchestrator.in_subtree(native, child)
    assert not home.orchestrator.in_subtree(child, native)
    assert (await home.orchestrator.get_session(child)) is not None
    with pytest.raises(NotFound):
        await home.orchestrator.pause(native + ".99999")


async def test_an_agent_starts_sub_agents_through_the_tool_server(home: House) -> None:
    """The tool server finds no control plane here: the agent gets that as an answer in plain words."""
    (home.data_dir / "control-plane.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": 1}))
    native = await home.spawn("[mcp list_subagents]")
    session = await home.until_status(native, SessionStatus.RUNNING)
    assert session.status is SessionStatus.RUNNING
    token = (home.directory(native) / "mcp-token").read_text().strip()
    assert home.orchestrator.authenticate_agent(token) == native
    assert home.orchestrator.authenticate_agent(token + "x") is None
    await home.orchestrator.kill(native)
    assert home.orchestrator.authenticate_agent(token) is None


async def test_children_count_and_end_with_their_parent(home: House) -> None:
    parent = await home.spawn("[say parent]", mission_id="m1")
    await home.until_idle(parent)
    child = await home.spawn("[wait]", parent_agent_id=parent)
    grandchild = await home.spawn("[wait]", parent_agent_id=child)
    await home.until_said(grandchild, "waiting.")
    assert (await home.session(child)).mission_id == "m1"
    assert (await home.session(grandchild)).parent_session_id == global_id("internal", child)
    assert home.orchestrator.in_subtree(parent, grandchild)
    await home.until(parent, lambda session: session.waiting_for is WaitingFor.CHILDREN)
    await home.orchestrator.kill(grandchild)
    await home.orchestrator.terminate(parent)
    await home.until(child, lambda session: session.status.final)
    await home.until(parent, lambda session: session.status.final)
    with pytest.raises(Conflict, match="ended"):
        await home.spawn("x", parent_agent_id=parent)


async def test_a_parents_own_end_ends_its_children(home: House) -> None:
    await home.profile("short", "--exit-after-turn", "0")
    parent = await home.spawn("[words 40 25]", profile="short")
    child = await home.spawn("[wait]", parent_agent_id=parent)
    await home.until_said(child, "waiting.")
    await home.until(parent, lambda session: session.status.final)
    await home.until(child, lambda session: session.status.final)
    await home.gone(child)


async def test_limits_are_kept(tmp_path: Path) -> None:
    async with house(tmp_path / "data", limits=Limits(starting=1, depth=2, children=2)) as home:
        root = await home.spawn("[say hi]")
        first, second = [await home.spawn("[wait]", parent_agent_id=root) for _ in range(2)]
        with pytest.raises(Conflict, match="2 living sub-agents"):
            await home.spawn("[wait]", parent_agent_id=root)
        deep = await home.spawn("[wait]", parent_agent_id=first)
        with pytest.raises(Conflict, match="2 levels deep"):
            await home.spawn("[wait]", parent_agent_id=deep)
        # One starts at a time, so the last ones are not started yet: a kill reaches them all the same.
        await home.orchestrator.kill(root)
        for native in (root, first, second, deep):
            session = await home.until(native, lambda session: session.status.final)
            assert session.status is SessionStatus.KILLED, session
            await home.gone(native)


async def test_a_sub_agent_with_one_task_ends_by_itself(home: House) -> None:
    native = await home.spawn("[say done]", end_when_idle=True)
    ended = await home.until(native, lambda session: session.status.final)
    assert ended.status is SessionStatus.COMPLETED
    await home.gone(native)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SpawnRequest(profile="double", cwd="/does/not/exist"), "cwd"),
        (SpawnRequest(profile="double", cwd="relative"), "cwd"),
        (SpawnRequest(profile="missing"), "profile"),
        (SpawnRequest(profile="double", task_source="telepathy"), "taskSource"),
        (SpawnRequest(profile="double", prompt="x" * 200_000), "prompt"),
        (SpawnRequest(profile="double", parent_agent_id="openclaw:x"), "parentAgentId"),
    ],
)
async def test_bad_requests_name_their_field(home: House, request_: SpawnRequest, field: str) -> None:
    await home.profiles.put(LaunchProfile(name="missing", command=("no-such-agent-command", "acp")))
    with pytest.raises(BadInput) as caught:
        await home.orchestrator.spawn(request_, actor="test")
    assert caught.value.field == field
    assert await home.orchestrator.list_sessions() == []
    if field == "profile":
        assert "no-such-agent-command" in caught.value.message


async def test_unknown_sessions_are_not_found(home: House) -> None:
    for action in (home.orchestrator.pause, home.orchestrator.kill, home.orchestrator.processes):
        with pytest.raises(NotFound):
            await action("0" * 32)
    with pytest.raises(NotFound):
        await home.orchestrator.spawn(SpawnRequest(profile="nobody"), actor="test")
    with pytest.raises(NotFound):
        await home.spawn("x", parent_agent_id="0" * 32)
    assert await home.orchestrator.get_session("0" * 32) is None


async def test_agents_get_the_profiles_environment_and_none_of_our_secrets(home: House) -> None:
    await home.profile("env", env={"FLAVOUR": "vanilla"})
    native = await home.spawn("[env FLAVOUR][env MISSION_CONTROL_TOKEN][env MISSION_CONTROL_DATA_DIR]", profile="env")
    await home.until_idle(native)
    said = await home.said(native)
    assert "FLAVOUR=vanilla" in said
    assert said.count("(not set)") == 2
    token = (home.directory(native) / "mcp-token").read_text().strip()
    for name in ("spec.json", "launch.json", "journal.jsonl"):
        assert token not in (home.directory(native) / name).read_text()
