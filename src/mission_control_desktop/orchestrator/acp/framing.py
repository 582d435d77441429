"""JSON-RPC 2.0, one message per line, read tolerantly: whatever an agent prints becomes a frame, never an exception.

Nothing is validated beyond what is needed to tell requests, notifications and responses apart; the `jsonrpc` member is
not asked for, because some agents leave it out. Batches are not part of ACP and count as junk.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
REQUEST_CANCELLED = -32800
AUTH_REQUIRED = -32000

RpcId = int | float | str | bool
"""What an agent may use as an id; it is echoed exactly as it came."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    id: RpcId
    method: str
    params: dict[str, Any]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    params: dict[str, Any]


class RpcError(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    message: str
    data: Any = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    id: RpcId | None
    result: Any = None
    error: RpcError | None = None


class Junk(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is no JSON-RPC message; `why` says what is wrong with it."""

    text: str
    why: str


Frame = Request | Notification | Response | Junk


def decode(line: str) -> Frame:
    """The frame that a line holds. Never raises."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        try:
            # JavaScript prints half of a surrogate pair as an escape when it cuts a text; strict decoders refuse it.
            value = _without_surrogates(json.loads(line))
        except (ValueError, RecursionError):
            return Junk(text=line, why="no JSON")
    if not isinstance(value, dict):
        return Junk(text=line, why="no JSON object")
    method, rpc_id = value.get("method"), value.get("id")
    if rpc_id is not None and not isinstance(rpc_id, int | float | str):
        return Junk(text=line, why="an id that is neither number nor text")
    if method is not None:
        if not isinstance(method, str):
            return Junk(text=line, why="a method that is no text")
        raw = value.get("params")
        params: dict[str, Any] = raw if isinstance(raw, dict) else {}
        if rpc_id is None:
            return Notification(method=method, params=params)
        return Request(id=rpc_id, method=method, params=params)
    if "error" in value and value["error"] is not None:
        return Response(id=rpc_id, error=_error(value["error"]))
    if "result" in value or (rpc_id is not None and "error" in value):
        return Response(id=rpc_id, result=value.get("result"))
    return Junk(text=line, why="neither a method nor a result")


def _error(value: Any) -> RpcError:
    if not isinstance(value, dict):
        return RpcError(code=0, message=str(value))
    code, message = value.get("code"), value.get("message")
    return RpcError(
        code=code if isinstance(code, int) else 0,
        message=message if isinstance(message, str) and message else "no message",
        data=value.get("data"),
    )


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if not value.isascii() else value
        )
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def _line(message: dict[str, Any]) -> str:
    # msgspec escapes line breaks inside strings, so that a message is always one line.
    return msgspec.json.encode(message).decode()


def request(rpc_id: RpcId, method: str, params: dict[str, Any]) -> str:
    return _line({"jsonrpc": "2.0", "id": rpc_id, "method": method, "params": params})


def notification(method: str, params: dict[str, Any]) -> str:
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


def result(rpc_id: RpcId, value: Any) -> str:
    return _line({"jsonrpc": "2.0", "id": rpc_id, "result": value})


def error(rpc_id: RpcId, code: int, message: str) -> str:
    return _line({"jsonrpc": "2.0", "id": rpc_id, "error": {"code": code, "message": message}})
