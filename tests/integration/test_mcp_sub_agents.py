"""Agents that start sub-agents through Mission Control's own tools: the whole program, real processes, real HTTP."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.control_plane import ControlPlaneProcess
from support.orchestration import DOUBLE, PATIENCE, sweep


class Person:
    """An admin with a client that finds the control plane again after a restart."""

    def __init__(self, plane: ControlPlaneProcess) -> None:
        self.plane = plane

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        return httpx.request(
            method,
            self.plane.url + path,
            json=body,
            headers={"Authorization": f"Bearer {token or self.plane.token}"},
            timeout=30,
        )

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def spawn(self, prompt: str, **fields: Any) -> str:
        answer = self.ask("POST", "/agents/spawn", {"profile": "double", "prompt": prompt, **fields})
        assert answer.status_code == 201, answer.text
        return native(answer.json()["sessionId"])

    def said(self, session: str) -> str:
        items = self.get(f"/agents/{session}/messages?limit=500")["items"]
        return "".join(one["content"] for one in items if one["metadata"]["kind"] == "text" and one["role"] == "agent")

    def until(self, probe: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := probe():
                return found
            time.sleep(0.05)
        raise AssertionError(f"did not come about: {what}; log: {self.plane.log.read_text()[-3000:]}")

    def until_said(self, session: str, text: str) -> str:
        def probe() -> str | None:
            said = self.said(session)
            return said if text in said else None

        found: str = self.until(probe, f"{text!r} in {session}, which said {self.said(session)!r}")
        return found

    def children(self, session: str) -> list[dict[str, Any]]:
        found = [one for one in self.get("/agents?limit=500")["items"] if one.get("parentSessionId")]
        return [one for one in found if native(one["parentSessionId"]) == session]


def native(session_id: str) -> str:
    return session_id.removeprefix("internal:")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    plane = ControlPlaneProcess(tmp_path / "data").start()
    person = Person(plane)
    try:
        command = [sys.executable, str(DOUBLE)]
        answer = person.ask("PUT", "/agents/profiles/double", {"runtime": "acp", "command": command, "cwd": "/tmp"})
        assert answer.status_code in (200, 201), answer.text
        yield person
    finally:
        plane.stop()
        sweep(tmp_path / "data")


def test_an_agent_starts_messages_and_waits_for_a_sub_agent(person: Person) -> None:
    parent = person.spawn(
        '[mcp spawn_subagent {"task":"[words 5 1][say one done]","title":"first"}][mcp wait_for_subagent]'
        '[mcp spawn_subagent {"task":"[say two done]","title":"second","keep_open":true}][mcp wait_for_subagent]'
        "[mcp wait_for_subagent][say finished]",
        missionId="m-7",
    )
    said = person.until_said(parent, "finished")
    assert "one done" in said
    assert "two done" in said
    assert "were reported" in said
    first, second = sorted(person.children(parent), key=lambda one: str(one["spawnedAt"]))
    assert (first["title"], second["title"]) == ("first", "second")
    assert first["missionId"] == "m-7"
    assert first["metadata"]["profile"] == "double"
    person.until(lambda: person.get(f"/agents/{native(first['sessionId'])}")["status"] == "completed", "one task")
    assert second["status"] == "waiting"

    other = person.spawn("[wait]")
    inject = {"content": f'[mcp message_subagent {{"id":"{native(second["sessionId"])}","message":"[say more]"}}]'}
    inject["content"] += f'[mcp wait_for_subagent {{"id":"{native(second["sessionId"])}"}}]'
    inject["content"] += f'[mcp message_subagent {{"id":"{other}","message":"hello stranger"}}][say over]'
    assert person.ask("POST", f"/agents/{parent}/inject", inject).status_code == 202
    said = person.until_said(parent, "over")
    assert "more" in said.partition("is delivered")[2] or "more" in said
    assert "refused:" in said  # the stranger is none of its sub-agents
    assert "hello stranger" not in person.said(other)


def test_an_agents_token_reaches_its_own_subtree_and_nothing_else(person: Person) -> None:
    parent, other = person.spawn("[say hi]"), person.spawn("[say ho]")
    person.until_said(parent, "hi")
    directory = person.plane.data_dir / "agents" / parent
    token = (directory / "mcp-token").read_text().strip()

    def asked(method: str, path: str, body: Any = None) -> int:
        return person.ask(method, path, body, token=token).status_code

    assert asked("GET", f"/agents/{parent}") == 200
    assert asked("GET", f"/agents/{other}") in (403, 404)
    assert asked("POST", f"/agents/{other}/inject", {"content": "x"}) in (403, 404)
    assert asked("POST", f"/agents/{other}/kill", {"reason": "x"}) in (403, 404)
    assert asked("POST", "/agents/kill-all", {"reason": "x"}) == 403
    assert asked("PUT", "/agents/profiles/evil", {"runtime": "acp", "command": ["sh"]}) == 403
    assert asked("GET", "/api/mission-control/audit") == 403
    assert asked("POST", "/agents/spawn", {"profile": "double", "parentAgentId": other}) in (403, 404)
    # Whatever an agent starts is its own sub-agent.
    started = person.ask("POST", "/agents/spawn", {"profile": "double"}, token=token)
    assert native(started.json()["parentSessionId"]) == parent
    person.ask("POST", f"/agents/{parent}/kill", {"reason": "done"})
    assert asked("GET", f"/agents/{parent}") == 401


def test_a_killed_control_plane_spawns_nothing_twice(person: Person) -> None:
    parent = person.spawn(
        '[mcp spawn_subagent {"task":"[words 400 5][say child done]"}][mcp wait_for_subagent]'
        '[mcp spawn_subagent {"task":"[say late]"}][mcp wait_for_subagent][say finished]'
    )
    person.until(lambda: person.children(parent), "the first sub-agent")
    person.plane.kill()
    time.sleep(0.5)
    person.plane.start()
    said = person.until_said(parent, "finished")
    assert "child done" in said
    assert "late" in said
    assert len(person.children(parent)) == 2
