"""What a kill-all does to its targets: find, freeze, thaw, kill, and look at what is left.

Each call is bounded in time, and no target's trouble keeps another from being hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from mission_control_desktop.control.kill_run import Run
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound, Unreachable, Unsupported
from mission_control_desktop.domain.kill import TargetState
from mission_control_desktop.domain.sessions import AgentSession, ProcessInfo, SessionStatus, known_as
from mission_control_desktop.providers.registry import ProviderRegistry

log = structlog.get_logger(__name__)

FREEZE_TIMEOUT = 10.0
KILL_TIMEOUT = 30.0
LOOK_TIMEOUT = 5.0
VERIFY_SECONDS = 8.0
VERIFY_STEP = 0.1

KnownSessions = Callable[[str, str], Awaitable[Sequence[AgentSession]]]
"""Sessions of a workspace and a provider on record that are not final: what is hit when the provider does not
answer."""


class KillSteps:
    """The steps of all kill-alls."""

    def __init__(self, registry: ProviderRegistry, known_sessions: KnownSessions, clock: Clock) -> None:
        self._registry = registry
        self._known_sessions = known_sessions
        self._clock = clock

    async def collect(self, run: Run) -> list[str]:
        """Look for live sessions in the scope. Returns the ids that are not targets yet or that came back."""
        listed = await self._registry.list_sessions(run.names)
        new: list[str] = []
        for session in map(known_as, listed.sessions):
            if session.status.final:
                continue
            run.sessions[session.session_id] = session
            if session.session_id not in run.targets:
                run.set(session.session_id, TargetState.ASKED, self._now(), "to be stopped")
                new.append(session.session_id)
                if session.status is SessionStatus.PAUSED:
                    run.was_paused.add(session.session_id)
            elif await self._came_back(run, session.session_id):
                new.append(session.session_id)
        for provider, problem in listed.problems.items():
            await self._collect_from_record(run, provider, problem)
        return new

    async def _collect_from_record(self, run: Run, provider: str, problem: str) -> None:
        try:
            lost = await self._known_sessions(run.workspace_id, provider)
        except Exception as error:  # noqa: BLE001 - logged and shown; the stop goes on
            log.error("sessions on record cannot be read", provider=provider, error=repr(error))
            lost = ()
            run.detail = f"{provider}: {problem} Its sessions are not known."
        for session in lost:
            run.sessions.setdefault(session.session_id, session)
            if session.session_id not in run.targets:
                # It is still tried: a provider that cannot list its sessions may stop them.
                run.set(session.session_id, TargetState.UNREACHABLE, self._now(), problem)

    async def returned(self, run: Run) -> list[str]:
        """After the kill: targets that live again, that can be reached again, and what they have started since."""
        listed = await self._registry.list_sessions(run.names)
        living = {session.session_id: session for session in map(known_as, listed.sessions) if not session.status.final}
        run.sessions.update(living)
        new: list[str] = []
        for session_id in living:
            target = run.targets.get(session_id)
            if target is None:
                if any(above in run.targets for above in run.ancestors(session_id)):
                    run.set(session_id, TargetState.CAME_BACK, self._now(), "started by a target that came back")
                    new.append(session_id)
            elif target.state is TargetState.UNREACHABLE:
                run.set(session_id, TargetState.CAME_BACK, self._now(), "can be reached again, and lives")
                new.append(session_id)
            elif target.state is TargetState.CAME_BACK or await self._came_back(run, session_id):
                new.append(session_id)
        return new

    async def _came_back(self, run: Run, session_id: str) -> bool:
        if run.targets[session_id].state is not TargetState.DEAD or not await self._lives(session_id):
            return False
        run.set(session_id, TargetState.CAME_BACK, self._now(), "was dead, and lives again")
        return True

    async def _lives(self, session_id: str) -> bool:
        """Whether a session that is listed as alive is: by its processes, or where none can be seen by its word."""
        try:
            return bool(await self._processes(session_id))
        except Unsupported:
            return True
        except MissionControlError:
            return False

    # --- what is done

    async def freeze(self, run: Run, session_ids: Sequence[str]) -> None:
        """Parents before children, so that nothing is started again by one that still runs."""
        await self._to_all(run, session_ids, self._freeze)

    async def _freeze(self, run: Run, session_id: str) -> None:
        provider, native = self._registry.of(session_id)
        await self._registry.call(provider.name, provider.pause(native, level="freeze"), timeout=FREEZE_TIMEOUT)
        run.set(session_id, TargetState.FROZEN, self._now())

    async def thaw(self, run: Run) -> None:
        """Let go on what was frozen here; what was paused before stays so."""
        await self._to_all(run, list(run.targets), self._thaw)

    async def _thaw(self, run: Run, session_id: str) -> None:
        if run.targets[session_id].state is not TargetState.FROZEN:
            return
        if session_id in run.was_paused:
            run.set(session_id, TargetState.FROZEN, self._now(), "was paused before, and stays so")
            return
        provider, native = self._registry.of(session_id)
        await self._registry.call(provider.name, provider.resume(native), timeout=FREEZE_TIMEOUT)
        run.set(session_id, TargetState.CAME_BACK, self._now(), "goes on: the kill-all was undone")

    async def kill(self, run: Run, session_ids: Sequence[str]) -> None:
        """Parents before children; each is looked at until nothing of it is left."""
        await self._to_all(run, session_ids, self._kill)

    async def _kill(self, run: Run, session_id: str) -> None:
        provider, native = self._registry.of(session_id)
        current = await self._registry.call(provider.name, provider.get_session(native), timeout=LOOK_TIMEOUT)
        if current is not None and not current.status.final:
            run.set(session_id, TargetState.ASKED, self._now(), "kill sent")
            try:
                await self._registry.call(provider.name, provider.kill(native), timeout=KILL_TIMEOUT)
            except (Conflict, NotFound) as error:
                # It ended by itself in this moment, or with its parent; the look below tells.
                log.debug("kill came too late", session=session_id, error=error.message)
        await self._verify(run, session_id)

    async def _verify(self, run: Run, session_id: str) -> None:
        """Look at what is left until nothing is, at most `VERIFY_SECONDS`."""
        provider, native = self._registry.of(session_id)
        deadline = asyncio.get_running_loop().time() + VERIFY_SECONDS
        while True:
            current = await self._registry.call(provider.name, provider.get_session(native), timeout=LOOK_TIMEOUT)
            over = current is None or current.status.final
            try:
                left = await self._processes(session_id)
            except NotFound:
                left = []
            except Unsupported as error:
                said = "the provider says that it ended" if over else "asked to stop"
                run.set(session_id, TargetState.ASKED, self._now(), f"{said}; {error.message}")
                return
            late = asyncio.get_running_loop().time() >= deadline
            if not left and (late or over):
                run.set(session_id, TargetState.DEAD, self._now(), _how_dead(current))
                return
            if late:
                pids = ", ".join(str(process.pid) for process in left[:10])
                run.set(session_id, TargetState.ASKED, self._now(), f"{len(left)} processes are still there: {pids}")
                return
            await asyncio.sleep(VERIFY_STEP)

    # --- how

    async def _processes(self, session_id: str) -> Sequence[ProcessInfo]:
        provider, native = self._registry.of(session_id)
        return await self._registry.call(provider.name, provider.processes(native), timeout=LOOK_TIMEOUT)

    async def _to_all(self, run: Run, session_ids: Sequence[str], act: Callable[[Run, str], Awaitable[None]]) -> None:
        """Do it to all, parents before their children, those of one depth at the same time."""

        async def one(session_id: str) -> None:
            try:
                await act(run, session_id)
            except Unreachable as error:
                run.set(session_id, TargetState.UNREACHABLE, self._now(), error.message)
            except MissionControlError as error:
                run.set(session_id, TargetState.ASKED, self._now(), error.message)
            except Exception as error:
                log.exception("target failed", session=session_id)
                run.set(session_id, TargetState.UNREACHABLE, self._now(), f"failed ({type(error).__name__})")

        for level in run.levels(session_ids):
            async with asyncio.TaskGroup() as group:
                for session_id in level:
                    group.create_task(one(session_id))

    def _now(self) -> datetime:
        return self._clock.now()


def _how_dead(session: AgentSession | None) -> str | None:
    """How it is known that nothing lives, in a few words; None where the provider does not say."""
    steps = session.metadata.get("stopSteps") if session is not None else None
    step = steps[-1] if isinstance(steps, list) and steps else None
    if not isinstance(step, dict) or step.get("left") != 0:
        return None
    by = {"cgroup": "its cgroup is empty", "sub-reaper": "no process is below its keeper"}.get(str(step.get("by")))
    count, escaped = step.get("processes"), step.get("escaped")
    if by is None or not isinstance(count, int) or not isinstance(escaped, int):
        return None
    hit = f"{count} {'process' if count == 1 else 'processes'}" + (f", {escaped} escaped" if escaped else "")
    return f"{by} ({hit})"
