"""A client of one MCP server that runs as a child over stdio, as `session/new` names it."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Any

from mission_control_desktop.orchestrator.demo.peer import Json, Peer, PeerError

START_SECONDS = 20
CALL_SECONDS = 120


class ToolServer:
    """Starts the server and calls its tools. PeerError when it does not answer."""

    def __init__(self, spec: Json) -> None:
        extra = {item["name"]: item["value"] for item in spec.get("env") or []}
        self._process = subprocess.Popen(
            [spec["command"], *spec.get("args", [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **extra},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise PeerError("the tool server has no pipes")
        self._peer = Peer(self._process.stdout, self._process.stdin, lambda message: None)
        threading.Thread(target=self._peer.read, daemon=True).start()
        about = {"name": "demo-agent", "version": "1.0.0"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about}
        self._peer.call("initialize", hello, timeout=START_SECONDS)
        self._peer.notify("notifications/initialized", {})

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """The tool's text. PeerError with the tool's own words when it failed."""
        params = {"name": tool, "arguments": arguments}
        result = self._peer.call("tools/call", params, timeout=CALL_SECONDS)
        text = "\n".join(part.get("text", "") for part in result.get("content") or [])
        if result.get("isError"):
            raise PeerError(text)
        return text

    def close(self) -> None:
        self._process.terminate()
