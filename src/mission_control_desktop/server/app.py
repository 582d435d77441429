"""The ASGI application, made from the route table.

For each request, in this order: the route, who calls, whether the role allows it at all, the input, the handler. Paths
are matched as they were sent, so that an id with a percent-encoded slash or colon stays one part.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from mission_control_desktop.control.idempotency import KeyedAnswer
from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.policy import Operation
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.errors import (
    BadInput,
    Forbidden,
    MissionControlError,
    NotAuthenticated,
    NotFound,
    TooLarge,
)
from mission_control_desktop.domain.limits import (
    BODY_SECONDS,
    MAX_BODY_BYTES,
    MAX_DRAINED_BYTES,
    MAX_EVENT_ID_CHARS,
    MAX_HEADER_BYTES,
    MAX_JSON_DEPTH,
    MAX_QUERY_BYTES,
    MAX_QUERY_FIELDS,
    MAX_REASON_CHARS,
)
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.server.bodies import Input
from mission_control_desktop.server.calls import Call
from mission_control_desktop.server.connections import TooSlow
from mission_control_desktop.server.errors import (
    MethodNotAllowed,
    WrongContentType,
    bad_input,
    error_body,
    error_headers,
    internal_error,
)
from mission_control_desktop.server.openapi import describe
from mission_control_desktop.server.sse import Frames, Streams
from mission_control_desktop.server.strangers import refuse_web_pages
from mission_control_desktop.server.table import ROUTES, Route, by_path, parameters

log = structlog.get_logger(__name__)

JSON = (b"content-type", b"application/json")
COMMON = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Activity:
    """When a client last asked for something; for a control plane that ends when nobody needs it."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._running = 0

    def begin(self) -> None:
        self._running += 1

    def end(self) -> None:
        self._running -= 1
        self._last = time.monotonic()

    def idle_for(self) -> float:
        """Seconds since the last request or stream ended; 0 while one runs."""
        return 0.0 if self._running else time.monotonic() - self._last


class Application:
    """The HTTP door to one control plane. `streams` and `activity` are for the server that runs it."""

    def __init__(
        self,
        plane: ControlPlane,
        *,
        routes: Iterable[Route] = ROUTES,
        streams: Streams | None = None,
        names: Iterable[str] = (),
    ) -> None:
        """`names` are hosts, besides loopback ones, under which it may be addressed on a loopback door."""
        self.plane = plane
        self._names = frozenset(names)
        self._routes = tuple(routes)
        self.activity = Activity()
        self.streams = streams or Streams(plane.tokens.still_valid)
        plane.tokens.on_end.append(self.streams.end_token)
        table = by_path(self._routes)
        self._starlette = Starlette(
            routes=[StarletteRoute(path, endpoint=_Endpoint(self, methods)) for path, methods in table.items()]
        )
        self._starlette.router.redirect_slashes = False
        self._starlette.router.default = self._unknown
        for route in self._starlette.router.routes:
            if not isinstance(route, StarletteRoute) or route.path not in table:
                raise RuntimeError(f"{route!r} is served but has no entry in the route table")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served, not {scope['type']}")
        try:
            refuse_web_pages(scope, self._names)
        except Forbidden as error:
            log.warning("request of a web page refused", method=scope["method"])
            await respond_error(send, error)
            return
        raw = scope.get("raw_path")
        path = raw.decode("latin-1") if isinstance(raw, bytes) else scope["path"]
        await self._starlette({**scope, "path": path.partition("?")[0]}, receive, send)

    def contract(self) -> dict[str, Any]:
        """What is served, as OpenAPI."""
        return describe(self._routes)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        log.info("request", method=scope["method"], path="(unknown)", status=404)
        await respond_error(send, NotFound("There is nothing at this address."))


class _Endpoint:
    """All methods of one path."""

    def __init__(self, application: Application, methods: Mapping[str, Route]) -> None:
        self._application = application
        self._methods = methods
        self._path = next(iter(methods.values())).path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        told = _Told(send)
        self._application.activity.begin()
        try:
            await self._answer(scope, receive, told)
        except MissionControlError as error:
            await self._fail(told, error)
        except OSError as error:
            log.info("client went away", path=self._path, error=type(error).__name__)
        except Exception:
            log.exception("request failed", method=scope["method"], path=self._path)
            await self._fail(told, internal_error())
        finally:
            self._application.activity.end()
            # The path is the route's pattern: ids, queries and content stay out of the log.
            log.info(
                "request",
                method=scope["method"],
                path=self._path,
                status=told.status,
                ms=round((time.perf_counter() - began) * 1000, 1),
                user=told.user,
            )

    async def _fail(self, told: _Told, error: MissionControlError) -> None:
        if told.status is not None:
            log.warning("answer broken off", path=self._path, status=told.status, error=error.message)
            return
        try:
            await respond_error(told, error)
        except OSError:
            log.debug("client went before the answer", path=self._path)

    async def _answer(self, scope: Scope, receive: Receive, told: _Told) -> None:
        route = self._route(scope["method"])
        plane = self._application.plane
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise TooLarge(f"The headers of a request have at most {MAX_HEADER_BYTES} bytes.", limit=MAX_HEADER_BYTES)
        if len(headers.get("last-event-id", "")) > MAX_EVENT_ID_CHARS:
            raise BadInput("Last-Event-ID", f"`Last-Event-ID` has at most {MAX_EVENT_ID_CHARS} characters.")
        path = _path(scope["path_params"])
        who = await self._caller(route, headers)
        service = None if who is None else plane.bind(who)
        told.user = None if who is None else who.user_id
        if service is not None:
            await self._require_role(route, service, path, headers, receive)
        raw = b""
        body: Input | None = None
        try:
            query = _query(route, scope["query_string"])
            if route.body is not None:
                raw = await _read_body(receive, strict=True)
                body = _body(route.body, headers, raw)
        except MissionControlError as error:
            if service is not None and route.operation is not None:
                content, reason = _said(raw)
                session_id = _session_of(route, path)
                await service.turned_down(route.operation, error, session_id=session_id, content=content, reason=reason)
            raise
        call = Call(
            plane=plane,
            who=who,
            bound=service,
            contract=self._application.contract,
            path=path,
            query_=query,
            body_=body,
            last_event_id=headers.get("last-event-id"),
            idempotency_key=headers.get("idempotency-key"),
        )
        if route.stream:
            frames = await route.handler(call)
            if who is None or not isinstance(frames, Frames):
                raise RuntimeError(f"{route.path} is no stream for a known caller")
            await self._application.streams.serve(who, frames, receive, told)
        elif route.method == "POST" and call.idempotency_key is not None and who is not None:
            await _keyed(route, call, who, raw, told)
        else:
            result = _result(route, call)
            body_ = await (_while_wanted(receive, result) if route.while_wanted else result)
            await respond(told, route.status, body_)

    def _route(self, method: str) -> Route:
        route = self._methods.get(method)
        if route is None and method == "HEAD":
            route = self._methods.get("GET")
            if route is not None and route.stream:
                route = None
        if route is None:
            raise MethodNotAllowed(f"{method} is not possible here.", allow=", ".join(sorted(self._methods)))
        return route

    async def _caller(self, route: Route, headers: Mapping[str, str]) -> Principal | None:
        kind, _, shown = headers.get("authorization", "").partition(" ")
        token = shown.strip() if kind.lower() == "bearer" else ""
        if route.operation is not None:
            return await self._application.plane.tokens.authenticate(token)
        # Open to anyone; who shows a token is told more, and a bad token is no reason to hide that we are well.
        try:
            return await self._application.plane.tokens.authenticate(token) if token else None
        except NotAuthenticated:
            return None

    @staticmethod
    async def _require_role(
        route: Route,
        service: MissionControlService,
        path: Mapping[str, str],
        headers: Mapping[str, str],
        receive: Receive,
    ) -> None:
        """Refuse before the input is looked at, but keep what was said for the audit row."""
        if route.operation is None or service.may(route.operation):
            return
        content, reason = None, None
        if route.body is not None:
            content, reason = _said(await _read_body(receive, strict=False))
        await service.refuse(route.operation, session_id=_session_of(route, path), content=content, reason=reason)


class _Told:
    """A `send` that remembers what status went out, and to whom."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.user: str | None = None

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def respond(send: Send, status: int, body: bytes, *, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a whole JSON answer."""
    start = [*COMMON, *headers]
    if status != 204:
        start += [JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if status == 204 else body})


async def respond_error(send: Send, error: MissionControlError) -> None:
    close = [(b"connection", b"close")] if isinstance(error, (TooLarge, TooSlow)) else []
    await respond(send, error.status, error_body(error), headers=[*error_headers(error), *close])


async def _keyed(route: Route, call: Call, who: Principal, raw: bytes, send: Send) -> None:
    async def act(seed: str | None) -> KeyedAnswer:
        try:
            body = await _result(route, replace(call, seed=seed))
            return KeyedAnswer(route.status, body, secret=route.secret)
        except MissionControlError as error:
            return KeyedAnswer(error.status, error_body(error), headers=tuple(error_headers(error)))

    path = route.path
    for name in parameters(route.path):
        path = path.replace(f"{{{name}}}", call.path[name])
    request = f"{route.method} {path}\n".encode() + _canonical(raw)
    answer = await call.plane.idempotency.run(
        who,
        call.idempotency_key,
        request,
        act,
        repeatable=route.repeatable(call.body_),
        insist=route.operation in (Operation.KILL, Operation.KILL_ALL),
    )
    await respond(send, answer.status, answer.body, headers=answer.headers)


async def _result(route: Route, call: Call) -> bytes:
    result = await route.handler(call)
    return b"" if route.status == 204 else msgspec.json.encode(result)


async def _while_wanted(receive: Receive, work: Awaitable[bytes]) -> bytes:
    """What the work gives, unless the client goes first: then it is cancelled. Raises ConnectionResetError."""
    outcome: list[bytes | MissionControlError] = []

    async def run() -> None:
        try:
            outcome.append(await work)
        except MissionControlError as error:
            outcome.append(error)

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with asyncio.TaskGroup() as group:
        parts = [group.create_task(run()), group.create_task(gone())]
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            part.cancel()
    if not outcome:
        raise ConnectionResetError("the client went before the answer")
    if isinstance(outcome[0], MissionControlError):
        raise outcome[0]
    return outcome[0]


def _session_of(route: Route, path: Mapping[str, str]) -> str | None:
    """The session that a request is about, by its path."""
    about_session = "/sessions/{id}" in route.path or route.path.startswith("/agents/{id}")
    return path["id"] if about_session else None


def _said(raw: bytes) -> tuple[str | None, str | None]:
    """Content and reason of a body whose sender is refused, whatever else is in it."""
    try:
        body = msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    if not isinstance(body, dict):
        return None, None
    content, reason = body.get("content"), body.get("reason")
    return (
        content if isinstance(content, str) else None,
        reason[:MAX_REASON_CHARS] if isinstance(reason, str) else None,
    )


def _path(parameters_: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: unquote(value, errors="strict") for name, value in parameters_.items()}
    except UnicodeDecodeError:
        raise NotFound("There is nothing at this address.") from None


def _query(route: Route, raw: bytes) -> Input:
    if len(raw) > MAX_QUERY_BYTES:
        raise TooLarge(f"A query has at most {MAX_QUERY_BYTES} bytes.", limit=MAX_QUERY_BYTES)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
        values = dict(pairs)
        if len(values) != len(pairs):
            raise BadInput("query", "Each part of the query stands there once.")
        return msgspec.convert(values, route.query, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise bad_input(error, where="query") from error


async def _read_body(receive: Receive, *, strict: bool) -> bytes:
    """The whole body. Raises TooLarge and TooSlow; when not `strict`, what is too large is taken for empty."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_parts(receive, strict=strict)
    except TimeoutError:
        raise TooSlow(f"The body of a request has {BODY_SECONDS:g} seconds.") from None


async def _read_parts(receive: Receive, *, strict: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went while it sent its request")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            parts.append(chunk)
        if not message.get("more_body", False) or size > MAX_DRAINED_BYTES:
            break
    if size <= MAX_BODY_BYTES:
        return b"".join(parts)
    if strict:
        raise TooLarge(f"A request has at most {MAX_BODY_BYTES} bytes.", limit=MAX_BODY_BYTES)
    return b""


def _body(kind: type[Input], headers: Mapping[str, str], raw: bytes) -> Input:
    if raw:
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type and content_type != "application/json" and not content_type.endswith("+json"):
            raise WrongContentType("Send JSON (`Content-Type: application/json`).")
    if too_deep(raw):
        raise BadInput("body", f"A body is nested at most {MAX_JSON_DEPTH} levels deep.", limit=MAX_JSON_DEPTH)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_input(error, where="body") from error


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def too_deep(raw: bytes) -> bool:
    """Whether JSON is nested deeper than `MAX_JSON_DEPTH`; of what is no JSON it does not matter."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_JSON_DEPTH:
        return False
    depth = 0
    for one in _STRING.sub(b"", raw):
        if one in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                return True
        elif one in b"]}":
            depth -= 1
    return False


def _canonical(raw: bytes) -> bytes:
    """The same bytes for the same JSON, whatever its white space and order."""
    return msgspec.json.encode(msgspec.json.decode(raw), order="sorted") if raw else b"{}"
