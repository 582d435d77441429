"""The rate limit that several control planes share, on a real server; and what happens when it does not answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mission_control_desktop.control import limits
from mission_control_desktop.control.assembly import open_plane
from mission_control_desktop.control.limits import MovingWindow
from mission_control_desktop.domain.errors import RateLimited
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.server.serve import ENV_VALKEY_URL, read_options
from support.planes import ANN, ROOT, ScriptedProvider, agent, audit_rows, plane
from support.records import until
from support.valkey import PROGRAM, free_port, silent_server, valkey_server

real_server = pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed")


async def _shared(limiter: MovingWindow) -> None:
    """Until the store answers."""
    await limiter.hit("is it there")
    await until(lambda: limiter.trouble() is None, "the shared store")


@real_server
async def test_processes_share_one_limit_and_go_on_alone_without_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROBE_SECONDS", 0.05)
    with valkey_server(tmp_path) as server, capture_logs() as logs:
        one, other = (MovingWindow(limit=10, seconds=60, shared=server.url) for _ in range(2))
        try:
            await asyncio.gather(_shared(one), _shared(other))
            answers = await asyncio.gather(*(each.hit("ann", "s") for _ in range(10) for each in (one, other)))
            assert answers.count(None) == 10
            assert all(58 < wait <= 60 for wait in answers if wait is not None)
            assert await one.hit("ann", "other session") is None
            logs.clear()

            server.stop()
            for _ in range(30):
                assert await other.hit("bob", "s") is None or _ >= 10
            assert await other.hit("bob", "s") is not None
            assert other.trouble() is not None
            assert [line["log_level"] for line in logs].count("error") == 1, "said once"
            # What each let through before still counts.
            own = answers[::2].count(None)
            alone = [await one.hit("ann", "s") for _ in range(12)]
            assert alone.count(None) == 10 - own

            server.start()
            await until(lambda: one.trouble() is None and other.trouble() is None, "both share again")
            assert sum("shared again" in line["event"] for line in logs) == 2
            # The server came back empty: what this process let through meanwhile is not forgotten.
            assert await other.hit("bob", "s") is not None
            assert [await one.hit("eve", "s") for _ in range(6)] == [None] * 6
            assert [await other.hit("eve", "s") for _ in range(5)].count(None) == 4
        finally:
            await one.close()
            await other.close()


async def _injects_without_waiting(built: Any, session_id: str) -> None:
    """Eleven messages: ten are sent, one is refused; and only the first of them may have to wait for the store."""
    loop = asyncio.get_running_loop()
    service = built.bind(ANN)
    began = loop.time()
    for number in range(10):
        await service.inject(session_id, f"message {number}")
    with pytest.raises(RateLimited) as refused:
        await service.inject(session_id, "one too many")
    assert loop.time() - began < 20
    assert 1 <= refused.value.retry_after <= 60


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_dead_store_keeps_nobody_waiting(tmp_path: Path, how: str) -> None:
    async with silent_server() as silent:
        url = silent if how == "is silent" else f"valkey://127.0.0.1:{free_port()}"
        provider = ScriptedProvider()
        async with plane(tmp_path, provider, barge_in=MovingWindow(limit=10, seconds=60, shared=url)) as built:
            session_id = await provider.add("s")
            await _injects_without_waiting(built, session_id)
            health = await built.health(detailed_for="default")
            assert health.status == "degraded"
            assert health.detail["limits"]["state"] == "degraded"
            assert "does not answer" in health.detail["limits"]["detail"]
            # A kill asks no store.
            assert (await built.bind(ANN).kill(session_id, reason="enough")).status.final


async def test_people_share_their_limit_over_tokens_and_a_refusal_is_on_record(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        tokens = [Principal(user_id="ann", role=ANN.role, token_id=f"t{number}") for number in range(2)]
        for number in range(10):
            await built.bind(tokens[number % 2]).inject(session_id, "hello", idempotency_key=f"k{number}")
        for _ in range(3):  # a repetition asks nothing of the limit
            await built.bind(tokens[0]).inject(session_id, "hello", idempotency_key="k0")
        for each in tokens:
            with pytest.raises(RateLimited):
                await built.bind(each).inject(session_id, "the eleventh", idempotency_key="k-late")
        rows = await audit_rows(built)
        refused = [row for row in rows if row.outcome == "refused"]
        assert [(row.user_id, row.action, row.content) for row in refused] == [("ann", "inject", "the eleventh")] * 2
        assert refused[0].metadata["error"]["code"] == "rate_limited"
        assert [name for name, _ in provider.calls].count("inject") == 10
        await built.bind(ROOT).inject(session_id, "another person")


async def test_what_is_rejected_does_not_count(tmp_path: Path) -> None:
    provider = ScriptedProvider()
    async with plane(tmp_path, provider) as built:
        session_id = await provider.add("s")
        service = built.bind(ANN)
        for content in ("", "   ", "x" * 120_001, "\N{GRINNING FACE}" * 100_001):
            for _ in range(4):
                with pytest.raises(Exception, match=r"nothing to send|at most"):
                    await service.inject(session_id, content)
        for _ in range(10):
            await service.inject(session_id, "hello")
        with pytest.raises(RateLimited):
            await service.inject(session_id, "hello")


async def test_an_agent_is_another_one_than_a_person_of_its_name(tmp_path: Path) -> None:
    from support.planes import ScriptedTree

    provider = ScriptedProvider()
    async with plane(tmp_path, provider, agents=ScriptedTree(child="parent")) as built:
        await provider.add("parent")
        session_id = await provider.add("child", parent="parent")
        person = Principal(user_id="agent:parent", role=ANN.role, token_id="t")
        for _ in range(10):
            await built.bind(person).inject(session_id, "hello")
            await built.bind(agent("parent")).inject(session_id, "hello")
        for who in (person, agent("parent")):
            with pytest.raises(RateLimited):
                await built.bind(who).inject(session_id, "hello")


def test_where_the_store_is_comes_from_arguments_environment_or_file(tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text('valkey-url = "valkey://file"')
    for argv, environ, wanted in (
        ([], {}, None),
        (["--config", str(config)], {}, "valkey://file"),
        (["--config", str(config)], {ENV_VALKEY_URL: "valkey://:pw@environment"}, "valkey://:pw@environment"),
        (["--valkey-url", "valkey://argument"], {ENV_VALKEY_URL: "valkey://environment"}, "valkey://argument"),
    ):
        options, _ = read_options(argv, environ, tmp_path)
        assert options.valkey_url == wanted
        assert "valkey:" not in repr(options), "it may hold a password"


async def test_open_plane_shares_what_it_is_told(tmp_path: Path) -> None:
    async with (
        silent_server() as url,
        open_plane(tmp_path, valkey_url=url, orchestrator=False) as built,
    ):
        await built.barge_in.hit("a")
        assert built.barge_in.trouble() is not None
