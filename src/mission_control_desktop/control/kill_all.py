"""Kill-all: one confirmed command over a scope, with a result per target that was looked at, not assumed.

With an undo time the targets are frozen first, parents before children, and stay so until the time is over; then, or at
once, they are killed the same way, and what is left of each is looked at. Sessions that appear meanwhile are hit too.
Afterwards it keeps watching for a while, or until it is closed: a target that comes back is hit again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from mission_control_desktop.control.interventions import Attempt, Interventions
from mission_control_desktop.control.kill_run import Order, Run
from mission_control_desktop.control.kill_steps import KillSteps, KnownSessions
from mission_control_desktop.control.ports import KillStore
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound
from mission_control_desktop.domain.kill import WATCH_SECONDS, KillAll, KillState
from mission_control_desktop.domain.people import ActorKind, Principal, Role
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.registry import ProviderRegistry

log = structlog.get_logger(__name__)

SAVE_TIMEOUT = 5.0
FIRST_SAVE_TIMEOUT = 1.0
SAVE_AGAIN_SECONDS = 2.0
MAX_ROUNDS = 5
LOOK_EVERY_SECONDS = 1.0
"""How often new sessions are looked for while the scope is frozen, and targets that came back while it is watched."""


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
        self._interventions = interventions
        self._store = store
        self._steps = KillSteps(registry, known_sessions, clock)
        self._clock = clock
        self._ids = ids
        self._runs: dict[str, Run] = {}
        self._tasks = Tasks(lambda name, error: log.error("kill-all failed", task=name, error=repr(error)))

    def covers(self, provider: str) -> bool:
        """Whether a kill-all over this provider is under way: nothing may be started or sent there now."""
        return any(provider in run.names and run.stopping for run in self._runs.values())

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
        watch_seconds: float = WATCH_SECONDS,
    ) -> KillAll:
        """Start one; returns as soon as its targets are known. Raises what `check` raises."""
        now = self._clock.now()
        run = Run(
            workspace_id=attempt.who.workspace_id,
            kill_id=self._ids.new(),
            scope=scope,
            names=names,
            started_at=now,
            attempt=attempt,
            undo_until=now + timedelta(seconds=undo_seconds) if undo_seconds > 0 else None,
            watch_seconds=watch_seconds,
            state=KillState.FROZEN if undo_seconds > 0 else KillState.KILLING,
        )
        attempt.metadata |= {"killId": run.kill_id, "scope": scope, "undoSeconds": undo_seconds}
        begun: asyncio.Future[KillAll] = asyncio.get_running_loop().create_future()

        async def act() -> None:
            self._runs[run.kill_id] = run
            await self._steps.collect(run)
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
            else:
                await self._watch(run)

        self._tasks.start(whole(), name=f"kill-all {run.kill_id}")
        return await asyncio.shield(begun)

    async def start(self) -> frozenset[str]:
        """Go on with what an earlier process was told to do and did not finish; returns the kill ids."""
        for workspace_id, kill, state in await self._store.unfinished():
            try:
                order = msgspec.json.decode(state, type=Order)
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
            run = Run(
                workspace_id=workspace_id,
                kill_id=kill.kill_id,
                scope=kill.scope,
                names=order.names,
                started_at=kill.started_at,
                attempt=attempt,
                undo_until=order.undo_until,
                watch_seconds=order.watch_seconds,
                state=kill.state,
                targets={target.session_id: target for target in kill.targets},
                was_paused=set(order.was_paused),
                finished_at=kill.finished_at,
                watching_until=kill.watching_until,
                detail="Continued after a restart.",
            )
            self._runs[run.kill_id] = run
            self._tasks.start(self._continue(run), name=f"kill-all {run.kill_id}")
        return frozenset(self._runs)

    async def _continue(self, run: Run) -> None:
        async def act() -> None:
            await self._steps.collect(run)
            await self._carry_out(run)

        if run.stopping:
            await self._interventions.go_on(run.attempt, act=act)
        else:
            run.finished.set()
        await self._watch(run)

    async def close(self) -> None:
        await self._tasks.close()

    async def state(self, workspace_id: str, kill_id: str) -> KillAll:
        """Raises NotFound."""
        run = self._run(workspace_id, kill_id)
        if run is not None:
            return run.view()
        found = await self._store.get(workspace_id, kill_id)
        if found is None:
            raise NotFound("There is no such kill-all.")
        return found

    async def undo(self, workspace_id: str, kill_id: str) -> KillAll:
        """Let the frozen targets go on. Conflict when it is too late."""
        run = self._run(workspace_id, kill_id)
        if run is None:
            await self.state(workspace_id, kill_id)
            raise Conflict("This kill-all is over; it cannot be undone.")
        if run.state is not KillState.FROZEN or run.undo_until is None or self._clock.now() >= run.undo_until:
            raise Conflict("The time to undo is over: the targets are being killed.")
        run.undo.set()
        await run.finished.wait()
        return run.view()

    async def end_watch(self, workspace_id: str, kill_id: str) -> KillAll:
        """No more hitting of targets that come back; changes nothing if that has ended already. Conflict while the
        kill-all itself is under way."""
        run = self._run(workspace_id, kill_id)
        if run is not None:
            if run.stopping:
                raise Conflict("This kill-all is under way; it can be closed when every target was looked at.")
            run.closed.set()
        view = await self.state(workspace_id, kill_id)
        return msgspec.structs.replace(view, watching_until=None)

    def _run(self, workspace_id: str, kill_id: str) -> Run | None:
        run = self._runs.get(kill_id)
        return run if run is not None and run.workspace_id == workspace_id else None

    # --- carrying out --------------------------------------------------------------------------------------------

    async def _carry_out(self, run: Run) -> None:
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
                if run.watch_seconds > 0 and run.targets:
                    run.watching_until = self._clock.now() + timedelta(seconds=run.watch_seconds)
            run.finished_at = self._clock.now()
            run.attempt.result["targets"] = run.results()
        finally:
            shower.cancel()
            await self._save(run)
            run.finished.set()
            if not run.stopping and run.watching_until is None:
                self._over(run)

    def _over(self, run: Run) -> None:
        if run.saved:
            self._runs.pop(run.kill_id, None)
        else:
            self._tasks.start(self._save_later(run), name=f"save kill-all {run.kill_id}")

    async def _frozen_phase(self, run: Run) -> bool:
        """Freeze, and wait for the undo or the end of its time. True if it was undone."""
        await self._steps.freeze(run, list(run.targets))
        end = run.undo_until or self._clock.now()
        while (left := (end - self._clock.now()).total_seconds()) > 0:
            if await _happens(run.undo, min(left, LOOK_EVERY_SECONDS)):
                await self._steps.thaw(run)
                return True
            # What was being started when the order came shows up only now.
            await self._steps.freeze(run, await self._steps.collect(run))
        return False

    async def _kill_phase(self, run: Run) -> None:
        todo = list(run.targets)
        for _ in range(MAX_ROUNDS):
            await self._steps.kill(run, todo)
            todo = await self._steps.collect(run)
            if not todo:
                return
        run.detail = f"Still finding new sessions after {MAX_ROUNDS} rounds."

    async def _watch(self, run: Run) -> None:
        """Hit again what comes back, until it is closed or its time is over."""
        until = run.watching_until
        if until is None:
            return
        shower = self._tasks.start(self._show(run), name=f"show kill-all {run.kill_id}")
        try:
            while (left := (until - self._clock.now()).total_seconds()) > 0:
                if await _happens(run.closed, min(left, LOOK_EVERY_SECONDS)):
                    break
                if not run.saved:
                    run.changed.set()
                if back := await self._steps.returned(run):
                    async with asyncio.TaskGroup() as group:
                        for session_id in back:
                            group.create_task(self._hit_again(run, session_id))
        finally:
            shower.cancel()
        run.watching_until = None
        await self._save(run)
        self._over(run)

    async def _hit_again(self, run: Run, session_id: str) -> None:
        """An act of its own in the audit log: nobody pressed a button for it."""
        attempt = Attempt(
            who=Principal(
                user_id="kill-all", role=Role.OPERATOR, workspace_id=run.workspace_id, actor_kind=ActorKind.POLICY
            ),
            action=AuditAction.KILL,
            session_id=session_id,
            provider=run.targets[session_id].provider,
            metadata={"reason": "it came back after a kill-all", "killId": run.kill_id},
            unstoppable=True,
        )

        async def act() -> None:
            await self._steps.kill(run, [session_id])
            target = run.targets[session_id]
            attempt.result["target"] = {"state": target.state.value, "detail": target.detail}

        try:
            await self._interventions.run(attempt, check=None, act=act)
        except MissionControlError as error:
            log.error("a target that came back was not hit", session=session_id, error=error.message)

    async def _show(self, run: Run) -> None:
        while True:
            await run.changed.wait()
            run.changed.clear()
            await self._save(run)

    async def _save_later(self, run: Run) -> None:
        """Keep a result that could not be stored in memory until it can be."""
        while not await self._save(run):
            await asyncio.sleep(SAVE_AGAIN_SECONDS)
        self._runs.pop(run.kill_id, None)

    async def _save(self, run: Run, *, timeout: float = SAVE_TIMEOUT) -> bool:
        """Store and publish the state, and say whether it worked; neither may hold up the stop."""
        view, order = run.view(), run.order()
        run.saved = False
        try:
            async with asyncio.timeout(timeout):
                await self._store.put(run.workspace_id, view, state=msgspec.json.encode(order))
        except Exception as error:  # noqa: BLE001 - logged; the stop goes on
            log.error("kill-all cannot be stored", kill=run.kill_id, error=repr(error))
            return False
        run.saved = True
        return True


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens in that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
