"""The adapter: Tinyrun's sessions on Mission Control's record, and orders the other way.

The runtime numbers its events, and the record stores up to which number it has them (`cursor`) in the transaction that
brought them: so nothing is lost and nothing doubled, whatever breaks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    Unreachable,
    Unsupported,
)
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.providers import CredentialField, StageName
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    PauseKind,
    ProcessInfo,
    SessionStatus,
    TaskSource,
    WaitingFor,
    global_id,
)
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.contract import AgentProvider, ProviderRecord
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog, Keep
from mission_control_desktop.record.ops import AppendText, PutApproval, PutMessage, PutReceipt, PutSession, RecordOp

RETRY_SECONDS = 0.1
CALL_SECONDS = 10.0
LOG = "log"
"""The one stream of events, by which the record names the position in it."""
Json = dict[str, Any]


class TinyrunProvider:
    """Implements `AgentProvider`."""

    def __init__(self, config: AdapterConfig, credentials: Credentials) -> None:
        self._name = config.name
        self._config = config
        self._credentials = credentials
        self._tasks = Tasks(self._failed)
        self._record: ProviderRecord | None = None
        self._line: Line | None = None
        self._problem: str | None = "not connected yet"
        self._position = 0
        self._moved = asyncio.Event()

    # --- the provider's own life

    @property
    def name(self) -> str:
        return self._name

    async def start(self, record: ProviderRecord) -> None:
        self._record = record
        self._tasks.start(self._attend(record), name=f"attend {self._name}")

    async def close(self) -> None:
        await self._tasks.close()

    def health(self) -> ProviderHealth:
        state = "ok" if self._problem is None else "unreachable"
        return ProviderHealth(provider=self._name, state=state, detail=self._problem)

    def _failed(self, task: str, error: BaseException) -> None:
        self._problem = f"{task} failed ({type(error).__name__})"

    async def _attend(self, record: ProviderRecord) -> None:
        """Connect, follow, connect again."""
        while True:
            try:
                async with opened(self._config, self._credentials, self._event) as line:
                    self._position = self._follow_from(await record.cursor(LOG))
                    await line.call("follow", after=self._position)
                    self._line, self._problem = line, None
                    await line.ended.wait()
                    self._problem = "the connection ended"
            except MissionControlError as error:
                self._problem = error.message
            self._line = None
            await asyncio.sleep(RETRY_SECONDS)

    def _follow_from(self, stored: int) -> int:
        """The number of the event after which to go on: what is on record is not told again."""
        return stored

    # --- what happens there

    async def _event(self, event: Json) -> None:
        await self._apply(event["event"], self._ops(event))

    async def _apply(self, number: int, ops: list[RecordOp]) -> None:
        await self._on_record.apply(LOG, ops, cursor=number)
        self._position = number
        self._moved.set()

    def _ops(self, event: Json) -> list[RecordOp]:
        own = global_id(self._name, event["session"])
        at = datetime.fromisoformat(event["at"])
        match event["kind"]:
            case "session":
                return [PutSession(session=self._session(event["state"]))]
            case "message":
                return [PutMessage(message=_message(own, event, at))]
            case "text":
                return [AppendText(session_id=own, message_id=event["id"], offset=event["offset"], text=event["text"])]
            case "receipt":
                return [PutReceipt(receipt=self._receipt(event["receipt"]))]
            case "question" | "answered" | "expired":
                return [PutApproval(approval=self._approval(event, at))]
        return []

    def _session(self, state: Json) -> AgentSession:
        status, waits = _STATUS[state["outcome"] or ("paused" if state["paused"] else state["status"])]
        parent = state["parent"]
        why = "The session has ended."
        return AgentSession(
            session_id=global_id(self._name, state["id"]),
            provider=self._name,
            parent_session_id=None if parent is None else global_id(self._name, parent),
            status=status,
            waiting_for=waits,
            spawned_at=datetime.fromisoformat(state["began"]),
            completed_at=None if state["ended"] is None else datetime.fromisoformat(state["ended"]),
            run_id=state["run"],
            task_source=TaskSource.EXTERNAL,
            capabilities=_LIVING if not status.final else Capabilities(reasons=dict.fromkeys(_VERBS, why)),
            evidence=Evidence(last_event_at=datetime.fromisoformat(state["at"]), source="tinyrun"),
        )

    def _receipt(self, receipt: Json) -> Receipt:
        return Receipt(
            injection_id=receipt["key"],
            session_id=global_id(self._name, receipt["session"]),
            state=ReceiptState(receipt["state"]),
            at=datetime.fromisoformat(receipt["at"]),
        )

    def _approval(self, event: Json, at: datetime) -> Approval:
        state = {"question": ApprovalState.OPEN, "answered": ApprovalState.ANSWERED, "expired": ApprovalState.EXPIRED}
        return Approval(
            approval_id=global_id(self._name, event["id"]),
            session_id=global_id(self._name, event["session"]),
            provider=self._name,
            title="May I?",
            options=_OPTIONS,
            created_at=at,
            state=state[event["kind"]],
            answer=event.get("option"),
            answered_by=event.get("operator"),
        )

    # --- the contract

    async def list_sessions(self) -> list[AgentSession]:
        answer = await self._call("list")
        return [self._session(one) for one in answer["sessions"]]

    async def get_session(self, session_id: str) -> AgentSession | None:
        own = global_id(self._name, session_id)
        return next((one for one in await self.list_sessions() if one.session_id == own), None)

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        return self._session((await self._settled("begin"))["session"])

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
        if delivery not in (None, Delivery.QUEUE):
            raise Unsupported(_LIVING.reasons[delivery.value])
        if pause_before_send:
            await self.pause(session_id, expected_run_id=expected_run_id)
        answer = await self._settled(
            "send", session=session_id, key=injection_id, text=content, operator=operator_id, run=expected_run_id
        )
        return self._receipt(answer["receipt"])

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        return self._receipt((await self._settled("withdraw", session=session_id, key=injection_id))["receipt"])

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act("pause", session_id, expected_run_id)

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act("resume", session_id, expected_run_id)

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act("end", session_id, expected_run_id, outcome="completed")

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        return await self._act("end", session_id, expected_run_id, outcome="killed")

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        asked = await self._on_record.approval(approval_id)
        if asked is None:
            raise NotFound("There is no such question.")
        if option_id not in {one.option_id for one in asked.options}:
            raise BadInput("optionId", "This is none of the question's options.")
        question = approval_id.removeprefix(f"{self._name}:")
        await self._settled("answer", question=question, option=option_id, operator=user_id)
        answered = await self._on_record.approval(approval_id)
        return answered or asked

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        raise Unsupported("Tinyrun's agents have no processes of their own.")

    async def _act(self, call: str, session_id: str, run: str | None, **more: str) -> AgentSession:
        return self._session((await self._settled(call, session=session_id, run=run, **more))["session"])

    async def _call(self, call: str, **more: Any) -> Json:
        if self._line is None:
            raise Unreachable(f"Tinyrun cannot be reached: {self._problem}.")
        return await self._line.call(call, **more)

    async def _settled(self, call: str, **more: Any) -> Json:
        """The answer, once what was done is on record."""
        answer = await self._call(call, **more)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                while self._position < answer["at"]:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise Unreachable("Tinyrun did it, and did not tell of it in time.") from None
        await self._on_record.apply(LOG, [], durable=True)
        return answer

    @property
    def _on_record(self) -> ProviderRecord:
        if self._record is None:
            raise Unreachable("The provider is not started.")
        return self._record


_VERBS = ("inject", "pause", "terminate", "kill")
_LIVING = Capabilities(
    inject=(Delivery.QUEUE,),
    pause=PauseKind.SUSPEND,
    terminate=True,
    kill=True,
    approvals=True,
    reasons=dict.fromkeys(("steer", "interrupt"), "Tinyrun hands messages over between turns."),
)
_OPTIONS = (
    ApprovalOption(option_id="yes", kind="allow_once", label="Yes"),
    ApprovalOption(option_id="no", kind="reject_once", label="No"),
)
_STATUS: dict[str, tuple[SessionStatus, WaitingFor | None]] = {
    "idle": (SessionStatus.WAITING, WaitingFor.OPERATOR),
    "working": (SessionStatus.RUNNING, None),
    "asking": (SessionStatus.WAITING, WaitingFor.APPROVAL),
    "paused": (SessionStatus.PAUSED, None),
    "killed": (SessionStatus.KILLED, None),
    "completed": (SessionStatus.COMPLETED, None),
}


def _message(own: str, event: Json, at: datetime) -> AgentMessage:
    metadata: Json = {"kind": "text", "complete": event["complete"]}
    if event["role"] == "operator":
        metadata |= {"injectionId": event["injection"], "operatorId": event["operator"]}
    return AgentMessage(
        message_id=event["id"],
        session_id=own,
        role=MessageRole(event["role"]),
        content=event["text"],
        timestamp=at,
        metadata=metadata,
    )


# --- the connection

_ERRORS: dict[str, type[MissionControlError]] = {"not_found": NotFound, "conflict": Conflict}


class Line:
    """One connection; `call` from any task. `ended` is set when nothing more will come."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, event: Callable[[Json], Any]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._event = event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self.ended = asyncio.Event()

    async def call(self, call: str, **more: Any) -> Json:
        if self.ended.is_set():
            raise Unreachable("The connection to Tinyrun has ended.")
        number = next(self._numbers)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps({"id": number, "call": call, **more}).encode() + b"\n")
            async with asyncio.timeout(CALL_SECONDS):
                answer = await answered
        except TimeoutError:
            raise Unreachable(f"Tinyrun did not answer {call} within {CALL_SECONDS:g} s.") from None
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise _ERRORS.get(answer["error"]["code"], Unreachable)(answer["error"]["message"])
        return dict(answer["ok"])

    async def run(self) -> None:
        try:
            while line := await self._reader.readline():
                said = json.loads(line)
                if "event" in said:
                    await self._event(said)
                elif (waiting := self._waiting.get(said["id"])) is not None and not waiting.done():
                    waiting.set_result(said)
        except (ConnectionError, ValueError):
            pass
        finally:
            self.ended.set()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Unreachable("The connection to Tinyrun was cut."))


class opened:  # noqa: N801 - used like a function
    """A connection on which hello was said. Raises Unreachable."""

    def __init__(self, config: AdapterConfig, credentials: Credentials, event: Callable[[Json], Any]) -> None:
        self._address = urlsplit(config.gateway_url)
        self._token = credentials.token
        self._event = event
        self._tasks = Tasks(lambda task, error: None)

    async def __aenter__(self) -> Line:
        host, port = self._address.hostname, self._address.port
        try:
            reader, self._writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise Unreachable(f"Nothing answers at {host}:{port} ({error.strerror})") from error
        line = Line(reader, self._writer, self._event)
        self._tasks.start(line.run(), name="tinyrun connection")
        try:
            await line.call("hello", token=self._token)
        except BaseException:
            await self.__aexit__()
            raise
        return line

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()
        await self._tasks.close()


async def _ignore(event: Json) -> None:
    pass


class TinyrunKind:
    """Implements `AdapterKind`."""

    kind = "tinyrun"
    title = "Tinyrun"
    schemes = ("http",)
    credentials = (CredentialField(name="token", title="Token", required=True),)

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        if credentials.token is None:
            raise BadInput("credentials", "Tinyrun needs a token.")
        return TinyrunProvider(config, credentials)

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        try:
            async with opened(config, credentials, _ignore) as line:
                log.ok(StageName.REACHABLE, "It answers.")
                log.ok(StageName.PROTOCOL, "It is Tinyrun.")
                log.ok(StageName.AUTHENTICATED, "It takes the token.")
                count = len((await line.call("list"))["sessions"])
                log.ok(StageName.SESSIONS, f"It has {count} sessions.")
        except Unreachable as error:
            if "token" in error.message:
                log.ok(StageName.REACHABLE, "It answers.")
                log.ok(StageName.PROTOCOL, "It is Tinyrun.")
                log.failed(StageName.AUTHENTICATED, f"{error.message}: look it up in Tinyrun's settings.")
            else:
                log.failed(log.under_way or StageName.REACHABLE, f"{error.message}. Is it running?")


KIND = TinyrunKind()
