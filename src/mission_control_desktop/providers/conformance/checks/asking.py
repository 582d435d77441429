"""Permission questions: shown where they are asked, and answered exactly once."""

from __future__ import annotations

import asyncio

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.errors import BadInput, Conflict, MissionControlError, NotFound
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.providers.conformance.bench import OPERATOR, UNKNOWN, Bench, reason_of
from mission_control_desktop.providers.conformance.verdict import Broken, Part, Skipped, demand

PART = Part("approvals")
KINDS = ("allow_once", "allow_always", "reject_once", "reject_always")


async def _asked(bench: Bench) -> tuple[str, Approval]:
    """A session whose agent waits for an answer."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    if not session.capabilities.approvals:
        raise Skipped(f"`approvals` is false: {reason_of(session, 'approvals')}")
    await bench.peer.ask(native)
    return native, await bench.open_question(native)


async def _given(bench: Bench, native: str) -> list[str]:
    async def probe() -> list[str]:
        return list(await bench.peer.answers(native))

    return await bench.until("the runtime has an answer", probe)


@PART
async def a_question_is_shown_and_waited_for(bench: Bench) -> None:
    """A permission question is on record with its options while the agent waits, and the session says what it waits
    for."""
    native, question = await _asked(bench)
    demand(question.provider == bench.name, f"the question names the provider {question.provider}")
    demand(question.title.strip(), "the question has no title")
    demand(question.options, "the question has no options")
    ids = [one.option_id for one in question.options]
    demand(len(ids) == len(set(ids)), "two options have the same id")
    kinds = {one.kind for one in question.options} - set(KINDS)
    demand(not kinds, f"options of unknown kinds: {sorted(kinds)}")
    waits = (WaitingFor.APPROVAL, WaitingFor.OPERATOR)
    await bench.until_session(
        native, "waits for an answer", lambda one: one.status is SessionStatus.WAITING and one.waiting_for in waits
    )


@PART
async def an_answer_arrives_exactly_once(bench: Bench) -> None:
    """Of answers that are given at the same time one wins and the others are a Conflict, as is any later one; the
    agent gets the one, and the record tells who gave it."""
    native, question = await _asked(bench)
    options = [question.options[number % len(question.options)].option_id for number in range(3)]
    people = [f"{OPERATOR}-{number}" for number in range(3)]
    outcomes = await asyncio.gather(
        *(_answered(bench, native, question, option, person) for option, person in zip(options, people, strict=True))
    )
    won = [one for one in outcomes if isinstance(one, Approval)]
    demand(len(won) == 1, f"{len(won)} of three answers at the same time were accepted")
    others = [one for one in outcomes if not isinstance(one, Approval | Conflict)]
    demand(not others, f"an answer that came too late is {others[:1]!r}, not a Conflict")
    winner = next(number for number, one in enumerate(outcomes) if isinstance(one, Approval))
    demand(won[0].state is ApprovalState.ANSWERED, f"the answer that won says {won[0].state.value}")
    given = await _given(bench, native)
    demand(given == [options[winner]], f"the agent got {given}; the answer that won was {options[winner]}")
    await bench.refused(
        bench.provider.answer(native, question.approval_id, options[0], user_id=OPERATOR), "a later answer", Conflict
    )
    found = await bench.database.approvals.get(question.approval_id)
    if found is None:
        raise Broken("the question is not on record any more")
    demand(found.state is ApprovalState.ANSWERED, f"on record it is {found.state.value}")
    demand(found.answer == options[winner], f"on record the answer is {found.answer}")
    demand(found.answered_by, "the record does not tell who answered")
    after = await bench.peer.answers(native)
    demand(list(after) == given, f"the agent got more than one answer: {list(after)}")


async def _answered(
    bench: Bench, native: str, question: Approval, option: str, person: str
) -> Approval | MissionControlError:
    try:
        return await bench.call(bench.provider.answer(native, question.approval_id, option, user_id=person), "answer")
    except MissionControlError as error:
        return error


@PART
async def a_wrong_answer_changes_nothing(bench: Bench) -> None:
    """An option that there is not is BadInput, a question that there is not is NotFound; the question stays open and
    can be answered."""
    native, question = await _asked(bench)
    provider = bench.provider
    await bench.refused(
        provider.answer(native, question.approval_id, "no-such-option", user_id=OPERATOR), "an unknown option", BadInput
    )
    await bench.refused(
        provider.answer(native, f"{bench.name}:{UNKNOWN}", question.options[0].option_id, user_id=OPERATOR),
        "an answer to an unknown question",
        NotFound,
    )
    demand(not await bench.peer.answers(native), "the agent got an answer that was refused")
    option = question.options[0].option_id
    await bench.call(provider.answer(native, question.approval_id, option, user_id=OPERATOR), "answer")
    demand(await _given(bench, native) == [option], "the agent did not get the answer")


@PART
async def a_question_outlives_the_control_plane(bench: Bench) -> None:
    """A question that is open when the control plane ends is open, once, for the next one, and is answered there."""
    native, question = await _asked(bench)
    await bench.go_down()
    await bench.again()
    again = await bench.open_question(native)
    demand(again.approval_id == question.approval_id, "the question has another id now, and is asked twice")
    option = again.options[0].option_id
    await bench.call(bench.provider.answer(native, again.approval_id, option, user_id=OPERATOR), "answer")
    demand(await _given(bench, native) == [option], "the agent did not get the answer")
