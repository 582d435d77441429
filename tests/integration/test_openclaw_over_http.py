"""An OpenClaw gateway from registration to removal as a caller of the API sees it: a real control plane over HTTP, a
scripted gateway on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from mission_control_desktop.server.running import Options, running
from support.gateway_double import TOKEN
from support.gateway_peer import GatewayPeer

PATIENCE = 40
PROVIDERS = "/api/agent-providers"
SESSIONS = "/api/mission-control/sessions"
WRONG = "a-token-that-opens-nothing"
Json = dict[str, Any]


class Caller:
    """An admin over HTTP. Keeps every answer as text."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.answers: list[str] = []

    async def ask(self, method: str, path: str, body: Json | None = None, *, status: int = 200) -> Json:
        answer = await self._client.request(method, path, json=body)
        self.answers.append(answer.text)
        assert answer.status_code == status, answer.text
        return dict(answer.json()) if answer.content else {}

    async def provider(self, name: str) -> Json | None:
        listed = await self.ask("GET", PROVIDERS)
        return next((one for one in listed["items"] if one["name"] == name), None)

    async def session(self, session_id: str) -> Json | None:
        listed = await self.ask("GET", SESSIONS)
        return next((one for one in listed["items"] if one["sessionId"] == session_id), None)


async def eventually(what: str, probe: Callable[[], Awaitable[Any]]) -> Any:
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await probe()):
                await asyncio.sleep(0.03)
            return found
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


@asynccontextmanager
async def here(folder: Path) -> AsyncIterator[Caller]:
    async with running(Options(data_dir=folder / "data")) as served:
        token = (folder / "data" / "local-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False) as client:
            yield Caller(client)
        served.hurry()


async def test_a_gateway_from_registration_to_removal(tmp_path: Path) -> None:
    peer = GatewayPeer()
    await peer.start(tmp_path)
    try:
        async with here(tmp_path) as caller:
            await whole_life(caller, peer)
            told = "".join(caller.answers)
            secrets = [TOKEN, WRONG, *peer.double.device_tokens]
            assert [one for one in secrets if one in told] == []
    finally:
        await peer.close()
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("control-plane.db*"))
    assert TOKEN.encode() not in on_disk


async def whole_life(caller: Caller, peer: GatewayPeer) -> None:
    kinds = {one["kind"]: one for one in (await caller.ask("GET", PROVIDERS))["kinds"]}
    assert "ws" in kinds["openclaw"]["schemes"]
    draft = {"name": "gate", "provider": "openclaw", "gatewayUrl": peer.double.url, "credentials": WRONG}

    # What can never work is refused by its field, and nothing is made of it.
    refused = await caller.ask("POST", PROVIDERS, {**draft, "gatewayUrl": "ftp://127.0.0.1"}, status=422)
    assert refused["error"]["details"]["field"] == "gatewayUrl"
    refused = await caller.ask("POST", PROVIDERS, {**draft, "credentials": {"password": WRONG}}, status=422)
    assert refused["error"]["details"]["field"] == "credentials"

    # A wrong token: registered, and told as what it is.
    made = await caller.ask("POST", PROVIDERS, draft, status=201)
    place = f"{PROVIDERS}/{made['id']}"
    assert (made["hasCredentials"], made["isActive"]) == (True, True)
    await caller.ask("POST", PROVIDERS, draft, status=409)
    report = await caller.ask("POST", f"{place}/check", {})
    stages = {one["stage"]: one["state"] for one in report["stages"]}
    assert (report["ok"], stages["protocol"], stages["authenticated"], stages["sessions"]) == (
        False,
        "ok",
        "failed",
        "skipped",
    )

    # The right one: connected by the change alone.
    await caller.ask("PATCH", place, {"credentials": TOKEN})

    async def well() -> bool:
        found = await caller.provider("gate")
        return found is not None and found["health"]["state"] == "ok"

    await eventually("the gateway is connected", well)
    report = await caller.ask("POST", f"{place}/check", {})
    assert report["ok"]
    assert {one["state"] for one in report["stages"]} == {"ok"}

    # Its sessions stand beside the others, are steered and stopped.
    native = await peer.new_session()
    child, bystander = await peer.new_session(parent=native), await peer.new_session()
    session_id = f"gate:{native}"
    found = await eventually("the session is listed", lambda: caller.session(f"gate:{child}"))
    assert found["parentSessionId"] == session_id
    at = f"{SESSIONS}/{quote(session_id, safe='')}"
    idle = await caller.ask("GET", at)
    assert (idle["provider"], idle["status"], idle["waitingFor"]) == ("gate", "waiting", "operator")
    assert idle["capabilities"]["pause"] is None
    assert idle["capabilities"]["reasons"]["pause"]
    await caller.ask("POST", f"{at}/pause", {}, status=501)
    receipt = await caller.ask("POST", f"{at}/inject", {"content": "hello there"}, status=202)

    async def answered() -> bool:
        listed = await caller.ask("GET", f"{at}/receipts")
        return [(one["injectionId"], one["state"]) for one in listed["items"]] == [(receipt["injectionId"], "answered")]

    await eventually("the message is answered", answered)
    assert list(await peer.heard(native)) == ["hello there"]
    said = [one["content"] for one in (await caller.ask("GET", f"{at}/messages"))["items"]]
    assert [one.strip() for one in said] == ["hello there", "I see."]
    unknown = f"{SESSIONS}/{quote('gate:agent:main:dashboard:unknown', safe='')}"
    await caller.ask("POST", f"{unknown}/inject", {"content": "hello"}, status=404)
    await peer.work(native)
    await eventually("it is running", lambda: _is(caller, session_id, "running"))
    cancelled = await caller.ask("POST", f"{at}/cancel", {"reason": "the wrong way"})
    assert (cancelled["status"], cancelled["waitingFor"]) == ("waiting", "operator")
    assert not await peer.works(native)
    await caller.ask("POST", f"{at}/cancel", {}, status=409)
    await peer.work(native)
    await eventually("it is running again", lambda: _is(caller, session_id, "running"))
    await caller.ask("POST", f"{at}/kill", {"reason": "enough"})
    assert not await peer.works(native)
    await eventually("it is killed", lambda: _is(caller, session_id, "killed"))

    # A stop of the whole gateway tells of each of its sessions.
    worker = await peer.new_session()
    await peer.work(worker)
    await eventually("the worker is listed", lambda: caller.session(f"gate:{worker}"))
    await eventually("it is running", lambda: _is(caller, f"gate:{worker}", "running"))
    order = {"scope": "gate", "confirm": "KILL ALL", "reason": "enough of it"}
    stop = await caller.ask("POST", "/api/mission-control/kill-all", order, status=202)

    async def board() -> Json | None:
        found = await caller.ask("GET", f"/api/mission-control/kill-all/{stop['killId']}")
        return found if found["state"] == "done" else None

    targets = {one["sessionId"]: one for one in (await eventually("all is stopped", board))["targets"]}
    # No process can be looked at from here, and it is not said that one was.
    assert targets[f"gate:{worker}"]["state"] == "asked"
    assert targets[f"gate:{worker}"]["detail"].startswith("the provider says that it ended")
    assert not await peer.works(worker)
    bystander = await peer.new_session()
    await eventually("another one is listed", lambda: caller.session(f"gate:{bystander}"))

    # Switched off it says so, and its sessions with it; switched on it goes on where it was.
    off = await caller.ask("PATCH", place, {"isActive": False})
    assert (off["isActive"], off["health"]["state"]) == (False, "disabled")
    other = f"{SESSIONS}/{quote(f'gate:{bystander}', safe='')}"
    assert (await caller.ask("GET", other))["evidence"]["freshness"] == "unreachable"
    await caller.ask("PATCH", place, {"isActive": True})
    await eventually("the gateway is connected again", well)
    await eventually("its sessions are live", lambda: _is_live(caller, f"gate:{bystander}"))
    assert [one.strip() for one in said] == [
        one["content"].strip() for one in (await caller.ask("GET", f"{at}/messages"))["items"]
    ]

    # Removed, its sessions stay on record and take nothing more.
    await caller.ask("DELETE", place, status=204)
    assert await caller.provider("gate") is None
    await caller.ask("DELETE", place, status=404)
    await eventually("nobody is connected", lambda: _alone(peer))
    assert (await caller.ask("GET", at))["status"] == "killed"
    await caller.ask("POST", f"{other}/inject", {"content": "hello"}, status=409)


async def _is(caller: Caller, session_id: str, status: str) -> bool:
    found = await caller.ask("GET", f"{SESSIONS}/{quote(session_id, safe='')}")
    return bool(found["status"] == status)


async def _is_live(caller: Caller, session_id: str) -> bool:
    found = await caller.ask("GET", f"{SESSIONS}/{quote(session_id, safe='')}")
    return bool(found["evidence"]["freshness"] == "live")


async def _alone(peer: GatewayPeer) -> bool:
    return not peer.double.sockets
