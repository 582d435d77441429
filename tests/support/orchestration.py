"""A real orchestrator on a real record, with the scripted agent as its launch profiles."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor, global_id, split_id
from mission_control_desktop.orchestrator.keeper.client import (
    keeper_alive,
    read_identity,
    read_journal,
)
from mission_control_desktop.orchestrator.orchestrator import Limits, Orchestrator
from mission_control_desktop.orchestrator.profiles import ProfileStore
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from support.records import SEALER, migrated

DOUBLE = Path(__file__).parent.parent / "support_agents" / "double.py"
PATIENCE = 40.0
T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T | None]], what: str, seconds: float = PATIENCE) -> T:
    """Ask until there is an answer that is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := await probe():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"did not come about within {seconds:.0f} s: {what}")


def ticking(file: Path) -> Callable[[], Awaitable[bool]]:
    """A probe: whether the file grows within a quarter of a second."""

    async def grows() -> bool:
        before = file.stat().st_size if file.exists() else 0
        await asyncio.sleep(0.25)
        return (file.stat().st_size if file.exists() else 0) > before

    return grows


class House:
    """Data directory, database, recorder and orchestrator; `stop` and `start` again as often as a test likes."""

    def __init__(self, data_dir: Path, *, limits: Limits | None = None, cgroups: bool = True) -> None:
        self.data_dir = data_dir
        self.limits = limits
        self.cgroups = cgroups
        self.errors: list[tuple[str, BaseException]] = []
        self.database: Database
        self.recorder: Recorder
        self.profiles: ProfileStore
        self.orchestrator: Orchestrator

    async def start(self) -> House:
        clock, ids = SystemClock(), Uuid7()
        path = self.data_dir / DATABASE_FILE
        if not path.exists():
            await asyncio.to_thread(migrated, path)
        self.database = await asyncio.to_thread(open_database, path, SEALER)
        self.recorder = Recorder(self.database, clock, ids, lambda name, error: self.errors.append((name, error)))
        await self.recorder.start()
        self.profiles = ProfileStore(self.database.profiles, environ={"PATH": os.environ["PATH"], "HOME": "/nowhere"})
        self.orchestrator = Orchestrator(
            self.data_dir,
            self.profiles,
            clock=clock,
            ids=ids,
            environ=dict(os.environ),
            limits=self.limits,
            cgroups=self.cgroups,
        )
        await self.orchestrator.start(self.recorder.provider_record("internal"))
        return self

    async def stop(self) -> None:
        await self.orchestrator.close()
        await self.recorder.close()
        await self.profiles.close()
        await self.database.close()

    async def profile(self, name: str = "double", *arguments: str, **fields: Any) -> None:
        await self.profiles.put(
            LaunchProfile(name=name, command=(sys.executable, str(DOUBLE), *arguments), cwd="/tmp", **fields)
        )

    async def spawn(self, prompt: str | None = None, *, profile: str = "double", **fields: Any) -> str:
        """The native id of the new session."""
        session = await self.orchestrator.spawn(SpawnRequest(profile=profile, prompt=prompt, **fields), actor="test")
        return split_id(session.session_id)[1]

    # -- what is on record

    async def session(self, native: str) -> AgentSession:
        found = await self.database.sessions.get(global_id("internal", native))
        assert found is not None
        return found

    async def until(self, native: str, wanted: Callable[[AgentSession], object]) -> AgentSession:
        last: list[AgentSession] = []

        async def probe() -> AgentSession | None:
            found = await self.database.sessions.get(global_id("internal", native))
            if found is None:
                return None
            last[:] = [found]
            return found if wanted(found) else None

        try:
            return await eventually(probe, f"session {native}")
        except AssertionError as error:
            said = await self.said(native) if last else ""
            raise AssertionError(f"{error}; last seen: {last}; transcript: {said}") from None

    async def until_status(self, native: str, *statuses: SessionStatus) -> AgentSession:
        return await self.until(native, lambda session: session.status in statuses)

    async def until_idle(self, native: str) -> AgentSession:
        return await self.until(native, lambda session: session.waiting_for is WaitingFor.OPERATOR)

    async def messages(self, native: str) -> list[AgentMessage]:
        found: list[AgentMessage] = []
        after = 0
        while page := await self.database.messages.page(global_id("internal", native), limit=500, after=after):
            items = list(page.items)
            if not items:
                break
            found += items
            after = items[-1].seq
        return found

    async def said(self, native: str, kind: str = "text") -> str:
        """The agent's words on record, joined."""
        return "".join(
            message.content
            for message in await self.messages(native)
            if message.metadata.get("kind") == kind and message.role in ("agent", "system")
        )

    async def until_said(self, native: str, text: str, kind: str = "text") -> str:
        async def probe() -> str | None:
            said = await self.said(native, kind)
            return said if text in said else None

        return await eventually(probe, f"{text!r} in {kind} of {native}")

    async def open_approval(self, native: str) -> Approval:
        async def probe() -> Approval | None:
            page = await self.database.approvals.page(state=ApprovalState.OPEN)
            own = [one for one in page.items if one.session_id == global_id("internal", native)]
            return own[0] if own else None

        return await eventually(probe, f"an open approval of {native}")

    def directory(self, native: str) -> Path:
        return self.data_dir / "agents" / native

    def journal_text(self, native: str) -> str:
        """What the agent said according to its journal: the text of all its chunks."""
        parts = []
        for entry in read_journal(self.directory(native)):
            if entry.kind == "in" and entry.line is not None:
                with contextlib.suppress(ValueError):
                    frame = json.loads(entry.line)
                    update = frame.get("params", {}).get("update", {}) if isinstance(frame, dict) else {}
                    if update.get("sessionUpdate") == "agent_message_chunk":
                        parts.append(update["content"]["text"])
        return "".join(parts)

    async def gone(self, native: str) -> None:
        """Wait until nothing of the session's processes is left and its directory is marked."""

        async def probe() -> bool:
            ended = (self.directory(native) / "ended").exists()
            return ended and not await asyncio.to_thread(keeper_alive, self.directory(native))

        await eventually(probe, f"the end of {native}")

    def sweep(self) -> int:
        return sweep(self.data_dir)


def sweep(data_dir: Path) -> int:
    """Kill everything that is left; the number of agent processes that were."""
    count = 0
    agents = data_dir / "agents"
    for directory in agents.iterdir() if agents.is_dir() else ():
        identity = read_identity(directory)
        if identity is not None and keeper_alive(directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, signal.SIGKILL)
            deadline = time.monotonic() + 5
            while keeper_alive(directory) and time.monotonic() < deadline:
                time.sleep(0.01)
        count += len(kill_tree_of_dead_keeper(directory).killed)
    return count


@contextlib.asynccontextmanager
async def house(data_dir: Path, *, limits: Limits | None = None, cgroups: bool = True) -> AsyncIterator[House]:
    """A started house with the profile `double`; nothing of it is left behind."""
    built = await House(data_dir, limits=limits, cgroups=cgroups).start()
    try:
        await built.profile()
        yield built
    finally:
        await built.stop()
        await asyncio.to_thread(built.sweep)
    assert built.errors == []
