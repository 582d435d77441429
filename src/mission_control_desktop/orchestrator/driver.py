"""One agent process under the control plane: follows its journal, folds it, and carries out what the fold wants.

Everything that happens to the session comes as a journal entry, in one order, through one task: that is what serialises
it. Decisions (`command`) go into the journal first and act when they come back. After a crash the whole journal is
folded again; effects whose key is in the journal already are done, the others are carried out now, and what the record
has already (its cursor) is not written again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from enum import Enum
from itertools import islice
from typing import Any, Protocol, cast

import msgspec
import structlog

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import Conflict, MissionControlError, Unavailable, Unreachable
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Freshness,
    ProcessInfo,
    SessionStatus,
    WaitingFor,
    split_id,
)
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator import snapshots
from mission_control_desktop.orchestrator.aftermath import forgotten, last_words
from mission_control_desktop.orchestrator.core.commands import Command
from mission_control_desktop.orchestrator.core.effects import Answered, Do, Effect, Relaunch, Send, SetTimer, Write
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.directories import SessionDirectory
from mission_control_desktop.orchestrator.keeper import client as keeper
from mission_control_desktop.orchestrator.orders import Orders, error_of, not_carried_out
from mission_control_desktop.orchestrator.recording import Change, RecordWriter
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper
from mission_control_desktop.orchestrator.timers import Timers
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.record.ops import PutSession, RecordOp

log = structlog.get_logger(__name__)

FOLD_SECONDS, REPLAY_SECONDS = 0.004, 0.001
"""How long entries are folded before the loop gets a turn, live and in a replay: many drivers replay at a start."""
RETRY_FIRST, RETRY_MOST = 0.05, 2.0
QUIT_SECONDS = 10.0
ATTACH_SECONDS = 5.0
RECORD_SECONDS = 2.0
"""How long the outcome of a command waits for its record where the caller can do without."""
REPLAY_CHUNK = 1000
ORDERLY_SECONDS = 1.0
"""How long a new process waits after a keeper that was told to end: if the computer is being shut down, so are we."""
MAX_LAST_WORDS = 10


class Observer(Protocol):
    """What the driver tells its owner; called on the loop, must not block."""

    def session_changed(self, driver: SessionDriver, session_id: str, session: AgentSession) -> None:
        """A session of this process (native id) has a new state, live or replayed."""
        ...

    def driver_live(self, driver: SessionDriver) -> None:
        """The journal is folded up to now."""
        ...

    async def start_refusal(self, driver: SessionDriver) -> str | None:
        """Why no new process may be started for a session now; None: it may."""
        ...

    def driver_ended(self, driver: SessionDriver) -> None:
        """The session is final, its keeper is gone and the record has everything."""
        ...


class After(Enum):
    """What becomes of a session that has no keeper: nothing more; one holds its journal after all (it was only just
    starting); it goes on in a new process."""

    OVER = "over"
    HELD = "held"
    REVIVE = "revive"


class SessionDriver:
    """`launch` starts the keeper first; without it the driver attaches to the one that is there, or reads what a dead
    one left. `slots` bounds how many agents start at a time: a slot is held until the session leaves `spawning`."""

    def __init__(
        self,
        spec: SessionSpec,
        directory: SessionDirectory,
        record: ProviderRecord,
        observer: Observer,
        *,
        clock: Clock,
        launch: keeper.Launch | None = None,
        slots: asyncio.Semaphore | None = None,
        slot_seconds: float = 20.0,
    ) -> None:
        self.spec = spec
        self.directory = directory
        self.native_id = spec.session_id
        self._record = record
        self._observer = observer
        self._clock = clock
        self._launch = launch
        self._slots = slots
        self._slot_seconds = slot_seconds
        self._core = SessionCore(spec)
        self._writer = RecordWriter(record, spec.session_id, self._refold)
        self._tasks = Tasks(self._task_failed)
        self.sessions: dict[str, AgentSession] = dict(self._core.sessions)
        """By native id: this process's root session and the sub-sessions that its agent reported."""
        self.children_told: dict[str, int] = {}
        """By native id: the number of living children that the journal says."""
        self.problem: str | None = None
        """Why the agent cannot be reached at the moment."""
        self.ended = asyncio.Event()
        """The session is final; commands are refused."""
        self.gone = asyncio.Event()
        """Everything about it is done: keeper ended, record complete."""
        self._left_spawning = asyncio.Event()
        self._live = asyncio.Event()
        self._launch_cancelled = False
        self._launched = launch is None
        self._not_started = "Mission Control was stopped before the agent was started"
        self._exited = False
        """The newest process of the agent is gone, says the journal."""
        self._relaunch = False
        """The fold wants a new process."""
        self._in_order = False
        self._survivors = 0
        self._out_of_reach = launch is None
        """The sessions are on record as unreachable: what they did since their newest event is not known."""
        self._known = 0
        """How far the record was when this driver began."""
        self._snapshots = snapshots.Snapshots(
            directory.path, self._tasks, self._beside_core, lambda: record.cursor(spec.session_id)
        )
        self._launch_done = asyncio.Event()
        if launch is None:
            self._launch_done.set()
        self._main: asyncio.Task[None] | None = None
        self._link: keeper.KeeperLink | None = None
        self._n = 0
        self._todo: dict[str, Send | Do] = {}
        """Effects of the journal so far that it does not show as done."""
        self._pending: deque[Send | Do] = deque()
        self._orders = Orders(self.native_id)
        self._timers = Timers(clock, self.post)

    # -- for the owner

    @property
    def session(self) -> AgentSession:
        """The root session as of the newest folded entry."""
        return self.sessions[self.native_id]

    @property
    def final(self) -> bool:
        return self.session.status.final

    @property
    def live(self) -> bool:
        """Whether the journal is folded up to now and the keeper can be spoken to."""
        return self._live.is_set()

    @property
    def record_behind(self) -> bool:
        return self._writer.behind

    def start(self) -> None:
        self._main = self._tasks.start(self._run(), name=f"driver {self.native_id}")

    def believed(self, sessions: Iterable[AgentSession]) -> list[PutSession]:
        """Before `start`, for a session of an earlier process: how its sessions are on record. Until the keeper is
        reached they are shown so, as unreachable; what is to be put on record for that."""
        for session in sessions:
            self.sessions[split_id(session.session_id)[1]] = _unreachable(session)
        return [PutSession(session=session) for session in self.sessions.values()]

    async def close(self, *, flush_seconds: float = 5.0) -> None:
        """Detach; the agent goes on. Gives the record `flush_seconds` to take what was folded."""
        try:
            async with asyncio.timeout(flush_seconds):
                if self._launched:
                    await self._launch_done.wait()  # a keeper that is half started would be nobody's
                if self._main is not None:
                    self._main.cancel()
                    await asyncio.wait([self._main])
                if self._link is not None:
                    await self._link.close()
                await self._writer.drained()
        except TimeoutError:
            log.warning("detached before the record had everything; it is read again", session=self.native_id)
        self._timers.disarm()
        self._snapshots.stop()
        await self._tasks.close()
        self._orders.refuse(Unavailable("Mission Control is shutting down."))

    def cancel_launch(self) -> bool:
        """Give up a launch that has not begun. False if it has: then the session must be stopped by command."""
        if self._launched:
            return False
        self._launch_cancelled = True
        return True

    def post(self, command: Command) -> None:
        """Journal a command as soon as possible, and ask for no answer."""
        self._orders.post(command)

    async def journal(self, command: Command, *, seconds: float) -> bool:
        """Journal a command and wait until it stands there; False if it did not within `seconds`."""
        return await self._orders.journal(command, seconds=seconds)

    async def command(self, command: Command, *, seconds: float, durable: bool = False) -> Any:
        """Journal a command and wait for its outcome: the value, or the error that the fold answered.

        Unreachable when the keeper or the agent gives none within `seconds`; Conflict when the session is final;
        with `durable`, Unavailable when the outcome stands in the journal but not on record in that time.
        """
        if self.ended.is_set():
            raise self._ended_error()
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            number, answer = await self._orders.carried_out(command, deadline=deadline)
        except TimeoutError:
            raise not_carried_out(seconds, self.problem) from None
        if answer.error_code is not None:
            raise error_of(answer)
        try:
            now = asyncio.get_running_loop().time()
            async with asyncio.timeout_at(max(deadline, now + RECORD_SECONDS) if durable else now + RECORD_SECONDS):
                if durable:
                    await self._synced()
                await self._writer.committed(number)
        except TimeoutError:
            if durable:
                raise Unavailable(
                    "It was accepted and stands in the session's journal, but the record cannot be written now."
                ) from None
        return answer.value

    async def _synced(self) -> None:
        """The journal as it is now survives a power cut: the order is carried out from there, not from the record."""
        try:
            await asyncio.to_thread(self.directory.sync_journal)
        except OSError as error:
            raise Unavailable(
                f"It was accepted, but the session's journal cannot be written to the disk now: {error.strerror}."
            ) from error

    async def processes(self) -> list[ProcessInfo]:
        """What a stop would hit now; Unreachable if the keeper does not answer."""
        if self.ended.is_set() or not self._launched:
            return []
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                await self._live.wait()
        except TimeoutError:
            pass
        if self._link is None:
            if self.ended.is_set():
                return []
            raise Unreachable(f"The agent's keeper cannot be asked now{f': {self.problem}' if self.problem else ''}.")
        try:
            return await self._link.processes()
        except keeper.KeeperError as error:
            if self.ended.is_set():
                return []
            raise Unreachable(f"The agent's keeper cannot be asked now: {error}.") from error

    # -- the life of a driver

    async def _run(self) -> None:
        cursor = await self._cursor()
        self._writer.begin(cursor)
        self._known = cursor
        if self._launched:
            await self._take_snapshot(cursor)
        self._tasks.start(self._writer.run(), name=f"record {self.native_id}")
        self._tasks.start(self._orders.run(), name=f"orders {self.native_id}")
        alive = self._launched or await self._start_keeper()
        pause = RETRY_FIRST
        while not self._core.finished:
            try:
                if alive:
                    await self._attached()
                    pause = RETRY_FIRST
                else:
                    match await self._without_keeper():
                        case After.OVER:
                            break
                        case After.HELD:
                            alive = True
                            await asyncio.sleep(pause)
                        case After.REVIVE:
                            alive = await self._revive()
                            if not alive:
                                await asyncio.sleep(pause)
            except keeper.KeeperReplaced:
                self.problem = "another control plane has taken the session over"
                log.error("another control plane has taken the session over", session=self.native_id)
                return
            except keeper.KeeperError as error:
                self._detach()
                alive = await asyncio.to_thread(keeper.keeper_alive, self.directory.path)
                if alive:
                    self.problem = str(error)
                    log.warning("keeper lost, attaching again", session=self.native_id, error=str(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, RETRY_MOST)
        await self._wind_up()

    async def _take_snapshot(self, cursor: int) -> None:
        """Go on from the newest snapshot, if it is none that the record lags behind."""
        found = await asyncio.to_thread(snapshots.read, self.directory.path, self.spec, cursor=cursor)
        if found is None:
            return
        self._core, needs, more = found
        self._n = self._core.last
        self._todo, timers, self._exited, self._relaunch, self._in_order, self.children_told = more
        self._timers.take_state(timers)
        self._snapshots.begin(self._n, needs)
        shown = [_unreachable(session) for session in self._core.sessions.values()]  # until the keeper answers
        self._look_at_sessions([PutSession(session=session) for session in shown])

    def _beside_core(self) -> tuple[Any, ...]:
        """What goes with the core into a snapshot."""
        return (
            self._todo,
            self._timers.state(),
            self._exited,
            self._relaunch,
            self._in_order,
            self.children_told,
        )

    async def _cursor(self) -> int:
        pause = RETRY_FIRST
        while True:
            try:
                return await self._record.cursor(self.native_id)
            except MissionControlError as error:
                self.problem = f"the record cannot be read: {error.message}"
                log.warning("the record cannot be read, trying again", session=self.native_id, error=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MOST)

    async def _start_keeper(self) -> bool:
        """False if there is no keeper now; why stands in the journal."""
        if self._slots is not None:
            await self._slots.acquire()
        try:
            if not self._launch_cancelled and self._launch is not None:
                self._launched = True
                await keeper.launch(self.directory.path, self._launch)
                return True
        except keeper.KeeperNotStarted as error:
            self._not_started = str(error)
            # It may have come up after all, too late for `launch`.
            return await asyncio.to_thread(keeper.keeper_alive, self.directory.path)
        finally:
            self._launched = True
            self._launch_done.set()
            if self._slots is not None:
                self._tasks.start(self._give_slot_back(self._slots), name=f"slot {self.native_id}")
        return False

    async def _give_slot_back(self, slots: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._slot_seconds):
                await self._left_spawning.wait()
        except TimeoutError:
            log.info("an agent is slow to start; others go ahead", session=self.native_id)
        finally:
            slots.release()

    async def _attached(self) -> None:
        """Follow the journal until the session is finished; KeeperError when the connection breaks."""
        link = await keeper.attach(self.directory.path, self._n)
        self._link = link
        self._orders.attached(link)
        live = False
        loop = asyncio.get_running_loop()
        if link.last <= self._n:
            live = await self._go_live()
        turn_ends = loop.time() + REPLAY_SECONDS
        async with aclosing(cast("AsyncGenerator[Entry, None]", link.entries())) as entries:
            async for entry in entries:
                self._fold(entry)
                self._snapshots.folded(self._core)
                if live:
                    if self._pending:
                        await self._act()
                elif self._n >= link.last:
                    live = await self._go_live()
                if self._core.finished:
                    return
                if loop.time() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = loop.time() + (FOLD_SECONDS if live else REPLAY_SECONDS)

    async def _go_live(self) -> bool:
        """The journal is folded up to now: do what it left undone."""
        self.problem = None
        self._pending = deque(self._todo.values())
        self._timers.arm()
        self._live.set()
        self._observer.driver_live(self)
        self._in_reach()
        if self._link is not None:
            self._orders.live(self._link)
        await self._act()
        return True

    def _detach(self) -> None:
        self._link = None
        self._orders.detached()
        self._live.clear()
        self._pending.clear()
        self._timers.disarm()
        if not self._out_of_reach:
            self._out_of_reach = True
            self.sessions = {native: _unreachable(session) for native, session in self.sessions.items()}
            self._put_sessions()

    def _in_reach(self) -> None:
        """What is known of the sessions is how they are."""
        if self._out_of_reach:
            self._out_of_reach = False
            self.sessions.update(self._core.sessions)
            self._put_sessions()

    def _put_sessions(self) -> None:
        """Put how the sessions are shown on record; no entry of the journal says so."""
        ops = [PutSession(session=session) for session in self.sessions.values() if not session.status.final]
        if ops:
            self._tasks.start(self._record.apply(self.native_id, ops), name=f"reach {self.native_id}")

    # -- the fold

    def _fold(self, entry: Entry) -> None:
        if entry.n <= self._n:
            return
        self._note(entry)
        self._n = entry.n
        ops: list[RecordOp] = []
        durable = False
        answers: list[Answered] = []
        for effect in self._feed(self._core, entry):
            match effect:
                case Write():
                    ops.extend(effect.ops)
                    durable = durable or effect.durable
                case Send() | Do():
                    self._todo[effect.key] = effect
                    if self._live.is_set():
                        self._pending.append(effect)
                case Relaunch():
                    self._todo.clear()  # it was meant for the process that is gone
                    self._pending.clear()
                    self._relaunch = True
                case SetTimer():
                    self._timers.set(effect, entry)
                case Answered():
                    answers.append(effect)
        if self._out_of_reach:
            ops = [_shown_unreachable(op) for op in ops]
        if ops:
            self._snapshots.changed(entry.n)
            self._writer.put(Change(n=entry.n, ops=tuple(ops), durable=durable))
            self._look_at_sessions(ops)
        for answer in answers:
            self._orders.answered(entry.n, answer)

    def _feed(self, core: SessionCore, entry: Entry) -> list[Effect]:
        try:
            return core.feed(entry)
        except Exception:
            # A fault of ours in one entry must not cost the operator the rest of the session. It is the same on every
            # replay, so going on is as deterministic as not going on.
            log.exception("an entry could not be folded", session=self.native_id, entry=entry.n, kind=entry.kind)
            return []

    def _note(self, entry: Entry) -> None:
        """What the entry says about our own doings."""
        if entry.kind in ("exit", "lost"):
            self._exited = True
            self._in_order = bool((entry.data or {}).get("keeperEnding"))
        elif entry.kind == "start":
            self._exited = self._relaunch = False
        elif entry.key is not None and entry.kind == "out":
            self._todo.pop(entry.key, None)
        elif entry.kind == "did" and entry.data is not None:
            self._todo.pop(str(entry.data.get("key", entry.key)), None)
        elif entry.kind == "cmd" and entry.data is not None:
            command_id = str(entry.data.get("id"))
            self._orders.journaled(command_id)
            kind = entry.data.get("command")
            if kind == "timer":
                self._timers.fired(command_id)
            elif kind == "children":
                target = entry.data.get("sessionId") or self.native_id
                self.children_told[str(target)] = int(entry.data.get("alive", 0))

    def _look_at_sessions(self, ops: list[RecordOp]) -> None:
        for op in ops:
            if isinstance(op, PutSession):
                native = split_id(op.session.session_id)[1]
                if self._n >= self._known:  # what is replayed up to there is the past
                    self.sessions[native] = op.session
                if native == self.native_id and _past_opening(op.session):
                    self._left_spawning.set()
                self._observer.session_changed(self, native, op.session)

    def _refold(self, after: int, last: int) -> Iterator[Change]:
        core = SessionCore(self.spec)
        for entry in keeper.read_journal(self.directory.path):
            if entry.n > last:
                return
            ops: list[RecordOp] = []
            durable = False
            for effect in self._feed(core, entry):
                if isinstance(effect, Write):
                    ops.extend(effect.ops)
                    durable = durable or effect.durable
            if entry.n > after and (ops or entry.n == last):
                yield Change(n=entry.n, ops=tuple(ops), durable=durable)

    # -- effects

    async def _act(self) -> None:
        """Carry out pending effects, in order."""
        while self._pending and self._link is not None:
            effect = self._pending.popleft()
            if effect.key not in self._todo:
                continue
            try:
                if isinstance(effect, Send):
                    await self._link.send(effect.key, effect.line)
                else:
                    await self._link.do(effect.key, effect.what)
            except keeper.KeeperRefused as error:
                if error.code == "full":
                    log.warning("the agent reads nothing; trying again", session=self.native_id, key=effect.key)
                    asyncio.get_running_loop().call_later(1.0, self._again, effect)
                else:
                    # The agent's end of the pipe is closed: the line has no reader any more.
                    log.info("not sent", session=self.native_id, key=effect.key, reason=str(error))
                    self._todo.pop(effect.key, None)

    def _again(self, effect: Send | Do) -> None:
        if self._live.is_set() and effect.key in self._todo:
            self._pending.append(effect)
            self._tasks.start(self._act_again(), name=f"retry {self.native_id}")

    async def _act_again(self) -> None:
        try:
            await self._act()
        except keeper.KeeperGone as error:  # the driver's task meets it as well, and attaches again
            log.info("retry met a broken connection", session=self.native_id, error=str(error))

    # -- ends

    async def _without_keeper(self) -> After:
        """The keeper is dead, or never was: nothing of the agent may live on, and the journal gets what it lacks."""
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, self.directory.path)
        self._survivors = len(swept.left)
        damaged: str | None = None
        try:
            await self._read_rest()
            await self._append([])  # what a power cut took is told first: all that follows depends on it
            for _ in range(MAX_LAST_WORDS):
                if self._core.finished:
                    break
                asked = [effect for effect in self._todo.values() if isinstance(effect, Do)]
                denied = await self._observer.start_refusal(self) if self._n and not asked else None
                if ends := self._orders.ends():  # who was told to end is not started again
                    await self._append([{"kind": "cmd", "data": data} for data in ends])
                    continue
                if self._relaunch and not asked:
                    if denied is None:
                        return After.REVIVE
                    entries = [_could_not_start(denied)]
                else:
                    entries = last_words(
                        swept,
                        entries=self._n,
                        over=self._exited and self._core.sessions[self.native_id].status.final,
                        asked=asked,
                        unstarted=None if self._launch_cancelled else self._not_started,
                        denied=denied,
                    )
                if not entries:
                    break
                await self._append(entries)
        except keeper.JournalDamaged as error:
            damaged = str(error)
            log.error("journal damaged", session=self.native_id, error=damaged)
        except BlockingIOError:
            return After.HELD
        except OSError as error:
            damaged = f"its journal cannot be written: {error.strerror}"
            log.error("journal not completed", session=self.native_id, error=str(error))
        if not all(session.status.final for session in self.sessions.values()):
            await self._end_by_hand(damaged or "its keeper process was killed, and the agent with it")
        return After.OVER

    async def _append(self, entries: list[dict[str, Any]]) -> None:
        behind = self._n < self._known
        if entries or behind:
            after = max(self._n, self._known)
            known = await self._lost_part() if behind else None
            await asyncio.to_thread(self.directory.append_after_keeper, entries, after=after, known=known)
            await self._read_rest()

    async def _lost_part(self) -> dict[str, Any]:
        """The record has more than the journal, whose end a power cut took: what the fold has to know of it. What it
        cannot take up any more is ended on record."""
        receipts = await self._record.receipts(self.native_id)
        approvals = await self._record.open_approvals(self.native_id)
        ops = forgotten(approvals, self.sessions, self._core, now=self._clock.now())
        if ops:
            await self._record.apply(self.native_id, ops, durable=True)
            self._look_at_sessions(ops)
        known: dict[str, Any] = {"receipts": {one.injection_id: one.state.value for one in receipts}}
        if self.final:
            known |= {"status": self.session.status.value, "endedBy": self.session.metadata.get("endedBy")}
        return known

    async def _revive(self) -> bool:
        """Start a new keeper on the journal. False if there is none: then the journal says why, or an order forbids
        it by now."""
        if self._in_order:
            await asyncio.sleep(ORDERLY_SECONDS)
        if self._slots is not None:
            await self._slots.acquire()
        self._left_spawning.clear()
        self._launch_done.clear()
        try:
            if await self._observer.start_refusal(self) is not None:
                return False
            launch = await asyncio.to_thread(keeper.read_launch, self.directory.path)
            log.warning("starting a new process for a session", session=self.native_id)
            await keeper.launch(self.directory.path, launch)
            return True
        except keeper.KeeperNotStarted as error:
            if await asyncio.to_thread(keeper.keeper_alive, self.directory.path):
                return True
            await self._append_refusal(str(error))
        except (OSError, msgspec.MsgspecError) as error:
            await self._append_refusal(f"what it was started with cannot be read: {error}")
        finally:
            self._launch_done.set()
            if self._slots is not None:
                self._tasks.start(self._give_slot_back(self._slots), name=f"slot {self.native_id}")
        return False

    async def _append_refusal(self, why: str) -> None:
        try:
            await self._append([_could_not_start(why)])
        except (OSError, keeper.JournalDamaged) as error:
            log.warning("not written that no new process was started", session=self.native_id, error=str(error))

    async def _read_rest(self) -> None:
        entries = keeper.read_journal(self.directory.path, self._n)
        while chunk := await asyncio.to_thread(lambda: list(islice(entries, REPLAY_CHUNK))):
            for entry in chunk:
                self._fold(entry)
            await asyncio.sleep(0)

    async def _end_by_hand(self, reason: str) -> None:
        """Where the fold itself found no end: the last word is that it failed, and why. No entry says so, hence the
        record gets it without a cursor."""
        now = self._clock.now()
        ops = tuple(
            PutSession(
                session=msgspec.structs.replace(
                    session,
                    status=SessionStatus.FAILED,
                    completed_at=now,
                    waiting_for=None,
                    error=f"The session was lost: {reason}.",
                )
            )
            for session in self.sessions.values()
            if not session.status.final
        )
        await self._writer.drained()
        await self._record.apply(self.native_id, ops, durable=True)
        self._look_at_sessions(list(ops))

    async def _wind_up(self) -> None:
        """After the end: refuse what comes late, let the keeper go, complete the record, mark the directory."""
        self._left_spawning.set()
        self.ended.set()
        self._orders.over(self._ended_error())
        self._timers.disarm()
        self._snapshots.stop()
        if self._link is not None:
            await self._dismiss_keeper(self._link)
            await self._link.close()
            self._link = None
        await self._writer.drained()
        try:
            if not self._survivors:  # the next start looks for them again
                await asyncio.to_thread(self.directory.mark_ended, self._n)
                await asyncio.to_thread(self._snapshots.remove)
        except OSError as error:  # the next start folds it again: slower, nothing worse
            log.warning("directory not marked", session=self.native_id, error=str(error))
        self.gone.set()
        self._observer.driver_ended(self)

    async def _dismiss_keeper(self, link: keeper.KeeperLink) -> None:
        deadline = asyncio.get_running_loop().time() + QUIT_SECONDS
        attempt = 0
        try:
            while asyncio.get_running_loop().time() < deadline:
                attempt += 1
                try:
                    await link.quit()
                    break
                except keeper.KeeperRefused:  # something of the agent still lives, though its session is over
                    await link.do(f"after-end-{self._n}-{attempt}", "kill")
                    await asyncio.sleep(0.2)
        except keeper.KeeperError as error:
            log.info("the keeper went by itself", session=self.native_id, reason=str(error))
        while await asyncio.to_thread(keeper.keeper_alive, self.directory.path):
            if asyncio.get_running_loop().time() > deadline:
                log.error("the keeper does not end", session=self.native_id)
                return
            await asyncio.sleep(0.02)

    def _ended_error(self) -> Conflict:
        return Conflict(f"The session has ended ({self.session.status.value}). Start a new one to go on.")

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.problem = f"internal fault: {error}"
        log.error("driver task failed", task=name, session=self.native_id, exc_info=error)


def _unreachable(session: AgentSession) -> AgentSession:
    if session.status.final:
        return session
    evidence = msgspec.structs.replace(session.evidence, freshness=Freshness.UNREACHABLE)
    return msgspec.structs.replace(session, evidence=evidence)


def _shown_unreachable(op: RecordOp) -> RecordOp:
    return PutSession(session=_unreachable(op.session)) if isinstance(op, PutSession) else op


def _past_opening(session: AgentSession) -> bool:
    return session.status is not SessionStatus.SPAWNING and session.waiting_for is not WaitingFor.PROVIDER


def _could_not_start(why: str) -> dict[str, Any]:
    return {"kind": "start", "data": {"error": why}}
