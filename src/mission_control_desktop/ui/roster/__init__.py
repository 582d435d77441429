"""The roster: the tree of all sessions, filtered, live, with pause and kill per row."""

from mission_control_desktop.ui.roster.filter import SessionFilter, parse_filter
from mission_control_desktop.ui.roster.model import Column, RosterFilterModel, RosterModel
from mission_control_desktop.ui.roster.pane import RosterPane

__all__ = ["Column", "RosterFilterModel", "RosterModel", "RosterPane", "SessionFilter", "parse_filter"]
