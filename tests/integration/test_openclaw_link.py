"""The connection to a gateway: comes in, stays, comes back, stops where a person is needed; and the staged check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import Conflict, TooLarge, Unavailable, Unreachable, Unsupported
from mission_control_desktop.domain.providers import StageName, StageState
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog
from mission_control_desktop.providers.openclaw.check import check_gateway
from mission_control_desktop.providers.openclaw.connection import Connection
from mission_control_desktop.providers.openclaw.frames import Event
from mission_control_desktop.providers.openclaw.kind import OpenClawKind
from mission_control_desktop.providers.openclaw.link import Doorway, Gap, Link
from mission_control_desktop.providers.openclaw.trouble import Later, Lost
from support.gateway_double import ALL_SCOPES, TOKEN, GatewayDouble, MemoryKeep, Refuse, gateway_double
from support.records import fresh_database, recording

PATIENCE = 30


class Ear:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.connections = 0
        self.fail_once: Exception | None = None

    async def connected(self, connection: Connection, *, rebooted: bool) -> None:
        self.connections += 1
        if self.fail_once is not None:
            error, self.fail_once = self.fail_once, None
            raise error
        self.told.put_nowait("rebooted" if rebooted else "connected")

    async def event(self, event: Event | Gap) -> None:
        self.told.put_nowait("gap" if isinstance(event, Gap) else event.event)

    async def lost(self) -> None:
        self.told.put_nowait("lost")

    async def next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return await self.told.get()

    async def until(self, wanted: Any) -> None:
        while await self.next() != wanted:
            pass


def doorway(double: GatewayDouble, keep: MemoryKeep, token: str = TOKEN) -> Doorway:
    return Doorway(double.url, Credentials({"token": token} if token else {}), keep, version="1")


@asynccontextmanager
async def linked(
    double: GatewayDouble, *, keep: MemoryKeep | None = None, token: str = TOKEN
) -> AsyncIterator[tuple[Link, Ear]]:
    ear = Ear()
    link = Link("gate", doorway(double, keep or MemoryKeep(), token), ear, random=lambda: 0.0, scrub=lambda text: text)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(link.run())
        try:
            yield link, ear
        finally:
            running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


async def test_the_gateways_token_for_this_device_is_kept_and_preferred() -> None:
    keep = MemoryKeep()
    async with gateway_double() as double:
        async with linked(double, keep=keep) as (link, ear):
            assert await ear.next() == "connected"
            await until(lambda: link.health().state == "ok")
        async with linked(double, keep=keep, token="") as (_, ear):
            assert await ear.next() == "connected"
        first, second = double.connects
        assert first["auth"] == {"token": TOKEN}
        assert second["auth"] == {"deviceToken": "device-token-1"}
        assert first["device"]["id"] == second["device"]["id"]


async def test_a_device_token_that_was_taken_back_gives_way_to_the_shared_one() -> None:
    keep = MemoryKeep()
    async with gateway_double() as double:
        async with linked(double, keep=keep) as (_, ear):
            await ear.until("connected")
        double.device_tokens.clear()
        async with linked(double, keep=keep) as (_, ear):
            await ear.until("connected")
        assert [list(one["auth"]) for one in double.connects] == [["token"], ["deviceToken"], ["token"]]


async def test_a_device_token_is_shown_to_its_own_gateway_alone() -> None:
    keep = MemoryKeep()
    async with gateway_double() as double, gateway_double() as other:
        async with linked(double, keep=keep) as (_, ear):
            await ear.until("connected")
        async with linked(other, keep=keep) as (_, ear):
            await ear.until("connected")
        assert other.connects[0]["auth"] == {"token": TOKEN}


async def test_a_wrong_token_is_said_and_not_tried_again() -> None:
    async with gateway_double() as double, linked(double, token="wrong-token") as (link, _):
        await link.settled()
        assert "token is wrong" in (link.health().detail or "")
        assert link.health().state == "unreachable"
        async with asyncio.timeout(PATIENCE):
            await link.stopped()
        assert len(double.connects) == 1
        with pytest.raises(Unreachable, match="token is wrong"):
            await link.call("sessions.list")


async def test_an_unpaired_device_is_explained_and_comes_in_when_it_was_approved() -> None:
    async with gateway_double() as double:
        details = {"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": "req-77"}
        double.refuse_connect = [Refuse("NOT_PAIRED", "pairing required", details=details)]
        async with linked(double) as (link, ear):
            await link.settled()
            assert "openclaw devices approve req-77" in (link.health().detail or "")
            link.nudge()
            await ear.until("connected")


async def test_a_gateway_that_goes_is_found_again() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        await double.tell("shutdown", {"reason": "gateway restarting", "restartExpectedMs": 1500})
        await double.drop()
        await ear.until("lost")
        await double.stop()
        await until(lambda: "restarts" in (link.health().detail or ""))
        assert link.health().state == "degraded"
        double.boot_id = "boot-2"
        await double.start()
        await ear.until("rebooted")
        await until(lambda: link.health().state == "ok")


async def test_requests_under_way_are_told_that_the_connection_ended() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        double.answers["slow"] = lambda _: asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_caught(link.call("slow")))
            await until(lambda: any(method == "slow" for method, _ in double.calls))
            await double.drop()
        assert isinstance(call.result(), Lost)


async def test_no_more_than_eight_requests_are_under_way() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        gate = asyncio.Event()

        async def answer(_: Any) -> dict[str, Any]:
            await gate.wait()
            return {}

        double.answers["slow"] = answer
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(link.call("slow"))
            await until(lambda: double.under_way == 8)
            gate.set()
        assert double.most_under_way == 8


async def test_a_frame_beyond_the_announced_size_is_not_sent() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        double.answers["echo"] = {"ok": True}
        with pytest.raises(TooLarge):
            await link.call("echo", {"text": "x" * 1_000_000})
        assert await link.call("echo", {"text": "x" * 900_000}) == {"ok": True}


async def test_a_reply_that_does_not_come_is_lost_and_a_late_one_hurts_nobody() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        gate = asyncio.Event()

        async def answer(_: Any) -> dict[str, Any]:
            await gate.wait()
            return {}

        double.answers |= {"slow": answer, "quick": {"n": 1}}
        with pytest.raises(Lost, match="did not answer slow"):
            await link.call("slow", timeout=0.05)
        gate.set()
        assert await link.call("quick") == {"n": 1}


async def test_refusals_of_a_call_are_errors_of_the_tree() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        double.answers["busy"] = lambda _: _raise(Refuse("UNAVAILABLE", "server is busy", retryable=True))
        with pytest.raises(Unavailable, match="server is busy"):
            await link.call("busy")
        with pytest.raises(Unsupported, match=r"does not know sessions\.pause"):
            await link.call("sessions.pause")


async def test_what_is_only_read_is_asked_for_again() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        await ear.until("connected")
        refusals = [Refuse("UNAVAILABLE", "the store changed", retryable=True, retryAfterMs=10)] * 2
        asked = 0

        def listed(_: Any) -> Any:
            nonlocal asked
            asked += 1
            if refusals:
                raise refusals.pop()
            return {"tasks": []}

        double.answers["tasks.list"] = listed
        assert await link.call("tasks.list") == {"tasks": []}
        assert asked == 3
        refusals.append(Refuse("UNAVAILABLE", "draining", retryable=True, retryAfterMs=60_000))
        with pytest.raises(Unavailable, match="draining"):
            await link.call("tasks.list")
        refusals.append(Refuse("INVALID_REQUEST", "no such thing"))
        with pytest.raises(Conflict, match="no such thing"):
            await link.call("tasks.list")
        assert asked == 5


async def test_a_hole_in_the_numbers_is_a_gap() -> None:
    async with gateway_double() as double, linked(double) as (_, ear):
        await ear.until("connected")
        await double.tell("tick", {})
        await double.tell("tick", {}, skip=3)
        assert [await ear.next() for _ in range(3)] == ["tick", "tick", "gap"]


async def test_a_listener_that_cannot_begin_gets_another_connection() -> None:
    async with gateway_double() as double, linked(double) as (link, ear):
        ear.fail_once = Lost("nothing came")
        await ear.until("connected")
        assert ear.connections == 2
        await until(lambda: link.health().state == "ok")


async def test_a_gateway_that_is_not_ready_is_tried_again_when_it_wants_to_be() -> None:
    loop = asyncio.get_running_loop()
    async with gateway_double() as double, linked(double) as (_, ear):
        ear.fail_once = Later("starting", retry_after=2.5)
        await until(lambda: ear.connections == 1)
        failed = loop.time()
        await ear.until("connected")
        assert loop.time() - failed >= 2.4


async def test_a_silent_gateway_is_taken_for_dead() -> None:
    async with gateway_double() as double:
        double.policy["tickIntervalMs"] = 1  # The shortest silence that counts is five seconds.
        async with linked(double) as (_, ear):
            await ear.until("connected")
            await ear.until("lost")


# The check


async def checked(double: GatewayDouble, token: str = TOKEN) -> dict[StageName, tuple[StageState, str]]:
    log = CheckLog(Credentials({"token": token}))
    async with asyncio.timeout(PATIENCE):
        await check_gateway(doorway(double, MemoryKeep(), token), log)
    return {one.stage: (one.state, one.detail) for one in log.stages()}


async def test_the_check_of_a_good_gateway() -> None:
    async with gateway_double() as double:
        double.answers["sessions.list"] = {"sessions": [{}], "totalCount": 2000}
        found = await checked(double)
        assert {state for state, _ in found.values()} == {StageState.OK}
        assert "2026.9.6" in found[StageName.PROTOCOL][1]
        assert "2000 sessions" in found[StageName.SESSIONS][1]
        await until(lambda: not double.sockets)


async def test_the_check_of_a_wrong_token_and_of_missing_scopes() -> None:
    async with gateway_double() as double:
        found = await checked(double, token="wrong-token")
        states = [state for state, _ in found.values()]
        assert states == [StageState.OK, StageState.OK, StageState.FAILED, StageState.SKIPPED, StageState.SKIPPED]
        assert "wrong-token" not in str(found)
        double.scopes = ("operator.read",)
        state, detail = (await checked(double))[StageName.SCOPES]
        assert state is StageState.FAILED
        assert "without operator.write it cannot send messages" in detail


async def test_a_gateway_that_grants_less_is_degraded_until_a_check_finds_all_granted(tmp_path: Path) -> None:
    async with gateway_double() as double:
        double.scopes = ALL_SCOPES[:-1]
        config = AdapterConfig(id="1", name="gate", kind="openclaw", gateway_url=double.url)
        kind, keep, credentials = OpenClawKind(), MemoryKeep(), Credentials({"token": TOKEN})
        provider = kind.open(config, credentials, keep)
        async with recording(fresh_database(tmp_path)) as recorder:
            await provider.start(recorder.provider_record("gate"))
            try:
                await until(lambda: provider.health().state == "degraded")
                detail = provider.health().detail or ""
                assert "without operator.admin it cannot stop runs that others began" in detail
                assert "openclaw devices list" in detail
                assert await provider.list_sessions() == []  # It works all the same.
                await kind.check(config, credentials, keep, CheckLog(credentials))
                assert len(double.connects) == 2  # The check's own: what is connected stays.
                double.scopes = ALL_SCOPES
                await kind.check(config, credentials, keep, CheckLog(credentials))
                await until(lambda: provider.health().state == "ok")
                assert provider.health().detail is None
            finally:
                await provider.close()


async def test_the_check_of_nothing_and_of_something_else() -> None:
    async with gateway_double() as double:
        await double.stop()
        found = await checked(double)
        assert found[StageName.REACHABLE][0] is StageState.FAILED
        assert "Nothing listens" in found[StageName.REACHABLE][1]

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(hang_up, "127.0.0.1", double.port)
        async with server:
            found = await checked(double)
        assert found[StageName.PROTOCOL][0] is StageState.FAILED
        assert "HTTP 200" in found[StageName.PROTOCOL][1]


async def _caught(work: Any) -> Exception | None:
    try:
        await work
    except Exception as error:
        return error
    return None


def _raise(error: Exception) -> None:
    raise error
