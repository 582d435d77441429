"""Registered providers: their rows, their sealed credentials, and the adapters that run for them.

A row is the truth; what runs follows it. Changes come one after the other. Adapters are opened in the background and
closed within seconds, so that neither a change nor a start of the control plane waits for a gateway.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
import structlog

from mission_control_desktop.domain.addresses import checked_gateway_url
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    Unavailable,
    Unreachable,
)
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.profiles import NAME_PATTERN
from mission_control_desktop.domain.providers import (
    DISABLED,
    REMOVED,
    RESERVED_NAMES,
    CheckReport,
    KindView,
    ProviderChange,
    ProviderDraft,
    StageName,
    check_report,
)
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER
from mission_control_desktop.providers.absent import AbsentProvider
from mission_control_desktop.providers.contract import AgentProvider, ProviderRecord
from mission_control_desktop.providers.kinds import AdapterConfig, AdapterKind, CheckLog, view_of
from mission_control_desktop.providers.registry import ProviderRegistry
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage.configs import ProviderConfigs, StoredProviderConfig
from mission_control_desktop.storage.database import Database
from mission_control_desktop.storage.sealing import Sealer

log = structlog.get_logger(__name__)

CHECK_SECONDS = 15.0
WRITTEN_SECONDS = 3.0
"""For how long it is not told that an adapter waits for the record."""
_REOPENED = "reopened"
MAX_KEPT_BYTES = 16_384
_NAME = re.compile(NAME_PATTERN)
_TABLE = "agent_provider_configs"

Kinds = Callable[[], Mapping[str, AdapterKind]]


class KeptSecrets:
    """One adapter's own secrets (`providers.kinds.Keep`)."""

    def __init__(self, store: ProviderConfigs, sealer: Sealer, config_id: str) -> None:
        self._store = store
        self._sealer = sealer
        self._id = config_id
        self._place = f"{_TABLE}/{config_id}/adapter_secrets"

    async def load(self) -> dict[str, str]:
        sealed = await self._store.adapter_secrets(self._id)
        return {} if sealed is None else await _opened(self._sealer, sealed, self._place)

    async def save(self, values: Mapping[str, str]) -> None:
        plain = msgspec.json.encode(dict(values))
        if len(plain) > MAX_KEPT_BYTES:
            raise Unavailable(f"An adapter keeps at most {MAX_KEPT_BYTES} bytes.")
        if not await self._store.keep_adapter_secrets(self._id, plain if values else None):
            raise Unavailable("This provider was removed meanwhile.")


class ProviderManager:
    """Registers, changes, removes and checks providers, and runs the adapters of those that are active."""

    def __init__(
        self,
        database: Database,
        registry: ProviderRegistry,
        recorder: Recorder,
        clock: Clock,
        kinds: Kinds,
        *,
        check_seconds: float = CHECK_SECONDS,
        written_seconds: float = WRITTEN_SECONDS,
    ) -> None:
        self._store = database.provider_configs
        self._sealer = database.sealer
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._find_kinds = kinds
        self._kinds: Mapping[str, AdapterKind] = {}
        self._check_seconds = check_seconds
        self._written_seconds = written_seconds
        self._changing = asyncio.Lock()
        self._checks: dict[str, tuple[CheckLog, datetime]] = {}

    async def start(self) -> None:
        """Open the adapters of all active providers, in the background. Raises Unavailable if the rows cannot be
        read."""
        self._kinds = await asyncio.to_thread(self._find_kinds)
        for config in await self._store.everywhere():
            await self._attach(config)

    def kinds(self) -> tuple[KindView, ...]:
        return tuple(view_of(kind) for _, kind in sorted(self._kinds.items()))

    async def all(self, workspace_id: str) -> list[StoredProviderConfig]:
        return await self._store.all(workspace_id)

    async def get(self, workspace_id: str, config_id: str) -> StoredProviderConfig:
        """Raises NotFound; Conflict for the built-in provider, which is no row and cannot be changed."""
        found = await self._store.get(workspace_id, config_id)
        if found is None and config_id == INTERNAL_PROVIDER and INTERNAL_PROVIDER in self._registry.names(workspace_id):
            raise Conflict(
                "The provider internal is built in: it runs this computer's agents and cannot be changed, checked or "
                "removed."
            )
        if found is None:
            raise NotFound("There is no such provider.")
        return found

    async def create(self, workspace_id: str, config_id: str, draft: ProviderDraft) -> StoredProviderConfig:
        """Store it and, if it is active, start its adapter. The same id again answers what there is."""
        async with self._changing:
            there = await self._store.get(workspace_id, config_id)
            if there is not None:
                return there
            now = self._clock.now()
            config = StoredProviderConfig(
                id=config_id,
                workspace_id=workspace_id,
                name=draft.name,
                provider=draft.provider,
                gateway_url=self._checked_url(draft.provider, draft.gateway_url, draft.allow_insecure),
                is_active=draft.is_active,
                allow_insecure=draft.allow_insecure,
                created_at=now,
                updated_at=now,
            )
            await self._check_name(config)
            self._try(config, draft.credentials)
            config = await self._store.add(config, _plain(draft.credentials))
            await self._attach(config)
            return config

    async def update(self, workspace_id: str, config_id: str, change: ProviderChange) -> StoredProviderConfig:
        """Store the change; what runs is closed and opened anew."""
        async with self._changing:
            old = await self.get(workspace_id, config_id)
            new = msgspec.structs.replace(
                old,
                name=old.name if change.name is None else change.name,
                provider=old.provider if change.provider is None else change.provider,
                is_active=old.is_active if change.is_active is None else change.is_active,
                allow_insecure=old.allow_insecure if change.allow_insecure is None else change.allow_insecure,
                updated_at=max(self._clock.now(), old.updated_at),
            )
            # What only switches it off or names it must be possible whatever else is wrong with it.
            touched = (change.gateway_url, change.provider, change.credentials, change.allow_insecure)
            if new.is_active or any(one is not None for one in touched):
                url = change.gateway_url if change.gateway_url is not None else old.gateway_url
                url = self._checked_url(new.provider, url, new.allow_insecure)
                new = msgspec.structs.replace(new, gateway_url=url)
                given = change.credentials
                self._try(new, await self._credentials(old) if given is None else given)
            if any(one is not None for one in touched):
                new = msgspec.structs.replace(new, last_check=None)
            elsewhere = _peer(new) != _peer(old)
            if elsewhere and old.credentials is not None and change.credentials is None:
                # Else whoever may change an address could read what is write-only by having it sent to himself.
                raise BadInput(
                    "credentials", "They were given for another address. Give them again with the new one, or null."
                )
            if new.name != old.name:
                await self._check_name(new)
            if (new.name, new.provider) != (old.name, old.provider):
                await self._check_unused(old, "name" if new.name != old.name else "provider")
            plain = msgspec.UNSET if change.credentials is None else _plain(change.credentials)
            stored = await self._store.update(new, credentials=plain)
            if stored is None:
                raise NotFound("There is no such provider (any more).")
            new = stored
            await self._registry.remove(old.name)
            if elsewhere:
                await self._store.keep_adapter_secrets(config_id, None)
            if new.name != old.name:
                await self._told_removed(old, f"It is now named {new.name}.")
            await self._attach(new)
            return new

    async def remove(self, workspace_id: str, config_id: str) -> None:
        """Close the adapter and forget the row, credentials included. Its sessions stay on record."""
        async with self._changing:
            config = await self.get(workspace_id, config_id)
            await self._store.delete(workspace_id, config_id)
            await self._registry.remove(config.name)
            await self._recorder.forget_cursors(config.name)
            await self._told_removed(config, "It was removed; its sessions stay on record.")

    async def check(self, workspace_id: str, config_id: str) -> CheckReport:
        """Try the connection now, whether it is active or not, stage by stage and within bounded time. What is told
        meanwhile is in `last_check`; the result is kept."""
        config = await self.get(workspace_id, config_id)
        try:
            credentials = await self._credentials(config)
        except Unavailable as error:
            stages = CheckLog(Credentials())
            stages.failed(StageName.REACHABLE, error.message)
        else:
            stages = CheckLog(credentials)
            mine = self._checks[config_id] = (stages, self._clock.now())
            try:
                await self._try_out(config, credentials, stages)
            finally:
                if self._checks.get(config_id) is mine:
                    del self._checks[config_id]
        report = check_report(stages.stages(), self._clock.now())
        try:
            await self._store.keep_check(config, report)
        except Unavailable as error:
            log.warning("the result of a check is not kept", provider=config.name, error=error.message)
        return report

    def checking(self, config_id: str) -> bool:
        """Whether a check of it is under way in this process."""
        return config_id in self._checks

    def last_check(self, config: StoredProviderConfig) -> CheckReport | None:
        """The one that is under way in this process, or the last one."""
        running = self._checks.get(config.id)
        if running is None:
            return config.last_check
        stages, began = running
        return check_report(stages.told(), began, under_way=True)

    async def _try_out(self, config: StoredProviderConfig, credentials: Credentials, stages: CheckLog) -> None:
        try:
            kind = self._kind(config.provider)
            async with asyncio.timeout(self._check_seconds):
                await kind.check(_for_adapter(config), credentials, self._keep(config.id), stages)
        except TimeoutError:
            _fail(stages, f"Nothing came about within {self._check_seconds:g} s. Is the way there slow, or cut off?")
        except MissionControlError as error:
            _fail(stages, error.message)
        except Exception as error:  # noqa: BLE001 - logged, without what may be a credential
            log.error("check failed", provider=config.name, error=credentials.scrub(repr(error)))
            _fail(stages, f"The adapter failed ({type(error).__name__}); the control plane's log says more.")

    # --- what runs

    async def _attach(self, config: StoredProviderConfig) -> None:
        """Register what runs for this row; never raises for what is wrong with it."""
        credentials = Credentials()
        provider: AgentProvider
        if not config.is_active:
            provider = _disabled(config.name)
        else:
            try:
                credentials = await self._credentials(config)
                kind = self._kind(config.provider)
                provider = kind.open(_for_adapter(config), credentials, self._keep(config.id))
            except MissionControlError as error:
                provider = _broken(config.name, credentials.scrub(error.message))
            except Exception as error:  # noqa: BLE001 - logged, without what may be a credential
                log.error("adapter cannot be opened", provider=config.name, error=credentials.scrub(repr(error)))
                provider = _broken(config.name, f"Its adapter failed to open ({type(error).__name__}).")
        self._registry.add(provider, kind=config.provider, workspace_id=config.workspace_id, scrub=credentials.scrub)
        if not isinstance(provider, AbsentProvider):
            record = self._recorder.provider_record(config.name, workspace_id=config.workspace_id)
            self._registry.launch(config.name, record, lambda tell: self._until_written(record, tell))

    async def _until_written(self, record: ProviderRecord, tell: Callable[[str], None]) -> None:
        """Wait for what an adapter of this name wrote before: the next one goes on from what is on record, and would
        take an older state for the last one. Tells every few seconds why it still waits. Raises Unavailable once the
        record closes."""
        while True:
            try:
                async with asyncio.timeout(self._written_seconds):
                    await record.apply(_REOPENED, [], durable=True)
                return
            except TimeoutError:
                why = self._recorder.health().detail
                tell(f"It starts when what it told before is on record{'' if why is None else f': {why}'}")

    async def _told_removed(self, config: StoredProviderConfig, detail: str) -> None:
        try:
            health = ProviderHealth(provider=config.name, state=REMOVED, detail=detail)
            await self._recorder.publish_provider(health, workspace_id=config.workspace_id)
        except Unavailable as error:
            log.warning("the end of a provider is not shown", provider=config.name, error=error.message)

    # --- what may be

    def _kind(self, name: str) -> AdapterKind:
        kind = self._kinds.get(name)
        if kind is None:
            known = ", ".join(sorted(self._kinds)) or "none"
            raise BadInput("provider", f"No adapter of the kind {name!r} is installed here. Installed: {known}.")
        return kind

    def _checked_url(self, kind: str, url: str, allow_insecure: bool) -> str:
        return checked_gateway_url(url, schemes=self._kind(kind).schemes, allow_insecure=allow_insecure)

    async def _check_name(self, config: StoredProviderConfig) -> None:
        if not _NAME.match(config.name):
            raise BadInput("name", "A name has up to 63 small letters, digits and dashes; it begins with no dash.")
        if config.name in RESERVED_NAMES:
            raise Conflict(f"The name {config.name!r} has a meaning of its own here; choose another.", field="name")
        if config.name in self._registry.names():
            raise Conflict(
                f"There is a provider named {config.name} already; names are unique over all workspaces.", field="name"
            )
        if await self._store.workspaces_with_sessions_of(config.name) - {config.workspace_id}:
            raise Conflict(
                f"Another workspace has sessions of a provider named {config.name} on record; choose another.",
                field="name",
            )

    async def _check_unused(self, config: StoredProviderConfig, what: str) -> None:
        """The name is part of session ids, and ids on record never change."""
        if await self._store.workspaces_with_sessions_of(config.name):
            raise Conflict(
                f"Sessions of {config.name} are on record, so its {what} cannot be changed any more. Register a second "
                "provider as you want it, and switch this one off or remove it: its sessions stay on record.",
                field=what,
            )

    def _try(self, config: StoredProviderConfig, credentials: Credentials) -> None:
        """Refuse what can never work before it is stored. Raises BadInput."""
        kind = self._kind(config.provider)
        fields = {one.name: one for one in kind.credentials}
        unknown = [name for name in credentials.names if name not in fields]
        if unknown:
            takes = ", ".join(fields) or "none"
            raise BadInput("credentials", f"{kind.title} takes no credential {unknown[0]!r}. It takes: {takes}.")
        missing = [name for name, one in fields.items() if one.required and credentials.get(name) is None]
        if missing and config.is_active:
            raise BadInput("credentials", f"{kind.title} needs the credential {missing[0]!r}.")
        if credentials.scrub(config.gateway_url) != config.gateway_url:
            raise BadInput("gatewayUrl", "The address holds a credential. Addresses are shown; give it separately.")
        if missing:
            return
        try:
            kind.open(_for_adapter(config), credentials, self._keep(config.id))
        except MissionControlError as error:
            error.message = credentials.scrub(error.message)
            error.args = (error.message,)
            raise
        except Exception as error:  # noqa: BLE001 - logged, without what may be a credential
            log.error("adapter cannot be opened", provider=config.name, error=credentials.scrub(repr(error)))
            # Without its cause: what a foreign library puts into an exception may be a credential.
            raise Unavailable(f"{kind.title}: its adapter failed to open ({type(error).__name__}).") from None

    # --- secrets

    def _keep(self, config_id: str) -> KeptSecrets:
        return KeptSecrets(self._store, self._sealer, config_id)

    async def _credentials(self, config: StoredProviderConfig) -> Credentials:
        """Raises Unavailable if they cannot be unsealed."""
        if config.credentials is None:
            return Credentials()
        return Credentials(await _opened(self._sealer, config.credentials, _place(config.id)))


def _place(config_id: str) -> str:
    return f"{_TABLE}/{config_id}/credentials"


def _plain(credentials: Credentials) -> bytes | None:
    return msgspec.json.encode(credentials.reveal()) if credentials else None


async def _opened(sealer: Sealer, sealed: bytes, place: str) -> dict[str, str]:
    plain = await asyncio.to_thread(sealer.open, sealed, place=place)
    return msgspec.json.decode(plain, type=dict[str, str])


def _for_adapter(config: StoredProviderConfig) -> AdapterConfig:
    return AdapterConfig(
        id=config.id,
        name=config.name,
        kind=config.provider,
        gateway_url=config.gateway_url,
        allow_insecure=config.allow_insecure,
    )


def _disabled(name: str) -> AgentProvider:
    why = f"The provider {name} is switched off. An admin can switch it on again."
    return AbsentProvider(
        ProviderHealth(provider=name, state=DISABLED, detail="switched off"), lambda: Conflict(why, provider=name)
    )


def _broken(name: str, why: str) -> AgentProvider:
    return AbsentProvider(
        ProviderHealth(provider=name, state="unreachable", detail=why),
        lambda: Unreachable(f"The provider {name} cannot be used: {why}", provider=name),
    )


def _peer(config: StoredProviderConfig) -> tuple[str, str, str]:
    """Who is spoken to, and how."""
    parts = urlsplit(config.gateway_url)
    return config.provider, parts.scheme, parts.netloc.lower()


def _fail(stages: CheckLog, detail: str) -> None:
    if stages.goes_on:
        stages.failed(stages.under_way or StageName.SESSIONS, detail)
