"""What went wrong, what it means and what to do, in one notice."""

from __future__ import annotations

from mission_control_desktop.domain import errors
from mission_control_desktop.domain.errors import MissionControlError

_MAYBE = "It may have been carried out all the same: look how it is now before you do it again. Agents go on."
_MEANING: tuple[tuple[type[MissionControlError], str], ...] = (
    (errors.BadInput, "Nothing was changed."),
    (errors.NotAuthenticated, "Nothing was changed. Enter a valid token in Settings, Connections."),
    (errors.Forbidden, "Nothing was changed. Ask an admin of the workspace for a role that may."),
    (errors.NotFound, "Nothing was changed: it is no longer there. The roster shows what is."),
    (errors.StopUnderWay, "Nothing was changed. It is possible again when the stop has ended."),
    (errors.Conflict, "Nothing was changed. Look at it as it is now, then act again."),
    (errors.TooLarge, "Nothing was changed. Make it smaller, or do it in parts."),
    (errors.RateLimited, "Nothing was changed. Wait a moment, then try again."),
    (errors.Unsupported, "Nothing was changed: its provider does not offer this."),
    (errors.Unreachable, _MAYBE),
    (errors.Unavailable, _MAYBE),
)


def told(what: str, error: MissionControlError) -> str:
    """`what` did not come about, why, what that means, and the way out."""
    return f"{what}: {reasons(error)}"


def refused(what: str, error: MissionControlError) -> tuple[str | None, str]:
    """For a form: the field that is named, and what is said there; None, and `told`, where none is."""
    field = error.details.get("field")
    return (field, error.message) if isinstance(field, str) else (None, told(what, error))


def reasons(error: MissionControlError) -> str:
    """Why something did not come about, what that means, and the way out."""
    if isinstance(error, errors.RateLimited):
        return f"{_sentence(error.message)} Nothing was changed. Try again in {error.retry_after} s."
    meaning = next((text for kind, text in _MEANING if isinstance(error, kind)), "")
    if not meaning:
        meaning = f"This was not foreseen ({error.code}); the control plane's log has more. {_MAYBE}"
    return f"{_sentence(error.message)} {meaning}"


_READING: tuple[tuple[type[MissionControlError], str], ...] = (
    (errors.NotAuthenticated, "Enter a valid token in Settings, Connections."),
    (errors.Forbidden, "Ask an admin of the workspace for a role that may read it."),
    (errors.NotFound, "It is not on record any more."),
    (errors.RateLimited, "Wait a moment, then try again."),
    (errors.Unsupported, "This control plane does not offer it: it may be older than this window."),
    (errors.Unreachable, "What is seen here may be old. Agents go on; try again when the control plane answers."),
    (errors.Unavailable, "What is seen here may be old. Agents go on; try again in a moment."),
)


def unread(what: str, error: MissionControlError) -> str:
    """`what` could not be read, why, what that means, and the way out."""
    return f"{what}: {reading_reasons(error)}"


def reading_reasons(error: MissionControlError) -> str:
    """Why something could not be read, what that means, and the way out."""
    meaning = next((text for kind, text in _READING if isinstance(error, kind)), "")
    if not meaning:
        meaning = f"What is seen here may be old ({error.code}); the control plane's log has more."
    return f"{_sentence(error.message)} {meaning}"


def _sentence(text: str) -> str:
    text = text.rstrip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
