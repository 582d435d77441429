"""Operators' messages: accepted once, delivered once, and followed to what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound, Unsupported
from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import Delivery, global_id
from mission_control_desktop.providers.conformance.bench import (
    OPERATOR,
    UNKNOWN,
    Bench,
    ids_of,
    new_id,
    new_words,
    reason_of,
)
from mission_control_desktop.providers.conformance.verdict import Broken, Part, Skipped, demand
from mission_control_desktop.providers.contract import EditsQueue

PART = Part("operators' messages")
ON_ITS_WAY = (ReceiptState.STORED, ReceiptState.QUEUED, ReceiptState.DELIVERED, ReceiptState.ANSWERED)
ARRIVED = (ReceiptState.DELIVERED, ReceiptState.ANSWERED)


async def takes_messages(bench: Bench) -> str:
    """A new session that takes messages; skips the check where none does."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    if not session.capabilities.inject:
        raise Skipped(f"`inject` is empty: {reason_of(session, 'inject')}")
    return native


@PART
async def a_message_arrives_once_and_is_followed(bench: Bench) -> None:
    """A message is on record when `inject` returns, reaches the agent once, stands in the transcript once as the
    operator's, and its receipt climbs to delivered."""
    native = await takes_messages(bench)
    word, injection = new_words()[0], new_id()
    receipt = await bench.inject(native, word, injection_id=injection)
    demand(receipt.injection_id == injection, f"the receipt is about {receipt.injection_id}")
    demand(receipt.session_id == global_id(bench.name, native), f"the receipt names the session {receipt.session_id}")
    demand(receipt.state in ON_ITS_WAY, f"a message that was accepted is {receipt.state.value}: {receipt.detail}")
    on_record = await bench.receipt(injection)
    demand(on_record is not None, "`inject` returned, and its receipt is not on record")
    await bench.until_receipt(injection, *ARRIVED)
    await bench.until_idle(native)
    heard = await bench.heard(native, word)
    demand(heard == 1, f"the runtime has the message {heard} times")
    entries = [one for one in await bench.messages(native) if one.role is MessageRole.OPERATOR and word in one.content]
    demand(len(entries) == 1, f"the message stands in the transcript {len(entries)} times as an operator's")
    metadata = entries[0].metadata
    demand(metadata.get("injectionId") == injection, "the entry in the transcript does not name its injectionId")
    demand(metadata.get("operatorId") == OPERATOR, "the entry in the transcript does not name its operatorId")


@PART
async def the_same_key_is_one_message(bench: Bench) -> None:
    """The same injection id again, at once and afterwards, is the same message: it reaches the agent once, and its
    receipt is as it is then."""
    native = await takes_messages(bench)
    word, injection = new_words()[0], new_id()
    first = await asyncio.gather(*(bench.inject(native, word, injection_id=injection) for _ in range(3)))
    await bench.until_receipt(injection, *ARRIVED)
    await bench.until_idle(native)
    again = await bench.inject(native, word, injection_id=injection)
    demand({one.injection_id for one in (*first, again)} == {injection}, "the receipts are of several messages")
    demand(again.state in ARRIVED, f"it was delivered, and its receipt says {again.state.value} when asked again")
    await _after_another(bench, native)
    heard = await bench.heard(native, word)
    demand(heard == 1, f"the runtime has the message {heard} times")


async def _after_another(bench: Bench, native: str) -> None:
    """Wait until a later message has arrived: an earlier one would have, too."""
    await bench.deliver(native, new_words()[0])
    await bench.until_idle(native)


@PART
async def a_key_outlives_the_control_plane(bench: Bench) -> None:
    """A message that was delivered is not sent again by the next process of the control plane, and sending it again
    there does not take its receipt back."""
    native = await takes_messages(bench)
    word, injection = new_words()[0], new_id()
    await bench.inject(native, word, injection_id=injection)
    await bench.until_receipt(injection, *ARRIVED)
    await bench.until_idle(native)
    await bench.go_down()
    await bench.again()
    await bench.until_idle(native)
    await bench.inject(native, word, injection_id=injection)
    await bench.until_receipt(injection, *ARRIVED)
    await _after_another(bench, native)
    heard = await bench.heard(native, word)
    demand(heard == 1, f"the runtime has the message {heard} times")


@PART
async def a_message_survives_a_cut(bench: Bench) -> None:
    """A message that was accepted while the connection was being cut arrives once. One that was refused meanwhile and
    is sent again, with its key, arrives once, or is told as failed and does not arrive."""
    native = await takes_messages(bench)
    word, injection = new_words()[0], new_id()
    sending = asyncio.gather(bench.inject(native, word, injection_id=injection), return_exceptions=True)
    await bench.peer.cut()
    (outcome,) = await sending
    if isinstance(outcome, Broken):
        raise outcome
    await bench.deliver(native, new_words()[0])
    wanted: tuple[ReceiptState, ...] = ARRIVED
    if isinstance(outcome, BaseException):
        await bench.inject(native, word, injection_id=injection)
        wanted = (*ARRIVED, ReceiptState.FAILED)
    receipt = await bench.until_receipt(injection, *wanted)
    await bench.until_idle(native)
    await _after_another(bench, native)
    heard = await bench.heard(native, word)
    told = receipt.state.value
    demand(heard == (0 if receipt.state is ReceiptState.FAILED else 1), f"it is {told}, and arrived {heard} times")


@PART
async def an_unknown_session_is_refused(bench: Bench) -> None:
    """A message to a session that there is not raises NotFound, and makes no session."""
    await takes_messages(bench)
    word = new_words()[0]
    await bench.refused(bench.injecting(UNKNOWN, word), "inject into an unknown session", NotFound)
    demand(await bench.heard(UNKNOWN, word) == 0, "the runtime has a message to a session that there is not")
    listed = ids_of(await bench.call(bench.provider.list_sessions(), "list_sessions"))
    demand(global_id(bench.name, UNKNOWN) not in listed, "a message to an unknown session made it")
    demand(await bench.session(UNKNOWN) is None, "a message to an unknown session put one on record")


@PART
async def another_run_is_refused(bench: Bench) -> None:
    """A message for a run that is not the current one raises Conflict, and does not arrive."""
    native = await takes_messages(bench)
    word = new_words()[0]
    await bench.refused(bench.injecting(native, word, expected_run_id="another-run"), "inject", Conflict)
    await _after_another(bench, native)
    demand(await bench.heard(native, word) == 0, "the runtime has the message")


@PART
async def each_delivery_is_as_declared(bench: Bench) -> None:
    """While the agent works, the ways of delivery that the session offers are taken, and those that it does not are
    refused as unsupported, with the reason, and do not arrive."""
    native = await bench.working()
    session = await bench.until_session(native, "is on record")
    offered = session.capabilities.inject
    if not offered:
        raise Skipped(f"`inject` is empty while the agent works: {reason_of(session, 'inject')}")
    refused: list[str] = []
    for way in Delivery:
        word, injection = new_words()[0], new_id()
        if way in offered and way is not Delivery.INTERRUPT:
            receipt = await bench.inject(native, word, injection_id=injection, delivery=way)
            demand(receipt.state in ON_ITS_WAY, f"{way.value} is offered, and the message is {receipt.state.value}")
        elif way not in offered:
            demand(reason_of(session, way.value), f"{way.value} is not offered, and `reasons` does not say why")
            await bench.refused(bench.injecting(native, word, delivery=way), way.value, Unsupported)
            refused.append(word)
    if Delivery.INTERRUPT in offered:
        word, injection = new_words()[0], new_id()
        await bench.inject(native, word, injection_id=injection, delivery=Delivery.INTERRUPT)
        await bench.until_heard(native, word)
        await bench.until_receipt(injection, *ARRIVED)
    for word in refused:
        demand(await bench.heard(native, word) == 0, "a message that was refused arrived")


@PART
async def a_withdrawn_message_never_arrives(bench: Bench) -> None:
    """A message that waits for the end of a turn can be withdrawn, or is told to be on its way (Conflict): what is
    withdrawn never reaches the agent. A message that there is not raises NotFound."""
    native = await bench.working()
    session = await bench.until_session(native, "is on record")
    if Delivery.QUEUE not in session.capabilities.inject:
        raise Skipped(f"messages cannot wait for the end of a turn: {reason_of(session, 'queue')}")
    await bench.refused(bench.provider.withdraw(native, new_id()), "withdraw of an unknown message", NotFound)
    word, injection = new_words()[0], new_id()
    await bench.inject(native, word, injection_id=injection, delivery=Delivery.QUEUE)
    try:
        receipt = await bench.call(bench.provider.withdraw(native, injection), "withdraw")
    except Conflict:
        found = await bench.receipt(injection)
        demand(found is not None and found.state is not ReceiptState.WITHDRAWN, "it is withdrawn, and was a Conflict")
        return
    demand(receipt.state is ReceiptState.WITHDRAWN, f"withdraw answered a receipt that is {receipt.state.value}")
    await bench.until_receipt(injection, ReceiptState.WITHDRAWN)
    if Delivery.INTERRUPT in session.capabilities.inject:
        later = new_words()[0]
        await bench.inject(native, later, delivery=Delivery.INTERRUPT)
        await bench.until_heard(native, later)
    demand(await bench.heard(native, word) == 0, "a message that was withdrawn arrived")


@PART
async def what_waits_is_changed_and_moved(bench: Bench) -> None:
    """Where the provider can edit its queue (`EditsQueue`), messages that wait go out in the order in which they were
    put, once each, with the words that they had last; one that does not wait any more is a Conflict. A session that
    declares `edit_queue` false says why, and refuses it."""
    provider = bench.provider
    if not isinstance(provider, EditsQueue):
        raise Skipped("it does not implement EditsQueue")
    native = await bench.working()
    session = await bench.until_session(native, "is on record")
    old, first, second, later = new_words()[0], new_words()[0], new_words()[0], new_words()[0]
    if not session.capabilities.edit_queue:
        demand(reason_of(session, "editQueue"), "`edit_queue` is false, and `reasons` does not say why")
        await bench.refused(provider.move_message(native, new_id(), position=1), "move_message", Unsupported)
        raise Skipped(f"`edit_queue` is false: {reason_of(session, 'editQueue')}")
    one, two = new_id(), new_id()
    await bench.inject(native, second, injection_id=two, delivery=Delivery.QUEUE)
    await bench.inject(native, old, injection_id=one, delivery=Delivery.QUEUE)

    def edit(injection: str, content: str, was: str) -> Awaitable[Receipt]:
        return provider.edit_message(native, injection, content=content, was=was, operator_id=OPERATOR)

    await bench.call(edit(one, first, old), "edit_message")
    await bench.refused(edit(one, later, old), "edit_message of words that it has no more", Conflict)
    moved = await bench.call(provider.move_message(native, one, position=1), "move_message")
    demand((moved.injection_id, moved.position) == (one, 1), f"it was moved to place 1 and is at {moved.position}")
    await bench.refused(edit(new_id(), first, old), "edit_message of an unknown message", NotFound)
    await bench.refused(provider.move_message(native, new_id(), position=1), "move_message of an unknown one", NotFound)

    async def told() -> bool:
        entries = [entry for entry in await bench.messages(native) if entry.metadata.get("injectionId") == one]
        return [entry.content for entry in entries] == [first]

    await bench.until("the transcript has the new words in the place of the old ones", told)
    await bench.inject(native, later, delivery=Delivery.INTERRUPT)
    for injection in (one, two):
        await bench.until_receipt(injection, *ARRIVED)
    await bench.until_idle(native)
    heard = " ".join(await bench.peer.heard(native))
    counts = [heard.count(word) for word in (old, first, second)]
    demand(counts == [0, 1, 1], f"old words, new words and the other message arrived {counts} times")
    demand(heard.index(first) < heard.index(second), "they arrived in the order in which they were sent")
    await bench.refused(edit(one, second, first), "edit_message of what has arrived", Conflict)
    await bench.refused(provider.move_message(native, one, position=1), "move_message of what has arrived", Conflict)


@PART
async def text_arrives_as_it_was_written(bench: Bench) -> None:
    """Text that needs care (several lines, quotes, emoji, markup) reaches the agent as it was written."""
    native = await takes_messages(bench)
    word = new_words()[0]
    text = f'{word} "quoted" \\ back\u00a0slash \U0001f6f0 <b>&amp;</b>\nsecond line {word}'
    try:
        await bench.inject(native, text)
    except BadInput as error:
        raise Broken(f"plain text was refused: {error.message}") from error

    async def arrived() -> bool:
        return any(text in one for one in await bench.peer.heard(native))

    await bench.until("the message arrives as it was written", arrived)
