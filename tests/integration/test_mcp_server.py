"""The agents' tool server: a real process on real pipes against an HTTP server that stands in for the control plane."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.orchestrator.mcp import server as mcp_server

ME = "a" * 32
TOKEN = f"mca_{ME}_secret"


class ControlPlane:
    """Keeps sessions like the real one; `before` may answer a request itself (status, headers) first."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.sessions: dict[str, dict[str, Any]] = {ME: {"sessionId": ME, "status": "running"}}
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.keys: dict[str, Any] = {}
        self.before: Callable[[str, str], int | None] = lambda method, path: None
        self.server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, status: int, body: Any) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(raw)

            def serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                plane.requests.append((self.command, self.path, dict(self.headers), body))
                status = plane.before(self.command, self.path)
                if status is not None:
                    self.answer(status, {"error": {"code": "x", "message": f"as told {status}"}})
                elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer(401, {"error": {"code": "not_authenticated", "message": "no"}})
                else:
                    key = self.headers.get("Idempotency-Key")
                    if key is not None and key in plane.keys:
                        self.answer(*plane.keys[key])
                        return
                    result = plane.act(self.command, self.path, body)
                    if key is not None:
                        plane.keys[key] = result
                    self.answer(*result)

            do_GET = do_POST = serve

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        (self.data_dir / "control-plane.json").write_text(json.dumps({"url": url, "pid": 1, "version": "0"}))

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
            (self.data_dir / "control-plane.json").unlink()

    def act(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/agents/spawn":
            if body["profile"] == "nope":
                return 404, {"error": {"code": "not_found", "message": "There is no launch profile named 'nope'."}}
            number = f"{len(self.sessions):032x}"
            self.sessions[number] = {
                "sessionId": number,
                "parentSessionId": body["parentAgentId"],
                "status": "running",
                "title": body["title"],
            }
            return 201, self.sessions[number]
        if path == "/agents/tree":
            root: dict[str, Any] = {"session": self.sessions[ME], "children": []}
            root["children"] = [{"session": s, "children": []} for i, s in self.sessions.items() if i != ME]
            return 200, {"items": [root]}
        session_id = path.split("/")[2].split("?")[0]
        if session_id not in self.sessions:
            return 404, {"error": {"code": "not_found", "message": "There is no such session."}}
        if "/messages" in path:
            return 200, {"items": self.messages.get(session_id, []), "nextCursor": None}
        if path.endswith("/inject"):
            return 202, {"injectionId": "i", "sessionId": session_id, "state": "delivered"}
        return 200, self.sessions[session_id]

    def finish(self, session_id: str, text: str, status: str = "completed") -> None:
        messages = self.messages.setdefault(session_id, [])
        seq = len(messages) + 1
        messages.append({"role": "agent", "seq": seq, "content": text, "metadata": {"kind": "text", "complete": True}})
        self.sessions[session_id] |= {"status": status, "waitingFor": "operator" if status == "waiting" else None}


class Agent:
    """The agent's end of the pipes."""

    def __init__(self, data_dir: Path) -> None:
        (data_dir / "mcp-token").write_text(TOKEN + "\n")
        env = {
            "MISSION_CONTROL_DATA_DIR": str(data_dir),
            "MISSION_CONTROL_AGENT_ID": ME,
            "MISSION_CONTROL_AGENT_TOKEN_FILE": str(data_dir / "mcp-token"),
            "MISSION_CONTROL_AGENT_PROFILE": "mine",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(mcp_server.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        self.number = 0
        self.rest = b""

    def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def send(self, method: str, params: dict[str, Any] | None = None, *, notify: bool = False) -> int:
        self.number += 1
        frame: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if not notify:
            frame["id"] = self.number
        self.write(json.dumps(frame).encode() + b"\n")
        return self.number

    def read(self, seconds: float = 20) -> dict[str, Any]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "no answer in time"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "the server ended"
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        frame: dict[str, Any] = json.loads(line)
        return frame

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        number = self.send(method, params)
        frame = self.read()
        assert frame["id"] == number
        return frame

    def call(self, tool: str, **arguments: Any) -> tuple[str, bool]:
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        return result["content"][0]["text"], result["isError"]

    def close(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    plane = ControlPlane(tmp_path)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    yield agent
    if agent.process.poll() is None:
        agent.close()


@pytest.mark.parametrize(
    ("asked", "answered"), [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), ("2099-01-01", "2025-11-25")]
)
def test_greets_in_every_protocol_version(agent: Agent, asked: str, answered: str) -> None:
    result = agent.ask("initialize", {"protocolVersion": asked, "capabilities": {}})["result"]
    assert result["protocolVersion"] == answered
    assert result["serverInfo"]["name"] == "mission-control"
    agent.send("notifications/initialized", notify=True)
    assert agent.ask("ping")["result"] == {}
    tools = {tool["name"] for tool in agent.ask("tools/list")["result"]["tools"]}
    assert tools == {"spawn_subagent", "list_subagents", "message_subagent", "wait_for_subagent"}
    assert agent.close() == 0


def test_answers_nonsense_and_goes_on(agent: Agent) -> None:
    agent.write(b"this is no JSON\n\n")
    assert agent.read()["error"]["code"] == -32700
    agent.write(b'{"id": 3}\n42\n')
    assert agent.read()["error"]["code"] == -32600
    assert agent.read()["error"]["code"] == -32600
    agent.write(b"[" * 100_000 + b"\n")
    assert "error" in agent.read()
    agent.write(b'"' + b"x" * (mcp_server.MAX_FRAME + 10) + b'"\n')
    assert agent.read()["error"]["code"] == -32600
    assert agent.ask("resources/list")["error"]["code"] == -32601
    agent.write(b'{"jsonrpc":"2.0","id":7,"result":{}}\n[{"jsonrpc":"2.0","id":8,"method":"ping"}]\n')
    assert agent.read() == {"jsonrpc": "2.0", "id": 8, "result": {}}


def test_starts_messages_lists_and_waits(plane: ControlPlane, agent: Agent) -> None:
    assert agent.call("list_subagents") == ("You have no sub-agents.", False)
    text, failed = agent.call("spawn_subagent", task="Read the tests.\nAll of them.", agent_type="reader")
    child = f"{1:032x}"
    assert not failed
    assert child in text
    body = plane.requests[-1][3]
    assert body == {
        "profile": "mine",
        "prompt": "Read the tests.\nAll of them.",
        "parentAgentId": ME,
        "title": "Read the tests.",
        "endWhenIdle": True,
        "agentType": "reader",
    }
    assert child in agent.call("list_subagents")[0]
    text, _ = agent.call("wait_for_subagent", timeout_seconds=0.5)
    assert "call wait_for_subagent again" in text

    number = agent.send("tools/call", {"name": "wait_for_subagent", "arguments": {}})
    assert agent.ask("ping")["result"] == {}  # a wait blocks nothing
    plane.finish(child, "they are fine", "waiting")
    answer = agent.read()
    assert answer["id"] == number
    assert "they are fine" in answer["result"]["content"][0]["text"]
    assert "were reported" in agent.call("wait_for_subagent")[0]

    # After another message, idleness counts only once there are new words.
    assert "delivered" in agent.call("message_subagent", id=child, message="and now?")[0]
    assert "Still running" in agent.call("wait_for_subagent", id=child, timeout_seconds=0.4)[0]
    plane.finish(child, "better still", "waiting")
    assert "better still" in agent.call("wait_for_subagent", id=f"internal:{child}")[0]


def test_says_errors_in_plain_words(plane: ControlPlane, agent: Agent, tmp_path: Path) -> None:
    assert agent.call("spawn_subagent", task="x", profile="nope") == ("There is no launch profile named 'nope'.", True)
    assert agent.call("spawn_subagent", task=" ")[1]
    assert agent.call("spawn_subagent")[1]
    assert agent.call("no_such_tool")[1]
    assert agent.call("message_subagent", id="b" * 32, message="x") == ("There is no such session.", True)
    (tmp_path / "mcp-token").write_text("mca_other\n")
    text, failed = agent.call("list_subagents")
    assert failed
    assert "session has ended" in text
    (tmp_path / "mcp-token").unlink()
    assert agent.call("list_subagents")[1]


def test_survives_a_restart_without_doing_anything_twice(plane: ControlPlane, agent: Agent) -> None:
    plane.stop()
    number = agent.send("tools/call", {"name": "spawn_subagent", "arguments": {"task": "x"}})
    time.sleep(0.3)  # the call is in its back-off now; it must not end with an error

    def lose_the_first_answer(method: str, path: str) -> int | None:
        if len(plane.requests) == 1:
            plane.act(method, path, plane.requests[0][3])
            plane.keys[plane.requests[0][2]["Idempotency-Key"]] = (201, plane.sessions[f"{1:032x}"])
            return 502
        return None

    plane.before = lose_the_first_answer
    plane.start()
    answer = agent.read()
    assert answer["id"] == number
    assert not answer["result"]["isError"]
    spawns = [request for request in plane.requests if request[1] == "/agents/spawn"]
    assert len(spawns) == 2
    assert len({request[2]["Idempotency-Key"] for request in spawns}) == 1
    assert len(plane.sessions) == 2


def test_a_cancelled_call_is_not_answered(plane: ControlPlane, agent: Agent) -> None:
    agent.call("spawn_subagent", task="x")
    number = agent.send("tools/call", {"name": "wait_for_subagent", "arguments": {}})
    agent.send("notifications/cancelled", {"requestId": number, "reason": "changed my mind"}, notify=True)
    plane.finish(f"{1:032x}", "too late")
    assert "too late" in agent.call("wait_for_subagent")[0]


def test_ends_at_the_end_of_input_even_while_it_waits(plane: ControlPlane, agent: Agent) -> None:
    agent.call("spawn_subagent", task="x")
    agent.send("tools/call", {"name": "wait_for_subagent", "arguments": {}})
    assert agent.close() == 0
