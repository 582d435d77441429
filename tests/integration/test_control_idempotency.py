"""The same request again: one effect, one answer; also while the first runs, and after a restart."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from mission_control_desktop.control.idempotency import KeyedAnswer
from mission_control_desktop.domain.errors import BadInput, Conflict, IdempotencyMismatch, NotFound, Unreachable
from mission_control_desktop.domain.profiles import SpawnRequest
from support.planes import ANN, ROOT, ScriptedProvider, plane


async def test_a_repetition_gets_the_first_answer_and_does_nothing(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        service = built.bind(ANN)
        first = await service.inject(session_id, "hello", idempotency_key="k")
        assert await service.inject(session_id, "hello", idempotency_key="k") == first
        with pytest.raises(IdempotencyMismatch):
            await service.inject(session_id, "other words", idempotency_key="k")
        other = await built.bind(ROOT).inject(session_id, "hello", idempotency_key="k")
        assert other.injection_id != first.injection_id
        assert [name for name, _ in provider.calls].count("inject") == 2
    async with plane(tmp_path, provider, fresh=False) as again:
        assert await again.bind(ANN).inject(session_id, "hello", idempotency_key="k") == first
        assert [name for name, _ in provider.calls].count("inject") == 2


async def test_one_that_comes_while_the_first_runs_waits_for_it(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    provider.faults["spawn"] = 0.3
    async with plane(tmp_path, provider) as built:
        service = built.bind(ANN)
        answers = await asyncio.gather(
            *(service.spawn(SpawnRequest(profile="demo"), idempotency_key="k") for _ in range(5))
        )
        assert len({one.session_id for one in answers}) == 1
        assert len(provider.sessions) == 1


async def test_a_caller_that_goes_away_does_not_free_the_key(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    provider.faults["spawn"] = 0.3
    async with plane(tmp_path, provider) as built:
        service = built.bind(ANN)
        task = asyncio.get_running_loop().create_task(service.spawn(SpawnRequest(profile="demo"), idempotency_key="k"))
        await asyncio.sleep(0.1)
        task.cancel()
        await service.spawn(SpawnRequest(profile="demo"), idempotency_key="k")
        assert len(provider.sessions) == 1


async def test_an_error_is_an_answer_unless_it_may_pass(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        service = built.bind(ANN)
        for _ in range(2):
            with pytest.raises(NotFound):
                await service.inject("internal:unknown", "hello", idempotency_key="never")
        provider.faults["inject"] = Unreachable("It does not answer.")
        with pytest.raises(Unreachable):
            await service.inject(session_id, "hello", idempotency_key="later")
        del provider.faults["inject"]
        await service.inject(session_id, "hello", idempotency_key="later")
        for bad in ("", "x" * 201, "line\nbreak"):
            with pytest.raises(BadInput):
                await service.inject(session_id, "hello", idempotency_key=bad)


async def test_what_a_restart_cut_short(tmp_path: Path) -> None:
    async def act(seed: str | None) -> KeyedAnswer:
        return KeyedAnswer(200, b"{}")

    async with plane(tmp_path) as first:
        owner = "default/person/ann"
        for key in ("once", "again"):
            await first.database.idempotency.reserve(
                owner, key, hashlib.sha256(b"request").hexdigest(), at=first.clock.now()
            )
    async with plane(tmp_path, fresh=False) as second:
        with pytest.raises(Conflict):
            await second.idempotency.run(ANN, "once", b"request", act, repeatable=False)
        assert (await second.idempotency.run(ANN, "again", b"request", act, repeatable=True)).status == 200


async def test_a_secret_is_answered_again_but_never_stored(tmp_path: Path) -> None:
    async def act(seed: str | None) -> KeyedAnswer:
        return KeyedAnswer(201, b'{"token":"mc_verysecret"}', secret=True)

    async with plane(tmp_path) as first:
        for _ in range(2):
            answer = await first.idempotency.run(ROOT, "k", b"request", act, repeatable=False)
            assert b"mc_verysecret" in answer.body
    assert not any(b"mc_verysecret" in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    async with plane(tmp_path, fresh=False) as second:
        with pytest.raises(Conflict):
            await second.idempotency.run(ROOT, "k", b"request", act, repeatable=False)


async def test_what_is_done_again_has_the_same_seed_and_another_time_another_one(tmp_path: Path) -> None:
    seeds: list[str | None] = []
    statuses = [502, 200]

    async def act(seed: str | None) -> KeyedAnswer:
        seeds.append(seed)
        return KeyedAnswer(statuses.pop(0), b"{}")

    async with plane(tmp_path) as built:
        run = built.idempotency.run
        for _ in range(3):  # the third is answered from the record
            await run(ANN, "k", b"request", act, repeatable=True)
        assert len(seeds) == 2
        assert seeds[0] == seeds[1]
        assert seeds[0] is not None
        assert len(bytes.fromhex(seeds[0])) == 16
        await built.database.idempotency.purge(before=built.clock.now())
        statuses.append(200)
        await run(ANN, "k", b"request", act, repeatable=True)
        assert seeds[2] != seeds[0]


async def test_a_spawn_cut_short_is_the_same_session_when_it_is_sent_again(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        provider.faults["after spawn"] = Unreachable("It did not answer.")
        service = built.bind(ANN)
        with pytest.raises(Unreachable):
            await service.spawn(SpawnRequest(profile="demo"), idempotency_key="k")
        del provider.faults["after spawn"]
        again = await service.spawn(SpawnRequest(profile="demo"), idempotency_key="k")
        assert list(provider.sessions) == [again.session_id.partition(":")[2]]
