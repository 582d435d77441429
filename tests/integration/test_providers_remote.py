"""Another Mission Control as a provider: two real control planes, real agents at the far one, faults in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import Conflict, NotFound, Unreachable
from mission_control_desktop.domain.events import Delta
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.providers import ProviderChange, ProviderDraft, StageState
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Freshness, SessionStatus, WaitingFor
from mission_control_desktop.providers.remote.kind import KIND
from mission_control_desktop.providers.remote.provider import RemoteOrchestrator
from support.planes import ROOT, plane
from support.served import Served, served

T = TypeVar("T")
PATIENCE = 40.0


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("far") / "data") as made:
        made.double()
        yield made


@asynccontextmanager
async def near(directory: Path, **more: Any) -> AsyncIterator[ControlPlane]:
    directory.mkdir(exist_ok=True)
    async with plane(directory, kinds=lambda: {KIND.kind: KIND}, **more) as built:
        yield built


async def register(built: ControlPlane, far: Served, role: str = "operator", **more: Any) -> str:
    token = (await asyncio.to_thread(far.token, role))["token"]
    made = await built.bind(ROOT).create_provider(
        ProviderDraft(name="far", provider=KIND.kind, gateway_url=far.url, credentials=Credentials.of(token), **more)
    )
    return made.id


async def eventually(probe: Callable[[], Awaitable[T | None]], what: str) -> T:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await probe()
            if found:
                return found
            await asyncio.sleep(0.03)
    raise AssertionError(what)


async def well(built: ControlPlane, state: str = "ok") -> None:
    async def probe() -> bool:
        return any(one.provider == "far" and one.state == state for one in built.registry.health())

    await eventually(probe, f"the provider to be {state}")


async def session_until(
    mc: MissionControlService, session_id: str, wanted: Callable[[AgentSession], object]
) -> AgentSession:
    async def probe() -> AgentSession | None:
        try:
            session = await mc.session(session_id)
        except NotFound:
            return None
        return session if wanted(session) else None

    return await eventually(probe, session_id)


async def transcript(mc: MissionControlService, session_id: str) -> list[tuple[str, str, str, bool]]:
    page = await mc.messages(session_id, limit=500)
    return [(one.message_id, one.role.value, one.content, one.complete) for one in page.items]


def far_transcript(far: Served, native: str) -> list[tuple[str, str, str, bool]]:
    return [
        (one["messageId"], one["role"], one["content"], one["metadata"]["complete"])
        for one in far.messages(f"internal:{native}")
    ]


async def same(mc: MissionControlService, far: Served, native: str) -> None:
    """Both transcripts, entry by entry and in the same order."""

    async def probe() -> bool:
        return await transcript(mc, f"far:{native}") == await asyncio.to_thread(far_transcript, far, native)

    try:
        await eventually(probe, "the transcripts to be the same")
    except TimeoutError:
        assert await transcript(mc, f"far:{native}") == far_transcript(far, native)


async def test_an_agents_life_at_the_other_side(tmp_path: Path, far: Served) -> None:
    async with near(tmp_path / "near") as built:
        provider_id = await register(built, far)
        mc = built.bind(ROOT)
        await well(built)
        report = await mc.check_provider(provider_id)
        assert report.ok, report
        assert {one.state for one in report.stages} == {StageState.OK}

        started = await mc.spawn(SpawnRequest(profile="double", prompt="[words 3 1]", title="there"), provider="far")
        native = started.session_id.removeprefix("far:")
        assert (await asyncio.to_thread(far.session, f"internal:{native}"))["title"] == "there"
        idle = await session_until(mc, started.session_id, lambda one: one.waiting_for is WaitingFor.OPERATOR)
        assert (idle.provider, idle.title) == ("far", "there")
        assert idle.capabilities.inject
        await same(mc, far, native)
        assert started.session_id in [one.session.session_id for one in await mc.tree()]

        receipt = await mc.inject(started.session_id, "[say hello]", idempotency_key="once")
        assert (await mc.inject(started.session_id, "[say hello]", idempotency_key="once")) == receipt

        async def answered() -> bool:
            found = await mc.receipts(started.session_id)
            return [one.state for one in found] == [ReceiptState.ANSWERED]

        await eventually(answered, "the message to be answered")
        assert (await mc.receipts(started.session_id))[0].injection_id == receipt.injection_id
        await same(mc, far, native)
        said = (await mc.messages(started.session_id, limit=500)).items
        assert sum("[say hello]" in one.content for one in said) == 1

        assert (await mc.pause(started.session_id)).status is SessionStatus.PAUSED
        await session_until(mc, started.session_id, lambda one: one.status is SessionStatus.PAUSED)
        held = await mc.inject(started.session_id, "[say never]")
        first = await mc.inject(started.session_id, "[say wrong]")
        assert first.position == 2
        moved = await mc.move_message(started.session_id, first.injection_id, position=1)
        assert (moved.session_id, moved.position) == (started.session_id, 1)
        await mc.edit_message(started.session_id, first.injection_id, content="[say right]", was="[say wrong]")
        with pytest.raises(Conflict):
            await mc.edit_message(started.session_id, first.injection_id, content="[say x]", was="[say wrong]")

        async def changed() -> bool:
            items = (await mc.messages(started.session_id, limit=500)).items
            (entry,) = [one for one in items if one.metadata.get("injectionId") == first.injection_id]
            places = {one.injection_id: one.position for one in await mc.receipts(started.session_id)}
            same_places = (places[first.injection_id], places[held.injection_id]) == (1, 2)
            return same_places and (entry.content, entry.metadata.get("editedBy")) == ("[say right]", "root")

        await eventually(changed, "the change to be told here")
        assert (await mc.withdraw(started.session_id, held.injection_id)).state is ReceiptState.WITHDRAWN
        with pytest.raises(Conflict):
            await mc.resume(started.session_id, expected_run_id="another")
        await mc.resume(started.session_id)
        assert any("double.py" in one.command for one in await mc.processes(started.session_id))

        await mc.inject(started.session_id, "[permission]")

        async def asked() -> Any:
            return (await mc.approvals(state=ApprovalState.OPEN)).items

        (question,) = await eventually(asked, "a question")
        assert question.session_id == started.session_id
        cards = [one.metadata for one in (await mc.messages(started.session_id, limit=500)).items]
        assert question.approval_id in [one.get("approvalId") for one in cards]
        assert (await mc.answer(question.approval_id, "allow")).state is ApprovalState.ANSWERED
        await session_until(mc, started.session_id, lambda one: one.waiting_for is WaitingFor.OPERATOR)
        assert (await mc.approvals(state=ApprovalState.OPEN)).items == ()

        assert (await mc.kill(started.session_id, reason="test")).status is SessionStatus.KILLED
        await session_until(mc, started.session_id, lambda one: one.status is SessionStatus.KILLED)
        await same(mc, far, native)
        with pytest.raises(NotFound):
            await mc.kill("far:" + "0" * 32, reason="x")
        with pytest.raises(NotFound):
            await mc.spawn(SpawnRequest(profile="none-such"), provider="far")
        done = await mc.audit(limit=500)
        assert not [row for row in done.items if row.outcome.value == "failed" and row.action.value == "inject"]


async def test_nothing_is_lost_or_doubled_across_restarts_of_either_side(tmp_path: Path, far: Served) -> None:
    old = await asyncio.to_thread(far.spawn, "[words 30 1][tool][words 5 1]", title="before")
    ended = await asyncio.to_thread(far.spawn, "[words 4 1]", title="ended")
    await asyncio.to_thread(far.until, ended, waitingFor="operator")
    await asyncio.to_thread(lambda: far.admin.post(f"/api/mission-control/sessions/{ended}/kill", json={"reason": "x"}))
    names = [one.removeprefix("internal:") for one in (old, ended)]
    async with near(tmp_path / "near") as built:
        await register(built, far)
        mc = built.bind(ROOT)
        await session_until(mc, f"far:{names[1]}", lambda one: one.status is SessionStatus.KILLED)
        for native in names:
            await same(mc, far, native)
        seen: list[str] = []
        async with mc.stream(f"far:{names[0]}") as events:
            await mc.inject(f"far:{names[0]}", "[words 200 20]")
            async for event in events:
                seen.append(event.type.value)
                # Words, however many come at once: waiting for a certain message could wait past the last one.
                if isinstance(event.data, Delta) and len(seen) > 5:
                    break
        # In the middle of its words, both go: the near one orderly, the far one by SIGKILL.
    await asyncio.to_thread(far.process.kill)
    async with near(tmp_path / "near", fresh=False) as built:
        mc = built.bind(ROOT)
        await well(built, "unreachable")
        assert (await mc.session(f"far:{names[0]}")).evidence.freshness is Freshness.UNREACHABLE
        with pytest.raises(Unreachable):
            await mc.pause(f"far:{names[0]}")
        await asyncio.to_thread(far.start, "--port", far.url.rpartition(":")[2])
        await well(built)
        await session_until(mc, f"far:{names[0]}", lambda one: one.waiting_for is WaitingFor.OPERATOR)
        for native in names:
            await same(mc, far, native)
        # And again while we watch: the far one goes and comes back under us.
        receipt = await mc.inject(f"far:{names[0]}", "[words 300 2]")
        await asyncio.to_thread(far.process.kill)
        await asyncio.to_thread(far.start, "--port", far.url.rpartition(":")[2])

        async def answered() -> bool:
            return (await mc.receipts(f"far:{names[0]}"))[-1].state is ReceiptState.ANSWERED

        await eventually(answered, "the message to be answered")
        assert (await mc.receipts(f"far:{names[0]}"))[-1].injection_id == receipt.injection_id
        for native in names:
            await same(mc, far, native)


async def test_a_message_that_was_sent_before_our_restart_is_answered_from_our_record(
    tmp_path: Path, far: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told of it a second time, so nothing is waited for."""
    native = (await asyncio.to_thread(far.spawn, "[words 1 1]", title="again")).removeprefix("internal:")
    sent: dict[str, Any] = {"injection_id": "b" * 32, "content": "[say once]", "operator_id": "ann"}
    async with near(tmp_path / "near") as built:
        await register(built, far)
        mc = built.bind(ROOT)
        await session_until(mc, f"far:{native}", lambda one: one.waiting_for is WaitingFor.OPERATOR)
        await built.registry.get("far").inject(native, **sent)

        async def answered() -> bool:
            return [one.state for one in await mc.receipts(f"far:{native}")] == [ReceiptState.ANSWERED]

        await eventually(answered, "the message to be answered")
    monkeypatch.setattr("mission_control_desktop.providers.remote.provider.SETTLE_SECONDS", 3_600.0)
    async with near(tmp_path / "near", fresh=False) as built:
        await well(built)
        provider = built.registry.get("far")
        assert isinstance(provider, RemoteOrchestrator)

        async def followed() -> bool:
            return native in provider._followers

        await eventually(followed, "the session to be followed")
        async with asyncio.timeout(PATIENCE):
            assert (await provider.inject(native, **sent)).state is ReceiptState.ANSWERED
        await same(built.bind(ROOT), far, native)


async def test_what_is_wrong_is_said_where_it_is_looked_for(tmp_path: Path, far: Served) -> None:
    async with near(tmp_path / "near") as built:
        mc = built.bind(ROOT)
        provider_id = await register(built, far, role="observer")
        await well(built)
        session_id = await asyncio.to_thread(far.spawn, "[words 3 1]")
        ours = session_id.replace("internal:", "far:")
        watched = await session_until(mc, ours, lambda one: one.waiting_for is WaitingFor.OPERATOR)
        assert not watched.capabilities.kill
        assert "observer" in watched.capabilities.reasons["kill"]
        with pytest.raises(Unreachable, match="refuses our token"):
            await mc.kill(ours, reason="x")
        scopes = {one.stage.value: one for one in (await mc.check_provider(provider_id)).stages}
        assert "observer" in scopes["scopes"].detail

        async def failing(**change: Any) -> tuple[str, str]:
            await mc.update_provider(provider_id, ProviderChange(**change))
            report = await mc.check_provider(provider_id)
            (failed,) = [one for one in report.stages if one.state is StageState.FAILED]
            assert "mc_wrong" not in str(report)
            return failed.stage.value, failed.detail

        token = Credentials.of("mc_wrong-but-printable")
        assert (await failing(credentials=token))[0] == "authenticated"
        await well(built, "unreachable")
        with pytest.raises(Unreachable):
            await mc.kill(ours, reason="x")
        stage, detail = await failing(gateway_url="http://127.0.0.1:1", credentials=token)
        assert stage == "reachable"
        assert "127.0.0.1:1" in detail
        stage, _ = await failing(gateway_url=far.url + "/agents", credentials=token)
        assert stage in ("protocol", "authenticated")
        foreign = await asyncio.to_thread(far.token, "admin", workspace="elsewhere")
        stage, detail = await failing(gateway_url=far.url, credentials=Credentials.of(foreign["token"]))
        assert (stage, "elsewhere" in detail) == ("scopes", True)
