"""What a check works with: the peer, a real record, and the adapter that is checked, opened on it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.errors import MissionControlError, Unreachable
from mission_control_desktop.domain.limits import REPLAY_MAX
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor, global_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.conformance.listening import Listener
from mission_control_desktop.providers.conformance.peer import Access, Brings, BuiltIn, Cannot, MemoryKeep, Peer
from mission_control_desktop.providers.conformance.verdict import Broken, Skipped, demand
from mission_control_desktop.providers.conformance.watch import WatchedRecord
from mission_control_desktop.providers.contract import AgentProvider
from mission_control_desktop.providers.kinds import ENTRY_POINT_GROUP, AdapterConfig, AdapterKind, installed_adapters
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database

OPERATOR = "kit-operator"
STEP = 0.02
BOUND = 30.0
"""Seconds in which every call returns or raises, whatever has become of the peer."""
CLOSE_BOUND = 5.0
"""As the registry allows."""
UNKNOWN = "0" * 32
"""A session that no runtime has."""
T = TypeVar("T")


def find_kind(kind: str) -> AdapterKind:
    """The installed kind of that name. Raises Broken if there is none, or none that can be used."""
    found = installed_adapters()
    if kind not in found:
        raise Broken(
            f"no installed package brings the kind {kind!r} in the entry point group {ENTRY_POINT_GROUP}, or what it "
            f"brings is no AdapterKind (see the log). Usable here: {', '.join(sorted(found)) or 'none'}"
        )
    return found[kind]


class Bench:
    """One peer for all checks. The record and the provider on it live until something breaks, and are made anew then.

    `watch` is the record as the provider sees it; `recorder` and `database` are what a control plane has.
    """

    watch: WatchedRecord
    recorder: Recorder
    database: Database
    provider: AgentProvider

    def __init__(self, kind: str | BuiltIn, peer: Peer) -> None:
        self.kind = kind
        self.peer = peer
        self.name = kind.name if isinstance(kind, BuiltIn) else "kit"
        """The provider's; sessions are `NAME:NATIVE`."""
        self.access: Access | None = None
        self.keep = MemoryKeep()
        self.said: list[str] = []
        """What the adapter told: errors that it raised, details of its checks, and its log lines of earlier checks."""
        self._logged: list[Any] = []
        self._folder: Path | None = None
        self._open = False
        self._up = False
        self._records = itertools.count(1)
        self._failures: list[str] = []
        self._made: list[str] = []

    # --- a life

    async def start(self) -> None:
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="mission-control-kit-"))
        place = self._folder / "peer"
        place.mkdir()
        await self.peer.start(place)
        if not isinstance(self.kind, BuiltIn):
            self.access = self.peer.access()

    async def close(self) -> None:
        try:
            await self.scrap()
        finally:
            try:
                await self.peer.close()
            finally:
                if self._folder is not None:
                    await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def prepare(self) -> None:
        """A provider that is connected, on a record."""
        if self._open:
            if not self._up:
                await self.again()
            return
        folder = self.folder / f"record-{next(self._records)}"
        folder.mkdir()
        self.keep = MemoryKeep()
        self.database = await asyncio.to_thread(open_database, folder / "record.db")
        self.recorder = Recorder(self.database, SystemClock(), Uuid7(), self._task_failed)
        await self.recorder.start()
        self.watch = WatchedRecord(self.recorder, self.database, self.name)
        self.provider = self.make()
        self._open = True
        await self.bring_up()

    async def scrap(self) -> None:
        """Let go of provider and record; `prepare` makes new ones."""
        if not self._open:
            return
        self._open = False
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_BOUND):
                await self.provider.close()
        await self.recorder.close()
        await self.database.close()

    @property
    def folder(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the bench is not started")
        return self._folder

    @property
    def patience(self) -> float:
        return self.peer.patience

    def make(self) -> AgentProvider:
        """A provider over the peer, not started."""
        if isinstance(self.kind, BuiltIn):
            return cast(Brings, self.peer).provider()
        return find_kind(self.kind).open(self.config(), self.reach.credentials, self.keep)

    @property
    def reach(self) -> Access:
        """Skips a check that is about addresses and credentials where there are none."""
        if self.access is None:
            raise Skipped("it is built in: nothing is connected, and there is nothing to log in to")
        return self.access

    @property
    def adapter(self) -> AdapterKind:
        """Skips a check that is about the kind where there is none."""
        if isinstance(self.kind, BuiltIn):
            raise Skipped("it is built in: no entry point brings it")
        return find_kind(self.kind)

    def config(self) -> AdapterConfig:
        kind = "" if isinstance(self.kind, BuiltIn) else self.kind
        return AdapterConfig(
            id="kit-1", name=self.name, kind=kind, gateway_url=self.reach.gateway_url, allow_insecure=True
        )

    async def bring_up(self) -> None:
        self._up = True
        await self.call(self.provider.start(self.watch), "start")
        await self.until_well()

    async def go_down(self) -> None:
        """Close the provider as a control plane does when it ends; the record stays."""
        self._up = False
        await self.call(self.provider.close(), "close", seconds=CLOSE_BOUND)
        await self.watch.apply("kit", [], durable=True)

    async def again(self) -> None:
        """A new provider on the same record, as after a restart of the control plane."""
        self.provider = self.make()
        await self.bring_up()

    async def until_well(self) -> None:
        await self.until("health() says ok", self._well)

    async def _well(self) -> bool:
        return self.provider.health().state == "ok"

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The peer is away and the provider knows it; afterwards it is there again, and the provider connected."""
        await self.peer.away()
        try:
            await self.until("health() tells that the peer is away", self._unwell)
            yield
        finally:
            await self.peer.back()
        await self.until_well()

    async def _unwell(self) -> bool:
        return not await self._well()

    # --- calls

    async def call(self, work: Awaitable[T], what: str, *, seconds: float | None = None) -> T:
        """The result of a call of the adapter, within its bound. Errors of the tree pass; others are broken."""
        bound = max(BOUND, self.patience) if seconds is None else seconds
        try:
            async with asyncio.timeout(bound):
                return await work
        except TimeoutError:
            raise Broken(f"{what} did not return within {bound:g} s") from None
        except MissionControlError as error:
            self.said.append(f"{error!r} {error.message} {error.details}")
            raise
        except Exception as error:
            self.said.append(repr(error))
            raise Broken(f"{what} raised {type(error).__name__} ({error}), which is none of domain.errors") from error

    async def refused(self, work: Awaitable[Any], what: str, *errors: type[MissionControlError]) -> MissionControlError:
        """The error that the call is refused with. Broken if it is not, or with another."""
        names = " or ".join(one.__name__ for one in errors)
        try:
            got = await self.call(work, what)
        except MissionControlError as error:
            if isinstance(error, errors):
                demand(error.message.strip(), f"{what} raised {type(error).__name__} without saying why")
                return error
            raise Broken(f"{what} raised {type(error).__name__} ({error.message}) instead of {names}") from error
        raise Broken(f"{what} was not refused: it returned {got!r}; it has to raise {names}")

    async def inject(self, native: str, content: str, *, injection_id: str | None = None, **more: Any) -> Receipt:
        """Send a message as an operator, through the adapter."""
        return await self.call(self.injecting(native, content, injection_id=injection_id, **more), "inject")

    async def deliver(self, native: str, content: str) -> None:
        """Send a message, however often the adapter finds that it is not connected, and wait until it arrived. What was
        sent before it would have arrived as well."""
        injection_id = new_id()

        async def sent() -> bool:
            try:
                return bool(await self.inject(native, content, injection_id=injection_id))
            except Unreachable:
                return False

        await self.until("a message is taken", sent)
        await self.until_heard(native, content)

    def injecting(
        self, native: str, content: str, *, injection_id: str | None = None, **more: Any
    ) -> Awaitable[Receipt]:
        chosen = injection_id or new_id()
        return self.provider.inject(native, injection_id=chosen, content=content, operator_id=OPERATOR, **more)

    # --- states

    async def until(self, what: str, probe: Callable[[], Awaitable[T | None]]) -> T:
        """Poll until there is an answer that is true, and return it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.patience
        while True:
            found = await probe()
            if found:
                return found
            if loop.time() > end:
                raise Broken(f"it did not come about within {self.patience:g} s that {what}{self._seen()}")
            await asyncio.sleep(STEP)

    def _seen(self) -> str:
        health = self.provider.health() if self._open else None
        return "" if health is None or health.state == "ok" else f"; health() says {health.state}: {health.detail}"

    async def session(self, native: str) -> AgentSession | None:
        """As it stands on record."""
        return await self.database.sessions.get(global_id(self.name, native))

    async def until_session(
        self, native: str, what: str, holds: Callable[[AgentSession], object] = lambda _: True
    ) -> AgentSession:
        last: list[AgentSession | None] = [None]

        async def probe() -> AgentSession | None:
            last[0] = await self.session(native)
            return last[0] if last[0] is not None and holds(last[0]) else None

        try:
            return await self.until(f"the session {native} {what}", probe)
        except Broken as error:
            seen = last[0]
            on_record = "it is not on record" if seen is None else f"it is {seen.status.value} ({seen.waiting_for})"
            raise Broken(f"{error}; {on_record}") from None

    async def new_session(self, *, parent: str | None = None) -> str:
        """A new session at the peer that is on record and waits for an operator."""
        native = await self.made(parent=parent)
        await self.until_idle(native)
        return native

    async def made(self, *, parent: str | None = None) -> str:
        """A new session at the peer, wherever the record stands."""
        native = await self.peer.new_session(parent=parent)
        self._made.append(native)
        return native

    async def tidy(self) -> None:
        """End the sessions that were made, so that those of one check are no burden to the next."""
        made, self._made = self._made, []
        for native in made:
            with suppress(Cannot):
                await self.peer.end(native)

    async def until_idle(self, native: str) -> AgentSession:
        return await self.until_session(native, "waits for an operator", is_idle)

    async def working(self) -> str:
        """A new session whose agent is at work, on record as such."""
        native = await self.new_session()
        await self.peer.work(native)
        await self.until_session(native, "is running", lambda one: one.status is SessionStatus.RUNNING)
        return native

    async def messages(self, native: str, *, limit: int = 500) -> list[AgentMessage]:
        """The whole transcript on record, page by page."""
        found: list[AgentMessage] = []
        after = 0
        while True:
            page = await self.database.messages.page(global_id(self.name, native), limit=limit, after=after)
            found.extend(page.items)
            if page.next_cursor is None:
                return found
            after = int(page.next_cursor)

    async def spoken(self, native: str) -> str:
        """What the agent said on record, in order."""
        if await self.session(native) is None:
            return ""
        return "\n".join(one.content for one in await self.messages(native) if is_speech(one))

    async def until_spoken(self, native: str, words: Sequence[str]) -> None:
        """Wait for the last of the words, and look that all are there, once, in order."""

        async def probe() -> bool:
            spoken = await self.spoken(native)
            return all(word in spoken for word in words)

        try:
            await self.until(f"{len(words)} words of {native} are on record", probe)
        except Broken as error:
            spoken = await self.spoken(native)
            missing = [word for word in words if word not in spoken]
            raise Broken(f"{error}; lost: {', '.join(missing[:5])} ({len(missing)} of {len(words)})") from None
        await self.check_spoken(native, words)

    async def check_spoken(self, native: str, words: Sequence[str]) -> None:
        spoken = await self.spoken(native)
        doubled = [word for word in words if spoken.count(word) > 1]
        demand(not doubled, f"said once and more than once on record: {', '.join(doubled[:5])}")
        places = [spoken.find(word) for word in words]
        demand(-1 not in places, f"lost: {', '.join(w for w, at in zip(words, places, strict=True) if at < 0)}")
        demand(places == sorted(places), "the words are not on record in the order in which they were said")

    async def until_level(self, native: str, words: Sequence[str]) -> None:
        """All of the words, once and in order, and the agent idle again with all its messages complete. A text
        whose end is told late may stand there as interrupted for a moment; what was said to the end does not stay so.
        """
        await self.until_spoken(native, words)
        await self.until_idle(native)

        async def complete() -> bool:
            found = await self.messages(native)
            said = [one for one in found if is_speech(one) and any(word in one.content for word in words)]
            return all(one.complete for one in found) and not any(one.metadata.get("interrupted") for one in said)

        await self.until(f"all messages of {native}, which is idle, are complete and none is interrupted", complete)
        await self.check_spoken(native, words)

    async def receipt(self, injection_id: str) -> Receipt | None:
        return await self.database.receipts.get(injection_id)

    async def until_receipt(self, injection_id: str, *states: ReceiptState) -> Receipt:
        async def probe() -> Receipt | None:
            found = await self.receipt(injection_id)
            return found if found is not None and found.state in states else None

        names = " or ".join(one.value for one in states)
        try:
            return await self.until(f"the message is {names}", probe)
        except Broken as error:
            found = await self.receipt(injection_id)
            seen = "there is no receipt on record" if found is None else f"it is {found.state.value} ({found.detail})"
            raise Broken(f"{error}; {seen}") from None

    async def heard(self, native: str, content: str) -> int:
        """How often the runtime took the message."""
        return sum(content in one for one in await self.peer.heard(native))

    async def until_heard(self, native: str, content: str) -> None:
        async def probe() -> bool:
            return await self.heard(native, content) > 0

        await self.until("the runtime has the message", probe)

    async def open_question(self, native: str) -> Approval:
        """The open question of a session."""

        async def probe() -> Approval | None:
            page = await self.database.approvals.page(state=ApprovalState.OPEN)
            return next((one for one in page.items if one.session_id == global_id(self.name, native)), None)

        return await self.until(f"a question of {native} is on record and open", probe)

    @asynccontextmanager
    async def listening(self, native: str, last_event_id: str | None = None) -> AsyncIterator[Listener]:
        """What a subscriber of the session is told, as it happens."""
        replay = REPLAY_MAX if last_event_id is None else None
        async with self.recorder.stream_session(global_id(self.name, native), last_event_id, replay) as stream:
            listener = Listener(stream)
            tasks = Tasks(self._task_failed)
            tasks.start(listener.run(), name=f"subscriber of {native}")
            try:
                yield listener
            finally:
                await tasks.close()

    # --- what may never be

    def faults(self) -> list[str]:
        """What broke the record's rules since the last look, and background work that failed."""
        found = [*self._failures, *(self.watch.faults if self._open else ())]
        self._failures.clear()
        if self._open:
            self.watch.faults.clear()
        return found

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._failures.append(f"background work failed: {name}: {error!r}")

    @asynccontextmanager
    async def hearing_logs(self) -> AsyncIterator[None]:
        """Collect everything that is logged."""
        handler = _Collector(self.said)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            with structlog.testing.capture_logs() as self._logged:
                yield
        finally:
            root.removeHandler(handler)
            self.said = self.everything_said()
            self._logged = []

    def everything_said(self) -> list[str]:
        """What the adapter told so far, its log lines of this check included."""
        return [*self.said, *map(str, self._logged)]


class _Collector(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__()
        self._into = into
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(self.format(record))


def new_id() -> str:
    """32 hex digits, as the control plane gives to messages."""
    return secrets.token_hex(16)


def new_words(count: int = 1) -> list[str]:
    """Words that stand nowhere else, and in no other of them."""
    base = secrets.token_hex(4)
    return [f"w{base}n{number:04d}" for number in range(count)]


def is_idle(session: AgentSession) -> bool:
    return session.status is SessionStatus.WAITING and session.waiting_for is WaitingFor.OPERATOR


def is_speech(message: AgentMessage) -> bool:
    return message.role is MessageRole.AGENT and message.kind is MessageKind.TEXT


def reason_of(session: AgentSession, capability: str) -> str:
    """Why the session cannot; "" if it does not say."""
    return session.capabilities.reasons.get(capability, "").strip()


def ids_of(sessions: Iterable[AgentSession]) -> list[str]:
    return [one.session_id for one in sessions]
