"""Walking through the window by keyboard: from region to region, and from panel to panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow


class Walking(QObject):
    """Moves the focus; changes nothing else."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def step(self, by: int) -> None:
        """To the next panel, or (-1) the former one."""
        ids = self._window.panels.open_ids()
        if ids:
            current = self._window.panels.current_id
            here = ids.index(current) if current in ids else -by
            self.go((here + by) % len(ids) + 1)

    def go(self, number: int) -> None:
        """To the n-th panel in reading order, from 1."""
        ids = self._window.panels.open_ids()
        if number <= len(ids):
            self._window.show_panels()
            self._window.panels.activate(ids[number - 1])

    def next_region(self, by: int) -> None:
        """To the next (-1: former) of header, roster, panels and drawer."""
        regions = self._regions()
        focus = self._window.focusWidget()
        here = next((n for n, r in enumerate(regions) if focus is not None and r.isAncestorOf(focus)), 0)
        self.focus_region(regions[(here + by) % len(regions)])

    def _regions(self) -> list[QWidget]:
        window = self._window
        found: list[QWidget] = [window.header]
        if window.roster.isVisible():
            found.append(window.roster)
        page = window.pages.currentWidget()
        if page is not None:
            found.append(page)
        if window.is_seen("attention_pane"):
            found.append(window.attention_pane)
        if window.is_seen("audit"):
            found.append(window.audit)
        return found

    def focus_region(self, region: QWidget) -> None:
        """Put the focus where a region expects it."""
        window, reason = self._window, Qt.FocusReason.ShortcutFocusReason
        if region is window.roster:
            window.roster.tree.take_focus(reason)
        elif region is window.panels:
            ids = window.panels.open_ids()
            if ids:
                window.panels.activate(window.panels.current_id or ids[0])
        elif window.is_seen("audit") and region is window.audit:
            window.audit.take_focus(reason)
        elif window.is_seen("attention_pane") and region is window.attention_pane:
            window.attention_pane.table.setFocus(reason)
        elif region is window.launch:
            window.launch.focus_first()
        elif region is window.header:
            window.header.attention.setFocus(reason)
        else:
            region.setFocus(reason)
            region.focusNextChild()
