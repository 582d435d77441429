#!/usr/bin/env python3
"""A scripted agent that speaks ACP v1 over stdio: the test double for every behaviour seen in real agents, good or bad.

Standard library only, one file, started like any agent: `python double.py [options]`. Options say what kind of agent it
is; marks in square brackets inside a prompt say what the turn does, in their order. A prompt without marks is answered
with three words and an echo.

Options
    --name NAME          agentInfo.name (default "double")
    --second POLICY      what a second session/prompt during a turn gets: queue (default), reject, interrupt, fold
    --steering           advertises and answers `_session/steering`
    --qwen               asks the client `craft/drainMidTurnQueue` after every tool
    --subagents          reports sub-agents even if the client did not opt in
    --exit CODE          says why on standard error and exits at once
    --garbage            prints lines that are no JSON before it speaks, and between updates
    --stderr MIB         floods standard error before it speaks
    --no-init            never answers initialize
    --init-error         answers initialize with an error
    --no-session         answers session/new with an error (wants a login)
    --ignore-eof         lives on when standard input ends
    --ignore-term        ignores SIGTERM
    --exit-after-turn C  exits with this code after its first turn
    --resume DIR         keeps its sessions in DIR and offers `session/resume`
    --load DIR           keeps its sessions in DIR and offers `session/load`, which repeats what was said
    --load-error         refuses to resume or load
    --repeats            a prompt that was not answered is merged with the next one

Marks
    [words N MS]  N words, one every MS milliseconds      [thought]  [plan]
    [until FILE]  words, one every 5 milliseconds, until FILE exists
    [tool]        a tool call with output                 [ticks FILE]  a tool whose shell (own session) writes ticks
    [permission]  asks allow once / reject once           [daemon FILE]  leaves a double-forked setsid daemon that ticks
    [subagent N]  reports a child session with N words    [bigline MIB]  one line of so many MiB
    [stderr MIB]  floods standard error                   [garbage]  lines that are no JSON
    [exit CODE]   exits in mid-turn                       [hang]  never ends the turn, not even on cancel
    [wait]        runs until it is cancelled              [noend]  forgets to answer the prompt, then accepts the next
    [error]       answers the prompt with an error        [unknown]  updates and requests that nobody knows
    [usage]       usage_update                            [mcp TOOL JSON]  calls a tool of the first MCP server given
    [say TEXT]    says TEXT                               [cwd]  says its working directory
    [env NAME]    says an environment variable's value    [deaf]  reads nothing more from now on
    [flood N]     N thousand words as fast as it can      [undead FILE]  a daemon that ignores every polite signal
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

MARK = re.compile(r"\[([a-z]+)(?: ((?:[^\[\]]|\[[^\[\]]*\])*))?\]")
TICKER = "while :; do date +%s%N >> {file}; sleep 0.05; done"


class Cancelled(Exception):
    pass


class McpClient:
    """The least of an MCP client: starts the stdio server it was given and calls a tool."""

    def __init__(self, server: dict[str, Any]) -> None:
        env = dict(os.environ) | {item["name"]: item["value"] for item in server.get("env", [])}
        self.process = subprocess.Popen(
            [server["command"], *server["args"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )
        self.number = 0
        self.request(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "double", "version": "1"}},
        )
        self.write({"method": "notifications/initialized"})

    def write(self, frame: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}) + "\n")
        self.process.stdin.flush()

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdout is not None
        self.number += 1
        self.write({"id": self.number, "method": method, "params": params})
        for line in self.process.stdout:
            frame: dict[str, Any] = json.loads(line)
            if frame.get("id") == self.number and "method" not in frame:
                return frame
        raise RuntimeError("the MCP server went away")

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        frame = self.request("tools/call", {"name": tool, "arguments": arguments})
        if "error" in frame:
            return "error: " + str(frame["error"].get("message"))
        text = " ".join(part.get("text", "") for part in frame["result"].get("content", []))
        return ("refused: " if frame["result"].get("isError") else "") + text


class Session:
    def __init__(self, session_id: str, params: dict[str, Any]) -> None:
        self.id = session_id
        self.cwd = params.get("cwd", "")
        self.servers: list[dict[str, Any]] = params.get("mcpServers", [])
        self.mcp: McpClient | None = None
        self.cancelled = threading.Event()
        self.steered: queue.Queue[str] = queue.Queue()
        self.busy = False
        self.orders = ""
        self.waiting: list[tuple[Any, str]] = []
        self.folded: list[Any] = []


class Agent:
    """With `--resume` or `--load`, DIR/ID holds what a session heard and said, a JSON line each."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.kept = options.resume or options.load
        self.options = options
        self.lock = threading.RLock()
        self.sessions: dict[str, Session] = {}
        self.replies: dict[str, queue.Queue[dict[str, Any]]] = {}
        self.numbers = 0
        self.subagents = bool(options.subagents)
        self.turns = 0
        self.deaf = threading.Event()

    # -- frames

    def write(self, frame: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **frame}, ensure_ascii=False) + "\n"
        with self.lock:
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except (BrokenPipeError, ValueError):
                os._exit(1)

    def number(self) -> int:
        with self.lock:
            self.numbers += 1
            return self.numbers

    def update(self, session: str, update_kind: str, /, **fields: Any) -> None:
        self.write(
            {
                "method": "session/update",
                "params": {"sessionId": session, "update": {"sessionUpdate": update_kind, **fields}},
            }
        )

    def keep(self, session: str, kind: str, text: str) -> None:
        if self.kept:
            with open(os.path.join(self.kept, session), "a") as file:
                file.write(json.dumps([kind, text]) + "\n")

    def take_up(self, method: str, request_id: Any, params: dict[str, Any]) -> None:
        path = os.path.join(self.kept or "/nowhere", params["sessionId"])
        if self.options.load_error or not os.path.exists(path):
            self.write({"id": request_id, "error": {"code": -32603, "message": "invalid session identifier"}})
            return
        session = Session(params["sessionId"], params)
        self.sessions[session.id] = session
        with open(path) as file:
            past = [json.loads(line) for line in file]
        for kind, text in past:
            if kind in ("heard", "answered"):
                session.orders = "" if kind == "answered" else text
            if method == "session/load" and kind in ("heard", "said"):
                chunk = "user_message_chunk" if kind == "heard" else "agent_message_chunk"
                self.update(session.id, chunk, content={"type": "text", "text": text})
        self.write({"id": request_id, "result": {}})

    def say(self, session: str, text: str, kind: str = "agent_message_chunk") -> None:
        self.keep(session, "said", text)
        self.update(session, kind, content={"type": "text", "text": text})

    def ask(self, method: str, params: dict[str, Any], session: Session | None = None) -> dict[str, Any]:
        """A request to the client; waits for its answer, or until the turn is cancelled."""
        request_id = f"double-{self.number()}"
        box: queue.Queue[dict[str, Any]] = queue.Queue()
        self.replies[request_id] = box
        self.write({"id": request_id, "method": method, "params": params})
        while True:
            with contextlib.suppress(queue.Empty):
                return box.get(timeout=0.02)
            if session is not None and session.cancelled.is_set():
                raise Cancelled

    # -- requests of the client

    def serve(self) -> None:
        for line in sys.stdin:
            if self.deaf.is_set():
                threading.Event().wait()
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            if "method" in frame:
                self.handle(frame)
            elif (box := self.replies.pop(str(frame.get("id")), None)) is not None:
                box.put(frame)
        if self.options.ignore_eof:
            threading.Event().wait()
        os._exit(0)

    def handle(self, frame: dict[str, Any]) -> None:
        method, params, request_id = frame["method"], frame.get("params") or {}, frame.get("id")
        if method == "initialize":
            self.initialize(request_id, params)
        elif method == "session/new":
            if self.options.no_session:
                self.write({"id": request_id, "error": {"code": -32000, "message": "Authentication required"}})
                return
            session = Session(f"s{self.number()}" + (f"-{os.getpid()}" if self.kept else ""), params)
            self.sessions[session.id] = session
            self.keep(session.id, "cwd", session.cwd)
            modes = {
                "currentModeId": "default",
                "availableModes": [{"id": "default", "name": "Default"}, {"id": "ask", "name": "Ask"}],
            }
            self.write({"id": request_id, "result": {"sessionId": session.id, "modes": modes}})
        elif method in ("session/resume", "session/load"):
            self.take_up(method, request_id, params)
        elif method == "session/prompt":
            self.prompt(request_id, params)
        elif method == "session/cancel":
            if (found := self.sessions.get(params.get("sessionId", ""))) is not None:
                found.cancelled.set()
        elif method == "_session/steering" and self.options.steering:
            found = self.sessions[params["sessionId"]]
            if found.busy:
                found.steered.put(text_of(params["prompt"]))
                self.write({"id": request_id, "result": {"outcome": "injected"}})
            else:
                self.write({"id": request_id, "result": {"outcome": "promptRequired"}})
        elif method == "session/set_mode":
            self.write({"id": request_id, "result": {}})
            self.update(params["sessionId"], "current_mode_update", currentModeId=params["modeId"])
        elif request_id is not None:
            self.write({"id": request_id, "error": {"code": -32601, "message": f"Method not found: {method}"}})

    def initialize(self, request_id: Any, params: dict[str, Any]) -> None:
        if self.options.no_init:
            return
        if self.options.init_error:
            self.write({"id": request_id, "error": {"code": -32603, "message": "the model service is not configured"}})
            return
        self.subagents = self.subagents or "subagents" in params.get("clientCapabilities", {})
        result: dict[str, Any] = {
            "protocolVersion": 1,
            "agentInfo": {"name": self.options.name, "title": "Scripted double", "version": "1.0.0"},
            "agentCapabilities": {
                "loadSession": bool(self.options.load),
                "promptCapabilities": {},
                "mcpCapabilities": {},
                "sessionCapabilities": {"resume": {}} if self.options.resume else {},
            },
            "authMethods": [],
        }
        if self.options.steering:
            result["_meta"] = {"steering": {"supported": True}}
        self.write({"id": request_id, "result": result})

    def prompt(self, request_id: Any, params: dict[str, Any]) -> None:
        session = self.sessions.get(params.get("sessionId", ""))
        if session is None:
            self.write({"id": request_id, "error": {"code": -32602, "message": "no such session"}})
            return
        text = text_of(params["prompt"])
        with self.lock:
            if session.busy:
                policy = self.options.second
                if policy == "reject":
                    self.write({"id": request_id, "error": {"code": -32603, "message": "A turn is already running"}})
                    return
                if policy == "interrupt":
                    session.cancelled.set()
                if policy == "fold":
                    session.steered.put(text)
                    session.folded.append(request_id)
                    return
                session.waiting.append((request_id, text))
                return
            session.busy = True
        threading.Thread(target=self.turns_of, args=(session, request_id, text), daemon=True).start()

    def turns_of(self, session: Session, request_id: Any, text: str) -> None:
        while True:
            session.cancelled.clear()
            result: dict[str, Any] | None
            try:
                result = {"result": {"stopReason": "end_turn"}}
                if not self.turn(session, text):
                    result = None
            except Cancelled:
                result = {"result": {"stopReason": "cancelled"}}
            except LookupError as error:
                result = {"error": {"code": -32603, "message": str(error.args[0])}}
            with self.lock:
                answered = [request_id, *session.folded] if result is not None else []
                session.folded = []
                following = session.waiting.pop(0) if session.waiting else None
                session.busy = following is not None
                for answer in answered:
                    self.write({"id": answer, **(result or {})})
            self.turns += 1
            if self.options.exit_after_turn is not None:
                sys.stdout.flush()
                os._exit(self.options.exit_after_turn)
            if following is None:
                return
            request_id, text = following

    # -- a turn

    def turn(self, session: Session, text: str) -> bool:
        """Play the marks; False if the prompt's answer is to be forgotten."""
        self.keep(session.id, "heard", text)
        if self.options.repeats and session.orders and "Disregard that message" not in text:
            text = f"{session.orders}\n{text}"
        session.orders = ""
        whole = self.play(session, text)
        self.keep(session.id, "answered", "")
        return whole

    def play(self, session: Session, text: str) -> bool:
        marks = MARK.findall(text)
        if not marks:
            self.words(session, 3, 0.01)
            self.say(session.id, f"you said: {text}")
        for name, argument in marks:
            if self.options.garbage:
                self.garbage()
            act = getattr(self, "do_" + name, None)
            if act is None:
                self.say(session.id, f"unknown mark {name}. ")
            elif act(session, argument) is False:
                return False
        self.hear(session)
        return True

    def hear(self, session: Session) -> None:
        while not session.steered.empty():
            self.say(session.id, f" (heard: {session.steered.get()}) ")

    def words(self, session: Session, count: int, pause: float, target: str | None = None) -> None:
        for index in range(count):
            if session.cancelled.is_set():
                raise Cancelled
            self.hear(session)
            self.say(target or session.id, f"word{index} ")
            time.sleep(pause)

    def garbage(self) -> None:
        with self.lock:
            sys.stdout.write('Loading model… 42%\n{"half": \n\x1b[31mred\x1b[0m\n[1,2]\n\n')
            sys.stdout.flush()

    def do_words(self, session: Session, argument: str) -> None:
        count, milliseconds = argument.split()
        self.words(session, int(count), float(milliseconds) / 1000)

    def do_until(self, session: Session, argument: str) -> None:
        for index in itertools.count():
            if os.path.exists(argument):
                return
            if session.cancelled.is_set():
                raise Cancelled
            self.say(session.id, f"word{index} ")
            time.sleep(0.005)

    def do_say(self, session: Session, argument: str) -> None:
        self.say(session.id, argument)

    def do_cwd(self, session: Session, argument: str) -> None:
        self.say(session.id, f"cwd {os.getcwd()} {session.cwd} ")

    def do_env(self, session: Session, argument: str) -> None:
        self.say(session.id, f"{argument}={os.environ.get(argument, '(not set)')} ")

    def do_thought(self, session: Session, argument: str) -> None:
        self.say(session.id, "let me think about it", "agent_thought_chunk")

    def do_plan(self, session: Session, argument: str) -> None:
        entries = [{"content": f"step {n}", "priority": "medium", "status": "pending"} for n in (1, 2)]
        self.update(session.id, "plan", entries=entries)

    def do_usage(self, session: Session, argument: str) -> None:
        self.update(session.id, "usage_update", used=120, size=200000, cost={"amount": 0.25, "currency": "USD"})

    def do_unknown(self, session: Session, argument: str) -> None:
        self.update(session.id, "_vendor_novelty", payload=[1, {"a": None}])
        self.write({"method": "_vendor/notice", "params": {"x": 1}})
        answer = self.ask("_vendor/question", {"sessionId": session.id}, session)
        self.say(session.id, f"the client answered {answer.get('error', {}).get('code')}")

    def tool(self, session: Session, title: str, output: str = "done") -> str:
        call = f"t{self.number()}"
        self.update(
            session.id,
            "tool_call",
            toolCallId=call,
            title=title,
            kind="execute",
            status="in_progress",
            rawInput={"command": title},
        )
        self.update(
            session.id,
            "tool_call_update",
            toolCallId=call,
            status="completed",
            content=[{"type": "content", "content": {"type": "text", "text": output}}],
        )
        return call

    def do_tool(self, session: Session, argument: str) -> None:
        self.tool(session, argument or "ls")
        if self.options.qwen:
            answer = self.ask("craft/drainMidTurnQueue", {"sessionId": session.id}, session)
            for message in answer.get("result", {}).get("messages", []):
                self.say(session.id, f" (pulled: {message}) ")

    def do_ticks(self, session: Session, argument: str) -> None:
        """A shell tool in a session of its own, as agents start them: a signal to the process group misses it."""
        subprocess.Popen(["sh", "-c", TICKER.format(file=argument)], start_new_session=True, stdout=subprocess.DEVNULL)
        self.tool(session, "ticks", "started")

    def do_daemon(self, session: Session, argument: str) -> None:
        script = f"setsid sh -c '({TICKER.format(file=argument)}) &' >/dev/null 2>&1 </dev/null &"
        subprocess.run(["sh", "-c", script], check=True)
        self.tool(session, "daemon", "left behind")

    def do_undead(self, session: Session, argument: str) -> None:
        stubborn = "trap '' TERM HUP INT QUIT USR1 USR2 PIPE; " + TICKER.format(file=argument)
        script = 'setsid sh -c \'(sh -c "$1") &\' x "$1" >/dev/null 2>&1 </dev/null &'
        subprocess.run(["sh", "-c", script, "sh", stubborn], check=True)
        self.tool(session, "undead", "left behind")

    def do_deaf(self, session: Session, argument: str) -> None:
        self.deaf.set()

    def do_flood(self, session: Session, argument: str) -> None:
        self.words(session, int(argument) * 1000, 0)

    def do_permission(self, session: Session, argument: str) -> None:
        call = f"t{self.number()}"
        title = argument or "rm -rf build"
        self.update(
            session.id,
            "tool_call",
            toolCallId=call,
            title=title,
            kind="execute",
            status="pending",
            rawInput={"command": title},
        )
        options = [
            {"optionId": "allow", "name": "Allow once", "kind": "allow_once"},
            {"optionId": "always", "name": "Always allow", "kind": "allow_always"},
            {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
        ]
        answer = self.ask(
            "session/request_permission",
            {
                "sessionId": session.id,
                "toolCall": {"toolCallId": call, "title": title, "kind": "execute"},
                "options": options,
            },
            session,
        )
        outcome = answer.get("result", {}).get("outcome", {})
        if outcome.get("outcome") == "cancelled":
            raise Cancelled
        allowed = outcome.get("optionId") in {"allow", "always"}
        self.update(session.id, "tool_call_update", toolCallId=call, status="completed" if allowed else "failed")
        self.say(session.id, f"permission {outcome.get('optionId')}. ")

    def do_subagent(self, session: Session, argument: str) -> None:
        child, count = f"child{self.number()}", int(argument or 3)
        if not self.subagents:
            self.say(session.id, "sub-agents were not asked for. ")
            return
        announced = {
            "sessionId": child,
            "title": "look into it",
            "description": "reads files",
            "cwd": session.cwd,
            "capabilities": {"cancel": {}},
        }
        self.update(session.id, "subagent_update", **announced, state={"state": "running"})
        self.words(session, count, 0.01, target=child)
        self.update(session.id, "subagent_update", sessionId=child, state={"state": "idle", "stopReason": "end_turn"})
        self.say(session.id, "the child is done. ")

    def do_bigline(self, session: Session, argument: str) -> None:
        self.say(session.id, "x" * (int(argument) * 1024 * 1024))
        self.say(session.id, "after the big line. ")

    def do_stderr(self, session: Session, argument: str) -> None:
        flood(int(argument))

    def do_garbage(self, session: Session, argument: str) -> None:
        self.garbage()

    def do_exit(self, session: Session, argument: str) -> None:
        sys.stderr.write("fatal: the model service hung up\n")
        sys.stderr.flush()
        os._exit(int(argument or 3))

    def do_wait(self, session: Session, argument: str) -> None:
        self.say(session.id, "waiting. ")
        while not session.cancelled.wait(0.02):
            self.hear(session)
        raise Cancelled

    def do_hang(self, session: Session, argument: str) -> None:
        threading.Event().wait()

    def do_noend(self, session: Session, argument: str) -> bool:
        self.say(session.id, "I forget to end. ")
        return False

    def do_error(self, session: Session, argument: str) -> None:
        raise LookupError(argument or "the model refused")

    def do_mcp(self, session: Session, argument: str) -> None:
        tool, _, arguments = argument.partition(" ")
        if session.mcp is None:
            session.mcp = McpClient(session.servers[0])
        self.say(session.id, f"{tool}: {session.mcp.call(tool, json.loads(arguments or '{}'))} ")


def text_of(prompt: list[dict[str, Any]]) -> str:
    return "\n".join(part.get("text", "") for part in prompt)


def flood(mebibytes: int) -> None:
    block = ("error: something is not quite right here, but nobody reads it anyway\n" * 16).encode()
    for _ in range(mebibytes * 1024 * 1024 // len(block)):
        os.write(2, block)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="double")
    parser.add_argument("--second", default="queue", choices=["queue", "reject", "interrupt", "fold"])
    parser.add_argument("--exit", type=int)
    parser.add_argument("--exit-after-turn", type=int)
    parser.add_argument("--stderr", type=int, default=0)
    parser.add_argument("--resume")
    parser.add_argument("--load")
    parser.add_argument("--load-error", action="store_true")
    parser.add_argument("--repeats", action="store_true")
    for flag in (
        "steering",
        "qwen",
        "subagents",
        "garbage",
        "no-init",
        "init-error",
        "no-session",
        "ignore-eof",
        "ignore-term",
    ):
        parser.add_argument("--" + flag, action="store_true")
    options, _ = parser.parse_known_args()
    if options.exit is not None:
        sys.stderr.write("error: no credentials found; run `double login` first\n")
        sys.exit(options.exit)
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.stderr:
        flood(options.stderr)
    agent = Agent(options)
    if options.garbage:
        agent.garbage()
    agent.serve()


if __name__ == "__main__":
    main()
