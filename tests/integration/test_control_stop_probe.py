"""The way to stop is tested without stopping anything, and what cannot be stopped is told before it must be."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mission_control_desktop.control.stop_probe import StopProbes
from mission_control_desktop.domain.events import StopState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.orchestrator.keeper.client import read_identity
from mission_control_desktop.providers.registry import ProviderRegistry
from mission_control_desktop.storage import SystemClock
from support.orchestration import house
from support.planes import EVE, ScriptedProvider, plane


async def test_every_keeper_is_asked_and_a_hung_one_is_told(tmp_path: Path) -> None:
    async with house(tmp_path / "data") as built:
        registry = ProviderRegistry()
        registry.add(built.orchestrator, kind="orchestrator")
        probes = StopProbes(registry, SystemClock())
        assert probes.channel("internal").state is StopState.UNTESTED
        assert (await probes.probe("internal")).detail == "no agent lives"
        native = await built.spawn("[words 3 1]")
        await built.spawn("[words 3 1]")
        await built.until_idle(native)
        armed = await probes.probe("internal")
        assert (armed.state, armed.detail) == (StopState.ARMED, "the keepers of all 2 agents answered")
        assert armed.tested_at is not None
        keeper = read_identity(built.directory(native))
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGSTOP)
        try:
            hung = await probes.probe("internal")
        finally:
            os.kill(keeper.pid, signal.SIGCONT)
        assert hung.state is StopState.DEGRADED
        assert hung.detail is not None
        assert (await built.session(native)).status is SessionStatus.WAITING
        assert (await probes.probe("internal")).state is StopState.ARMED


async def test_a_provider_that_cannot_be_tested_is_called_untested(tmp_path: Path) -> None:
    async with plane(tmp_path, ScriptedProvider("theirs")) as built:
        await built.stop_probes.probe("theirs")
        (told,) = [one for one in await built.bind(EVE).providers() if one.name == "theirs"]
        assert told.health.stop.state is StopState.UNTESTED
        assert told.health.stop.detail is not None
        assert "cannot be tested" in told.health.stop.detail
