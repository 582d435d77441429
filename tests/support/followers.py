"""A window without its widgets: the real engine, feeds, inbox, transcript models and session store on a connection of
its own, and what an independent reading of the record says about what it shows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.inbox import WORKSPACE, Inbox, Link, LinkState
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageKind
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.transcript.model import TranscriptModel

REPLAY = 500
GROWING = (MessageKind.TEXT, MessageKind.THOUGHT)
LOOKED_BACK = 20

Opener = Callable[[], HttpMissionControl]


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """One hash over everything that an operator reads, in its order."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return whole.hexdigest()


def row(message: AgentMessage) -> tuple[Any, ...]:
    return (message.message_id, message.role.value, message.content, message.metadata)


def seen(session: AgentSession) -> AgentSession:
    """A session without what changes with every word."""
    evidence = msgspec.structs.replace(session.evidence, last_event_at=session.spawned_at)
    return msgspec.structs.replace(session, evidence=evidence)


@dataclass(frozen=True)
class Truth:
    """What the record has of a session, read without the network in between."""

    session: AgentSession
    messages: tuple[AgentMessage, ...]
    receipts: dict[str, Receipt]
    hash: str

    @classmethod
    def of(cls, session: AgentSession, messages: Sequence[AgentMessage], receipts: Iterable[Receipt]) -> Truth:
        by_id = {receipt.injection_id: receipt for receipt in receipts}
        return cls(session, tuple(messages), by_id, digest(row(message) for message in messages))


@dataclass(frozen=True)
class Glance:
    """What a transcript showed at the moment of a reconnect: all ids, and lengths and check sums of the last texts."""

    ids: tuple[str, ...]
    texts: tuple[tuple[str, int, int], ...]


@dataclass
class Followed:
    model: TranscriptModel
    glances: list[Glance] = field(default_factory=list)


class Follower:
    """Drained on the loop that made it. `reconnects` counts connections that came after a lost one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inbox = Inbox()
        self.faults: list[str] = []
        self.host = EngineHost(self.inbox, on_error=lambda where, error: self.faults.append(f"{where}: {error!r}"))
        self.store = SessionStore()
        self.followed: dict[str, Followed] = {}
        self.reconnects = 0
        self._lost: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._level: set[str] = set()
        self.inbox.on_wake(self._wake)
        self.host.start()
        self._taking = self._loop.create_task(self._run())

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def open(self, opener: Opener, sessions: Iterable[str]) -> None:
        """Connect anew and follow the workspace and these sessions from nothing."""

        async def connect() -> HttpMissionControl:
            return opener()

        await self.host.connect(connect)
        self.take()
        self.followed.clear()
        self._level.clear()
        self._lost.clear()
        self.store = SessionStore()
        self.host.open_workspace()
        for session_id in sessions:
            self.follow(session_id)

    def follow(self, session_id: str) -> None:
        model = TranscriptModel()
        self.followed[session_id] = Followed(model)
        model.level_wanted.connect(lambda _why: self._level.add(session_id))
        self.host.open_session(session_id, replay=REPLAY)

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            self.take()
            for session_id in list(self._level):
                await self._read_again(session_id)

    def take(self) -> None:
        for item in self.inbox.drain():
            if isinstance(item.event, Link):
                self._note(item.topic, item.event)
            elif item.topic == WORKSPACE:
                self.store.apply([item.event])
            elif (followed := self.followed.get(item.topic)) is not None:
                self._apply(followed, item.event)

    def _apply(self, followed: Followed, event: StreamEvent) -> None:
        followed.model.apply([event])
        self.store.put([event.data] if isinstance(event.data, AgentSession) else [])

    def _note(self, topic: str, link: Link) -> None:
        if link.state is LinkState.REFUSED:
            self.faults.append(f"{topic} was refused: {link.error}")
        elif link.state is LinkState.RECONNECTING:
            self._lost[topic] += 1
        elif link.state is LinkState.CONNECTED and self._lost[topic]:
            self._lost[topic] = 0
            self.reconnects += 1
            if topic in self.followed:
                self.followed[topic].glances.append(self.glance(topic))

    async def _read_again(self, session_id: str) -> None:
        """As a panel does when what came does not fit what it has."""
        followed = self.followed.get(session_id)
        if followed is None:
            self._level.discard(session_id)
            return
        try:
            page = await self.host.call(lambda mc: mc.messages(session_id, limit=REPLAY))
        except MissionControlError:
            followed.model.level_failed()
            self._loop.call_later(0.05, self._woken.set)
            return
        self._level.discard(session_id)
        followed.model.load(page.items, has_older=False)

    # -- what is shown

    def shown(self, session_id: str) -> list[AgentMessage]:
        return [entry.current() for entry in self.followed[session_id].model.entries]

    def glance(self, session_id: str) -> Glance:
        messages = self.shown(session_id)
        texts = [one for one in messages[-LOOKED_BACK:] if one.kind in GROWING]
        return Glance(
            ids=tuple(one.message_id for one in messages),
            texts=tuple((one.message_id, len(one.content), zlib.crc32(one.content.encode())) for one in texts),
        )

    def wrong(self, session_id: str, truth: Truth) -> str | None:
        """How the window differs from the record; None: it does not."""
        messages = self.shown(session_id)
        rows = [row(message) for message in messages]
        if digest(rows) != truth.hash:
            return difference([row(message) for message in truth.messages], rows)
        known = self.store.sessions.get(session_id)
        if known is None or seen(known) != seen(truth.session):
            return f"the session is {truth.session} on record and {known} in the window"
        return None

    def wrong_meanwhile(self, session_id: str, truth: Truth) -> str | None:
        """What a look at a reconnect showed that was never so: another order, a message twice, words that were not
        said. Forgets the looks."""
        order = {message.message_id: place for place, message in enumerate(truth.messages)}
        glances, self.followed[session_id].glances = self.followed[session_id].glances, []
        for glance in glances:
            places = [order.get(message_id, -1) for message_id in glance.ids]
            if any(after <= before for before, after in zip([-1, *places], places, strict=False)):
                return f"a reconnect showed messages in this order of the record: {places}"
            for message_id, length, crc in glance.texts:
                said = truth.messages[order[message_id]].content[:length]
                if len(said) != length or zlib.crc32(said.encode()) != crc:
                    return f"a reconnect showed {length} characters of {message_id} that are not on record"
        return None

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)
        assert await asyncio.to_thread(self.host.stop)


def difference(record: list[tuple[Any, ...]], shown: list[tuple[Any, ...]]) -> str:
    for place, (wanted, seen_) in enumerate(zip(record, shown, strict=False)):
        if wanted != seen_:
            return f"differs at {place} of {len(record)}: on record {wanted!r}, shown {seen_!r}"
    return f"{len(record)} on record, {len(shown)} shown"
