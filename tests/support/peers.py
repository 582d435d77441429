"""What stands at the other end of our own adapters in the conformance kit: runtimes that do what a check wants."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import Conflict, NotFound
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import split_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator.keeper.client import read_journal
from mission_control_desktop.orchestrator.orchestrator import Orchestrator
from mission_control_desktop.orchestrator.profiles import ProfileStore
from mission_control_desktop.providers.conformance import Access, Cannot
from mission_control_desktop.server.running import Options, running
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from support.faulty_proxy import FaultyProxy, Schedule
from support.orchestration import DOUBLE, sweep
from support.records import SEALER

PEER = "peer"
"""Who speaks to the agents from behind."""


class Doubles:
    """Scripted agents under real keepers: what reached them stands in the journals of a data directory."""

    def __init__(self) -> None:
        self.data_dir = Path()

    async def prompt(self, session: str, text: str) -> None:
        raise NotImplementedError

    async def say(self, session: str, words: Sequence[str], *, pause: float = 0.0) -> None:
        """Each word, and a word of the agent's own that takes as long as the pause."""
        own = f"[words 1 {pause * 1000:.0f}]" if pause else ""
        await self.prompt(session, "".join(f"[say {word} ]{own}" for word in words))

    async def work(self, session: str) -> None:
        await self.prompt(session, "[wait]")

    async def ask(self, session: str) -> None:
        await self.prompt(session, "[permission]")

    async def works(self, session: str) -> bool:
        """Whether its agent's process is there. Its keeper may take longer to go."""
        return await asyncio.to_thread(_agent_lives, self.data_dir / "agents" / session)

    async def heard(self, session: str) -> Sequence[str]:
        methods = ("session/prompt", "_session/steering")
        frames = [one for one in await self._sent(session) if one.get("method") in methods]
        return ["".join(part.get("text", "") for part in one["params"]["prompt"]) for one in frames]

    async def answers(self, session: str) -> Sequence[str]:
        outcomes = [one["result"].get("outcome", {}) for one in await self._sent(session) if "result" in one]
        return [one["optionId"] for one in outcomes if isinstance(one, dict) and "optionId" in one]

    async def _sent(self, session: str) -> list[dict[str, Any]]:
        directory = self.data_dir / "agents" / session

        def read() -> list[dict[str, Any]]:
            return [json.loads(one.line) for one in read_journal(directory) if one.kind == "out" and one.line]

        return await asyncio.to_thread(read)


def _agent_lives(directory: Path) -> bool:
    started = next((one.data for one in read_journal(directory) if one.kind == "start" and one.data), None)
    if started is None:
        return False
    try:
        stat = Path(f"/proc/{started['pid']}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[0] not in ("Z", "X") and int(stat[19]) == started["startTime"]


class InternalPeer(Doubles):
    """The built-in orchestrator: its agents are processes of this computer, and nobody else speaks to them."""

    patience = 40.0

    def __init__(self) -> None:
        super().__init__()
        self._profiles: ProfileStore | None = None
        self._database: Database | None = None
        self._provider: Orchestrator | None = None

    async def start(self, folder: Path) -> None:
        self.data_dir = folder
        self._database = await asyncio.to_thread(open_database, folder / "profiles.db", SEALER)
        self._profiles = ProfileStore(self._database.profiles, environ={"PATH": os.environ["PATH"], "HOME": "/nowhere"})
        await self._profiles.put(
            LaunchProfile(name="double", command=(sys.executable, str(DOUBLE), "--steering"), cwd=str(folder))
        )

    async def close(self) -> None:
        if self._profiles is not None:
            await self._profiles.close()
        if self._database is not None:
            await self._database.close()
        await asyncio.to_thread(sweep, self.data_dir)

    def provider(self) -> Orchestrator:
        assert self._profiles is not None
        self._provider = Orchestrator(
            self.data_dir, self._profiles, clock=SystemClock(), ids=Uuid7(), environ=dict(os.environ)
        )
        return self._provider

    @property
    def _open(self) -> Orchestrator:
        assert self._provider is not None
        if self._provider._closing:
            raise Cannot("agents are started and spoken to by the orchestrator alone, which is closed")
        return self._provider

    def access(self) -> Access:
        raise Cannot("it is built in")

    async def new_session(self, *, parent: str | None = None) -> str:
        session = await self._open.spawn(SpawnRequest(profile="double", parent_agent_id=parent), actor=PEER)
        return split_id(session.session_id)[1]

    async def prompt(self, session: str, text: str) -> None:
        await self._open.inject(session, injection_id=Uuid7().new(), content=text, operator_id=PEER)

    async def end(self, session: str) -> None:
        with suppress(Conflict, NotFound):
            await self._open.kill(session)

    async def cut(self) -> None:
        raise Cannot("its agents are processes of this computer: there is no connection to cut")

    async def away(self) -> None:
        raise Cannot("it is its own runtime, and is away only with the control plane")

    async def back(self) -> None:
        raise Cannot("it is its own runtime")

    def spawning(self) -> SpawnRequest:
        return SpawnRequest(profile="double")


class FarPeer(Doubles):
    """Another Mission Control with a record and a port of its own, behind a proxy that can be cut."""

    patience = 40.0

    def __init__(self) -> None:
        super().__init__()
        self._tasks = Tasks(self._failed)
        self._serving: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._proxy: FaultyProxy | None = None
        self._url = ""
        self._admin: httpx.AsyncClient | None = None
        self._token = ""

    async def start(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        await self._serve(0)
        body = {"command": [sys.executable, str(DOUBLE)], "cwd": str(folder)}
        await self._ask("PUT", "/agents/profiles/double", body)
        self._token = (await self._ask("POST", "/api/tokens", {"user": "far", "role": "operator"}))["token"]
        self._proxy = await FaultyProxy(self._url).start()

    async def close(self) -> None:
        if self._proxy is not None:
            await self._proxy.close()
        await self.away()
        await asyncio.to_thread(sweep, self.data_dir)

    async def _serve(self, port: int) -> None:
        """In a task of its own: what serves must end in the task that it began in."""
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._serving = self._tasks.start(self._served(port, ready, self._stop), name="far control plane")
        self._url = await ready
        token = (self.data_dir / "local-token").read_text().strip()
        self._admin = httpx.AsyncClient(
            base_url=self._url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    async def _served(self, port: int, ready: asyncio.Future[str], stop: asyncio.Event) -> None:
        try:
            async with running(Options(data_dir=self.data_dir, port=port)) as served:
                ready.set_result(served.url)
                await stop.wait()
                served.hurry()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def _failed(self, name: str, error: BaseException) -> None:
        raise AssertionError(f"{name} failed") from error

    def access(self) -> Access:
        assert self._proxy is not None
        return Access(
            gateway_url=self._proxy.url,
            credentials=Credentials({"token": self._token}),
            wrong=Credentials({"token": "mc_wrong-but-printable"}),
        )

    async def new_session(self, *, parent: str | None = None) -> str:
        answer = await self._ask("POST", "/agents/spawn", {"profile": "double", "parentAgentId": parent})
        return str(answer["sessionId"])

    async def prompt(self, session: str, text: str) -> None:
        await self._ask("POST", f"/agents/{session}/inject", {"content": text})

    async def end(self, session: str) -> None:
        await self._ask("POST", f"/agents/{session}/kill", {"reason": "the check is over"}, 404, 409)

    async def _ask(self, method: str, path: str, body: dict[str, Any], *also: int) -> dict[str, Any]:
        assert self._admin is not None
        answer = await self._admin.request(method, path, json=body)
        assert answer.is_success or answer.status_code in also, answer.text
        return dict(answer.json())

    async def cut(self) -> None:
        assert self._proxy is not None
        self._proxy.play(Schedule(pause=0.0, faults=()))

    async def away(self) -> None:
        if self._admin is not None:
            await self._admin.aclose()
            self._admin = None
        self._stop.set()
        if self._serving is not None:
            await self._serving

    async def back(self) -> None:
        await self._serve(int(self._url.rpartition(":")[2]))

    def spawning(self) -> SpawnRequest:
        return SpawnRequest(profile="double")
