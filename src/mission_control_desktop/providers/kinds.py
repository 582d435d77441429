"""Kinds of adapters: how one that is installed is found, configured, checked and opened.

A package brings a kind along by an entry point in the group `mission_control.providers` whose name is the kind's and
whose object is an `AdapterKind` (an instance, not a class). Ours are registered the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol

import structlog

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.profiles import NAME_PATTERN
from mission_control_desktop.domain.providers import CheckStage, CredentialField, KindView, StageName, StageState
from mission_control_desktop.providers.contract import AgentProvider

ENTRY_POINT_GROUP = "mission_control.providers"
URL_SCHEMES = frozenset({"http", "https", "ws", "wss"})
"""What a gateway's address may begin with; a kind names those of them that it speaks."""

log = structlog.get_logger(__name__)
_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """One registered provider as its adapter sees it. `name` is the provider's (sessions are `name:NATIVE`).

    `gateway_url` is absolute, of a scheme of the kind's, without user information and fragment. Encryption: the address
    of another computer is `https` or `wss` unless `allow_insecure`, so an adapter need not look at this again.
    """

    id: str
    name: str
    kind: str
    gateway_url: str
    allow_insecure: bool = False


class Keep(Protocol):
    """An adapter's own small secrets (a device's identity, a token that the gateway gave it), sealed in the record.

    They belong to one provider and go with it. At most 16 KiB together. Both raise Unavailable.
    """

    async def load(self) -> dict[str, str]:
        """What was saved last; empty if nothing was."""
        ...

    async def save(self, values: Mapping[str, str]) -> None:
        """Replace all of it. Durable when this returns."""
        ...


class AdapterKind(Protocol):
    """How one runtime's protocol is spoken. Stateless: everything that lives is in the providers that it opens."""

    @property
    def kind(self) -> str:
        """The name in `ProviderView.provider` (pattern as a provider's name)."""
        ...

    @property
    def title(self) -> str:
        """For people: "OpenClaw gateway"."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """Of `URL_SCHEMES`."""
        ...

    @property
    def credentials(self) -> tuple[CredentialField, ...]:
        """What it takes. Credentials given as one string are the field `token`."""
        ...

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        """A provider named `config.name` that does nothing before `start`. Does no I/O and does not block. Raises
        BadInput (field `credentials` or `gatewayUrl`) for what can never work; that is asked before it is stored."""
        ...

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        """Try the connection, one stage after the other, and tell each in `log`; return at the first that failed.
        Changes nothing at the gateway. Whoever calls cuts it off after some 15 s, in the stage that it is in, and
        tells a raised error (of the tree by its message) as that stage's failure."""
        ...


class CheckLog:
    """The stages of one check as they come about. What is told is scrubbed of the credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._stages: dict[StageName, CheckStage] = {}

    def ok(self, stage: StageName, detail: str) -> None:
        self._put(stage, StageState.OK, detail)

    def failed(self, stage: StageName, detail: str) -> None:
        """`detail` leads to the mend: what to look at, what to change."""
        self._put(stage, StageState.FAILED, detail)

    def skipped(self, stage: StageName, detail: str) -> None:
        self._put(stage, StageState.SKIPPED, detail)

    @property
    def goes_on(self) -> bool:
        """Whether none failed so far."""
        return all(one.state is not StageState.FAILED for one in self._stages.values())

    @property
    def under_way(self) -> StageName | None:
        """The first stage that was not told yet; None after the last, or once one failed."""
        return next((stage for stage in StageName if stage not in self._stages), None) if self.goes_on else None

    def told(self) -> tuple[CheckStage, ...]:
        """The stages that something was told of so far, in order."""
        return tuple(self._stages[stage] for stage in StageName if stage in self._stages)

    def stages(self) -> tuple[CheckStage, ...]:
        """All stages in order; those that nothing was told of are skipped."""
        failed = next((one.stage for one in self._stages.values() if one.state is StageState.FAILED), None)
        why = "It does not apply here." if failed is None else f"Not tried, because the stage {failed.value} failed."
        return tuple(
            self._stages.get(stage) or CheckStage(stage=stage, state=StageState.SKIPPED, detail=why)
            for stage in StageName
        )

    def _put(self, stage: StageName, state: StageState, detail: str) -> None:
        self._stages[stage] = CheckStage(stage=stage, state=state, detail=self._credentials.scrub(detail))


def view_of(kind: AdapterKind) -> KindView:
    return KindView(kind=kind.kind, title=kind.title, schemes=kind.schemes, credentials=kind.credentials)


def installed_adapters() -> dict[str, AdapterKind]:
    """The kinds that installed packages bring, by name. Reads the file system.

    One that cannot be loaded, or is not what it should be, is logged and left out: it must not keep the others from
    working.
    """
    found: dict[str, AdapterKind] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            kind: Any = point.load()
            _check_kind(point.name, kind)
        except Exception:
            log.exception("adapter cannot be loaded", adapter=point.name)
            continue
        found[point.name] = kind
    return found


def _check_kind(name: str, kind: Any) -> None:
    """Raises for an object that is no `AdapterKind` of this name."""
    if not _NAME.match(name) or kind.kind != name:
        raise ValueError(f"the entry point {name!r} brings the kind {kind.kind!r}; both must be one legal name")
    unknown = set(kind.schemes) - URL_SCHEMES
    if unknown or not kind.schemes:
        raise ValueError(f"its URL schemes must be some of {sorted(URL_SCHEMES)}")
    if not all(isinstance(one, CredentialField) for one in kind.credentials):
        raise TypeError("its credentials must be fields")
    if not kind.title or not callable(kind.open) or not callable(kind.check):
        raise TypeError("it has no title, or cannot be opened or checked")
