"""What belongs to one person at one workstation: layout, drafts, preferences, a cache of the audit log.

A SQLite file, written by a thread of its own a moment after a change, so that a crash of the window loses at most that
moment. A damaged file is moved aside and never in the way.
"""

from mission_control_desktop.ui.local_state.store import LocalState, stored

APPEARANCE = "appearance"
"""Preference: how the window looks, as `theme.Appearance` stores it."""
TRAY = "tray"
"""Preference: whether the window starts an entry in the system tray."""

__all__ = ["APPEARANCE", "TRAY", "LocalState", "stored"]
