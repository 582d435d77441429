"""Kill-all: parents first, frozen first when asked, and looked at afterwards instead of believed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mission_control_desktop.control import kill_all, kill_steps
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    Forbidden,
    NotFound,
    StopUnderWay,
    Unavailable,
    Unreachable,
    Unsupported,
)
from mission_control_desktop.domain.kill import KillAll, KillState, TargetState
from mission_control_desktop.domain.people import ActorKind, Principal
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.sessions import SessionStatus
from support.orchestration import eventually
from support.planes import ANN, EVE, ROOT, STRANGER, ScriptedProvider, audit_rows, outcomes, plane
from support.records import audit_draft


async def finished(built: ControlPlane, kill: KillAll, who: Principal = ANN) -> KillAll:
    async def probe() -> KillAll | None:
        now = await built.bind(who).kill_state(kill.kill_id)
        return now if now.state in (KillState.DONE, KillState.UNDONE) else None

    return await eventually(probe, "the end of the kill-all")


async def closed(built: ControlPlane) -> None:
    async def probe() -> bool:
        return not await built.recorder.audit.open_intents("default")

    await eventually(probe, "the intent to be closed")


def states(kill: KillAll) -> dict[str, TargetState]:
    return {target.session_id: target.state for target in kill.targets}


async def test_kills_parents_before_children_and_proves_each(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        for native, parent in (("leaf", "branch"), ("branch", "root"), ("root", None), ("other", None)):
            await provider.add(native, parent=parent)
        await provider.add("done", status=SessionStatus.COMPLETED)
        async with built.bind(EVE).events() as events:
            started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="enough")
            assert started.state is KillState.KILLING
            shown: list[KillAll] = []
            async with asyncio.timeout(20):
                async for event in events:
                    if isinstance(event.data, KillAll):
                        shown.append(event.data)
                        if event.data.state is KillState.DONE:
                            break
        assert states(shown[-1]) == dict.fromkeys(
            ("internal:leaf", "internal:branch", "internal:root", "internal:other"), TargetState.DEAD
        )
        killed = [native for name, native in provider.calls if name == "kill"]
        assert killed.index("root") < killed.index("branch") < killed.index("leaf")
        assert await built.bind(EVE).kill_state(started.kill_id) == shown[-1]
        await closed(built)
        rows = await audit_rows(built)
        assert outcomes(rows) == [("kill-all", "intended"), ("kill-all", "done")]
        assert rows[0].metadata["reason"] == "enough"
        assert {target["state"] for target in rows[1].metadata["targets"]} == {"dead"}


async def test_needs_the_words_a_scope_that_exists_and_a_reason(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        good: dict[str, Any] = {"scope": "internal", "confirm": "KILL ALL", "reason": "enough"}
        for field, bad in (("confirm", "kill all"), ("scope", "nowhere"), ("reason", " ")):
            with pytest.raises(BadInput) as refused:
                await built.bind(ANN).kill_all(**{**good, field: bad})
            assert refused.value.field == field
        with pytest.raises(BadInput):
            await built.bind(ANN).kill_all(**good, undo_seconds=3600)
        with pytest.raises(Forbidden):
            await built.bind(EVE).kill_all(**good)
        assert outcomes(await audit_rows(built)) == [("kill-all", "refused")] * 5
        assert not provider.sessions["s"].status.final


async def test_one_provider_alone_when_it_is_the_scope(tmp_path: Path) -> None:
    ours, theirs = ScriptedProvider(), ScriptedProvider("theirs")
    async with plane(tmp_path, ours, theirs) as built:
        await ours.add("a")
        await theirs.add("b")
        done = await finished(built, await built.bind(ANN).kill_all(scope="theirs", confirm="KILL ALL", reason="x"))
        assert states(done) == {"theirs:b": TargetState.DEAD}
        assert not ours.sessions["a"].status.final


async def test_a_provider_that_is_away_or_slow_holds_up_nothing_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_steps, "KILL_TIMEOUT", 0.5)
    monkeypatch.setattr(kill_steps, "LOOK_TIMEOUT", 0.5)
    ours, away, slow, blind = (
        ScriptedProvider(),
        ScriptedProvider("away"),
        ScriptedProvider("slow"),
        ScriptedProvider("blind", proves=False),
    )
    async with plane(tmp_path, ours, away, slow, blind) as built:
        for one in (ours, away, slow, blind):
            await one.add("s")
        away.faults |= {"list_sessions": 60.0, "get_session": 60.0, "kill": 60.0}
        slow.faults["kill"] = 60.0
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert states(done) == {
            "internal:s": TargetState.DEAD,
            "away:s": TargetState.UNREACHABLE,
            "slow:s": TargetState.UNREACHABLE,
            "blind:s": TargetState.ASKED,
        }
        details = {target.session_id: target.detail or "" for target in done.targets}
        assert "did not answer" in details["away:s"]
        assert "cannot show processes" in details["blind:s"]


async def test_what_survives_is_not_called_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_steps, "VERIFY_SECONDS", 0.3)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("zombie")
        await provider.add("mortal")
        provider.unkillable.add("zombie")
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert states(done) == {"internal:zombie": TargetState.ASKED, "internal:mortal": TargetState.DEAD}
        assert any("4000000" in (target.detail or "") for target in done.targets)


async def test_sessions_that_appear_meanwhile_are_hit_and_nothing_new_is_started(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")

        async def another(native: str) -> None:
            if native == "s":
                await provider.add("late", parent="s")
                with pytest.raises(Conflict):
                    await built.bind(ANN).spawn(SpawnRequest(profile="demo"))

        provider.on_kill = another
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert states(done) == {"internal:s": TargetState.DEAD, "internal:late": TargetState.DEAD}
        await built.bind(ANN).spawn(SpawnRequest(profile="demo"))


async def test_freezes_first_and_lets_go_when_undone(tmp_path: Path) -> None:
    provider, rigid = ScriptedProvider(), ScriptedProvider("rigid")
    async with plane(tmp_path, provider, rigid) as built:
        await provider.add("running")
        await provider.add("paused", status=SessionStatus.PAUSED)
        provider.faults.pop("pause", None)
        await rigid.add("stiff")
        rigid.faults["pause"] = Unsupported("It cannot be paused.")
        started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x", undo_seconds=30)
        assert started.state is KillState.FROZEN
        assert started.undo_until is not None

        async def frozen() -> bool:
            return (
                states(await built.bind(EVE).kill_state(started.kill_id)).get("internal:running") is TargetState.FROZEN
            )

        await eventually(frozen, "the freeze")
        with pytest.raises(NotFound):
            await built.bind(STRANGER).kill_undo(started.kill_id)
        with pytest.raises(Forbidden):
            await built.bind(EVE).kill_undo(started.kill_id)
        undone = await built.bind(ROOT).kill_undo(started.kill_id)
        assert undone.state is KillState.UNDONE
        assert provider.sessions["running"].status is SessionStatus.RUNNING
        assert provider.sessions["paused"].status is SessionStatus.PAUSED
        assert not rigid.sessions["stiff"].status.final
        assert "kill" not in {name for name, _ in provider.calls}
        with pytest.raises(Conflict):
            await built.bind(ANN).kill_undo(started.kill_id)
        await closed(built)
        done = [row for row in await audit_rows(built) if (row.action.value, row.outcome.value) == ("kill-all", "done")]
        assert done[0].metadata["undone"] is True


async def test_kills_when_the_time_to_undo_is_over(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x", undo_seconds=0.3)
        done = await finished(built, started)
        assert states(done) == {"internal:s": TargetState.DEAD}
        assert [name for name, _ in provider.calls if name in ("pause", "kill")] == ["pause", "kill"]


@pytest.mark.parametrize("undo_seconds", [0.0, 0.5])
async def test_goes_on_after_a_restart(tmp_path: Path, undo_seconds: float) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as first:
        await provider.add("s")
        provider.faults["kill"] = 60.0
        started = await first.bind(ANN).kill_all(
            scope="all", confirm="KILL ALL", reason="enough", undo_seconds=undo_seconds
        )

        async def asked() -> bool:
            return ("kill", "s") in provider.calls or undo_seconds > 0

        await eventually(asked, "the kill")
    assert not provider.sessions["s"].status.final
    del provider.faults["kill"]
    async with plane(tmp_path, provider, fresh=False) as second:
        done = await finished(second, started)
        assert states(done) == {"internal:s": TargetState.DEAD}
        await closed(second)
        rows = await audit_rows(second)
        assert outcomes(rows) == [("kill-all", "intended"), ("kill-all", "done")]
        assert rows[1].metadata["intentId"] == rows[0].id
        assert rows[1].metadata["reason"] == "enough"


async def test_hits_again_what_comes_back_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_all, "LOOK_EVERY_SECONDS", 0.05)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert done.watching_until is not None
        assert done.by == "ann"
        await provider.add("new")  # nobody told it to die
        await provider.add("s")
        await provider.add("child", parent="s")

        def hits() -> set[str]:
            return {native for name, native in provider.calls if name == "kill"}

        async def again() -> KillAll | None:
            now = await built.bind(EVE).kill_state(done.kill_id)
            return now if all(one.status.final for n, one in provider.sessions.items() if n != "new") else None

        await eventually(again, "the second hit")
        assert hits() == {"s", "child"}
        assert not provider.sessions["new"].status.final

        async def settled() -> KillAll | None:
            now = await built.bind(EVE).kill_state(done.kill_id)
            return now if set(states(now).values()) == {TargetState.DEAD} else None

        story = (await eventually(settled, "both dead")).targets[0].steps
        assert [step.state for step in story][-4:] == [
            TargetState.DEAD,
            TargetState.CAME_BACK,
            TargetState.ASKED,
            TargetState.DEAD,
        ]
        with pytest.raises(Forbidden):
            await built.bind(EVE).kill_close(done.kill_id)
        with pytest.raises(NotFound):
            await built.bind(STRANGER).kill_close(done.kill_id)
        assert (await built.bind(ANN).kill_close(done.kill_id)).watching_until is None

        async def over() -> bool:
            return not built.kill_alls.running(done.kill_id)

        await eventually(over, "the end of the watch")
        assert (await built.bind(ANN).kill_close(done.kill_id)).watching_until is None
        calls = len(provider.calls)
        await provider.add("s")
        await asyncio.sleep(0)
        assert len(provider.calls) == calls
        assert not provider.sessions["s"].status.final
        policy = [row for row in await audit_rows(built) if row.actor_kind is ActorKind.POLICY]
        assert {row.session_id for row in policy} == {"internal:s", "internal:child"}
        assert {row.outcome for row in policy} == {AuditOutcome.INTENDED, AuditOutcome.DONE}
        assert all(row.metadata["reason"] == "it came back after a kill-all" for row in policy)


async def test_hits_what_could_not_be_reached_when_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_all, "LOOK_EVERY_SECONDS", 0.05)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        for method in ("list_sessions", "get_session", "kill"):
            provider.faults[method] = Unreachable("It does not answer.")
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert states(done) == {"internal:s": TargetState.UNREACHABLE}
        provider.faults.clear()

        async def dead() -> bool:
            return states(await built.bind(EVE).kill_state(done.kill_id)) == {"internal:s": TargetState.DEAD}

        await eventually(dead, "the hit after all")


async def test_the_watch_outlives_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_all, "LOOK_EVERY_SECONDS", 0.05)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as first:
        await provider.add("s")
        done = await finished(first, await first.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        await closed(first)
    provider.record = None
    await provider.add("s")
    async with plane(tmp_path, provider, fresh=False) as second:

        async def dead() -> bool:
            return provider.sessions["s"].status.final

        await eventually(dead, "the second hit")
        assert (await second.bind(ANN).kill_close(done.kill_id)).state is KillState.DONE


async def test_nothing_is_sent_or_let_go_while_it_is_under_way(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x", undo_seconds=30)
        with pytest.raises(StopUnderWay):
            await built.bind(ROOT).inject(session_id, "go on")
        with pytest.raises(StopUnderWay):
            await built.bind(ROOT).resume(session_id)
        with pytest.raises(StopUnderWay):
            await built.bind(ROOT).spawn(SpawnRequest(profile="demo"))
        with pytest.raises(Conflict):
            await built.bind(ROOT).kill_close(started.kill_id)
        refused = [row for row in await audit_rows(built) if row.outcome is AuditOutcome.REFUSED]
        assert [(row.action.value, row.content) for row in refused] == [
            ("inject", "go on"),
            ("resume", None),
            ("spawn", None),
        ]
        assert not {"inject", "resume", "spawn"} & {name for name, _ in provider.calls}
        await built.bind(ANN).kill_undo(started.kill_id)
        await built.bind(ROOT).inject(session_id, "go on")


async def test_what_shows_up_while_it_is_frozen_is_frozen_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_all, "LOOK_EVERY_SECONDS", 0.05)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x", undo_seconds=30)
        await provider.add("late", parent="s")

        async def frozen() -> bool:
            return states(await built.bind(EVE).kill_state(started.kill_id)) == {
                "internal:s": TargetState.FROZEN,
                "internal:late": TargetState.FROZEN,
            }

        await eventually(frozen, "both frozen")
        await built.bind(ANN).kill_undo(started.kill_id)
        assert provider.sessions["late"].status is SessionStatus.RUNNING


async def test_a_target_whose_provider_breaks_does_not_stop_the_others(tmp_path: Path) -> None:
    provider, broken = ScriptedProvider(), ScriptedProvider("broken")
    async with plane(tmp_path, provider, broken) as built:
        await provider.add("s")
        await broken.add("s")
        broken.faults["get_session"] = RuntimeError("a bug")
        done = await finished(built, await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x"))
        assert states(done) == {"internal:s": TargetState.DEAD, "broken:s": TargetState.UNREACHABLE}
        assert "a bug" not in str(done)


async def test_a_kill_of_one_session_whose_provider_is_away_says_so(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        provider.faults["kill"] = Unreachable("It does not answer.")
        with pytest.raises(Unreachable):
            await built.bind(ANN).kill(session_id, reason="x")
        assert outcomes(await audit_rows(built)) == [("kill", "intended"), ("kill", "failed")]


async def test_a_result_that_cannot_be_stored_is_kept_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill_all, "SAVE_AGAIN_SECONDS", 0.05)
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        await provider.add("s")
        put = built.recorder.kills.put

        async def full(workspace_id: str, kill: KillAll, *, state: bytes = b"") -> None:
            raise Unavailable("The record cannot be written now: the disk is full.")

        monkeypatch.setattr(built.recorder.kills, "put", full)
        started = await built.bind(ANN).kill_all(scope="all", confirm="KILL ALL", reason="x")
        done = await finished(built, started)
        assert states(done) == {"internal:s": TargetState.DEAD}
        monkeypatch.setattr(built.recorder.kills, "put", put)

        async def stored() -> bool:
            return await built.recorder.kills.get("default", started.kill_id) == done

        await eventually(stored, "the result on record")
        assert await built.bind(EVE).kill_state(started.kill_id) == done


async def test_one_that_was_over_before_its_row_was_written_is_done(tmp_path: Path) -> None:
    async with plane(tmp_path) as first:
        over = KillAll(kill_id="k", state=KillState.DONE, scope="all", started_at=first.clock.now())
        await first.recorder.kills.put("default", over)
        intent = audit_draft(id="intent", action=AuditAction.KILL_ALL, outcome=AuditOutcome.INTENDED)
        intent = msgspec.structs.replace(intent, metadata={"killId": "k"})
        await first.recorder.audit.append("default", intent)
    async with plane(tmp_path, fresh=False) as second:
        await closed(second)
        assert outcomes(await audit_rows(second)) == [("kill-all", "intended"), ("kill-all", "done")]
