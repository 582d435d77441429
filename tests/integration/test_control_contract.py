"""What a person can see and do, the same in process and over HTTP: one suite for both doors, on real agents."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import BadInput, Conflict, IdempotencyMismatch, NotFound, Unsupported
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.kill import KillState, TargetState
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import AuditFilter, MissionControl
from mission_control_desktop.domain.people import Principal, Role
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.providers import ProviderChange, ProviderDraft
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from mission_control_desktop.programs import open_in_process
from mission_control_desktop.server.running import Options, running
from support.orchestration import DOUBLE, House, eventually


@pytest.fixture(params=["in process", "over HTTP"])
async def mc(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MissionControl]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(running(Options(data_dir=tmp_path / "data")))
        if request.param == "in process":
            made: MissionControl = served.plane.bind(Principal(user_id="ann", role=Role.ADMIN))
        else:
            token = await served.plane.tokens.create(user_id="ann", role=Role.ADMIN)
            made = HttpMissionControl(served.url, token.token)
        stack.push_async_callback(made.close)
        await made.put_profile(LaunchProfile(name="double", command=(sys.executable, str(DOUBLE)), cwd=str(tmp_path)))
        yield made
    await asyncio.to_thread(House(tmp_path / "data").sweep)


async def until(mc: MissionControl, session_id: str, wanted: Callable[[AgentSession], object]) -> AgentSession:
    async def probe() -> AgentSession | None:
        session = await mc.session(session_id)
        return session if wanted(session) else None

    return await eventually(probe, session_id)


async def idle(mc: MissionControl, session_id: str) -> AgentSession:
    return await until(mc, session_id, lambda session: session.waiting_for is WaitingFor.OPERATOR)


async def test_a_sessions_life(mc: MissionControl) -> None:
    me = await mc.me()
    assert (me.user_id, me.role, me.workspace_id) == ("ann", Role.ADMIN, "default")
    assert (await mc.health()).status == "ok"
    session = await mc.spawn(SpawnRequest(profile="double", prompt="[words 4 1]", title="first"))
    assert session.session_id.startswith("internal:")
    session = await idle(mc, session.session_id)
    assert (await mc.sessions(q="first")).items == (session,)
    assert (await mc.tree())[0].session == session
    page = await mc.messages(session.session_id, limit=1)
    assert len(page.items) == 1
    assert page.next_cursor is not None
    older = await mc.messages(session.session_id, before=int(page.next_cursor))
    assert older.items[-1].seq < page.items[0].seq
    newer = await mc.messages(session.session_id, after=older.items[-1].seq)
    assert newer.items == page.items
    assert any("double.py" in process.command for process in await mc.processes(session.session_id))
    paused = await mc.pause(session.session_id, reason="a look")
    assert paused.status is SessionStatus.PAUSED
    receipt = await mc.inject(session.session_id, "[say thanks]", pause_before_send=False)
    assert (await mc.receipts(session.session_id))[-1].injection_id == receipt.injection_id
    other = await mc.inject(session.session_id, "[say later]")
    assert (receipt.position, other.position) == (1, 2)
    moved = await mc.move_message(session.session_id, other.injection_id, position=1)
    assert (moved.injection_id, moved.state, moved.position) == (other.injection_id, ReceiptState.QUEUED, 1)
    before = {one.injection_id: one.position for one in await mc.receipts(session.session_id)}
    assert before == {receipt.injection_id: 2, other.injection_id: 1}
    edited = await mc.edit_message(session.session_id, other.injection_id, content="[say sooner]", was="[say later]")
    assert (edited.injection_id, edited.position) == (other.injection_id, 1)
    with pytest.raises(Conflict, match="changed by somebody else"):
        await mc.edit_message(session.session_id, other.injection_id, content="[say never]", was="[say later]")
    with pytest.raises(BadInput):
        await mc.edit_message(session.session_id, other.injection_id, content=" ", was="[say sooner]")
    with pytest.raises(BadInput):
        await mc.move_message(session.session_id, other.injection_id, position=0)
    with pytest.raises(NotFound):
        await mc.move_message(session.session_id, "nothing", position=1)
    (waiting,) = [
        one
        for one in (await mc.messages(session.session_id)).items
        if one.metadata.get("injectionId") == other.injection_id
    ]
    assert (waiting.content, waiting.metadata["editedBy"]) == ("[say sooner]", "ann")
    await mc.withdraw(session.session_id, other.injection_id)
    with pytest.raises(Conflict, match="withdrawn already"):
        await mc.edit_message(session.session_id, other.injection_id, content="[say x]", was="[say sooner]")
    withdrawn = await mc.withdraw(session.session_id, receipt.injection_id)
    assert withdrawn.state is ReceiptState.WITHDRAWN
    resumed = await mc.resume(session.session_id)
    assert resumed.status is not SessionStatus.PAUSED
    with pytest.raises(Conflict):
        await mc.pause(session.session_id, expected_run_id="another run")
    with pytest.raises(Conflict):
        await mc.cancel(session.session_id, expected_run_id="another run")
    assert session.capabilities.hold_commands is None
    for refused in (mc.hold_commands, mc.release_commands):
        with pytest.raises(Unsupported, match="cannot hold"):
            await refused(session.session_id)
    await mc.terminate(session.session_id)
    ended = await until(mc, session.session_id, lambda one: one.status.final)
    assert ended.status is SessionStatus.COMPLETED
    with pytest.raises(Conflict):
        await mc.inject(session.session_id, "too late")
    with pytest.raises(NotFound):
        await mc.session("internal:nobody")
    with pytest.raises(NotFound):
        await mc.kill("internal:nobody", reason="x")


async def test_streams_and_questions(mc: MissionControl) -> None:
    async with asyncio.timeout(60), mc.events() as events:
        session = await mc.spawn(SpawnRequest(profile="double", prompt="[permission][words 3 1]"))
        seen: list[StreamEvent] = []
        async for event in events:
            seen.append(event)
            if event.type is EventType.APPROVAL:
                break
        (approval,) = (await mc.approvals(state=ApprovalState.OPEN)).items
        with pytest.raises(BadInput) as wrong:
            await mc.answer(approval.approval_id, "perhaps")
        assert wrong.value.field == "optionId"
        answered = await mc.answer(approval.approval_id, "allow")
        assert (answered.state, answered.answered_by) == (ApprovalState.ANSWERED, "ann")
        with pytest.raises(Conflict):
            await mc.answer(approval.approval_id, "reject")
        await mc.spawn(SpawnRequest(profile="double", prompt="[permission]", title="Another"))
        async for event in events:
            if isinstance(event.data, Approval) and event.data.approval_id != approval.approval_id:
                break
        newest = await mc.approvals(limit=1, newest_first=True)
        older = await mc.approvals(limit=1, newest_first=True, cursor=newest.next_cursor)
        assert [one.approval_id for one in older.items] == [approval.approval_id]
        assert [one.approval_id for one in (await mc.approvals(limit=1)).items] == [approval.approval_id]
        with pytest.raises(BadInput):
            await mc.approvals(limit=501)
    await idle(mc, session.session_id)
    async with asyncio.timeout(60), mc.stream(session.session_id, replay=100) as stream:
        found: list[StreamEvent] = []
        async for event in stream:
            found.append(event)
            if isinstance(event.data, AgentMessage) and "word2" in event.data.content:
                break
    assert found[0].type is EventType.SESSION
    middle = found[2].event_id
    async with asyncio.timeout(60), mc.stream(session.session_id, last_event_id=middle) as stream:
        await mc.inject(session.session_id, "[say more]")
        async for event in stream:
            if isinstance(event.data, AgentMessage) and "[say more]" in event.data.content:
                break
    with pytest.raises(NotFound):
        async with mc.stream("internal:nobody"):
            pass


async def test_keys_kills_and_the_log_of_it(mc: MissionControl) -> None:
    request = SpawnRequest(profile="double")
    one = await mc.spawn(request, idempotency_key="k")
    assert (await mc.spawn(request, idempotency_key="k")).session_id == one.session_id
    with pytest.raises(IdempotencyMismatch):
        await mc.spawn(SpawnRequest(profile="double", title="other"), idempotency_key="k")
    other = await mc.spawn(request)
    await idle(mc, one.session_id)
    assert (await mc.kill(one.session_id, reason="first")).status is SessionStatus.KILLED
    with pytest.raises(BadInput):
        await mc.kill_all(scope="all", confirm="kill all", reason="x")
    started = await mc.kill_all(scope="internal", confirm="KILL ALL", reason="rest", undo_seconds=20)
    with pytest.raises(Conflict):
        await mc.spawn(request)
    undone = await mc.kill_undo(started.kill_id)
    assert undone.state is KillState.UNDONE
    assert not (await mc.session(other.session_id)).status.final
    started = await mc.kill_all(scope="internal", confirm="KILL ALL", reason="rest")

    async def over() -> bool:
        return (await mc.kill_state(started.kill_id)).state is KillState.DONE

    await eventually(over, "the kill-all")
    (target,) = (await mc.kill_state(started.kill_id)).targets
    assert (target.session_id, target.state) == (other.session_id, TargetState.DEAD)
    kills = (await mc.audit(AuditFilter(action=AuditAction.KILL, outcome=AuditOutcome.DONE))).items
    assert [row.metadata["reason"] for row in kills] == ["first"]
    everything = await mc.audit(limit=3)
    assert everything.next_cursor is not None
    assert len((await mc.audit(limit=500, cursor=everything.next_cursor)).items) > 3
    report = await mc.audit_verify()
    assert report.valid


async def test_profiles_and_providers(mc: MissionControl) -> None:
    (provider,) = await mc.providers()
    assert (provider.name, provider.health.state, provider.has_credentials) == ("internal", "ok", False)
    assert "orchestrator" in [kind.kind for kind in await mc.provider_kinds()], "run `make setup`: adapters are missing"
    draft = ProviderDraft(
        name="far",
        provider="orchestrator",
        gateway_url="http://127.0.0.1:9",
        credentials=Credentials.of("secret-token"),
        is_active=False,
    )
    made = await mc.create_provider(draft, idempotency_key="p")
    assert (await mc.create_provider(draft, idempotency_key="p")).id == made.id
    assert (made.has_credentials, made.is_active, made.health.state) == (True, False, "disabled")
    with pytest.raises(Conflict):
        await mc.create_provider(draft)
    with pytest.raises(BadInput) as wrong:
        await mc.create_provider(dataclasses.replace(draft, name="other", gateway_url="http://far.example"))
    assert wrong.value.field == "gatewayUrl"
    report = await mc.check_provider(made.id)
    assert [stage.state.value for stage in report.stages] == ["failed", *["skipped"] * 4]
    changed = await mc.update_provider(made.id, ProviderChange(name="farther", credentials=Credentials()))
    assert (changed.name, changed.has_credentials) == ("farther", False)
    assert [one.name for one in await mc.providers()] == ["internal", "farther"]
    with pytest.raises(Conflict):
        await mc.delete_provider("internal")
    await mc.delete_provider(made.id)
    with pytest.raises(NotFound):
        await mc.check_provider(made.id)
    assert "secret-token" not in str(await mc.audit(limit=500))
    names = {profile.name: profile for profile in await mc.profiles()}
    assert names["demo"].demo
    shown = await mc.put_profile(LaunchProfile(name="mine", command=("true",), env={"KEY": "secret"}, title="Mine"))
    assert shown.env_names == ("KEY",)
    await mc.delete_profile("mine")
    with pytest.raises(NotFound):
        await mc.delete_profile("mine")
    with pytest.raises(NotFound):
        await mc.spawn(SpawnRequest(profile="mine"))


async def test_how_long_messages_are_kept(mc: MissionControl) -> None:
    assert await mc.workspace() == Workspace(workspace_id="default")
    changed = await mc.set_message_retention(90)
    assert (changed.message_retention_days, changed.default_retention_days) == (90, 30)
    assert await mc.workspace() == changed
    with pytest.raises(BadInput) as refused:
        await mc.set_message_retention(0)
    assert refused.value.field == "messageRetentionDays"
    assert (await mc.set_message_retention(None)).message_retention_days is None
    rows = (await mc.audit(AuditFilter(action=AuditAction.WORKSPACE_CHANGE, outcome=AuditOutcome.DONE))).items
    assert len(rows) == 2


async def test_tokens_and_members(mc: MissionControl) -> None:
    made = await mc.create_token(user="kim/é", role=Role.OPERATOR, expires_in="1h")
    assert made.token not in str(await mc.tokens())
    assert [(one.created_by, one.role) for one in await mc.tokens() if one.id == made.id] == [("ann", Role.OPERATOR)]
    lowered = await mc.set_member("kim/é", Role.OBSERVER)
    assert (lowered.user_id, lowered.role, lowered.live_tokens) == ("kim/é", Role.OBSERVER, 1)
    assert lowered in await mc.members()
    assert [one.role for one in await mc.tokens() if one.id == made.id] == [Role.OBSERVER]
    await mc.remove_member("kim/é")
    with pytest.raises(NotFound):
        await mc.remove_member("kim/é")
    with pytest.raises(BadInput) as error:
        await mc.create_token(user=" ", role=Role.OBSERVER)
    assert error.value.field == "user"
    assert next(one for one in await mc.tokens() if one.id == made.id).revoked_at is not None


async def test_the_master_key(mc: MissionControl) -> None:
    await mc.put_profile(LaunchProfile(name="mine", command=("true",), env={"KEY": "secret"}))
    before = await mc.key_status()
    assert (before.source, before.known, before.unopenable) == ("file", (before.key_id,), ())
    done = await mc.rotate_keys()
    assert done.previous_key_id == before.key_id != done.key_id
    assert (done.resealed, done.left, done.forgotten) == (1, (), (before.key_id,))
    after = await mc.key_status()
    assert after.known == (done.key_id,)
    assert after.rows[done.key_id]["launch_profiles.sealed_env"] == 1
    rows = (await mc.audit(AuditFilter(action=AuditAction.KEYS_ROTATE))).items
    assert [row.outcome for row in rows] == [AuditOutcome.DONE, AuditOutcome.INTENDED]
    assert rows[0].metadata["keyId"] == done.key_id
    assert (await mc.audit_verify()).valid


async def test_in_process_holds_the_directory_and_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISSION_CONTROL_DATA_DIR", str(tmp_path / "data"))
    first = await open_in_process()
    try:
        assert (await first.me()).role is Role.ADMIN
        assert (tmp_path / "data" / "control-plane.json").exists()
    finally:
        await first.close()
    await first.close()
    assert not (tmp_path / "data" / "control-plane.json").exists()
    again = await open_in_process()
    await again.close()
