"""Providers: how they are listed, registered, changed and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.kill import SCOPE_ALL
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER

RESERVED_NAMES = frozenset({INTERNAL_PROVIDER, SCOPE_ALL})
"""Names that mean something else where a provider is named."""
DISABLED = "disabled"
"""`ProviderHealth.state` of a provider that was switched off."""
REMOVED = "removed"
"""The last `ProviderHealth.state` that is told of a provider."""


class StageName(StrEnum):
    """The stages of a check, in their order."""

    REACHABLE = "reachable"
    PROTOCOL = "protocol"
    AUTHENTICATED = "authenticated"
    SCOPES = "scopes"
    SESSIONS = "sessions"


class StageState(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckStage(Record, frozen=True, kw_only=True):
    """`detail` says what was found and, of what failed, what to do about it."""

    stage: StageName
    state: StageState
    detail: str


class CheckReport(Record, frozen=True, kw_only=True):
    """How a provider's connection does, stage by stage. `ok`: none failed."""

    ok: bool
    stages: tuple[CheckStage, ...]
    checked_at: datetime
    """When it ended, or began if it is under way."""
    under_way: bool = False
    """Then `stages` are those that were told so far."""


class ProviderView(Record, frozen=True, kw_only=True):
    """One provider, never with its credentials. `provider` is the adapter's kind; the built-in one has no gateway."""

    id: str
    workspace_id: str
    name: str
    provider: str
    gateway_url: str
    is_active: bool
    has_credentials: bool
    created_at: datetime
    updated_at: datetime
    health: ProviderHealth
    allow_insecure: bool = False
    """Whether someone accepted that what is said to the gateway is not encrypted."""
    built_in: bool = False
    last_check: CheckReport | None = None
    """The check that is under way, or else the last one since its address, kind or credentials were changed."""


class CredentialField(Record, frozen=True, kw_only=True):
    """One credential that a kind of adapter takes. `title` is what a form calls it."""

    name: str
    title: str
    required: bool = False


class KindView(Record, frozen=True, kw_only=True):
    """A kind of provider that can be registered: what a form needs to know."""

    kind: str
    title: str
    schemes: tuple[str, ...]
    credentials: tuple[CredentialField, ...]


class ProviderPage(Record, frozen=True, kw_only=True):
    """The list of providers, and the kinds that more can be registered of."""

    items: tuple[ProviderView, ...]
    kinds: tuple[KindView, ...] = ()
    next_cursor: str | None = None


def check_report(stages: Sequence[CheckStage], at: datetime, *, under_way: bool = False) -> CheckReport:
    good = all(one.state is not StageState.FAILED for one in stages)
    return CheckReport(ok=good, stages=tuple(stages), checked_at=at, under_way=under_way)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDraft:
    """A provider to be registered. `provider` is the kind of its adapter."""

    name: str
    provider: str
    gateway_url: str
    credentials: Credentials = field(default_factory=Credentials)
    is_active: bool = True
    allow_insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChange:
    """What shall be different; None leaves it as it is. Empty credentials remove those that there are."""

    name: str | None = None
    provider: str | None = None
    gateway_url: str | None = None
    credentials: Credentials | None = None
    is_active: bool | None = None
    allow_insecure: bool | None = None
