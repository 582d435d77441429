"""Commands as data, and their binding to actions."""

from mission_control_desktop.ui.commands.actions import CommandActions
from mission_control_desktop.ui.commands.keymap import Keymap
from mission_control_desktop.ui.commands.table import BY_ID, COMMANDS, Command, Menu, When

__all__ = ["BY_ID", "COMMANDS", "Command", "CommandActions", "Keymap", "Menu", "When"]
