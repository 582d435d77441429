"""`mission-control serve` as a process of its own, with callers of every role and the scripted agent as a profile."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from mission_control_desktop.client.sse import RawEvent, SseParser
from mission_control_desktop.control.assembly import DATABASE_FILE
from support.control_plane import ControlPlaneProcess
from support.orchestration import DOUBLE, House
from support.records import migrated

T = TypeVar("T")
PATIENCE = 40.0


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Ask until there is an answer that is not None or False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.03)
    raise AssertionError(f"did not come about within {seconds:.0f} s: {what}")


class Served:
    """A control plane process; `stop`, `kill` and `start` it as often as a test likes."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.process = ControlPlaneProcess(data_dir, **environment)
        self._clients = ExitStack()
        self._admin: httpx.Client | None = None

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def start(self, *arguments: str) -> Served:
        self._clients.close()
        self._admin = None
        self.process.start(*arguments)
        return self

    def caller(self, token: str | None) -> httpx.Client:
        """A client with this token, closed at the latest with the server."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        made = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
        return self._clients.enter_context(made)

    @property
    def admin(self) -> httpx.Client:
        if self._admin is None:
            self._admin = self.caller(self.process.token)
        return self._admin

    def token(self, role: str, **more: Any) -> dict[str, Any]:
        body = {"user": f"{role}-person", "role": role, **more}
        answer = self.admin.post("/api/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def double(self, name: str = "double", *arguments: str) -> None:
        """Store the scripted agent as a launch profile."""
        body = {"command": [sys.executable, str(DOUBLE), *arguments], "cwd": str(self.data_dir)}
        assert self.admin.put(f"/agents/profiles/{name}", json=body).status_code == 200

    def spawn(self, prompt: str | None = None, *, profile: str = "double", **more: Any) -> str:
        """The control-plane id of a new session, idle or at work."""
        answer = self.admin.post("/api/mission-control/sessions", json={"profile": profile, "prompt": prompt, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["sessionId"])

    def session(self, session_id: str) -> dict[str, Any]:
        answer = self.admin.get(f"/api/mission-control/sessions/{quote(session_id, safe='')}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, session_id: str, **wanted: Any) -> dict[str, Any]:
        """The session once these fields have these values."""

        def probe() -> dict[str, Any] | None:
            now = self.session(session_id)
            return now if all(now[key] == value for key, value in wanted.items()) else None

        return wait_for(probe, f"{session_id} to be {wanted}; it is {self.session(session_id)}")

    def messages(self, session_id: str) -> list[dict[str, Any]]:
        answer = self.admin.get(f"/api/mission-control/sessions/{session_id}/messages?limit=500")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def audit(self, **filters: Any) -> list[dict[str, Any]]:
        answer = self.admin.get("/api/mission-control/audit", params={"limit": 500, **filters})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def end(self) -> None:
        """End the process and every agent that it started."""
        self._clients.close()
        self.process.stop()
        House(self.data_dir).sweep()


@contextmanager
def served(data_dir: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """A started control plane on a new record; nothing of it is left behind. Its log must not tell of anything
    unexpected."""
    if not (data_dir / DATABASE_FILE).exists():
        migrated(data_dir / DATABASE_FILE)
    made = Served(data_dir, **environment)
    try:
        yield made.start(*arguments)
    finally:
        made.end()
    lines = [json.loads(line) for line in made.log.splitlines() if line.startswith("{")]
    bad = [line for line in lines if "exception" in line or "Traceback" in json.dumps(line)]
    assert not bad, bad


class Listener:
    """One open stream, read with our own parser. A context manager."""

    def __init__(self, client: httpx.Client, path: str, last_event_id: str | None = None) -> None:
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._opened = client.stream("GET", path, headers=headers, timeout=httpx.Timeout(30))
        self.comments = 0

    def __enter__(self) -> Listener:
        self.response = self._opened.__enter__()
        self._events = self._read()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def events(self) -> Iterator[RawEvent]:
        """What comes next, until the server ends the stream."""
        return self._events

    def _read(self) -> Iterator[RawEvent]:
        parser = SseParser()
        for chunk in self.response.iter_raw():
            self.comments += chunk.count(b": alive")
            yield from parser.feed(chunk)

    def take(self, wanted: Callable[[RawEvent], object], *, most: int = 10_000) -> list[RawEvent]:
        """All events up to the first that is wanted."""
        found: list[RawEvent] = []
        for event in self._events:
            found.append(event)
            if wanted(event):
                return found
            assert len(found) < most
        raise AssertionError(f"the stream ended after {len(found)} events")


def environment_without_ours() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("MISSION_CONTROL_")}
