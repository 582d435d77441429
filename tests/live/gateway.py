"""A real OpenClaw gateway for the live tests: the pinned one, on loopback, with the scripted model behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from live.installed_agents import NODE, needed
from live.owner import owner_of
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.trouble import Refused
from support.gateway_double import MemoryKeep

START_SECONDS = 240
STOP_SECONDS = 20


class RealGateway:
    """Start it, kill it, start it again: its state stays in the folder. `main` runs commands, `guarded` asks first.

    `lets_in`: new devices of this computer, unasked, as a gateway does that is set up no further; else its owner lets
    each in, as one on another computer.
    """

    def __init__(self, folder: Path, model_url: str, *, lets_in: bool = False) -> None:
        self.folder = folder
        self._lets_in = lets_in
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.keep = MemoryKeep()
        """What our device keeps of this gateway; it is paired by `pair`."""
        self._entry = needed("openclaw") / "node_modules" / "openclaw" / "openclaw.mjs"
        for name in ("home", "state", "tmp", "work", "work-guarded"):
            (folder / name).mkdir(parents=True)
        self._config = folder / "state" / "openclaw.json"
        self._config.write_text(json.dumps(self._settings(model_url)))
        self._config.chmod(0o600)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> RealGateway:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        quiet = ("SKIP_CHANNELS", "SKIP_CRON", "SKIP_CANVAS_HOST", "SKIP_BROWSER_CONTROL_SERVER", "DISABLE_BONJOUR")
        environment = {
            **kept,
            "PATH": f"{NODE.parent}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "NODE_COMPILE_CACHE": str(self._entry.parents[2] / "compiled"),
            "OPENCLAW_STATE_DIR": str(self.folder / "state"),
            "OPENCLAW_CONFIG_PATH": str(self._config),
            **{f"OPENCLAW_{name}": "1" for name in (*quiet, "NO_RESPAWN", "NO_AUTO_UPDATE")},
        }
        with (self.folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(NODE), str(self._entry), "gateway", "run"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "gateway.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"the gateway did not start:\n{said}")
            time.sleep(0.25)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    async def pair(self) -> None:
        """Let our device in, as the gateway's owner."""
        doorway = Doorway(self.url, Credentials({"token": self.token}), self.keep, version="0")
        with pytest.raises(Refused) as refused:
            await doorway.open(lambda _: None)
        assert refused.value.request_id is not None, refused.value.words
        async with owner_of(self.url, self.token) as owner:
            await owner.call("device.pair.approve", requestId=refused.value.request_id)

    async def first_turn(self) -> None:
        """The first one takes long, and may fail on a busy computer while the gateway puts its stores in order: that is
        no test's business."""
        async with owner_of(self.url, self.token) as owner, asyncio.timeout(START_SECONDS):
            status = None
            while status != "done":
                key = (await owner.call("sessions.create", agentId="main"))["key"]
                await owner.call("chat.send", sessionKey=key, message="hello", idempotencyKey=secrets.token_hex(16))
                status = None
                while status not in ("done", "failed", "killed", "timeout"):
                    await asyncio.sleep(0.1)
                    status = (await owner.call("chat.history", sessionKey=key, limit=1))["sessionInfo"].get("status")

    @property
    def store(self) -> Path:
        """The database of the agent `main`."""
        return self.folder / "state" / "agents" / "main" / "agent" / "openclaw-agent.sqlite"

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """As if the machine had lost it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _settings(self, model_url: str) -> dict[str, Any]:
        model = {
            "id": "scripted",
            "name": "scripted",
            "reasoning": False,
            "input": ["text"],
            "cost": {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 200_000,
            "maxTokens": 8_000,
        }
        provider = {"baseUrl": f"{model_url}/v1", "apiKey": "x", "api": "openai-responses", "models": [model]}
        return {
            "gateway": {
                "mode": "local",
                "port": self.port,
                "bind": "loopback",
                "auth": {"mode": "token", "token": self.token},
                "controlUi": {"enabled": False},
                "nodes": {"pairing": {"autoApproveLocal": self._lets_in}},
            },
            "update": {"checkOnStart": False},
            "logging": {"file": str(self.folder / "openclaw.log")},
            "models": {"mode": "replace", "catalogRefresh": {"enabled": False}, "providers": {"scripted": provider}},
            "tools": {"toolSearch": False, "profile": "coding", "exec": {"mode": "full"}},
            "agents": {
                "defaults": {
                    "model": {"primary": "scripted/scripted"},
                    "workspace": str(self.folder / "work"),
                    "skipBootstrap": True,
                    "heartbeat": {"every": "0m"},
                    "systemAgent": {"agentId": "main"},
                },
                "ownership": "explicit",
                "entries": {
                    "main": {},
                    "guarded": {"workspace": str(self.folder / "work-guarded"), "tools": {"exec": {"mode": "ask"}}},
                },
            },
        }
