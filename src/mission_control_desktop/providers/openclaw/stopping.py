"""Ending sessions of a gateway, and knowing that they ended: by the gateway's own lists, looked at afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from mission_control_desktop.domain.errors import Conflict, MissionControlError, Unreachable, Unsupported
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.mail import require_run
from mission_control_desktop.providers.openclaw.reading import finds_its_place, running_of
from mission_control_desktop.providers.openclaw.rows import NO_TURN, NO_WRITE, Known
from mission_control_desktop.providers.openclaw.values import mapping, mappings, text

KILL_SECONDS = 20.0
GRACE_SECONDS = 60.0
"""How long an agent that was asked to finish may take."""
STEP = 0.25
PLACE_SECONDS, PLACE_STEP = 5.0, 0.05
"""How long a message that was just sent may take to its place in the queue (20 to 100 ms were seen)."""
ASK_TO_FINISH = "Please finish your current step, start nothing new, and stop."


class NotEnded(Unreachable):
    """The gateway was told to end it, and still lists what works."""


log = structlog.get_logger(__name__)
Call = Callable[..., Awaitable[Any]]


class Stopping:
    def __init__(
        self, board: Board, call: Call, relist: Callable[[], Awaitable[None]], new_id: Callable[[], str]
    ) -> None:
        self._board = board
        self._call = call
        self._relist = relist
        self._new_id = new_id

    async def kill(self, key: str) -> None:
        """End the session's run, its queue, its sub-agents and their background commands. Raises Unreachable unless
        the gateway's own lists show that nothing of it works any more."""
        self._require_write()
        if all(self._over(known) for known in self._board.below(key)):
            raise Conflict("The session has ended already.")
        await self._end(key, SessionStatus.KILLED)

    async def cancel(self, key: str, expected_run_id: str | None) -> Known:
        """End the turn that runs, and the sub-agents that it began: messages that wait are kept, background commands
        live on, and the session takes the next message. Raises Conflict if no turn runs or it ended by itself,
        Unreachable unless the gateway lists it no more."""
        known = self._board.need(key)
        self._require_write()
        require_run(known, expected_run_id)
        if not known.active:
            raise Conflict(NO_TURN)
        run_id = await self._running(known, settled=True)
        if run_id is None:
            raise Conflict("The gateway does not tell yet which turn runs. Try again.")
        if expected_run_id not in (None, run_id):
            raise Conflict("Another run is the current one.", runId=run_id)
        before, known.cancelled = known.cancelled, run_id
        # Known before the gateway tells of it: an abort alone would show the session as killed.
        await self._board.put(known, durable=True)
        # With the run's id, because without it the messages that wait would be dropped with the turn.
        try:
            answer = mapping(await self._call("chat.abort", {"sessionKey": key, "runId": run_id}))
            if answer.get("aborted") is False:
                raise Conflict("The turn ended by itself before it could be cancelled.")
        except Unreachable:
            raise  # It may be cancelled: the gateway's next word on the session tells.
        except MissionControlError:
            known.cancelled = before
            await self._board.put(known)
            raise
        deadline = asyncio.get_running_loop().time() + KILL_SECONDS
        while True:
            await self._relist()
            if not known.active or await self._running(known) not in (None, run_id):
                return known
            if asyncio.get_running_loop().time() >= deadline:
                raise NotEnded(f"The gateway was told to cancel the turn, but still runs it after {KILL_SECONDS:g} s.")
            await asyncio.sleep(STEP)

    async def _running(self, known: Known, *, settled: bool = False) -> str | None:
        """`settled`: after what was sent in this moment has its place in the queue. A turn that is aborted sooner takes
        that message with it: the gateway puts it into the transcript, and no turn answers it."""
        deadline = asyncio.get_running_loop().time() + PLACE_SECONDS
        while True:
            head = mapping(await self._call("chat.history", {"sessionKey": known.key, "limit": 1}))
            if not settled or not finds_its_place(head, known) or asyncio.get_running_loop().time() >= deadline:
                return running_of(head, known)
            await asyncio.sleep(PLACE_STEP)

    async def finish(self, key: str) -> None:
        """Ask the agent to finish, wait, then abort what is left. Ends in a session that is completed."""
        known = self._board.need(key)
        if known.active and not known.sub_agent:
            try:
                await self._call(
                    "chat.send",
                    {
                        "sessionKey": key,
                        "message": ASK_TO_FINISH,
                        "idempotencyKey": f"finish-{known.run_id or self._new_id()}",
                        "queueMode": "steer",
                    },
                )
            except MissionControlError as error:
                log.info("agent cannot be asked to finish", session=key, why=error.message)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_SECONDS
        while loop.time() < deadline and any(one.active for one in self._board.below(key)):
            await asyncio.sleep(STEP)
        in_time = not any(one.active for one in self._board.below(key))
        await self._end(key, SessionStatus.COMPLETED if in_time else SessionStatus.KILLED)

    def check(self, key: str) -> Known:
        """Raises what keeps the session from being ended."""
        known = self._board.need(key)
        self._require_write()
        if self._over(known):
            raise Conflict("The session has ended already.")
        return known

    def _require_write(self) -> None:
        if not self._board.write:
            raise Unsupported(NO_WRITE)

    def _over(self, known: Known) -> bool:
        return self._board.session(known).status.final

    async def _end(self, key: str, ended: SessionStatus) -> None:
        deadline = asyncio.get_running_loop().time() + KILL_SECONDS
        hit: dict[str, Known] = {}
        while True:
            # Again each time: a cancelled child makes its parent take a turn, and what is spawned in between is new.
            tree = self._board.below(key)
            hit |= {known.key: known for known in tree if not self._over(known)}
            await self._call("sessions.abort", {"key": key, "clearQueued": True})
            for known in tree[1:]:
                if known.active:
                    await self._call("sessions.abort", {"key": known.key, "clearQueued": True})
            left = await self._cancel_tasks({known.key for known in tree})
            await self._relist()
            working = [known for known in self._board.below(key) if known.active]
            if not working and not left:
                break
            if asyncio.get_running_loop().time() >= deadline:
                raise NotEnded(
                    f"The gateway was told to end it, but still lists {len(working)} running sessions and {left} "
                    f"background commands after {KILL_SECONDS:g} s."
                )
            await asyncio.sleep(STEP)
        for known in hit.values():
            known.ended = ended
            known.tasks.clear()
        await self._board.put(*hit.values())

    async def _cancel_tasks(self, keys: set[str]) -> int:
        """How many still run."""
        answer = mapping(await self._call("tasks.list", {"status": "running"}))
        running = [task for task in mappings(answer.get("tasks")) if text(task, "sessionKey") in keys]
        for task in running:
            if (task_id := text(task, "taskId") or text(task, "id")) is not None:
                try:
                    await self._call("tasks.cancel", {"taskId": task_id})
                except Conflict as error:
                    log.debug("task ended by itself", task=task_id, why=error.message)
        return len(running)
