"""The context menu of a message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu

from mission_control_desktop.ui.transcript.blocks import collapsible
from mission_control_desktop.ui.transcript.landmarks import Landmark

if TYPE_CHECKING:
    from mission_control_desktop.ui.transcript.view import TranscriptView


def transcript_menu(view: TranscriptView, row: int, link: str) -> QMenu:
    """What can be done with the message in `row` (-1: none) and the link under the pointer, if any."""
    menu = QMenu(view)
    model = view.transcript
    count = model.rowCount() if model is not None else 0
    has_row = 0 <= row < count

    def add(text: str, slot: Callable[..., object], shortcut: str = "", *, enabled: bool = True) -> None:
        action = menu.addAction(text)
        action.setEnabled(enabled)
        if shortcut:
            # Shown, not active: the view handles its keys itself.
            action.setShortcut(shortcut)
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        action.triggered.connect(slot)

    add("Copy selection", view.copy, "Ctrl+C", enabled=view.has_selection())
    add("Copy message", partial(view.copy_rows, range(row, row + 1)), enabled=has_row)
    add("Copy all that is loaded", partial(view.copy_rows, range(count)), enabled=count > 0)
    if link:
        menu.addSeparator()
        add(f"Open link: {link[:80]}", partial(view.link_chosen.emit, link))
    menu.addSeparator()
    if has_row and model is not None and collapsible(model.entry(row)):
        expanded = view.is_expanded(row)
        add("Collapse" if expanded else "Expand", partial(view.set_expanded, row, not expanded), "Return")
    add("Collapse all", partial(view.set_all_expanded, False))
    add("Expand all", partial(view.set_all_expanded, True))
    menu.addSeparator()
    add("Find…", view.find_wanted.emit, "Ctrl+F")
    for what, landmark, key in (
        ("operator's message", Landmark.OPERATOR, "O"),
        ("error", Landmark.ERROR, "E"),
        ("question", Landmark.APPROVAL, "A"),
    ):
        add(f"Next {what}", partial(view.jump, landmark), key)
        add(f"Former {what}", partial(view.jump, landmark, backwards=True), f"Shift+{key}")
    menu.addSeparator()
    add("To the beginning", view.go_to_beginning, "Ctrl+Home")
    add("To the end", view.follow, "Ctrl+End")
    return menu
