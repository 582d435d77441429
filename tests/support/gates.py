"""The OpenClaw provider on a real record, with a scripted gateway that has sessions, histories, questions and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.providers.kinds import AdapterConfig
from mission_control_desktop.providers.openclaw.provider import OpenClawProvider
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from support.gateway_double import TOKEN, GatewayDouble, MemoryKeep, Refuse
from support.records import recording

PATIENCE = 30

KEY = "agent:main:dashboard:1"
T0 = 1_795_398_700_000


def history_row(seq: int, role: str, content: Any, *, run: str | None = "r1", **more: Any) -> dict[str, Any]:
    about = {"id": f"row-{seq}", "seq": seq, **({"runId": run} if run else {})}
    return {"role": role, "content": content, "timestamp": T0 + seq, "__openclaw": about, **more}


class Gate:
    """What the scripted gateway has: sessions, histories, questions, tasks."""

    def __init__(self, double: GatewayDouble) -> None:
        self.double = double
        self.rows: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, list[dict[str, Any]]] = {}
        self.pending: dict[str, list[dict[str, Any]]] = {}
        self.sent: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.stuck: set[str] = set()
        self.in_flight: dict[str, str] = {}
        """What histories tell in the place of the run that is under way."""
        self.at = 0
        double.answers |= {
            "sessions.list": self._list,
            "chat.history": self._history,
            "chat.send": self._send,
            "chat.abort": self._withdraw,
            "sessions.abort": self._abort,
            "tasks.list": lambda _: {"tasks": [task for task in self.tasks.values() if task["status"] == "running"]},
            "tasks.cancel": self._cancel,
            "sessions.patch": self._patch,
        }

    def put(self, key: str = KEY, **row: Any) -> dict[str, Any]:
        self.at += 1
        before = self.rows.get(key, {"key": key, "sessionId": f"t-{key}", "agentId": "main", "createdAt": T0})
        self.rows[key] = {**before, **row, "snapshotAt": self.at, "updatedAt": T0 + self.at}
        return self.rows[key]

    async def changed(self, key: str = KEY, *, reason: str = "send", **row: Any) -> None:
        await self.double.tell(
            "sessions.changed", {"sessionKey": key, "reason": reason, "session": self.put(key, **row)}
        )

    async def say(self, row: dict[str, Any], key: str = KEY) -> None:
        self.histories.setdefault(key, []).append(row)
        about = row["__openclaw"]
        payload = {"sessionKey": key, "messageId": about["id"], "messageSeq": about["seq"], "message": row}
        await self.double.tell("session.message", payload)

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        rows, offset, limit = list(self.rows.values()), params.get("offset", 0), params["limit"]
        more = offset + limit < len(rows)
        page = [{**row, "snapshotAt": self.at} for row in rows[offset : offset + limit]]
        return {
            "sessions": page,
            "totalCount": len(rows),
            "hasMore": more,
            "nextOffset": offset + limit if more else None,
        }

    def _history(self, params: dict[str, Any]) -> dict[str, Any]:
        key = params["sessionKey"]
        rows = self.histories.get(key, [])
        extra: dict[str, Any] = {"pendingInputs": {"items": self.pending.get(key, [])}, "deltaCursor": f"c{len(rows)}"}
        if (run_id := self.in_flight.get(key) or self._in_flight(key)) is not None:
            extra["inFlightRun"] = {"runId": run_id, "text": "", "events": []}
        if "cursor" in params:
            since = int(params["cursor"].removeprefix("c"))
            return {"kind": "delta", "messages": [{"message": row} for row in rows[since:]], **extra}
        end = len(rows) - params.get("offset", 0)
        start = max(0, end - params["limit"])
        more = start > 0
        return {
            "messages": rows[start:end],
            "hasMore": more,
            "nextOffset": len(rows) - start if more else None,
            **extra,
        }

    def _send(self, params: dict[str, Any]) -> dict[str, Any]:
        again = params["idempotencyKey"] in self.sent
        self.sent[params["idempotencyKey"]] = params
        return {"runId": params["idempotencyKey"], "status": "in_flight" if again else "started"}

    def _withdraw(self, params: dict[str, Any]) -> dict[str, Any]:
        """Of a message that waits, or of the run that is under way; what waits stays then."""
        run_id = params["runId"]
        if self._in_flight(params["sessionKey"]) == run_id:
            row = self.put(params["sessionKey"], lastRunId=run_id, status="killed", abortedLastRun=True)
            row |= {"hasActiveRun": False, "activeRunIds": []}
            return {"ok": True, "aborted": True, "runIds": [run_id]}
        kept = [one for one in self.pending.get(params["sessionKey"], []) if one["runId"] != params.get("runId")]
        aborted = len(kept) < len(self.pending.get(params["sessionKey"], []))
        self.pending[params["sessionKey"]] = kept
        return {"ok": True, "aborted": aborted, "runIds": [run_id] if aborted else []}

    def _in_flight(self, key: str) -> str | None:
        row = self.rows.get(key, {})
        return next(iter(row.get("activeRunIds") or ()), None) if row.get("hasActiveRun") else None

    def _abort(self, params: dict[str, Any]) -> dict[str, Any]:
        if params["key"] not in self.stuck:
            self.put(params["key"], hasActiveRun=False, activeRunIds=[], status="killed", abortedLastRun=True)
        return {"ok": True, "status": "aborted"}

    def _patch(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "entry": self.put(params["key"], permissionMode=params["permissionMode"])}

    def _cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        self.tasks[params["taskId"]]["status"] = "cancelled"
        return {"ok": True}


class Desk:
    def __init__(self, provider: OpenClawProvider, gate: Gate, database: Database) -> None:
        self.provider = provider
        self.gate = gate
        self.database = database

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await holds():
                await asyncio.sleep(0.01)

    async def status(self, key: str = KEY) -> tuple[SessionStatus, WaitingFor | None] | None:
        session = await self.database.sessions.get(f"gate:{key}")
        return None if session is None else (session.status, session.waiting_for)

    async def until_status(self, status: SessionStatus, waiting_for: WaitingFor | None = None, key: str = KEY) -> None:
        async def holds() -> bool:
            return await self.status(key) == (status, waiting_for)

        await self.until(holds)

    async def messages(self, key: str = KEY) -> tuple[AgentMessage, ...]:
        if await self.status(key) is None:
            return ()
        return tuple((await self.database.messages.page(f"gate:{key}", limit=500)).items)

    async def until_texts(self, *wanted: str, key: str = KEY) -> None:
        seen: list[str] = []

        async def holds() -> bool:
            seen[:] = [message.content for message in await self.messages(key)]
            return seen == list(wanted)

        try:
            await self.until(holds)
        except TimeoutError:
            raise AssertionError(f"wanted {wanted}, seen {seen}") from None

    async def until_receipt(self, injection_id: str, state: ReceiptState) -> None:
        async def holds() -> bool:
            receipt = await self.database.receipts.get(injection_id)
            return receipt is not None and receipt.state is state

        await self.until(holds)

    async def approval(self, approval_id: str, state: ApprovalState) -> Approval:
        found: list[Approval] = []

        async def holds() -> bool:
            approval = await self.database.approvals.get(approval_id)
            found[:] = [approval] if approval is not None and approval.state is state else []
            return bool(found)

        await self.until(holds)
        return found[0]

    async def until_connected(self) -> None:
        async def holds() -> bool:
            return self.provider.health().state == "ok"

        await self.until(holds)


@asynccontextmanager
async def opened(gate: Gate, database: Database) -> AsyncIterator[Desk]:
    async with recording(database) as recorder:
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=gate.double.url)
        credentials = Credentials({"token": TOKEN})
        provider = OpenClawProvider(config, credentials, MemoryKeep(), clock=SystemClock(), ids=Uuid7())
        await provider.start(recorder.provider_record("gate"))
        try:
            desk = Desk(provider, gate, database)
            await desk.until_connected()
            yield desk
        finally:
            await provider.close()


async def inject(desk: Desk, injection_id: str = "i1", content: str = "hello", **more: Any) -> ReceiptState:
    receipt = await desk.provider.inject(KEY, injection_id=injection_id, content=content, operator_id="ann", **more)
    return receipt.state


def fresh_database_again(directory: Path) -> Database:
    """The same database, opened by another process."""
    return open_database(directory / "record.db")


async def is_down(provider: OpenClawProvider) -> bool:
    return provider.health().state == "unreachable"


async def any_of(values: Any) -> bool:
    return bool(values)


def refuses(error: Refuse) -> Callable[[Any], None]:
    def answer(_: Any) -> None:
        raise error

    return answer
