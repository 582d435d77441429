"""The registry: one dead or slow provider never hides or delays the others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound, Unreachable
from mission_control_desktop.providers.registry import ProviderRegistry
from support.planes import EVE, ScriptedProvider, plane


async def test_names_are_unique_and_well_formed() -> None:
    registry = ProviderRegistry()
    registry.add(ScriptedProvider("one"))
    with pytest.raises(Conflict):
        registry.add(ScriptedProvider("one"))
    for name in ("", "Upper", "-dash", "with space", "a" * 64, "colon:"):
        with pytest.raises(BadInput):
            registry.add(ScriptedProvider(name))
    assert registry.of("one:with:colons/and more")[1] == "with:colons/and more"
    with pytest.raises(NotFound):
        registry.of("two:s")
    await registry.close()


async def test_sessions_of_those_that_answer_and_the_names_of_those_that_do_not() -> None:
    good, dead, slow = ScriptedProvider("good"), ScriptedProvider("dead"), ScriptedProvider("slow")
    for provider in (good, dead, slow):
        await provider.add("s")
    dead.faults["list_sessions"] = OSError("connection refused to 10.0.0.1")
    slow.faults["list_sessions"] = 60.0
    registry = ProviderRegistry(list_timeout=0.3)
    for provider in (dead, slow, good):
        registry.add(provider)
    began = time.monotonic()
    found = await registry.list_sessions()
    assert time.monotonic() - began < 2
    assert [one.session_id for one in found.sessions] == ["good:s"]
    assert set(found.problems) == {"dead", "slow"}
    assert "10.0.0.1" not in str(found.problems)
    await registry.close()


async def test_a_call_that_ignores_its_cancellation_is_left_behind() -> None:
    registry = ProviderRegistry()
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    with pytest.raises(Unreachable):
        await registry.call("stubborn", stubborn(), timeout=0.2)
    assert time.monotonic() - began < 2
    release.set()
    await registry.close()


async def test_a_provider_that_does_not_start_keeps_nobody_waiting(tmp_path: Path) -> None:
    good, broken, slow = ScriptedProvider("good"), ScriptedProvider("broken"), ScriptedProvider("slow")
    broken.faults["start"] = RuntimeError("a bug in an adapter")
    slow.faults["start"] = 60.0
    began = time.monotonic()
    async with plane(tmp_path, broken, slow, good) as built:
        assert time.monotonic() - began < 5
        await good.add("s")
        health = {one.provider: one for one in built.registry.health()}
        assert health["good"].state == "ok"
        assert health["broken"].state == health["slow"].state == "unreachable"
        assert "a bug" not in str(health)
        assert [one.session_id for one in (await built.bind(EVE).sessions()).items] == ["good:s"]
        assert (await built.bind(EVE).health()).status == "degraded"
        views = {view.name: view.health.state for view in await built.bind(EVE).providers()}
        assert views == {"good": "ok", "broken": "unreachable", "slow": "unreachable"}
    assert good.closed
