"""The keys of the place where a person is, beside those of the commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QApplication, QWidget

from mission_control_desktop.ui.panel import enter

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

Lines = tuple[tuple[str, str], ...]

ROSTER: Lines = (
    ("Enter", "Open as a panel"),
    ("Right, Left", "Open or close a branch"),
    ("* and /", "Open or close a branch with all in it"),
    ("Up, Down", "From row to row"),
    ("Shift+Down, Ctrl+A", "Select several: Enter, pause, terminate and kill are for all of them"),
    ("Esc", "Select one again; take the filter away"),
)
FILTER: Lines = (("Enter", "To the rows"), ("Esc", "Take the filter away"))
TRANSCRIPT: Lines = (
    ("1 … 9", "Answer the question that is shown"),
    ("Up, Down", "From message to message"),
    ("PgUp, PgDown", "A page"),
    ("Home, End", "First and last loaded message; End follows"),
    ("Ctrl+Home, Ctrl+End", "Beginning and end of the session"),
    ("Enter, Space", "Open or close what is folded"),
    ("O, Shift+O", "Next and former message of an operator"),
    ("E, Shift+E", "Next and former error"),
    ("A, Shift+A", "Next and former approval"),
    ("F3, Shift+F3", "Find again, forwards and backwards"),
    ("Ctrl+A, Ctrl+C", "Select all, copy"),
    ("Esc", "End the search or the selection"),
)
QUESTION: Lines = (("1 … 9", "Answer"), ("Tab", "To the next answer"), ("Space", "Give the answer with the focus"))
ATTENTION: Lines = (("Enter", "Go there"), ("Up, Down", "From row to row"), ("Esc", "Close"))
AUDIT: Lines = (("Enter", "The whole row"), ("Up, Down", "From row to row"), ("Esc", "Close"))
PANEL: Lines = (("1 … 9", "Answer the question that is shown (from the transcript or the question)"),)


@dataclass(frozen=True)
class Here:
    """A place and its keys."""

    name: str
    lines: Lines


def message_input() -> Lines:
    """The keys of the message input, as they are chosen."""
    acts = ((key, act.value.capitalize()) for key, act in zip(enter.KEYS, enter.current().acts, strict=True))
    return (*acts, ("Up, Down", "Earlier messages, from the first line; back from the last"),
            ("Esc", "To the transcript"))  # fmt: skip


def here(window: MainWindow) -> Here | None:
    """Where the focus is, in whichever window; None where there are no keys but those of the commands."""
    focus = QApplication.focusWidget()
    if focus is None:
        return None

    def within(place: QWidget) -> bool:
        return place is focus or place.isAncestorOf(focus)

    if within(window.roster.filter_line):
        return Here("the roster's filter", FILTER)
    if within(window.roster):
        return Here("the roster", ROSTER)
    if window.is_seen("attention_pane") and within(window.attention_pane):
        return Here("what needs you", ATTENTION)
    if window.is_seen("audit") and within(window.audit):
        return Here("the audit log", AUDIT)
    return _in_panel(focus)


_PARTS = {
    "MessageEdit": ("the message input", None),
    "ApprovalBar": ("the agent's question", QUESTION),
    "TranscriptView": ("the transcript", TRANSCRIPT),
    "OrchestratorPanel": ("the panel", PANEL),
}
"""By name: what a panel is made of is imported after the first paint."""


def _in_panel(focus: QWidget) -> Here | None:
    place: QWidget | None = focus
    while place is not None:
        found = _PARTS.get(type(place).__name__)
        if found is not None:
            name, lines = found
            return Here(name, message_input() if lines is None else lines)
        place = place.parentWidget()
    return None
