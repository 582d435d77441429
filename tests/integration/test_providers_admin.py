"""Registered providers in the control plane: what may be stored, what runs for it, what is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from sqlalchemy import update

from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    Forbidden,
    MissionControlError,
    NotFound,
    Unavailable,
    Unreachable,
)
from mission_control_desktop.domain.providers import (
    CheckReport,
    ProviderChange,
    ProviderDraft,
    StageName,
    StageState,
)
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Freshness
from mission_control_desktop.providers.kinds import CheckLog
from mission_control_desktop.record.ops import PutReceipt
from mission_control_desktop.storage.tables import provider_configs
from support.kinds import ScriptedKind
from support.planes import ANN, EVE, ROOT, STRANGER, ScriptedProvider, audit_rows, outcomes, plane
from support.records import receipt, until

CANARY = "canary-3f9a71c2"


def draft(name: str = "lab", **more: Any) -> ProviderDraft:
    values: dict[str, Any] = {
        "provider": "scripted",
        "gateway_url": "wss://gateway.example:18789",
        "credentials": Credentials.of(CANARY),
    }
    return ProviderDraft(name=name, **{**values, **more})


@asynccontextmanager
async def admin(directory: Path, kind: ScriptedKind, **more: Any) -> AsyncIterator[ControlPlane]:
    async with plane(directory, ScriptedProvider(), kinds=kind.only, **more) as built:
        yield built


async def running(kind: ScriptedKind, count: int = 1) -> ScriptedProvider:
    await until(lambda: len(kind.running) == count, f"{count} adapters to run")
    return kind.running[-1]


async def state_of(built: ControlPlane, name: str) -> str:
    return {one.name: one.health.state for one in await built.bind(EVE).providers()}[name]


async def test_a_providers_life(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        assert [one.kind for one in await root.provider_kinds()] == ["scripted"]
        made = await root.create_provider(draft())
        assert (made.name, made.provider, made.has_credentials, made.is_active) == ("lab", "scripted", True, True)
        first = await running(kind)
        config, credentials = kind.given[-1]
        assert (config.gateway_url, credentials.token) == ("wss://gateway.example:18789", CANARY)
        session_id = await first.add("s")
        assert (await root.session(session_id)).provider == "lab"
        assert [one.name for one in await built.bind(EVE).providers()] == ["internal", "lab"]

        changed = await root.update_provider(made.id, ProviderChange(credentials=Credentials.of({"secret": CANARY})))
        assert first.closed
        assert changed.updated_at >= made.updated_at
        assert kind.given[-1][1].names == ("secret",)
        await running(kind)
        removed = await root.update_provider(made.id, ProviderChange(credentials=Credentials()))
        assert not removed.has_credentials
        assert not kind.given[-1][1]

        await root.update_provider(made.id, ProviderChange(is_active=False))
        assert kind.running == []
        assert await state_of(built, "lab") == "disabled"
        assert (await built.bind(EVE).health()).status == "ok"
        with pytest.raises(Conflict, match="switched off"):
            await root.pause(session_id)
        assert (await root.session(session_id)).evidence.freshness is Freshness.UNREACHABLE
        await root.update_provider(made.id, ProviderChange(is_active=True))
        again = await running(kind)
        again.sessions.update(first.sessions)
        await root.pause(session_id)

        await root.delete_provider(made.id)
        assert again.closed
        assert [one.name for one in await root.providers()] == ["internal"]
        with pytest.raises(NotFound):
            await root.delete_provider(made.id)
        assert (await root.session(session_id)).session_id == session_id
        for act in (root.resume(session_id), root.inject(session_id, "hello"), root.kill(session_id, reason="x")):
            with pytest.raises(Conflict, match="removed"):
                await act
        with pytest.raises(NotFound):
            await root.kill("lab:nobody", reason="x")
    assert CANARY not in (tmp_path / "record.db").read_bytes().decode("latin-1")


async def test_a_check_can_be_followed_and_its_result_is_kept(tmp_path: Path) -> None:
    kind = ScriptedKind()
    go_on = asyncio.Event()

    async def checking(log: CheckLog) -> None:
        await go_on.wait()
        log.failed(StageName.PROTOCOL, f"It says {CANARY}.")

    kind.checking = checking
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        assert made.last_check is None

        async def last() -> CheckReport | None:
            return {one.id: one for one in await root.providers()}[made.id].last_check

        async with asyncio.TaskGroup() as group:
            check = group.create_task(root.check_provider(made.id))
            async with asyncio.timeout(20):
                while (told := await last()) is None or not told.stages:
                    await asyncio.sleep(0.01)
            assert told.under_way
            assert [(one.stage, one.state) for one in told.stages] == [(StageName.REACHABLE, StageState.OK)]
            go_on.set()
        assert await last() == check.result()
        await root.update_provider(made.id, ProviderChange(name="labs"))
        assert await last() == check.result()
    async with admin(tmp_path, kind, fresh=False) as built:
        root = built.bind(ROOT)
        assert await last() == check.result(), "it outlives the control plane"
        assert CANARY not in str(await last())
        await root.update_provider(made.id, ProviderChange(credentials=Credentials.of("another")))
        assert await last() is None, "it was another that was checked"
    assert CANARY not in (tmp_path / "record.db").read_bytes().decode("latin-1")


async def test_a_check_that_was_overtaken_by_a_change_is_not_kept(tmp_path: Path) -> None:
    kind = ScriptedKind()
    go_on = asyncio.Event()

    async def checking(log: CheckLog) -> None:
        await go_on.wait()

    kind.checking = checking
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        async with asyncio.TaskGroup() as group:
            check = group.create_task(root.check_provider(made.id))
            await until(lambda: built.providers.checking(made.id), "a check")
            await root.update_provider(made.id, ProviderChange(credentials=Credentials.of("another")))
            go_on.set()
        assert check.result().ok
        (view,) = [one for one in await root.providers() if not one.built_in]
        assert view.last_check is None


async def test_health_says_since_when(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        await running(kind)

        def view() -> Any:
            return next(one for one in built.provider_health() if one.provider == "lab")

        await until(lambda: view().state == "ok", "it runs")
        first = view().since
        assert first is not None
        assert view().since == first
        await root.update_provider(made.id, ProviderChange(is_active=False))
        assert view().state == "disabled"
        assert view().since > first


async def test_what_runs_after_a_restart(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        await root.create_provider(draft("on"))
        await root.create_provider(draft("off", is_active=False))
        await running(kind)
        await kind.keep_of("on").save({"device": CANARY + "-kept"})
    kind.faults["start"] = 60.0
    began = asyncio.get_running_loop().time()
    async with admin(tmp_path, kind, fresh=False) as built:
        assert asyncio.get_running_loop().time() - began < 10
        assert await kind.keep_of("on").load() == {"device": CANARY + "-kept"}
        assert (await state_of(built, "on"), await state_of(built, "off")) == ("unreachable", "disabled")
        assert kind.given[-1][1].token == CANARY
        assert [one.session_id for one in (await built.bind(EVE).sessions()).items] == []
    async with plane(tmp_path, ScriptedProvider(), kinds=dict, fresh=False) as built:
        (view,) = [one for one in await built.bind(ROOT).providers() if one.name == "on"]
        assert view.health.state == "unreachable"
        assert "scripted" in (view.health.detail or "")
        with pytest.raises(BadInput, match="Installed: none"):
            await built.bind(ROOT).create_provider(draft("more"))
        await built.bind(ROOT).update_provider(view.id, ProviderChange(is_active=False))
    assert CANARY not in (tmp_path / "record.db").read_bytes().decode("latin-1")


async def test_another_address_needs_the_credentials_again_and_forgets_the_adapters_own(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        await kind.keeps[-1].save({"device": "1"})
        with pytest.raises(BadInput) as error:
            await root.update_provider(made.id, ProviderChange(gateway_url="wss://elsewhere.example"))
        assert error.value.field == "credentials"
        await root.update_provider(made.id, ProviderChange(gateway_url="wss://gateway.example:18789/path"))
        assert await kind.keeps[-1].load() == {"device": "1"}
        moved = await root.update_provider(
            made.id, ProviderChange(gateway_url="wss://elsewhere.example/", credentials=Credentials.of("other-token"))
        )
        assert moved.gateway_url == "wss://elsewhere.example"
        assert await kind.keeps[-1].load() == {}


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("name", {"name": "Upper"}),
        ("name", {"name": "-x"}),
        ("name", {"name": "a" * 64}),
        ("provider", {"provider": "nothing"}),
        ("gatewayUrl", {"gateway_url": "http://gateway.example"}),
        ("gatewayUrl", {"gateway_url": "wss://"}),
        ("gatewayUrl", {"gateway_url": "gateway.example"}),
        ("gatewayUrl", {"gateway_url": f"wss://ann:{CANARY}@gateway.example"}),
        ("gatewayUrl", {"gateway_url": "wss://gateway.example/#a"}),
        ("gatewayUrl", {"gateway_url": f"wss://gateway.example/?t={CANARY}"}),
        ("gatewayUrl", {"gateway_url": f"wss://gateway.example/{CANARY}"}),
        ("gatewayUrl", {"gateway_url": "wss://gateway.example:99999"}),
        ("gatewayUrl", {"gateway_url": "wss://gate way.example"}),
        ("gatewayUrl", {"gateway_url": "ws://gateway.example"}),
        ("credentials", {"credentials": Credentials.of({"password": CANARY})}),
        ("credentials", {"credentials": Credentials.of("malformed")}),
    ],
)
async def test_what_can_never_work_is_refused_by_its_field(tmp_path: Path, field: str, more: dict[str, Any]) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        with pytest.raises(BadInput) as error:
            await built.bind(ROOT).create_provider(draft(**{"name": "lab", **more}))
        assert error.value.field == field
        assert CANARY not in error.value.message
        assert "malformed" not in error.value.message
        assert [one.name for one in await built.bind(ROOT).providers()] == ["internal"]
        rows = await audit_rows(built)
        assert CANARY not in str(rows)
        assert outcomes(rows)[-1] == ("provider-change", "refused")


async def test_plain_text_to_this_computer_or_when_someone_accepts_it(tmp_path: Path) -> None:
    async with admin(tmp_path, ScriptedKind()) as built:
        root = built.bind(ROOT)
        for number, url in enumerate(("ws://127.0.0.1:1", "ws://[::1]:1", "ws://localhost")):
            assert not (await root.create_provider(draft(f"local-{number}", gateway_url=url))).allow_insecure
        risky = await root.create_provider(draft(gateway_url="ws://gateway.example", allow_insecure=True))
        assert risky.allow_insecure
        with pytest.raises(BadInput):
            await root.update_provider(risky.id, ProviderChange(allow_insecure=False))


async def test_names_are_unique_over_all_workspaces_and_do_not_change_under_sessions(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root, stranger = built.bind(ROOT), built.bind(STRANGER)
        made = await root.create_provider(draft())
        for name in ("lab", "internal", "all"):
            with pytest.raises(Conflict):
                await root.create_provider(draft(name))
        with pytest.raises(Conflict):
            await stranger.create_provider(draft())
        assert [one.name for one in await stranger.providers()] == []
        for act in (stranger.delete_provider(made.id), stranger.check_provider(made.id)):
            with pytest.raises(NotFound):
                await act
        renamed = await root.update_provider(made.id, ProviderChange(name="lab-2"))
        assert (renamed.id, renamed.name) == (made.id, "lab-2")
        provider = await running(kind)
        await provider.add("s")
        with pytest.raises(Conflict, match="Register a second provider"):
            await root.update_provider(made.id, ProviderChange(name="lab-3"))
        await root.delete_provider(made.id)
        with pytest.raises(Conflict, match="Another workspace"):
            await stranger.create_provider(draft("lab-2"))
        assert (await root.create_provider(draft("lab-2"))).name == "lab-2"


async def test_the_built_in_provider_stays_as_it_is(tmp_path: Path) -> None:
    async with admin(tmp_path, ScriptedKind()) as built:
        root = built.bind(ROOT)
        (internal,) = await root.providers()
        assert internal.built_in
        for act in (
            root.update_provider(internal.id, ProviderChange(is_active=False)),
            root.delete_provider(internal.id),
            root.check_provider(internal.id),
        ):
            with pytest.raises(Conflict, match="built in"):
                await act


async def test_every_attempt_is_on_record_without_credentials(tmp_path: Path) -> None:
    async with admin(tmp_path, ScriptedKind()) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        await root.update_provider(made.id, ProviderChange(credentials=Credentials.of(CANARY + "2"), is_active=False))
        await root.check_provider(made.id)
        await root.delete_provider(made.id)
        for who in (ANN, EVE):
            for act in (
                built.bind(who).create_provider(draft()),
                built.bind(who).update_provider(made.id, ProviderChange(is_active=True)),
                built.bind(who).delete_provider(made.id),
                built.bind(who).check_provider(made.id),
            ):
                with pytest.raises(Forbidden):
                    await act
        rows = await audit_rows(built)
        assert outcomes(rows) == [
            *(("provider-change", one) for one in ("intended", "done", "intended", "done")),
            *(("provider-check", one) for one in ("intended", "done")),
            *(("provider-remove", one) for one in ("intended", "done")),
            *(
                (action, "refused")
                for _ in (ANN, EVE)
                for action in ("provider-change", "provider-change", "provider-remove", "provider-check")
            ),
        ]
        assert CANARY not in str(rows)
        assert {row.provider for row in rows if row.outcome is AuditOutcome.INTENDED} == {"lab"}
        assert rows[2].metadata["change"] == {"credentials": "changed", "isActive": False}


async def test_a_check_tells_what_failed_in_bounded_time_and_keeps_secrets(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        built.providers._check_seconds = 0.3
        root = built.bind(ROOT)
        made = await root.create_provider(draft(is_active=False))

        async def stages(doing: Any) -> CheckReport:
            kind.checking = doing
            return await root.check_provider(made.id)

        async def well(log: CheckLog) -> None:
            for stage in StageName:
                log.ok(stage, f"fine, {CANARY}")

        async def slow(log: CheckLog) -> None:
            log.ok(StageName.PROTOCOL, "speaks it")
            await asyncio.sleep(60)

        async def refused(log: CheckLog) -> None:
            raise Unreachable(f"it hates {CANARY}")

        async def bug(log: CheckLog) -> None:
            raise RuntimeError(f"oh {CANARY}")

        with structlog.testing.capture_logs() as logged:
            good, late, away, broken = [await stages(one) for one in (well, slow, refused, bug)]
        assert good.ok
        assert [one.state for one in good.stages] == [StageState.OK] * 5
        assert not late.ok
        assert [one.state.value for one in late.stages] == ["ok", "ok", "failed", "skipped", "skipped"]
        assert "0.3 s" in late.stages[2].detail
        assert away.stages[1].detail.startswith("it hates")
        assert broken.stages[1].state is StageState.FAILED
        assert CANARY not in f"{good}{late}{away}{broken}{logged}"
        assert CANARY not in str(await audit_rows(built))


async def test_a_broken_adapter_hurts_nobody_and_tells_no_secret(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        kind.faults.update(start=Unreachable(f"no way with {CANARY}"), list_sessions=RuntimeError(f"bug {CANARY}"))
        with structlog.testing.capture_logs() as logged:
            made = await root.create_provider(draft())
            await until(lambda: built.registry.entry("lab").problem not in (None, "still starting"), "its end")
            views = str(await root.providers())
            with pytest.raises(Unreachable) as error:
                await built.registry.call("lab", built.registry.get("lab").list_sessions(), timeout=5)
            kind.broken = RuntimeError(f"cannot be opened, {CANARY}")
            kind.faults.clear()
            with pytest.raises(Unavailable):
                await root.update_provider(made.id, ProviderChange(credentials=Credentials.of(CANARY)))
        assert "no way with [hidden]" in views
        assert CANARY not in views + str(error.value) + str(logged)
        assert await state_of(built, "internal") == "ok"


async def test_secrets_that_cannot_be_unsealed_are_said_and_can_be_given_again(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        made = await built.bind(ROOT).create_provider(draft())
        spoil = update(provider_configs).values(credentials=b"\1" + bytes(60))
        await built.database.access.write(lambda c: c.execute(spoil))
    async with admin(tmp_path, kind, fresh=False) as built:
        root = built.bind(ROOT)
        assert await state_of(built, "lab") == "unreachable"
        report = await root.check_provider(made.id)
        assert not report.ok
        assert report.stages[0].state is StageState.FAILED
        with pytest.raises(Unavailable):
            await root.update_provider(made.id, ProviderChange(allow_insecure=True))
        await root.update_provider(made.id, ProviderChange(credentials=Credentials.of(CANARY)))
        assert (await running(kind)).name == "lab"


async def test_the_same_key_is_the_same_provider(tmp_path: Path) -> None:
    async with admin(tmp_path, ScriptedKind()) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft(), idempotency_key="k")
        assert (await root.create_provider(draft(), idempotency_key="k")).id == made.id
        with pytest.raises(MissionControlError):
            await root.create_provider(draft(credentials=Credentials.of("other")), idempotency_key="k")
    assert CANARY not in (tmp_path / "record.db").read_bytes().decode("latin-1")


async def test_open_intents_are_closed_after_a_crash(tmp_path: Path) -> None:
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        made = await built.bind(ROOT).create_provider(draft())
        for action, metadata in (
            (AuditAction.PROVIDER_CHANGE, {"providerId": "gone"}),
            (AuditAction.PROVIDER_REMOVE, {"providerId": "gone"}),
            (AuditAction.PROVIDER_REMOVE, {"providerId": made.id}),
            (AuditAction.PROVIDER_CHECK, {"providerId": made.id}),
        ):
            await built.interventions._intend(Attempt(who=ROOT, action=action, provider="lab", metadata=metadata))
    async with admin(tmp_path, kind, fresh=False, settle_seconds=0.2) as built:
        await until_closed(built)
        closed = [row for row in await audit_rows(built) if row.metadata.get("resolved")]
        assert sorted((row.action.value, row.outcome.value) for row in closed) == [
            ("provider-change", "failed"),
            ("provider-check", "failed"),
            ("provider-remove", "done"),
            ("provider-remove", "failed"),
        ]


async def until_closed(built: ControlPlane) -> None:
    async with asyncio.timeout(30):
        while await built.database.audit.all_open_intents():
            await asyncio.sleep(0.02)


async def test_an_adapter_is_opened_again_when_what_it_told_before_is_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would read an older state, and climb down from there."""
    kind = ScriptedKind()
    async with admin(tmp_path, kind) as built:
        root = built.bind(ROOT)
        made = await root.create_provider(draft())
        first = await running(kind)
        await first.add("s")
        assert first.record is not None
        stored = msgspec.structs.replace(receipt("m"), session_id="lab:s")
        delivered = msgspec.structs.replace(stored, state=ReceiptState.DELIVERED)
        await first.record.apply("s", [PutReceipt(receipt=stored)], durable=True)

        written = asyncio.Event()
        commit = built.recorder._commit

        async def held(taken: Any) -> None:
            await written.wait()
            await commit(taken)

        monkeypatch.setattr(built.recorder, "_commit", held)
        built.providers._written_seconds = 0.05
        built.recorder._degraded("The disk is full.")
        await first.record.apply("s", [PutReceipt(receipt=delivered)])
        await root.update_provider(made.id, ProviderChange(is_active=False))
        await root.update_provider(made.id, ProviderChange(is_active=True))

        def told() -> bool:
            return "The disk is full." in str(built.registry.entry("lab").problem)

        await until(told, "it is told why it does not start")
        assert await state_of(built, "lab") == "unreachable"
        assert kind.running == []
        written.set()
        again = await running(kind)
        assert again.record is not None
        assert await again.record.receipt("m") == delivered
        await until(lambda: built.registry.entry("lab").problem is None, "it has started")
