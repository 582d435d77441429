"""A model on loopback for the live tests: it plays a script that stands in the prompt, through two wire formats.

The agents are the real programs; only the model behind them is ours, so that a test needs no key and no internet and
knows what is coming. Spoken: OpenAI Responses (`POST /v1/responses`) and Anthropic Messages (`POST /v1/messages`),
always streaming when the agent asks for it.

A prompt that holds `PLAY [step, ...]` (a JSON list up to the end of its line) is played. Steps:

- {"say": "text"}                 says the text in one piece
- {"words": 30, "every": 0.1}     says w0 w1 w2 ..., one word each `every` seconds
- {"clock": 30, "every": 0.1}     says the time in nanoseconds, as often, when it says it
- {"backwards": ["olleh"]}        says the words read backwards ("hello"): so they stand in no prompt; `every` as above
- {"shell": "command"}            calls the shell tool that the agent offers
- {"delegate": "prompt"}          calls the sub-agent tool that the agent offers
- {"tool": "name", "with": {}}    calls the tool of that name with exactly these arguments

A response ends after a tool call; the request that brings the tool's result gets what follows. A user text that comes
after a played prompt is answered `HEARD <text>`: so a test sees that a message reached the model, and when.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Json = dict[str, Any]
SHELLS = ("bash", "exec_command", "shell_command", "shell", "local_shell")
DELEGATES = ("task", "agent", "spawn_agent")
_ids = itertools.count(1)


@dataclass(frozen=True)
class Turn:
    """One item of the conversation so far: who (user, assistant, call, result) and its text."""

    who: str
    text: str


@dataclass(frozen=True)
class Tool:
    name: str
    schema: Json
    namespace: str | None = None


@dataclass
class Reply:
    """What the model does next: pieces of text with a pause before each, then at most one tool call."""

    pieces: list[tuple[float, str | None]] = field(default_factory=list)
    """None: the time at which it is said."""
    call: tuple[Tool, Json] | None = None


def _script(text: str) -> list[Json] | None:
    _, found, rest = text.partition("PLAY ")
    if not found:
        return None
    steps, _ = json.JSONDecoder().raw_decode(rest)
    return list(steps)


def _plain(text: str) -> str:
    """The text without the context blocks (`<system-reminder>...`) that agents put around a user's words."""
    kept, depth = [], 0
    for line in text.splitlines():
        opens = line.startswith("<") and not line.startswith("</")
        depth += opens and "</" not in line
        if depth == 0 and not line.startswith("<"):
            kept.append(line)
        depth -= line.startswith("</") and depth > 0
    return "\n".join(kept).strip()


def _tool(tools: list[Tool], names: tuple[str, ...]) -> Tool | None:
    by_name = {tool.name.lower(): tool for tool in tools}
    return next((by_name[name] for name in names if name in by_name), None)


def _arguments(tool: Tool, wanted: Json) -> Json:
    """The wanted arguments that the tool knows, and something for each other one that it requires."""
    properties: Json = tool.schema.get("properties") or {}
    arguments: Json = {}
    for name, value in wanted.items():
        if name in properties:
            as_list = properties[name].get("type") == "array" and isinstance(value, str)
            arguments[name] = ["bash", "-lc", value] if as_list else value
    blank = {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}
    for name in tool.schema.get("required") or []:
        about = properties.get(name, {})
        arguments.setdefault(name, (about.get("enum") or [blank.get(about.get("type", "string"), "x")])[0])
    return arguments


def reply_to(turns: list[Turn], tools: list[Tool]) -> Reply:
    """What to answer to this conversation."""
    if not tools:
        return Reply([(0, "A title")])
    asked = [(at, turn) for at, turn in enumerate(turns) if turn.who == "user" and "PLAY " in turn.text]
    if not asked:
        said = [_plain(turn.text) for turn in turns if turn.who == "user" and _plain(turn.text)]
        return Reply([(0, f"HEARD {said[-1] if said else ''}")])
    start, prompt = asked[-1]
    later = [_plain(turn.text) for turn in turns[start + 1 :] if turn.who == "user" and _plain(turn.text)]
    if later:
        return Reply([(0, f"HEARD {later[-1]}")])
    done = sum(1 for before, turn in itertools.pairwise(turns[start:]) if turn.who == "call" and before.who != "call")
    reply = Reply()
    for step in _script(prompt.text) or []:
        is_call = bool({"shell", "delegate", "tool"} & step.keys())
        if done:
            done -= is_call
            continue
        if "say" in step:
            reply.pieces.append((0, step["say"]))
        elif "words" in step:
            reply.pieces += [(step.get("every", 0.1), f"w{n} ") for n in range(step["words"])]
        elif "clock" in step:
            reply.pieces += [(step.get("every", 0.1), None)] * step["clock"]
        elif "backwards" in step:
            reply.pieces += [(step.get("every", 0.0), f"{word[::-1]} ") for word in step["backwards"]]
        elif is_call:
            reply.call = _call(step, tools)
            if reply.call is None:
                reply.pieces.append((0, f"no tool for {step} among {sorted(tool.name for tool in tools)}"))
            break
    if not reply.pieces and reply.call is None:
        reply.pieces.append((0, "the script is over"))
    return reply


def _call(step: Json, tools: list[Tool]) -> tuple[Tool, Json] | None:
    if "tool" in step:
        named = _tool(tools, (step["tool"],))
        return None if named is None else (named, step.get("with", {}))
    if "shell" in step:
        tool = _tool(tools, SHELLS)
        wanted = {"command": step["shell"], "cmd": step["shell"], "description": "a scripted command"}
    else:
        tool = _tool(tools, DELEGATES)
        wanted = {
            "prompt": step["delegate"], "message": step["delegate"], "task_name": "delegated",
            "description": "delegated", "subagent_type": "general-purpose", "agent_type": "default",
        }  # fmt: skip
    return None if tool is None else (tool, _arguments(tool, wanted))


async def _said(reply: Reply) -> AsyncIterator[str]:
    for pause, text in reply.pieces:
        await asyncio.sleep(pause)
        yield f"{time.time_ns()} " if text is None else text


# -- Anthropic Messages ----------------------------------------------------------------------------------------------


def _texts(content: Any) -> Iterator[tuple[str, str]]:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        yield block.get("type", ""), block.get("text", "")


def anthropic_turns(body: Json) -> list[Turn]:
    turns = []
    for message in body.get("messages", []):
        for kind, text in _texts(message.get("content")):
            who = {"text": message["role"], "tool_use": "call", "tool_result": "result"}.get(kind)
            if who is not None:
                turns.append(Turn(who, text))
    return turns


async def anthropic_stream(reply: Reply, model: str) -> AsyncIterator[bytes]:
    usage = {"input_tokens": 100, "output_tokens": 1}

    def event(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    message: Json = {"id": f"msg_{next(_ids)}", "type": "message", "role": "assistant", "model": model, "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
    yield event("message_start", message=message)
    index = 0
    if reply.pieces:
        yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        async for text in _said(reply):
            yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
        yield event("content_block_stop", index=index)
        index += 1
    if reply.call is not None:
        tool, arguments = reply.call
        block = {"type": "tool_use", "id": f"toolu_{next(_ids)}", "name": tool.name, "input": {}}
        yield event("content_block_start", index=index, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    stop = "end_turn" if reply.call is None else "tool_use"
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 7})
    yield event("message_stop")


async def messages(request: Request) -> Response:
    body = await request.json()
    tools = [Tool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or []]
    reply, model = reply_to(anthropic_turns(body), tools), body.get("model", "")
    if body.get("stream"):
        return StreamingResponse(anthropic_stream(reply, model), media_type="text/event-stream")
    content: list[Json] = [{"type": "text", "text": "".join(text or "" for _, text in reply.pieces)}]
    return JSONResponse(
        {"id": f"msg_{next(_ids)}", "type": "message", "role": "assistant", "model": model, "content": content,
         "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 100, "output_tokens": 7}}
    )  # fmt: skip


# -- OpenAI Responses ------------------------------------------------------------------------------------------------


def responses_turns(body: Json) -> list[Turn]:
    turns = []
    asked = body.get("input")
    for item in [{"type": "message", "role": "user", "content": asked}] if isinstance(asked, str) else asked or []:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") in ("user", "assistant"):
            turns += [Turn(item["role"], text) for _, text in _texts(item.get("content"))]
        elif kind.endswith("_call"):
            turns.append(Turn("call", item.get("name", kind)))
        elif kind.endswith("_call_output"):
            turns.append(Turn("result", str(item.get("output"))))
    return turns


def responses_tools(body: Json) -> list[Tool]:
    tools = []
    for tool in body.get("tools") or []:
        if tool.get("type") == "namespace":
            tools += [Tool(sub["name"], sub.get("parameters") or {}, tool.get("name")) for sub in tool["tools"]]
        else:
            tools.append(Tool(tool.get("name") or tool.get("type", ""), tool.get("parameters") or {}))
    return tools


async def responses_stream(reply: Reply, model: str) -> AsyncIterator[bytes]:
    number = itertools.count()

    def event(kind: str, **data: Any) -> bytes:
        return (
            f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': next(number), **data})}\n\n".encode()
        )

    base = {"id": f"resp_{next(_ids)}", "object": "response", "created_at": 1, "model": model, "output": [],
            "status": "in_progress"}  # fmt: skip
    yield event("response.created", response=base)
    output: list[Json] = []
    if reply.pieces:
        item: Json = {"type": "message", "id": f"msg_{next(_ids)}", "role": "assistant", "status": "in_progress",
                      "content": []}  # fmt: skip
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        yield event("response.output_item.added", output_index=0, item=item)
        yield event("response.content_part.added", **at, part={"type": "output_text", "text": "", "annotations": []})
        whole = ""
        async for text in _said(reply):
            whole += text
            yield event("response.output_text.delta", **at, delta=text)
        yield event("response.output_text.done", **at, text=whole)
        item = {**item, "status": "completed", "content": [{"type": "output_text", "text": whole, "annotations": []}]}
        yield event("response.output_item.done", output_index=0, item=item)
        output.append(item)
    if reply.call is not None:
        tool, arguments = reply.call
        item = {"type": "function_call", "id": f"fc_{next(_ids)}", "call_id": f"call_{next(_ids)}", "name": tool.name,
                "arguments": json.dumps(arguments), "status": "completed"}  # fmt: skip
        if tool.namespace is not None:
            item["namespace"] = tool.namespace
        index = len(output)
        opened = {**item, "arguments": "", "status": "in_progress"}
        yield event("response.output_item.added", output_index=index, item=opened)
        at = {"item_id": item["id"], "output_index": index}
        yield event("response.function_call_arguments.delta", **at, delta=item["arguments"])
        yield event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        yield event("response.output_item.done", output_index=index, item=item)
        output.append(item)
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 107}  # fmt: skip
    yield event("response.completed", response={**base, "status": "completed", "output": output, "usage": usage})


async def responses(request: Request) -> Response:
    body = await request.json()
    reply = reply_to(responses_turns(body), responses_tools(body))
    return StreamingResponse(responses_stream(reply, body.get("model", "")), media_type="text/event-stream")


async def models(_: Request) -> Response:
    model = {"id": "scripted", "object": "model", "type": "model", "display_name": "scripted",
             "created_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    return JSONResponse({"object": "list", "data": [model], "models": [], "has_more": False})


async def count_tokens(_: Request) -> Response:
    return JSONResponse({"input_tokens": 100})


class ScriptedModel:
    """The server, on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self) -> None:
        app = Starlette(
            routes=[
                Route("/v1/models", models),
                Route("/v1/messages", messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
                Route("/v1/responses", responses, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="scripted-model", daemon=True)
        self.url = ""

    def start(self) -> ScriptedModel:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise RuntimeError("the scripted model did not start")
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)


def play(*steps: Json) -> str:
    """A prompt that makes the model play these steps."""
    return "PLAY " + json.dumps(steps)
