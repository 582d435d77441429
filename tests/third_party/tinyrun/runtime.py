"""Tinyrun: a runtime of agents that is small enough to be read at once, behind a real socket.

It speaks JSON, a value a line. A client calls `{"id": 1, "call": "send", ...}` and is answered `{"id": 1, "ok": {...}}`
or `{"id": 1, "error": {"code": ..., "message": ...}}`. Everything that happens is an event of one numbered log, which a
client follows from any number on: `{"event": 7, "kind": "session", ...}`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TOKEN = "tiny-token-5d41402a"
OPTIONS = ("yes", "no")
Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Session:
    """`status` is idle, working, asking or ended; `paused` comes on top."""

    id: str
    parent: str | None
    began: str
    status: str = "idle"
    outcome: str | None = None
    ended: str | None = None
    paused: bool = False
    run: str = "run-1"
    heard: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    waiting: list[Json] = field(default_factory=list)
    question: str | None = None
    turn: asyncio.Task[None] | None = None
    goes: asyncio.Event = field(default_factory=asyncio.Event)


class Runtime:
    """The server, its agents and its store; the store outlives `stop`."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.log: list[Json] = []
        self.port = 0
        self._receipts: dict[str, Json] = {}
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.StreamWriter, int | None] = {}
        """Up to where each has been told; None if it does not follow."""

    # --- its life

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        for writer in list(self._clients):
            writer.transport.abort()

    async def close(self) -> None:
        await self.stop()
        turns = [one.turn for one in self.sessions.values() if one.turn is not None]
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    # --- clients

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = None
        try:
            known = False
            while line := await reader.readline():
                request = json.loads(line)
                try:
                    if not known and request.get("call") != "hello":
                        raise Refused("not_known", "say hello first")
                    answer = {"ok": self._call(writer, request)}
                    known = True
                except Refused as refused:
                    answer = {"error": {"code": refused.code, "message": str(refused)}}
                self._write(writer, {"id": request["id"], **answer})
                self._tell(writer)
        except (ConnectionError, ValueError):
            return
        finally:
            self._clients.pop(writer, None)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _write(self, writer: asyncio.StreamWriter, value: Json) -> None:
        if not writer.is_closing():
            writer.write(json.dumps(value).encode() + b"\n")

    def _tell(self, writer: asyncio.StreamWriter) -> None:
        told = self._clients.get(writer)
        if told is not None:
            for event in self.log[told:]:
                self._write(writer, event)
            self._clients[writer] = len(self.log)

    def _call(self, writer: asyncio.StreamWriter, request: Json) -> Json:
        match request["call"]:
            case "hello":
                if request.get("token") != TOKEN:
                    raise Refused("bad_token", "the token is wrong")
                return {"runtime": "tinyrun", "version": 1}
            case "follow":
                self._clients[writer] = min(int(request["after"]), len(self.log))
                return {}
            case "list":
                return {"sessions": [self._view(one) for one in self.sessions.values()]}
            case "begin":
                return {"session": self._view(self.begin(None)), "at": len(self.log)}
            case "send":
                return {"receipt": self._send(request), "at": len(self.log)}
            case "withdraw":
                return {"receipt": self._withdraw(request), "at": len(self.log)}
            case "pause" | "resume" | "end" as verb:
                session = self._living(request)
                self._pause(session, verb == "pause") if verb != "end" else self.end(session, request["outcome"])
                return {"session": self._view(session), "at": len(self.log)}
            case "answer":
                self._answer(request)
                return {"at": len(self.log)}
            case other:
                raise Refused("unknown_call", f"there is no call {other}")

    # --- what can be done

    def begin(self, parent: str | None) -> Session:
        session = Session(id=f"tiny-{next(self._numbers)}", parent=parent, began=_now())
        session.goes.set()
        self.sessions[session.id] = session
        self._session(session)
        return session

    def say(self, session: Session, words: Sequence[str], pause: float) -> None:
        self._turn(session, words, pause)

    def work(self, session: Session) -> None:
        self._turn(session, (), None)

    def ask(self, session: Session) -> None:
        session.question = f"question-{next(self._numbers)}"
        session.status = "asking"
        self._happened("question", session, id=session.question, title="May I?", options=list(OPTIONS))
        self._session(session)

    def _turn(self, session: Session, words: Sequence[str], pause: float | None) -> None:
        session.status = "working"
        self._session(session)
        session.turn = asyncio.get_running_loop().create_task(self._speak(session, words, pause))

    async def _speak(self, session: Session, words: Sequence[str], pause: float | None) -> None:
        if pause is None:
            await asyncio.Event().wait()
        message = f"message-{next(self._numbers)}"
        self._happened("message", session, id=message, role="agent", text="", complete=False)
        text = ""
        for word in words:
            await session.goes.wait()
            self._happened("text", session, id=message, offset=len(text), text=f"{word} ")
            text += f"{word} "
            await asyncio.sleep(pause or 0)
        await session.goes.wait()
        self._happened("message", session, id=message, role="agent", text=text, complete=True)
        session.turn = None
        self._idle(session)

    def _idle(self, session: Session) -> None:
        session.status = "idle"
        while session.waiting and not session.paused:
            self._deliver(session, session.waiting.pop(0))
        if session.status == "idle":
            self._session(session)

    def _send(self, request: Json) -> Json:
        key = request["key"]
        if key in self._receipts:
            return self._receipts[key]
        session = self._living(request)
        self._happened(
            "message",
            session,
            id=f"sent-{key}",
            role="operator",
            text=request["text"],
            complete=True,
            injection=key,
            operator=request["operator"],
        )
        self._receipt(session, key, "queued")
        if session.paused or session.status != "idle":
            session.waiting.append({"key": key, "text": request["text"]})
        else:
            self._deliver(session, {"key": key, "text": request["text"]})
        return self._receipts[key]

    def _deliver(self, session: Session, letter: Json) -> None:
        session.heard.append(letter["text"])
        self._receipt(session, letter["key"], "delivered")
        self._happened("message", session, id=f"re-{letter['key']}", role="agent", text="I see.", complete=True)
        self._receipt(session, letter["key"], "answered")

    def _withdraw(self, request: Json) -> Json:
        session, key = self._living(request), request["key"]
        if key not in self._receipts:
            raise Refused("not_found", "there is no such message")
        left = [one for one in session.waiting if one["key"] != key]
        if len(left) == len(session.waiting):
            raise Refused("conflict", f"the message is {self._receipts[key]['state']} already")
        session.waiting = left
        self._receipt(session, key, "withdrawn")
        return self._receipts[key]

    def _pause(self, session: Session, paused: bool) -> None:
        if session.paused is paused:
            raise Refused("conflict", "it is paused already" if paused else "it is not paused")
        session.paused = paused
        if paused:
            session.goes.clear()
            self._session(session)
            return
        session.goes.set()
        if session.status == "idle":
            self._idle(session)
        else:
            self._session(session)

    def _answer(self, request: Json) -> None:
        session = next((one for one in self.sessions.values() if one.question == request["question"]), None)
        if session is None or session.status != "asking":
            raise Refused("conflict", "the question is not open")
        session.question = None
        session.answers.append(request["option"])
        self._happened(
            "answered", session, id=request["question"], option=request["option"], operator=request["operator"]
        )
        self._idle(session)

    def end(self, session: Session, outcome: str) -> None:
        """The session and all below it."""
        if session.status == "ended":
            return
        for child in list(self.sessions.values()):
            if child.parent == session.id:
                self.end(child, outcome)
        if session.turn is not None:
            session.turn.cancel()
        if session.question is not None:
            self._happened("expired", session, id=session.question)
            session.question = None
        session.status, session.outcome, session.paused, session.ended = "ended", outcome, False, _now()
        self._session(session)

    def _living(self, request: Json) -> Session:
        session = self.sessions.get(request["session"])
        if session is None:
            raise Refused("not_found", f"there is no session {request['session']}")
        if session.status == "ended":
            raise Refused("conflict", "the session has ended")
        if request.get("run") not in (None, session.run):
            raise Refused("conflict", "another run is the current one")
        return session

    # --- what happened

    def _happened(self, kind: str, session: Session, **more: Any) -> None:
        self.log.append({"event": len(self.log) + 1, "kind": kind, "session": session.id, "at": _now(), **more})
        for writer in list(self._clients):
            self._tell(writer)

    def _session(self, session: Session) -> None:
        self._happened("session", session, state=self._view(session))

    def _receipt(self, session: Session, key: str, state: str) -> None:
        self._receipts[key] = {"key": key, "session": session.id, "state": state, "at": _now()}
        self._happened("receipt", session, receipt=self._receipts[key])

    def _view(self, session: Session) -> Json:
        names = ("id", "parent", "began", "status", "outcome", "ended", "paused", "run")
        return {name: getattr(session, name) for name in names} | {"at": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat()
