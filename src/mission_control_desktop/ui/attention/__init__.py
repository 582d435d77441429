"""What needs a person: one queue over all providers and depths, its pane, and what is told outside the window."""

from mission_control_desktop.ui.attention.center import Attention
from mission_control_desktop.ui.attention.queue import Cause, Need

__all__ = ["Attention", "Cause", "Need"]
