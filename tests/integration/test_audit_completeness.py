"""Every operation that intervenes, from the policy's table: done, failed and refused leave exactly the right rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.policy import RULES, Operation
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import Conflict, Forbidden, MissionControlError, NotFound, Unreachable
from mission_control_desktop.domain.kill import KillState
from mission_control_desktop.domain.people import ActorKind, Role
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import ProviderChange, ProviderDraft
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession
from support.kinds import ScriptedKind
from support.orchestration import eventually
from support.planes import EVE, ROOT, ScriptedProvider, agent, audit_rows, plane
from support.records import START, approval


class Profiles:
    """Launch profiles in memory; `broken` refuses every change."""

    def __init__(self) -> None:
        self.kept: dict[str, LaunchProfile] = {}
        self.broken = False

    async def list(self) -> list[ProfileView]:
        return [_view(one) for one in self.kept.values()]

    async def put(self, profile: LaunchProfile) -> ProfileView:
        if self.broken:
            raise Conflict("Another one is being stored.")
        self.kept[profile.name] = profile
        return _view(profile)

    async def delete(self, name: str) -> None:
        if self.broken or name not in self.kept:
            raise NotFound("There is no such profile.")
        del self.kept[name]


def _view(profile: LaunchProfile) -> ProfileView:
    return ProfileView(
        name=profile.name,
        command=profile.command,
        runtime=profile.runtime,
        cwd=None,
        env_names=(),
        mode=None,
        title=None,
        detected=False,
        demo=False,
        version=None,
    )


class Provider(ScriptedProvider):
    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        await self._act("withdraw", session_id)
        return Receipt(
            injection_id=injection_id, session_id=f"internal:{session_id}", state=ReceiptState.WITHDRAWN, at=START
        )

    async def edit_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        await self._act("edit", session_id)
        return self._queued(session_id, injection_id)

    async def move_message(self, session_id: str, injection_id: str, **more: Any) -> Receipt:
        await self._act("move", session_id)
        return self._queued(session_id, injection_id)

    @staticmethod
    def _queued(session_id: str, injection_id: str) -> Receipt:
        session_id = f"internal:{session_id}"
        return Receipt(
            injection_id=injection_id, session_id=session_id, state=ReceiptState.QUEUED, position=1, at=START
        )

    async def cancel_turn(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("cancel", session_id)
        return self._need(session_id)

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("hold", session_id)
        return self._need(session_id)

    async def release_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        await self._act("release", session_id)
        return self._need(session_id)


@dataclass
class Stage:
    built: ControlPlane
    provider: Provider
    profiles: Profiles
    monkeypatch: pytest.MonkeyPatch
    kill_id: str = "none"
    token_id: str = "none"
    provider_id: str = "none"

    def fault(self, method: str) -> None:
        self.provider.faults[method] = Unreachable("It does not answer.")

    def breaks(self, owner: object, method: str) -> None:
        async def fail(*args: Any, **more: Any) -> None:
            raise Conflict("It cannot be stored.")

        self.monkeypatch.setattr(owner, method, fail)

    async def kill_all(self, undo_seconds: float) -> None:
        started = await self.built.bind(ROOT).kill_all(
            scope="all", confirm="KILL ALL", reason="before", undo_seconds=undo_seconds
        )
        self.kill_id = started.kill_id
        wanted = KillState.FROZEN if undo_seconds else KillState.DONE

        async def there() -> bool:
            return (await self.built.bind(ROOT).kill_state(self.kill_id)).state is wanted

        await eventually(there, "the kill-all")


Act = Callable[[MissionControlService, Stage], Awaitable[object]]


@dataclass(frozen=True)
class Try:
    """How an operation is done; what must be so before; and what makes it fail once it is intended (None: nothing
    can: its results are told target by target)."""

    act: Act
    fail: Callable[[Stage], object] | None
    before: Callable[[Stage], Awaitable[object]] | None = None
    session: bool = False
    content: str | None = None
    reason: str | None = None


async def _token(stage: Stage) -> None:
    stage.token_id = (await stage.built.tokens.create(user_id="x", role=Role.OBSERVER)).id


DRAFT = ProviderDraft(name="theirs", provider="scripted", gateway_url="https://127.0.0.1:9")


async def _provider(stage: Stage) -> None:
    stage.provider_id = (await stage.built.bind(ROOT).create_provider(DRAFT)).id


async def _keys(stage: Stage) -> None:
    """Rotation itself has tests of its own; here it is done, or not."""

    async def rotate() -> object:
        return SimpleNamespace(key_id="k", resealed=0, left=())

    stage.monkeypatch.setattr(stage.built.keys, "rotate", rotate)


async def _profile(stage: Stage) -> None:
    stage.profiles.kept["p"] = LaunchProfile(name="p", command=("true",))


TRIES: dict[Operation, Try] = {
    Operation.SPAWN: Try(
        lambda s, _: s.spawn(SpawnRequest(profile="demo", prompt="go")), lambda st: st.fault("spawn"), content="go"
    ),
    Operation.INJECT: Try(
        lambda s, _: s.inject("internal:s", "hello"), lambda st: st.fault("inject"), session=True, content="hello"
    ),
    Operation.WITHDRAW: Try(lambda s, _: s.withdraw("internal:s", "i"), lambda st: st.fault("withdraw"), session=True),
    Operation.EDIT_MESSAGE: Try(
        lambda s, _: s.edit_message("internal:s", "i", content="new", was="old"),
        lambda st: st.fault("edit"),
        session=True,
        content="new",
    ),
    Operation.MOVE_MESSAGE: Try(
        lambda s, _: s.move_message("internal:s", "i", position=2), lambda st: st.fault("move"), session=True
    ),
    Operation.PAUSE: Try(
        lambda s, _: s.pause("internal:s", reason="why"), lambda st: st.fault("pause"), session=True, reason="why"
    ),
    Operation.RESUME: Try(
        lambda s, _: s.resume("internal:s", reason="why"), lambda st: st.fault("resume"), session=True, reason="why"
    ),
    Operation.CANCEL: Try(
        lambda s, _: s.cancel("internal:s", reason="why"), lambda st: st.fault("cancel"), session=True, reason="why"
    ),
    Operation.HOLD_COMMANDS: Try(
        lambda s, _: s.hold_commands("internal:s", reason="why"),
        lambda st: st.fault("hold"),
        session=True,
        reason="why",
    ),
    Operation.RELEASE_COMMANDS: Try(
        lambda s, _: s.release_commands("internal:s", reason="why"),
        lambda st: st.fault("release"),
        session=True,
        reason="why",
    ),
    Operation.TERMINATE: Try(
        lambda s, _: s.terminate("internal:s", reason="why"),
        lambda st: st.fault("terminate"),
        session=True,
        reason="why",
    ),
    Operation.KILL: Try(
        lambda s, _: s.kill("internal:s", reason="why"), lambda st: st.fault("kill"), session=True, reason="why"
    ),
    Operation.KILL_ALL: Try(lambda s, _: s.kill_all(scope="all", confirm="KILL ALL", reason="why"), None, reason="why"),
    Operation.KILL_ALL_UNDO: Try(
        lambda s, st: s.kill_undo(st.kill_id),
        lambda st: st.built.kill_alls._runs.clear(),
        before=lambda st: st.kill_all(30),
    ),
    Operation.KILL_ALL_CLOSE: Try(lambda s, st: s.kill_close(st.kill_id), None, before=lambda st: st.kill_all(0)),
    Operation.ANSWER: Try(
        lambda s, _: s.answer("q", "yes"),
        lambda st: st.fault("answer"),
        before=lambda st: st.provider.ask("s", approval("q", of="s")),
    ),
    Operation.PROVIDER_ADD: Try(
        lambda s, _: s.create_provider(DRAFT), lambda st: st.breaks(st.built.providers, "create")
    ),
    Operation.PROVIDER_UPDATE: Try(
        lambda s, st: s.update_provider(st.provider_id, ProviderChange(is_active=False)),
        lambda st: st.breaks(st.built.providers, "update"),
        before=_provider,
    ),
    Operation.PROVIDER_REMOVE: Try(
        lambda s, st: s.delete_provider(st.provider_id),
        lambda st: st.breaks(st.built.providers, "remove"),
        before=_provider,
    ),
    Operation.PROVIDER_CHECK: Try(
        lambda s, st: s.check_provider(st.provider_id),
        lambda st: st.breaks(st.built.providers, "check"),
        before=_provider,
    ),
    Operation.PROFILE_PUT: Try(
        lambda s, _: s.put_profile(LaunchProfile(name="p", command=("true",))),
        lambda st: setattr(st.profiles, "broken", True),
    ),
    Operation.PROFILE_DELETE: Try(
        lambda s, _: s.delete_profile("p"), lambda st: setattr(st.profiles, "broken", True), before=_profile
    ),
    Operation.TOKEN_CREATE: Try(
        lambda s, _: s.create_token(user="new", role=Role.OBSERVER),
        lambda st: st.breaks(st.built.database.tokens, "add"),
    ),
    Operation.TOKEN_REVOKE: Try(
        lambda s, st: s.revoke_token(st.token_id),
        lambda st: st.breaks(st.built.database.tokens, "revoke"),
        before=_token,
    ),
    Operation.MEMBER_PUT: Try(
        lambda s, _: s.set_member("new", Role.OBSERVER), lambda st: st.breaks(st.built.tokens, "set_member")
    ),
    Operation.MEMBER_REMOVE: Try(
        lambda s, _: s.remove_member("x"), lambda st: st.breaks(st.built.tokens, "remove_member"), before=_token
    ),
    Operation.WORKSPACE_CHANGE: Try(
        lambda s, _: s.set_message_retention(7), lambda st: st.breaks(st.built.database.retention, "set_days")
    ),
    Operation.KEYS_ROTATE: Try(
        lambda s, _: s.rotate_keys(), lambda st: st.breaks(st.built.keys, "rotate"), before=_keys
    ),
}
"""A new operation that intervenes needs an entry here."""

INTERVENTIONS = [operation for operation, rule in RULES.items() if rule.intervention]


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    provider, profiles = Provider(), Profiles()
    async with plane(tmp_path, provider, kinds=ScriptedKind().only) as built:
        built.profiles = profiles
        await provider.add("s")
        yield Stage(built, provider, profiles, monkeypatch)


async def rows_of(stage: Stage, operation: Operation, known: set[str]) -> list[AuditEntry]:
    """The new rows. A kill-all that was begun before may write its own outcome meanwhile."""
    new = [row for row in await audit_rows(stage.built) if row.id not in known]
    action = RULES[operation].action
    others = {row.action for row in new} - {action}
    assert others <= ({AuditAction.KILL_ALL} if stage.kill_id != "none" else set()), new
    return [row for row in new if row.action is action]


async def before(stage: Stage, operation: Operation) -> set[str]:
    prepare = TRIES[operation].before
    if prepare is not None:
        await prepare(stage)
    return {row.id for row in await audit_rows(stage.built)}


@pytest.mark.parametrize("operation", INTERVENTIONS)
async def test_what_is_done_stands_as_intended_and_as_done(stage: Stage, operation: Operation) -> None:
    tried = TRIES[operation]
    known = await before(stage, operation)
    await tried.act(stage.built.bind(ROOT), stage)

    async def closed() -> bool:
        return len(await rows_of(stage, operation, known)) == 2

    await eventually(closed, "the outcome")
    intent, outcome = await rows_of(stage, operation, known)
    assert (intent.outcome, outcome.outcome) == (AuditOutcome.INTENDED, AuditOutcome.DONE)
    assert outcome.metadata["intentId"] == intent.id
    for row in (intent, outcome):
        assert (row.user_id, row.actor_kind) == ("root", ActorKind.PERSON)
        assert row.metadata.get("reason") == tried.reason
        assert (row.session_id == "internal:s") is (tried.session or operation is Operation.ANSWER), row
    if operation is not Operation.ANSWER:
        assert intent.content == tried.content
    if operation is Operation.KILL_ALL:
        assert [(one["sessionId"], one["state"]) for one in outcome.metadata["targets"]] == [("internal:s", "dead")]
    assert (await stage.built.bind(ROOT).audit_verify()).valid


@pytest.mark.parametrize("operation", [one for one in INTERVENTIONS if TRIES[one].fail is not None])
async def test_what_fails_stands_as_intended_and_as_failed(stage: Stage, operation: Operation) -> None:
    tried = TRIES[operation]
    known = await before(stage, operation)
    assert tried.fail is not None
    tried.fail(stage)
    with pytest.raises(MissionControlError) as failed:
        await tried.act(stage.built.bind(ROOT), stage)
    intent, outcome = await rows_of(stage, operation, known)
    assert (intent.outcome, outcome.outcome) == (AuditOutcome.INTENDED, AuditOutcome.FAILED)
    assert outcome.metadata["intentId"] == intent.id
    assert outcome.metadata["error"]["code"] == failed.value.code


@pytest.mark.parametrize("operation", INTERVENTIONS)
async def test_what_is_refused_stands_as_refused_and_does_nothing(stage: Stage, operation: Operation) -> None:
    tried = TRIES[operation]
    known = await before(stage, operation)
    calls = list(stage.provider.calls)
    outsider = agent("other")
    for who, kind in ((EVE, ActorKind.PERSON), (outsider, ActorKind.AGENT)):
        if who is outsider and RULES[operation].agents:
            continue  # below itself it may
        with pytest.raises(Forbidden):
            await tried.act(stage.built.bind(who), stage)
        *_, row = await rows_of(stage, operation, known)
        assert (row.outcome, row.user_id, row.actor_kind) == (AuditOutcome.REFUSED, who.user_id, kind)
        assert row.metadata["error"]["code"] == "forbidden"
        assert (row.session_id == "internal:s") is tried.session
        assert (row.content, row.metadata.get("reason")) == (tried.content, tried.reason)
    assert stage.provider.calls == calls
    assert {row.outcome for row in await rows_of(stage, operation, known)} == {AuditOutcome.REFUSED}


@pytest.mark.parametrize("operation", [one for one in INTERVENTIONS if TRIES[one].session])
async def test_an_attempt_on_nothing_leaves_one_row(stage: Stage, operation: Operation) -> None:
    service = stage.built.bind(ROOT)
    known = await before(stage, operation)
    stage.provider.sessions.clear()

    async def none(session_id: str, **more: Any) -> None:
        return None

    stage.monkeypatch.setattr(stage.built.database.sessions, "get", none)
    with pytest.raises(NotFound):
        await TRIES[operation].act(service, stage)
    rows = await rows_of(stage, operation, known)
    assert rows[-1].outcome is AuditOutcome.FAILED
    assert rows[-1].metadata["error"]["code"] == "not_found"
    assert rows[-1].session_id == "internal:s"


async def test_another_run_is_not_touched(stage: Stage) -> None:
    """`expectedRunId` that is not the current run: nothing happens, and the attempt is on record."""
    service = stage.built.bind(ROOT)
    await stage.provider.ask("s", approval("q", of="s"))
    before_ = list(stage.provider.calls)
    for attempt in (
        service.inject("internal:s", "hello", expected_run_id="older"),
        service.withdraw("internal:s", "i", expected_run_id="older"),
        service.edit_message("internal:s", "i", content="new", was="old", expected_run_id="older"),
        service.move_message("internal:s", "i", position=1, expected_run_id="older"),
        service.pause("internal:s", level="hold", expected_run_id="older"),
        service.pause("internal:s", level="freeze", expected_run_id="older"),
        service.resume("internal:s", expected_run_id="older"),
        service.terminate("internal:s", expected_run_id="older"),
        service.answer("q", "yes", expected_run_id="older"),
    ):
        with pytest.raises(Conflict):
            await attempt
    assert stage.provider.calls == before_
    with pytest.raises(Conflict):
        await service.kill("internal:s", reason="why", expected_run_id="older")
    rows = await audit_rows(stage.built)
    assert all(row.metadata.get("expectedRunId") == "older" for row in rows if row.metadata.get("intentId") is None)
    assert [row.outcome for row in rows if row.action is not AuditAction.KILL] == [AuditOutcome.FAILED] * 9
    assert not stage.provider.sessions["s"].status.final
    for attempt in (
        service.inject("internal:s", "hello", expected_run_id="run-s"),
        service.answer("q", "yes", expected_run_id="run-s"),
        service.kill("internal:s", reason="why", expected_run_id="run-s"),
    ):
        await attempt


async def test_a_repetition_by_its_key_leaves_no_second_row(stage: Stage) -> None:
    service = stage.built.bind(ROOT)
    for _ in range(3):
        await service.inject("internal:s", "hello", idempotency_key="k")
    assert [row.outcome.value for row in await audit_rows(stage.built)] == ["intended", "done"]


def test_every_operation_that_intervenes_is_tried() -> None:
    assert set(TRIES) == set(INTERVENTIONS), "a new operation needs an entry in TRIES"
