"""Mission Control as a tool of the agents: a stdio MCP server that lets an agent start, watch and steer sub-agents.

Every agent is given this program in `session/new`; the agent starts it as its own child. It is a program of its own and
uses the standard library alone, on purpose: the official SDK takes 1.4 s to import and tens of MiB, once for each of
sixty agents, for a protocol of which a tool server needs five methods. Nothing of this package is imported, so that the
program runs with `-I -S` and is up in a few hundredths of a second.

It holds no secret and no address: its environment names the data directory and the file with the session's token, and
both the address of the control plane and the token are read again at each call, because the control plane may restart
on another port in the meantime. A call that meets a restart waits and tries again for up to `RETRY_SECONDS`, always
with the same `Idempotency-Key`, so that nothing is started or said twice. Whatever goes wrong is answered as a tool
error in plain words; it never ends this program.

Environment: MISSION_CONTROL_DATA_DIR, MISSION_CONTROL_AGENT_ID, MISSION_CONTROL_AGENT_TOKEN_FILE,
MISSION_CONTROL_AGENT_PROFILE; MISSION_CONTROL_URL overrides the address found in the data directory.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PROTOCOL_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
RETRY_SECONDS = 45.0
WAIT_SECONDS = 50.0
"""Longest wait of one call; most agents give a tool call 60 s."""
MAX_CALLS = 16
MAX_TEXT = 20_000
MAX_FRAME = 4 * 1024 * 1024
FINAL = {"completed", "failed", "killed"}


class ToolError(Exception):
    """What the agent is told."""


class Gone(Exception):
    """The agent cancelled the call: nobody waits for its answer."""


class Call:
    """One running tool call; `sleep` ends early when the agent cancels it. `reports` is the sub-agent whose result its
    answer is."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.reports: str | None = None

    def sleep(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise Gone


def text_schema(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


TOOLS: list[dict[str, Any]] = [
    {
        "name": "spawn_subagent",
        "title": "Start a sub-agent",
        "description": (
            "Start another agent that works on a task of its own, in parallel with you, visible to the operators. "
            "Returns its id at once; use wait_for_subagent to get its result. It ends by itself when the task is done, "
            "unless keep_open is true. It knows nothing of your conversation: put all it needs into the task."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "task": text_schema("The complete task, as the sub-agent's first message."),
                "profile": text_schema("Launch profile (kind of agent). Default: the same as yours."),
                "title": text_schema("A few words that name the task for the operators."),
                "cwd": text_schema("Absolute working directory. Default: yours."),
                "agent_type": text_schema("Its role in a word or two, such as reviewer or tester."),
                "keep_open": {
                    "type": "boolean",
                    "description": "Keep it after the task, so that you can send it more messages. Default: false.",
                },
            },
            "required": ["task"],
        },
    },
    {
        "name": "list_subagents",
        "title": "List my sub-agents",
        "description": "List the sub-agents below you, at any depth, with their ids and what they are doing.",
        "inputSchema": {"type": "object", "properties": {}},
    },
    {
        "name": "message_subagent",
        "title": "Send a message to a sub-agent",
        "description": (
            "Send a message to one of your sub-agents. If it is working, the message goes into its turn where that is "
            "possible, otherwise it is delivered after the turn."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {"id": text_schema("The sub-agent's id."), "message": text_schema("What to tell it.")},
            "required": ["id", "message"],
        },
    },
    {
        "name": "wait_for_subagent",
        "title": "Wait for a sub-agent",
        "description": (
            "Wait until a sub-agent has finished its task (or has finished answering a message) and return its status "
            "and last words. Without an id: the first of yours that finishes and was not reported yet. Waits at most "
            "50 seconds; if it says that the work is still going on, call it again."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "id": text_schema("The sub-agent's id. Default: any of yours."),
                "timeout_seconds": {"type": "number", "description": "At most 50. Default: 50."},
            },
        },
    },
]


class ControlPlane:
    """The control plane's HTTP API with this agent's token."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.data_dir = environ.get("MISSION_CONTROL_DATA_DIR", "")
        self.fixed_url = environ.get("MISSION_CONTROL_URL")
        self.token_file = environ.get("MISSION_CONTROL_AGENT_TOKEN_FILE", "")

    def url(self) -> str:
        """Where the control plane is now; OSError or ValueError while there is none."""
        if self.fixed_url:
            return self.fixed_url
        with open(os.path.join(self.data_dir, "control-plane.json"), encoding="utf-8") as file:
            found = json.load(file)["url"]
        if not isinstance(found, str):
            raise ValueError("control-plane.json names no url")
        return found

    def token(self) -> str:
        try:
            with open(self.token_file, encoding="ascii") as file:
                return file.read().strip()
        except OSError as error:
            raise ToolError(
                "This session has no Mission Control token (any more), so it cannot use sub-agents."
            ) from error

    def request(self, call: Call, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request, repeated over restarts of the control plane; ToolError with its words otherwise."""
        key = os.urandom(16).hex()
        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.2
        while True:
            problem, retry_after = "Mission Control is not running", 0.0
            try:
                status, answer, retry_after = self.once(method, path, body, key)
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                if not isinstance(error, FileNotFoundError):
                    problem = f"Mission Control cannot be reached ({type(error).__name__}: {error})"
            else:
                if status < 300:
                    return answer
                words = error_words(answer)
                if status == 401:
                    raise ToolError("Mission Control no longer accepts this session's token: the session has ended.")
                if status not in (429, 502, 503, 504):
                    raise ToolError(words or f"Mission Control answered {status}.")
                problem = words or f"Mission Control answered {status}"
            pause = max(pause, retry_after)
            if time.monotonic() + pause > deadline:
                raise ToolError(f"{problem}. Tried for {RETRY_SECONDS:.0f} seconds; try again later.")
            call.sleep(pause)
            pause = min(pause * 1.7, 4.0)

    def once(self, method: str, path: str, body: dict[str, Any] | None, key: str) -> tuple[int, Any, float]:
        """Status, decoded body and the seconds of Retry-After."""
        import http.client  # here, not above: sixty idle servers need no HTTP client in memory
        from urllib.parse import urlsplit

        parts = urlsplit(self.url())
        if parts.hostname is None:
            raise ValueError("the control plane's address names no host")
        if parts.scheme == "https":
            import ssl

            # None: the system's authorities. Verification is on either way.
            trust = ssl.create_default_context(cafile=os.environ.get("MISSION_CONTROL_CA_FILE") or None)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=30, context=trust
            )
        elif parts.hostname in ("127.0.0.1", "::1", "localhost"):
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        else:
            raise ToolError(f"{parts.hostname} is another computer: the token goes there over https:// alone.")
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "application/json"}
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection.request(method, parts.path.rstrip("/") + path, body=payload, headers=headers)
            response = connection.getresponse()
            raw = response.read()
            try:
                seconds = float(response.headers.get("Retry-After") or 0)
            except ValueError:
                seconds = 0.0
            try:
                decoded = json.loads(raw) if raw else None
            except ValueError:
                if response.status < 300:
                    raise
                decoded = None
            return response.status, decoded, seconds
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()


def error_words(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else ""


def native(session_id: Any) -> str:
    """A session's id without the name of the built-in provider."""
    return str(session_id).removeprefix("internal:")


def quote(text: str) -> str:
    from urllib.parse import quote as percent

    return percent(native(text), safe="")


class Tools:
    def __init__(self, plane: ControlPlane, agent_id: str, profile: str) -> None:
        self.plane = plane
        self.agent_id = agent_id
        self.profile = profile
        self.lock = threading.Lock()
        self.reported: set[str] = set()
        self.asked: dict[str, int] = {}
        """Per sub-agent that was sent a message: its newest message's `seq` before that."""

    def run(self, call: Call, name: str, arguments: dict[str, Any]) -> str:
        tool = next((tool for tool in TOOLS if tool["name"] == name), None)
        if tool is None:
            raise ToolError(f"There is no tool {name!r}.")
        for field in tool["inputSchema"].get("required", []):
            if not isinstance(arguments.get(field), str) or not arguments[field].strip():
                raise ToolError(f"{name} needs {field!r}: a text that is not empty.")
        act: Callable[[Call, dict[str, Any]], str] = getattr(self, name)
        return act(call, arguments)

    # -- the four tools

    def spawn_subagent(self, call: Call, arguments: dict[str, Any]) -> str:
        body: dict[str, Any] = {
            "profile": arguments.get("profile") or self.profile,
            "prompt": arguments["task"],
            "parentAgentId": self.agent_id,
            "title": arguments.get("title") or shortened(arguments["task"].strip().splitlines()[0], 80),
            "endWhenIdle": not arguments.get("keep_open", False),
        }
        for given, field in (("cwd", "cwd"), ("agent_type", "agentType")):
            if arguments.get(given):
                body[field] = arguments[given]
        session = self.plane.request(call, "POST", "/agents/spawn", body)
        return (
            f"Started sub-agent {native(session['sessionId'])} ({session.get('title') or body['profile']}), "
            f"status {session.get('status')}. Use wait_for_subagent with this id to get its result."
        )

    def list_subagents(self, call: Call, arguments: dict[str, Any]) -> str:
        lines = [
            f"{'  ' * depth}{native(session['sessionId'])}  {described(session)}  {session.get('title') or ''}".rstrip()
            for depth, session in self.below(call)
        ]
        return "\n".join(lines) if lines else "You have no sub-agents."

    def message_subagent(self, call: Call, arguments: dict[str, Any]) -> str:
        target = native(arguments["id"])
        before = max((int(m.get("seq", 0)) for m in self.messages(call, target, limit=1)), default=0)
        receipt = self.plane.request(call, "POST", f"/agents/{quote(target)}/inject", {"content": arguments["message"]})
        with self.lock:
            self.asked[target] = before
            self.reported.discard(target)
        return f"The message is {receipt.get('state', 'stored')}. Use wait_for_subagent to get the answer."

    def wait_for_subagent(self, call: Call, arguments: dict[str, Any]) -> str:
        wanted = native(arguments["id"]) if arguments.get("id") else None
        try:
            seconds = float(arguments.get("timeout_seconds") or WAIT_SECONDS)
        except (TypeError, ValueError):
            seconds = WAIT_SECONDS
        deadline, pause = time.monotonic() + min(max(seconds, 0.0), WAIT_SECONDS), 0.3
        while True:
            if wanted is not None:
                sessions = [self.plane.request(call, "GET", f"/agents/{quote(wanted)}")]
            else:
                sessions = [session for depth, session in self.below(call) if depth == 0]
                if not sessions:
                    return "You have no sub-agents to wait for."
                fresh = [session for session in sessions if native(session["sessionId"]) not in self.reported]
                if not fresh:
                    return "All your sub-agents have finished and were reported:\n" + "\n".join(
                        f"{native(session['sessionId'])}  {described(session)}" for session in sessions
                    )
                sessions = fresh
            for session in sessions:
                if (report := self.report(call, session)) is not None:
                    return report
            if time.monotonic() + pause > deadline:
                states = "; ".join(f"{native(s['sessionId'])}: {described(s)}" for s in sessions)
                return f"Still running, call wait_for_subagent again. {states}"
            call.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    def answered(self, call: Call) -> None:
        """The agent gets this call's answer. Only now is a result reported: that of a cancelled call is not lost."""
        if call.reports is not None:
            with self.lock:
                self.reported.add(call.reports)
                self.asked.pop(call.reports, None)

    # -- what they share

    def report(self, call: Call, session: dict[str, Any]) -> str | None:
        """The result of a sub-agent that has finished what it was asked, or None."""
        target = native(session["sessionId"])
        idle = session.get("status") == "waiting" and session.get("waitingFor") == "operator"
        if session.get("status") not in FINAL and not idle:
            return None
        words = [
            message
            for message in self.messages(call, target, limit=100)
            if message.get("role") == "agent" and message.get("metadata", {}).get("kind", "text") == "text"
        ]
        if idle and target in self.asked and not any(int(m.get("seq", 0)) > self.asked[target] for m in words):
            return None  # idle because the message has not reached it yet
        call.reports = target
        last = shortened(words[-1].get("content", ""), MAX_TEXT) if words else "(it said nothing)"
        error = f"\nError: {session['error']}" if session.get("error") else ""
        return f"Sub-agent {target} ({session.get('title') or 'untitled'}): {described(session)}.{error}\n\n{last}"

    def messages(self, call: Call, target: str, *, limit: int) -> list[dict[str, Any]]:
        answer = self.plane.request(call, "GET", f"/agents/{quote(target)}/messages?limit={limit}")
        return list(answer["items"])

    def below(self, call: Call) -> list[tuple[int, dict[str, Any]]]:
        """Descendants of this agent with their depth (0: its own), parents before children."""
        answer = self.plane.request(call, "GET", "/agents/tree")
        known: dict[str, dict[str, Any]] = {}
        for session in flattened(answer):
            known[native(session["sessionId"])] = session
        children: dict[str, list[dict[str, Any]]] = {}
        for session in known.values():
            if session.get("parentSessionId"):
                children.setdefault(native(session["parentSessionId"]), []).append(session)
        found: list[tuple[int, dict[str, Any]]] = []

        def walk(parent: str, depth: int) -> None:
            for session in children.get(parent, []):
                if depth < 64:
                    found.append((depth, session))
                    walk(native(session["sessionId"]), depth + 1)

        walk(self.agent_id, 0)
        return found


def flattened(answer: Any) -> Iterator[dict[str, Any]]:
    """The sessions of a tree answer, whatever its nesting: {items: [...]} or [...] of {session, children}."""
    if isinstance(answer, list):
        for part in answer:
            yield from flattened(part)
    elif isinstance(answer, dict):
        if "sessionId" in answer:
            yield answer
        for field in ("session", "items", "children"):
            if field in answer:
                yield from flattened(answer[field])


def described(session: dict[str, Any]) -> str:
    status, waiting = session.get("status"), session.get("waitingFor")
    if status == "waiting" and waiting == "operator":
        return "idle, waiting for a message"
    if status == "waiting" and waiting == "approval":
        return "waiting for an operator's permission"
    return f"{status} (for {waiting})" if waiting else str(status)


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Server:
    """JSON-RPC over standard input and output; tool calls run in threads, so that ping and cancel are always heard."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.calls: dict[Any, Call] = {}
        self.lock = threading.Lock()

    def write(self, frame: dict[str, Any]) -> None:
        line = (json.dumps({"jsonrpc": "2.0", **frame}, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        with self.lock:
            try:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            except (BrokenPipeError, ValueError):
                os._exit(0)  # the agent is gone

    def refuse(self, request_id: Any, code: int, message: str) -> None:
        self.write({"id": request_id, "error": {"code": code, "message": message}})

    def serve(self) -> None:
        """Until standard input ends. A line that is too long or no JSON is answered with an error and skipped."""
        while line := sys.stdin.buffer.readline(MAX_FRAME):
            if not line.endswith(b"\n") and len(line) >= MAX_FRAME:
                while rest := sys.stdin.buffer.readline(MAX_FRAME):
                    if rest.endswith(b"\n"):
                        break
                self.refuse(None, -32600, f"A message may have at most {MAX_FRAME} bytes.")
                continue
            if not line.strip():
                continue
            try:
                frame = json.loads(line)
            except (ValueError, RecursionError):
                self.refuse(None, -32700, "Not JSON.")
                continue
            for part in frame if isinstance(frame, list) else [frame]:
                self.handle(part)

    def handle(self, frame: Any) -> None:
        if not isinstance(frame, dict) or not isinstance(frame.get("method"), str):
            if not isinstance(frame, dict) or ("result" not in frame and "error" not in frame):
                self.refuse(None, -32600, "Not a request.")
            return
        method, request_id = frame["method"], frame.get("id")
        params = frame["params"] if isinstance(frame.get("params"), dict) else {}
        if method == "notifications/cancelled":
            with self.lock:
                running = self.calls.get(params.get("requestId"))
            if running is not None:
                running.cancelled.set()
        elif request_id is None:
            return  # other notifications need nothing
        elif method == "initialize":
            asked = params.get("protocolVersion")
            self.write(
                {
                    "id": request_id,
                    "result": {
                        "protocolVersion": asked if asked in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0],
                        "capabilities": {"tools": {"listChanged": False}},
                        "serverInfo": {"name": "mission-control", "title": "Mission Control", "version": "1.0.0"},
                        "instructions": "Start sub-agents for work that can be done in parallel, and wait for them.",
                    },
                }
            )
        elif method == "ping":
            self.write({"id": request_id, "result": {}})
        elif method == "tools/list":
            self.write({"id": request_id, "result": {"tools": TOOLS}})
        elif method == "tools/call":
            self.start(request_id, params)
        else:
            self.refuse(request_id, -32601, f"Method not found: {method}")

    def start(self, request_id: Any, params: dict[str, Any]) -> None:
        if not isinstance(request_id, str | int | float):
            self.refuse(None, -32600, "A request's id is a text or a number.")
            return
        call = Call()
        with self.lock:
            busy = len(self.calls) >= MAX_CALLS or request_id in self.calls
            if not busy:
                self.calls[request_id] = call
        if busy:
            self.answer(request_id, f"At most {MAX_CALLS} calls can run at the same time.", failed=True)
            return
        threading.Thread(target=self.work, args=(request_id, call, params), daemon=True).start()

    def work(self, request_id: Any, call: Call, params: dict[str, Any]) -> None:
        arguments = params["arguments"] if isinstance(params.get("arguments"), dict) else {}
        text, failed = "", True
        try:
            text, failed = self.tools.run(call, str(params.get("name")), arguments), False
        except ToolError as error:
            text = str(error)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of ours must reach the agent as an answer, not as silence
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            text = f"Mission Control's answer was not understood ({type(error).__name__})."
        with self.lock:
            self.calls.pop(request_id, None)
        if not call.cancelled.is_set():
            self.tools.answered(call)
            self.answer(request_id, text, failed=failed)

    def answer(self, request_id: Any, text: str, *, failed: bool) -> None:
        self.write({"id": request_id, "result": {"content": [{"type": "text", "text": text}], "isError": failed}})


def main() -> None:
    environ = dict(os.environ)
    tools = Tools(
        ControlPlane(environ),
        environ.get("MISSION_CONTROL_AGENT_ID", ""),
        environ.get("MISSION_CONTROL_AGENT_PROFILE", ""),
    )
    Server(tools).serve()
    sys.stdout.flush()
    os._exit(0)  # calls that still wait are nobody's any more


if __name__ == "__main__":
    main()
