"""A control plane put together from its parts: database, record, orchestrator, installed adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from mission_control_desktop.control.limits import MovingWindow
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.stop_files import StopFiles
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import Unsupported
from mission_control_desktop.domain.limits import BARGE_IN_PER_MINUTE
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView
from mission_control_desktop.orchestrator.orchestrator import Orchestrator
from mission_control_desktop.orchestrator.profiles import ProfileStore
from mission_control_desktop.providers.registry import ProviderRegistry
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage.master_keys import MasterKeys, open_sealer, take_from_environment

log = structlog.get_logger(__name__)

DATABASE_FILE = "control-plane.db"
VERSIONS_FILE = "agent-versions.json"


class NoProfiles:
    """Launch profiles of a control plane that starts no agents itself."""

    async def list(self) -> Sequence[ProfileView]:
        return ()

    async def put(self, profile: LaunchProfile) -> ProfileView:
        raise Unsupported("This control plane starts no agents itself, so it keeps no launch profiles.")

    async def delete(self, name: str) -> None:
        raise Unsupported("This control plane starts no agents itself, so it keeps no launch profiles.")


@asynccontextmanager
async def open_plane(
    data_dir: Path,
    *,
    database_url: str | None = None,
    valkey_url: str | None = None,
    orchestrator: bool = True,
    environ: Mapping[str, str] | None = None,
    attend: bool = True,
    cgroups: bool = True,
) -> AsyncIterator[ControlPlane]:
    """A started control plane; everything is closed again in the end, and no agent is ended by that.

    Without `attend` it is not started: for what needs the record alone, and must not judge what an earlier process left
    behind. `valkey_url` is where rate limits are shared with other control planes. `environ` is what agents inherit,
    and where master keys are looked for (they are taken out of it: no agent gets them). Without `cgroups` agents
    are held by their keepers alone. Raises BadInput or Unavailable
    if the record cannot be opened, or is another's; BadInput for a master key that is none.
    """
    if environ is None:
        from_environment = take_from_environment()
        variables = dict(os.environ)
    else:
        variables = dict(environ)
        from_environment = take_from_environment(variables)
    clock, ids = SystemClock(), Uuid7()
    barge_in = MovingWindow(limit=BARGE_IN_PER_MINUTE, seconds=60, shared=valkey_url)
    async with AsyncExitStack() as stack:
        master_keys = MasterKeys(data_dir, from_environment)
        database, recorder = await _open_record(stack, data_dir, database_url, master_keys, clock, ids)
        registry = ProviderRegistry()
        profiles: ProfileStore | None = None
        agents: Orchestrator | None = None
        if orchestrator:
            profiles = ProfileStore(database.profiles, environ=variables, cache=data_dir / VERSIONS_FILE)
            stack.push_async_callback(profiles.close)
            agents = Orchestrator(data_dir, profiles, clock=clock, ids=ids, environ=variables, cgroups=cgroups)
            registry.add(agents, kind="orchestrator")
        plane = ControlPlane(
            database,
            recorder,
            registry,
            clock,
            ids,
            profiles=profiles or NoProfiles(),
            agents=agents,
            files=agents,
            barge_in=barge_in,
            master_keys=master_keys,
        )
        stack.push_async_callback(plane.close)
        if agents is not None:
            agents.start_gate = plane.start_gate(agents.name)
            plane.stop_files = StopFiles(agents, recorder.audit, clock, agents.name)
        if attend:
            await plane.start()
        yield plane


async def _open_record(
    stack: AsyncExitStack, data_dir: Path, url: str | None, master_keys: MasterKeys, clock: Clock, ids: IdSource
) -> tuple[Database, Recorder]:
    sealer = await asyncio.to_thread(open_sealer, master_keys)
    database = await asyncio.to_thread(open_database, url or data_dir / DATABASE_FILE, sealer)
    stack.push_async_callback(database.close)
    recorder = Recorder(database, clock, ids, _task_failed)
    await recorder.start()
    stack.push_async_callback(recorder.close)
    return database, recorder


def _task_failed(name: str, error: BaseException) -> None:
    log.error("task failed", task=name, exc_info=error)
