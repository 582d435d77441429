"""A client of stdio MCP servers: enough of the protocol to list and call tools (revision 2025-06-18)."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import Any

CLIENT = {"name": "demo-agent", "title": "Demo agent", "version": "1.0"}


class ToolFailed(Exception):
    """The server, or a tool of it, said no; the message is its own."""


class McpServer:
    """One server, started at the first use. Calls wait for each other."""

    def __init__(self, description: dict[str, Any]) -> None:
        self._description = description
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._number = 0
        self.tools: dict[str, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        return str(self._description.get("name", "MCP server"))

    def start(self) -> None:
        """Start it and learn its tools; raises ToolFailed."""
        with self._lock:
            if self._process is not None:
                return
            given = {item["name"]: item["value"] for item in self._description.get("env") or []}
            command = [self._description["command"], *(self._description.get("args") or [])]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **given}
                )
            except OSError as error:
                raise ToolFailed(f"{self.name} could not be started: {error.strerror}") from error
            hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": CLIENT}
            self._request("initialize", hello)
            self._write({"method": "notifications/initialized"})
            for tool in self._request("tools/list", {}).get("tools", []):
                self.tools[str(tool.get("name"))] = tool

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """A tool's text; raises ToolFailed with the tool's own words."""
        self.start()
        with self._lock:
            result = self._request("tools/call", {"name": tool, "arguments": arguments})
        text = "\n".join(str(part.get("text", "")) for part in result.get("content", []) if part.get("type") == "text")
        if result.get("isError"):
            raise ToolFailed(text or f"{tool} failed")
        return text

    def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        self._write({"id": self._number, "method": method, "params": params})
        process = self._process
        if process is None or process.stdout is None:
            raise ToolFailed(f"{self.name} does not run")
        for line in process.stdout:
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            if not isinstance(frame, dict):
                continue
            if frame.get("method") == "ping":
                self._write({"id": frame.get("id"), "result": {}})
            elif frame.get("id") == self._number and "method" not in frame:
                if "error" in frame:
                    raise ToolFailed(str(frame["error"].get("message")))
                result = frame.get("result")
                return result if isinstance(result, dict) else {}
        raise ToolFailed(f"{self.name} ended")

    def _write(self, frame: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise ToolFailed(f"{self.name} does not run")
        try:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **frame}).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise ToolFailed(f"{self.name} ended") from error

    def close(self) -> None:
        """End it, by the end of its input, or by force."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
