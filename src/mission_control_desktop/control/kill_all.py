"""Kill-all: one confirmed command over a scope, with a result per target that was looked at, not assumed.

With an undo time the targets are frozen first, parents before children, and stay so until the time is over; then, or at
once, they are killed the same way, and what is left of each is looked at. Sessions that appear meanwhile are hit too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import structlog

from mission_control_desktop.control.interventions import Attempt, Interventions
from mission_control_desktop.control.ports import KillStore
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound, Unreachable, Unsupported
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, known_as, split_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.registry import ProviderRegistry

log = structlog.get_logger(__name__)

FREEZE_TIMEOUT = 10.0
KILL_TIMEOUT = 30.0
LOOK_TIMEOUT = 5.0
SAVE_TIMEOUT = 5.0
FIRST_SAVE_TIMEOUT = 1.0
SAVE_AGAIN_SECONDS = 2.0
VERIFY_SECONDS = 8.0
VERIFY_STEP = 0.1
MAX_ROUNDS = 5
MAX_UNDO_SECONDS = 60.0

KnownSessions = Callable[[str], Awaitable[Sequence[AgentSession]]]
"""Sessions of a provider on record that are not final: what is hit when the provider itself does not answer."""


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the next process needs to go on with an order that this one could not finish."""

    intent_id: str
    who: Principal
    reason: str
    names: tuple[str, ...]
    undo_until: datetime | None
    was_paused: tuple[str, ...] = ()


@dataclass(slots=True)
class _Run:
    workspace_id: str
    kill_id: str
    scope: str
    names: tuple[str, ...]
    started_at: datetime
    attempt: Attempt
    undo_until: datetime | None
    state: KillState
    targets: dict[str, KillTarget] = field(default_factory=dict)
    sessions: dict[str, AgentSession] = field(default_factory=dict)
    was_paused: set[str] = field(default_factory=set)
    detail: str | None = None
    undo: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def view(self) -> KillAll:
        detail = self.detail
        if not self.attempt.recorded:
            detail = "Not on record yet: the audit log could not be written. It will be as soon as it can."
        return KillAll(
            kill_id=self.kill_id,
            state=self.state,
            scope=self.scope,
            started_at=self.started_at,
            targets=tuple(self.targets.values()),
            undo_until=self.undo_until if self.state is KillState.FROZEN else None,
            detail=detail,
        )


class KillAlls:
    """Runs kill-alls of all workspaces. Nothing here fails because the database does: a stop comes first."""

    def __init__(
        self,
        registry: ProviderRegistry,
        interventions: Interventions,
        store: KillStore,
        known_sessions: KnownSessions,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._registry = registry
        self._interventions = interventions
        self._store = store
        self._known_sessions = known_sessions
        self._clock = clock
        self._ids = ids
        self._runs: dict[str, _Run] = {}
        self._tasks = Tasks(lambda name, error: log.error("kill-all failed", task=name, error=repr(error)))

    def covers(self, provider: str) -> bool:
        """Whether a kill-all over this provider is under way: nothing may be started there now."""
        return any(
            provider in run.names and run.state in (KillState.FROZEN, KillState.KILLING) for run in self._runs.values()
        )

    def running(self, kill_id: str) -> bool:
        return kill_id in self._runs

    async def begin(
        self,
        attempt: Attempt,
        *,
        check: Callable[[], Awaitable[None]],
        scope: str,
        names: tuple[str, ...],
        undo_seconds: float,
    ) -> KillAll:
        """Start one; returns as soon as its targets are known. Raises what `check` raises."""
        now = self._clock.now()
        run = _Run(
            workspace_id=attempt.who.workspace_id,
            kill_id=self._ids.new(),
            scope=scope,
            names=names,
            started_at=now,
            attempt=attempt,
            undo_until=now + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None,
            state=KillState.FROZEN if undo_seconds > 0 else KillState.KILLING,
        )
        attempt.metadata |= {"killId": run.kill_id, "scope": scope, "undoSeconds": undo_seconds}
        begun: asyncio.Future[KillAll] = asyncio.get_running_loop().create_future()

        async def act() -> None:
            self._runs[run.kill_id] = run
            await self._collect(run)
            await self._save(run, timeout=FIRST_SAVE_TIMEOUT)
            begun.set_result(run.view())
            await self._carry_out(run)

        async def whole() -> None:
            try:
                await self._interventions.run(attempt, check=check, act=act)
            except Exception as error:
                if begun.done():
                    raise
                begun.set_exception(error)

        self._tasks.start(whole(), name=f"kill-all {run.kill_id}")
        return await asyncio.shield(begun)

    async def start(self) -> frozenset[str]:
        """Go on with what an earlier process was told to do and did not finish; returns the kill ids."""
        for workspace_id, kill, state in await self._store.unfinished():
            try:
                order = msgspec.json.decode(state, type=_Order)
            except msgspec.MsgspecError as error:
                log.error("kill-all cannot be continued", kill=kill.kill_id, error=str(error))
                continue
            attempt = Attempt(
                who=order.who,
                action=AuditAction.KILL_ALL,
                metadata={"reason": order.reason, "killId": kill.kill_id},
                intent_id=order.intent_id,
                unstoppable=True,
            )
            run = _Run(
                workspace_id=workspace_id,
                kill_id=kill.kill_id,
                scope=kill.scope,
                names=order.names,
                started_at=kill.started_at,
                attempt=attempt,
                undo_until=order.undo_until,
                state=kill.state,
                targets={target.session_id: target for target in kill.targets},
                was_paused=set(order.was_paused),
                detail="Continued after a restart.",
            )
            self._runs[run.kill_id] = run
            self._tasks.start(self._continue(run), name=f"kill-all {run.kill_id}")
        return frozenset(self._runs)

    async def _continue(self, run: _Run) -> None:
        async def act() -> None:
            await self._collect(run)
            await self._carry_out(run)

        await self._interventions.go_on(run.attempt, act=act)

    async def close(self) -> None:
        await self._tasks.close()

    async def state(self, workspace_id: str, kill_id: str) -> KillAll:
        """Raises NotFound."""
        run = self._runs.get(kill_id)
        if run is not None and run.workspace_id == workspace_id:
            return run.view()
        found = await self._store.get(workspace_id, kill_id)
        if found is None:
            raise NotFound("There is no such kill-all.")
        return found

    async def undo(self, workspace_id: str, kill_id: str) -> KillAll:
        """Let the frozen targets go on. Conflict when it is too late."""
        run = self._runs.get(kill_id)
        if run is None or run.workspace_id != workspace_id:
            await self.state(workspace_id, kill_id)
            raise Conflict("This kill-all is over; it cannot be undone.")
        if run.state is not KillState.FROZEN or run.undo_until is None or self._clock.now() >= run.undo_until:
            raise Conflict("The time to undo is over: the targets are being killed.")
        run.undo.set()
        await run.finished.wait()
        return run.view()

    # --- carrying out --------------------------------------------------------------------------------------------

    async def _carry_out(self, run: _Run) -> None:
        shower = self._tasks.start(self._show(run), name=f"show kill-all {run.kill_id}")
        try:
            if run.state is KillState.FROZEN and await self._frozen_phase(run):
                run.state = KillState.UNDONE
                run.attempt.result["undone"] = True
            else:
                run.state = KillState.KILLING
                run.changed.set()
                await self._kill_phase(run)
                run.state = KillState.DONE
            run.attempt.result["targets"] = [
                {"sessionId": t.session_id, "state": t.state.value, "detail": t.detail} for t in run.targets.values()
            ]
        finally:
            shower.cancel()
            saved = await self._save(run)
            run.finished.set()
            if run.state in (KillState.DONE, KillState.UNDONE):
                if saved:
                    self._runs.pop(run.kill_id, None)
                else:
                    self._tasks.start(self._save_later(run), name=f"save kill-all {run.kill_id}")

    async def _collect(self, run: _Run) -> list[str]:
        """Look for live sessions in the scope. Returns the ids that were not targets before."""
        listed = await self._registry.list_sessions(run.names)
        new: list[str] = []
        for session_id, session in ((one.session_id, one) for one in map(known_as, listed.sessions)):
            if session.status.final:
                continue
            run.sessions[session_id] = session
            known = run.targets.get(session_id)
            if known is None:
                self._set(run, session_id, TargetState.ASKED, "to be stopped")
                new.append(session_id)
                if session.status is SessionStatus.PAUSED:
                    run.was_paused.add(session_id)
            elif known.state is TargetState.DEAD and await self._lives(session_id):
                self._set(run, session_id, TargetState.CAME_BACK, "was dead, and lives again")
                new.append(session_id)
        for provider, problem in listed.problems.items():
            try:
                lost = await self._known_sessions(provider)
            except Exception as error:  # noqa: BLE001 - logged and shown; the stop goes on
                log.error("sessions on record cannot be read", provider=provider, error=repr(error))
                lost = ()
                run.detail = f"{provider}: {problem} Its sessions are not known."
            for session in lost:
                run.sessions.setdefault(session.session_id, session)
                if session.session_id not in run.targets:
                    # It is still tried: a provider that cannot list its sessions may stop them.
                    self._set(run, session.session_id, TargetState.UNREACHABLE, problem)
        return new

    async def _lives(self, session_id: str) -> bool:
        provider, native = self._registry.of(session_id)
        try:
            return bool(await self._registry.call(provider.name, provider.processes(native), timeout=LOOK_TIMEOUT))
        except MissionControlError:
            return False

    async def _frozen_phase(self, run: _Run) -> bool:
        """Freeze, and wait for the undo or the end of its time. True if it was undone."""
        await self._by_depth(run, list(run.targets), self._freeze)
        left = ((run.undo_until or self._clock.now()) - self._clock.now()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await run.undo.wait()
        except TimeoutError:
            return False
        await self._by_depth(run, list(run.targets), self._thaw)
        return True

    async def _freeze(self, run: _Run, session_id: str) -> None:
        provider, native = self._registry.of(session_id)
        await self._registry.call(provider.name, provider.pause(native, level="freeze"), timeout=FREEZE_TIMEOUT)
        self._set(run, session_id, TargetState.FROZEN)

    async def _thaw(self, run: _Run, session_id: str) -> None:
        if run.targets[session_id].state is not TargetState.FROZEN:
            return
        if session_id in run.was_paused:
            self._set(run, session_id, TargetState.FROZEN, "was paused before, and stays so")
            return
        provider, native = self._registry.of(session_id)
        await self._registry.call(provider.name, provider.resume(native), timeout=FREEZE_TIMEOUT)
        self._set(run, session_id, TargetState.CAME_BACK, "goes on: the kill-all was undone")

    async def _kill_phase(self, run: _Run) -> None:
        todo = list(run.targets)
        for _ in range(MAX_ROUNDS):
            await self._by_depth(run, todo, self._kill)
            todo = await self._collect(run)
            if not todo:
                return
        run.detail = f"Still finding new sessions after {MAX_ROUNDS} rounds."

    async def _kill(self, run: _Run, session_id: str) -> None:
        provider, native = self._registry.of(session_id)
        current = await self._registry.call(provider.name, provider.get_session(native), timeout=LOOK_TIMEOUT)
        if current is not None and not current.status.final:
            self._set(run, session_id, TargetState.ASKED, "kill sent")
            try:
                await self._registry.call(provider.name, provider.kill(native), timeout=KILL_TIMEOUT)
            except (Conflict, NotFound) as error:
                # It ended by itself in this moment, or with its parent; the look below tells.
                log.debug("kill came too late", session=session_id, error=error.message)
        await self._verify(run, session_id)

    async def _verify(self, run: _Run, session_id: str) -> None:
        """Look at what is left until nothing is, at most `VERIFY_SECONDS`."""
        provider, native = self._registry.of(session_id)
        deadline = asyncio.get_running_loop().time() + VERIFY_SECONDS
        while True:
            current = await self._registry.call(provider.name, provider.get_session(native), timeout=LOOK_TIMEOUT)
            try:
                left = await self._registry.call(provider.name, provider.processes(native), timeout=LOOK_TIMEOUT)
            except NotFound:
                left = []
            except Unsupported as error:
                said = "the provider says that it ended" if current is None or current.status.final else "asked to stop"
                self._set(run, session_id, TargetState.ASKED, f"{said}; {error.message}")
                return
            late = asyncio.get_running_loop().time() >= deadline
            if not left and (late or current is None or current.status.final):
                self._set(run, session_id, TargetState.DEAD)
                return
            if late:
                pids = ", ".join(str(process.pid) for process in left[:10])
                self._set(run, session_id, TargetState.ASKED, f"{len(left)} processes are still there: {pids}")
                return
            await asyncio.sleep(VERIFY_STEP)

    async def _by_depth(
        self, run: _Run, session_ids: Sequence[str], act: Callable[[_Run, str], Awaitable[None]]
    ) -> None:
        """Do it to all, parents before their children, those of one depth at the same time."""

        async def one(session_id: str) -> None:
            try:
                await act(run, session_id)
            except Unreachable as error:
                self._set(run, session_id, TargetState.UNREACHABLE, error.message)
            except MissionControlError as error:
                self._set(run, session_id, TargetState.ASKED, error.message)
            except Exception as error:
                log.exception("target failed", session=session_id)
                self._set(run, session_id, TargetState.UNREACHABLE, f"failed ({type(error).__name__})")

        levels: defaultdict[int, list[str]] = defaultdict(list)
        for session_id in session_ids:
            levels[_depth(run, session_id)].append(session_id)
        for depth in sorted(levels):
            async with asyncio.TaskGroup() as group:
                for session_id in levels[depth]:
                    group.create_task(one(session_id))

    def _set(self, run: _Run, session_id: str, state: TargetState, detail: str | None = None) -> None:
        run.targets[session_id] = KillTarget(
            session_id=session_id,
            provider=split_id(session_id)[0],
            state=state,
            at=self._clock.now(),
            detail=detail,
        )
        run.changed.set()

    async def _show(self, run: _Run) -> None:
        while True:
            await run.changed.wait()
            run.changed.clear()
            await self._save(run)

    async def _save_later(self, run: _Run) -> None:
        """Keep a result that could not be stored in memory until it can be."""
        while not await self._save(run):
            await asyncio.sleep(SAVE_AGAIN_SECONDS)
        self._runs.pop(run.kill_id, None)

    async def _save(self, run: _Run, *, timeout: float = SAVE_TIMEOUT) -> bool:
        """Store and publish the state, and say whether it worked; neither may hold up the stop."""
        order = _Order(
            intent_id=run.attempt.intent_id or "",
            who=run.attempt.who,
            reason=str(run.attempt.metadata.get("reason", "")),
            names=run.names,
            undo_until=run.undo_until,
            was_paused=tuple(run.was_paused),
        )
        view = run.view()
        try:
            async with asyncio.timeout(timeout):
                await self._store.put(run.workspace_id, view, state=msgspec.json.encode(order))
        except Exception as error:  # noqa: BLE001 - logged; the stop goes on
            log.error("kill-all cannot be stored", kill=run.kill_id, error=repr(error))
            return False
        return True


def _depth(run: _Run, session_id: str) -> int:
    depth, seen = 0, {session_id}
    session = run.sessions.get(session_id)
    while session is not None and session.parent_session_id is not None and session.parent_session_id not in seen:
        depth += 1
        seen.add(session.parent_session_id)
        session = run.sessions.get(session.parent_session_id)
    return depth
