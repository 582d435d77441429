"""Codex and Claude Code, the real programs, through the whole house: from the launch profile to the verified end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from live.installed_agents import NODE, InstalledAgents, installed_agents
from live.model import ScriptedModel, play
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.errors import Conflict, MissionControlError
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus, WaitingFor
from support.control_plane import ControlPlaneProcess
from support.keepers import alive

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

DEADLINE = 180
"""Seconds for any one thing to happen: an agent's start takes 20 s and more on a small computer that has other work."""
CODEX_CONFIG = """\
model = "scripted"
model_provider = "loopback"
approval_policy = "on-request"
sandbox_mode = "{sandbox}"
check_for_update_on_startup = false
[model_providers.loopback]
name = "Loopback"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "LOOPBACK_KEY"
[analytics]
enabled = false
[features]
multi_agent = true
"""


@dataclass
class Desk:
    """One operator's hands on one control plane with one kind of agent."""

    mission_control: HttpMissionControl
    profile: str
    work: Path

    def shell(self, command: str) -> dict[str, Any]:
        """The script's step that makes the agent want to run a command for which it asks first."""
        if self.profile == "codex":
            wanted = {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "the test asks"}
            return {"tool": "exec_command", "with": {**wanted, "yield_time_ms": 30000}}
        return {"shell": command}

    async def reconnect(self, control_plane: ControlPlaneProcess) -> None:
        """To a control plane that was started again, on another port."""
        await self.mission_control.close()
        self.mission_control = HttpMissionControl(control_plane.url, control_plane.token)

    async def spawn(self, prompt: str | None = None) -> AgentSession:
        request = SpawnRequest(profile=self.profile, prompt=prompt, cwd=str(self.work))
        return await self.mission_control.spawn(request)

    async def session(self, session_id: str) -> AgentSession:
        return await self.mission_control.session(session_id)

    async def messages(self, session_id: str) -> tuple[AgentMessage, ...]:
        return (await self.mission_control.messages(session_id, limit=500)).items

    async def said(self, session_id: str) -> str:
        """All that the agent has said in words."""
        messages = await self.messages(session_id)
        return "\n".join(m.content for m in messages if m.role is MessageRole.AGENT and m.kind is MessageKind.TEXT)

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(DEADLINE * 10):
            if await holds():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {DEADLINE} s: {what}")

    async def until_said(self, session_id: str, text: str) -> None:
        async def holds() -> bool:
            return text in await self.said(session_id)

        try:
            await self.until(f"the agent says {text!r}", holds)
        except AssertionError as error:
            told = [(m.role.value, m.kind.value, m.content[-300:]) for m in await self.messages(session_id)]
            raise AssertionError(f"{error}; transcript {told}; {await self.session(session_id)}") from None

    async def until_status(
        self, session_id: str, status: SessionStatus, waiting_for: WaitingFor | None = None
    ) -> AgentSession:
        async def holds() -> bool:
            seen = await self.session(session_id)
            return seen.status is status and (waiting_for is None or seen.waiting_for is waiting_for)

        await self.until(f"{session_id} is {status.value} {waiting_for or ''}", holds)
        return await self.session(session_id)

    async def until_asked(self, session_id: str) -> Approval:
        found: list[Approval] = []

        async def holds() -> bool:
            opened = (await self.mission_control.approvals(state=ApprovalState.OPEN)).items
            found[:] = [approval for approval in opened if approval.session_id == session_id]
            return bool(found)

        await self.until("a permission question is open", holds)
        return found[0]

    async def receipt(self, receipt: Receipt) -> Receipt:
        items = await self.mission_control.receipts(receipt.session_id)
        return next(item for item in items if item.injection_id == receipt.injection_id)

    async def until_receipt(self, receipt: Receipt, state: ReceiptState) -> None:
        async def holds() -> bool:
            return (await self.receipt(receipt)).state is state

        await self.until(f"the receipt says {state.value}", holds)


@pytest.fixture(scope="session")
def agents() -> InstalledAgents:
    return installed_agents()


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    model = ScriptedModel().start()
    yield model
    model.stop()


def profile_for(kind: str, agents: InstalledAgents, model: ScriptedModel, home: Path) -> LaunchProfile:
    """How the real agent is started against the scripted model, with a home of its own."""
    environment = {"HOME": str(home), "PATH": f"{NODE.parent}{os.pathsep}/usr/local/bin:/usr/bin:/bin"}
    if kind == "codex":
        config = home / ".codex" / "config.toml"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(CODEX_CONFIG.format(url=model.url, sandbox="workspace-write"))
        return LaunchProfile(
            name=kind,
            command=agents.command("@agentclientprotocol/codex-acp"),
            mode="workspace-write",  # its own default has a second model decide instead of asking the operator
            env={**environment, "LOOPBACK_KEY": "x"},
        )
    return LaunchProfile(
        name=kind,
        command=agents.command("@agentclientprotocol/claude-agent-acp"),
        mode="default",
        env={
            **environment,
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "x",
            "ANTHROPIC_MODEL": "claude-sonnet-4-5",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        },
    )


@pytest.fixture(scope="module", params=["codex", "claude"])
def launch_profile(
    request: pytest.FixtureRequest,
    agents: InstalledAgents,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> LaunchProfile:
    return profile_for(request.param, agents, model, tmp_path_factory.mktemp(f"home-{request.param}"))


@pytest.fixture(scope="module")
def control_plane(
    launch_profile: LaunchProfile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlaneProcess]:
    """One for all tests of an agent, as an operator would have."""
    process = ControlPlaneProcess(tmp_path_factory.mktemp(f"plane-{launch_profile.name}") / "data").start()
    yield process
    process.stop()


@pytest.fixture
async def desk(
    launch_profile: LaunchProfile, control_plane: ControlPlaneProcess, tmp_path: Path
) -> AsyncIterator[Desk]:
    work = tmp_path / "work"
    work.mkdir()
    desk = Desk(HttpMissionControl(control_plane.url, control_plane.token), launch_profile.name, work)
    await desk.mission_control.put_profile(launch_profile)
    yield desk
    for session in (await desk.mission_control.sessions(limit=500)).items:
        if not session.status.final and session.parent_session_id is None:
            await desk.mission_control.kill(session.session_id, reason="the test is over")
    await desk.mission_control.close()


async def test_streams_a_turn_and_waits_for_the_operator(desk: Desk) -> None:
    session = await desk.spawn(play({"words": 20, "every": 0.05}))
    await desk.until_said(session.session_id, "w19")
    seen = await desk.until_status(session.session_id, SessionStatus.WAITING, WaitingFor.OPERATOR)
    assert Delivery.STEER in seen.capabilities.inject
    receipt = await desk.mission_control.inject(session.session_id, "and now this")
    await desk.until_said(session.session_id, "HEARD and now this")
    await desk.until_receipt(receipt, ReceiptState.ANSWERED)


async def test_a_steer_cuts_into_the_running_turn(desk: Desk) -> None:
    session = await desk.spawn(play({"words": 600, "every": 0.1}))
    await desk.until_said(session.session_id, "w5")
    receipt = await desk.mission_control.inject(session.session_id, "look left", delivery=Delivery.STEER)
    await desk.until_said(session.session_id, "HEARD look left")
    await desk.until_receipt(receipt, ReceiptState.ANSWERED)
    assert "w500" not in await desk.said(session.session_id)


async def test_a_queued_message_waits_for_the_end_of_the_turn(desk: Desk) -> None:
    session = await desk.spawn(play({"words": 30, "every": 0.1}))
    await desk.until_said(session.session_id, "w3")
    receipt = await desk.mission_control.inject(session.session_id, "later please", delivery=Delivery.QUEUE)
    assert receipt.state in (ReceiptState.STORED, ReceiptState.QUEUED)
    await desk.until_said(session.session_id, "HEARD later please")
    assert "w29" in await desk.said(session.session_id)
    await desk.until_receipt(receipt, ReceiptState.ANSWERED)


async def test_an_interrupt_ends_the_turn_and_is_answered(desk: Desk) -> None:
    session = await desk.spawn(play({"words": 600, "every": 0.1}))
    await desk.until_said(session.session_id, "w5")
    receipt = await desk.mission_control.inject(session.session_id, "stop that", delivery=Delivery.INTERRUPT)
    await desk.until_said(session.session_id, "HEARD stop that")
    await desk.until_receipt(receipt, ReceiptState.ANSWERED)
    told = await desk.messages(session.session_id)
    assert [m.content for m in told if m.role is MessageRole.OPERATOR] == ["stop that"]


async def test_a_permission_question_is_answered_once_and_obeyed(desk: Desk) -> None:
    for wanted, file in (("allow_once", "allowed"), ("reject_once", "denied")):
        session = await desk.spawn(play(desk.shell(f"echo yes > {file}"), {"say": "done asking"}))
        approval = await desk.until_asked(session.session_id)
        seen = await desk.until_status(session.session_id, SessionStatus.WAITING, WaitingFor.APPROVAL)
        assert seen.capabilities.approvals
        assert not (desk.work / file).exists()
        option = next(option for option in approval.options if option.kind == wanted)
        answers = await asyncio.gather(
            *(desk.mission_control.answer(approval.approval_id, option.option_id) for _ in range(2)),
            return_exceptions=True,
        )
        assert sorted(isinstance(answer, Conflict) for answer in answers) == [False, True], answers
        await desk.until_status(session.session_id, SessionStatus.WAITING, WaitingFor.OPERATOR)
        assert (desk.work / file).exists() == (wanted == "allow_once")
        await desk.mission_control.kill(session.session_id, reason="next")


async def test_a_sub_agent_is_a_session_of_its_own(desk: Desk) -> None:
    inner = play({"words": 5, "every": 0.1}, {"say": "inner work done"})
    session = await desk.spawn(play({"delegate": inner}, {"say": "outer work done"}))
    children: list[AgentSession] = []

    async def holds() -> bool:
        items = (await desk.mission_control.sessions(limit=500)).items
        children[:] = [item for item in items if item.parent_session_id == session.session_id]
        return bool(children)

    await desk.until("a sub-agent appears", holds)
    await desk.until_said(children[0].session_id, "inner work done")
    await desk.until_status(children[0].session_id, SessionStatus.COMPLETED)
    with pytest.raises(MissionControlError):
        await desk.mission_control.inject(children[0].session_id, "too late")


async def test_freeze_stops_every_process_and_thaw_loses_nothing(desk: Desk) -> None:
    session = await desk.spawn(play({"words": 40, "every": 0.1}))
    await desk.until_said(session.session_id, "w3")
    await desk.mission_control.pause(session.session_id)
    await desk.until_status(session.session_id, SessionStatus.PAUSED)
    processes = await desk.mission_control.processes(session.session_id)
    assert processes
    assert {process.state for process in processes} <= {"T", "t"}
    before = await desk.said(session.session_id)
    await asyncio.sleep(1)
    assert await desk.said(session.session_id) == before
    await desk.mission_control.resume(session.session_id)
    await desk.until_said(session.session_id, "w39")
    words = (await desk.said(session.session_id)).split()
    assert words == [f"w{n}" for n in range(40)]


async def test_terminate_and_kill_leave_no_process(desk: Desk) -> None:
    for end in ("terminate", "kill"):
        session = await desk.spawn(play({"words": 600, "every": 0.1}))
        await desk.until_said(session.session_id, "w3")
        pids = {process.pid for process in await desk.mission_control.processes(session.session_id)}
        assert pids
        if end == "terminate":
            await desk.mission_control.terminate(session.session_id, reason="enough")
            wanted = SessionStatus.COMPLETED
        else:
            await desk.mission_control.kill(session.session_id, reason="enough")
            wanted = SessionStatus.KILLED
        await desk.until_status(session.session_id, wanted)
        assert not [pid for pid in pids if alive(pid)]


async def test_the_control_plane_dies_in_mid_turn_and_nothing_is_lost(
    desk: Desk, control_plane: ControlPlaneProcess
) -> None:
    session = await desk.spawn(play({"words": 60, "every": 0.1}))
    await desk.until_said(session.session_id, "w5")
    control_plane.kill()
    await asyncio.sleep(1)
    control_plane.start()
    await desk.reconnect(control_plane)
    await desk.until_said(session.session_id, "w59")
    assert (await desk.said(session.session_id)).split() == [f"w{n}" for n in range(60)]
