"""What people set up: launch profiles and providers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mission_control_desktop.domain.errors import Conflict
from mission_control_desktop.domain.profiles import LaunchProfile
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import Access
from mission_control_desktop.storage.sql import upsert


class LaunchProfiles:
    """Profiles with their environments, which may hold secrets: they stand in the database in clear (its file has
    mode 0600), so never show a profile from here without dropping the values (`ProfileView`)."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def all(self) -> list[LaunchProfile]:
        query = select(t.launch_profiles.c.body).order_by(t.launch_profiles.c.name)
        return await self._access.read(
            lambda c: [msgspec.convert(body, LaunchProfile) for body in c.execute(query).scalars()]
        )

    async def get(self, name: str) -> LaunchProfile | None:
        query = select(t.launch_profiles.c.body).where(t.launch_profiles.c.name == name)
        return await self._access.read(
            lambda c: None if (body := c.execute(query).scalar()) is None else msgspec.convert(body, LaunchProfile)
        )

    async def put(self, profile: LaunchProfile) -> None:
        """Insert or replace by name."""
        values = {"name": profile.name, "body": profile}
        await self._access.write(lambda c: c.execute(upsert(c, t.launch_profiles, "name"), values))

    async def delete(self, name: str) -> bool:
        """Whether there was one."""
        statement = delete(t.launch_profiles).where(t.launch_profiles.c.name == name)
        return await self._access.write(lambda c: c.execute(statement).rowcount > 0)


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
    credentials: bytes | None = None


class ProviderConfigs:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def all(self, workspace_id: str) -> list[StoredProviderConfig]:
        column = t.provider_configs.c
        query = select(t.provider_configs).where(column.workspace_id == workspace_id).order_by(column.name)
        return await self._access.read(lambda c: [_config_of(row) for row in c.execute(query)])

    async def get(self, workspace_id: str, config_id: str) -> StoredProviderConfig | None:
        column = t.provider_configs.c
        query = select(t.provider_configs).where(column.workspace_id == workspace_id, column.id == config_id)
        return await self._access.read(lambda c: None if (row := c.execute(query).first()) is None else _config_of(row))

    async def add(self, config: StoredProviderConfig) -> None:
        """Raises Conflict if the workspace has a provider of this name."""
        try:
            await self._access.write(lambda c: c.execute(insert(t.provider_configs), msgspec.structs.asdict(config)))
        except IntegrityError as error:
            raise Conflict(f"There is a provider named {config.name} already.") from error

    async def update(self, config: StoredProviderConfig) -> bool:
        """Replace by id; whether there was one. Raises Conflict as `add`."""
        column = t.provider_configs.c
        values = msgspec.structs.asdict(config)
        statement = update(t.provider_configs).where(column.workspace_id == config.workspace_id, column.id == config.id)
        try:
            return await self._access.write(lambda c: c.execute(statement.values(values)).rowcount > 0)
        except IntegrityError as error:
            raise Conflict(f"There is a provider named {config.name} already.") from error

    async def delete(self, workspace_id: str, config_id: str) -> bool:
        column = t.provider_configs.c
        statement = delete(t.provider_configs).where(column.workspace_id == workspace_id, column.id == config_id)
        return await self._access.write(lambda c: c.execute(statement).rowcount > 0)


def _config_of(row: Row[Any]) -> StoredProviderConfig:
    return StoredProviderConfig(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        provider=row.provider,
        gateway_url=row.gateway_url,
        credentials=row.credentials,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
