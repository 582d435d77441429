"""The real gateway as the conformance kit's peer: its owner moves it, and the scripted model says what is wanted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from live.gateway import RealGateway
from live.model import ScriptedModel, play
from live.owner import Owner, owner_of
from live.relay import Relay
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.providers.conformance import Access, Cannot

Json = dict[str, Any]
T = TypeVar("T")
AT_WORK = 60
"""Commands, one after the other, of an agent that is at work."""


class RealGatewayPeer:
    """Implements the kit's `Peer`. Adapters connect through a relay, so that connections can be cut.

    `crashes`: the gateway is killed to be `away`, and started again, which takes long; else nobody gets through to it.
    """

    patience = 90.0

    def __init__(self, *, crashes: bool = True) -> None:
        self._crashes = crashes
        self._model = ScriptedModel()
        self._gateway: RealGateway | None = None
        self._relay: Relay | None = None
        self._stack = AsyncExitStack()
        self._owner_is_there: Owner | None = None

    async def start(self, folder: Path) -> None:
        self._model.start()
        self._gateway = RealGateway(folder / "gateway", self._model.url, lets_in=True)
        await asyncio.to_thread(self._gateway.start)
        await self._gateway.first_turn()
        self._relay = Relay(self._gateway.url)
        await self._relay.listen()
        await self._connect()

    async def _connect(self) -> None:
        assert self._gateway is not None
        self._owner_is_there = await self._stack.enter_async_context(owner_of(self._gateway.url, self._gateway.token))

    async def _disconnect(self) -> None:
        stack, self._stack, self._owner_is_there = self._stack, AsyncExitStack(), None
        await stack.aclose()

    async def close(self) -> None:
        await self._disconnect()
        if self._relay is not None:
            await self._relay.shut()
        if self._gateway is not None:
            await asyncio.to_thread(self._gateway.kill)
        await asyncio.to_thread(self._model.stop)

    def access(self) -> Access:
        assert self._gateway is not None
        return Access(
            gateway_url=self._through.url,
            credentials=Credentials({"token": self._gateway.token}),
            wrong=Credentials({"token": "some-other-token"}),
        )

    @property
    def _through(self) -> Relay:
        assert self._relay is not None
        return self._relay

    @property
    def _owner(self) -> Owner:
        assert self._owner_is_there is not None
        return self._owner_is_there

    # --- sessions

    async def new_session(self, *, parent: str | None = None) -> str:
        if parent is None:
            return str((await self._owner.call("sessions.create", agentId="main"))["key"])
        before = {row["key"] for row in await self._below(parent)}
        spawn = {"tool": "sessions_spawn", "with": {"task": play({"say": "Ready."}), "label": uuid.uuid4().hex[:8]}}
        goes_on = _at_work() if await self._runs(parent) else [{"say": "Begun."}]
        await self._send(parent, play(spawn, *goes_on))

        async def there() -> str | None:
            rows = [row for row in await self._below(parent) if row["key"] not in before]
            return next((str(row["key"]) for row in rows if row.get("endedAt") and not row.get("hasActiveRun")), None)

        return await self._until("a sub-agent is there and has had its first turn", there)

    async def say(self, session: str, words: Sequence[str], *, pause: float = 0.0) -> None:
        # Backwards, so that they are nowhere but in what the agent says.
        await self._send(session, play({"backwards": [word[::-1] for word in words], "every": pause}))

    async def work(self, session: str) -> None:
        await self._send(session, play(*_at_work()))

        async def working() -> bool:
            # A turn that is only prepared yet takes no message: whatever is sent then waits for its end.
            history = await self._owner.call("chat.history", sessionKey=session, limit=4)
            rows = history["messages"]
            return bool(rows) and _of_a_tool(rows[-1]) and _is_active(history)

        await self._until("the agent is at work", working)

    async def works(self, session: str) -> bool:
        tasks = (await self._owner.call("tasks.list", status="running"))["tasks"]
        return await self._runs(session) or any(task.get("sessionKey") == session for task in tasks)

    async def end(self, session: str) -> None:
        await self._owner.call("sessions.abort", key=session, clearQueued=True)

        async def at_rest() -> bool:
            return not await self._runs(session)

        await self._until("the session has ended", at_rest)

    async def heard(self, session: str) -> Sequence[str]:
        history = await self._owner.call("chat.history", sessionKey=session, limit=1000)
        waiting = [one for one in history.get("pendingInputs", {}).get("items", ()) if one["state"] == "queued"]
        rows = [row for row in history["messages"] if row["role"] == "user"]
        return [_text(row) for row in rows] + [_text(one["message"]) for one in waiting]

    async def ask(self, session: str) -> None:
        # A gateway asks only whoever sent the message (and admins, which we are not): it is sent as the adapter's.
        await self._owner.call("sessions.patch", key=session, permissionMode="guarded")
        asked = play({"tool": "exec", "with": {"command": "date && uname -a"}}, {"say": "Over."})
        await self._through.call("chat.send", sessionKey=session, message=asked, idempotencyKey=uuid.uuid4().hex)

        async def waits() -> bool:
            return bool(self._questions(session))

        await self._until("the agent asks", waits)

    async def answers(self, session: str) -> Sequence[str]:
        asked = self._questions(session)
        given: dict[str, list[str]] = {one: [] for one in asked}
        for event, payload in self._through.events:
            if event == "exec.approval.resolved" and payload["id"] in given:
                given[payload["id"]].append(payload["decision"])
        # Told once to each connection of a client: an answer is what the gateway has, however often it says so.
        return [decision for told in given.values() for decision in dict.fromkeys(told)]

    def _questions(self, session: str) -> list[str]:
        asked = [one for event, one in self._through.events if event == "exec.approval.requested"]
        return list(dict.fromkeys(one["id"] for one in asked if one["request"].get("sessionKey") == session))

    # --- accidents

    async def cut(self) -> None:
        await self._through.cut()

    async def away(self) -> None:
        assert self._gateway is not None
        await self._through.shut()
        if self._crashes:
            await self._disconnect()
            await asyncio.to_thread(self._gateway.kill)

    async def back(self) -> None:
        assert self._gateway is not None
        if self._crashes:
            await asyncio.to_thread(self._gateway.start)
            await self._connect()
        await self._through.listen()

    def spawning(self) -> SpawnRequest:
        raise Cannot("sessions of a gateway are started there")

    # --- how

    async def _send(self, session: str, message: str) -> None:
        await self._owner.call("chat.send", sessionKey=session, message=message, idempotencyKey=uuid.uuid4().hex)

    async def _below(self, parent: str) -> list[Json]:
        return list((await self._owner.call("sessions.list", limit=100, spawnedBy=parent))["sessions"])

    async def _runs(self, session: str) -> bool:
        return _is_active(await self._owner.call("chat.history", sessionKey=session, limit=1))

    async def _until(self, what: str, probe: Callable[[], Awaitable[T | None]]) -> T:
        try:
            async with asyncio.timeout(self.patience):
                while not (found := await probe()):
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError:
            raise AssertionError(f"not within {self.patience:g} s: {what}") from None


def _at_work() -> list[Json]:
    return [{"tool": "exec", "with": {"command": f"sleep 2; echo {number}"}} for number in range(AT_WORK)]


def _is_active(history: Json) -> bool:
    return (history.get("sessionInfo") or {}).get("hasActiveRun") is True


def _of_a_tool(row: Json) -> bool:
    calls = row["role"] == "assistant" and any(one.get("type") == "toolCall" for one in row["content"])
    return calls or row["role"] == "toolResult"


def _text(row: Json) -> str:
    content = row.get("content", "") if isinstance(row, dict) else row
    return content if isinstance(content, str) else "\n".join(one.get("text", "") for one in content)
