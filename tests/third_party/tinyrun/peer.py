"""The peer for the conformance kit: a Tinyrun whose agents do what the checks want."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.providers.conformance import Access
from tinyrun.runtime import TOKEN, Runtime


class TinyrunPeer:
    """Implements `Peer`. The runtime is in memory, so that the peer can look at it and move it from behind."""

    patience = 20.0

    def __init__(self) -> None:
        self._runtime = Runtime()

    async def start(self, folder: Path) -> None:
        await self._runtime.start()

    async def close(self) -> None:
        await self._runtime.close()

    def access(self) -> Access:
        return Access(
            gateway_url=f"http://127.0.0.1:{self._runtime.port}",
            credentials=Credentials({"token": TOKEN}),
            wrong=Credentials({"token": "not-the-token"}),
        )

    async def new_session(self, *, parent: str | None = None) -> str:
        return self._runtime.begin(parent).id

    async def say(self, session: str, words: Sequence[str], *, pause: float = 0.0) -> None:
        self._runtime.say(self._runtime.sessions[session], words, pause)

    async def work(self, session: str) -> None:
        self._runtime.work(self._runtime.sessions[session])

    async def works(self, session: str) -> bool:
        turn = self._runtime.sessions[session].turn
        return turn is not None and not turn.done() and not turn.cancelling()

    async def end(self, session: str) -> None:
        self._runtime.end(self._runtime.sessions[session], "completed")

    async def heard(self, session: str) -> Sequence[str]:
        known = self._runtime.sessions.get(session)
        return () if known is None else known.heard

    async def ask(self, session: str) -> None:
        self._runtime.ask(self._runtime.sessions[session])

    async def answers(self, session: str) -> Sequence[str]:
        return self._runtime.sessions[session].answers

    async def cut(self) -> None:
        self._runtime.cut()

    async def away(self) -> None:
        await self._runtime.stop()

    async def back(self) -> None:
        await self._runtime.start()

    def spawning(self) -> SpawnRequest:
        return SpawnRequest(profile="any")
