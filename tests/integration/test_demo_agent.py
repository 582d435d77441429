"""The demo agent as a client of the protocol meets it: a real process on pipes."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Json = dict[str, Any]
RELEASE = "Prepare release 2.4"
DEADLINE = 60


class Client:
    """The other end of the demo agent's pipes. `asked` answers permission questions by option id."""

    def __init__(self, pace: int) -> None:
        command = [sys.executable, "-m", "mission_control_desktop.orchestrator.demo.agent", "--pace", str(pace)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: queue.Queue[Json] = queue.Queue()
        self.seen: list[Json] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def send(self, message: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def until(self, holds: Callable[[Json], bool]) -> Json:
        while True:
            message = self.lines.get(timeout=DEADLINE)
            self.seen.append(message)
            if holds(message):
                return message

    def answer_to(self, request_id: int) -> Json:
        return self.until(lambda message: message.get("id") == request_id and "method" not in message)

    def prompt(self, request_id: int, text: str) -> None:
        content = [{"type": "text", "text": text}]
        self.send({"id": request_id, "method": "session/prompt", "params": {"sessionId": "s", "prompt": content}})

    def question(self) -> Json:
        return self.until(lambda message: message.get("method") == "session/request_permission")

    def updates(self, kind: str) -> list[Json]:
        found = [message["params"]["update"] for message in self.seen if message.get("method") == "session/update"]
        return [update for update in found if update["sessionUpdate"] == kind]

    def said(self) -> str:
        return "".join(update["content"]["text"] for update in self.updates("agent_message_chunk"))


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(pace=600)
    client.send({"id": 1, "method": "initialize", "params": {"clientCapabilities": {"subagents": {}}}})
    hello = client.answer_to(1)["result"]
    assert hello["_meta"]["steering"]["supported"]
    assert "demo" in hello["agentInfo"]["name"]
    client.send({"id": 2, "method": "session/new", "params": {"cwd": "/", "mcpServers": []}})
    client.answer_to(2)
    yield client
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(DEADLINE) == 0
    assert client.process.stdout is not None
    client.process.stdout.close()


def select(question: Json, option: str) -> Json:
    return {"id": question["id"], "result": {"outcome": {"outcome": "selected", "optionId": option}}}


@pytest.mark.parametrize(("option", "words", "ran"), [("allow", "Tagged", True), ("reject", "no tag yet", False)])
def test_the_answer_to_its_question_decides(client: Client, option: str, words: str, ran: bool) -> None:
    client.prompt(3, RELEASE)
    question = client.question()
    tool = question["params"]["toolCall"]["toolCallId"]
    client.send(select(question, option))
    assert client.answer_to(3)["result"]["stopReason"] == "end_turn"
    assert words in client.said()
    outcomes = [u["status"] for u in client.updates("tool_call_update") if u["toolCallId"] == tool]
    assert outcomes == ["completed" if ran else "failed"]
    assert client.updates("plan")
    assert client.updates("agent_thought_chunk")
    states = [update["state"]["state"] for update in client.updates("subagent_update")]
    assert states == ["running", "idle"]


def test_it_reacts_to_what_it_is_told_in_mid_turn(client: Client) -> None:
    client.prompt(3, RELEASE)
    question = client.question()
    steer = {"sessionId": "s", "prompt": [{"type": "text", "text": "mind the umlauts"}]}
    client.send({"id": 4, "method": "_session/steering", "params": steer})
    assert client.answer_to(4)["result"]["outcome"] == "injected"
    client.send(select(question, "allow"))
    client.answer_to(3)
    assert "mind the umlauts" in client.said()
    assert any("mind the umlauts" in entry["content"] for entry in client.updates("plan")[-1]["entries"])
    client.send({"id": 5, "method": "_session/steering", "params": steer})
    assert client.answer_to(5)["result"]["outcome"] == "promptRequired"


def test_it_can_be_cancelled_and_takes_one_prompt_at_a_time(client: Client) -> None:
    client.prompt(3, RELEASE)
    question = client.question()
    client.prompt(4, "another")
    assert client.answer_to(4)["error"]["code"] == -32600
    client.send({"method": "session/cancel", "params": {"sessionId": "s"}})
    client.send({"id": question["id"], "result": {"outcome": {"outcome": "cancelled"}}})
    assert client.answer_to(3)["result"]["stopReason"] == "cancelled"
    client.prompt(5, "hello there")
    assert client.answer_to(5)["result"]["stopReason"] == "end_turn"
    assert "hello there" in client.said()
