"""Ends: verified at the peer, final, and never of something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mission_control_desktop.domain.errors import Conflict, NotFound, Unsupported
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.providers.conformance.bench import UNKNOWN, Bench, new_words, reason_of
from mission_control_desktop.providers.conformance.verdict import Part, Skipped, demand
from mission_control_desktop.providers.contract import CancelsTurns, ProbesStop

PART = Part("stop")


def _final(session: AgentSession) -> bool:
    return session.status.final


async def _stoppable(bench: Bench, capability: str) -> str:
    """A session at work that has the capability."""
    native = await bench.working()
    session = await bench.until_session(native, "is on record")
    if not getattr(session.capabilities, capability):
        raise Skipped(f"`{capability}` is false: {reason_of(session, capability)}")
    demand(await bench.peer.works(native), "the peer says that a session at work does not work")
    return native


@PART
async def a_kill_is_verified(bench: Bench) -> None:
    """When `kill` returns, nothing of the session works at the peer any more, and it is final, on record soon, and in
    the list, which another kill does not change."""
    native = await _stoppable(bench, "kill")
    session = await bench.call(bench.provider.kill(native), "kill")
    demand(not await bench.peer.works(native), "`kill` returned, and the session still works at the peer")
    demand(session.status.final, f"`kill` answered a session that is {session.status.value}")
    ended = await bench.until_session(native, "is final", _final)
    demand(ended.completed_at is not None, "it is final and has no time of its end")
    await _again(bench, native, lambda: bench.provider.kill(native), "kill", ended.status)


async def _again(
    bench: Bench, native: str, act: Callable[[], Awaitable[AgentSession]], what: str, status: SessionStatus
) -> None:
    """Ending what has ended is a Conflict, or answers it as it is."""
    try:
        again = await bench.call(act(), f"{what} of what has ended")
        demand(again.status.final, f"{what} of what has ended answered a session that is {again.status.value}")
    except (Conflict, NotFound):
        pass
    now = await bench.until_session(native, "is on record")
    demand(now.status is status, f"{what} of what has ended made it {now.status.value}; it was {status.value}")
    told = await bench.call(bench.provider.get_session(native), "get_session")
    demand(told is None or told.status.final, "it has ended, and get_session says that it lives")


@PART
async def what_has_ended_takes_no_orders(bench: Bench) -> None:
    """A session that was killed refuses messages and pauses, and stays as it is, also for the next process of the
    control plane."""
    native = await _stoppable(bench, "kill")
    await bench.call(bench.provider.kill(native), "kill")
    ended = await bench.until_session(native, "is final", _final)
    word = new_words()[0]
    refusals = (Conflict, NotFound, Unsupported)
    await bench.refused(bench.injecting(native, word), "a message to what has ended", *refusals)
    await bench.refused(bench.provider.pause(native), "pause of what has ended", *refusals)
    await bench.go_down()
    await bench.again()
    await bench.call(bench.provider.list_sessions(), "list_sessions")
    now = await bench.until_session(native, "is on record")
    demand(now.status is ended.status, f"it was {ended.status.value}, and is {now.status.value} after a restart")
    demand(not await bench.peer.works(native), "it works again at the peer")
    demand(await bench.heard(native, word) == 0, "a message that was refused arrived")


@PART
async def a_kill_takes_what_is_below(bench: Bench) -> None:
    """The sub-sessions of a session that is killed do not work any more when `kill` returns, and are final."""
    parent = await _stoppable(bench, "kill")
    child = await bench.made(parent=parent)
    await bench.until_session(child, "is on record")
    await bench.peer.work(child)
    await bench.until_session(child, "is running", lambda one: one.status is SessionStatus.RUNNING)
    await bench.call(bench.provider.kill(parent), "kill")
    demand(not await bench.peer.works(parent), "`kill` returned, and the session still works")
    demand(not await bench.peer.works(child), "`kill` returned, and its sub-session still works")
    await bench.until_session(parent, "is final", _final)
    await bench.until_session(child, "is final", _final)


@PART
async def a_kill_hits_nothing_else(bench: Bench) -> None:
    """A kill of an unknown session is NotFound, of another run a Conflict, and neither these nor a kill that succeeds
    stop another session."""
    bystander = await bench.working()
    native = await _stoppable(bench, "kill")
    await bench.refused(bench.provider.kill(UNKNOWN), "kill of an unknown session", NotFound)
    await bench.refused(bench.provider.kill(native, expected_run_id="another-run"), "kill of another run", Conflict)
    demand(await bench.peer.works(native), "a kill that was refused ended the session")
    run = (await bench.until_session(native, "is on record")).run_id
    await bench.call(bench.provider.kill(native, expected_run_id=run), "kill of the current run")
    demand(not await bench.peer.works(native), "the session still works")
    demand(await bench.peer.works(bystander), "another session does not work any more")
    other = await bench.until_session(bystander, "is on record")
    demand(not other.status.final, f"another session is {other.status.value}")


@PART
async def a_terminated_session_ends(bench: Bench) -> None:
    """`terminate` returns at once and the session comes to its end, verified at the peer; again it changes nothing."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    if not session.capabilities.terminate:
        raise Skipped(f"`terminate` is false: {reason_of(session, 'terminate')}")
    await bench.refused(bench.provider.terminate(UNKNOWN), "terminate of an unknown session", NotFound)
    await bench.refused(
        bench.provider.terminate(native, expected_run_id="another-run"), "terminate of another run", Conflict
    )
    await bench.call(bench.provider.terminate(native), "terminate")
    ended = await bench.until_session(native, "is final", _final)

    async def at_rest() -> bool:
        return not await bench.peer.works(native)

    await bench.until("nothing of the session works at the peer", at_rest)
    await _again(bench, native, lambda: bench.provider.terminate(native), "terminate", ended.status)


@PART
async def an_end_at_the_peer_is_told(bench: Bench) -> None:
    """A session that ends at the peer, without any order, is told as ended or as waiting, never as still at work."""
    native = await bench.working()
    await bench.peer.end(native)
    demand(not await bench.peer.works(native), "the peer ended it, and it works")
    at_rest = (SessionStatus.WAITING, SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.KILLED)
    await bench.until_session(native, "is at rest", lambda one: one.status in at_rest)


@PART
async def a_killed_question_is_over(bench: Bench) -> None:
    """Killing a session that waits for an answer leaves no question open, and a late answer is refused."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    if not (session.capabilities.kill and session.capabilities.approvals):
        missing = "kill" if not session.capabilities.kill else "approvals"
        raise Skipped(f"`{missing}` is false: {reason_of(session, missing)}")
    await bench.peer.ask(native)
    question = await bench.open_question(native)
    await bench.call(bench.provider.kill(native), "kill")
    await bench.until_session(native, "is final", _final)

    async def over() -> bool:
        found = await bench.database.approvals.get(question.approval_id)
        return found is not None and found.state.value != "open"

    await bench.until("the question is not open any more", over)
    option = question.options[0].option_id
    await bench.refused(
        bench.provider.answer(native, question.approval_id, option, user_id="late"),
        "an answer to what has ended",
        Conflict,
        NotFound,
    )


@PART
async def the_way_to_stop_is_tried_without_stopping(bench: Bench) -> None:
    """Where the provider can test its way to stop sessions (`ProbesStop`), that tells what was reached and stops
    none."""
    provider = bench.provider
    if not isinstance(provider, ProbesStop):
        raise Skipped("it does not implement ProbesStop")
    native = await bench.working()
    told = await bench.call(provider.probe_stop(), "probe_stop")
    demand(told.strip(), "probe_stop does not say what was reached")
    demand(await bench.peer.works(native), "probe_stop stopped a session")
    session = await bench.until_session(native, "is on record")
    demand(session.status is SessionStatus.RUNNING, f"after probe_stop the session is {session.status.value}")


@PART
async def a_turn_is_cancelled_and_the_session_goes_on(bench: Bench) -> None:
    """Where the provider can cancel a turn (`CancelsTurns`), the session then waits for an operator and takes the next
    message; without a turn it is a Conflict."""
    provider = bench.provider
    if not isinstance(provider, CancelsTurns):
        raise Skipped("it does not implement CancelsTurns")
    native = await bench.working()
    await bench.call(provider.cancel_turn(native), "cancel_turn")
    await bench.until_idle(native)
    words = new_words(2)
    await bench.peer.say(native, words)
    await bench.until_level(native, words)
    await bench.refused(provider.cancel_turn(native), "cancel_turn without a turn", Conflict)
    await bench.refused(provider.cancel_turn(UNKNOWN), "cancel_turn of an unknown session", NotFound)
