"""`ControlPlane`: providers, policy, record and audit in one piece, with a beginning and an end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import structlog

from mission_control_desktop import __version__
from mission_control_desktop.control.idempotency import Idempotency
from mission_control_desktop.control.interventions import Interventions
from mission_control_desktop.control.keys import Keys
from mission_control_desktop.control.kill_all import KillAlls
from mission_control_desktop.control.limits import MovingWindow, RateLimiter
from mission_control_desktop.control.ports import AgentAccess, AgentFiles, Profiles
from mission_control_desktop.control.provider_configs import Kinds, ProviderManager
from mission_control_desktop.control.recovery import SETTLE_SECONDS, Recovery
from mission_control_desktop.control.retention import Retention
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.control.stop_files import VIA, StopFiles
from mission_control_desktop.control.stop_probe import StopProbes
from mission_control_desktop.control.tokens import Tokens
from mission_control_desktop.control.verification import Verifications
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.limits import BARGE_IN_PER_MINUTE
from mission_control_desktop.domain.mission_control import Health
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.providers import DISABLED, ProviderView
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.kinds import installed_adapters
from mission_control_desktop.providers.registry import ProviderRegistry
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage.configs import StoredProviderConfig
from mission_control_desktop.storage.database import Database
from mission_control_desktop.storage.master_keys import MasterKeys

HEALTH_SECONDS = 2.0
"""How often the providers are asked how they do."""

log = structlog.get_logger(__name__)


class ControlPlane:
    """Everything behind the doors. Make it, `start()` it, `bind()` callers to it, `close()` it.

    It does not own the database: who opened that closes it, after this.
    """

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        registry: ProviderRegistry,
        clock: Clock,
        ids: IdSource,
        *,
        profiles: Profiles,
        agents: AgentAccess | None = None,
        files: AgentFiles | None = None,
        barge_in: RateLimiter | None = None,
        settle_seconds: float = SETTLE_SECONDS,
        master_keys: MasterKeys | None = None,
        kinds: Kinds = installed_adapters,
    ) -> None:
        self.database = database
        self.recorder = recorder
        self.registry = registry
        self.clock = clock
        self.ids = ids
        self.profiles = profiles
        self._agents = agents
        self._settle_seconds = settle_seconds
        self.barge_in = barge_in or MovingWindow(limit=BARGE_IN_PER_MINUTE, seconds=60)
        self.retention = Retention(database.retention, recorder, clock, ids, files=files)
        self.providers = ProviderManager(database, registry, recorder, clock, kinds)
        self.tokens = Tokens(database.tokens, database.members, agents, clock, ids)
        self.interventions = Interventions(recorder.audit, clock, ids)
        self.keys = Keys(database, master_keys)
        self.idempotency = Idempotency(database.idempotency, clock)
        self.stop_probes = StopProbes(registry, clock)
        self.kill_alls = KillAlls(registry, self.interventions, recorder.kills, self._known_sessions, clock, ids)
        self.verifications = Verifications(database.audit.verify)
        self._tasks = Tasks(lambda name, error: log.error("control plane task failed", task=name, error=repr(error)))
        self._started_at: datetime = clock.now()
        self._states: dict[str, tuple[str, datetime]] = {}
        self._orders_known = asyncio.Event()
        self.stop_files: StopFiles | None = None
        """Set where agents run on this host."""

    def start_gate(self, provider: str) -> Callable[[], Awaitable[str | None]]:
        """For a provider that starts lost sessions again: why it must not now. It waits until the kill-alls that an
        earlier process left are known."""

        async def refusal() -> str | None:
            await self._orders_known.wait()
            return "a kill-all is under way" if self.kill_alls.covers(provider) else None

        return refusal

    async def start(self) -> None:
        """Attach to the providers, take up what an earlier process left. The recorder must run already."""
        await self.idempotency.start()
        workspaces = {self.registry.entry(name).workspace_id for name in self.registry.names()}
        await self.database.members.ensure_workspaces(workspaces, at=self.clock.now())
        self._tasks.start(self.keys.check(), name="secrets")
        intents = [
            (workspace, intent)
            for workspace, intent in await self.database.audit.all_open_intents()
            if intent.metadata.get("via") != VIA  # `StopFiles` closes its own
        ]
        await self.registry.start(self.record_for)
        await self.providers.start()
        self._tasks.start(self.stop_probes.run(), name="stop probes")
        self._tasks.start(self._watch_providers(), name="provider health")
        await self.retention.start()
        self._tasks.start(self.retention.run(), name="retention")
        going_on = await self.kill_alls.start()
        self._orders_known.set()
        if self.stop_files is not None:
            self._tasks.start(self.stop_files.run(), name="stop files")
        self._tasks.start(
            Recovery(self, settle_seconds=self._settle_seconds).run(intents, left_alone=going_on), name="recovery"
        )

    async def close(self) -> None:
        """Detach. Ends no session."""
        await self._tasks.close()
        await self.verifications.close()
        await self.kill_alls.close()
        await self.idempotency.close()
        await self.interventions.close()
        await self.tokens.close()
        await self.barge_in.close()
        await self.registry.close()

    async def _watch_providers(self) -> None:
        """Show changes of the providers' health on the workspace's stream."""
        shown: dict[str, ProviderHealth] = {}
        while True:
            known = self.provider_health()
            for gone in shown.keys() - {one.provider for one in known}:
                del shown[gone]
                self._states.pop(gone, None)
            for health in known:
                if shown.get(health.provider) == health:
                    continue
                try:
                    workspace_id = self.registry.entry(health.provider).workspace_id
                    await self.recorder.publish_provider(health, workspace_id=workspace_id)
                except Unavailable as error:
                    log.debug("provider health not shown", provider=health.provider, error=error.message)
                else:
                    shown[health.provider] = health
            await asyncio.sleep(HEALTH_SECONDS)

    def provider_health(self, workspace_id: str | None = None) -> tuple[ProviderHealth, ...]:
        """How a workspace's providers do, or all; with what was found when their way to stop was tested."""
        return tuple(
            msgspec.structs.replace(
                health, stop=self.stop_probes.channel(health.provider), since=self._since(health.provider, health.state)
            )
            for health in self.registry.health(workspace_id)
        )

    def _since(self, provider: str, state: str) -> datetime:
        known = self._states.get(provider)
        if known is None or known[0] != state:
            known = self._states[provider] = (state, self.clock.now())
        return known[1]

    def bind(self, who: Principal) -> MissionControlService:
        """What this caller can see and do."""
        return MissionControlService(self, who)

    def record_for(self, provider: str) -> ProviderRecord:
        """A registered provider's part of the record, in its workspace. Raises NotFound."""
        return self.recorder.provider_record(provider, workspace_id=self.registry.entry(provider).workspace_id)

    async def health(self, *, detailed_for: str | None) -> Health:
        """As a workspace sees it; without one only what anyone may know."""
        providers = self.provider_health(detailed_for)
        pending = self.interventions.pending_rows
        recorder = self.recorder.health()
        limits = self.barge_in.trouble()
        good = (
            not pending
            and not self.keys.closed
            and self.database.sealer.key_id is not None
            and limits is None
            and recorder.state == "ok"
            and all(one.state in ("ok", DISABLED) for one in providers)
        )
        status = "ok" if good else "degraded"
        if detailed_for is None:
            return Health(status=status, version=__version__)
        detail = {
            "startedAt": self._started_at,
            "providers": {one.provider: {"state": one.state, "detail": one.detail} for one in providers},
            "record": {"state": recorder.state, "detail": recorder.detail},
            "audit": {"waitingRows": pending},
            "retention": self.retention.health(detailed_for),
            "secrets": {"keyId": self.database.sealer.key_id, "unopenable": self.keys.closed},
            "limits": {"state": "ok" if limits is None else "degraded", "detail": limits},
        }
        return Health(status=status, version=__version__, epoch=self.recorder.epoch, pid=os.getpid(), detail=detail)

    async def workspace(self, workspace_id: str) -> Workspace:
        """A workspace's settings, and what was last removed from it."""
        state = await self.database.retention.state(workspace_id)
        return Workspace(
            workspace_id=workspace_id,
            message_retention_days=await self.database.retention.days(workspace_id),
            last_retention=state.last,
        )

    def reachable(self, provider: str) -> bool:
        """Whether a provider's sessions can be believed to be as they are on record."""
        away = ("unreachable", DISABLED)
        return any(one.provider == provider and one.state not in away for one in self.registry.health())

    async def provider_views(self, workspace_id: str) -> tuple[ProviderView, ...]:
        """The built-in providers of a workspace, then those that people registered."""
        configs = await self.providers.all(workspace_id)
        registered = {config.name for config in configs}
        built_in = tuple(
            ProviderView(
                id=one.provider,
                workspace_id=workspace_id,
                name=one.provider,
                provider=self.registry.entry(one.provider).kind,
                gateway_url="",
                is_active=True,
                has_credentials=False,
                created_at=self._started_at,
                updated_at=self._started_at,
                health=one,
                built_in=True,
            )
            for one in self.provider_health(workspace_id)
            if one.provider not in registered
        )
        return built_in + tuple(map(self.provider_view, configs))

    def provider_view(self, config: StoredProviderConfig) -> ProviderView:
        """A registered provider as it is shown."""
        health = next((one for one in self.provider_health() if one.provider == config.name), None)
        return ProviderView(
            id=config.id,
            workspace_id=config.workspace_id,
            name=config.name,
            provider=config.provider,
            gateway_url=config.gateway_url,
            is_active=config.is_active,
            has_credentials=config.credentials is not None,
            created_at=config.created_at,
            updated_at=config.updated_at,
            health=health or ProviderHealth(provider=config.name, state="unreachable", detail="not started"),
            allow_insecure=config.allow_insecure,
            last_check=self.providers.last_check(config),
        )

    def in_subtree(self, root: str, session_id: str) -> bool:
        """Whether a session (native ids) is an agent's own or below it."""
        return self._agents is not None and self._agents.in_subtree(root, session_id)

    async def any_live_session(self) -> bool:
        """Whether anything runs that someone might want to come back to."""
        return bool(await self.database.sessions.living())

    async def _known_sessions(self, workspace_id: str, provider: str) -> list[AgentSession]:
        return await self.database.sessions.living(workspace_id=workspace_id, provider=provider)
