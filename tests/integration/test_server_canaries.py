"""Secrets that are marked, everything driven that could spill them, and then a search of all that was left anywhere.

Each canary may stand where it must (the file of the token that it is, the agent's own environment) and nowhere else.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from support.orchestration import DOUBLE
from support.served import Listener, Served, environment_without_ours, wait_for

SESSIONS = "/api/mission-control/sessions"


def marked(what: str) -> str:
    return f"canary-{what}-{secrets.token_hex(12)}"


def forms(secret: str) -> dict[str, bytes]:
    """How a secret may look: as it is, in hex, in base64 at each of three alignments, percent-encoded."""
    raw = secret.encode()
    found = {"plain": raw, "hex": raw.hex().encode(), "percent": quote(secret, safe="").encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        found[f"base64+{shift}"] = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
    return found


class Search:
    """Canaries, where each may be found, and where one was found all the same."""

    def __init__(self) -> None:
        self.canaries: dict[str, str] = {}
        self.allowed: dict[str, re.Pattern[str]] = {}
        self.places: dict[str, int] = {}
        self.seen: set[tuple[str, str]] = set()
        self.found: list[str] = []

    def seed(self, name: str, secret: str, allowed: str = r"$^") -> str:
        """`allowed`: a pattern over the names of places."""
        self.canaries[name] = secret
        self.allowed[name] = re.compile(allowed)
        return secret

    def look(self, kind: str, place: str, content: bytes) -> None:
        self.places[kind] = self.places.get(kind, 0) + 1
        for name, secret in self.canaries.items():
            for form, value in forms(secret).items():
                if value in content:
                    self.seen.add((name, kind))
                    if not self.allowed[name].search(f"{kind}: {place}"):
                        self.found.append(f"{name} ({form}) in {kind}: {place}")

    def files(self, directory: Path) -> None:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                place = str(path.relative_to(directory))
                kind = "log" if path.suffix in (".log", ".err") or "log" in path.name else "file"
                self.look(kind, place, path.read_bytes())
                self.look("file names", place, os.fsencode(path.name))

    def processes(self, data_dir: Path, own: list[int]) -> None:
        """Arguments and environment of whatever runs for this data directory."""
        roots = set(own)
        for process in psutil.process_iter():
            try:
                if str(data_dir) in " ".join(process.cmdline()):
                    roots.add(process.pid)
            except psutil.Error:
                continue
        family = set(roots)
        for pid in roots:
            try:
                family |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
            except psutil.Error:
                continue
        for pid in sorted(family):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            agent = DOUBLE.name.encode() in words
            who = "agent" if agent else "ours"
            self.look("arguments", f"{who} {pid}", words)
            self.look("environment", f"{who} {pid}", environment)


def run(search: Search, outputs: Path, plane: Served, *words: str, code: int | None = 0, **environment: str) -> None:
    """One command line; what it prints is kept to be searched."""
    done = subprocess.run(
        [sys.executable, "-m", "mission_control_desktop", *words],
        capture_output=True,
        timeout=90,
        env={**environment_without_ours(), "MISSION_CONTROL_DATA_DIR": str(plane.data_dir), **environment},
        check=False,
    )
    assert code is None or done.returncode == code, (words, done.stdout, done.stderr)
    name = "-".join(re.sub(r"\W+", "", word) for word in words)[:60]
    (outputs / f"cli-{name}.out").write_bytes(done.stdout)
    (outputs / f"cli-{name}.err").write_bytes(done.stderr)


def bad_requests(secret: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests that are refused for what is wrong in them, with the secret in it."""
    yield "PUT", "/agents/profiles/bad", {"json": {"command": ["true"], "env": {"A=B": secret}}}
    yield "PUT", "/agents/profiles/bad", {"json": {"command": ["true"], "env": {"A": secret + "\0"}}}
    yield "PUT", "/agents/profiles/bad", {"json": {"command": ["true"], "env": secret}}
    yield "PUT", "/agents/profiles/bad", {"json": {"command": "x", "env": {"A": [secret]}}}
    yield "PUT", "/agents/profiles/bad", {"content": b'{"env": "' + secret.encode() + b'" nonsense'}
    yield "POST", "/api/tokens", {"json": {"user": "x", "role": secret}}
    yield "POST", "/api/agent-providers", {"json": {"name": "x", "provider": "nonsense", "credentials": secret}}
    yield (
        "POST",
        "/api/agent-providers",
        {"json": {"name": "X Y", "provider": "orchestrator", "credentials": {"a": secret}}},
    )
    yield "POST", "/api/agent-providers", {"content": b"{" + secret.encode()}
    yield "POST", SESSIONS, {"json": {"profile": "double", "env": {"A": secret}}}


@pytest.mark.timeout(400)
def test_no_secret_is_where_it_need_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = Search()
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    answers: list[bytes] = []
    master = base64.b64encode(secrets.token_bytes(32)).decode()
    plane = Served(tmp_path / "data", MISSION_CONTROL_MASTER_KEY=master).start()
    try:
        search.seed("master key", master)
        search.seed("admin token", plane.process.token, r"^file: data/local-token$|^environment: cli")
        variable = search.seed(
            "variable of a profile", marked("env"), r"^environment: agent |^file: data/agents/[0-9a-f]+/"
        )
        credential = search.seed("credential of a provider", marked("credential"))
        bad = search.seed("secret in bad input", marked("bad"))
        # Content belongs into the record, the journals and what reads them; into no log, argument or environment.
        message = search.seed("message", marked("message"), r"^file: |^answers: ")
        admin = plane.admin

        def keep(answer: Any) -> Any:
            answers.append(repr(answer).encode() + repr(answer.headers).encode() + answer.content)
            return answer

        # --- launch profiles, sessions that work, fail to start, crash
        base = [sys.executable, str(DOUBLE)]
        for name, command in (
            ("double", base),
            ("fails", [*base, "--exit", "3", "--stderr", "0"]),
            ("refuses", [*base, "--init-error"]),
            ("absent", ["/does/not/exist"]),
        ):
            body = {"command": command, "env": {"CANARY": variable}, "cwd": str(tmp_path)}
            assert keep(admin.put(f"/agents/profiles/{name}", json=body)).status_code == 200
        key = {"Idempotency-Key": "one"}
        started = [
            keep(admin.post(SESSIONS, json={"profile": "double", "prompt": f"[words 3 1] {message}"}, headers=key))
            for _ in range(2)
        ]
        assert started[0].content == started[1].content
        session_id = started[0].json()["sessionId"]
        at = f"{SESSIONS}/{quote(session_id, safe='')}"
        plane.until(session_id, waitingFor="operator")
        for name in ("fails", "refuses", "absent"):
            keep(admin.post(SESSIONS, json={"profile": name, "prompt": message}))
        for _ in range(2):
            assert keep(
                admin.post(f"{at}/inject", json={"content": f"[permission] {message}"}, headers=key | {"X": "y"})
            ).status_code in (202, 409)
        keep(admin.post(f"{at}/inject", json={"content": f"[words 2 1] {message}", "delivery": "queue"}))
        crashed = plane.spawn(f"[words 2 1] {message}")
        plane.until(crashed, waitingFor="operator")

        # --- tokens: made twice with one key, refused, revoked
        made = keep(admin.post("/api/tokens", json={"user": "ann", "role": "operator"}, headers=key | {"X": "z"}))
        if made.status_code == 409:  # the same key with another body: refused, as it must be
            made = keep(admin.post("/api/tokens", json={"user": "ann", "role": "operator"}))
        answers.pop()  # the one answer that shows it
        token = search.seed("token of a person", made.json()["token"])
        person = plane.caller(token)
        with Listener(person, f"{at}/stream?replay=2") as stream:
            answers.append(next(iter(stream.events())).data)
        keep(person.get("/api/tokens"))
        keep(person.post(f"{at}/kill", json={}))
        keep(person.get("/agents/profiles"))
        keep(plane.caller(token + "x").get("/api/me"))
        keep(plane.caller(bad).get("/api/me"))
        search.seed(
            "token of an agent",
            (plane.data_dir / "agents" / session_id.partition(":")[2] / "mcp-token").read_text().strip(),
            r"^file: data/agents/[0-9a-f]+/mcp-token$",
        )

        # --- bad input
        for method, path, more in bad_requests(bad):
            assert 400 <= keep(admin.request(method, path, **more)).status_code < 500
        keep(admin.get(f"{SESSIONS}?q={bad}&limit={bad}"))
        keep(admin.get(f"/nothing/{bad}?x={bad}"))
        keep(admin.get(f"{SESSIONS}/{bad}"))

        # --- providers
        contract = keep(admin.get("/api/openapi.json")).json()
        described = contract["paths"]["/api/agent-providers"]
        if "post" in described:
            body = {
                "name": "gateway",
                "provider": "orchestrator",
                "gatewayUrl": "http://127.0.0.1:9",
                "credentials": {},
            }
            body["credentials"] = {"token": credential}
            created = keep(admin.post("/api/agent-providers", json=body))
            assert created.status_code == 201, created.text
            one = f"/api/agent-providers/{created.json()['id']}"
            keep(admin.post(f"{one}/check", json={}))
            keep(admin.patch(one, json={"credentials": {"token": credential}, "isActive": True}))
            keep(admin.patch(one, json={"credentials": {"token": credential}, "nonsense": credential}))
            keep(admin.post("/api/agent-providers", json=body))
            keep(admin.get("/api/agent-providers"))

        # --- programs
        for words in (
            ("doctor", "--json"),
            ("sessions", "--json"),
            ("tree",),
            ("audit", "export"),
            ("audit", "verify"),
            ("audit", "--json"),
            ("providers", "--json"),
            ("approvals", "--json"),
            ("token", "list"),
            ("profiles", "--json"),
        ):
            run(search, outputs, plane, *words, code=None)
        run(search, outputs, plane, "sessions", code=1, MISSION_CONTROL_TOKEN=bad)
        asked = plane.log.count('/api/mission-control/approvals"')
        with (outputs / "desktop.err").open("wb") as window_log:
            desktop = subprocess.Popen(
                [
                    *(sys.executable, "-c"),
                    "from mission_control_desktop.programs import desktop; raise SystemExit(desktop())",
                ],
                env={
                    **environment_without_ours(),
                    "QT_QPA_PLATFORM": "offscreen",
                    "MISSION_CONTROL_DATA_DIR": str(plane.data_dir),
                    "HOME": str(tmp_path / "home"),
                    "XDG_CONFIG_HOME": str(tmp_path / "home" / "config"),
                },
                stdout=window_log,
                stderr=subprocess.STDOUT,
            )
        own = [plane.process.pid, desktop.pid]
        try:
            wait_for(lambda: plane.log.count('/api/mission-control/approvals"') > asked, "the window to connect")
            search.processes(plane.data_dir, own)
        finally:
            desktop.terminate()
            desktop.wait(30)

        # --- a copy of the database, crashes of everything, and a start after them
        with (
            closing(sqlite3.connect(plane.data_dir / "control-plane.db")) as source,
            closing(sqlite3.connect(outputs / "backup.db")) as target,
        ):
            source.backup(target)
        for process in psutil.process_iter():
            try:
                if crashed.partition(":")[2] in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue
        plane.process.kill()
        plane.start()
        wait_for(lambda: plane.session(session_id)["status"] not in ("completed",), "the session to be known again")
        answers.append(repr(plane.admin.get("/api/health").content).encode())
        search.processes(plane.data_dir, [plane.process.pid])
    finally:
        plane.end()

    for number, answer in enumerate(answers):
        search.look("answers", str(number), answer)
    search.files(tmp_path)
    for place in (Path.cwd(), plane.data_dir):
        assert list(place.glob("core*")) == []
    assert search.found == [], "\n".join(sorted(set(search.found)))
    # The search itself can find: what is allowed was seen.
    assert {("message", "file"), ("variable of a profile", "environment"), ("admin token", "file")} <= search.seen
    with capsys.disabled():
        sys.stdout.write(f"\ncanaries: {len(search.canaries)}, searched: {json.dumps(search.places)}\n")
