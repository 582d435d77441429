"""JSON-RPC 2.0, one message a line: the agent's own side and that of its tool servers."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import IO, Any

Json = dict[str, Any]


class PeerError(Exception):
    """The other side answered with an error, or is gone."""


class Peer:
    """Writes from any thread; `read` runs in one and hands requests and notifications to `on_message`."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes], on_message: Callable[[Json], None]) -> None:
        self._reader, self._writer, self._on_message = reader, writer, on_message
        self._write_lock = threading.Lock()
        self._waiting: dict[int, queue.Queue[Json]] = {}
        self._next_id = 0

    def read(self) -> None:
        """Until the other side closes. Lines that are no JSON objects are skipped."""
        for line in self._reader:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if not isinstance(message, dict):
                continue
            if "method" in message:
                self._on_message(message)
            elif (waiting := self._waiting.pop(message.get("id", 0), None)) is not None:
                waiting.put(message)
        for waiting in list(self._waiting.values()):
            waiting.put({"error": {"message": "the other side is gone"}})

    def write(self, message: Json) -> None:
        line = (json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False) + "\n").encode()
        with self._write_lock:
            self._writer.write(line)
            self._writer.flush()

    def notify(self, method: str, params: Json) -> None:
        self.write({"method": method, "params": params})

    def call(self, method: str, params: Json, *, timeout: float | None = None) -> Json:
        """Ask and wait. Raises PeerError for an error answer, a peer that is gone, or after `timeout` seconds."""
        with self._write_lock:
            self._next_id += 1
            request_id = self._next_id
        answers = self._waiting[request_id] = queue.Queue(1)
        self.write({"id": request_id, "method": method, "params": params})
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            self._waiting.pop(request_id, None)
            raise PeerError(f"{method} was not answered in {timeout} s") from None
        if "error" in answer:
            raise PeerError(str(answer["error"].get("message", "refused")))
        result = answer.get("result")
        return result if isinstance(result, dict) else {}
