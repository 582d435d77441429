"""A scripted OpenClaw gateway whose sessions do what the conformance kit wants, in the frames of the real one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.conformance import Access, Cannot
from support.gateway_double import TOKEN, GatewayDouble, Refuse

Json = dict[str, Any]


@dataclass
class Talk:
    """One session of the gateway: its row, its history, the run under way."""

    key: str
    row: Json
    history: list[Json] = field(default_factory=list)
    waiting: list[Json] = field(default_factory=list)
    """Messages for the next run."""
    heard: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    steered: list[Json] = field(default_factory=list)
    run: str | None = None
    turn: asyncio.Task[None] | None = None
    question: str | None = None


class GatewayPeer:
    """Implements the kit's `Peer`."""

    patience = 40.0

    def __init__(self) -> None:
        self.double = GatewayDouble()
        self._talks: dict[str, Talk] = {}
        self._sent: dict[str, str] = {}
        """Sessions by the idempotency keys of the messages to them."""
        self._resolved: dict[str, str] = {}
        """Decisions by the ids of the approvals."""
        self._numbers = itertools.count(1)
        self._tasks = Tasks(self._failed)
        self.double.answers |= {
            "sessions.list": self._list,
            "chat.history": self._history,
            "chat.send": self._send,
            "chat.abort": self._withdraw,
            "sessions.abort": self._abort,
            "exec.approval.list": lambda _: [one for one in map(self._asked, self._talks.values()) if one],
            "exec.approval.resolve": self._resolve,
        }

    def _failed(self, name: str, error: BaseException) -> None:
        raise AssertionError(f"{name} failed") from error

    # --- the kit's hands

    async def start(self, folder: Path) -> None:
        await self.double.start()

    async def close(self) -> None:
        await self._tasks.close()
        await self.double.stop()

    def access(self) -> Access:
        return Access(
            gateway_url=self.double.url,
            credentials=Credentials({"token": TOKEN}),
            wrong=Credentials({"token": "some-other-token"}),
        )

    async def new_session(self, *, parent: str | None = None) -> str:
        kind = "dashboard" if parent is None else "subagent"
        key = f"agent:main:{kind}:{next(self._numbers)}"
        now = _now()
        row: Json = {"key": key, "sessionId": f"t-{key}", "agentId": "main", "createdAt": now, "hasActiveRun": False}
        if parent is not None:
            row |= {"spawnedBy": parent, "classification": "subagent"}
        self._talks[key] = Talk(key, row)
        await self._changed(self._talks[key], "create")
        return key

    async def say(self, session: str, words: Sequence[str], *, pause: float = 0.0) -> None:
        await self._begin(self._talks[session], list(words), pause)

    async def work(self, session: str) -> None:
        await self._begin(self._talks[session], None, 0.0)

    async def works(self, session: str) -> bool:
        return self._talks[session].run is not None

    async def end(self, session: str) -> None:
        await self._stop(self._talks[session])

    async def heard(self, session: str) -> Sequence[str]:
        talk = self._talks.get(session)
        return () if talk is None else talk.heard

    async def ask(self, session: str) -> None:
        talk = self._talks[session]
        await self._begin(talk, None, 0.0)
        talk.question = f"approval-{next(self._numbers)}"
        await self.double.tell("exec.approval.requested", self._asked(talk))

    async def answers(self, session: str) -> Sequence[str]:
        return self._talks[session].answers

    async def cut(self) -> None:
        for socket in tuple(self.double.sockets):
            socket.transport.abort()

    async def away(self) -> None:
        await self.double.stop()

    async def back(self) -> None:
        self.double.boot_id = f"boot-{next(self._numbers)}"
        await self.double.start()

    def spawning(self) -> SpawnRequest:
        raise Cannot("sessions of a gateway are started there")

    # --- runs

    async def _begin(self, talk: Talk, words: list[str] | None, pause: float, run: str | None = None) -> None:
        talk.run = run or f"run-{next(self._numbers)}"
        await self._changed(talk, "send", phase="start")
        talk.turn = self._tasks.start(self._speak(talk, talk.run, words, pause), name=f"run of {talk.key}")

    async def _speak(self, talk: Talk, run: str, words: list[str] | None, pause: float) -> None:
        """Without words it is at work until it is stopped; a message that is steered into it is heard."""
        if words is None:
            while True:
                await asyncio.sleep(0.02)
                while talk.steered:
                    await self._hear(talk, talk.steered.pop(0))
        said = ""
        for word in words:
            said += f"{word} "
            data = {"text": said, "itemId": "x:1"}
            await self._tell_agent(talk, run, "assistant", data)
            await asyncio.sleep(pause)
        await self._row(talk, "assistant", [{"type": "text", "text": said}], run=run)
        await self._over(talk, run)

    async def _over(self, talk: Talk, run: str) -> None:
        talk.run = talk.turn = None
        talk.row |= {"status": "done", "lastRunId": run}
        await self._tell_agent(talk, run, "lifecycle", {"phase": "end"})
        await self._changed(talk, "agent.input.settled", phase="end")
        await self._next(talk)

    async def _next(self, talk: Talk) -> None:
        waiting, talk.waiting = [*talk.steered, *talk.waiting], []
        talk.steered = []
        if waiting:
            run = waiting[0]["idempotencyKey"]
            talk.run = run
            await self._changed(talk, "send", phase="start")
            for one in waiting:
                await self._hear(talk, one)
            talk.turn = self._tasks.start(self._speak(talk, run, ["I", "see."], 0.0), name=f"answer of {talk.key}")

    async def _hear(self, talk: Talk, sent: Json) -> None:
        talk.heard.append(sent["message"])
        await self._row(talk, "user", sent["message"], idempotencyKey=f"{sent['idempotencyKey']}:user")

    async def _stop(self, talk: Talk) -> None:
        if talk.run is None:
            return
        run, talk.run = talk.run, None
        if talk.turn is not None:
            talk.turn.cancel()
            talk.turn = None
        if talk.question is not None:
            question, talk.question = talk.question, None
            await self.double.tell("exec.approval.resolved", {"id": question, "decision": "expired"})
        talk.row |= {"status": "killed", "abortedLastRun": True, "lastRunId": run}
        await self._tell_agent(talk, run, "lifecycle", {"phase": "error", "aborted": True})
        await self._changed(talk, "abort", phase="error")

    async def _tell_agent(self, talk: Talk, run: str, stream: str, data: Json) -> None:
        await self.double.tell("agent", {"sessionKey": talk.key, "runId": run, "stream": stream, "data": data})

    async def _row(self, talk: Talk, role: str, content: Any, *, run: str | None = None, **more: Any) -> None:
        about = {"id": f"row-{next(self._numbers)}", "seq": len(talk.history) + 1, **({"runId": run} if run else {})}
        row = {"role": role, "content": content, "timestamp": _now(), "__openclaw": about, **more}
        talk.history.append(row)
        payload = {"sessionKey": talk.key, "messageId": about["id"], "messageSeq": about["seq"], "message": row}
        await self.double.tell("session.message", payload)

    def _view(self, talk: Talk) -> Json:
        now = _now()
        running = {"hasActiveRun": talk.run is not None, "activeRunIds": [] if talk.run is None else [talk.run]}
        status = {"status": "running"} if talk.run is not None else {}
        return {**talk.row, **running, **status, "snapshotAt": now, "updatedAt": now}

    async def _changed(self, talk: Talk, reason: str, **more: Any) -> None:
        payload = {"sessionKey": talk.key, "reason": reason, "session": self._view(talk), **more}
        if talk.run is not None:
            payload["runId"] = talk.run
        await self.double.tell("sessions.changed", payload)

    # --- what the gateway is asked

    def _list(self, params: Json) -> Json:
        rows, offset, limit = (
            [self._view(one) for one in self._talks.values()],
            params.get("offset", 0),
            params["limit"],
        )
        more = offset + limit < len(rows)
        return {
            "sessions": rows[offset : offset + limit],
            "totalCount": len(rows),
            "hasMore": more,
            "nextOffset": offset + limit if more else None,
        }

    def _history(self, params: Json) -> Json:
        talk = self._talks.get(params["sessionKey"])
        rows = [] if talk is None else talk.history
        waiting = [] if talk is None else talk.waiting
        pending = [{"runId": one["idempotencyKey"], "state": "queued"} for one in waiting]
        extra: Json = {"pendingInputs": {"items": pending}, "deltaCursor": f"c{len(rows)}"}
        if talk is not None and talk.run is not None:
            extra["inFlightRun"] = {"runId": talk.run, "text": "", "events": []}
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

    async def _send(self, params: Json) -> Json:
        key = params["idempotencyKey"]
        if key in self._sent:
            return {"runId": key, "status": "in_flight"}
        if params["sessionKey"] not in self._talks:
            # As the real one: it makes a session of any key.
            now = _now()
            row = {"key": params["sessionKey"], "sessionId": "new", "agentId": "main", "createdAt": now}
            self._talks[params["sessionKey"]] = Talk(params["sessionKey"], row)
        talk = self._talks[params["sessionKey"]]
        self._sent[key] = talk.key
        mode = params.get("queueMode")
        if talk.run is not None and mode == "steer":
            talk.steered.append(params)
        elif talk.run is not None and mode == "followup":
            talk.waiting.append(params)
        else:
            if talk.run is not None:
                await self._stop(talk)
            talk.waiting.insert(0, params)
            await self._next(talk)
        return {"runId": key, "status": "started"}

    async def _withdraw(self, params: Json) -> Json:
        """Of a message that waits, or of the run under way: what waits is next then."""
        talk = self._talks[params["sessionKey"]]
        if talk.run is not None and talk.run == params["runId"]:
            await self._stop(talk)
            await self._next(talk)
            return {"ok": True, "aborted": True, "runIds": [params["runId"]]}
        before = len(talk.waiting)
        talk.waiting = [one for one in talk.waiting if one["idempotencyKey"] != params["runId"]]
        return {"ok": True, "aborted": len(talk.waiting) < before}

    async def _abort(self, params: Json) -> Json:
        talk = self._talks.get(params["key"])
        if talk is None or talk.run is None:
            return {"ok": True, "status": "no-active-run"}
        if params.get("clearQueued"):
            talk.waiting, talk.steered = [], []
        await self._stop(talk)
        for child in list(self._talks.values()):
            if child.row.get("spawnedBy") == talk.key:
                await self._stop(child)
        return {"ok": True, "status": "aborted"}

    def _asked(self, talk: Talk) -> Json:
        if talk.question is None:
            return {}
        decisions = ["allow-once", "deny"]
        request = {"command": "rm x", "cwd": "/w", "sessionKey": talk.key, "allowedDecisions": decisions}
        return {"id": talk.question, "request": request, "createdAtMs": _now()}

    async def _resolve(self, params: Json) -> Json:
        if (before := self._resolved.get(params["id"])) is not None:
            if before != params["decision"]:
                raise Refuse("INVALID_REQUEST", "already resolved", details={"reason": "APPROVAL_ALREADY_RESOLVED"})
            return {"ok": True}
        talk = next((one for one in self._talks.values() if one.question == params["id"]), None)
        if talk is None:
            raise Refuse("INVALID_REQUEST", "unknown approval", details={"reason": "APPROVAL_NOT_FOUND"})
        talk.question, self._resolved[params["id"]] = None, params["decision"]
        talk.answers.append(params["decision"])
        resolved = {"id": params["id"], "decision": params["decision"], "resolvedBy": "Mission Control Desktop"}
        await self.double.tell("exec.approval.resolved", resolved)
        return {"ok": True}


def _now() -> int:
    return int(time.time() * 1000)
