"""Record what a real gateway tells of a few turns, for the unit tests: `tests/unit/recorded/openclaw.json`.

    PYTHONPATH=tests python -m live.record_frames tests/unit/recorded/openclaw.json

Kept are the events of each session in the order in which they came to a client that follows it, the history as it was
at the end, and the row. Only what the adapter reads is kept of rows, so that no path of this computer is among it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from live.desks import shell
from live.gateway import RealGateway
from live.model import ScriptedModel, play
from live.owner import Owner, owner_of

EVENTS = ("agent", "session.tool", "session.message", "sessions.changed")
STREAMS = ("assistant", "tool", "lifecycle", "run_status", None)
ROW = ("key", "sessionId", "agentId", "status", "hasActiveRun", "activeRunIds", "lastRunId", "abortedLastRun")
ROW_MORE = ("createdAt", "startedAt", "endedAt", "updatedAt", "snapshotAt", "totalTokens", "model", "spawnedBy")
Json = dict[str, Any]


class Scene:
    """One session, followed from its beginning."""

    def __init__(self, owner: Owner, key: str) -> None:
        self._owner = owner
        self.key = key
        self.events: list[Json] = []

    async def send(self, message: str, **more: Any) -> str:
        run_id = uuid.uuid4().hex
        await self._owner.call("chat.send", sessionKey=self.key, message=message, idempotencyKey=run_id, **more)
        return run_id

    async def until(self, *, active: bool, rows: int = 0, said: str = "") -> None:
        async with asyncio.timeout(60):
            while True:
                history = await self._owner.call("chat.history", sessionKey=self.key, limit=50)
                streamed = json.dumps(self.events)
                if (
                    (await self.row()).get("hasActiveRun") is active
                    and len(history["messages"]) >= rows
                    and said in streamed
                ):
                    return
                await asyncio.sleep(0.1)

    async def row(self) -> Json:
        rows = (await self._owner.call("sessions.list", limit=100))["sessions"]
        return _row(next(row for row in rows if row["key"] == self.key))

    async def recorded(self) -> Json:
        history = await self._owner.call("chat.history", sessionKey=self.key, limit=200)
        return {"events": self.events, "history": history["messages"], "row": await self.row()}


def _row(row: Json) -> Json:
    return {name: row[name] for name in (*ROW, *ROW_MORE) if name in row}


def _kept(event: str, payload: Json) -> Json | None:
    if event not in EVENTS or payload.get("stream") not in STREAMS:
        return None
    kept = {name: value for name, value in payload.items() if name not in ("session", "ancestorSessions")}
    if isinstance(payload.get("session"), dict):
        kept["session"] = _row(payload["session"])
    return {"event": event, "payload": kept}


async def steered(scene: Scene) -> None:
    await scene.send(play(shell("sleep 2; echo tool-done"), {"say": "over"}))
    await scene.until(active=True, rows=2)
    await scene.send("please hurry")
    await scene.until(active=False, rows=5)


async def aborted_in_a_command(scene: Scene) -> None:
    run_id = await scene.send(play(shell("sleep 100")))
    await scene.until(active=True, rows=2)
    await scene.send("afterwards this", queueMode="followup")
    await scene._owner.call("chat.abort", sessionKey=scene.key, runId=run_id)
    await scene.until(active=False, rows=5)


async def aborted_in_a_text(scene: Scene) -> None:
    run_id = await scene.send(play({"words": 100, "every": 0.1}))
    await scene.until(active=True, said="w9 ")
    await scene._owner.call("chat.abort", sessionKey=scene.key, runId=run_id)
    await scene.until(active=False, rows=2)


async def interrupted(scene: Scene) -> None:
    await scene.send(play({"words": 100, "every": 0.1}))
    await scene.until(active=True, said="w9 ")
    await scene.send("stop and do this", queueMode="interrupt")
    await scene.until(active=False, rows=3)


async def record() -> Json:
    model = ScriptedModel().start()
    with tempfile.TemporaryDirectory() as folder:
        gateway = RealGateway(Path(folder) / "gateway", model.url, lets_in=True)
        try:
            await asyncio.to_thread(gateway.start)
            caps = ("tool-events", "session-scoped-events")
            async with owner_of(gateway.url, gateway.token, caps=caps) as owner:
                scenes: dict[str, Scene] = {}

                def heard(event: str, payload: Any) -> None:
                    key = payload.get("sessionKey") if isinstance(payload, dict) else None
                    if key in scenes and (kept := _kept(event, payload)) is not None:
                        scenes[key].events.append(kept)

                owner.on_event = heard
                await owner.call("sessions.subscribe", limit=1)
                found: Json = {}
                for play_scene in (steered, aborted_in_a_command, aborted_in_a_text, interrupted):
                    key = str((await owner.call("sessions.create", agentId="main"))["key"])
                    scene = scenes[key] = Scene(owner, key)
                    await owner.call("sessions.messages.subscribe", key=key)
                    await play_scene(scene)
                    await asyncio.sleep(2)  # What the gateway still tells of it.
                    found[play_scene.__name__] = await scene.recorded()
                return found
        finally:
            gateway.kill()
            model.stop()


def _write(found: Json, place: Path) -> None:
    """One event or row a line."""
    scenes = []
    for name, scene in found.items():
        lists = [
            f'"{part}": [\n' + ",\n".join(json.dumps(_without_places(one)) for one in scene[part]) + "\n]"
            for part in ("events", "history")
        ]
        scenes.append(f'"{name}": {{\n' + ",\n".join([*lists, f'"row": {json.dumps(scene["row"])}']) + "\n}")
    place.write_text("{\n" + ",\n".join(scenes) + "\n}\n")


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_places(one) for name, one in value.items() if name != "cwd"}
    return [_without_places(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    _write(asyncio.run(record()), Path(sys.argv[1]))
