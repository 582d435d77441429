"""The connection to an agent over ACP: the opening, what is probed and refused; and that our frames fit the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from acp import schema

from mission_control_desktop.orchestrator.acp.known import parse_version, quirks_of
from mission_control_desktop.orchestrator.acp.updates import translate
from mission_control_desktop.orchestrator.core import events as ev
from support.playing import Play

HTTP = {"type": "http", "name": "mission-control", "url": "http://127.0.0.1:1/mcp", "headers": []}
STDIO = {"name": "mission-control", "command": "/bin/mc", "args": ["mcp"], "env": []}


def test_our_frames_fit_the_published_schema() -> None:
    play = Play(mcp_servers=(STDIO,), mode="code")
    modes = {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "code", "name": "Code"}]}
    play.open(close=True, modes=modes)
    play.reply("session/set_mode", {})
    approval = play.ask()
    play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    play.command("terminate")
    play.end_turn("cancelled")
    models: dict[str, Any] = {
        "initialize": schema.InitializeRequest,
        "session/new": schema.NewSessionRequest,
        "session/set_mode": schema.SetSessionModeRequest,
        "session/prompt": schema.PromptRequest,
        "session/cancel": schema.CancelNotification,
        "session/close": schema.CloseSessionRequest,
    }
    seen = set()
    for message in play.sent:
        assert message["jsonrpc"] == "2.0"
        if "method" in message:
            models[message["method"]].model_validate(message["params"])
            seen.add(message["method"])
        else:
            schema.RequestPermissionResponse.model_validate(message["result"])
    assert seen == set(models)
    ids = [message["id"] for message in play.sent if "method" in message and "id" in message]
    assert len(ids) == len(set(ids))


def test_what_is_offered_to_the_agent() -> None:
    play = Play()
    play.start()
    offered = play.sent[0]["params"]["clientCapabilities"]
    assert offered["fs"] == {"readTextFile": False, "writeTextFile": False}
    assert offered["terminal"] is False
    assert offered["subagents"] == {}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"protocolVersion": 2}, "version 2"),
        ({"protocolVersion": "x" * 10_000}, "version"),
    ],
)
def test_another_protocol_is_refused_with_words(result: dict[str, Any], words: str) -> None:
    play = Play()
    play.start()
    play.reply("initialize", result)
    assert play.did == ["kill"]
    play.exit(None, 9)
    assert play.status == "failed"
    assert words in (play.root.error or "")


def test_an_agent_that_needs_a_login_says_how() -> None:
    play = Play()
    play.start()
    methods = [{"id": "oauth", "name": "Log in with Google", "description": "opens a browser"}, {"id": 3}, "x"]
    play.reply("initialize", {"protocolVersion": 1, "agentInfo": {"name": "gemini-cli"}, "authMethods": methods})
    play.reply("session/new", error={"code": -32000, "message": "Authentication required"})
    play.exit(None, 9)
    assert play.status == "failed"
    assert "Log in with Google (opens a browser)" in (play.root.error or "")
    assert "log in" in (play.root.error or "")


@pytest.mark.parametrize("result", [None, [], "S", {}, {"sessionId": ""}, {"sessionId": 7}])
def test_a_session_without_an_id_fails(result: Any) -> None:
    play = Play()
    play.start()
    play.reply("initialize", {"protocolVersion": 1})
    play.reply("session/new", result)
    play.exit(None, 9)
    assert play.status == "failed"


@pytest.mark.parametrize(
    "result", [None, [], {}, {"agentInfo": [], "agentCapabilities": 3, "_meta": "x", "authMethods": {}}]
)
def test_a_poor_initialize_is_enough(result: Any) -> None:
    play = Play()
    play.start()
    play.reply("initialize", result)
    play.reply("session/new", {"sessionId": "S", "modes": "none", "configOptions": 4})
    assert play.status == "running"
    assert play.core.faults == 0


def test_a_mode_that_is_refused_ends_the_session() -> None:
    play = Play(mode="cautious").open(
        modes={"currentModeId": "auto", "availableModes": [{"id": "auto", "name": "Auto"}]}
    )
    play.reply("session/set_mode", error={"code": -32602, "message": "unknown mode"})
    play.exit(None, 9)
    assert play.status == "failed"
    assert "auto" in (play.root.error or "")
    assert play.prompts() == []


def test_a_mode_among_the_options_is_set_there() -> None:
    play = Play(mode="plan")
    play.start()
    play.reply("initialize", {"protocolVersion": 1})
    options = [{"id": "m", "category": "mode", "type": "select", "currentValue": "auto", "options": []}]
    play.reply("session/new", {"sessionId": "S", "configOptions": options})
    assert play.sent[-1]["method"] == "session/set_config_option"
    assert play.sent[-1]["params"] == {"sessionId": "S", "configId": "m", "value": "plan"}
    play.reply("session/set_config_option", {"configOptions": []})
    assert play.prompts() == ["Do it"]
    assert play.root.metadata["mode"] == "plan"


def test_servers_that_the_agent_cannot_reach_are_left_out_and_said() -> None:
    play = Play(mcp_servers=(HTTP, STDIO))
    play.open()
    assert play.requests("session/new")[0]["params"]["mcpServers"] == [STDIO]
    assert any("HTTP" in notice for notice in play.notices())
    able = Play(mcp_servers=(HTTP, STDIO))
    able.start()
    able.reply("initialize", {"protocolVersion": 1, "agentCapabilities": {"mcpCapabilities": {"http": True}}})
    assert able.requests("session/new")[0]["params"]["mcpServers"] == [HTTP, STDIO]


@pytest.mark.parametrize("method", ["fs/read_text_file", "terminal/create", "_vendor/thing", "elicitation/create"])
@pytest.mark.parametrize("rpc_id", [0, 5, "five", 1.5])
def test_what_was_not_offered_is_refused_at_once(method: str, rpc_id: Any) -> None:
    play = Play().open()
    play.line({"id": rpc_id, "method": method, "params": {}})
    assert play.sent[-1]["id"] == rpc_id
    assert play.sent[-1]["error"]["code"] == -32601


def test_ids_may_come_back_as_text() -> None:
    play = Play()
    play.start()
    play.line({"id": str(play.sent[0]["id"]), "result": {"protocolVersion": 1}})
    assert play.requests("session/new")


def test_updates_before_the_session_is_known_belong_to_the_root() -> None:
    play = Play()
    play.start()
    play.reply("initialize", {"protocolVersion": 1})
    play.update({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": "plan"}, {"x": 1}]})
    play.reply("session/new", {"sessionId": "S"})
    assert play.root.metadata["commands"] == ["plan"]
    assert set(play.core.sessions) == {play.core.spec.session_id}


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("codex-acp", "2.6.0", "queued"),
        ("@agentclientprotocol/codex-acp", "2.6.0", "queued"),
        ("codex-acp", "0.16.0", "unanswered"),
        ("@zed-industries/codex-acp", "9", "unanswered"),
        ("@agentclientprotocol/claude-agent-acp", "0.101.0", "folded"),
        ("OpenCode", "1.18.33", "folded"),
        ("qwen-code", "0.24.4", "interrupts"),
        ("gemini-cli", "0.61.0", "interrupts"),
        ("kimi-code", None, "refused"),
        ("@mistralai/mistral-vibe", "3.0.2", "refused"),
        ("somebody-else", "1", "unknown"),
        (None, None, "unknown"),
    ],
)
def test_the_table_of_known_agents(name: str | None, version: str | None, expected: str) -> None:
    assert quirks_of(name, version).second_prompt == expected


def test_versions() -> None:
    assert parse_version("v1.18.33-beta") == (1, 18, 33)
    assert parse_version("no version") == (0,)
    assert parse_version("9" * 5000) != ()


def test_steering_is_probed_not_assumed() -> None:
    assert Play().open(name="codex-acp", version="2.6.0").offers == ["queue", "interrupt"]
    assert Play().open(steering=True).offers == ["steer", "queue", "interrupt"]
    assert Play().open(name="qwen-code").offers == ["steer", "queue", "interrupt"]


UPDATES: list[tuple[dict[str, Any], ev.Event]] = [
    (
        {"sessionUpdate": "tool_call", "toolCallId": "t", "title": "X", "kind": "switch_mode", "status": "new"},
        ev.ToolUpsert(tool_call_id="t", title="X", kind="other", status=None),
    ),
    (
        {"sessionUpdate": "tool_call_update", "toolCallId": "t", "rawOutput": {"stdout": "out"}},
        ev.ToolUpsert(tool_call_id="t", text="out"),
    ),
    (
        {"sessionUpdate": "usage_update", "used": 1, "size": "x", "cost": {"amount": 0.5}},
        ev.UsageChanged(usage={"used": 1, "cost": {"amount": 0.5, "currency": "USD"}}),
    ),
    ({"sessionUpdate": "session_info_update", "title": "T"}, ev.TitleChanged(title="T")),
    ({"sessionUpdate": "current_mode_update", "currentModeId": "m"}, ev.ModeChanged(mode="m")),
    (
        {"sessionUpdate": "notice", "severity": "warning", "title": "A", "description": "B"},
        ev.Notice(level="warning", text="A\nB"),
    ),
    (
        {"sessionUpdate": "subagent_update", "sessionId": "C", "title": "t", "state": {"state": "running"}},
        ev.SubAgent(child="C", title="t", state="running"),
    ),
    (
        {"sessionUpdate": "subagent_update", "sessionId": "C", "state": {"state": "idle", "stopReason": "end_turn"}},
        ev.SubAgent(child="C", state="idle", stop_reason="end_turn"),
    ),
    (
        {"sessionUpdate": "subagent_spawned", "child_session_id": "C", "subagent_type": "explore"},
        ev.SubAgent(child="C", title="explore", state="running"),
    ),
    (
        {"sessionUpdate": "subagent_state_update", "childSessionId": "C", "state": "disconnected"},
        ev.SubAgent(child="C", state="idle", stop_reason="disconnected"),
    ),
    ({"sessionUpdate": "something_new", "x": 1}, ev.Unknown(kind="something_new")),
    ({"sessionUpdate": 5}, ev.Unknown(kind="(no kind)")),
]


@pytest.mark.parametrize(("update", "event"), UPDATES, ids=[str(update["sessionUpdate"]) for update, _ in UPDATES])
def test_translation(update: dict[str, Any], event: ev.Event) -> None:
    assert translate(None, update) == [event]


def test_unknown_kinds_are_counted_and_nothing_worse() -> None:
    play = Play().open()
    for _ in range(3):
        play.update({"sessionUpdate": "_vendor_thing", "x": [1]})
    play.line({"method": "_vendor/note", "params": {}})
    play.end_turn()
    assert play.root.metadata["unknownUpdates"] == {"_vendor_thing": 3, "notification _vendor/note": 1}
    assert play.status == "waiting/operator"


def test_the_raw_lines_are_one_line_each() -> None:
    play = Play(prompt="two\nlines\r\nand \u2028 more").open()
    line = json.dumps(play.requests("session/prompt")[0])
    assert "\n" not in line
    assert play.prompts() == ["two\nlines\r\nand \u2028 more"]
