"""What a panel says about a session and about what can be done to it. Decided by capabilities, never by a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mission_control_desktop.domain import errors
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Delivery,
    Freshness,
    PauseKind,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.error_words import reading_reasons, reasons
from mission_control_desktop.ui.words import duration, is_stale

HOLD, FREEZE = "hold", "freeze"

DELIVERY_NAMES = {Delivery.STEER: "Steer", Delivery.QUEUE: "Queue", Delivery.INTERRUPT: "Interrupt"}
_DELIVERY_MISSING = {
    Delivery.STEER: "This agent cannot take a message into a running turn",
    Delivery.QUEUE: "Messages cannot wait for this agent",
    Delivery.INTERRUPT: "This agent's turn cannot be interrupted",
}


@dataclass(frozen=True, slots=True)
class Possible:
    """Whether something can be done now, and what to say about it: what it does, or why not."""

    can: bool
    words: str


@dataclass(frozen=True, slots=True)
class State:
    """A session's status as it is shown."""

    words: str
    brief: str
    """The same in a word, for a narrow panel."""
    evidence: str
    """About the age of what we know, where it matters; else empty."""
    stale: bool


def state_of(session: AgentSession, last_sign: datetime, now: datetime, *, connected: bool) -> State:
    """Words for the status. `last_sign` is the newest sign of life that the window itself knows of."""
    status = session.status
    words, brief = status_words(session), theme.status_text(session, short=True).capitalize()
    if status.final:
        return State(words, brief, "", stale=False)
    age = max(timedelta(), now - max(last_sign, session.evidence.last_event_at))
    said = duration(age.total_seconds())
    if not connected:
        return State(words, brief, f"not connected, as of {said} ago", stale=True)
    if session.evidence.freshness is Freshness.UNREACHABLE:
        return State(words, brief, f"provider unreachable, last event {said} ago", stale=True)
    if is_stale(session, now - age, now):
        return State(words, brief, f"last event {said} ago", stale=True)
    return State(words, brief, "", stale=False)


FROZEN_LONG = timedelta(seconds=60)
"""From then on the model's side may give up a stream that nobody reads."""


def long_freeze(session: AgentSession, now: datetime) -> str:
    """What a freeze that has lasted long can do; empty if there is none. A frozen session gives no sign of life, so the
    newest one tells since when."""
    age = now - session.evidence.last_event_at
    if session.status is not SessionStatus.PAUSED or session.metadata.get("pauseLevel") != FREEZE or age < FROZEN_LONG:
        return ""
    return (
        f"Frozen for {age // FROZEN_LONG} min. Its model's stream may break off meanwhile, and the turn may end "
        "with an error when it is thawed."
    )


def status_words(session: AgentSession) -> str:
    """The status for people: "Running", "Paused - frozen", "Waiting for you"."""
    if session.status is SessionStatus.PAUSED:
        level = session.metadata.get("pauseLevel")
        return {FREEZE: "Paused - frozen", HOLD: "Paused - holding"}.get(str(level), "Paused")
    if session.metadata.get("pausing"):
        return "Pausing - holds at the next step"
    text = theme.status_text(session)
    held = ", commands held" if commands_held(session) else ""
    return text[:1].upper() + text[1:] + held


def pausing_possible(session: AgentSession, level: str) -> Possible:
    """Whether and how the session can be paused at this level."""
    kind, reasons = session.capabilities.pause, session.capabilities.reasons
    if session.status.final:
        return Possible(False, "The session has ended")
    if session.status is SessionStatus.PAUSED and session.metadata.get("pauseLevel") in (level, FREEZE):
        return Possible(False, "Paused already")
    if kind is None:
        return Possible(False, reasons.get("pause") or "This provider cannot pause a session")
    if level == FREEZE:
        if kind is PauseKind.SUSPEND:
            return Possible(True, "Stops all processes of the agent at once; resuming goes on where they stood")
        return Possible(False, reasons.get("freeze") or reasons.get("pause") or "Its processes cannot be stopped")
    if kind is PauseKind.DISPATCH:
        return Possible(True, "No new prompts go out; a running turn goes on to its end")
    return Possible(True, "The agent goes on to its next question or the end of its turn, and waits there")


def holding_possible(session: AgentSession) -> Possible | None:
    """Whether the session's commands can be held, with what that does; None where nobody would look for it."""
    words = session.capabilities.hold_commands
    if words is not None:
        return Possible(True, words)
    reason = session.capabilities.reasons.get("holdCommands")
    return None if reason is None else Possible(False, reason)


def commands_held(session: AgentSession) -> bool:
    return "commandsHeld" in session.metadata and not session.status.final


def pause_name(session: AgentSession, level: str) -> str:
    if level == FREEZE:
        return "Freeze processes"
    return "Withhold new prompts" if session.capabilities.pause is PauseKind.DISPATCH else "Hold at next step"


def resuming_possible(session: AgentSession) -> Possible:
    if session.status is SessionStatus.PAUSED or session.metadata.get("pausing"):
        return Possible(True, "Let the agent go on")
    return Possible(False, "The session is not paused")


def ending_possible(session: AgentSession, what: str) -> Possible:
    """`what`: "terminate" or "kill"."""
    can = session.capabilities.terminate if what == "terminate" else session.capabilities.kill
    if session.status.final:
        return Possible(False, "The session has ended")
    if not can:
        return Possible(False, session.capabilities.reasons.get(what) or f"This provider cannot {what} a session")
    if what == "terminate":
        return Possible(True, f"Terminate: {ending_means(kill=False)}")
    return Possible(True, f"Kill: {ending_means(kill=True)}")


def ending_means(*, kill: bool) -> str:
    """What is done to an agent that is killed or terminated; a tool tip and each dialog that asks say the same."""
    if kill:
        return "ends the agent, everything below it and all their processes at once. Work in progress is lost"
    return (
        "asks the agent and everything below it to end: each may finish its current step. "
        "What does not end in time is stopped by force"
    )


def delivery_possible(session: AgentSession, delivery: Delivery) -> Possible:
    """Whether a message can go this way."""
    reasons = session.capabilities.reasons
    if delivery in session.capabilities.inject:
        return Possible(True, what_happens(session, delivery, pause_first=False))
    return Possible(False, reasons.get(delivery.value) or reasons.get("inject") or _DELIVERY_MISSING[delivery])


def default_delivery(session: AgentSession) -> Delivery | None:
    """The gentlest way that the session offers: into the turn, after it, instead of it."""
    return next(
        (way for way in (Delivery.STEER, Delivery.QUEUE, Delivery.INTERRUPT) if way in session.capabilities.inject),
        None,
    )


def other_delivery(session: AgentSession, delivery: Delivery | None) -> Delivery | None:
    """What is the other way to send: steer and queue change places."""
    other = Delivery.QUEUE if delivery is not Delivery.QUEUE else Delivery.STEER
    return other if other in session.capabilities.inject else None


def queue_possible(session: AgentSession) -> Possible:
    """Whether messages that wait can be changed and put into another order."""
    if session.capabilities.edit_queue:
        return Possible(True, "")
    reason = session.capabilities.reasons.get("editQueue")
    return Possible(False, reason or "This provider cannot change messages that wait: withdraw and send again")


def sending_possible(session: AgentSession) -> Possible:
    """Whether the session takes messages at all."""
    if session.status.final:
        return Possible(False, f"The session has ended ({session.status.value}): it takes no more messages")
    if not session.capabilities.inject:
        reason = session.capabilities.reasons.get("inject")
        return Possible(False, reason or "This session takes no messages")
    return Possible(True, "")


def what_happens(session: AgentSession, delivery: Delivery | None, *, pause_first: bool, queued: int = 0) -> str:
    """What will become of a message that is sent now. `queued`: how many wait before it."""
    status = session.status
    if pause_first and status is not SessionStatus.PAUSED:
        return "Pauses the agent first; the message goes out when you resume"
    after = f", behind {queued} other{'s' if queued > 1 else ''}" if queued else ""
    if status is SessionStatus.PAUSED:
        return f"Will wait until you resume{after}"
    if status is SessionStatus.SPAWNING:
        return f"Will be sent when the agent is ready{after}"
    if status is SessionStatus.WAITING and session.waiting_for is not WaitingFor.APPROVAL:
        if session.waiting_for is WaitingFor.PROVIDER:
            return f"Will wait until the provider answers{after}"
        return "Starts the agent's next turn now"
    if delivery is Delivery.STEER:
        return "Will be put into the running turn"
    if delivery is Delivery.INTERRUPT:
        return "Stops the running turn, then goes out"
    if status is SessionStatus.WAITING:
        return f"Will wait until the question is answered and the turn ends{after}"
    return f"Will wait until the turn ends{after}"


def error_words(error: BaseException) -> str:
    """What a person is told about a failed action."""
    match error:
        case errors.RateLimited():
            return f"{error.message}. Try again in {error.retry_after} s"
        case errors.Conflict() if error.details.get("answeredBy"):
            answer = error.details.get("answer")
            return f"Already answered by {error.details['answeredBy']}" + (f": {answer}" if answer else "")
        case errors.MissionControlError():
            return error.message
        case TimeoutError():
            return "No answer in time"
    return f"Something went wrong here: {error or type(error).__name__}"


def action_words(error: BaseException) -> str:
    """Why an action on a session did not come about, what that means, and the way out."""
    if isinstance(error, errors.MissionControlError) and not error.details.get("answeredBy"):
        return reasons(error)
    return error_words(error)


def reading_words(error: BaseException) -> str:
    """Why something of a session could not be read, what that means, and the way out."""
    return reading_reasons(error) if isinstance(error, errors.MissionControlError) else error_words(error)


def uncertain(error: BaseException) -> bool:
    """Whether a failed call may have had its effect all the same."""
    if isinstance(error, errors.MissionControlError):
        return isinstance(error, errors.Unreachable | errors.Unavailable) or type(error) is errors.MissionControlError
    return True
