"""From a model's word to the word on our stream, beside a bare WebSocket client on the same gateway in the same run.

`python -m benchmarks.openclaw [--sessions 4] [--words 200] [--every 0.1]`

The real gateway runs with a scripted model whose words are the times at which it says them. A control plane (a process
of its own) has the gateway registered; its event stream is read over HTTP. Who listens bare has the same capabilities
and subscriptions. A word counts once for each of the two, when it is seen first.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from live.gateway import RealGateway
from live.model import ScriptedModel, play
from live.owner import Owner, owner_of
from support.served import Served

WORD = re.compile(r"\b\d{19}\b")
API = "/api/mission-control/sessions"
PATIENCE = 240.0


class Seen:
    """Milliseconds from when a word was said to when it was seen first."""

    def __init__(self) -> None:
        self._words: dict[str, float] = {}

    def take(self, text: str) -> None:
        now = time.time_ns()
        for word in WORD.findall(text):
            if word not in self._words:
                self._words[word] = (now - int(word)) / 1e6

    def __len__(self) -> int:
        return len(self._words)

    def at(self, share: float) -> float:
        ordered = sorted(self._words.values())
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def _running(folder: Path) -> Iterator[tuple[RealGateway, Served]]:
    model = ScriptedModel().start()
    gateway = RealGateway(folder / "gateway", model.url)
    plane = Served(folder / "data")
    try:
        gateway.start()
        plane.start()
        yield gateway, plane
    finally:
        if plane.url:
            plane.end()
        gateway.kill()
        model.stop()


async def _register(gateway: RealGateway, plane: Served, owner: Owner) -> None:
    """As an admin and the gateway's owner do it together: add, let the device in, check."""
    body = {"name": "gate", "provider": "openclaw", "gatewayUrl": gateway.url, "credentials": gateway.token}
    made = await asyncio.to_thread(plane.admin.post, "/api/agent-providers", json=body)
    made.raise_for_status()
    async with asyncio.timeout(PATIENCE):
        while not (pending := (await owner.call("device.pair.list"))["pending"]):
            await asyncio.sleep(0.2)
        await owner.call("device.pair.approve", requestId=pending[0]["requestId"])
        path = f"/api/agent-providers/{made.json()['id']}/check"
        checked = await asyncio.to_thread(plane.admin.post, path, json={}, timeout=60)
        checked.raise_for_status()


async def _listen(plane: Served, key: str, seen: Seen, ready: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {plane.process.token}"}
    path = f"{API}/{quote(f'gate:{key}', safe='')}/stream"
    async with httpx.AsyncClient(base_url=plane.url, headers=headers, timeout=None, trust_env=False) as client:
        while (await client.get(path.removesuffix("/stream"))).status_code != 200:
            await asyncio.sleep(0.1)
        async with client.stream("GET", path) as answer:
            answer.raise_for_status()
            ready.set()
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    seen.take(line)


async def _run(gateway: RealGateway, plane: Served, sessions: int, words: int, every: float) -> tuple[Seen, Seen]:
    ours, bare = Seen(), Seen()
    async with owner_of(gateway.url, gateway.token) as owner, asyncio.TaskGroup() as group:
        await _register(gateway, plane, owner)
        async with owner_of(gateway.url, gateway.token, caps=("tool-events", "session-scoped-events")) as listener:
            listener.on_event = lambda _, payload: bare.take(str(payload))
            keys = [str((await owner.call("sessions.create", agentId="main"))["key"]) for _ in range(sessions)]
            listening = []
            for key in keys:
                await listener.call("sessions.messages.subscribe", key=key)
                ready = asyncio.Event()
                listening.append(group.create_task(_listen(plane, key, ours, ready)))
                async with asyncio.timeout(PATIENCE):
                    await ready.wait()
            script = play({"clock": words, "every": every})
            for number, key in enumerate(keys):
                await owner.call("chat.send", sessionKey=key, message=script, idempotencyKey=f"b{number}")
            async with asyncio.timeout(PATIENCE + words * every):
                while min(len(ours), len(bare)) < sessions * words:
                    await asyncio.sleep(0.1)
            for task in listening:
                task.cancel()
    return ours, bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--every", type=float, default=0.1, help="seconds between two words of a session")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as (gateway, plane):
        ours, bare = asyncio.run(_run(gateway, plane, given.sessions, given.words, given.every))
    print(f"{given.sessions} sessions of {given.words} words, one every {given.every * 1000:g} ms each")
    print(f"{'ms from the word':22} {'p50':>8} {'p99':>8} {'max':>8}")
    for name, seen in (("bare WebSocket client", bare), ("our stream (HTTP)", ours)):
        print(f"{name:22} {seen.at(0.5):8.1f} {seen.at(0.99):8.1f} {seen.at(1):8.1f}")
    print(f"{'ratio':22} {ours.at(0.5) / bare.at(0.5):8.2f} {ours.at(0.99) / bare.at(0.99):8.2f}")


if __name__ == "__main__":
    main()
