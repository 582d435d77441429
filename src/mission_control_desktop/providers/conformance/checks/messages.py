"""Messages: all of them, once, in order; live, and the same afterwards."""

from __future__ import annotations

from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.sessions import global_id
from mission_control_desktop.providers.conformance.bench import Bench, is_speech, new_words
from mission_control_desktop.providers.conformance.verdict import Part, demand

PART = Part("messages")
MANY = 16
PAUSE = 0.03


@PART
async def words_are_on_record_once_and_in_order(bench: Bench) -> None:
    """What the agent says in several turns is on record word for word, once, in its order, and complete."""
    native = await bench.new_session()
    said: list[str] = []
    for _ in range(3):
        words = new_words(4)
        said += words
        await bench.peer.say(native, words)
        await bench.until_level(native, said)
    for one in await bench.messages(native):
        demand(one.session_id == global_id(bench.name, native), f"a message names the session {one.session_id}")
        demand(one.timestamp.tzinfo is not None, "a message's time is not aware")


@PART
async def pages_are_bounded_and_complete(bench: Bench) -> None:
    """Read in small pages, forwards and backwards, the transcript is the same as at once: no entry is missing or
    doubled, ids are unique, places ascend."""
    native = await bench.new_session()
    said: list[str] = []
    for _ in range(4):
        words = new_words(1)
        said += words
        await bench.peer.say(native, words)
        await bench.until_level(native, said)
    whole = await bench.messages(native)
    ids = [one.message_id for one in whole]
    demand(len(ids) == len(set(ids)), "two messages have the same id")
    places = [one.seq for one in whole]
    demand(places == sorted(set(places)), f"the places do not ascend: {places}")
    demand(await bench.messages(native, limit=1) == whole, "read one by one forwards it is another transcript")
    backwards: list[AgentMessage] = []
    before: int | None = None
    while True:
        page = await bench.database.messages.page(global_id(bench.name, native), limit=2, before=before)
        demand(len(page.items) <= 2, "a page has more entries than were asked for")
        backwards[:0] = page.items
        if page.next_cursor is None:
            break
        before = int(page.next_cursor)
    demand(backwards == whole, "read backwards it is another transcript")


@PART
async def words_come_while_they_are_said(bench: Bench) -> None:
    """A subscriber hears the first words before the last are said, and what it heard is what history says."""
    native = await bench.new_session()
    words = new_words(MANY)
    async with bench.listening(native) as listener:
        await bench.peer.say(native, words, pause=PAUSE * 2)

        async def first() -> bool:
            return words[0] in "".join(one.content for one in listener.messages.values() if is_speech(one))

        await bench.until("the first word is heard", first)
        spoken = "".join(one.content for one in listener.messages.values() if is_speech(one))
        demand(words[-1] not in spoken, "all words came at once, after the last was said")
        await bench.until_level(native, words)
        whole = await bench.messages(native)

        async def level() -> bool:
            return listener.transcript() == whole

        await bench.until("the subscriber's transcript is the one on record", level)
        demand(not listener.faults, f"the stream was not consistent: {listener.faults[:3]}")


@PART
async def a_subscriber_goes_on_where_it_was(bench: Bench) -> None:
    """Who unsubscribes in the middle of a message and subscribes again later hears the rest, and nothing twice."""
    native = await bench.new_session()
    words = new_words(MANY)
    async with bench.listening(native) as first:
        await bench.peer.say(native, words, pause=PAUSE)

        async def some() -> bool:
            return words[2] in "".join(one.content for one in first.messages.values())

        await bench.until("the third word is heard", some)
    heard = len(first.messages)
    await bench.until_level(native, words)
    demand(len(first.messages) == heard, "something was told after the end of the subscription")
    async with bench.listening(native, first.last_id) as second:
        second.go_on(first)
        whole = await bench.messages(native)

        async def level() -> bool:
            return second.transcript() == whole

        await bench.until("the subscriber's transcript is the one on record", level)
        demand(not second.faults, f"the stream was not consistent: {second.faults[:3]}")


@PART
async def ids_are_the_same_after_a_restart(bench: Bench) -> None:
    """Another process of the control plane finds the messages under the ids and at the places that they had, and
    writes none a second time."""
    native = await bench.new_session()
    words = new_words(6)
    await bench.peer.say(native, words)
    await bench.until_level(native, words)
    before = [(one.message_id, one.seq, one.content) for one in await bench.messages(native)]
    await bench.go_down()
    await bench.again()
    more = new_words(2)
    await bench.peer.say(native, more)
    await bench.until_level(native, [*words, *more])
    after = [(one.message_id, one.seq, one.content) for one in await bench.messages(native)]
    demand(after[: len(before)] == before, "messages that were on record have other ids, places or texts now")
