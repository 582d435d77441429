"""Whether a stop would work, tested before it is needed.

Each provider's way to stop its sessions is walked now and then, but for the stop itself.
"""

from __future__ import annotations

import asyncio

import structlog

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import StopChannel, StopState
from mission_control_desktop.providers.contract import ProbesStop
from mission_control_desktop.providers.registry import ProviderRegistry

log = structlog.get_logger(__name__)

PROBE_SECONDS = 20.0
"""How often. Whoever shows a result calls it untested again when it is much older."""
PROBE_TIMEOUT = 10.0


class StopProbes:
    """The newest finding about each provider."""

    def __init__(self, registry: ProviderRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._found: dict[str, StopChannel] = {}

    def channel(self, provider: str) -> StopChannel:
        """What is known of this provider's; `untested` before the first probe."""
        return self._found.get(provider, StopChannel())

    async def run(self) -> None:
        """Probe all providers, again and again, until cancelled."""
        while True:
            async with asyncio.TaskGroup() as group:
                for name in self._registry.names():
                    group.create_task(self.probe(name))
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self, name: str) -> StopChannel:
        """Probe one now. Raises nothing: what goes wrong is the finding."""
        found = await self._probe(name)
        if found.state is not self.channel(name).state:
            log.info("stop channel", provider=name, state=found.state.value, detail=found.detail)
        self._found[name] = found
        return found

    async def _probe(self, name: str) -> StopChannel:
        try:
            provider = self._registry.get(name)
            if not isinstance(provider, ProbesStop):
                return StopChannel(detail="This provider's way to stop cannot be tested without stopping something.")
            said = await self._registry.call(name, provider.probe_stop(), timeout=PROBE_TIMEOUT)
        except MissionControlError as error:
            return StopChannel(state=StopState.DEGRADED, tested_at=self._clock.now(), detail=error.message)
        return StopChannel(state=StopState.ARMED, tested_at=self._clock.now(), detail=said)
