"""JSON-RPC over standard input and output, for a program with threads. Lines of UTF-8 JSON, as ACP has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, BAD_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603


class RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Later:
    """What a handler returns when it will answer by itself."""


class Waiting:
    """A request of ours that the peer has not answered yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._done = threading.Event()
        self._result: Any = None
        self._error: RpcError | None = None
        self.on_answer: Callable[[], None] = lambda: None

    def settle(self, result: Any, error: RpcError | None) -> None:
        self._result, self._error = result, error
        self._done.set()
        self.on_answer()

    @property
    def answered(self) -> bool:
        return self._done.is_set()

    def result(self) -> Any:
        """Once answered; raises the peer's RpcError."""
        if self._error is not None:
            raise self._error
        return self._result


class Wire:
    """`handle(method, params, id)` runs in the reading thread; a notification has no id and its result is dropped."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._waiting: dict[int, Waiting] = {}
        self._last = 0
        self.ended = threading.Event()

    def write(self, frame: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **frame}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            try:
                self._sink.write(line)
                self._sink.flush()
            except (OSError, ValueError):
                self.ended.set()  # nobody listens: whoever waits sees it

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self.write({"method": method, "params": params})

    def request(self, method: str, params: dict[str, Any]) -> Waiting:
        with self._lock:
            self._last += 1
            waiting = Waiting(self._last)
            self._waiting[waiting.number] = waiting
        self.write({"id": waiting.number, "method": method, "params": params})
        return waiting

    def withdraw(self, waiting: Waiting) -> None:
        """Tell the peer that its answer is not needed any more."""
        if self._waiting.pop(waiting.number, None) is not None:
            self.notify("$/cancel_request", {"requestId": waiting.number})

    def answer(self, number: Any, result: Any) -> None:
        self.write({"id": number, "result": result})

    def refuse(self, number: Any, error: RpcError) -> None:
        self.write({"id": number, "error": {"code": error.code, "message": str(error)}})

    def serve(self, handle: Callable[[str, dict[str, Any], Any], Any]) -> None:
        """Until the input ends."""
        for line in self._source:
            if line.strip():
                self._take(line, handle)
        self.ended.set()
        for waiting in list(self._waiting.values()):
            waiting.settle(None, RpcError(INTERNAL, "the connection ended"))

    def _take(self, line: bytes, handle: Callable[[str, dict[str, Any], Any], Any]) -> None:
        try:
            frame = json.loads(line)
        except (ValueError, RecursionError):
            self.refuse(None, RpcError(PARSE_ERROR, "not JSON"))
            return
        if not isinstance(frame, dict):
            self.refuse(None, RpcError(INVALID_REQUEST, "not an object"))
            return
        method, number = frame.get("method"), frame.get("id")
        if not isinstance(method, str):
            waiting = self._waiting.pop(number, None) if isinstance(number, int) else None
            if waiting is not None:
                error = frame.get("error")
                if isinstance(error, dict):
                    waiting.settle(None, RpcError(int(error.get("code", INTERNAL)), str(error.get("message"))))
                else:
                    waiting.settle(frame.get("result"), None)
            return
        params = frame.get("params")
        try:
            result = handle(method, params if isinstance(params, dict) else {}, number)
        except RpcError as error:
            if number is not None:
                self.refuse(number, error)
            return
        if number is not None and not isinstance(result, Later):
            self.answer(number, result)
