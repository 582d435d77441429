"""`RemoteOrchestrator`: the agents of another Mission Control as a provider of ours.

One connection tells of all its agents' lifecycles; each that lives is followed by a stream of its own. Nothing of it is
kept here but what is on record, so a restart of either side goes on where it stood.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    TooLarge,
    Unreachable,
    Unsupported,
)
from mission_control_desktop.domain.events import EventType, ProviderHealth, StreamEvent, parse_event_id
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, Role
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, ProcessInfo, SessionStatus, split_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.remote.api import AgentsApi, theirs
from mission_control_desktop.providers.remote.following import Follower, put
from mission_control_desktop.providers.remote.naming import Naming

log = structlog.get_logger(__name__)
T = TypeVar("T")

NO_QUEUE = "The other Mission Control offers no change of messages that wait."
MAX_FOLLOWED = 200
"""Sessions whose streams are open at a time; the server allows 256 per token. More of them wait for their turn."""
MAX_REMEMBERED = 10_000
"""Sessions and messages of which it is known what was accepted for the record."""
MAX_HISTORIES = 4
"""Sessions that have ended whose transcripts are fetched at a time."""
RETRY_FIRST, RETRY_MAX = 0.5, 5.0
SETTLE_SECONDS = 3.0
"""How long an act waits for what it did to be on our record."""
_NO_RUN = ""
GONE = "The other Mission Control does not know this session any more."


class RemoteOrchestrator:
    """Implements `AgentProvider`. `connect` makes the connection when it starts."""

    def __init__(self, name: str, connect: Callable[[], AgentsApi], clock: Clock) -> None:
        self._name = name
        self._connect = connect
        self._clock = clock
        self._naming = Naming(name)
        self._connection: AgentsApi | None = None
        self._record: ProviderRecord | None = None
        self._tasks = Tasks(lambda task, error: log.error("provider task failed", task=task, error=repr(error)))
        self._followers: dict[str, asyncio.Task[Any]] = {}
        self._following: Tasks | None = None
        self._epoch = ""
        self._ended: OrderedDict[str, str | None] = OrderedDict()
        """Runs that ended during this connection, by session."""
        self._signs: OrderedDict[str, datetime] = OrderedDict()
        """The newest sign of life of each session that is accepted for the record."""
        self._receipts: OrderedDict[str, None] = OrderedDict()
        """Messages whose receipts are accepted for the record."""
        self._slots = asyncio.Semaphore(MAX_FOLLOWED)
        self._histories = asyncio.Semaphore(MAX_HISTORIES)
        self._problem: str | None = "not connected yet"
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    # --- the provider's own life

    @property
    def name(self) -> str:
        return self._name

    async def start(self, record: ProviderRecord) -> None:
        self._record = record
        self._connection = self._connect()
        self._tasks.start(self._attend(), name=f"attend {self._name}")

    async def close(self) -> None:
        await self._tasks.close()
        if self._following is not None:
            await self._following.close()
        if self._connection is not None:
            await self._connection.close()

    def health(self) -> ProviderHealth:
        if self._problem is not None:
            return ProviderHealth(provider=self._name, state="unreachable", detail=self._problem)
        if self._naming.role is Role.OBSERVER:
            return ProviderHealth(provider=self._name, state="ok", detail="may only watch")
        if self._slots.locked():
            return ProviderHealth(
                provider=self._name, state="degraded", detail=f"more than {MAX_FOLLOWED} sessions live at a time"
            )
        return ProviderHealth(provider=self._name, state="ok")

    async def _attend(self) -> None:
        """Connect, stay connected, connect again."""
        pause = RETRY_FIRST
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._attached()
            except MissionControlError as error:
                self._problem = error.message
            except Exception as error:  # noqa: BLE001 - shown, and tried again
                log.error("connection to another orchestrator failed", provider=self._name, error=type(error).__name__)
                self._problem = f"the connection failed ({type(error).__name__})"
            if asyncio.get_running_loop().time() - began > 2 * RETRY_MAX:
                pause = RETRY_FIRST
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - to spread attempts, not to hide them
            pause = min(pause * 2, RETRY_MAX)

    async def _attached(self) -> None:
        """One connection, as long as it lasts."""
        record = self._on_record
        with theirs():
            me = await self._api.me()
        if me.workspace_id != DEFAULT_WORKSPACE:
            raise Unreachable(f"the token belongs to the workspace {me.workspace_id}, which has no agents there")
        self._naming.role = me.role
        self._epoch = (await self._api.health()).epoch
        if not self._epoch:
            raise Unreachable("it does not tell which record it keeps; is it of another version?")
        position = await record.cursor(self._events_name)
        self._following = Tasks(self._follower_failed)
        try:
            with theirs():
                async with self._api.events(f"{self._epoch}-{position}" if position else None) as events:
                    self._problem = None
                    for known in await record.sessions():
                        self._follow(known)
                    async for event in events:
                        await self._take(event)
        finally:
            following, self._following = self._following, None
            self._followers.clear()
            self._ended.clear()
            await following.close()

    @property
    def _events_name(self) -> str:
        return f"events@{self._epoch}"

    async def _take(self, event: StreamEvent) -> None:
        if event.type is EventType.RESET:
            raise Unreachable("the other side's record is another one now")
        place = None if event.event_id is None else parse_event_id(event.event_id)
        if not isinstance(event.data, AgentSession) or place is None:
            return
        session = self._naming.session(event.data)
        native = split_id(session.session_id)[1]
        # A follower tells of its session itself, in the order of its stream: two sources could overtake each other.
        followed = native in self._followers
        # Nor is what it told at its end taken back by what was said before.
        late = not session.status.final and self._ended.get(native, _NO_RUN) == session.run_id
        news = not followed and not late
        await self._on_record.apply(self._events_name, [put(session)] if news else [], cursor=place[1])
        if news:
            self._notify(native, session)
            self._follow(session)

    def _follow(self, session: AgentSession) -> None:
        native = split_id(session.session_id)[1]
        if native in self._followers or self._following is None:
            return
        follower = Follower(session, self._epoch, self._api, self._on_record, self._naming, self._notify)
        task = self._following.start(self._run(native, session, follower), name=f"follow {native}")
        self._followers[native] = task
        task.add_done_callback(lambda done: self._forget(native, done))

    def _forget(self, native: str, task: asyncio.Task[Any]) -> None:
        if self._followers.get(native) is task:
            del self._followers[native]

    async def _run(self, native: str, session: AgentSession, follower: Follower) -> None:
        if await follower.is_done():
            return
        try:
            await follower.run(self._histories if session.status.final else self._slots)
        except NotFound:
            if session.status.final:
                return
            now = self._clock.now()
            lost = msgspec.structs.replace(session, status=SessionStatus.FAILED, error=GONE, completed_at=now)
            await self._on_record.apply(native, [put(lost)])

    def _follower_failed(self, task: str, error: BaseException) -> None:
        log.error("a session cannot be followed", provider=self._name, task=task, error=type(error).__name__)

    # --- what was done is waited for until it is on record

    def _notify(self, native: str, seen: AgentSession | Receipt) -> None:
        if isinstance(seen, Receipt):
            _put_last(self._receipts, seen.injection_id, None)
        else:
            _put_last(self._signs, native, seen.evidence.last_event_at)
            if seen.status.final:
                _put_last(self._ended, native, seen.run_id)
        for future in self._waiting.pop(native, ()):
            if not future.done():
                future.set_result(None)

    async def _until(self, native: str, told: Callable[[], bool]) -> None:
        """Wait until the session's stream told of something, for a while, and until that is on disk."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while native in self._followers and not told():
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.setdefault(native, []).append(future)
                    await future
        except TimeoutError:
            log.debug("what was done is not on record yet", provider=self._name, session=native)
        await self._on_record.apply(native, [], durable=True)

    async def _settled(self, session: AgentSession) -> AgentSession:
        """Wait until the record has the session at least as it was answered."""
        native, at = split_id(session.session_id)[1], session.evidence.last_event_at
        await self._until(native, lambda: native in self._signs and self._signs[native] >= at)
        return session

    # --- the contract

    async def list_sessions(self) -> list[AgentSession]:
        return [self._naming.session(one) for one in await self._api.living()]

    async def get_session(self, session_id: str) -> AgentSession | None:
        try:
            return self._naming.session(await self._api.agent(session_id))
        except NotFound:
            return None

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        session = self._naming.session(await self._api.spawn(request))
        native = split_id(session.session_id)[1]
        if native not in self._followers:
            await self._on_record.apply(native, [put(session)])
            self._follow(session)
        await self._on_record.apply(native, [], durable=True)
        return session

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
        body = {
            "content": content,
            "delivery": delivery,
            "pauseBeforeSend": pause_before_send,
            "expectedRunId": expected_run_id,
            "injectionId": injection_id,
        }
        self._naming.wrote(injection_id, operator_id)
        receipt = self._naming.receipt(await self._api.inject(session_id, body))
        if await self._on_record.receipt(injection_id) is not None:
            # Sent before, perhaps before we were started: nothing is told of it again.
            _put_last(self._receipts, injection_id, None)
        await self._until(session_id, lambda: injection_id in self._receipts)
        return receipt

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        return self._naming.receipt(await self._api.change(session_id, injection_id, "withdraw", {}))

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
        body = {"content": content, "was": was, "expectedRunId": expected_run_id}
        await self._need_queue(session_id)
        undo = self._naming.edits(injection_id, operator_id)
        try:
            return self._naming.receipt(await self._api.change(session_id, injection_id, "edit", body))
        except (NotFound, Conflict, BadInput, TooLarge):
            undo()
            raise

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        body = {"position": position, "expectedRunId": expected_run_id}
        await self._need_queue(session_id)
        return self._naming.receipt(await self._api.change(session_id, injection_id, "move", body))

    async def _need_queue(self, native: str) -> None:
        """Unsupported where the other side does not offer it, or is too old to know of it."""
        session = await self._on_record.session(native)
        if session is not None and not session.status.final and not session.capabilities.edit_queue:
            raise Unsupported(session.capabilities.reasons.get("editQueue", NO_QUEUE))

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "pause", level=level, expectedRunId=expected_run_id)

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act(session_id, "resume", expectedRunId=expected_run_id)

    async def cancel_turn(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act(session_id, "cancel", expectedRunId=expected_run_id)

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act(session_id, "terminate", expectedRunId=expected_run_id)

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        reason = f"asked for through the provider {self._name} of another Mission Control"
        return await self._act(session_id, "kill", reason=reason, expectedRunId=expected_run_id)

    async def _act(self, native: str, verb: str, **body: str | None) -> AgentSession:
        return await self._settled(self._naming.session(await self._api.act(native, verb, body)))

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        return self._naming.approval(await self._api.answer(self._naming.their_question(approval_id), option_id))

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        return await self._api.processes(session_id)

    @property
    def _api(self) -> AgentsApi:
        if self._connection is None:
            raise Unreachable(f"The provider {self._name} is not started.")
        return self._connection

    @property
    def _on_record(self) -> ProviderRecord:
        if self._record is None:
            raise Unreachable(f"The provider {self._name} is not started.")
        return self._record


def _put_last(remembered: OrderedDict[str, T], key: str, value: T) -> None:
    """Remember it, and no more than so many."""
    remembered[key] = value
    remembered.move_to_end(key)
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
