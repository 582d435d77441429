"""A kind of adapter whose providers play what a test tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.providers import CredentialField, StageName
from mission_control_desktop.providers.contract import AgentProvider
from mission_control_desktop.providers.kinds import AdapterConfig, AdapterKind, CheckLog, Keep
from support.planes import ScriptedProvider


class ScriptedKind:
    """Opens `ScriptedProvider`s, and remembers them (newest last) with what they were opened with."""

    kind = "scripted"
    title = "A scripted gateway"
    schemes = ("wss", "ws", "https")
    credentials = (CredentialField(name="token", title="Token"), CredentialField(name="secret", title="Secret"))

    def __init__(self) -> None:
        self.opened: list[ScriptedProvider] = []
        self.given: list[tuple[AdapterConfig, Credentials]] = []
        self.keeps: list[Keep] = []
        self.faults: dict[str, Exception | float] = {}
        self.checking: Callable[[CheckLog], Awaitable[None]] | None = None
        self.broken: Exception | None = None

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        if self.broken is not None:
            raise self.broken
        if credentials.token == "malformed":
            raise BadInput("credentials", f"The token {credentials.token} is none.")
        provider = ScriptedProvider(config.name)
        provider.faults.update(self.faults)
        self.opened.append(provider)
        self.given.append((config, credentials))
        self.keeps.append(keep)
        return provider

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        log.ok(StageName.REACHABLE, f"{config.gateway_url} answers")
        if self.checking is not None:
            await self.checking(log)

    def keep_of(self, name: str) -> Keep:
        """Of the provider of this name, as it was opened last."""
        found = [keep for (config, _), keep in zip(self.given, self.keeps, strict=True) if config.name == name]
        return found[-1]

    @property
    def running(self) -> list[ScriptedProvider]:
        """Those that were started and not closed."""
        return [one for one in self.opened if one.record is not None and not one.closed]

    def only(self) -> Mapping[str, AdapterKind]:
        return {self.kind: self}
