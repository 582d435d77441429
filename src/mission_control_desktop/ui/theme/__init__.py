"""How the window looks: colours by meaning, fonts, sizes and the shapes of statuses.

Widgets ask `current()` when they paint and connect to `signals.theme_changed`; they keep no colour of their own.
"""

from mission_control_desktop.ui.theme.fonts import Metrics, metrics, mono_font, ui_font
from mission_control_desktop.ui.theme.scheme import SCHEMES, Scheme, current, palette, scheme, set_scheme, signals
from mission_control_desktop.ui.theme.shapes import level_icon, paint_level, paint_status, status_icon, status_text
from mission_control_desktop.ui.theme.tokens import DARK, LIGHT, Theme, contrast

__all__ = [
    "DARK",
    "LIGHT",
    "SCHEMES",
    "Metrics",
    "Scheme",
    "Theme",
    "contrast",
    "current",
    "level_icon",
    "metrics",
    "mono_font",
    "paint_level",
    "paint_status",
    "palette",
    "scheme",
    "set_scheme",
    "signals",
    "status_icon",
    "status_text",
    "ui_font",
]
