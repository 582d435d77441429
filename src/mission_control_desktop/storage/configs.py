"""What people set up: launch profiles and providers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from mission_control_desktop.domain.base import to_builtins
from mission_control_desktop.domain.errors import Conflict, Unavailable
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView
from mission_control_desktop.domain.providers import CheckReport
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sealed import (
    ADAPTER_SECRETS,
    CREDENTIALS,
    SealedColumn,
    open_env,
    seal_env,
    without_env,
)
from mission_control_desktop.storage.sealing import Sealer
from mission_control_desktop.storage.sql import upsert


class LaunchProfiles:
    """Profiles; the values of their environments are sealed, so lists show the names alone and need no key."""

    def __init__(self, access: Access, sealer: Sealer) -> None:
        self._access = access
        self._sealer = sealer

    async def all(self) -> list[ProfileView]:
        query = select(t.launch_profiles.c.body).order_by(t.launch_profiles.c.name)
        return await self._access.read(lambda c: [_shown(body) for body in c.execute(query).scalars()])

    async def get(self, name: str) -> LaunchProfile | None:
        """With its environment. Raises Unavailable if that cannot be opened."""
        query = select(t.launch_profiles.c.body, t.launch_profiles.c.sealed_env)

        def work(connection: Connection) -> LaunchProfile | None:
            row = connection.execute(query.where(t.launch_profiles.c.name == name)).first()
            if row is None:
                return None
            profile = msgspec.convert(row.body, LaunchProfile)
            if row.sealed_env is None:
                return profile
            try:
                return msgspec.structs.replace(profile, env=open_env(self._sealer, name, row.sealed_env))
            except Unavailable as error:
                raise Unavailable(
                    f"The environment of the launch profile {name!r} cannot be used: {error.message} Storing the "
                    "profile again replaces it.",
                    **error.details,
                ) from error

        return await self._access.read(work)

    async def put(self, profile: LaunchProfile) -> None:
        """Insert or replace by name. Raises Unavailable if there is an environment and no key to seal it with."""
        body = without_env(to_builtins(profile))

        def work(connection: Connection) -> None:
            values = {
                "name": profile.name,
                "body": body,
                "sealed_env": seal_env(self._sealer, profile.name, profile.env),
            }
            connection.execute(upsert(connection, t.launch_profiles, "name"), values)

        await self._access.write(work)

    async def delete(self, name: str) -> bool:
        """Whether there was one."""
        statement = delete(t.launch_profiles).where(t.launch_profiles.c.name == name)
        return await self._access.write(lambda c: c.execute(statement).rowcount > 0)


def _shown(body: dict[str, Any]) -> ProfileView:
    return msgspec.convert(body if "envNames" in body else without_env(body), ProfileView)


class StoredProviderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A registered provider; `provider` is the kind of its adapter, `credentials` are sealed bytes."""

    id: str
    workspace_id: str
    name: str
    provider: str
    gateway_url: str
    created_at: datetime
    updated_at: datetime
    is_active: bool = True
    allow_insecure: bool = False
    credentials: bytes | None = None
    last_check: CheckReport | None = None


class ProviderConfigs:
    """What is secret is given in clear and sealed in the transaction that writes it, so that no rotation of the key
    comes between. Methods that take such raise Unavailable if there is no key to seal it with."""

    def __init__(self, access: Access, sealer: Sealer) -> None:
        self._access = access
        self._sealer = sealer

    def _sealed(self, column: SealedColumn, config_id: str, plain: bytes | None) -> bytes | None:
        return None if plain is None else self._sealer.seal(plain, place=column.place(config_id))

    async def all(self, workspace_id: str) -> list[StoredProviderConfig]:
        return await self._some(t.provider_configs.c.workspace_id == workspace_id)

    async def everywhere(self) -> list[StoredProviderConfig]:
        """Those of all workspaces."""
        return await self._some(true())

    async def _some(self, condition: ColumnElement[bool]) -> list[StoredProviderConfig]:
        query = select(t.provider_configs).where(condition).order_by(t.provider_configs.c.name)
        return await self._access.read(lambda c: [_config_of(row) for row in c.execute(query)])

    async def get(self, workspace_id: str, config_id: str) -> StoredProviderConfig | None:
        column = t.provider_configs.c
        query = select(t.provider_configs).where(column.workspace_id == workspace_id, column.id == config_id)
        return await self._access.read(lambda c: None if (row := c.execute(query).first()) is None else _config_of(row))

    async def add(self, config: StoredProviderConfig, credentials: bytes | None = None) -> StoredProviderConfig:
        """As it is stored, with its credentials (in clear) sealed. Raises Conflict if there is a provider of this name,
        in whatever workspace."""

        def work(connection: Connection) -> StoredProviderConfig:
            sealed = self._sealed(CREDENTIALS, config.id, credentials)
            stored = msgspec.structs.replace(config, credentials=sealed)
            connection.execute(insert(t.provider_configs), _values_of(stored))
            return stored

        try:
            return await self._access.write(work)
        except IntegrityError as error:
            raise _taken(config.name) from error

    async def update(
        self, config: StoredProviderConfig, *, credentials: bytes | UnsetType | None = UNSET
    ) -> StoredProviderConfig | None:
        """Replace by id, but for the adapter's secrets; the credentials (in clear; None removes them) only if they are
        given, because they may be sealed anew at the same time. As it is stored; None if there was none. Raises
        Conflict as `add`."""
        row = (t.provider_configs.c.workspace_id == config.workspace_id, t.provider_configs.c.id == config.id)

        def work(connection: Connection) -> StoredProviderConfig | None:
            values = _values_of(config)
            del values["credentials"]
            if credentials is not UNSET:
                values["credentials"] = self._sealed(CREDENTIALS, config.id, credentials)
            connection.execute(update(t.provider_configs).where(*row).values(values))
            stored = connection.execute(select(t.provider_configs).where(*row)).first()
            return None if stored is None else _config_of(stored)

        try:
            return await self._access.write(work)
        except IntegrityError as error:
            raise _taken(config.name) from error

    async def delete(self, workspace_id: str, config_id: str) -> bool:
        """The whole row, credentials and secrets included; whether there was one."""
        column = t.provider_configs.c
        statement = delete(t.provider_configs).where(column.workspace_id == workspace_id, column.id == config_id)
        return await self._access.write(lambda c: c.execute(statement).rowcount > 0)

    async def adapter_secrets(self, config_id: str) -> bytes | None:
        """What `keep_adapter_secrets` was given, sealed."""
        query = select(t.provider_configs.c.adapter_secrets).where(t.provider_configs.c.id == config_id)
        return await self._access.read(lambda c: c.execute(query).scalar())

    async def keep_adapter_secrets(self, config_id: str, plain: bytes | None) -> bool:
        """Given in clear. Whether there is such a provider (still)."""

        def work(connection: Connection) -> bool:
            values = {"adapter_secrets": self._sealed(ADAPTER_SECRETS, config_id, plain)}
            statement = update(t.provider_configs).where(t.provider_configs.c.id == config_id)
            return connection.execute(statement.values(values)).rowcount > 0

        return await self._access.write(work)

    async def keep_check(self, config: StoredProviderConfig, report: CheckReport) -> bool:
        """Whether it was kept: not if the provider was changed or removed since `config` was read, because then it was
        another that was checked."""
        column = t.provider_configs.c
        same = (column.id == config.id, column.updated_at == config.updated_at)
        statement = update(t.provider_configs).where(*same).values(last_check=to_builtins(report))
        return await self._access.write(lambda c: c.execute(statement).rowcount > 0)

    async def workspaces_with_sessions_of(self, name: str) -> set[str]:
        """The workspaces that have sessions of a provider of this name on record, registered now or earlier."""
        query = select(t.sessions.c.workspace_id).where(t.sessions.c.provider == name).distinct()
        return await self._access.read(lambda c: set(c.execute(query).scalars()))


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a provider named {name} already; names are unique over all workspaces.", field="name")


def _values_of(config: StoredProviderConfig) -> dict[str, Any]:
    check = config.last_check
    return msgspec.structs.asdict(config) | {"last_check": None if check is None else to_builtins(check)}


def _config_of(row: Row[Any]) -> StoredProviderConfig:
    return StoredProviderConfig(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        provider=row.provider,
        gateway_url=row.gateway_url,
        credentials=row.credentials,
        is_active=row.is_active,
        allow_insecure=row.allow_insecure,
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_check=None if row.last_check is None else msgspec.convert(row.last_check, CheckReport),
    )
