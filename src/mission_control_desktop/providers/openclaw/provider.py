"""`OpenClawProvider`: the sessions of one gateway, on record as they happen."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from random import random
from typing import Any

import structlog

from mission_control_desktop import __version__
from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import MissionControlError, Unreachable, Unsupported
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, ProcessInfo
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.kinds import AdapterConfig, Keep
from mission_control_desktop.providers.openclaw.asking import Asking
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.connection import Connection
from mission_control_desktop.providers.openclaw.frames import Event
from mission_control_desktop.providers.openclaw.histories import Histories
from mission_control_desktop.providers.openclaw.holding import Holding
from mission_control_desktop.providers.openclaw.identity import APPROVALS, WRITE
from mission_control_desktop.providers.openclaw.lanes import Job
from mission_control_desktop.providers.openclaw.link import Doorway, Gap, Link
from mission_control_desktop.providers.openclaw.mail import Mail, require_run
from mission_control_desktop.providers.openclaw.reading import (
    row_of_event,
)
from mission_control_desktop.providers.openclaw.rows import NO_PAUSE, Known
from mission_control_desktop.providers.openclaw.stopping import NotEnded, Stopping
from mission_control_desktop.providers.openclaw.trouble import GatewayError
from mission_control_desktop.providers.openclaw.values import mapping, mappings, text, whole

LIST_PAGE = 200
MAX_SESSIONS = 20_000
MAX_FOLLOWED = 64
"""Sessions whose text is followed as it streams; of the others, rows come when they are written."""
PROBE_TIMEOUT = 5.0
LOOK_AFTER = 1.0
"""Seconds after which questions of a session that changed are looked at again."""
LIST_TIMEOUT = 90.0
"""A gateway that has just started on a busy computer takes long for its first answers; giving up would begin anew."""
NO_PROCESSES = "Sessions live inside the gateway: their processes cannot be seen from here."
NO_SPAWN = "Sessions of an OpenClaw gateway are started there."

log = structlog.get_logger(__name__)


class OpenClawProvider:
    """`AgentProvider` over one connection. Belongs to one event loop."""

    def __init__(
        self, config: AdapterConfig, credentials: Credentials, keep: Keep, *, clock: Clock, ids: IdSource
    ) -> None:
        self._name = config.name
        self._clock = clock
        self._tasks = Tasks(lambda name, error: log.error("gateway task failed", task=name, error=repr(error)))
        self._board = Board(config.name, clock)
        doorway = Doorway(config.gateway_url, credentials, keep, version=__version__)
        self._link = Link(config.name, doorway, self, random=random, scrub=credentials.scrub)
        self._mail = Mail(config.name, self._board, self._link.call, self._tasks, self._level_soon, clock)
        self._histories = Histories(
            config.name, self._board, self._link.call, self._mail, self._tasks, clock, self._job
        )
        self._asking = Asking(config.name, self._board, lambda: self._link.connection, clock)
        self._holding = Holding(self._board, self._link.call)
        self._stopping = Stopping(self._board, self._link.call, self._relist, ids.new)
        self._followed: OrderedDict[str, None] = OrderedDict()
        self._finishing: set[str] = set()
        """Sessions that are being ended by a task of ours."""
        self._relisting = asyncio.Lock()
        self._relist_wanted = self._look_wanted = False
        self._crawl: asyncio.Task[None] | None = None

    # --- the provider

    @property
    def name(self) -> str:
        return self._name

    async def start(self, record: ProviderRecord) -> None:
        await self._board.start(record)
        await self._mail.start()
        self._tasks.start(self._link.run(), name=f"link {self._name}")

    async def close(self) -> None:
        await self._tasks.close()

    def nudge(self) -> None:
        """Try to connect now: somebody has done what was missing."""
        self._link.nudge()

    def health(self) -> ProviderHealth:
        return self._link.health()

    async def list_sessions(self) -> list[AgentSession]:
        self._link.connection  # noqa: B018 - raises Unreachable: what is remembered may be long past
        return self._board.listed()

    async def get_session(self, session_id: str) -> AgentSession | None:
        known = self._board.get(session_id)
        if known is None:
            self._link.connection  # noqa: B018 - without it nothing is known
            return None
        return self._board.session(known)

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._link.connection  # noqa: B018
        await self._holding.hold(session_id, expected_run_id)
        return self._board.session(self._board.need(session_id))

    async def release_commands(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._link.connection  # noqa: B018
        await self._holding.release(session_id, expected_run_id)
        return self._board.session(self._board.need(session_id))

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        raise Unsupported(NO_SPAWN)

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
        self._link.connection  # noqa: B018 - before anything is stored
        return await self._mail.send(
            session_id,
            injection_id=injection_id,
            content=content,
            operator_id=operator_id,
            delivery=delivery,
            pause_before_send=pause_before_send,
            expected_run_id=expected_run_id,
        )

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        return await self._mail.withdraw(session_id, injection_id)

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        raise Unsupported(NO_PAUSE)

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        raise Unsupported(NO_PAUSE)

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._link.connection  # noqa: B018
        known = self._stopping.check(session_id)
        require_run(known, expected_run_id)
        if not known.ending:
            known.ending = True
            await self._board.put(known, durable=True)
            self._tasks.start(self._finish(known), name=f"terminate {session_id}")
        return self._board.session(known)

    async def _finish(self, known: Known) -> None:
        self._finishing.add(known.key)
        try:
            await self._stopping.finish(known.key)
        except MissionControlError as error:
            if isinstance(error, Unreachable) and not isinstance(error, NotEnded):
                # The next connection goes on with it, of this process or of another one.
                log.info("session is ended later", session=known.key, why=error.message)
                return
            log.warning("session did not end", session=known.key, why=error.message)
        finally:
            self._finishing.discard(known.key)
        known.ending = False
        await self._board.put(known)

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._link.connection  # noqa: B018
        known = self._board.need(session_id)
        require_run(known, expected_run_id)
        await self._stopping.kill(session_id)
        return self._board.session(known)

    async def cancel_turn(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._link.connection  # noqa: B018
        return self._board.session(await self._stopping.cancel(session_id, expected_run_id))

    async def probe_stop(self) -> str:
        """See `ProbesStop`: the gateway answers, tells what runs and what runs in the background, and lets us write."""
        if not self._board.write:
            raise Unsupported("The gateway did not grant this device operator.write: nothing can be stopped.")
        listed = mapping(await self._link.call("sessions.list", {"limit": 1}, timeout=PROBE_TIMEOUT))
        await self._link.call("tasks.list", {"status": "running"}, timeout=PROBE_TIMEOUT)
        return f"The gateway answers for {whole(listed, 'totalCount') or 0} sessions and may be told to stop them."

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        return await self._asking.answer(approval_id, option_id, user_id=user_id)

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        raise Unsupported(NO_PROCESSES)

    # --- the connection

    async def connected(self, connection: Connection, *, rebooted: bool) -> None:
        self._board.write, self._board.approvals = connection.can(WRITE), connection.can(APPROVALS)
        if rebooted:
            self._histories.rebooted()
        await connection.call("sessions.subscribe", {"limit": 1}, timeout=LIST_TIMEOUT)
        await self._relist()
        await self._relist_tasks(connection)
        await self._asking.connected(connection)
        for known in self._board.all():
            if known.active or known.key in self._histories:
                self._follow(known)
        await self._mail.connected(rebooted=rebooted)
        for known in self._board.all():
            if known.ending and known.key not in self._finishing:
                self._tasks.start(self._finish(known), name=f"terminate {known.key}")
        self._crawl = self._tasks.start(
            self._histories.read_all(lambda key: key in self._followed), name=f"histories {self._name}"
        )

    async def lost(self) -> None:
        if self._crawl is not None:
            self._crawl.cancel()
        self._followed.clear()
        await self._histories.lost()

    async def event(self, event: Event | Gap) -> None:
        if isinstance(event, Gap):
            log.info("events of the gateway are missing", provider=self._name)
            self._relist_soon()
            self._histories.gap()
            return
        payload = mapping(event.payload)
        match event.event:
            case "sessions.changed":
                await self._changed(payload)
            case "session.message":
                self._message(payload)
            case "agent" | "session.tool":
                await self._agent(payload)
            case "task":
                await self._task(mapping(payload.get("task")), removed=text(payload, "action") == "removed")
            case "exec.approval.requested":
                await self._asking.approval_requested(payload)
            case "exec.approval.resolved":
                await self._asking.approval_resolved(payload)
            case "question.requested":
                await self._asking.question_requested(payload)
            case "question.resolved":
                await self._asking.question_resolved(payload)

    # --- sessions

    async def _relist(self) -> None:
        """The gateway's whole list."""
        async with self._relisting:
            self._relist_wanted = False
            keys: set[str] = set()
            changed: list[Known] = []
            offset = 0
            while offset < MAX_SESSIONS:
                wanted = {"limit": LIST_PAGE, "offset": offset, "includeDerivedTitles": True}
                answer = mapping(await self._link.call("sessions.list", wanted, timeout=LIST_TIMEOUT))
                for row in mappings(answer.get("sessions")):
                    if (known := self._board.take(row)) is not None:
                        keys.add(known.key)
                        changed.append(known)
                following = answer.get("nextOffset")
                if answer.get("hasMore") is not True or not isinstance(following, int) or following <= offset:
                    gone = self._board.only(keys)
                    changed.extend(gone)
                    for known in gone:
                        await self._mail.gone(known.key)
                    break
                offset = following
            await self._board.put(*changed)

    def _relist_soon(self) -> None:
        if not self._relist_wanted:
            self._relist_wanted = True
            self._tasks.start(self._job(self._relist)(), name=f"list {self._name}")

    async def _changed(self, payload: dict[str, Any]) -> None:
        row = mapping(payload.get("session"))
        told = [self._board.take(one) for one in (row, *mappings(payload.get("ancestorSessions"))) if one]
        known = self._board.get(text(payload, "sessionKey") or "")
        if not row or known is None:
            self._relist_soon()
        if known is not None:
            if known.approvals or known.questions:
                self._look_again_soon()
            run_id = text(payload, "runId")
            if run_id is not None and text(payload, "phase") == "start":
                known.began(run_id)
            if known.active:
                self._follow(known)
            elif text(payload, "phase") in ("end", "error") or text(payload, "reason") == "agent.input.settled":
                # A tool's results are not told to those who do not follow; the history has them.
                self._histories.level_soon(known.key)
        await self._board.put(*(one for one in told if one is not None))

    def _look_again_soon(self) -> None:
        if not self._look_wanted:
            self._look_wanted = True
            self._tasks.start(self._job(self._look_again)(), name=f"questions {self._name}")

    async def _look_again(self) -> None:
        try:
            await asyncio.sleep(LOOK_AFTER)  # An answer that was given elsewhere is told before.
        finally:
            self._look_wanted = False
        await self._asking.look_again()

    async def _task(self, task: dict[str, Any], *, removed: bool) -> None:
        task_id, key = text(task, "taskId") or text(task, "id"), text(task, "sessionKey")
        known = None if key is None else self._board.get(key)
        if task_id is None or known is None or text(task, "kind") != "exec":
            return
        before = dict(known.tasks)
        if text(task, "status") == "running" and not removed:
            known.tasks[task_id] = text(task, "title") or "a command"
        else:
            known.tasks.pop(task_id, None)
        if known.tasks != before:
            await self._board.put(known)

    async def _relist_tasks(self, connection: Connection) -> None:
        for known in self._board.all():
            known.tasks.clear()
        answer = mapping(await connection.call("tasks.list", {"status": "running"}))
        for task in mappings(answer.get("tasks")):
            await self._task(task, removed=False)

    # --- messages

    def _follow(self, known: Known) -> None:
        """Hear the session's text as it streams, and bring its transcript level."""
        key = known.key
        if key in self._followed:
            self._followed.move_to_end(key)
            return
        self._followed[key] = None
        if len(self._followed) > MAX_FOLLOWED:
            idle = next((one for one in self._followed if not self._is_active(one)), None)
            oldest = next(iter(self._followed)) if idle is None else idle
            del self._followed[oldest]
            self._histories.put(oldest, lambda: self._hear(oldest, on=False))
        self._histories.put(key, lambda: self._hear(key, on=True))
        self._histories.level_soon(key)

    def _is_active(self, key: str) -> bool:
        known = self._board.get(key)
        return known is not None and known.active

    async def _hear(self, key: str, *, on: bool) -> None:
        await self._link.call(f"sessions.messages.{'subscribe' if on else 'unsubscribe'}", {"key": key})

    def _message(self, payload: dict[str, Any]) -> None:
        key = text(payload, "sessionKey")
        if key is None:
            return
        row = mapping(payload.get("session"))
        if (self._board.take(row) if row else self._board.get(key)) is None:
            self._relist_soon()
        self._histories.put(key, lambda: self._histories.new_row(key, row_of_event(payload)))

    async def _agent(self, payload: dict[str, Any]) -> None:
        key = text(payload, "sessionKey")
        known = None if key is None else self._board.get(key)
        if key is None or known is None:
            return
        stream, data = text(payload, "stream"), mapping(payload.get("data"))
        if stream in ("run_status", "assistant", "tool"):
            waiting = text(data, "message") or "retrying" if text(data, "phase") == "retrying" else None
            if waiting != known.retrying:
                known.retrying = waiting
                await self._board.put(known)
        if stream not in ("assistant", "tool", "lifecycle"):
            return
        run_id = text(payload, "runId")
        if run_id is not None and (stream != "lifecycle" or text(data, "phase") == "start"):
            known.began(run_id)

        async def work() -> None:
            await self._histories.streamed(key, payload)
            if stream == "lifecycle" and data.get("aborted") is True:
                await self._mail.stopped(key, text(payload, "runId") or "")

        self._histories.put(key, work)

    def _level_soon(self, key: str) -> None:
        self._histories.level_soon(key)

    def _job(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Work whose failure is no more than that it was not done: the next connection does it."""

        async def job() -> None:
            try:
                await work()
            except Unreachable as error:
                log.debug("gateway work broken off", provider=self._name, why=error.message)
            except (MissionControlError, GatewayError) as error:
                log.warning("gateway work failed", provider=self._name, why=str(error))

        return job
