"""The kind `openclaw`: how a registered gateway is opened and checked."""

from __future__ import annotations

from weakref import WeakValueDictionary

from mission_control_desktop import __version__
from mission_control_desktop.domain.credentials import TOKEN, Credentials
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.providers import CredentialField, StageName, StageState
from mission_control_desktop.providers.contract import AgentProvider
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog, Keep
from mission_control_desktop.providers.openclaw.check import check_gateway
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import SystemClock, Uuid7


class OpenClawKind:
    """An `AdapterKind`. It remembers what it opened only to wake it after a check that came in."""

    kind = "openclaw"
    title = "OpenClaw gateway"
    schemes = ("ws", "wss", "http", "https")
    credentials = (CredentialField(name=TOKEN, title="Gateway token"),)

    def __init__(self) -> None:
        self._opened: WeakValueDictionary[str, OpenClawProvider] = WeakValueDictionary()

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        unknown = [name for name in credentials.names if name != TOKEN]
        if unknown:
            raise BadInput("credentials", f"An OpenClaw gateway takes a `{TOKEN}` only, not {', '.join(unknown)}.")
        provider = OpenClawProvider(config, credentials, keep, clock=SystemClock(), ids=Uuid7())
        self._opened[config.id] = provider
        return provider

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        await check_gateway(Doorway(config.gateway_url, credentials, keep, version=__version__), log)
        provider = self._opened.get(config.id)
        if provider is None or provider.health().state == "ok":
            return
        # What is connected and lacks scopes is left alone until they are granted.
        needed = StageName.SCOPES if provider.health().state == "degraded" else StageName.AUTHENTICATED
        if any(one.stage is needed and one.state is StageState.OK for one in log.told()):
            provider.nudge()


KIND = OpenClawKind()
