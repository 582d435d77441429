"""One run of the fault harness: real processes, a seeded order of work and blows, and what must hold afterwards.

A blow is `kill -9` of the control plane (between two requests or in the middle of them), of a keeper, or of everything
at once, as when the machine is restarted; or an end ordered by an operator, of one session or of all. Work is spawning,
sending, pausing, resuming and answering; the agents leave daemons, ignore signals, stop reading and flood meanwhile.
What the control plane acknowledged is remembered here, apart from its own record.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity, read_journal
from support.orchestration import DOUBLE
from support.served import Served, wait_for

PATIENCE = 90.0
MARK = "FAULT_RUN_MARK"
SESSION = "MISSION_CONTROL_AGENT_ID"
STALE_SECONDS = 15.0
"""So long a session whose keeper is dead may be shown as if it were not."""
FINAL = ("completed", "failed", "killed")
KINDS = {
    "plain": (),
    "steering": ("--steering",),
    "rejecting": ("--second", "reject"),
    "stubborn": ("--ignore-eof", "--ignore-term"),
    "noisy": ("--garbage", "--stderr", "1"),
    "resuming": ("--resume", "{kept}"),
    "loading": ("--load", "{kept}"),
    "repeating": ("--load", "{kept}", "--name", "kimi", "--repeats", "--ignore-term"),
}
REPEATS_ITSELF = ("loading", "repeating")
"""They say everything again when they are loaded, which their journal has and the record must not have twice."""


@dataclass
class Order:
    """A message that was acknowledged."""

    session_id: str
    token: str
    injection_id: str
    attempts: int
    """Of the client: an attempt that a crash cut off has an intent of its own, the act is one."""


@dataclass
class Run:
    """`did` counts what was done, by name."""

    served: Served
    source: random.Random
    scratch: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    sessions: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    orphaned: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    kill_alls: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    _blow: threading.Timer | None = None

    # --- work

    def prepare(self) -> None:
        """Store the kinds of agents; each of their processes carries the run's mark."""
        kept = self.scratch / "kept"
        kept.mkdir()
        for name, options in KINDS.items():
            body = {
                "command": [sys.executable, str(DOUBLE), *(option.format(kept=kept) for option in options)],
                "cwd": str(self.scratch),
                "env": {MARK: self.mark},
            }
            assert self.served.admin.put(f"/agents/profiles/{name}", json=body).status_code == 200

    def prompt(self) -> str:
        marks = ["[words 30 10]", "[words 5 60]", "[tool]", "[permission]", "[plan]", "[thought]", "[words 120 3]"]
        marks += [f"[{name} {self.scratch / uuid.uuid4().hex}]" for name in ("daemon", "ticks", "undead")]
        marks += ["[flood 1]", "[stderr 1]"]
        return " ".join(self.source.choices(marks, k=self.source.randint(2, 5)))

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response | None:
        """None where the control plane could not be asked."""
        try:
            headers = {"Idempotency-Key": uuid.UUID(int=self.source.getrandbits(128)).hex}
            return self.served.admin.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            return None

    def any_session(self) -> str | None:
        living = [one for one in self.sessions if one not in self.ended]
        return self.source.choice(living) if living else None

    def spawn(self) -> None:
        kind = self.source.choice(list(KINDS))
        body = {"profile": kind, "prompt": self.prompt()}
        answer = self.call("POST", "/api/mission-control/sessions", body)
        if answer is not None and answer.status_code == 201:
            session_id = answer.json()["sessionId"]
            self.sessions.append(session_id)
            self.kinds[session_id] = kind

    def send(self) -> None:
        """A message with a token of its own; where no answer came, once more under the same key."""
        session_id = self.any_session()
        if session_id is None:
            return
        token = uuid.UUID(int=self.source.getrandbits(128)).hex
        delivery = self.source.choice([None, None, "queue", "interrupt"])
        words = self.prompt()
        if self.source.random() < 0.05:
            words = f"{words} [deaf]"
            self.deaf.add(session_id)
        body = {"content": f"{words} {token}", "delivery": delivery}
        path, headers = f"/api/mission-control/sessions/{session_id}/inject", {"Idempotency-Key": token}
        for attempt in (1, 2):
            try:
                answer = self.served.admin.post(path, json=body, headers=headers)
            except httpx.TransportError:
                self._blow_over()
                continue
            if answer.status_code == 202:
                self.orders.append(Order(session_id, token, answer.json()["injectionId"], attempt))
            return

    def pause(self) -> None:
        if session_id := self.any_session():
            level = self.source.choice(["hold", "freeze"])
            self.call("POST", f"/api/mission-control/sessions/{session_id}/pause", {"level": level})

    def resume(self) -> None:
        if session_id := self.any_session():
            self.call("POST", f"/api/mission-control/sessions/{session_id}/resume", {})

    def answer(self) -> None:
        page = self.call("GET", "/api/mission-control/approvals?state=open")
        if page is not None and page.status_code == 200 and (items := page.json()["items"]):
            chosen = self.source.choice(items)
            option = self.source.choice(chosen["options"])["optionId"]
            self.call("POST", f"/api/mission-control/approvals/{chosen['approvalId']}", {"optionId": option})

    # --- blows

    def end(self) -> None:
        if session_id := self.any_session():
            self.ended.add(session_id)
            verb = self.source.choice(["terminate", "kill"])
            answer = self.call("POST", f"/api/mission-control/sessions/{session_id}/{verb}", {"reason": "a fault run"})
            if answer is not None and answer.status_code == 200 and answer.json().get("status") in FINAL:
                native = session_id.partition(":")[2]
                assert survivors(native, SESSION) == [], f"{session_id} was said to be {answer.json()['status']}"

    def kill_all(self) -> None:
        body = {"scope": "all", "confirm": "KILL ALL", "reason": "in the middle of a fault run", "watchSeconds": 0}
        answer = self.call("POST", "/api/mission-control/kill-all", body)
        self.ended.update(self.sessions)
        if answer is not None and answer.status_code in (200, 202):
            self.kill_alls.append(answer.json()["killId"])

    def kill_plane(self) -> None:
        self.served.process.kill()
        time.sleep(self.source.choice([0, 0, 0.2]))
        self._start_plane()

    def kill_plane_amid(self) -> None:
        """Some hundredths of a second from now, whatever it is doing then."""
        pid = self.served.process.pid
        self._blow = threading.Timer(self.source.uniform(0, 0.08), os.kill, (pid, signal.SIGKILL))
        self._blow.start()
        for act in self.source.choices([self.send, self.spawn, self.end, self.pause, self.answer], k=4):
            if self._struck:
                act()
        self._blow_over()

    @property
    def _struck(self) -> bool:
        """Whether the control plane is dead, or will be at once."""
        return self._blow is not None

    def _blow_over(self) -> None:
        if self._blow is not None:
            self._blow.join()
            self._blow = None
            self.served.process.kill()
            self._start_plane()

    def _start_plane(self) -> None:
        self.served.start("--port", self.served.url.rpartition(":")[2])
        self.look()

    def kill_keeper(self) -> None:
        session_id = self.any_session()
        identity = None if session_id is None else read_identity(self.directory(session_id))
        if session_id is not None and identity is not None:
            self.orphaned.add(session_id)
            try:
                os.kill(identity.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            if self.source.random() < 0.3:
                self.look()

    def restart_machine(self) -> None:
        """Nothing of ours lives on: control plane, keepers, agents and all that these left. Then the cold start."""
        self.served.process.kill()
        for session_id in self.sessions:
            identity = read_identity(self.directory(session_id))
            if identity is not None and keeper_alive(self.directory(session_id)):
                self.orphaned.add(session_id)
                os.kill(identity.pid, signal.SIGKILL)
        for _ in range(20):
            if not (living := survivors(self.mark)):
                break
            for one in living:
                try:
                    os.kill(int(one.partition(":")[0]), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self._start_plane()

    def rest(self) -> None:
        time.sleep(self.source.uniform(0.02, 0.3))

    def step(self) -> None:
        """Do one drawn thing."""
        drawn: Callable[[], None] = self.source.choices(
            [self.spawn, self.send, self.pause, self.resume, self.answer, self.end, self.kill_all, self.kill_plane,
             self.kill_plane_amid, self.kill_keeper, self.restart_machine, self.rest],
            weights=[12, 32, 8, 12, 16, 5, 1, 3, 5, 5, 1, 16],
        )[0]  # fmt: skip
        self.did[drawn.__name__] += 1
        drawn()

    # --- what must hold

    def directory(self, session_id: str) -> Path:
        return self.served.data_dir / "agents" / session_id.partition(":")[2]

    def look(self) -> None:
        """No session is shown as one that lives and is followed while its keeper is dead."""

        def wrong() -> list[str]:
            found = []
            for session_id in self.sessions:
                alive = keeper_alive(self.directory(session_id))
                now = self.served.session(session_id)
                evidence = now["evidence"]
                assert datetime.fromisoformat(evidence["lastEventAt"]) <= datetime.now(UTC) + timedelta(seconds=1)
                fresh = evidence["freshness"] != "unreachable"
                starting = now["status"] == "spawning" or now.get("waitingFor") == "provider"
                if fresh and not (alive or starting or now["status"] in FINAL):
                    found.append(f"{session_id}: {now['status']} {evidence}")
            return found

        for session_id in self.sessions:
            if self.served.session(session_id)["status"] in FINAL:
                self.ended.add(session_id)
        wait_for(lambda: not wrong(), f"sessions without a keeper to be shown so: {wrong()}", STALE_SECONDS)

    def settle(self) -> None:
        """Let go on what is paused, answer what is asked, end what does not listen, until every session rests or has
        ended."""
        for session_id in self.deaf:
            self.call("POST", f"/api/mission-control/sessions/{session_id}/terminate", {"reason": "it is deaf"})

        def rests() -> bool:
            busy = False
            for session_id in self.sessions:
                now = self.served.session(session_id)
                if now["status"] == "paused":
                    self.call("POST", f"/api/mission-control/sessions/{session_id}/resume", {})
                resting = now["status"] == "waiting" and now.get("waitingFor") == "operator"
                queued = resting and any(
                    receipt["state"] in ("stored", "queued") for receipt in self.receipts(session_id).values()
                )
                busy |= not (now["status"] in FINAL or (resting and not queued))
            if busy:
                self.answer()
            return not busy

        states = {one: self.served.session(one)["status"] for one in self.sessions}
        wait_for(rests, f"every session to rest or end; at first {states}", PATIENCE)

    def receipts(self, session_id: str) -> dict[str, dict[str, Any]]:
        answer = self.served.admin.get(f"/api/mission-control/sessions/{session_id}/receipts")
        assert answer.status_code == 200, answer.text
        return {item["injectionId"]: item for item in answer.json()["items"]}

    def check_transcripts(self) -> None:
        """What an agent said, by its journal, stands on record once and in order."""
        for session_id in self.sessions:
            if session_id in self.orphaned and self.kinds[session_id] in REPEATS_ITSELF:
                continue
            texts = [m for m in self.served.messages(session_id) if m["metadata"].get("kind") == "text"]
            record = "".join(m["content"] for m in texts if m["role"] == "agent")
            assert record == said(self.directory(session_id)), f"{session_id}: words lost or doubled"

    def check_orders(self) -> None:
        """What was acknowledged was stored, recorded, and handed over at most once; where it was not, it is said."""
        rows = self.served.audit(action="inject")
        for order in self.orders:
            shown = [m for m in self.served.messages(order.session_id) if order.token in m["content"]]
            shown = [m for m in shown if m["role"] == "operator"]
            assert len(shown) == 1, f"{order}: shown {len(shown)} times"
            receipt = self.receipts(order.session_id)[order.injection_id]
            handed = handed_over(self.directory(order.session_id), order.token)
            assert len(handed) <= 1, f"{order}: handed over {handed}"
            if receipt["state"] in ("delivered", "answered"):
                assert len(handed) == 1, f"{order}: said to be {receipt['state']}, never handed over"
            elif order.session_id not in self.orphaned:
                assert not handed or receipt["detail"], f"{order}: handed over, and said to be {receipt}"
            intents = [row for row in rows if row["metadata"].get("injectionId") == order.injection_id]
            assert 1 <= len(intents) <= order.attempts, f"{order}: {len(intents)} intents on record"

    def check_audit(self) -> None:
        """Every intent is closed by one outcome, and the chain holds."""

        def closed() -> bool:
            rows = self.served.audit()
            outcomes = Counter(row["metadata"].get("intentId") for row in rows if row["outcome"] != "intended")
            intents = [row for row in rows if row["outcome"] == "intended"]
            assert all(outcomes[row["id"]] <= 1 for row in intents), "an intent was closed twice"
            return all(outcomes[row["id"]] == 1 for row in intents)

        wait_for(closed, "every intent to be closed", PATIENCE)
        report = self.served.admin.get("/api/mission-control/audit/verify").json()
        assert report["valid"], report

    def check_kill_alls(self) -> None:
        """What was begun is done, whoever was killed meanwhile."""

        def done() -> bool:
            answers = [self.served.admin.get(f"/api/mission-control/kill-all/{one}").json() for one in self.kill_alls]
            return all(answer["state"] == "done" for answer in answers)

        wait_for(done, "every kill-all to be done", PATIENCE)

    def stop_everything(self) -> None:
        """Kill-all, then look for survivors without asking the product."""
        body = {"scope": "all", "confirm": "KILL ALL", "reason": "the end of a fault run", "watchSeconds": 0}
        kill = self.served.admin.post("/api/mission-control/kill-all", json=body).json()["killId"]

        def done() -> dict[str, Any] | None:
            now = self.served.admin.get(f"/api/mission-control/kill-all/{kill}").json()
            return now if now["state"] == "done" else None

        result = wait_for(done, "the end of the kill-all", PATIENCE)
        assert all(target["state"] == "dead" for target in result["targets"]), result
        assert survivors(self.mark) == [], "processes outlived a kill-all"
        for session_id in self.sessions:
            assert self.served.session(session_id)["status"] in FINAL


def said(directory: Path) -> str:
    """All words of the agent's own session by its journal."""
    words: list[str] = []
    for entry in read_journal(directory):
        if entry.kind != "in" or entry.line is None:
            continue
        try:
            frame = json.loads(entry.line)
        except ValueError:
            continue
        update = frame.get("params", {}).get("update", {}) if isinstance(frame, dict) else {}
        if update.get("sessionUpdate") == "agent_message_chunk":
            words.append(update["content"]["text"])
    return "".join(words)


def handed_over(directory: Path, token: str) -> list[str]:
    """Which requests brought a message to the agent; one that the agent answered with an error, or with the word that
    it wants it as a prompt because no turn runs any more, brought nothing."""
    carried: dict[Any, str] = {}
    for entry in read_journal(directory):
        if entry.line is None or entry.kind not in ("in", "out"):
            continue
        try:
            frame = json.loads(entry.line)
        except ValueError:
            continue
        if entry.kind == "out" and token in entry.line:
            carried[frame.get("id")] = f"entry {entry.n}: {frame.get('method')} {frame.get('id')}"
        elif entry.kind == "in" and isinstance(frame, dict) and _turned_away(frame):
            carried.pop(frame.get("id"), None)
    return list(carried.values())


def _turned_away(answer: dict[str, Any]) -> bool:
    """A steering message can come when its turn has just ended."""
    result = answer.get("result")
    return "error" in answer or (isinstance(result, dict) and result.get("outcome") == "promptRequired")


def survivors(mark: str, variable: str = MARK) -> list[str]:
    """Living processes that carry the mark in their environment, read from /proc; the keepers do not."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if f"{variable}={mark}".encode() not in (process / "environ").read_bytes():
                continue
            words = (process / "cmdline").read_bytes()[:200]
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # It is gone.
        if state not in "ZX":
            found.append(f"{process.name}: {words!r}")
    return found
