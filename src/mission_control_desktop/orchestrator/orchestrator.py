"""The orchestrator: the provider `internal`, which starts agents on this host, keeps their tree and stops them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    Unavailable,
    Unreachable,
)
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.kill import STOP_FILE
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Delivery,
    ProcessInfo,
    SessionStatus,
    split_id,
)
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator.agent_tokens import AgentTokens
from mission_control_desktop.orchestrator.core.commands import (
    Answer,
    Cancel,
    Children,
    Command,
    Edit,
    Inject,
    Kill,
    Move,
    Pause,
    Resume,
    Terminate,
    Withdraw,
)
from mission_control_desktop.orchestrator.core.inject import digest
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.directories import (
    NATIVE_ID,
    SessionDirectory,
    remove_leftovers,
    session_directories,
)
from mission_control_desktop.orchestrator.driver import SessionDriver
from mission_control_desktop.orchestrator.files import make_private_dir
from mission_control_desktop.orchestrator.keeper import client as keeper
from mission_control_desktop.orchestrator.launching import Launcher
from mission_control_desktop.orchestrator.profiles import ProfileStore
from mission_control_desktop.orchestrator.stop_files import FileStop, StopFiles, not_started
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper, remove_leftover_cgroups
from mission_control_desktop.orchestrator.tree import SessionTree
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.record.ops import PutSession

log = structlog.get_logger(__name__)
T = TypeVar("T")

INJECT_SECONDS = 15.0
PAUSE_SECONDS = 20.0
TERMINATE_SECONDS = 15.0
KILL_SECONDS = 30.0
ANSWER_SECONDS = 15.0
RECORD_SECONDS = 10.0
TELL_SECONDS = 2.0
PROBES_AT_ONCE = 8


StartGate = Callable[[], Awaitable[str | None]]
"""Why no lost session may be started again now; None: nothing is against it."""


async def _open_gate() -> str | None:
    return None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the orchestrator takes on."""

    starting: int = 4
    """Agents that start at the same time; others wait in `spawning`."""
    depth: int = 8
    """Levels of sub-agents below a session that has no parent."""
    children: int = 16
    """Living sub-agents of one session."""
    slot_seconds: float = 20.0
    """An agent that takes longer to start does not hold the others up any more."""


class Orchestrator:
    """`AgentProvider` for agents on this host. Native ids are 32 hex digits; `<root>.<n>` for what an agent reports.

    `environ` is the environment that agents inherit (cleaned, see `environment`). Without `cgroups` no agent gets a
    cgroup of its own, also where that could be. One orchestrator per data directory.
    """

    def __init__(
        self,
        data_dir: Path,
        profiles: ProfileStore,
        *,
        clock: Clock,
        ids: IdSource,
        environ: Mapping[str, str] | None = None,
        name: str = INTERNAL_PROVIDER,
        limits: Limits | None = None,
        cgroups: bool = True,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._agents = self._data_dir / "agents"
        self.profiles = profiles
        self._clock = clock
        self._ids = ids
        self._name = name
        self._launcher = Launcher(
            self._data_dir,
            name,
            clock=clock,
            ids=ids,
            environ=os.environ if environ is None else environ,
            cgroups=cgroups,
        )
        self._limits = limits or Limits()
        self._record: ProviderRecord | None = None
        self._drivers: dict[str, SessionDriver] = {}
        """By native id of the root session, until everything about it is done."""
        self._tree = SessionTree()
        self._tokens = AgentTokens()
        self._slots = asyncio.Semaphore(self._limits.starting)
        self._spawning = asyncio.Lock()
        self._tasks = Tasks(self._task_failed)
        self._dirty_parents: set[str] = set()
        self._reconcile = asyncio.Event()
        self._problems: dict[str, str] = {}
        self._closing = False
        self._stop_files = StopFiles(self._data_dir / STOP_FILE, name)
        self.start_gate: StartGate = _open_gate
        """Asked before a lost session is started again."""

    # -- the provider's own life

    @property
    def name(self) -> str:
        return self._name

    async def start(self, record: ProviderRecord) -> None:
        """Take up every session that is not final; keepers are attached to in the background, all at the same time."""
        self._record = record
        await asyncio.to_thread(make_private_dir, self._agents)
        known = {split_id(session.session_id)[1]: session for session in await record.sessions()}
        for native, session in known.items():
            self._tree.put(native, _native_parent(session), final=session.status.final)
            self._stop_files.note(session)
        drivers = [self._driver(spec, directory) for directory, spec in await asyncio.to_thread(self._unfinished)]
        await asyncio.gather(*(self._take_up(driver, known, record) for driver in drivers))
        taken = [driver.directory.path for driver in drivers]
        await asyncio.to_thread(remove_leftover_cgroups, self._agents, taken)
        for driver in drivers:
            driver.start()
        await self._end_without_files(known, {driver.native_id for driver in drivers})
        self._tasks.start(self._reconciler(), name="children counts")

    async def _take_up(self, driver: SessionDriver, known: Mapping[str, AgentSession], record: ProviderRecord) -> None:
        """Before anyone can look: its sessions are as they were on record, and cannot be reached yet."""
        self._tokens.load(driver.native_id, driver.directory.path)
        own = [session for native, session in known.items() if _root_of(native) == driver.native_id]
        if not own and (found := await record.session(driver.native_id)) is not None:
            own = [found]
        await record.apply(driver.native_id, driver.believed(own), durable=True)

    def _unfinished(self) -> list[tuple[SessionDirectory, SessionSpec]]:
        found: list[tuple[SessionDirectory, SessionSpec]] = []
        for directory in session_directories(self._agents):
            if directory.ended:
                try:
                    directory.forget_launch()  # of a version that kept it
                except OSError as error:
                    log.warning(
                        "an ended agent's environment is not removed", path=str(directory.path), error=str(error)
                    )
                continue
            try:
                spec = directory.spec()
            except FileNotFoundError:
                continue  # the control plane died before the session was anything
            except (OSError, msgspec.MsgspecError) as error:
                log.error("a session's files cannot be read", directory=str(directory.path), error=str(error))
                self._problems[directory.session_id] = f"the files of session {directory.session_id} cannot be read"
                continue
            found.append((directory, spec))
        return found

    async def _end_without_files(self, known: Mapping[str, AgentSession], taken: set[str]) -> None:
        """Sessions that are alive on record but have no files any more can only have failed."""
        assert self._record is not None  # noqa: S101 - called by start
        for native, session in known.items():
            root = _root_of(native)
            if session.status.final or root in taken:
                continue
            directory = SessionDirectory(self._agents / root)
            if directory.path.is_dir():
                swept = await asyncio.to_thread(_sweep, directory.path)
                log.warning("session without usable files", session=native, killed=swept)
            failed = msgspec.structs.replace(
                session,
                status=SessionStatus.FAILED,
                waiting_for=None,
                completed_at=self._clock.now(),
                error="Its files are gone or cannot be read, so Mission Control cannot go on with it.",
            )
            await self._record.apply(root, [PutSession(session=failed)])
            self._tree.put(native, _native_parent(session), final=True)

    async def close(self) -> None:
        """Detach from all keepers; every agent goes on."""
        self._closing = True
        await self._tasks.close()
        drivers = list(self._drivers.values())
        await asyncio.gather(*(driver.close() for driver in drivers))
        self._drivers.clear()

    def health(self) -> ProviderHealth:
        problems = list(self._problems.values())
        if self._stop_files.stands is not None:
            problems.append(self._stop_files.stands)
        unreachable = [driver for driver in self._drivers.values() if driver.problem is not None]
        behind = [driver for driver in self._drivers.values() if driver.record_behind]
        if unreachable:
            problems.append(f"{len(unreachable)} agents cannot be reached: {unreachable[0].problem}")
        if behind:
            problems.append(f"the record lags behind {len(behind)} agents")
        state = "degraded" if problems else "ok"
        return ProviderHealth(provider=self._name, state=state, detail="; ".join(problems) or None)

    # -- reading

    async def list_sessions(self) -> list[AgentSession]:
        live = {
            session.session_id: session for driver in self._drivers.values() for session in driver.sessions.values()
        }
        recorded = await self._need_record().sessions()
        return [*live.values(), *(session for session in recorded if session.session_id not in live)]

    async def get_session(self, session_id: str) -> AgentSession | None:
        native = self._native(session_id)
        driver = self._drivers.get(_root_of(native))
        if driver is not None and native in driver.sessions:
            return driver.sessions[native]
        return await self._need_record().session(native)

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        """Of the whole agent process, also for a session that an agent reported: a stop hits all of it."""
        native = self._native(session_id)
        driver = self._drivers.get(_root_of(native))
        if driver is None:
            await self._recorded(native)
            return []
        return await driver.processes()

    async def probe_stop(self) -> str:
        """Have every agent's keeper look at its tree, as it does before it kills: `ProbesStop`."""
        drivers = [driver for driver in self._drivers.values() if not driver.final]
        lost: list[str] = []
        asked = asyncio.Semaphore(PROBES_AT_ONCE)

        async def one(driver: SessionDriver) -> None:
            async with asked:
                try:
                    await driver.processes()
                except Unreachable as error:
                    lost.append(error.message)

        async with asyncio.TaskGroup() as group:
            for driver in drivers:
                group.create_task(one(driver))
        if lost:
            raise Unreachable(
                f"{len(lost)} of {len(drivers)} agents cannot be stopped through their keepers: {lost[0]}"
            )
        return f"the keepers of all {len(drivers)} agents answered" if drivers else "no agent lives"

    def in_subtree(self, root: str, session_id: str) -> bool:
        """Whether the session is `root` itself or below it (native ids)."""
        return self._tree.in_subtree(self._native(root), self._native(session_id))

    def authenticate_agent(self, token: str) -> str | None:
        """The native id of the living session that this agent token belongs to."""
        native = self._tokens.verify(token)
        driver = self._drivers.get(native) if native is not None else None
        return native if driver is not None and not driver.final else None

    # -- starting

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        """Start a session. Returns it as it stands on record: `spawning`, or `failed` if the agent could not start. A
        request with a `session_id` that is known already answers that session.

        BadInput names the field; NotFound for an unknown parent or profile; Conflict for a parent that has ended or has
        too many sub-agents; Unavailable if the session's files cannot be written.
        """
        record = self._need_record()
        if request.session_id is not None and (known := await self.get_session(request.session_id)) is not None:
            return known
        if (order := await self._stop_files.order()) is not None:
            raise Conflict(f"{not_started(order)}.")
        profile = await self.profiles.get(request.profile)
        parent = await self._parent(request)
        above = self._drivers.get(_root_of(split_id(parent.session_id)[1])) if parent is not None else None
        launch = self._launcher.launch(request, profile, parent_cwd=above.spec.cwd if above is not None else None)
        async with self._spawning:  # limits are counted and taken in one piece
            self._check_room(parent)
            native = request.session_id or self._ids.new()
            directory = SessionDirectory(self._agents / native)
            spec = self._launcher.spec(native, request, profile, launch, parent=parent)
            try:
                await asyncio.to_thread(directory.create, spec)
                await asyncio.to_thread(self._tokens.create, native, directory.path)
            except OSError as error:
                self._tokens.forget(native, directory.path)
                raise Unavailable(f"The session's files cannot be written: {error.strerror}.") from error
            driver = self._driver(spec, directory, launch)
            if parent is not None and self._tree.ending(split_id(parent.session_id)[1]):
                driver.cancel_launch()  # the parent was stopped while the files were written
        # On record before anything runs: what was started can always be found again.
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await record.apply(native, [PutSession(session=driver.session)], durable=True)
        except TimeoutError:
            driver.cancel_launch()
            raise Unavailable("The record cannot be written now, so nothing was started. Try again later.") from None
        finally:
            driver.start()
        log.info("spawn", session=native, profile=profile.name, parent=spec.parent_session_id, actor=actor)
        if spec.parent_session_id is not None:
            await self._tell_parent(spec.parent_session_id)
        return driver.session

    async def _parent(self, request: SpawnRequest) -> AgentSession | None:
        if request.parent_agent_id is None:
            return None
        parent = await self.get_session(self._native(request.parent_agent_id, "parentAgentId"))
        if parent is None:
            raise NotFound(f"There is no session {request.parent_agent_id} to start a sub-agent under.")
        root = self._drivers.get(_root_of(split_id(parent.session_id)[1]))
        if parent.status.final or root is None or root.final:
            raise Conflict(f"The parent session has ended ({parent.status.value}); it can have no new sub-agents.")
        return parent

    def _check_room(self, parent: AgentSession | None) -> None:
        if parent is None:
            return
        native = split_id(parent.session_id)[1]
        if self._tree.ending(native):
            raise Conflict("The parent session is being stopped; it can have no new sub-agents.")
        depth = self._tree.depth(native) + 1
        if depth > self._limits.depth:
            raise Conflict(f"Sub-agents can be nested {self._limits.depth} levels deep; this one would be at {depth}.")
        living = len(self._living_children(native))
        if living >= self._limits.children:
            raise Conflict(
                f"This session has {living} living sub-agents, the most that is allowed. Wait until one has ended."
            )

    def _driver(
        self, spec: SessionSpec, directory: SessionDirectory, launch: keeper.Launch | None = None
    ) -> SessionDriver:
        driver = SessionDriver(
            spec,
            directory,
            self._need_record(),
            self,
            clock=self._clock,
            launch=launch,
            slots=self._slots,
            slot_seconds=self._limits.slot_seconds,
        )
        self._drivers[spec.session_id] = driver
        self._tree.put(spec.session_id, spec.parent_session_id, final=False)
        return driver

    # -- steering

    async def inject(
        self,
        session_id: str,
        *,
        injection_id: str,
        content: str,
        operator_id: str,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
    ) -> Receipt:
        native = self._native(session_id)
        command = Inject(
            id=injection_id,
            session_id=native,
            expected_run_id=expected_run_id,
            content=content,
            operator_id=operator_id,
            delivery=delivery,
            pause_before_send=pause_before_send,
        )
        return await self._command(native, command, Receipt, seconds=INJECT_SECONDS, durable=True)

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        native = self._native(session_id)
        command = Withdraw(id=self._ids.new(), session_id=native, injection_id=injection_id)
        return await self._command(native, command, Receipt, seconds=INJECT_SECONDS, durable=True)

    async def edit_message(
        self,
        session_id: str,
        injection_id: str,
        *,
        content: str,
        was: str,
        operator_id: str,
        expected_run_id: str | None = None,
    ) -> Receipt:
        native = self._native(session_id)
        command = Edit(
            id=self._ids.new(),
            session_id=native,
            expected_run_id=expected_run_id,
            injection_id=injection_id,
            content=content,
            was=digest(was),
            operator_id=operator_id,
        )
        return await self._command(native, command, Receipt, seconds=INJECT_SECONDS, durable=True)

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        native = self._native(session_id)
        command = Move(
            id=self._ids.new(),
            session_id=native,
            expected_run_id=expected_run_id,
            injection_id=injection_id,
            position=position,
        )
        return await self._command(native, command, Receipt, seconds=INJECT_SECONDS, durable=True)

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        if level not in (None, "hold", "freeze"):
            raise BadInput("level", "A session can be paused at the level hold or freeze.")
        native = self._native(session_id)
        command = Pause(id=self._ids.new(), session_id=native, expected_run_id=expected_run_id, level=level)
        return await self._command(native, command, AgentSession, seconds=PAUSE_SECONDS)

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        native = self._native(session_id)
        command = Resume(id=self._ids.new(), session_id=native, expected_run_id=expected_run_id)
        return await self._command(native, command, AgentSession, seconds=PAUSE_SECONDS)

    async def cancel_turn(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        """Cancel what the agent does now; the session goes on and takes the next message."""
        native = self._native(session_id)
        command = Cancel(id=self._ids.new(), session_id=native, expected_run_id=expected_run_id)
        return await self._command(native, command, AgentSession, seconds=PAUSE_SECONDS)

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        native = self._native(session_id)
        command = Answer(
            id=self._ids.new(), session_id=native, approval_id=approval_id, option_id=option_id, user_id=user_id
        )
        return await self._command(native, command, Approval, seconds=ANSWER_SECONDS, durable=True)

    # -- stopping

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._stop(session_id, Terminate, expected_run_id, TERMINATE_SECONDS)

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._stop(session_id, Kill, expected_run_id, KILL_SECONDS)

    async def _stop(
        self, session_id: str, make: type[Terminate] | type[Kill], expected_run_id: str | None, seconds: float
    ) -> AgentSession:
        """Stop a session and then all that was started below it, so that nothing is left to start anything new."""
        native = self._native(session_id)

        def command(target: str) -> Command:
            run = expected_run_id if target == native else None
            return make(id=self._ids.new(), session_id=target, expected_run_id=run)

        driver = await self._need_driver(native)
        self._tree.mark_ending(native, True)
        try:
            order = command(native)
            if native == driver.native_id and order.expected_run_id not in (None, driver.session.run_id):
                raise Conflict("This is another run of the session by now.")
            if native == driver.native_id and driver.cancel_launch():
                async with asyncio.timeout(seconds):
                    await driver.ended.wait()
                session = driver.session
            else:
                session = await self._command(native, order, AgentSession, seconds=seconds)
        except TimeoutError:
            raise Unreachable("The session was not started, but its end could not be written yet.") from None
        except MissionControlError:
            self._tree.mark_ending(native, False)
            raise
        failures = await self._stop_below(native, command, seconds)
        if failures:
            raise Unreachable(
                f"The session was stopped, but {len(failures)} of its sub-agents did not confirm: {failures[0]}"
            )
        return session

    async def _stop_below(self, native: str, command: Callable[[str], Command], seconds: float) -> list[str]:
        """One level after the other; within a level all at the same time. Returns what went wrong."""
        failures: list[str] = []
        level = self._living_children(native)
        while level:
            for child in level:
                self._tree.mark_ending(child.native_id, True)
            outcomes = await asyncio.gather(
                *(self._stop_one(child, command(child.native_id), seconds) for child in level)
            )
            failures += [outcome for outcome in outcomes if outcome is not None]
            level = [
                below for child in level for native_id in child.sessions for below in self._living_children(native_id)
            ]
        return failures

    async def _stop_one(self, driver: SessionDriver, command: Command, seconds: float) -> str | None:
        if driver.cancel_launch():
            return None
        try:
            await driver.command(command, seconds=seconds)
        except Conflict:
            return None  # it has ended by itself, or is ending already
        except MissionControlError as error:
            return f"{driver.session.title or driver.native_id}: {error.message}"
        return None

    # -- files of sessions that are over

    async def ended_files(self) -> list[tuple[str, datetime]]:
        """Native ids of the sessions that are over and still have files, and when that was."""

        def found() -> list[tuple[str, datetime]]:
            remove_leftovers(self._agents)
            ends = ((one.session_id, one.ended_at()) for one in session_directories(self._agents))
            return [(native, at) for native, at in ends if at is not None]

        return await asyncio.to_thread(found)

    async def remove_files(self, native: str) -> bool:
        """Remove the files of a session that is over; whether it did. Those of a session that is not stay."""
        directory = SessionDirectory(self._agents / native)
        if native in self._drivers or not NATIVE_ID.fullmatch(native) or not directory.ended:
            return False
        await asyncio.to_thread(directory.remove)
        return True

    # -- what the drivers tell

    def session_changed(self, driver: SessionDriver, session_id: str, session: AgentSession) -> None:
        self._stop_files.note(session)
        before = self._tree.final(session_id)
        self._tree.put(session_id, _native_parent(session), final=session.status.final)
        if session.status.final and before is not True:
            self._touch_parent(driver.spec.parent_session_id)
            self._tree.mark_ending(session_id, False)
            self._end_children_of(session_id, killed=session.status is SessionStatus.KILLED)
        if session_id == driver.native_id and session.status.final:
            self._tokens.forget(session_id, driver.directory.path)

    def driver_live(self, driver: SessionDriver) -> None:
        self._touch_parent(driver.spec.parent_session_id)
        for native in driver.sessions:
            self._touch_parent(native)
        parent = driver.spec.parent_session_id
        if parent is not None and not driver.final and _root_of(parent) not in self._drivers:
            self._end_children_of(parent, killed=False)

    async def file_stops(self) -> list[FileStop]:
        """Stop files that this process knows of: the one that lies there, and those by which sessions were killed."""
        return await self._stop_files.known()

    async def start_refusal(self, driver: SessionDriver) -> str | None:
        parent = driver.spec.parent_session_id
        if self._tree.ending(driver.native_id):
            return "it, or a session above it, is being stopped"
        if parent is not None:
            above = self._drivers.get(_root_of(parent))
            if above is None or above.final:
                return "the session that started it has ended"
        if (order := await self._stop_files.order()) is not None:
            return order.words()
        return await self.start_gate()

    def driver_ended(self, driver: SessionDriver) -> None:
        self._tree.put(driver.native_id, driver.spec.parent_session_id, final=True)
        self._touch_parent(driver.spec.parent_session_id)
        if self._drivers.get(driver.native_id) is driver and not self._closing:
            self._tasks.start(self._forget(driver), name=f"forget {driver.native_id}")

    async def _forget(self, driver: SessionDriver) -> None:
        self._drivers.pop(driver.native_id, None)
        await driver.close()
        self._tree.prune()

    def _end_children_of(self, native: str, *, killed: bool) -> None:
        """A session's end is the end of what was started below it."""
        for child in self._living_children(native):
            make = Kill if killed else Terminate
            self._tree.mark_ending(child.native_id, True)
            if not child.cancel_launch():
                log.info("sub-agent ends with its parent", session=child.native_id, parent=native)
                child.post(make(id=f"with-parent-{child.native_id}", session_id=child.native_id))

    def _living_children(self, native: str) -> list[SessionDriver]:
        return [
            driver
            for driver in self._drivers.values()
            if driver.spec.parent_session_id == native and not driver.final and not driver.ended.is_set()
        ]

    # -- children counts

    def _touch_parent(self, parent: str | None) -> None:
        if parent is not None:
            self._dirty_parents.add(parent)
            self._reconcile.set()

    async def _reconciler(self) -> None:
        """Tells each parent's fold how many sub-agents live, whenever that differs from what its journal says."""
        while True:
            await self._reconcile.wait()
            self._reconcile.clear()
            dirty, self._dirty_parents = self._dirty_parents, set()
            await asyncio.gather(*(self._tell_parent(parent) for parent in dirty))

    async def _tell_parent(self, parent: str) -> None:
        """Returns when it stands in the parent's journal: a spawn is answered after that, so that a parent which ends
        when it is idle cannot end between the two."""
        driver = self._drivers.get(_root_of(parent))
        if driver is None or not driver.live or driver.final:
            return  # it is told when it is live again
        alive = len(self._living_children(parent))
        if driver.children_told.get(parent, 0) != alive:
            driver.children_told[parent] = alive
            command = Children(id=self._ids.new(), session_id=parent, alive=alive)
            if not await driver.journal(command, seconds=TELL_SECONDS):
                log.warning("a parent was not told of its sub-agents in time", session=parent, alive=alive)

    # -- helpers

    async def _command(
        self, native: str, command: Command, expected: type[T], *, seconds: float, durable: bool = False
    ) -> T:
        driver = await self._need_driver(native)
        value = await driver.command(command, seconds=seconds, durable=durable)
        if isinstance(value, expected):
            return value
        return msgspec.convert(value, expected)

    async def _need_driver(self, native: str) -> SessionDriver:
        driver = self._drivers.get(_root_of(native))
        if driver is None:
            session = await self._recorded(native)
            raise Conflict(f"The session has ended ({session.status.value}). Start a new one to go on.")
        if native not in driver.sessions and driver.live:
            raise NotFound(f"There is no session {native}.")
        return driver

    async def _recorded(self, native: str) -> AgentSession:
        session = await self._need_record().session(native)
        if session is None:
            raise NotFound(f"There is no session {native}.")
        return session

    def _need_record(self) -> ProviderRecord:
        if self._record is None or self._closing:
            raise Unavailable("The orchestrator is not running.")
        return self._record

    def _native(self, session_id: str, field: str = "sessionId") -> str:
        provider, native = split_id(session_id)
        if provider not in (self._name, INTERNAL_PROVIDER):
            raise BadInput(field, f"{session_id} is a session of another provider.")
        return native

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._problems[name] = f"internal fault in {name}: {error}"
        log.error("orchestrator task failed", task=name, exc_info=error)


def _root_of(native: str) -> str:
    """The session whose agent process a session belongs to."""
    return native.partition(".")[0]


def _native_parent(session: AgentSession) -> str | None:
    return split_id(session.parent_session_id)[1] if session.parent_session_id is not None else None


def _sweep(path: Path) -> int:
    try:
        return len(kill_tree_of_dead_keeper(path).killed)
    except keeper.KeeperError as error:
        log.error("not swept", directory=str(path), error=str(error))
        return 0
