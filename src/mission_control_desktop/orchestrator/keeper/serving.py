"""The keeper's socket: who is connected, what each asks, and the journal's lines to the one that attached.

Standard library only. Nothing here waits for a client: one that is stuck costs what is read ahead for it.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections import deque

from mission_control_desktop.orchestrator.keeper.journal import READ_BYTES, Journal
from mission_control_desktop.orchestrator.keeper.place import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Host(Protocol):
        """What requests are about. Refused goes back to who asked."""

        def about(self) -> dict[str, Any]:
            """What an `attached` reply says of the keeper."""
            ...

        def anyone(self, request: dict[str, Any]) -> dict[str, Any] | None:
            """Answer to what any connection may ask; None if the request is for the attached client."""
            ...

        def attached(self, request: dict[str, Any]) -> dict[str, Any]: ...


MAX_CONNECTIONS = 16
REPLY_BYTES = 1 << 20
"""A client that leaves so many bytes of replies unread is not read from either."""


class Client:
    """One connection; `position` is None until it attaches."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self.sock = sock
        self.incoming = bytearray()
        self.longest = longest
        self.out = b""
        self.replies: deque[bytes] = deque()
        self.reply_bytes = 0
        self.position: int | None = None
        self.credit: int | None = None
        self.within_entry = False
        self.mask = select.EPOLLIN

    def reply(self, message: dict[str, Any]) -> None:
        block = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        self.replies.append(block)
        self.reply_bytes += len(block)

    def fill(self, journal: Journal) -> None:
        """Have the next piece ready to be sent: replies first, but never within an entry."""
        if self.out:
            return
        if self.replies and not self.within_entry:
            self.out = b"".join(self.replies)
            self.replies.clear()
            self.reply_bytes = 0
            return
        if self.position is None or self.position >= journal.length:
            return
        if not self.within_entry and self.credit is not None and self.credit <= 0:
            return
        chunk = journal.read(self.position, READ_BYTES)
        end = chunk.rfind(b"\n") + 1
        if end:
            chunk = chunk[:end]
        self.within_entry = not end
        self.position += len(chunk)
        if self.credit is not None:
            self.credit -= len(chunk)
        self.out = chunk


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Server:
    """All connections. `line` is the longest line that the agent may be sent, in bytes."""

    def __init__(
        self, directory: int, listener: socket.socket, poll: select.epoll, journal: Journal, host: Host, line: int
    ) -> None:
        self._directory = directory
        self._listener = listener
        self._poll = poll
        self._journal = journal
        self._host = host
        self._line = line
        self._clients: dict[int, Client] = {}
        self._attached: Client | None = None
        poll.register(listener.fileno(), select.EPOLLIN)

    def __bool__(self) -> bool:
        """Whether anyone is connected."""
        return bool(self._clients)

    def handle(self, fd: int, events: int) -> None:
        """What the poll says of a descriptor; nothing if it is none of ours."""
        if fd == self._listener.fileno():
            self._accept()
        elif client := self._clients.get(fd):
            if client.mask & select.EPOLLIN:
                self._read(client)
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                self._drop(client)

    def serve_all(self) -> None:
        for client in list(self._clients.values()):
            self._serve(client)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CONNECTIONS:
            for other in list(self._clients.values()):
                if other is not self._attached:
                    self._drop(other)
                    break
        sock.setblocking(False)
        client = Client(sock, 6 * self._line + READ_BYTES)
        self._clients[sock.fileno()] = client
        self._poll.register(sock.fileno(), client.mask)

    def _drop(self, client: Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is None:
            return
        self._poll.unregister(fd)
        client.sock.close()
        if self._attached is client:
            self._attached = None

    def _read(self, client: Client) -> None:
        try:
            data = client.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        client.incoming += data
        if b"\n" not in data:
            if len(client.incoming) > client.longest:
                self._drop(client)
            return
        *lines, client.incoming = client.incoming.split(b"\n")
        for line in lines:
            self._request(client, line)

    def _request(self, client: Client, line: bytearray) -> None:
        request: dict[str, Any] = {}
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise Refused("bad", "a request is an object")
            request = parsed
            answer = self._answer(client, request)
        except Refused as refusal:
            answer = {"op": "error", "code": refusal.code, "message": str(refusal)}
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            answer = {"op": "error", "code": "bad", "message": f"{type(error).__name__}: {error}"}
        if answer is not None:
            if "id" in request:
                answer["id"] = request["id"]
            client.reply(answer)

    def _answer(self, client: Client, request: dict[str, Any]) -> dict[str, Any] | None:
        if request["op"] == "attach":
            return self._attach(client, int(request["after"]), request.get("window"))
        if (answer := self._host.anyone(request)) is not None:
            return answer
        if client is not self._attached:
            raise Refused("detached", "another client has taken over, or this one never attached")
        if request["op"] == "read":
            if client.credit is not None:
                client.credit += int(request["bytes"])
            return None
        return self._host.attached(request)

    def _attach(self, client: Client, after: int, window: int | None) -> dict[str, Any]:
        if after < 0:
            raise Refused("bad", "entries are numbered from 1")
        if client.within_entry:
            raise Refused("bad", "this connection is attached already")
        if self._attached is not None and self._attached is not client:
            older, self._attached = self._attached, client
            older.position = None
            older.reply({"op": "replaced"})
            self._serve(older)
            self._drop(older)
        self._attached = client
        client.position = self._journal.position_after(after)
        client.credit = int(window) if window is not None else None
        return {"op": "attached", "last": self._journal.number, **self._host.about(), "journal": self._journal.error}

    def _serve(self, client: Client) -> None:
        for _ in range(8):  # then someone else's turn
            client.fill(self._journal)
            if not client.out:
                break
            try:
                sent = client.sock.send(client.out)
            except BlockingIOError:
                break
            except OSError:
                self._drop(client)
                return
            client.out = client.out[sent:]
        mask = 0
        if client.reply_bytes < REPLY_BYTES:
            mask |= select.EPOLLIN
        client.fill(self._journal)
        if client.out:
            mask |= select.EPOLLOUT
        if mask != client.mask:
            client.mask = mask
            self._poll.modify(client.sock.fileno(), mask)

    def close(self) -> None:
        """Say the last replies and remove the socket."""
        for client in list(self._clients.values()):
            self._serve(client)
            self._drop(client)
        self._listener.close()
        try:
            os.unlink(SOCKET, dir_fd=self._directory)
        except OSError:
            return
