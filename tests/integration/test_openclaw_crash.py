"""A control plane that is killed while messages are on their way to a gateway: none is lost, none arrives twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from support.gates import Gate, history_row
from support.gateway_double import TOKEN, gateway_double
from support.served import Served, wait_for

SESSIONS = {name: f"agent:main:dashboard:{name}" for name in ("unsent", "queued", "read", "answered")}
API = "/api/mission-control/sessions"


def path_of(name: str) -> str:
    return f"{API}/{quote('gate:' + SESSIONS[name], safe='')}"


def receipt_of(plane: Served, name: str) -> dict[str, Any] | None:
    items = plane.admin.get(f"{path_of(name)}/receipts").json()["items"]
    return dict(items[0]) if items else None


async def test_a_killed_control_plane_loses_and_doubles_no_message(tmp_path: Path) -> None:
    async with gateway_double() as double:
        gate = Gate(double)
        for key in SESSIONS.values():
            gate.put(key, hasActiveRun=True, activeRunIds=["r1"], label=key)
        taken: list[str] = []

        async def answer_nothing(params: dict[str, Any]) -> None:
            """Takes the message as far as the session's name says, and never says so."""
            taken.append(params["idempotencyKey"])
            key = params["sessionKey"]
            if key != SESSIONS["unsent"]:
                gate.sent[params["idempotencyKey"]] = params
            if key == SESSIONS["queued"]:
                gate.pending[key] = [{"runId": params["idempotencyKey"], "state": "queued"}]
            elif key in (SESSIONS["read"], SESSIONS["answered"]):
                own = f"{params['idempotencyKey']}:user"
                gate.histories[key] = [history_row(1, "user", params["message"], run=None, idempotencyKey=own)]
            await asyncio.Event().wait()

        send = double.answers["chat.send"]
        double.answers["chat.send"] = answer_nothing
        plane = Served(tmp_path / "data")
        try:
            await asyncio.to_thread(_begin, plane, double.url)
            async with asyncio.TaskGroup() as callers, asyncio.timeout(60):
                for name in SESSIONS:
                    callers.create_task(asyncio.to_thread(_inject, plane, name))
                while len(taken) < len(SESSIONS):
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(plane.process.kill)
            double.answers["chat.send"] = send
            double.calls.clear()
            answer = history_row(2, "assistant", [{"type": "text", "text": "done"}], run="r2")
            gate.histories[SESSIONS["answered"]].append(answer)
            await asyncio.to_thread(_after, plane)
        finally:
            await asyncio.to_thread(plane.end)
    again = [params for method, params in double.calls if method == "chat.send"]
    assert [params["sessionKey"] for params in again] == [SESSIONS["unsent"]]
    assert again[0]["idempotencyKey"] in taken


def _begin(plane: Served, url: str) -> None:
    plane.start()
    body = {"name": "gate", "provider": "openclaw", "gatewayUrl": url, "credentials": TOKEN}
    assert plane.admin.post("/api/agent-providers", json=body).status_code == 201
    for name in SESSIONS:
        wait_for(lambda name=name: plane.admin.get(path_of(name)).status_code == 200, f"the session {name}")  # type: ignore[misc]


def _inject(plane: Served, name: str) -> None:
    try:
        plane.admin.post(f"{path_of(name)}/inject", json={"content": f"to {name}"})
    except httpx.HTTPError:
        return
    raise AssertionError("it was answered")


def _after(plane: Served) -> None:
    plane.start()
    wanted = {"unsent": "queued", "queued": "queued", "read": "delivered", "answered": "answered"}
    for name, state in wanted.items():

        def there(name: str = name, state: str = state) -> bool:
            receipt = receipt_of(plane, name)
            return receipt is not None and receipt["state"] == state and "not confirmed" not in str(receipt["detail"])

        wait_for(there, f"{name}: {state}; it is {receipt_of(plane, name)}")
    sent = plane.admin.get(f"{path_of('read')}/messages").json()["items"]
    assert [(one["role"], one["content"]) for one in sent] == [("operator", "to read")]
    assert sent[0]["metadata"]["operatorId"] == plane.admin.get("/api/me").json()["userId"]
