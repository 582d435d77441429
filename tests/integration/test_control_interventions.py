"""Interventions: recorded before they act, refused when they cannot be, except for what stops agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.control import interventions
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    Unavailable,
    Unreachable,
    Unsupported,
)
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.sessions import Freshness, SessionStatus
from support.orchestration import eventually
from support.planes import ANN, EVE, ROOT, STRANGER, ScriptedProvider, ScriptedTree, agent, audit_rows, outcomes, plane
from support.records import approval


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def built(tmp_path: Path, provider: ScriptedProvider) -> AsyncIterator[ControlPlane]:
    async with plane(tmp_path, provider, agents=ScriptedTree(child="top", grandchild="child")) as made:
        yield made


async def test_an_intent_is_on_record_before_the_provider_hears_of_it(
    built: ControlPlane, provider: ScriptedProvider
) -> None:
    session_id = await provider.add("s")
    seen: list[list[tuple[str, str]]] = []

    async def look(native: str) -> None:
        seen.append(outcomes(await audit_rows(built)))

    provider.on_kill = look
    killed = await built.bind(ANN).kill(session_id, reason="  it runs wild ")
    assert killed.status is SessionStatus.KILLED
    assert seen == [[("kill", "intended")]]
    intent, outcome = await audit_rows(built)
    assert (intent.user_id, intent.session_id, intent.provider) == ("ann", session_id, "internal")
    assert intent.metadata["reason"] == outcome.metadata["reason"] == "it runs wild"
    assert outcome.outcome is AuditOutcome.DONE
    assert outcome.metadata["intentId"] == intent.id
    assert (await built.bind(EVE).audit_verify()).valid


async def test_what_a_provider_turns_down_is_recorded_as_failed(
    built: ControlPlane, provider: ScriptedProvider
) -> None:
    session_id = await provider.add("s")
    provider.faults["pause"] = Unsupported("This agent cannot be paused.")
    with pytest.raises(Unsupported):
        await built.bind(ANN).pause(session_id, reason="wait")
    provider.faults["pause"] = ValueError("a bug in an adapter")
    with pytest.raises(Unreachable) as wrapped:
        await built.bind(ANN).pause(session_id)
    assert "a bug in an adapter" not in wrapped.value.message
    rows = await audit_rows(built)
    assert outcomes(rows) == [("pause", "intended"), ("pause", "failed")] * 2
    assert rows[1].metadata["error"]["code"] == "unsupported"


async def test_refused_attempts_leave_a_row_and_do_nothing(built: ControlPlane, provider: ScriptedProvider) -> None:
    session_id = await provider.add("s")
    before = len(provider.calls)
    with pytest.raises(Forbidden):
        await built.bind(EVE).inject(session_id, "psst")
    with pytest.raises(Forbidden):
        await built.bind(EVE).kill(session_id, reason="because")
    with pytest.raises(BadInput) as missing:
        await built.bind(ANN).kill(session_id, reason="  ")
    assert missing.value.field == "reason"
    with pytest.raises(Forbidden):
        await built.bind(ANN).tokens()
    assert len(provider.calls) == before
    rows = await audit_rows(built)
    assert outcomes(rows) == [("inject", "refused"), ("kill", "refused"), ("kill", "refused"), ("read", "refused")]
    assert rows[0].content == "psst"
    assert rows[1].metadata["reason"] == "because"
    assert rows[3].metadata["operation"] == "tokens"


async def test_the_eleventh_message_within_a_minute_is_refused(built: ControlPlane, provider: ScriptedProvider) -> None:
    session_id = await provider.add("s")
    service = built.bind(ANN)
    for number in range(10):
        await service.inject(session_id, f"message {number}")
    with pytest.raises(RateLimited):
        await service.inject(session_id, "one too many")
    rows = await audit_rows(built)
    assert outcomes(rows)[-1] == ("inject", "refused")
    assert rows[-1].content == "one too many"
    await built.bind(ROOT).inject(session_id, "another operator may")


async def test_nothing_happens_that_cannot_be_recorded(
    built: ControlPlane, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await provider.add("s")

    async def full(workspace_id: str, draft: AuditEntry) -> AuditEntry:
        raise Unavailable("The record cannot be written now: the disk is full.")

    monkeypatch.setattr(built.recorder.audit, "append", full)
    for attempt in (
        built.bind(ANN).inject(session_id, "hello"),
        built.bind(ANN).pause(session_id),
        built.bind(ANN).terminate(session_id),
    ):
        with pytest.raises(Unavailable):
            await attempt
    assert not {name for name, _ in provider.calls} & {"inject", "pause", "terminate"}


def written_late(
    built: ControlPlane, monkeypatch: pytest.MonkeyPatch, until: Callable[[], Awaitable[object]]
) -> list[asyncio.Task[AuditEntry]]:
    """Rows of the log are written when `until` allows it, as by a database's thread: given up by the caller, they still
    come through. The writes, as they are begun."""
    write = built.recorder.audit.append
    late: list[asyncio.Task[AuditEntry]] = []

    async def held(workspace_id: str, draft: AuditEntry) -> AuditEntry:
        async def later() -> AuditEntry:
            await until()
            return await write(workspace_id, draft)

        late.append(asyncio.get_running_loop().create_task(later()))
        return await asyncio.shield(late[-1])

    monkeypatch.setattr(built.recorder.audit, "append", held)
    return late


async def test_an_intent_that_came_through_too_late_is_closed_as_failed(
    built: ControlPlane, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that another program holds for longer than the order waits, and then lets go."""
    monkeypatch.setattr(interventions, "INTENT_TIMEOUT", 0.2)
    monkeypatch.setattr(interventions, "RETRY_SECONDS", 0.05)
    session_id = await provider.add("s")
    write = built.recorder.audit.append
    free = asyncio.Event()
    late = written_late(built, monkeypatch, free.wait)
    with pytest.raises(Unavailable, match="nothing was done"):
        await built.bind(ANN).inject(session_id, "hello")
    assert "inject" not in {name for name, _ in provider.calls}
    free.set()
    await late[0]
    monkeypatch.setattr(built.recorder.audit, "append", write)

    async def complete() -> bool:
        return built.interventions.pending_rows == 0

    await eventually(complete, "the rows on record")
    await asyncio.gather(*late, return_exceptions=True)
    rows = await audit_rows(built)
    assert outcomes(rows) == [("inject", "intended"), ("inject", "failed")]
    assert rows[1].metadata["intentId"] == rows[0].id
    assert rows[1].metadata["error"]["code"] == "unavailable"
    assert "inject" not in {name for name, _ in provider.calls}


async def test_a_kill_acts_without_a_record_says_so_and_records_it_later(
    built: ControlPlane, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "RETRY_SECONDS", 0.05)
    one, two = await provider.add("one"), await provider.add("two")
    broken = True
    write = built.recorder.audit.append

    async def full(workspace_id: str, draft: AuditEntry) -> AuditEntry:
        if broken:
            raise Unavailable("The record cannot be written now: the disk is full.")
        return await write(workspace_id, draft)

    monkeypatch.setattr(built.recorder.audit, "append", full)
    killed = await built.bind(ANN).kill(one, reason="runs wild")
    assert killed.status is SessionStatus.KILLED
    assert killed.metadata["auditPending"] is True
    assert (await built.health(detailed_for="default")).status == "degraded"
    started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="all of it")
    assert "Not on record" in (started.detail or "")

    async def dead() -> bool:
        return provider.sessions["two"].status is SessionStatus.KILLED

    await eventually(dead, f"the end of {two}")
    broken = False

    async def complete() -> bool:
        return built.interventions.pending_rows == 0

    await eventually(complete, "the rows on record")
    rows = await audit_rows(built)
    assert outcomes(rows)[:3] == [("kill", "intended"), ("kill", "done"), ("kill-all", "intended")]
    assert rows[1].metadata["intentId"] == rows[0].id
    assert (await built.bind(EVE).audit_verify()).valid


async def test_a_caller_that_goes_away_cancels_nothing(built: ControlPlane, provider: ScriptedProvider) -> None:
    session_id = await provider.add("s")
    provider.faults["terminate"] = 0.3
    task = asyncio.get_running_loop().create_task(built.bind(ANN).terminate(session_id))

    async def begun() -> bool:
        return ("terminate", "s") in provider.calls

    await eventually(begun, "the provider to be asked")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def closed() -> bool:
        return outcomes(await audit_rows(built)) == [("terminate", "intended"), ("terminate", "done")]

    await eventually(closed, "the outcome")


async def test_other_workspaces_see_nothing(built: ControlPlane, provider: ScriptedProvider) -> None:
    session_id = await provider.add("s")
    service = built.bind(STRANGER)
    for attempt in (
        service.session(session_id),
        service.messages(session_id),
        service.receipts(session_id),
        service.processes(session_id),
        service.inject(session_id, "hello"),
        service.kill(session_id, reason="mine?"),
        service.open_stream(session_id),
        service.spawn(SpawnRequest(profile="demo")),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await service.sessions()).items == ()
    assert await service.tree() == ()
    assert (await service.audit()).items != ()  # its own refused attempts, in its own chain
    assert all(row.user_id == "sam" for row in (await service.audit()).items)
    with pytest.raises(BadInput):
        await service.kill_all(scope="internal", confirm="KILL ALL", reason="mine?")


async def test_an_agent_acts_below_itself_and_nowhere_else(built: ControlPlane, provider: ScriptedProvider) -> None:
    for native, parent in (("top", None), ("child", "top"), ("grandchild", "child"), ("other", None)):
        await provider.add(native, parent=parent)
    service = built.bind(agent("top"))
    assert {one.session_id for one in (await service.sessions()).items} == {
        "internal:top",
        "internal:child",
        "internal:grandchild",
    }
    (node,) = await service.tree()
    assert node.session.session_id == "internal:top"
    await service.inject("internal:grandchild", "do it")
    spawned = await service.spawn(SpawnRequest(profile="demo"))
    assert spawned.parent_session_id == "internal:top"
    for refused in (
        service.session("internal:other"),
        service.inject("internal:other", "hello"),
        service.inject("internal:top", "hello, me"),
        service.spawn(SpawnRequest(profile="demo", parent_agent_id="other")),
        service.kill("internal:child", reason="done"),
        service.audit(),
        service.approvals(),
    ):
        with pytest.raises(Forbidden):
            await refused
    rows = [row for row in await audit_rows(built) if row.outcome is AuditOutcome.REFUSED]
    assert {row.actor_kind for row in rows} == {ActorKind.AGENT}


async def test_an_answer_is_given_once_and_says_whether_it_allowed(
    built: ControlPlane, provider: ScriptedProvider
) -> None:
    await provider.add("s")
    await provider.ask("s", approval("q", of="s"))
    with pytest.raises(BadInput):
        await built.bind(ANN).answer("q", "maybe")
    answered = await built.bind(ANN).answer("q", "yes")
    assert answered.state is ApprovalState.ANSWERED
    with pytest.raises(Conflict):
        await built.bind(ROOT).answer("q", "yes")
    rows = await audit_rows(built)
    assert outcomes(rows) == [
        ("approve", "refused"),
        ("approve", "intended"),
        ("approve", "done"),
        ("approve", "failed"),
    ]
    assert rows[1].session_id == "internal:s"


async def test_a_session_of_a_provider_that_is_away_is_not_claimed_to_be_live(
    built: ControlPlane, provider: ScriptedProvider
) -> None:
    session_id = await provider.add("s")
    assert (await built.bind(EVE).session(session_id)).evidence.freshness is Freshness.LIVE
    provider.faults["health"] = OSError("gone")
    assert (await built.bind(EVE).session(session_id)).evidence.freshness is Freshness.UNREACHABLE


async def test_open_intents_of_an_earlier_process_are_closed_by_what_became_of_them(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as first:
        await provider.add("killed", status=SessionStatus.KILLED)
        await provider.add("running")
        receipt = await first.bind(ANN).inject("internal:running", "hello")
        await provider.change_words("running", receipt.injection_id, "new words")
        edit: dict[str, Any] = {"injectionId": receipt.injection_id, "was": "hello"}
        for number, (action, session, metadata) in enumerate(
            (
                (AuditAction.KILL, "internal:killed", {}),
                (AuditAction.TERMINATE, "internal:running", {}),
                (AuditAction.RESUME, "internal:running", {}),
                (AuditAction.INJECT, "internal:running", {"injectionId": receipt.injection_id}),
                (AuditAction.INJECT, "internal:running", {"injectionId": "never seen"}),
                (AuditAction.SPAWN, None, {}),
                (AuditAction.KILL_ALL, None, {"killId": "never stored"}),
                (AuditAction.EDIT_MESSAGE, "internal:running", edit),
                (AuditAction.EDIT_MESSAGE, "internal:running", {**edit, "injectionId": "never seen"}),
                (AuditAction.MOVE_MESSAGE, "internal:running", {**edit, "position": 3}),
                (AuditAction.MOVE_MESSAGE, "internal:running", {**edit, "position": 2}),
            )
        ):
            await first.recorder.audit.append(
                "default",
                AuditEntry(
                    id=f"intent{number}",
                    seq=0,
                    created_at=first.clock.now(),
                    user_id="ann",
                    actor_kind=ActorKind.PERSON,
                    action=action,
                    outcome=AuditOutcome.INTENDED,
                    session_id=session,
                    content="new words" if action is AuditAction.EDIT_MESSAGE else None,
                    metadata=metadata,
                ),
            )
    async with plane(tmp_path, provider, fresh=False, settle_seconds=0.5) as second:

        async def closed() -> bool:
            return not await second.recorder.audit.open_intents("default")

        await eventually(closed, "no open intent")
        found = {
            row.metadata["intentId"]: row
            for row in await audit_rows(second)
            if row.metadata.get("resolved") == "at start"
        }
    assert {key: row.outcome.value for key, row in found.items()} == {
        "intent0": "done",
        "intent1": "failed",
        "intent2": "done",
        "intent3": "done",
        "intent4": "failed",
        "intent5": "failed",
        "intent6": "failed",
        "intent7": "done",
        "intent8": "failed",
        "intent9": "done",
        "intent10": "failed",
    }
    assert "interrupted by a restart" in found["intent1"].metadata["detail"]


async def test_a_kill_waits_neither_for_a_stuck_record_nor_writes_a_row_twice(
    built: ControlPlane, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "UNSTOPPABLE_INTENT_TIMEOUT", 0.2)
    monkeypatch.setattr(interventions, "OUTCOME_TIMEOUT", 0.2)
    monkeypatch.setattr(interventions, "RETRY_SECONDS", 0.05)
    session_id = await provider.add("s")
    write = built.recorder.audit.append
    late = written_late(built, monkeypatch, lambda: asyncio.sleep(1.0))
    began = asyncio.get_running_loop().time()
    killed = await built.bind(ANN).kill(session_id, reason="runs wild")
    assert asyncio.get_running_loop().time() - began < 1
    assert killed.metadata["auditPending"] is True
    await late[0]
    monkeypatch.setattr(built.recorder.audit, "append", write)

    async def complete() -> bool:
        return built.interventions.pending_rows == 0

    await eventually(complete, "the rows on record")
    await asyncio.gather(*late, return_exceptions=True)
    assert outcomes(await audit_rows(built)) == [("kill", "intended"), ("kill", "done")]


async def test_a_keyed_stop_works_while_nothing_can_be_written(
    built: ControlPlane, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await provider.add("s")

    async def full(*anything: object, **more: object) -> None:
        raise Unavailable("The record cannot be written now: the disk is full.")

    monkeypatch.setattr(built.database.idempotency, "reserve", full)
    with pytest.raises(Unavailable):
        await built.bind(ANN).inject("internal:s", "hello", idempotency_key="k")
    started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="now", idempotency_key="k")

    async def dead() -> bool:
        return provider.sessions["s"].status is SessionStatus.KILLED

    await eventually(dead, f"kill-all {started.kill_id}")
