"""`HttpMissionControl`: the control plane over HTTP + SSE, on plain asyncio.

Rules that hold for every call:

- A token goes only over TLS or to a loopback address, and is in no log line, repr or error.
- Every POST carries an Idempotency-Key, made once per call and kept in its retries, so a retry can do nothing twice.
- A call is retried only when the connection failed, never when an answer came or is merely late.
- Calls and streams have pools of their own: 64 open streams never keep a kill waiting.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
import structlog

from mission_control_desktop.client.clock import Uuid7Ids
from mission_control_desktop.client.sse import MAX_EVENT_BYTES, RawEvent, SseParser
from mission_control_desktop.client.tls import ENV_CA_FILE, trust
from mission_control_desktop.client.wire import compact, decode, decode_items, error_from
from mission_control_desktop.domain.addresses import is_loopback_name
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry, ChainReport
from mission_control_desktop.domain.base import Record, to_builtins, to_json
from mission_control_desktop.domain.clock import IdSource
from mission_control_desktop.domain.errors import BadInput, NotFound, Unreachable
from mission_control_desktop.domain.events import DATA_TYPES, EventType, StreamEvent
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.kill import WATCH_SECONDS, KillAll
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import AuditFilter, Health, Page, TreeNode
from mission_control_desktop.domain.people import Me, Member, NewToken, Role, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import ProviderView
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Delivery,
    ProcessInfo,
    SessionStatus,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
STOP_SECONDS = 90.0
"""A kill answers when it is verified, which may take the provider's whole stop sequence."""
VERIFY_SECONDS = 600.0
"""A verification reads the whole audit log: some ten seconds for a million rows."""
SILENCE_SECONDS = 40.0
"""No byte for so long (the server sends a comment at least every 15 s): the connection is dead."""
MAX_STREAMS = 256
ATTEMPTS = 3

_SESSIONS = "/api/mission-control/sessions"


class _KillStarted(Record, frozen=True, kw_only=True):
    kill_id: str


def checked_url(base_url: str, *, with_token: bool) -> httpx.URL:
    """The URL to call, or BadInput that says what is wrong with it."""
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadInput("url", f"{base_url!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadInput(
            "url", f"{base_url!r} is not a control plane's URL: give http://HOST:PORT or https://HOST[:PORT]"
        )
    if url.port is not None and not 0 < url.port < 65536:
        raise BadInput("url", f"there is no port {url.port}")
    if url.userinfo:
        raise BadInput("url", "give the token separately, not as part of the URL")
    if with_token and url.scheme == "http" and not is_loopback_name(url.host):
        raise BadInput(
            "url",
            f"the token would travel unencrypted to {url.host}: use https://, or a tunnel that ends on this computer",
        )
    return url


class HttpMissionControl:
    """Implements `domain.mission_control.MissionControl`. Create, use and `close()` it on one event loop."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        ids: IdSource | None = None,
        jitter: Callable[[], float] = random.random,
        read_seconds: float = READ_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        url = checked_url(base_url, with_token=token is not None)
        if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
            raise BadInput("token", "the token has characters that no token has: copy it again")
        self._url = str(url)
        self._auth = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._ids = ids or Uuid7Ids()
        self._jitter = jitter
        self._silence = silence_seconds
        self._max_event_bytes = max_event_bytes
        # Plain HTTP needs no certificates; loading them costs some 50 ms of start time.
        verify = trust() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Proxies from the environment are for other hosts: traffic to this computer never goes through one.
        trust_env = not is_loopback_name(url.host)
        headers = {"Accept": "application/json"}
        try:
            self._calls = httpx.AsyncClient(
                base_url=url,
                verify=verify,
                trust_env=trust_env,
                headers=headers,
                follow_redirects=False,
                timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=10.0),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=20.0),
            )
            self._streams = httpx.AsyncClient(
                base_url=url,
                verify=verify,
                trust_env=trust_env,
                headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                follow_redirects=False,
                timeout=httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS, pool=10.0),
                limits=httpx.Limits(max_connections=MAX_STREAMS, max_keepalive_connections=0),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise BadInput("url", f"a proxy that the environment names cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"HttpMissionControl({self._url!r})"

    @property
    def url(self) -> str:
        return self._url

    async def close(self) -> None:
        await self._calls.aclose()
        await self._streams.aclose()

    # --- reading -------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        return self._decode(await self._get("/api/health"), Health)

    async def me(self) -> Me:
        return self._decode(await self._get("/api/me"), Me)

    async def sessions(
        self,
        *,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AgentSession]:
        raw = await self._get(
            _SESSIONS, {"provider": provider, "status": status, "q": q, "limit": limit, "cursor": cursor}
        )
        return self._decode(raw, Page[AgentSession])

    async def session(self, session_id: str) -> AgentSession:
        return self._decode(await self._get(_session(session_id)), AgentSession)

    async def tree(self) -> tuple[TreeNode, ...]:
        return decode_items(await self._get("/api/mission-control/tree"), TreeNode, what=self._what)

    async def messages(
        self, session_id: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        raw = await self._get(_session(session_id, "messages"), {"limit": limit, "before": before, "after": after})
        return self._decode(raw, Page[AgentMessage])

    async def processes(self, session_id: str) -> tuple[ProcessInfo, ...]:
        return decode_items(await self._get(_session(session_id, "processes")), ProcessInfo, what=self._what)

    async def profiles(self) -> tuple[ProfileView, ...]:
        return decode_items(await self._get("/agents/profiles"), ProfileView, what=self._what)

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return decode_items(await self._get(_session(session_id, "receipts")), Receipt, what=self._what)

    async def providers(self) -> tuple[ProviderView, ...]:
        return decode_items(await self._get("/api/agent-providers"), ProviderView, what=self._what)

    async def approvals(self, *, state: ApprovalState | None = None) -> Page[Approval]:
        return self._decode(await self._get("/api/mission-control/approvals", {"state": state}), Page[Approval])

    async def kill_state(self, kill_id: str) -> KillAll:
        return self._decode(await self._get(_kill(kill_id)), KillAll)

    async def audit(
        self,
        filters: AuditFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        oldest_first: bool = False,
    ) -> Page[AuditEntry]:
        order = "oldest" if oldest_first else None
        params = {**to_builtins(filters or AuditFilter()), "limit": limit, "cursor": cursor, "order": order}
        return self._decode(await self._get("/api/mission-control/audit", params), Page[AuditEntry])

    async def audit_verify(self, *, head: str | None = None) -> ChainReport:
        raw = await self._get("/api/mission-control/audit/verify", {"head": head}, read_seconds=VERIFY_SECONDS)
        return self._decode(raw, ChainReport)

    async def workspace(self) -> Workspace:
        return self._decode(await self._get("/api/workspace"), Workspace)

    async def key_status(self) -> KeyStatus:
        return self._decode(await self._get("/api/keys"), KeyStatus)

    async def rotate_keys(self) -> KeyRotation:
        return self._decode(await self._post("/api/keys/rotate", {}), KeyRotation)

    async def tokens(self) -> tuple[TokenInfo, ...]:
        """Access tokens of the workspace, without the tokens themselves (admin)."""
        return decode_items(await self._get("/api/tokens"), TokenInfo, what=self._what)

    async def members(self) -> tuple[Member, ...]:
        """Who is in the workspace (admin)."""
        return decode_items(await self._get("/api/members"), Member, what=self._what)

    # --- acting --------------------------------------------------------------------------------------------------

    async def put_profile(self, profile: LaunchProfile) -> ProfileView:
        body = compact({k: getattr(profile, k) for k in ("runtime", "command", "cwd", "env", "mode", "title")})
        raw = await self._send("PUT", f"/agents/profiles/{quote(profile.name, safe='')}", body)
        return self._decode(raw, ProfileView)

    async def delete_profile(self, name: str) -> None:
        await self._send("DELETE", f"/agents/profiles/{quote(name, safe='')}")

    async def set_message_retention(self, days: int | None) -> Workspace:
        raw = await self._send("PATCH", "/api/workspace", {"messageRetentionDays": days})
        return self._decode(raw, Workspace)

    async def spawn(self, request: SpawnRequest, *, idempotency_key: str | None = None) -> AgentSession:
        body = {"provider": INTERNAL_PROVIDER, **compact(to_builtins(request))}
        return self._decode(await self._post(_SESSIONS, body, key=idempotency_key), AgentSession)

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        body = {
            "content": content,
            "delivery": delivery,
            "pauseBeforeSend": pause_before_send,
            "expectedRunId": expected_run_id,
        }
        return self._decode(await self._post(_session(session_id, "inject"), body, key=idempotency_key), Receipt)

    async def withdraw(self, session_id: str, injection_id: str, *, expected_run_id: str | None = None) -> Receipt:
        path = _session(session_id, f"receipts/{quote(injection_id, safe='')}/withdraw")
        return self._decode(await self._post(path, {"expectedRunId": expected_run_id}), Receipt)

    async def pause(
        self,
        session_id: str,
        *,
        level: str | None = None,
        reason: str | None = None,
        expected_run_id: str | None = None,
    ) -> AgentSession:
        return await self._act(session_id, "pause", reason, expected_run_id, level=level)

    async def resume(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "resume", reason, expected_run_id)

    async def cancel(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "cancel", reason, expected_run_id)

    async def terminate(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "terminate", reason, expected_run_id)

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None = None) -> AgentSession:
        return await self._act(session_id, "kill", reason, expected_run_id)

    async def kill_all(
        self,
        *,
        scope: str,
        confirm: str,
        reason: str,
        undo_seconds: float = 0,
        watch_seconds: float = WATCH_SECONDS,
        idempotency_key: str | None = None,
    ) -> KillAll:
        body = {
            "scope": scope,
            "confirm": confirm,
            "reason": reason,
            "undoSeconds": undo_seconds,
            "watchSeconds": watch_seconds,
        }
        raw = await self._post("/api/mission-control/kill-all", body, key=idempotency_key, read_seconds=STOP_SECONDS)
        return await self.kill_state(self._decode(raw, _KillStarted).kill_id)

    async def kill_undo(self, kill_id: str) -> KillAll:
        return self._decode(await self._post(f"{_kill(kill_id)}/undo", {}), KillAll)

    async def kill_close(self, kill_id: str) -> KillAll:
        return self._decode(await self._post(f"{_kill(kill_id)}/close", {}), KillAll)

    async def answer(self, approval_id: str, option_id: str, *, expected_run_id: str | None = None) -> Approval:
        path = f"/api/mission-control/approvals/{quote(approval_id, safe='')}"
        body = {"optionId": option_id, "expectedRunId": expected_run_id}
        return self._decode(await self._post(path, body), Approval)

    async def create_token(
        self, *, user: str, role: Role, workspace: str | None = None, expires_in: str | int | None = None
    ) -> NewToken:
        """A new access token (admin); its `token` is shown this once. `expires_in` like "30d" or "12h"."""
        body = {"user": user, "role": role, "workspace": workspace, "expiresIn": expires_in}
        return self._decode(await self._post("/api/tokens", body), NewToken)

    async def revoke_token(self, token_id: str) -> None:
        await self._send("DELETE", f"/api/tokens/{quote(token_id, safe='')}")

    async def set_member(self, user: str, role: Role) -> Member:
        return self._decode(await self._send("PUT", f"/api/members/{quote(user, safe='')}", {"role": role}), Member)

    async def remove_member(self, user: str) -> None:
        await self._send("DELETE", f"/api/members/{quote(user, safe='')}")

    async def _act(
        self, session_id: str, verb: str, reason: str | None, run_id: str | None, **more: str | None
    ) -> AgentSession:
        body = {"reason": reason, "expectedRunId": run_id, **more}
        raw = await self._post(_session(session_id, verb), body, read_seconds=STOP_SECONDS)
        return self._decode(raw, AgentSession)

    # --- streams -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def events(self, *, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with self._open("/api/mission-control/events", {}, last_event_id) as events:
            yield events

    @asynccontextmanager
    async def stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with self._open(_session(session_id, "stream"), {"replay": replay}, last_event_id) as events:
            yield events

    @asynccontextmanager
    async def _open(
        self, path: str, params: Mapping[str, Any], last_event_id: str | None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        headers = dict(self._auth)
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        request = self._streams.build_request("GET", path, params=_query(params), headers=headers)
        try:
            response = await self._streams.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        async with aclosing(response):
            if response.status_code != httpx.codes.OK:
                try:
                    raw = await response.aread()
                except httpx.HTTPError as error:
                    raise self._unreachable(error) from error
                raise error_from(response.status_code, response.headers, raw, what=self._what)
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith("text/event-stream"):
                raise Unreachable(f"{self._what} sent {kind or 'something unnamed'} instead of an event stream")
            async with aclosing(self._read(response)) as events:
                yield events

    async def _read(self, response: httpx.Response) -> AsyncGenerator[StreamEvent, None]:
        parser = SseParser(max_event_bytes=self._max_event_bytes)
        skipped = 0
        try:
            chunks = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
            async with aclosing(chunks):
                async for chunk in chunks:
                    for raw in parser.feed(chunk):
                        event = self._event(raw)
                        if event is not None:
                            yield event
                    if parser.oversize != skipped:
                        skipped = parser.oversize
                        log.error("event larger than the limit skipped", limit=self._max_event_bytes, skipped=skipped)
        except httpx.ReadTimeout as error:
            raise Unreachable(f"{self._what} sent nothing for {self._silence:g} s: the connection is dead") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        raise Unreachable(f"{self._what} closed the stream")

    def _event(self, raw: RawEvent) -> StreamEvent | None:
        try:
            kind = EventType(raw.type)
        except ValueError:
            # A newer server may send more types; what we do not know we cannot show.
            log.debug("event of an unknown type skipped", type=raw.type)
            return None
        data: Any = decode(raw.data, DATA_TYPES[kind], what=self._what)
        return StreamEvent(event_id=raw.event_id, type=kind, data=data)

    # --- one request ---------------------------------------------------------------------------------------------

    @property
    def _what(self) -> str:
        return f"The control plane at {self._url}"

    def _decode(self, raw: bytes, kind: type[T]) -> T:
        return decode(raw, kind, what=self._what)

    def _unreachable(self, error: httpx.HTTPError, *, during: str = "") -> Unreachable:
        match error:
            case httpx.ConnectTimeout():
                reason = f"no connection within {CONNECT_SECONDS:g} s"
            case httpx.ReadTimeout():
                reason = "no answer in time"
            case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
                reason = (
                    f"its certificate is not one that this computer trusts for that name ({error}); "
                    f"if it comes from an authority of your own, name that authority's file in {ENV_CA_FILE}"
                )
            case httpx.PoolTimeout():
                reason = "too many requests of this program are still waiting"
            case _:
                reason = str(error) or type(error).__name__
        return Unreachable(f"{self._what} cannot be reached{during}: {reason}", reason=reason)

    async def _get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        read_seconds: float | None = None,
    ) -> bytes:
        return await self._request("GET", path, params=_query(params or {}), read_seconds=read_seconds)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """PUT, PATCH and DELETE: the same again changes nothing more."""
        return await self._request(method, path, body=body)

    async def _post(
        self, path: str, body: Mapping[str, Any], *, key: str | None = None, read_seconds: float | None = None
    ) -> bytes:
        return await self._request(
            "POST", path, body=compact(body), key=key or self._ids.new(), read_seconds=read_seconds
        )

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        read_seconds: float | None = None,
    ) -> bytes:
        headers = dict(self._auth)
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = to_json(body)
        if key is not None:
            headers["Idempotency-Key"] = key
        timeout = self._calls.timeout
        if read_seconds is not None:
            timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=10.0)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._calls.request(
                    method, path, params=params, content=content, headers=headers, timeout=timeout
                )
            except httpx.TimeoutException as error:
                unsure = method != "GET" and isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout))
                raise self._unreachable(
                    error, during=" in time; it may still carry the request out" if unsure else ""
                ) from error
            except httpx.TransportError as error:
                # Idempotency-Key and idempotent methods make this safe even when the request was received.
                if attempt == ATTEMPTS or isinstance(error, (httpx.UnsupportedProtocol, httpx.ProxyError)):
                    raise self._unreachable(error) from error
                await asyncio.sleep(0.1 * attempt * (1 + self._jitter()))
                continue
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            if response.is_success:
                return response.content
            error_ = error_from(response.status_code, response.headers, response.content, what=self._what)
            if method == "DELETE" and attempt > 1 and isinstance(error_, NotFound):
                return b""  # the attempt whose answer was lost did it
            raise error_
        raise AssertionError("unreachable: the last attempt returns or raises")


def _session(session_id: str, verb: str | None = None) -> str:
    path = f"{_SESSIONS}/{quote(session_id, safe='')}"
    return path if verb is None else f"{path}/{verb}"


def _kill(kill_id: str) -> str:
    return f"/api/mission-control/kill-all/{quote(kill_id, safe='')}"


def _query(values: Mapping[str, Any]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Enum):
            value = value.value
        query[name] = value.isoformat() if isinstance(value, datetime) else str(value)
    return query
