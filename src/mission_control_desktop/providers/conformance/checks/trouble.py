"""Trouble: connections that are cut, peers and control planes that go away in the middle of a sentence."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mission_control_desktop.domain.errors import NotFound, Unavailable, Unreachable
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.providers.absent import AbsentProvider
from mission_control_desktop.providers.conformance.bench import BOUND, Bench, new_words
from mission_control_desktop.providers.conformance.peer import Cannot
from mission_control_desktop.providers.conformance.verdict import Part, demand
from mission_control_desktop.providers.registry import LIST_TIMEOUT, START_TIMEOUT, ProviderRegistry

PART = Part("trouble")
MANY = 30
PAUSE = 0.03
GRACE = 5.0
"""For a busy computer, beyond what the registry allows."""


async def _begin(bench: Bench) -> tuple[str, list[str]]:
    """A session in the middle of its words."""
    native = await bench.new_session()
    words = new_words(MANY)
    await bench.peer.say(native, words, pause=PAUSE)

    async def some() -> bool:
        return words[2] in await bench.spoken(native)

    await bench.until("the third word is on record", some)
    return native, words


@PART
async def a_cut_connection_loses_and_doubles_nothing(bench: Bench) -> None:
    """When the connection is cut in the middle of a message, twice, the record has every word once, in order, and a
    subscriber hears the same."""
    native, words = await _begin(bench)
    async with bench.listening(native) as listener:
        await bench.peer.cut()

        async def further() -> bool:
            return words[MANY // 2] in await bench.spoken(native)

        await bench.until("the words go on after the cut", further)
        await bench.peer.cut()
        await bench.until_level(native, words)
        await bench.until_well()
        more = new_words(3)
        await bench.peer.say(native, more)
        await bench.until_level(native, [*words, *more])
        whole = await bench.messages(native)

        async def level() -> bool:
            return listener.transcript() == whole

        await bench.until("the subscriber's transcript is the one on record", level)
        demand(not listener.faults, f"the stream was not consistent: {listener.faults[:3]}")


@PART
async def what_was_said_unheard_is_read_up(bench: Bench) -> None:
    """While no provider is there, the session goes on; the next one brings what was said, and what begins and ends in
    between, to the record once."""
    native, words = await _begin(bench)
    await bench.go_down()
    fresh: str | None = None
    other = new_words(3)
    with suppress(Cannot):
        fresh = await bench.made()
        await bench.peer.say(fresh, other)
    await bench.again()
    await bench.until_level(native, words)
    if fresh is not None:
        await bench.until_level(fresh, other)


@PART
async def closing_ends_no_session(bench: Bench) -> None:
    """`close` detaches within its time; what is at work at the peer stays at work, and is found so again."""
    native = await bench.working()
    await bench.go_down()
    demand(await bench.peer.works(native), "closing the provider ended the session's work")
    await bench.again()
    session = await bench.until_session(native, "is running", lambda one: one.status is SessionStatus.RUNNING)
    demand(not session.status.final, "it ended")


@PART
async def a_peer_that_crashed_is_taken_up_again(bench: Bench) -> None:
    """After a crash of the peer and its return the provider connects by itself; what is on record stays as it is, and
    what is said then follows it."""
    native = await bench.new_session()
    words = new_words(5)
    await bench.peer.say(native, words)
    await bench.until_level(native, words)
    before = [(one.message_id, one.content) for one in await bench.messages(native)]
    async with bench.outage():
        pass
    await bench.until_idle(native)
    more = new_words(3)
    await bench.peer.say(native, more)
    await bench.until_level(native, [*words, *more])
    after = [(one.message_id, one.content) for one in await bench.messages(native)]
    demand(after[: len(before)] == before, "what was on record before the crash has changed")


@PART
async def an_absent_peer_is_said_in_bounded_time(bench: Bench) -> None:
    """While the peer is away, everything that needs it raises Unreachable within its bound, `health` says why, and
    nothing is accepted that nobody has: a message that was refused never arrives."""
    native = await bench.new_session()
    async with bench.outage():
        health = bench.provider.health()
        demand((health.detail or "").strip(), f"health says {health.state} and not why")
        word = new_words()[0]
        provider = bench.provider
        await asyncio.gather(
            bench.refused(provider.list_sessions(), "list_sessions", Unreachable),
            bench.refused(provider.kill(native), "kill", Unreachable),
            bench.refused(provider.terminate(native), "terminate", Unreachable),
            bench.refused(bench.injecting(native, word), "inject", Unreachable),
        )
        session = await bench.session(native)
        demand(session is not None and not session.status.final, "the peer is away, and its session is told as ended")
    await bench.until_idle(native)
    await bench.deliver(native, new_words()[0])
    demand(await bench.heard(native, word) == 0, "a message that was refused arrived after all")


@PART
async def it_starts_while_the_peer_is_away(bench: Bench) -> None:
    """`start` returns (or raises an error of the tree) in its time while the peer is away; the provider then connects
    by itself when the peer is there, or is started again."""
    await bench.peer.away()
    try:
        await bench.go_down()
        bench.provider = bench.make()
        try:
            await bench.call(bench.provider.start(bench.watch), "start", seconds=START_TIMEOUT + GRACE)
            connects = True
        except (Unreachable, Unavailable):
            connects = False
        demand(bench.provider.health().state != "ok", "it says that it is well, and the peer is away")
    finally:
        await bench.peer.back()
    if not connects:
        await bench.go_down()
        await bench.again()
    await bench.until_well()
    await bench.new_session()


@PART
async def a_dead_peer_hides_nobody(bench: Bench) -> None:
    """Asked together with another provider while its peer is away, it is named with the reason, in time, and the
    other's sessions are there."""
    registry = ProviderRegistry()
    well = _Well()
    registry.add(well)
    registry.add(bench.provider)
    async with bench.outage(), asyncio.timeout(BOUND):
        began = asyncio.get_running_loop().time()
        found = await registry.list_sessions()
        took = asyncio.get_running_loop().time() - began
        demand(took <= LIST_TIMEOUT + GRACE, f"the list took {took:.1f} s")
        demand(well.asked, "the other provider was not asked")
        demand(set(found.problems) == {bench.name}, f"these are told as not answering: {found.problems}")


class _Well(AbsentProvider):
    """A provider that answers that it has no sessions."""

    def __init__(self) -> None:
        super().__init__(ProviderHealth(provider="well", state="ok"), lambda: NotFound("It has none."))
        self.asked = False

    async def list_sessions(self) -> list[AgentSession]:
        self.asked = True
        return []
