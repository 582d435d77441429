"""The demo agent as its client sees it: a real process on pipes, every frame checked against the protocol's schema."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import acp
import acp.schema
import httpx
import msgspec
import pytest

from mission_control_desktop.domain.demo import DEMO_MISSION
from mission_control_desktop.orchestrator.profiles import demo_profile
from support.control_plane import ControlPlaneProcess

AGENT = Path(__file__).parents[2] / "src/mission_control_desktop/orchestrator/demo/agent.py"
PATIENCE = 60.0
BEYOND_THE_SCHEMA = {"subagent_update"}
PROMPTS = tuple(request.prompt or "" for request in DEMO_MISSION)
RELEASE, FLAKY, AUDIT = PROMPTS
QUICK = "800"
SHORT_TASK = "Demo task: updates.\n\nWrite updates.md."
"""A worker's task that asks one question; quicker than a mission."""

Frame = dict[str, Any]


class Demo:
    """A client of one demo agent. Permission questions are answered with `answer` (None: not at all)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.frames: list[Frame] = []
        self.answer: str | None = "allow"
        self.session = ""
        self._number = 0

    async def send(self, method: str, params: Frame, *, request: bool = True) -> int:
        self._number += request
        number = {"id": self._number} if request else {}
        await self.write({**number, "method": method, "params": params})
        return self._number

    async def write(self, frame: Frame) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}).encode() + b"\n")
        await self.process.stdin.drain()

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                frame: Frame = json.loads(line)
                self.frames.append(frame)
                if frame.get("method") == "session/request_permission" and self.answer is not None:
                    outcome = {"outcome": "selected", "optionId": self.answer}
                    await self.write({"id": frame["id"], "result": {"outcome": outcome}})
                if wanted(frame):
                    return frame
        raise AssertionError("the agent ended")

    async def result(self, number: int) -> Any:
        frame = await self.until(lambda frame: frame.get("id") == number and "method" not in frame)
        return frame["result"] if "result" in frame else frame["error"]

    async def call(self, method: str, params: Frame) -> Any:
        return await self.result(await self.send(method, params))

    async def open(self, cwd: Path, *, subagents: bool = True, servers: list[Frame] | None = None) -> None:
        capabilities: Frame = {"subagents": {}} if subagents else {}
        hello = await self.call("initialize", {"protocolVersion": 1, "clientCapabilities": capabilities})
        acp.schema.InitializeResponse.model_validate(hello)
        assert hello["agentInfo"]["name"] == "demo-agent"
        assert hello["_meta"]["steering"]["supported"] is True
        made = await self.call("session/new", {"cwd": str(cwd), "mcpServers": servers or []})
        acp.schema.NewSessionResponse.model_validate(made)
        self.session = made["sessionId"]

    async def prompt(self, text: str) -> int:
        return await self.send(
            "session/prompt", {"sessionId": self.session, "prompt": [{"type": "text", "text": text}]}
        )

    async def steer(self, text: str) -> str:
        params = {"sessionId": self.session, "prompt": [{"type": "text", "text": text}]}
        outcome: str = (await self.call("_session/steering", params))["outcome"]
        return outcome

    async def until_said(self, text: str) -> None:
        await self.until(lambda _: text in self.said())

    def updates(self, kind: str, session: str | None = None) -> list[Frame]:
        return [
            frame["params"]["update"]
            for frame in self.frames
            if frame.get("method") == "session/update"
            and frame["params"]["update"]["sessionUpdate"] == kind
            and session in (None, frame["params"]["sessionId"])
        ]

    def said(self, session: str | None = None) -> str:
        """Everything said in a session (default: the root), one message below the other."""
        messages: dict[str, str] = {}
        for update in self.updates("agent_message_chunk", session or self.session):
            messages[update["messageId"]] = messages.get(update["messageId"], "") + update["content"]["text"]
        return "\n\n".join(messages.values())

    def asked(self) -> list[str]:
        return [
            frame["params"]["toolCall"]["title"]
            for frame in self.frames
            if frame.get("method") == "session/request_permission"
        ]


@contextlib.asynccontextmanager
async def demo(*options: str) -> AsyncIterator[Demo]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(AGENT),
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    client = Demo(process)
    try:
        yield client
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.wait_closed()
        async with asyncio.timeout(PATIENCE):
            await process.communicate()


def check_frames(frames: list[Frame]) -> None:
    """Every frame is what the protocol's own schema says."""
    for frame in frames:
        assert frame["jsonrpc"] == "2.0"
        if frame.get("method") == "session/update":
            if frame["params"]["update"]["sessionUpdate"] not in BEYOND_THE_SCHEMA:
                acp.schema.SessionNotification.model_validate(frame["params"])
        elif frame.get("method") == "session/request_permission":
            acp.schema.RequestPermissionRequest.model_validate(frame["params"])


@pytest.mark.parametrize("prompt", PROMPTS, ids=["release", "flaky", "audit"])
async def test_a_mission_shows_everything_and_does_what_it_says(tmp_path: Path, prompt: str) -> None:
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path)
        end = await client.result(await client.prompt(prompt))
        acp.schema.PromptResponse.model_validate(end)
        assert end["stopReason"] == "end_turn"
        check_frames(client.frames)
        assert "scripted, no model is asked" in client.said()
        assert client.asked()
        for kind in ("agent_thought_chunk", "usage_update", "available_commands_update"):
            assert client.updates(kind), kind
        plans = client.updates("plan")
        assert {entry["status"] for entry in plans[0]["entries"]} == {"in_progress", "pending"}
        assert {entry["status"] for entry in plans[-1]["entries"]} == {"completed"}

        # Every tool call ends, and what it shows is what is on the disk.
        ends = {
            update["toolCallId"]: update
            for update in client.updates("tool_call_update")
            if update["status"] in ("completed", "failed")
        }
        calls = client.updates("tool_call")
        assert {call["toolCallId"] for call in calls} == set(ends)
        assert {end["status"] for end in ends.values()} == {"completed"}
        assert {call["kind"] for call in calls} >= {"read", "execute", "edit"}
        written = {
            block["path"]: block["newText"]
            for end in ends.values()
            for block in end.get("content", [])
            if block["type"] == "diff"
        }
        assert len(written) >= 4
        for path, text in written.items():
            assert Path(path).read_text() == text
            assert Path(path).parent == tmp_path

        # Without a tool for sub-agents the helpers work in sub-sessions, one of them with one of its own.
        states: dict[str, list[str]] = {}
        for update in client.updates("subagent_update"):
            states.setdefault(update["sessionId"], []).append(update["state"]["state"])
            assert update["title"].startswith("Demo: ")
        assert len(states) == 5
        assert all(seen == ["running", "idle"] for seen in states.values())
        assert sum(name.count("-c") == 2 for name in states) == 1
        assert all("Result:" in client.said(name) for name in states)


async def test_without_the_capability_no_sub_session_is_reported(tmp_path: Path) -> None:
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path, subagents=False)
        assert (await client.result(await client.prompt(AUDIT)))["stopReason"] == "end_turn"
        assert not client.updates("subagent_update")
        assert {frame["params"]["sessionId"] for frame in client.frames if "params" in frame} == {client.session}
        check_frames(client.frames)


async def test_a_rejection_changes_what_is_done(tmp_path: Path) -> None:
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path)
        client.answer = "reject"
        await client.result(await client.prompt(RELEASE))
        assert (tmp_path / "VERSION").read_text() == "2.3.4\n"
        assert "(draft)" in (tmp_path / "CHANGELOG.md").read_text()
        assert "You declined" in client.said()


async def test_mode_auto_asks_nothing_and_always_asks_once(tmp_path: Path) -> None:
    async with demo("--pace", QUICK) as client:
        (tmp_path / "auto").mkdir()
        await client.open(tmp_path / "auto")
        await client.call("session/set_mode", {"sessionId": client.session, "modeId": "auto"})
        await client.result(await client.prompt(SHORT_TASK))
        assert "a copy of the lock file is kept" in client.said()
        assert client.asked() == []
    async with demo("--pace", QUICK) as client:
        (tmp_path / "ask").mkdir()
        await client.open(tmp_path / "ask")
        client.answer = "always"
        await client.result(await client.prompt(AUDIT))
        # Two edits and a command would be asked about: the second edit is allowed already.
        assert len(client.asked()) == 2


async def test_what_an_operator_says_is_heard_within_a_word(tmp_path: Path) -> None:
    async with demo("--pace", "40") as client:
        await client.open(tmp_path)
        turn = await client.prompt(RELEASE)
        await client.until(lambda frame: bool(client.said()))
        assert await client.steer("Mention the new logo") == "injected"
        await client.until_said("**The operator tells me:** “Mention the new logo”")
        await client.until_said("final report")
        assert await client.steer("status please") == "injected"
        await client.until_said("Step ")
        assert await client.steer("keep it short") == "injected"
        await client.until_said("I keep it short from here.")
        assert await client.steer("skip this") == "injected"
        await client.until_said("go on with the next step")
        assert await client.steer("wrap up") == "injected"
        assert (await client.result(turn))["stopReason"] == "end_turn"
        assert "Mention the new logo" in (tmp_path / "operator-notes.md").read_text()
        assert any(
            entry["content"] == "Operator: Mention the new logo" for entry in client.updates("plan")[-1]["entries"]
        )
        assert any(entry["content"].endswith("(skipped)") for entry in client.updates("plan")[-1]["entries"])
        assert await client.steer("anyone there?") == "promptRequired"
        check_frames(client.frames)


async def test_a_word_reaches_a_turn_that_waits_for_a_permission(tmp_path: Path) -> None:
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path)
        client.answer = None
        turn = await client.prompt(RELEASE)
        asked = await client.until(lambda frame: frame.get("method") == "session/request_permission")
        assert await client.steer("be careful with the number") == "injected"
        await client.until_said("be careful with the number")
        assert await client.steer("wrap up") == "injected"
        withdrawn = await client.until(lambda frame: frame.get("method") == "$/cancel_request")
        assert withdrawn["params"]["requestId"] == asked["id"]
        assert (await client.result(turn))["stopReason"] == "end_turn"
        assert (tmp_path / "VERSION").read_text() == "2.3.4\n"


async def test_one_prompt_at_a_time_cancel_and_go_on(tmp_path: Path) -> None:
    async with demo("--pace", "60") as client:
        await client.open(tmp_path)
        turn = await client.prompt(FLAKY)
        await client.until(lambda frame: bool(client.updates("subagent_update")))
        assert (await client.result(await client.prompt("another")))["code"] == -32600
        await client.send("session/cancel", {"sessionId": client.session}, request=False)
        assert (await client.result(turn))["stopReason"] == "cancelled"
        helpers = len(client.updates("subagent_update"))

        assert (await client.result(await client.prompt("please wait")))["stopReason"] == "end_turn"
        assert "I stay where I am" in client.said()
        turn = await client.prompt("Look at the history as well")
        await client.until_said("“Look at the history as well”")
        assert await client.steer("wrap up") == "injected"
        assert (await client.result(turn))["stopReason"] == "end_turn"
        # The helpers that were given out before the interruption are not given out again.
        running = [update for update in client.updates("subagent_update") if update["state"]["state"] == "running"]
        assert len({update["sessionId"] for update in running}) == len(running) <= max(helpers, 4)
        assert "## The flaky test" in client.said()
        check_frames(client.frames)


async def test_a_sub_session_can_be_cancelled_alone(tmp_path: Path) -> None:
    async with demo("--pace", "100") as client:
        await client.open(tmp_path)
        turn = await client.prompt(AUDIT)
        first = await client.until(lambda frame: bool(client.updates("subagent_update")))
        name = first["params"]["update"]["sessionId"]
        await client.send("session/cancel", {"sessionId": name}, request=False)
        await client.until(
            lambda frame: (
                {"state": "idle", "stopReason": "cancelled"}
                in [update["state"] for update in client.updates("subagent_update") if update["sessionId"] == name]
            )
        )
        assert await client.steer("wrap up") == "injected"
        assert (await client.result(turn))["stopReason"] == "end_turn"


async def test_an_idle_agent_answers(tmp_path: Path) -> None:
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path)
        await client.result(await client.prompt("Hello, who are you?"))
        assert "I am the **demo agent**" in client.said()
        await client.result(await client.prompt("The sky is green today"))
        assert "The sky is green today" in client.said()
        await client.result(await client.prompt("/files"))
        assert client.updates("tool_call")[-1]["kind"] == "execute"
        assert (await client.call("session/prompt", {"sessionId": "other", "prompt": []}))["code"] == -32602
        assert (await client.call("session/load", {"sessionId": "other"}))["code"] == -32601
        await client.write({"id": 99})
        assert (await client.call("session/close", {"sessionId": client.session})) == {}


async def test_it_never_touches_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    async with demo("--pace", QUICK) as client:
        await client.open(tmp_path)
        await client.result(await client.prompt(SHORT_TASK))
        folder = Path(client.updates("tool_call")[0]["rawInput"]["cwd"])
        assert folder.is_dir()
        assert folder != tmp_path
    assert client.process.returncode == 0
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


async def test_the_folder_of_one_that_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    folders = []
    for _ in range(2):
        async with demo("--pace", QUICK) as client:
            await client.open(tmp_path)
            await client.prompt(SHORT_TASK)
            await client.until(lambda frame: bool(client.updates("tool_call")))
            folders.append(Path(client.updates("tool_call")[0]["rawInput"]["cwd"]))
            assert [folder.exists() for folder in folders] == [False] * (len(folders) - 1) + [True]
            client.process.kill()
            await client.process.wait()
    shutil.rmtree(folders[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, None], ids=["sigterm", "end-of-input"])
async def test_it_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals | None) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    async with demo() as client:
        await client.open(tmp_path)
        await client.prompt(FLAKY)
        await client.until(lambda frame: bool(client.updates("tool_call")))
        folder = Path(client.updates("tool_call")[0]["locations"][0]["path"]).parent
        if number is not None:
            client.process.send_signal(number)
            async with asyncio.timeout(PATIENCE):
                assert await client.process.wait() == 128 + number
    assert client.process.returncode == (0 if number is None else 128 + number)
    assert not folder.exists()


async def test_the_same_seed_says_the_same(tmp_path: Path) -> None:
    spoken = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        async with demo("--pace", QUICK, "--seed", "7") as client:
            await client.open(tmp_path / name)
            await client.result(await client.prompt(SHORT_TASK))
            spoken.append(client.said())
    assert spoken[0] == spoken[1]
    names = sorted(path.name for path in (tmp_path / "one").glob("*.md"))
    assert names
    for name in names:
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text()


class SdkClient:
    """What the official SDK calls; the rest of its interface is for what the agent never asks."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.asked = 0

    def on_connect(self, connection: Any) -> None:
        pass

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self.kinds.add(update.session_update)

    async def request_permission(self, options: Any, session_id: str, tool_call: Any, **kwargs: Any) -> Any:
        self.asked += 1
        outcome = acp.schema.AllowedOutcome(outcome="selected", option_id=options[0].option_id)
        return acp.RequestPermissionResponse(outcome=outcome)


async def test_the_official_client_understands_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(AGENT), "--pace", QUICK), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    client = SdkClient()
    connection = acp.connect_to_agent(cast("acp.Client", client), process.stdin, process.stdout)
    try:
        async with asyncio.timeout(PATIENCE):
            await connection.initialize(protocol_version=acp.PROTOCOL_VERSION)
            session = await connection.new_session(cwd=str(tmp_path), mcp_servers=[])
            end = await connection.prompt(session_id=session.session_id, prompt=[acp.text_block(SHORT_TASK)])
            assert end.stop_reason == "end_turn"
    finally:
        await connection.close()
        process.stdin.close()
        await process.wait()
    assert client.asked == 1
    assert client.kinds >= {
        "agent_message_chunk",
        "agent_thought_chunk",
        "tool_call",
        "tool_call_update",
        "usage_update",
    }


async def test_a_real_control_plane_runs_the_whole_mission(tmp_path: Path) -> None:
    """Three orchestrators, each with sub-agents that are agents of their own, one level deeper once each."""
    plane = ControlPlaneProcess(tmp_path / "data").start()
    try:
        headers = {"Authorization": f"Bearer {plane.token}"}
        async with httpx.AsyncClient(base_url=plane.url, headers=headers, timeout=PATIENCE) as http:
            command = [sys.executable, str(AGENT), "--pace", "300"]
            put = await http.put("/agents/profiles/quick-demo", json={"runtime": "acp", "command": command})
            assert put.is_success, put.text
            for request in DEMO_MISSION:
                body = {key: value for key, value in msgspec.to_builtins(request).items() if value is not None}
                spawned = await http.post("/agents/spawn", json=body | {"profile": "quick-demo"})
                assert spawned.status_code == 201, spawned.text
            sessions = await _until_idle(http)
            parents = {session["sessionId"]: session.get("parentSessionId") for session in sessions}
            depths = sorted(_depth(parents, session) for session in parents)
            assert depths == [0] * 3 + [1] * 12 + [2] * 3
            final = {session["status"] for session in sessions if parents[session["sessionId"]] is not None}
            assert final == {"completed"}
            assert all(re.match(r"Demo: ", session["title"]) for session in sessions)
            for session in sessions:
                page = await http.get(f"/agents/{session['sessionId']}/messages", params={"limit": 500})
                said = [m["content"] for m in page.json()["items"] if m["role"] == "agent"]
                assert said
                if parents[session["sessionId"]] is not None:
                    assert "Result:" in said[-1]
            kill = await http.post("/agents/kill-all", json={"reason": "the test is over"})
            assert kill.is_success, kill.text
    finally:
        plane.stop()


async def _until_idle(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Answer every question until the three orchestrators wait for the operator."""
    async with asyncio.timeout(100):
        while True:
            asked = (await http.get("/api/mission-control/approvals", params={"state": "open"})).json()["items"]
            for approval in asked:
                await http.post(f"/api/mission-control/approvals/{approval['approvalId']}", json={"optionId": "allow"})
            sessions: list[dict[str, Any]] = (await http.get("/agents")).json()["items"]
            roots = [session for session in sessions if session.get("parentSessionId") is None]
            if len(sessions) == 18 and all(session.get("waitingFor") == "operator" for session in roots):
                return sessions
            await asyncio.sleep(0.2)


def _depth(parents: dict[str, str | None], session: str) -> int:
    parent = parents[session]
    return 0 if parent is None else 1 + _depth(parents, parent)


async def test_its_profile_works_in_any_directory(tmp_path: Path) -> None:
    for name in ("json", "random", "mcp", "scripts", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not the standard library')")
    process = await asyncio.create_subprocess_exec(
        *demo_profile().command, cwd=tmp_path, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
    out, _ = await process.communicate(json.dumps(hello).encode() + b"\n")
    assert json.loads(out)["result"]["agentInfo"]["name"] == "demo-agent"
    assert process.returncode == 0


def test_the_mission_is_named_a_demo_throughout() -> None:
    assert len(DEMO_MISSION) == 3
    for request in DEMO_MISSION:
        assert request.profile == request.mission_id == request.agent_type == "demo"
        assert request.title is not None
        assert request.title.startswith("Demo: ")
