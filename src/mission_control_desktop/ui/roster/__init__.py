"""The roster: the tree of all sessions, filtered, live, with pause and kill per row and for several at once."""

from mission_control_desktop.ui.roster.filter import SessionFilter, parse_filter
from mission_control_desktop.ui.roster.model import Column, RosterModel
from mission_control_desktop.ui.roster.pane import RosterPane

__all__ = ["Column", "RosterModel", "RosterPane", "SessionFilter", "parse_filter"]
