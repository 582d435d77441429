"""What each command of the table does in the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QApplication

from mission_control_desktop.ui.main_window.attending import SHELVES
from mission_control_desktop.ui.main_window.grid import GRIDS

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow


def bind(window: MainWindow) -> None:
    """Give every command its handler. Call once, when the window's parts are there."""
    handle = window.commands.handle
    _bind_mission(window, handle)
    _bind_session(window, handle)
    _bind_panels(window, handle)
    _bind_desks(window, handle)
    walking = window.walking
    handle("view.palette", lambda: window.command_palette.toggle())
    handle("view.next_region", partial(walking.next_region, 1))
    handle("view.previous_region", partial(walking.next_region, -1))
    handle("view.filter", window.focus_filter)
    handle("view.roster", window.toggle_roster)
    handle("view.follow_focus", window.following_focus.toggle)
    handle("view.audit", window.toggle_audit)
    handle("view.appearance", window.toggle_appearance)
    handle("view.text_larger", lambda: window.step_text(1))
    handle("view.text_smaller", lambda: window.step_text(-1))
    handle("view.text_plain", lambda: window.step_text(0))
    handle("help.keys", window.keys_requested.emit)
    handle("help.about", partial(window.settings_requested.emit, "about"))


_Handle = Callable[[str, Callable[[], None]], None]


def _bind_mission(window: MainWindow, handle: _Handle) -> None:
    handle("mission.new_agent", window.show_launch)
    handle("mission.next_attention", window.opening.next_attention)
    handle("mission.attention", window.attending.toggle)
    handle("mission.approvals", window.approvals_requested.emit)
    handle("mission.acknowledge", window.attending.acknowledge)
    for name, duration in SHELVES:
        handle(f"mission.{name}", partial(window.attending.shelve, duration))
    handle("mission.settings", partial(window.settings_requested.emit, ""))
    handle("mission.kill_all", window.kill_all_requested.emit)
    handle("mission.close", window.close_requested.emit)


def _bind_session(window: MainWindow, handle: _Handle) -> None:
    def on_session(act: Callable[[str], object]) -> Callable[[], None]:
        def run() -> None:
            if session_id := window.current_session_id():
                act(session_id)

        return run

    def ask(action: str) -> Callable[[], None]:
        return on_session(lambda session_id: window.session_action.emit(session_id, action))

    def ask_all(action: str, one: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            if chosen := window.several_ids():
                window.several_requested.emit(chosen, action)
            else:
                one()

        return run

    handle("session.open", ask_all("panels", on_session(window.open_session)))
    for name in ("message", "pause_resume", "terminate", "kill"):
        handle(f"session.{name}", ask_all(name, ask(name)))
    for name in ("find", "spawn_below", "cancel_turn"):
        handle(f"session.{name}", ask(name))
    handle("session.broadcast", window.message_several)
    handle("session.copy_id", on_session(QApplication.clipboard().setText))


def _bind_panels(window: MainWindow, handle: _Handle) -> None:
    panels, walking = window.panels, window.walking
    handle("panel.close", lambda: panels.close_panel(panels.current_id))
    handle("panel.close_ended", window.opening.close_ended)
    handle("panel.next", partial(walking.step, 1))
    handle("panel.previous", partial(walking.step, -1))
    for way in ("left", "right", "up", "down"):
        handle(f"panel.{way}", partial(panels.move_panel, way))
    handle("panel.tab", panels.tab_with_next)
    handle("panel.float", panels.float_or_dock)
    handle("panel.full_screen", panels.toggle_full_screen)
    for cells in GRIDS:
        handle(f"layout.{cells}", partial(panels.arrange, cells))
    handle("layout.all", panels.arrange_all)
    handle("layout.n", window.ask_grid)
    handle("panel.float_on", partial(window.ask_monitor, "Own window on", panels.float_on))
    handle("panel.full_screen_on", partial(window.ask_monitor, "Full screen on", panels.full_screen_on))
    handle("panel.pin", window.following_focus.toggle_pin)
    for number in range(1, 10):
        handle(f"panel.go_{number}", partial(walking.go, number))


def _bind_desks(window: MainWindow, handle: _Handle) -> None:
    """What asks for a name or a file is bound by the presenter of desks."""
    desks = window.desks
    handle("desk.next", partial(desks.step, 1))
    handle("desk.previous", partial(desks.step, -1))
    handle("desk.undo", desks.undo)
    for number in range(1, 10):
        handle(f"desk.go_{number}", partial(desks.go, number))
