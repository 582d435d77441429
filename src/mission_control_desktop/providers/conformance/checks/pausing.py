"""Pausing: what it is declared to be, or not at all."""

from __future__ import annotations

import asyncio

from mission_control_desktop.domain.errors import Conflict, NotFound, Unsupported
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, PauseKind, SessionStatus
from mission_control_desktop.providers.conformance.bench import UNKNOWN, Bench, new_id, new_words, reason_of
from mission_control_desktop.providers.conformance.verdict import Broken, Part, Skipped, demand

PART = Part("pause")
MANY = 20
PAUSES = (0.05, 0.4)
"""Seconds between two words. The longer one only where the words were over before the pause took effect."""
QUIET = 10
"""So many times the pause between two words nothing may be said by an agent that is suspended."""


async def _pausable(bench: Bench) -> tuple[str, PauseKind]:
    native = await bench.new_session()
    session = await bench.until_idle(native)
    kind = session.capabilities.pause
    if kind is None:
        raise Skipped(f"`pause` is null: {reason_of(session, 'pause')}")
    return native, kind


def _is_paused(session: AgentSession) -> bool:
    return session.status is SessionStatus.PAUSED


@PART
async def no_pause_is_said_so(bench: Bench) -> None:
    """Where `pause` is null, `pause`, `resume` and a message with `pause_before_send` raise Unsupported and change
    nothing."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    if session.capabilities.pause is not None:
        raise Skipped(f"`pause` is {session.capabilities.pause.value}")
    reason = reason_of(session, "pause")
    demand(reason, "`pause` is null, and `reasons` does not say why")
    await bench.refused(bench.provider.pause(native), "pause", Unsupported)
    await bench.refused(bench.provider.resume(native), "resume", Unsupported)
    if session.capabilities.inject:
        word = new_words()[0]
        await bench.refused(
            bench.injecting(native, word, pause_before_send=True), "inject with pause_before_send", Unsupported
        )
        later = new_words()[0]
        await bench.inject(native, later)
        await bench.until_heard(native, later)
        demand(await bench.heard(native, word) == 0, "a message that was refused arrived")
    now = await bench.until_idle(native)
    demand(not _is_paused(now), "it is paused, which it cannot be")


@PART
async def a_suspended_agent_says_nothing(bench: Bench) -> None:
    """Where `pause` is `suspend`, an agent that is paused in the middle of its words says no more of them until it is
    resumed, and then all of the rest."""
    native, kind = await _pausable(bench)
    if kind is not PauseKind.SUSPEND:
        raise Skipped(f"`pause` is {kind.value}")
    for pause in PAUSES:
        words = new_words(MANY)
        cut_short = await _is_cut_short(bench, native, words, pause)
        await bench.call(bench.provider.resume(native), "resume")
        await bench.until_level(native, words)
        if cut_short:
            return
        # Where pausing takes a while, all words may have been said before it: once more, slower.
        await bench.until_idle(native)
    raise Broken("it said all of its words while it was paused")


async def _is_cut_short(bench: Bench, native: str, words: list[str], pause: float) -> bool:
    """Whether an agent that is paused in the middle of its words leaves some of them unsaid."""
    await bench.peer.say(native, words, pause=pause)

    async def some() -> bool:
        return words[1] in await bench.spoken(native)

    await bench.until("the second word is on record", some)
    await bench.call(bench.provider.pause(native), "pause")
    await bench.until_session(native, "is paused", _is_paused)
    return words[-1] not in await _until_silent(bench, native, pause)


async def _until_silent(bench: Bench, native: str, pause: float) -> str:
    """What was said, once nothing is said for a while: a suspended agent comes to that before its words end. What it
    said before the pause may still be on its way to the record."""
    last = await bench.spoken(native)
    while True:
        await asyncio.sleep(pause * QUIET)
        now = await bench.spoken(native)
        if now == last:
            return now
        last = now


@PART
async def a_paused_session_holds_messages(bench: Bench) -> None:
    """Whatever the pause stops, a message to a paused session waits until it is resumed, and then arrives once."""
    native, _ = await _pausable(bench)
    await bench.call(bench.provider.pause(native), "pause")
    await bench.until_session(native, "is paused", _is_paused)
    word, injection = new_words()[0], new_id()
    receipt = await bench.inject(native, word, injection_id=injection)
    waits = (ReceiptState.STORED, ReceiptState.QUEUED)
    demand(receipt.state in waits, f"the session is paused, and a message to it is {receipt.state.value}")
    await asyncio.sleep(PAUSES[0] * QUIET)
    demand(await bench.heard(native, word) == 0, "the session is paused, and the agent has the message")
    await bench.call(bench.provider.resume(native), "resume")
    await bench.until_receipt(injection, ReceiptState.DELIVERED, ReceiptState.ANSWERED)
    await bench.until_idle(native)
    heard = await bench.heard(native, word)
    demand(heard == 1, f"the runtime has the message {heard} times")


@PART
async def pause_before_send_pauses(bench: Bench) -> None:
    """A message with `pause_before_send` pauses the session and waits for `resume`."""
    native, _ = await _pausable(bench)
    word, injection = new_words()[0], new_id()
    await bench.inject(native, word, injection_id=injection, pause_before_send=True)
    await bench.until_session(native, "is paused", _is_paused)
    demand(await bench.heard(native, word) == 0, "the message arrived before `resume`")
    await bench.call(bench.provider.resume(native), "resume")
    await bench.until_receipt(injection, ReceiptState.DELIVERED, ReceiptState.ANSWERED)
    await bench.until_idle(native)
    demand(await bench.heard(native, word) == 1, "the message did not arrive once")


@PART
async def pause_is_refused_where_it_makes_no_sense(bench: Bench) -> None:
    """To resume what is not paused is a Conflict; to pause what is paused is one, or changes nothing; another run is a
    Conflict; an unknown session is NotFound."""
    native, _ = await _pausable(bench)
    provider = bench.provider
    await bench.refused(provider.resume(native), "resume of what is not paused", Conflict)
    await bench.refused(provider.pause(native, expected_run_id="another-run"), "pause of another run", Conflict)
    await bench.refused(provider.pause(UNKNOWN), "pause of an unknown session", NotFound)
    await bench.refused(provider.resume(UNKNOWN), "resume of an unknown session", NotFound)
    await bench.call(provider.pause(native), "pause")
    await bench.until_session(native, "is paused", _is_paused)
    try:
        again = await bench.call(provider.pause(native), "pause of what is paused")
        demand(_is_paused(again), f"paused again it is {again.status.value}")
    except Conflict:
        pass
    await bench.call(provider.resume(native), "resume")
    await bench.until_idle(native)


@PART
async def a_pause_outlives_the_control_plane(bench: Bench) -> None:
    """A session that was paused is still paused for the next process of the control plane, and can be resumed there."""
    native, _ = await _pausable(bench)
    await bench.call(bench.provider.pause(native), "pause")
    await bench.until_session(native, "is paused", _is_paused)
    await bench.go_down()
    await bench.again()
    await bench.until_session(native, "is paused", _is_paused)
    await bench.call(bench.provider.resume(native), "resume")
    await bench.until_idle(native)
